"""The recurrent cells by name, with the properties that the rest of the program needs to know."""

from __future__ import annotations

from dataclasses import dataclass

GATE_LETTERS = {"input": "i", "forget": "f", "output": "o", "reset": "r", "update": "z"}
"""The gates' symbols in equations."""


@dataclass(frozen=True)
class Cell:
    """The structure of a recurrent cell; for its equations see `charrnn.inference.numpy_network`.

    Attributes:
        blocks: names of the blocks of hidden_size rows in each of its weight matrices, in order.
        states: number of state vectors of hidden_size values that a layer carries on: h, or h and c.
        is_bounded: whether h lies between -1 and 1.
        resets: whether a reset gate scales the recurrent part of the candidate, the last block: the product of W_hh
            and h, plus the candidate's own bias b_hn.
    """

    blocks: tuple[str, ...]
    states: int = 1
    is_bounded: bool = True
    resets: bool = False

    @property
    def gates(self) -> tuple[str, ...]:
        """The blocks that are gates, with values between 0 and 1."""
        return tuple(block for block in self.blocks if block in GATE_LETTERS)


CELLS = {
    "lstm": Cell(("input", "forget", "candidate", "output"), states=2),
    "gru": Cell(("reset", "update", "candidate"), resets=True),
    "rnn": Cell(("state",)),
    "rnn-relu": Cell(("state",), is_bounded=False),
}
