"""From bytes to text, chunk by chunk, with the same result as from the whole.

A document's bytes are decoded and its byte-order mark is left out; the text then has its line ends, its case and its
Unicode form changed as the options say. What a chunk's end leaves open (half a character, a carriage return that may
belong to a line feed, a letter that an accent may follow) is kept back until it is certain.
"""

from __future__ import annotations

import codecs
import io
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, cast

from charrnn.errors import DecodingError
from charrnn.surrogates import NO_TEXT
from charrnn.text.kinds import LONGEST_HEAD, refuse_document
from charrnn.text.misread import Doubt, FirstLook, holds_utf8, is_hardly_wide, no_doubt
from charrnn.text.options import BYTE, TextOptions

Form = Literal["NFC", "NFKC"]

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"

MANY = 50
"""Bytes of which one that is NUL shows that all of them are hardly a text in one byte a character."""

OTHER_ENCODING = "name its own encoding with --encoding"
"""What mends a text that a model is to read, where any may be named."""

_PASSING = "or pass over such bytes with --errors replace"

SCRIPTS = "gb18030, cp932, cp949, windows-1251 or windows-1256"
"""Encodings of texts in other letters than Latin ones: Chinese, Japanese, Korean, Cyrillic and Arabic."""

_OTHER_LATIN = "Czech, Polish, Hungarian: windows-1250; Turkish: windows-1254"
"""Encodings of Latin letters that bytes do not tell from the usual ones."""

_LARGER = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}
"""Encodings that go on where another ends, by that one; a text that is said to be in it often has more."""

_AROUND = 1000
"""Bytes before and behind one that is wrong, by which the text's encoding is guessed."""

_RARELY_SPACES = 16
"""Bytes of which one that is a space, and none that is NUL, shows that a text is not wide: spaces have NULs there."""

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""How texts in wide encodings begin; UTF-32's mark first, which begins as UTF-16's does."""


class TextPreparer:
    """Line ends, case and Unicode form of a text that comes in chunks, whatever their edges.

    Args:
        options: what is changed.
    """

    def __init__(self, options: TextOptions) -> None:
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True) if options.newline == "lf" else None
        self._lowercase = options.lowercase
        self._form = None if options.normalize == "none" else cast(Form, options.normalize.upper())
        self._held = ""

    def feed(self, text: str, *, final: bool = False) -> str:
        """Take the next chunk; give what is certain by now."""
        if self._newlines is not None:
            text = self._newlines.decode(text, final)
        if self._form is not None:
            text = self._take_piece(text, final)
            text = self._normalise(text)
        if self._lowercase:
            text = text.replace("\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER SIGMA}").lower()
            text = self._normalise(text)  # again: a small letter may be of several characters
        return text

    def _take_piece(self, text: str, final: bool) -> str:
        """The text so far, up to where normalising what follows cannot change it."""
        text = self._held + text
        cut = len(text) if final else next((i for i in range(len(text) - 1, 0, -1) if _begins_piece(text[i])), 0)
        self._held = text[cut:]
        return text[:cut]

    def _normalise(self, text: str) -> str:
        return text if self._form is None else unicodedata.normalize(self._form, text)


def prepare(text: str, options: TextOptions) -> str:
    """Change a whole text as the options say."""
    return TextPreparer(options).feed(text, final=True)


def decode_document(
    chunks: Iterable[bytes],
    name: str,
    options: TextOptions,
    *,
    mend: str = "",
    is_alone: bool = True,
    doubt: Doubt = no_doubt,
) -> Iterator[str]:
    """Decode a document's bytes and leave out its byte-order mark; where the unit is the byte, take them as they are.

    Args:
        chunks: the bytes, cut anywhere.
        name: of the document, for the message.
        options: its encoding, and what becomes of bytes that are not valid in it.
        mend: what mends bytes that are not valid, where a model is to read them; empty for what they seem to need.
        is_alone: whether no other text is read with it, in the same encoding.
        doubt: told of a text that seems to be misread.

    Yields:
        The text, in pieces, some of which may be empty.

    Raises:
        DecodingError: the bytes are not in that encoding; the message gives the place.
    """
    if options.unit == BYTE:
        yield from (chunk.decode("latin-1") for chunk in chunks)
        return
    encoding = "utf-8" if options.codec == "utf-8-sig" else options.encoding  # the mark is left out in any case
    decoder = codecs.getincrementaldecoder(encoding)(options.errors)
    read, at_start, is_ascii = 0, True, True
    head, rest = _take_head(chunks)
    look = FirstLook(name, doubt, is_wide=options.is_wide)
    refuse_document(head, name, options, is_settled=bool(mend))
    for chunk, is_last in _mark_last(itertools.chain([head], rest)):
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, is_last)
        except UnicodeError as error:
            by_chance = is_ascii or (options.is_wide and is_hardly_wide(head))
            is_cut = is_last and not by_chance  # all before is valid
            told = _refusal(error, read - pending, head, options, mend, is_alone=is_alone, is_cut=is_cut)
            raise DecodingError(f"{name}: {told}") from None
        look.take(chunk, text)
        read += len(chunk)
        is_ascii = is_ascii and text.isascii()
        if at_start and text:
            text, at_start = text.removeprefix(BOM), False
        yield text


def _refusal(
    error: UnicodeError, offset: int, head: bytes, options: TextOptions, mend: str, *, is_alone: bool, is_cut: bool
) -> str:
    """What is wrong with bytes that cannot be decoded, and what to do.

    Args:
        error: of their decoder.
        offset: the place in the document of the bytes that it was given.
        head: the document's first bytes.
        options: what it is to be decoded by.
        mend: see `decode_document`.
        is_alone: likewise.
        is_cut: whether nothing is wrong but that the text ends within a character.
    """
    if str(error).endswith("tream does not start with BOM"):  # a UnicodeDecodeError since Python 3.13
        advice = mend or _advice_on_order(head, options)
        return f"{options.codec.upper()} stream does not start with BOM; {advice}"
    if not isinstance(error, UnicodeDecodeError):  # of an encoding that tells no place
        return f"{error}; {mend or 'name the right --encoding'}"
    if is_cut:
        advice = _advice_on_cut(options, is_settled=bool(mend))
    else:
        advice = advice_on_nulls(head, is_settled=bool(mend), is_alone=is_alone)
        if mend in ("", OTHER_ENCODING):
            advice = advice or advice_on_utf8(error, options, head, is_alone=is_alone)
        advice = advice or mend or _advice(error, offset, options, is_alone=is_alone)
    return f"{_describe(error, offset, options)}; {advice}"


def _describe(error: UnicodeDecodeError, offset: int, options: TextOptions) -> str:
    bad = error.object[error.start : error.end].hex(" ")
    return f"not valid {options.encoding.upper()} at byte {offset + error.start:,} (0x{bad:.23})"


def _advice_on_order(head: bytes, options: TextOptions) -> str:
    """What mends a text that is to be wide, and has no mark: its byte order, unless it has spaces of one byte each."""
    head = head[:LONGEST_HEAD]
    if 0 not in head and head.count(b" ") * _RARELY_SPACES > len(head):
        if head.isascii() or holds_utf8(head):
            return "it is valid UTF-8: give --encoding utf-8"
        return "it has no NUL bytes either, as that has; name the right --encoding"
    return f"name its byte order: --encoding {options.codec}-le or -be"  # utf16-le is no name


def _if_it_is(kind: str, encoding: str, aside: str = "", *, is_alone: bool) -> str:
    """What mends a text that seems to be of another kind than UTF-8; what is read with it is to be of the same."""
    if is_alone:
        return f"if it is {kind}, give --encoding {encoding}{aside}"
    convert = f"convert this one (iconv -f {encoding} -t utf-8)"
    return f"all texts need one encoding: {convert}, or if each is {kind}, give --encoding {encoding}{aside}"


def _advice(error: UnicodeDecodeError, offset: int, options: TextOptions, *, is_alone: bool) -> str:
    """What mends a training's text."""
    if options.codec in _LARGER:
        return f"if it is {_LARGER[options.codec]}, which has more characters, give --encoding that, {_PASSING}"
    if options.codec != "utf-8":
        return f"name the right --encoding, {_PASSING}"
    likely = next((name for mark, name in _MARKS.items() if not offset and error.object.startswith(mark)), None)
    if likely is None:
        around = error.object[max(error.start - _AROUND, 0) : error.start + _AROUND].decode("utf-8", "surrogateescape")
        runs = NO_TEXT.findall(around)
        num_bad = sum(map(len, runs))
        if sum(c > "\x7f" for c in around) > 2 * num_bad:
            return f"the text around is valid: mend it there, {_PASSING}"
        if 3 * sum(len(run) for run in runs if len(run) > 2) > num_bad:  # of Latin letters and signs two at most
            ways = "all texts need one encoding: convert this one with iconv, or name that of each with --encoding"
            return f"{'name its --encoding' if is_alone else ways}, such as {SCRIPTS}, {_PASSING}"
        # what Latin-1 prints, Windows-1252 has too, and quotation marks where the other has control characters
        latin = _if_it_is("Windows-1252 or Latin-1", "windows-1252", f" ({_OTHER_LATIN})", is_alone=is_alone)
        return f"{latin}, {_PASSING}"
    return _if_it_is(likely, likely.lower(), is_alone=is_alone)  # --errors replace would keep its NULs


def _advice_on_cut(options: TextOptions, *, is_settled: bool) -> str:
    """What mends a text of which nothing but the last character is not valid."""
    encoding = re.sub("-([bl]e)$|-sig$", r"\1", options.codec).replace("_", "-").replace("iso2022", "iso-2022")
    mend = f"leave that out (iconv -c -f {encoding} -t {encoding})"  # which has names of its own
    mend = mend if is_settled else f"{mend}, {_PASSING}"
    return f"it ends within a character, cut off or still being written; {mend}"


def advice_on_utf8(error: UnicodeDecodeError, options: TextOptions, head: bytes, *, is_alone: bool = True) -> str:
    """What mends a text that is UTF-8 and is read in another encoding, maybe with others; nothing where it is none."""
    around = error.object[max(error.start - _AROUND, 0) : error.start + _AROUND]
    is_utf8 = holds_utf8(around) or (options.is_wide and is_hardly_wide(head))
    if options.codec.startswith("utf-8") or not is_utf8:
        return ""
    if is_alone:
        return "it is valid UTF-8: give --encoding utf-8"
    convert = f"convert those in {options.encoding} (iconv -f {options.encoding} -t utf-8)"
    return f"it is valid UTF-8, and all texts need one encoding: {convert} and give --encoding utf-8"


def advice_on_nulls(head: bytes, *, is_settled: bool, is_alone: bool = True) -> str:
    """What to do about bytes that are not valid where NUL bytes stand among the first; nothing where hardly any do.

    Args:
        head: the bytes; those of UTF-16 and UTF-32 are known by their mark, or by where the NUL bytes are.
        is_settled: whether a model reads its texts in one encoding, which no flag changes.
        is_alone: see `decode_document`.
    """
    head = head[:LONGEST_HEAD]
    if head.count(0) * MANY <= len(head) or head.startswith(tuple(_MARKS)):
        return ""
    for order, (high, low) in {"be": (head[::2], head[1::2]), "le": (head[1::2], head[::2])}.items():
        if 4 * high.count(0) > 3 * len(high) and 4 * low.count(0) < len(low):
            return "" if is_settled else _if_it_is("UTF-16 without a mark", f"utf-16-{order}", is_alone=is_alone)
    if is_settled:
        return "it holds NUL bytes, so that it is no text (a picture, a program, ...); give a text file"
    return (
        "it holds NUL bytes, as UTF-16 does (--encoding utf-16-le or utf-16-be) and what is no text, such as a picture "
        "or a program"
    )


def _take_head(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first chunks as one that is long enough to tell what the bytes are, and the rest."""
    rest, head = iter(chunks), b""
    while len(head) < LONGEST_HEAD and (chunk := next(rest, b"")):
        head += chunk
    return head, rest


def _mark_last(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each chunk, and at the end an empty one, which is the last."""
    for chunk in chunks:
        yield chunk, False
    yield b"", True


def _begins_piece(character: str) -> bool:
    """Whether normalising never joins a character with one before it.

    That is so for all that decompose to something that begins with neither a mark nor a vowel or final of Hangul, nor a
    vowel of Kirat Rai, which are letters and join since Unicode 16, Python 3.14's.
    """
    if character < "\N{COMBINING GRAVE ACCENT}":
        return True
    first = unicodedata.normalize("NFKD", character)[0]
    is_vowel = "\u1160" <= first <= "\u11ff" or "\U00016d63" <= first <= "\U00016d6a"
    return unicodedata.category(first)[0] != "M" and not is_vowel
