"""`charrnn inspect --export`: writes the weights to another file."""

from __future__ import annotations

import os
from pathlib import Path

from charrnn.cli.common.streams import print_path
from charrnn.cli.inspector.subject import Subject
from charrnn.display.messages import write_line
from charrnn.errors import CheckpointError, ConfigError, OutputError
from charrnn.escape import one_line
from charrnn.paths import STDIN
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.export import to_safetensors, to_slim_checkpoint
from charrnn.storage.header import FORMAT
from charrnn.storage.outputs import require_file_name, require_folder, write_whole

FORMATS = {".safetensors": to_safetensors, ".pt": to_slim_checkpoint}

EXPORTED = f'{{"__metadata__": {{"format": "{FORMAT}"'.encode()
"""The start of a .safetensors export, after the eight bytes of the header's length."""


def check_export(path: str, model: str) -> None:
    """Check, before the checkpoint is read, whether an export may be written to a path.

    Raises:
        ConfigError: the name asks for an unknown format.
        OutputError: the path is the model itself, a folder, or a file that is neither empty nor an earlier export; or
            its folder is missing.
    """
    require_file_name(path, "--export")
    if Path(path).suffix not in FORMATS:
        raise ConfigError(f"--export is {path!r}; name it .safetensors, or .pt for a checkpoint without training state")
    if os.path.exists(path) and os.path.exists(model) and os.path.samefile(path, model):
        raise OutputError(f"{path}: is the model that is to be exported; choose another name with --export")
    if os.path.lexists(path) and not _is_replaceable(path):
        raise OutputError(f"{path}: exists and is not an export of charrnn; choose another name with --export")
    require_folder(Path(path), "--export")


def export(subject: Subject, path: str) -> None:
    """Write the weights in the format that the file's name asks for; say on stderr how much smaller they are.

    Raises:
        OutputError: the file cannot be written.
    """
    data = FORMATS[Path(path).suffix](subject.contents)
    write_whole(path, data, "--export")
    write_line(f"{len(data):,} bytes{_comparison(subject, len(data))}")
    print_path(path)


def _is_replaceable(path: str) -> bool:
    """Whether a file is empty, or an earlier export, which training cannot resume from."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            head = file.read(len(EXPORTED) + 8)
        return not head or EXPORTED in head or not read_checkpoint(path).can_go_on
    except (OSError, CheckpointError):  # another kind of file, or damaged: keep it
        return False


def _comparison(subject: Subject, size: int) -> str:
    """The export's size relative to the checkpoint's; empty if the checkpoint is not a regular file."""
    if subject.path == STDIN or not Path(subject.path).is_file():
        return ""
    before = Path(subject.path).stat().st_size
    return f", {size / before:.0%} of the {before:,} of {one_line(subject.path)}"
