"""Texts with characters that a model never saw: what becomes of them when a text is read by it.

By the rule "count" an unknown character costs what it would cost to write it by other means: one escape, which a model
that saw n characters gives 1 in n + 1, and then one of all code points that it does not know. That is 35 to 40 bits:
enough that a line with a strange character stands out, and little enough that one of them in a long text does not drown
the rest. Scores of models with different alphabets can so be compared. The model itself reads on as if the character
were not there. All this holds as well for a model with one id for all rare characters: that it foresaw one of them says
nothing of which.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charrnn.config import CODE_POINTS
from charrnn.errors import ConfigError, UnknownCharacterError
from charrnn.text.encoder import CharEncoder, Ids

RULES = ("count", "skip", "nearest", "error")

TWINS = (
    "'\u2019\u2018\u201a\u201b\u02bc`\u00b4",  # apostrophes and single quotation marks
    '"\u201c\u201d\u201e\u201f\u00ab\u00bb',  # double ones
    "-\u2013\u2014\u2010\u2011\u2012\u2212",  # hyphens, dashes and the minus sign
)
"""Signs that are typed for each other, the commonest first."""

SPELLED = {"\u0153": "oe", "\u00e6": "ae", "\u00f8": "o", "\u0142": "l", "\u00df": "ss", "\t": " "}
"""What is written in the place of letters that no Unicode form takes apart, and of a tab."""

FULL_WIDTH = 0xFF01
"""Where the full-width forms of ASCII's signs and letters begin, the exclamation mark first."""

SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""What asks for another form of the character before, such as an emoji's. Nobody sees that they are not there, nor that
what is of Unicode's category Cf is not: joiners, marks of direction, the soft hyphen."""

STRAY_LINE_ENDS = 0.05
"""By how much of the one the numbers of LF and CR may differ, at most, in a text whose lines end by both."""


@dataclass(frozen=True)
class Readable:
    """A text, as far as a model knows its characters.

    Attributes:
        text: the text that is read.
        ids: of the known characters, in order, shape (num_known,); of their bytes, where the model reads bytes.
        known: which characters these are, shape (num_chars,).
    """

    text: str
    ids: Ids
    known: NDArray[np.bool_]

    @property
    def known_text(self) -> str:
        """The characters that the model knows."""
        if self.known.all():
            return self.text
        return "".join(character for character, is_known in zip(self.text, self.known, strict=True) if is_known)

    @property
    def num_unknown(self) -> int:
        """Characters that the model does not know."""
        return int(np.count_nonzero(~self.known))

    def num_counted(self, rule: str) -> int:
        """Unknown characters that cost something: none by the rule "skip"."""
        return 0 if rule == "skip" else self.num_unknown


def check_rule(rule: str) -> None:
    """Refuse a rule that does not exist.

    Raises:
        ConfigError: it is not one of `RULES`.
    """
    if rule not in RULES:
        raise ConfigError(f"--unknown is {rule!r}; it must be one of {', '.join(RULES)}")


def make_readable(text: str, encoder: CharEncoder, rule: str = "count") -> Readable:
    """Encode what can be encoded.

    Args:
        text: any text.
        encoder: of the model's alphabet.
        rule: one of `RULES`; by "nearest" a known letter stands for an unknown one where there is such.

    Raises:
        UnknownCharacterError: the rule is "error", and the text has characters that are not in the alphabet.
    """
    if rule == "nearest":
        text = to_nearest(text, encoder)
    unknown = encoder.without_own_id(text)
    if not unknown:
        return Readable(text, encoder.encode(text), np.ones(len(text), dtype=bool))
    if rule == "error":
        raise UnknownCharacterError(unknown, len(encoder))
    known_text = text.translate(dict.fromkeys(map(ord, unknown)))
    return Readable(text, encoder.encode(known_text), np.array([character not in unknown for character in text]))


def to_nearest(text: str, encoder: CharEncoder) -> str:
    """Put what is nearest in the place of every unknown character, where the model knows all of that.

    That is the same letter with its accent as a character of its own or within it, in the other case or without its
    accent, what a ligature or a sign is made of, or another form of a quotation mark, a dash, a space or a line's end,
    or of what is of full width; nothing, for what cannot be seen.
    """
    text = with_known_line_ends(text, encoder)
    behind = _behind_letters(text)
    if behind:
        text = re.sub(f"[^{behind}]?[{behind}]+", lambda found: _nearest_accents(found[0], encoder), text)
    return text.translate({ord(c): _nearest(c, encoder) for c in set(text) if c not in encoder})


def in_known_form(text: str, encoder: CharEncoder, *, decomposes: bool = True) -> str:
    """Put the other Unicode form, composed or decomposed, in the place of what is unknown, where all of that is known.

    Args:
        text: any text.
        encoder: of the model's alphabet.
        decomposes: whether several characters may stand for one.
    """
    if not encoder.without_own_id(text):
        return text
    return "".join(_known_form(letter, encoder, decomposes=decomposes) or letter for letter in letters(text))


def letters(text: str) -> list[str]:
    """The characters of a text, each with the marks, or the Hangul vowels and finals, that stand behind it."""
    behind = _behind_letters(text)
    return re.findall(f"(?s).[{behind}]*" if behind else "(?s).", text)


def with_known_line_ends(text: str, encoder: CharEncoder) -> str:
    """Turn CR LF into LF where the model does not know the carriage return."""
    return text if "\r" in encoder else text.replace("\r\n", "\n")


def ends_lines_by_cr_lf(encoder: CharEncoder, counts: Sequence[int]) -> bool:
    """Whether a text's lines end by CR LF, as far as its characters tell: it has about as many of one as of the other.

    Args:
        encoder: of its alphabet.
        counts: how often each character stands in it, by id.
    """
    ids = [encoder.characters.find(character) for character in "\r\n"]
    returns, feeds = (counts[id_] if id_ >= 0 else 0 for id_ in ids)
    return feeds > 0 and abs(returns - feeds) <= STRAY_LINE_ENDS * feeds


def with_cr_lf(text: str) -> str:
    """Turn each LF that follows no CR into CR LF."""
    return re.sub("(?<!\r)\n", "\r\n", text)


def _behind_letters(text: str) -> str:
    """Those of a text's characters that join the letter before, each once: marks, and Hangul's vowels and finals."""
    return "".join(c for c in set(text) if unicodedata.category(c)[0] == "M" or "\u1160" <= c <= "\u11ff")


def _known_form(letter: str, encoder: CharEncoder, *, decomposes: bool = True) -> str | None:
    """A letter as it is, composed or decomposed, whichever the model knows all of; None where it is none of them."""
    forms = [letter, unicodedata.normalize("NFC", letter), *[unicodedata.normalize("NFD", letter)] * decomposes]
    return next((form for form in forms if all(c in encoder for c in form)), None)


def _nearest_accents(letter: str, encoder: CharEncoder) -> str:
    """A letter and the accents behind it, as one character or several, or without those that are unknown."""
    known = _known_form(letter, encoder)
    if known is not None:
        return known
    composed = unicodedata.normalize("NFC", letter)
    return "".join(c for c in composed if c in encoder or not unicodedata.combining(c))


def _nearest(character: str, encoder: CharEncoder) -> str:
    if unicodedata.category(character) == "Cf" or character in SELECTORS:
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


def unknown_surprisal(num_characters: int, vocab_size: int) -> float:
    """What an unknown character costs, in nats; see the module's text.

    Args:
        num_characters: that the model learned from.
        vocab_size: of them distinct.
    """
    return math.log(num_characters + 1) + math.log(CODE_POINTS - vocab_size)
