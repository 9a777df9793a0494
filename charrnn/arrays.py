"""Type aliases for numpy arrays, by what they hold; shapes are documented where the arrays are used.

The letters in shapes, of tensors too:

    T  characters of a window, or steps of time
    B  lanes of a training or an evaluation, read side by side
    N  texts that a trained model reads or writes side by side
    V  ids: the size of the alphabet
    E  values of a character's embedding
    I  values of a layer's input: E, or H above the first layer
    H  units of a layer
    G  blocks of H rows in a layer's weights: its gates and its candidate (`charrnn.cell_types.Cell.blocks`)
    C  contexts by which forecasts are recalled (`charrnn.config.CONTEXTS`)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer[Any]]
"""Character ids, from 0 to V - 1; an encoded text has the narrowest unsigned type that holds its ids."""

Places = NDArray[np.int64]
"""Positions in a text, counted from 0."""

Floats = NDArray[np.floating[Any]]
"""Single- or double-precision numbers."""

Singles = NDArray[np.float32]
"""Single-precision numbers, in which models compute."""

Doubles = NDArray[np.float64]
"""Double-precision numbers, in which losses are summed."""
