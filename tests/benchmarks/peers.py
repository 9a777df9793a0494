"""What people would use otherwise, written plainly in PyTorch: to be measured beside charrnn on the same machine.

Each trains on a text for a given time, in float32, and gives its best validation loss on the last tenth. The time is
that of the training alone: what charrnn needs to start and to save, these are given for nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

EVALUATIONS = 8


class PlainLSTM(nn.Module):
    """An embedding, `nn.LSTM` and a linear layer, as most people write it."""

    def __init__(self, vocab_size: int, embedding_dim: int, num_layers: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_size, num_layers)
        self.head = nn.Linear(hidden_size, vocab_size)

    def forward(self, ids: Tensor, state: object = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Logits, shape (T, B, V), and the state."""
        outputs, state = self.lstm(self.embedding(ids), state)
        return self.head(outputs), state


class Block(nn.Module):
    """Pre-norm attention and a feed-forward layer of four times the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width, bias=False) for _ in range(2))
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width, bias=False)
        self.widen = nn.Linear(width, 4 * width, bias=False)
        self.narrow = nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """From shape (B, T, width) to the same."""
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.attend(self.norms[0](x)).chunk(3, -1)
        )
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.merge(attended.transpose(1, 2).flatten(2))
        return x + self.narrow(functional.gelu(self.widen(self.norms[1](x))))


class SmallTransformer(nn.Module):
    """A decoder-only transformer of the size that nanoGPT's README gives for a CPU: 4 layers, 4 heads, width 128."""

    def __init__(self, vocab_size: int, window: int, num_layers: int = 4, heads: int = 4, width: int = 128) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.positions = nn.Embedding(window, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(num_layers)))
        self.norm = nn.LayerNorm(width, bias=False)
        self.apply(_small_weights)
        for name, parameter in self.named_parameters():
            if name.endswith(("merge.weight", "narrow.weight")):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * num_layers))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits, shape (B, T, V), from ids, shape (B, T)."""
        x = self.embedding(ids) + self.positions(torch.arange(ids.shape[1]))
        return self.norm(self.blocks(x)) @ self.embedding.weight.T


def small_transformer(text: Path, seconds: float, *, window: int = 64, batch_size: int = 12) -> float:
    """nanoGPT's CPU recipe: random windows of 64, 12 at a time, AdamW at 1e-3 falling to a tenth by a cosine.

    Its 2,000 steps are stretched to the time given. The loss is over windows of 64 that start cold.
    """
    torch.manual_seed(0)
    train_ids, val_ids, vocab_size = _read(text)
    model = SmallTransformer(vocab_size, window)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)

    def step(count: int, progress: float) -> None:
        warm_up, fall = min(1.0, count / 100), 0.1 + 0.9 * (0.5 + 0.5 * math.cos(math.pi * progress))
        optimizer.param_groups[0]["lr"] = 1e-3 * warm_up * fall
        starts = torch.randint(len(train_ids) - window, (batch_size,))
        piece = train_ids[starts[:, None] + torch.arange(window + 1)]
        loss = functional.cross_entropy(model(piece[:, :-1]).flatten(0, 1), piece[:, 1:].flatten())
        _update(model, optimizer, loss, 1.0)

    def validate() -> float:
        count = (len(val_ids) - 1) // window
        inputs, targets = (val_ids[k : k + count * window].view(count, window) for k in (0, 1))
        losses = [
            functional.cross_entropy(model(x).flatten(0, 1), y.flatten(), reduction="sum").item()
            for x, y in zip(inputs.split(64), targets.split(64), strict=True)
        ]
        return sum(losses) / targets.numel()

    return _train(step, validate, model, seconds)


def small_lstm(text: Path, seconds: float, *, window: int = 50, batch_size: int = 50) -> float:
    """char-rnn's defaults: two layers of 128, 50 lanes of 50, RMSprop at 2e-3 that falls by 3 % an epoch after 10.

    The gradient is cut off at 5 by value. The loss is over the held-out text with the state carried.
    """
    torch.manual_seed(0)
    train_ids, val_ids, vocab_size = _read(text)
    batch_size = min(batch_size, max(1, (len(train_ids) - 1) // window))
    model = PlainLSTM(vocab_size, vocab_size, 2, 128)  # an embedding where char-rnn has one-hot vectors
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3, alpha=0.95)
    length = (len(train_ids) - 1) // batch_size // window * window
    lanes = [train_ids[k : k + batch_size * length].view(batch_size, length).T for k in (0, 1)]  # (length, B)
    windows = length // window
    state: list[tuple[Tensor, Tensor] | None] = [None]

    def step(count: int, progress: float) -> None:
        epoch, index = divmod(count, windows)
        optimizer.param_groups[0]["lr"] = 2e-3 * 0.97 ** max(0, epoch - 10)
        place = slice(index * window, (index + 1) * window)
        logits, (h, c) = model(lanes[0][place], state[0] if index else None)
        state[0] = (h.detach(), c.detach())
        loss = functional.cross_entropy(logits.flatten(0, 1), lanes[1][place].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 5.0)
        optimizer.step()

    def validate() -> float:
        total, carried = 0.0, None
        for inputs, targets in zip(val_ids[:-1].split(4096), val_ids[1:].split(4096), strict=True):
            logits, carried = model(inputs[:, None], carried)
            total += functional.cross_entropy(logits[:, 0], targets, reduction="sum").item()
        return total / (len(val_ids) - 1)

    return _train(step, validate, model, seconds)


def _train(
    step: Callable[[int, float], None], validate: Callable[[], float], model: nn.Module, seconds: float
) -> float:
    """Step until the time is over, evaluations left out of it; the best of the losses."""
    spent, count, best = 0.0, 0, math.inf
    for part in range(1, EVALUATIONS + 1):
        started = time.perf_counter()
        before = spent
        while spent < seconds * part / EVALUATIONS:
            step(count, spent / seconds)
            count += 1
            spent = before + time.perf_counter() - started
        model.eval()
        with torch.no_grad():
            best = min(best, validate())
        model.train()
    return best


def _update(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, norm: float) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), norm)
    optimizer.step()


def _read(text: Path) -> tuple[Tensor, Tensor, int]:
    """Ids of the first nine tenths and of the last, and how many characters there are."""
    characters, ids = np.unique(list(text.read_text(encoding="utf-8")), return_inverse=True)
    held_out = int(len(ids) * 0.1)
    all_ids = torch.from_numpy(ids.astype(np.int64))
    return all_ids[: len(ids) - held_out], all_ids[len(ids) - held_out :], len(characters)


def _small_weights(module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, std=0.02)
