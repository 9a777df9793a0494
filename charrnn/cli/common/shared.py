"""What several commands need."""

from __future__ import annotations

import re
from collections.abc import Sequence

from charrnn.escape import as_typed
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sampling import Sampler, SamplingModel
from charrnn.standard_input import STDIN
from charrnn.text.encoder import CharEncoder, Decoder

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\"}
_ESCAPED = {character: f"\\{name}" for name, character in _ESCAPES.items()}


def encode_ids(encoder: CharEncoder, text: str) -> list[int]:
    """Encode to a plain list of ids."""
    ids: list[int] = encoder.encode(text).tolist()
    return ids


def unescape(text: str) -> str:
    r"""Read the escapes of what a shell makes hard to type: `\n`, `\r`, `\t`, `\0`, and `\\` for a backslash."""
    return re.sub(r"\\([nrt0\\])", lambda found: _ESCAPES[found[1]], text)


def escaped(text: str) -> str:
    """Write a text as `unescape` reads it."""
    return "".join(_ESCAPED.get(character, character) for character in text)


def is_number(text: str) -> bool:
    """Whether a flag's value that may be a file's name is a whole number."""
    return text.isascii() and text.isdecimal()


def told_where_listed(checkpoint: str) -> str:
    """Where a model's characters are listed, behind their number; nothing of one that came through a pipe."""
    return "" if checkpoint == STDIN else f"; see `charrnn inspect {as_typed(checkpoint)}`"


def first_id(encoder: CharEncoder, counts: Sequence[int]) -> int:
    """What a model reads before it writes without a prompt: a line's end, or its corpus's commonest character."""
    known = range(len(encoder.characters))  # the mark for rare ones is no character
    return encode_ids(encoder, "\n")[0] if "\n" in encoder else max(known, key=lambda i: counts[i])


def write_sample(
    model: SamplingModel,
    encoder: CharEncoder,
    counts: Sequence[int],
    length: int,
    *,
    seed: int,
    options: SamplingOptions | None = None,
) -> str:
    """Write a text as `charrnn sample` does without a prompt; by default at its temperature.

    Of so many bytes, where these are the unit, those at the end that are no whole character are left out.
    """
    sampler = Sampler(model, [first_id(encoder, counts)], options or SamplingOptions(), seed)
    return "".join(map(Decoder(encoder).feed, sampler.stream(length)))
