"""Times as they are typed on a command line."""

from __future__ import annotations

import re

from charrnn.config import RANGES, flag_name
from charrnn.errors import ConfigError

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def parse_duration(text: str, name: str) -> float:
    """Read a time such as `90s`, `10m`, `1h30m` or a bare number of seconds.

    Args:
        text: what stands behind the flag.
        name: of what it sets, in `charrnn.config.RANGES`.

    Returns:
        Seconds.

    Raises:
        ConfigError: the text is none of these, or too short or too long a time.
    """
    flag = flag_name(name)
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise ConfigError(f"{flag} is {text!r}; write it as 90s, 10m, 2h or 1h30m")
    hours, minutes, seconds = (float(group or 0) for group in match.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if total not in RANGES[name]:
        raise ConfigError(f"{flag} is {text}; it must be {RANGES[name]} seconds")
    return total
