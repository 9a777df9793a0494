import math

import numpy as np
import pytest
import torch
from conftest import VARIANTS, numpy_twin, random_model
from torch.nn import functional

from charrnn.analysis import WINDOW, score, surprisals
from charrnn.errors import CorpusError


@pytest.mark.parametrize("config", VARIANTS)
def test_score_is_torchs_loss(config):
    model = random_model(config)
    ids = np.random.default_rng(2).integers(0, 11, WINDOW + 50)
    with torch.no_grad():
        logits, _ = model(torch.from_numpy(ids[:-1, None]), model.initial_state(1))
    targets = torch.from_numpy(ids[1:])
    result = score(numpy_twin(model), ids)
    assert result.loss == pytest.approx(functional.cross_entropy(logits[:, 0], targets).item(), abs=1e-5)
    assert result.accuracy == (logits[:, 0].argmax(-1) == targets).double().mean().item()
    assert result.characters == len(ids) - 1


def test_surprisals_are_minus_log_probabilities_even_of_huge_logits():
    logits = np.array([[0.0, 0.0], [5000.0, 0.0], [0.0, 5000.0]], dtype=np.float32)
    assert surprisals(logits, np.array([0, 0, 0])).tolist() == pytest.approx([math.log(2), 0.0, 5000.0])


@pytest.mark.parametrize("length", [0, 1])
def test_a_text_too_short_to_predict_anything_is_refused(length):
    with pytest.raises(CorpusError, match=f"a text of {length} characters cannot be scored; give at least 2"):
        score(numpy_twin(random_model(VARIANTS[0].values[0])), [0] * length)
