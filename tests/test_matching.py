"""Samples held to a pattern: what is drawn, where it ends, and what it goes on from."""

import itertools
import re

import numpy as np
import pytest
from conftest import LastAlone
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import ConfigError
from charrnn.generation.batch_samples import draw_samples
from charrnn.generation.batch_sampling import ENDED
from charrnn.generation.endings import Ending
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.matching import LineMatch
from charrnn.generation.rules import Rules
from charrnn.generation.sample_progress import SampleProgress
from charrnn.generation.samples import draw_characters
from charrnn.generation.sampling import Sampler
from charrnn.text.encoder import CharEncoder

LINED, UNLINED, RETURNS = CharEncoder("abcdefg\n"), CharEncoder("abcdefg"), CharEncoder("ab\n\r")
LOGITS = {
    LINED: np.array([1.0, 2.0, 0.5, -1.0, 1.2, 0.0, 1.9, -3.0]),
    UNLINED: np.linspace(-2, 2, 7),
    RETURNS: np.array([1.0, 1.5, -1.0, 0.0]),
}
"""Of the line feed first, where there is one."""


class Oblivious:
    """A model of one distribution, whatever it reads."""

    def __init__(self, encoder):
        self.logits = LOGITS[encoder]

    def reader(self, generated_from=None):
        return lambda _: self.logits

    def batch_reader(self, num_texts, generated_from=None):
        return LastAlone(lambda ids: np.tile(self.logits, (len(ids), 1)))


def held_to(pattern, encoder=LINED, *, prompt="", length=None, allowed=None, **options):
    match = LineMatch.build(pattern, encoder, allowed, ends_by_cr_lf=encoder is RETURNS).after(prompt, length)
    return Sampler(Oblivious(encoder), [0], SamplingOptions(temperature=1.0, allowed=allowed, **options), 3, match)


def written(sampler, encoder, length, number=0):
    return encoder.decode(list(sampler.stream(length, number)))


CHI_SQUARE_99_9 = {2: 13.816, 3: 16.266}


@pytest.mark.parametrize("one_by_one", [False, True])
@pytest.mark.parametrize(
    ("pattern", "filters", "kept"),
    [
        ("[bdg]*", {}, "bdg"),
        ("[a-d]*", {}, "abcd"),
        ("[a-d]*", {"top_k": 3}, "bcd"),
        ("[^d]*", {"min_p": 0.2}, "efg"),
    ],
)
def test_choice_among_matching_characters_is_in_the_proportions_of_the_model(pattern, filters, kept, one_by_one):
    """Chi-square of 40,000 draws against the softmax over what is kept; at 99.9 %. Filters act behind the pattern."""
    expected = np.exp(LOGITS[UNLINED]) * [character in kept for character in UNLINED.characters]
    expected /= expected.sum()
    sampler = held_to(pattern, UNLINED, **filters)
    if one_by_one:
        drawn = np.array(list(sampler.stream(40_000)))
    else:
        drawn = np.concatenate([ids for ids, _ in sampler.steps(range(2000), [SampleProgress(20)] * 2000)])
    counts = np.bincount(drawn, minlength=7)
    assert counts[expected == 0].sum() == 0
    share = len(drawn) * expected[expected > 0]
    assert ((counts[expected > 0] - share) ** 2 / share).sum() < CHI_SQUARE_99_9[len(kept) - 1]


@pytest.mark.parametrize("encoder", [LINED, UNLINED])
@pytest.mark.parametrize("pattern", ["(ab|c){2,4}", "[a-c]+d", "a|bcdefg", ".*"])
@pytest.mark.parametrize("length", [7, 20, 50])
def test_single_and_batched_texts_are_the_same_whole_lines(encoder, pattern, length):
    sampler = held_to(pattern, encoder, length=length)
    alone = [written(sampler, encoder, length, number) for number in range(20)]
    rows = sampler.batch(range(20), length)
    assert [encoder.decode(row[row != ENDED]) for row in rows] == alone
    samples = draw_samples(sampler, encoder, length, Rules(), range(20))
    assert [sample.text for sample in samples] == alone
    for sample in samples:
        assert all(re.fullmatch(pattern, line) for line in sample.text.removesuffix("\n").split("\n"))
        assert (sample.reason == "length") == (len(sample.text) == length)
        assert sample.reason in ("length", "match")


@pytest.mark.parametrize(
    ("length", "text"), [(3, "aaa"), (4, "aaa\n"), (6, "aaa\n"), (7, "aaa\naaa"), (8, "aaa\naaa\n")]
)
def test_no_line_is_begun_that_the_length_would_cut(length, text):
    assert written(held_to("a{3}", length=length), LINED, length) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [(3, "aaa"), (4, "aaa"), (5, "aaa\r\n"), (7, "aaa\r\n"), (8, "aaa\r\naaa"), (10, "aaa\r\naaa\r\n")],
)
def test_no_length_cuts_a_crlf(length, text):
    assert written(held_to("a{3}", RETURNS, length=length), RETURNS, length) == text


def test_line_cut_within_crlf_matches_without_its_cr():
    match = LineMatch.build("ab*", RETURNS, ends_by_cr_lf=True)
    assert [match.fits(line) for line in ("ab\r", "ab", "b\r", "ab\r\r")] == [True, True, False, False]


def test_line_ends_only_by_a_whole_crlf():
    for pattern in ("a+", "[^b]*", "(a|b)+|"):
        sampler = held_to(pattern, RETURNS)
        texts = [written(sampler, RETURNS, length, number) for length in (1, 2, 9, 40) for number in range(20)]
        assert all(re.fullmatch(f"({pattern})(\r\n({pattern}))*(\r\n)?", text) for text in texts)
        assert not {"\n", "\r"} & set("".join(texts).replace("\r\n", ""))
    assert written(held_to("a+", RETURNS, prompt="aa\r"), RETURNS, 1) == "\n"


@pytest.mark.parametrize("pattern", [r"a\r", "a\r", r"a\r\r?"])
def test_pattern_with_the_cr_of_the_line_end_is_refused_with_a_hint(pattern):
    with pytest.raises(ConfigError, match=r"; the CR of a line's end is no part of the pattern$"):
        held_to(pattern, RETURNS)
    with pytest.raises(ConfigError, match="; none of them fits '"):
        held_to(pattern)


def test_is_cut_if_the_line_might_have_ended_or_gone_on():
    match = LineMatch.build("abc?|b", LINED)
    lines = ["", "a", "ab", "abc", "abcd", "b"]
    assert [*filter(match.is_cut, lines)] == ["ab"]
    assert [*filter(match.fits, lines)] == ["ab", "abc", "b"]


def test_sample_without_a_line_feed_ends_where_its_line_cannot_go_on():
    assert written(held_to("ab?c?", UNLINED, top_k=1), UNLINED, None) in ("abc", "ac")
    assert len(written(held_to("[a-c]+", UNLINED), UNLINED, 30)) == 30
    no_line_feed = tuple(range(1, 8))
    assert written(held_to("a{4}", allowed=no_line_feed), LINED, None) == "aaaa"


def test_endless_sample_continues_line_after_line():
    stream = held_to("b[ac]{2}").stream(None)
    text = LINED.decode([next(stream) for _ in range(4000)])
    assert re.fullmatch("(b[ac]{2}\n){1000}", text)


def test_forbidden_characters_are_no_way_to_a_match():
    """From an a on, three characters are left only by way of d."""
    allowed = tuple(i for i, character in enumerate(LINED.characters) if character != "d")
    for number in range(50):
        assert written(held_to("a(d|ccc)|[bc]cc", length=3, allowed=allowed), LINED, 3, number) in ("bcc", "ccc")
        assert written(held_to("a(d|e)|d|f", length=3, allowed=(1, 6)), LINED, 3, number) == "f"


def test_rare_character_id_matches_no_pattern():
    encoder = CharEncoder("ab", has_unknown=True)
    assert LineMatch.build(".", encoder).walk().open(1).tolist() == [True, True, False]


@pytest.mark.parametrize(
    "pattern", ["\u00df.*", "[^\u00df]*", "[\u00df\ufffd]b*", "(?i)\u0130?.b+", r"\w+", "\ufffd.*", "a.*"]
)
@pytest.mark.parametrize("prompt", ["\u00df", "a\n\u00df", "\u0130", "\ufffd", "a\u20ac", "\u00dfb\u00df"])
def test_rare_characters_of_a_prompt_match_as_themselves(pattern, prompt):
    match = LineMatch.build(pattern, CharEncoder("ab\n", has_unknown=True))
    line = prompt.rpartition("\n")[2]
    if any(re.fullmatch(pattern, line + rest) for rest in ("", "b", "bb")):
        walk = match.after(prompt, 9).walk()
        assert walk.open(1).tolist() == [
            bool(re.fullmatch(pattern, line if c == "\n" else line + c)) for c in "\nab"
        ] + [False]
        assert match.fits(line) == bool(re.fullmatch(pattern, line))
    else:
        with pytest.raises(ConfigError, match="the prompt begins no line that fits"):
            match.after(prompt, 9)


def test_last_line_of_the_prompt_is_part_of_the_first():
    assert written(held_to("abc", prompt="ddd\nab", length=2), LINED, 2) == "c\n"
    assert written(held_to("a+b", prompt="aa\n", length=2), LINED, 2) == "ab"
    without_d = tuple(i for i, character in enumerate(LINED.characters) if character != "d")
    assert written(held_to("dab", prompt="d", allowed=without_d), LINED, 20) == "ab\n"  # no other line can follow


@pytest.mark.parametrize(
    ("pattern", "prompt", "length", "allowed", "message"),
    [
        (
            "ab+",
            "abd",
            9,
            None,
            "the prompt begins no line that fits --match 'ab+': not with 'd' as character 3 of its",
        ),
        ("ab", "abc", None, None, "the prompt begins no line that fits --match 'ab': not with 'c' as character 3"),
        ("ax", "", 9, None, "no line with the model's characters fits --match 'ax'; none of them fits 'x'; `charrnn "),
        ("a", "", 9, (0, 2), "no line with the model's characters fits --match 'a'"),
        ("ab", "a", 9, (0, 1), "no line that goes on from the prompt with the model's characters fits --match 'ab'"),
        ("a{9}", "", 8, None, "--length is 8, and a line that fits --match 'a{9}' takes at least 9"),
        ("a{9}", "aa", 6, None, "--length is 6, and a line that fits --match 'a{9}' takes at least 7 more"),
    ],
)
def test_impossible_match_is_refused_before_drawing(pattern, prompt, length, allowed, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        held_to(pattern, prompt=prompt, length=length, allowed=allowed)


LISTED = "; `charrnn inspect` lists them, and --allow and --forbid take from them"


@pytest.mark.parametrize(
    ("pattern", "allowed", "hint"),
    [
        (r"\.[xyz]", None, f"none of them fits '.' or '[xyz]'{LISTED}"),
        ("uv(w|a)x?b", None, f"none of them fits 'u' or 'v' or 'w'{LISTED}"),
        ("ab", "b", f"none of them fits 'a'{LISTED}"),
        ("a[[:alpha:]]+", None, r"[:alpha:] is no class of Python's, but [A-Z], [a-z], \d and \w are"),
        ("/a.*/", None, "slashes around a pattern are a part of it"),
        ("/a.*", None, f"none of them fits '/'{LISTED}"),
    ],
)
def test_pattern_without_matching_lines_names_the_impossible_part(pattern, allowed, hint):
    with pytest.raises(ConfigError) as refused:
        held_to(pattern, allowed=allowed and LINED.encode_list(allowed))
    assert str(refused.value) == f"no line with the model's characters fits --match '{pattern}'; {hint}"


@pytest.mark.parametrize("encoder", [CharEncoder("ab\n"), RETURNS])
@pytest.mark.parametrize("pattern", ["a{2,3}", "a*|b", "(ab)+", "a?b?", "b[ab]b", "ba|"])
def test_may_hold_is_exact_for_short_texts(encoder, pattern):
    """All texts of up to three characters, looked for in all lines of up to four, three by three."""
    match = LineMatch.build(pattern, encoder, ends_by_cr_lf=encoder is RETURNS)
    words = ["".join(word) for size in range(5) for word in itertools.product("ab", repeat=size)]
    fitting = [word + ("\r\n" if encoder is RETURNS else "\n") for word in words if re.fullmatch(pattern, word)]
    texts = {"".join(lines) for lines in itertools.product(fitting, repeat=3)}
    for text in ("".join(text) for size in (1, 2, 3) for text in itertools.product(encoder.characters, repeat=size)):
        assert match.may_hold(text) == any(text in lines for lines in texts), text


def test_may_hold_ignores_paths_that_cannot_be_finished():
    match = LineMatch.build("ab|acd", LINED, tuple(LINED.encode_list("abc\n")))
    assert [match.may_hold(text) for text in ("ab", "\nab", "ac", "c")] == [True, True, False, False]


def test_log_probabilities_are_those_of_the_model():
    sampler = held_to("[ab]{5}", length=6)
    softmax = np.exp(LOGITS[LINED]) / np.exp(LOGITS[LINED]).sum()
    drawn = list(draw_characters(sampler, LINED, 6, Ending(Rules())))
    assert len(drawn) == 6
    for character, value in drawn:
        assert value == pytest.approx(np.log(softmax[LINED.characters.index(character)]))


FITTING_LINES = st.lists(st.sampled_from(["a", "bb", "\n"]), max_size=15).map("".join)


@given(FITTING_LINES, st.text("ab\n", min_size=1, max_size=4))
def test_line_cut_by_a_stop_is_kept_only_if_it_matches(text, stop):
    pattern = "(a|bb)*"
    match = LineMatch.build(pattern, LINED)
    ending, pieces = Ending(Rules(stops=(stop,), fits=match.fits)), []
    for character in text:
        pieces.append(ending.feed(character, 0.0))
        if ending.reason:
            break
    else:
        pieces.append(ending.finish())
    given_out = "".join(character for piece in pieces for character, _ in piece)
    if stop not in text:
        assert given_out == text
        return
    before = text[: text.index(stop)]
    lines = before.split("\n")
    assert given_out == (before if re.fullmatch(pattern, lines[-1]) else before[: len(before) - len(lines[-1])])
