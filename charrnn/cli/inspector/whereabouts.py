"""Candidate paths of a checkpoint's training text.

A checkpoint stores paths as they were typed, but not the working directory of that run. A path is therefore tried from
the current directory, from the checkpoint's folder and from a few folders above that, which finds a text whose folder
is a neighbour of the checkpoint's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from charrnn.storage.archive import Checkpoint

NUM_ABOVE = 3
"""Number of folders above the checkpoint's own from which paths are tried."""


def candidates(checkpoint: Checkpoint, checkpoint_path: str) -> list[list[str]]:
    """Lists of paths that may be the text: one file or folder each, then all paths of the training together."""
    alone = [[place] for place in places_of(checkpoint, checkpoint_path)]
    if not is_of_several(checkpoint):
        return alone
    texts = without_network_paths(checkpoint.origin.texts)
    together = (tuple(str(Path(root, text)) for text in texts) for root in _roots(checkpoint_path))
    return [*alone, *map(list, dict.fromkeys(together))]


def places_of(checkpoint: Checkpoint, checkpoint_path: str) -> list[str]:
    """Candidate paths of the text, or of the first of several; a text from standard input has a name only."""
    name = checkpoint.corpus.name
    typed = next((text for text in checkpoint.origin.texts[:1] if Path(text).name in (name, "", "..")), name)
    return _places(typed, name, checkpoint_path)


def places_of_held_out(checkpoint: Checkpoint, checkpoint_path: str) -> list[str]:
    """Paths of the --val-text files, each the first candidate that exists, else the first of all."""
    each = (_places(text, Path(text).name, checkpoint_path) for text in checkpoint.origin.val_texts)
    return [next(filter(os.path.exists, places), places[0]) for places in each if places]


def is_of_several(checkpoint: Checkpoint) -> bool:
    """Whether the training text was several files or folders, joined."""
    return len(checkpoint.origin.texts) > 1


def without_network_paths(paths: Sequence[str]) -> list[str]:
    """The paths without network (UNC) paths: an untrusted checkpoint must not make Windows contact a host."""
    return [path for path in paths if not path.replace("\\", "/").startswith("//")]


def _places(typed: str, name: str, checkpoint_path: str) -> list[str]:
    here, beside, *above = _roots(checkpoint_path)
    found = [Path(root, text) for text in without_network_paths([typed]) for root in (here, beside, *above)]
    near = [Path(root, text) for text in without_network_paths([name]) for root in (here, beside)]
    return list(dict.fromkeys(map(str, [*found[:1], *near, *found[1:]])))


def _roots(checkpoint_path: str) -> list[Path]:
    """The folders from which paths are tried: the current one, the checkpoint's, and those above that."""
    beside = Path(checkpoint_path).parent
    return [Path(), *(beside.joinpath(*[os.pardir] * height) for height in range(NUM_ABOVE + 1))]
