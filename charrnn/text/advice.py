"""Messages about bytes that cannot be decoded: their position, their probable encoding, and what to do."""

from __future__ import annotations

import codecs
import re

from charrnn.surrogates import UNDECODABLE
from charrnn.text.guessing import are_of_other_letters, is_of_row_13, likely_byte_order, likely_encoding
from charrnn.text.kinds import LONGEST_HEAD
from charrnn.text.misread import holds_utf8, is_hardly_wide
from charrnn.text.options import TextOptions

MANY = 50
"""More than one NUL in this many bytes shows that they are hardly text in an encoding of one byte a character."""

OTHER_ENCODING = "name its own encoding with --encoding"
"""Advice on a text that a model is to read, where the encoding may be chosen."""

_PASSING = "or pass over such bytes with --errors replace"

SCRIPTS = "gb18030, big5hkscs, cp932, euc-jp, cp949, windows-1251 or windows-1256"
"""Encodings of texts in other scripts than Latin: Chinese, Japanese, Korean, Cyrillic and Arabic."""

OF_WINDOWS = {
    "iso8859-1": "windows-1252",
    "iso8859-2": "windows-1250",
    "iso8859-4": "windows-1257",
    "iso8859-5": "windows-1251",
    "iso8859-6": "windows-1256",
    "iso8859-7": "windows-1253",
    "iso8859-8": "windows-1255",
    "iso8859-9": "windows-1254",
    "iso8859-11": "cp874",
    "iso8859-13": "windows-1257",
    "iso8859-15": "windows-1252",
    "tis-620": "cp874",
}
"""Encodings with control characters where the Windows encoding of the same languages has quotation marks and dashes."""

_OTHER_LATIN = "Czech, Polish, Hungarian: windows-1250; Turkish: windows-1254"
"""Encodings of Latin letters that cannot be told from the usual ones by their bytes."""

_LARGER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_jp": "euc_jis_2004",  # for some signs of Windows only: see `is_of_row_13`
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
"""Supersets of encodings; a text labelled with the smaller encoding often uses the larger one."""

_THREE_BYTES = 0x8F
"""Begins the characters of three bytes in EUC-JP."""

_BROKEN_EMOJI = re.compile(r"(?:\udced[\udca0-\udcbf][\udc80-\udcbf]|\udcf0\udc9f[\udc80-\udcbf]?)+")
"""Undecodable bytes of UTF-8: emoji as two UTF-16 surrogates of three bytes each (CESU-8), or without their end."""

_AROUND = 1000
"""Bytes before and after an invalid one that are examined to guess the text's encoding."""

_RARELY_SPACES = 16
"""More than one space in this many bytes, without any NUL, rules out UTF-16 and UTF-32, where spaces contain NULs."""

_MARKS = {
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
}
"""Byte-order marks; those of UTF-32 come first, since its little-endian mark begins with that of UTF-16."""


def refusal(
    error: UnicodeError,
    offset: int,
    head: bytes,
    options: TextOptions,
    mend: str,
    *,
    is_alone: bool,
    is_cut: bool,
    is_ascii: bool,
) -> str:
    """Say what is wrong with bytes that cannot be decoded, and what to do.

    Args:
        error: raised by the decoder.
        offset: position in the document of the bytes given to the decoder.
        head: the document's first bytes.
        options: how the document is decoded.
        mend: see `charrnn.text.decoding.decode_document`.
        is_alone: see `charrnn.text.decoding.decode_document`.
        is_cut: whether the only fault is that the text ends within a character.
        is_ascii: whether everything before is ASCII, which most encodings share.
    """
    if str(error).endswith("tream does not start with BOM"):  # a UnicodeDecodeError since Python 3.13
        advice = mend or _advice_on_order(head, options)
        return f"{options.codec.upper()} stream does not start with BOM; {advice}"
    if not isinstance(error, UnicodeDecodeError):  # from a decoder that gives no position
        return f"{error}; {mend or 'name the right --encoding'}"
    told, is_utf8 = "", options.codec.startswith("utf-8")
    if is_cut and (not is_ascii or (is_utf8 and len(error.object) > 1)):
        advice = _advice_on_cut(options, is_settled=bool(mend))
    else:
        is_right = _wide_without_mark(head) == options.codec
        advice = "" if is_right else advice_on_nulls(head, is_settled=bool(mend), is_alone=is_alone)
        if not advice and is_cut and is_utf8:  # it may also be the only accent in another encoding
            told = "if it is UTF-8, it ends within a character, cut off or still being written; "
        if mend in ("", OTHER_ENCODING):
            advice = advice or advice_on_utf8(error, options, head, is_alone=is_alone)
        advice = advice or mend or _advice(error, offset, options, head, is_alone=is_alone)
    return f"{_describe(error, offset, options)}; {told}{advice}"


def told_of_other_mark(head: bytes, options: TextOptions, mend: str, *, is_alone: bool) -> str:
    """Say that a text's byte-order mark contradicts the encoding it is read in, and what to do.

    Empty if the text has no mark, or the encoding names no byte order. For the arguments see `refusal`.
    """
    marked, codec = _marked_as(head), options.codec
    if not marked or codec not in _MARKS or head.startswith(_MARKS[codec]):
        return ""
    kind = _kind_of(marked).lower()
    advice = f"give --encoding {kind}"
    if not is_alone:
        convert = f"convert this one (iconv -f {_for_iconv(kind)} -t {_for_iconv(codec)})"
        advice = f"all texts need one encoding: {convert} or, if each has a mark, {advice}"
    advice = advice if mend in ("", OTHER_ENCODING) else mend
    return f"is marked at its beginning as {marked.upper()}, not {codec.upper()}; {advice}"


def told_of_wide_mark(head: bytes, options: TextOptions) -> str:
    """Say that a text marked as UTF-16 or UTF-32 cannot be read by lines, and what to do; empty if it has no mark.

    In encodings of one byte a character two letters may look like a mark, but no NUL follows them.
    """
    if not (marked := _marked_as(head)) or not (0 in head or options.codec.startswith("utf-8")):
        return ""
    kind = _kind_of(marked)
    convert = f"convert it (iconv -f {_for_iconv(kind)} -t {_for_iconv(options.encoding)})"
    return f"is marked at its beginning as {kind}, whose lines cannot be read one by one; {convert}"


def advice_on_utf8(error: UnicodeDecodeError, options: TextOptions, head: bytes, *, is_alone: bool = True) -> str:
    """Advice on a UTF-8 text that is read in another encoding, possibly with other texts; empty if it is not UTF-8."""
    around = error.object[max(error.start - _AROUND, 0) : error.start + _AROUND]
    is_utf8 = holds_utf8(around) or (options.is_wide and is_hardly_wide(head))
    if options.codec.startswith("utf-8") or not is_utf8:
        return ""
    if is_alone:
        return "it is valid UTF-8: give --encoding utf-8"
    convert = f"convert those in {options.encoding} (iconv -f {_for_iconv(options.encoding)} -t utf-8)"
    return f"it is valid UTF-8, and all texts need one encoding: {convert} and give --encoding utf-8"


def advice_on_nulls(head: bytes, *, is_settled: bool, is_alone: bool = True) -> str:
    """Advice on invalid bytes in UTF-16 and UTF-32, or else in a text that begins with many NUL bytes; otherwise empty.

    Args:
        head: the text's first bytes.
        is_settled: whether the encoding is the model's, which no flag changes.
        is_alone: see `charrnn.text.decoding.decode_document`.
    """
    if _marked_as(head):
        return ""
    if likely := _wide_without_mark(head):
        return "" if is_settled else _if_it_is(f"{_kind_of(likely)} without a mark", likely, is_alone=is_alone)
    head = head[:LONGEST_HEAD]
    if head.count(0) * MANY <= len(head):
        return ""
    if is_settled:
        return "it holds NUL bytes, so that it is no text (a picture, a program, ...); give a text file"
    return (
        "it holds NUL bytes, as UTF-16 does (--encoding utf-16-le or utf-16-be) and what is no text, such as a picture "
        "or a program"
    )


def _describe(error: UnicodeDecodeError, offset: int, options: TextOptions) -> str:
    bad = error.object[error.start : error.end].hex(" ")
    return f"not valid {options.encoding.upper()} at byte {offset + error.start:,} (0x{bad:.23})"


def _advice_on_order(head: bytes, options: TextOptions) -> str:
    """Advice on a text read as UTF-16 or UTF-32 without a mark: name the byte order, or if not wide, its encoding."""
    likely, head = _wide_without_mark(head), head[:LONGEST_HEAD]
    if likely:
        seems = f"it seems to be {_kind_of(likely)}: give"
        return f"{'name its byte order:' if likely.startswith(options.codec) else seems} --encoding {likely}"
    if 0 not in head and head.count(b" ") * _RARELY_SPACES > len(head):
        if head.isascii() or holds_utf8(head):
            return "it is valid UTF-8: give --encoding utf-8"
        return "it has no NUL bytes either, as that has; name the right --encoding"
    return f"name its byte order: --encoding {options.codec}-le or -be"  # Python knows no name utf16-le


def _if_it_is(kind: str, encoding: str, aside: str = "", *, is_alone: bool) -> str:
    """Advice on a text that seems to be in another encoding than UTF-8, in which all texts read with it must be."""
    if is_alone:
        return f"if it is {kind}, give --encoding {encoding}{aside}"
    convert = f"convert this one (iconv -f {_for_iconv(encoding)} -t utf-8)"
    return f"all texts need one encoding: {convert}, or if each is {kind}, give --encoding {encoding}{aside}"


def _advice(error: UnicodeDecodeError, offset: int, options: TextOptions, head: bytes, *, is_alone: bool) -> str:
    """Advice on a text to train on."""
    probable = _other_encoding(head, options)
    bad = error.object[error.start]
    if options.codec == "euc_jp" and not is_of_row_13(bad):
        kanji = "if it has kanji of Windows, convert it (iconv -f EUC-JP-MS -t utf-8) or name the right --encoding"
        return f"{kanji if bad == _THREE_BYTES else _name_right(probable)}, {_PASSING}"
    if options.codec in _LARGER and probable in ("", _LARGER[options.codec]):
        return f"if it is {_LARGER[options.codec]}, which has more characters, give --encoding that, {_PASSING}"
    if options.codec != "utf-8":
        return f"{_name_right(probable)}, {_PASSING}"
    marked = "" if offset else _marked_as(error.object)
    if not marked:
        around = _decoded_around(error)
        runs = UNDECODABLE.findall(around)
        if sum(c > "\x7f" for c in around) > 2 * sum(map(len, runs)) or all(map(_BROKEN_EMOJI.fullmatch, runs)):
            return f"the text around is valid: mend it there, {_PASSING}"
        if are_of_other_letters(map(len, runs)):
            which = f"probably {probable}" if probable else f"such as {SCRIPTS}"
            ways = "all texts need one encoding: convert this one with iconv, or name that of each with --encoding"
            return f"{'name its --encoding' if is_alone else ways}, {which}, {_PASSING}"
        # Windows-1252 has all printable characters of Latin-1, and quotation marks in the place of control characters
        latin = _if_it_is("Windows-1252 or Latin-1", "windows-1252", f" ({_OTHER_LATIN})", is_alone=is_alone)
        return f"{latin}, {_PASSING}"
    kind = _kind_of(marked)
    return _if_it_is(kind, kind.lower(), is_alone=is_alone)  # --errors replace would keep its NULs


def _decoded_around(error: UnicodeDecodeError) -> str:
    """The text around the first invalid byte, without a character that begins before it or goes on behind it."""
    before = error.object[max(error.start - _AROUND, 0) : error.start].decode("utf-8", "ignore")  # valid but for that
    after = error.object[error.start : error.start + _AROUND]
    ends_here = len(after) < 4  # at the end of the text, which is not the cut that is made here
    return before + codecs.utf_8_decode(after, "surrogateescape", ends_here)[0]


def _name_right(probable: str) -> str:
    return f"name the right --encoding{probable and f', probably {probable}'}"


def _other_encoding(head: bytes, options: TextOptions) -> str:
    """The encoding that a text is probably in; empty if that is unknown or the one in which the text is read."""
    probable = likely_encoding(head)
    return "" if probable and codecs.lookup(probable).name == options.codec else probable


def _advice_on_cut(options: TextOptions, *, is_settled: bool) -> str:
    """Advice on a text of which only the last character is invalid."""
    encoding = _for_iconv(options.encoding)
    mend = f"leave that out (iconv -c -f {encoding} -t {encoding})"
    mend = mend if is_settled else f"{mend}, {_PASSING}"
    return f"it ends within a character, cut off or still being written; {mend}"


def _for_iconv(encoding: str) -> str:
    """The name by which iconv knows an encoding."""
    codec = codecs.lookup(encoding).name.replace("_", "-").replace("iso2022", "iso-2022")
    return re.sub("-([bl]e)$|-sig$", r"\1", codec)


def _wide_without_mark(head: bytes) -> str:
    """Recognise UTF-32 or UTF-16 by where a text's first bytes are NUL, or by its letters; empty if it seems not so."""
    first = head[:LONGEST_HEAD]
    for encoding in ("utf-32-be", "utf-32-le"):
        if _is_utf32(first, encoding):
            return encoding
    for order, (high, low) in {"be": (first[::2], first[1::2]), "le": (first[1::2], first[::2])}.items():
        if 4 * high.count(0) > 3 * len(high) and 4 * low.count(0) < len(low):
            return f"utf-16-{order}"
    return likely_byte_order(head)


def _marked_as(head: bytes) -> str:
    """The encoding, including byte order, whose mark a text begins with; empty if it has no mark."""
    return next((encoding for encoding, mark in _MARKS.items() if head.startswith(mark)), "")


def _kind_of(encoding: str) -> str:
    """The name of an encoding without its byte order."""
    return encoding.rpartition("-")[0].upper()


def _is_utf32(head: bytes, encoding: str) -> bool:
    """Whether the first bytes of a document, cut anywhere, are text in UTF-32 of this byte order."""
    try:
        text = head[: len(head) // 4 * 4].decode(encoding)
    except UnicodeDecodeError:
        return False
    return 2 * sum(c.isprintable() or c.isspace() for c in text) > len(text)
