"""JSON as strict readers take it and a terminal may show it: one line, in UTF-8, without what commands."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from charrnn.surrogates import SURROGATE, in_utf8, to_bytes

_COMMANDING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, and what a terminal obeys or a reader of lines takes for a line's end."""

EXACT = {"text": "bytes", "prompt": "prompt_bytes", "stop": "stop_bytes", "checkpoint": "checkpoint_bytes"}
"""Fields of a record that may hold bytes that are no text, and those that hold them exactly then."""

PATH = "checkpoint"
"""The one of them that is a path."""


def to_json(record: Any) -> str:
    """One line of JSON; what would command a terminal is escaped, and a byte that is no text becomes U+FFFD.

    Where one of the fields of `EXACT` has such bytes, in a record or in each of a list of them, the record gets the
    other field too, unless it has it: in base64, what it holds as it is, in UTF-8.
    """
    exact = [*map(_with_bytes, record)] if isinstance(record, list) else _with_bytes(record)
    line = SURROGATE.sub("\ufffd", json.dumps(exact, ensure_ascii=False))
    return _COMMANDING.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _with_bytes(record: Any) -> Any:
    """A record with the fields that its bytes call for; what is no record is left as it is."""
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
