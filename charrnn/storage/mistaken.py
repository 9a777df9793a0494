"""Messages for a file that is given in the place of a checkpoint: what it is, and which checkpoint may be meant."""

from __future__ import annotations

import codecs
import os
from pathlib import Path

from charrnn.escape import shell_quoted
from charrnn.paths import CHECKPOINT, most_alike
from charrnn.text.kinds import ZIP, document_kind, holds_log, holds_weights, kind_without_text
from charrnn.text.unpacking import compression_of

_CONTROLS = frozenset(range(0x20)).difference(b"\t\n\f\r\x1b")
"""Control bytes that do not occur in text of a single-byte or multi-byte encoding."""


def other_kind(head: bytes, another: str) -> str:
    """Say what a file is instead of a checkpoint, and what to do; empty where its first bytes do not tell.

    Args:
        head: the first bytes.
        another: the question whether another file, a checkpoint, is meant; empty where there is none.
    """
    if holds_weights(head):
        return f"holds weights for other programs; {another or 'give the .pt that they were exported from'}"
    if holds_log(head):
        return f"is a training's log, not a checkpoint; {another or 'give the one that the training wrote'}"
    if kind := kind_without_text(head):
        return f"is {kind}, not a checkpoint; {another or 'give a file that `charrnn train` wrote'}"
    if kind := document_kind(head):
        return f"is {kind}, not a checkpoint; {another or 'saved as plain text, `charrnn train` learns from it'}"
    if ZIP.startswith(head):
        return ""
    if _holds_text(head):
        uses = "`charrnn train` learns from it, and `charrnn inspect CHECKPOINT --score` scores it"
        return f"is a text; {uses}; {another}" if another else f"is a text; {uses}"
    if (packed := compression_of(head)) or _may_hold_text(head):
        kind = f"compressed by {packed}, " if packed else ""
        return f"is {kind}not a checkpoint; {another or '`charrnn train` learns from texts'}"
    return ""


def ask_for_another(path: str) -> str:
    """Ask whether the checkpoint that is named as a path, but for the suffix, is meant; empty if there is none."""
    likely = Path(path).with_suffix(CHECKPOINT) if Path(path).name else Path(path)
    return f"did you mean {shell_quoted(str(likely))}?" if str(likely) != path and os.path.isfile(likely) else ""


def ask_for_neighbour(path: str) -> str:
    """Ask whether a checkpoint of a similar name is meant by a path that does not exist; empty if there is none."""
    if another := ask_for_another(path):
        return another
    folder, name = os.path.split(path)
    try:
        names = {other.lower(): other for other in sorted(os.listdir(folder or ".")) if other.endswith(CHECKPOINT)}
    except OSError:
        return ""
    likely = most_alike(f"{name.lower().removesuffix(CHECKPOINT)}{CHECKPOINT}", names)
    return f"did you mean {shell_quoted(os.path.join(folder, names[likely]))}?" if likely else ""


def _holds_text(head: bytes) -> bool:
    """Whether a file's first bytes are UTF-8 without a NUL character."""
    try:
        return "\0" not in codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False


def _may_hold_text(head: bytes) -> bool:
    """Whether a file's first bytes may be text in any encoding: they have UTF-16's BOM, or no control characters."""
    return head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or not _CONTROLS.intersection(head)
