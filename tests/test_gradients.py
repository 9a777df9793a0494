"""The fading of gradients, against autograd through torch's model."""

import dataclasses
import math
import re

import numpy as np
import pytest
import torch
from conftest import VARIANTS, make_text, numpy_twin, numpy_weights, random_model
from reference_cells import naive_step
from torch.nn import functional

from charrnn.analysis.gradients import CONTEXT_LENGTHS, LEAD_IN, Flow, gradient_flow, loss_by_context, spectral_radii
from charrnn.cell_types import CELLS
from charrnn.cli.inspector import gradient_view
from charrnn.cli.inspector.gradient_figures import (
    describe_counts,
    draw_curves,
    format_loss,
    format_reach,
    format_remainder,
)
from charrnn.cli.inspector.recording import Excerpt, Recording
from charrnn.cli.inspector.subject import read_subjects
from charrnn.config import ModelConfig
from charrnn.inference.engine import Engine

REACH = 6


def read_one(config, weights, character, state):
    """One character in torch, from the equations, with every h and c a tensor of its own."""
    x, after = weights["embedding.weight"][character], []
    for layer, before in enumerate(state):
        prefix = f"layers.{layer}."
        own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
        parts = naive_step(config.cell, own, x, before)
        for part in parts:
            part.requires_grad_().retain_grad()
        after.append(parts)
        out = parts[0]
        if config.layer_norm:
            norm = (weights[f"norms.{layer}.weight"], weights[f"norms.{layer}.bias"])
            out = functional.layer_norm(out, (config.hidden_size,), *norm, eps=1e-5)
        x = x + out if config.is_residual(layer) else out
    return weights["head.weight"] @ x + weights["head.bias"], after


def torch_flow(model, ids):
    """|dL/dh_{t-k}| by autograd, shape (k, layer, part), where L is the loss of the last character."""
    weights = dict(model.named_parameters())
    state = [[part[0] for part in layer] for layer in model.initial_state(1)]
    kept = []
    for character in ids[:-1]:
        logits, state = read_one(model.config, weights, character, state)
        kept.append(state)
    expected, _ = model(torch.from_numpy(ids[:-1, None]), model.initial_state(1))
    torch.testing.assert_close(logits, expected[-1, 0], atol=1e-5, rtol=1e-5)
    functional.cross_entropy(logits[None], torch.from_numpy(ids[-1:])).backward()
    return [[[float(part.grad.norm()) for part in layer] for layer in state] for state in reversed(kept)]


@pytest.mark.parametrize("config", VARIANTS)
def test_gradient_flow_equals_autograd_for_every_cell(config):
    model = random_model(config)
    weights = numpy_weights(model)
    ids = np.random.default_rng(0).integers(0, 11, LEAD_IN + REACH + 2)
    flows = gradient_flow(config, weights, ids, reach=REACH, places=1)
    expected = torch_flow(model, ids)
    assert len(flows) == config.num_layers * CELLS[config.cell].states
    for flow in flows:
        wanted = [state[flow.layer]["hc".index(flow.part)] for state in expected[: REACH + 1]]
        np.testing.assert_allclose(flow.norms, wanted, rtol=5e-4, atol=1e-7)
        assert (np.array(wanted) > 0).all()


@pytest.mark.parametrize(("ends_as_it_begins", "flows"), [(True, True), (False, False)])
def test_gradient_flows_through_the_recall_of_the_last_character(ends_as_it_begins, flows):
    """The head gives every character the same score, so that there is no other path."""
    ids = np.arange(LEAD_IN + REACH + 2)
    if ends_as_it_begins:
        ids[-9:-1] = ids[:8]
    config = ModelConfig(vocab_size=len(ids), cell="gru", hidden_size=6, num_layers=1, embedding_dim=4, recall=200)
    weights = numpy_weights(random_model(config))
    weights["head.weight"] = np.zeros_like(weights["head.weight"])
    (flow,) = gradient_flow(config, weights, ids, reach=REACH, places=1)
    assert (flow.norms > 0).all() == (flow.norms > 0).any() == flows


def test_norm_is_the_median_over_the_places_and_the_rest_is_between_the_quartiles():
    config = VARIANTS[0].values[0]
    model = random_model(config)
    weights = numpy_weights(model)
    ids = np.random.default_rng(0).integers(0, 11, LEAD_IN + REACH + 2 + 39)
    per_place = []
    for start in range(40):
        model.zero_grad()
        per_place.append(torch_flow(model, ids[start : start + LEAD_IN + REACH + 2])[: REACH + 1])
    ordered = np.sort(per_place, axis=0)  # (place, k, layer, part)
    for flow in gradient_flow(config, weights, ids, reach=REACH, places=40):
        lower, median, upper = ordered[[9, 19, 29], :, flow.layer, "hc".index(flow.part)]
        np.testing.assert_allclose(flow.norms, median, rtol=5e-4)
        assert flow.middle_half == pytest.approx((lower[-1] / median[0], upper[-1] / median[0]), rel=1e-3)
        assert lower[-1] < 0.8 * median[-1] < 0.64 * upper[-1], "or the test could not tell them apart"


def test_gradient_passes_a_tanh_saturated_in_single_precision():
    config, weights = linear(1.0)
    config = dataclasses.replace(config, cell="rnn")
    weights = {name: weight.astype(np.float32) for name, weight in weights.items()}
    weights["layers.0.bias"][:] = 10.0
    assert np.tanh(np.float32(11)) == 1
    (flow,) = gradient_flow(config, weights, np.ones(LEAD_IN + 40, dtype=int), reach=8, places=1)
    factor = 1 - math.tanh(12.0) ** 2
    np.testing.assert_allclose(flow.norms / flow.norms[0], factor ** np.arange(9), rtol=1e-4)


def test_median_norm_survives_a_few_blocked_places():
    """A ReLU unit that one of two characters shuts: the gradient ends where it stands."""
    config, weights = linear(0.5)
    weights = {**weights, "embedding.weight": np.array([[-9.0], [1.0]])}
    ids = np.ones(LEAD_IN + 34, dtype=int)  # where a gradient of 8 characters goes back in, from each of 25 places
    shut = ids.copy()
    shut[[LEAD_IN + 3, LEAD_IN + 30]] = 0
    (free,) = gradient_flow(config, weights, ids, reach=8, places=25)
    (flow,) = gradient_flow(config, weights, shut, reach=8, places=25)
    assert free.remainder == pytest.approx(flow.remainder) == pytest.approx(0.5**8)
    shut[LEAD_IN + 3 :: 4] = 0
    (none,) = gradient_flow(config, weights, shut, reach=8, places=25)
    assert (none.remainder, none.middle_half) == (0.0, (0.0, 0.0))
    values = {"remainder": none.remainder, "middle_half": none.middle_half}
    assert format_remainder(values) == "0 (0 to 0)"


def test_distance_is_where_the_norm_has_fallen_to_a_share():
    flow = Flow(0, "h", np.array([8.0, 6.0, 4.0, 0.5, 0.08, 0.01]), places=1, quartiles=(0.01, 0.01))
    assert (flow.distance(0.5), flow.distance(0.01), flow.distance(0.0001)) == (2, 4, None)


def linear(factor):
    """One ReLU unit that keeps so much of itself at each character."""
    config = ModelConfig(vocab_size=2, cell="rnn-relu", hidden_size=1, num_layers=1, embedding_dim=1, layer_norm=False)
    weights = {
        "embedding.weight": np.ones((2, 1)), "layers.0.weight_ih": np.ones((1, 1)), "layers.0.bias": np.zeros(1),
        "layers.0.weight_hh": np.full((1, 1), factor), "head.weight": np.array([[1.0], [-1.0]]),
        "head.bias": np.zeros(2),
    }  # fmt: skip
    return config, weights


def test_linear_recurrence_fades_by_its_factor():
    """One that keeps 0.8 of itself: the gradient falls by 0.8 a character, and so its half is at 4."""
    config, weights = linear(0.8)
    (flow,) = gradient_flow(config, weights, np.ones(LEAD_IN + 40, dtype=int), reach=30, places=3)
    assert flow.remainder == pytest.approx(0.8**30)
    np.testing.assert_allclose(flow.norms, flow.norms[0] * 0.8 ** np.arange(31), rtol=1e-12)
    assert flow.distance(0.5) == 4
    assert spectral_radii(config, weights) == [(0, "state", pytest.approx(0.8))]


@pytest.mark.parametrize(
    ("factor", "told"), [(1.1, "it grows"), (1.0, "beyond 100"), (0.999, "beyond 100"), (0.8, "4")]
)
def test_growing_gradient_is_reported_as_such(factor, told):
    (flow,) = gradient_flow(*linear(factor), np.ones(LEAD_IN + 120, dtype=int), reach=100, places=1)
    values = {"half": flow.distance(0.5), "remainder": flow.remainder, "middle_half": None, "norms": [1.0]}
    assert flow.remainder == pytest.approx(factor**100)
    assert format_reach(values, "half") == told
    assert format_reach({**values, "half": None, "norms": [None]}, "half") == "no number"
    assert format_remainder(values) == {1.1: "1.4e+04 times", 1.0: "1", 0.999: "0.9", 0.8: "2e-10"}[factor]
    told = {**values, "remainder": 3.0, "middle_half": [0.04, 512.0]}
    assert format_remainder(told) == "3 times (0.04 to 512)"


def test_zero_gradient_gives_no_number():
    none = Flow(0, "h", np.zeros(3), places=2, quartiles=(0.0, 0.0))
    assert (none.distance(0.5), none.distance(0.01), none.remainder, none.middle_half) == (None,) * 4
    assert format_reach({"half": None, "norms": [0.0] * 3, "remainder": None}, "half") == "no number"
    with np.errstate(over="ignore"):
        assert Flow(0, "h", np.array([1e-300, 1e300]), 1, (1e300, 1e300)).remainder is None


def test_every_gate_has_a_spectral_radius():
    for cell, made_of in CELLS.items():
        config = ModelConfig(vocab_size=5, cell=cell, hidden_size=4, num_layers=2, embedding_dim=3)
        weights = numpy_weights(random_model(config))
        radii = spectral_radii(config, weights)
        assert [radius[:2] for radius in radii] == [(layer, block) for layer in (0, 1) for block in made_of.blocks]
        block = torch.from_numpy(weights["layers.1.weight_hh"][-4:].copy())
        assert radii[-1][2] == pytest.approx(float(torch.linalg.eigvals(block).abs().max()), rel=1e-4)


def test_infinite_spectral_radius_is_reported_as_none(trained, monkeypatch):
    (subject,) = read_subjects([str(trained / "words.pt")])
    recording = Recording(subject, Excerpt(make_text(400), "x", 400))
    monkeypatch.setattr(gradient_view, "spectral_radii", lambda *_: [(0, "input", math.inf), (0, "forget", 0.5)])
    view = gradient_view.gradients_view(recording)
    assert [one["radius"] for one in view.data["spectral_radius"]] == [None, 0.5]
    shown = "\n".join(view.lines(80, False))
    assert re.search(r"^0 +input +no number\n0 +forget +0\.500$", shown, re.M)


def naive_losses(model, ids, first, low, high):
    """-ln p of every character from the first on, by reading alone the window that it is predicted in."""
    found = []
    for place in range(first, len(ids)):
        before = (place - first) // (high - low) * (high - low) + first  # of its window the first that is predicted
        start = min(before - low - 1, len(ids) - 1 - high)
        logits, _ = model.forward(ids[start:place, None], model.initial_state())
        assert low < place - start <= high
        row = logits[-1, 0].astype(np.float64)
        found.append(np.log(np.exp(row - row.max()).sum()) - row[ids[place]] + row.max())
    return found


def test_large_alphabet_is_read_in_pieces_with_the_same_losses(monkeypatch):
    model = numpy_twin(random_model(VARIANTS[0].values[0]))
    ids = np.random.default_rng(1).integers(0, 11, 700)
    whole = [row.loss for row in loss_by_context(model, ids)]
    read, most = model.forward, []
    monkeypatch.setattr(model, "forward", lambda windows, *rest: (most.append(windows.size), read(windows, *rest))[1])
    monkeypatch.setattr("charrnn.analysis.gradients._LOGITS_AT_ONCE", 11 * 512)
    assert [row.loss for row in loss_by_context(model, ids)] == pytest.approx(whole, rel=1e-6)
    assert max(most) <= 512


@pytest.mark.parametrize(("length", "longest"), [(1, 0), (2, 1), (3, 1), (9, 4), (200, 64), (384, 128), (700, 256)])
def test_loss_by_context_predicts_the_same_characters_at_each_length(length, longest):
    model = numpy_twin(random_model(VARIANTS[0].values[0]))
    ids = np.random.default_rng(1).integers(0, 11, length)
    rows = loss_by_context(model, ids)
    assert [row.most for row in rows] == [n for n in CONTEXT_LENGTHS if n <= longest]
    assert [row.fewest for row in rows] == [1, 2, 3, 5, 9, 17, 33, 65, 129][: len(rows)]
    for row, low in zip(rows, (0, *CONTEXT_LENGTHS), strict=False):
        expected = naive_losses(model, ids, longest, low, row.most)
        assert row.characters == len(expected) == length - longest >= length / 2
        assert row.loss == pytest.approx(np.mean(expected), rel=1e-4)
        assert row.error == pytest.approx(np.std(expected) / np.sqrt(len(expected)), rel=1e-3, abs=1e-6)


def test_model_without_memory_has_the_same_loss_for_any_context():
    """Its text is easy at first and hard at the end, so that other characters would have another loss."""
    config, weights = linear(0.0)
    weights = {**weights, "embedding.weight": np.array([[1.0], [5.0]])}
    ids = np.concatenate([np.ones(300, dtype=int), np.random.default_rng(0).integers(0, 2, 350)])
    rows = loss_by_context(Engine(config, {n: w.astype(np.float32) for n, w in weights.items()}, None), ids)
    assert len(rows) == len(CONTEXT_LENGTHS)
    assert [row.loss for row in rows] == pytest.approx([rows[0].loss] * len(rows), rel=1e-5)


@pytest.mark.parametrize(
    ("loss", "error", "told"),
    [(1.0, 0.01, "1.44"), (1.0, 0.1, "1.4"), (1.0, 0.002, "1.443"), (1.0, 0.0, "1.4427"), (1e9, 1e8, "1.4e+09")],
)
def test_decimals_of_a_loss_follow_its_error(loss, error, told):
    assert format_loss({"loss": loss, "error": error}) == told
    assert format_loss({"loss": None, "error": None}) == "no number"


def test_note_of_loss_by_context_says_which_characters_it_is_over():
    def figures(unit, characters, longest):
        rows = [{"most": n, "characters": characters} for n in (1, longest)]
        return {"unit": unit, "loss_by_context": rows, "contexts_cut": longest < 256}

    same = {"a": figures("character", 8482, 256), "b": figures("character", 8482, 256)}
    assert describe_counts(same) == ["every row is over the same 8,482 characters"]
    assert describe_counts({"a": figures("character", 256, 128), "b": figures("byte", 300, 256)}) == [
        "every row is over the same characters or bytes of a text",
        "more context than 128 would leave less than half of so short a text to predict",
    ]


def test_context_lengths_of_a_mean_loss_are_named(trained):
    (subject,) = read_subjects([str(trained / "words.pt")])
    shown = gradient_view.gradients_view(Recording(subject, Excerpt(make_text(200), "x", 200))).lines(80, False)
    table = shown[shown.index("bits per character, by characters of context") + 1 :]
    names = [re.split(" {2,}", line)[0] for line in table if line]
    assert names[:8] == ["context", "1", "2", "3 to 4", "5 to 8", "9 to 16", "17 to 32", "33 to 64"]


@pytest.mark.parametrize(
    ("norms", "is_cut"),
    [
        ([2.0, 1.0, 0.5], False),
        ([2.0, 3e-9, 2.1e-9], False),
        ([2.0, 1.0, 1e-9], True),
        ([2.0, 1.0, 0.0], True),
        ([2.0, 1.0, None], False),  # it is no number any more
        ([2.0, 1e-12, None], True),
    ],
)
def test_curve_cut_at_a_tiny_rest_is_reported(norms, is_cut):
    flows = [("", {"layer": 0, "part": part, "norms": found}) for part, found in (("h", [1.0] * 3), ("c", norms))]
    told = ["", "a curve ends where less than 1e-09 is left"]
    assert (draw_curves(flows, 80)[-2:] == told) is is_cut
    assert (draw_curves([*flows, ("", {"layer": 1, "part": "h", "norms": [0.0] * 3})], 80)[-2:] == told) is is_cut


def test_gradient_gone_after_one_step_is_drawn_at_its_start():
    gone = {"layer": 0, "part": "h", "norms": [1.0, 1e-12] + [0.0] * (REACH - 1)}
    alone = draw_curves([("", gone)], 60)
    assert [line for line in alone[1:] if "●" in line] == ["   0.000 ┤●"]
    fading = {"layer": 0, "part": "h", "norms": [0.5**k for k in range(20)]}
    together = draw_curves([("gone", gone), ("fades", fading)], 60)
    assert [line[9:] for line in together[2:5]] == ["┤●", "┤ ○", "┤  ○"], "where two meet, they take turns"


def test_loss_by_context_names_only_the_units_of_the_models():
    def figures(unit, characters):
        return {"unit": unit, "loss_by_context": [{"most": 1, "characters": characters}], "contexts_cut": False}

    for unit in ("character", "byte"):
        told = describe_counts({"a": figures(unit, 256), "b": figures(unit, 300)})
        assert told == [f"every row is over the same {unit}s of a text"]
    told = describe_counts({"a": figures("character", 1)})
    assert told == ["every row is over the same 1 character"]


def test_number_of_places_of_a_median_is_reported():
    config = VARIANTS[0].values[0]
    weights = numpy_weights(random_model(config))
    for length, places in ((LEAD_IN + REACH + 2, 1), (LEAD_IN + REACH + 4, 3), (900, 128)):
        (flow, *_) = gradient_flow(config, weights, np.zeros(length, dtype=int), reach=REACH)
        assert flow.places == places
