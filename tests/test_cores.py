"""The threads of numpy's products leave cores to other programs."""

import os

import pytest

from charrnn.cli import cores
from charrnn.cli.cores import leave_busy_cores

NAME = "OPENBLAS_NUM_THREADS"


@pytest.fixture
def threads_with(monkeypatch, tmp_path):
    def threads_with(running, usable=8, present=8, **environment):
        file = tmp_path / "loadavg"
        file.write_text(running)
        monkeypatch.setattr(cores, "LOAD", file)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(usable)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda: present)
        leave_busy_cores(environment)
        return environment.get(NAME)

    return threads_with


@pytest.mark.parametrize(("others", "left"), [(0, None), (1, "7"), (5, "3"), (8, "1"), (30, "1")])
def test_busy_cores_are_left_to_those_that_use_them(threads_with, others, left):
    assert threads_with(f"0.10 0.20 0.30 {1 + others}/250 4711\n") == left


def test_what_the_user_says_counts(threads_with):
    busy = "8.00 8.00 8.00 9/250 4711\n"
    assert threads_with(busy, OPENBLAS_NUM_THREADS="5") == "5"
    assert threads_with(busy, OMP_NUM_THREADS="5") is None


def test_nothing_is_set_where_it_cannot_be_known(threads_with):
    assert threads_with("8.00 8.00 8.00 9/250 4711\n", usable=4) is None, "others run on cores of their own"
    assert threads_with("something else\n") is None
