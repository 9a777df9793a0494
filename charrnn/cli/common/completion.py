"""Shell completion for a named shell, or else for the one that runs this program; typer writes the scripts."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from typer.completion import install_callback, show_callback

from charrnn.cli.common.helping import usage_error
from charrnn.errors import CharRNNError

FLAGS: dict[str, Callable[..., Any]] = {"--install-completion": install_callback, "--show-completion": show_callback}
"""What each flag does with a shell's name; typer's own flags take none."""

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
"""The shells for which typer has a script."""


def is_asked_for(words: Sequence[str]) -> bool:
    """Whether the first word of a command line is one of the flags, with or without a shell's name.

    Beside another flag, typer's own take over.
    """
    return words[0].partition("=")[0] in FLAGS and not any(word.startswith("-") for word in words[1:])


def serve(ctx: Any, words: Sequence[str]) -> None:
    """Print or install the script, and exit.

    Raises:
        CharRNNError: the shell's startup file cannot be decoded, or PowerShell, which is asked for its own, is missing.
    """
    flag, _, after_sign = words[0].partition("=")
    shell = " ".join(filter(None, [after_sign, *words[1:]])) or _running_shell()
    if shell not in SHELLS:
        known = f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}"
        problem = f"no completion for {shell}" if shell else "the shell is not known here"
        raise usage_error(f"{flag}: {problem}; name one of {known}, as in `charrnn {flag} bash`", ctx)
    try:
        with ctx:
            FLAGS[flag](ctx, None, shell)
    except UnicodeDecodeError:
        raise CharRNNError(
            "the startup file of your shell is not UTF-8; save what `charrnn --show-completion` prints, "
            "and have your shell read it"
        ) from None
    except FileNotFoundError as error:
        if error.filename != shell:
            raise
        raise CharRNNError(f"{shell} is not installed here, or not in PATH; name the shell that you use") from None


def _running_shell() -> str:
    """The name of the shell that runs this program; empty if none is found."""
    shellingham: Any = importlib.import_module("shellingham")  # typer's; it has no types
    try:
        return str(shellingham.detect_shell()[0])
    except shellingham.ShellDetectionFailure:
        return ""
