"""Encodings in `charrnn sample`: of prompts, `--novel` files and conversations."""

import os
import pty

import pytest
import torch
from conftest import clean_environment, make_text, run_charrnn, save_like, train_briefly


def test_prompt_from_stdin_or_a_file_may_have_another_encoding(sample, trained):
    expected = sample("-n", 5, "--seed", 1, "-p", "Tin").done.stdout
    wide = "Tin".encode("utf-16")
    assert sample("-n", 5, "--seed", 1, "-p", "-", "--encoding", "utf-16", input=wide).done.stdout == expected
    (trained / "wide.txt").write_bytes(wide)
    assert sample("-n", 5, "--seed", 1, "-f", "wide.txt", "--encoding", "utf-16").done.stdout == expected
    refused = sample("-p", "-", "--encoding", "klingon", input=b"Tin")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"--encoding is 'klingon'; give one of texts that Python knows" in refused.stderr


def test_utf8_prompt_read_in_another_encoding_warns(sample, trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    torch.save({**contents, "text": {**contents["text"], "encoding": "windows-1252"}}, trained / "windows.pt")
    told = "is valid UTF-8, and is read as windows-1252, as the model's text was; if it is UTF-8, give --encoding utf-8"
    typed = "Tïn".encode()
    (trained / "prompt.txt").write_bytes(typed)
    refused = sample("-f", "prompt.txt", checkpoint="windows.pt")
    assert refused.stderr.decode().startswith(f"charrnn: prompt.txt: {told}\ncharrnn: prompt has 'Ã' (U+00C3), ")
    refused = sample("-p", "-", checkpoint="windows.pt", input=typed)
    assert refused.stderr.decode().startswith(f"charrnn: standard input: {told}\n")
    refused = sample("-p", "-", "--encoding", "utf-8", checkpoint="windows.pt", input=typed)
    assert refused.stderr.decode().startswith("charrnn: prompt has 'ï' (U+00EF)")


@pytest.fixture(scope="session", params=["latin-1", "utf-16", "utf-8"])
def encoded(trained, request):
    """The name of a model of names with accents, and the encoding of its text."""
    name = f"names-{request.param}"
    (trained / f"{name}.txt").write_text("Zo\u00eb\nCaf\u00e9\n" * 500, encoding=request.param)
    train_briefly(trained, f"{name}.txt", "--encoding", request.param, "--hidden-size", "8", "--max-steps", "1")
    return f"{name}.pt", request.param


@pytest.mark.parametrize("given", [None, "cp437"])
def test_novel_reads_the_encoding_of_the_model_utf8_or_the_given_one(sample, trained, encoded, given):
    checkpoint, own = encoded
    flags = ["--match", "Zo\u00eb|Caf\u00e9", "--lines", 20, "--seed", 1, *(["--encoding", given] if given else [])]
    for encoding in filter(None, ("utf-8", own, given)):
        (trained / "known.txt").write_text("Caf\u00e9\n", encoding=encoding)
        for path in ("known.txt", "-"):
            result = sample(*flags, "--novel", path, checkpoint=checkpoint, input=(trained / "known.txt").read_bytes())
            assert (result.stdout.decode(), result.returncode) == ("Zo\u00eb\n" * 20, 0)
            told = f" left out because they are in {'standard input' if path == '-' else path}\n"
            assert result.stderr.decode().endswith(told)


def test_undecodable_novel_file_is_refused_with_the_given_encoding(sample, trained):
    (trained / "odd.txt").write_bytes(b"caf\xe9\n\x81")
    refused = sample("--novel", "odd.txt", "--encoding", "cp1252")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr.startswith(b"charrnn: odd.txt: not valid CP1252 at byte 5 (0x81); ")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("utf-8", ""),
        ("utf-16-be", "read as UTF-8, it has many NUL characters, as UTF-16 and UTF-32 have then"),
        ("utf-32-le", "read as UTF-8, it has many NUL characters, as UTF-16 and UTF-32 have then"),
        ("utf-16", "not valid UTF-8 at byte 0 (0xff)"),
    ],
)
def test_novel_file_decoded_to_nonsense_is_refused(trained, written, told):
    (trained / "wide.txt").write_text(make_text(300), encoding=written)
    for look in (["sample", "words.pt", "-n", 9, "--novel"], ["inspect", "words.pt", "--novelty"]):
        result = run_charrnn(trained, *look, "wide.txt")
        if told:
            assert result.stderr.decode() == f"charrnn: wide.txt: {told}; name its own encoding with --encoding\n"
        assert result.returncode == (2 if told else 0)
        assert run_charrnn(trained, *look, "wide.txt", "--encoding", written).returncode == 0


@pytest.mark.parametrize("given", [None, "cp437", "utf-8"])
def test_interactive_reads_the_encoding_of_the_model_or_the_given_one(sample, encoded, given):
    checkpoint, own = encoded
    flags = ["-i", "-n", 0, "-q", *(["--encoding", given] if given else [])]
    typed = "\ufeff" * (given == "utf-8") + "Zo\u00eb\r\nCaf\u00e9\n\nCaf\u00e9"
    result = sample(*flags, checkpoint=checkpoint, input=typed.encode(given or own))
    if (given or own) == "utf-16":
        told = "standard input: is read as utf-16, whose lines cannot be read one by one; "
        assert (result.returncode, result.stdout) == (2, b"")
        assert result.stderr.decode() == f"charrnn: {told}convert it to UTF-8 (iconv), and give --encoding utf-8\n"
        return
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().split("\n") == ["Zo\u00eb", "Caf\u00e9", "", "Caf\u00e9", ""]


def test_interactive_utf8_input_read_in_another_encoding_warns(sample, trained):
    save_like(trained, "latin.pt", text={"encoding": "latin-1"})
    result = sample("-i", "-n", 0, "-q", checkpoint="latin.pt", input="Tin\nCaf\u00e9\nBa\n".encode())
    doubt, refused = result.stderr.decode().splitlines()
    assert doubt.startswith("charrnn: standard input: is valid UTF-8, and is read as latin-1, as the model's text was")
    assert "'\u00c3' (U+00C3), '\u00a9' (U+00A9), which this model never saw" in refused
    assert (result.returncode, result.stdout) == (1, b"Tin\nBa\n")


def test_interactive_reports_an_undecodable_beginning_and_continues_the_others(sample):
    result = sample("-i", "-n", 0, "-q", "--encoding", "cp932", input=b"Tin\nBa\x81\nTin\n")
    assert (result.returncode, result.stdout) == (1, b"Tin\nTin\n")
    assert result.stderr.startswith(b"charrnn: prompt has byte 0x81, which this model never saw (")


def test_interactive_byte_model_refuses_an_encoding(sample, trained):
    save_like(trained, "bytes.pt", text={"unit": "byte"})
    flags = ["-i", "-n", 0, "-q"]
    assert sample(*flags, checkpoint="bytes.pt", input=b"\xef\xbb\xbfTin\n").done.stdout == b"Tin\n"
    refused = sample(*flags, "--encoding", "latin-1", checkpoint="bytes.pt", input=b"Tin\n")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr.startswith(b"charrnn: --encoding is for text, and a model of bytes reads them as they are; ")


def test_encoding_flag_is_refused_for_a_terminal(trained, start):
    master, slave = pty.openpty()
    process = start(trained, "sample", "words.pt", "-i", "--encoding", "latin-1", stdin=slave)
    os.close(slave)
    told = b"charrnn: --encoding is for what is read; "
    assert (process.wait(timeout=60), process.stderr.read().startswith(told)) == (2, True)
    os.close(master)


@pytest.mark.parametrize(
    "flags",
    [
        ["--match", r"Zo\u00eb"],
        ["-p", "-", "-n", 0],
        ["-i", "-n", 0, "--encoding", "utf-8"],
        ["-p", "Zo\u00eb", "-n", 0],
        ["-p", "Zo\u00eb", "-n", 0, "--allow", "\u00eb", "--stop", "\u00eb"],
        ["--match", "Zo\u00eb"],
    ],
)
def test_output_does_not_depend_on_the_locale(sample, encoded, flags):
    checkpoint, own = encoded
    typed = "Zo\u00eb\n".encode("utf-8" if "-i" in flags else own)
    plain = {**clean_environment(), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = sample(*flags, "-q", checkpoint=checkpoint, input=typed, cold=True, env=plain)
    assert (result.returncode, result.stderr, result.stdout.rstrip(b"\n")) == (0, b"", "Zo\u00eb".encode())
