"""What the neurons of a model do while it reads a text, and which of them stand for something.

Of hundreds of cells and dozens of features some will agree by chance. So the cell for a feature is chosen on the first
half of the text and its effect measured on the second. There it must beat what chance gives: the feature is shifted
along the half, round its end, by every distance that is not short, which keeps both of them as smooth as they are and
takes away what they have to do with each other. A finding counts if its effect, in deviations of its own shifted ones,
is reached by any pair in at most one shift of twenty: the largest over all pairs is what corrects for the many
comparisons (Westfall, Young 1993, "Resampling-based multiple testing"). It must also have the sign that the cell was
chosen for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.analysis.features import Values
from charrnn.cell_types import CELLS, GATE_LETTERS
from charrnn.config import ModelConfig
from charrnn.inference.tape import Weights, gate_values, record, zero_state
from charrnn.shapes import each_member

SIGNIFICANT = 0.05
"""Chance at which a finding still counts, all comparisons taken together."""

MIN_CASES = 20
"""Characters in each half at which a feature of yes and no must be either."""

SHORTEST_TEXT = 4 * MIN_CASES
"""Characters of a text in which anything can be found."""

ENOUGH = 2_000
"""Characters in which most of what a neuron follows is found."""

SHORTEST_SHIFT = 0.05
"""Share of a half by which a feature is shifted at least: nearer, it may still be about itself."""

ACTIVATIONS_HELD = 1 << 25
"""Activations that are held: 128 megabytes."""

UNITS_AT_ONCE = 256
"""Units that are compared with all features together, for what that takes of memory."""

MAX_VIEWED = 20_000
"""Of a text that is looked at, for what that takes of time."""

SHUT, OPEN = 0.1, 0.9
"""Values of a gate below and above which it is called that, as in Karpathy, Johnson and Fei-Fei 2015."""

_WINDOW = 256


@dataclass(frozen=True)
class Unit:
    """A value of a layer's state, or of one of its gates.

    Attributes:
        layer: from 0, as the weights are named; an ensemble's members follow one another.
        number: from 0.
        part: "h"; of an LSTM also "c", its cell, of which the tanh is looked at, and its gates "i", "f" and "o"; of a
            GRU also its gates "r" and "z".
    """

    layer: int
    number: int
    part: str

    @property
    def is_state(self) -> bool:
        """Whether it is no gate's."""
        return self.part in "hc"


@dataclass(frozen=True)
class Activations:
    """What the units of a model did, character by character.

    Attributes:
        units: U of them.
        values: shape (num_chars, U), after each character was read; a gate's as it was read.
    """

    units: list[Unit]
    values: Values

    def of(self, unit: Unit) -> Values:
        """One unit's values, shape (num_chars,)."""
        values: Values = self.values[:, self.units.index(unit)]
        return values


@dataclass(frozen=True)
class Finding:
    """A unit, or its gate, that follows a feature.

    Attributes:
        feature: its name.
        unit: the one that follows it best on the first half.
        chosen: correlation there, from -1 to 1.
        effect: correlation on the second half.
        p: chance that the best of all pairs would do as well if none had to do with its feature.
    """

    feature: str
    unit: Unit
    chosen: float
    effect: float
    p: float


@dataclass(frozen=True)
class GateUse:
    """How a gate of a layer is used.

    Attributes:
        layer: from 0.
        gate: its name.
        mean: over all characters and units.
        open: for each unit, the share of characters at which it is above `OPEN`.
        shut: likewise below `SHUT`.
    """

    layer: int
    gate: str
    mean: float
    open: NDArray[Any]
    shut: NDArray[Any]


def readable_length(config: ModelConfig, ids_each: int) -> int:
    """Characters of which all activations can be held.

    Args:
        config: the model's shape.
        ids_each: that a character becomes, at most: there are activations for each.
    """
    units = len(parts_of(config)) * config.hidden_size * config.num_layers * config.members
    return min(MAX_VIEWED, ACTIVATIONS_HELD // (units * ids_each))


def has_gates(config: ModelConfig) -> bool:
    """Whether a model's cells have gates."""
    return bool(CELLS[config.cell].gates)


def parts_of(config: ModelConfig) -> str:
    """What there is of a model's unit, a letter each, states first; see `Unit`."""
    cell = CELLS[config.cell]
    return "hc"[: cell.states] + "".join(GATE_LETTERS[gate] for gate in cell.gates)


def record_units(config: ModelConfig, weights: Weights, ids: NDArray[Any], resets_at: int | None = None) -> Activations:
    """Read a text from a zero state and note what every unit and every gate does.

    Args:
        config: the model's shape.
        weights: by name.
        ids: encoded text, shape (num_chars,).
        resets_at: an id that is read from a zero state again, if there is one: the line feed of a model of lines. It is
            read before the text too, as that begins a line, and is no character of it.
    """
    before = [] if resets_at is None else [resets_at]
    ids = np.concatenate([before, ids]).astype(np.int64)
    layers = range(config.num_layers * config.members)
    units = [Unit(layer, n, part) for layer in layers for part in parts_of(config) for n in range(config.hidden_size)]
    values = np.empty((len(ids), len(units)), dtype=np.float32)
    members = each_member(config, weights)
    for (_, member, own), columns in zip(members, np.split(values, config.members, axis=1), strict=True):
        _record_member(member, own, ids, resets_at, columns)
    return Activations(units, values[len(before) :])


def gate_uses(config: ModelConfig, values: Values) -> list[GateUse]:
    """What the gates do, by the values of all units, shape (num_chars, U)."""
    cell, layers = CELLS[config.cell], range(config.num_layers * config.members)
    parts = values.reshape(len(values), len(layers), -1, config.hidden_size)
    return [
        GateUse(layer, name, float(gate.mean(dtype=np.float64)), (gate > OPEN).mean(axis=0), (gate < SHUT).mean(axis=0))
        for layer in layers
        for number, name in enumerate(cell.gates, cell.states)
        for gate in [parts[:, layer, number]]
    ]


def _record_member(
    config: ModelConfig, weights: Weights, ids: NDArray[Any], resets_at: int | None, values: Values
) -> None:
    """Write what a network's units do into the values, shape (len(ids), its units)."""
    state = zero_state(config, weights)
    for start, end, is_new in _windows(ids, resets_at):
        state = zero_state(config, weights) if is_new else state
        tape = record(config, weights, ids[start:end, None], state)
        state = tape.state
        wide = []
        for layer in tape.layers:
            gates = gate_values(config, layer).values()
            wide += [layer.hidden, *([np.tanh(layer.cells)] if "c" in parts_of(config) else []), *gates]
        values[start:end] = np.concatenate(wide, axis=-1)[:, 0]


def _windows(ids: NDArray[Any], resets_at: int | None) -> Iterator[tuple[int, int, bool]]:
    """Where each window begins and ends, and whether it begins from a zero state."""
    resets = [] if resets_at is None else np.flatnonzero(ids == resets_at).tolist()
    bounds = sorted({0, *resets, len(ids)})
    for first, last in pairwise(bounds):
        for start in range(first, last, _WINDOW):
            yield start, min(start + _WINDOW, last), start == first


def find_neurons(activations: Activations, features: Mapping[str, Values]) -> list[Finding]:
    """For every feature that varies, find the unit that follows it best; those beyond chance have a small p.

    Args:
        activations: of a text.
        features: of the same text, each of shape (num_chars,).

    Returns:
        A finding for each such feature, the largest effect first.
    """
    half = len(activations.values) // 2
    names = [name for name, values in features.items() if _varies(values[:half]) and _varies(values[half:])]
    if not names or len(activations.values) < SHORTEST_TEXT:
        return []
    table = np.stack([features[name] for name in names], axis=1)
    wanted = _standard(table[:half]).T
    chosen = np.concatenate([
        wanted @ _standard(activations.values[:half, first : first + UNITS_AT_ONCE]) / half
        for first in range(0, len(activations.units), UNITS_AT_ONCE)
    ], axis=1)  # (features, units)  # fmt: skip
    best = np.abs(chosen).argmax(axis=1)
    columns = _standard(activations.values[half:, best])
    correlations = _shifted_correlations(_standard(table[half:]), columns)
    effects = correlations[0]
    turned = chosen[np.arange(len(names)), best] * effects <= 0  # of another sign than it was chosen for
    p_values = np.where(turned, 1.0, _corrected(correlations))
    findings = [
        Finding(name, activations.units[unit], float(chosen[row, unit]), float(effects[row]), float(p_values[row]))
        for row, (name, unit) in enumerate(zip(names, best, strict=True))
    ]
    return sorted(findings, key=lambda finding: -abs(finding.effect))


def _varies(values: Values) -> bool:
    """Whether there is enough of a feature to follow."""
    counts = np.unique(values, return_counts=True)[1]
    return len(counts) > 1 and len(values) - int(counts.max()) >= MIN_CASES


def _standard(values: NDArray[Any]) -> Values:
    """Columns of mean 0 and deviation 1; one that never moves becomes zeros."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    result: Values = (centred / np.where(deviation > 1e-9, deviation, np.inf)).astype(np.float32)
    return result


def _shifted_correlations(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Correlate each column with its partner shifted by every distance, shape (distances, pairs): by Fourier."""
    length = len(left)
    product = np.fft.rfft(left, axis=0).conj() * np.fft.rfft(right, axis=0)
    result: NDArray[Any] = np.fft.irfft(product, n=length, axis=0) / length
    return result


def _corrected(correlations: NDArray[Any]) -> NDArray[Any]:
    """For each pair, in how many shifts the most extreme of all pairs is as extreme as it is unshifted."""
    margin = max(1, int(SHORTEST_SHIFT * len(correlations)))
    shifted = correlations[margin : len(correlations) - margin + 1]
    deviation = np.sqrt((shifted * shifted).mean(axis=0)) + 1e-12
    largest = np.abs(shifted / deviation).max(axis=1)
    observed = np.abs(correlations[0] / deviation)
    result: NDArray[Any] = (1 + (largest[:, None] >= observed).sum(axis=0)) / (1 + len(largest))
    return result


def beyond_chance(findings: Sequence[Finding]) -> list[Finding]:
    """Those that are beyond chance."""
    return [finding for finding in findings if finding.p <= SIGNIFICANT]
