"""JSON as strict readers take it and a terminal may show it: one line, in UTF-8, without what commands."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

_COMMANDING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON may hold as it is, and what a terminal obeys or a reader of lines takes for a line's end."""

_SURROGATES = re.compile("[\ud800-\udfff]")
"""What no UTF-8 can hold. U+DC80 to U+DCFF stand for bytes that are no text: https://peps.python.org/pep-0383/."""


_EXACT = {"text": "bytes", "prompt": "prompt_bytes"}
"""The field for the bytes of each field of a record that may be a text with bytes that are no text."""


def to_json(record: Any) -> str:
    """One line of JSON; what would command a terminal is escaped, and a byte that is no text becomes U+FFFD.

    Where a record's `text` has such bytes, it gets a field `bytes` too, unless it has one: in base64, the text as it
    is, in UTF-8. For those of a `prompt` there is `prompt_bytes`.
    """
    for name, exact in _EXACT.items() if isinstance(record, Mapping) else ():
        text = record.get(name)
        if exact not in record and isinstance(text, str) and _SURROGATES.search(text):
            from charrnn.text.encoder import (
                to_bytes,
            )  # imports numpy, for which the errors of a command line never wait

            record = {**record, exact: base64.b64encode(to_bytes(text)).decode("ascii")}
    line = _SURROGATES.sub("\ufffd", json.dumps(record, ensure_ascii=False))
    return _COMMANDING.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
