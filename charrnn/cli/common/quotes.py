"""Missing quotes: values and names that the shell has split at spaces, or that stand in typographic quotation marks."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

from charrnn.cli.common.words import FlagWords, grouped
from charrnn.escape import shell_quoted
from charrnn.paths import STDIN
from charrnn.text.kinds import ZIP

OF_TEXT = {"--prompt", "-p", "--text", "--stop", "--match", "--allow", "--forbid", "--separator"}
"""Flags whose value is a text, which may itself begin and end with a quotation mark."""

OF_PATTERN = {"--include", "--exclude"}
"""Flags whose value is a pattern of file names, which may contain quotation marks."""

OF_TIME = {"--time", "--save-every"}
"""Flags whose value is a time, which is written without spaces."""

OF_OUTPUT = {
    **dict.fromkeys(("--out", "-o"), (".pt",)), "--log": (".jsonl", ".json", ".log"), "--html": (".html", ".htm"),
    "--svg": (".svg",), "--export": (".safetensors", ".pt"),
}  # fmt: skip
"""Flags whose value is a file that need not exist, and its usual suffixes."""

BESIDE_TEXTS = {"--out", "-o", "--log", "--init-from", "--resume-from"}
"""Flags of a command whose arguments are texts, not checkpoints."""

MOST_PIECES = 12
"""The most words to try as one name."""

_UNITS = ("d|days?", "h|hrs?|hours?", "m|mins?|minutes?", "s|secs?|seconds?")
_TIME = re.compile("".join(rf"(?:\d+(?:\.\d+)?(?:{unit}))?" for unit in _UNITS), re.IGNORECASE)

_MARKS = {
    "\u201c\u201d\u201e\u201f": ("\u201c", "\u201d"), "\u2018\u2019\u201a\u201b": ("\u2018", "\u2019"),
    "\xab\xbb": ("\xab", "\xbb"), "\u2039\u203a": ("\u2039", "\u203a"),
}  # fmt: skip
"""Typographic quotation marks of one kind, and those of them that may close a quotation."""


def find_lost_quotes(arguments: Sequence[str], known: Mapping[str, bool]) -> str:
    """Find what was typed as one word and is several to the shell, or has typographic quotation marks around it.

    Args:
        arguments: a command's arguments.
        known: the command's flags, and whether each takes a value.

    Returns:
        What is wrong, or "".
    """
    groups = grouped(arguments, known)
    num_arguments = sum(len(group.arguments) for group in groups)
    return _told_of_marks(groups) or _told_of_names(groups, num_arguments) or _told_of_pieces(groups, num_arguments)


def _told_of_marks(groups: Sequence[FlagWords]) -> str:
    """The message for words in typographic quotation marks; "" if there are none."""
    for group in groups:
        for start, end in _between_marks(group):
            words = group.words[start:end]
            is_text = group.flag in OF_TEXT | OF_PATTERN and len(words) == 1
            if is_text or any(map(os.path.exists, [" ".join(words), words[0]])):
                continue
            flag = f"{group.typed} " if group.typed and not start else ""
            bare = _in_quotes(" ".join(words)[1:-1].strip())
            told = "the quotation marks are typographic, and the shell needs straight ones"
            return f"{flag}{' '.join(words)}: {told}: {flag}{bare}"
    return ""


def _between_marks(group: FlagWords) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each run of words between typographic quotation marks.

    In a group with a text, which may itself have such marks, only a run that begins the text counts.
    """
    for start, word in enumerate(group.words[:1] if group.flag in OF_TEXT else group.words):
        closing = next((ends for marks, ends in _MARKS.items() if word and word[0] in marks), ())
        if not closing:
            continue
        ends = (end for end, last in enumerate(group.words[start:], start + 1) if last.endswith(closing))
        end = next((end for end in ends if len(" ".join(group.words[start:end])) > 2), 0)
        if end:
            yield start, end


def _told_of_names(groups: Sequence[FlagWords], num_arguments: int) -> str:
    """The message for words that together are the name of an existing file; "" if there are none.

    A name that begins with a flag's value counts only if other words are left as arguments.
    """
    names, typed = [], []
    for group in groups:
        for start, end in _names_in(group):
            is_value = bool(group.typed) and not start
            if not is_value or end - 1 < num_arguments:
                names.append(" ".join(group.words[start:end]))
                typed.append(f"{group.typed} {_in_quotes(names[-1])}" if is_value else _in_quotes(names[-1]))
    if not names:
        return ""
    told = "names with spaces; put quotes around each" if names[1:] else "a name with spaces; put quotes around it"
    return f"{', '.join(names)}: {told}: {' '.join(typed)}"


def _names_in(group: FlagWords) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each run of words that names an existing file, unless all are usable by themselves."""
    words, start = group.words, 0
    are_used = [_is_used(word, group) for word in words] if len(words) > 1 else [True]
    num_left = len(words) if not all(are_used) else 0
    while start < num_left:
        first = 1 if group.typed and not start else start  # a flag's value need not be a file
        ends = range(min(len(words), start + MOST_PIECES), start + 1, -1)
        names = (end for end in ends if not all(are_used[first:end]) and os.path.exists(" ".join(words[start:end])))
        end = next(names, 0)
        if end:
            yield start, end
        start = end or start + 1


def _told_of_pieces(groups: Sequence[FlagWords], num_arguments: int) -> str:
    """The message for words, not files, that follow a flag's value and belong to it; "" if there are none.

    Other arguments must be left. Values that are numbers or patterns never continue in the next word.
    """
    for group in groups:
        if not group.typed:
            continue
        flag, value = group.typed, group.words[0]
        lost = _unused_behind(group)
        if group.flag in OF_TIME:
            lost = lost[: _num_of_time(value, lost)]
            mend = f"write {flag} {_as_one_time([value, *lost])}"
        elif group.flag in OF_OUTPUT or group.flag in OF_TEXT:
            lost = lost[: _num_of_value(value, lost, OF_OUTPUT.get(group.flag, ()))]
            mend = f"put quotes around the words: {flag} {shell_quoted(' '.join(filter(None, [value, *lost])))}"
        else:
            continue
        if 0 < len(lost) < num_arguments and not any(os.path.exists(word) and _is_whole(word) for word in lost):
            kind = "a checkpoint, not a text" if any(map(os.path.exists, lost)) else "not a file"
            return f"{' '.join(lost)}: follows {flag} {value or shell_quoted(value)} and is {kind}; {mend}"
    return ""


def _unused_behind(group: FlagWords) -> list[str]:
    """The words after a flag's value, up to the first that can be read as an argument."""
    return list(takewhile(lambda word: not _is_used(word, group), group.arguments))


def _is_used(word: str, group: FlagWords) -> bool:
    """Whether a word can be read as an argument: the file exists, and is no archive (checkpoint) where texts belong."""
    if word == STDIN or not os.path.exists(word):
        return word == STDIN
    return group.flag not in BESIDE_TEXTS or not _is_archive(word)


def _is_archive(path: str) -> bool:
    """Whether a file begins like a checkpoint; False if it cannot be read."""
    with contextlib.suppress(OSError):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return file.read(len(ZIP)) == ZIP
    return False


def _num_of_time(value: str, words: Sequence[str]) -> int:
    """How many words continue a value so that it is a time, such as "min" after "10"."""
    ends = range(len(words), 0, -1)
    return next((end for end in ends if _TIME.fullmatch("".join([value, *words[:end]]))), 0)


def _as_one_time(pieces: Sequence[str]) -> str:
    """A time in several words in the program's notation: the units shortened to their first letters."""
    return re.sub("[a-z]+", lambda unit: unit[0][0], "".join(pieces).lower())


def _num_of_value(value: str, words: Sequence[str], endings: tuple[str, ...]) -> int:
    """How many words continue a value that is a text or a file's name: up to its suffix, or all if none is whole.

    Args:
        value: the first word.
        words: the words after it.
        endings: possible suffixes of a file's name; empty for a text.
    """
    for number, word in enumerate(words):
        if word.lower().endswith(endings):
            is_in_pieces = not value.lower().endswith(endings) and not any(map(_is_whole, words[:number]))
            return number + 1 if is_in_pieces else 0
    return 0 if any(map(_is_whole, [value, *words])) else len(words)


def _is_whole(word: str) -> bool:
    """Whether a word is complete in itself: it was quoted, or is a file's name with a folder or a suffix."""
    return " " in word or "/" in word or os.sep in word or any(map(str.isalnum, os.path.splitext(word)[1]))


def _in_quotes(name: str) -> str:
    """A name as most people type it: in double quotes, if quotes are needed and double quotes are enough."""
    typed = shell_quoted(name)
    return typed if typed == name or re.search(r'["$`!\\]', name) or not name.isprintable() else f'"{name}"'
