"""A report as one HTML page that needs nothing else: no network, no second file.

What it shows is data in JSON, which the page's own script draws as text: nothing that a corpus or a checkpoint holds
can become markup. A policy in the page forbids it every request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

MARK = "<!-- charrnn report -->"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def render(data: Mapping[str, Any]) -> str:
    """Put data into the page; what the scripts read of it is in `assets/page.js`."""
    written = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII alone, U+2028 escaped too
    for character, escape in _ESCAPES.items():
        written = written.replace(character, escape)
    page = _asset("page.html")
    parts = {"style": "page.css", "tools": "tools.js", "script": "page.js"}
    for name, value in {**{name: _asset(file) for name, file in parts.items()}, "data": written}.items():
        before, _, after = page.partition("{{" + name + "}}")
        page = before + value + after
    return page


def _asset(name: str) -> str:
    return resources.files("charrnn.display").joinpath("assets").joinpath(name).read_text(encoding="utf-8")
