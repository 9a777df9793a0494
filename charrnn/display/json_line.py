"""JSON for strict parsers that is also safe to show on a terminal: one line of UTF-8 without control characters."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from charrnn.surrogates import SURROGATE, in_utf8, to_bytes

_COMMANDING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that JSON need not escape, but that control a terminal, or that a reader of lines takes for a line end."""

EXACT = {"text": "bytes", "prompt": "prompt_bytes", "stop": "stop_bytes", "checkpoint": "checkpoint_bytes"}
"""Fields of a record that may hold bytes that are not text (as surrogates), and the fields for the exact bytes."""

PATH = "checkpoint"
"""The field of `EXACT` that is a path."""


def to_json(record: Any) -> str:
    """Serialise to one line; characters that control a terminal are escaped, bytes that are not text become U+FFFD.

    If a field of `EXACT` has such bytes, in a record or in a record of a list, the record also gets the field for the
    exact bytes, unless it has that already: the value in UTF-8 with the bytes unchanged, in base64.
    """
    exact = [*map(_with_bytes, record)] if isinstance(record, list) else _with_bytes(record)
    line = SURROGATE.sub("\ufffd", json.dumps(exact, ensure_ascii=False))
    return _COMMANDING.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _with_bytes(record: Any) -> Any:
    """A record with the fields of exact bytes that it needs; any other value unchanged."""
    if not isinstance(record, Mapping):
        return record
    found = {}
    if isinstance(path := record.get(PATH), str):
        record = {**record, PATH: in_utf8(path)}
    for name, exact in EXACT.items():
        value = record.get(name)
        if isinstance(value, str) and exact not in record and SURROGATE.search(value):
            found[exact] = base64.b64encode(to_bytes(value)).decode("ascii")
    return {**record, **found}
