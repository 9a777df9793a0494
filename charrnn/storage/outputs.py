"""Writing a file so that its path holds the whole of it or what was there before."""

from __future__ import annotations

import os
from pathlib import Path

from charrnn.errors import OutputError


def write_whole(path: str, data: bytes, flag: str) -> None:
    """Put data at a path in one step.

    Args:
        path: of the file; its folder must exist.
        data: all of it.
        flag: of the command line, for the message.

    Raises:
        OutputError: it cannot be written; what was there is as it was.
    """
    if path == "-":
        raise OutputError(f"{flag} -: it goes to a file; name one")
    try:
        target = Path(path).resolve()  # a link stays one
    except (OSError, ValueError, RuntimeError) as error:
        raise OutputError(f"{path}: cannot be written ({error}); choose another place with {flag}") from None
    temporary = target.parent / f".{target.name}.{os.getpid()}.tmp"
    try:
        temporary.write_bytes(data)
        os.replace(temporary, target)
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written ({reason}); choose another place with {flag}") from None
    finally:
        if temporary.is_file():
            temporary.unlink()
