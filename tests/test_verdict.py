import re
from dataclasses import replace

import pytest

from charrnn.analysis.amounts import measure_of
from charrnn.analysis.verdict import handicaps, verdict
from charrnn.config import ModelConfig, TrainConfig
from charrnn.metrics import HistoryRow


def history(train, val, rates=None, first_step=100):
    return [
        HistoryRow(step=100 * k + first_step, epoch=1, train_loss=a, val_loss=b, learning_rate=rate, seconds=1)
        for k, (a, b, rate) in enumerate(zip(train, val, rates or [1] * len(val), strict=True))
    ]


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        ([2.0, 1.8, 1.6, 1.5, 1.4, 1.3], [1.9, 1.7, 1.6, 1.5, 1.45, 1.4], "still improving: .*fell by 0.1000 nats"),
        ([2.0, 1.5, 1.2, 1.0, 0.8, 0.6], [1.9, 1.6, 1.5, 1.52, 1.6, 1.7], "overfitting since step 300: .*by 0.2000"),
        ([2.0, 1.9, 1.8, 1.8, 1.8, 1.8], [1.9, 1.7, 1.6, 1.6, 1.6, 1.6], "underfitting: .*higher by 0.2000"),
        (
            [2.0, 1.8, 1.5, 1.4, 1.4, 1.4],
            [1.9, 1.7, 1.6, 1.6, 1.6, 1.6],
            "overfitting: the training loss is 0.2000 nats below the validation loss, and no gain in 3 evaluations",
        ),
        (
            [2.0, 1.8, 1.56, 1.55, 1.55, 1.55],
            [1.9, 1.7, 1.6, 1.6, 1.6, 1.6],
            "levelled off: .*, and both losses are alike, 1.5500 and 1.6000 nats; more text, or a larger model",
        ),
        (
            [2.0, 1.7, 1.6, 1.6004, 1.6004, 1.6004],
            [1.9, 1.7, 1.6, 1.6, 1.6, 1.6],
            "levelled off: .*both losses are alike",
        ),
        (
            [2.0, 1.9, 1.8, 1.7, 1.7, 1.7],
            [2.0, 1.8, 1.7, 1.9, 1.8, 1.699],
            "levelled off: the validation loss fell by 0.0010 nats over the last 200 of 600 steps",
        ),
        (
            [2.0, 1.9, 1.8, 1.7, 1.7, 1.7],
            [2.0, 1.8, 1.7, 1.8, 1.75, 1.701],
            "levelled off: no gain in 3 evaluations",
        ),
        (
            [2.0, 1.9, 1.7, 1.7],
            [2.0, 1.7, 1.75, 1.701],
            "levelled off: the validation loss has not fallen over the last 200 of 400 steps",
        ),
        ([3.2, 2.9, 2.7, 2.5, 2.3, 2.2], [2.2, 2.0, 1.9, 1.9, 1.9, 1.9], "levelled off: .*training loss still falls"),
        (
            [2.0, 1.8],
            [1.9, 1.7],
            "too early to tell: 2 evaluations; the validation loss fell by 0.2000 nats between the two$",
        ),
        (
            [2.0, 1.8],
            [1.9, 2.0],
            "too early to tell: 2 evaluations; the validation loss rose by 0.1000 nats between the two$",
        ),
        (
            [2.3, 2.2, 2.1, 2.0, 1.9, 1.9, 1.9, 1.9, 1.9, 1.9],
            [2.5, 2.3, 2.1, 2.0, 2.0, 2.01, 1.96, 1.97, 1.97, 1.97],
            "levelled off: no gain in 3 evaluations, since step 700",
        ),
        (
            [1.5] * 60,
            [3.0 - 0.025 * k for k in range(57)] + [1.6001, 1.6002, 1.6003],
            "still improving: .*fell by 0.4250 nats",
        ),
        ([1.51] * 6, [1.9, 1.7, 1.6, 1.6, 1.6, 1.6], "overfitting: the training loss is 0.0900 nats below"),
        ([2.0] * 24, [3.0 - 0.05 * k for k in range(20)] + [2.051] * 4, "levelled off: no gain in 4 evaluations"),
        ([2.0] * 24, [3.0 - 0.05 * k for k in range(21)] + [2.001] * 3, "still improving: .*fell by 0.2500 nats"),
        ([1.5] * 6, [1.9, 1.7, 1.6, 1.5062, 1.503, 1.5], "still improving: .*fell by 0.0062 nats"),
        ([1.5] * 6, [1.9, 1.7, 1.6, 1.5058, 1.503, 1.5], "levelled off: .*fell by 0.0058 nats"),
        ([0.002] * 6, [0.0021] * 4 + [0.00206, 0.00204], "levelled off: .*fell by 0.0001 nats"),
        ([0.3] * 6, [0.3] * 4 + [0.299, 0.2975], "still improving: .*fell by 0.0025 nats"),
        (
            [2.0, 1.8, 1.6, 1.4, 1.3, 1.2],
            [2.3, 2.2, 2.1, 1.9, 1.8, 1.7],
            "still improving: .*and is 0.5000 nats above the training loss; more text would help more than time",
        ),
        ([2.0, 1.8, 1.6], [1.9, 1.7, 1.5], "still improving: .*fell by 0.2000 nats"),
        (
            [2.0, 2.0],
            [1.9, 1.89996],
            "too early to tell: 2 evaluations; the validation loss has not fallen between the two$",
        ),
        ([2.0], [1.9], "too early to tell: 1 evaluation$"),
        ([], [], "no evaluation on record"),
    ],
)
def test_verdict_describes_the_losses(train, val, words):
    assert re.match(words, verdict(history(train, val), vocab_size=61))


def test_training_loss_under_dropout_is_no_sign_of_underfitting():
    losses = history([2.0, 1.9, 1.8, 1.8, 1.8, 1.8], [1.9, 1.7, 1.6, 1.6, 1.6, 1.6])
    told = verdict(losses, vocab_size=61, train_loss_is_comparable=False)
    assert told.startswith("levelled off: no gain in 3 evaluations, since step 300")


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        (
            [2.0, 1.5, 1.2, 1.0, 0.9, 0.9],
            [1.9, 1.7, 1.6, 1.6, 1.6, 1.6],
            "overfitting: the training loss is 0.7000 nats",
        ),
        ([2.0, 1.5, 1.2, 1.0, 0.9, 0.8], [2.2, 2.0, 1.8, 1.7, 1.6, 1.5], "still improving"),
        ([2.0, 1.8, 1.7, 1.6, 1.57, 1.57], [1.9, 1.7, 1.6, 1.6, 1.6, 1.6], "levelled off: .*or a larger model, would"),
        ([2.0, 1.5, 1.2, 1.0, 0.8, 0.6], [1.9, 1.6, 1.5, 1.52, 1.6, 1.7], "overfitting since step 300"),
    ],
)
def test_clearly_lower_training_loss_under_dropout_proves_overfitting(train, val, words):
    assert re.match(words, verdict(history(train, val), vocab_size=61, train_loss_is_comparable=False))


def test_loss_of_a_blind_guess_means_nothing_learned():
    losses = history([4.12, 4.11, 4.11, 4.11], [4.115, 4.113, 4.112, 4.1118])
    assert verdict(losses, vocab_size=61) == (
        "nothing learned: the best loss is 4.1118 nats, and that of a blind guess 4.1109; the learning rate, 1 at "
        "most, may be far too low or too high, or there is nothing to learn in this text"
    )
    assert verdict(history([4.1, 3.7, 3.3, 3.0], [4.1, 4.11, 4.12, 4.12]), vocab_size=60).startswith(
        "overfitting: the training loss is 1.1200 nats below the validation loss"
    ), "a training loss far below ln 60 was learned"
    assert verdict(losses, vocab_size=70).startswith("levelled off"), "ln 70 is 4.2485"
    assert verdict(history([4.071] * 4, [4.071] * 4), vocab_size=61).startswith("nothing learned"), "ln 61 less 0.97 %"
    assert verdict(history([4.068] * 4, [4.068] * 4), vocab_size=61).startswith("levelled off"), "ln 61 less 1.04 %"
    assert verdict(history([5.0, 4.8, 4.6, 4.4], [5.0, 4.8, 4.6, 4.4]), vocab_size=61).startswith("still improving")


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        ([0.5, 0.01, 0.004, 0.003, 0.0035], [0.4, 0.008, 0.003, 0.0035, 0.0049], "levelled off: .*losses are alike"),
        ([0.5, 0.01, 0.004, 0.003, 0.002], [0.4, 0.008, 0.003, 0.0035, 0.0051], "overfitting since step 300: .*0.0021"),
        ([0.3, 0.02, 0.0185, 0.0185], [0.3, 0.02, 0.02, 0.02], "levelled off: .*losses are alike"),
        ([0.3, 0.02, 0.0215, 0.0215], [0.3, 0.02, 0.02, 0.02], "levelled off: .*losses are alike"),
        ([0.3, 0.02, 0.0175, 0.0175], [0.3, 0.02, 0.02, 0.02], "overfitting: the training loss is 0.0025 nats below"),
    ],
)  # fmt: skip
def test_tiny_differences_of_low_losses_are_ignored(train, val, words):
    assert re.match(words, verdict(history(train, val), vocab_size=61))


@pytest.mark.parametrize(
    ("val", "vocab_size", "words"),
    [
        ([0.3, 0.1, 0.0006, 0.0005, 0.0006], 18, "nothing left to learn: the best loss is 0.0005 nats$"),
        ([0.3, 0.2, 0.1, 0.05, 0.0005], 18, "nothing left to learn: "),
        ([0.0] * 4, 1, "nothing left to learn: the best loss is 0.0000 nats$"),
        ([0.3, 0.1, 0.0006, 0.0005, 0.4], 18, "worse since step 400: .*risen by 0.3995"),
        ([0.3, 0.1, 0.0021, 0.0022, 0.0021], 18, "levelled off: "),
    ],
)
def test_nearly_zero_loss_gets_no_advice(val, vocab_size, words):
    assert re.match(words, verdict(history(val, val), vocab_size=vocab_size))


@pytest.mark.parametrize(
    ("changes", "compare"),
    [
        ({}, True), ({"recall": 64, "recall_dropout": 0.0}, True), ({"dropout": 0.1}, False),
        ({"input_dropout": 0.1}, False), ({"recall": 64, "recall_dropout": 0.5}, False), ({"members": 2}, False),
    ],
)  # fmt: skip
def test_losses_compare_only_without_dropout_recall_and_members(changes, compare):
    shape = {"vocab_size": 5, "cell": "gru", "hidden_size": 8, "num_layers": 1, "embedding_dim": 4}
    plain = {"dropout": 0.0, "input_dropout": 0.0, "recall": 0, "members": 1}
    assert ModelConfig(**{**shape, **plain, **changes}).train_loss_is_comparable is compare


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        ([2.0, 1.5, 1.4, 2.4, 2.5], [1.9, 1.6, 1.5, 2.5, 2.6], "worse since step 300: .*risen by 1.1000 nats"),
        ([2.1, 1.6, 1.6, 1.6], [2.0, 1.5, 1.6, 1.7], "worse since step 200: .*training loss has not fallen"),
        ([2.2, 2.1, 2.0, 1.9, 1.8, 1.9], [2.3, 2.18, 2.18, 2.15, 2.13, 2.26], "worse since step 500"),
        ([1.45] * 6, [2.0, 1.5, 1.507, 1.508, 1.51, 1.514], "levelled off: no gain in 4 evaluations"),
        ([1.45] * 6, [2.0, 1.5, 1.507, 1.508, 1.51, 1.516], "worse since step 200: .*risen by 0.0160 nats"),
    ],
)
def test_rising_validation_loss_is_never_called_improving(train, val, words):
    assert re.match(words, verdict(history(train, val), vocab_size=61))


@pytest.mark.parametrize(
    ("steps", "val", "words"),
    [
        ((50, 100, 150, 200), [1.86, 1.72, 1.65, 1.62], "still improving: .*by 0.1000 nats over the last 100 of 200"),
        ((70, 80, 90, 100), [1.8, 1.7, 1.65, 1.62], "still improving: .*by 0.1800 nats over the last 30 of 100 steps"),
        # 0.4 % of 1.5 in a third are 0.9 % in three quarters and 0.36 % in three tenths
        ((25, 75, 95, 100), [1.5136, 1.51, 1.505, 1.5], "still improving: .*by 0.0136 nats over the last 75 of 100"),
        ((25, 75, 95, 100), [1.5134, 1.51, 1.505, 1.5], "levelled off: .*fell by 0.0134 nats over the last 75 of 100"),
        # of a low loss 0.002 nats in a third are 0.0045 in three quarters
        ((25, 75, 95, 100), [0.1046, 0.103, 0.101, 0.1], "still improving: .*by 0.0046 nats over the last 75 of 100"),
        ((25, 75, 95, 100), [0.1044, 0.103, 0.101, 0.1], "underfitting: both losses have levelled off"),
        ((70, 80, 90, 100), [1.5055, 1.505, 1.503, 1.5], "still improving: .*by 0.0055 nats over the last 30 of 100"),
        ((70, 80, 90, 100), [1.5053, 1.505, 1.503, 1.5], "levelled off: .*fell by 0.0053 nats over the last 30 of 100"),
    ],
)  # fmt: skip
def test_end_of_training_is_judged_over_the_named_steps(steps, val, words):
    """Few evaluations leave none at two thirds: what is to be gained is more where these steps are more."""
    rows = [replace(row, step=step) for row, step in zip(history([1.5] * 4, val), steps, strict=True)]
    assert re.match(words, verdict(rows, vocab_size=61))


def test_training_loss_is_judged_over_the_same_steps():
    for first, told in ((1.813, "underfitting"), (1.816, "levelled off: .*training loss still falls")):
        rows = history([first, 1.81, 1.805, 1.8], [1.6] * 4)  # 0.4 % of 1.8 in a third are 0.0144 in two of them
        rows = [replace(row, step=step) for row, step in zip(rows, (100, 201, 250, 300), strict=True)]
        assert re.match(told, verdict(rows, vocab_size=61))


RISEN = [1e-3, 5e-4, 2e-5]
"""Learning rates of a training up to its first end."""


@pytest.mark.parametrize(
    ("val", "words"),
    [
        ([1.36, 1.34, 1.33], "still improving: .*0.0100 nats over the last 100 of 300 steps since the learning"),
        ([1.36], "too early to tell: 1 evaluation since the learning rate rose again$"),
        ([1.36, 1.34], "too early to tell: 2 evaluations since the learning rate rose again; the validation loss fell"),
        ([1.36, 1.34, 1.33, 1.30, 1.292], "still improving: .*fell by 0.0380 nats"),
        ([1.36, 1.38, 1.40], "worse since step 400: .*risen by 0.0400 nats.*kept are those of step 300"),
        ([1.34, 1.34, 1.34, 1.34], "levelled off: no gain in 3 evaluations, since step 400"),
    ],
)  # fmt: skip
def test_resumed_training_is_judged_since_its_resume(val, words):
    rates = RISEN + [9e-4 - 1e-4 * k for k in range(len(val))]
    rows = history([1.4] * len(rates), [1.5, 1.4, 1.3, *val], rates)
    assert re.match(words, verdict(rows, vocab_size=61))


@pytest.mark.parametrize(
    ("rise", "words"), [(1.52, "still improving: .*since the learning"), (1.48, "worse since step 200")]
)
def test_rate_half_as_high_again_has_risen_again(rise, words):
    rows = history([1.4] * 5, [1.5, 1.3, 1.36, 1.34, 1.33], [1e-3, 1e-4, 1e-4 * rise, 1e-4, 1e-4])
    assert re.match(words, verdict(rows, vocab_size=61))


def test_initial_warmup_is_not_a_second_rise():
    rows = history([1.4] * 5, [1.3, 1.36, 1.37, 1.38, 1.39], [1e-4, 1e-3, 9e-4, 8e-4, 7e-4])
    assert verdict(rows, vocab_size=61).startswith("worse since step 100")


def test_initial_loss_without_dropout_is_not_compared_with_later_ones():
    """Before the first step it is measured without dropout, and is the lower by that alone."""
    fallen = history([1.1, 1.6, 1.5, 1.4], [1.30, 1.34, 1.35, 1.36], first_step=0)
    assert re.match("overfitting since step 0: .*risen by 0.0600 nats while", verdict(fallen, vocab_size=61))
    risen = history([1.1, 1.4, 1.5, 1.6], [1.30, 1.34, 1.35, 1.36], first_step=0)
    assert verdict(risen, vocab_size=61).startswith("worse since step 0")
    late = [risen[0], *history([1.9, 1.4], [1.30, 1.30], first_step=900)]
    assert "training loss still falls" in verdict([replace(row, val_loss=1.3) for row in late], vocab_size=61)


@pytest.mark.parametrize(
    ("steps", "begins"),
    [(9, "too early to tell: 9 steps; the validation loss fell by 0.4000 nats"), (10, "still improving: ")],
)
def test_few_steps_give_no_verdict_however_often_evaluated(steps, begins):
    rows = [
        replace(row, step=step) for row, step in zip(history([3, 3, 3], [2.9, 2.7, 2.5]), (2, 5, steps), strict=True)
    ]
    assert verdict(rows, vocab_size=61).startswith(begins)


def test_fall_below_the_shown_decimals_is_none():
    rows = history([0.002] * 6, [0.0021, 0.0021, 0.0021, 0.0021, 0.00209, 0.00208])
    assert verdict(rows, vocab_size=61).startswith("levelled off: the validation loss has not fallen over the last 200")


RATE = "its learning rate of 0.3 is 25 times the 0.012 that would be chosen for it, which is likely far too high"
FEW = "a layer of 8 units is small, where 128 at least would be chosen"


@pytest.mark.parametrize(
    ("rate", "units", "loss", "told"),
    [
        (0.3, 256, 2.1, [RATE]),
        (0.3, 256, 1.7, []),  # it does well all the same
        (0.03, 256, 2.1, []),
        (0.0079, 256, 2.1, []),
        (0.01, 8, 2.1, [FEW]),
        (0.3, 8, 2.1, ["its learning rate of 0.3 is 18 times", FEW]),
    ],
)
def test_unusual_settings_of_a_model_far_behind_the_baseline_are_named(rate, units, loss, told):
    model = ModelConfig(vocab_size=61, cell="lstm", hidden_size=units, num_layers=1, embedding_dim=64)
    config = TrainConfig(batch_size=8, seq_len=64, learning_rate=rate, max_steps=120)
    found = handicaps(model, config, steps=120, loss=loss, baseline_loss=1.66)
    assert [line[: len(begins)] for line, begins in zip(found, told, strict=True)] == told
    assert handicaps(model, config, steps=120, loss=0.0029, baseline_loss=0.001) == [], "so little is no handicap"


@pytest.mark.parametrize(("has_lines", "enough"), [(False, 500), (True, 10)])
def test_verdict_needs_500_characters_or_10_lines(has_lines, enough):
    measure = measure_of(2_000, "character", has_lines=has_lines)
    assert [measure.has_few_to_judge(held_out) for held_out in (enough - 1, enough)] == [True, False]
