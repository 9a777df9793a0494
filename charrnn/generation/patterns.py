r"""The patterns that a line can be held to: the subset of Python's regular expressions that is regular.

    choice     sequence | sequence | ...
    sequence   item item ...
    item       one, with a repeat or without: ? * + {m} {m,} {,n} {m,n}
    one        a character, . or \d \w \s \D \W \S, an escape such as \. \t \x41 \u00e9, a class such as [a-z_] or
               [^a-z], (choice), (?:choice) or (?P<name>choice)

A pattern may begin with (?i), which ignores case, and then a ^, and end with a $; both anchors are redundant, since
whole lines are matched. So is the ? of a lazy repeat. Which characters a single one matches is decided by `re` itself,
so that nothing can differ from it. What is not regular, such as a back reference, is refused. Patterns are run by
`charrnn.generation.automaton`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, NoReturn

from charrnn.errors import ConfigError

MAX_SIZE = 5000
"""The most single characters in a pattern whose counted repeats are written out."""
MAX_DEPTH = 50
"""The deepest nesting of groups."""

SHOWN = 60
"""The most characters of a pattern that a message shows."""

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[dwsDWSafrtv]|[^0-9A-Za-z])", re.DOTALL)
_CLASS = re.compile(r"\[\^?(?:\\.|[^\\])(?:\\.|[^\\\]])*\]", re.DOTALL)
_REPEAT = re.compile(r"([*+?])|\{(?!\})([0-9]*)(,?)([0-9]*)\}")
_GROUP = re.compile(r"\((?!\?)|\(\?:|\(\?P<(\w+)>")
_REFUSED = {
    r"\(\?<?[=!]": "looks ahead or behind",
    r"\(\?>": "begins an atomic group",
    r"\(\?P=|\\[1-9]": "refers back to a group",
    r"\(\?": "begins a kind of group that is not known here",
    r"\\[AbBZ]|[\^$]": "is an anchor",
    r"\\n|\n": "is a line feed, and a pattern is for one line",
    r"\\": "begins an escape that is not known here",
    r"\[": "begins a class that does not end",
    r"[*+?{]": "has nothing to repeat",
}
"""Why an item cannot be parsed, by a regular expression for how it begins; the first that matches is reported."""
_KNOWN = "known are characters, classes, groups, |, ?, *, + and {m,n}"


@dataclass(frozen=True)
class One:
    """A single character.

    Attributes:
        source: the regular expression for it.
    """

    source: str
    size: ClassVar[int] = 1


@dataclass(frozen=True)
class Series:
    """A concatenation of parts; of no parts, the empty text."""

    parts: tuple[Node, ...]
    size: int


@dataclass(frozen=True)
class Choice:
    """Any one of its parts."""

    parts: tuple[Node, ...]
    size: int


@dataclass(frozen=True)
class Repeat:
    """A part, at least `low` and at most `high` times; None for no limit."""

    part: Node
    low: int
    high: int | None
    size: int


Node = One | Series | Choice | Repeat
"""A node of a parsed pattern. Its `size` is the number of single characters with repeats written out."""


@dataclass(frozen=True)
class Pattern:
    """A parsed pattern.

    Attributes:
        root: the root of its syntax tree.
        ignore_case: whether a letter matches both of its cases.
        line_end: what stands between lines; no line contains its characters.
    """

    root: Node
    ignore_case: bool = False
    line_end: str = "\n"

    def members(self, one: One, alphabet: str) -> list[int]:
        """The indices in an alphabet of the characters that a single one matches; never one of `line_end`."""
        expression = _compile(one.source, re.IGNORECASE if self.ignore_case else 0)
        return [found.start() for found in expression.finditer(alphabet) if found[0] not in self.line_end]

    def is_endless(self, alphabet: str) -> bool:
        """Whether a line of an alphabet may be arbitrarily long.

        It is enough that the alphabet has a character for any one part of an unlimited repeat, so the answer may be
        True although the length of lines is limited.
        """
        repeated = (node.part for node in _nodes(self.root) if isinstance(node, Repeat) and node.high is None)
        ones = {node for part in repeated for node in _nodes(part) if isinstance(node, One)}
        return any(self.members(one, alphabet) for one in ones)

    def in_other_case(self, alphabet: str) -> list[str]:
        """The single characters, in order, that match none of an alphabet, but would if case were ignored."""
        either = replace(self, ignore_case=True)
        return [
            one.source
            for one in dict.fromkeys(node for node in _nodes(self.root) if isinstance(node, One))
            if either.members(one, alphabet) and not self.members(one, alphabet)
        ]


def parse_pattern(text: str, line_end: str = "\n") -> Pattern:
    """Parse a pattern.

    Args:
        text: as the user wrote it.
        line_end: what stands between lines: LF, or CR LF.

    Raises:
        ConfigError: the pattern is invalid, not regular, or too large.
    """
    if not text:
        raise ConfigError("--match is empty, and only empty lines would fit; give a pattern")
    ignore_case = text.startswith("(?i)")
    return Pattern(_Parser(text, len("(?i)") if ignore_case else 0).parse(), ignore_case, line_end)


def shown(pattern: str) -> str:
    """A pattern as a message shows it, shortened if it is long."""
    mark = '"' if "'" in pattern and '"' not in pattern else "'"
    told = "".join(c if c.isprintable() else repr(c)[1:-1] for c in pattern[:SHOWN])  # `repr` would escape \ and '
    return f"{mark}{told}{mark}{'...' if len(pattern) > SHOWN else ''}"


class _Parser:
    """A recursive-descent parser; each method parses what it is named for from `_place` on."""

    def __init__(self, text: str, place: int) -> None:
        self._text = text
        self._place = place
        self._depth = 0
        self._names: set[str | None] = set()

    def parse(self) -> Node:
        self._take("^")
        root = self._choice()
        if self._place < len(self._text):
            self._refuse("closes a group that was not begun")
        return root

    def _choice(self) -> Node:
        parts = [self._series()]
        while self._take("|"):
            parts.append(self._series())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts), self._bounded(sum(part.size for part in parts)))

    def _series(self) -> Node:
        parts: list[Node] = []
        while self._text[self._place :] not in ("", "$") and self._text[self._place] not in "|)":
            parts.append(self._item())
        if self._text[self._place :] == "$":
            self._place += 1
        return parts[0] if len(parts) == 1 else Series(tuple(parts), self._bounded(sum(part.size for part in parts)))

    def _item(self) -> Node:
        part = self._one()
        found = _REPEAT.match(self._text, self._place)
        if not found:
            return part
        low, high = _counts(found)
        if high is not None and high < low:
            self._refuse("asks for more at least than at most")
        self._place = found.end()
        if not self._take("?") and self._text.startswith("+", self._place):
            self._refuse("makes the repeat possessive")
        if _REPEAT.match(self._text, self._place):
            self._refuse("repeats a repeat; put a group around it")
        return Repeat(part, low, high, self._bounded(part.size * max(low, 1 if high is None else high)))

    def _one(self) -> Node:
        if found := _GROUP.match(self._text, self._place):
            if (name := found[1]) and (name in self._names or not name.isidentifier()):
                self._refuse("begins a group whose name is no name, or that of another")
            self._names.add(name)
            return self._group(found.end())
        character = self._text[self._place]
        found = _ESCAPE.match(self._text, self._place) or _CLASS.match(self._text, self._place)
        if found and found[0] != "\\\n":
            source = found[0]
        elif character in "\\[(*+?^$\n" or _REPEAT.match(self._text, self._place):
            self._refuse(next(why for what, why in _REFUSED.items() if re.match(what, self._text[self._place :])))
        else:
            source = character if character == "." else re.escape(character)
        try:
            _compile(source)
        except re.error as error:
            self._refuse(f"begins what `re` cannot read: {error.msg}")
        self._place += len(found[0]) if found else 1
        return One(source)

    def _group(self, inside: int) -> Node:
        begin, self._place, self._depth = self._place, inside, self._depth + 1
        if self._depth > MAX_DEPTH:
            self._refuse(f"lies in more than {MAX_DEPTH} groups")
        part = self._choice()
        if not self._take(")"):
            self._place = begin
            self._refuse("begins a group that does not end")
        self._depth -= 1
        return part

    def _take(self, character: str) -> bool:
        """Consume a character if it is the next; return whether it is."""
        taken = self._text.startswith(character, self._place)
        self._place += taken
        return taken

    def _bounded(self, size: int) -> int:
        if size > MAX_SIZE:
            raise ConfigError(
                f"--match is {shown(self._text)}; with its repeats written out it has more than {MAX_SIZE:,} "
                "characters: repeat less, or without a limit"
            )
        return size

    def _refuse(self, why: str) -> NoReturn:
        """Raise an error that tells what is wrong with the next character."""
        raise ConfigError(f"--match is {shown(self._text)}; its character {self._place + 1} {why} ({_KNOWN})")


def _nodes(node: Node) -> Iterator[Node]:
    """A node and all of its descendants, in preorder."""
    yield node
    if not isinstance(node, One):
        for part in (node.part,) if isinstance(node, Repeat) else node.parts:
            yield from _nodes(part)


def _counts(repeat: re.Match[str]) -> tuple[int, int | None]:
    """The least and the most times that a repeat asks for."""
    if repeat[1]:
        return {"?": (0, 1), "*": (0, None), "+": (1, None)}[repeat[1]]
    low, high = (int(digits.lstrip("0")[:9] or 0) for digits in (repeat[2], repeat[4]))  # nine digits exceed MAX_SIZE
    if not repeat[3]:  # no comma
        return low, low
    return low, high if repeat[4] else None


def _compile(source: str, flags: int = 0) -> re.Pattern[str]:
    with warnings.catch_warnings():  # about classes such as [[a], whose meaning may change in a future version
        warnings.simplefilter("ignore", FutureWarning)
        return re.compile(source, flags)
