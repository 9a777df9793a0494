"""The lookup behind `python -m tests.benchmarks --recall`: a forecast that could see ahead would prove nothing."""

import numpy as np
import pytest

pytest.importorskip("tests.benchmarks.recall", reason="the tests are not run from the project's root")

from tests.benchmarks.recall import CONTEXTS, REACH, recall


@pytest.mark.parametrize("length", [1, 2, 100, 1499, 2999])
def test_a_forecast_follows_from_what_was_read_alone(length):
    ids = np.random.default_rng(0).integers(0, 4, 3000)
    for whole, part in zip(recall(ids), recall(ids[: length + 1]), strict=True):
        np.testing.assert_array_equal(part[:length], whole[:length])


def test_it_is_what_followed_the_longest_context_at_its_last_place():
    ids = np.random.default_rng(1).integers(0, 4, 800)
    forecast, found = recall(ids)
    text = "".join(map(str, ids))
    for end in range(1, len(ids)):
        number, place = 0, -1
        for k, length in enumerate(CONTEXTS, start=1):
            before = text.rfind(text[max(end - length, 0) : end], 0, end - 1) if end >= length else -1
            if before >= 0:
                number, place = k, before + length
        assert (found[end - 1], forecast[end - 1]) == (number, ids[place] if number else -1)


def test_nothing_is_looked_up_beyond_its_reach():
    word = [1, 2, 3, 4]
    for gap, is_found in ((REACH - len(word) - 1, True), (REACH - len(word) + 1, False)):
        ids = np.array([*word, *([0] * gap), *word[:3], 9])
        assert bool(recall(ids)[1][-2]) == is_found
