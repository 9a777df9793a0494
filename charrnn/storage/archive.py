"""The checkpoint's format, and a reader for untrusted checkpoints that does not need torch.

A checkpoint is a standard `torch.save` zip file, version 1, which `torch.load(path, weights_only=True)` opens too:
one dict of plain dicts, lists, strings, numbers and tensors.

    format            "charrnn"
    format_version    1
    model             the fields of `ModelConfig`
    characters        the alphabet, one string in code-point order: an id is an index into it
    has_unknown       whether one more id, the last, stands for all characters that are not in the alphabet
    text              how text becomes characters: the fields of `TextOptions`
    weights           the best weights by validation loss, float32, named as `parameter_shapes` names them
    history           one row of the fields of `HistoryRow` per evaluation
    corpus            {"name", "characters", "bytes", "sha256", "counts": how often each character occurs}
    origin            where the training comes from: the fields of `Origin`; an export keeps file names, but no folders
    made              {"charrnn", "torch", "numpy", "python", "platform", "cores", "command", "created"} of the process
                      that saved it, "begun_by" where another command began the training, and "job" where torchrun
                      started it: the names of all its launches, separated by slashes; an export has neither commands
                      nor job
    training          the state from which training resumes: see `TrainingRun.state_dict`

`charrnn.training.checkpoint` writes checkpoints. `charrnn.storage.tensorfile` reads the zip file, and
`charrnn.storage.header` checks everything but the tensors' values before a weight is read.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from charrnn.arrays import Singles
from charrnn.config import TrainConfig, config_from_dict
from charrnn.errors import CheckpointError
from charrnn.metrics import HistoryRow, best_row
from charrnn.paths import STDIN, name_of, told_of_address, told_of_home, told_of_link
from charrnn.shapes import member_weights
from charrnn.storage.header import FORMAT, FORMAT_VERSION, Header, read_header
from charrnn.storage.mistaken import ask_for_another, ask_for_neighbour, other_kind
from charrnn.storage.tensorfile import DAMAGE, TensorFile, cause_of, read_tensors
from charrnn.text.encoder import first_id, line_feed_id
from charrnn.text.kinds import ZIP, first_in_zip
from charrnn.text.likeness import ends_lines_by_cr_lf

HEAD_BYTES = 512
"""First bytes of a file that are read to tell its kind; a checkpoint names its format in them."""

_NAMES_FORMAT = re.compile(rb"X\x06\0\0\0format(?:q.|r.{4})?X\x07\0\0\0" + FORMAT.encode(), re.DOTALL)
"""The key "format" and its value as pickled strings: opcode, length and text, with an optional memo opcode between."""

SUMMARY = ("step", "seconds", "config", "cold_loss")
"""Parts of the training state that describe the training; the other parts are needed only for resuming it."""


@dataclass(frozen=True)
class Checkpoint(Header):
    """A checkpoint's contents: its header with the tensors read.

    Attributes:
        weights: the best weights by validation loss, or the last ones where none were evaluated yet.
        training: the state from which training resumes, or only its `SUMMARY` where just the weights were asked for.
        can_go_on: whether the file has the state to resume training, which an export leaves out.
        losses_of: number of members of the ensemble whose losses `history` holds; more than `model.members` where this
            is one member taken out of it.
    """

    weights: dict[str, Singles]
    can_go_on: bool
    losses_of: int

    def member(self, number: int) -> Checkpoint:
        """The same checkpoint with one member of the ensemble alone; its losses stay those of the ensemble."""
        weights = member_weights(self.model, self.weights, number)
        return replace(self, model=self.model.member, weights=weights)

    @property
    def has_own_losses(self) -> bool:
        """Whether its losses are of this very model, and not of an ensemble from which it was taken."""
        return self.losses_of == self.model.members

    @property
    def train_loss_is_comparable(self) -> bool:
        """Whether its training and validation losses can be compared; see `ModelConfig.train_loss_is_comparable`."""
        return self.has_own_losses and self.model.train_loss_is_comparable

    @cached_property
    def train_config(self) -> TrainConfig:
        """How it was trained."""
        return config_from_dict(TrainConfig, self.training["config"])

    @property
    def step(self) -> int:
        """Optimizer updates that its training has made."""
        return int(self.training["step"])

    @property
    def seconds(self) -> float:
        """Seconds that its training has taken."""
        return float(self.training["seconds"])

    @property
    def ids_by_frequency(self) -> list[int]:
        """The ids, the most frequent in the text first."""
        return sorted(range(len(self.corpus.counts)), key=lambda i: -self.corpus.counts[i])

    @property
    def line_end_id(self) -> int | None:
        """The line feed's id if each line was a text of its own, so that the state is zeroed after it; else None."""
        return line_feed_id(self.encoder, self.text_options)

    @property
    def first_id(self) -> int:
        """The id that the model reads before it writes without a prompt."""
        return first_id(self.encoder, self.corpus.counts)

    @property
    def has_cr_lf(self) -> bool:
        """Whether the lines of its training text end with CR LF."""
        return ends_lines_by_cr_lf(self.encoder, self.corpus.counts)

    @property
    def best(self) -> HistoryRow | None:
        """The evaluation that `weights` come from."""
        return best_row(self.history)


def describe_checkpoint(header: Header) -> dict[str, Any]:
    """Everything in a checkpoint but its weights and its training state, as plain values to be written."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "model": asdict(header.model),
        "characters": header.encoder.characters,
        "has_unknown": header.encoder.has_unknown,
        "text": asdict(header.text_options),
        "history": [asdict(row) for row in header.history],
        "corpus": asdict(header.corpus),
        "origin": asdict(header.origin),
        "made": dict(header.made),
    }


def begins_as_checkpoint(path: Path) -> bool:
    """Whether a file is a checkpoint by its first bytes; the rest may be damaged.

    It must be a zip archive whose first entry is a pickle that names the format: the bare name would not be enough.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    is_of_torch = head.startswith(ZIP) and first_in_zip(head).endswith(b"/data.pkl")
    return is_of_torch and _NAMES_FORMAT.search(head) is not None


def is_checkpoint(path: str) -> bool:
    """Whether a regular file begins as a checkpoint; false for an unreadable file, which its reader will report."""
    try:
        return os.path.isfile(path) and begins_as_checkpoint(Path(path))
    except OSError:
        return False


def read_checkpoint(path: str, *, with_training: bool = False) -> Checkpoint:
    """Read a checkpoint without torch.

    Args:
        path: of the file, or "-" for standard input.
        with_training: read the whole training state too, its tensors as numpy arrays, and check every record.

    Raises:
        CheckpointError: the file is missing, damaged, of another kind or of a later format version.
    """
    if not path:
        raise CheckpointError("the checkpoint's name is empty; give a file that `charrnn train` wrote")
    if os.path.isdir(path):  # `Path.is_dir` fails in a folder that is closed to this user
        raise CheckpointError(f"{path}: is a folder; give a checkpoint that `charrnn train` wrote")
    try:
        if path == STDIN:
            return _read_stream(_seekable(sys.stdin.buffer), path, with_training)
        with open(path, "rb") as file:
            return _read_stream(_seekable(file), path, with_training)
    except FileNotFoundError:
        mend = told_of_home(path) or ask_for_neighbour(path) or "`charrnn train TEXT` writes one"
        told = told_of_address(path) or told_of_link(path) or f"no such file; {mend}"
        raise CheckpointError(f"{path}: {told}") from None
    except OSError as error:
        mend = "; check its permissions" if isinstance(error, PermissionError) else ""
        raise CheckpointError(f"{name_of(path)}: cannot be read ({error.strerror}){mend}") from None


def read_run_and_step(path: Path) -> tuple[str, int] | None:
    """Read the run and the step of a checkpoint, without its weights; None if it is not a readable checkpoint."""
    try:
        with path.open("rb") as file, TensorFile(file) as stored:
            header = read_header(stored.load_structure(), str(path))
    except (*DAMAGE, CheckpointError):
        return None
    return header.origin.run, int(header.training["step"])


def _seekable(file: BinaryIO) -> BinaryIO:
    """The file itself for random access, or, of a pipe or a device, its content in memory.

    Of what is no zip file only the first bytes are read: it may have no end.
    """
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode) and file.tell() == 0:
        return file
    content = io.BytesIO()
    content.write(file.read(len(ZIP)))
    if content.getvalue() == ZIP:
        shutil.copyfileobj(file, content)  # piece by piece: never all of it twice
    return content


def _read_stream(file: BinaryIO, path: str, with_training: bool) -> Checkpoint:
    name = name_of(path)
    try:
        with TensorFile(file) as stored:
            header = read_header(stored.load_structure(), name)
            weights = read_tensors(stored, header.weights)
            _check_finite(weights, name)
            if with_training:
                stored.check_all()
                training = read_tensors(stored, header.training)
            else:
                training = {name: header.training[name] for name in SUMMARY if name in header.training}
    except DAMAGE as error:
        raise CheckpointError(f"{name}: {_what_it_is(file, path, error)}") from None
    contents = replace(header, weights=weights, training=training)
    return Checkpoint(**vars(contents), can_go_on="lanes" in header.training, losses_of=header.model.members)


def _what_it_is(file: BinaryIO, path: str, damage: Exception) -> str:
    """Say what a file is that could not be read as a checkpoint, and what to do."""
    another = ask_for_another(path) if path != STDIN else ""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if other := other_kind(head, another):
        return other
    cause = ""
    if not head:
        cause = " (it is empty)"
    elif ZIP.startswith(head[:4]):
        cause = f" ({cause_of(damage)})"
    advice = another or "it is damaged or of another kind, use a copy or train again"
    return f"not a whole charrnn checkpoint{cause}; {advice}"


def _check_finite(weights: Mapping[str, Singles], path: str) -> None:
    for name, array in weights.items():
        if not np.isfinite([array.min(), array.max()]).all():  # both propagate NaN; a mask of all values takes memory
            raise CheckpointError(f"{path}: {name} holds NaN or infinity; it is damaged, train again")
