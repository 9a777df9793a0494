import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import ConfigError
from charrnn.lanes import Lanes

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
def test_windows_put_end_to_end_are_the_corpus(shape):
    num_chars, batch_size, seq_len = shape
    lanes = Lanes(np.arange(num_chars), batch_size=batch_size, seq_len=seq_len)
    rows = np.concatenate([window.inputs for window in read_epoch(lanes)]).T
    for row in rows:
        assert (np.diff(row) == 1).all(), "a lane is contiguous from window to window"
    read = np.unique(rows)
    assert read.tolist() == list(range(num_chars - 1)), "every transition is read"
    assert rows.size - len(read) < batch_size, "and fewer than B of them twice"


@given(SHAPES)
def test_no_window_is_a_runt(shape):
    num_chars, batch_size, seq_len = shape
    lanes = Lanes(np.arange(num_chars), batch_size=batch_size, seq_len=seq_len)
    lengths = {len(window.inputs) for window in read_epoch(lanes)}
    assert max(lengths) - min(lengths) <= 1


def test_only_an_epochs_first_window_starts_it():
    lanes = Lanes(np.arange(50), batch_size=2, seq_len=10)
    starts = [window.begins_anew for window in itertools.islice(lanes, 6)]
    assert starts == [True, False, False, True, False, False]
    assert (lanes.epoch, lanes.index) == (1, 3)


@given(SHAPES, st.integers(0, 30))
def test_seek_goes_on_where_it_was(shape, steps):
    num_chars, batch_size, seq_len = shape
    lanes, other = (Lanes(np.arange(num_chars), batch_size=batch_size, seq_len=seq_len) for _ in range(2))
    for _ in range(steps):
        next(lanes)
    other.seek(lanes.epoch, lanes.index)
    expected, window = next(lanes), next(other)
    assert (window.inputs == expected.inputs).all()
    assert window.begins_anew == expected.begins_anew


def test_more_lanes_than_transitions_is_an_error_with_the_number_that_works():
    with pytest.raises(ConfigError, match=r"--batch-size 5 asks for at least 6 characters.*lower it to 4 or less"):
        Lanes(np.arange(5), batch_size=5, seq_len=8)
