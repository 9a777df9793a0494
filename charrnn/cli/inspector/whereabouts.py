"""Where a text may lie that a checkpoint learned from: as the training had it, here, and near the checkpoint.

Paths are kept as they were typed, in a folder that is not known any more. They are followed from the current one, from
that of the checkpoint and from a few above it: where a text and its models lie in neighbouring folders, one is it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from charrnn.storage.archive import Checkpoint

NUM_ABOVE = 3
"""Folders above the checkpoint's own from which a path is followed too."""


def candidates(checkpoint: Checkpoint, checkpoint_path: str) -> list[list[str]]:
    """What may be the text: a file or a folder alone, in each of its places, or all that the training named."""
    alone = [[place] for place in places_of(checkpoint, checkpoint_path)]
    if not is_of_several(checkpoint):
        return alone
    texts = at_home(checkpoint.origin.texts)
    together = (tuple(str(Path(root, text)) for text in texts) for root in _roots(checkpoint_path))
    return [*alone, *map(list, dict.fromkeys(together))]


def places_of(checkpoint: Checkpoint, checkpoint_path: str) -> list[str]:
    """Where the text may be, or the first of several; what came from standard input has no path, but a name."""
    name = checkpoint.corpus.name
    typed = next((text for text in checkpoint.origin.texts[:1] if Path(text).name in (name, "", "..")), name)
    return _places(typed, name, checkpoint_path)


def places_of_held_out(checkpoint: Checkpoint, checkpoint_path: str) -> list[str]:
    """Paths of the texts that were held out by name, each in the first of its places that is there."""
    each = (_places(text, Path(text).name, checkpoint_path) for text in checkpoint.origin.val_texts)
    return [next(filter(os.path.exists, places), places[0]) for places in each if places]


def is_of_several(checkpoint: Checkpoint) -> bool:
    """Whether a training learned from several texts, one behind the other."""
    return len(checkpoint.origin.texts) > 1


def at_home(paths: Sequence[str]) -> list[str]:
    """Those for which Windows asks no other machine: a checkpoint may come from anyone, and must not name one to it."""
    return [path for path in paths if not path.replace("\\", "/").startswith("//")]


def _places(typed: str, name: str, checkpoint_path: str) -> list[str]:
    here, beside, *above = _roots(checkpoint_path)
    found = [Path(root, text) for text in at_home([typed]) for root in (here, beside, *above)]
    near = [Path(root, text) for text in at_home([name]) for root in (here, beside)]
    return list(dict.fromkeys(map(str, [*found[:1], *near, *found[1:]])))


def _roots(checkpoint_path: str) -> list[Path]:
    """The folders from which a path is followed: this one, the checkpoint's, and those above that."""
    beside = Path(checkpoint_path).parent
    return [Path(), *(beside.joinpath(*[os.pardir] * height) for height in range(NUM_ABOVE + 1))]
