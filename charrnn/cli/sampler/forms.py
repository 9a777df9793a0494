"""What is typed for `charrnn sample`, in the form of the model's text: case, Unicode form, line ends."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from charrnn.cli.common.backslashes import unescape
from charrnn.errors import ConfigError
from charrnn.text.decoding import FINAL_SIGMA, SIGMA, prepare
from charrnn.text.encoder import CharEncoder
from charrnn.text.likeness import in_known_form, with_cr_lf, with_known_line_ends
from charrnn.text.options import BYTE, TextOptions

if TYPE_CHECKING:
    from charrnn.generation.matching import LineMatch


@dataclass(frozen=True)
class Form:
    """The form of a model's text, to which all that is typed is brought, and what of it the model may write.

    Attributes:
        text_options: how it was read.
        encoder: of its characters.
        has_cr_lf: whether its lines end by CR LF.
        allowed: ids that the model may write; None for all.
    """

    text_options: TextOptions
    encoder: CharEncoder
    has_cr_lf: bool
    allowed: tuple[int, ...] | None = None

    def limited_to(self, allowed: tuple[int, ...] | None) -> Form:
        """This form where some ids alone may be written: its lines end by CR LF where both of these may."""
        limited = replace(self, allowed=allowed)
        return replace(limited, has_cr_lf=self.has_cr_lf and all(map(limited.writes, "\r\n")))

    @property
    def of_bytes(self) -> bool:
        """Whether it is a model of bytes, whose last character may be cut."""
        return self.encoder.unit == BYTE

    def may_come(self, stop: str, match: LineMatch | None) -> bool:
        """Whether a stop may stand in what the model writes, in lines that fit a pattern where there is one."""
        return all(map(self.writes, stop)) and (match is None or match.may_hold(stop))

    def writes(self, character: str) -> bool:
        """Whether the model may write a character."""
        if character not in self.encoder:
            return False
        return self.allowed is None or set(self.encoder.encode_list(character)) <= set(self.allowed)

    def of(self, typed: str) -> str:
        """What is typed with escapes, in this form."""
        return self._of(unescape(typed))

    def characters_of(self, typed: Sequence[str], *, is_allowed: bool) -> str:
        """What is typed for --allow or --forbid; a CR of its own stays one, whatever becomes of it in a text.

        A letter that is forbidden is not taken apart, or it would be forbidden without its accent too. A capital sigma
        that is to be a small one is either, since these are no words.

        Raises:
            ConfigError: a character is several bytes, and bytes are what the model writes.
        """
        either = "".join(filter(self.encoder.__contains__, SIGMA.casefold() + FINAL_SIGMA)) or SIGMA
        sigma = either if self.text_options.lowercase else SIGMA
        pieces = (re.split("\r(?!\n)", unescape(text).replace(SIGMA, sigma)) for text in typed)
        characters = "".join("\r".join(self._of(part, decomposes=is_allowed) for part in parts) for parts in pieces)
        if self.of_bytes and not characters.isascii():
            raise ConfigError(
                "--allow and --forbid take ASCII alone for a model of bytes: other characters are several"
            )
        return characters

    def stops_of(self, typed: str) -> tuple[str, ...]:
        """What ends a text where this is typed: where lines end by CR LF, a line feed alone is such an end too."""
        return tuple(dict.fromkeys((self.of(typed), replace(self, has_cr_lf=False).of(typed))))

    @property
    def line_end(self) -> str:
        """What ends a line."""
        return "\r\n" if self.has_cr_lf else "\n"

    def separator_of(self, typed: str) -> str:
        """What is typed to stand between texts, the lines of which end as theirs do."""
        return with_cr_lf(unescape(typed)) if self.has_cr_lf else unescape(typed)

    def with_line_ends(self, text: str) -> str:
        """A text with the line ends of this form."""
        return with_cr_lf(text) if self.has_cr_lf else with_known_line_ends(text, self.encoder)

    def _of(self, text: str, *, decomposes: bool = True) -> str:
        return in_known_form(self.with_line_ends(prepare(text, self.text_options)), self.encoder, decomposes=decomposes)
