"""What runs on a GPU; skipped, with the reason, where there is none."""

import numpy as np
import pytest
import torch
from conftest import VARIANTS, make_text, numpy_twin, random_model

from charrnn.torch_engine import TorchCharRNN

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that torch can use")


@pytest.mark.parametrize("config", VARIANTS)
def test_the_gpu_agrees_with_the_numpy_engine(config):
    model = random_model(config)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    gpu, engine = TorchCharRNN(config, weights, "cuda"), numpy_twin(model)
    gpu_state, state = gpu.initial_state(3), engine.initial_state(3)
    for row in np.random.default_rng(0).integers(0, 11, (6, 3)):
        gpu_logits, gpu_state = gpu.step(row, gpu_state)
        logits, state = engine.step(row, state)
        np.testing.assert_allclose(gpu_logits, logits, atol=1e-3)


def test_training_and_sampling_on_the_gpu_and_a_resume_on_the_cpu(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(5000))
    trained = charrnn("train", "verse.txt", "--device", "cuda", "--hidden-size", 32, "--max-steps", 20)
    assert trained.code == 0, trained.stderr
    assert len(charrnn("sample", "verse.pt", "--device", "cuda", "-n", 40).text) == 40
    assert len(charrnn("sample", "verse.pt", "-n", 40).text) == 40
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    resumed = charrnn("train", "verse.txt", "--resume", "--max-steps", 30, env=hidden)
    assert resumed.code == 0, resumed.stderr
