import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.analysis.surprise import follow, mean_bits
from charrnn.display.card import spell
from charrnn.display.heatmap import (
    COLD_AND_HOT,
    HEAT,
    SHARES,
    Column,
    digit,
    draw,
    heat,
    heat_scale,
    in_eight_colours,
    paint,
    share_ground,
    signed_block,
    signed_colour,
    signed_scale,
)
from charrnn.display.widths import cut, text_width, with_bases
from charrnn.escape import visible
from charrnn.text.encoder import CharEncoder
from charrnn.text.unknowns import encode_known

ANY = st.text(st.characters(exclude_categories=[]), max_size=40)


def columns(text, rows=0):
    return [Column(character, 203, ("x",) * rows) for character in text]


def test_text_is_wrapped_at_the_width_and_after_line_feeds():
    assert draw(columns("abcdef\ngh"), 4, colour=False) == ["abcd", "ef↵", "gh"]
    assert draw(columns("ab\n", rows=2), 9, colour=False) == ["ab↵", "xxx", "xxx", ""]


def test_values_are_below_their_character_of_any_width():
    shown = draw([Column("漢", 0, ("1",)), Column("a", 0, ("字",)), Column("b", 0, ("2",))], 20, colour=False)
    assert shown == ["漢a b", "1 字2", ""]


def terminal_width(character):
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


@given(text=ANY, width=st.integers(8, 40), colour=st.booleans())
def test_no_text_controls_the_terminal_or_breaks_the_line(text, width, colour):
    lines = draw(columns(text, rows=1), width, colour=colour)
    for line in lines:
        plain = re.sub(r"\x1b\[38;5;16;48;5;\d+m|\x1b\[0m", "", line)
        assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 for c in plain)
        assert colour or plain == line
        assert sum(terminal_width(c) for c in plain) <= width


def test_guesses_are_shaded_by_probability():
    assert [share_ground(share) for share in (0.05, 0.1, 0.3, 0.5, 0.99)] == [0, 194, 157, 120, 77]
    column = Column("a", 0, ("b", "c"), (194, 0))
    assert draw([column], 9, colour=True) == ["a", "\x1b[38;5;16;48;5;194mb\x1b[0m", "c", ""]
    assert draw([column], 9, colour=False) == ["a", "b", "c", ""]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in heat_scale(colour=True, guesses=True)]
    assert plain == ["bits 012345678+", "guess 10%25%50%75%+"]
    bits, shares = heat_scale(colour=True, guesses=True)
    assert [int(ground) for ground in re.findall(r"48;5;(\d+)m", bits)] == [heat(n) for n in range(1, 9)]
    assert [int(ground) for ground in re.findall(r"48;5;(\d+)m", shares)] == [194, 157, 120, 77]
    assert heat_scale(colour=False, guesses=True) == ["digits: bits, 9 for nine or more"]


def test_markup_in_a_text_is_text():
    assert draw(columns("[red]x[/]"), 20, colour=False) == ["[red]x[/]"]


def test_colours_and_digits_rise_with_the_bits():
    assert [digit(b) for b in (0, 0.99, 1, 3.5, 9, 40)] == ["0", "0", "1", "3", "9", "9"]
    assert heat(0.5) == 0
    assert len({heat(b + 0.5) for b in range(9)}) == 9
    assert heat(99) == heat(8.5)
    assert (signed_block(-1), signed_block(1)) == ("▁", "█")
    assert signed_colour(0) == 0
    assert len({signed_colour(-1), signed_colour(-0.5), signed_colour(0.5), signed_colour(1)}) == 4


def test_scale_of_values_names_its_ends_and_negative_values():
    assert signed_scale(1.0, colour=False, has_negative=True) == "▁ -1, ▅ 0, █ 1"
    assert signed_scale(3.25, colour=False, has_negative=False) == "▅ 0, █ 3.25"
    drawn = signed_scale(1.0, colour=True, has_negative=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", drawn) == f"-1 {' ' * 5} 0 {' ' * 5} 1"
    grounds = [int(ground) for ground in re.findall(r"48;5;(\d+)m", drawn)]
    assert grounds == [signed_colour(fifths / 5) for fifths in range(-5, 6) if fifths]
    gate = signed_scale(1.0, colour=True, has_negative=False)
    assert [int(ground) for ground in re.findall(r"48;5;(\d+)m", gate)] == grounds[5:]
    assert gate.startswith("0 ")


def test_every_colour_has_an_equivalent_among_eight():
    for ground in filter(None, (*HEAT, *COLD_AND_HOT, *SHARES.values())):
        shown = in_eight_colours(paint("a", ground))
        assert re.fullmatch(r"\x1b\[(30;4[236]|37;4[14])ma\x1b\[0m", shown), "white on red and blue, to be read"


class AlwaysNext:
    """A model that gives a quarter to the next character of the alphabet, and the rest, evenly, to the others."""

    def __init__(self, vocab_size):
        from charrnn.config import ModelConfig

        self.config = ModelConfig(vocab_size=vocab_size, cell="rnn", hidden_size=1, num_layers=1, embedding_dim=1)

    def initial_state(self):
        return 0

    def forward(self, ids, state, _):
        size = self.config.vocab_size
        shares = np.full((len(ids), 1, size), 0.75 / (size - 1))
        shares[np.arange(len(ids)), 0, (ids[:, 0] + 1) % size] = 0.25
        return np.log(shares).astype(np.float32), state


@pytest.mark.parametrize("length", [3, 700])
def test_surprise_and_guesses_are_those_of_the_model(length):
    encoder = CharEncoder("\nabcd")
    text = ("abcd" * length)[:length]
    seen = follow(AlwaysNext(5), encoder, encode_known(text, encoder), first_id=0, price=9.0, top_k=2)
    assert [one.character for one in seen] == list(text)
    other = -np.log2(0.75 / 4)
    expected = [other if i and i % 4 == 0 else 2.0 for i in range(length)]
    assert [one.bits for one in seen] == pytest.approx(expected, abs=1e-5)
    assert [one.guesses[0] for one in seen[:3]] == [(c, pytest.approx(0.25)) for c in "abc"]
    assert mean_bits(seen) == pytest.approx(np.mean(expected), abs=1e-5)


def test_first_byte_of_a_multibyte_character_is_guessed():
    encoder = CharEncoder("\nab\xa4\xc3", "byte")  # ids in the order of bytes; the last two are those of ä, turned
    seen = follow(AlwaysNext(5), encoder, encode_known("äa", encoder), first_id=0, price=9.0, top_k=1)
    assert [(one.character, one.guesses[0][0]) for one in seen] == [("ä", "a"), ("a", "\udcc3")]


def test_unknown_character_has_its_price_and_no_guesses():
    encoder = CharEncoder("\nabcd")
    text = "aé\u2028b"
    seen = follow(AlwaysNext(5), encoder, encode_known(text, encoder), first_id=0, price=np.log(8), top_k=1)
    assert [one.bits for one in seen] == pytest.approx([2, 3, 3, 2], abs=1e-5)
    assert [len(one.guesses) for one in seen] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("text", "shown", "width"),
    [
        (unicodedata.normalize("NFD", "안"), "\u110b\u115f\u1161\u115f\u11ab", 6),
        ("\ud7b0", "\u115f\ud7b0", 2),
        ("a\u200db\u200cc\u00add", "a⁀b¦c¬d", 7),
        ("e\u0301", "e◌\u0301", 2),
        ("\u0600", "\u0600", 1),
        ("👍🏽", "👍🏽", 4),
    ],
)
def test_zero_width_character_gets_a_column(text, shown, width):
    drawn, digits, _ = draw([Column(character, 0, ("7",)) for character in text], 40, colour=False)
    assert drawn.rstrip() == shown
    assert sum(column.width for column in columns(text)) == width == text_width(shown)
    assert digits.count("7") == len(text)


@given(text=ANY, width=st.integers(0, 30))
def test_line_is_cut_only_if_too_wide(text, width):
    text = visible(text).replace("\n", "")
    line = cut(text, width)
    assert text_width(line) <= width
    assert line == text or (line.endswith("…" * (width > 0)) and text.startswith(line[:-1]))
    assert cut(text, 2 * len(text)) == text


def test_zero_width_characters_are_not_cut_from_their_letter():
    assert cut("ශ්‍රී ලංකා", 7) == "ශ්‍රී ලංකා"
    assert cut("ශ්‍රී ලංකා", 6) == "ශ්‍රී ලං…"


def test_only_marks_without_a_letter_get_a_circle():
    assert with_bases("next is \u0301") == "next is ◌\u0301"
    assert with_bases("cafe\u0301") == "cafe\u0301"
    assert [spell(c) for c in ("\u0301", "\u1161", "\u200d", "\n")] == [
        "◌\u0301",
        "\u115f\u1161",
        "⁀",
        "\\n",
    ]
