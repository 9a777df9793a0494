"""The values that a flag may have, and the messages for other values."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Collection
from dataclasses import dataclass

from charrnn.errors import ConfigError

REMARKS = {"device": "; of GPUs NVIDIA's alone are used, by cuda"}
"""Remarks that follow the list of choices in the message, by field name."""

FLAG_NAMES = {"time_limit": "--time", "as_json": "--json"}
"""Flags whose name differs from their field's."""


@dataclass(frozen=True)
class Range:
    """Finite values from `low` to `high`, without the ends where `open_low` or `open_high` is set."""

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
        value: of the flag.
        allowed: its range.

    Raises:
        ConfigError: the value is out of range.
    """
    if value is not None and value not in allowed:
        raise ConfigError(f"{flag_name(name)} is {value}; it must be {allowed}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Refuse a value that is not one of its choices.

    Args:
        name: of the field that the flag sets.
        value: of the flag.
        choices: the allowed values.

    Raises:
        ConfigError: the value is not among them.
    """
    if value not in choices:
        told = ", ".join(choices) + REMARKS.get(name, "")
        raise ConfigError(f"{flag_name(name)} is {reprlib.repr(value)}; it must be one of {told}")


def _plain(number: float) -> str:
    """Format a limit for people: 1,000,000,000 and not 1e+09."""
    return f"{int(number):,}" if float(number).is_integer() else f"{number:g}"
