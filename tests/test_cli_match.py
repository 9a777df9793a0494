"""`charrnn sample --match` as a user and a script run it: every line that is written fits, or nothing is written."""

import json
import re
import shlex
import string

import pytest
from conftest import run_charrnn, train_briefly

from charrnn.cli.sampler.prompts import check_novel
from charrnn.errors import ConfigError
from charrnn.generation.patterns import parse_pattern
from charrnn.generation.rules import KnownLines, Rules
from charrnn.text.options import CHARACTER

PATTERN = r"[A-Z][a-z]+( [a-z]{3,5}){1,3}"


def run(folder, *arguments, **options):
    return run_charrnn(folder, "sample", *arguments, **options)


@pytest.fixture
def sample(trained):
    """Run `charrnn sample words.pt` beside the trained checkpoint."""
    return lambda *arguments, **options: run(trained, "words.pt", "--seed", 3, *arguments, **options)


@pytest.fixture(scope="module")
def unlined(tmp_path_factory):
    """A folder with a checkpoint whose alphabet has no line feed."""
    folder = tmp_path_factory.mktemp("unlined")
    (folder / "one.txt").write_text("tin tuna nap " * 60)
    train_briefly(folder, "one.txt", "--hidden-size", "8", "--max-steps", "2")
    return folder


def fitting_lines(result, pattern=PATTERN):
    """The lines of a successful run, each of which fits; empty ones between texts left out."""
    assert (result.returncode, result.stderr.count(b"\n")) in ((0, 0), (0, 1)), result.stderr
    lines = [line for line in result.stdout.decode().split("\n") if line]
    assert lines
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    return lines


def test_match_without_an_end_writes_one_matching_line(sample):
    result = sample("--match", PATTERN, "-q")
    assert len(fitting_lines(result)) == 1
    assert result.stdout.endswith(b"\n")


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--lines", 5], 5),
        (["-N", 3, "--lines", 2], 6),
        (["-t", 0], 1),
        (["-t", "0..3", "--lines", 3], 3),
        (["--top-k", 5, "--top-p", 0.9, "--min-p", 0.1, "--lines", 3], 3),
        (["--forbid", "en", "--lines", 3], 3),
        (["--mix", "words.pt:0.4", "--lines", 2], 2),
        (["-n", -1, "--lines", 3], 3),
    ],
)
def test_every_line_matches_with_any_other_flags(sample, arguments, count):
    lines = fitting_lines(sample("--match", PATTERN, *arguments))
    assert len(lines) == count
    assert "--forbid" not in arguments or not set("".join(lines)) & set("en")


@pytest.mark.parametrize("lines", [1, 3])
@pytest.mark.parametrize("prompt", ["", "Tin"])
def test_matching_lines_have_room_without_a_length(sample, prompt, lines):
    pattern = "[A-Z][a-z ]{599}"
    result = sample("--match", pattern, "--lines", lines, "-p", prompt, "-q")
    assert re.fullmatch(f"({pattern}\n){{{lines}}}", result.stdout.decode())
    assert result.stderr == b""


@pytest.mark.parametrize("length", [9, 17, 60])
@pytest.mark.parametrize("many", [[], ["-N", 3]])
def test_no_length_cuts_a_line(sample, length, many):
    result = sample("--match", PATTERN, "-n", length, *many)
    fitting_lines(result)
    assert all(len(text) <= length + 1 for text in result.stdout.decode().split("\n\n"))


@pytest.mark.parametrize("many", [[], ["-N", 2, "--separator", ""]])
def test_last_line_cut_by_the_length_is_not_whole_if_it_might_have_gone_on(sample, many):
    flags = ["--forbid", " ", *many]
    cut = sample("--match", "T[a-z]*", "--lines", 1, "-n", 3, "-t", 0, *flags)
    told = "2 of 2 texts have fewer than 1 line" if many else "0 of 1 line"
    other = ", or bound what lines may be, as .{0,60} does for .*\n"
    why = f"--length 3 was reached; give a larger --length{'' if many else ', or -1'}{other}"
    assert re.fullmatch("(T[a-z]{2}\n?)+", cut.stdout.decode())
    assert cut.stderr.decode().endswith(f"{told}: {why}")
    whole = sample("--match", "T[a-z]{2}", "--lines", 1, "-n", 3, "-q", *flags)
    assert re.fullmatch("(T[a-z]{2}\n?)+", whole.stdout.decode())
    assert whole.stderr == b"", "nothing but its line feed could follow"
    endless = sample("--match", "T[a-z]*", "--forbid", r"\n", "-n", 3, "-q", *flags)
    assert endless.stderr == b"", "no line feed could end it"


def test_prompt_is_part_of_its_line(sample):
    lines = fitting_lines(sample("--match", PATTERN, "-p", "Banana ti", "-N", 5))
    assert all(line.startswith("Banana ti") for line in lines)
    result = sample("--match", PATTERN, "-p", "none\nBa", "--no-echo", "-q")
    assert re.fullmatch(PATTERN + "\n", "Ba" + result.stdout.decode())


@pytest.mark.parametrize("length", [60, -1])
def test_message_says_that_only_the_prompted_line_matches(sample, length):
    result = sample("--match", "Tin.*", "-p", "Tin", "--forbid", "T", "--lines", 2, "-n", length)
    told = "seed 3\n1 of 2 lines: no other line fits --match with the characters that are allowed\n"
    assert result.stderr.decode() == told


def test_known_lines_are_left_out_and_others_written(sample, trained):
    pattern = "(Tin|Nap) (tin|nap)"
    (trained / "known.txt").write_text("Tin tin\nTin nap\nNap nap\n")
    result = sample("--match", pattern, "--lines", 2, "--novel", "known.txt", "-n", 4000)
    assert result.stdout == b"Nap tin\nNap tin\n"
    assert b" in known.txt" in result.stderr
    told = sample("--match", "(Tin|Nap) tin", "--novel", "known.txt", "-n", 16, "-N", 3, "-t", 3, "--separator", "")
    assert told.stdout == b"Nap tin\nNap tin\n" * 3, "lines left out do not count, and no other is cut for them"


HARDLY_EVER = r"Tin tin\nNap tin\n" * 15


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "0 of 1 line: all lines drawn"),
        (["--lines", 3, "-n", 40], "0 of 3 lines: all lines drawn"),
        (["-n", 40], "the text is shorter than --length 40: all lines drawn"),
        (["-N", 2], "2 of 2 texts have fewer than 1 line: all lines drawn"),
        (["-N", 2, "-n", 40], "2 of 2 texts are shorter than --length 40: all lines drawn"),
        (["-n", -1], "all lines drawn"),
        (["-n", -1, "--stop", HARDLY_EVER], "all lines drawn"),
        (["-n", 40, "--stop", HARDLY_EVER, "-N", 2], "2 of 2 texts are shorter than --length 40: all lines drawn"),
    ],
)
def test_only_known_lines_matching_suggests_a_wider_pattern(sample, trained, arguments, told):
    (trained / "known.txt").write_text("Tin tin\nNap tin\n")
    result = sample("--match", "(Tin|Nap) tin", "--novel", "known.txt", "--separator", "", *arguments)
    rest = " that fit --match are in known.txt; widen the pattern, or give a higher --temperature"
    assert result.stderr.decode().splitlines()[2:] == [told + rest]
    assert result.stdout.strip() == b""


def test_stop_leaves_whole_lines(sample):
    result = sample("--match", PATTERN, "-n", 400, "--stop", "tuna")
    whole = sample("--match", PATTERN, "-n", 400).done.stdout.decode()
    before = whole[: whole.index("tuna")]
    cut = before.rpartition("\n")[2]
    assert result.stdout.decode() == (before if re.fullmatch(PATTERN, cut) else before.removesuffix(cut))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["Tin [^e]*", "--lines", 2, "--stop", "e"], "no lines that fit --match hold it"),
        (
            ["Tin", "-n", 30, "--stop", r"\n\n"],
            "no lines that fit --match hold it; with a | at its end the pattern fits empty lines too",
        ),
        (["Tin|", "--stop", r"\n\n"], "it takes more than 1 line; give more --lines, or --length instead"),
        (
            ["Tin|", "--lines", 2, "--stop", r"\nTin\nT"],
            "it takes more than 2 lines; give more --lines, or --length instead",
        ),
        (["Tin|", "--lines", 2, "--stop", r"\nTin\n"], ""),
        (["Tin|", "--stop", r"\n\n", "-n", 400], ""),
        (["Tin e?[an]*", "--lines", 2, "--stop", "e"], ""),
        (["Tin|", "--stop", r"\n\n", "--novel", "blank.txt", "--lines", 1], ""),
    ],
)
def test_stop_that_no_matching_line_can_hold_warns(sample, trained, arguments, why):
    (trained / "blank.txt").write_text("\n")
    result = sample("-q", "-t", 3, "--match", *arguments)
    stop = arguments[arguments.index("--stop") + 1].replace(r"\n", "\n")
    told = f"charrnn: --stop {stop!r} can end no text: {why}\n" if why else ""
    said = [line for line in result.stderr.decode().splitlines(True) if not line.startswith("charrnn: --novel ")]
    assert (result.returncode, "".join(said)) == (0, told)


def test_impossible_stop_does_not_suggest_a_larger_length(sample):
    told = sample("--match", "Tin", "-n", 30, "--stop", "e").stderr.decode()
    assert told == "charrnn: --stop 'e' can end no text: no lines that fit --match hold it\nseed 3\n"


def test_json_has_the_line_its_log_probabilities_and_the_stop_reason(sample):
    records = [
        json.loads(line)
        for line in sample("--match", "Tin [a-z]{3}", "-N", 3, "--json", "--logprobs").done.stdout.splitlines()
    ]
    for record in records:
        assert re.fullmatch("Tin [a-z]{3}\n", record["text"])
        assert record["stop_reason"] == "lines"
        assert len(record["logprobs"]) == len(record["text"])
    reasons = [json.loads(sample("--match", "Tin", "-n", n, "--json").done.stdout)["stop_reason"] for n in (8, 9)]
    assert reasons == ["length", "match"]  # two lines of four characters; no third fits


def test_interactive_beginnings_are_continued_to_matching_lines(sample):
    result = sample("--match", PATTERN, "-i", "-q", input=b"Tin\n9\nBanana \n")
    first, second, rest = result.stdout.decode().split("\n")  # nothing stands between them
    assert re.fullmatch(PATTERN, first)
    assert first.startswith("Tin")
    assert re.fullmatch(PATTERN, second)
    assert second.startswith("Banana ")
    assert not rest
    assert result.stderr.decode().startswith("charrnn: prompt has '9'")
    refused = sample("--match", PATTERN, "-i", "-q", input=b"tin\n")
    assert refused.stderr.startswith(b"charrnn: the prompt begins no line that fits --match")


def test_interactive_line_may_exceed_the_length_by_what_is_typed(sample):
    result = sample("--match", "Tin tuna nap t(in|una)", "-n", 4, "-i", "-q", input=b"T\nTin tuna nap \n")
    assert result.stdout in (b"Tin tuna nap tin\n", b"Tin tuna nap tuna\n")
    told = "--length is 4, and a line that fits --match 'Tin tuna nap t(in|una)' takes at least 15 more"
    assert (result.returncode, result.stderr.decode()) == (1, f"charrnn: {told}\n")


def test_interactive_line_may_begin_with_characters_not_allowed(sample):
    """Whether a line can match is checked for each beginning, an empty one too."""
    flags = ["--match", "[A-Z][a-z]+ t[a-z ]*", "--allow", r"abentu \n", "-i", "-q"]
    result = sample(*flags, input=b"\nTin\nBana\n")
    assert re.fullmatch("Tin[aentbu]* t[abentu ]*\nBana[aentbu]* t[abentu ]*\n", result.stdout.decode())
    told = "no line with the model's characters fits --match '[A-Z][a-z]+ t[a-z ]*'; "
    assert result.stderr.decode().startswith(f"charrnn: {told}")
    assert result.stderr.count(b"\n") == 1
    vowels = sample("--match", "T.{,4000}", "--allow", "aeiou", "-i", "-q", input=b"T\n").done.stdout
    assert re.fullmatch(b"T[aeiou]{500}\n", vowels), "the length is that of any line"


@pytest.mark.parametrize(
    "arguments",
    [
        ["Tin.{,9}"],
        ["Tin.*", "-n", 9],
        ["Tin.*", "--stop", "tuna"],
        ["Tin(.|)*", "-n", 9, "--stop", "tuna"],
        ["Tin( [tT](na)?)?[a-bA-B]*", "--allow", "Tin nat", "--forbid", "a"],
    ],
)
def test_line_with_another_end_needs_no_line_feed(sample, arguments):
    result = sample("--forbid", r"\n", "--match", *arguments, "-q")
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b"Tin")
    assert b"\n" not in result.stdout


def test_prompt_that_is_a_whole_line_counts_if_nothing_can_follow(sample):
    result = sample("-p", "Tin", "--match", "Tin", "--forbid", r"\n", "-q")
    assert (result.stdout, result.stderr) == (b"Tin", b"")


def test_model_without_a_line_feed_writes_one_line_and_ends(unlined):
    result = run(unlined, "one.pt", "-q", "--match", "(tin|nap) tuna", "-N", 3, "--json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["stop_reason"] for record in records] == ["match"] * 3
    assert all(record["text"] in ("tin tuna", "nap tuna") for record in records)
    many = run(unlined, "one.pt", "-q", "--match", "(tin|nap) tuna", "-N", 2, "-n", 10**12, "--separator", "")
    assert re.fullmatch(b"((tin|nap) tuna\n){2}", many.stdout), "memory follows what is written"
    assert run(unlined, "one.pt", "-q", "--match", "(tin|nap) tuna", "-n", -1).done.stdout in (b"tin tuna", b"nap tuna")


@pytest.mark.parametrize(("many", "short"), [([], "0 of 1 line"), (["-N", 3], "3 of 3 texts have fewer than 1 line")])
def test_only_line_being_a_known_one_is_reported_as_the_reason(unlined, many, short):
    (unlined / "known.txt").write_text("tin tuna\n")
    result = run(unlined, "one.pt", "--seed", 1, "--match", "tin tuna", "--novel", "known.txt", *many)
    told = "the only line is a known one, and the model writes no line feed to begin another; give another --seed"
    assert result.stdout.strip() == b""
    assert result.stderr.decode().splitlines()[2:] == [f"{short}: {told}"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["-p", "Ti", "--lines", 2, "--stop", "Ti"],
            r"1 of 2 lines: --allow or --forbid leaves no line feed; allow \n too",
        ),
        (
            ["--lines", 1, "--novel", "known.txt"],
            "0 of 1 line: the only line is a known one, and --allow or --forbid leaves no line feed to begin another; "
            "give another --seed",
        ),
    ],
)
def test_missing_lines_blame_the_flags_that_forbid_the_line_feed(sample, trained, arguments, told):
    (trained / "known.txt").write_text("Tin\n")
    result = sample("--match", "Tin", "--allow", "Tin", *arguments)
    assert result.stderr.decode().splitlines()[-1] == told


def test_model_without_a_line_feed_ignores_a_blank_line_stop(unlined):
    result = run(unlined, "one.pt", "-q", "--stop", r"\n\n", "-n", 9)
    assert (result.returncode, len(result.stdout)) == (0, 9)
    assert result.stderr == rb"charrnn: --stop '\n\n' can end no text: the model never writes '\n' (U+000A)" + b"\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [r"(a)\1"],
            r"--match is '(a)\1'; its character 4 refers back to a group "
            "(known are characters, classes, groups, |, ?, *, + and {m,n})",
        ),
        ([""], "--match is empty, and only empty lines would fit; give a pattern"),
        (
            ["Q+"],
            "no line with the model's characters fits --match 'Q+'; none of them fits 'Q'; `charrnn inspect` lists "
            "them, and --allow and --forbid take from them",
        ),
        (
            ["Tin", "--forbid", "n"],
            "no line with the model's characters fits --match 'Tin'; none of them fits 'n'; `charrnn inspect` lists "
            "them, and --allow and --forbid take from them",
        ),
        (["Tin", "-n", 2], "--length is 2, and a line that fits --match 'Tin' takes at least 3"),
        (
            ["Tin", "-p", "Tan"],
            "the prompt begins no line that fits --match 'Tin': not with 'a' as character 2 of its last line",
        ),
        (
            [".*", "--stop", "tuna", "-n", -1, "--forbid", r"\n"],
            "--stop takes back a whole line of --match, and without a line feed --length -1 is one line, held back to "
            r"its end; give a length, or allow \n",
        ),
        (
            ["Tin [^e]*", "--allow", "Tinap "],
            "--allow leaves no line feed to end a line with, and a line of --match 'Tin [^e]*' may go on without an "
            r"end; allow \n too",
        ),
        (
            ["(?i)TIN[NX]*", "--allow", "tin"],
            "--allow leaves no line feed to end a line with, and a line of --match '(?i)TIN[NX]*' may go on without an "
            r"end; allow \n too",
        ),
        (
            ["(tin|(na+p)?)", "--forbid", r"\n", "--lines", 2, "-n", 900],
            "--forbid leaves no line feed to end a line with, and a line of --match '(tin|(na+p)?)' may go on without "
            r"an end; allow \n too",
        ),
        (
            ["Tin|nap", "--forbid", r"\n", "--lines", 2],
            r"--forbid leaves no line feed to end a line with, and --lines asks for lines; allow \n too",
        ),
        (
            ["Tin.*", "-p", "Ti", "--novel", "words.txt"],
            "--novel leaves out whole lines, and cannot leave out the one that the prompt begins; let the prompt end "
            "with a line feed, or let the pattern begin so in place of the prompt",
        ),
    ],
)
def test_impossible_request_is_one_line_and_nothing_is_written(sample, arguments, message):
    result = sample("--match", *arguments)
    assert (result.returncode, result.stdout) == (2, b"")
    assert result.stderr.decode() == f"charrnn: {message}\n"


@pytest.mark.parametrize(
    ("more", "can_end"), [(["--stop", "Q"], False), (["--stop", "i"], False), (["--stop", "nan"], True)]
)
def test_stop_that_cannot_come_does_not_end_an_unbounded_pattern(sample, more, can_end):
    result = sample("--match", "[an]+", "--forbid", r"\n", "-q", *more)
    told = (
        "charrnn: --forbid leaves no line feed to end a line with, and a line of --match '[an]+' may go on without an "
        "end; allow \\n too"
    )
    assert (result.returncode, result.stdout == b"") == ((0, False) if can_end else (2, True))
    assert (result.stderr.decode().splitlines()[-1:] == [told]) == (not can_end)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-p", "Ti", "--lines", 1], "give in place of the prompt a pattern: --match 'Ti.*'"),
        (["-p", "Tin\nTu", "--lines", 4], "give in place of its last line a pattern: --match 'Tu.*' --lines 1"),
        (["-p", "Ti", "-n", 90], "give in place of the prompt a pattern: --match 'Ti.*' --lines 1"),
        (
            ["-p", "Ti", "--match", "Ti.*", "--lines", 4],
            "let the pattern begin so in place of the prompt, and give --lines 1",
        ),
    ],
)
def test_beginning_refused_by_novel_suggests_a_working_pattern(sample, arguments, told):
    refused = sample("--novel", "words.txt", *arguments)
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr.decode().endswith(f"; let the prompt end with a line feed, or {told}\n")
    if "--match " in told:
        flags = shlex.split(told[told.index("--match ") :])
        written = sample("--novel", "words.txt", "-q", "--lines", 1, *flags[:2]).done.stdout.decode()
        assert written.startswith(flags[1].removesuffix(".*"))


def test_suggested_pattern_matches_exactly_the_beginning():
    beginning = "".join(sorted(string.punctuation)) + " 'Who?'"
    with pytest.raises(ConfigError) as refused:
        check_novel(beginning, Rules(known_lines=KnownLines([])), CHARACTER)
    pattern = shlex.split(str(refused.value).partition("--match ")[2])[0]
    parse_pattern(pattern)
    assert re.fullmatch(pattern, beginning)
    assert not any(
        re.match(pattern, beginning[:place] + "x" + beginning[place + 1 :]) for place in range(len(beginning))
    )


def test_message_abbreviates_a_long_class(sample):
    stderr = sample("--match", f"Tin[{'0123456789' * 60}]").stderr.decode()
    shown = "'[" + ("0123456789" * 6)[:-1] + "'..."
    assert f"; none of them fits {shown}; " in stderr
    assert len(stderr) < 400


@pytest.mark.parametrize(
    "arguments", [["(?=a)"], ["", "--forbid", "Tin"], ["", "-p", "nap"], ["", "-n", 9], ["{9999}"]]
)
def test_message_abbreviates_a_long_pattern(sample, arguments):
    end, *rest = arguments
    stderr = sample("--match", f"{'Tin' * 1000}{end}", *rest).stderr.decode()
    assert f" '{'Tin' * 20}'..." in stderr
    assert len(stderr) < 300
