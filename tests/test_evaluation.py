import math

import numpy as np
import pytest
import torch
from conftest import make_text, numpy_twin, random_model, read_whole, skip_without

from charrnn.cell_types import CELLS
from charrnn.config import ModelConfig, TrainConfig
from charrnn.metrics import COLD_WINDOW
from charrnn.network.model import CharRNN
from charrnn.text.counted_places import WARM_UP, counted_places
from charrnn.text.encoder import CharEncoder
from charrnn.training.evaluation import evaluate, evaluate_cold
from charrnn.training.loop import take_step
from charrnn.training.run import TrainingRun


def model_config(cell="lstm", vocab_size=23, **options):
    return ModelConfig(vocab_size=vocab_size, cell=cell, hidden_size=24, num_layers=2, embedding_dim=8, **options)


@pytest.fixture(scope="module")
def ids():
    text = make_text(9000)
    return CharEncoder(text).encode(text)


@pytest.mark.parametrize("cell", CELLS)
def test_loss_is_that_of_reading_character_by_character(ids, cell):
    """With one lane nothing is warmed up: the numpy engine, which reads character by character, must agree."""
    model = random_model(model_config(cell))
    assert evaluate(model, ids[:3000], batch_size=1) == pytest.approx(
        read_whole(numpy_twin(model), ids[:3000]).surprisals.mean(), abs=1e-5
    )


@pytest.mark.parametrize("cell", CELLS)
def test_loss_does_not_depend_on_the_batch_size(ids, cell):
    config = TrainConfig(batch_size=8, seq_len=32, max_steps=30, learning_rate=3e-3, warmup_steps=5)
    run = TrainingRun.start(model_config(cell), config, ids, ids, started_at=0)
    for _ in range(30):
        take_step(run)
    losses = [evaluate(run.model, ids, batch_size=lanes) for lanes in (1, 2, 7, 16)]
    assert losses == pytest.approx([losses[0]] * 4, abs=1e-4)


@pytest.mark.parametrize("num_chars", [2, 3, 17, 4096, 4097])
def test_every_character_but_the_first_counts_once(num_chars):
    """A model that knows only how common characters are has the same loss on each kind, however the lanes fall."""
    model = CharRNN(model_config(vocab_size=7))
    torch.nn.init.zeros_(model.head.weight)
    model.head.bias.data = torch.arange(7.0)
    costs = -model.head.bias.detach().log_softmax(0).numpy()
    ids = np.random.default_rng(0).integers(0, 7, num_chars).astype(np.uint8)
    for lanes in (None, 1, 5):
        assert evaluate(model, ids, batch_size=lanes) == pytest.approx(costs[ids[1:]].mean(), rel=1e-6)


@pytest.mark.parametrize("num_chars", [2, COLD_WINDOW + 1, 3 * COLD_WINDOW + 50])
def test_cold_loss_is_that_of_windows_read_from_zeros(ids, num_chars):
    model = random_model(model_config())
    windows = [ids[start : start + COLD_WINDOW + 1] for start in range(0, num_chars - 1, COLD_WINDOW)]
    windows[-1] = windows[-1][: num_chars - COLD_WINDOW * (len(windows) - 1)]
    total = sum(read_whole(numpy_twin(model), window).surprisals.mean() * (len(window) - 1) for window in windows)
    assert evaluate_cold(model, ids[:num_chars]) == pytest.approx(total / (num_chars - 1), abs=1e-5)


def test_untrained_loss_is_near_ln_v(ids):
    assert evaluate(CharRNN(model_config()), ids) == pytest.approx(math.log(23), abs=0.2)


def test_evaluation_keeps_the_mode_and_disables_dropout(ids):
    model = random_model(model_config(dropout=0.5)).train()
    first = evaluate(model, ids[:500])
    assert model.training
    assert evaluate(model, ids[:500]) == first
    model.eval()
    evaluate(model, ids[:500])
    assert not model.training


def test_bfloat16_hardly_changes_the_loss(ids):
    skip_without("bfloat16")
    model = random_model(model_config())
    assert evaluate(model, ids, precision="bfloat16") == pytest.approx(evaluate(model, ids), abs=0.02)


def test_part_of_a_long_text_is_taken_from_all_over_it(ids):
    """A text of three kinds: what is counted of each has its share in the mean."""
    model = random_model(model_config())
    text = np.concatenate([np.zeros(20_000), np.tile(ids, 3)[:20_000], np.full(20_000, 5)]).astype(np.uint8)
    whole, part = (evaluate(model, text, most=most) for most in (None, 12_000))
    cold, cold_part = (evaluate_cold(model, text, most=most) for most in (None, 12_000))
    assert part == pytest.approx(whole, rel=0.1)
    assert cold_part == pytest.approx(cold, rel=0.1)
    assert evaluate(model, text[:12_000]) != pytest.approx(whole, rel=0.1), "its beginning alone would not do"
    for function in (evaluate, evaluate_cold):
        assert function(model, text, most=10**9) == function(model, text)


@pytest.mark.parametrize("most", [12_000, 30_000, 10**6])
def test_loss_is_over_the_counted_characters(ids, most):
    """The numpy engine reads all of the text, and only what is said to count is taken."""
    model = random_model(model_config("gru"))
    text = np.tile(ids, 4)
    counted = counted_places(text, most)
    assert len(counted) == pytest.approx(min(most, len(text) - 1), rel=0.01)
    assert (np.diff(counted) > 0).all()
    surprisals = read_whole(numpy_twin(model), text).surprisals
    assert evaluate(model, text, most=most) == pytest.approx(surprisals[counted - 1].mean(), abs=1e-4)
    if most < len(text):
        assert abs(surprisals[counted - 1].mean() - surprisals.mean()) > 3e-4, "or it could be over all of it"


def test_evaluation_reads_only_what_counts_and_its_warmup(ids):
    model, read = CharRNN(model_config()), []
    forward = model.forward
    model.forward = lambda ids, *more: read.append(ids.numel()) or forward(ids, *more)
    evaluate(model, np.tile(ids, 7), most=12_000, batch_size=8)
    assert 12_000 <= sum(read) <= 12_000 + 8 * (WARM_UP + 1)
