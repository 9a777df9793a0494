"""The loss of a model on a held-out text: read as one stream, in windows that start cold, or line by line.

The text is cut into lanes only for speed. A lane that begins in mid-text first reads the characters before it without
counting them, so that the result does not depend on the number of lanes. Of a text that is too long to be read whole,
pieces from all over it are read: its beginning may be unlike the rest. Several processes share the lanes: if one read
them all while the others waited, a training on many processes would soon spend most of its time on evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch.nn import functional

from charrnn.arrays import Ids, Places
from charrnn.metrics import COLD_WINDOW
from charrnn.network.ensemble import Model
from charrnn.network.model import State, forecasts_on, ids_on, map_state, to_device
from charrnn.recall import Forecasts, recall_columns
from charrnn.text.cache import release_pages
from charrnn.text.counted_places import MAX_LANES, WARM_UP, counted_lanes, spread
from charrnn.text.places import cut_lines, find_lines
from charrnn.training.clock import CLOCK
from charrnn.training.passes import autocast
from charrnn.training.ranks import ALONE, Ranks
from charrnn.training.recalled_text import RecallSource, recall_source

LookUp = Callable[[int, int], Forecasts]
"""From (first, last), the forecasts after characters `first` to `last` - 1 of each lane, shape (T, B, C)."""

VALUES_AT_ONCE = 1 << 21
"""Activations or logits of one window, at most: eight megabytes; more where `FEWEST_AT_ONCE` characters take more."""

LONGEST_PIECE = 4 * WARM_UP
"""Characters of a line that one lane reads, at most."""

FEWEST_AT_ONCE, MOST_AT_ONCE = 16, 256
"""Characters of one window, at least and at most."""


def evaluate(
    model: Model,
    ids: Ids,
    *,
    most: int | None = None,
    precision: str = "float32",
    batch_size: int | None = None,
    source: RecallSource | None = None,
    ranks: Ranks = ALONE,
) -> float:
    """Measure the loss over a text, or pieces from all over it, with the state carried from character to character.

    Args:
        model: its training mode is restored.
        ids: encoded text, shape (num_chars,), at least two characters.
        most: about how many characters to count at most; None for all but the first.
        precision: as in training.
        batch_size: lanes to read side by side; None to choose by the length of the text.
        source: of the text's forecasts, if the caller keeps one.
        ranks: the processes that evaluate together.

    Returns:
        Mean loss in nats per character, over the characters counted.
    """
    starts, ends = counted_lanes(len(ids), most, batch_size)
    lead = int(min(WARM_UP, starts[1])) if len(starts) > 1 else 0
    own = ranks.shard(len(starts))
    look_up: LookUp | None = None
    if model.config.recall:
        source = source or recall_source(ids, model.config.recall)
        look_up = partial(source.at, starts[own])
    with inference_context(model, precision):
        state = _warm_state(model, ids, starts[own], lead)
        total = _sum_of_losses(model, ids, starts[own], ends[own], state, look_up)
    return ranks.all_reduce_sum(total)[0] / int((ends - starts).sum())


def evaluate_cold(
    model: Model, ids: Ids, *, most: int | None = None, precision: str = "float32", ranks: Ranks = ALONE
) -> float:
    """Measure the loss over a text cut into windows of `COLD_WINDOW` characters, each read from a state of zeros.

    Nothing from before a window is recalled either. This is how models with a fixed context length are evaluated; the
    characters near a window's start have little context, so the loss is higher than that of `evaluate`, which explains
    the arguments.
    """
    whole = len(ids) - 1
    windows = np.arange(0, whole, COLD_WINDOW)
    all_starts = windows[spread(len(windows), whole, whole if most is None else most)]
    total = 0.0
    with inference_context(model, precision):
        for starts in _groups(all_starts[ranks.shard(len(all_starts))]):
            ends = np.minimum(starts + COLD_WINDOW, whole)
            state = model.initial_state(len(starts))
            total += _sum_of_losses(model, ids, starts, ends, state, _look_up_cold(model, ids, starts))
    return ranks.all_reduce_sum(total)[0] / int((np.minimum(all_starts + COLD_WINDOW, whole) - all_starts).sum())


def evaluate_lines(
    model: Model,
    ids: Ids,
    line_end_id: int,
    *,
    precision: str = "float32",
    ranks: Ranks = ALONE,
) -> float:
    """Measure the loss over lines that are texts of their own, each read from a state of zeros after a line feed.

    Very long lines are read in pieces, since one could otherwise take as long as all others together; pieces after the
    first start from the state that the characters before them leave. Lines of similar length are read side by side.

    Args:
        model: its training mode is restored.
        ids: encoded text, shape (num_chars,).
        line_end_id: the id that ends a line.
        precision: as in training.
        ranks: the processes that evaluate together.

    Returns:
        Mean loss in nats over all characters, line feeds included.
    """
    lines = find_lines(ids, line_end_id)
    starts, lengths = cut_lines(lines, LONGEST_PIECE)
    by_length = np.argsort(lengths, kind="stable")[ranks.rank :: ranks.world_size]  # similar lengths
    is_first = np.isin(starts[by_length], lines.starts)
    opened = np.concatenate([np.array([line_end_id], dtype=ids.dtype), ids])
    total = 0.0
    with inference_context(model, precision):
        for own, lead in ((by_length[is_first], 0), (by_length[~is_first], WARM_UP)):
            for pieces in _groups_of_like_length(own, lengths):
                begin = starts[pieces].astype(np.int64)  # in `opened`, of the character before each piece
                state = _warm_state(model, opened, begin, lead)
                total += _sum_of_losses(model, opened, begin, begin + lengths[pieces], state)
    return ranks.all_reduce_sum(total)[0] / len(ids)


@contextmanager
def inference_context(model: Model, precision: str) -> Iterator[None]:
    """Context without gradients and without dropout; the training mode is restored."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), autocast(model.device, precision):
            yield
    finally:
        model.train(was_training)


def _look_up_cold(model: Model, ids: Ids, starts: Places) -> LookUp | None:
    """Look up forecasts within each window only; None for a model that does not recall."""
    if not model.config.recall:
        return None
    positions = starts + np.arange(COLD_WINDOW)[:, None]  # (T, B)
    found = recall_columns(ids[np.minimum(positions, len(ids) - 1)], model.config.recall)
    return lambda first, last: found[first:last]


def _sum_of_losses(
    model: Model, ids: Ids, starts: Places, ends: Places, state: State, look_up: LookUp | None = None
) -> float:
    """Read lanes side by side from `starts` to `ends`, both of shape (B,), and add up all losses."""
    longest = int((ends - starts).max(initial=0))
    window = _window(model, len(starts))
    total = torch.zeros((), dtype=torch.float64, device=model.device)  # read once, not to wait for a GPU at each window
    for first in range(0, longest, window):
        positions = starts + np.arange(first, min(first + window, longest) + 1)[:, None]  # (T + 1, B)
        piece = ids_on(model.device, ids[np.minimum(positions, len(ids) - 1)])
        recalled = None if look_up is None else look_up(first, first + len(piece) - 1)
        logits, state = model(piece[:-1], state, forecasts_on(model.device, recalled))
        losses = functional.cross_entropy(logits.flatten(0, 1).float(), piece[1:].flatten(), reduction="none")
        counted = to_device(model.device, torch.from_numpy(positions[:-1] < ends))  # lanes may differ in length
        total += losses.where(counted.flatten(), 0.0).sum(dtype=torch.float64)
        CLOCK.heartbeat()
    release_pages(ids)
    return total.item()


def _groups(lanes: Places) -> list[Places]:
    """Divide lanes into groups of at most `MAX_LANES` that are read side by side."""
    return np.array_split(lanes, -(-len(lanes) // MAX_LANES)) if len(lanes) else []


def _groups_of_like_length(pieces: Places, lengths: Places) -> Iterator[Places]:
    """Group pieces of similar length, the longest group first.

    No piece is shorter than half the longest of its group, so that little is padded.

    Args:
        pieces: indices into `lengths`, ascending by length.
        lengths: lengths of all pieces.
    """
    ascending, end = lengths[pieces], len(pieces)
    while end:
        enough = int(np.searchsorted(ascending, -(-int(ascending[end - 1]) // 2)))
        begin = max(end - MAX_LANES, enough)
        yield pieces[begin:end]
        end = begin


def _warm_state(model: Model, ids: Ids, starts: Places, lead: int) -> State:
    """The state at each lane's start: zeros at the text's start, else the state after the `lead` characters before."""
    num_cold = int(np.count_nonzero(starts == 0)) if lead else len(starts)
    cold = model.initial_state(num_cold)
    if num_cold == len(starts):
        return cold
    warmed = model.initial_state(len(starts) - num_cold)
    before = ids_on(model.device, ids[starts[num_cold:] + np.arange(-lead, 0)[:, None]])  # (lead, B)
    for piece in torch.split(before, _window(model, len(starts))):
        _, warmed = model(piece, warmed)
        CLOCK.heartbeat()
    return map_state(lambda *lanes: torch.cat(lanes), cold, warmed)


def _window(model: Model, lanes: int) -> int:
    """Characters to read at once, so that a layer's outputs and the logits each stay within `VALUES_AT_ONCE`."""
    widest = max(model.config.hidden_size, model.config.vocab_size)
    return max(FEWEST_AT_ONCE, min(MOST_AT_ONCE, VALUES_AT_ONCE // (max(lanes, 1) * widest)))
