"""Commands to type after a `charrnn train`, or instead of it, built from its request."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from charrnn.cli.common.backslashes import escaped
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resume_policy import MAY_CHANGE, UNKEPT
from charrnn.escape import shell_quoted
from charrnn.limits import flag_name
from charrnn.paths import STDIN, as_argument, names_stream
from charrnn.surrogates import SURROGATE
from charrnn.text.options import BYTE


def command_line() -> str:
    """The command line of this process, quoted for a POSIX shell."""
    return shlex.join(["charrnn", *sys.argv[1:]])


def command_to_go_on(request: Request, world_size: int) -> str:
    """The command that resumes the training.

    Args:
        request: that began or resumed it.
        world_size: number of processes that train together.
    """
    out = [f"--out {shell_quoted(request.out)}"] if request.out else []
    command = _command(request, typed_texts(request), *out, *_log_flag(request), "--resume")
    if world_size > 1:
        return f"torchrun ... -m {'-- ' if request.log else ''}{command}"  # else torchrun takes --log for its own
    return command


def command_from_stdin(request: Request) -> str:
    """The command that resumes as this request does, into the same file, but with the text from standard input."""
    out = f"--out {shell_quoted(str(request.path))}"
    way = [out, "--resume"]
    if request.resume_from is not None:
        way = [f"--resume-from {shell_quoted(request.resume_from)}", out]
        if request.overwrite:
            way.append("--overwrite")
    given = [_typed(name, request.explicit[name]) for name in (*MAY_CHANGE, *UNKEPT) if name in request.explicit]
    if request.as_json:
        given.append("--json")
    if request.quiet:
        given.append("--quiet")
    return _command(request, STDIN, *way, *_log_flag(request), *given)


def way_to_begin(request: Request) -> str:
    """The flags that begin a training with the checkpoint's weights, and the flags that they replace."""
    flags = f"--init-from {shell_quoted(str(request.source))}"
    if request.is_in_place or (request.may_replace and not request.overwrite):
        flags += " --overwrite"
    if request.is_in_place:
        return f"{flags} in place of {request.typed_resume}"
    return f"{flags} in place of --resume-from{' and --force-resume' if request.force else ''}"


def typed_texts(request: Request) -> str:
    """The texts' paths, quoted for a command."""
    return shell_quoted(*map(_nameable, request.texts))


def reading_flags(request: Request) -> list[str]:
    """The flags that say which files are read and how, quoted for a command; checkpoints do not restore them."""
    reading = request.reading
    flags = [("--val-text", _nameable(text)) for text in reading.val_texts]
    flags += [("--include", pattern) for pattern in reading.include]
    flags += [("--exclude", pattern) for pattern in reading.exclude]
    flags += [("--separator", escaped(reading.separator))] if reading.separator else []
    if SURROGATE.search(reading.separator):  # refused unless the unit is bytes, even at a resume
        flags.append(("--unit", BYTE))
    flags += [("--cache", request.named_cache)] if request.named_cache else []
    typed = [f"{flag} {shell_quoted(value)}" for flag, value in flags]
    return typed if reading.cache is not None else [*typed, "--no-cache"]


def _command(request: Request, texts: str, *flags: str) -> str:
    return " ".join(["charrnn train", texts, *reading_flags(request), *flags])


def _log_flag(request: Request) -> list[str]:
    return [f"--log {shell_quoted(request.log)}"] if request.log else []


def _nameable(text: str) -> str:
    """A text's path for another command: not mistakable for a flag, and - for an open file such as a shell's <(...)."""
    if names_stream(text):
        return STDIN
    return text if text == STDIN else as_argument(text)


def _typed(name: str, value: Any) -> str:
    """An option as typed on the command line."""
    flag = flag_name(name)
    if isinstance(value, bool):
        return flag if value else flag.replace("--", "--no-", 1)
    return f"{flag} {str(value).removesuffix('.0')}"
