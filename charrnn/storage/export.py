"""Exports: a model's weights as safetensors, and a checkpoint without the state to resume training.

A safetensors file is a length, a header in JSON and the values of all tensors, one after another
(https://github.com/huggingface/safetensors, "Format"). A slim checkpoint is what `torch.save` would write of the same
values: a zip file of uncompressed records with a pickle of protocol 2, written here opcode by opcode, so that torch
need not be loaded.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.cell_types import CELLS
from charrnn.storage.archive import Checkpoint, describe_checkpoint

ALIGNMENT = 8
"""The header of a safetensors file is padded to a multiple of this many bytes."""

PRIVATE = ("command", "begun_by", "job")
"""Keys of `made` that are not exported: the command lines, with their paths, and the names of the torchrun launches."""

_FOLDER = "slim"


def to_safetensors(checkpoint: Checkpoint) -> bytes:
    """Serialise the best weights, with the model's config, its alphabet and the order of its gates as metadata."""
    cell = CELLS[checkpoint.model.cell]
    described = {**_describe(checkpoint), "gates": cell.blocks if cell.gates else ()}
    told = ("format_version", "model", "characters", "has_unknown", "text", "gates")
    metadata = {name: json.dumps(described[name]) for name in told}
    header: dict[str, Any] = {"__metadata__": {"format": described["format"], **metadata}}
    offset = 0
    for name, weight in checkpoint.weights.items():
        end = offset + weight.size * 4
        header[name] = {"dtype": "F32", "shape": list(weight.shape), "data_offsets": [offset, end]}
        offset = end
    written = json.dumps(header).encode("ascii")
    written += b" " * (-len(written) % ALIGNMENT)
    values = b"".join(weight.astype("<f4").tobytes() for weight in checkpoint.weights.values())
    return struct.pack("<Q", len(written)) + written + values


def to_slim_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Serialise a checkpoint for sampling and inspection, without the state to resume training.

    Of the training's origin it keeps file names without folders, by which the text can be found again. A member taken
    out of an ensemble comes without losses, since the known ones are of all members together.

    Args:
        checkpoint: as read without its training state.
    """
    training = {
        name: value for name, value in checkpoint.training.items() if checkpoint.has_own_losses or name != "cold_loss"
    }
    contents = {**_describe(checkpoint), "weights": checkpoint.weights, "training": training}
    if not checkpoint.has_own_losses:
        contents["history"] = []
    arrays: list[NDArray[Any]] = []
    structure = b"\x80\x02" + _pickle(contents, arrays) + b"."
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        records = {"data.pkl": structure, "byteorder": b"little", "version": b"3\n"}
        records |= {f"data/{key}": array.astype("<f4").tobytes() for key, array in enumerate(arrays)}
        for name, data in records.items():
            archive.writestr(zipfile.ZipInfo(f"{_FOLDER}/{name}"), data)  # a fixed date: the same model, the same bytes
    return buffer.getvalue()


def _describe(checkpoint: Checkpoint) -> dict[str, Any]:
    made = {name: value for name, value in checkpoint.made.items() if name not in PRIVATE}
    return describe_checkpoint(replace(checkpoint, origin=checkpoint.origin.public, made=made))


def _pickle(value: Any, arrays: list[NDArray[Any]]) -> bytes:
    """Pickle a plain value; an array is appended to `arrays`, and a reference to its record is pickled."""
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return _pickle_tensor(value.shape, len(arrays) - 1)
    if isinstance(value, Mapping):
        items = b"".join(_pickle(key, arrays) + _pickle(child, arrays) for key, child in value.items())
        return b"}(" + items + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(_pickle(child, arrays) for child in value) + b"e"
    if isinstance(value, tuple):
        return b"(" + b"".join(_pickle(child, arrays) for child in value) + b"t"
    return _pickle_leaf(value)


def _pickle_leaf(value: Any) -> bytes:
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        size = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    assert isinstance(value, str), f"a {type(value).__name__} is no plain value"
    written = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(written)) + written


def _pickle_tensor(shape: tuple[int, ...], key: int) -> bytes:
    """Pickle the call torch._utils._rebuild_tensor_v2((storage), offset, shape, strides, no gradient, no hooks)."""
    strides = tuple(int(np.prod(shape[axis + 1 :], dtype=int)) for axis in range(len(shape)))
    size = int(np.prod(shape, dtype=int))
    storage = b"(" + b"".join([
        _pickle_leaf("storage"), b"ctorch\nFloatStorage\n", *map(_pickle_leaf, (str(key), "cpu", size)),
    ]) + b"tQ"  # fmt: skip
    plain = b"".join(_pickle(value, []) for value in (0, shape, strides, False))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + plain + b"ccollections\nOrderedDict\n)Rt" + b"R"
