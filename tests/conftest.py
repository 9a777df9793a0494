"""Fixtures: a runner for the command line, models with random weights, and one small trained checkpoint."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ["GOMP_SPINCOUNT"] = "3000"  # as `charrnn train` does, before torch loads its thread library
if "PYTEST_XDIST_WORKER" in os.environ:  # as many processes as cores: more threads in each would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import settings

from charrnn.analysis.losses import Predictions, read_pieces
from charrnn.cell_types import CELLS
from charrnn.cli.common.cores import SPIN_COUNT
from charrnn.cli.inspector.candidate_files import NUM_ABOVE
from charrnn.config import ModelConfig
from charrnn.errors import ConfigError
from charrnn.inference.engine import Engine
from charrnn.network.ensemble import Model, build_model
from charrnn.storage.header import Header
from charrnn.storage.origin import Origin
from charrnn.text.options import PLAIN
from charrnn.training import checkpoint
from charrnn.training.precision import probe_precision

NOWHERE = Origin(texts=[])
ROOT = Path(__file__).parents[1]
CORPORA = ROOT / "corpora"
README = (ROOT / "README.md").read_text(encoding="utf-8")

VARIANTS = [
    pytest.param(ModelConfig(vocab_size=11, cell=cell, hidden_size=9, num_layers=layers, **options), id=name)
    for cell in CELLS
    for layers in (1, 3)
    for options in (
        {"embedding_dim": 6},
        {"embedding_dim": 9},  # as wide as the layers: the first is residual too
        {"embedding_dim": 6, "layer_norm": False, "residual": False},
    )
    for name in [f"{cell}-{layers}-{'-'.join(map(str, options.values()))}"]
]

settings.register_profile("untimed", settings.default, deadline=None)
settings.load_profile("untimed")  # no test asserts a time: on a busy machine one of 0.2 s for each example would fail


def hear_signals() -> None:
    """Let signals reach all that the tests start, even where they are ignored, as in a script's background job.

    A process that is started inherits that a signal is ignored, but no handler. The handlers of SIGHUP and SIGTERM do
    nothing, so that these are ignored here as before.
    """
    for name, handler in {"SIGINT": signal.default_int_handler, "SIGHUP": _pass_over, "SIGTERM": _pass_over}.items():
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def _pass_over(number: int, frame: object) -> None:
    pass


hear_signals()

THREADS = torch.get_num_threads()
"""Number of torch's threads before any test."""

NO_SPINNING = {"GOMP_SPINCOUNT": SPIN_COUNT}
"""As `charrnn train` sets it: otherwise torch's threads spin long while they wait for each other on a busy machine."""


def skip_without(precision: str, cell: str = "lstm") -> None:
    """Skip a test if the processor cannot run a cell in this precision: oneDNN's bfloat16 LSTM needs AVX-512."""
    skip_where_refused(
        build_model(ModelConfig(vocab_size=5, cell=cell, hidden_size=8, num_layers=1, embedding_dim=8)), 1, precision
    )


def skip_where_refused(model: Model, batch_size: int, precision: str) -> None:
    """Skip a test if the device cannot train a model in this precision with so many lanes."""
    try:
        probe_precision(model, batch_size, precision)
    except ConfigError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Result:
    """A finished command: its exit code and both streams."""

    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode("utf-8")

    @property
    def done(self) -> Result:
        """This result; fails the test unless the command succeeded."""
        assert self.code == 0, self.stderr
        return self


Runner = Callable[..., Result]


class LastAlone:
    """A fake model: its logits depend only on the last character of each text."""

    def __init__(self, read: Callable[[np.ndarray], np.ndarray]) -> None:
        self.read = read

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        return self.read(ids)

    def selected(self, _: np.ndarray) -> LastAlone:
        return self


def assert_texts_go_on_from_one(model: Any, ids: np.ndarray, alike: int) -> None:
    """Check that one reader can read the common beginning of several texts, which then go on from it.

    All of them, a selection of them, and one read alone must get the logits of texts that are read from the start.

    Args:
        model: an engine.
        ids: of the texts, shape (T, N).
        alike: number of first characters that are made equal.
    """
    ids[:alike] = ids[:alike, :1]
    one, apart = model.batch_reader(1), model.batch_reader(ids.shape[1])
    for characters in ids[:alike]:
        one(characters[:1])
        apart(characters)
    half, kept = (alike + len(ids)) // 2, np.array([2, 0])
    expected = [apart(characters).copy() for characters in ids[alike:half]]
    some = apart.selected(kept)
    expected += [apart(characters).copy() for characters in ids[half:]]
    for _ in range(2):  # the one stays where it is
        together = one.selected(np.zeros(ids.shape[1], dtype=np.intp))
        np.testing.assert_allclose([together(row).copy() for row in ids[alike:]], expected, atol=1e-4)
    found = [some(row[kept]).copy() for row in ids[half:]]
    np.testing.assert_allclose(found, np.array(expected)[half - alike :, kept], atol=1e-4)
    alone = model.reader()
    for character in ids[:alike, 0].tolist():
        alone(character)
    for _ in range(2):
        text = alone.copy()
        found = [text(character).copy() for character in ids[alike:, 0].tolist()]
        np.testing.assert_allclose(found, np.array(expected)[:, 0], atol=1e-4)


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """Kill the processes that a failed test leaves running: they would slow down the tests after it."""
    yield
    for process in multiprocessing.active_children():
        process.kill()
        process.join()


@pytest.fixture(autouse=True)
def threads_stay() -> Iterator[None]:
    """Restore torch's number of threads after a test that changes it, since sums depend on it."""
    yield
    if torch.get_num_threads() != THREADS:
        torch.set_num_threads(THREADS)


@pytest.fixture
def deep_folder(tmp_path: Path) -> Path:
    """A folder so deep that a checkpoint in it finds no text outside of `tmp_path`, such as one in /tmp."""
    folder = tmp_path.joinpath(*["deeper"] * NUM_ABOVE)
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def charrnn(tmp_path: Path) -> Runner:
    """Run the command line in an empty folder; see `run_charrnn`."""

    def run(*arguments: object, stdin: bytes = b"", env: dict[str, str] | None = None, **options: Any) -> Result:
        environment = {**clean_environment(), **(env or {})}
        finished = run_charrnn(tmp_path, *arguments, input=stdin, env=environment, **options)
        return Result(finished.returncode, finished.stdout, finished.stderr.decode("utf-8", "replace"))

    return run


class Finished(subprocess.CompletedProcess[Any]):
    """A finished command."""

    @property
    def done(self) -> Finished:
        """This command; fails the test unless it succeeded."""
        assert self.returncode == 0, self.stderr
        return self


def run_charrnn(folder: Path, *arguments: object, cold: bool = False, **options: Any) -> Finished:
    """Run the command line in a folder.

    Args:
        folder: working directory of the command.
        arguments: of the command.
        cold: whether to start a new interpreter, as a user does, and not to fork a process that has all imported.
        options: as `subprocess.run` takes them.
    """
    from processes import run_command

    options = {"cwd": folder, "env": clean_environment(), "timeout": 300, **options}
    words = [*map(str, arguments)]
    if not cold:
        return run_command(words, **options)
    if options.get("text"):
        options["encoding"] = "utf-8"
    finished = subprocess.run([sys.executable, "-m", "charrnn", *words], capture_output=True, **options)
    return Finished(words, finished.returncode, finished.stdout, finished.stderr)


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start the command line in a new interpreter, to talk to over pipes; it is killed at the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(folder: Path, *arguments: object, before: Sequence[str] = (), **options: Any) -> subprocess.Popen[bytes]:
        command = [*before, sys.executable, "-m", "charrnn", *map(str, arguments)]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        started.append(subprocess.Popen(command, **{"cwd": folder, "env": clean_environment(), **pipes, **options}))
        return started[-1]

    yield begin
    for process in started:
        with process:
            process.kill()


@pytest.fixture
def start_in_terminal() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a shell command in a session of its own on a terminal; it is killed at the end of the test."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(folder: Path, terminal: int, command: str, *flags: str) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen(
            ["setsid", "--ctty", *flags, "bash", "-c", command], cwd=folder, stdin=terminal, stdout=subprocess.PIPE,
            stderr=terminal, env={**clean_environment(), "TERM": "xterm"},
        ))  # fmt: skip
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def clean_environment() -> dict[str, str]:
    """The environment without the variables that change the colour, the width or the buffering of the output.

    No GPU is visible in it. It also lacks PYTHONDONTWRITEBYTECODE, with which every command would compile charrnn
    anew, and OMP_NUM_THREADS, which gives tests that run side by side fewer threads than a user's command has.
    """
    ignored = {
        "FORCE_COLOR", "NO_COLOR", "COLUMNS", "LINES", "GITHUB_ACTIONS", "PYTHONUNBUFFERED", "PYTHONWARNINGS",
        "PYTHONDONTWRITEBYTECODE", "OMP_NUM_THREADS", *NO_SPINNING,
    }  # fmt: skip
    return {**{name: value for name, value in os.environ.items() if name not in ignored}, "CUDA_VISIBLE_DEVICES": ""}


def read_terminal(master: int) -> bytes:
    """Read a pseudo-terminal until its other end is closed everywhere; then close this end."""
    shown = b""
    try:
        while piece := os.read(master, 1 << 16):
            shown += piece
    except OSError as error:
        if error.errno != errno.EIO:  # so Linux says that it is closed
            raise
    os.close(master)
    return shown


def read_until(descriptor: int, words: bytes, shown: bytes = b"", times: int = 1) -> bytes:
    """Read a pipe or a terminal until some words have come so many times; fails after a minute.

    Args:
        descriptor: of the pipe or the terminal.
        words: to wait for.
        shown: what was read before.
        times: how often the words must come, in `shown` too.

    Returns:
        `shown`, and all that was read after it.
    """
    end = time.monotonic() + 60
    while shown.count(words) < times:
        assert time.monotonic() < end, shown
        if select.select([descriptor], [], [], 0.2)[0]:
            piece = os.read(descriptor, 1 << 16)
            assert piece, f"it is closed after: {shown!r}"
            shown += piece
    return shown


def make_text(num_chars: int, seed: int = 0) -> str:
    """A text of short words with some structure to learn: capitals after a line's end, a vowel after a consonant."""
    generator = np.random.default_rng(seed)
    words = ["banana", "tin", "sole", "mare", "kilo", "nap", "robe", "tuna"]
    lines = []
    while sum(map(len, lines)) < num_chars:
        chosen = generator.choice(words, size=5)
        lines.append(" ".join(chosen).capitalize() + "\n")
    return "".join(lines)[:num_chars]


def random_model(config: ModelConfig, seed: int = 0) -> Model:
    """A model whose every weight, biases and normalisation too, is drawn at random."""
    torch.manual_seed(seed)
    model = build_model(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = 0.2 if CELLS[config.cell].is_bounded else 0.02
            parameter.add_(torch.randn_like(parameter) * noise)
    return model


def refuse_a_thread(_: object) -> None:
    """Stand in for `Thread.start` where the system starts no more threads."""
    raise RuntimeError("can't start new thread")


def numpy_weights(model: Model) -> dict[str, Any]:
    """The weights of a torch model as numpy arrays, by name."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def numpy_twin(model: Model) -> Engine:
    """The numpy engine with a torch model's weights."""
    return Engine(model.config, numpy_weights(model))


def read_whole(model: Engine, ids: Any, **options: Any) -> Predictions:
    """A model's predictions of a whole text, in however many pieces it is read."""
    pieces = [*read_pieces(model, ids, **options)]
    return Predictions(*(np.concatenate([getattr(piece, name) for piece in pieces]) for name in ("surprisals", "hits")))


def most_held(folder: Path, *arguments: object) -> int:
    """Run the command line in a process of its own; return the most memory that it held, in bytes.

    It is read from /proc: `getrusage` also counts what the parent process held before.
    """
    script = (
        "import sys\nfrom charrnn.cli import main\nsys.argv = ['charrnn', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "held = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'))\n"
        "print(held.split()[1], file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], cwd=folder, capture_output=True, check=True,
        encoding="utf-8", env={**clean_environment(), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return 1024 * int(result.stderr)


def lock(monkeypatch):
    """Refuse to read files and folders named *.lock, and what a link leads to, as the system does to all but root."""

    def guarded(function, is_locked):
        def call(path, *rest, **more):
            if is_locked(str(path)):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return function(path, *rest, **more)

        return call

    for place, function in (("builtins.open", open), ("os.scandir", os.scandir)):
        monkeypatch.setattr(place, guarded(function, lambda path: path.endswith(".lock")))
    monkeypatch.setattr(os, "stat", guarded(os.stat, os.path.islink))
    monkeypatch.setattr(Path, "is_file", os.path.isfile)  # as since Python 3.14, false where the reason is a lock


def write_checkpoint(path: Path, **contents: Any) -> None:
    """Write a checkpoint of these parts, by default of a plain text of no known origin."""
    checkpoint.write(path, checkpoint.snapshot(Header(**{"text_options": PLAIN, "origin": NOWHERE, **contents})))


def save_like(trained: Path, path: str | Path, model: Model | None = None, **changes: Any) -> None:
    """Write a checkpoint like that of `trained`, with another model or with other values of some fields.

    A field that is a dict, such as `text`, keeps the items that are not given.
    """
    contents = torch.load(trained / "words.pt", weights_only=True)
    if model is not None:
        contents |= {"model": asdict(model.config), "weights": dict(model.state_dict())}
    torch.save(_changed(contents, changes), trained / path)


def _changed(fields: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    changed = {
        name: _changed(fields[name], value) if isinstance(value, dict) else value for name, value in changes.items()
    }
    return {**fields, **changed}


def train_briefly(folder: Path, *arguments: str) -> None:
    """Run `charrnn train` in a folder to its end, with the same result on every machine."""
    finished = run_charrnn(folder, "train", *arguments, "--precision", "float32", "--threads", 1, "-q", text=True)
    assert finished.returncode == 0, finished.stderr


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `words.txt` and `words.pt`, trained on it for a few seconds."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.txt").write_text(make_text(20_000), encoding="utf-8")
    train_briefly(folder, "words.txt", "--hidden-size", "48", "--max-steps", "120")
    return folder


@pytest.fixture
def sample(trained):
    """Run `charrnn sample words.pt` beside the trained checkpoint."""

    def run(*arguments, checkpoint="words.pt", **options):
        return run_charrnn(trained, "sample", checkpoint, *arguments, **options)

    return run


@pytest.fixture(scope="session")
def lines(trained):
    """The name of a model that learned line by line."""
    train_briefly(trained, "words.txt", "-o", "lines.pt", "--lines", "--hidden-size", "48", "--max-steps", "60")
    return "lines.pt"


def records_of(result, *, code=0):
    """The JSON objects that a command wrote, one a line; fails unless it ended with this exit code."""
    assert result.returncode == code, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path):
    """A folder with a text to train on, `verse.txt`."""
    (tmp_path / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="session")
def ended(tmp_path_factory):
    """A folder with a text, a finished training of twenty steps, and its log."""
    from processes import SMALL, train

    folder = tmp_path_factory.mktemp("ended") / "work"
    folder.mkdir()
    (folder / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    training = train(folder, *SMALL, "--max-steps", 20, "--log", "verse.log")
    assert training.process.exitcode == 0, training.stderr
    return folder


@pytest.fixture
def text(tmp_path):
    """A text to train on, in a folder of its own."""
    path = tmp_path / "verse.txt"
    path.write_text(make_text(3000), encoding="utf-8")
    return path


@pytest.fixture
def command(trained):
    """Arguments of a command on the trained model and on one of other letters, and how to run it."""
    save_like(trained, "zoo.pt", characters="".join(sorted("BKMNRST\n abeiklmnoprst" + "z")))  # z for u

    def run(*arguments, stdin=""):
        given = stdin if isinstance(stdin, bytes) else stdin.encode("utf-8", "surrogateescape")
        return run_charrnn(trained, "inspect", *arguments, input=given)

    return run


@pytest.fixture(scope="session")
def report(trained):
    """The page of the trained model with all its views."""
    from pages import write_report

    return write_report(trained)
