"""Replacing characters unknown to a model: another Unicode form, letters without accents, other line ends."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

from charrnn.text.encoder import CharEncoder

TWINS = (
    "'\u2019\u2018\u201a\u201b\u02bc`\u00b4\u2039\u203a",  # apostrophes and single quotation marks
    '"\u201c\u201d\u201e\u201f\u00ab\u00bb',  # double ones
    "-\u2013\u2014\u2010\u2011\u2012\u2015\u2212",  # hyphens, dashes and the minus sign
    "\u301c\uff5e~",  # wave dashes, of which each Japanese encoding has one, and the tilde
)
"""Groups of interchangeable signs, the commonest first."""

PAIRS = {'"': ("\u201c\u201d", "\u201e\u201c", "\u00ab\u00bb"), "'": ("\u2018\u2019", "\u201a\u2018", "\u2039\u203a")}
"""Pairs of an opening and a closing quotation mark that may replace a straight one, the commonest first."""

_IS_FIRST = r"(?:(?<![^\s(\[{\u201c\u2018\u201e\u201a\u00ab\u2039])|(?<=[\-\u2013\u2014])(?=[\"']+\w))"
"""Where a straight mark opens a quotation: at the beginning, after a space, a bracket or another opening mark, and
between a dash and a word."""

SPELLED = {"\u0153": "oe", "\u00e6": "ae", "\u00f8": "o", "\u0142": "l", "\u00df": "ss", "\t": " ",
           ".": "\u3002", ",": "\u3001", "\u3002": ".", "\u3001": ","}  # fmt: skip
"""Last replacements, of what no Unicode form decomposes: letters, a tab, and the full stop and comma of Japanese."""

FULL_WIDTH = 0xFF01
"""First full-width form of an ASCII character, the exclamation mark; the others follow in order."""

SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""Variation selectors, which ask for another form of the character before. Unknown ones are dropped, as are unknown
characters of category Cf."""

VOICED = re.compile("[\uff66-\uff9d][\uff9e\uff9f]")
"""A half-width katakana and its voicing mark: one character in full width."""

TATWEEL = "\N{ARABIC TATWEEL}"
"""Stretches an Arabic word for justification; not a letter."""

STRAY_LINE_ENDS = 0.05
"""Largest difference of the numbers of CR and LF, relative to LF, in a text whose lines end by CR LF."""


def to_nearest(text: str, encoder: CharEncoder) -> str:
    """Replace every unknown character by the nearest one that the model knows, if any.

    The nearest is, among others, the other Unicode form, the letter without its accent or in the other case, the parts
    of a ligature, or another form of a quotation mark, a dash, a space, a line end or a full-width character. Unknown
    invisible characters and the Arabic tatweel are dropped.
    """
    text = VOICED.sub(lambda found: _in_full_width(found[0], encoder), with_known_line_ends(text, encoder))
    text = _with_paired_marks(text, encoder)
    behind = _behind_letters(text)
    if behind:
        text = re.sub(f"[^{behind}]?[{behind}]+", lambda found: _nearest_accents(found[0], encoder), text)
    return text.translate({ord(c): _nearest(c, encoder) for c in set(text) if c not in encoder})


def in_known_form(text: str, encoder: CharEncoder, *, decomposes: bool = True) -> str:
    """Replace unknown letters by their composed or decomposed form, where the model knows all of that form.

    Args:
        text: any text.
        encoder: of the model's alphabet.
        decomposes: whether the decomposed form is tried too.
    """
    known = other_forms(text, encoder, decomposes=decomposes)
    return "".join(known.get(found[0], found[0]) for found in _letters(text)) if known else text


def other_forms(text: str, encoder: CharEncoder, *, decomposes: bool = True) -> dict[str, str]:
    """Map each letter of a text that the model knows only in its other Unicode form to that form.

    Args:
        text: any text; memory grows only with its distinct letters.
        encoder: of the model's alphabet.
        decomposes: whether the decomposed form is tried too.
    """
    if not encoder.without_own_id(text):
        return {}
    once = dict.fromkeys(found[0] for found in _letters(text))
    forms = {letter: _known_form(letter, encoder, decomposes=decomposes) for letter in once}
    return {letter: form for letter, form in forms.items() if form is not None and form != letter}


def with_known_line_ends(text: str, encoder: CharEncoder) -> str:
    """Turn CR LF into LF where the model does not know the carriage return."""
    return text if "\r" in encoder else text.replace("\r\n", "\n")


def ends_lines_by_cr_lf(encoder: CharEncoder, counts: Sequence[int]) -> bool:
    """Whether a text's lines seem to end by CR LF: it has about as many CR as LF.

    Args:
        encoder: of the text's alphabet.
        counts: how often each character occurs in the text, by id.
    """
    ids = [encoder.characters.find(character) for character in "\r\n"]
    returns, feeds = (counts[id_] if id_ >= 0 else 0 for id_ in ids)
    return feeds > 0 and abs(returns - feeds) <= STRAY_LINE_ENDS * feeds


def with_cr_lf(text: str) -> str:
    """Turn each LF that follows no CR into CR LF."""
    return re.sub("(?<!\r)\n", "\r\n", text)


def _letters(text: str) -> Iterator[re.Match[str]]:
    """The characters of a text, each with the marks or the Hangul vowels and finals that follow it."""
    behind = _behind_letters(text)
    return re.finditer(f"(?s).[{behind}]*" if behind else "(?s).", text)


def _behind_letters(text: str) -> str:
    """The distinct characters of a text that combine with the letter before: marks, and Hangul vowels and finals."""
    return "".join(c for c in set(text) if unicodedata.category(c)[0] == "M" or "\u1160" <= c <= "\u11ff")


def _known_form(letter: str, encoder: CharEncoder, *, decomposes: bool = True) -> str | None:
    """A letter unchanged, composed or decomposed, whichever first form the model knows entirely; None if none."""
    composed = unicodedata.normalize("NFC", letter)
    forms = [letter, composed]
    if decomposes:
        forms.append(unicodedata.normalize("NFD", letter))
    for form, known in _never_composed(encoder.characters).items():
        composed = composed.replace(form, known)
    forms.append(composed)  # in the alphabet's own composed letters
    return next((form for form in forms if all(c in encoder for c in form)), None)


@lru_cache
def _never_composed(alphabet: str) -> dict[str, str]:
    """Characters of an alphabet by their NFC, where that is another form, as for Hindi letters with a dot below."""
    return {form: c for c in alphabet if (form := unicodedata.normalize("NFC", c)) != c}


def _nearest_accents(letter: str, encoder: CharEncoder) -> str:
    """A letter and the accents after it in a form that the model knows, or else without the unknown accents."""
    known = _known_form(letter, encoder)
    if known is not None:
        return known
    composed = unicodedata.normalize("NFC", letter)
    return "".join(c for c in composed if c in encoder or not unicodedata.combining(c))


def _with_paired_marks(text: str, encoder: CharEncoder) -> str:
    """Replace straight quotation marks that are unknown by a pair of opening and closing marks that the model knows.

    Adjacent marks all open, or all close.
    """
    pairs = dict[str, str]()
    for straight, marks in PAIRS.items():
        if straight not in encoder:
            pairs.update((straight, pair) for pair in reversed(marks) if all(mark in encoder for mark in pair))
    if not pairs:
        return text
    opening, closing = ({ord(straight): pair[place] for straight, pair in pairs.items()} for place in (0, 1))
    opened = re.sub(f"{_IS_FIRST}[{''.join(pairs)}]+", lambda found: found[0].translate(opening), text)
    return opened.translate(closing)


def _in_full_width(pair: str, encoder: CharEncoder) -> str:
    return pair if all(c in encoder for c in pair) else unicodedata.normalize("NFKC", pair)


def _nearest(character: str, encoder: CharEncoder) -> str:
    if unicodedata.category(character) == "Cf" or character in SELECTORS or character == TATWEEL:
        return ""
    return next((known for known in _relatives(character) if known and all(c in encoder for c in known)), character)


def _relatives(character: str) -> Iterator[str]:
    yield unicodedata.normalize("NFD", character)
    parts = unicodedata.normalize("NFKD", character)  # a letter and its accents, or all that a ligature is made of
    bare = "".join(part for part in parts if not unicodedata.combining(part))
    for twins in TWINS:
        if character in twins or (bare and bare in twins):
            yield from twins
    if bare == parts:
        yield bare
    yield unicodedata.normalize("NFC", character)
    if "!" <= character <= "~":
        yield chr(ord(character) - ord("!") + FULL_WIDTH)
    if character == " ":
        yield "\N{IDEOGRAPHIC SPACE}"
    if len(character.swapcase()) == 1:
        yield character.swapcase()
    yield from (bare, character.casefold(), bare.swapcase())
    spelled = SPELLED.get(character.lower(), "")
    yield from (spelled.capitalize() if character.isupper() else spelled, spelled, spelled.upper())
