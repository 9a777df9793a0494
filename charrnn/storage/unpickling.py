"""An unpickler for untrusted pickles of torch.save, which interprets one opcode after the other.

Python's own unpickler would hash a dict's keys before they could be checked, and follow opcodes that torch.save never
writes, which may change a tensor after its check or reserve any amount of memory. Here a pickle may name two functions,
and both are replaced by stand-ins; that for tensors describes a contiguous tensor instead of making it.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_DIMENSIONS = 8
"""Dimensions that a tensor may have; ours have three at most."""

LARGEST_KEY = 1 << 16
"""Integer keys of a dict are below this: they number a network's weights, and others could be chosen to collide."""

MOST_REPEATED = 8
"""Most characters of strings fetched from the memo, per byte of the pickle; those of torch.save take up to one."""

MOST_OBJECTS = 1_000_000
"""Lists, dicts, tuples and tensors that any pickle may make, however small it is."""

BYTES_PER_OBJECT = 8
"""Bytes of the pickle for each one more that it may make; ours take ten and more."""

LONGEST_KEY = 20
"""Most characters of a storage's key, a small number in the files of torch.save: each use of one copies it."""

_STORAGE_TYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ByteStorage": np.dtype("u1"),
}


@dataclass(frozen=True)
class StoredTensor:
    """A contiguous tensor whose values are still in the file.

    Attributes:
        record: name of the zip record that holds its storage.
        dtype: of a value.
        offset: of the first value in the storage, in values.
        shape: of the tensor.
    """

    record: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]


def unpickle(data: bytes) -> Any:
    """Build the plain values of a pickle of protocol 2, with a `StoredTensor` in the place of each tensor.

    Raises:
        One of `charrnn.storage.tensorfile.DAMAGE`: it has an opcode that torch.save does not write, or an invalid one.
    """
    machine = _Machine(len(data))
    for instruction, argument, _ in pickletools.genops(data):
        machine.follow(instruction.name, argument)
    return machine.result


class _Machine:
    """The pickle machine: a stack, a memo, and the effect of each opcode on them.

    Args:
        size: of the pickle, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.result: Any = None
        self._size = size
        self._repeatable = MOST_REPEATED * size
        self._makeable = MOST_OBJECTS + size // BYTES_PER_OBJECT
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stack below each mark
        self._memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        """Execute one opcode."""
        if name in _MAKING:
            self._count_object()
        match name:
            case "PROTO":
                pass
            case "STOP":
                (self.result,) = self._take(1)
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "BINFLOAT" | "BINUNICODE":
                self._push(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE" | "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                self._push(_CONSTANTS[name]())
            case "MARK":
                self._below.append(self._stack)
                self._stack = []
            case "TUPLE":
                self._push(tuple(self._take_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._push(tuple(self._take(int(name[-1]))))
            case "APPEND":
                self._extend(self._take(1))
            case "APPENDS":
                self._extend(self._take_to_mark())
            case "SETITEM":
                self._update(self._take(2))
            case "SETITEMS":
                self._update(self._take_to_mark())
            case "BINPUT" | "LONG_BINPUT":
                self._remember(argument)
            case "BINGET" | "LONG_BINGET":
                self._repeat(self._memo[argument])
            case "GLOBAL":
                self._push(_find(argument))
            case "BINPERSID":
                self._push(_describe_storage(*self._take(1)))
            case "REDUCE":
                self._call(*self._take(2))
            case _:
                raise pickle.UnpicklingError(f"it has the instruction {name}, which no checkpoint of ours has")

    def _count_object(self) -> None:
        """Limit the objects that are made, each of which takes far more memory than its opcode."""
        self._makeable -= 1
        if self._makeable < 0:
            raise pickle.UnpicklingError("it has more parts than a checkpoint of its size")

    def _push(self, value: Any) -> None:
        self._stack.append(value)  # computing the value may have replaced the stack

    def _take(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise pickle.UnpicklingError("its structure is broken")
        taken = self._stack[-count:]
        del self._stack[-count:]
        return taken

    def _take_to_mark(self) -> list[Any]:
        taken, self._stack = self._stack, self._below.pop()
        return taken

    def _extend(self, values: list[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise pickle.UnpicklingError("it appends to what is no list")
        self._stack[-1].extend(values)

    def _update(self, pairs: list[Any]) -> None:
        """Set items of a dict; a key that may be nested deeply, or a number chosen to collide, is refused unhashed."""
        if type(self._stack[-1]) is not dict or len(pairs) % 2:
            raise pickle.UnpicklingError("it sets items of what is no dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if type(key) not in (str, int):
                raise pickle.UnpicklingError("a key is neither a text nor a number")
            if type(key) is int and not 0 <= key < LARGEST_KEY:
                raise pickle.UnpicklingError("a key is a number that no weight has")
            self._stack[-1][key] = value

    def _remember(self, number: int) -> None:
        if number > self._size:
            raise pickle.UnpicklingError("it remembers more than it holds")
        self._memo[number] = self._stack[-1]

    def _repeat(self, value: Any) -> None:
        """Push a value of the memo; the total length of strings is limited, so that a small file cannot blow up."""
        self._repeatable -= len(value) if type(value) is str else 0
        if self._repeatable < 0:
            raise pickle.UnpicklingError("it says the same text too often")
        self._push(value)

    def _call(self, function: Any, arguments: Any) -> None:
        if not callable(function) or type(arguments) is not tuple:
            raise pickle.UnpicklingError("it calls what is no function")
        self._push(function(*arguments))


_CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None, "NEWTRUE": lambda: True, "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict,
}  # fmt: skip

_MAKING = {
    "EMPTY_LIST", "EMPTY_DICT", "MARK", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "BINPERSID", "REDUCE",
}  # fmt: skip
"""The opcodes that make an object of more than a few bytes."""


@dataclass(frozen=True)
class _Storage:
    """A tensor's storage: the zip record of its values, and their dtype."""

    record: str
    dtype: np.dtype[Any]


def _find(asked: str) -> Any:
    """Map a global, "module name", of the few that torch.save writes to a harmless stand-in."""
    module, _, name = asked.partition(" ")
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
        return _describe_tensor
    if (module, name) == ("collections", "OrderedDict"):
        return _no_hooks
    if module == "torch" and name in _STORAGE_TYPES:
        return _STORAGE_TYPES[name]
    raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no checkpoint of ours holds")


def _describe_storage(told: Any) -> _Storage:
    """Describe a storage, given the tuple ("storage", type, key, device, number of values)."""
    kind, dtype, key, _device, _size = told
    is_key = isinstance(key, str) and len(key) <= LONGEST_KEY
    if kind != "storage" or not isinstance(dtype, np.dtype) or not is_key:
        raise pickle.UnpicklingError("a storage is not described as torch describes it")
    return _Storage(f"data/{key}", dtype)


def _no_hooks() -> dict[str, Any]:
    """Stand in for the OrderedDict of backward hooks, always empty: an argument would have to be copied."""
    return {}


def _describe_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, _requires_grad: Any, _hooks: Any, _metadata: Any = None
) -> StoredTensor:
    """Stand in for torch._utils._rebuild_tensor_v2; further arguments would have to be copied."""
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor is not described as torch describes it")
    if len(shape) > MOST_DIMENSIONS or len(shape) != len(strides):
        raise pickle.UnpicklingError("a tensor has too many dimensions")
    if any(type(number) is not int or not 0 <= number < 2**63 for number in (offset, *shape, *strides)):
        raise pickle.UnpicklingError("a tensor is not described as torch describes it")
    contiguous = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    axes = zip(shape, strides, contiguous, strict=True)
    if any(stride != expected for size, stride, expected in axes if size > 1):
        raise pickle.UnpicklingError("a tensor is not contiguous")
    return StoredTensor(storage.record, storage.dtype, offset, tuple(shape))
