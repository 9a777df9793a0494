"""Texts with characters that a model never saw: what becomes of them when a text is read by it.

By the rule "count" an unknown character costs what it would cost to write it by other means: one escape, which a model
that saw n characters gives 1 in n + 1, and then one of all code points that it does not know. That is 35 to 40 bits:
enough that a line with a strange character stands out, and little enough that one of them in a long text does not drown
the rest. Scores of models with different alphabets can so be compared. The model itself reads on as if the character
were not there, or, where it has one id for all rare characters, reads that: it costs the same, since that it foresaw
one of them says nothing of which.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from charrnn.arrays import Ids
from charrnn.config import CODE_POINTS
from charrnn.text.encoder import CharEncoder
from charrnn.text.likeness import to_nearest


@dataclass(frozen=True)
class Readable:
    """A text, as far as a model knows its characters.

    Attributes:
        text: the text that is read.
        known_text: the characters of it that the model knows, in order.
        unknown: those that it does not know, each once.
        ids: of the characters that are read, shape (num_read,); of their bytes, where the model reads bytes.
        reads_all: whether these are all, an id for rare characters standing for each that is unknown; else the known.
    """

    text: str
    known_text: str
    unknown: str
    ids: Ids
    reads_all: bool = False

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which characters of the text the model knows, shape (num_chars,)."""
        return np.array([character not in self.unknown for character in self.text], dtype=np.bool_)

    @property
    def read_text(self) -> str:
        """The characters that are read, in order."""
        return self.text if self.reads_all else self.known_text

    @property
    def num_unknown(self) -> int:
        """Characters that the model does not know."""
        return len(self.text) - len(self.known_text)


def make_readable(text: str, encoder: CharEncoder, rule: str = "count") -> Readable:
    """Encode what can be encoded.

    Args:
        text: any text.
        encoder: of the model's alphabet.
        rule: "count", "skip", "nearest" or "error"; by "nearest" a known letter stands for an unknown one where there
            is such. By "error" the caller has refused a text with unknown ones.
    """
    if rule == "nearest":
        text = to_nearest(text, encoder)
    unknown = encoder.without_own_id(text)
    assert rule != "error" or not unknown, "refused before"
    known_text = text.translate(dict.fromkeys(map(ord, unknown))) if unknown else text
    reads_all = encoder.has_unknown and rule != "skip"
    return Readable(text, known_text, unknown, encoder.encode(text if reads_all else known_text), reads_all)


def unknown_surprisal(num_characters: int, vocab_size: int) -> float:
    """What an unknown character costs, in nats; see the module's text.

    Args:
        num_characters: that the model learned from.
        vocab_size: of them distinct.
    """
    return math.log(num_characters + 1) + math.log(CODE_POINTS - vocab_size)
