"""Guessing the encoding of a text in a script other than Latin, by the commonest letters of its language."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping

READ = 1 << 12
"""Bytes of a text that are examined, from the first on that is not ASCII."""

ENOUGH = 50
"""Non-ASCII characters that are needed for a guess."""

_ARABIC = ("اليمنوتر", 0.5)
_CYRILLIC = ("оеаинтсря", 0.5)  # Windows and Mac encode the last letter differently
_JAPANESE = ("".join(map(chr, range(0x3041, 0x30FF))), 0.4)  # the kana
_KOREAN = ("이다는에을가의지하로고기사도니를은한리인", 0.15)
_CHINESE = (  # simplified and traditional, of modern and classical texts
    "的一是不了在人有我他个個中大上以和国國地到可也你生能而子那得于於下自之年用道行所然家事成方多如都同看定天分"
    "好小部其主理心本前但因只日者意力文三正高由最手西月回名信先太何此使令今故相言非知明公四二山水王十曰乃又则則"
    "无無为為与與来來时時说說会會们們这這对對后後见見长長",
    0.15,
)

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
    "euc_jis_2004": _JAPANESE,
    "cp949": _KOREAN,
    "gb18030": _CHINESE,
    "big5hkscs": _CHINESE,
}
"""The commonest letters of texts in each encoding, and their least share of a text's non-ASCII characters.

koi8-r, which has box-drawing characters for Ukrainian letters, and tis-620, which has control characters for quotation
marks, are missing: koi8-u and cp874 decode texts in them just as well. euc_jis_2004 is euc-jp with more characters.
"""

EAST_ASIAN = [encoding for encoding, common in _COMMONEST.items() if common in (_JAPANESE, _KOREAN, _CHINESE)]
"""Encodings of Chinese, Japanese and Korean, which have two bytes a character."""

LIKELY = 0.8
"""Factor of that share that a text must reach to count as being in the encoding; a wrong one usually reaches half."""

_NO_ASCII = re.compile(rb"[\x80-\xff]+")


def are_of_other_letters(runs: Iterable[int]) -> bool:
    """Whether runs of non-ASCII bytes with these lengths are too long for Latin letters and signs."""
    lengths = list(runs)
    return 3 * sum(length for length in lengths if length > 2) > sum(lengths)  # Latin runs have at most two bytes


def head_of(data: bytes) -> bytes:
    """The bytes of a text that are examined."""
    first = _NO_ASCII.search(data)
    return data[first.start() : first.start() + READ] if first else b""


def likely_encoding(head: bytes, among: Iterable[str] = tuple(_COMMONEST)) -> str:
    """The encoding in which a text's first bytes best match the letters common in it; empty if none matches well."""
    head = head_of(head)
    if not are_of_other_letters(map(len, _NO_ASCII.findall(head))):
        return ""
    best = _best({encoding: _share(head, encoding, *_COMMONEST[encoding]) for encoding in among})
    is_of_windows = best == "euc_jis_2004" and not _has_row_13_of_windows(head)
    return "euc-jp" if is_of_windows else best  # its refusal says what to do


def likely_byte_order(head: bytes) -> str:
    """UTF-16 in the byte order in which a text's first bytes match the letters common in a script; empty if neither."""
    commonest = dict.fromkeys(_COMMONEST.values())
    orders = ("utf-16-le", "utf-16-be")
    return _best({order: max(_share(head[:READ], order, *common) for common in commonest) for order in orders})


def is_of_row_13(lead: int) -> bool:
    """Whether a byte of EUC-JP text begins a sign of Windows that is the same in euc_jis_2004, such as ① or ㈱.

    The kanji of Windows, as in 髙橋 and 山﨑, are at other places, where euc_jis_2004 has other kanji.
    """
    return lead == 0xAD


def _best(shares: Mapping[str, float]) -> str:
    best = max(shares, key=lambda encoding: shares[encoding])
    return best if shares[best] >= LIKELY else ""


def _has_row_13_of_windows(head: bytes) -> bool:
    """Whether the first bytes that are not EUC-JP are of that row."""
    try:
        codecs.getincrementaldecoder("euc-jp")().decode(head)
    except UnicodeDecodeError as error:
        return is_of_row_13(head[error.start])
    return False


def _share(head: bytes, encoding: str, letters: str, usual: float) -> float:
    """The share of common letters in bytes, cut anywhere, relative to the usual share; 0 if that cannot be told."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeError:
        return 0.0
    foreign = [character for character in text if character > "\x7f"]
    if len(foreign) < ENOUGH:
        return 0.0
    return sum(character in letters for character in foreign) / len(foreign) / usual
