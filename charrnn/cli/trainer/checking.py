"""Check the request of a `charrnn train` before any work: its texts, its outputs, and flags that contradict."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from charrnn.cli.common.training_outputs import begins_as_log
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.suggested_commands import way_to_begin
from charrnn.errors import CheckpointError, ConfigError, CorpusError, OutputError
from charrnn.escape import shell_quoted
from charrnn.paths import STDIN, identity
from charrnn.storage.archive import begins_as_checkpoint, is_checkpoint, read_checkpoint
from charrnn.storage.outputs import folder_of, require_file_name, require_folder, require_output, temporary_beside
from charrnn.text.options import BYTE
from charrnn.text.sources import require_texts

INTO_PIPES = "; to a pipe, --json writes such lines on stderr: --json 2> PIPE"
"""Advice for a log given as a pipe: the log must be a file, since later runs append to it."""

MOUNTS = Path("/proc/self/mountinfo")
"""Linux's list of mounts; the fifth field of a line is the mount point, with special characters as octal escapes."""


def check_texts(request: Request) -> None:
    """Refuse a text that does not exist, and a checkpoint given as a text, as users of PyTorch do with --resume.

    A checkpoint is accepted as a text if arbitrary bytes may be learned from.

    Raises:
        CorpusError: a text does not exist, or is a checkpoint.
        ConfigError: standard input is named twice.
    """
    require_texts(request.all_texts)
    for text in request.all_texts:
        if is_checkpoint(text) and not _takes_any_bytes(request):
            typed = shell_quoted(text)
            raise CorpusError(
                f"{text}: is a checkpoint, not a text; to go on with it, give its text and --out {typed} --resume, or "
                f"--resume-from {typed} and another --out"
            )


def check_output(request: Request) -> None:
    """Check, before any work, that the checkpoint and the log may and can be written.

    Raises:
        OutputError: one of them must not or cannot be written.
        ConfigError: the flags contradict each other.
        CheckpointError: the checkpoint to resume from, the output itself, does not exist.
    """
    _check_flags(request)
    _check_path(request)
    _check_resumed(request)


def _takes_any_bytes(request: Request) -> bool:
    options = request.reading.options
    if request.resume or request.init_from:
        with contextlib.suppress(CheckpointError):  # reported when the run resumes from it
            options = read_checkpoint(str(request.source)).text_options
    return options.unit == BYTE or options.errors != "strict"


def _check_flags(request: Request) -> None:
    """Refuse flags that contradict each other, and paths that cannot name a file."""
    if request.out is not None:
        require_output(request.out, "--out")
    if request.log is not None:
        try:
            require_output(request.log, "--log")
        except OutputError as error:
            raise OutputError(f"{error}{INTO_PIPES if request.log else ''}") from None
        require_file_name(request.log, "--log")
    if request.is_in_place and request.overwrite:
        raise ConfigError(_told_of_replacing(request))
    if request.init_from is not None and request.resume:
        raise ConfigError(_told_of_both_ways(request, request.init_from))
    for flag, source in (("--resume-from", request.resume_from), ("--init-from", request.init_from)):
        if source == "":
            raise ConfigError(f"{flag} is empty; give a checkpoint")
        if source is not None and (source == STDIN or _is_pipe(source)):
            what = "standard input" if source == STDIN else "a pipe"
            raise ConfigError(f"{flag} {source} is {what}, and it is read twice; give a file")


def _told_of_replacing(request: Request) -> str:
    """The error for --overwrite together with a flag that resumes in the output file."""
    if not request.force:
        return "--resume goes on with a checkpoint and --overwrite replaces it; give one of them"
    return f"--force-resume replaces a checkpoint without --overwrite; leave that out, or give {way_to_begin(request)}"


def _told_of_both_ways(request: Request, init_from: str) -> str:
    """The error for --init-from together with --resume, if the stored run did not begin with that checkpoint."""
    path = request.path
    general = "--init-from begins a training with a model's weights, and --resume goes on with one; give one of them"
    if request.resume_from is not None:
        return general
    try:
        before = read_checkpoint(str(path)).origin.init_from
    except CheckpointError:  # there is none to go on with
        return general
    if identity(init_from) == identity(path):
        return (
            f"--init-from {shell_quoted(init_from)} is what {request.typed_resume} goes on with; to begin a training "
            f"with its weights, give --overwrite in place of {request.typed_resume}; to go on, leave --init-from out"
        )
    began = f"from {before}, not from {init_from}"
    if before is None:
        began = f"with weights of its own, not with those of {init_from}"
    elif Path(before) == Path(init_from):
        began = f"from {before} as it was, not from what lies there now"
    return f"{path} began {began}; leave --init-from out to go on with {path}"


def _check_path(request: Request) -> None:
    """Refuse paths of the checkpoint and the log that must not or cannot be written."""
    path = request.path
    _require_usable_name(path)
    if path.exists():
        _check_replaced(path, request)
    if request.log is not None:
        _check_log(Path(request.log), request)
    _check_folder(path, request)
    _try_to_write(path)


def _check_resumed(request: Request) -> None:
    """Refuse to resume from the output file if it does not exist."""
    if request.is_in_place and not os.path.exists(request.path):
        which = "--out NAME.pt says which one to continue, and " if request.out is None else ""
        raise CheckpointError(
            f"{request.path}: no checkpoint of that name here; {which}without --resume a training begins"
        )


def _require_usable_name(path: Path) -> None:
    """Refuse a name that is invalid on this file system, or that of a folder."""
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in it
        reason = error.strerror if isinstance(error, OSError) else error
        raise OutputError(f"{path}: cannot be written ({reason}); give another file with --out") from None
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give a file with --out")


def _check_replaced(path: Path, request: Request) -> None:
    """Refuse to replace an existing file that is not a checkpoint, or that no flag allows to replace."""
    if not path.is_file():
        raise OutputError(f"{path}: is not a regular file; give another with --out")
    if any(os.path.exists(text) and path.samefile(text) for text in request.all_texts):
        raise OutputError(f"{path}: is the text itself; give another file with --out")
    if not request.is_in_place:
        with _translate_read_errors(path, "--out"):
            begins_as_checkpoint(path)
    if not request.may_replace:
        raise OutputError(f"{path}: exists{_ways_around(path, request)}choose another file with --out")
    if request.overwrite and _is_foreign(path):
        raise OutputError(
            f"{path}: is not a checkpoint, and --overwrite replaces no other file; delete it, or give another --out"
        )


def _ways_around(path: Path, request: Request) -> str:
    """The ways to use an existing output, as the middle part of an error message."""
    if _is_foreign(path):
        return " and is not a checkpoint; "
    is_resumable = request.init_from is None and path.stat().st_size
    return f"; {'continue it with --resume, ' if is_resumable else ''}replace it with --overwrite, or "


def _is_foreign(path: Path) -> bool:
    """Whether an existing file is neither empty nor a checkpoint, so that no training may replace it."""
    return path.stat().st_size > 0 and not begins_as_checkpoint(path)


@contextlib.contextmanager
def _translate_read_errors(path: Path, flag: str) -> Iterator[None]:
    """Turn an error in reading an existing file, to find out what it is, into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: exists and cannot be read ({error.strerror}); check its permissions, or give another file with "
            f"{flag}"
        ) from None


def _check_log(log: Path, request: Request) -> None:
    others = [request.path, *(Path(text) for text in request.all_texts if text != STDIN)]
    if any(identity(log) == identity(other) for other in others):
        raise OutputError(f"{log}: is the checkpoint or the text itself; give another file with --log")
    is_there = os.path.exists(log)  # `Path.exists` fails where the name is too long
    if is_there and not log.is_file():
        told = INTO_PIPES if _is_pipe(str(log)) else ""
        raise OutputError(f"{log}: is not a regular file; give another with --log{told}")
    with _translate_read_errors(log, "--log"):
        if is_there and not begins_as_log(log):
            raise OutputError(f"{log}: is not the log of a training; give another file with --log")
    if is_there and log.stat().st_size and not (request.resume or request.overwrite):
        raise OutputError(f"{log}: exists; replace it with --overwrite, or give another file with --log")
    require_folder(log, "--log")


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except (OSError, ValueError):  # not there, or an invalid name: reported when it is opened
        return False


def _check_folder(path: Path, request: Request) -> None:
    """Refuse a folder that does not exist, or in which this user may not write, or not replace the existing file."""
    folder = folder_of(path)
    require_folder(path, "--out")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: may not be written to; give a file elsewhere with --out")
    if path.exists() and (reason := _why_it_stays(path, folder)):
        mend = "give another file with --out"
        if request.is_in_place:
            mend = f"go on in another file with --resume-from {shell_quoted(str(path))} and --out"
        raise OutputError(f"{path}: cannot be replaced ({reason}); {mend}")


def _why_it_stays(path: Path, folder: Path) -> str:
    """Why a file in a writable folder cannot be replaced; empty if nothing speaks against it."""
    if _is_replaced_by_owner_alone(path, folder):
        return "another user's, in a folder where only its owner may"
    return "it is mounted by itself; mount its folder instead" if _is_mounted(path) else ""


def _is_replaced_by_owner_alone(path: Path, folder: Path) -> bool:
    """Whether a file is another user's and its folder has the sticky bit, as /tmp; never on Windows."""
    there, around = path.stat(), folder.stat()
    return bool(around.st_mode & stat.S_ISVTX) and os.geteuid() not in (0, there.st_uid, around.st_uid)


def _is_mounted(path: Path) -> bool:
    """Whether a file is itself a mount point, as in containers, on Linux; `os.path.ismount` detects only folders."""
    target = re.sub(rb"[ \t\n\\]", lambda sign: b"\\%03o" % ord(sign[0]), os.path.realpath(os.fsencode(path)))
    try:
        mounts = MOUNTS.read_bytes().splitlines()
    except OSError:  # another system
        return False
    return any(mount.split(b" ")[4] == target for mount in mounts)


def _try_to_write(path: Path) -> None:
    """Create and remove a file beside a path: a disk may be read-only, and on Windows only an attempt tells."""
    probe = temporary_beside(path)  # named as a save's, so that it is cleared away if left behind
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        probe.unlink()
    except FileExistsError:  # from a process with the same id on another host
        pass
    except OSError as error:
        mend = "raise their limit, `ulimit -n`" if error.errno == errno.EMFILE else "give another file with --out"
        raise OutputError(f"{path}: cannot be written ({error.strerror}); {mend}") from None
