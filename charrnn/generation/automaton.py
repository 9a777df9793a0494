"""A pattern as a Glushkov automaton over a model's characters, which tells how far a text is from a whole match.

Its places (positions) are the single characters of the pattern with all repeats written out. A text matches if its
characters can be assigned to places that may follow each other, from a first place to a last one (Glushkov 1961, "The
abstract theory of automata", Russian Mathematical Surveys 16:5). A state of the equivalent deterministic automaton is
the set of places that may come next; states are built when a text first reaches them. Sets of places are bit sets in
Python integers.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charrnn.generation.patterns import Choice, Node, One, Pattern, Repeat

UNREACHABLE = 1 << 62
"""The distance of what cannot be reached."""
STATES_KEPT = 1000
"""The most states to keep: an endless text may reach more of them than memory holds."""

Mask = NDArray[np.bool_]


class PatternState:
    """A state of the automaton: how a line may go on from here.

    Args:
        ahead: the places that the next character may take.
        complete: whether the line may end here.
        line_end: ids of the characters that end the line from here on; empty if it may not end.
        distances: for each kind of character, the fewest characters still missing to a match after one of that kind;
            `UNREACHABLE` if no match is possible any more.
        kinds: the kind of each character, shape (V,).

    Attributes:
        distance: fewest characters still missing to a match.
        nearest: fewest characters still missing after the best next character that can be drawn.
    """

    def __init__(
        self,
        ahead: int,
        complete: bool,
        line_end: Sequence[int],
        distances: NDArray[np.int64],
        kinds: NDArray[np.integer[Any]],
    ) -> None:
        by_character = distances[kinds]
        self.ahead = ahead
        self.complete = complete
        self.line_end = line_end
        self.nearest = int(by_character.min(initial=UNREACHABLE))
        self.distance = 0 if complete else min(self.nearest + 1, UNREACHABLE)
        self._distances = distances
        self._kinds = kinds
        self._possible: Mask = by_character < UNREACHABLE
        self._farthest = int(by_character.max(where=self._possible, initial=0))

    def open(self, left: int) -> Mask:
        """The characters after which a match can be completed within `left` more, shape (V,)."""
        if left >= self._farthest:
            return self._possible
        mask: Mask = (self._distances <= left)[self._kinds]
        return mask


class Automaton:
    """A pattern over an alphabet.

    Args:
        pattern: the pattern of each line.
        alphabet: the model's characters, by id.
        drawable: which of them can be drawn, shape (V,); the others may still be read in a prompt.

    Attributes:
        pattern: as given.
        drawn: the characters that can be drawn.
        start: the state before a line's first character.
        lacking: sources of the single characters of the pattern that match no character that can be drawn.
    """

    def __init__(self, pattern: Pattern, alphabet: str, drawable: Mask) -> None:
        self.pattern = pattern
        self.drawn = "".join(itertools.compress(alphabet, drawable))
        layout = _Layout(pattern.root)
        members = {one: _mask(pattern.members(one, alphabet), len(alphabet)) for one in dict.fromkeys(layout.ones)}
        self._follow = layout.follow
        self._last = layout.whole.last
        self.lacking = [one.source for one, mask in members.items() if not mask[drawable].any()]
        self._within = layout.distances({one for one, mask in members.items() if mask[drawable].any()})
        self._kinds, examples = _kinds(list(members.values()), len(alphabet))
        self._places = places = layout.by_one()
        fitting = np.array([*members.values()]).reshape(-1, len(alphabet))[:, examples].T.copy()  # (kinds, ones)
        each = list(places.values())
        self._by_kind = [_union(each[one] for one in row.nonzero()[0]) for row in fitting]
        self._line_end = [alphabet.find(character) for character in pattern.line_end]
        # Further kinds: one for each character of a line end, and one for all that cannot be drawn.
        self._drawn_kinds = np.where(drawable, self._kinds, len(examples) + len(self._line_end))
        for kind, id_ in enumerate(self._line_end, len(examples)):
            if id_ >= 0 and drawable[id_]:
                self._drawn_kinds[id_] = kind
        self._states: dict[tuple[int, bool], PatternState] = {}
        self.start = self._state(layout.whole.first, layout.whole.nullable)

    def step(self, state: PatternState, character: int) -> PatternState | None:
        """Read a character by its id, whether it can be drawn or not; None if no matching line goes on with it."""
        if state.line_end and character == state.line_end[0]:
            rest = state.line_end[1:]
            return self._within_end(rest) if rest else self.start
        return self._lay_on(state.ahead & self._by_kind[self._kinds[character]])

    def step_beyond(self, state: PatternState, character: str) -> PatternState | None:
        """Read a character that is not in the alphabet."""
        fitting = _union(places for one, places in self._places.items() if self.pattern.members(one, character))
        return self._lay_on(state.ahead & fitting)

    def may_hold(self, ids: Sequence[int]) -> bool:
        """Whether a sequence of drawable characters may occur in matching lines, line ends included.

        Every place of the pattern is taken to be reachable, so the answer may be True for what no line holds.
        """
        starts = [self._state((1 << len(self._follow)) - 1, True)]
        if len(self._line_end) > 1:
            starts.append(self._within_end(self._line_end[1:]))
        return any(self._goes_on(state, ids) for state in starts)

    def _goes_on(self, state: PatternState | None, ids: Sequence[int]) -> bool:
        for character in ids:
            state = None if state is None else self.step(state, character)
        return state is not None and state.distance < UNREACHABLE

    def _lay_on(self, places: int) -> PatternState | None:
        """The state after a character that takes one of some places; None if there are none."""
        if not places:
            return None
        return self._state(_union(self._follow[place] for place in _members(places)), bool(places & self._last))

    def _state(self, ahead: int, complete: bool) -> PatternState:
        state = self._states.get((ahead, complete))
        if state is None:
            if len(self._states) >= STATES_KEPT:
                self._states.clear()
            distances = [self._distance(ahead & places) for places in self._by_kind]
            line_end = self._line_end if complete else []
            state = PatternState(ahead, complete, line_end, self._with_end(distances, line_end), self._drawn_kinds)
            self._states[ahead, complete] = state
        return state

    def _within_end(self, rest: Sequence[int]) -> PatternState:
        """The state within a line end, of which `rest` is still to come; the line may not end elsewhere."""
        distances = [UNREACHABLE] * len(self._by_kind)
        return PatternState(0, False, rest, self._with_end(distances, rest), self._drawn_kinds)

    def _with_end(self, distances: Sequence[int], rest: Sequence[int]) -> NDArray[np.int64]:
        """Extend the distances to the further kinds: of these only the next character of the line end can follow."""
        ending = [UNREACHABLE] * (len(self._line_end) + 1)
        if rest:
            ending[len(self._line_end) - len(rest)] = len(rest) - 1
        return np.array([*distances, *ending], dtype=np.int64)

    def _distance(self, places: int) -> int:
        """Fewest characters still missing after the best of some places."""
        if not (self._within and places & self._within[-1]):
            return UNREACHABLE
        return bisect_left(self._within, True, key=lambda reached: places & reached != 0)


@dataclass(frozen=True)
class _Piece:
    """The places of a part of a pattern.

    Attributes:
        first: places that a match of the part may begin on.
        last: places that it may end on.
        nullable: whether the part matches the empty text.
    """

    first: int = 0
    last: int = 0
    nullable: bool = True


class _Layout:
    """The places of a pattern, and which may follow which.

    Attributes:
        ones: the single character at each place.
        follow: for each place, the places that may follow it.
        whole: the piece that is the whole pattern.
    """

    def __init__(self, root: Node) -> None:
        self.ones: list[One] = []
        self.follow: list[int] = []
        self._before: list[int] = []
        self.whole = self._lay(root)

    def distances(self, enterable: Set[One]) -> list[int]:
        """The places from which a match is 0, at most 1, ... characters away, if only `enterable` ones can be drawn."""
        reached, edge, within = 0, self.whole.last, []
        while edge:
            reached |= edge
            within.append(reached)
            edge = _union(self._before[place] for place in _members(edge) if self.ones[place] in enterable) & ~reached
        return within

    def by_one(self) -> dict[One, int]:
        """The places of each single character."""
        places = dict.fromkeys(self.ones, 0)
        for place, one in enumerate(self.ones):
            places[one] |= 1 << place
        return places

    def _lay(self, node: Node) -> _Piece:
        if not node.size:
            return _Piece()
        if isinstance(node, One):
            return self._lay_one(node)
        if isinstance(node, Repeat):
            return self._lay_repeat(node)
        pieces = [self._lay(part) for part in node.parts]
        if isinstance(node, Choice):
            first, last = _union(piece.first for piece in pieces), _union(piece.last for piece in pieces)
            return _Piece(first, last, any(piece.nullable for piece in pieces))
        whole = _Piece()
        for piece in pieces:
            self._link(whole.last, piece.first)
            whole = _Piece(
                first=whole.first | piece.first if whole.nullable else whole.first,
                last=whole.last | piece.last if piece.nullable else piece.last,
                nullable=whole.nullable and piece.nullable,
            )
        return whole

    def _lay_one(self, one: One) -> _Piece:
        place = 1 << len(self.ones)
        self.ones.append(one)
        self.follow.append(0)
        self._before.append(0)
        return _Piece(place, place, nullable=False)

    def _lay_repeat(self, node: Repeat) -> _Piece:
        """A chain of copies that may end after any copy from `low` on; without a limit the last copy loops."""
        copies = [self._lay(node.part) for _ in range(max(node.low, 1 if node.high is None else node.high))]
        for copy, following in itertools.pairwise(copies):
            self._link(copy.last, following.first)
        if node.high is None:
            self._link(copies[-1].last, copies[-1].first)
        nullable = copies[0].nullable
        enough = 0 if nullable else max(node.low - 1, 0)
        return _Piece(copies[0].first, _union(copy.last for copy in copies[enough:]), nullable or node.low == 0)

    def _link(self, last: int, first: int) -> None:
        for place in _members(last):
            self.follow[place] |= first
        for place in _members(first):
            self._before[place] |= last


def _mask(ids: list[int], size: int) -> Mask:
    mask = np.zeros(size, dtype=np.bool_)
    mask[ids] = True
    return mask


def _kinds(masks: list[Mask], vocab_size: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Number the characters so that those that no mask tells apart share a number, their kind.

    Args:
        masks: sets of characters, each of shape (V,).
        vocab_size: V.

    Returns:
        The kind of each character, shape (V,), and one character of each kind.
    """
    signatures = np.packbits(np.array(masks, dtype=np.bool_).reshape(-1, vocab_size), axis=0).T
    numbers: dict[bytes, int] = {}
    kinds = np.array([numbers.setdefault(signature.tobytes(), len(numbers)) for signature in signatures])
    return kinds, np.unique(kinds, return_index=True)[1]


def _members(places: int) -> Iterator[int]:
    while places:
        lowest = places & -places
        yield lowest.bit_length() - 1
        places ^= lowest


def _union(sets: Iterable[int]) -> int:
    union = 0
    for places in sets:
        union |= places
    return union
