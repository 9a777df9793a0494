"""A training keeps the memory that it frees at each step and takes again at the next."""

import os
import resource
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from processes import call

from charrnn.config import ModelConfig
from charrnn.network.model import CharRNN
from charrnn.training.heap import keep_freed_memory
from charrnn.training.passes import forward_and_backward

HAS_GLIBC = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})


def page_faults(is_kept):
    """Page faults in three steps of training in a new process."""
    if is_kept:
        keep_freed_memory()
    config = ModelConfig(vocab_size=65, cell="lstm", hidden_size=256, num_layers=2, embedding_dim=64, dropout=0.2)
    model = CharRNN(config)
    ids = torch.zeros((32, 128), dtype=torch.int64)
    state = model.initial_state(128)
    counts = []
    for _ in range(6):
        forward_and_backward(model, ids, ids, state, precision="float32", grad_clip=1.0)
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return counts[5] - counts[2]


@pytest.mark.skipif(not HAS_GLIBC, reason="another C library than glibc")
def test_memory_of_a_step_is_reused():
    assert call(page_faults, True) < call(page_faults, False) / 4


FREE_MUCH = """
import sys
from charrnn.training.heap import give_back_freed_memory, keep_freed_memory
keep_freed_memory()
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])
before = resident()
pieces = [bytearray(b"x") * (1 << 20) for _ in range(200)]
kept = bytearray(1000)
del pieces
held = resident() - before
give_back_freed_memory()
print(held, resident() - before)
"""


@pytest.mark.skipif(not (HAS_GLIBC and os.path.exists("/proc/self/status")), reason="another system than Linux's")
def test_free_memory_can_be_returned():
    command = [sys.executable, "-c", FREE_MUCH]
    held, left = map(int, subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
    assert held > 150_000 > 10 * left, "kilobytes"
