"""Samples without a prompt, and the id that a model reads before them."""

from __future__ import annotations

from collections.abc import Sequence

from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sampling import Sampler, SamplingModel
from charrnn.surrogates import join_bytes
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import CHARACTER


def first_id(encoder: CharEncoder, counts: Sequence[int]) -> int:
    """The id that a model reads before it writes without a prompt: a line feed, or its corpus's commonest character."""
    known = range(len(encoder.characters))  # without the unknown id
    return encoder.encode_list("\n")[0] if "\n" in encoder else max(known, key=lambda i: counts[i])


def sample_text(
    model: SamplingModel,
    encoder: CharEncoder,
    counts: Sequence[int],
    length: int,
    *,
    seed: int,
    options: SamplingOptions | None = None,
) -> str:
    """Write a text as `charrnn sample` does without a prompt, by default at its temperature.

    With bytes as the unit, an unfinished character at the end is left out.
    """
    sampler = Sampler(model, [first_id(encoder, counts)], options or SamplingOptions(), seed)
    text = encoder.decode([*sampler.stream(length)])
    return text if encoder.unit == CHARACTER else join_bytes(text, is_whole=False)
