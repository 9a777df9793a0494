"""A report as one self-contained HTML page: no network, no second file.

The page's script draws its data, which is in JSON, as text: nothing in a corpus or a checkpoint can become markup. The
page's content security policy forbids all requests.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

MARK = "<!-- charrnn report -->"
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})

ONE, SEVERAL = "page.js", "comparison.js"
"""The scripts that draw a page of one model, and of several; their code shows which data they read."""


def render(data: Mapping[str, Any], script: str = ONE) -> str:
    """Build the page of some data, which one of the scripts draws."""
    written = json.dumps(data, allow_nan=False, separators=(",", ":"))  # ASCII alone, U+2028 escaped too
    page = _asset("page.html")
    parts = {"style": "page.css", "tools": "tools.js", "views": "views.js", "script": script}
    for name, file in parts.items():
        page = page.replace("{{" + name + "}}", _asset(file), 1)
    return page.replace("{{data}}", written.translate(_ESCAPES), 1)


def _asset(name: str) -> str:
    return resources.files("charrnn.display").joinpath("assets").joinpath(name).read_text(encoding="utf-8")
