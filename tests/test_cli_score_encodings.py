"""`charrnn inspect --score` and encodings: of texts, of models, of names, and invalid bytes."""

import base64
import json
import os
import shutil

import pytest
from conftest import save_like
from scores import ALPHABET


def test_line_with_invalid_bytes_is_scored_as_odd(command):
    lines = ("words.pt", "--score", "-", "--by", "line")
    result = command(*lines, stdin="Banana tin\nTin \udcff\udce9 sole\nTin \udcff\nTin sole\n")
    rows = [row.split(b"\t") for row in result.stdout.splitlines()]
    assert [row[2] for row in rows] == [b"Banana tin", b"Tin \xff\xe9 sole", b"Tin \xff", b"Tin sole"]
    assert min(float(row[0]) for row in rows[1:3]) > 3.5 > max(float(rows[0][0]), float(rows[3][0]))
    told = (
        b"standard input: line 2 is not valid UTF-8; such bytes are taken as characters that the model does not know\n"
    )
    assert (result.returncode, result.stderr) == (0, b"charrnn: " + told)
    picture = command(*lines, stdin="\udc89PNG\r\n\x1a\n\0\0\0\rIHDR\n")
    assert (picture.returncode, picture.stdout) == (2, b"")
    assert picture.stderr == b"charrnn: standard input: is a picture (PNG), not text; give a text file\n"
    strict = command(*lines, "--unknown", "error", stdin="Tin\nTin \udcff\n")
    assert (strict.returncode, strict.stdout.count(b"\n")) == (2, 1)
    assert b"line 2 is not valid UTF-8 at byte 4 (0xff)" in strict.stderr


def test_line_invalid_in_another_encoding_is_replaced_with_its_bytes_beside_it(command, trained):
    save_like(trained, "windows.pt", text={"encoding": "cp1252"})
    line = b"caf\xe9 \x81"
    arguments = ("windows.pt", "--score", "-", "--by", "line")
    typed = (line + b"\ncaf\xe9\n").decode("utf-8", "surrogateescape")
    odd, plain = map(
        json.loads, command(*arguments, "--json", stdin=typed).done.stdout.decode("utf-8", "strict").splitlines()
    )
    assert (base64.b64decode(odd["bytes"]), odd["text"]) == (line, "café \ufffd")
    assert (plain["text"], "bytes" in plain) == ("café", False)
    rows = command(*arguments, stdin=typed).done.stdout.splitlines()
    assert [row.split(b"\t")[-1] for row in rows] == [line, "café".encode()]


@pytest.mark.parametrize(
    "unlike", [("strict", "surrogateescape"), ("replace", "strict"), ("replace", "surrogateescape")]
)
def test_handling_of_invalid_bytes_does_not_depend_on_the_order_of_models(command, trained, unlike):
    for name in unlike:
        save_like(trained, f"{name}.pt", text={"errors": name})
    paths = [f"{name}.pt" for name in unlike]
    for more in ([], ["--by", "line"]):
        found = []
        for order in (paths, paths[::-1]):
            result = command(*order, "--score", "-", "--json", *more, stdin="Tin \udcff sole\n")
            assert result.returncode == 0, result.stderr
            record = json.loads(result.stdout)
            found.append(record.get("models", {**record, "best": None}))
        assert found[0] == found[1]


def test_encoding_aliases_are_one_encoding(command, trained):
    save_like(trained, "alias.pt", text={"encoding": "UTF8"})
    assert command("words.pt", "alias.pt", "--score", "words.txt").returncode == 0


def test_non_utf8_file_name_in_json_is_replaced_with_its_bytes_beside_it(command, trained):
    path = os.fsencode(trained) + b"/caf\xe9.txt"
    with open(path, "wb") as file:
        file.write(b"Banana tin sole\n")
    result = command("words.pt", "--score", os.fsdecode(path), "--json")
    record = json.loads(result.stdout.decode("utf-8", "strict"))
    assert (record["text"], base64.b64decode(record["bytes"])) == (path.decode("utf-8", "replace"), path)


def test_non_utf8_checkpoint_name_in_json_is_replaced(command, trained):
    path = os.fsdecode(os.fsencode(trained) + b"/caf\xe9.pt")
    shutil.copy(trained / "words.pt", path)
    for flags in (["--json"], ["--verify", "--json"]):
        names = []
        for line in command(path, "words.pt", *flags).done.stdout.decode("utf-8", "strict").splitlines():
            found = json.loads(line)
            names += [one["checkpoint"] for one in (found if isinstance(found, list) else [found])]
        assert names == [os.fsencode(path).decode("utf-8", "replace"), "words.pt"]


def test_models_of_different_encodings_refuse_one_file(command, trained):
    save_like(trained, "latin.pt", text={"encoding": "latin-1"})
    for way in (["--score", "words.txt"], ["--score", "words.txt", "--by", "line"], ["--text-file", "words.txt"]):
        refused = command("words.pt", "latin.pt", *way)
        assert (refused.returncode, refused.stdout) == (2, b"")
        assert b"different encodings (utf-8, latin-1)" in refused.stderr


def test_encoding_flag_overrides_that_of_the_model(command, trained):
    save_like(trained, "wide.pt", text={"encoding": "utf-16"})
    expected = command("words.pt", "--score", "words.txt").done.stdout
    refused = command("wide.pt", "--score", "words.txt")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert command("wide.pt", "--score", "words.txt", "--encoding", "utf-8").done.stdout == expected
    lines = command("words.pt", "--score", "words.txt", "--by", "line").done.stdout
    assert command("wide.pt", "--score", "words.txt", "--by", "line", "--encoding", "utf-8").done.stdout == lines
    assert b"fits best" in command("words.pt", "wide.pt", "--score", "words.txt", "--encoding", "ascii").done.stdout
    for flags, told in (
        (["--text", "a", "--encoding", "utf-8"], b"--encoding is about a file that is read; give --score, --text-file"),
        (["--score", "words.txt", "--encoding", "klingon"], b"--encoding is 'klingon'; give one of texts that"),
    ):
        refused = command("words.pt", *flags)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
        assert told in refused.stderr


@pytest.mark.parametrize(
    "way", [["--score"], ["--score", "--by", "line"], ["--text-file"], ["--novelty"], ["--score", "--dynamic"]]
)
def test_utf8_text_misread_by_the_model_warns_unless_an_encoding_is_given(command, trained, way):
    save_like(trained, "windows.pt", text={"encoding": "windows-1252"})
    told = (
        b"is valid UTF-8, and is read as windows-1252, as the model's text was; if it is UTF-8, give --encoding utf-8"
    )
    for encoding in ("utf-8", "windows-1252"):
        (trained / "text.txt").write_text("Tin so\nTïn sole, töne à stone\n" * 9, encoding=encoding)
        for flags in ([], ["--encoding", "utf-8"], ["--encoding", "windows-1252"]):
            read = command("windows.pt", way[0], "text.txt", *way[1:], *flags)
            is_told = not flags and encoding == "utf-8"
            assert read.stderr.count(b"charrnn: text.txt: " + told + b"\n") == is_told
            assert read.returncode == 0 or (encoding, flags) == ("windows-1252", ["--encoding", "utf-8"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_lines_of_a_text_with_a_utf16_or_utf32_mark_are_refused(command, trained, encoding):
    (trained / "wide.txt").write_text("Tin sole\n", encoding=encoding)
    told = f"is marked at its beginning as {encoding.upper()}, whose lines cannot be read one by one; convert it "
    for path, name in (("wide.txt", "wide.txt"), ("-", "standard input")):
        refused = command("words.pt", "--score", path, "--by", "line", stdin=(trained / "wide.txt").read_bytes())
        assert (refused.returncode, refused.stdout) == (2, b"")
        assert refused.stderr.decode() == f"charrnn: {name}: {told}(iconv -f {encoding} -t utf-8)\n"


def test_letters_like_a_utf16_mark_are_read_in_a_single_byte_encoding(command, trained):
    (trained / "letters.txt").write_bytes(b"\xff\xfe Tin sole\n")
    flags = ["--by", "line", "--unknown", "count"]
    read = command("words.pt", "--score", "letters.txt", *flags, "--encoding", "latin-1")
    assert (read.returncode, read.stdout.count(b"\n")) == (0, 1), read.stderr
    (trained / "letters.txt").write_text("Tin sole\n", encoding="utf-16")
    refused = command("words.pt", "--score", "letters.txt", *flags, "--encoding", "latin-1")
    assert b"is marked at its beginning as UTF-16" in refused.stderr


def test_character_models_choose_the_encoding_shared_with_byte_models(command, trained):
    assert ALPHABET.isascii(), "bytes are their characters then"
    save_like(trained, "bytes.pt", text={"unit": "byte"})
    save_like(trained, "wide.pt", text={"encoding": "utf-16"})
    (trained / "wide.txt").write_text((trained / "words.txt").read_text(), encoding="utf-16")
    for order in (("wide.pt", "bytes.pt"), ("bytes.pt", "wide.pt")):
        assert b"no difference" in command(*order, "--score", "wide.txt").done.stdout
        assert b"no difference" in command(*order, "--score", "words.txt", "--encoding", "utf-8").done.stdout
    refused = command("bytes.pt", "--score", "words.txt", "--encoding", "latin-1")
    assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1)
