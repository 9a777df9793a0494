"""Records the activations of a model's units on a text, and finds units that correlate with features of the text.

Among hundreds of units and dozens of features some pairs correlate by chance. The unit for a feature is therefore
chosen on the first half of the text, and the effect is measured on the second half and tested there by permutation: the
feature is shifted circularly by every distance that is not short, which keeps the autocorrelation of feature and unit
and removes their relation. Effects are divided by the standard deviation of the pair's shifted correlations. A finding
is significant if, in at most one shift of twenty, the maximum over all pairs reaches its effect; the maximum corrects
for multiple comparisons (Westfall, Young 1993, "Resampling-based multiple testing"). The effect must also have the sign
of the correlation on the first half.
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
"""Significance level of a finding; its p-value is corrected for all comparisons."""

MIN_CASES = 20
"""Characters of each half at which a feature must differ from its most frequent value."""

SHORTEST_TEXT = 4 * MIN_CASES
"""Least length in characters of a text in which anything can be found."""

ENOUGH = 2_000
"""Characters that suffice to find most of what units respond to."""

SHORTEST_SHIFT = 0.05
"""Least shift of a feature, as a share of a half: shifted less, it may still correlate with itself."""

ACTIVATIONS_HELD = 1 << 25
"""Most activations held in memory: 128 megabytes."""

UNITS_AT_ONCE = 256
"""Units that are compared with all features at once, a limit on memory."""

MAX_VIEWED = 20_000
"""Most characters of a text that a view reads, a limit on time."""

SHUT, OPEN = 0.1, 0.9
"""A gate counts as shut below the first value and as open above the second, as in Karpathy, Johnson, Fei-Fei 2015."""

_WINDOW = 256


@dataclass(frozen=True)
class Unit:
    """One component of a layer's state or of one of its gates.

    Attributes:
        layer: counted from 0, as in the weights' names; the layers of an ensemble's members follow one another.
        number: index within the layer, from 0.
        part: "h", the hidden state; in an LSTM also "c", the cell state (recorded as its tanh), and the gates "i", "f"
            and "o"; in a GRU also the gates "r" and "z".
    """

    layer: int
    number: int
    part: str

    @property
    def is_state(self) -> bool:
        """Whether the unit belongs to a state, not to a gate."""
        return self.part in "hc"


@dataclass(frozen=True)
class Activations:
    """The activations of a model's units, character by character.

    Attributes:
        units: the U units.
        values: shape (num_chars, U): of a state after each character, of a gate while the character is read.
    """

    units: list[Unit]
    values: Values

    def of(self, unit: Unit) -> Values:
        """One unit's values, shape (num_chars,)."""
        values: Values = self.values[:, self.units.index(unit)]
        return values


@dataclass(frozen=True)
class Finding:
    """The unit that correlates best with a feature.

    Attributes:
        feature: name of the feature.
        unit: the unit with the highest absolute correlation on the first half.
        chosen: correlation on the first half, from -1 to 1.
        effect: correlation on the second half.
        p: p-value, corrected for the comparison of all pairs.
    """

    feature: str
    unit: Unit
    chosen: float
    effect: float
    p: float


@dataclass(frozen=True)
class GateUse:
    """Saturation of one gate of a layer.

    Attributes:
        layer: from 0.
        gate: name of the gate.
        mean: value over all characters and units.
        open: for each unit, the share of characters at which the gate is above `OPEN`.
        shut: the same for values below `SHUT`.
    """

    layer: int
    gate: str
    mean: float
    open: NDArray[Any]
    shut: NDArray[Any]


def readable_length(config: ModelConfig, ids_each: int) -> int:
    """Number of characters whose activations fit `ACTIVATIONS_HELD`, at most `MAX_VIEWED`.

    Args:
        config: the model's shape.
        ids_each: most ids per character; every id has activations.
    """
    units = len(parts_of(config)) * config.hidden_size * config.num_layers * config.members
    return min(MAX_VIEWED, ACTIVATIONS_HELD // (units * ids_each))


def has_gates(config: ModelConfig) -> bool:
    """Whether a model's cells have gates."""
    return bool(CELLS[config.cell].gates)


def parts_of(config: ModelConfig) -> str:
    """The parts of a model's units, one letter each, states first; see `Unit`."""
    cell = CELLS[config.cell]
    return "hc"[: cell.states] + "".join(GATE_LETTERS[gate] for gate in cell.gates)


def record_units(config: ModelConfig, weights: Weights, ids: NDArray[Any], reset_id: int | None = None) -> Activations:
    """Read a text from a zero state and record the activations of all units.

    Args:
        config: the model's shape.
        weights: by name.
        ids: encoded text, shape (num_chars,).
        reset_id: an id at which the state is reset to zero, for a model trained with --lines the line feed. It is also
            read before the text, which starts a line, without being recorded.
    """
    before = [] if reset_id is None else [reset_id]
    ids = np.concatenate([before, ids]).astype(np.int64)
    layers = range(config.num_layers * config.members)
    units = [Unit(layer, n, part) for layer in layers for part in parts_of(config) for n in range(config.hidden_size)]
    values = np.empty((len(ids), len(units)), dtype=np.float32)
    members = each_member(config, weights)
    for (_, member, own), columns in zip(members, np.split(values, config.members, axis=1), strict=True):
        _record_member(member, own, ids, reset_id, columns)
    return Activations(units, values[len(before) :])


def gate_uses(config: ModelConfig, values: Values) -> list[GateUse]:
    """Summarise the gates from the values of all units, shape (num_chars, U)."""
    cell, layers = CELLS[config.cell], range(config.num_layers * config.members)
    parts = values.reshape(len(values), len(layers), -1, config.hidden_size)
    uses = []
    for layer in layers:
        for number, name in enumerate(cell.gates, cell.states):
            gate = parts[:, layer, number]  # (num_chars, H)
            mean = float(gate.mean(dtype=np.float64))
            uses.append(GateUse(layer, name, mean, (gate > OPEN).mean(axis=0), (gate < SHUT).mean(axis=0)))
    return uses


def find_neurons(activations: Activations, features: Mapping[str, Values]) -> list[Finding]:
    """For every feature that varies enough, find the unit that correlates best with it, and test it.

    Args:
        activations: of a text.
        features: of the same text, each of shape (num_chars,).

    Returns:
        A finding per such feature, significant or not, sorted by absolute effect in descending order.
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
    turned = chosen[np.arange(len(names)), best] * effects <= 0  # the sign differs from that on the first half
    p_values = np.where(turned, 1.0, _corrected(correlations))
    findings = [
        Finding(name, activations.units[unit], float(chosen[row, unit]), float(effects[row]), float(p_values[row]))
        for row, (name, unit) in enumerate(zip(names, best, strict=True))
    ]
    return sorted(findings, key=lambda finding: -abs(finding.effect))


def significant_findings(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that are significant."""
    return [finding for finding in findings if finding.p <= SIGNIFICANT]


def _record_member(
    config: ModelConfig, weights: Weights, ids: NDArray[Any], reset_id: int | None, values: Values
) -> None:
    """Record the activations of one ensemble member into `values`, shape (len(ids), the member's units)."""
    state = zero_state(config, weights)
    for start, end, is_new in _windows(ids, reset_id):
        state = zero_state(config, weights) if is_new else state
        tape = record(config, weights, ids[start:end, None], state)
        state = tape.state
        wide = []
        for layer in tape.layers:
            gates = gate_values(config, layer).values()
            wide += [layer.hidden, *([np.tanh(layer.cells)] if "c" in parts_of(config) else []), *gates]
        values[start:end] = np.concatenate(wide, axis=-1)[:, 0]


def _windows(ids: NDArray[Any], reset_id: int | None) -> Iterator[tuple[int, int, bool]]:
    """Yield the start and end of each window, and whether it starts from a zero state."""
    resets = [] if reset_id is None else np.flatnonzero(ids == reset_id).tolist()
    bounds = sorted({0, *resets, len(ids)})
    for first, last in pairwise(bounds):
        for start in range(first, last, _WINDOW):
            yield start, min(start + _WINDOW, last), start == first


def _varies(values: Values) -> bool:
    """Whether a feature differs from its most frequent value at `MIN_CASES` characters or more."""
    counts = np.unique(values, return_counts=True)[1]
    return len(counts) > 1 and len(values) - int(counts.max()) >= MIN_CASES


def _standard(values: NDArray[Any]) -> Values:
    """Standardise columns to mean 0 and deviation 1; a constant column becomes zeros."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    result: Values = (centred / np.where(deviation > 1e-9, deviation, np.inf)).astype(np.float32)
    return result


def _shifted_correlations(left: NDArray[Any], right: NDArray[Any]) -> NDArray[Any]:
    """Circular cross-correlation of paired columns by FFT, shape (distances, pairs)."""
    length = len(left)
    product = np.fft.rfft(left, axis=0).conj() * np.fft.rfft(right, axis=0)
    result: NDArray[Any] = np.fft.irfft(product, n=length, axis=0) / length
    return result


def _corrected(correlations: NDArray[Any]) -> NDArray[Any]:
    """Corrected p-value of each pair: the share of shifts at which the maximum over all pairs reaches its effect."""
    margin = max(1, int(SHORTEST_SHIFT * len(correlations)))
    shifted = correlations[margin : len(correlations) - margin + 1]
    deviation = np.sqrt((shifted * shifted).mean(axis=0)) + 1e-12
    largest = np.abs(shifted / deviation).max(axis=1)
    observed = np.abs(correlations[0] / deviation)
    result: NDArray[Any] = (1 + (largest[:, None] >= observed).sum(axis=0)) / (1 + len(largest))
    return result
