"""The text that a sample begins with: where it comes from, and what becomes of characters that the model lacks."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from charrnn.decoding import prepare
from charrnn.encoder import CharEncoder
from charrnn.errors import CharRNNError, ConfigError, UnknownCharacterError
from charrnn.text_options import TextOptions

if TYPE_CHECKING:
    from charrnn.endings import Rules
    from charrnn.matching import LineMatch

STDIN = "-"
UNKNOWN_RULES = ("error", "skip", "nearest")


def check_prompt(prompt: str, prompt_file: str | None, checkpoint: str) -> None:
    """Refuse, before anything is read, a prompt that is given twice or that shares its source.

    Raises:
        ConfigError: it is, or standard input is asked for two things.
    """
    if prompt and prompt_file is not None:
        raise ConfigError("--prompt and --prompt-file both give a prompt; give one of them")
    if checkpoint == STDIN in (prompt, prompt_file):
        raise ConfigError("the checkpoint and the prompt cannot both come from standard input")


def read_prompt(prompt: str, prompt_file: str | None, options: TextOptions) -> str:
    """Find the prompt, as given, from a file, or from standard input for "-", and read it as the model's text was.

    Raises:
        CorpusError: it cannot be read.
    """
    source = prompt_file if prompt_file is not None else STDIN if prompt == STDIN else None
    if source is None:
        return prepare(prompt, options)
    from charrnn.read_text import read_text

    text = read_text(source, options)
    return text.removesuffix("\n") if prompt == STDIN else text  # as the shell's $(...) does: echo ends its line


def fit_prompt(prompt: str, encoder: CharEncoder, unknown: str, model: str) -> str:
    """Bring a prompt to the characters that a model knows.

    Args:
        prompt: any text.
        encoder: of the model's alphabet.
        unknown: what becomes of other characters, one of `UNKNOWN_RULES`: nothing, they are left out, or the nearest
            one stands for them.
        model: how the user calls it, for the message.

    Raises:
        CharRNNError: characters are left that the model does not know.
    """
    if unknown == "nearest":
        prompt = "".join(nearest(character, encoder) for character in prompt)
    if unknown == "skip":
        prompt = "".join(character for character in prompt if character in encoder)
    lacking = encoder.lacking(prompt)
    if lacking:
        described = UnknownCharacterError(lacking, len(encoder)).describe()
        help_ = "" if unknown == "nearest" else "; --unknown skip or nearest passes over them"
        raise CharRNNError(
            f"prompt has {described}, which this model never saw ({len(encoder)} characters; "
            f"see `charrnn inspect {model}`){help_}"
        )
    return prompt


def begin_match(match: LineMatch, prompt: str, length: int | None, rules: Rules) -> LineMatch:
    """Let a pattern read the line that a prompt begins.

    Args:
        match: the pattern, anywhere in it.
        prompt: of the model's characters.
        length: characters to draw at most; None for no limit.
        rules: what else ends or leaves out lines.

    Raises:
        ConfigError: no line that fits can come of it.
    """
    if rules.known_lines is not None and prompt.rpartition("\n")[2]:
        raise ConfigError(
            "--novel leaves out whole lines, and a line that the prompt begins cannot be left out of those that fit "
            "--match; put the beginning into the pattern"
        )
    return match.after(prompt, length)


def nearest(character: str, encoder: CharEncoder) -> str:
    """The same letter without its accent or in the other case, whichever the model knows first; else itself."""
    return next((known for known in _relatives(character) if known in encoder), character)


def _relatives(character: str) -> Iterator[str]:
    yield character
    yield character.swapcase()
    for form in ("NFC", "NFKD"):
        for part in unicodedata.normalize(form, character):
            yield part
            yield part.swapcase()
