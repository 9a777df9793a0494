"""How bytes become characters: the options that a checkpoint stores."""

from __future__ import annotations

import codecs
import reprlib
from dataclasses import asdict, dataclass, fields, replace

from charrnn.config import CHOICES, check_options
from charrnn.errors import ConfigError
from charrnn.limits import flag_name

CHARACTER, BYTE = CHOICES["unit"]

_OF_NO_FILE = ("unicode-escape", "punycode", "idna")
"""Encodings of string literals and of host names: Python's decoding of a file in one depends on how it is chunked."""


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """How bytes become characters: part of a checkpoint, and applied to prompts and to texts that are scored.

    Attributes:
        unit: "character", a Unicode code point, or "byte".
        encoding: of the files, by a name that Python knows.
        errors: what happens to bytes that are not valid in it: "strict" refuses them, "replace" makes them U+FFFD,
            and "surrogateescape" keeps them.
        newline: "keep", or "lf" to turn CR LF and CR into LF.
        normalize: "none", "nfc" or "nfkc" (https://unicode.org/reports/tr15/).
        lowercase: whether to turn capitals into small letters, and a sigma at the end of a word into a final one.
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
            raise ConfigError(f"--encoding is {reprlib.repr(self.encoding)}; {mend}")
        if self.unit == BYTE and (changing := self._changing):
            which = ", ".join(map(flag_name, changing))
            raise ConfigError(f"--unit byte takes a file's bytes as they are; leave out {which}")

    @property
    def _changing(self) -> list[str]:
        """Options that change a file's bytes or are about its encoding, and so do not go with `unit` "byte"."""
        free = ("unit", "lines")
        return [f.name for f in fields(self) if f.name not in free and getattr(self, f.name) != f.default]

    @property
    def codec(self) -> str:
        """Python's canonical name of the encoding, which may have several, such as cp1252 and windows-1252."""
        return codecs.lookup(self.encoding).name

    @property
    def is_wide(self) -> bool:
        """Whether the encoding is UTF-16 or UTF-32."""
        return self.codec.startswith(("utf-16", "utf-32"))

    def in_encoding(self, encoding: str | None) -> TextOptions:
        """These options with another encoding; None keeps the present one.

        Raises:
            ConfigError: there is no such encoding, or the unit is the byte, which has none.
        """
        if encoding in (None, self.encoding):
            return self
        if self.unit == BYTE:
            raise ConfigError("--encoding is for text, and a model of bytes reads them as they are; leave it out")
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
