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


ONE, SEVERAL = "page.js", "comparison.js"
"""The scripts that draw a page of one model, and of several: what they read of its data stands there."""


def render(data: Mapping[str, Any], script: str = ONE) -> str:
    """Put data into a page that one of the scripts draws."""
    written = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII alone, U+2028 escaped too
    for character, escape in _ESCAPES.items():
        written = written.replace(character, escape)
    page = _asset("page.html")
    parts = {"style": "page.css", "tools": "tools.js", "views": "views.js", "script": script}
    for name, value in {**{name: _asset(file) for name, file in parts.items()}, "data": written}.items():
        before, _, after = page.partition("{{" + name + "}}")
        page = before + value + after
    return page


def _asset(name: str) -> str:
    return resources.files("charrnn.display").joinpath("assets").joinpath(name).read_text(encoding="utf-8")
