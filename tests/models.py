"""Models for tests: one that recites a text, with flags for a conversation, and small ones that recall, with a text."""

from types import SimpleNamespace

import numpy as np

from charrnn.config import ModelConfig

ANSWERED = SimpleNamespace(checkpoint="ab.pt", unknown="error", quiet=True, as_json=False, story=False, encoding=None)
"""The flags that say how a conversation answers."""


class Reciting:
    """A fake model that writes the same text over and over, whatever it reads."""

    def __init__(self, encoder, text):
        self._rows = [np.eye(len(encoder))[id_] * 50 for id_ in encoder.encode(text)]

    def reader(self, generated_from=None):
        return RecitedAlone(self._rows)

    def batch_reader(self, num_texts, generated_from=None):
        return Recited(self._rows)


class RecitedAlone:
    """One text of it."""

    def __init__(self, rows, place=0):
        self._rows, self._place = rows, place

    def __call__(self, _):
        self._place += 1
        return self._rows[(self._place - 1) % len(self._rows)]

    def copy(self):
        return RecitedAlone(self._rows, self._place)


class Recited:
    """Its texts side by side."""

    def __init__(self, rows, place=0):
        self._rows, self._place = rows, place

    def __call__(self, ids):
        self._place += 1
        return np.tile(self._rows[(self._place - 1) % len(self._rows)], (len(ids), 1))

    def selected(self, _):
        return Recited(self._rows, self._place)


def few_letters(num_chars, seed=0, letters=4):
    """Ids of a random text."""
    return np.random.default_rng(seed).integers(0, letters, num_chars).astype(np.uint8)


def recalling(cell="lstm", **options):
    """The shape of a small model that recalls."""
    config = {"hidden_size": 9, "num_layers": 2, "embedding_dim": 6, **options}
    return ModelConfig(vocab_size=5, cell=cell, recall=60, **config)
