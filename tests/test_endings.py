"""Where a sample ends: rules against the plain text that was drawn."""

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from charrnn.generation.endings import Ending
from charrnn.generation.rules import KnownLines, Rules
from charrnn.surrogates import split_bytes

TEXTS = st.text("ab\n", max_size=40)


def feed(text, rules, beginning=""):
    """The pieces given out, and the ending afterwards."""
    ending, pieces = Ending(rules, beginning), []
    for number, character in enumerate(text):
        pieces.append(ending.feed(character, -float(number)))
        if ending.reason:
            return pieces, ending
    pieces.append(ending.finish())
    return pieces, ending


def joined(pieces):
    return "".join(character for piece in pieces for character, _ in piece)


@given(TEXTS, st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3))
def test_text_ends_before_its_first_stop_and_nothing_is_given_early(text, stops):
    pieces, ending = feed(text, Rules(stops=tuple(stops)))
    ends = [text.index(stop) + len(stop) for stop in stops if stop in text]
    expected = text
    if ends:
        drawn = text[: min(ends)]
        longest = max((stop for stop in stops if drawn.endswith(stop)), key=len)
        expected = drawn[: -len(longest)]
    assert joined(pieces) == expected
    assert (ending.reason == "stop") == bool(ends)
    given_so_far = ""
    for piece in pieces:
        given_so_far += joined([piece])
        assert expected.startswith(given_so_far)


@given(
    st.lists(TEXTS, max_size=5),
    st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3),
    st.integers(1, 9),
    st.text("ab\n", max_size=3),
)
@example(["a\n", "\nb"], ["\n\n", "a\n\n"], 2, "")
@example(["c\n"], [], 3, "ab")
def test_characters_taken_together_end_like_one_by_one(texts, stops, lines, beginning):
    stopped, fitting = {"stops": tuple(stops)}, {"fits": lambda line: True}
    kinds = [stopped, {**stopped, "keep_stop": True}, fitting]
    for rules in [*kinds, *({**kind, "lines": lines} for kind in kinds)]:
        pieces, alone = feed("".join(texts), Rules(**rules), beginning)
        together, taken = Ending(Rules(**rules), beginning), ""
        for text in texts:
            assert (together.takes_text, together.surplus) == (True, 0)
            together.feed_text(text)
            taken += text
            if together.reason:
                break
        assert together.finish() == []
        assert taken[: len(taken) - together.surplus] == joined(pieces)
        assert (together.reason, together.lines, together.stop) == (alone.reason, alone.lines, alone.stop)


@given(TEXTS, st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=3), st.none() | st.integers(1, 4))
def test_keep_stop_appends_the_stop_and_ends_the_text_alike(text, stops, lines):
    pieces, ending = feed(text, Rules(stops=tuple(stops), lines=lines, keep_stop=True))
    before, ending_before = feed(text, Rules(stops=tuple(stops), lines=lines))
    assert joined(pieces) == joined(before) + (ending.stop or "")
    assert (ending.reason, ending.stop) == (ending_before.reason, ending_before.stop)
    assert (ending.reason == "stop") == (ending.stop in stops)
    assert [len(piece) for piece in pieces[:-1]] == [1] * (len(pieces) - 1)


@pytest.mark.parametrize(
    ("text", "stop", "expected", "refused"),
    [
        ("new\nknown\n", "n\n", "new\n", 1),
        ("new\nknown.", ".", "new\nknown.", 0),
        ("new\nend.", ".", "new\n", 1),
        ("known\n\n", "\n\n", "", 1),
        ("new\n\n", "\n\n", "new\n\n", 0),
        ("new\nknown\nnext\n", "\n", "new\n", 0),
        ("known\nnew\nnext\n", "\n", "new\n", 1),
        ("new\nFIN", "FIN", "new\n", 0),
    ],
)
def test_kept_stop_is_left_out_with_its_line(text, stop, expected, refused):
    rules = Rules(stops=(stop,), keep_stop=True, known_lines=KnownLines({"known", "end.", "FINCH:"}))
    pieces, ending = feed(text, rules)
    assert (joined(pieces), ending.reason, ending.stop, ending.refused) == (expected, "stop", stop, refused)


def test_kept_stop_is_part_of_the_line_matched_by_a_pattern():
    rules = Rules(stops=(".",), keep_stop=True, fits=lambda line: line in ("ab", "ab."))
    for text, expected in [("ab\nax.", "ab\n"), ("ab\nab.", "ab\nab.")]:
        pieces, ending = feed(text, rules)
        assert (joined(pieces), ending.lines, ending.stop) == (expected, expected.count("a"), ".")


@pytest.mark.parametrize("stops", [("FINCH:", "\n\nFINCH:"), ("\n\nFINCH:", "FINCH:")])
def test_earliest_beginning_of_stops_ending_together_wins(stops):
    pieces, ending = feed("Now.\n\nFINCH: No", Rules(stops=stops))
    assert (joined(pieces), ending.reason) == ("Now.", "stop")


@given(TEXTS, st.integers(1, 4))
def test_lines_are_whole_and_counted(text, lines):
    pieces, ending = feed(text, Rules(lines=lines))
    assert joined(pieces) == "".join(text.splitlines(True)[:lines])
    assert (ending.reason == "lines") == (text.count("\n") >= lines)
    assert ending.lines == min(lines, text.count("\n")), "the last is not whole"


@given(TEXTS, st.sets(st.text("ab", min_size=1, max_size=3), max_size=4))
def test_known_lines_and_an_unfinished_beginning_of_one_are_left_out_and_counted(text, known):
    pieces, ending = feed(text, Rules(known_lines=KnownLines(known)))
    *whole, last = text.split("\n")
    kept, is_behind_gap = "", False
    for line in whole:
        kept += "" if line in known or (line == "" and is_behind_gap) else f"{line}\n"
        is_behind_gap = line in known or line == ""
    assert joined(pieces) == kept + ("" if any(line.startswith(last) for line in known) else last)
    assert ending.refused == sum(line in known for line in (*whole, last))


@given(TEXTS, st.sets(st.text("ab", min_size=1, max_size=3), max_size=4), st.text("ab\n", min_size=1, max_size=3))
def test_line_cut_by_a_stop_is_never_a_known_one(text, known, stop):
    pieces, ending = feed(text, Rules(known_lines=KnownLines(known), stops=(stop,)))
    *whole, last = joined(pieces).split("\n")
    assert not known & {*whole, last}
    if ending.reason == "stop" and stop.startswith("\n"):  # the last line is whole
        return
    assert not last or not any(line.startswith(last) for line in known)


@given(
    TEXTS,
    st.sets(st.text("ab", min_size=1, max_size=3), max_size=4),
    st.lists(st.text("ab\n", min_size=1, max_size=4), min_size=1, max_size=2),
)
def test_stop_is_found_after_a_known_line_that_is_left_out(text, known, stops):
    """It ends where the same text ends without known lines, and nothing of the stop is written."""
    assume("\n" not in stops)
    plain, plain_ending = feed(text, Rules(stops=tuple(stops)))
    pieces, ending = feed(text, Rules(stops=tuple(stops), known_lines=KnownLines(known)))
    assert (ending.reason, len(pieces)) == (plain_ending.reason, len(plain))
    assert {*joined(pieces).split("\n")} - {""} <= {*joined(plain).split("\n")}
    drawn = iter(number for piece in plain for _, number in piece)
    assert all(number in drawn for piece in pieces for _, number in piece), "all of it stands in the other, in order"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("fits", [None, bool])
def test_record_ends_after_a_last_line_that_is_left_out(end, fits):
    rules = Rules(stops=(end * 2,), known_lines=KnownLines({"known"}), fits=fits)
    pieces, ending = feed(f"new{end}known{end}{end}next{end}", rules)
    assert joined(pieces) == f"new{end}"
    assert (ending.reason, ending.refused) == ("stop", 1)
    pieces, ending = feed(f"known{end}known{end}{end}next{end}", rules)
    assert (joined(pieces), ending.reason, ending.refused) == ("", "stop", 2)
    pieces, ending = feed(f"known{end}new{end}{end}next{end}", rules)
    assert (joined(pieces), ending.reason, ending.refused) == ("new", "stop", 1)


@pytest.mark.parametrize(
    ("text", "stops", "known", "expected"),
    [
        ("a\n\n\nbb\n\n\naab\n\n", ("\n\na", "\nbab"), {"a", "ab"}, "bb\n"),
        ("\n\nb\nbaaabbba\n\n", ("\n\nb\nb", "\na\naa"), {"a"}, ""),
    ],
)
def test_left_out_text_is_not_part_of_a_stop(text, stops, known, expected):
    pieces, ending = feed(text, Rules(stops=stops, known_lines=KnownLines(known)))
    assert (joined(pieces), ending.reason) == (expected, "stop")


def test_known_line_is_left_out_though_the_line_feed_before_it_might_begin_a_stop():
    pieces, ending = feed("x\na\ny", Rules(known_lines=KnownLines({"a"}), stops=("\nb",)))
    assert joined(pieces) == "x\ny"
    assert ending.refused == 1


@given(TEXTS, st.sets(st.text("ab", min_size=1, max_size=3), max_size=4))
def test_only_beginnings_of_known_lines_are_held_back(text, known):
    ending, given_out = Ending(Rules(known_lines=KnownLines(known))), ""
    for number, character in enumerate(text):
        given_out += joined([ending.feed(character, 0.0)])
        line = text[: number + 1].rpartition("\n")[2]
        is_held = any(other.startswith(line) for other in known)
        assert given_out.endswith(line) or is_held
        assert not (line and is_held) or given_out[-1:] in ("", "\n")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("beginning", ["", "c{}"])
def test_line_end_stop_does_not_count_after_a_left_out_line(end, beginning):
    rules = Rules(stops=("\r\n", "\n"), known_lines=KnownLines({"a", "b"}), unique=True)
    text = end.join(["a", "", "b", "c", "ab", "next"]) if beginning else end.join(["a", "", "b", "ab", "next"])
    pieces, ending = feed(text, rules, beginning.format(end))
    assert (joined(pieces), ending.reason, ending.refused, ending.repeated) == ("ab", "stop", 2, int(beginning != ""))
    assert joined(feed(f"{end}a{end}", rules)[0]) == "", "an empty line that is kept ends it"


@given(st.lists(st.text("ab", min_size=1, max_size=3)), st.sets(st.text("ab", min_size=1, max_size=3), max_size=4))
def test_line_end_stop_gives_the_same_line_as_lines_one(lines, known):
    text, known_lines = "".join(f"{line}\n" for line in lines), KnownLines(known)
    stopped, by_stop = feed(text, Rules(stops=("\n",), known_lines=known_lines))
    counted, by_lines = feed(text, Rules(lines=1, known_lines=known_lines))
    assert joined(counted) == (joined(stopped) + "\n" if by_lines.reason else "")
    assert (by_stop.reason == "stop") == (by_lines.reason == "lines")
    assert by_stop.refused == by_lines.refused


def test_line_ended_by_a_stop_is_whole_though_a_known_one_begins_so():
    pieces, _ = feed("Ann\n", Rules(stops=("\n",), known_lines=KnownLines({"Anna"})))
    assert joined(pieces) == "Ann"
    pieces, _ = feed("Ann\r\n", Rules(stops=("\r\n",), known_lines=KnownLines({"Anna"})))
    assert joined(pieces) == "Ann"
    pieces, _ = feed("Ann.", Rules(stops=(".",), known_lines=KnownLines({"Anna"})))
    assert joined(pieces) == ""


@pytest.mark.parametrize(("text", "is_begun"), [("An.", True), (".", False), ("x\n.", False), ("B.", False)])
def test_left_out_beginning_counts_only_if_something_was_drawn(text, is_begun):
    _, ending = feed(text, Rules(stops=(".",), known_lines=KnownLines({"Anna"})))
    assert (ending.reason, ending.is_begun_left_out) == ("stop", is_begun)


def test_pattern_line_cut_by_a_stop_is_given_whole_or_not_at_all():
    rules = Rules(stops=(".",), fits=lambda line: line in ("ab", "abc"))
    for text, expected in [("ab\nax.", "ab\n"), ("ab\nab.", "ab\nab"), ("ab\nabc", "ab\nabc")]:
        pieces, ending = feed(text, rules)
        assert joined(pieces) == expected
        assert ending.lines == expected.count("a")
    assert joined(feed("ab\nab", rules)[0][:-1]) == "ab\n", "until then a stop may still cut it"


@pytest.mark.parametrize(
    ("beginning", "text", "stops", "expected", "lines"),
    [("a\nab", "", (), "", 1), ("ab\n", "", (), "", 0), ("ab", "x.", (".",), "", 0), ("a", "b.", (".",), "b", 1)],
)
def test_pattern_line_complete_in_the_prompt_counts(beginning, text, stops, expected, lines):
    pieces, ending = feed(text, Rules(stops=stops, fits=lambda line: line in ("", "ab")), beginning)
    assert (joined(pieces), ending.lines) == (expected, lines)


@pytest.mark.parametrize(
    ("beginning", "text", "lines"),
    [("", "ab\nabb", 1), ("", "ab\naab", 2), ("ab", "b", 0), ("b\na", "b", 1), ("a\n", "abb", 0), ("abb", "", 0)],
)
def test_last_pattern_line_is_whole_unless_cut_by_the_length(beginning, text, lines):
    held = {"fits": lambda _: True, "is_cut": lambda line: line == "abb"}
    for rules in (Rules(**held), Rules(unique=True, **held)):
        pieces, ending = feed(text, rules, beginning)
        assert (joined(pieces), ending.lines) == (text, lines)
    together = Ending(Rules(**held), beginning)
    for piece in (text[:1], text[1:]):
        together.feed_text(piece)
    together.finish()
    assert together.lines == lines


def test_last_pattern_line_is_kept_though_a_known_one_begins_so():
    pieces, ending = feed("Ann", Rules(known_lines=KnownLines({"Anna"}), fits=lambda _: True))
    assert (joined(pieces), ending.lines) == ("Ann", 1)


@given(TEXTS, st.text("ab\n", max_size=6))
@example("a\nab\nb", "a\na")
@example("\na", "a\na")  # what a prompt has begun is no repeat
@example("ab\nab\na", "b\n")
def test_unique_keeps_no_line_twice_and_no_empty_line_after_a_gap(text, beginning):
    pieces, ending = feed(text, Rules(unique=True), beginning)
    *before, begun = beginning.split("\n")
    *whole, last = text.split("\n")
    kept, left_out, lines, is_behind_gap, written = "", 0, 0, False, {*before}
    for number, line in enumerate(whole):
        own = begun + line if number == 0 else line
        is_repeat = own in written - {""} and not (begun and number == 0)
        left_out += is_repeat
        lines += own != "" and not is_repeat
        kept += "" if is_repeat or (own == "" and is_behind_gap) else f"{line}\n"
        is_behind_gap = is_repeat or own == ""
        written.add(own)
    is_begun = bool(begun) and not whole
    may_repeat = last != "" and not is_begun and any(line.startswith(last) for line in written)
    assert joined(pieces) == kept + ("" if may_repeat else last)
    assert ending.repeated == left_out + (may_repeat and last in written)
    assert (ending.refused, ending.lines) == (0, lines)


@pytest.mark.parametrize("stops", [(), ("\n\n\n",)])
def test_unique_does_not_pile_up_blank_lines_of_repeated_verses(stops):
    verses = "Row\nThe boat\n\nRow\nThe sea\n\n"
    pieces, ending = feed(3 * verses + "The end\n\n", Rules(unique=True, lines=4, stops=stops))
    assert joined(pieces) == "Row\nThe boat\n\nThe sea\n\nThe end\n"
    assert (ending.reason, ending.lines, ending.repeated) == ("lines", 4, 9)


def test_unique_leaves_out_a_repeat_partly_given_early():
    pieces, ending = feed("ab\r\naa\r\nab\r\nba\r\n", Rules(unique=True, lines=3))
    given_out = "a b \r \n - aa \r \n - - - - b a \r \n".replace("-", "").split(" ")
    assert [joined([piece]) for piece in pieces] == given_out
    assert (ending.reason, ending.repeated, ending.take_refused()) == ("lines", 1, "ab\r\n")


@pytest.mark.parametrize("stop", ["\n\n", "\n\nc", "\n-", "\r\n\r\n"])
def test_unique_line_before_a_stop_is_no_repeat_of_a_longer_one(stop):
    pieces, ending = feed(f"abc\nab{stop}", Rules(unique=True, stops=(stop,)))
    assert (joined(pieces), ending.lines, ending.repeated) == ("abc\nab", 2, 0)
    pieces, ending = feed(f"abc\nabc{stop}", Rules(unique=True, stops=(stop,)))
    assert (joined(pieces), ending.lines, ending.repeated) == ("abc\n", 1, 1)


def test_known_lines_ignore_surrounding_spaces_but_not_case():
    rules = Rules(known_lines=KnownLines([" a ", "\tb b", "  "]), unique=True)
    pieces, ending = feed("a\n a\nb b  \nb  b\nA\n b  b \n  \nb b c\na ", rules)
    assert joined(pieces) == "b  b\nA\nb b c\n"
    assert (ending.refused, ending.repeated) == (4, 1)


def test_line_of_spaces_counts_as_empty_if_known_lines_are_left_out():
    pieces, ending = feed("a\n  \n \r\nb\n \n\t\nc\n", Rules(known_lines=KnownLines({"a"}), lines=2))
    assert (joined(pieces), ending.lines, ending.refused) == ("b\n \nc\n", 2, 1)
    pieces, ending = feed("a\n \nb\n", Rules(known_lines=KnownLines({"a"}), stops=("\n",)))
    assert (joined(pieces), ending.reason) == ("b", "stop")


def test_blank_line_never_counts_whether_or_not_begun_by_the_prompt():
    for drawn in (" \nb\n", "\nb\n"):
        pieces, ending = feed(drawn, Rules(unique=True, lines=1), beginning="a\n ")
        assert (joined(pieces), ending.lines, ending.reason) == (drawn, 1, "lines")
    pieces, _ = feed(" \n \nb\n ", Rules(unique=True), beginning="a\n ")
    assert joined(pieces) == " \nb\n", "no second one follows it"


@pytest.mark.parametrize("rules", [Rules(known_lines=KnownLines({"a", "aéaé"})), Rules(unique=True)])
def test_beginning_of_a_known_line_cut_within_a_character_is_left_out(rules):
    for end in ("aé", "aé".encode()[:2].decode("utf-8", "surrogateescape")):
        pieces, ending = feed(split_bytes("aéaé\n") + split_bytes(end), rules)
        assert (joined(pieces).rpartition("\n")[2], ending.is_begun_left_out) == ("", True)


@pytest.mark.parametrize(
    ("text", "given_out"), [("a  ", ""), (" a ", ""), (" a  c", " a  c"), ("ab", ""), (" b", " b")]
)
def test_spaces_are_held_back_while_a_known_line_may_follow(text, given_out):
    ending = Ending(Rules(known_lines=KnownLines(["a", "abc"])))
    assert "".join(joined([ending.feed(character, 0.0)]) for character in text) == given_out


def test_known_and_repeated_lines_are_counted_apart():
    rules = Rules(unique=True, known_lines=KnownLines({"a"}), lines=3)
    pieces, ending = feed("a\nb\na\nb\n\nab\nb\naa\n", rules)
    assert joined(pieces) == "b\nab\naa\n"
    assert (ending.refused, ending.repeated, ending.lines) == (2, 2, 3)


def test_carriage_return_is_part_of_the_line_end():
    pieces, ending = feed("a\r\nb\r\na\rb\na\r", Rules(known_lines=KnownLines({"a"})))
    assert joined(pieces) == "b\r\na\rb\n"
    assert ending.refused == 2


def test_known_lines_do_not_count_as_lines():
    pieces, ending = feed("a\nb\na\nab\nb\n", Rules(lines=2, known_lines=KnownLines({"a"})))
    assert joined(pieces) == "b\nab\n"
    assert (ending.reason, ending.refused) == ("lines", 2)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_empty_lines_do_not_count_or_gather_when_known_lines_are_left_out(end):
    lines = ["b", "", "", "a", "", "c", "", "b", "", "b"]
    text = "".join(line + end for line in lines)
    pieces, ending = feed(text, Rules(lines=3, known_lines=KnownLines({"", "a"})))
    assert joined(pieces) == end.join(["b", "", "c", "", "b", ""])
    assert (ending.reason, ending.refused, ending.lines) == ("lines", 1, 3)
    assert ending.take_refused() == end + "a" + end + end, "what is left out does not count"
    pieces, ending = feed(text, Rules(lines=3))
    assert joined(pieces) == end.join(["b", "", "", ""])


def test_empty_line_after_an_unfinished_prompt_line_counts():
    pieces, ending = feed("\nb\n", Rules(known_lines=KnownLines({"a"})), beginning="c")
    assert (joined(pieces), ending.lines) == ("\nb\n", 2)


def test_prompt_is_part_of_the_first_line():
    pieces, ending = feed("na\nna\n", Rules(known_lines=KnownLines({"Anna"})), beginning="Hello\nAn")
    assert joined(pieces) == "na\n"
    assert ending.refused == 1
    _, ending = feed("", Rules(known_lines=KnownLines({"Anna"})), beginning="Anna")
    assert ending.refused == 0, "nothing was drawn of it"


def test_prompt_is_part_of_the_first_line_only():
    pieces, ending = feed("x\nna\n", Rules(known_lines=KnownLines({"Anna"})), beginning="An")
    assert joined(pieces) == "x\nna\n"
    assert ending.refused == 0


@given(TEXTS)
def test_values_stay_with_their_characters(text):
    pieces, _ = feed(text, Rules(stops=("ab",), known_lines=KnownLines({"b"})))
    assert all(text[int(-value)] == character for piece in pieces for character, value in piece)


@pytest.mark.parametrize("rules", [Rules(stops=("x",)), Rules(lines=1), Rules(known_lines=KnownLines([]))])
def test_rules_know_whether_there_are_any(rules):
    assert Rules().are_none
    assert not rules.are_none
