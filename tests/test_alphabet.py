from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import ConfigError
from charrnn.text.alphabet import RARE_SHARE, SMALL_VOCAB, choose_alphabet, counts_by_id
from charrnn.text.char_counter import CharCounter
from charrnn.text.encoder import CharEncoder, code_points
from charrnn.text.options import TextOptions
from charrnn.text.read_options import ReadOptions


def count(text):
    tally = CharCounter(0)
    tally.add(code_points(text))
    return tally.counts


def choose(text, **flags):
    return choose_alphabet(count(text), ReadOptions(**flags))


@given(st.text("abcdef", min_size=1), st.integers(1, 9), st.integers(1, 7))
def test_commonest_characters_are_kept(text, min_count, max_vocab):
    ranked = sorted(Counter(text).items(), key=lambda item: (-item[1], item[0]))
    kept = {character for character, times in ranked[:max_vocab] if times >= min_count}
    if not kept:
        return
    encoder = choose(text, min_count=min_count, max_vocab=max_vocab)
    assert set(encoder.characters) == kept
    assert encoder.has_unknown == (kept != set(text))
    by_id = counts_by_id(count(text), encoder)
    assert (
        by_id == [text.count(c) for c in encoder.characters] + [sum(c not in kept for c in text)] * encoder.has_unknown
    )


def test_small_alphabet_is_kept_whole():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + SMALL_VOCAB)))
    assert choose(text).characters == text


def test_large_alphabet_loses_at_most_a_thousandth_of_the_text():
    """A power law, as in a novel whose rarest characters occur once."""
    times = [round(60_000 / rank**1.3) for rank in range(1, 4001)]
    text = "".join(chr(0x4E00 + rank) * number for rank, number in enumerate(times))
    encoder = choose(text)
    *of_kept, lost = counts_by_id(count(text), encoder)
    assert encoder.has_unknown
    assert 0 < lost <= RARE_SHARE * len(text)
    counted = Counter(text)
    assert of_kept == [counted[character] for character in encoder.characters]
    fewest = min(of_kept)
    assert lost + fewest > RARE_SHARE * len(text), "one character less would lose too much"
    assert not choose(text, min_count=1).has_unknown


@pytest.mark.parametrize("feeds", [0, 1, 500])
def test_large_alphabet_keeps_the_line_feed_unless_limited_by_a_flag(feeds):
    """In addition to the characters that make up the text, if it is none of them."""
    text = "".join(chr(0x4E00 + rank) * (2000 if rank < 1200 else 1) for rank in range(2000))
    kept = set(choose(text + "\n" * feeds).characters)
    assert ("\n" in kept) == bool(feeds)
    assert kept - {"\n"} == set(choose(text).characters)
    assert "\n" not in choose(text + "\n" * feeds, max_vocab=1200).characters
    assert "\n" not in choose(text + "\n" * feeds, min_count=501).characters


@pytest.mark.parametrize("text", ["x", "xy" * 500_000])
def test_texts_of_one_or_two_characters_have_their_alphabet(text):
    assert choose(text).characters == "".join(sorted(set(text)))


@pytest.mark.parametrize("options", [{"min_count": 3}, {"max_vocab": 2}, {"min_count": 9, "max_vocab": 1}])
def test_needed_character_is_kept_however_rare(options):
    encoder = choose("aaaabbbc\n", options=TextOptions(lines=True), **options)
    assert "\n" in encoder.characters
    assert len(encoder.characters) <= options.get("max_vocab", 9)


def test_empty_alphabet_is_refused():
    with pytest.raises(
        ConfigError, match="--min-count 9 leaves no character of the text, whose commonest stands in it 4"
    ):
        choose("aaaabb", min_count=9)


@pytest.mark.parametrize(
    ("options", "characters", "has_unknown"),
    [
        ({}, "abcxyz", False),
        ({"max_vocab": 1}, "abcx", True),
        ({"max_vocab": 2}, "abcxy", True),
        ({"min_count": 2}, "abcxy", True),
        ({"min_count": 9}, "abc", True),
    ],
)
def test_known_alphabet_is_extended_only_by_chosen_new_characters(options, characters, has_unknown):
    encoder = choose("aaaaaaabbbbxxxyyz", known=CharEncoder("abc"), **options)
    assert (encoder.characters, encoder.has_unknown) == (characters, has_unknown)
    assert not choose("aab", known=CharEncoder("abc"), **options).has_unknown, "nothing is new"
    assert choose("aabx", known=CharEncoder("abc", has_unknown=True), **options).has_unknown
