"""What a model makes of a given text: its loss and how often its first guess is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.engine import NumpyCharRNN
from charrnn.errors import CorpusError

WINDOW = 256
"""Characters read at once: the state is carried on, so that this changes the memory used and nothing else."""


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text.

    Attributes:
        characters: predicted, which is all but the first.
        loss: mean in nats per character.
        accuracy: share of characters that were the model's most probable.
    """

    characters: int
    loss: float
    accuracy: float


def score(model: NumpyCharRNN, ids: NDArray[np.integer[Any]] | Sequence[int]) -> Score:
    """Read a text from a zero state and compare every character with what was expected.

    Args:
        model: reads the text.
        ids: encoded text, shape (num_chars,).

    Raises:
        CorpusError: fewer than two characters.
    """
    ids = np.asarray(ids)
    if len(ids) < 2:
        raise CorpusError(f"a text of {len(ids)} characters cannot be scored; give at least 2")
    surprisal, hits = 0.0, 0
    state = model.initial_state()
    for start in range(0, len(ids) - 1, WINDOW):
        targets = ids[start + 1 : start + WINDOW + 1]
        logits, state = model.forward(ids[start : start + len(targets), None], state)
        surprisal += float(surprisals(logits[:, 0], targets).sum())
        hits += int((logits[:, 0].argmax(axis=-1) == targets).sum())
    count = len(ids) - 1
    return Score(count, surprisal / count, hits / count)


def surprisals(logits: NDArray[np.float32], targets: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
    """-ln p(target) of each row, in nats.

    Args:
        logits: shape (T, V).
        targets: ids, shape (T,).
    """
    logits = logits.astype(np.float64)
    top = logits.max(axis=-1)
    log_sum = top + np.log(np.exp(logits - top[:, None]).sum(axis=-1))
    chosen: NDArray[np.float64] = logits[np.arange(len(targets)), targets]
    return np.asarray(log_sum - chosen)
