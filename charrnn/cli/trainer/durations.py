"""Parse durations given on the command line."""

from __future__ import annotations

import re

from charrnn.config import RANGES
from charrnn.errors import ConfigError
from charrnn.limits import flag_name

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(rf"(?:{_NUMBER}d)?(?:{_NUMBER}h)?(?:{_NUMBER}m)?(?:{_NUMBER}s)?")


def parse_duration(text: str, name: str) -> float:
    """Parse a duration such as `90s`, `10m`, `1h30m`, `2d` or a bare number of seconds.

    Args:
        text: the flag's value.
        name: the option's name in `charrnn.config.RANGES`.

    Returns:
        Seconds.

    Raises:
        ConfigError: the text is not a duration, or is out of range.
    """
    flag = flag_name(name)
    typed = text.strip().lower()
    match = _DURATION.fullmatch(f"{typed}s" if re.fullmatch(_NUMBER, typed) else typed)
    if match is None or not any(match.groups()):
        raise ConfigError(f"{flag} is {text!r}; write it as 90s, 10m, 1h30m or 2d, or in seconds")
    days, hours, minutes, seconds = (float(group or 0) for group in match.groups())
    total = 86400 * days + 3600 * hours + 60 * minutes + seconds
    if total not in RANGES[name]:
        raise ConfigError(f"{flag} is {text}; it must be {RANGES[name]} seconds")
    return total
