"""Garbage collection is paused while modules are loaded and restored afterwards."""

import gc
import importlib
import subprocess
import sys

import pytest
from conftest import clean_environment

from charrnn.garbage import paused_gc

SMALLEST_GENERATION = gc.get_threshold()[0]


@pytest.fixture
def searches():
    """The garbage collections so far; objects frozen by a test are unfrozen."""
    begun = []

    def count(phase, info):
        if phase == "start":
            begun.append(info["generation"])

    frozen = gc.get_freeze_count()
    gc.callbacks.append(count)
    yield begun
    gc.callbacks.remove(count)
    if gc.get_freeze_count() > frozen:
        gc.unfreeze()


def test_no_collection_runs_while_modules_load(searches):
    with paused_gc():
        before = len(searches)
        kept = [[] for _ in range(100 * SMALLEST_GENERATION)]
        assert len(searches) == before
    after = [[] for _ in range(100 * SMALLEST_GENERATION)]
    assert len(searches) > before, "they come again"
    assert len(kept) == len(after)


@pytest.mark.parametrize("is_on", [True, False])
def test_garbage_collection_is_restored_even_after_an_error(is_on):
    if not is_on:
        gc.disable()
    try:
        with pytest.raises(ModuleNotFoundError), paused_gc():
            importlib.import_module("nowhere_to_be_found")
        assert gc.isenabled() == is_on
    finally:
        gc.enable()


def test_loaded_modules_are_frozen_out_of_garbage_collection_and_nothing_else(tmp_path, monkeypatch, searches):
    frozen = gc.get_freeze_count()
    with paused_gc():
        pass
    assert gc.get_freeze_count() == frozen, "nothing was loaded, and what is garbage can go"
    (tmp_path / "loaded_just_now.py").write_text("kept = [[] for _ in range(1000)]\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with paused_gc():
        importlib.import_module("loaded_just_now")
    del sys.modules["loaded_just_now"]
    assert gc.get_freeze_count() >= frozen + 1000


@pytest.mark.parametrize(
    "arguments",
    [
        ["sample", "words.pt", "-n", "20"],
        ["inspect", "words.pt", "--text", "Tin"],
        ["train", "words.txt", "--hidden-size", "8", "--max-steps", "2", "--out", "new.pt"],
    ],
)
def test_most_objects_at_the_end_of_a_command_are_frozen(arguments, trained, tmp_path):
    for name in ("words.pt", "words.txt"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    script = (
        "import atexit, gc, sys\n"
        "atexit.register(lambda: print('objects', gc.get_freeze_count(), len(gc.get_objects()), file=sys.stderr))\n"
        "sys.argv = ['charrnn', *sys.argv[1:]]\n"
        "from charrnn.__main__ import main\n"
        "main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env=clean_environment(),
    )
    _, frozen, searched = result.stderr.splitlines()[-1].split()
    assert int(frozen) > 3 * int(searched)
