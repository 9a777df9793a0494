"""What is said of a text that may be in another encoding than it is read in."""

from __future__ import annotations

from charrnn.display.outlet import write_warning
from charrnn.text.misread import Doubt


def doubt_of(encoding: str, given: str | None) -> Doubt:
    """What says on stderr of a text that a model is to read that it may be UTF-8; nothing where that was decided.

    Args:
        encoding: in which the text is read.
        given: the one that the user has named; None where it is that of the model's text.
    """

    def warn(name: str) -> None:
        if given is None:
            write_warning(
                f"{name}: is valid UTF-8, and is read as {encoding}, as the model's text was; give --encoding utf-8 if "
                "it is that"
            )

    return warn
