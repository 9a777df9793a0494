"""Pausing Python's garbage collector while modules are imported.

The imports of a command create some hundred thousand objects that stay alive. The collector would traverse them again
and again, which takes a tenth of the import time.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def paused_gc() -> Iterator[None]:
    """Pause garbage collection; at the end, exempt all objects from it for good if modules were imported."""
    is_on, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()
        if is_on:
            gc.enable()
