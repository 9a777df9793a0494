"""Help texts in titled sections, and one-line messages for usage errors."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand

from charrnn.cli.common.mistakes import find_mistake, hint_at, likely_flags
from charrnn.cli.common.terminal import terminal_width
from charrnn.surrogates import join_bytes

STACKED, NARROWEST = 60, 20
"""Width of a terminal, in columns, below which a flag's text stands under it and not beside it, and the smallest width
that help is laid out for."""

NO_BREAK = "\N{NON-BREAKING HYPHEN}"
"""Replaces hyphens while lines are wrapped, so that no line breaks within a flag or a value; the output has hyphens."""

JSON_ERRORS = "charrnn.json_errors"
"""Key in a context's `meta`: whether the error that ends the command is written as JSON."""

TEXTS = ("prompt", "stop", "separator", "allow", "forbid", "match", "text")
"""Parameters whose values are texts and decoded as UTF-8; in a path, no byte may change."""

_NUMBERS = {"int": "a whole number", "float": "a number"}
_NO_NUMBER = re.compile(rf"(.*) is not a valid ({'|'.join(_NUMBERS)})\.?", re.DOTALL)
"""Matches typer's message for a value that is no number."""

USAGE_ERROR: type[Exception] = typer.BadParameter.__mro__[1]
"""Typer's class for usage errors, which it does not export: the base of BadParameter."""


def usage_error(message: str, ctx: Any = None) -> Exception:
    """A usage error with a message of our own, which is shown unchanged."""
    error: Any = USAGE_ERROR(message, ctx)
    error.is_ours = True
    return error  # type: ignore[no-any-return]


class PartedCommand(TyperCommand):
    """A command whose flags are listed in sections; for the attributes see the arguments of `with_parts`."""

    titles: ClassVar[Mapping[str, str]]
    examples: ClassVar[Sequence[str]]
    hints: ClassVar[Mapping[str, str]]
    speaks_json: ClassVar[bool]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse; add to usage errors the command and, where it can be guessed, what the user meant."""
        if ctx.resilient_parsing:  # of an unfinished line, for shell completion
            return super().parse_args(ctx, args)
        known = _flags(self.get_params(ctx))
        asks_for_json = self.speaks_json and "--json" in args
        left: list[str] = []
        try:
            if mistake := find_mistake(args, known, self.hints):
                raise usage_error(mistake)
            _, left, given = self.make_parser(ctx).parse_args([*args])  # a copy, which it consumes
            if mistake := _given_twice(given):
                raise usage_error(mistake)
            rest = super().parse_args(ctx, args)
            ctx.meta[JSON_ERRORS] = self.speaks_json and ctx.params["as_json"]
            ctx.params |= {name: _together(ctx.params[name]) for name in TEXTS if name in ctx.params}
            return rest
        except USAGE_ERROR as error:
            ctx.meta[JSON_ERRORS] = asks_for_json
            raise _explained(error, ctx, known, self.hints, left) from None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help as wide as the terminal is."""
        fit_terminal(formatter)
        super().format_help(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, and then section after section."""
        parts: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        title = "Options"
        for parameter in self.get_params(ctx):
            title = self.titles.get(parameter.name or "", title)
            part = title
            if parameter.param_type_name == "argument":
                part = "Arguments"
            elif parameter.name == "help":
                part = "Options"
            record = parameter.get_help_record(ctx)
            if record is not None:
                parts.setdefault(part, []).append((record[0], record[1].replace("-", NO_BREAK)))
        for name, rows in parts.items():
            if rows:
                with formatter.section(name):
                    formatter.write_dl(rows)
        formatter.buffer = [line.replace(NO_BREAK, "-") for line in formatter.buffer]
        write_examples(self.examples, formatter)


def with_parts(
    titles: Mapping[str, str], examples: Sequence[str], hints: Mapping[str, str], *, speaks_json: bool
) -> type[PartedCommand]:
    """Make the class of a command whose flags are listed in sections.

    Args:
        titles: each section's title, by the name of its first parameter; parameters before the first are "Options".
        examples: command lines that stand at the end of the help.
        hints: what to do instead, by a flag that people try and the command lacks; by "" for a superfluous word; by an
            argument's metavar if the argument is missing and something is piped in.
        speaks_json: whether with --json everything that the command writes to stderr is JSON.
    """
    parts = {"titles": titles, "examples": examples, "hints": hints, "speaks_json": speaks_json}
    return type("Command", (PartedCommand,), parts)


def offer_words(function: Callable[..., object], words: Mapping[str, Collection[str]]) -> None:
    """Let a shell complete the values of a command's flags: `words` has the possible ones, by parameter."""
    for name, offered in words.items():
        function.__annotations__[name].__metadata__[0].autocompletion = _completion(tuple(offered))


def _completion(words: Sequence[str]) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return complete


def fit_terminal(formatter: Any) -> None:
    """Limit help to the terminal's width; typer's has at least 50 columns, flags and texts side by side."""
    columns = max(NARROWEST, terminal_width())
    formatter.width = min(formatter.width, columns - 2)
    if columns < STACKED:
        formatter.write_dl = partial(formatter.write_dl, col_max=2)


def write_examples(examples: Sequence[str], formatter: Any) -> None:
    """Write command lines at the end of a help text, each unwrapped, so that it can be copied."""
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{'':{formatter.current_indent}}{example}\n")


def _flags(parameters: Sequence[Any]) -> dict[str, bool]:
    """The flags among a command's parameters, and whether each takes a value."""
    options = [parameter for parameter in parameters if parameter.param_type_name == "option"]
    return {
        flag: not getattr(option, "is_flag", False)
        for option in options
        for flag in (*option.opts, *option.secondary_opts)
    }


def _together(value: Any) -> Any:
    """Decode one text or several as UTF-8, if Python, in an ASCII locale, has read bytes as surrogates."""
    return join_bytes(value) if isinstance(value, str) else value and [*map(join_bytes, value)]


def _given_twice(given: Sequence[Any]) -> str:
    """The message for a flag that takes one value and has several; "" if there is none, or help is asked for.

    Args:
        given: the command's parameters, each as often as it was given.
    """
    if any(parameter.name == "help" for parameter in given):
        return ""
    for option, times in Counter(given).items():
        takes_one = option.param_type_name == "option" and not option.is_flag and not option.multiple
        if times > 1 and takes_one:
            return f"{option.opts[0]} is given twice; it takes one value"
    return ""


def _explained(
    error: Any, ctx: Any, known: Mapping[str, bool], hints: Mapping[str, str], left: Sequence[str]
) -> Exception:
    """A usage error with its command, which typer's parser sometimes leaves out, and what the user may have meant."""
    error.ctx = ctx
    if told := _told_of_number(error):
        return usage_error(told, ctx)
    if told := _told_of_pipe(error, hints):
        return usage_error(told, ctx)
    flag: str = getattr(error, "option_name", "")
    if hasattr(error, "possibilities") and (hint := hint_at(flag, hints)):  # an unknown flag
        return usage_error(f"no such option: {flag}; {hint}", ctx)
    if error.message.startswith("Got unexpected extra argument"):
        error.message += "; " + hints.get("", "it takes no more")
        error.message += ", quotes make one of a text or a name with spaces" if len(left) > 1 else ""
    if hasattr(error, "possibilities"):
        error.possibilities = likely_flags(flag, known)
    return error  # type: ignore[no-any-return]


def _told_of_number(error: Any) -> str:
    """The message for a flag whose value is no number; "" for other errors."""
    found = _NO_NUMBER.fullmatch(error.message)
    parameter = getattr(error, "param", None)
    if not found or parameter is None:
        return ""
    return f"{parameter.opts[0]} is {found[1]}; it must be {_NUMBERS[found[2]]}"


def _told_of_pipe(error: Any, hints: Mapping[str, str]) -> str:
    """The message for a missing argument if something is piped in that may be meant as it; "" for other errors."""
    metavar: Any = getattr(getattr(error, "param", None), "metavar", None)
    if metavar not in hints or sys.stdin.isatty() or not error.format_message().startswith("Missing argument"):
        return ""
    return f"missing argument '{metavar}'; {hints[metavar]}"


def usage_error_line(error: Any) -> str:
    """A usage error's message in one line, with a pointer to the help."""
    message = error.format_message()
    if not getattr(error, "is_ours", False):  # typer's: several lines, a capital, a full stop
        message = " ".join(message.split()).rstrip(".")
        message = message[:1].lower() + message[1:]
    command = error.ctx.command_path if error.ctx else "charrnn"
    return f"{message}{'' if message.endswith('?') else ';'} `{command} -h` tells more"
