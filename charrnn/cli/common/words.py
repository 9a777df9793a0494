"""The words of a command line: which are flags, which are their values, and which are arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from charrnn.paths import STDIN


@dataclass(frozen=True)
class FlagWords:
    """Consecutive words without a flag between them: the value of the flag before them, if any, and arguments.

    Attributes:
        typed: the flag before, as it was typed, if the first word is its value; else "".
        words: the words in order.
    """

    typed: str = ""
    words: list[str] = field(default_factory=list)

    @property
    def flag(self) -> str:
        """The flag alone: the last of a group of short flags."""
        return self.typed if self.typed.startswith("--") or not self.typed else f"-{self.typed[-1]}"

    @property
    def arguments(self) -> list[str]:
        """The words without the flag's value."""
        return self.words[1:] if self.typed else self.words


def grouped(arguments: Sequence[str], known: Mapping[str, bool]) -> list[FlagWords]:
    """Group the words of a command line by the flags between them; flags without a value are dropped.

    Args:
        arguments: a command's arguments.
        known: the command's flags, and whether each takes a value.
    """
    groups, words = [FlagWords()], iter(arguments)
    for word in words:
        flag, sign, value = word.partition("=")
        if word == "--":
            groups.append(FlagWords("", [*words]))
        elif word == STDIN or not word.startswith("-"):
            groups[-1].words.append(word)
        elif wants_value(word, known):
            groups.append(FlagWords(word, [*islice(words, 1)]))
        else:
            groups.append(FlagWords(flag, [value]) if sign and known.get(flag) else FlagWords())
    return [group for group in groups if group.words]


def outside_of_values(arguments: Sequence[str], known: Mapping[str, bool]) -> Iterator[str]:
    """The words of a command line, up to `--`, that are not a flag's value."""
    is_value = False
    for word in arguments:
        if word == "--":
            return
        if not is_value:
            yield word
        is_value = not is_value and wants_value(word, known)


def wants_value(word: str, known: Mapping[str, bool]) -> bool:
    """Whether the next word is the value of this one: a flag, or a group of short flags of which the last takes one."""
    if word in known or word.startswith("--") or not word.startswith("-"):
        return known.get(word, False)
    takes = [known.get(f"-{letter}", False) for letter in word[1:]]
    return True in takes and takes.index(True) == len(takes) - 1
