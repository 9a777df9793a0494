"""A trial: an LSTM that is told what followed when the last characters stood in the text before.

A character's forecast is what followed the longest context, of a few lengths, at its last place not too far back. The
head has one output more than there are characters, g, and the forecast's logit gets g plus a number learned for the
length of its context: nothing else differs, and the recurrent core not at all. That a model should weigh a cache of
what it has just read is an old idea (Kuhn and De Mori 1990, https://doi.org/10.1109/34.56193; as a pointer, Merity et
al. 2016, https://arxiv.org/abs/1609.07843).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Ids = NDArray[np.int64]

CONTEXTS = (3, 4, 5, 6, 8, 12, 16)
"""Lengths of the contexts that are looked for; the longest that is found counts."""
REACH = 4096
"""Characters back in which they are looked for."""
HIDDEN, LANES, WINDOW, PEAK_RATE = 256, 16, 64, 8e-3


def recall(ids: Ids) -> tuple[Ids, Ids]:
    """What followed the longest context before, character by character.

    Args:
        ids: of a text, shape (n,).

    Returns:
        The forecast of the character after each, or -1 where there is none; and which of `CONTEXTS` it comes from,
        counted from 1, or 0. Both of shape (n,); neither looks ahead.
    """
    symbols = ids.astype(np.uint32).tobytes()
    forecast, found = np.full(len(ids), -1), np.zeros(len(ids), dtype=np.int64)
    places: list[dict[bytes, int]] = [{} for _ in CONTEXTS]
    for end in range(1, len(ids)):  # characters that have been read
        for number in range(len(CONTEXTS) - 1, -1, -1):
            start = end - CONTEXTS[number]
            if start < 0:
                continue
            context = symbols[4 * start : 4 * end]
            before = places[number].get(context, -REACH)
            if not found[end - 1] and end - before < REACH:
                forecast[end - 1], found[end - 1] = ids[before], number + 1
            places[number][context] = end
    return forecast, found


class RecallLSTM(nn.Module):
    """One layer as in charrnn's recipe, with the forecast's logit raised, or without."""

    def __init__(self, vocab_size: int, *, recalls: bool) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, 64)
        self.lstm = nn.LSTM(64, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN)
        self.head = nn.Linear(HIDDEN, vocab_size + 1)
        self.by_context = nn.Embedding(len(CONTEXTS) + 1, 1) if recalls else None
        with torch.no_grad():
            self.lstm.bias_ih_l0[HIDDEN : 2 * HIDDEN] = 1

    def forward(self, ids: Tensor, forecast: Tensor, found: Tensor, state: object = None) -> tuple[Tensor, object]:
        """Logits, shape (T, B, V), and the state."""
        outputs, state = self.lstm(self.embedding(ids), state)
        logits, extra = self.head(functional.dropout(self.norm(outputs), 0.05, self.training)).split(
            [self.head.out_features - 1, 1], dim=-1
        )
        if self.by_context is not None:
            raised = (extra + self.by_context(found)) * (found > 0)[..., None]
            logits = logits.scatter_add(-1, forecast.clamp(min=0)[..., None], raised)
        return logits, state


def recall_trial(path: Path, epochs: float = 2.0, seed: int = 0) -> str:
    """Loss on the last tenth of a text, state carried, without and with recall, after as many passes over the rest."""
    symbols, ids = np.unique(np.array(list(path.read_text(encoding="utf-8"))), return_inverse=True)
    parts = [ids[: int(len(ids) * 0.9)], ids[int(len(ids) * 0.9) :]]
    recalled = [recall(part) for part in parts]
    known = recalled[1][1][:-1] > 0
    right = (recalled[1][0][:-1] == parts[1][1:])[known].mean()
    losses = [_train(len(symbols), parts, recalled, epochs, seed, recalls=recalls) for recalls in (False, True)]
    return (
        f"{path.name}, {epochs:g} passes of 1x{HIDDEN}, seed {seed}: {losses[0]:.4f} nats, with recall "
        f"{losses[1]:.4f}; a forecast for {known.mean():.0%} of the held-out characters, right for {right:.0%} of these"
    )


def _train(
    vocab_size: int, parts: list[Ids], recalled: list[tuple[Ids, Ids]], epochs: float, seed: int, *, recalls: bool
) -> float:
    torch.manual_seed(seed)
    model = RecallLSTM(vocab_size, recalls=recalls)
    lane = (len(parts[0]) - 1) // LANES // WINDOW * WINDOW

    def lanes(values: Ids) -> Tensor:
        return torch.from_numpy(values[: LANES * lane].reshape(LANES, lane).T.copy())

    inputs, targets, forecast, found = (lanes(values) for values in (parts[0], parts[0][1:], *recalled[0]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), fused=True)
    steps, state = int(epochs * lane / WINDOW), None
    for step in range(steps):
        start = step % (lane // WINDOW) * WINDOW
        place = slice(start, start + WINDOW)
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1, (step + 1) / 100) * (1 - 0.98 * step / steps)
        logits, state = model(inputs[place], forecast[place], found[place], state if start else None)
        state = tuple(tensor.detach() for tensor in state)
        loss = functional.cross_entropy(logits.flatten(0, 1), targets[place].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return _evaluate(model.eval(), parts[1], recalled[1])


@torch.inference_mode()
def _evaluate(model: RecallLSTM, ids: Ids, recalled: tuple[Ids, Ids]) -> float:
    total, state = 0.0, None
    values, forecast, found = (torch.from_numpy(array)[:, None] for array in (ids, *recalled))
    for start in range(0, len(ids) - 1, 4096):
        place = slice(start, min(start + 4096, len(ids) - 1))
        logits, state = model(values[place], forecast[place], found[place], state)
        total += functional.cross_entropy(
            logits[:, 0], values[place.start + 1 : place.stop + 1, 0], reduction="sum"
        ).item()
    assert math.isfinite(total), "the measured losses are real ones"
    return total / (len(ids) - 1)
