"""Reading a `torch.save` zip file with zipfile and numpy alone, trusting nothing in it.

The pickle inside may name two functions, and gets stand-ins of ours that describe a tensor instead of making one. Only
stored records are opened and only contiguous tensors are accepted, so that no tensor is larger than the file. The CRC
of every record that is read is checked, which torch itself does not do.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

DAMAGE = (
    zipfile.BadZipFile, pickle.UnpicklingError, struct.error, EOFError, OSError, ValueError, TypeError, KeyError,
    IndexError, AttributeError, NotImplementedError, OverflowError, RecursionError, RuntimeError,
)  # fmt: skip
"""What zipfile and pickle raise for a damaged file, by kind of damage."""

TOLD = (zipfile.BadZipFile, pickle.UnpicklingError, ValueError, OSError)
"""Those of them whose words help; the others speak of Python alone."""

INSTRUCTIONS = {
    "PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "BINPERSID", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "NONE",
    "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE", "EMPTY_TUPLE",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS", "EMPTY_DICT", "SETITEM", "SETITEMS",
}  # fmt: skip
"""What a pickle of torch.save's is made of: protocol 2, plain values and tensors."""

MOST_DIMENSIONS = 8
"""Dimensions that a tensor may have; ours have three at most."""

_STORAGE_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that still lies in the file.

    Attributes:
        record: name of the zip record that holds its storage.
        dtype: of a value.
        offset: of the first value, in values.
        shape: of the tensor, which is contiguous.
    """

    record: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]


def cause_of(error: BaseException) -> str:
    """Say in a few words, on one line, what is wrong with a file, given one of `DAMAGE`."""
    told = " ".join(str(error).split()) if isinstance(error, TOLD) else ""
    return told[:120] or "its structure is broken"


class TensorFile:
    """An open zip file of records, known by their names inside the one folder that torch.save makes.

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
        data = self._bytes("data.pkl")
        _check_instructions(data)
        return _Unpickler(io.BytesIO(data)).load()

    def check_all(self) -> None:
        """Read every record once and check its CRC."""
        for name in self._infos:
            self._bytes(name)

    def read(self, tensor: StoredTensor) -> NDArray[Any]:
        """Read a tensor as an array of its own."""
        count = math.prod(tensor.shape)
        storage = np.frombuffer(self._bytes(tensor.record), dtype=tensor.dtype)
        if tensor.offset + count > len(storage):
            raise ValueError(f"{tensor.record} is shorter than its tensor")
        return storage[tensor.offset : tensor.offset + count].reshape(tensor.shape).copy()

    def _bytes(self, name: str) -> bytes:
        if name not in self._infos:
            raise ValueError(f"record {name!r:.60} is missing")
        return self._archive.read(self._infos[name])  # checks the CRC


def read_tensors(file: TensorFile, value: Any) -> Any:
    """Replace every `StoredTensor` in nested plain values by its array.

    A record may serve one tensor only, so that a small file cannot ask for much memory.
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
    """Apply a function to all that is no dict, list or tuple inside nested ones.

    A container that stands in several places is walked once, so that a small file cannot ask for much time.
    """
    walked: dict[int, Any] = {}

    def walk(value: Any) -> Any:
        if not isinstance(value, (dict, list, tuple)):
            return function(value)
        if id(value) not in walked:
            if isinstance(value, dict):
                walked[id(value)] = {key: walk(child) for key, child in value.items()}
            else:
                walked[id(value)] = type(value)([walk(child) for child in value])
        return walked[id(value)]

    return walk(value)


def _check_instructions(data: bytes) -> None:
    """Refuse a pickle with instructions that torch.save does not write.

    Some would change a tensor after it was checked, and some reserve as much memory as they please.
    """
    for instruction, argument, _ in pickletools.genops(data):
        if instruction.name not in INSTRUCTIONS:
            raise pickle.UnpicklingError(f"it has the instruction {instruction.name}, which no checkpoint of ours has")
        if instruction.name == "LONG_BINPUT" and (argument is None or argument > len(data)):
            raise pickle.UnpicklingError("it remembers more than it holds")


class _Unpickler(pickle.Unpickler):
    """Builds plain values and `StoredTensor`s, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Map the few globals that torch.save writes to harmless stand-ins."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe_tensor
        if (module, name) == ("collections", "OrderedDict"):  # the tensor's backward hooks, always empty
            return dict
        if module == "torch" and name in _STORAGE_TYPES:
            return _STORAGE_TYPES[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no checkpoint of ours holds")

    def persistent_load(self, pid: Any) -> Any:
        """Describe a storage: ("storage", type, key, device, number of values)."""
        kind, dtype, key, _device, _size = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or not isinstance(key, str):
            raise pickle.UnpicklingError("a storage is not described as torch describes it")
        return dtype, f"data/{key}"


def _describe_tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> StoredTensor:
    """Stand in for torch._utils._rebuild_tensor_v2."""
    dtype, record = storage
    if len(shape) > MOST_DIMENSIONS or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor has too many dimensions")
    if any(type(number) is not int or not 0 <= number < 2**63 for number in (offset, *shape, *strides)):
        raise pickle.UnpicklingError("a tensor is not described as torch describes it")
    contiguous = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    axes = zip(shape, strides, contiguous, strict=True)
    if any(stride != expected for size, stride, expected in axes if size > 1):
        raise pickle.UnpicklingError("a tensor is not contiguous")
    return StoredTensor(record, dtype, offset, tuple(shape))
