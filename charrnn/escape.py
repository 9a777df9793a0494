"""Showing untrusted text: control characters are made visible, and words are quoted for a shell."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata

from charrnn.surrogates import byte_of, is_byte, name_byte

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
SIGNS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
"""Visible characters of category Cf: Prepended_Concatenation_Mark in
https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt."""
_ALLOWED = {"\n", "\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}", "\N{SOFT HYPHEN}", *SIGNS}
_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))
"""Tag characters, which spell flag emoji: kept in shown text, escaped in names, where nobody would see them."""

LISTED = 8
"""Most characters that a message lists."""


def visible(text: str) -> str:
    """Replace control and formatting characters, except line feeds, by pictures or code points; CR LF becomes LF.

    A surrogate that stands for an undecodable byte becomes the byte's number.
    """
    return "".join(c if c in _TAGS else _picture(c) for c in text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Like `visible`, but on one line: a line feed becomes a backslash and an n, and tag characters code points."""
    return "".join(_picture(c) if c != "\n" else "\\n" for c in text)


def shell_quoted(*words: str) -> str:
    """Quote words for a command line in the system's shell, with control characters escaped."""
    if os.name == "nt":
        return " ".join(map(_typed_on_windows, words))
    return " ".join(shlex.quote(word) if one_line(word) == word else f"$'{_spelled(word)}'" for word in words)


def describe_characters(characters: str) -> str:
    """List characters with their code points, at most `LISTED` of them."""
    shown = ", ".join(map(_describe_character, characters[:LISTED]))
    rest = len(characters) - LISTED
    return f"{shown} and {rest} more" if rest > 0 else shown


def _typed_on_windows(word: str) -> str:
    """Quote a word for PowerShell, to which curly quotation marks are like straight ones, and for cmd if possible."""
    if re.fullmatch(r"[\w.:\\/=+-]+", word):
        return word
    word = re.sub(r"\\+$", r"\g<0>\g<0>", word)  # else they would escape the closing quotation mark
    if not re.search('["\u201c\u201d\u201e$`]', word):
        return f'"{word}"'
    return "'" + re.sub("['\u2018-\u201b]", r"\g<0>\g<0>", word) + "'"


def _spelled(word: str) -> str:
    """Escape a word for $'...' in bash and similar shells."""

    def spell(character: str) -> str:
        if one_line(character) == character:
            return f"\\{character}" if character in "\\'" else character
        return "".join(f"\\x{byte:02x}" for byte in _bytes_of(character))

    return "".join(map(spell, word))


def _bytes_of(character: str) -> bytes:
    """Encode a character as in a file's name; one that no name can have, as a stranger's pattern may, in UTF-8."""
    try:
        return os.fsencode(character)
    except UnicodeEncodeError:
        return character.encode("utf-8", "surrogatepass")


def _describe_character(character: str) -> str:
    """Show a character and its code point; an undecodable byte by its number."""
    if is_byte(character):
        return f"byte 0x{byte_of(character):02X}"
    if character == "\\":  # `repr` would double it
        shown = f"'{character}'"
    else:
        shown = f"'◌{character}'" if unicodedata.combining(character) else repr(character)  # a mark needs a base
    return f"{shown} (U+{ord(character):04X})"


def _picture(character: str) -> str:
    if character in _ALLOWED or unicodedata.category(character) not in _HIDDEN:
        return character
    if character == "\t":
        return "    "
    if "\udd00" <= character <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"  # stands for rare characters, not for a byte
    if is_byte(character):
        return name_byte(character)
    point = ord(character)
    return chr(0x2400 + point) if point < 0x20 else f"<U+{point:04X}>"
