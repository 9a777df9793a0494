import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.cli.sampler.pattern_form import not_in_form, pattern_in_form
from charrnn.errors import ConfigError
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN, TextOptions

ANY = "aeêéếÉÊẾo가각나낙다 .-"
TYPED = ["ê+é?", "[가-나 ]+", "[é-ëa]*é?", r"(é|ế)[\]ê-]", "[-ê]{2}[나]|가[^a]*", "(?i)[É-Ê]+", "[aoé][각다]"]


@pytest.mark.parametrize(
    ("form", "typed", "pattern"),
    [
        ("none", "[a\uff21]\uff76\uff9e+|b", "[a\uff21]\uff76\uff9e+|b"),
        ("none", "[a\u0301-y\u0303]", "[\xe1-\u1ef9]"),
        ("nfc", "u\u0308+\uff08", "\u00fc+\uff08"),
        ("nfc", "\\[u\u0308][]\u212b]\\\u212b\u0958+", "\\[\u00fc][]\xc5]\xc5(?:\u0915\u093c)+"),
        ("nfc", "\u09c7\u09be.", "\u09cb."),
        ("nfc", "[\\\\\u00e9][\\\u212b]", "[\\\\\u00e9][\u00c5]"),
        ("nfc", "[a-e\u0301u\u0308][^o\u0302]", "[a-\xe9\xfc][^\xf4]"),
        ("nfc", "[\u1100\u1161-\u1112\u1175]+", "[\uac00-\ud788]+"),
        ("nfc", r"[\w" "\u0301x\u0301\u0300-\u036f" r"e\u0301]", r"[\w" "\u0301x\u0301\u0300-\u036f" r"e\u0301]"),
        ("nfkc", "\uff21\uff08[\uff0d\u3042]\\\uff3d\\\\\u00a0", "A\\([\\-\u3042]\\]\\\\\\ "),
        ("nfkc", "\ufb01+\u2026?[\ufb01\uff41-\uff5a]", r"(?:fi)+(?:\.\.\.)?[" "\ufb01a-z]"),
        ("nfkc", "\uff76\uff9e+[\uff76\uff9e\uff97]", "\u30ac+[\u30ac\u30e9]"),
    ],
)
def test_normalized_pattern_stays_the_same_pattern(form, typed, pattern):
    assert pattern_in_form(typed, TextOptions(normalize=form), CharEncoder("abc")) == pattern


@given(st.sampled_from(TYPED), st.text(ANY, max_size=6))
@example("[가-나 ]+", "각나 낙")
@example("[é-ëa]*é?", "éaê")
@example("(?i)[É-Ê]+", "éÊÉ")
def test_composed_pattern_matches_decomposed_text(typed, line):
    decomposed = unicodedata.normalize("NFD", ANY)
    pattern = pattern_in_form(typed, PLAIN, CharEncoder("".join(sorted(set(decomposed)))))
    if "[^" not in typed:  # that stands for one character, here for a part of a letter
        fits = re.fullmatch(pattern, unicodedata.normalize("NFD", line)) is not None
        assert fits == (re.fullmatch(typed, line) is not None)
    composed = CharEncoder("".join(sorted(ANY)))
    for either in ("NFC", "NFD"):
        assert pattern_in_form(unicodedata.normalize(either, typed), PLAIN, composed) == typed


def test_class_of_all_syllables_becomes_a_short_pattern():
    encoder = CharEncoder(
        "".join(map(chr, [0x20, *range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]))
    )
    pattern = pattern_in_form("[가-힣 ]+", PLAIN, encoder)
    assert len(pattern) < 100
    assert re.fullmatch(pattern, unicodedata.normalize("NFD", "고양이가 힣"))
    assert not re.fullmatch(pattern, "\u1100")


def test_inconvertible_class_is_kept_and_reported():
    encoder = CharEncoder("aeo\u0302\u0301")
    for typed, known in {
        "[^ô]é": {"ô": "o\u0302"},
        r"[\wáô][é]": {"á": "a\u0301", "ô": "o\u0302"},
        r"[^a]\w": {},
    }.items():
        pattern = pattern_in_form(typed, PLAIN, encoder)
        assert pattern.startswith(typed[: typed.index("]") + 1])
        assert not_in_form(pattern, encoder) == known


def test_pattern_invalid_after_normalizing_is_refused():
    with pytest.raises(
        ConfigError, match=r"^--match is 'a\[힣-가\]'; its character 2 begins what `re` cannot read: bad"
    ):
        pattern_in_form("a[힣-가]", PLAIN, CharEncoder("abc"))
