"""The commands of a command line, of which one run needs one: each is made where it is first asked for."""

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

import typer

from charrnn.cli.common.helping import with_parts
from charrnn.cli.common.hints import HINTS


class Commands(MutableMapping[str, Any]):
    """Typer's commands by name; to make one is to import its module and to go through all of its flags.

    Args:
        modules: by a command's name, the module with a function of that name, and with `PARTS` and `EXAMPLES`,
            which `with_parts` takes, and `SPEAKS_JSON` where that is so.
    """

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules
        self._commands: dict[str, Any] = dict.fromkeys(modules)  # None: not made yet

    def __getitem__(self, name: str) -> Any:
        if self._commands[name] is None:
            module = importlib.import_module(self._modules[name])
            alone = typer.Typer(add_completion=False, rich_markup_mode=None)
            command = with_parts(
                module.PARTS, module.EXAMPLES, HINTS[name], speaks_json=getattr(module, "SPEAKS_JSON", False)
            )
            alone.command(cls=command)(getattr(module, name))
            self._commands[name] = typer.main.get_command(alone)
        return self._commands[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._commands[name] = command

    def __delitem__(self, name: str) -> None:
        del self._commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._commands)

    def __len__(self) -> int:
        return len(self._commands)
