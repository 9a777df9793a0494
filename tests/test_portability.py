"""What is there on Linux alone is missed by nobody: other systems are played by hiding it."""

import errno
import os
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest
import typer
from conftest import clean_environment, make_text

from charrnn.cli import is_closed_pipe
from charrnn.cli.inspection import inspect
from charrnn.cli.sample import sample
from charrnn.cli.train import train
from charrnn.cli.trainer import lock

ELSEWHERE = """
import os, signal, sys

for name in ("fcntl", "termios", "readline", "resource", "pwd", "grp"):
    sys.modules[name] = None
for module, names in (
    (os, "sched_getaffinity nice sysconf confstr confstr_names fork tcgetpgrp getpgrp getuid"),
    (signal, "SIGHUP SIGUSR1 SIGPIPE SIGTTOU"),
):
    for name in names.split():
        delattr(module, name)
sys.argv = ["charrnn", *sys.argv[1:]]
from charrnn.cli import main

main()
"""
"""The command line on a system that has little of what POSIX asks for, as Windows."""


def elsewhere(folder, *arguments, stdin=""):
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, arguments)],
        cwd=folder, input=stdin, capture_output=True, text=True, env=clean_environment(), timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_commands_work_without_what_posix_alone_has(tmp_path):
    (tmp_path / "words.txt").write_text(make_text(4_000), encoding="utf-8")
    train = ("train", "words.txt", "--hidden-size", 16, "--log", "words.jsonl", "--cache", "kept", "-q")
    assert elsewhere(tmp_path, *train, "--max-steps", 10) == "words.pt\n"
    assert elsewhere(tmp_path, *train, "--max-steps", 20, "--resume") == "words.pt\n"
    assert not list(tmp_path.glob(".*")), "neither a lock nor a stray file is left"
    assert len(elsewhere(tmp_path, "sample", "words.pt", "-n", 30, "-q")) == 30
    assert elsewhere(tmp_path, "sample", "words.pt", "-n", 30, "-q", "--interactive", stdin="tin\n").startswith("tin")
    assert "verdict" in elsewhere(tmp_path, "inspect", "words.pt")
    assert elsewhere(tmp_path, "inspect", "words.pt", "--score", "-", "--by", "line", stdin="tin\n").count("\t") == 2


class LibraryError(OSError):
    """What Windows says where a library does not load."""

    winerror = 126


@pytest.mark.parametrize(
    ("error", "system", "is_closed"),
    [
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "posix", True),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "nt", True),
        (OSError(errno.EINVAL, "Invalid argument"), "nt", True),
        (OSError(errno.EINVAL, "Invalid argument"), "posix", False),
        (OSError(errno.EINVAL, "Invalid argument", "a:b"), "nt", False),
        (LibraryError(errno.EINVAL, "The specified module could not be found"), "nt", False),
        (OSError(errno.ENOSPC, "No space left on device"), "nt", False),
    ],
)
def test_a_closed_pipe_is_known_on_each_system(error, system, is_closed):
    assert is_closed_pipe(error, system) == is_closed


@pytest.mark.parametrize("command", [train, sample, inspect])
def test_what_typer_fills_in_has_no_default(command):
    """Python 3.10 takes a default of None for an optional type, of which typer knows no such one."""
    (context,) = (one for one in signature(command).parameters.values() if one.annotation is typer.Context)
    assert context.default is context.empty


def test_where_no_open_file_is_removed_the_lock_goes_once_it_is_closed(tmp_path, monkeypatch):
    still_open, closed, unlink = True, os.close, Path.unlink

    def close(descriptor):
        nonlocal still_open
        closed(descriptor)
        still_open = False

    def remove(path, missing_ok=False):
        if still_open:
            raise PermissionError(errno.EACCES, "The process cannot access the file", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock.os, "close", close)
    monkeypatch.setattr(Path, "unlink", remove)
    with lock.locked_output(tmp_path / "verse.pt"):
        assert os.listdir(tmp_path) == [".verse.pt.lock"]
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(lock.os, "close", closed)
    still_open = True
    with lock.locked_output(tmp_path / "verse.pt"):  # another training holds it too
        pass
    assert os.listdir(tmp_path) == [".verse.pt.lock"]
