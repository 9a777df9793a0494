"""Characters to ids and back, as train, sample and inspect share it.

A character is a Unicode code point or, where the unit is the byte, a byte. Ids are ranks in code-point order, so the
alphabet, a single string, suffices to restore the encoder. If some characters were too rare for an id of their own, one
more id, the last, stands for all of them. This module reads no files and repairs nothing: an unknown character is an
error.
"""

from __future__ import annotations

import codecs
import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.errors import CharRNNError
from charrnn.escape import describe_characters
from charrnn.surrogates import name_surrogate, to_bytes
from charrnn.text.options import CHARACTER, TextOptions

Points = NDArray[np.unsignedinteger[Any]]
"""Code points, in one byte each if all are ASCII; bytes where the unit is the byte."""

UNKNOWN_MARK = "\N{REPLACEMENT CHARACTER}"
_MARKS = (UNKNOWN_MARK, *map(chr, range(0xDFFF, 0xDCFF, -1)))
"""Rare characters are shown as the first of these that the alphabet lacks. Surrogates that stand for no byte occur in
hardly any text; JSON and a terminal show them as U+FFFD."""

RARE = "<rare>"
"""Name of the id that all rare characters share; the mark that shows them may be a character of another text."""

AT_ONCE = 1 << 16
"""Ids or characters to convert at once: meanwhile each takes twenty bytes."""

_WIDER_IN_UTF8 = (0x80, 0x800, 0x10000)
"""Code points from which on UTF-8 needs one more byte: https://datatracker.ietf.org/doc/html/rfc3629#section-3."""


class CharEncoder:
    """A bijection between the characters of an alphabet and the ids 0 to V - 1.

    Args:
        characters: the alphabet; sorted here, each character counted once. A byte is written as the code point of its
            value.
        unit: "character" or "byte".
        has_unknown: whether id V - 1 stands for all characters that are not in the alphabet.
    """

    def __init__(self, characters: str, unit: str = CHARACTER, has_unknown: bool = False) -> None:
        self.characters = "".join(sorted(set(characters)))
        self.unit = unit
        self.has_unknown = has_unknown

    def __len__(self) -> int:
        return len(self.characters) + self.has_unknown

    def __contains__(self, character: str) -> bool:
        """Whether a character, or each of its bytes, is in the alphabet."""
        return all(unit in self._alphabet for unit in self._units(character))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The narrowest unsigned type that holds every id."""
        return np.min_scalar_type(max(len(self) - 1, 0))

    @property
    def spelled(self) -> str:
        """The character of each id, including the mark of the unknown ones, as a string of length V."""
        return self.characters + (self._mark if self.has_unknown else "")

    @property
    def alone(self) -> str:
        """Each id as a text by itself, a string of length V: its character, or its byte, a surrogate if not ASCII."""
        spelled = self.spelled
        return spelled if self.unit == CHARACTER else spelled.encode("latin-1").decode("ascii", "surrogateescape")

    @property
    def names(self) -> list[str]:
        """Unique names of the ids, length V: their characters, or the numbers of surrogates."""
        known = map(name_surrogate, self.alone[: len(self.characters)])
        return [*known, RARE] if self.has_unknown else [*known]

    @property
    def unknown_id(self) -> int | None:
        """The id of characters without one of their own, which must never be generated."""
        return len(self) - 1 if self.has_unknown else None

    @property
    def points(self) -> NDArray[np.uint32]:
        """The alphabet's code points, or bytes, by id."""
        return self._points[: len(self.characters)]

    def encode(self, text: str) -> Ids:
        """Turn text into ids of the narrowest unsigned type, shape (num_chars,) or (num_bytes,).

        Raises:
            CharRNNError: the text holds characters that are not in the alphabet, and no id stands for them.
        """
        if not self.has_unknown and (lacking := self.without_own_id(text)):
            raise CharRNNError(f"{describe_characters(lacking)}, which this model never saw ({len(self)} {self.unit}s)")
        return _translate_text(self._table, self._units(text))

    def encode_list(self, text: str) -> list[int]:
        """Turn text into ids as `encode` does, as a list."""
        ids: list[int] = self.encode(text).tolist()
        return ids

    def look_up(self, points: Points) -> Ids:
        """Turn code points, or bytes, into ids without checking that each has one."""
        return translate(self._table, points)

    def widths(self, text: str) -> NDArray[np.int64]:
        """How many ids each character of a text becomes, shape (num_chars,): one, or its number of bytes."""
        if self.unit == CHARACTER:
            return np.ones(len(text), dtype=np.int64)
        points = code_points(text).astype(np.int64)
        widths = 1 + sum((points >= limit).astype(np.int64) for limit in _WIDER_IN_UTF8)
        return np.where((points >= 0xD800) & (points < 0xE000), 1, widths)  # a surrogate is one byte: see `to_bytes`

    def begins(self, text: str) -> NDArray[np.bool_]:
        """Which of the ids that a text becomes are the first of a character, shape (num_ids,)."""
        if self.unit == CHARACTER:
            return np.broadcast_to(np.True_, len(text))
        return np.concatenate(
            [_firsts(self.widths(text[at : at + AT_ONCE])) for at in range(0, len(text) + 1, AT_ONCE)]
        )

    def without_own_id(self, text: str) -> str:
        """The characters of a text that are not in the alphabet, each once, in order of appearance."""
        if _translate_text(self._knows, self._units(text)).all():
            return ""
        return "".join(character for character in dict.fromkeys(text) if character not in self)

    def decode(self, ids: Ids | Sequence[int]) -> str:
        """Turn ids, shape (num_chars,), into text; bytes that are not valid UTF-8 become lone surrogates."""
        return "".join(self.decode_pieces(ids))

    def decode_pieces(self, ids: Ids | Sequence[int]) -> Iterator[str]:
        """Turn ids, shape (num_chars,), into text in pieces, to save memory."""
        pieces = (ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE))
        texts = (from_code_points(self._points[np.asarray(piece, dtype=np.intp)]) for piece in pieces)
        return texts if self.unit == CHARACTER else _decode_bytes(texts)

    def spell(self, ids: Iterable[int]) -> Iterator[str]:
        """Turn a stream of ids into characters, each as soon as its last byte is there."""
        units = map(self.spelled.__getitem__, ids)
        return units if self.unit == CHARACTER else itertools.chain.from_iterable(_decode_bytes(units))

    def _units(self, text: str) -> str:
        """The text as a string of units: itself, or the bytes of its UTF-8."""
        return text if self.unit == CHARACTER else to_bytes(text).decode("latin-1")

    @cached_property
    def _points(self) -> NDArray[np.uint32]:
        return code_points(self.spelled).astype(np.uint32)

    @cached_property
    def _table(self) -> Ids:
        """The id of each code point; the last entry, one past the alphabet's last character, is for all beyond."""
        last = int(self.points[-1]) if len(self.characters) else -1
        table = np.full(last + 2, self.unknown_id or 0, dtype=self.dtype)
        table[self.points] = np.arange(len(self.characters), dtype=self.dtype)
        return table

    @cached_property
    def _knows(self) -> NDArray[np.bool_]:
        """Whether each code point is in the alphabet; indexed like `_table`."""
        knows = np.zeros(len(self._table), dtype=np.bool_)
        knows[self.points] = True
        return knows

    @cached_property
    def _mark(self) -> str:
        """The mark for characters without an id: not in the alphabet itself, or it would be read as another id."""
        marks = _MARKS if self.unit == CHARACTER else map(chr, reversed(range(256)))
        return next((mark for mark in marks if mark not in self._alphabet), "?")

    @cached_property
    def _alphabet(self) -> frozenset[str]:
        return frozenset(self.characters)


def line_feed_id(encoder: CharEncoder, options: TextOptions) -> int | None:
    """The id that ends a line, where each line is a text of its own; else None."""
    return int(encoder.encode("\n")[0]) if options.lines else None


def first_id(encoder: CharEncoder, counts: Sequence[int]) -> int:
    """The id that a model reads before it writes without a prompt: a line feed, or its corpus's commonest character."""
    known = range(len(encoder.characters))  # without the unknown id
    return encoder.encode_list("\n")[0] if "\n" in encoder else max(known, key=lambda i: counts[i])


def translate(table: NDArray[Any], numbers: Points) -> NDArray[Any]:
    """Look up numbers in a table, whose last value is for all numbers beyond it."""
    if table.dtype == numbers.dtype == np.uint8:  # `bytes.translate` takes half the time
        whole = bytes(table.take(np.arange(256), mode="clip"))
        return np.frombuffer(numbers.tobytes().translate(whole), dtype=np.uint8)
    return table.take(numbers, mode="clip")


def code_points(text: str) -> Points:
    """Turn text into its code points, shape (num_chars,), as uint8 if all are ASCII; lone surrogates pass."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.array([text]).view(np.uint32)  # faster than encoding as UTF-32


def from_code_points(points: Points) -> str:
    """Turn code points, shape (num_chars,), into text; lone surrogates pass."""
    return points.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def _decode_bytes(texts: Iterable[str]) -> Iterator[str]:
    """Decode a stream of bytes, each given as the code point of its value, as UTF-8."""
    return codecs.iterdecode((text.encode("latin-1") for text in texts), "utf-8", "surrogateescape")


def _translate_text(table: NDArray[Any], units: str) -> NDArray[Any]:
    """Look up each character, or byte, of a text in a table; see `translate`."""
    values = np.empty(len(units), dtype=table.dtype)
    for start in range(0, len(units), AT_ONCE):
        piece = units[start : start + AT_ONCE]
        values[start : start + len(piece)] = translate(table, code_points(piece))
    return values


def _firsts(widths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the first place of each of several consecutive runs of these widths."""
    firsts = np.zeros(widths.sum(), dtype=np.bool_)
    firsts[np.cumsum(widths) - widths] = True
    return firsts
