"""`charrnn inspect`'s views of a text for models that read bytes, and for those that read each line by itself."""

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import make_text, run_charrnn, train_briefly
from pages import data_of

from charrnn.generation import samples
from charrnn.inference.engine import Engine
from charrnn.storage.archive import read_checkpoint
from charrnn.text.encoder import CharEncoder

TEXT = make_text(6_000) + "Tüna ná→ 🦊\n" * 40


def command(folder, *arguments):
    return run_charrnn(folder, *arguments, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    (folder / "words.txt").write_text(TEXT, encoding="utf-8")
    for name, flags in {"bytes": ("--unit", "byte"), "lines": ("--lines",)}.items():
        train_briefly(folder, "words.txt", *flags, "--hidden-size", "16", "--max-steps", "20", "--out", f"{name}.pt")
    return folder


def show(folder, model, *arguments):
    result = command(folder, "inspect", f"{model}.pt", *arguments, "--json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def bits_of(contents, ids):
    """Surprisals of all ids after the first, each by itself, in bits."""
    engine = Engine(contents.model, contents.weights, contents.line_end_id)
    logits, _ = engine.forward(np.asarray(ids[:-1], dtype=np.int64)[:, None], engine.initial_state())
    values = logits[:, 0].astype(np.float64)
    values -= np.log(np.exp(values).sum(axis=1, keepdims=True))
    return -values[np.arange(len(ids) - 1), ids[1:]] / math.log(2)


def test_surprise_of_a_multibyte_character_sums_its_bytes(folder):
    contents = read_checkpoint(str(folder / "bytes.pt"))
    seen = show(folder, "bytes", "--text", "Tü 🦊!", "--top-k", 2)["surprise"]["characters"]
    known = [one for one in seen if one["char"] != "!"]
    bits = bits_of(contents, contents.encoder.encode("\nTü 🦊"))
    expected = [bits[0], bits[1] + bits[2], bits[3], bits[4:8].sum()]
    assert [one["bits"] for one in known] == pytest.approx(expected, abs=1e-3)
    assert all(len(one["top"]) == 2 for one in known)


def test_invalid_bytes_are_distinguished_by_number_in_json(folder):
    (folder / "odd.txt").write_bytes(b"T\xff\xc3")
    seen = show(folder, "bytes", "--text-file", "odd.txt", "--top-k", 99)["surprise"]["characters"]
    assert [one["char"] for one in seen] == ["T", "<0xFF>", "<0xC3>"]
    guesses = [guess for guess, _ in seen[0]["top"]]
    assert len(set(guesses)) == len(guesses)
    assert {f"<0x{byte:02X}>" for byte in "🦊".encode()} < set(guesses)
    assert set(guesses) == set(show(folder, "bytes")["names"])
    assert set(guesses) == set(show(folder, "bytes", "--embeddings")["embeddings"]["places"])


def test_each_line_is_read_as_if_alone(folder):
    whole = show(folder, "lines", "--text", "Banana tin\nSole")["surprise"]["characters"]
    alone = show(folder, "lines", "--text", "Sole")["surprise"]["characters"]
    assert whole[-4:] == alone


@pytest.mark.parametrize("model", ["bytes", "lines"])
def test_cell_has_a_value_for_each_character(folder, model):
    cell = show(folder, model, "--text", "Tüna 🦊\nSole", "--cell", "0:3")["cells"][0]
    assert "".join(cell["characters"]) == "Tüna 🦊\nSole"
    assert len(cell["values"]) == len(cell["characters"])


def test_cell_of_a_lines_model_restarts_with_each_line(folder):
    whole = show(folder, "lines", "--text", "Banana tin\nSole", "--cell", "0:3")["cells"][0]["values"]
    alone = show(folder, "lines", "--text", "Sole", "--cell", "0:3")["cells"][0]["values"]
    assert whole[-4:] == alone
    assert whole[:4] != alone


def test_gate_over_a_single_character_is_open_always_or_never(folder):
    for gate in show(folder, "lines", "--text", "S", "--gates")["gates"]["gates"]:
        assert {*gate["open"], *gate["shut"]} <= {0, 1}, "the line feed before it is no character of it"


@pytest.mark.parametrize("model", ["bytes", "lines"])
def test_neurons_gates_and_page_work_for_byte_and_lines_models(folder, model):
    seen = show(folder, model, "--neurons", "--gates")
    assert seen["neurons"]["characters"] > 300
    assert len(seen["gates"]["gates"]) == 3
    page = command(folder, "inspect", f"{model}.pt", "--html", f"{model}.html")
    assert page.returncode == 0, page.stderr
    assert {"activations", "gates", "neurons"} <= set(data_of((folder / f"{model}.html").read_text(encoding="utf-8")))


def test_quantities_in_bytes_are_labelled_so(folder):
    seen = show(folder, "bytes", "--gradients")["gradients"]
    assert seen["unit"] == "byte"
    assert seen["loss_by_context"][0]["most"] == 1
    told = command(folder, "inspect", "bytes.pt", "--gradients").done.stdout
    assert "bits per byte, by bytes of context" in told
    train_briefly(folder, "words.txt", "--hidden-size", "16", "--max-steps", "2", "--out", "two.pt")
    both = command(folder, "inspect", "bytes.pt", "two.pt", "--gradients").done.stdout
    told = "bits per byte or character, by bytes or characters of context\ncontext     bytes, per byte  two, per char"
    assert told in both
    more = ("--hidden-size", "16", "--max-steps", "60", "--unit", "byte", "--out", "curve.pt")
    train_briefly(folder, "words.txt", *more)
    card = command(folder, "inspect", "curve.pt").done.stdout
    assert "nats per byte" in card
    assert "per character" not in card
    alike = command(folder, "inspect", "curve.pt", "--embeddings").done.stdout
    assert "<0xC3>" in alike
    assert re.search("byte +expected where it is", alike)
    assert not set("Ã¼¡") & set(alike), "a byte is no letter"


def test_views_beyond_a_line_are_refused_for_a_lines_model(folder):
    for flags in (("--gradients",), ("--neurons", "--gradients"), ("--score", "words.txt", "--dynamic")):
        result = command(folder, "inspect", "lines.pt", *flags)
        assert (result.returncode, result.stdout) == (1, "")
        assert "forgets at every line's end" in result.stderr
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments", [("inspect", "bytes.pt", "--score", "words.txt"), ("sample", "bytes.pt", "--prompt-file", "words.txt")]
)
def test_encoding_is_refused_for_a_byte_model(folder, arguments):
    result = command(folder, *arguments, "--encoding", "utf-16")
    told = "--encoding is for text, and a model of bytes reads them as they are; leave it out"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", f"charrnn: {told}\n")


def test_line_ends_are_converted_only_in_a_typed_prompt_of_a_byte_model(folder):
    """Binary data may have as many CR as LF, none of which ends a line."""
    (folder / "data").write_bytes(bytes(range(256)) * 20)
    train_briefly(folder, "data", "--unit", "byte", "--hidden-size", "8", "--max-steps", "1", "--out", "data.pt")
    prompt = b"\x00\n\xff\r\n\r\xfe\n\n"
    (folder / "prompt").write_bytes(prompt)
    flags = ["sample", "data.pt", "-n", 0, "-q"]
    assert run_charrnn(folder, *flags, "-f", "prompt").done.stdout == prompt
    assert run_charrnn(folder, *flags, "-p", "-", input=prompt).done.stdout == prompt[:-1]
    assert run_charrnn(folder, *flags, "-p", "a\nb").done.stdout == b"a\r\nb"
    refused = run_charrnn(folder, "sample", "bytes.pt", "-p", "-", input=b"Tin\r\nBa")
    assert refused.stderr.startswith(b"charrnn: prompt has '\\r' (U+000D), which this model never saw (")
    assert run_charrnn(folder, "sample", "bytes.pt", "-n", 0, "-q", "-p", "a\r\nb").done.stdout == b"a\nb"


def test_byte_model_has_a_dynamic_score(folder):
    score = show(folder, "bytes", "--score", "words.txt", "--dynamic")
    assert score["dynamic"]["loss"] < score["loss"]


def test_unfinished_character_at_the_end_of_a_byte_sample_is_left_out(monkeypatch):
    encoder = CharEncoder("".join(map(chr, sorted("a\n🦊".encode()))), "byte")
    ids = encoder.encode("a🦊a🦊").tolist()
    monkeypatch.setattr(samples, "Sampler", lambda *_: SimpleNamespace(stream=lambda length: ids[:length]))
    written = [samples.sample_text(None, encoder, [], length, seed=1) for length in (10, 9, 7, 6, 4, 1)]
    assert written == ["a🦊a🦊", "a🦊a", "a🦊a", "a🦊a", "a", "a"]
