"""The pattern of `--match` converted to the Unicode form of the model's text, with its meaning kept."""

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
"""The last character with a decomposition: https://www.unicode.org/Public/UCD/latest/ucd/UnicodeData.txt."""

_Change = Callable[[str], str]


def pattern_in_form(typed: str, options: TextOptions, encoder: CharEncoder) -> str:
    r"""Convert a pattern to the form that the text was normalised to, or the other form if the model knows only that.

    Characters that become special in patterns are escaped, and one that becomes several characters becomes a group. In
    a class, a letter and the combining marks after it become one member if they compose to one character. For members
    that the model writes as several characters, the class becomes a group with them as alternatives, unless the class
    is negated or has a \d, \w or \s.

    Args:
        typed: the pattern.
        options: how the model's text was read.
        encoder: the model's encoder.

    Raises:
        ConfigError: the pattern is invalid.
    """
    normalize = TextOptions(normalize=options.normalize)

    def change(letter: str) -> str:
        known = in_known_form(prepare(letter, normalize), encoder)
        return unicodedata.normalize("NFC", known) if encoder.without_own_id(known) else known

    pieces = _CLASS_OR_ESCAPE.split(typed)  # classes and escapes have odd indices
    for place, piece in enumerate(pieces):
        if piece.startswith("[") and place % 2:
            pieces[place] = "".join(_class_in_form(piece, change))
        elif not piece.isascii():
            pieces[place] = "".join(_in_form(letter, change) for letter in _letters(piece[place % 2 :]))
    pattern = "".join(pieces)
    parse_pattern(pattern)
    return _CLASS_OR_ESCAPE.sub(lambda found: _with_several(found[0], change, encoder), pattern)


def not_in_form(pattern: str, encoder: CharEncoder) -> dict[str, str]:
    """The characters in a converted pattern's negated and similar classes that the model writes in its other form.

    Returns:
        By each such character, how the model writes it.
    """
    classes = (found[0] for found in _CLASS_OR_ESCAPE.finditer(pattern))
    return other_forms("".join(one for one in classes if one.startswith("[") and not _is_a_list(one)), encoder)


def _letters(text: str) -> list[str]:
    """Split a text into parts that normalising never joins: characters, each with its combining marks."""
    starts = [place for place, character in enumerate(text) if not place or begins_piece(character)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


def _in_form(letter: str, change: _Change) -> str:
    changed = change(letter)
    if changed == letter:
        return letter
    return f"(?:{re.escape(changed)})" if len(changed) > len(letter) else re.escape(changed)


def _class_in_form(class_: str, change: _Change) -> Iterator[str]:
    """The parts of a class, converted; a character that would become several stays, as do marks that do not compose."""
    for place, part in enumerate(_ESCAPE.split(class_)):
        if part.isascii():
            yield part
            continue
        for letter in _letters(part[place % 2 :]):
            changed = change(letter)
            each = (one if one.isascii() or len(change(one)) > 1 else re.escape(change(one)) for one in letter)
            yield re.escape(changed) if len(changed) < len(letter) else "".join(each)


def _with_several(found: str, change: _Change, encoder: CharEncoder) -> str:
    """A class as a group with those of its characters that the model writes as several; an escape unchanged."""
    if not found.startswith("[") or found.isascii() or not _is_a_list(found):
        return found
    one, composed = One(found), _composed()
    several = {change(composed[place]) for place in Pattern(one).members(one, composed)}
    several = {text for text in several if len(text) > 1 and not encoder.without_own_id(text)}
    return f"(?:{found}|{_any_of(several)})" if several else found


@cache
def _composed() -> str:
    """All characters that have a decomposition."""
    return "".join(c for c in map(chr, range(_LAST_COMPOSED + 1)) if unicodedata.normalize("NFKD", c) != c)


def _is_a_list(class_: str) -> bool:
    r"""Whether a class only lists characters and ranges: it is not negated, and has no \d, \w or \s."""
    return not class_.startswith("[^") and not _KINDS_ESCAPED.search(class_)


def _any_of(texts: Set[str]) -> str:
    """A pattern for any of some texts, with common beginnings and ends merged: all Hangul syllables would be many."""
    rests = dict[str, set[str]]()
    for text in sorted(texts - {""}):
        rests.setdefault(text[0], set()).add(text[1:])
    firsts = dict[frozenset[str], str]()
    for first, rest in rests.items():
        firsts[frozenset(rest)] = firsts.get(frozenset(rest), "") + re.escape(first)
    parts = "|".join(f"[{first}]{_any_of(rest)}" for rest, first in firsts.items())
    if not parts:
        return ""
    return f"(?:{parts})?" if "" in texts else f"(?:{parts})"
