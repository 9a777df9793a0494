"""Formatting of losses, speeds, durations and counts, the same in every command's messages."""

from __future__ import annotations

from collections.abc import Sequence

from charrnn.config import ModelConfig
from charrnn.metrics import bits_per_char, perplexity

KNOWN_SHARE = 0.5
"""A warning appears if at least this share of the held-out lines is also in the training piece."""


def describe_loss(loss: float, unit: str) -> str:
    """Format a loss per character, or per another unit, with its perplexity and its bits."""
    return f"{loss:.4f} nats (perplexity {format_perplexity(loss)}, {bits_per_char(loss):.3f} bits per {unit})"


def describe_model(config: ModelConfig) -> str:
    """A model's architecture, including dropout, in one phrase."""
    members = f"{config.members} members of " if config.members > 1 else ""
    layers = f"{number_of(config.num_layers, 'layer')} of {config.hidden_size}"
    parts = [config.cell, f"{members}{layers}", f"embedding {config.embedding_dim}", f"dropout {config.dropout:g}"]
    if config.input_dropout > 0:
        parts.append(f"input dropout {config.input_dropout:g}")
    if config.recall > 0:
        parts.append(f"recall of {config.recall:,}")
    return ", ".join(parts)


def describe_speed(chars_per_second: float, unit: str) -> str:
    """Format a speed in characters, or another unit, per second."""
    return f"{chars_per_second:,.0f} {'char' if unit == 'character' else f'{unit}s'}/s"


def format_perplexity(loss: float, decimals: int = 2) -> str:
    """Format a perplexity; from a million on, where a model is worse than a uniform guess, in scientific notation."""
    value = perplexity(loss)
    return f"{value:.{decimals}f}" if value < 1e6 else f"{value:.2g}"


def describe_known(held_out: int, known: int) -> str:
    """Warn if so many held-out lines are trained on too that their loss cannot show overfitting; else empty."""
    if not known or known < held_out * KNOWN_SHARE:
        return ""
    return f"{known / held_out:.0%} of the lines held out are learned from too: their loss cannot show overfitting"


def listed(*told: str) -> str:
    """Join phrases with commas, leaving out empty ones."""
    return ", ".join(filter(None, told))


def either(ways: Sequence[str]) -> str:
    """Join alternatives, at least one, as "a, b or c"."""
    return _enumerated(ways, "or")


def all_of(things: Sequence[str]) -> str:
    """Join things, at least one, as "a, b and c"."""
    return _enumerated(things, "and")


def without_advice(message: str) -> str:
    """A message without its advice, the part after its last semicolon (a file name may contain earlier ones)."""
    return message.rpartition("; ")[0] or message


def number_of(number: float, noun: str) -> str:
    """Format a count with its noun, which gets a plural s unless the count is 1."""
    shown = f"{int(number):,}" if float(number).is_integer() else f"{number:g}"
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"


def format_epochs(epochs: float) -> str:
    """Format a number of epochs: whole from ten on, else to two digits."""
    return f"{epochs:,.0f}" if epochs >= 10 else f"{epochs:.2g}"


def format_seconds(seconds: float) -> str:
    """Format seconds as 12 s, 3 min 05 s or 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _enumerated(things: Sequence[str], word: str) -> str:
    *others, last = things
    return f"{', '.join(others)} {word} {last}" if others else last
