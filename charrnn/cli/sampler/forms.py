"""User input of `charrnn sample` brought to the form of the model's text: case, Unicode form, line ends."""

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
class InputForm:
    """The form of a model's text, to which user input is brought, and the characters that the model may write.

    Attributes:
        text_options: how the text was read.
        encoder: the model's encoder.
        has_cr_lf: whether the text's lines end with CR LF.
        allowed: ids that the model may write; None for all.
    """

    text_options: TextOptions
    encoder: CharEncoder
    has_cr_lf: bool
    allowed: tuple[int, ...] | None = None

    def limited_to(self, allowed: tuple[int, ...] | None) -> InputForm:
        """This form with only some ids allowed; lines end with CR LF only if both CR and LF are allowed."""
        limited = replace(self, allowed=allowed)
        return replace(limited, has_cr_lf=self.has_cr_lf and all(map(limited.writes, "\r\n")))

    @property
    def of_bytes(self) -> bool:
        """Whether the model writes bytes, so that the last character may be incomplete."""
        return self.encoder.unit == BYTE

    def may_come(self, stop: str, match: LineMatch | None) -> bool:
        """Whether the model may write a stop, in lines that match a pattern if there is one."""
        return all(map(self.writes, stop)) and (match is None or match.may_hold(stop))

    def writes(self, character: str) -> bool:
        """Whether the model may write a character."""
        if character not in self.encoder:
            return False
        return self.allowed is None or set(self.encoder.encode_list(character)) <= set(self.allowed)

    def of(self, typed: str) -> str:
        """Input with backslash escapes, in this form."""
        return self._of(unescape(typed))

    def characters_of(self, typed: Sequence[str], *, is_allowed: bool) -> str:
        """The characters typed for --allow or --forbid; a lone CR stays one, whatever line ends do to it elsewhere.

        A forbidden letter is not decomposed, or the letter without its accent would be forbidden too. Where the text is
        lowercase, a capital sigma stands for both small ones, since without a word neither is certain.

        Raises:
            ConfigError: the model writes bytes, and a character is several bytes.
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
        """The stops for what is typed for --stop: if lines end with CR LF, also the text with LF alone."""
        return tuple(dict.fromkeys((self.of(typed), replace(self, has_cr_lf=False).of(typed))))

    @property
    def line_end(self) -> str:
        """What ends a line."""
        return "\r\n" if self.has_cr_lf else "\n"

    def separator_of(self, typed: str) -> str:
        """The separator between texts, with their line ends."""
        return with_cr_lf(unescape(typed)) if self.has_cr_lf else unescape(typed)

    def with_line_ends(self, text: str) -> str:
        """A text with the line ends of this form."""
        return with_cr_lf(text) if self.has_cr_lf else with_known_line_ends(text, self.encoder)

    def _of(self, text: str, *, decomposes: bool = True) -> str:
        return in_known_form(self.with_line_ends(prepare(text, self.text_options)), self.encoder, decomposes=decomposes)
