"""A training keeps the memory that it frees at each step and takes again at the next."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT

COUNT_FAULTS = """
import resource, sys
import torch
from charrnn.config import ModelConfig
from charrnn.training.heap import keep_freed_memory
from charrnn.network.model import CharRNN
from charrnn.training.passes import forward_and_backward
if sys.argv[1] == "kept":
    keep_freed_memory()
model = CharRNN(ModelConfig(vocab_size=65, cell="lstm", hidden_size=256, num_layers=2, embedding_dim=64, dropout=0.2))
ids = torch.zeros((64, 128), dtype=torch.int64)
def step():
    forward_and_backward(model, ids, ids, model.initial_state(128), precision="float32", grad_clip=1.0)
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

HAS_GLIBC = "CS_GNU_LIBC_VERSION" in getattr(os, "confstr_names", {})


def page_faults(how):
    """In three steps of training."""
    command = [sys.executable, "-c", COUNT_FAULTS, how]
    return int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(not HAS_GLIBC, reason="another C library than glibc")
def test_a_step_does_not_get_its_memory_from_the_system_again():
    assert page_faults("kept") < page_faults("as it is") / 4


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
def test_what_is_free_can_be_given_back():
    command = [sys.executable, "-c", FREE_MUCH]
    held, left = map(int, subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split())
    assert held > 150_000 > 10 * left, "kilobytes"
