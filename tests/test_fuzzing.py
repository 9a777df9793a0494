"""Ten thousand damaged and hostile checkpoints: each is refused in one line, or is as good as the whole one."""

import contextlib
import copy
import io
import math
import os
import pickletools
import random
import signal
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT

from charrnn.cli.inspector.cards import describe_each, show_card
from charrnn.cli.inspector.subject import read_subjects
from charrnn.cli.inspector.tables import print_json
from charrnn.cli.trainer.cpu_load import OtherLoad
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resume_run import resume_run
from charrnn.errors import CharRNNError, CheckpointError, DivergenceError
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sampling import Sampler
from charrnn.inference.engine import Engine
from charrnn.storage.archive import read_checkpoint
from charrnn.text.corpus import read_corpus
from charrnn.text.read_options import ReadOptions
from charrnn.training.loop import take_step

CHECKPOINT = ROOT / "tests" / "checkpoints" / "version-1.pt"
TEXT = CHECKPOINT.with_suffix(".txt")
RAW, STRUCTURES, VALUES = 5500, 4000, 500
SECONDS = 20
"""After which one file counts as a hang."""

CANARY = b"cos\nmkdir\n(X\x08\0\0\0executedtR"
"""Pickle instructions that make a folder."""


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Run in an empty folder, where nothing may be executed and nothing may hang."""
    monkeypatch.chdir(tmp_path)
    signal.signal(signal.SIGALRM, _hang)
    yield
    signal.alarm(0)
    assert os.listdir(tmp_path) in ([], ["x.pt"]), "something was executed"


def _hang(*_):
    raise AssertionError("a file takes too long to read")


def read(data, *, expected=None):
    """Read a mutated file: its contents, or None where it is refused in one line."""
    Path("x.pt").write_bytes(data)
    signal.alarm(SECONDS)
    try:
        contents = read_checkpoint("x.pt", with_training=True)
    except CheckpointError as error:
        told = str(error)
    else:
        assert expected is None or same(contents, expected)
        return contents
    assert told.startswith("x.pt: ")
    assert not any(word in told for word in ("\n", "Error:", "BadZipFile", "UnpicklingError"))
    return None


def same(one, other):
    """Whether two checkpoints are alike, bit for bit."""
    return flat(vars(one)) == flat(vars(other))


def flat(value):
    if isinstance(value, dict):
        return [(key, flat(child)) for key, child in value.items()]
    if isinstance(value, (list, tuple)):
        return [flat(child) for child in value]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value.characters if hasattr(value, "characters") and hasattr(value, "encode") else value


def sample(contents):
    """Write a little, as `charrnn sample` would."""
    with np.errstate(all="ignore"):
        engine = Engine(contents.model, contents.weights)
        return contents.encoder.decode(list(Sampler(engine, [0], SamplingOptions(), seed=1).stream(5)))


def inspect():
    """Print the card of x.pt, as `charrnn inspect` would, or refuse it in one line."""
    with np.errstate(all="ignore"), contextlib.suppress(CharRNNError):
        (subject,) = read_subjects(["x.pt"], str(TEXT), None, None)
        show_card(subject)
        print_json(describe_each([subject]))


def mutate_bytes(data, chance):
    data = bytearray(data)
    kind = chance.randrange(5)
    place, length = chance.randrange(len(data)), chance.randint(1, 200)
    if kind == 0:
        data[place] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[place:]
    elif kind == 2:
        data[place : place + length] = chance.randbytes(length)
    elif kind == 3:
        del data[place : place + length]
    else:
        data[place:place] = chance.randbytes(length)
    return bytes(data)


@pytest.mark.slow
def test_damaged_bytes_are_refused_or_harmless(canary):
    chance, data = random.Random(1), CHECKPOINT.read_bytes()
    expected = read_checkpoint(str(CHECKPOINT), with_training=True)
    refused = sum(read(mutate_bytes(data, chance), expected=expected) is None for _ in range(RAW))
    assert refused > RAW / 2


def records_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def pack(records):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in records:
            archive.writestr(zipfile.ZipInfo(name), content)
    return buffer.getvalue()


def mutate_records(records, opcodes, chance):
    """A whole zip file with right checksums, in which a record is missing, doubled, renamed, or says something else."""
    records = list(records)
    place = chance.randrange(len(records))
    name, content = records[place]
    kind = chance.randrange(8)
    if kind == 0:
        del records[place]
    elif kind == 1:
        records.append(records[place])
    elif kind == 2:
        records[place] = (chance.choice([name + "x", name.upper(), "../" + name, "/etc/x", "x"]), content)
    elif kind == 3:
        records[place] = (name, content[: len(content) // 2])
    elif kind == 4:
        records[place] = (name, chance.randbytes(len(content)))
    else:
        place = next(index for index, (name, _) in enumerate(records) if name.endswith("data.pkl"))
        name, content = records[place]
        at = chance.choice(opcodes)
        change = CANARY if kind == 5 else chance.randbytes(chance.randint(1, 3))
        end = at if kind != 6 else at + len(change)
        records[place] = (name, content[:at] + change + content[end:])
    return records


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Duplicate name", "ignore:invalid escape sequence")
def test_altered_structure_is_refused_or_usable(canary):
    chance, data = random.Random(2), CHECKPOINT.read_bytes()
    records = records_of(data)
    pickled = next(content for name, content in records if name.endswith("data.pkl"))
    opcodes = [place for _, _, place in pickletools.genops(pickled)][1:]
    refused = 0
    for _ in range(STRUCTURES):
        contents = read(pack(mutate_records(records, opcodes, chance)))
        if contents is None:
            refused += 1
            continue
        with contextlib.suppress(DivergenceError):  # weights that are random bytes
            assert len(sample(contents)) == 5
        inspect()
    assert refused > STRUCTURES / 2


HOSTILE = [
    None, True, -1, 0, 1, 2**31, 2**70, 10**400, -0.5, 1e308, math.nan, math.inf, "", "x", "\x1b[31m\n", "\ud800",
    "é" * 5000, [], {}, [[]], {"x": 1}, (), [None] * 3, ["\ud800\0\x1b"],
]  # fmt: skip
TENSORS = [
    lambda: torch.zeros(0), lambda: torch.zeros(3), lambda: torch.full((12,), math.nan), lambda: torch.zeros(()),
    lambda: torch.zeros(4, 12, dtype=torch.float64), lambda: torch.full((48, 12), 1e38), lambda: torch.ones(2, 2).int(),
]  # fmt: skip


def mutate_values(contents, chance):
    """Plain values in which one, anywhere, is replaced, taken away or put in twice."""
    contents = copy.deepcopy(contents)
    value = contents
    while True:
        children = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = chance.choice(children)
        deeper = value[key]
        if not (isinstance(deeper, (dict, list)) and len(deeper)) or chance.random() < 0.1:
            break
        value = deeper
    kind = chance.randrange(4)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, list):
        value.append(value[key])
    else:
        value[key] = chance.choice(HOSTILE) if chance.random() < 0.8 else chance.choice(TENSORS)()
    return contents


@pytest.mark.slow
def test_invalid_values_are_refused_at_a_resume(canary, capsys):
    chance = random.Random(3)
    original = torch.load(CHECKPOINT, weights_only=True)
    corpus = read_corpus((str(TEXT),), ReadOptions())
    request = Request(
        texts=(str(TEXT),), reading=ReadOptions(), out="x.pt", options={}, explicit={}, log=None, resume=True,
        resume_from=None, force=False, overwrite=False, quiet=True, as_json=False, started=0.0,
    )  # fmt: skip
    refused = 0
    for _ in range(VALUES):
        buffer = io.BytesIO()
        torch.save(mutate_values(original, chance), buffer)
        if read(buffer.getvalue()) is None:
            refused += 1
            continue
        inspect()
        try:
            run = resume_run(request, corpus, OtherLoad()).run
            take_step(run)
            assert run.health.skipped <= 1
        except CharRNNError:
            refused += 1
    torch.set_flush_denormal(False)
    assert refused > VALUES / 2


def test_overlapping_records_are_refused(canary):
    """A small file whose records overlap would be read many times over, and take much memory."""
    records = [(name, content) for name, content in records_of(CHECKPOINT.read_bytes()) if "/data/" not in name]
    inner = b"\0" * 5000
    for index in range(40):  # each record holds all those after it
        inner = pack([(f"m/data/{index}", inner)])
        inner = inner[: inner.rindex(b"PK\x01\x02")]
    data, size = pack(records), len(inner)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
    central = data[data.index(b"PK\x01\x02") : data.rindex(b"PK\x05\x06")]
    body = data[: data.index(b"PK\x01\x02")]
    entries, place = b"", len(body)
    for index in reversed(range(40)):
        name = f"m/data/{index}"
        local = inner[place - len(body) :]
        info = zipfile.ZipInfo(name)
        info.header_offset, info.file_size = place, len(local) - 30 - len(name)
        info.compress_size, info.CRC = info.file_size, zipfile.crc32(local[30 + len(name) :])
        entries += central_entry(info)
        place += 30 + len(name)
    count = (len(infos) + 40).to_bytes(2, "little")
    end = b"PK\x05\x06\0\0\0\0" + count + count
    start = (len(body) + size).to_bytes(4, "little")
    bomb = body + inner + central + entries + end + len(central + entries).to_bytes(4, "little") + start + b"\0\0"
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        sizes = [info.file_size for info in archive.infolist()]  # newer Pythons refuse to read records that overlap
    assert sum(sizes) > 10 * len(bomb), "it is a bomb"
    Path("x.pt").write_bytes(bomb)
    with pytest.raises(CheckpointError, match="its records are larger than the file"):
        read_checkpoint("x.pt")


def central_entry(info):
    """An entry of a zip file's directory."""
    name = info.filename.encode()
    return struct.pack(
        "<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, info.CRC, info.compress_size, info.file_size,
        len(name), 0, 0, 0, 0, 0, info.header_offset,
    ) + name  # fmt: skip


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (b"}X\x06\x00\x00\x00offsetK\x07sb", "the instruction BUILD"),  # changes a tensor after it was checked
        (b"r\xff\xff\xff\xff", "remembers more than it holds"),  # reserves room for four thousand million values
        (b"\x96\x00\x00\x00\x00\xff\x00\x00\x00", "instruction BYTEARRAY8|only .* remain"),
    ],
)
def test_unneeded_pickle_instructions_are_refused(canary, instructions, message):
    records = records_of(CHECKPOINT.read_bytes())
    place = next(index for index, (name, _) in enumerate(records) if name.endswith("data.pkl"))
    name, content = records[place]
    end = next(place for op, _, place in pickletools.genops(content) if op.name == "REDUCE") + 1
    records[place] = (name, content[:end] + instructions + content[end:])
    Path("x.pt").write_bytes(pack(records))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint("x.pt")


DOUBLED = b")q\x00" + b"h\x00\x86q\x00" * 40
"""Pickle instructions for a tuple that holds the last one twice, forty times."""

STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000NNtQ"
"""Pickle instructions for a storage."""


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (b"}" + b")" + b"\x85" * 1_000_000 + b"K\x01s", "a key is neither a text nor a number"),  # a million deep
        (b"}" + DOUBLED + b"K\x01s", "a key is neither a text nor a number"),
        (b"}(K\x01K\x01NNu", "a key is neither a text nor a number"),
        # Its hash is 0, and so is that of all its multiples.
        (b"}\x8a\x08" + (2**61 - 1).to_bytes(8, "little") + b"Ns", "a key is a number that no weight has"),
        (b"}J\xff\xff\xff\xffNs", "a key is a number that no weight has"),
        (b"}J\x00\x00\x01\x00Ns", "a key is a number that no weight has"),
        (b"}(K\x01u", "it sets items of what is no dict"),
        (b")K\x01K\x01s", "it sets items of what is no dict"),
        (b")K\x01a", "it appends to what is no list"),
        (b"K\x01)R", "it calls what is no function"),
        (b"ccollections\nOrderedDict\n}\x85R", "its structure is broken"),  # would copy it, each time for five bytes
        (
            b"ctorch._utils\n_rebuild_tensor_v2\n(" + DOUBLED + b"K\x00))NNtR",
            "a tensor is not described as torch describes it",
        ),
        (  # would copy a long key, each time for three bytes
            b"](" + STORAGE.replace(b"X\x01\x00\x00\x000", b"X\x15\x00\x00\x00" + b"1" * 21) + b"e",
            "a storage is not described as torch describes it",
        ),
        (  # would copy the arguments, each time for five bytes
            b"ctorch._utils\n_rebuild_tensor_v2\nq\x05(" + STORAGE + b"K\x00))NNNNtq\x06h\x05h\x06R",
            "its structure is broken",
        ),
        # Each byte would take some seventy in memory.
        (b"}" * 1_200_000, "it has more parts than a checkpoint of its size"),
        (b"]" * 1_200_000, "it has more parts than a checkpoint of its size"),
        (b"(" * 1_200_000, "it has more parts than a checkpoint of its size"),
        (b")" + b"\x85" * 1_200_000, "it has more parts than a checkpoint of its size"),
        (b"0", "the instruction POP"),
        (b"h\xff", "its structure is broken"),
        (b"\x87", "its structure is broken"),
        (b"u", "its structure is broken"),
    ],
)
def test_expanding_pickle_instructions_are_refused(canary, instructions, message):
    records = [(name, content) for name, content in records_of(CHECKPOINT.read_bytes()) if "/data/" not in name]
    place = next(index for index, (name, _) in enumerate(records) if name.endswith("data.pkl"))
    records[place] = (records[place][0], b"\x80\x02" + instructions + b".")
    Path("x.pt").write_bytes(pack(records))
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint("x.pt")
