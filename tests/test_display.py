import dataclasses
import json
import sys

import pytest
from conftest import make_text
from hypothesis import given
from hypothesis import strategies as st
from runs import REPORT

from charrnn.analysis.features import name_character
from charrnn.cli.common.streams import print_path
from charrnn.display.card import spell
from charrnn.display.console import LiveDisplay
from charrnn.display.curves import BLOCKS, CURVE_HEIGHT, MIN_WIDTH, Curve, history_curve, plot, sparkline
from charrnn.display.plain import JsonDisplay, PlainDisplay
from charrnn.display.widths import text_width
from charrnn.escape import one_line, visible
from charrnn.metrics import HistoryRow
from charrnn.text.encoder import RARE
from charrnn.wording import describe_loss, format_seconds, number_of


def row(step, train_loss, val_loss):
    return HistoryRow(step=step, epoch=1, train_loss=train_loss, val_loss=val_loss, learning_rate=1, seconds=1)


def test_curve_falls_from_the_first_to_the_last_loss():
    lines = history_curve([row(100, 3.0, 2.0), row(200, 2.0, 1.5), row(400, 1.0, 1.2)], 60)
    assert len(lines) == CURVE_HEIGHT + 3 + 3, "the learning rate's three lines are below"
    assert all(len(line) <= 60 for line in lines)
    assert lines[1].split()[0] == "3.000"
    assert lines[CURVE_HEIGHT].split()[0] == "1.000"
    columns = [
        [y for y, line in enumerate(lines[1 : CURVE_HEIGHT + 1]) if line[10:][x : x + 1] == "●"] for x in range(50)
    ]
    heights = [ys[0] for ys in columns if ys]
    assert heights == sorted(heights)
    assert "step 400" in lines[CURVE_HEIGHT + 2]


def test_learning_rate_is_drawn_below_in_blocks():
    rows = [dataclasses.replace(row(100 * k, 2.0, 2.0), learning_rate=rate) for k, rate in enumerate((3, 4, 2, 0), 1)]
    headline, rates = history_curve(rows, 60)[-2:]
    assert headline == "learning rate, 4 to 0", "the highest, though the first is one of the warm-up's"
    assert max(rates.split("┤")[1]) == BLOCKS[-1]
    assert rates[-1] == BLOCKS[0]
    assert sparkline([0, 1, 2, None, 9], 2) == "▁▅█ █"


def test_baseline_is_drawn_as_a_level():
    rows = [row(100, 3.0, 2.0), row(200, 2.0, 1.5), row(400, 1.0, 1.2)]
    drawn = history_curve(rows, 60, baseline=2.0)[1 : CURVE_HEIGHT + 1]
    assert [index for index, line in enumerate(drawn) if "┄┄┄" in line] == [round((3 - 2) / 2 * (CURVE_HEIGHT - 1))]
    assert "6-gram" in history_curve(rows, 60, baseline=2.0)[0]
    for baseline, place in ((0.5, CURVE_HEIGHT - 1), (90.0, 0)):
        drawn = history_curve(rows, 60, baseline=baseline)[1 : CURVE_HEIGHT + 1]
        assert [index for index, line in enumerate(drawn) if "┄┄┄" in line] == [place]
        assert drawn[place].split()[0] == f"{baseline:.3f}"


def test_overlapping_curves_take_turns_by_column():
    curves = [Curve(mark, mark, [(0, 1.0), (50, 0.0)]) for mark in "abc"]
    lines = plot([*curves, Curve("d", "d", [(0, 0.0)])], 61, title="", x_range=(0, 50), labels=("", ""))
    drawn = "".join(line[10:] for line in lines[1 : CURVE_HEIGHT + 1])
    assert [drawn.count(mark) for mark in "abcd"] == [17, 17, 17, 1]
    assert lines[2].endswith("┤   abcabc")


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50)), max_size=12), st.integers(10, 120))
def test_any_history_fits_any_width(losses, width):
    lines = history_curve([row(10 * (k + 1), a, b) for k, (a, b) in enumerate(losses)], width)
    assert all(len(line) <= width for line in lines)
    assert bool(lines) == (len(losses) >= 2 and width >= MIN_WIDTH)


def test_long_legend_is_wrapped_whole():
    curves = [Curve(f"model {number}", mark, [(0, 1.0), (9, number)]) for number, mark in enumerate("abcdef")]
    lines = plot(curves, 40, title="loss", x_range=(0, 9), labels=("0", "9"))
    head = lines[: len(lines) - CURVE_HEIGHT - 2]
    assert len(head) > 1
    assert max(map(len, lines)) <= 40
    assert [f"{curve.mark} {curve.name}" in "\n".join(head) for curve in curves] == [True] * 6


def test_plain_display_prints_one_line_per_evaluation(capsys):
    display = PlainDisplay(sys.stdout, shows_samples=True)
    display.update(dataclasses.replace(REPORT, val_loss=None))
    display.update(REPORT)
    display.sample(1200, "a\nb\x1b[2J")
    evaluation, sample = capsys.readouterr().out.splitlines()
    assert evaluation == (
        "step 1,200, epoch 1.50, 25%: training 2.0000, validation 1.5000 nats (perplexity 4.48, 2.164 bits per "
        "character), best so far; 34,568 char/s, 3 min 05 s left"
    )
    assert sample == "step 1,200 writes: a\\nb␛[2J"


def test_control_characters_in_file_names_are_escaped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name, shown = "ev\x1b[31mil\x1b]0;PWN\x07.pt", "ev␛[31mil␛]0;PWN␇.pt"
    for display in (PlainDisplay(sys.stdout, shows_samples=False), LiveDisplay(sys.stdout)):
        display.note(f"{name}: a note")
        assert capsys.readouterr().out == f"{shown}: a note\n"
    print_path(name)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_path(name)
    assert capsys.readouterr().out == f"{name}\n{shown}\n", "to a pipe its own bytes"


def test_bytes_and_huge_figures_are_readable(capsys):
    display = PlainDisplay(sys.stdout, shows_samples=False)
    display.unit = "byte"
    display.update(dataclasses.replace(REPORT, val_loss=311.0))
    told = capsys.readouterr().out
    assert "311.0000 nats (perplexity 1.2e+135, 448.678 bits per byte)" in told
    assert "34,568 bytes/s" in told


def test_plain_display_prints_a_line_a_minute_between_evaluations(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("charrnn.display.plain.time.monotonic", lambda: clock[-1])
    display = PlainDisplay(sys.stdout, shows_samples=False)
    between = dataclasses.replace(REPORT, val_loss=None)
    for seconds, report in (
        (159, between),
        (161, between),
        (170, between),
        (222, between),
        (222, REPORT),
        (270, between),
    ):
        clock.append(seconds)
        display.update(report)
    lines = capsys.readouterr().out.splitlines()
    expected = "step 1,200, epoch 1.50, 25%: training 2.0000; 34,568 char/s, 3 min 05 s left"
    assert [line == expected for line in lines] == [True, True, False]


def test_plain_line_omits_unknown_figures(capsys, monkeypatch):
    monkeypatch.setattr("charrnn.display.plain.LINE_EVERY", 0.0)
    display = PlainDisplay(sys.stdout, shows_samples=False)
    unknown = dataclasses.replace(REPORT, train_loss=None, chars_per_second=None)
    display.update(unknown)
    display.update(dataclasses.replace(unknown, val_loss=None))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("step 1,200, epoch 1.50, 25%: validation 1.5000 nats (")
    assert line.endswith("), best so far; 3 min 05 s left")


def test_json_display_has_requested_samples(capsys):
    display = JsonDisplay(sys.stdout, "m.pt", shows_samples=True)
    display.sample(40, "to be,\nor")
    assert json.loads(capsys.readouterr().out) == {"step": 40, "sample": "to be,\nor"}
    assert not JsonDisplay(sys.stdout, "m.pt").shows_samples


def test_json_lines_are_objects_and_the_last_has_the_path(capsys):
    display = JsonDisplay(sys.stdout, "m.pt")
    display.update(REPORT)
    display.update(dataclasses.replace(REPORT, val_loss=None))
    display.update(dataclasses.replace(REPORT, is_last=True, ended_by="divergence"))
    display.update(dataclasses.replace(REPORT, is_last=True))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("checkpoint") for line in lines] == [None, None, None, "m.pt"], "none where it gives up"
    assert lines[0]["val_perplexity"] == pytest.approx(4.4817, abs=1e-4)
    assert lines[1]["val_loss"] is None
    assert lines[1]["val_bits_per_char"] is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7800, "2 h 10 min")]
)
def test_seconds_are_formatted_in_words(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("number", "told"),
    [(1, "1 epoch"), (1.0, "1 epoch"), (0.5, "0.5 epochs"), (7, "7 epochs"), (1234567.0, "1,234,567 epochs")],
)
def test_numbers_of_things_are_formatted_in_words(number, told):
    assert number_of(number, "epoch") == told


def test_loss_is_shown_with_perplexity_and_bits():
    assert describe_loss(1.4123, "character") == "1.4123 nats (perplexity 4.11, 2.038 bits per character)"


@given(st.text(st.characters(exclude_categories=[])))
def test_escaped_text_is_printable_and_harmless(text):
    for shown in (visible(text), one_line(text)):
        shown.encode("utf-8")
        assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in shown)
    assert "\n" not in one_line(text)


@pytest.mark.parametrize(
    "text",
    [
        "\u0600\u06f1 \u06dd\u0661 \u070f \u08e2 \U000110bd",  # signs that stand before numbers
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",  # Scotland's flag
    ],
)
def test_visible_format_characters_are_kept(text):
    assert visible(text) == text


def test_flag_tag_characters_are_named():
    assert one_line("\U0001f3f4\U000e0067\U000e007f\U000e0020") == "\U0001f3f4<U+E0067><U+E007F><U+E0020>"


def test_carriage_return_is_shown_unless_a_line_feed_follows():
    assert visible("a\r\nb\rc\r") == "a\nb\u240dc\u240d"
    assert one_line("a\r\n") == "a\u240d\\n"


def test_ordinary_text_is_shown_unchanged():
    text = make_text(200) + "é漢👩‍👩‍👧 [bold]:smile:"
    assert visible(text) == text


def test_rare_character_mark_in_a_text_with_ufffd_is_shown_as_that():
    assert visible("a\udfffb") == one_line("a\udfffb") == "a\ufffdb"
    assert visible("\udc80\udce9\udcff") == one_line("\udc80\udce9\udcff") == "<0x80><0xE9><0xFF>", (
        "bytes that are no text"
    )


def test_every_blank_of_an_alphabet_is_visible():
    alphabet = " \t\n\r\N{NO-BREAK SPACE}\N{IDEOGRAPHIC SPACE}\N{SOFT HYPHEN}é"
    shown = [" ", "\\t", "\\n", "\u240d", "<U+00A0>", "<U+3000>", "¬", "é"]
    assert [spell(character) for character in alphabet] == shown
    assert [name_character(character) for character in "\t \N{IDEOGRAPHIC SPACE}é"] == ["tab", "space", "<U+3000>", "é"]
    assert spell(name_character(RARE)) == RARE


def test_legend_of_wide_names_fits():
    curves = [
        Curve(name * 14, mark, [(0, 1.0), (1, 2.0)]) for name, mark in (("漢", "●"), ("字", "○"), ("語語語", "◆"))
    ]
    lines = plot(curves, 60, title="nats", x_range=(0, 1), labels=("a", "b"))
    assert all(text_width(line) <= 60 for line in lines)
    assert len(lines) == 3 + CURVE_HEIGHT + 2, "two names do not fit beside each other"
