"""Standard input, where a path may be given: how it is written, and what it is called; and what is no path."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

STDIN = "-"
"""The path that stands for standard input."""

STDIN_NAME = "stdin"
"""What a text or a checkpoint that came from it is called, as others are by their file."""


def told_of_address(path: str) -> str:
    """What is wrong with an address of the web where a path may be given; nothing where it is none."""
    if not path.lower().startswith(("https://", "http://", "ftp://")):
        return ""
    return f'is an address, and charrnn fetches nothing; try `curl -L "{path}" | charrnn ... -`'


def told_of_home(path: str) -> str:
    """What is wrong with a path that begins with ~, as no file does that the shell has named; nothing else."""
    if path[:1] != "~" or path[1:2] not in ("", "/", os.sep):
        return ""
    return f"the shell expands ~ only at the beginning of a word and without quotes; write $HOME{path[1:]}"


def told_of_typing(paths: Iterable[object]) -> str:
    """What a person should know who is to type what is read; nothing where nobody is.

    Args:
        paths: what is to be read, of which "-" is standard input.
    """
    if STDIN not in paths or not sys.stdin.isatty():
        return ""
    return f"reading from the terminal; {'Ctrl-Z and Enter end' if os.name == 'nt' else 'Ctrl-D ends'} it"


def name_of(path: str) -> str:
    """How a message calls what is read from a path."""
    return "standard input" if path == STDIN else path
