"""The command line. Each command imports its dependencies lazily, so that the program starts at once.

stdout carries data and stderr everything else. This module turns every expected failure into one line on stderr.

The modules that declare flags do without `from __future__ import annotations`: typer would compile each flag's string
annotation twice at every start, which takes longer than everything else that typer does here.
"""

import contextlib
import errno
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from charrnn import __version__
from charrnn.cli.common import completion
from charrnn.cli.common.helping import (
    JSON_ERRORS,
    USAGE_ERROR,
    fit_terminal,
    offer_words,
    usage_error,
    usage_error_line,
    with_parts,
    write_examples,
)
from charrnn.cli.common.hints import HINTS
from charrnn.cli.common.mistakes import COMMANDS_ELSEWHERE
from charrnn.cli.common.streams import discard_stdout, is_closed_pipe, prepare_streams
from charrnn.display.messages import write_error
from charrnn.errors import CharRNNError, is_of_gpu, is_out_of_gpu_memory, is_out_of_memory
from charrnn.garbage import paused_gc

COMMANDS = {"train": "charrnn.cli.train", "sample": "charrnn.cli.sample", "inspect": "charrnn.cli.inspection"}
"""The module of each command, by the command's name.

The module has a function of the command's name, `PARTS` and `EXAMPLES` for `with_parts`,
`WORDS` for `offer_words`, `HELP`, whose first paragraph is the summary in the list of commands, and `SPEAKS_JSON` where
the command reports in JSON. `HELP` is not a docstring, because `python -OO` strips docstrings.
"""

OWN_FLAGS = ("--version", "--install-completion", "--show-completion", "--help")
"""Flags of the program itself."""

MUCH_ALIKE = 0.8
"""Similarity, as `difflib` measures it, from which on an unknown flag counts as a misspelling of one of `OWN_FLAGS`."""

EXAMPLES = ("charrnn train mybook.txt --time 10m", 'charrnn sample mybook.pt --prompt "Once"')

SMALLER = {
    "train": "lower --hidden-size, --batch-size or --seq-len",
    "sample": "lower --length or --num-samples",
    "inspect": "give it less text",
}
"""Advice on using less memory, by command."""

LIBRARIES = {"torch": "PyTorch", "numpy": "numpy", "rich": "rich"}
"""Names for people of the modules whose absence is told; typer is loaded before anything can be told."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Error numbers that only writing raises. An `OSError` with one of these and no file name came from standard output."""

NO_HOME = "Could not determine home directory"
"""Text of Python's error where HOME is not set and the system does not know the user."""


class OneLineErrors(TyperGroup):
    """A group of commands whose expected failures end in one line on stderr and an exit code."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        names: dict[str, Any] = dict.fromkeys(COMMANDS)  # for the help's list, and to suggest one for an unknown name
        self.commands = names

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make the named command; only its module is imported."""
        return _make_command(cmd_name) if cmd_name in COMMANDS else None

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **kwargs: Any) -> Any:
        """Parse the command line; typer handles --help and --version in this step."""
        if not args:  # typer shows the help by raising an error
            return super().make_context(info_name, args, parent, **kwargs)
        if args[0] == "help":
            args = [*(word for word in args if word != "help"), "--help"]
        with _one_line_errors():
            if completion.is_asked_for(args) and not kwargs.get("resilient_parsing"):
                completion.serve(typer.Context(self, info_name=info_name), args)
            try:
                return super().make_context(info_name, [*args], parent, **kwargs)  # a copy: it empties the list
            except USAGE_ERROR as error:
                raise _of_command(error, args) from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; for another program's name of one, or a path in its place, say what to type instead."""
        if ctx.resilient_parsing:  # shell completion of an unfinished line
            return super().resolve_command(ctx, args)
        if ours := COMMANDS_ELSEWHERE.get(args[0]):
            raise usage_error(f"no such command '{args[0]}'; here it is `charrnn {ours}`", ctx)
        if args[0] not in COMMANDS and os.path.exists(args[0]):
            raise usage_error(_told_of_file(args[0]), ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _one_line_errors(ctx):
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, as wide as the terminal."""
        fit_terminal(formatter)
        super().format_help(ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """End the help with examples."""
        write_examples(EXAMPLES, formatter)


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learn the style of any text, one character at a time, and write more of it.",
)


def main() -> None:
    """Run the command line."""
    warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of overflow: one that matters is found and reported
    # Some versions of cuDNN may want a layer's weights in another order; PyTorch then copies a few MB per call.
    warnings.filterwarnings("ignore", "RNN module weights are not part of single contiguous chunk of memory")
    prepare_streams()
    app(prog_name="charrnn", windows_expand_args=False)  # else --include '*.txt' would be globbed


def _make_command(name: str) -> Any:
    with paused_gc():
        module = importlib.import_module(COMMANDS[name])
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    command = with_parts(module.PARTS, module.EXAMPLES, HINTS[name], speaks_json=getattr(module, "SPEAKS_JSON", False))
    function = getattr(module, name)
    offer_words(function, module.WORDS)
    summary = module.HELP[0]  # else typer would shorten it
    alone.command(cls=command, help="\n\n".join(module.HELP), short_help=summary)(function)
    return typer.main.get_command(alone)


def _of_command(error: Any, words: list[str]) -> Exception:
    """The error to raise for one before any command: a flag there is taken for that of the command that follows."""
    flag, command = getattr(error, "option_name", ""), next((word for word in words if word in COMMANDS), "")
    is_ours = bool(get_close_matches(flag, OWN_FLAGS, 1, MUCH_ALIKE))
    if is_ours or not (flag and command):
        return error  # type: ignore[no-any-return]
    told = f"no such option: {flag}; a command's flags go after it, as in `charrnn {command} {flag} ...`"
    return usage_error(told, error.ctx)


def _told_of_file(path: str) -> str:
    """Message for a path that was typed in place of a command."""
    from charrnn.escape import shell_quoted
    from charrnn.storage.archive import is_checkpoint

    typed = shell_quoted(path)
    if is_checkpoint(path):
        uses = f"`charrnn sample {typed}` writes, and `charrnn inspect {typed}` shows"
        return f"{path} is a checkpoint, not a command; {uses}"
    kind = "folder" if os.path.isdir(path) else "file"
    return f"{path} is a {kind}, not a command; `charrnn train {typed}` learns from it"


@contextlib.contextmanager
def _one_line_errors(ctx: Any = None) -> Iterator[None]:
    try:
        yield
    except CharRNNError as error:
        _leave(str(error), error.exit_code, ctx)
    except USAGE_ERROR as error:
        from charrnn.training.torchrun import speaks_for_host

        is_training = ctx is not None and ctx.invoked_subcommand == "train"
        if is_training and not speaks_for_host():
            raise typer.Exit(2) from None
        _leave(usage_error_line(error), 2, ctx)
    except OSError as error:
        discard_stdout()
        if is_closed_pipe(error):  # the reader has had enough, as in `| head`
            raise typer.Exit(0) from None
        _leave(_of_system(error, _smaller(ctx)), 1, ctx)
    except (MemoryError, RuntimeError, ImportError) as error:
        told = _of_machine(error, _smaller(ctx))
        if not told:
            raise
        _leave(told, 1, ctx)


def _of_system(error: OSError, smaller: str) -> str:
    """Message for a failure of the system, such as a full disk."""
    if is_out_of_memory(error):
        return f"out of memory; {smaller}"
    where = error.filename or _stream_of(error)
    reason = error.strerror or str(error)
    return f"{where}: {reason}" if where else reason


def _of_machine(error: Exception, smaller: str) -> str:
    """Message for what this machine lacks: a library, memory, a home folder or a sound GPU; empty for a bug of ours."""
    if isinstance(error, ModuleNotFoundError) and error.name in LIBRARIES:
        return f"{LIBRARIES[error.name]} is needed here and is not installed; run `pip install .` in a clone of charrnn"
    if is_of_gpu(error):
        return _of_gpu(error, smaller)
    if NO_HOME in str(error):
        return "there is no home folder; set HOME to one"
    return f"out of memory; {smaller}" if is_out_of_memory(error) else ""


def _stream_of(error: OSError) -> str:
    """The standard stream that an error without a file name comes from; empty if that is not known."""
    closed = {"standard input": sys.__stdin__ is None, "standard output": sys.__stdout__ is None}
    if error.errno == errno.EBADF:
        return " or ".join(name for name, is_closed in closed.items() if is_closed)
    return "standard output" if error.errno in FULL else ""


def _smaller(ctx: Any) -> str:
    """Advice on using less memory, for the command that runs."""
    return SMALLER.get(ctx.invoked_subcommand if ctx else "", "ask for less")


def _of_gpu(error: Exception, smaller: str) -> str:
    """Message for a failure of the GPU, with the first line of PyTorch's long message."""
    if is_out_of_gpu_memory(error):
        return f"the GPU is out of memory; {smaller}, or use --device cpu"
    return f"the GPU has failed ({str(error).splitlines()[0].rstrip('.')}); try again, or use --device cpu"


def _leave(message: str, code: int, ctx: Any) -> NoReturn:
    write_error(message, as_json=ctx is not None and ctx.meta.get(JSON_ERRORS, False))
    raise typer.Exit(code) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"charrnn {__version__}", flush=True)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
