"""Type aliases for numpy arrays, by what they hold; shapes are documented where the arrays are used."""

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
