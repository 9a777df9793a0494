"""Python's search for garbage, and modules, which are none.

To load what a command needs makes some hundred thousand objects that stay. Python would go through them again and again
meanwhile: a tenth of the time.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def loading_modules() -> Iterator[None]:
    """Search for no garbage meanwhile, nor ever among what is there then, if modules were loaded."""
    is_on, loaded = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > loaded:
            gc.freeze()
        if is_on:
            gc.enable()
