"""The failures that a user can cause or meet, each reported in one line.

    CharRNNError                    exit code 1
    ├── ConfigError                 2  a flag out of its range, or flags that contradict each other
    ├── CorpusError                 2  a text that cannot be read, decoded or learned from
    │   ├── UnpackingError          2  a compressed file that is damaged, or that no library here unpacks
    │   ├── UnreadableError         2  a file that its permissions keep from being read
    │   ├── VanishedError           2  a file or a folder that has disappeared since it was found
    │   ├── DecodingError           2  a file that is not text in the encoding in which it is read
    │   ├── CacheError              2  an encoded text that cannot be cached, or whose cache file is damaged
    │   └── ForeignTextError        1  a text with characters that a checkpoint's alphabet lacks
    ├── OutputError                 2  a path that must not or cannot be written
    ├── CheckpointError             1  a checkpoint that is missing, damaged, incompatible or no checkpoint
    ├── TooLargeError               1  a model, or PyTorch itself, for which this machine has too little memory
    ├── SaveError                   1  a finished training whose last save failed
    ├── LostRankError               1  a training of several processes that has lost one
    └── DivergenceError             1  numerical divergence in training, sampling or reading

A message says what is wrong, where, and what to do next. Bugs of charrnn itself are assertions instead.
"""

from __future__ import annotations

GPU_LIBRARIES = ("CUDA", "cuDNN", "NCCL")
"""Every GPU error contains one of these names."""

GPU_FULL = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
"""Parts of the errors of PyTorch, cuBLAS and cuDNN when a GPU's memory is full."""

MEMORY_FULL = (
    "out of memory", "not enough memory", "can't allocate memory", "annot allocate memory",
    "failed to map segment from shared object",  # from the dynamic loader
)  # fmt: skip
"""Parts of the errors of PyTorch and of the system when memory is full."""

NOT_MADE = "could not create a primitive"
"""Part of oneDNN's error when memory is full or the processor does not support a precision: it gives no reason."""

NO_THREAD = "can't start new thread"
"""Part of Python's error when the user, or the container, may start no more threads."""


class CharRNNError(Exception):
    """An expected failure; the command line prints its message on one line."""

    exit_code = 1


class ConfigError(CharRNNError):
    """A flag out of its range, or flags that contradict each other."""

    exit_code = 2


class CorpusError(CharRNNError):
    """A text that cannot be read, decoded or learned from."""

    exit_code = 2


class UnpackingError(CorpusError):
    """A compressed file that is damaged, or that no library here unpacks."""


class UnreadableError(CorpusError):
    """A file that its permissions keep from being read."""


class VanishedError(CorpusError):
    """A file or a folder that has disappeared since it was found."""


class DecodingError(CorpusError):
    """A file that is not text in the encoding in which it is read."""


class CacheError(CorpusError):
    """An encoded text that cannot be cached, or whose cache file is damaged."""


class ForeignTextError(CorpusError):
    """A text with characters that a checkpoint's alphabet lacks."""

    exit_code = 1


class OutputError(CharRNNError):
    """A path that must not or cannot be written."""

    exit_code = 2


class CheckpointError(CharRNNError):
    """A checkpoint that is missing, damaged, incompatible or no checkpoint."""


class TooLargeError(CharRNNError):
    """Too little memory on this machine to load PyTorch, or to train, resume or run a model."""


class SaveError(CharRNNError):
    """A finished training whose last save failed."""


class LostRankError(CharRNNError):
    """A training of several processes that has lost one."""


class DivergenceError(CharRNNError):
    """Numerical divergence: repeatedly in training, in sampling, or in reading a text."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory is full; PyTorch, not imported here, has no class of its own for it."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in (*MEMORY_FULL, NOT_MADE))


def is_of_gpu(error: BaseException) -> bool:
    """Whether an error comes from a GPU: its memory is full, or it failed."""
    return any(name in str(error) for name in GPU_LIBRARIES)


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether an error means that a GPU's memory is full."""
    return is_of_gpu(error) and any(sign in str(error) for sign in GPU_FULL)
