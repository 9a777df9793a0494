"""What `charrnn train` says of a text that is probably read in a wrong encoding, or is hardly a text."""

import numpy as np
import pytest
from conftest import make_text
from processes import FOUR_STEPS as SMALL


@pytest.mark.parametrize(
    ("written", "read", "told"),
    [
        ("utf-16-le", "utf-8", "; of a text in UTF-16, --encoding utf-16-le or -be leaves none\n"),
        ("utf-32-le", "latin-1", "; of a text in UTF-32, --encoding utf-32-le or -be leaves none\n"),
        ("utf-32-be", "utf-16-be", "; of a text in UTF-32, --encoding utf-32-le or -be leaves none\n"),
    ],
)
def test_nul_characters_suggest_a_wide_encoding(charrnn, tmp_path, written, read, told):
    (tmp_path / "wide.txt").write_text("Москва " * 300, encoding=written)
    assert f" NUL characters kept{told}" in charrnn("train", "wide.txt", "--encoding", read, *SMALL).stderr


def test_nul_characters_in_utf32_suggest_no_encoding(charrnn, tmp_path):
    (tmp_path / "wide.txt").write_text("Tin\0" * 300, encoding="utf-32-le")
    assert "\n300 NUL characters kept\n" in charrnn("train", "wide.txt", "--encoding", "utf-32-le", *SMALL).stderr


def test_binary_data_is_reported_without_useless_advice(charrnn, tmp_path):
    text = make_text(3000)
    ids = {character: number for number, character in enumerate(sorted(set(text)))}
    numbers = np.array([ids[character] for character in text], dtype="<u2")
    numbers.tofile(tmp_path / "ids.bin")
    (tmp_path / "cyrillic.txt").write_bytes("Привет, день чудесный!\n".encode("utf-16-le") * 50)
    (tmp_path / "english.txt").write_bytes(text.encode("utf-16-le"))
    hardly, none = (
        "of it are control characters, as in hardly any text; ",
        "it may be no text, but for instance the numbers ",
    )
    either = f"{hardly}unless it takes another --encoding, {none}"
    for name, told, *flags in (
        ("ids.bin", either), ("ids.bin", either, "-q"), ("ids.bin", hardly + none, "--encoding", "utf-16-le"),
        ("cyrillic.txt", either),
    ):  # fmt: skip
        stderr = charrnn("train", name, *SMALL, "--overwrite", *flags).done.stderr
        assert f"{name}: " in stderr
        assert stderr.count(told) == 1
        assert (" NUL characters kept; " in stderr) == (not flags), "which advises an encoding"
    for flags in (["english.txt"], ["cyrillic.txt", "--encoding", "utf-16-le"], ["ids.bin", "--unit", "byte"]):
        assert hardly not in charrnn("train", *flags, *SMALL, "--overwrite").done.stderr


def test_html_text_is_reported_once(charrnn, tmp_path):
    told = " HTML, and its tags are learned too; save {} as plain text to leave them out\n"
    page = f"<p>{make_text(2000)}</p></html>\n"
    (tmp_path / "pages").mkdir()
    (tmp_path / "a.html").write_text(f"\ufeff\n<!DOCTYPE html>\n{page}")
    (tmp_path / "pages" / "b").write_text(f"<html lang='en'>{page}")
    (tmp_path / "pages" / "c").write_text(f'<?xml version="1.0"?>\n<!doctype HTML PUBLIC "-//W3C">{page}')
    (tmp_path / "pages" / "d").write_text(f"about <html>{page}<html>{page}")
    (tmp_path / "e").write_text(f"<!-- made by a program -->\n<!--\na > b -->\n<!DOCTYPE html>\n{page}")
    assert f"\na.html: is{told.format('it')}" in charrnn("train", "a.html", *SMALL).stderr
    assert "HTML" not in charrnn("train", "a.html", *SMALL[:-1], 4, "--resume").stderr
    several = charrnn("train", "pages", *SMALL).stderr
    assert several.count("HTML") == 1
    assert f"b and 1 other text are{told.format('each')}" in several
    assert "HTML" not in charrnn("train", "pages/d", *SMALL).stderr
    assert f"\ne: is{told.format('it')}" in charrnn("train", "e", *SMALL).stderr


def test_log_with_nul_characters_is_read_and_they_are_reported(charrnn, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text(make_text(2000))
    (tmp_path / "logs" / "b.log").write_text(make_text(2000) + "\0\0\0" + make_text(2000))
    told = charrnn("train", "logs", *SMALL).done.stderr
    assert "logs: 6,003 characters in 2 files, " in told
    assert "\n3 NUL characters kept, as a log has where it was broken off; tr -d '\\0' takes them out\n" in told
    assert "left out" not in told


@pytest.mark.slow
def test_carriage_returns_are_reported(charrnn, tmp_path):
    (tmp_path / "t.txt").write_bytes(b"one line\r\n" * 200)
    told = "200 carriage returns kept as characters; --newline lf makes all line ends LF"
    assert told in charrnn("train", "t.txt", *SMALL).done.stderr
    assert told in charrnn("train", "t.txt", "--init-from", "t.pt", "--max-steps", 1, "-o", "other.pt").done.stderr
    resumed = charrnn("train", "t.txt", *SMALL[:-1], 6, "--resume").done.stderr
    assert "carriage return" not in resumed, "no flag mends that any more"


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        (
            "it\u2019s a \u201cquotation\u201d, which would be one in a much longer text that has but a few of them; "
            * 9,
            "cp1252",
            "--encoding windows-1252",
        ),
        ("“Yes” – ‘no’… " * 20, "cp1252", "--encoding is probably another, such as utf-8, windows-1252, "),
        (
            "昨日の夜はとても静かでした。" * 9,
            "cp932",
            "--encoding is probably another, such as utf-8, windows-1252, gb18030, big5hkscs",
        ),
        (
            "春天的风吹过山谷。" * 20,
            "utf-8",
            "--encoding is probably another, such as utf-8, windows-1252, gb18030, big5hkscs",
        ),
        (
            "昨日の夜は\n" * 20,
            "iso2022_jp",
            "40 escape characters kept, of a terminal's colours as a rule; where ESC $ and ESC ( stand, --encoding iso",
        ),
    ],
)
def test_rare_characters_are_reported_with_their_likely_cause(charrnn, tmp_path, text, encoding, told):
    (tmp_path / "t.txt").write_bytes(text.encode(encoding))
    read = "utf-8" if encoding == "iso2022_jp" else "latin-1"
    trained = charrnn("train", "t.txt", "--encoding", read, *SMALL)
    assert trained.code == 0, trained.stderr
    (line,) = (line for line in trained.stderr.splitlines() if " kept" in line)
    assert told in line


@pytest.mark.parametrize(
    ("text", "encoding", "read", "told"),
    [
        ("„Ano“ — řekl. Pátý kůň", "windows-1250", "iso8859-2", "--encoding windows-1250 reads them as such"),
        ("«Да» — сказал", "windows-1251", "iso8859-5", "--encoding windows-1251 reads them as such"),
        ("“ภาษาไทย” เป็นภาษาที่", "cp874", "tis-620", "--encoding cp874 reads them as such"),
        ("“café”", "windows-1252", "iso8859-15", "--encoding windows-1252 reads them as such"),
        ("\x93caf\xe9\x94", "utf-8", "utf-8", "was misread, here or before: name its --encoding, or get it again"),
    ],
)
def test_control_characters_suggest_the_windows_encoding_of_the_same_letters(
    charrnn, tmp_path, text, encoding, read, told
):
    (tmp_path / "t.txt").write_bytes((text + " and letters of ASCII, far more than signs. " * 9).encode(encoding) * 2)
    trained = charrnn("train", "t.txt", "--encoding", read, *SMALL)
    assert trained.code == 0, trained.stderr
    (line,) = (line for line in trained.stderr.splitlines() if " kept" in line)
    assert line.endswith(told)


@pytest.mark.parametrize(
    ("text", "encoding", "read", "told"),
    [
        (
            "„Ano,“ řekl. „Ne,“ řekla.\n",
            "windows-1250",
            "iso8859-2",
            "such as windows-1250, utf-8, windows-1252, gb18030",
        ),
        ("“ภาษา” “ไทย”\n", "cp874", "tis-620", "such as cp874, utf-8, windows-1252, gb18030"),
    ],
)
def test_windows_encoding_of_the_same_letters_is_suggested_first(charrnn, tmp_path, text, encoding, read, told):
    (tmp_path / "t.txt").write_bytes(text.encode(encoding) * 30)
    trained = charrnn("train", "t.txt", "--encoding", read, *SMALL)
    assert trained.code == 0, trained.stderr
    assert told in trained.stderr


def test_utf8_texts_read_in_another_encoding_warn(charrnn, tmp_path):
    (tmp_path / "own.txt").write_text(make_text(2000) + "töne " * 9, encoding="windows-1252")
    (tmp_path / "more").mkdir()
    for name in "ab":
        (tmp_path / "more" / name).write_text(make_text(2000) + "töne " * 9, encoding="utf-8")
    told = "valid UTF-8, and read as windows-1252; give --encoding utf-8 if that is what is meant\n"
    first = charrnn("train", "own.txt", "--encoding", "windows-1252", *SMALL)
    assert (first.code, "UTF-8" in first.stderr) == (0, False), first.stderr
    begun = charrnn("train", "more/a", "--init-from", "own.pt", "-o", "a.pt", "--max-steps", 2)
    assert f"\nmore/a: is {told}" in begun.stderr
    quiet = charrnn("train", "more/a", "--init-from", "own.pt", "-o", "q.pt", "--max-steps", 2, "-q")
    assert quiet.stderr == f"charrnn: more/a: is {told}"
    resumed = charrnn("train", "more/a", "--resume-from", "a.pt", "-o", "r.pt", "--max-steps", 4)
    assert (resumed.code, "UTF-8" in resumed.stderr) == (0, False), "what mends it would be refused now"
    both = charrnn("train", "own.txt", "more", "--encoding", "windows-1252", "-o", "both.pt", *SMALL)
    assert f"\nmore/a and 1 other text are {told}" in both.stderr
    right = charrnn("train", "more/a", "--init-from", "own.pt", "--encoding", "utf-8", "-o", "u.pt", "--max-steps", 2)
    assert (right.code, "UTF-8" in right.stderr) == (0, False), right.stderr


def test_text_in_another_encoding_than_the_given_one_warns(charrnn, tmp_path):
    text = "エラー: ファイルを開けません。もう一度、別の名前で試してください。\n" * 50
    for encoding in ("euc_jp", "gb18030"):
        (tmp_path / encoding).write_text(text, encoding=encoding)
    flags = ["--encoding", "gb18030", *SMALL]
    quiet = charrnn("train", "euc_jp", "-q", *flags)
    told = "is probably in euc-jp, and read as gb18030; give --encoding euc-jp if that is what is meant"
    assert (quiet.code, quiet.stderr) == (0, f"charrnn: euc_jp: {told}\n")
    own = charrnn("train", "gb18030", "-q", *flags)
    assert (own.code, own.stderr) == (0, "")
    told = "is probably in euc-jp, and is read as gb18030, as the model's text was; if it is euc-jp, give --encoding "
    scored = charrnn("inspect", "gb18030.pt", "--score", "euc_jp", "--unknown", "skip")
    assert (scored.code, scored.stderr.splitlines()[0]) == (0, f"charrnn: euc_jp: {told}euc-jp")
