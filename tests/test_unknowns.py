import math
import unicodedata

import pytest

from charrnn.text.encoder import CharEncoder
from charrnn.text.likeness import ends_lines_by_cr_lf, in_known_form, to_nearest, with_cr_lf
from charrnn.text.unknowns import encode_known, unknown_surprisal


def test_known_characters_are_encoded_and_the_others_marked():
    readable = encode_known("a\U0001f600bäa", CharEncoder("ab"))
    assert readable.ids.tolist() == [0, 1, 0]
    assert readable.known.tolist() == [True, False, True, False, True]
    assert readable.num_unknown == 2


def test_unknown_character_costs_an_escape_and_a_uniform_choice():
    """With it, the probabilities of all code points sum to one, but for the n-th part taken from the known ones."""
    escape = 1 / 1001
    assert math.exp(-unknown_surprisal(1000, 60)) * (0x110000 - 60) == pytest.approx(escape)
    assert round(unknown_surprisal(35_000, 100) / math.log(2)) == 35
    assert round(unknown_surprisal(10**6, 100) / math.log(2)) == 40


@pytest.mark.parametrize(
    ("alphabet", "text", "expected"),
    [
        ("Itaken's ", "It\u2019s t\u00e5ken", "It's taken"),
        ("fish", "\ufb01sh", "fish"),
        ("fsh", "\ufb01sh", "\ufb01sh"),  # a ligature, of which one letter is not known
        ("FIfish", "\ufb01sh", "fish"),
        ("SSs", "\u00df", "ss"),
        ("Ss", "\u017f", "s"),
        ("' ", "\u00b4", "'"),
        ("a'", "a\u0301", "a"),
        ("e\u00e9", "e\u0301", "\u00e9"),
        ("e\u0301", "e\u0301", "e\u0301"),
        ("ae\u0301", "e\u0301a\u0308\u0301", "e\u0301a\u0301"),
        ("a", "\u0301a", "a"),
        ("oeuvrabtslu", "\u0153uvre \u00e6\u00f8\u0142\u00df\t", "oeuvre aeolss\t"),
        ("Oeuvre", "\u0152uvre", "Oeuvre"),
        ("OE", "\u0153", "OE"),
        ("\u0152", "\u0153", "\u0152"),
        ("oa", "\u0153", "\u0153"),
        ("a b", "a\tb", "a b"),
        ("ab", "\ufeffa\u200b\u200d\u200cb\ufe0f", "ab"),
        ("ab", "\u200ea\u00ad\u2060b\ufe0e", "ab"),
        ("ab\u200d", "a\u200db\u200c", "a\u200db"),
        ("a\n", "a\r\na\r", "a\na\r"),
        ("a\n\r", "a\r\na\r", "a\r\na\r"),
        ("12", "\u00bd", "\u00bd"),
        ("tm", "\u2122", "tm"),
        ("ab.", "a\u2026b", "a...b"),
        ("a-", "a\u2013a\u2014a", "a-a-a"),
        ("a-'", "\u2015 a \u2039a\u203a", "- a 'a'"),
        ("as`\u2039", "\u2019s", "`s"),  # an apostrophe stays one
        ('"a', "\u201ca\u201e", '"a"'),
        ("\u00aba", '"a', "\u00aba"),
        ("\u201c\u201d,Goahe. ", '"Go," he. "Go."', "\u201cGo,\u201d he. \u201cGo.\u201d"),
        ("\u201e\u201c,Goahe ", '"Go," he', "\u201eGo,\u201c he"),
        (
            "\u201c\u201d\u2018\u2019Godntis(-) ",
            "\"'Go'\" (\"don't\")-'tis'",
            "\u201c\u2018Go\u2019\u201d (\u201cdon\u2019t\u201d)-\u2018tis\u2019",
        ),
        ("\u201c\u201dBut\u2014 he-", '"But\u2014" he "But-"', "\u201cBut\u2014\u201d he \u201cBut-\u201d"),
        ("\u201c\u201dBut\u2014", 'But\u2014"But"', "But\u2014\u201cBut\u201d"),
        ("\u201c\u201d\u2018\u2019Go,hesaid ", "'\"Go,\" he' said", "\u2018\u201cGo,\u201d he\u2019 said"),
        ("\u2019Godnt ", "'Go' don't", "\u2019Go\u2019 don\u2019t"),
        ('\u201c\u201d"a', '"a"', '"a"'),
        ("e\u0301", "\u00e9", "e\u0301"),
        ("e", "\u00e9", "e"),
        ("\u00df", "\u1e9e", "\u00df"),
        ("\uff01\uff21\uff5e\u3000", "!A~ ", "\uff01\uff21\uff5e\u3000"),
        ("\uff21a", "A", "\uff21"),
        ("!A ", "\uff01\uff21\u3000", "!A "),
        ("\u201d\uff02", '"', "\u201d"),
        ("\u2019", "\uff07", "\u2019"),
        ("\u201c\u201d\u00ab\u00bbGo", '"Go"', "\u201cGo\u201d"),
        ("\u00c9e", "\u00e9", "\u00c9"),
        ("x", "\u00e9\u00df", "\u00e9\u00df"),
        ("\u30ac\u30d1\u30e9\u30b9", "\uff76\uff9e\uff97\uff7d\uff8a\uff9f", "\u30ac\u30e9\u30b9\u30d1"),
        ("\u30ab\u3099", "\uff76\uff9e", "\u30ab\u3099"),
        ("\u30ab", "\uff76\uff9e", "\u30ab"),
        ("\uff76\uff9e\u30ac", "\uff76\uff9e", "\uff76\uff9e"),
        ("\u30a2", "\uff71\uff9e", "\u30a2"),
        ("\u0645\u0646", "\u0645\u0640\u0640\u0646", "\u0645\u0646"),
        ("\u0645\u0640", "\u0645\u0640", "\u0645\u0640"),
        ("\uc548", "\u110b\u1161\u11ab", "\uc548"),
        ("\u110b\u1161\u11ab", "\uc548", "\u110b\u1161\u11ab"),
        ("\u095e\u093e", "\u092b\u093c\u093e", "\u095e\u093e"),
        ("\u092b\u095e", "\u092b\u093c", "\u095e"),
        ("\u092b\u093c\u095e", "\u092b\u093c", "\u092b\u093c"),
        ("~\uff5e", "\u301c", "\uff5e"),
        ("\u301c", "\uff5e~", "\u301c\u301c"),
        ("\u3001\u3002", ",.\uff64\uff61", "\u3001\u3002\u3001\u3002"),
        ("\uff0c\uff0e\u3001\u3002", ",.", "\uff0c\uff0e"),
        (",.\u3001\u3002", "\uff64\uff61", "\u3001\u3002"),
        (",.", "\u3001\u3002", ",."),
    ],
)
def test_nearest_is_an_equivalent_form_and_never_a_part(alphabet, text, expected):
    assert to_nearest(text, CharEncoder(alphabet)) == expected


@pytest.mark.parametrize("letter", ["\u0958", "\u095e", "\u09dc", "\ufb2a", "\u00e9", "\uac00"])
def test_known_form_is_the_composed_letter_even_if_nfc_never_composes_it(letter):
    apart, encoder = unicodedata.normalize("NFD", letter), CharEncoder(f"a{letter}\u093e")
    assert in_known_form(f"a{apart}\u093e{apart}", encoder) == f"a{letter}\u093e{letter}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\r\n", True), ("a\nb\n", False), ("a\r\nb\n", False), ("ab", False), ("a\rb\r", False),
        ("a\r\n" * 99 + "b\n", True), ("a\r\n" * 99 + "b\r", True), ("a\r\n" * 9 + "b\n", False),
        ("a\n" * 99 + "\r", False),
    ],
)  # fmt: skip
def test_crlf_is_detected_by_the_counts_of_cr_and_lf(text, expected):
    encoder = CharEncoder(text)
    assert ends_lines_by_cr_lf(encoder, [text.count(character) for character in encoder.characters]) == expected


def test_with_cr_lf_adds_no_second_carriage_return():
    assert with_cr_lf("\na\r\n\nb") == "\r\na\r\n\r\nb"
