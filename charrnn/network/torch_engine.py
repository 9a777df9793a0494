"""The torch model with the sampler's engine interface, for GPUs, which the numpy engine does not support."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch

from charrnn.arrays import Ids, Singles
from charrnn.config import ModelConfig
from charrnn.errors import ConfigError
from charrnn.network.cells import RecurrentLayer
from charrnn.network.ensemble import build_model
from charrnn.network.model import State, ids_on, map_state
from charrnn.recall import Forecasts
from charrnn.recall_memory import RecallMemories


def require_device(device: str) -> None:
    """Check that torch can use a device.

    Raises:
        ConfigError: the device is "cuda" and torch can use no GPU.
    """
    if device == "cuda" and (trouble := gpu_trouble()):
        install = "install another build (pytorch.org), or " if trouble.startswith("this PyTorch") else ""
        raise ConfigError(f"--device cuda: {trouble}; {install}leave --device out to run on the CPU")


@cache
def gpu_trouble() -> str:
    """Why torch can use no GPU, in words; empty where it can. Some reasons torch tells only in warnings."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        if torch.cuda.is_available():
            major, minor = torch.cuda.get_device_capability()
            lacking = f"this PyTorch has no kernels for GPUs of compute capability {major}.{minor}"
            return "" if _has_kernels(major, minor) else lacking
    if torch.version.cuda is None:
        return "this PyTorch is built without CUDA"
    return str(told[0].message).split(". ")[0] if told else "torch finds no GPU"


class TorchCharRNN:
    """A trained CharRNN on a torch device, with the interface of `charrnn.inference.engine.Engine`.

    Args:
        config: the model's shape.
        weights: arrays by name.
        device: "cpu" or "cuda".
        reset_id: an id that is always read from a state of zeros.

    Raises:
        ConfigError: torch cannot use the device.
    """

    def __init__(
        self,
        config: ModelConfig,
        weights: Mapping[str, Singles],
        device: str,
        reset_id: int | None = None,
    ) -> None:
        require_device(device)
        self._reset_id = reset_id
        self._model = build_model(config)
        self._model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        self._model.to(device).eval()
        for module in self._model.modules():
            if isinstance(module, RecurrentLayer):
                module.freeze()

    def initial_state(self, batch_size: int = 1) -> State:
        """The state before any character."""
        return self._model.initial_state(batch_size)

    def reader(self, generated_from: int | None = None) -> TorchReader:
        """Begin one text, to be read character by character; for `generated_from` see `RecallMemory`."""
        return TorchReader(self.batch_reader(1, generated_from))

    def batch_reader(self, num_texts: int, generated_from: int | None = None) -> TorchBatchReader:
        """Begin N texts, to be read side by side."""
        config = self._model.config
        memories = (
            RecallMemories(config.recall, config.vocab_size, num_texts, generated_from) if config.recall else None
        )
        return TorchBatchReader(self, self.initial_state(num_texts), memories)

    @torch.inference_mode()
    def step(self, ids: Ids, state: State, recalled: Forecasts | None = None) -> tuple[Singles, State]:
        """Read ids, shape (N,), with their forecasts; give logits, shape (N, V), and the new state."""
        inputs = ids_on(self._model.device, ids)[None]
        if self._reset_id is not None:
            keeps = (inputs[0] != self._reset_id)[:, None]
            state = map_state(lambda values: values * keeps, state)
        forecasts = None if recalled is None else ids_on(self._model.device, recalled[None])
        logits, state = self._model(inputs, state, forecasts)
        return logits[0].cpu().numpy(), state


class TorchReader:
    """A reader of one text, as a batch of one.

    Args:
        alone: the batch.
    """

    def __init__(self, alone: TorchBatchReader) -> None:
        self._alone = alone

    def __call__(self, character: int) -> Singles:
        """Read the next character; return the logits of the one after it, shape (V,)."""
        logits: Singles = self._alone(np.array([character]))[0]
        return logits

    def copy(self) -> TorchReader:
        """Make a reader that goes on from the same place; see `charrnn.generation.sampling.Reader`."""
        return TorchReader(self._alone.selected(np.array([0])))


class TorchBatchReader:
    """N texts that are read side by side.

    Args:
        model: the engine that reads them.
        state: state before the next character.
        memories: source of the forecasts; None for a model that does not recall.
    """

    def __init__(self, model: TorchCharRNN, state: State, memories: RecallMemories | None) -> None:
        self._model = model
        self._state = state
        self._memories = memories

    def __call__(self, ids: Ids) -> Singles:
        """Read the next character of each text, shape (N,); return the logits of those after them, shape (N, V)."""
        recalled = None if self._memories is None else self._memories.read(ids)
        logits, self._state = self._model.step(ids, self._state, recalled)
        return logits

    def selected(self, rows: Ids) -> TorchBatchReader:
        """Make readers that go on from some of these texts; see `charrnn.generation.batch_sampling.BatchReader`."""
        state = map_state(lambda values: values[torch.from_numpy(rows)], self._state)
        memories = None if self._memories is None else self._memories.selected(rows)
        return TorchBatchReader(self._model, state, memories)


def _has_kernels(major: int, minor: int) -> bool:
    """Whether this build of torch runs on a GPU of this compute capability; true where torch does not list its targets.

    Kernels (sm_86) run on later GPUs of the same generation too; code that the driver compiles (compute_86), on all
    later ones.
    """
    built = re.findall(r"(sm|compute)_(\d+)(\d)", " ".join(torch.cuda.get_arch_list()))
    return not built or any(
        (int(generation), int(number)) <= (major, minor) and (int(generation) == major or kind == "compute")
        for kind, generation, number in built
    )
