import functools

import numpy as np
import pytest
import torch
from conftest import assert_texts_go_on_from_one, numpy_twin, numpy_weights, random_model
from hypothesis import given
from hypothesis import strategies as st

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError
from charrnn.inference.engine import Engine
from charrnn.network.torch_engine import TorchCharRNN
from charrnn.text import places
from charrnn.text.counted_places import take_lines
from charrnn.text.places import count_blank_lines, count_lines, find_lines, next_line, previous_line
from charrnn.training import evaluation, line_lanes
from charrnn.training.evaluation import evaluate_lines
from charrnn.training.lanes import IGNORED
from charrnn.training.line_lanes import LineLanes
from charrnn.training.loop import take_step
from charrnn.training.run import TrainingRun

LINE_FEED = 0
LINES = st.lists(st.lists(st.integers(1, 5), max_size=9), min_size=1, max_size=25)


def join(lines, ends=True):
    """Lines of ids, each with its line feed, the last perhaps without."""
    ids = [value for line in lines for value in [*line, LINE_FEED]]
    return np.array(ids if ends or not lines[-1] else ids[:-1], dtype=np.uint8)


def read_epoch(lanes):
    """What each lane read, piece by piece, until it began anew: inputs and targets without padding."""
    read = []
    for _ in range(lanes.windows_per_epoch):
        window = next(lanes)
        assert window.num_targets == (window.targets != IGNORED).sum()
        assert window.inputs.shape == window.targets.shape
        if window.resets_state:
            rows = [([], []) for _ in range(window.inputs.shape[1])]
            read += rows
        for row, inputs, targets in zip(rows, window.inputs.T, window.targets.T, strict=True):
            counted = targets != IGNORED
            assert not (np.diff(counted.astype(int)) > 0).any(), "padding comes after a line"
            row[0].extend(inputs[counted].tolist())
            row[1].extend(targets[counted].tolist())
    return [row for row in read if row[1]]


@given(LINES, st.booleans(), st.integers(1, 30))
def test_lines_are_found_piece_by_piece(lines, ends, piece):
    ids = join(lines, ends)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "PIECE", piece)
        starts, lengths = find_lines(ids, LINE_FEED)
        assert count_lines(ids, LINE_FEED) == len(starts)
    assert [ids[start : start + length].tolist() for start, length in zip(starts, lengths, strict=True)] == split_lines(
        ids
    )
    assert starts.dtype == lengths.dtype == np.int32


@given(st.text("\n \ra"), st.integers(1, 5))
def test_blank_lines_are_counted_piece_by_piece(text, piece):
    ids = np.array(["\n \ra".index(character) for character in text], dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "PIECE", piece)
        counted = count_blank_lines(ids, 0, [1, 2])
    assert counted == sum(not line.strip() for line in text.split("\n")[:-1])


@given(LINES, st.booleans(), st.integers(1, 30), st.integers(1, 300))
def test_lines_around_a_place_are_found_piece_by_piece(lines, ends, piece, place):
    ids = join(lines, ends)
    place = min(place, len(ids))
    after = [end + 1 for end in range(place - 1, len(ids) - 1) if ids[end] == LINE_FEED]
    before = [end + 1 for end in range(place) if ids[end] == LINE_FEED]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(places, "PIECE", piece)
        assert next_line(ids, place, LINE_FEED) == min(after, default=len(ids))
        assert previous_line(ids, place, LINE_FEED) == max(before, default=0)


def split_lines(ids):
    """Line by line, as one reads."""
    found = [[]]
    for value in ids.tolist():
        found[-1].append(value)
        if value == LINE_FEED:
            found.append([])
    return found if found[-1] else found[:-1]


@given(LINES, st.booleans(), st.integers(1, 6), st.integers(1, 7))
def test_every_epoch_reads_every_line_once_from_its_beginning(lines, ends, batch_size, seq_len):
    ids = join(lines, ends)
    if len(find_lines(ids, LINE_FEED)[0]) < batch_size:
        return
    lanes = LineLanes(ids, LINE_FEED, batch_size=batch_size, seq_len=seq_len, seed=3)
    expected = [[*line, LINE_FEED] for line in lines]
    if not ends:
        expected[-1] = expected[-1][:-1] or [LINE_FEED]
    for _ in range(2):
        read = read_epoch(lanes)
        assert sorted(targets for _, targets in read) == sorted(expected)
        for inputs, targets in read:
            assert inputs == [LINE_FEED, *targets[:-1]]


@given(LINES, st.integers(1, 4), st.integers(1, 7), st.integers(0, 30))
def test_saved_place_gives_the_same_windows(lines, batch_size, seq_len, steps):
    ids = join(lines)
    if len(lines) < batch_size:
        return
    lanes = LineLanes(ids, LINE_FEED, batch_size=batch_size, seq_len=seq_len, seed=1)
    for _ in range(steps):
        next(lanes)
    again = LineLanes(ids, LINE_FEED, batch_size=batch_size, seq_len=seq_len, seed=1)
    again.seek(lanes.epoch, lanes.index)
    for _ in range(5):
        expected, window = next(lanes), next(again)
        assert np.array_equal(window.inputs, expected.inputs)
        assert np.array_equal(window.targets, expected.targets)
        assert window.resets_state == expected.resets_state


def test_order_changes_with_every_epoch_and_seed():
    ids = join([[1 + i % 5] * 3 for i in range(40)])
    lanes = [LineLanes(ids, LINE_FEED, batch_size=4, seq_len=8, seed=seed) for seed in (0, 0, 1)]
    first, same, other = ([targets for _, targets in read_epoch(each)] for each in lanes)
    assert first == same != other
    assert [targets for _, targets in read_epoch(lanes[0])] != first


def test_lines_of_one_length_are_batched_with_others_in_the_next_epoch():
    ids = join([[1 + i // 25, 1 + i // 5 % 5, 1 + i % 5] for i in range(40)])
    lanes = LineLanes(ids, LINE_FEED, batch_size=4, seq_len=8, seed=0)
    first, second = ([tuple(targets) for _, targets in read_epoch(lanes)] for _ in range(2))
    companies = ({frozenset(lines[place : place + 4]) for place in range(0, 40, 4)} for lines in (first, second))
    assert not set.intersection(*companies)


def test_long_and_short_lines_are_mixed():
    lanes = LineLanes(join([[1] * length for length in range(1, 81)]), LINE_FEED, batch_size=4, seq_len=99, seed=0)
    lengths = [len(next(lanes).inputs) for _ in range(lanes.windows_per_epoch)]
    assert lengths not in (sorted(lengths), sorted(lengths, reverse=True))


def test_little_padding_is_needed_for_different_lengths():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 60, 400)
    lanes = LineLanes(join([[1] * length for length in lengths]), LINE_FEED, batch_size=8, seq_len=64, seed=0)
    windows = [next(lanes) for _ in range(lanes.windows_per_epoch)]
    padded = 1 - sum(w.num_targets for w in windows) / sum(w.targets.size for w in windows)
    assert padded < 0.03
    assert lanes.chars_per_window == pytest.approx(np.mean([w.num_targets for w in windows]))


@given(LINES, st.booleans(), st.integers(1, 6), st.integers(1, 4))
def test_piece_of_a_cut_line_follows_the_character_before_it(lines, ends, batch_size, seq_len):
    ids = join(lines, ends)
    if len(find_lines(ids, LINE_FEED)[0]) < batch_size:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_lanes, "LEAST_WINDOWS", 1)
        patch.setattr(line_lanes, "MAX_EMPTY", 0)
        lanes = LineLanes(ids, LINE_FEED, batch_size=batch_size, seq_len=seq_len, seed=0)
    read = [pair for inputs, targets in read_epoch(lanes) for pair in zip(inputs, targets, strict=True)]
    assert sorted(read) == sorted(zip([LINE_FEED, *ids[:-1].tolist()], ids.tolist(), strict=True))


def test_one_very_long_line_does_not_dominate_the_updates():
    lanes = LineLanes(join([[1] * 59] * 1000 + [[2] * 100_000]), LINE_FEED, batch_size=8, seq_len=64, seed=0)
    assert lanes.windows_per_epoch < 1.3 * (1000 + 100_000 / 64) / 8
    assert sum(targets.count(2) for _, targets in read_epoch(lanes)) == 100_000


@pytest.mark.parametrize("lengths", [[5000] * 16, [*range(1, 2001, 7)], [300] * 7 + [20] * 50, [90, *[5] * 40]])
def test_long_lines_that_fill_their_lanes_stay_whole(lengths):
    lanes = LineLanes(join([[1] * length for length in lengths]), LINE_FEED, batch_size=8, seq_len=64, seed=0)
    assert sorted(len(targets) - 1 for _, targets in read_epoch(lanes)) == sorted(lengths)


def test_fewer_lines_than_lanes_is_refused_with_what_would_work():
    for number in (1, 2):
        told = f"as many lines to train on, of which the text has {number}; lower it to at most {number}$"
        with pytest.raises(ConfigError, match=told):
            LineLanes(join([[1]] * number), LINE_FEED, batch_size=4, seq_len=8, seed=0)


def model_config(cell="lstm"):
    return ModelConfig(vocab_size=6, cell=cell, hidden_size=9, num_layers=2, embedding_dim=5)


@pytest.mark.parametrize("cell", CELLS)
def test_loss_is_that_of_each_line_read_alone(cell):
    """The engine reads every line from zeros, one after the other; padding must count for nothing."""
    model = random_model(model_config(cell))
    generator = np.random.default_rng(1)
    lines = [generator.integers(1, 6, length).tolist() for length in generator.integers(0, 90, 30)]
    engine, total, count = numpy_twin(model), 0.0, 0
    for line in lines:
        text = np.array([LINE_FEED, *line, LINE_FEED])
        logits, _ = engine.forward(text[:-1, None], engine.initial_state())
        logits = logits[:, 0].astype(np.float64)
        chosen = logits[np.arange(len(text) - 1), text[1:]]
        total += float((np.log(np.exp(logits).sum(-1)) - chosen).sum())
        count += len(text) - 1
    assert evaluate_lines(model, join(lines), LINE_FEED) == pytest.approx(total / count, abs=1e-5)


def test_much_longer_lines_are_evaluated_in_pieces_at_the_cost_of_their_length(monkeypatch):
    model = random_model(model_config())
    for layer in model.layers:
        layer.bias.data[9:18] = 2.0  # its forget gate's: it remembers what stood some hundred characters before
    generator = np.random.default_rng(2)
    lines = [generator.integers(1, 6, length).tolist() for length in (5, 9000, 40, 3000, 4000, 0, *[30] * 200)]
    ids = join(lines)
    read = []
    sum_of_losses = evaluation._sum_of_losses

    def remember(model, ids, starts, ends, *others):
        read.append((len(starts), int((ends - starts).max()), int((ends - starts).sum())))
        return sum_of_losses(model, ids, starts, ends, *others)

    monkeypatch.setattr(evaluation, "_sum_of_losses", remember)
    loss = evaluate_lines(model, ids, LINE_FEED)
    assert max(longest for _, longest, _ in read) <= evaluation.LONGEST_PIECE
    assert sum(counted for _, _, counted in read) == len(ids)
    assert sum(lanes * longest for lanes, longest, _ in read) < 2 * len(ids)
    monkeypatch.setattr(evaluation, "LONGEST_PIECE", 10**6)
    assert loss == pytest.approx(evaluate_lines(model, ids, LINE_FEED), rel=1e-7)


def test_part_of_many_lines_is_taken_from_all_over_them():
    """Lines of two kinds, one behind the other, of which each model likes one."""
    model = random_model(model_config())
    ids = join([[1] * 20] * 300 + [[2, 3] * 10] * 300)
    whole = evaluate_lines(model, ids, LINE_FEED)
    some = take_lines(ids, LINE_FEED, len(ids) // 10)
    assert len(some) == len(ids) // 10
    assert evaluate_lines(model, some, LINE_FEED) == pytest.approx(whole, rel=1e-3)
    assert take_lines(ids, LINE_FEED, len(ids)) is ids
    assert evaluate_lines(model, ids[: len(ids) // 2], LINE_FEED) != pytest.approx(whole, rel=4e-3)


def test_step_learns_from_the_lines_and_not_from_padding():
    """Two lanes of unlike lengths have the gradient of the two lines read alone, by their characters."""
    lines = [[1, 2, 3, 4, 5, 1, 2], [3]]
    config = TrainConfig(batch_size=2, seq_len=32, max_steps=1, learning_rate=0.1, optimizer="sgd", grad_clip=1e9)
    ids = join(lines)
    run = TrainingRun.start(model_config(), config, ids, ids, started_at=0, line_end_id=LINE_FEED)
    take_step(run)
    together = [parameter.grad.clone() for parameter in run.model.parameters()]
    twin = TrainingRun.start(model_config(), config, ids, ids, started_at=0, line_end_id=LINE_FEED).model
    loss = 0.0
    for line in lines:
        text = torch.tensor([LINE_FEED, *line, LINE_FEED])
        logits, _ = twin(text[:-1, None], twin.initial_state(1))
        loss = loss + torch.nn.functional.cross_entropy(logits[:, 0], text[1:], reduction="sum")
    (loss / len(ids)).backward()
    for gradient, parameter in zip(together, twin.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, atol=1e-6, rtol=1e-4)
    assert run.pace.chars == len(ids)


@pytest.mark.parametrize("cell", CELLS)
def test_lines_model_resets_at_a_line_feed_in_every_engine(cell):
    """Step by step or as a window, one text or many, in numpy or torch: what comes before a line counts for nothing."""
    model = random_model(model_config(cell))
    weights = numpy_weights(model)
    text = np.array([2, LINE_FEED, 3, 4, LINE_FEED, LINE_FEED, 5, 1])
    other = np.array([LINE_FEED, 1, 2, 3, 1, LINE_FEED, 5, 1])
    engine = Engine(model.config, weights, reset_id=LINE_FEED)
    plain = Engine(model.config, weights)
    window, _ = engine.forward(np.stack([text, other], axis=1), engine.initial_state(2))
    expected, state = [], plain.initial_state(1)
    for character in text:
        if character == LINE_FEED:
            state = plain.initial_state(1)
        logits, state = plain.step(np.array([character]), state)
        expected.append(logits[0])
    expected = np.stack(expected)
    read_one, read_many = engine.reader(), engine.batch_reader(2)
    on_torch = TorchCharRNN(model.config, weights, "cpu", reset_id=LINE_FEED).batch_reader(2)
    np.testing.assert_allclose(window[:, 0], expected, atol=1e-5)
    for position, pair in enumerate(zip(text, other, strict=True)):
        np.testing.assert_allclose(read_one(int(pair[0])), expected[position], atol=1e-5)
        many = np.array(read_many(np.array(pair)))
        np.testing.assert_allclose(many, window[position], atol=1e-5)
        np.testing.assert_allclose(on_torch(np.array(pair)), window[position], atol=1e-5)
    np.testing.assert_allclose(window[-3:, 0], window[-3:, 1], atol=1e-6)  # after the last line feed both are alike


@pytest.mark.parametrize("make", [Engine, functools.partial(TorchCharRNN, device="cpu")])
def test_continued_lines_reset_at_a_line_feed_too(make):
    model = random_model(model_config("lstm"))
    ids = np.random.default_rng(0).integers(0, 6, (20, 3))
    ids[[10, 12, 17], [1, 0, 2]] = LINE_FEED
    reader = make(model.config, numpy_weights(model), reset_id=LINE_FEED)
    assert_texts_go_on_from_one(reader, ids, alike=8)
