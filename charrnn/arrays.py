"""Arrays of numpy by what they hold; shapes stand where they are used."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.integer[Any]]
"""Numbers of characters, from 0 to V - 1; of an encoded text in the narrowest unsigned type that holds them."""

Places = NDArray[np.int64]
"""Places in a text, counted from 0."""

Floats = NDArray[np.floating[Any]]
"""Numbers of single or of double precision."""

Singles = NDArray[np.float32]
"""Numbers of single precision, in which models compute."""

Doubles = NDArray[np.float64]
"""Numbers of double precision, in which losses are added up."""
