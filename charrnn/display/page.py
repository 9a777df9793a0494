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
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})

ONE, SEVERAL = "page.js", "comparison.js"
"""The scripts that draw a page of one model, and of several: what they read of its data stands there."""


def render(data: Mapping[str, Any], script: str = ONE) -> str:
    """Put data into a page that one of the scripts draws."""
    written = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII alone, U+2028 escaped too
    page = _asset("page.html")
    parts = {"style": "page.css", "tools": "tools.js", "views": "views.js", "script": script}
    for name, file in parts.items():
        page = page.replace("{{" + name + "}}", _asset(file), 1)
    return page.replace("{{data}}", written.translate(_ESCAPES), 1)


def _asset(name: str) -> str:
    return resources.files("charrnn.display").joinpath("assets").joinpath(name).read_text(encoding="utf-8")
