"""Help in parts, each with a title, and errors in the command line itself in one line."""

from collections.abc import Mapping
from typing import Any

import typer
from typer.core import TyperCommand

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises where a command line is none; it has no name of its own there."""


def with_parts(titles: Mapping[str, str]) -> type[TyperCommand]:
    """Make the class of a command whose flags are listed in parts.

    Args:
        titles: by the name of a part's first parameter; what stands before the first of them are "Options".
    """

    class Command(TyperCommand):
        """A command whose flags are listed in these parts."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Parse; what is wrong is known to be this command's."""
            try:
                return super().parse_args(ctx, args)
            except USAGE_ERROR as error:
                error.ctx = ctx  # type: ignore[attr-defined]  # typer's parser leaves it out at times
                raise

        def format_options(self, ctx: Any, formatter: Any) -> None:
            """Write the arguments, and then part after part."""
            parts: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
            title = "Options"
            for parameter in self.get_params(ctx):
                title = titles.get(parameter.name or "", title)
                is_argument = parameter.param_type_name == "argument"
                part = "Arguments" if is_argument else "Options" if parameter.name == "help" else title
                record = parameter.get_help_record(ctx)
                if record is not None:
                    parts.setdefault(part, []).append(record)
            for name, rows in parts.items():
                if rows:
                    with formatter.section(name):
                        formatter.write_dl(rows)

    return Command


def usage_error_line(error: Any) -> str:
    """What is wrong with a command line, and where to look."""
    message = " ".join(error.format_message().split()).rstrip(".")
    command = error.ctx.command_path if error.ctx else "charrnn"
    return f"{message[:1].lower()}{message[1:]}{'' if message.endswith('?') else ';'} `{command} -h` tells more"
