"""The warning about a text that may be in another encoding than the one it is read in."""

from __future__ import annotations

from charrnn.display.messages import write_warning
from charrnn.text.misread import Doubt


def doubt_of(encoding: str, given: str | None) -> Doubt:
    """Make the function that warns that a text to be read by a model may be UTF-8, unless the user chose the encoding.

    Args:
        encoding: the encoding in which the text is read.
        given: the encoding that the user has given; None if it is that of the model's text.
    """

    def warn(name: str) -> None:
        if given is None:
            write_warning(
                f"{name}: is valid UTF-8, and is read as {encoding}, as the model's text was; if it is UTF-8, give "
                "--encoding utf-8"
            )

    return warn
