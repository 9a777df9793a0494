"""A checkpoint on its way to the disk: tensor after tensor, with a disk that fills anywhere on the way."""

import contextlib
import io
import os
import resource
import tracemalloc

import pytest
import torch

from charrnn.errors import OutputError
from charrnn.training import checkpoint

CONTENTS = {"weights": {f"w{number}": torch.randn(100_000) for number in range(8)}, "name": "x"}
SIZE = 8 * 400_000


@contextlib.contextmanager
def files_limited_to(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_save_never_holds_the_file_in_memory(tmp_path):
    tracemalloc.start()
    try:
        checkpoint.write(tmp_path / "m.pt", CONTENTS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "m.pt").stat().st_size > SIZE
    assert peak < SIZE / 8


def test_written_file_equals_that_of_torch(tmp_path):
    checkpoint.write(tmp_path / "m.pt", CONTENTS)
    expected = io.BytesIO()
    torch.save(CONTENTS, expected)
    assert (tmp_path / "m.pt").read_bytes() == expected.getvalue()


@pytest.mark.parametrize("size", [0, 30, 1000, 300_000, SIZE // 2, SIZE + 500])
def test_disk_that_fills_during_a_save_is_reported_and_the_old_file_kept(tmp_path, size):
    (tmp_path / "m.pt").write_bytes(b"old")
    with (
        pytest.raises(OutputError, match=r"m\.pt: the checkpoint cannot be written \(File too large\)"),
        files_limited_to(size),
    ):
        checkpoint.write(tmp_path / "m.pt", CONTENTS)
    assert (tmp_path / "m.pt").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["m.pt"]
