"""How fast texts become ids, beside the dictionary and the list that a script would use."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from charrnn.text.corpus import read_corpus

CORPORA = Path(__file__).parents[2] / "corpora"
MEGABYTES = 32
RUNS = 5


def encoding_speed() -> list[str]:
    """Of ASCII, and of a text in which a third of the characters are not; one thread, the file in the page cache."""
    verse = (CORPORA / "verse.txt").read_text(encoding="utf-8")
    scripts = (CORPORA / "scripts.txt").read_text(encoding="utf-8")
    pieces = zip(_cut(verse, 2000), _cut(scripts * (len(verse) // len(scripts) + 1), 1000), strict=False)
    return [_compare("ASCII", verse), _compare("mixed scripts", "".join(map("".join, pieces)))]


def _cut(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


def _compare(name: str, text: str) -> str:
    text *= MEGABYTES * 10**6 // len(text.encode()) + 1
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "text.txt")
        path.write_text(text, encoding="utf-8")
        ours = _fastest(lambda: read_corpus([str(path)]))
        theirs = _fastest(lambda: _encode_by_dictionary(path), runs=1)
        size = path.stat().st_size / 1e6
    return (
        f"encoding {name}: {size / ours:,.0f} MB/s, hashing and counting included; "
        f"by a dictionary and a list {size / theirs:.1f} MB/s, ratio {theirs / ours:.1f}"
    )


def _encode_by_dictionary(path: Path) -> np.ndarray:
    text = path.read_text(encoding="utf-8")
    ids = {character: index for index, character in enumerate(sorted(set(text)))}
    return np.array([ids[character] for character in text], dtype=np.uint16)


def _fastest(action: Callable[[], object], runs: int = RUNS) -> float:
    """Seconds."""
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return min(times)
