"""Which characters of a text get an id of their own.

All do, unless they are many: each costs a row of the output layer, and one that stands in a book three times is never
learned but takes its share of every prediction.
"""

from __future__ import annotations

import numpy as np

from charrnn.errors import ConfigError, ForeignTextError
from charrnn.escape import describe_characters
from charrnn.text.encoder import CharEncoder, from_code_points
from charrnn.text.options import BYTE
from charrnn.text.read_options import ReadOptions
from charrnn.text.tally import Counts
from charrnn.wording import number_of

SMALL_VOCAB = 1000
"""An alphabet of at most so many characters is kept whole unless a flag says otherwise."""

RARE_SHARE = 0.001
"""Share of a text with a large alphabet that may be lost to characters too rare to be learned."""


def settle_alphabet(counts: Counts, name: str, reading: ReadOptions) -> CharEncoder:
    """Give the alphabet that is decided already, if it fits the text, or choose one.

    Args:
        counts: how often each character stands in the text, by code point, shape (CODE_POINTS,).
        name: of the text, for the message.
        reading: how it is read.

    Raises:
        ForeignTextError: the text has characters that the alphabet which is given lacks.
        ConfigError: the flags leave no alphabet, or would choose another than the one that is given.
    """
    if reading.encoder is None:
        return choose_alphabet(counts, reading)
    _check_known(counts, reading.encoder, name, reading.beginning)
    _check_chosen(counts, reading.encoder, reading)
    return reading.encoder


def choose_alphabet(counts: Counts, reading: ReadOptions) -> CharEncoder:
    """Choose the characters that are kept; where any are not, one id stands for all of them.

    The commonest are, as many as `max_vocab`, if they stand in the text `min_count` times; before all others, and
    however rare, the line feed where each line is a text of its own, and beside them all that are known. Where neither
    is given, of more characters than `SMALL_VOCAB` as many are kept as leave at most `RARE_SHARE` of the text to the
    others, and with them the line feed, without which no line could end.

    Args:
        counts: how often each stands in the text, by code point, shape (CODE_POINTS,).
        reading: how it is read.

    Raises:
        ConfigError: none would be left.
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
    """How often each id stands in the text, shape (V,): the last for all that have none of their own."""
    own: list[int] = counts[encoder.points].tolist()
    return [*own, int(counts.sum()) - sum(own)] if encoder.has_unknown else own


def _check_known(counts: Counts, encoder: CharEncoder, name: str, beginning: str) -> None:
    lacking = np.setdiff1d(np.flatnonzero(counts), encoder.points)
    if len(lacking) and not encoder.has_unknown:
        points = lacking.tolist()
        characters = bytes(points).decode("ascii", "surrogateescape") if encoder.unit == BYTE else map(chr, points)
        described = describe_characters("".join(characters))
        raise ForeignTextError(
            f"{name}: cannot go on with it, since it has {described}, which the checkpoint's alphabet lacks; "
            f"give the text that it learned from, replace those {encoder.unit}s, or begin a training on this one from "
            f"its weights with {beginning}"
        )


def _check_chosen(counts: Counts, encoder: CharEncoder, reading: ReadOptions) -> None:
    """Whether the flags that choose an alphabet, where they are given, would choose the one that there is."""
    if reading.min_count is reading.max_vocab is None:
        return
    chosen = len(choose_alphabet(counts, reading).characters)
    if chosen != len(encoder.characters):
        raise ConfigError(
            f"--min-count and --max-vocab would give {number_of(chosen, 'character')} an id, and the checkpoint's "
            f"alphabet has {len(encoder.characters):,}; leave them out to go on"
        )


def _enough(times: Counts) -> int:
    """How many of the commonest characters leave at most `RARE_SHARE` of the text to the others."""
    covered = np.cumsum(np.sort(times)[::-1])
    return max(SMALL_VOCAB, 1 + int(np.searchsorted(covered, (1 - RARE_SHARE) * covered[-1])))
