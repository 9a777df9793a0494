"""A pattern of `--match` in the Unicode form of the model's text, in which it means what it meant."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Set
from functools import cache

from charrnn.generation.patterns import One, Pattern, parse_pattern
from charrnn.text.decoding import begins_piece, prepare
from charrnn.text.encoder import CharEncoder
from charrnn.text.likeness import in_known_form, other_forms
from charrnn.text.options import TextOptions

_CLASS_OR_ESCAPE = re.compile(r"(?s)(\[\^?(?:\\.|[^\\])(?:\\.|[^\\\]])*\]|\\.)")
_ESCAPE = re.compile(r"(?s)(\\.)")
_KINDS_ESCAPED = re.compile(r"\\[dwsDWS]")
_LAST_COMPOSED = 0x2FA1D
"""The last character that is made of others: https://www.unicode.org/Public/UCD/latest/ucd/UnicodeData.txt."""

_Change = Callable[[str], str]


def pattern_in_form(typed: str, options: TextOptions, encoder: CharEncoder) -> str:
    """A pattern in the form that the text was brought to, or where the model knows only the other form, in that.

    What so becomes a sign of patterns is escaped, and where one character becomes several they are a group. In a class
    a letter and the marks behind it become a member where they are one character; of one that the model writes as
    several a group with the class is made, unless that cannot be said.

    Args:
        typed: the pattern.
        options: how the model's text was read.
        encoder: of its alphabet.

    Raises:
        ConfigError: it is no pattern that can be followed.
    """
    normalize = TextOptions(normalize=options.normalize)

    def change(letter: str) -> str:
        known = in_known_form(prepare(letter, normalize), encoder)
        return unicodedata.normalize("NFC", known) if encoder.without_own_id(known) else known

    pieces = _CLASS_OR_ESCAPE.split(typed)  # those that it finds lie between the others
    for place, piece in enumerate(pieces):
        if piece.startswith("[") and place % 2:
            pieces[place] = "".join(_class_in_form(piece, change))
        elif not piece.isascii():
            pieces[place] = "".join(_in_form(letter, change) for letter in _letters(piece[place % 2 :]))
    pattern = "".join(pieces)
    parse_pattern(pattern)
    return _CLASS_OR_ESCAPE.sub(lambda found: _with_several(found[0], change, encoder), pattern)


def not_in_form(pattern: str, encoder: CharEncoder) -> dict[str, str]:
    """What of a pattern in this form is still in the other one, and that form of each: what classes do not mean."""
    classes = (found[0] for found in _CLASS_OR_ESCAPE.finditer(pattern))
    return other_forms("".join(one for one in classes if one.startswith("[") and not _is_a_list(one)), encoder)


def _letters(text: str) -> list[str]:
    """The parts of a text that normalising never joins: characters, each with the marks and the like behind it."""
    starts = [place for place, character in enumerate(text) if not place or begins_piece(character)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _in_form(letter: str, change: _Change) -> str:
    changed = change(letter)
    if changed == letter:
        return letter
    return f"(?:{re.escape(changed)})" if len(changed) > len(letter) else re.escape(changed)


def _class_in_form(class_: str, change: _Change) -> Iterator[str]:
    """The parts of a class; a character that several would stand for stays as it is, as do marks that join nothing."""
    for place, part in enumerate(_ESCAPE.split(class_)):
        if part.isascii():
            yield part
            continue
        for letter in _letters(part[place % 2 :]):
            changed = change(letter)
            each = (one if one.isascii() or len(change(one)) > 1 else re.escape(change(one)) for one in letter)
            yield re.escape(changed) if len(changed) < len(letter) else "".join(each)


def _with_several(found: str, change: _Change, encoder: CharEncoder) -> str:
    """A class, and what the model writes in the place of its characters where that is several; an escape as it is."""
    if not found.startswith("[") or found.isascii() or not _is_a_list(found):
        return found
    one, composed = One(found), _composed()
    several = {change(composed[place]) for place in Pattern(one).members(one, composed)}
    several = {text for text in several if len(text) > 1 and not encoder.without_own_id(text)}
    return f"(?:{found}|{_any_of(several)})" if several else found


@cache
def _composed() -> str:
    """All characters that are made of others."""
    return "".join(c for c in map(chr, range(_LAST_COMPOSED + 1)) if unicodedata.normalize("NFKD", c) != c)


def _is_a_list(class_: str) -> bool:
    """Whether a class says what it means by naming it, and not by what it leaves out or by a kind of characters."""
    return not class_.startswith("[^") and not _KINDS_ESCAPED.search(class_)


def _any_of(texts: Set[str]) -> str:
    """A pattern of some texts; what begins or goes on alike is said once, as all syllables of Hangul would be many."""
    rests = dict[str, set[str]]()
    for text in sorted(texts - {""}):
        rests.setdefault(text[0], set()).add(text[1:])
    firsts = dict[frozenset[str], str]()
    for first, rest in rests.items():
        firsts[frozenset(rest)] = firsts.get(frozenset(rest), "") + re.escape(first)
    parts = "|".join(f"[{first}]{_any_of(rest)}" for rest, first in firsts.items())
    return f"(?:{parts}){'?' * ('' in texts)}" if parts else ""
