"""Standard input, where a path may be given: how it is written, and what it is called; and addresses, which may not."""

from __future__ import annotations

STDIN = "-"
"""The path that stands for standard input."""

STDIN_NAME = "stdin"
"""What a text or a checkpoint that came from it is called, as others are by their file."""


def told_of_address(path: str) -> str:
    """What is wrong with an address of the web where a path may be given; nothing where it is none."""
    if not path.lower().startswith(("https://", "http://", "ftp://")):
        return ""
    return f'is an address, and charrnn fetches nothing; try `curl -L "{path}" | charrnn ... -`'


def name_of(path: str) -> str:
    """How a message calls what is read from a path."""
    return "standard input" if path == STDIN else path
