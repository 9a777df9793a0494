"""How a model reads a text with characters that it has never seen, and what they cost.

By the rule "count" an unknown character costs what encoding it by other means would cost: an escape of probability
1 / (n + 1) for a model that learned from n characters, then a uniform choice among all code points that it does not
know. That is 35 to 40 bits: enough for a line with a strange character to stand out, and not enough for one such
character to dominate a long text. It makes scores of models with different alphabets comparable. The model itself skips
the character or, if it has one id for all rare characters, reads that id. The cost is the same, since predicting that
id does not tell which rare character comes.
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
class EncodedText:
    """A text, encoded as far as a model knows its characters.

    Attributes:
        text: the whole text.
        known_text: its characters that the model knows, in order.
        unknown: its characters that the model does not know, each once.
        ids: of the characters that are read, shape (num_read,); of their bytes, if the model reads bytes.
        reads_all: whether all characters are read, the unknown ones as the id of rare characters; otherwise only the
            known ones are.
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
        """Number of characters that the model does not know."""
        return len(self.text) - len(self.known_text)


def encode_known(text: str, encoder: CharEncoder, rule: str = "count") -> EncodedText:
    """Encode a text as far as the model knows its characters.

    Args:
        text: any text.
        encoder: of the model's alphabet.
        rule: "count", "skip", "nearest" or "error"; "nearest" first replaces unknown characters by similar known ones,
            and for "error" the caller must have refused a text with unknown characters.
    """
    if rule == "nearest":
        text = to_nearest(text, encoder)
    unknown = encoder.without_own_id(text)
    assert rule != "error" or not unknown, "refused before"
    known_text = text.translate(dict.fromkeys(map(ord, unknown))) if unknown else text
    reads_all = encoder.has_unknown and rule != "skip"
    return EncodedText(text, known_text, unknown, encoder.encode(text if reads_all else known_text), reads_all)


def unknown_surprisal(num_characters: int, vocab_size: int) -> float:
    """What an unknown character costs, in nats; see the module docstring.

    Args:
        num_characters: number of characters that the model learned from.
        vocab_size: number of distinct ones among them.
    """
    return math.log(num_characters + 1) + math.log(CODE_POINTS - vocab_size)
