"""Features of a text that a neuron may track: a number for each character.

The value at a character is what is known once it has been read; only "characters left in line", brackets, which count
if they are closed later, and the features whose names begin with "next" look ahead. The features are those that
Karpathy, Johnson and Fei-Fei looked for by eye (2015, "Visualizing and understanding recurrent networks", section 4.2,
https://arxiv.org/abs/1506.02078), and similar ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from charrnn.surrogates import name_byte

Values = NDArray[np.float32]

NEXT_CHARACTERS = 12
"""Number of the most frequent characters, each of which has a "next is ..." feature."""

BRACKETS = {
    "( )": ("(（", ")）"),  # noqa: RUF001
    "[ ]": ("[［", "]］"),  # noqa: RUF001
    "{ }": ("{｛", "}｝"),  # noqa: RUF001
    "< >": ("<＜", ">＞"),  # noqa: RUF001
    "《 》": ("《", "》"),
    "【 】": ("【", "】"),
}
"""The opening and the closing signs of each kind of brackets."""

APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
VOWELS = frozenset("aeiouyæøœıаеёиоуыэюяіїєαεηιουω")  # noqa: RUF001
SHORT = frozenset("йўЙЎ")
"""Cyrillic consonants whose Unicode decomposition is a vowel and a breve."""

QUOTES = {**dict.fromkeys('"“', '"”'), "„": '"”“', "«": "»", "「": "」", "『": "』"}
"""The closing quotation marks for each opening one. “ opens a quotation in English and closes one after „ in German.
Nested quotations use another pair, as « » within „ ”, or “ ” within « »."""

QUOTES_ELSEWHERE = {"»": "«»", "”": "”"}
"""Marks that close a quotation in most languages but open one in some: » « in German books, » » and ” ” in Swedish."""

OTHER = "other"
"""The kind of a character that has no other."""


def text_features(text: str) -> dict[str, Values]:
    """Compute all features of a text, by name, each of shape (num_chars,); boolean features are 1 or 0."""
    lines = _line_features(text)
    words = _word_features(text)
    kinds = {name: _yes(map(test, text)) for name, test in _KINDS.items()}
    regions = {
        "inside quotes": _inside_quotes(text),
        **{f"inside {name}": _inside_brackets(text, *pair) for name, pair in BRACKETS.items()},
        "inside a comment": _inside_comment(text),
    }
    starts = np.append(words["word start"][1:], np.zeros(min(len(text), 1), dtype=np.float32))
    return {**lines, **words, **kinds, **regions, "next starts a word": starts, **_next_features(text)}


def name_character(character: str) -> str:
    """A visible name for a character: a space, line feed, tab, other blank or byte is spelled out."""
    is_blank = len(character) == 1 and unicodedata.category(character) == "Zs"
    named = f"<U+{ord(character):04X}>" if is_blank else character
    return {" ": "space", "\n": "line feed", "\t": "tab"}.get(character, name_byte(named))


def kind_of(character: str) -> str:
    """The kind of a character: capital, vowel, other letter, digit, white space, punctuation or `OTHER`."""
    order = ("capital", "vowel", "letter", "digit", "white space", "punctuation")
    return next((name for name in order if _KINDS[name](character)), OTHER)


def _is_vowel(character: str) -> bool:
    return character not in SHORT and unicodedata.normalize("NFD", character)[0].lower() in VOWELS


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


_KINDS: dict[str, Callable[[str], bool]] = {
    "capital": str.isupper,
    "digit": str.isdigit,
    "letter": str.isalpha,
    "vowel": _is_vowel,
    "white space": str.isspace,
    "punctuation": _is_punctuation,
}


def _line_features(text: str) -> dict[str, Values]:
    """Features of a character's place in its line; a line feed has position 0 of the next line."""
    position, indentation, capitals = [], [], []
    column = depth = 0
    leading, upper, lower = True, False, False
    for character in text:
        if character == "\n":
            column, depth, leading, upper, lower = 0, 0, True, False, False
        else:
            column += 1
            leading = leading and character in " \t"
            depth = column if leading else depth
            upper, lower = upper or character.isupper(), lower or character.islower()
        position.append(column)
        indentation.append(depth)
        capitals.append(upper and not lower)
    ends = np.array([character == "\n" for character in text])
    return {
        "position in line": np.array(position, dtype=np.float32),
        "characters left in line": _distance_ahead(ends),
        "line feed": ends.astype(np.float32),
        "indentation": np.array(indentation, dtype=np.float32),
        "line in capitals so far": np.array(capitals, dtype=np.float32),
    }


def _distance_ahead(ends: NDArray[np.bool_]) -> Values:
    """Characters between each character and the next line end, or the end of the text."""
    places = np.where(ends, np.arange(len(ends)), len(ends))
    following = np.append(np.minimum.accumulate(places[::-1])[::-1][1:], len(ends))
    return (following - np.arange(len(ends)) - 1).astype(np.float32)


def _word_features(text: str) -> dict[str, Values]:
    length, capitals = [], []
    run, upper, has_capital = 0, True, False
    for character in text:
        in_word = character.isalnum() or (run > 0 and _continues_word(character))
        run = run + 1 if in_word else 0
        upper = in_word and (character.isupper() or not character.isalpha()) and (upper or run == 1)
        has_capital = character.isupper() or (has_capital and run > 1)
        length.append(run)
        capitals.append(upper and has_capital and run > 1)
    lengths = np.array(length, dtype=np.float32)
    return {
        "word start": (lengths == 1).astype(np.float32),
        "word length so far": lengths,
        "word in capitals": np.array(capitals, dtype=np.float32),
    }


def _continues_word(character: str) -> bool:
    """Whether a sign after a letter belongs to its word: an apostrophe, an accent, a vowel sign or a joiner."""
    return character in APOSTROPHES + JOINERS or (character > "\u02ff" and unicodedata.category(character)[0] == "M")


def _opens(sign: str, text: str) -> bool:
    """Whether one of `QUOTES_ELSEWHERE` opens quotations in a text: the usual opening marks are rarer, or absent."""
    if sign == "”":
        return "“" not in text and "„" not in text
    return len(re.findall(r"»\w", text)) > len(re.findall(r"«\w|(?<!\S)«\s", text))


def _inside_quotes(text: str) -> Values:
    """Whether each character is inside double quotes, straight or curly; a blank line ends an unclosed quotation."""
    values = []
    closing, previous = "", ""
    quotes = QUOTES | {sign: closing for sign, closing in QUOTES_ELSEWHERE.items() if _opens(sign, text)}
    for character in text:
        if character in closing or character == previous == "\n":
            closing = ""
        elif not closing:
            closing = quotes.get(character, "")
        values.append(bool(closing))
        previous = character
    return _yes(values)


def _inside_brackets(text: str, opening: str, closing: str) -> Values:
    """In how many pairs of brackets each character is; one without its counterpart, as in a smiley, does not count."""
    depth, opened = np.zeros(len(text), dtype=np.float32), list[int]()
    for place, character in enumerate(text):
        if character in opening:
            opened.append(place)
        elif character in closing and opened:
            depth[opened.pop() : place] += 1
    return depth


def _inside_comment(text: str) -> Values:
    """Whether each character is in a comment: from # or // to the line's end, or between /* and */."""
    values = []
    kind, previous = "", ""
    for character in text:
        pair = previous + character
        if (kind == "line" and character == "\n") or (kind == "block" and pair == "*/"):
            kind = ""
        elif not kind and (character == "#" or pair == "//"):
            kind = "line"
        elif not kind and pair == "/*":
            kind, character = "block", ""  # its star does not end it again
        values.append(bool(kind))
        previous = character
    return _yes(values)


def _next_features(text: str) -> dict[str, Values]:
    frequent = [character for character, _ in Counter(text).most_common(NEXT_CHARACTERS)]
    following = (text + "\0")[1:]
    return {f"next is {name_character(c)}": _yes(other == c for other in following) for c in frequent}


def _yes(values: Iterable[bool]) -> Values:
    return np.fromiter(values, dtype=np.float32)
