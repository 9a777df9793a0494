"""Tables and sentences that fit a terminal, however narrow."""

import itertools
import re
import sys

import numpy as np
import pytest
from conftest import clean_environment, run_charrnn, save_like
from hypothesis import given
from hypothesis import strategies as st

from charrnn.analysis.embeddings import map_embeddings
from charrnn.analysis.novelty import Novelty
from charrnn.cli.inspector.alphabet_view import _draw_embeddings, _put
from charrnn.cli.inspector.novelty_view import _draw_novelty
from charrnn.cli.inspector.tables import format_columns, format_comparison, print_table
from charrnn.display.widths import text_width, wrapped
from charrnn.text.encoder import CharEncoder

HEAD = ["layer", "gate", "mean value", "cells always open"]
ROWS = [["0", "input", "0.53", "12 of 128"], ["1", "forget", "0.61", "3 of 128"]]


def test_table_head_is_one_line_several_or_sentences_by_width():
    assert format_columns(HEAD, ROWS, 80)[:2] == [
        "layer  gate    mean value  cells always open", "0      input   0.53        12 of 128",
    ]  # fmt: skip
    assert format_columns(HEAD, ROWS, 34) == [
        "layer  gate    mean   cells", "               value  always", "                      open",
        "0      input   0.53   12 of 128", "1      forget  0.61   3 of 128",
    ]  # fmt: skip
    assert format_columns(HEAD, ROWS, 30) == [
        "layer 0, gate input, mean", "  value 0.53, cells always", "  open 12 of 128",
        "layer 1, gate forget, mean", "  value 0.61, cells always", "  open 3 of 128",
    ]  # fmt: skip


def test_comparison_is_in_columns_rows_or_stacked_columns_by_width():
    names, rows = ["one", "another"], [["loss, nats", "1.2345", "2.3456"], ["perplexity", "3.437", "10.44"]]
    assert format_comparison([""], names, rows, 40) == [
        "            one     another", "loss, nats  1.2345  2.3456", "perplexity  3.437   10.44",
    ]  # fmt: skip
    many = [f"model-{number}" for number in range(9)]
    table = format_comparison(["model"], many, [[label, *[value] * 9] for label, value, _ in rows], 40)
    assert table[:2] == ["model    loss, nats  perplexity", "model-0  1.2345      3.437"]
    assert len(table) == 10
    assert format_comparison([""], names, rows, 22) == [
        "            one", "loss, nats  1.2345", "perplexity  3.437", "",
        "            another", "loss, nats  2.3456", "perplexity  10.44",
    ]  # fmt: skip
    assert format_comparison(["", ""], names, [["*", *row] for row in rows], 18)[:3] == [
        "one", "* loss, nats:", "  1.2345",
    ]  # fmt: skip


@given(st.text("ab 漢字éािी\u0947👍🏽", max_size=60), st.integers(10, 30), st.sampled_from([0, 4]))
def test_sentence_in_any_script_is_wrapped_without_loss(sentence, width, indent):
    lines = wrapped(sentence, width, indent)
    assert all(text_width(line) <= max(width, indent + 8) for line in lines)
    assert "".join("".join(lines).split()) == "".join(sentence.split())
    assert all(line.startswith(" " * indent) for line in lines if line)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(["a", "漢", "é", "□", "字", "◌\u0301", "\u115f\u1161"]))))
def test_row_of_a_map_keeps_its_width(puts):
    row = [" "] * 10
    for column, character in puts:
        _put(row, column, character)
    assert text_width("".join(row)) == 10
    assert not puts or puts[-1][1] in row


def test_columns_with_combining_marks_are_aligned():
    lines = format_columns(["character", "alike"], [["◌\u0301", "x"], ["e", "x"]], 40)
    assert lines[1:] == ["◌\u0301          x", "e          x"]


def test_longest_stretches_are_cut_by_columns():
    found = Novelty(characters=90, median=45, copied={}, longest=["漢字" * 45, "ก\u0e49" * 30])
    wide, narrow = _draw_novelty([found, found], "the sample", 40)[-2:]
    assert wide == "  90  " + "漢字" * 8 + "…"
    assert narrow == "  60  " + "ก\u0e49" * 30


words = st.text("abc 漢é", min_size=1, max_size=12).map(lambda text: text.strip() or "x")


@given(st.data(), st.integers(12, 90), st.integers(1, 4), st.integers(1, 4))
def test_no_table_is_too_wide_or_loses_a_cell(data, width, columns, rows):
    numbers = itertools.count(1000)
    head = [data.draw(words) for _ in range(columns + 1)]
    cells = [[str(next(numbers)) for _ in range(columns + 1)] for _ in range(rows)]
    for lines in (format_columns(head, cells, width), format_comparison(head[:1], head[1:], cells, width)):
        assert all(text_width(line) <= width for line in lines)
        assert set(re.findall(r"\d{4}", " ".join(lines))) == {cell for row in cells for cell in row}
    assert all(len(line) <= width for line in wrapped(" ".join(head * 9), width, indent=4))


VIEWS = [
    [], ["tanh.pt"], ["--neurons"], ["--gates"], ["--gradients"], ["--score", "words.txt"],
    ["tanh.pt", "--score", "words.txt"], ["tanh.pt", "--gradients"], ["--novelty", "200", "--embeddings"],
]  # fmt: skip


@pytest.mark.parametrize("width", [40, 80])
@pytest.mark.parametrize("arguments", VIEWS, ids=" ".join)
def test_every_inspect_output_fits_the_terminal(trained, arguments, width):
    (trained / "tanh.pt").write_bytes((trained / "words.pt").read_bytes())
    shown = in_terminal(trained, width, "words.pt", *arguments)
    too_wide = [line for line in shown.splitlines() if len(line) > width]
    assert not too_wide
    if not arguments:
        assert ("curves need 48 columns" in shown) == (width == 40)
        assert "␣" in shown.split("vocabulary")[1].split("most frequent")[0]


@pytest.mark.parametrize("width", [50, 60, 80])
def test_card_in_any_script_fits_its_terminal(trained, width):
    command = f"charrnn train  {'विद्यालय शृंखला मात्राएँ ❤️ 👍🏽 ' * 9}".rstrip()
    save_like(trained, "hindi.pt", made={"command": command})
    lines = in_terminal(trained, width, "hindi.pt").splitlines()
    assert max(map(text_width, lines)) <= width
    assert [line for line in lines if line.endswith(" ")] == [], "which would be copied along"
    start = next(place for place, line in enumerate(lines) if line.startswith("  by "))
    end = next(place for place, line in enumerate(lines) if line.startswith("trained "))
    told = " ".join([lines[start].removeprefix("  by"), *lines[start + 1 : end]])
    assert told.split() == command.split()
    assert "charrnn train  " in told, "as many blanks as were typed"


def test_table_names_are_dim_on_a_colour_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    for environment, line in (
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, "\x1b[2mname\x1b[0m  a"),
        ({"NO_COLOR": "1"}, "name  a"),
    ):
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        print_table([("name", "a " + "b" * 54)])
        assert capsys.readouterr().out.splitlines() == [line, "      " + "b" * 54]


def in_terminal(folder, width, *arguments):
    """The output on a terminal of that width, without colours."""
    environment = {**clean_environment(), "COLUMNS": str(width), "NO_COLOR": "1", "TERM": "xterm"}
    result = run_charrnn(folder, "inspect", *arguments, text=True, env=environment, prepare=seem_a_terminal)
    assert result.returncode == 0, result.stderr
    return re.sub(r"\x1b\[[0-9;]*m", "", result.stdout)


def seem_a_terminal():
    sys.stdout.isatty = lambda: True


def test_word_of_wide_blanks_is_measured_as_any_other():
    assert wrapped("\u3000 漢字漢字漢字漢字 a", 12) == ["\u3000", "漢字漢字漢字", "漢字 a"]


def test_long_word_is_cut_before_a_letter_and_not_before_its_vowel_sign():
    lines = wrapped("bcdefghनि नि", 8)
    assert lines == ["bcdefgh", "नि नि"]
    assert wrapped("a" + "ि" * 12 + "क", 8) == ["a" + "ि" * 7, "ि" * 5 + "क"], "one letter may be wider than a line"


def test_very_long_word_is_wrapped_quickly():
    """An alphabet has no spaces; quadratic time would be minutes."""
    word = "".join(map(chr, range(0x4E00, 0x4E00 + 20_000)))
    lines = wrapped(word, 40)
    assert {text_width(line) for line in lines} == {40}
    assert "".join(lines) == word


def test_map_of_an_alphabet_shows_its_blanks():
    alphabet = "ab \t\n"
    found = map_embeddings(np.random.default_rng(1).normal(size=(len(alphabet), 4)).astype(np.float32))
    drawn = _draw_embeddings(list(alphabet), found, list(range(len(alphabet))), 60, "character")
    assert all(sign in "".join(drawn) for sign in "␣→↵")
    assert "□" not in "".join(drawn)


def test_partial_bytes_of_a_character_are_listed_by_number():
    names = CharEncoder("\t\xa0\xad\xc3", unit="byte").names
    found = map_embeddings(np.random.default_rng(1).normal(size=(len(names), 4)).astype(np.float32))
    drawn = _draw_embeddings(names, found, list(range(len(names))), 60, "byte")
    assert sorted(line.split()[0] for line in drawn[-4:]) == ["<0xA0>", "<0xAD>", "<0xC3>", "tab"]
