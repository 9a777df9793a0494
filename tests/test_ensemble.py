"""Several networks in one model: they learn apart and predict together."""

import contextlib
import dataclasses
import itertools
import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import make_text, numpy_twin, numpy_weights, random_model, read_whole, skip_without
from runs import VOCAB_SIZE, finish, start, take_up

from charrnn.analysis.dynamic import adapt, average_surprisals
from charrnn.analysis.gradients import gradient_flow, spectral_radii
from charrnn.analysis.neurons import Unit, gate_uses, record_units
from charrnn.analysis.ngrams import Baseline
from charrnn.cell_types import CELLS
from charrnn.cli.inspector.cards import describe
from charrnn.cli.inspector.subject import Subject
from charrnn.config import ModelConfig
from charrnn.display.card import card
from charrnn.inference.engine import Engine, average, average_one
from charrnn.loading import sampling_weights
from charrnn.network.ensemble import build_model, map_members, members_of, set_dropout, share_threads, split_state
from charrnn.network.model import CharRNN
from charrnn.network.torch_engine import TorchCharRNN
from charrnn.shapes import member_name, member_weights, parameter_shapes
from charrnn.storage.archive import read_checkpoint
from charrnn.storage.export import to_slim_checkpoint
from charrnn.suggest import suggest
from charrnn.text.encoder import CharEncoder
from charrnn.training.loop import take_step
from charrnn.training.recovery import ensure_finite

SHAPE = {"vocab_size": 11, "hidden_size": 16, "num_layers": 2, "embedding_dim": 6, "members": 3}
READ = np.random.default_rng(0).integers(0, 11, (40, 5))


def ensemble(cell="lstm", **changes):
    return random_model(ModelConfig(cell=cell, **{**SHAPE, **changes}))


@pytest.mark.parametrize("cell", CELLS)
def test_ensemble_probability_is_the_mean_of_the_members(cell):
    model = ensemble(cell)
    ids = torch.from_numpy(READ)
    together, state = model(ids, model.initial_state(5))
    alone = []
    for number, member in enumerate(model.members):
        own = CharRNN(model.config.member)
        own.load_state_dict(member_weights(model.config, model.state_dict(), number))
        logits, own_state = own(ids, own.initial_state(5))
        alone.append(logits.double().softmax(dim=-1))
        torch.testing.assert_close(split_state(model, state)[number], own_state)
        assert member.config == own.config
    torch.testing.assert_close(together.double().exp(), sum(alone) / 3, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("cell", CELLS)
def test_numpy_and_torch_ensembles_agree_however_read(cell):
    model = ensemble(cell)
    engine, on_torch = numpy_twin(model), TorchCharRNN(model.config, numpy_weights(model), "cpu")
    expected, state = model(torch.from_numpy(READ), model.initial_state(5))
    logits, own_state = engine.forward(READ, engine.initial_state(5))
    np.testing.assert_allclose(logits, expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    for layer, own in zip(state, own_state, strict=True):
        for tensor, array in zip(layer, own, strict=True):
            np.testing.assert_allclose(array, tensor.detach().numpy(), rtol=1e-5, atol=1e-5)
    batched, by_torch, one = engine.batch_reader(5), on_torch.batch_reader(5), engine.reader()
    for ids, logits in zip(READ, expected.detach().numpy(), strict=True):
        np.testing.assert_allclose(batched(ids), logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(by_torch(ids), logits, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(one(ids[0]), logits[0], rtol=1e-4, atol=1e-4)


def test_average_keeps_impossible_and_unlikely_characters():
    never = np.array([[0.0, -np.inf, 1.0]], dtype=np.float32)
    assert average([never, never])[0, 1] == -np.inf
    unlikely = np.array([[0.0, -500.0, 1.0]], dtype=np.float32)
    assert average([unlikely, unlikely])[0, 1] == pytest.approx(-500 - math.log(1 + math.e), abs=1e-3)


@pytest.mark.parametrize("count", [2, 3])
def test_average_of_one_text_is_bit_identical(count):
    predictions = 30 * np.random.default_rng(count).standard_normal((count, 65)).astype(np.float32)
    predictions[0, 3], predictions[:, 5] = -np.inf, -np.inf
    np.testing.assert_array_equal(average_one(list(predictions)), average(list(predictions)))


def test_no_member_writes_the_rare_character_id():
    encoder = CharEncoder("abc", has_unknown=True)
    weights = {f"members.{number}.head.bias": np.zeros(4, dtype=np.float32) for number in range(2)}
    closed = sampling_weights(weights, encoder)
    assert [bias[3] for bias in closed.values()] == [-np.inf] * 2
    assert all((bias == 0).all() for bias in weights.values())


def test_ensemble_weights_are_those_of_its_parameter_shapes():
    config = ensemble().config
    shapes = {name: tuple(tensor.shape) for name, tensor in build_model(config).state_dict().items()}
    assert shapes == parameter_shapes(config)
    one = parameter_shapes(config.member)
    assert len(shapes) == 3 * len(one)
    assert list(shapes)[len(one)] == "members.1.embedding.weight"


@pytest.mark.parametrize("at_once", [1, 2])
def test_member_learns_as_if_alone(at_once):
    """The first member begins as a single network of the same seed does, and must become the same, bit for bit."""
    alone, run = start(max_steps=100), start(max_steps=100, members=2)
    share_threads(run.model, at_once)
    assert run.model.at_once == at_once
    for _ in range(10):
        take_step(alone)
        take_step(run)
    first, second = run.model.members
    for name, weight in alone.model.state_dict().items():
        assert torch.equal(weight, first.state_dict()[name]), name
    assert not torch.equal(first.head.weight, second.head.weight)
    for layer, expected in zip(split_state(run.model, run.state)[0], alone.state, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(layer, expected, strict=True))


def test_concurrent_members_have_the_precision_of_the_caller():
    skip_without("bfloat16", "gru")
    model, logits = ensemble("gru"), []
    for at_once in (1, 2):
        share_threads(model, at_once)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            logits.append(model(torch.from_numpy(READ), model.initial_state(5))[0])
    with torch.no_grad():
        exact = model(torch.from_numpy(READ), model.initial_state(5))[0]
    assert torch.equal(*logits)
    assert not torch.equal(logits[0], exact)


def test_concurrent_members_share_the_threads_and_respect_no_grad():
    model = ensemble("gru")
    share_threads(model, 6)
    assert (model.at_once, model.threads_each) == (3, 2)
    inputs = torch.from_numpy(READ), model.initial_state(5)
    with torch.no_grad():
        assert not model(*inputs)[1][0][0].requires_grad, "the state is as a member left it"
    assert model(*inputs)[1][0][0].requires_grad


@pytest.mark.parametrize("state_reset", [0.0, 0.5])
def test_members_reset_different_lanes(state_reset):
    """In the first window no lane has a state."""
    run = start(members=2, state_reset=state_reset, batch_size=64, max_steps=100)
    first, second = run.model.members
    second.load_state_dict(first.state_dict())
    take_step(run)
    assert torch.equal(first.head.weight, second.head.weight)
    take_step(run)
    assert torch.equal(first.head.weight, second.head.weight) == (state_reset == 0.0)


def test_members_drop_different_characters():
    run = start(members=2, dropout=0.4, state_reset=0.5, batch_size=64, max_steps=100)
    for member in run.model.members:
        member.load_state_dict(run.model.members[0].state_dict())
    for _ in range(3):
        take_step(run)
    first, second = run.model.members
    assert not torch.equal(first.head.weight, second.head.weight)
    kept = [(own[0][0] != 0).any(dim=1) for own in split_state(run.model, run.state)]
    assert all(lanes.all() for lanes in kept), "after a window every lane has a state"
    masks = [member.dropout.hide(torch.ones(64, 1), 0.5) for member in run.model.members]
    assert not torch.equal(*masks)


def test_set_dropout_changes_every_member():
    run = start(members=2, dropout=0.0)
    set_dropout(run.model, dropout=0.5)
    assert [part.config.dropout for part in (run.model, *members_of(run.model))] == [0.5] * 3


def test_ensemble_beats_the_mean_member():
    run = start(members=3, max_steps=150, evaluations=3)
    finish(run)
    run.model.load_state_dict(run.best_weights)
    from charrnn.training.evaluation import evaluate

    alone = [evaluate(member, run.val_ids) for member in members_of(run.model)]
    assert run.best.val_loss == pytest.approx(evaluate(run.model, run.val_ids), abs=1e-6)
    assert run.best.val_loss < sum(alone) / 3


def test_bad_step_of_one_member_is_skipped_by_all():
    run = start(members=2, max_steps=100)
    take_step(run)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    hook = run.model.members[1].head.bias.register_hook(lambda gradient: gradient * math.inf)
    take_step(run)
    hook.remove()
    assert run.health.skipped == 1
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())


def test_nonfinite_moment_of_the_last_member_is_found():
    run = start(members=2, max_steps=100)
    take_step(run)
    next(iter(run.optimizers[1].state.values()))["exp_avg"].fill_(math.inf)
    ensure_finite(run)
    assert run.health.recoveries == 1


def test_layers_of_the_members_are_numbered_consecutively():
    model = ensemble()
    weights, ids = numpy_weights(model), np.resize(READ, 200)
    activations = record_units(model.config, weights, ids)
    gates = gate_uses(model.config, activations.values)
    assert [unit.layer for unit in activations.units[:: 5 * 16]] == [0, 1, 2, 3, 4, 5]
    flows = gradient_flow(model.config, weights, ids, reach=20, places=2)
    radii = spectral_radii(model.config, weights)
    for number in range(3):
        own = model.config.member, member_weights(model.config, weights, number)
        alone = record_units(*own, ids)
        own_gates = gate_uses(own[0], alone.values)
        unit = Unit(1, 5, "c")
        np.testing.assert_array_equal(alone.of(unit), activations.of(Unit(2 * number + 1, 5, "c")))
        shifted = [use.mean for use in gates if use.layer // 2 == number]
        assert shifted == [use.mean for use in own_gates]
        for one, flow in zip(
            gradient_flow(*own, ids, reach=20, places=2), [f for f in flows if f.layer // 2 == number], strict=True
        ):
            assert (one.layer, one.part) == (flow.layer % 2, flow.part)
            np.testing.assert_array_equal(one.norms, flow.norms)
        assert [r[2] for r in spectral_radii(*own)] == [r[2] for r in radii if r[0] // 2 == number]


def test_dynamic_evaluation_averages_the_members():
    model = ensemble()
    ids = READ.flatten()
    static = read_whole(numpy_twin(model), ids, lanes=1).surprisals
    members = [member_weights(model.config, numpy_weights(model), number) for number in range(3)]
    unmoved = [next(adapt(model.config.member, weights, ids, rate=0.0)) for weights in members]
    np.testing.assert_allclose(average_surprisals(unmoved), static, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"time_limit": 180.0}, 2),
        ({"time_limit": 600.0}, 4),
        ({"time_limit": 20.0}, 1),
        ({"time_limit": 600.0, "hidden_size": 512}, 1),
        ({"time_limit": 600.0, "num_layers": 2}, 1),
        ({"time_limit": 20.0, "members": 3}, 3),
        ({"max_steps": 50}, 1),
        ({}, 1),
    ],
)
def test_number_of_members_follows_the_time(flags, expected):
    chosen = suggest(flags, num_chars=1_100_000, vocab_size=65, flops=3.5e11)
    assert chosen.model.members == expected


def test_short_text_without_an_end_gets_two_members():
    assert suggest({}, num_chars=140_000, vocab_size=65).model.members == 2


def test_text_too_large_for_the_time_gets_one_network():
    assert suggest({"time_limit": 180.0}, num_chars=20_000_000, vocab_size=65, flops=3.5e11).model.members == 1


def test_more_members_get_fewer_epochs_and_less_dropout():
    alone, four = (
        suggest({"time_limit": 600.0, "members": n}, num_chars=1_100_000, vocab_size=65, flops=3.5e11) for n in (1, 4)
    )
    assert four.model.dropout < alone.model.dropout


@pytest.fixture
def words(tmp_path):
    (tmp_path / "words.txt").write_text(make_text(6000), encoding="utf-8")
    return ["words.txt", "--hidden-size", 16, "--members", 2]


def test_ensemble_can_be_trained_resumed_sampled_and_inspected(charrnn, words):
    assert charrnn("train", *words, "--max-steps", 30, "-q").code == 0
    resumed = charrnn("train", "words.txt", "--resume", "--max-steps", 40)
    assert "2 members of 1 layer of 16" in resumed.stderr
    assert "going on after step 30" in resumed.stderr
    assert len(charrnn("sample", "words.pt", "-n", 50, "--no-echo", "--seed", 1).stdout.decode()) >= 50
    card = json.loads(charrnn("inspect", "words.pt", "--json").stdout)
    assert card["members"] == 2
    whole = json.loads(charrnn("inspect", "words.pt", "--score", "words.txt", "--json").stdout)
    alone = [
        json.loads(charrnn("inspect", "words.pt", "--score", "words.txt", "--member", k, "--json").stdout)
        for k in (0, 1)
    ]
    assert whole["loss"] < (alone[0]["loss"] + alone[1]["loss"]) / 2
    assert alone[0]["loss"] != alone[1]["loss"]
    alike = [
        json.loads(charrnn("inspect", "words.pt", *flags, "--embeddings", "--json").stdout)["embeddings"]
        for flags in ([], ["--member", 0], ["--member", 1])
    ]
    assert alike[0] == alike[1] != alike[2], "the first member's, where none is named"
    cells = ["--cell", "1:3", "--text", "Tuna kilo", "--json"]
    second = json.loads(charrnn("inspect", "words.pt", *cells).stdout)
    alone = json.loads(charrnn("inspect", "words.pt", "--member", 1, "--cell", "0:3", *cells[2:]).stdout)
    assert second["cells"][0]["values"] == alone["cells"][0]["values"], "the second member's layers follow the first's"
    dynamic = charrnn("inspect", "words.pt", "--score", "words.txt", "--dynamic")
    assert dynamic.code == 0


def test_compared_member_notes_that_losses_are_of_all_members(charrnn, words):
    charrnn("train", *words, "--max-steps", 2, "-q")
    charrnn("train", *words[:-1], 1, "--max-steps", 2, "-q", "--out", "one.pt")
    shown = charrnn("inspect", "words.pt", "one.pt", "--member", 0).stdout.decode()
    assert re.search(r"^\*  losses are of +all 2 members together *$", shown, re.M)
    assert "losses are of" not in charrnn("inspect", "words.pt", "one.pt").done.text


def test_nonexistent_member_is_reported_in_one_line(charrnn, words):
    charrnn("train", *words, "--max-steps", 2, "-q")
    result = charrnn("inspect", "words.pt", "--member", 2)
    assert result.code == 2
    assert result.stderr == "charrnn: --member is 2, counted from 0, and words.pt has 2 in all\n"
    again = charrnn("train", "words.txt", "--resume", "--members", 3)
    assert again.code == 2
    assert "--members is 3 and words.pt was trained with 2" in again.stderr


def test_training_state_of_another_number_of_members_is_refused():
    from charrnn.errors import CheckpointError

    two = start(members=2)
    take_step(two)
    for part in ("optimizer", "random_state"):
        state = two.state_dict()
        state[part] = state[part][:1]
        with pytest.raises(CheckpointError, match="another number of members"):
            take_up(start(members=2), state)


def test_ensemble_engine_resets_every_member_at_a_line_feed():
    model = ensemble()
    engine = Engine(model.config, numpy_weights(model), reset_id=4)
    read_on, fresh = engine.reader(), engine.reader()
    for character in (1, 2, 3):
        read_on(character)
    for character in (4, 5):
        np.testing.assert_allclose(read_on(character), fresh(character), rtol=1e-5, atol=1e-5)


def test_first_report_of_an_ensemble_counts_each_character_once():
    run = start(members=2)
    windows = list(itertools.islice(run.lanes, 1))
    run.lanes.seek(0, 0)
    take_step(run)
    assert run.pace.chars == windows[0].num_targets
    assert run.pace.loss / run.pace.chars == pytest.approx(math.log(VOCAB_SIZE), abs=0.2)


def test_verdict_on_one_member_is_that_of_the_ensemble(trained):
    whole = read_checkpoint(str(trained / "words.pt"))
    easy = dataclasses.replace(whole.model, members=2, dropout=0.0, input_dropout=0.0, recall_dropout=0.0)
    names = {member_name(number, name): weight for name, weight in whole.weights.items() for number in range(2)}
    losses = [(2.0, 1.9), (1.9, 1.7), (1.8, 1.6), (1.8, 1.6), (1.8, 1.6), (1.8, 1.6)]
    rows = [
        dataclasses.replace(whole.history[0], step=100 * k, train_loss=train, val_loss=val)
        for k, (train, val) in enumerate(losses, 1)
    ]
    both = dataclasses.replace(whole, model=easy, weights=names, losses_of=2, history=rows)
    alone = both.member(1)
    assert alone.model.train_loss_is_comparable
    assert not alone.train_loss_is_comparable
    assert dict(card(alone))["verdict"] == dict(card(both))["verdict"]
    told, told_of_all = describe(Subject("two.pt", "two", alone)), describe(Subject("two.pt", "two", both))
    assert [told[name] for name in ("losses_compare", "verdict")] == [False, told_of_all["verdict"]]
    assert told["best"]["members"] == told_of_all["best"]["members"] == 2


def test_card_of_one_member_notes_that_losses_are_of_all_members(trained, tmp_path):
    whole = read_checkpoint(str(trained / "words.pt"))
    config = dataclasses.replace(whole.model, members=2)
    names = {member_name(number, name): weight for name, weight in whole.weights.items() for number in range(2)}
    both = dataclasses.replace(whole, model=config, weights=names, losses_of=2)
    assert "members together" not in dict(card(both))["best"]
    assert dict(card(both.member(1)))["best"].endswith(", of all 2 members together")
    rows = dict(card(both.member(1), Baseline(9.0)))
    assert rows["  6-gram"].partition(": ")[2].startswith("all 2 members together are better by ")
    assert rows["  cold"].endswith(" that start without a state, of all 2 members together")
    assert ": this model is better by " in dict(card(both, Baseline(9.0)))["  6-gram"]
    assert both.member(1).losses_of == both.member(1).member(0).losses_of == 2
    for contents, has_losses in ((both.member(1), False), (both, True)):
        (tmp_path / "part.pt").write_bytes(to_slim_checkpoint(contents))
        read_back = read_checkpoint(str(tmp_path / "part.pt"))
        assert bool(read_back.history) == ("cold_loss" in read_back.training) == has_losses
        assert (dict(card(read_back))["best"] != "no loss on record") == has_losses


def test_failing_member_stops_the_others_from_starting(monkeypatch):
    model = build_model(ModelConfig(vocab_size=9, cell="gru", hidden_size=4, num_layers=1, embedding_dim=3, members=4))
    model.at_once, begun = 2, []

    def learn(number):
        begun.append(number)
        if number == 1:
            raise MemoryError

    def go_on(call, numbers):
        """What another thread does that does not know of the failure."""
        for number in numbers:
            with contextlib.suppress(MemoryError):
                call(number)
        return map(call, numbers)

    monkeypatch.setattr("charrnn.network.ensemble._workers", lambda _: SimpleNamespace(map=go_on))
    with pytest.raises(MemoryError):
        map_members(model, learn, range(4))
    assert begun == [0, 1]
