"""Nothing depends on functions that only Linux has; other systems are simulated by hiding these."""

import errno
import io
import os
import pathlib
import shutil
import subprocess
import sys
import unicodedata
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import typer
from conftest import clean_environment, make_text
from hypothesis import example, given
from hypothesis import strategies as st
from runs import NO_FLAGS

from charrnn import disk, escape, paths
from charrnn.cli.common.streams import is_closed_pipe
from charrnn.cli.inspection import inspect
from charrnn.cli.sample import sample
from charrnn.cli.sampler.prompts import read_prompt
from charrnn.cli.train import train
from charrnn.cli.trainer import lock
from charrnn.cli.trainer.checking import check_output
from charrnn.cli.trainer.request import Request
from charrnn.errors import CorpusError, OutputError
from charrnn.storage import outputs
from charrnn.text.cache import Cache
from charrnn.text.left_out import LINKED
from charrnn.text.options import PLAIN
from charrnn.text.read_options import ReadOptions
from charrnn.text.sources import find_documents

ELSEWHERE = """
import asyncio, os, signal, sys  # PyTorch imports asyncio, which looks once what system it is on
from types import SimpleNamespace

for name in ("fcntl", "termios", "readline", "resource", "pwd", "grp"):
    sys.modules[name] = None
for module, names in (
    (os, "sched_getaffinity nice sysconf confstr confstr_names fork tcgetpgrp getpgrp getuid"),
    (signal, "SIGHUP SIGUSR1 SIGUSR2 SIGXCPU SIGCONT SIGPIPE SIGTTOU"),
):
    for name in names.split():
        delattr(module, name)
sys.argv = ["charrnn", *sys.argv[1:]]
from charrnn import paths
from charrnn.cli import main

paths.os = SimpleNamespace(**{**vars(os), "name": "nt"})
main()
"""
"""The command line on a system that has little of what POSIX asks for, as Windows."""


WINDOWS = SimpleNamespace(**{**vars(os), "name": "nt"})
"""To stand for `os` in one module: with another name in `os` itself pathlib fails."""


def elsewhere(folder, *arguments, stdin=""):
    result = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *map(str, arguments)],
        cwd=folder, input=stdin, capture_output=True, text=True, env=clean_environment(), timeout=120,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_all_commands_work_without_posix_features(tmp_path):
    (tmp_path / "words.txt").write_text(make_text(4_000), encoding="utf-8")
    train = ("train", "w?rds.*xt", "--hidden-size", 16, "--log", "words.jsonl", "--cache", "kept", "-q")
    assert elsewhere(tmp_path, *train, "--max-steps", 10) == "words.pt\n"
    assert elsewhere(tmp_path, *train, "--max-steps", 20, "--resume") == "words.pt\n"
    assert not list(tmp_path.glob(".*")), "neither a lock nor a stray file is left"
    assert len(elsewhere(tmp_path, "sample", "words.pt", "-n", 30, "-q")) == 30
    assert elsewhere(tmp_path, "sample", "words.pt", "-n", 30, "-q", "--interactive", stdin="tin\n").startswith("tin")
    assert "verdict" in elsewhere(tmp_path, "inspect", "*.pt")
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
def test_closed_pipe_is_recognized_on_each_system(error, system, is_closed):
    assert is_closed_pipe(error, system) == is_closed


@pytest.mark.parametrize("command", [train, sample, inspect])
def test_typer_context_has_no_default(command):
    """Python 3.10 takes a default of None for an optional type, of which typer knows no such one."""
    (context,) = (one for one in signature(command).parameters.values() if one.annotation is typer.Context)
    assert context.default is context.empty


def test_lock_is_removed_once_closed_if_open_files_cannot_be(tmp_path, monkeypatch):
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


class Entry:
    """What a folder holds, with the folder as it was spelled, and with what a system has noted of it."""

    def __init__(self, found, folder, noted=None):
        self._found, self.path, self._noted = found, os.path.join(folder, found.name), noted or {}

    def __getattr__(self, name):
        return getattr(self._found, name)

    def stat(self, *, follow_symlinks):
        assert not follow_symlinks
        return SimpleNamespace(**self._noted)

    def is_symlink(self):
        return not self._noted and self._found.is_symlink()

    def is_dir(self, *, follow_symlinks):
        return self._found.is_dir(follow_symlinks=bool(self._noted))  # of a junction it is true


def fold_names(monkeypatch):
    """Have the disk take a name for another that differs in case or in Unicode form, as macOS' does by default."""

    def fold(name):
        return unicodedata.normalize("NFC", name).casefold()

    def spelled(path):
        if not isinstance(path, (str, os.PathLike)) or os.path.isabs(path):
            return path
        there = ""
        for part in os.fspath(path).split("/"):
            alike = [name for name in os.listdir(there or ".") if fold(name) == fold(part)]
            there = os.path.join(there, alike[0] if alike else part)
        return there

    for name in ("stat", "lstat"):
        call = getattr(os, name)
        monkeypatch.setattr(os, name, lambda path, *rest, call=call, **named: call(spelled(path), *rest, **named))
    if accessor := getattr(pathlib, "_NormalAccessor", None):  # Python 3.10 holds os.stat there
        monkeypatch.setattr(accessor, "stat", staticmethod(os.stat))
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: [Entry(found, path) for found in scan(spelled(path))])


@pytest.mark.parametrize(
    ("texts", "held_out", "read"),
    [
        ("Poems", "Poems/caf\u00e9.txt", "Poems/a.txt Poems/u/b.txt Poems/caf\u00e9.txt"),
        ("Poems", "poems/A.txt", "Poems/cafe\u0301.txt Poems/u/b.txt poems/A.txt"),
        ("Poems", "Poems/U", "Poems/a.txt Poems/cafe\u0301.txt Poems/U/b.txt"),
        ("poems Link", "POEMS/A.TXT", "poems/cafe\u0301.txt poems/u/b.txt Link/far.txt POEMS/A.TXT"),
    ],
)
def test_val_text_is_excluded_in_any_case_and_unicode_form_of_its_name(tmp_path, monkeypatch, texts, held_out, read):
    (tmp_path / "Poems" / "u").mkdir(parents=True)
    (tmp_path / "Link").mkdir()
    for name in ("Poems/a.txt", "Poems/cafe\u0301.txt", "Poems/u/b.txt", "Link/far.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "Link" / "near.txt").symlink_to("../poems/A.txt")
    os.link(tmp_path / "Poems" / "a.txt", tmp_path / "kept.txt")
    monkeypatch.chdir(tmp_path)
    fold_names(monkeypatch)
    found = find_documents(texts.split(), held_out=[held_out], outputs=[Path("poems/Log.txt")])
    assert [document.name for document in found.documents] == read.split()
    for one, other in (("Poems/a.txt", "poems/A.txt"), ("poems", "Poems/U/b.txt")):
        with pytest.raises(CorpusError, match=f"^{other}: is given twice"):
            find_documents([one, other])
    read_too = find_documents(["poems"], outputs=[Path("Poems/A.txt")]).documents
    assert "poems/a.txt" not in [document.name for document in read_too], "what is made of a text is no part of it"


def test_log_named_like_the_text_in_another_case_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("Poem.txt").write_text("tin")
    fold_names(monkeypatch)
    flags = {**NO_FLAGS, "log": "poem.TXT", "overwrite": True}
    with pytest.raises(OutputError, match=r"^poem\.TXT: is the checkpoint or the text itself"):
        check_output(Request(texts=("Poem.txt",), reading=ReadOptions(), out=None, **flags))


@pytest.mark.parametrize(
    ("platform", "hidden", "read"),
    [
        ("win32", {"st_file_attributes": 2 | 4}, "d/a d/system"),
        ("darwin", {"st_flags": 0x8000 | 1}, "d/a d/system"),
        ("linux", {}, "d/a d/system d/veiled d/veiled.d/b"),
    ],
)
def test_hidden_files_and_junctions_of_windows_are_left_out(tmp_path, monkeypatch, platform, hidden, read):
    monkeypatch.chdir(tmp_path)
    for name in ("d/a", "d/system", "d/veiled", "d/veiled.d/b", "far/away"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("d/jump").symlink_to("../far")
    noted = {"veiled": hidden, "veiled.d": hidden, "a": dict.fromkeys(hidden, 32)}
    if platform == "win32":
        noted["jump"] = {"st_reparse_tag": 0xA0000003}
        noted["system"] = {"st_file_attributes": 4}  # as a folder is marked that has a picture of its own
    scan = os.scandir
    monkeypatch.setattr(
        os, "scandir", lambda path: [Entry(found, path, noted.get(found.name, {})) for found in scan(path)]
    )
    monkeypatch.setattr("charrnn.paths.sys", SimpleNamespace(platform=platform))
    found = find_documents(["d"])
    assert [document.name for document in found.documents] == read.split()
    assert [(left.name, left.cause) for left in found.skipped] == [("d/jump", LINKED)]


def test_link_to_a_hidden_folder_is_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("d/a", "e/b", "e/veiled/c"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    Path("d/link").symlink_to("../e/veiled")
    monkeypatch.setattr("charrnn.paths.system_mark", lambda entry, field: 2 * (entry.name == "veiled"))
    found = find_documents(["d", "e"])
    assert [document.name for document in found.documents] == ["d/a", "e/b"]
    assert [(left.name, left.cause) for left in found.skipped] == [("d/link", LINKED)]


def test_two_hard_links_are_two_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a").write_text("tin")
    os.link("a", "b")
    assert [document.name for document in find_documents(["a", "b"]).documents] == ["a", "b"]
    with pytest.raises(CorpusError, match=r"^\./a: is given twice"):
        find_documents(["a", "./a"])


@pytest.mark.parametrize("knows", [True, False])
def test_full_fsync_is_used_where_available(tmp_path, monkeypatch, knows):
    """As on macOS, though not on all of its file systems."""
    fsync, done = os.fsync, []

    def sync_in_full(descriptor, how):
        done.append(how)
        if not knows:
            raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "fsync", lambda descriptor: done.append("fsync") or fsync(descriptor))
    monkeypatch.setattr(disk.fcntl, "F_FULLFSYNC", "full", raising=False)
    monkeypatch.setattr(disk.fcntl, "fcntl", sync_in_full)
    outputs.write_whole(str(tmp_path / "page.html"), b"<p>", "--html")
    Cache(tmp_path).keep("key", [np.arange(9, dtype=np.uint8)], np.dtype(np.uint8))
    assert done == 3 * (["full"] if knows else ["full", "fsync"]), "a file, its folder, and an encoded text"


def refuse(times, monkeypatch):
    """Make a rename fail so often as if another program had the target open; what is called gives how often it was."""
    asked, rename = [], os.replace

    def replace(source, target):
        asked.append(target)
        if len(asked) <= times:
            raise PermissionError(errno.EACCES, "Access is denied", str(target))
        rename(source, target)

    monkeypatch.setattr(os, "replace", replace)
    return lambda: len(asked)


@pytest.mark.parametrize(("system", "refusals", "succeeds"), [("nt", 3, True), ("nt", 99, False), ("posix", 1, False)])
def test_rename_retries_for_open_files_only_on_windows(tmp_path, monkeypatch, system, refusals, succeeds):
    new, old = tmp_path / "new", tmp_path / "old"
    new.write_text("new")
    old.write_text("old")
    asked = refuse(refusals, monkeypatch)
    monkeypatch.setattr(outputs, "PAUSE", 0.0)
    monkeypatch.setattr(outputs.os, "name", system)
    if succeeds:
        outputs.put_in_place(new, old)
    else:
        with pytest.raises(PermissionError):
            outputs.put_in_place(new, old)
    monkeypatch.undo()
    assert old.read_text() == ("new" if succeeds else "old")
    assert asked() == {"nt": min(refusals + 1, outputs.ATTEMPTS), "posix": 1}[system]


def test_ids_mapped_by_another_training_are_mapped_too(tmp_path, monkeypatch):
    cache, ids = Cache(tmp_path), np.arange(9, dtype=np.uint8)
    cache.keep("a", [ids], ids.dtype)
    refuse(2, monkeypatch)
    assert cache.keep("a", [ids], ids.dtype).tolist() == ids.tolist()
    with pytest.raises(CorpusError, match="cannot be kept"):
        cache.keep("a", [ids[:5]], ids.dtype)
    assert [file.name for file in tmp_path.iterdir()] == ["a.ids"]


@pytest.mark.parametrize(
    ("typed", "prompt"),
    [("Tin\n", "Tin"), ("Tin\r\n", "Tin"), ("Tin", "Tin"), ("Tin\n\n", "Tin\n"), ("Tin\r", "Tin\r")],
)
def test_piped_prompt_ends_with_its_line(monkeypatch, typed, prompt):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed.encode())))
    assert read_prompt("-", None, PLAIN) == prompt


def test_suggested_command_is_quoted_for_the_shell(monkeypatch):
    words = ("my verse.txt", "*.py")
    assert escape.shell_quoted(*words) == "'my verse.txt' '*.py'"
    monkeypatch.setattr(escape, "os", WINDOWS)
    assert escape.shell_quoted(*words) == '"my verse.txt" "*.py"'


def test_patterns_are_expanded_on_windows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b[1].txt", "a[1].txt", "c1.txt", "d*.txt"):
        Path(name).write_text(name)
    typed = ["-", "?[1].txt", "c?.txt", "d*.txt", "e*", "c1.txt", ""]
    assert paths.expanded(typed) == typed
    monkeypatch.setattr(paths, "os", WINDOWS)
    assert paths.expanded(typed) == ["-", "a[1].txt", "b[1].txt", "c1.txt", "d*.txt", "e*", "c1.txt", ""]


@pytest.mark.parametrize(
    ("word", "typed"),
    [
        (r"C:\verse\b-1.txt", r"C:\verse\b-1.txt"),
        ("café.txt", "café.txt"),
        ("book(1).txt", '"book(1).txt"'),
        ("it's.txt", '"it\'s.txt"'),
        ("R&B.txt", '"R&B.txt"'),
        ("a;b,c.txt", '"a;b,c.txt"'),
        ("@x#{1}.txt", '"@x#{1}.txt"'),
        ("", '""'),
        ("C:\\my books\\", '"C:\\my books\\\\"'),
        ("$5.txt", "'$5.txt'"),
        ("it's $5.txt", "'it''s $5.txt'"),
        ("it\u2019s.txt", '"it\u2019s.txt"'),
        ("\u201eit\u2019s\u201c", "'\u201eit\u2019\u2019s\u201c'"),
    ],
)
def test_suggested_command_is_quoted_for_powershell_and_cmd(monkeypatch, word, typed):
    monkeypatch.setattr(escape, "os", WINDOWS)
    assert escape.shell_quoted(word) == typed


@pytest.mark.skipif(shutil.which("bash") is None, reason="a system without bash")
@given(st.lists(st.binary() | st.text().map(str.encode), min_size=1, max_size=9))
@example([b"caf\xe9.txt", b"\xe9a", b"it's\n", b"\\\x1b]0;", "\u202e\u00e9'".encode()])
def test_suggested_command_round_trips_through_bash_and_is_printable(words):
    words = [word.replace(b"\0", b"") for word in words]
    typed = escape.shell_quoted(*map(os.fsdecode, words))
    assert escape.one_line(typed) == typed
    read = subprocess.run(["bash", "-c", f"printf '%s\\0' {typed}"], capture_output=True, check=True).stdout
    assert read.split(b"\0")[:-1] == words


@pytest.mark.parametrize(("word", "typed"), [("\ud800.txt", r"$'\xed\xa0\x80.txt'"), ("\udfff", r"$'\xed\xbf\xbf'")])
def test_suggested_command_escapes_what_no_file_name_can_have(word, typed):
    """A stranger's checkpoint may hold such a path or pattern."""
    assert escape.shell_quoted(word) == typed
