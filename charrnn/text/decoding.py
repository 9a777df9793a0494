"""From bytes to text, chunk by chunk, with the same result as from the whole.

A document's bytes are decoded and its byte-order mark is removed; then its line ends, case and Unicode form are changed
as the options say. Whatever depends on the next chunk (half a character, a carriage return that may belong to a line
feed, a letter that an accent may follow) is held back until that comes.
"""

from __future__ import annotations

import codecs
import io
import itertools
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, cast

from charrnn.errors import DecodingError
from charrnn.text.advice import refusal, told_of_other_mark
from charrnn.text.kinds import LONGEST_HEAD, refuse_document
from charrnn.text.misread import Doubt, FirstLook, is_hardly_wide, no_doubt
from charrnn.text.options import BYTE, TextOptions

UnicodeForm = Literal["NFC", "NFKC"]

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"

_TAKING_MARKS = ("utf-16", "utf-32")
"""Codecs that remove a byte-order mark themselves: a second one is part of the text."""

_TOO_MUCH_HELD = "pending buffer overflow"
"""Error of Python's ISO 2022 decoders for a chunk that ends more than eight bytes into an escape sequence.

The escape sequences that they know have at most six bytes; at the sixteenth byte they report an invalid one.
"""

SIGMA, FINAL_SIGMA = "\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER FINAL SIGMA}"

_LETTER = "a"
"""Any cased letter, to see what `str.lower` makes of a sigma beside one."""


class TextPreparer:
    """Changes line ends, case and Unicode form of a text in chunks; the result does not depend on the chunk edges.

    Args:
        options: what to change.
    """

    def __init__(self, options: TextOptions) -> None:
        self._newlines = io.IncrementalNewlineDecoder(None, translate=True) if options.newline == "lf" else None
        self._small_letters = SmallLetters() if options.lowercase else None
        self._form = None if options.normalize == "none" else cast(UnicodeForm, options.normalize.upper())
        self._held = ""

    def feed(self, text: str, *, final: bool = False) -> str:
        """Take the next chunk; return the text that later chunks cannot change."""
        if self._newlines is not None:
            text = self._newlines.decode(text, final)
        if self._form is not None:
            text = self._take_piece(text, final)
            text = self._normalise(text)
        if self._small_letters is not None:
            text = self._small_letters.feed(text, final=final)
            text = self._normalise(text)  # again: lower case may consist of several characters
        return text

    def _take_piece(self, text: str, final: bool) -> str:
        """The text so far, up to where later text cannot change its normal form; the rest is held."""
        text = self._held + text
        cut = len(text) if final else next((i for i in range(len(text) - 1, 0, -1) if begins_piece(text[i])), 0)
        self._held = text[cut:]
        return text[:cut]

    def _normalise(self, text: str) -> str:
        return text if self._form is None else unicodedata.normalize(self._form, text)


class SmallLetters:
    """Lower-cases a text in chunks, with the same result as `str.lower` of the whole.

    A capital sigma becomes a final one at the end of a word: after a letter and before none, where marks, apostrophes,
    full stops and the like are ignored (Unicode Standard, section 3.13, Final_Sigma).
    """

    def __init__(self) -> None:
        self._held = list[str]()  # a sigma that later text decides, and the ignored characters after it
        self._before = ""

    def feed(self, text: str, *, final: bool = False) -> str:
        """Take the next chunk; return the text that later chunks cannot change."""
        if self._held and not final and _is_open(SIGMA + text):
            self._held.append(text)
            return ""
        text = "".join([*self._held, text])
        place = -1 if final else text.rfind(SIGMA)
        cut = place if place >= 0 and _is_open(text[place:]) else len(text)
        text, self._held = text[:cut], [text[cut:]] if cut < len(text) else []
        before, after = self._before, _LETTER if self._held else ""  # context by which `str.lower` decides on a sigma
        self._before = _LETTER if _ends_in_word(text, before) else ""
        return (before + text + after).lower()[len(before) :].removesuffix(after) if SIGMA in text else text.lower()


def prepare(text: str, options: TextOptions) -> str:
    """Apply `TextPreparer` to a whole text."""
    return TextPreparer(options).feed(text, final=True)


def begins_piece(character: str) -> bool:
    """Whether normalising never combines a character with the one before it.

    True unless its decomposition begins with a mark, with a Hangul vowel or final consonant, or with a vowel of Kirat
    Rai; the latter are letters that combine since Unicode 16, the version of Python 3.14.
    """
    if character < "\N{COMBINING GRAVE ACCENT}":
        return True
    first = unicodedata.normalize("NFKD", character)[0]
    is_vowel = "\u1160" <= first <= "\u11ff" or "\U00016d63" <= first <= "\U00016d6a"
    return unicodedata.category(first)[0] != "M" and not is_vowel


def decode_document(
    chunks: Iterable[bytes],
    name: str,
    options: TextOptions,
    *,
    mend: str = "",
    is_alone: bool = True,
    doubt: Doubt = no_doubt,
) -> Iterator[str]:
    """Decode a document's bytes and remove its byte-order mark; where the unit is the byte, decode them as Latin-1.

    Args:
        chunks: the bytes, cut anywhere.
        name: of the document, for messages.
        options: its encoding, and how to treat invalid bytes.
        mend: advice for invalid bytes if an existing model is to read them; empty to derive it from the bytes.
        is_alone: whether no other text is read in the same encoding.
        doubt: told of a text that seems to be misread.

    Yields:
        The text, in pieces, some of which may be empty.

    Raises:
        DecodingError: the bytes are not valid in that encoding; the message gives the position.
    """
    if options.unit == BYTE:
        yield from (chunk.decode("latin-1") for chunk in chunks)
        return
    encoding = "utf-8" if options.codec == "utf-8-sig" else options.encoding  # the mark is removed in any case
    decoder = codecs.getincrementaldecoder(encoding)(options.errors)
    mark = "" if options.codec in _TAKING_MARKS else BOM  # what the text may begin with
    num_read = 0  # bytes before the next chunk
    is_ascii = True  # so far
    head, rest = _take_head(chunks)
    look = FirstLook(name, doubt, options)
    refuse_document(head, name, options, is_settled=bool(mend))
    if told := told_of_other_mark(head, options, mend, is_alone=is_alone):
        raise DecodingError(f"{name}: {told}")
    held = b""  # what the decoder refuses unless it is longer
    for more, is_last in _mark_last(itertools.chain([head], rest), decoder):
        state = decoder.getstate()
        chunk = held + more
        try:
            text = decoder.decode(chunk, is_last)
        except UnicodeError as error:
            if not is_last and str(error).endswith(_TOO_MUCH_HELD):
                decoder.setstate(state)
                held = chunk
                continue
            is_cut = is_last and not held and not (options.is_wide and is_hardly_wide(head))  # all before it is valid
            offset = num_read - len(state[0])
            told = refusal(error, offset, head, options, mend, is_alone=is_alone, is_cut=is_cut, is_ascii=is_ascii)
            raise DecodingError(f"{name}: {told}") from None
        held = b""
        look.take(chunk, text)
        num_read += len(chunk)
        is_ascii = is_ascii and text.isascii()
        yield text.removeprefix(mark)
        mark = ""


def _is_open(text: str) -> bool:
    """Whether the text after a sigma, with which `text` begins, decides if the sigma ends a word."""
    return (_LETTER + text).lower()[1] != (_LETTER + text + _LETTER).lower()[1]


def _ends_in_word(text: str, before: str) -> bool:
    """Whether a sigma after a text would follow a letter, given the context before the text.

    The text's last character usually decides; only if Final_Sigma ignores that is the whole text examined.
    """
    after_none, after_letter = (f"{letter}{text[-1:]}{SIGMA}".lower().endswith(FINAL_SIGMA) for letter in ("", _LETTER))
    if after_none == after_letter:
        return after_none
    return f"{before}{text}{SIGMA}".lower().endswith(FINAL_SIGMA)


def _take_head(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """Join the first chunks into one that is long enough to recognise the file type; return it and the rest."""
    rest, head = iter(chunks), b""
    while len(head) < LONGEST_HEAD and (chunk := next(rest, b"")):
        head += chunk
    return head, rest


def _mark_last(chunks: Iterable[bytes], decoder: codecs.IncrementalDecoder) -> Iterator[tuple[bytes, bool]]:
    """Yield each chunk, then an empty one marked as the last.

    The empty chunk is repeated as long as the decoder holds bytes: Python's decoders for Chinese, Japanese and Korean
    treat all that is left as one error, of which surrogateescape may return only the first byte.
    """
    for chunk in chunks:
        yield chunk, False
    yield b"", True
    while decoder.getstate()[0]:
        yield b"", True
