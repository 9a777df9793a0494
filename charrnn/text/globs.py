"""Patterns of the names of files in a folder, such as *.py, and of folders, such as sub/."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

_ANY_FOLDERS = re.compile(r"(?:(?<![^/])\*\*/)+")


def matches(path: Path, root: Path, patterns: Sequence[str], *, is_folder: bool) -> bool:
    """Whether one of the patterns fits a path below `root`; those with a slash at their end fit folders alone."""
    inner = path.relative_to(root).as_posix()
    return any(_fits(path.name, inner, pattern) for pattern in patterns if is_folder or not pattern.endswith("/"))


def _fits(name: str, inner: str, pattern: str) -> bool:
    """Whether a pattern fits a path in a folder or, where it does not begin with `./`, the name at its end."""
    texts = (inner,) if pattern.startswith("./") else (name, inner)
    return any(fnmatch(text, form) for form in _forms(pattern) for text in texts)


def _forms(pattern: str) -> list[str]:
    """A pattern, in which a star stands for slashes too, and the same where any `**/` stands for no folder at all."""
    first, *others = _ANY_FOLDERS.split(pattern.removeprefix("./").rstrip("/"))
    forms = [first]
    for other in others:
        forms = [form + folders + other for form in forms for folders in ("**/", "")]
    return forms
