"""`charrnn sample --novel` and `--unique`: lines that are left out."""

import json
import re

import pytest


@pytest.mark.parametrize(("stop", "is_told"), [("\\n\\n", True), ("\\n", False), ("x\\n\\ny", True)])
def test_novel_with_several_lines_warns_that_it_leaves_out_single_lines(sample, trained, stop, is_told):
    (trained / "known.txt").write_text("Tin sole\n")
    told = sample("-n", 60, "--stop", stop, "--novel", "known.txt", "-q").done.stderr.decode()
    assert ("--novel leaves out each line that stands in its file, not whole texts" in told) == is_told


def test_novel_leaves_out_known_lines_and_counts_them(sample, trained):
    plain = sample("-n", 1200, "--seed", 5, "-t", "0.5", "-q").done.stdout.decode().splitlines(True)
    known = plain[:3]
    (trained / "known.txt").write_text("".join(known))
    result = sample("-n", 600, "--seed", 5, "-t", "0.5", "--novel", "known.txt")
    written = result.stdout.decode()
    assert written == "".join(line for line in plain if line not in known)[:600], "what is left out does not count"
    count = sum(line in known for line in plain)
    told = "line left out because it is" if count == 1 else "lines left out because they are"
    assert f"{count} {told} in known.txt".encode() in result.stderr


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (1, "1 unfinished line left out since it might have become such a line"),
        (3, "3 unfinished lines left out since they might have become such a line"),
    ],
)
def test_novel_leaves_out_unfinished_beginnings_of_known_lines(sample, trained, number, told):
    plain = ["-n", 3, "--seed", 5, "-N", number, "--separator", "\n"]
    begun = sample(*plain, "-q").done.stdout.decode().split()
    assert [*map(len, begun)] == [3] * number
    (trained / "known.txt").write_text("".join(f"{line}xyz\n" for line in begun))
    result = sample(*plain, "--novel", "known.txt")
    assert not result.stdout.strip()
    assert result.stderr.decode().splitlines()[1:] == ["0 lines left out because they are in known.txt", told]


@pytest.mark.parametrize("many", [[], ["-N", 3]])
def test_unique_leaves_out_repeated_lines_and_counts_them(sample, many):
    flags = ["--match", "(Tin|Nap) tin", "-t", 3, "--seed", 5, "--separator", "", *many]
    plain = sample("-n", 400, *flags).done.stdout.decode().splitlines()
    assert set(plain) == {"Tin tin", "Nap tin"}
    result = sample("--lines", 2, "--unique", *flags)
    texts = result.stdout.decode().splitlines()
    assert [{*pair} for pair in zip(texts[::2], texts[1::2], strict=True)] == [set(plain)] * (3 if many else 1)
    _, count, *rest = result.stderr.decode().splitlines()
    assert re.fullmatch(r"\d+ lines? left out because (it was|they were) written before", count)
    assert not rest
    short = sample("--lines", 3, "--unique", *flags)
    told = "3 of 3 texts have fewer than 3 lines" if many else "2 of 3 lines"
    why = "all others drawn that fit --match were written before; widen the pattern, or give a higher --temperature"
    assert (short.stdout, short.stderr.decode().splitlines()[-1]) == (result.stdout, f"{told}: {why}")


def test_unique_does_not_repeat_lines_of_the_prompt_or_the_novel_file(sample, trained):
    (trained / "known.txt").write_text("Tin tin\n")
    flags = ["--match", "(Tin|Nap) (tin|nap)", "-t", 3, "--unique", "--novel", "known.txt"]
    result = sample(*flags, "-p", "Nap tin\n", "--lines", 9)
    assert sorted(result.stdout.decode().splitlines()) == ["Nap nap", "Nap tin", "Tin nap"]
    assert result.stderr.decode().endswith(
        "2 of 9 lines: all others drawn that fit --match are in known.txt or were written before; "
        "widen the pattern, or give a higher --temperature\n"
    )


def test_unique_allows_many_single_line_texts_after_a_prompt(sample, trained):
    (trained / "prompt.txt").write_text("Tin tin\n")
    flags = ["--match", "(Tin|Nap) tin", "-t", 3, "--unique", "-N", 8, "--separator", "", "--no-echo", "-q"]
    for prompt in (["-p", "Tin tin\n"], ["--prompt-file", "prompt.txt"]):
        assert sample(*flags, *prompt).done.stdout == b"Nap tin\n" * 8


def test_unique_text_is_the_same_alone_among_others_and_as_json(sample):
    plain = ["--lines", 8, "--match", "[TNBS][a-z]{2}", "--seed", 2, "-t", 2, "-q"]
    assert len({*sample(*plain).done.stdout.splitlines()}) < 8
    flags = ["--unique", *plain]
    alone = sample(*flags).done.stdout.decode()
    assert len({*alone.splitlines()}) == 8
    assert sample(*flags, "-N", 2).done.stdout.decode().startswith(alone)
    assert json.loads(sample(*flags, "-N", 2, "--json").done.stdout.splitlines()[0])["text"] == alone


def test_novel_leaves_out_lines_of_several_files(sample, trained):
    plain = sample("-n", 600, "--seed", 5, "-t", "0.5", "-q").done.stdout.decode().splitlines(True)
    for name, line in zip(("one.txt", "two.txt"), plain, strict=False):
        (trained / name).write_text(line)
    result = sample("-n", 300, "--seed", 5, "-t", "0.5", "--novel", "one.txt", "--novel", "two.txt")
    assert not set(plain[:2]) & set(result.stdout.decode().splitlines(True))
    assert b" left out because they are in one.txt or two.txt\n" in result.stderr


@pytest.mark.parametrize("end", [" \n ", "\r\n"])
def test_novel_ignores_line_ends_and_surrounding_spaces(sample, trained, end):
    plain = sample("-n", 600, "--seed", 5, "-t", "0.5", "-q").done.stdout.decode()
    (trained / "known.txt").write_bytes(plain.replace("\n", end).encode())
    left = sample("-n", 600, "--seed", 5, "-t", "0.5", "-q", "--novel", "known.txt").done.stdout.decode().splitlines()
    assert not set(left) & set(filter(None, plain.splitlines()))


def test_novel_refuses_a_prompt_that_begins_an_unknown_line(sample):
    refused = sample("--novel", "words.txt", "-p", "Tin")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"cannot leave out the one that the prompt begins" in refused.stderr
    assert sample("--novel", "words.txt", "-p", "Tin\n", "-n", 20).returncode == 0
