"""The warning about a text that may be in another encoding than the one it is read in."""

from __future__ import annotations

from charrnn.display.messages import write_warning
from charrnn.text.misread import Doubt


def doubt_of(encoding: str, given: str | None) -> Doubt:
    """Make the function that warns that a text for a model may be in another encoding, unless the user chose this one.

    Args:
        encoding: the encoding in which the text is read.
        given: the encoding that the user has given; None if it is that of the model's text.
    """

    def warn(name: str, likely: str) -> None:
        if given is None:
            seems, kind = ("valid UTF-8", "UTF-8") if likely == "utf-8" else (f"probably in {likely}", likely)
            write_warning(
                f"{name}: is {seems}, and is read as {encoding}, as the model's text was; if it is {kind}, give "
                f"--encoding {likely}"
            )

    return warn
