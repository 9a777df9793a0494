"""What a value of a flag may be, and how it is told where it is something else."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from charrnn.errors import ConfigError

REMARKS = {"device": "; of GPUs NVIDIA's alone are used, by cuda"}
"""What stands behind the choices where none of them was given."""

FLAG_NAMES = {"time_limit": "--time", "as_json": "--json"}
"""Flags that are not called as their field is."""


@dataclass(frozen=True)
class Range:
    """Finite values from `low` to `high`, either end left out where `open_low` or `open_high` says so."""

    low: float
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.open_low else value >= self.low
        below = value < self.high if self.open_high else value <= self.high
        is_finite = isinstance(value, int) or math.isfinite(value)  # an integer may be too large for a float
        return above and below and is_finite

    def __str__(self) -> str:
        low = f"{'more than' if self.open_low else 'at least'} {_plain(self.low)}"
        if self.high == math.inf:
            return low
        return f"{low} and {'less than' if self.open_high else 'at most'} {_plain(self.high)}"


def flag_name(field: str) -> str:
    """Name the command-line flag that sets a field."""
    return FLAG_NAMES.get(field, "--" + field.replace("_", "-"))


def check_range(name: str, value: float | None, allowed: Range) -> None:
    """Refuse a value out of its range; None stands for "not given".

    Args:
        name: of the field that the flag sets.
        value: of it.
        allowed: what it may be.

    Raises:
        ConfigError: it is something else.
    """
    if value is not None and value not in allowed:
        raise ConfigError(f"{flag_name(name)} is {value}; it must be {allowed}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse a value that is none of its choices.

    Args:
        name: of the field that the flag sets.
        value: of it.
        choices: what it may be.

    Raises:
        ConfigError: it is something else.
    """
    if value not in choices:
        told = ", ".join(choices) + REMARKS.get(name, "")
        raise ConfigError(f"{flag_name(name)} is {value!r}; it must be one of {told}")


def _plain(number: float) -> str:
    """A limit as people write it: 1,000,000,000 and not 1e+09."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:g}"
