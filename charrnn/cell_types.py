"""The recurrent cells by name: what each is made of, which is all that most of the house must know of it."""

from __future__ import annotations

from dataclasses import dataclass

GATE_LETTERS = {"input": "i", "forget": "f", "output": "o", "reset": "r", "update": "z"}
"""What the gates are called in equations."""


@dataclass(frozen=True)
class Cell:
    """What a recurrent cell is made of; for its equations see `charrnn.inference.engine`.

    Attributes:
        blocks: names of the blocks of hidden_size rows in each of its weight matrices, in order.
        states: vectors of hidden_size values that a layer hands on: h, or h and c.
        is_bounded: whether h lies between -1 and 1.
        resets: whether a gate scales what its candidate, the last block, takes of h: the product with W_hh, to which a
            bias of its own, b_hn, is added before.
    """

    blocks: tuple[str, ...]
    states: int = 1
    is_bounded: bool = True
    resets: bool = False

    @property
    def gates(self) -> tuple[str, ...]:
        """The blocks that lie between 0 and 1."""
        return tuple(block for block in self.blocks if block in GATE_LETTERS)


CELLS = {
    "lstm": Cell(("input", "forget", "candidate", "output"), states=2),
    "gru": Cell(("reset", "update", "candidate"), resets=True),
    "rnn": Cell(("state",)),
    "rnn-relu": Cell(("state",), is_bounded=False),
}
