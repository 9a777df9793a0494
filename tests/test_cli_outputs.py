"""Where `charrnn train` may write a checkpoint and a log, and what it refuses before it trains."""

import contextlib
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import SMALL
from runs import NO_FLAGS

from charrnn.cli.trainer import checking
from charrnn.cli.trainer.checking import check_output
from charrnn.cli.trainer.request import Request
from charrnn.errors import OutputError
from charrnn.storage.outputs import check_replaceable, require_output
from charrnn.text.read_options import ReadOptions


@pytest.mark.skipif(os.name == "nt", reason="there a working directory cannot be deleted")
def test_missing_working_directory_is_reported_in_one_line(text):
    command = f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m charrnn train {text}"
    result = subprocess.run(["bash", "-c", command], cwd=text.parent, capture_output=True, timeout=100)
    told = b"charrnn: the working directory is gone; go to another with `cd`\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, b"", told)


def test_file_in_a_missing_working_directory_is_refused(tmp_path, monkeypatch):
    def refuse():
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", refuse)
    require_output(str(tmp_path / "x.html"), "--html")
    with pytest.raises(OutputError, match=r"^--html x\.html: the working directory is gone; go to another with `cd`$"):
        require_output("x.html", "--html")


def test_checkpoint_keeps_its_name_when_the_text_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("texts.v1", "out"):
        (tmp_path / folder).mkdir()
    requests = [Request(texts=("texts.v1",), reading=ReadOptions(), out=out, **NO_FLAGS) for out in (None, "out")]
    named = [request.path for request in requests]
    assert named == [Path("texts.v1.pt"), Path("out/texts.v1.pt")]
    for folder in ("texts.v1", "out"):
        (tmp_path / folder).rmdir()
    assert [request.path for request in requests] == named


@pytest.mark.slow
def test_existing_file_is_never_overwritten(charrnn, text):
    kept = text.with_name("verse.pt")
    kept.write_bytes(b"precious")
    result = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3)
    assert result.code == 2
    assert result.stdout == b""
    told = "charrnn: verse.pt: exists and is not a checkpoint; choose another file with --out\n"
    assert result.stderr == told, "neither --resume nor --overwrite would take it"
    assert kept.read_bytes() == b"precious"
    asked = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3, "--overwrite")
    assert (asked.code, asked.stdout) == (2, b"")
    assert asked.stderr.startswith("charrnn: verse.pt: is not a checkpoint, and --overwrite replaces no other file; ")
    assert kept.read_bytes() == b"precious"
    kept.write_bytes(b"")  # as mktemp leaves it
    empty = charrnn("train", "verse.txt", *SMALL, "--max-steps", 3)
    assert empty.stderr == "charrnn: verse.pt: exists; replace it with --overwrite, or choose another file with --out\n"
    for max_steps in (3, 4):
        done = charrnn("train", "verse.txt", *SMALL, "--max-steps", max_steps, "--overwrite", "-q")
        assert done.code == 0, done.stderr
        assert torch.load(kept, weights_only=True)["training"]["step"] == max_steps


def test_missing_text_is_reported_before_an_existing_output(charrnn, text):
    text.with_name("verse.pt").touch()
    result = charrnn("train", "verse", *SMALL)
    assert (result.code, result.stderr) == (2, "charrnn: verse: no such file; did you mean verse.txt?\n")


@pytest.mark.parametrize(
    "texts", [["sub/w.pt"], ["verse.pt"], ["verse.pt", "--resume"], ["verse.txt", "--resume", "verse.pt"]]
)
def test_checkpoint_given_as_a_text_is_reported_first(charrnn, text, texts):
    (text.parent / "sub").mkdir()
    for name in ("verse.pt", "sub/w.pt"):
        torch.save({"format": "charrnn"}, text.parent / name)
    given = next(name for name in texts if name.endswith(".pt"))
    told = f"{given}: is a checkpoint, not a text; to go on with it, give its text and --out {given} --resume, or "
    refused = charrnn("train", *texts)
    assert (refused.code, refused.stdout) == (2, b"")
    assert refused.stderr == f"charrnn: {told}--resume-from {given} and another --out\n"
    as_bytes = charrnn("train", given, "--unit", "byte", "--out", "no/where.pt")
    assert as_bytes.stderr.startswith("charrnn: no: no such folder"), "any bytes can be learned from"


def test_dangling_link_is_reported_by_its_missing_folder(charrnn, text):
    far = text.parent / "far" / "m.pt"
    text.with_name("link.pt").symlink_to(far)
    result = charrnn("train", "verse.txt", "--out", "link.pt")
    assert (result.code, result.stdout) == (2, b"")
    assert result.stderr.startswith(
        f"charrnn: {far.parent}: no such folder; make it, or choose another place with --out"
    )


@pytest.mark.parametrize("flag", ["--out", "--log"])
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "mine"])
def test_out_and_log_refuse_dev_stdout(text, flag, name):
    text.with_name("mine").symlink_to("/dev/stdout")
    command = [sys.executable, "-m", "charrnn", "train", "verse.txt", flag, name, "--overwrite"]
    with open(text.with_name("x.pt"), "wb") as out:
        result = subprocess.run(command, cwd=text.parent, stdout=out, stderr=subprocess.PIPE, timeout=300, check=False)
    told = f"charrnn: {flag} {name}: names an open stream, and it writes a file; name one"
    told += "; to a pipe, --json writes such lines on stderr: --json 2> PIPE" * (flag == "--log")
    assert (result.returncode, result.stderr.decode()) == (2, f"{told}\n")
    assert text.with_name("x.pt").read_bytes() == b""


def refusal_of(path, why):
    told = f"{path}: cannot be replaced ({why}); give another file with --out"
    return pytest.raises(OutputError, match=f"^{re.escape(told)}$")


@pytest.mark.parametrize(("mode", "user", "is_refused"), [
    (0o1777, "other", True), (0o777, "other", False), (0o1777, "owner", False), (0o1777, "root", False),
])  # fmt: skip
@pytest.mark.parametrize("is_link", [False, True])
def test_sticky_folder_of_another_owner_is_refused_before_training(text, monkeypatch, is_link, mode, user, is_refused):
    folder, owner = text.with_name("all"), os.geteuid()
    folder.mkdir()
    (folder / "there.pt").touch()
    path = folder / "there.pt"
    if is_link:
        path = text.with_name("link.pt")
        path.symlink_to(folder / "there.pt")
    folder.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: {"other": owner + 1, "owner": owner, "root": 0}[user])
    request = Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **NO_FLAGS | {"overwrite": True})
    with (
        refusal_of(path, "another user's, in a folder where only its owner may")
        if is_refused
        else contextlib.nullcontext()
    ):
        check_output(request)


@pytest.mark.parametrize(("mounted", "is_refused"), [
    ("my\\040model.pt", True), ("my model.pt", False), ("other.pt", False), (None, False),
])  # fmt: skip
def test_mounted_file_is_refused_before_training(text, monkeypatch, mounted, is_refused):
    path, mounts = text.with_name("my model.pt"), text.with_name("mountinfo")
    path.touch()
    if mounted is not None:  # else it is another system
        mounts.write_text(f"42 27 254:0 /a.pt {text.with_name(mounted)} rw,relatime - ext4 /dev/vda rw\n")
    monkeypatch.setattr(checking, "MOUNTS", mounts)
    request = Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **NO_FLAGS | {"overwrite": True})
    with (
        refusal_of(path, "it is mounted by itself; mount its folder instead")
        if is_refused
        else contextlib.nullcontext()
    ):
        check_output(request)


def test_resume_from_a_link_loop_does_not_replace_an_existing_file(text):
    path, loop = text.with_name("there.pt"), text.with_name("loop.pt")
    path.touch()
    loop.symlink_to(loop.name)
    flags = NO_FLAGS | {"resume": True, "resume_from": str(loop)}
    with pytest.raises(OutputError, match=f"^{re.escape(str(path))}: exists; replace it with --overwrite, or "):
        check_output(Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **flags))


def test_unreadable_file_is_refused_without_suggesting_a_flag(text, monkeypatch):
    path, log = text.with_name("there.pt"), text.with_name("there.log")
    for file in (path, log):
        file.write_bytes(b"PK")
    told = "exists and cannot be read (Permission denied); check its permissions, or give another file with"

    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "open", refuse)
    for may_replace in (False, True):
        flags = NO_FLAGS | {"overwrite": may_replace}
        request = Request(texts=(str(text),), reading=ReadOptions(), out=str(path), **flags)
        with pytest.raises(OutputError, match=f"^{re.escape(f'{path}: {told} --out')}$"):
            check_output(request)
    flags |= {"log": str(log)}
    request = Request(texts=(str(text),), reading=ReadOptions(), out=str(text.with_name("new.pt")), **flags)
    with pytest.raises(OutputError, match=f"^{re.escape(f'{log}: {told} --log')}$"):
        check_output(request)
    with pytest.raises(
        OutputError, match=r"cannot be replaced \(Permission denied\); choose another place with --html$"
    ):
        check_replaceable(str(path), "<!--", "a page", "--html")


@pytest.mark.parametrize(("number", "mend"), [
    (errno.EMFILE, "raise their limit, `ulimit -n`"), (errno.EROFS, "give another file with --out"),
])  # fmt: skip
def test_advice_for_a_file_that_cannot_be_created_depends_on_the_error(text, monkeypatch, number, mend):
    def refuse(*_):
        raise OSError(number, reason)

    reason = os.strerror(number)
    monkeypatch.setattr(os, "open", refuse)
    request = Request(texts=(str(text),), reading=ReadOptions(), out="m.pt", **NO_FLAGS)
    with pytest.raises(OutputError, match=f"^{re.escape(f'm.pt: cannot be written ({reason}); {mend}')}$"):
        check_output(request)


def test_device_file_is_not_replaced(charrnn, text):
    result = charrnn("train", "verse.txt", "--out", "/dev/null", "--overwrite")
    assert (result.code, result.stderr) == (2, "charrnn: /dev/null: is not a regular file; give another with --out\n")
    result = charrnn("train", "verse.txt", "--log", "/dev/null")
    assert (result.code, result.stderr) == (2, "charrnn: /dev/null: is not a regular file; give another with --log\n")


@pytest.mark.skipif(os.name == "nt", reason="no named pipe lies in a folder there")
def test_log_to_a_pipe_suggests_json(charrnn, text):
    os.mkfifo(text.with_name("pipe"))
    told = "pipe: is not a regular file; give another with --log; to a pipe, --json writes such lines on stderr: --json"
    assert charrnn("train", "verse.txt", "--log", "pipe").stderr == f"charrnn: {told} 2> PIPE\n"
