"""Where `charrnn sample` ends a text: `--length`, `--lines` and `--stop`, and what is reported then."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from conftest import records_of, train_briefly

from charrnn.cli.sampler import preparing
from charrnn.storage.archive import read_checkpoint

LONGER = "; give a larger --length, or -1\n"


def test_lines_and_stop_end_a_text(sample):
    whole = sample("-n", 400, "--seed", 3, "-q").done.stdout.decode()
    assert sample("-n", 400, "--seed", 3, "--lines", 2).done.stdout.decode() == "".join(whole.splitlines(True)[:2])
    word = whole.split()[4]
    assert sample("-n", 400, "--seed", 3, "--stop", word).done.stdout.decode() == whole[: whole.index(word)]
    many = sample("-n", 400, "--seed", 3, "--stop", word, "-N", 2).done.stdout.decode()
    assert many.startswith(whole[: whole.index(word)])
    assert sample("-n", 400, "--seed", 3, "--stop", r"\n").done.stdout.decode() == whole[: whole.index("\n")]


def test_stop_that_the_model_cannot_write_warns(sample):
    result = sample("-n", 20, "--seed", 1, "-q", "--stop", r"\nx9", "--stop", "a", "--forbid", "n", "--stop", "tin")
    lines = result.stderr.decode().splitlines()
    assert lines == [
        r"charrnn: --stop '\nx9' can end no text: the model never writes 'x' (U+0078), '9' (U+0039)",
        "charrnn: --stop 'tin' can end no text: the model never writes 'n' (U+006E)",
    ]


def test_default_length_does_not_cut_lines(sample):
    assert sample("--lines", 90, "--seed", 1, "-q").done.stdout.count(b"\n") == 90
    assert len(sample("--lines", 90, "-n", 40, "--seed", 1, "-q").done.stdout) == 40


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--lines", 90, "-n", 100], "{} of 90 lines: --length 100 was reached" + LONGER),
        (["--lines", 90, "-n", 99, "-t", "0..1"], "{} of 90 lines: --length 99 was reached; give a larger --length\n"),
        (["--lines", 1, "-n", 2], "0 of 1 line: --length 2 was reached" + LONGER),
        (["--lines", 9, "-n", 100, "-N", 3], "3 of 3 texts have fewer than 9 lines: --length 100 was reached; "
         "give a larger --length\n"),
        (["--lines", 9, "-n", 30, "--match", "[A-Z][a-z]{4}"], "5 of 9 lines: --length 30 was reached" + LONGER),
        (["--lines", 9, "-n", 33, "--match", "[A-Z][a-z]{4}"], "5 of 9 lines: --length 33 has no room for another th"),
        (["--lines", 9, "-n", 30, "--novel", "words.txt"], "0 lines left out because they are in words.txt\n0 of 9 l"),
        (["--lines", 9, "-n", 100, "--stop", "a"], ""),
        (["--lines", 9, "-n", 100, "--json"], ""),
        (["--lines", 9, "-n", 100, "-q"], ""),
        (["--match", "[A-Z][a-z]{4}", "-n", 5], ""),
        (["--lines", 2], ""),
    ],
)  # fmt: skip
def test_missing_lines_are_reported(sample, arguments, told):
    result = sample("--seed", 1, *arguments)
    stderr = result.stderr.decode().removeprefix("seed 1\n")
    assert stderr.startswith(told.format(result.stdout.count(b"\n")))
    assert bool(stderr) == bool(told)


BEFORE_STOP = "--length {} was reached before --stop; give a larger --length\n"
NO_END = "charrnn: --stop '9' can end no text: the model never writes '9' (U+0039)\n"


@pytest.mark.parametrize(
    ("arguments", "length", "told"),
    [
        ([], 10_000, BEFORE_STOP.format(10_000)),
        (["-n", 700], 700, ""),
        (["-t", "0.5..1"], 500, BEFORE_STOP.format(500)),
        (["-N", 2, "--stop", "u"], 0, ""),
        (["--stop", "9", "-n", 7], 7, NO_END),
        (["--lines", 2], 0, ""),
    ],
)
def test_default_length_with_a_stop_is_longer_and_reported_when_reached(sample, arguments, length, told):
    result = sample("--stop", "kkkk", "--seed", 1, "-q", *arguments)
    assert result.stderr.decode() == told
    assert not length or len(result.stdout.decode()) == length


def test_texts_that_reach_the_length_before_their_stop_are_counted(sample):
    result = sample("--stop", "kilo", "-n", 40, "-N", 12, "--seed", 1)
    records = sample("--stop", "kilo", "-n", 40, "-N", 12, "--seed", 1, "--json").done.stdout.splitlines()
    short = sum(json.loads(record)["stop_reason"] == "length" for record in records)
    assert 0 < short < 12
    told = f"{short} of 12 texts reached --length 40 before --stop; give a larger --length"
    assert result.stderr.decode() == f"seed 1\n{told}\n"


UNFITTING = "--stop came in the first line, and what was left of that does not fit --match"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--match", "Tin tin"], f"the text is empty: {UNFITTING}"),
        (["--match", "Tin tin", "-N", 3], f"3 of 3 texts are empty: {UNFITTING}"),
        (["--match", "Tin( tin)?"], ""),
        (["--match", "( ?| )"], "the text is empty: --stop came first"),
        (["--match", "Tin tin", "-p", "Tin"], "the text is empty behind the prompt: " + UNFITTING),
        (["--match", "Tin (tin|nap)", "--novel", "known.txt"], f"the text is empty: {UNFITTING}"),
        (["--match", "Tin tin", "--json"], ""),
    ],
)
def test_text_emptied_by_its_stop_is_reported(sample, trained, arguments, told):
    (trained / "known.txt").write_text("Tin\n")
    result = sample("--stop", " ", "-n", 60, "--seed", 1, *arguments)
    said = result.done.stderr.decode().splitlines()[1:]
    assert [line for line in said if "left out because" not in line] == [told] * bool(told)


def test_impossible_stop_leaves_the_default_length(sample):
    result = sample("--stop", "9", "--seed", 1, "-q")
    assert (len(result.stdout.decode()), result.stderr.decode()) == (500, NO_END)


def test_default_length_of_lines_is_ten_mean_lines_and_reported_when_reached(sample, trained):
    """At temperature 0 an untrained model never ends a line."""
    (trained / "long.txt").write_text("".join(f"{'ab ' * 33}\n" for _ in range(30)))
    train_briefly(trained, "long.txt", "--hidden-size", "8", "--max-steps", "1")
    flags = ["-t", 0, "--lines", 2, "-q"]
    told = f"0 of 2 lines: --length 2000 was reached{LONGER}"
    for more in ([], ["-i"]):
        result = sample(*flags, *more, checkpoint="long.pt", input=b"\n")
        assert (result.stdout.count(b"\n"), result.stderr.decode()) == (len(more), told)
    assert sample(*flags, "-n", 1500, checkpoint="long.pt").stderr == b""


@pytest.mark.parametrize(
    ("counts", "lines", "length"),
    [([10, 990], 1, 1000), ([10, 990], 3, 3000), ([0, 990], 3, 1500), ([990, 10], 3, 1500),
     ([1, 10**7], 2, 200_000), ([1, 10**7], 10**12, 10**12)],
)  # fmt: skip
def test_default_length_of_lines_is_limited(trained, counts, lines, length):
    contents = read_checkpoint(str(trained / "words.pt"))
    assert contents.encoder.characters[0] == "\n"
    contents = replace(contents, corpus=replace(contents.corpus, counts=counts))
    flags = SimpleNamespace(length_is_chosen=True, wanted_lines=lines)
    assert preparing._length(flags, contents, None, is_stopped=False) == length


@pytest.mark.parametrize("left_out", [0, 1])
def test_missing_lines_for_lack_of_length_blame_the_length_only(sample, trained, left_out):
    flags = ["--lines", 9, "--match", "[A-Z][a-z]", "--seed", 1]
    line = sample(*flags[2:]).done.stdout.decode()
    (trained / "known.txt").write_text(line if left_out else "Nothing\n")
    result = sample(*flags, "-n", 4, "--novel", "known.txt")
    refused, short = result.stderr.decode().splitlines()[1:]
    assert bool(int(refused.split()[0])) == bool(left_out)
    other = ", or a higher --temperature\n" if left_out else ", or -1\n"
    told = "1 of 9 lines: --length 4 has no room for another that fits --match; give a larger --length"
    assert short + "\n" == told + other


@pytest.mark.parametrize("number", [1, 3])
def test_keep_stop_keeps_the_stop_and_the_record_names_it(sample, number):
    flags = ["--stop", "o", "--stop", "u", "-n", 90, "-N", number, "--seed", 1, "--separator", ""]
    before, kept = (sample(*flags, *more).done.stdout.decode() for more in ([], ["--keep-stop"]))
    records = records_of(sample(*flags[:-2], "--keep-stop", "--json", "--logprobs"))
    assert "".join(f"{record['text']}\n" for record in records) == (kept if number > 1 else f"{kept}\n")
    assert "".join(f"{record['text'][:-1]}\n" for record in records) == (before if number > 1 else f"{before}\n")
    for record in records:
        assert record["text"][-1] == record["stop"] in "ou"
        assert len(record["logprobs"]) == len(record["text"])
    assert "stop" not in records_of(sample("-n", 5, "--json"))[0]
    ((typed,), (typed_kept,)) = (
        records_of(sample("-i", "-p", "Ti", *flags[:4], "--seed", 1, "--json", *more, input=b"\n"))
        for more in ([], ["--keep-stop"])
    )
    assert typed_kept["text"] == typed["text"] + typed["stop"]


def test_interactive_reports_missing_lines(sample):
    result = sample("-i", "--lines", 9, "-n", 20, "--seed", 1, input=b"Tin\nBa\n")
    told = re.fullmatch(f"seed 1\n(. of 9 lines: --length 20 was reached{LONGER}){{2}}", result.stderr.decode())
    assert told is not None
    assert sample("-i", "--lines", 9, "-n", 20, "-q", input=b"Tin\nBa\n").stderr == b""


def test_interactive_reports_an_empty_text_after_the_typed_beginning(sample):
    told = sample("-i", "--stop", " ", "--match", "Tin tin", "--seed", 1, input=b"Tin\n\n").stderr.decode()
    assert told == f"seed 1\nthe text is empty behind the prompt: {UNFITTING}\nthe text is empty: {UNFITTING}\n"
