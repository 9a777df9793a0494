"""Reading an untrusted `torch.save` zip file with zipfile and numpy alone.

`charrnn.storage.unpickling` interprets the pickle inside, and describes a tensor instead of making one. Only
uncompressed records are opened, so that no tensor is larger than the file. The CRC of every record that is read is
checked, which torch itself does not do.
"""

from __future__ import annotations

import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from charrnn.storage.unpickling import StoredTensor, unpickle

DAMAGE = (
    zipfile.BadZipFile, pickle.UnpicklingError, struct.error, EOFError, OSError, ValueError, TypeError, LookupError,
    AttributeError, OverflowError, RuntimeError,
)  # fmt: skip
"""The exceptions that reading a damaged file may raise."""

READABLE_ERRORS = (zipfile.BadZipFile, pickle.UnpicklingError, ValueError, OSError)
"""The exceptions among them whose messages help a user; those of the others are about Python's internals."""

CHUNK_BYTES = 1 << 20
"""Bytes of a record that are read at once into an array."""


def cause_of(error: BaseException) -> str:
    """Say in a few words, on one line, what is wrong with a file, given an exception of `DAMAGE`."""
    told = " ".join(str(error).split()) if isinstance(error, READABLE_ERRORS) else ""
    return told[:120] or "its structure is broken"


class TensorFile:
    """The records of an open zip file, by their names inside the one folder that torch.save makes.

    Args:
        file: open for reading in binary.

    Raises:
        One of `DAMAGE`, here and in every method: the file is not what torch.save writes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(file)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        size = file.seek(0, io.SEEK_END)
        if sum(info.file_size for info in self._archive.infolist()) > size:
            raise ValueError("its records are larger than the file")  # they overlap: a small file, read many times
        for info in self._archive.infolist():
            _, _, name = info.filename.partition("/")
            if name in self._infos or info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"record {info.filename!r:.60} stands twice or is compressed")
            self._infos[name] = info

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def load_structure(self) -> Any:
        """Unpickle the plain values, with a `StoredTensor` in the place of each tensor."""
        if self._bytes("byteorder") != b"little":
            raise ValueError("byte order is not little-endian")
        return unpickle(self._bytes("data.pkl"))

    def check_all(self) -> None:
        """Read every record once and check its CRC."""
        for name in self._infos:
            self._bytes(name)

    def read(self, tensor: StoredTensor) -> NDArray[Any]:
        """Read a tensor as a new array, without a second copy of its values in memory."""
        count = math.prod(tensor.shape)
        values = np.empty(self._info(tensor.record).file_size, dtype=np.uint8)
        self._read_into(values, tensor.record)
        storage = values.view(tensor.dtype)
        if tensor.offset + count > len(storage):
            raise ValueError(f"{tensor.record} is shorter than its tensor")
        return storage[tensor.offset : tensor.offset + count].reshape(tensor.shape)

    def _read_into(self, values: NDArray[np.uint8], name: str) -> None:
        """Read a record into an array of its size."""
        end = 0
        with self._archive.open(self._info(name)) as record:  # checks the CRC at its end
            while piece := record.read(CHUNK_BYTES):
                values[end : end + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
                end += len(piece)
        if end < len(values):
            raise ValueError(f"{name} is shorter than the file says")

    def _bytes(self, name: str) -> bytes:
        return self._archive.read(self._info(name))  # checks the CRC

    def _info(self, name: str) -> zipfile.ZipInfo:
        if name not in self._infos:
            raise ValueError(f"record {name!r:.60} is missing")
        return self._infos[name]


def read_tensors(file: TensorFile, value: Any) -> Any:
    """Replace every `StoredTensor` in nested plain values with its array.

    Two tensors must not share a record, so that a small file cannot take much memory.
    """
    records: set[str] = set()

    def read(leaf: Any) -> Any:
        if not isinstance(leaf, StoredTensor):
            return leaf
        if leaf.record in records:
            raise ValueError(f"{leaf.record} is used twice")
        records.add(leaf.record)
        return file.read(leaf)

    return map_leaves(value, read)


def map_leaves(value: Any, function: Callable[[Any], Any]) -> Any:
    """Apply a function to every leaf, a value that is no dict, list or tuple, of nested containers.

    A container that occurs in several places is walked once, so that a small file cannot take much time.
    """
    return _map_leaves(value, function, {})


def _map_leaves(value: Any, function: Callable[[Any], Any], walked: dict[int, Any]) -> Any:
    """The same; `walked` maps the id of each container walked so far to its result."""
    if not isinstance(value, (dict, list, tuple)):
        return function(value)
    if id(value) not in walked:
        if isinstance(value, dict):
            walked[id(value)] = {key: _map_leaves(child, function, walked) for key, child in value.items()}
        else:
            walked[id(value)] = type(value)([_map_leaves(child, function, walked) for child in value])
    return walked[id(value)]
