"""Forecasts follow from what was read, in whichever way they are looked up, and are put to use alike everywhere."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from conftest import assert_texts_go_on_from_one, numpy_twin, numpy_weights, random_model, read_whole
from models import few_letters, recalling
from torch.nn import functional

from charrnn import recall
from charrnn.analysis.losses import score_batch, surprisals
from charrnn.analysis.surprise import follow
from charrnn.cell_types import CELLS
from charrnn.config import CONTEXTS, FARTHEST
from charrnn.generation.mixing import MixedModel, Part
from charrnn.hyperparameters import RECALL
from charrnn.inference.backprop import backpropagate, cross_entropy_gradient
from charrnn.inference.recall_logits import add_raised
from charrnn.inference.tape import record, zero_state
from charrnn.network.ensemble import build_model
from charrnn.network.model import forecasts_on
from charrnn.network.torch_engine import TorchCharRNN
from charrnn.recall import FEW, LONGEST, NO_FORECAST, SPAN, recall_block, recall_columns, recall_text, recall_texts
from charrnn.recall_memory import FEW_TEXTS, FIRST_ROOM, FewMemories, RecallMemories, RecallMemory, begin_memories
from charrnn.text.encoder import CharEncoder
from charrnn.text.unknowns import encode_known
from charrnn.training import recalled_text
from charrnn.training.evaluation import evaluate, evaluate_cold
from charrnn.training.lanes import Lanes
from charrnn.training.recalled_text import BLOCK, RecalledAhead, RecalledText, recall_source


def looked_for(ids, reach, begin=0):
    """The same by the plainest search: the last place before, character by character."""
    text = "".join(chr(0x100 + i) for i in ids.tolist())
    found = np.full((len(ids), len(CONTEXTS)), NO_FORECAST)
    for place in range(len(ids)):
        for number, length in enumerate(CONTEXTS):
            first = place - length + 1
            before = text.rfind(text[first : place + 1], begin, place) if first >= begin else -1
            end = before + length - 1
            if before >= 0 and place - end <= reach:
                found[place, number] = ids[end + 1]
    return found


@pytest.mark.parametrize("reach", [1, 7, 60, 5000])
@pytest.mark.parametrize("num_chars", [1, 2, 15, 16, 17, 900])
def test_forecast_is_what_followed_the_last_occurrence_of_each_context(num_chars, reach):
    ids = few_letters(num_chars)
    np.testing.assert_array_equal(recall_text(ids, reach), looked_for(ids, reach))


def test_recall_is_the_same_across_block_edges():
    ids = few_letters(2 * SPAN + 100, letters=9)
    whole = recall_text(ids, 200)
    for edge in (SPAN, 2 * SPAN):
        near = slice(edge - 40, edge + 40)
        begin = edge - 40 - 200 - LONGEST
        np.testing.assert_array_equal(whole[near], looked_for(ids[begin : edge + 41], 200)[edge - 40 - begin : -1])


def test_farthest_reach_works():
    ids = few_letters(2 * FARTHEST, letters=200)
    found = recall_text(ids, FARTHEST)
    memory = RecallMemory(FARTHEST, 200)
    np.testing.assert_array_equal([memory.read(i) for i in ids.tolist()], found)
    assert SPAN + FARTHEST + LONGEST < 1 << 16


@pytest.mark.parametrize("length", [1, 2, 100, 1499])
def test_forecast_never_looks_ahead(length):
    ids = few_letters(1500)
    np.testing.assert_array_equal(recall_text(ids[:length], 400), recall_text(ids, 400)[:length])


@pytest.mark.parametrize("reach", [1, 50, 4096])
def test_recall_memory_equals_recall_text_character_by_character(reach):
    ids = few_letters(3000, letters=6)
    memory = RecallMemory(reach, 6)
    np.testing.assert_array_equal([memory.read(int(i)) for i in ids], recall_text(ids, reach))


def test_recall_memory_stays_bounded():
    memory = RecallMemory(100, 4)
    for character in few_letters(5000).tolist():
        memory.read(character)
    assert len(memory._history) <= 2 * 100 + LONGEST + 1
    assert all(len(ends) <= 2 * 100 + LONGEST + 1 for _, ends in memory._tables)


def test_ids_beyond_sixteen_bits_are_distinguished():
    ids = few_letters(400).astype(np.uint32) * 65_536 + 7
    expected = looked_for(few_letters(400), 300)
    np.testing.assert_array_equal(
        recall_text(ids, 300), np.where(expected == NO_FORECAST, NO_FORECAST, expected * 65_536 + 7)
    )
    memory = RecallMemory(300, 1 << 18)
    np.testing.assert_array_equal([memory.read(int(i)) for i in ids], recall_text(ids, 300))


def test_batched_texts_recall_only_themselves():
    texts = [few_letters(n, seed=n) for n in (30, 1, 200, 17)]
    for text, found in zip(texts, recall_texts(texts, 50), strict=True):
        np.testing.assert_array_equal(found, recall_text(text, 50))
    memories, together = RecallMemories(50, 4, 4), few_letters(400).reshape(100, 4)
    steps = np.stack([memories.read(row) for row in together])
    np.testing.assert_array_equal(steps, recall_columns(together, 50))
    for column in range(4):
        np.testing.assert_array_equal(steps[:, column], recall_text(together[:, column], 50))


@pytest.mark.parametrize("reach", [50, 300, 5000])
def test_batched_texts_recall_at_any_length(reach):
    together = few_letters(8 * FIRST_ROOM * 3, letters=9).reshape(-1, 3)
    together[100:900, 1] = 5  # a run of one character
    together[:, 2] = np.resize(together[: 3 * FIRST_ROOM, 2], len(together))  # all contexts, but far back
    memories = RecallMemories(reach, 9, 3)
    np.testing.assert_array_equal([memories.read(row) for row in together], recall_columns(together, reach))
    assert memories._history.shape[1] <= 2 * max(FIRST_ROOM, min(reach, len(together)))


@pytest.mark.parametrize("generated_from", [None, 5, 300])
@pytest.mark.parametrize("count", [FEW_TEXTS, FEW_TEXTS + 1])
def test_few_texts_recall_what_many_do(count, generated_from):
    """Also where one text that was read for all goes on as several, few or many, beyond the reach of recall."""
    reach = 200
    beginning = np.resize(few_letters(reach, letters=9), 700)  # repeats itself at the edge of the reach
    rest = few_letters(500 * count, 1, 9).reshape(-1, count)
    rest[:100] = beginning[100:200, None]  # goes on so
    rest[150:300] = rest[:150]
    few, many = FewMemories(reach, 9, 1, generated_from), RecallMemories(reach, 9, 1, generated_from)
    assert isinstance(begin_memories(reach, 9, FEW_TEXTS, None), FewMemories)
    for character in beginning[:, None]:
        np.testing.assert_array_equal(few.read(character), many.read(character))
    rows = np.zeros(count, dtype=np.intp)
    for _ in range(2):  # the one stays where it is
        several, expected = few.selected(rows), many.selected(rows)
        for characters in rest:
            np.testing.assert_array_equal(several.read(characters), expected.read(characters))
    np.testing.assert_array_equal(few.read(beginning[:1]), many.read(beginning[:1]))
    later, expected = few.selected(rows), many.selected(rows)
    np.testing.assert_array_equal(later.read(rest[0]), expected.read(rest[0]))


def test_one_of_few_texts_alone_goes_on_as_itself():
    few, many = FewMemories(200, 9, 2, None), RecallMemories(200, 9, 2)
    for characters in few_letters(240, letters=9).reshape(-1, 2):
        np.testing.assert_array_equal(few.read(characters), many.read(characters))
    several = np.zeros(FEW_TEXTS + 1, dtype=np.intp)
    few.selected(several)
    second, expected = (memories.selected(np.array([1])).selected(several) for memories in (few, many))
    for character in few_letters(50, 1, 3):
        characters = np.full(len(several), character)
        np.testing.assert_array_equal(second.read(characters), expected.read(characters))


def test_block_lookup_without_sorting_equals_recall_text(monkeypatch):
    texts = [few_letters(2500, letters=letters) for letters in (2, 30)]
    texts += [texts[1].astype(np.uint32) * 65_536 + 7]
    for ids, reach in itertools.product(texts, (1, 40, 5000)):
        starts = np.repeat(np.arange(0, 2500, 500), 500)  # of texts that lie one behind the other
        for first, count in (
            (0, 1),
            (0, 400),
            (1, 3),
            (13, 30),
            (16, 2),
            (900, FEW),
            (2499, 1),
            (2300, 300),
            (2500, 9),
        ):
            for begins in (None, starts):
                few = recall_block(ids, first, first + count, reach, begins)
                with monkeypatch.context() as patched:
                    patched.setattr(recall, "FEW", -1)
                    np.testing.assert_array_equal(recall_block(ids, first, first + count, reach, begins), few)


@pytest.mark.parametrize("count", [3, 3000])
def test_longest_contexts_are_found_at_the_edge_of_the_reach(count):
    ids = np.tile(few_letters(200, letters=20), 30)
    block = slice(1000, 1000 + count)
    np.testing.assert_array_equal(recall_block(ids, block.start, block.stop, 200), recall_text(ids, 200)[block])


@pytest.mark.parametrize("kept", [9 * BLOCK, 9 * BLOCK - 1])
@pytest.mark.parametrize("ahead", [10, 30, BLOCK])
def test_text_read_in_any_order_recalls_as_in_its_own(monkeypatch, kept, ahead):
    """Of a longer one than can be kept, all is looked up as it is read."""
    ids = few_letters(9 * BLOCK, letters=8)
    whole = recall_text(ids, 300)
    monkeypatch.setattr(recalled_text, "KEPT", kept)
    text = recall_source(ids, 300, ahead)
    assert isinstance(text, RecalledText if kept >= len(ids) else RecalledAhead)
    for starts in np.array([[0, BLOCK - 10, 7 * BLOCK + 5], [5, 6, 7]]):
        for first in (0, 20, BLOCK - 3, 40, 2 * BLOCK - 30, 4 * BLOCK, 4 * BLOCK + 20, 0):
            found = text.at(starts, first, first + 20)
            expected = whole[np.minimum(starts + np.arange(first, first + 20)[:, None], len(ids) - 1)]
            beyond = starts + np.arange(first, first + 20)[:, None] >= len(ids)
            np.testing.assert_array_equal(found, np.where(beyond[..., None], NO_FORECAST, expected))


@pytest.mark.parametrize(("ahead", "sought"), [(40, [50, 54]), (8, [50, 54, 70, 74, 89, 93])])
def test_consecutive_reads_are_looked_up_at_once(monkeypatch, ahead, sought):
    monkeypatch.setattr(recalled_text, "KEPT", 0)
    firsts = []

    def seek(ids, reach, piece):
        firsts.append(piece.start)
        return recall_text(ids, reach, piece=piece)

    monkeypatch.setattr(recalled_text, "recall_text", seek)
    text = recall_source(few_letters(300), 100, ahead)
    for first in (0, 20, 39):
        text.at(np.array([50, 54]), first, first + 1)
    assert firsts == sought


def test_window_may_be_longer_than_a_lookup_block(monkeypatch):
    monkeypatch.setattr(recalled_text, "KEPT", 0)
    ids = np.random.default_rng(0).integers(0, 200, 90_000).astype(np.uint8)  # of more contexts than sixteen bits name
    found = recall_source(ids, 16_400).at(np.array([7]), 0, 80_000)
    np.testing.assert_array_equal(found[:, 0], recall_text(ids, 16_400)[7:80_007])


@pytest.mark.parametrize("kept", [6000, 5999])
def test_lanes_return_the_forecasts_of_the_text_in_any_order(monkeypatch, kept):
    monkeypatch.setattr(recalled_text, "KEPT", kept)
    ids = few_letters(6000, letters=20)
    whole = recall_text(ids, 1000)
    lanes = Lanes(np.arange(6000), batch_size=3, seq_len=16, stretch=64, seed=1)  # its inputs are places
    recalling = Lanes(ids, batch_size=3, seq_len=16, stretch=64, seed=1, reach=1000)
    for _ in range(200):
        places = next(lanes).inputs
        window = next(recalling)
        np.testing.assert_array_equal(window.inputs, ids[places])
        np.testing.assert_array_equal(window.recalled, whole[places])


SHAPES = [
    *(recalling(cell) for cell in CELLS),
    recalling(members=2),
    recalling(layer_norm=False, residual=False),
    recalling(embedding_dim=9),
]


@pytest.mark.parametrize("config", SHAPES, ids=str)
def test_all_ways_of_reading_give_the_same_logits(config):
    """Torch and numpy, windows and character by character, one text and many: all against torch's window."""
    model, ids = random_model(config), few_letters(240).reshape(80, 3).astype(np.int64)
    recalled = recall_columns(ids, config.recall)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(ids), model.initial_state(3), forecasts_on(model.device, recalled))
        plain, _ = model(torch.from_numpy(ids), model.initial_state(3))
    expected = logits.numpy()
    assert np.abs(expected - plain.numpy()).max() > 0.1
    engine = numpy_twin(model)
    np.testing.assert_allclose(engine.forward(ids, engine.initial_state(3), recalled)[0], expected, atol=1e-4)
    weights = numpy_weights(model)
    for many in (engine.batch_reader(3), TorchCharRNN(config, weights, "cpu").batch_reader(3)):
        np.testing.assert_allclose([many(row).copy() for row in ids], expected, atol=1e-4)
    for one in (engine.reader(), TorchCharRNN(config, weights, "cpu").reader()):
        np.testing.assert_allclose([one(int(i)).copy() for i in ids[:, 1]], expected[:, 1], atol=1e-4)


@pytest.mark.parametrize("config", SHAPES, ids=str)
@pytest.mark.parametrize("alike", [1, 40, FIRST_ROOM + 20])
def test_texts_with_a_common_beginning_share_what_was_read(config, alike):
    model = random_model(config)
    weights = numpy_weights(model)
    for engine in (numpy_twin(model), TorchCharRNN(config, weights, "cpu")):
        assert_texts_go_on_from_one(engine, few_letters(3 * (alike + 70)).reshape(-1, 3).astype(np.int64), alike)


@pytest.mark.parametrize("cell", CELLS)
def test_tape_and_backward_pass_equal_torch(cell):
    config = recalling(cell)
    model, ids = random_model(config), few_letters(160).reshape(80, 2).astype(np.int64)
    recalled, targets = recall_columns(ids[:-1], config.recall), ids[1:]
    logits, _ = model(torch.from_numpy(ids[:-1]), model.initial_state(2), forecasts_on(model.device, recalled))
    functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(targets).flatten(), reduction="sum").backward()
    weights = numpy_weights(model)
    tape = record(config, weights, ids[:-1], zero_state(config, weights, 2), recalled)
    np.testing.assert_allclose(tape.logits, logits.detach().numpy(), atol=1e-4)
    found = backpropagate(config, weights, tape, cross_entropy_gradient(tape.logits, targets)).weights
    assert list(found) == list(weights)
    for name, parameter in model.named_parameters():
        scale = max(1.0, float(parameter.grad.abs().max()))
        np.testing.assert_allclose(found[name] / scale, parameter.grad.numpy() / scale, atol=1e-5, err_msg=name)


def test_loss_equals_that_of_reading_character_by_character():
    config = recalling()
    model, ids = random_model(config), few_letters(3000)
    engine = numpy_twin(model)
    one_by_one = engine.reader()
    losses = np.array([surprisals(one_by_one(int(i)), np.array(j)) for i, j in itertools.pairwise(ids)])
    np.testing.assert_allclose(read_whole(engine, ids, lanes=1).surprisals, losses, atol=1e-4)
    np.testing.assert_allclose(read_whole(engine, ids, lanes=3).surprisals[:900], losses[:900], atol=1e-4)
    for kept in (None, RecalledText(ids, config.recall)):
        assert evaluate(model, ids, batch_size=1, source=kept) == pytest.approx(losses.mean(), abs=1e-5)
    windows = [ids[start : start + 257] for start in range(0, len(ids) - 1, 256)]
    cold = np.concatenate([reading.surprisals for reading in score_batch(engine, windows)])
    assert evaluate_cold(model, ids) == pytest.approx(cold.mean(), abs=1e-5)
    alone = np.concatenate([score_batch(engine, [window])[0].surprisals for window in windows])
    np.testing.assert_allclose(cold, alone, atol=1e-4)
    encoder = CharEncoder("abcd")
    readable = encode_known(encoder.decode(ids[1:].tolist()), encoder)
    seen = follow(engine, encoder, readable, first_id=int(ids[0]), price=0.0)
    np.testing.assert_allclose([one.bits for one in seen], losses / np.log(2), atol=1e-3)


@pytest.mark.parametrize("reach", [40, 90])
def test_mixture_recalls_the_whole_text_as_each_model_knows_it(reach):
    """Two models, of which the first does not know "f" and the second "a"."""
    parts = []
    for number, known, own_reach in ((1, "abcde", 40), (2, "bcdef", reach)):
        config = dataclasses.replace(recalling(), vocab_size=5, recall=own_reach)
        parts.append(Part(numpy_twin(random_model(config, number)), CharEncoder(known), number / 3))
    mixed = MixedModel(parts)
    ids = few_letters(200, letters=6)
    one, many = mixed.reader(), mixed.batch_reader(2)
    read = [many(np.array([character, 5 - character]))[0] for character in ids.tolist()]
    np.testing.assert_allclose(read, [one(character) for character in ids.tolist()], atol=1e-4)
    expected = np.zeros((200, 6))
    for part, first in zip(parts, (0, 1), strict=True):
        recalled = recall_text(ids, part.model.config.recall) - first
        recalled[(recalled < 0) | (recalled > 4)] = NO_FORECAST
        state, own = part.model.initial_state(), np.full(5, 0.2)
        for place, character in enumerate(ids - first):
            if 0 <= character <= 4:
                logits, state = part.model.step(np.array([character]), state, recalled[place][None])
                own = np.exp(logits[0]) / np.exp(logits[0]).sum()
            expected[place, first : first + 5] += part.share * own
    np.testing.assert_allclose(np.exp(read), expected, atol=1e-5)


def test_forecasts_raise_logits_and_agreeing_ones_add_up():
    logits, raised = np.zeros((3, 4)), np.array([[1.0, 2.0, 4.0]] * 3)
    add_raised(logits, raised, np.array([[2, NO_FORECAST, 2], [0, 1, 3], [NO_FORECAST] * 3]))
    assert logits.tolist() == [[0, 0, 5, 0], [1, 2, 0, 4], [0, 0, 0, 0]]


def test_untrained_model_trusts_no_forecast():
    model = build_model(recalling("gru")).eval()
    ids, recalled = torch.zeros(7, 2, dtype=torch.int64), torch.full((7, 2, len(CONTEXTS)), 3)
    with_forecasts, without = (model(ids, model.initial_state(2), found)[0] for found in (recalled, None))
    torch.testing.assert_close(with_forecasts, without, rtol=0, atol=1e-5)


def test_recall_dropout_hides_a_share_of_forecasts_in_training_only():
    config = dataclasses.replace(recalling(), recall_dropout=0.25)
    model = random_model(config)
    ids = torch.zeros(100, 40, dtype=torch.int64)
    recalled = torch.full((100, 40, len(CONTEXTS)), 3)

    def hidden():
        state = model.initial_state(40)
        difference = (model(ids, state, recalled)[0] - model(ids, state)[0]).abs().amax(-1)
        return (difference < 1e-4).float().mean().item()

    assert hidden() == 0
    model.train()
    assert hidden() == pytest.approx(0.25, abs=0.03)


def test_recall_learns_to_copy_what_a_state_cannot_hold(tmp_path, charrnn):
    """A text of lines of chance letters, each given twice: the second time nothing is left to be guessed."""
    generator = np.random.default_rng(0)
    lines = ["".join(generator.choice(list("abcdefgh"), 60)) + "\n" for _ in range(300)]
    (tmp_path / "twice.txt").write_text("".join(line + line for line in lines))
    flags = ("--hidden-size", 16, "--max-steps", 150, "--batch-size", 4, "--json", "--quiet")
    losses = []
    for reach in (4096, 0):
        trained = charrnn("train", "twice.txt", "--recall", reach, "--out", f"{reach}.pt", *flags)
        assert trained.code == 0, trained.stderr
        losses.append(json.loads(charrnn("inspect", f"{reach}.pt", "--json").text)["best"]["val_loss"])
    assert losses[0] < 0.8 * losses[1]


def test_recall_is_refused_for_separate_lines(charrnn, tmp_path):
    (tmp_path / "names.txt").write_text("anna\nbert\ncarl\n" * 40)
    refused = charrnn("train", "names.txt", "--lines", "--recall", 100)
    assert (refused.code, refused.text) == (2, "")
    assert refused.stderr == (
        "charrnn: --recall looks back over lines, and --lines keeps them apart; leave one of them out\n"
    )
    flags = ("--max-steps", 2, "--hidden-size", 8, "--batch-size", 2)
    assert charrnn("train", "names.txt", "--lines", *flags, "--out", "lines.pt").code == 0
    assert charrnn("train", "names.txt", *flags, "--out", "stream.pt").code == 0
    reaches = [json.loads(charrnn("inspect", f, "--json").text)["recall"] for f in ("lines.pt", "stream.pt")]
    assert reaches == [0, RECALL]
    contents = torch.load(tmp_path / "lines.pt", weights_only=True)
    torch.save({**contents, "model": {**contents["model"], "recall": 100}}, tmp_path / "both.pt")
    both = charrnn("inspect", "both.pt")
    assert (both.code, both.stderr) == (
        1,
        "charrnn: both.pt: lines that are kept apart are recalled; the file is damaged, or a later charrnn wrote it\n",
    )
    changed = charrnn("train", "names.txt", "--out", "stream.pt", "--resume", "--recall", 50, "--max-steps", 4)
    assert changed.code == 2
    assert "--recall" in changed.stderr
