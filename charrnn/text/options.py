"""How text becomes characters: the options that a checkpoint keeps."""

from __future__ import annotations

import codecs
from dataclasses import asdict, dataclass, fields, replace

from charrnn.config import CHOICES, check_options
from charrnn.errors import ConfigError
from charrnn.limits import flag_name

CHARACTER, BYTE = CHOICES["unit"]

_OF_NO_FILE = ("unicode-escape", "punycode", "idna")
"""Encodings of a program's literals and of hosts' names: what Python makes of a file in one depends on its pieces."""


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How bytes become characters: part of a checkpoint, and applied to prompts and to texts that are scored.

    Attributes:
        unit: "character", a Unicode code point, or "byte".
        encoding: of the files, by a name that Python knows.
        errors: what becomes of bytes that are not valid in it: "strict", "replace" by U+FFFD, or "surrogateescape",
            which keeps them.
        newline: "keep", or "lf" to turn CR LF and CR into LF.
        normalize: "none", "nfc" or "nfkc" (https://unicode.org/reports/tr15/).
        lowercase: whether capitals become small letters, a sigma at the end of a word a final one.
        lines: whether each line is a text of its own.

    Raises:
        ConfigError: a value is not one of its choices, or two contradict each other.
    """

    unit: str = CHARACTER
    encoding: str = "utf-8"
    errors: str = "strict"
    newline: str = "keep"
    normalize: str = "none"
    lowercase: bool = False
    lines: bool = False

    def __post_init__(self) -> None:
        check_options(asdict(self))
        if not _is_text_encoding(self.encoding):
            mend = "give one of texts that Python knows, such as latin-1 or cp1252"
            raise ConfigError(f"--encoding is {self.encoding!r}; {mend}")
        if self.unit == BYTE and (changing := self._changing):
            which = ", ".join(map(flag_name, changing))
            raise ConfigError(f"--unit byte takes a file's bytes as they are; leave out {which}")

    @property
    def _changing(self) -> list[str]:
        """Options by which another text is read than the bytes of a file in UTF-8."""
        free = ("unit", "lines")
        return [f.name for f in fields(self) if f.name not in free and getattr(self, f.name) != f.default]

    @property
    def codec(self) -> str:
        """The one name of an encoding that has several, such as cp1252 and windows-1252."""
        return codecs.lookup(self.encoding).name

    @property
    def is_wide(self) -> bool:
        """Whether a character takes two bytes or four."""
        return self.codec.startswith(("utf-16", "utf-32"))

    def in_encoding(self, encoding: str | None) -> TextOptions:
        """These options for a text in another encoding; None for one in the same.

        Raises:
            ConfigError: it is another one and the unit is the byte, which has none, or there is no such encoding.
        """
        if encoding in (None, self.encoding):
            return self
        if self.unit == BYTE:
            raise ConfigError("--encoding is of text, and a model of bytes reads them as they are; leave it out")
        return replace(self, encoding=encoding)


def _is_text_encoding(name: str) -> bool:
    try:
        codecs.getincrementaldecoder(name)
        "a".encode(name)
    except (LookupError, ValueError):  # unknown, not for text, or not a name at all
        return False
    return codecs.lookup(name).name.replace("_", "-") not in _OF_NO_FILE


PLAIN = TextOptions()
"""UTF-8, unchanged."""
