import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import ConfigError
from charrnn.training.lane_choice import fits_on_gpu
from charrnn.training.lanes import Lanes

SHAPES = st.integers(1, 12).flatmap(
    lambda batch: st.tuples(st.integers(batch + 1, 300), st.just(batch), st.integers(1, 40))
)


def read_epoch(lanes):
    return [next(lanes) for _ in range(lanes.windows_per_epoch)]


@given(SHAPES)
def test_targets_are_the_inputs_one_character_later(shape):
    num_chars, batch_size, seq_len = shape
    lanes = Lanes(np.arange(num_chars), batch_size=batch_size, seq_len=seq_len)
    for window in itertools.islice(lanes, 20):
        assert (window.targets == window.inputs + 1).all()
        assert window.inputs.shape[1] == batch_size
        assert 1 <= window.inputs.shape[0] <= seq_len


@given(SHAPES)
def test_windows_joined_are_the_corpus(shape):
    num_chars, batch_size, seq_len = shape
    lanes = Lanes(np.arange(num_chars), batch_size=batch_size, seq_len=seq_len)
    rows = np.concatenate([window.inputs for window in read_epoch(lanes)]).T
    for row in rows:
        assert (np.diff(row) == 1).all(), "a lane is contiguous from window to window"
    read = np.unique(rows)
    assert read.tolist() == list(range(num_chars - 1)), "every transition is read"
    assert rows.size - len(read) < batch_size, "and fewer than B of them twice"


@given(SHAPES)
def test_all_windows_of_an_epoch_are_of_similar_length(shape):
    num_chars, batch_size, seq_len = shape
    lanes = Lanes(np.arange(num_chars), batch_size=batch_size, seq_len=seq_len)
    lengths = {len(window.inputs) for window in read_epoch(lanes)}
    assert max(lengths) - min(lengths) <= 1


def test_lanes_of_one_rank_know_all_targets_and_their_share():
    window = next(Lanes(np.arange(101), batch_size=4, seq_len=10, shard=slice(1, 2)))
    assert window.num_targets == 4 * window.targets.size
    assert window.share == 0.25


def test_only_the_first_window_of_an_epoch_resets_the_state():
    lanes = Lanes(np.arange(50), batch_size=2, seq_len=10)
    starts = [window.resets_state for window in itertools.islice(lanes, 6)]
    assert starts == [True, False, False, True, False, False]
    assert (lanes.epoch, lanes.index) == (1, 3)


@given(SHAPES, st.integers(0, 30))
def test_seek_resumes_at_the_place(shape, steps):
    num_chars, batch_size, seq_len = shape
    lanes, other = (Lanes(np.arange(num_chars), batch_size=batch_size, seq_len=seq_len) for _ in range(2))
    for _ in range(steps):
        next(lanes)
    other.seek(lanes.epoch, lanes.index)
    expected, window = next(lanes), next(other)
    assert (window.inputs == expected.inputs).all()
    assert window.resets_state == expected.resets_state


def test_more_lanes_than_transitions_are_refused_with_what_would_work():
    with pytest.raises(ConfigError, match=r"--batch-size 5 asks for at least 6 characters.*lower it to at most 4$"):
        Lanes(np.arange(5), batch_size=5, seq_len=8)


STRETCHES = st.tuples(SHAPES, st.integers(1, 100), st.integers(0, 9))


@given(STRETCHES)
def test_stretches_read_every_window_once_an_epoch_and_mostly_in_sequence(drawn):
    (num_chars, batch_size, seq_len), stretch, seed = drawn
    ids = np.arange(num_chars)
    plain = Lanes(ids, batch_size=batch_size, seq_len=seq_len)
    lanes = Lanes(ids, batch_size=batch_size, seq_len=seq_len, stretch=stretch, seed=seed)
    for _ in range(3):
        windows = read_epoch(lanes)
        assert [window.resets_state for window in windows] == [True] + [False] * (len(windows) - 1)
        jumps = sum((after.inputs[0] != before.targets[-1]).any() for before, after in itertools.pairwise(windows))
        assert jumps < -(-plain.windows_per_epoch // max(1, stretch // seq_len)), "a jump leads from stretch to stretch"
        read = sorted(window.inputs.tobytes() for window in windows)
        assert read == sorted(window.inputs.tobytes() for window in read_epoch(plain))


def test_order_of_stretches_changes_with_epoch_and_seed_and_is_reproducible():
    ids = np.arange(10_001)
    sizes = {"batch_size": 4, "seq_len": 10, "stretch": 50}
    lanes, twin, other = (Lanes(ids, **sizes, seed=seed) for seed in (0, 0, 1))
    epochs = [[window.inputs[0, 0] for window in read_epoch(lanes)] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert epochs[0] != [window.inputs[0, 0] for window in read_epoch(other)]
    twin.seek(1, 17)
    assert next(twin).inputs[0, 0] == epochs[1][17]


def test_stretch_has_whole_windows_up_to_its_length():
    lanes = Lanes(np.arange(121), batch_size=1, seq_len=4, stretch=15)
    first = [int(window.inputs[0, 0]) for window in read_epoch(lanes)]
    jumps = {place for place in range(1, 30) if first[place] != first[place - 1] + 4}
    assert jumps
    assert jumps <= {3, 6, 9, 12, 15, 18, 21, 24, 27}


def test_few_windows_in_stretches_cover_the_whole_text():
    ids = np.arange(1_000_001)
    lanes = Lanes(ids, batch_size=4, seq_len=50, stretch=200)
    some = np.concatenate([next(lanes).inputs.ravel() for _ in range(lanes.windows_per_epoch // 10)])
    counts, _ = np.histogram(some, bins=50, range=(0, 1_000_000))
    assert counts.min() > 0


@pytest.mark.parametrize(("dtype", "fitting"), [(np.uint8, 256), (np.uint16, 64), (np.int32, 64)])
def test_text_is_put_on_a_gpu_up_to_a_quarter_of_its_free_memory(monkeypatch, dtype, fitting):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (1024, 1 << 20))
    assert fits_on_gpu(np.zeros(fitting, dtype))
    assert not fits_on_gpu(np.zeros(fitting + 1, dtype))
