"""The command line: parses, calls and shows; what it calls is imported inside each command, so that it starts at once.

stdout is data and stderr is everything else. Every expected failure becomes one line in one place, here.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from charrnn import __version__
from charrnn.cli.inspection import inspect
from charrnn.cli.sample import sample
from charrnn.cli.train import train
from charrnn.errors import CharRNNError


class OneLineErrors(TyperGroup):
    """A group of commands whose expected failures end in one line on stderr and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except CharRNNError as error:
            print(f"charrnn: {error}", file=sys.stderr)
            raise typer.Exit(error.exit_code) from None
        except BrokenPipeError:  # the reader has had enough, as in `| head`
            _discard_stdout()
            raise typer.Exit(0) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            print(f"charrnn: {where}{error.strerror or error}", file=sys.stderr)
            _discard_stdout()
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learn the style of any text, one character at a time, and write more of it.",
)
app.command()(train)
app.command()(sample)
app.command()(inspect)


def main() -> None:
    """Run the command line; the installed command's entry point."""
    app(prog_name="charrnn")


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"charrnn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and leave.")
    ] = False,
) -> None:
    pass


def _discard_stdout() -> None:
    """Let Python's own flush at exit go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
