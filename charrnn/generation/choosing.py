"""Drawing the next character from logits, for texts side by side, and for one text with as little work as possible."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable

import numpy as np

from charrnn.arrays import Doubles, Floats, Ids
from charrnn.errors import DivergenceError
from charrnn.generation.filters import COLDEST, HOTTEST, SamplingOptions, closed_row
from charrnn.generation.sample_progress import SampleProgress

Chooser = Callable[[Floats, float, int], int]
"""Draws one text's next id from logits, a random number in [0, 1) and the number of characters drawn before."""

OVERFLOWS_BELOW = 1e-3
"""Temperatures below which logits divided by them may overflow: characters are drawn as with filters then."""

COLD = 0.25
"""Temperatures below which the best logit is subtracted before the exponential, which would overflow. Above, only a
diverged model has such logits, and the subtraction is saved."""

SMALLEST_SUM = 1e-290
"""Sums of exponentials below this may have lost digits to underflow."""

MANY_TEXTS = 64
"""From this many texts side by side on, a Python loop over the alphabet, which adds for all texts at once, pays."""


def draw(weights: Floats, thresholds: Doubles) -> Ids:
    """Draw an id from each row by inverting its cumulative distribution at a threshold in [0, 1), shape (N,)."""
    cumulative = _accumulate(weights)
    if not np.isfinite(cumulative[:, -1]).all():
        raise overflow()
    return np.asarray(np.count_nonzero(cumulative <= thresholds[:, None] * cumulative[:, -1:], axis=-1))


def _accumulate(weights: Floats) -> Doubles:
    """Cumulative sums of each row, shape (N, V); numpy's own cumsum is slow for many short rows."""
    if len(weights) < MANY_TEXTS:
        return np.ascontiguousarray(weights).cumsum(axis=-1, dtype=np.float64)
    columns = weights.T.astype(np.float64, order="C")
    add, total = np.add, columns[0]
    for column in columns[1:]:
        total = add(total, column, column)
    return columns.T


def overflow() -> DivergenceError:
    """The error for logits that nothing can be drawn from."""
    return DivergenceError(
        "the model's scores are not numbers any more: its weights let them grow without bound; "
        "give a prompt that is shorter, ask for less text, or use another checkpoint"
    )


def make_chooser(options: SamplingOptions, progress: SampleProgress, vocab_size: int) -> Chooser:
    """Make the fastest `Chooser` that applies some options."""
    if options.has_filters or options.final_temperature is not None or options.temperature < OVERFLOWS_BELOW:
        return _filtering_chooser(options, progress, vocab_size)
    return _temperature_chooser(options.temperature, vocab_size)


def _filtering_chooser(options: SamplingOptions, progress: SampleProgress, vocab_size: int) -> Chooser:
    """Make a `Chooser` that draws from one text's logits as `draw` does from what `weigh` returns."""
    closed = None if options.allowed is None else closed_row(options.allowed, vocab_size)
    cut, changes = _make_cut(options, vocab_size), options.final_temperature is not None
    scaled = np.empty(vocab_size, dtype=np.float64)
    sums = scaled.data
    multiply, subtract, exp, accumulate = np.multiply, np.subtract, np.exp, np.add.accumulate

    def choose(logits: Floats, threshold: float, drawn: int) -> int:
        if closed is not None:
            logits = logits + closed
        best = logits.argmax()
        temperature = options.temperature_at(progress.share(drawn)) if changes else options.temperature
        if temperature == 0:  # greedy; every filter keeps the best
            return int(best) if math.isfinite(logits[best]) else vocab_size
        subtract(logits, logits[best], scaled)
        if cut is not None:
            cut(scaled)
        multiply(scaled, 1 / min(max(temperature, COLDEST), HOTTEST), scaled)
        exp(scaled, scaled)
        accumulate(scaled, out=scaled)
        return bisect_right(sums, threshold * sums[-1])

    return choose


def _make_cut(options: SamplingOptions, vocab_size: int) -> Callable[[Doubles], None] | None:
    """Make the function that sets what top_k, top_p and min_p leave out to minus infinity, in scores whose best is 0.

    Each filter keeps a prefix of the same order: best first, and equal scores by id. So the last score in the shortest
    prefix is the limit: lower scores go, and equal ones that come later. Scores of minus infinity, such as those of ids
    that are not allowed, stay so.
    """
    top_k, top_p = min(options.top_k or vocab_size, vocab_size), options.top_p or 1.0
    lowest = math.log(options.min_p) if options.min_p else -math.inf
    has_ranks = top_k < vocab_size or top_p < 1
    if not has_ranks and not options.min_p:
        return None
    ranked, weights, first_sums = (np.empty(size, dtype=np.float64) for size in (vocab_size, vocab_size, top_k))
    ranks, sums, first_weights = ranked.data, first_sums.data, weights[::-1][:top_k]
    exp, accumulate, putmask, copyto = np.exp, np.add.accumulate, np.putmask, np.copyto

    def cut(scores: Doubles) -> None:
        low = lowest
        if has_ranks:
            copyto(ranked, scores)
            ranked.sort()  # the best last
            last = vocab_size - top_k
            if top_p < 1:
                exp(ranked, weights)
                accumulate(first_weights, out=first_sums)
                last = vocab_size - 1 - bisect_left(sums, top_p * sums[-1])
            if ranks[last] >= lowest:
                low = ranks[last]
                if last and ranks[last - 1] == low > -math.inf:
                    scores[(-scores).argsort(kind="stable")[vocab_size - last :]] = -np.inf
                    return
        putmask(scores, scores < low, -np.inf)

    return cut


def _temperature_chooser(temperature: float, vocab_size: int) -> Chooser:
    """Make a `Chooser` for a constant temperature without filters."""
    scaled = np.empty(vocab_size, dtype=np.float64)
    sums = scaled.data  # a memoryview holds Python floats, which compare in half the time of numpy's
    multiply, subtract, exp, accumulate = np.multiply, np.subtract, np.exp, np.add.accumulate
    rate = 1 / min(temperature, HOTTEST)

    def choose_below_best(logits: Floats, threshold: float, _: int) -> int:
        multiply(logits, rate, scaled)
        subtract(scaled, scaled[scaled.argmax()], scaled)
        exp(scaled, scaled)
        accumulate(scaled, out=scaled)
        return bisect_right(sums, threshold * sums[-1])

    def choose(logits: Floats, threshold: float, drawn: int) -> int:
        multiply(logits, rate, scaled)
        exp(scaled, scaled)
        accumulate(scaled, out=scaled)
        total = sums[-1]
        if SMALLEST_SUM < total < math.inf:
            return bisect_right(sums, threshold * total)
        return choose_below_best(logits, threshold, drawn)

    return choose_below_best if temperature < COLD else choose
