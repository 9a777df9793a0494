"""Standard input, where a path may be given: how it is written, and what it is called."""

from __future__ import annotations

STDIN = "-"
"""The path that stands for standard input."""

STDIN_NAME = "stdin"
"""What a text or a checkpoint that came from it is called, as others are by their file."""


def name_of(path: str) -> str:
    """How a message calls what is read from a path."""
    return "standard input" if path == STDIN else path
