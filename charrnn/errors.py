"""The failures that a user can cause or meet, each a single line of advice.

    CharRNNError                    exit code 1
    ├── ConfigError                 2  a flag out of its range, or flags that contradict each other
    ├── CorpusError                 2  a text that cannot be read, decoded or learned from
    │   ├── UnpackingError          2  a compressed file that is damaged, or that nothing here unpacks
    │   ├── UnreadableError         2  a file that its permissions keep from being read
    │   ├── VanishedError           2  a file or a folder that was there when it was found, and is gone
    │   ├── DecodingError           2  a file that is no text in the encoding that it is read in
    │   ├── CacheError              2  an encoded text that cannot be kept, or that is damaged
    │   └── ForeignTextError        1  a text with characters that a checkpoint's alphabet lacks
    ├── OutputError                 2  a path that must not or cannot be written
    ├── CheckpointError             1  a checkpoint that is missing, damaged, foreign or does not fit
    ├── TooLargeError               1  a model, or PyTorch itself, for which this machine has too little memory
    ├── SaveError                   1  a training that is over, and whose last save failed
    ├── LostRankError               1  a training of several processes, one of which is gone
    └── DivergenceError             1  numbers that grow without bound, in training, sampling or reading

A message says what is wrong, where, and what to do next. Mistakes of our own are assertions, not these.
"""

from __future__ import annotations

GPU_LIBRARIES = ("CUDA", "cuDNN", "NCCL")
"""Names, of which one stands in each error of a GPU."""

GPU_FULL = ("out of memory", "ALLOC_FAILED", "ALLOCATION_FAILED")
"""What stands in errors of PyTorch, of cuBLAS and of cuDNN where a GPU has too little memory for them."""

MEMORY_FULL = (
    "out of memory", "not enough memory", "can't allocate memory", "annot allocate memory",
    "failed to map segment from shared object",  # the loader's, of a library
)  # fmt: skip
"""What stands in errors of PyTorch and of the system where there is too little memory."""

NOT_MADE = "could not create a primitive"
"""What stands in those of oneDNN there, and where a processor cannot compute in a precision: it tells no reason."""

NO_THREAD = "can't start new thread"
"""What stands in Python's where this user, or this container, may have no more threads."""


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
    """A compressed file that is damaged, or that nothing here unpacks."""


class UnreadableError(CorpusError):
    """A file that its permissions keep from being read."""


class VanishedError(CorpusError):
    """A file or a folder that was there when it was found, and is gone."""


class DecodingError(CorpusError):
    """A file that is no text in the encoding that it is read in."""


class CacheError(CorpusError):
    """An encoded text that cannot be kept, or that is damaged."""


class ForeignTextError(CorpusError):
    """A text with characters that a checkpoint's alphabet lacks."""

    exit_code = 1


class OutputError(CharRNNError):
    """A path that must not or cannot be written."""

    exit_code = 2


class CheckpointError(CharRNNError):
    """A checkpoint that is missing, damaged, foreign or does not fit."""


class TooLargeError(CharRNNError):
    """A model that this machine has too little memory to train, or to go on with, or to load PyTorch for."""


class SaveError(CharRNNError):
    """A training that is over, and whose last save failed."""


class LostRankError(CharRNNError):
    """A training of several processes, one of which is gone."""


class DivergenceError(CharRNNError):
    """Numbers that grow without bound: in training again and again, in sampling, or in reading a text."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory is what was missing; torch, which is not imported here, has no class of its own for it."""
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in (*MEMORY_FULL, NOT_MADE))


def is_of_gpu(error: BaseException) -> bool:
    """Whether it is torch's, of a GPU: of its memory, or of a failure."""
    return any(name in str(error) for name in GPU_LIBRARIES)


def is_out_of_gpu_memory(error: BaseException) -> bool:
    """Whether a GPU has too little memory."""
    return is_of_gpu(error) and any(sign in str(error) for sign in GPU_FULL)
