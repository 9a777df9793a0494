"""A report as one HTML page that needs nothing else: no network, no second file.

What it shows is data in JSON, which the page's own script draws as text: nothing that a corpus or a checkpoint holds
can become markup. A policy in the page forbids it every request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from charrnn.errors import OutputError
from charrnn.storage.outputs import write_whole

MARK = "<!-- charrnn report -->"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(data: Mapping[str, Any]) -> str:
    """Put data into the page; what the script reads of it is in `assets/page.js`."""
    written = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII alone, U+2028 escaped too
    for character, escape in _ESCAPES.items():
        written = written.replace(character, escape)
    page = _asset("page.html")
    for name, value in {"style": _asset("page.css"), "script": _asset("page.js"), "data": written}.items():
        before, _, after = page.partition("{{" + name + "}}")
        page = before + value + after
    return page


def write_page(path: str, page: str) -> None:
    """Write a page, whole or not at all; only an earlier report is replaced.

    Raises:
        OutputError: something else is there, or it cannot be written.
    """
    target = Path(path)
    if target.exists() and not _is_report(target):
        raise OutputError(f"{path}: exists and is not a report of charrnn's; choose another name with --html")
    write_whole(path, page.encode("utf-8"), "--html")


def _is_report(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK.encode() in file.read(len(MARK) + 64)


def _asset(name: str) -> str:
    return resources.files("charrnn.display").joinpath("assets", name).read_text(encoding="utf-8")
