"""Which characters of a text get an id of their own.

All do, unless they are many: each costs a row of the output layer, and a character that occurs three times in a book is
never learned but takes its share of every prediction.
"""

from __future__ import annotations

import numpy as np

from charrnn.errors import ConfigError, ForeignTextError
from charrnn.escape import describe_characters
from charrnn.text.char_counter import Counts
from charrnn.text.encoder import CharEncoder, from_code_points
from charrnn.text.options import BYTE
from charrnn.text.read_options import ReadOptions
from charrnn.wording import number_of

SMALL_VOCAB = 1000
"""An alphabet of at most this many characters is kept whole unless a flag says otherwise."""

RARE_SHARE = 0.001
"""Largest share of a text with a large alphabet that may consist of characters too rare for an id."""


def settle_alphabet(counts: Counts, name: str, reading: ReadOptions) -> CharEncoder:
    """Return the given alphabet if it fits the text, or choose one if none is given.

    Args:
        counts: how often each character occurs in the text, by code point, shape (CODE_POINTS,).
        name: of the text, for messages.
        reading: how the text is read.

    Raises:
        ForeignTextError: the text has characters that the given alphabet lacks.
        ConfigError: the flags leave no alphabet, or would choose one of another size than the given one.
    """
    if reading.encoder is None:
        return choose_alphabet(counts, reading)
    _check_known(counts, reading.encoder, name, reading.start_flags)
    _check_chosen(counts, reading.encoder, reading)
    return reading.encoder


def choose_alphabet(counts: Counts, reading: ReadOptions) -> CharEncoder:
    """Choose the characters to keep; if any are not kept, one id stands for all of those.

    Kept are the `max_vocab` commonest characters that occur at least `min_count` times, the line feed first, however
    rare, where each line is a text of its own. Known characters are kept besides. If neither limit is given and there
    are more than `SMALL_VOCAB` characters, the commonest are kept until the rest is at most `RARE_SHARE` of the text,
    and the line feed in any case, since without it no line could end.

    Args:
        counts: how often each character occurs in the text, by code point, shape (CODE_POINTS,).
        reading: how the text is read.

    Raises:
        ConfigError: no character would be kept.
    """
    known, min_count, max_vocab = reading.known, reading.min_count, reading.max_vocab
    points = np.setdiff1d(np.flatnonzero(counts), () if known is None else known.points)
    times = counts[points]
    is_line_feed = points == ord("\n")
    is_needed, line_feed = is_line_feed & reading.options.lines, points[:0]
    if min_count is None and max_vocab is None and len(points) > SMALL_VOCAB:
        max_vocab, line_feed = _enough(times), points[is_line_feed]
    candidates = np.flatnonzero((times >= (min_count or 1)) | is_needed)
    ranked = candidates[np.lexsort((-times[candidates], ~is_needed[candidates]))]
    kept = np.union1d(points[ranked[:max_vocab]], line_feed)
    if not len(kept) and known is None:
        raise ConfigError(
            f"--min-count {min_count} leaves no character of the text, whose commonest stands in it "
            f"{times.max():,} times; lower it"
        )
    characters, has_unknown = from_code_points(kept.astype(np.uint32)), len(kept) < len(points)
    if known is not None:
        characters, has_unknown = known.characters + characters, has_unknown or known.has_unknown
    return CharEncoder(characters, reading.options.unit, has_unknown)


def counts_by_id(counts: Counts, encoder: CharEncoder) -> list[int]:
    """How often each id occurs in the text, shape (V,); the last may count all characters without their own id."""
    own: list[int] = counts[encoder.points].tolist()
    return [*own, int(counts.sum()) - sum(own)] if encoder.has_unknown else own


def _check_known(counts: Counts, encoder: CharEncoder, name: str, start_flags: str) -> None:
    lacking = np.setdiff1d(np.flatnonzero(counts), encoder.points)
    if len(lacking) and not encoder.has_unknown:
        points = lacking.tolist()
        characters = bytes(points).decode("ascii", "surrogateescape") if encoder.unit == BYTE else map(chr, points)
        described = describe_characters("".join(characters))
        raise ForeignTextError(
            f"{name}: cannot go on with it, since it has {described}, which the checkpoint's alphabet lacks; "
            f"give the text that it learned from, replace those {encoder.unit}s, or begin a training on this one from "
            f"its weights with {start_flags}"
        )


def _check_chosen(counts: Counts, encoder: CharEncoder, reading: ReadOptions) -> None:
    """Refuse flags that would choose an alphabet of another size than the given one."""
    if reading.min_count is reading.max_vocab is None:
        return
    chosen = len(choose_alphabet(counts, reading).characters)
    if chosen != len(encoder.characters):
        raise ConfigError(
            f"--min-count and --max-vocab would give {number_of(chosen, 'character')} an id, and the checkpoint's "
            f"alphabet has {len(encoder.characters):,}; leave them out to go on"
        )


def _enough(times: Counts) -> int:
    """The number of commonest characters to keep so that the rest is at most `RARE_SHARE` of the text."""
    covered = np.cumsum(np.sort(times)[::-1])
    return max(SMALL_VOCAB, 1 + int(np.searchsorted(covered, (1 - RARE_SHARE) * covered[-1])))
