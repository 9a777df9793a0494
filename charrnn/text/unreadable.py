"""Files that are no texts to be read: what is wrong with one, in one line."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from charrnn.errors import CorpusError, DamagedError
from charrnn.standard_input import STDIN, told_of_address
from charrnn.text.unpacking import DAMAGE


def require_file(path: str) -> None:
    """Refuse an empty name, and a folder, where a text file is wanted, or "-".

    Raises:
        CorpusError: it is one of these.
    """
    if not path:
        raise CorpusError("a file's name is empty; give a text file, or - for standard input")
    if path != STDIN and os.path.isdir(path):
        raise CorpusError(f"{path}: is a folder; give a text file")


@contextlib.contextmanager
def read_errors_told(name: str) -> Iterator[None]:
    """Turn what can go wrong with a file into one line.

    Raises:
        CorpusError: it did.
        DamagedError: what is compressed cannot be unpacked.
    """
    try:
        yield
    except FileNotFoundError:
        told = told_of_address(name) or "no such file; give a text file, or - for standard input"
        raise CorpusError(f"{name}: {told}") from None
    except (OSError, *DAMAGE) as error:
        if isinstance(error, OSError) and error.errno:
            raise CorpusError(f"{name}: cannot be read ({error.strerror})") from None
        reason = str(error) or "it ends too early"
        raise DamagedError(f"{name}: is compressed, and damaged ({reason}); get it anew") from None
    except ValueError as error:  # a NUL byte in the path
        raise CorpusError(f"{name!r}: cannot be read ({error})") from None
