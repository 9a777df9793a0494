"""Figures and numbers in words, as every command tells them."""

from __future__ import annotations

from collections.abc import Sequence

from charrnn.config import ModelConfig
from charrnn.metrics import bits_per_char, perplexity

KNOWN_SHARE = 0.5
"""It is told when at least this share of the held-out lines is learned from too."""


def describe_loss(loss: float, unit: str) -> str:
    """A loss, of a character or of another unit, with its two other faces."""
    return f"{loss:.4f} nats (perplexity {format_perplexity(loss)}, {bits_per_char(loss):.3f} bits per {unit})"


def describe_model(config: ModelConfig) -> str:
    """A model's shape and what is hidden from it while it trains, in one phrase."""
    members = f"{config.members} members of " if config.members > 1 else ""
    layers = f"{number_of(config.num_layers, 'layer')} of {config.hidden_size}"
    parts = [config.cell, f"{members}{layers}", f"embedding {config.embedding_dim}", f"dropout {config.dropout:g}"]
    parts += [f"input dropout {config.input_dropout:g}"] * (config.input_dropout > 0)
    parts += [f"recall of {config.recall:,}"] * (config.recall > 0)
    return ", ".join(parts)


def describe_speed(chars_per_second: float, unit: str) -> str:
    """A speed, of characters or of another unit."""
    return f"{chars_per_second:,.0f} {'char' if unit == 'character' else f'{unit}s'}/s"


def format_perplexity(loss: float, decimals: int = 2) -> str:
    """A perplexity as one reads it; a model that is worse than any alphabet is large has one of many digits."""
    value = perplexity(loss)
    return f"{value:.{decimals}f}" if value < 1e6 else f"{value:.2g}"


def describe_known(held_out: int, known: int) -> str:
    """Say where the lines that are held out cannot show what a model knows by heart; nothing where they can."""
    if not known or known < held_out * KNOWN_SHARE:
        return ""
    return f"{known / held_out:.0%} of the lines held out are learned from too: their loss cannot show overfitting"


def listed(*told: str) -> str:
    """What there is to tell, one thing after the other, with commas between; the empty ones have nothing to say."""
    return ", ".join(filter(None, told))


def either(ways: Sequence[str]) -> str:
    """Several ways, at least one, of which one holds: "a, b or c"."""
    return " or ".join(filter(None, [", ".join(ways[:-1]), ways[-1]]))


def what_is_wrong(message: str) -> str:
    """A message without what is to be done: behind its last semicolon, for before that a file's name may have some."""
    return message.rpartition("; ")[0] or message


def number_of(number: float, noun: str) -> str:
    """A number of things: the noun, whose plural ends with an s, is of one or of several."""
    shown = f"{int(number):,}" if float(number).is_integer() else f"{number:g}"
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"


def format_epochs(epochs: float) -> str:
    """Passes over a text as one reads them: whole ones from ten on, else two digits."""
    return f"{epochs:,.0f}" if epochs >= 10 else f"{epochs:.2g}"


def format_seconds(seconds: float) -> str:
    """Seconds as 12 s, 3 min 05 s or 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
