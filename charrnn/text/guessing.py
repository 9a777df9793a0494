"""Which encoding of other letters than Latin ones a text is probably in, by the commonest letters of its language."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable

READ = 1 << 12
"""First bytes of a text by which it is guessed."""

ENOUGH = 50
"""Characters that are no ASCII, fewer of which tell nothing."""

_ARABIC = ("اليمنوتر", 0.5)
_CYRILLIC = ("оеаинтсря", 0.5)  # the last is the small letter that Windows and a Mac have in different places
_JAPANESE, _CHINESE = ("のにるたはいしをとが", 0.25), ("的一是不了在人有", 0.08)

_COMMONEST = {
    "windows-1251": _CYRILLIC,
    "mac-cyrillic": _CYRILLIC,
    "koi8-u": _CYRILLIC,
    "cp866": _CYRILLIC,
    "windows-1253": ("αοιετσνη", 0.5),
    "windows-1255": ("יוהלארתש", 0.5),
    "windows-1256": _ARABIC,
    "iso8859-6": _ARABIC,
    "cp874": ("านรกเงอ่", 0.3),
    "cp932": _JAPANESE,
    "euc-jp": _JAPANESE,
    "cp949": ("이다는에을가의지", 0.09),
    "gb18030": _CHINESE,
    "big5hkscs": _CHINESE,
}
"""The commonest letters of texts in each encoding, and the share that they have at least of what is no ASCII there.

Not koi8-r, in which Ukrainian letters are lines of boxes, nor tis-620, in which quotation marks are control characters:
koi8-u and cp874 read a text in these just as well.
"""

LIKELY = 0.8
"""Of that share, what a text in the encoding has; one in another has half of it, as a rule."""

_NO_ASCII = re.compile(rb"[\x80-\xff]+")


def are_of_other_letters(runs: Iterable[int]) -> bool:
    """Whether bytes that are no ASCII stand in runs of such lengths that they are hardly Latin letters and signs."""
    lengths = list(runs)
    return 3 * sum(length for length in lengths if length > 2) > sum(lengths)  # of Latin ones there are two at most


def likely_encoding(head: bytes) -> str:
    """The encoding in which the first bytes of a text have most of the letters that are common there; empty if none."""
    if not are_of_other_letters(map(len, _NO_ASCII.findall(head[:READ]))):
        return ""
    shares = {encoding: _share(head[:READ], encoding) for encoding in _COMMONEST}
    best = max(shares, key=lambda encoding: shares[encoding])
    return best if shares[best] >= LIKELY else ""


def _share(head: bytes, encoding: str) -> float:
    """The share of such letters in bytes, cut anywhere, over that which a text in the encoding has; 0 for no text."""
    letters, usual = _COMMONEST[encoding]
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return 0.0
    foreign = [character for character in text if character > "\x7f"]
    if len(foreign) < ENOUGH:
        return 0.0
    return sum(character in letters for character in foreign) / len(foreign) / usual
