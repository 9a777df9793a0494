"""The project's own texts are what `corpora/README.md` says they are."""

import hashlib
import re
import unicodedata

import pytest
from conftest import CORPORA

ROWS = re.findall(
    r"^\| `([^`]+)` \|.*\| ([\d,]+) \| ([\d,]+) \| `([0-9a-f]{64})` \|$", (CORPORA / "README.md").read_text(), re.M
)


def test_every_text_is_listed():
    assert {name for name, *_ in ROWS} == {path.name for path in CORPORA.glob("*.txt")}
    assert len(ROWS) >= 3


@pytest.mark.parametrize(("name", "num_bytes", "num_chars", "sha256"), ROWS)
def test_listed_sizes_and_hashes_are_right(name, num_bytes, num_chars, sha256):
    data = (CORPORA / name).read_bytes()
    assert len(data) == int(num_bytes.replace(",", ""))
    assert len(data.decode("utf-8")) == int(num_chars.replace(",", ""))
    assert hashlib.sha256(data).hexdigest() == sha256


def test_verse_is_long_and_has_no_repeated_line():
    lines = (CORPORA / "verse.txt").read_text().splitlines()
    spoken = [line for line in lines if line and not line.endswith(":")]
    assert sum(map(len, lines)) > 100_000
    assert len(set(spoken)) / len(spoken) > 0.995
    assert len({line for line in lines if re.fullmatch(r"[A-Z' ]+:", line)}) >= 30


def test_names_are_many_and_distinct():
    names = (CORPORA / "names.txt").read_text().splitlines()
    assert len(names) == len(set(names)) >= 3000
    assert all(re.fullmatch(r"[A-Z][A-Za-z'-]{3,12}", name) for name in names)


def test_scripts_hold_at_least_four_scripts_and_emoji():
    text = (CORPORA / "scripts.txt").read_text(encoding="utf-8")
    assert len(text.encode("utf-8")) >= 15_000
    names = [unicodedata.name(character, "") for character in text]
    for script in ("LATIN", "GREEK", "CYRILLIC", "CJK UNIFIED", "HIRAGANA"):
        assert sum(name.startswith(script) for name in names) > 300, script
    assert "\N{ZERO WIDTH JOINER}" in text
    assert sum(0x1F300 <= ord(character) < 0x1FB00 for character in text) > 30
