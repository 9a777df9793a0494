"""Patterns against Python's own: what fits, what can still come to fit, and what is refused."""

import itertools
import re
import string

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from charrnn.errors import ConfigError
from charrnn.generation import automaton
from charrnn.generation.automaton import Automaton
from charrnn.generation.matching import LineMatch
from charrnn.generation.patterns import MAX_SIZE, parse_pattern
from charrnn.generation.sample_progress import ENDLESS
from charrnn.text.encoder import CharEncoder

ALPHABET = CharEncoder("\n abAé1.")
SINGLE = [
    *"ab1é .", r"\d", r"\w", r"\s", r"\D", r"\W", r"\S", r"\.", r"\x61", r"\u00e9", r"\t",
    "[ab]", "[^a]", "[^\\d]", "[1-9a]", r"[\w.]", r"[^\n]", "[]a]", "[A-Z]", "[a-]", "[^]\\]]",
]  # fmt: skip
REPEATS = ["?", "*", "+", "{2}", "{1,3}", "{,2}", "{2,}", "{0}", "*?", "{1,2}?", "{,}"]


def compound(parts):
    """Bigger patterns of smaller ones, each in a group of its own where it would otherwise fall apart."""
    group = parts.map(lambda part: f"(?:{part})")
    return (
        st.lists(group, max_size=3).map("".join)
        | st.lists(parts, min_size=1, max_size=3).map("|".join)
        | st.tuples(group | st.sampled_from(SINGLE), st.sampled_from(REPEATS)).map("".join)
    )


PATTERNS = st.recursive(st.sampled_from(SINGLE), compound, max_leaves=6).filter(bool)
ANY_PATTERNS = st.tuples(st.sampled_from(["", "(?i)", "^", "(?i)^"]), PATTERNS, st.sampled_from(["", "$"])).map(
    lambda parts: "".join(parts)
)
LINES = st.text(ALPHABET.characters.replace("\n", ""), max_size=7)


@given(ANY_PATTERNS, LINES)
def test_line_matches_exactly_if_python_says_so(pattern, line):
    assert LineMatch.build(pattern, ALPHABET).fits(line) == bool(re.fullmatch(pattern, line))


FEW_PATTERNS = st.recursive(st.sampled_from(["a", "b", "1", "[ab]", "[^a]", "."]), compound, max_leaves=6).filter(bool)


@settings(max_examples=500)
@given(FEW_PATTERNS, st.sets(st.sampled_from("ab1")), st.text("ab1", max_size=2), st.integers(0, 3))
def test_open_characters_are_exactly_those_that_can_be_completed(pattern, drawn_from, beginning, left):
    """Brute force: every text of a small alphabet."""
    encoder = CharEncoder("ab1\n")
    drawable = np.array([c in drawn_from for c in encoder.characters])
    endings = [
        "".join(ending) for length in range(left + 1) for ending in itertools.product(sorted(drawn_from), repeat=length)
    ]

    def can_end(line):
        return any(re.fullmatch(pattern, line + ending) for ending in endings)

    rules = Automaton(parse_pattern(pattern), encoder.characters, drawable)
    state = rules.start
    for character in beginning:
        state = state and rules.step(state, encoder.characters.index(character))
    if state is None:
        assert not can_end(beginning)
        return
    assert (state.distance <= left) == can_end(beginning)
    assert state.complete == bool(re.fullmatch(pattern, beginning))
    expected = {character for character in drawn_from if can_end(beginning + character)}
    assert {encoder.characters[i] for i in np.flatnonzero(state.open(left))} == expected


@given(ANY_PATTERNS, st.integers(0, 30), st.integers(0, 2**32))
def test_random_walk_writes_whole_matching_lines_and_stops_after_one(pattern, length, seed):
    match = LineMatch.build(pattern, ALPHABET)
    assume(match.state.distance <= length)
    walk, generator, text = match.walk(), np.random.default_rng(seed), ""
    while not walk.ended(length - len(text)):
        character = int(generator.choice(np.flatnonzero(walk.open(length - len(text)))))
        text += ALPHABET.characters[character]
        walk.advance(character)
    lines = text.removesuffix("\n").split("\n")
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    if len(text) < length:
        assert length - len(text) < match.automaton.start.distance, "there was room for another line"


def test_every_printable_character_is_parsed_like_in_python():
    """Alone, behind a backslash, and in a class; what is refused is no single character."""
    encoder = CharEncoder(string.printable + "éßſK")
    lines = [character for character in encoder.characters if character != "\n"]
    read = 0
    for character in encoder.characters:
        for pattern in (character, f"\\{character}", f"[{character}-~]", f"(?i){character}"):
            try:
                match = LineMatch.build(pattern, encoder)
            except ConfigError:
                continue
            assert [line for line in lines if match.fits(line)] == [
                line for line in lines if re.fullmatch(pattern, line)
            ], pattern
            read += 1
    assert read > 300


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "--match is empty, and only empty lines would fit; give a pattern"),
        ('say "it\'s" (a', "--match is 'say \"it's\" (a'; its character 12 begins a group that does not end"),
        (r"\'\"(", r"--match is '\'\"('; its character 5 begins a group that does not end"),
        ("it's\t(", r"""--match is "it's\t("; its character 6 begins a group that does not end"""),
        ("a(?=b)", "--match is 'a(?=b)'; its character 2 looks ahead or behind"),
        ("(?<!a)b", "its character 1 looks ahead or behind"),
        (r"(a)\1", "its character 4 refers back to a group"),
        ("(?P<n>a)(?P=n)", "its character 9 refers back to a group"),
        ("(?P<1a>a)+", "its character 1 begins a group whose name is no name, or that of another"),
        ("(?P<n>a)(?P<m>(?P<n>b))", "its character 15 begins a group whose name is no name, or that of another"),
        ("(?>a)", "its character 1 begins an atomic group"),
        ("a(?i)b", "its character 2 begins a kind of group that is not known here"),
        ("a^b", "its character 2 is an anchor"),
        ("(a$)b", "its character 3 is an anchor"),
        (r"\bword", "its character 1 is an anchor"),
        (r"a\n", "its character 2 is a line feed, and a pattern is for one line"),
        ("a\nb", "its character 2 is a line feed, and a pattern is for one line"),
        ("a*+", "its character 3 makes the repeat possessive"),
        ("a**", "its character 3 repeats a repeat; put a group around it"),
        ("*a", "its character 1 has nothing to repeat"),
        ("a|{2}", "its character 3 has nothing to repeat"),
        ("a{3,2}", "its character 2 asks for more at least than at most"),
        ("(ab", "its character 1 begins a group that does not end"),
        ("ab)", "its character 3 closes a group that was not begun"),
        ("x[ab", "its character 2 begins a class that does not end"),
        ("[z-a]", "its character 1 begins what `re` cannot read: bad character range z-a"),
        (r"\q", "its character 1 begins an escape that is not known here"),
        ("a\\", "its character 2 begins an escape that is not known here"),
        ("(" * 51 + ")" * 51, "its character 52 lies in more than 50 groups"),
    ],
)
def test_unsupported_syntax_is_named_with_its_place(pattern, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_pattern(pattern)


@pytest.mark.parametrize("pattern", ["a{1000000}", "((a{100}){100}){100}", "a{" + "9" * 5000 + "}", "a{0,5001}"])
def test_counts_beyond_memory_are_refused(pattern):
    with pytest.raises(ConfigError, match=f"more than {MAX_SIZE:,} characters: repeat less, or without a limit"):
        parse_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "fitting"),
    [
        ("a{5000}", {5000}), ("(a?){5000}", {0, 1, 4999, 5000}), ("(a{50})" * 100, {5000}),
        ("(){1000000000}", {0}), ("(a{0}){1000000000}", {0}),
    ],
)  # fmt: skip
def test_counts_up_to_the_limit_and_of_nothing_work(pattern, fitting):
    match = LineMatch.build(pattern, ALPHABET)
    assert {n for n in (0, 1, 4999, 5000, 5001) if match.fits("a" * n)} == fitting


def test_states_of_an_endless_text_are_bounded(monkeypatch):
    """This pattern has thousands of states; forgetting some changes nothing but the memory."""
    pattern, texts = "[ab]*a[ab]{12}", []
    for kept in (automaton.STATES_KEPT, 10):
        monkeypatch.setattr(automaton, "STATES_KEPT", kept)
        match = LineMatch.build(pattern, ALPHABET)
        walk, generator = match.walk(), np.random.default_rng(1)
        ids = []
        for _ in range(3000):
            ids.append(int(generator.choice(np.flatnonzero(walk.open(ENDLESS)))))
            walk.advance(ids[-1])
        assert len(match.automaton._states) <= kept
        texts.append(ALPHABET.decode(ids))
    assert texts[0] == texts[1]
    assert all(re.fullmatch(pattern, line) for line in texts[0].split("\n")[:-1])
