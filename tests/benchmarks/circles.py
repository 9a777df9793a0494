"""How often what a checkpoint writes goes round in circles, recalling short pieces of its own words or all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sampling import Sampler
from charrnn.loading import load_for_sampling
from charrnn.storage.archive import read_checkpoint

CIRCLE = re.compile(r"(.{6,60}?)\1{2,}", re.DOTALL)
TEMPERATURES = (0.3, 0.5, 0.6, 0.8, 1.0)
LENGTH, NUM_TEXTS = 1000, 64


def goes_round(text: str) -> bool:
    """Whether 6 to 60 characters come three times or more in a row; not one character alone, nor with blanks."""
    return any(len(set(match.group(1).strip())) > 1 for match in CIRCLE.finditer(text))


def count_circles(checkpoint: Path) -> Iterator[str]:
    """A line for each temperature."""
    contents = read_checkpoint(str(checkpoint))
    model, encoder = load_for_sampling(contents, [], "cpu")
    prompt = [contents.first_id]
    for temperature in TEMPERATURES:
        counts = []
        for recall_all in (False, True):
            sampler = Sampler(model, prompt, SamplingOptions(temperature=temperature), 1, recall_all=recall_all)
            texts = map(encoder.decode, sampler.batch(range(NUM_TEXTS), LENGTH))
            counts.append(sum(map(goes_round, texts)))
        yield (
            f"{checkpoint.name} at temperature {temperature}: of {NUM_TEXTS} texts of {LENGTH:,} characters "
            f"{counts[0]} go round in circles, with --recall-all {counts[1]}"
        )
