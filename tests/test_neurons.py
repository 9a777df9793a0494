"""Neurons that are known to count, and neurons that are known to mean nothing."""

import math

import numpy as np
import pytest
from conftest import CORPORA, VARIANTS, numpy_twin, numpy_weights, random_model
from reference_cells import REFERENCE

from charrnn.analysis import neurons
from charrnn.analysis.features import text_features
from charrnn.analysis.neurons import (
    Activations,
    Finding,
    Unit,
    find_neurons,
    gate_uses,
    parts_of,
    readable_length,
    record_units,
    significant_findings,
)
from charrnn.config import ModelConfig
from charrnn.shapes import parameter_shapes
from charrnn.text.encoder import CharEncoder

TEXT = (CORPORA / "verse.txt").read_text()[:8000]


def hand_made(encoder):
    """A ReLU layer of 8 units: the second counts the characters of its line, the sixth stays on inside brackets."""
    config = ModelConfig(
        vocab_size=len(encoder), cell="rnn-relu", hidden_size=8, num_layers=1, embedding_dim=len(encoder),
        layer_norm=False, residual=False,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    weights = {name: np.zeros(shape, dtype=np.float32) for name, shape in parameter_shapes(config).items()}
    weights["embedding.weight"] = np.eye(len(encoder), dtype=np.float32)
    weights["layers.0.weight_ih"] = generator.uniform(0, 1, (8, len(encoder))).astype(np.float32)
    weights["layers.0.weight_ih"][1] = 1
    weights["layers.0.weight_ih"][1, encoder.encode("\n")] = -1e6
    weights["layers.0.weight_hh"][1, 1] = 1
    weights["layers.0.weight_ih"][5] = 0
    weights["layers.0.weight_ih"][5, encoder.encode("(")] = 1
    weights["layers.0.weight_ih"][5, encoder.encode(")")] = -1
    weights["layers.0.weight_hh"][5, 5] = 1
    return config, weights


def test_counting_unit_and_bracket_unit_are_found():
    generator = np.random.default_rng(1)
    text = "".join(line + (" (aside)" if generator.random() < 0.5 else "") + "\n" for line in TEXT.split("\n"))
    encoder = CharEncoder(text)
    activations = record_units(*hand_made(encoder), encoder.encode(text))
    np.testing.assert_array_equal(activations.of(Unit(0, 1, "h")), text_features(text)["position in line"])
    found = {
        finding.feature: finding for finding in significant_findings(find_neurons(activations, text_features(text)))
    }
    for feature, unit in {"position in line": 1, "inside ( )": 5}.items():
        assert found[feature].unit == Unit(0, unit, "h")
        assert found[feature].effect == pytest.approx(1, abs=1e-5)
        assert found[feature].p < 0.01


@pytest.mark.parametrize(("p", "counts"), [(0.05, True), (0.051, False)])
def test_finding_likely_by_chance_in_more_than_one_text_of_twenty_does_not_count(p, counts):
    findings = [Finding("word start", Unit(0, 3, "h"), 0.5, 0.5, p)]
    assert significant_findings(findings) == findings * counts


def wandering(length, units, seed):
    """Units as smooth as real ones that have nothing to do with any text."""
    noise = np.random.default_rng(seed).normal(size=(length, units)).astype(np.float32)
    memory = np.linspace(0, 0.98, units, dtype=np.float32)
    values = np.empty_like(noise)
    state = noise[0]
    for step in range(length):
        state = memory * state + np.sqrt(1 - memory**2) * noise[step]
        values[step] = state
    return values


def test_meaningless_units_are_found_in_one_text_of_twenty_at_most():
    features = text_features(TEXT[:4000])
    units = [Unit(0, number, "h") for number in range(60)]
    texts_with_a_finding = sum(
        bool(significant_findings(find_neurons(Activations(units, wandering(4000, 60, seed)), features)))
        for seed in range(60)
    )
    allowed = 3 + 3 * math.sqrt(60 * 0.05 * 0.95)  # three deviations above one in twenty
    assert texts_with_a_finding <= allowed


@pytest.mark.parametrize(("share", "power"), [(0.35, 0.9), (0.0, 0.0)])
def test_weak_real_effect_among_many_units_is_found(share, power):
    """One unit of 60 follows word starts with a correlation of about a third."""
    features = text_features(TEXT[:4000])
    start = features["word start"]
    found = 0
    for seed in range(20):
        values = wandering(4000, 60, seed)
        values[:, 7] = share * (start - start.mean()) / start.std() + math.sqrt(1 - share**2) * values[:, 7]
        findings = significant_findings(
            find_neurons(Activations([Unit(0, n, "h") for n in range(60)], values), features)
        )
        found += any(f.feature == "word start" and f.unit.number == 7 for f in findings)
    assert found >= power * 20
    assert share or found <= 2


def test_effect_is_measured_on_the_half_it_was_not_chosen_on():
    generator = np.random.default_rng(2)
    feature = generator.integers(0, 2, 2000).astype(np.float32)
    values = generator.normal(size=(2000, 40)).astype(np.float32)
    values[:1000, 3] = feature[:1000]  # follows it on the first half only
    (finding,) = find_neurons(Activations([Unit(0, n, "h") for n in range(40)], values), {"it": feature})
    assert finding.unit.number == 3
    assert finding.chosen == pytest.approx(1, abs=1e-5)
    assert finding.effect == pytest.approx(np.corrcoef(feature[1000:], values[1000:, 3])[0, 1], abs=1e-5)
    assert finding.p > 0.2


def test_unit_that_reverses_its_effect_on_the_other_half_is_rejected():
    generator = np.random.default_rng(6)
    values = generator.normal(size=(2000, 8)).astype(np.float32)
    feature = (generator.random(2000) < 0.5).astype(np.float32)
    values[:, 6] += 4 * feature * np.where(np.arange(2000) < 1000, 1, -1)
    (finding,) = find_neurons(Activations([Unit(0, n, "h") for n in range(8)], values), {"on": feature})
    assert (finding.unit.number, finding.chosen > 0.8, finding.effect < -0.8, finding.p) == (6, True, True, 1)


def test_unit_that_is_off_where_a_feature_is_on_is_found():
    generator = np.random.default_rng(5)
    values = generator.normal(size=(2000, 8)).astype(np.float32)
    feature = (generator.random(2000) < 0.5).astype(np.float32)
    values[:, 6] -= 4 * feature
    units = [Unit(0, n, "h") for n in range(8)]
    (finding,) = significant_findings(find_neurons(Activations(units, values), {"on": feature}))
    assert (finding.unit, finding.effect < -0.8, finding.p < 0.01) == (units[6], True, True)


@pytest.mark.parametrize(
    ("observed", "near", "far", "p"),
    [(1.0, 0.1, 0.1, 1 / 92), (0.5, 0.5, 0.5, 1), (0.4, -0.5, -0.5, 1), (0.5, 0.9, 0.1, 1 / 92)],
)
def test_chance_is_estimated_by_long_shifts_in_both_directions(observed, near, far, p):
    correlations = np.full((100, 1), far)
    correlations[:5] = correlations[-4:] = near
    correlations[0] = observed
    assert neurons._corrected(correlations) == pytest.approx([p])


@pytest.mark.parametrize(("cases", "found"), [(neurons.MIN_CASES, 1), (neurons.MIN_CASES - 1, 0)])
def test_feature_must_occur_often_enough_in_each_half(cases, found):
    values = np.random.default_rng(3).normal(size=(1000, 5)).astype(np.float32)
    feature = np.zeros(1000, dtype=np.float32)
    feature[:cases] = feature[500 : 500 + neurons.MIN_CASES] = 1
    findings = find_neurons(Activations([Unit(0, n, "h") for n in range(5)], values), {"it": feature})
    assert len(findings) == found


def test_feature_that_hardly_varies_is_left_out():
    values = np.random.default_rng(3).normal(size=(1000, 5)).astype(np.float32)
    rare = np.zeros(1000, dtype=np.float32)
    rare[:30] = 1
    assert find_neurons(Activations([Unit(0, n, "h") for n in range(5)], values), {"rare": rare}) == []


@pytest.mark.parametrize("config", VARIANTS[::2])
def test_recorded_units_are_those_of_the_engine(config):
    model = random_model(config)
    weights = numpy_weights(model)
    ids = np.random.default_rng(4).integers(0, 11, neurons._WINDOW + 20)
    activations = record_units(config, weights, ids)
    gates = gate_uses(config, activations.values)
    _, state = numpy_twin(model).forward(ids[:, None], numpy_twin(model).initial_state())
    for layer, parts in enumerate(state):
        for part, values in zip("hc", parts, strict=False):
            shown = np.tanh(values[0]) if part == "c" else values[0]
            found = [activations.of(Unit(layer, n, part))[-1] for n in range(config.hidden_size)]
            np.testing.assert_allclose(found, shown, atol=1e-5)
    for gate in gates:  # their means say that each unit's gates lie where they are looked for
        part = REFERENCE[config.cell].gates[gate.gate]
        found = np.mean([activations.of(Unit(gate.layer, n, part)) for n in range(config.hidden_size)], axis=0)
        assert found.mean() == pytest.approx(gate.mean, abs=1e-5)
    assert len(activations.units) == config.num_layers * config.hidden_size * len(parts_of(config))
    assert len(gates) == config.num_layers * len(REFERENCE[config.cell].gates)
    for gate in gates:
        assert 0 < gate.mean < 1
        assert ((gate.open + gate.shut) <= 1 + 1e-9).all()


def test_separate_lines_are_recorded_from_zeros():
    config = VARIANTS[0].values[0]
    weights = numpy_weights(random_model(config))
    ids = np.random.default_rng(5).integers(1, 11, 2 * neurons._WINDOW)
    feeds = [3, 4, 40, 41 + neurons._WINDOW]
    ids[feeds] = 0
    activations = record_units(config, weights, ids, reset_id=0)
    whole = np.concatenate([[0], ids])  # the first line too is read after a line feed, which is not part of the text
    apart = [record_units(config, weights, line).values for line in np.split(whole, [at + 1 for at in feeds])]
    np.testing.assert_allclose(activations.values, np.concatenate(apart)[1:], atol=1e-5)


def test_gates_are_counted_open_and_shut_by_their_values():
    """An LSTM whose forget gate is always open, whose input gate is always shut and whose output is at a half."""
    config = ModelConfig(vocab_size=3, cell="lstm", hidden_size=4, num_layers=1, embedding_dim=2, layer_norm=False)
    weights = {name: np.zeros(shape, dtype=np.float32) for name, shape in parameter_shapes(config).items()}
    weights["layers.0.bias"][:] = np.repeat([-9, 9, 0, 0], 4)
    weights["layers.0.bias"][:2] = -2.5, -2.0  # 0.08 and 0.12
    values = record_units(config, weights, np.zeros(50, dtype=np.int64)).values
    gates = {gate.gate: gate for gate in gate_uses(config, values)}
    assert gates["input"].shut.tolist() == [1.0, 0.0, 1.0, 1.0]
    assert gates["forget"].open.tolist() == [1.0] * 4
    assert gates["output"].open.tolist() == gates["output"].shut.tolist() == [0.0] * 4
    assert gates["output"].mean == pytest.approx(0.5)


def test_gate_that_follows_a_feature_is_found():
    """An LSTM whose unit 2 lets something in after a capital alone, and whose state shows nothing of it."""
    encoder = CharEncoder(TEXT)
    config = ModelConfig(
        vocab_size=len(encoder), cell="lstm", hidden_size=4, num_layers=1, embedding_dim=len(encoder), layer_norm=False
    )
    generator = np.random.default_rng(0)
    weights = {
        name: generator.normal(size=shape).astype(np.float32) for name, shape in parameter_shapes(config).items()
    }
    weights["embedding.weight"] = np.eye(len(encoder), dtype=np.float32)
    capitals = [character.isupper() for character in encoder.characters]
    weights["layers.0.weight_ih"][2] = np.where(capitals, 9, -9)
    weights["layers.0.weight_hh"][2] = weights["layers.0.bias"][2] = 0
    activations = record_units(config, weights, encoder.encode(TEXT))
    found = {
        finding.feature: finding for finding in significant_findings(find_neurons(activations, text_features(TEXT)))
    }
    assert found["capital"].unit == Unit(0, 2, "i")
    assert found["capital"].effect == pytest.approx(1, abs=1e-3)


def test_readable_length_is_bounded_by_memory():
    config = ModelConfig(vocab_size=3, cell="lstm", hidden_size=4096, num_layers=8, embedding_dim=2)
    assert readable_length(config, 1) * 5 * 4096 * 8 <= neurons.ACTIVATIONS_HELD
