import pytest

from charrnn.analysis.verdict import verdict
from charrnn.metrics import HistoryRow


def history(train, val):
    return [
        HistoryRow(step=100 * k, epoch=1, train_loss=a, val_loss=b, learning_rate=1, seconds=1)
        for k, (a, b) in enumerate(zip(train, val, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("train", "val", "words"),
    [
        ([2.0, 1.8, 1.6, 1.5, 1.4, 1.3], [1.9, 1.7, 1.6, 1.5, 1.45, 1.4], "still improving: .*fell by 0.1000 nats"),
        ([2.0, 1.5, 1.2, 1.0, 0.8, 0.6], [1.9, 1.6, 1.5, 1.52, 1.6, 1.7], "overfitting since step 300: .*by 0.2000"),
        ([2.0, 1.9, 1.8, 1.8, 1.8, 1.8], [1.9, 1.7, 1.6, 1.6, 1.6, 1.6], "underfitting: .*higher by 0.2000"),
        ([2.0, 1.8, 1.5, 1.4, 1.4, 1.4], [1.9, 1.7, 1.6, 1.6, 1.6, 1.6], "levelled off: .*is 0.2000 below"),
        ([3.2, 2.9, 2.7, 2.5, 2.3, 2.2], [2.2, 2.0, 1.9, 1.9, 1.9, 1.9], "levelled off: .*training loss still falls"),
        ([2.0, 1.8], [1.9, 1.7], "too early to tell: 2 evaluations"),
        ([2.0], [1.9], "too early to tell: 1 evaluation$"),
        ([], [], "no evaluation on record"),
    ],
)
def test_what_the_losses_say_is_said_in_words(train, val, words):
    import re

    assert re.match(words, verdict(history(train, val)))


def test_a_training_loss_with_forecasts_hidden_is_no_sign_of_a_model_too_small():
    losses = history([2.0, 1.9, 1.8, 1.8, 1.8, 1.8], [1.9, 1.7, 1.6, 1.6, 1.6, 1.6])
    assert verdict(losses, recalls=True).startswith("levelled off: the validation loss fell by 0.0000 nats")


def test_a_validation_loss_that_rises_with_the_training_loss_is_no_overfitting():
    assert "overfitting" not in verdict(history([2.0, 1.5, 1.4, 2.4, 2.5], [1.9, 1.6, 1.5, 2.5, 2.6]))
