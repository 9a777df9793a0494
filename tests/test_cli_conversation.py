"""`charrnn sample --interactive` and `--story`: conversations that are piped or read from a file."""

import json
import re
import signal
import subprocess
import sys

import pytest
from conftest import clean_environment, make_text, read_until, records_of, train_briefly


def test_invalid_bytes_in_a_conversation_print_no_traceback(trained):
    run = subprocess.run(
        [sys.executable, "-m", "charrnn", "sample", "words.pt", "-i", "-n", "5", "-q"],
        cwd=trained, input=b"Ti\xff\nTi\n", capture_output=True, timeout=60,
        env={**clean_environment(), "PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stdout.startswith(b"Ti")
    assert run.stderr.startswith(b"charrnn: prompt has byte 0xFF, which this model never saw (")


def test_interactive_continues_each_line_of_stdin(sample):
    result = sample("-i", "-n", 10, "--seed", 1, input=b"Tin\n\xc3\xa9\nBa\n")
    first, second = result.stdout.decode().splitlines()[:1], result.stdout.decode()
    assert first[0].startswith("Tin")
    assert "\nBa" in second
    assert result.stderr.decode().splitlines()[1].startswith("charrnn: prompt has 'é'")
    assert result.returncode == 1, "which tells a program that a text is missing"
    assert sample("-i", "-n", 10, input=b"Tin\nBa\n").returncode == 0


def test_interactive_continues_a_repeated_beginning_differently(sample):
    first, second = (sample("-i", "-n", 40, "--seed", 1, "-q", input=b"Tin\n" * n).done.stdout for n in (1, 2))
    assert second.startswith(first)
    assert second[len(first) :].startswith(b"Tin")
    assert second != 2 * first


def test_interactive_numbers_a_refused_beginning_like_any_other(sample):
    flags = ["-i", "-n", 40, "--seed", 1, "-q"]
    with_typo, without = (sample(*flags, input=typed) for typed in (b"\xc3\xa9\nTin\n", b"\nTin\n"))
    assert without.stdout.endswith(b"\n" + with_typo.stdout)
    assert with_typo.stdout.startswith(b"Tin")
    told = sample(*flags, "--json", input=b"\xc3\xa9\nTin\n").stdout.splitlines()
    assert "Tin" + json.loads(told[-1])["text"] == with_typo.stdout.decode().removesuffix("\n")


def test_interactive_continues_the_prompt_after_an_empty_line(sample):
    flags = ["-p", "Ba", "--match", "Ba[a-z ]+", "--stop", "o", "-n", 20, "--seed", 1, "-q", "--no-echo"]
    typed, alone = (sample(*more, *flags, input=b"\n").done.stdout.rstrip(b"\n") for more in (["-i"], []))
    assert typed == alone != b""


def test_interactive_reads_the_prompt_before_each_beginning_and_never_writes_it(sample):
    """At temperature 0 the text depends only on what was read."""
    flags = ["-n", 30, "-t", 0, "-q", "--lines", 1]
    result = sample("-i", "-p", "Sole nap\nT", *flags, input=b"in\n\nuna\n")
    written = [sample("-p", f"Sole nap\nT{typed}", *flags).done.stdout.decode() for typed in ("in", "", "una")]
    alone = [text.removeprefix("Sole nap\nT") for text in written]
    assert (result.returncode, result.stdout.decode()) == (0, "".join(text.rstrip("\n") + "\n" for text in alone))
    matched = sample("-i", "-p", "Ti", "--match", "Tin t[a-z]+", "-q", input=b"n\nx\n")
    assert re.fullmatch(b"n t[a-z]+\n", matched.stdout)
    assert matched.stderr.startswith(b"charrnn: prompt has 'x'")


@pytest.mark.parametrize("flags", [["-n", 30], ["--lines", 2], ["--stop", "i"], ["--match", "[A-Z][a-z]+ [a-z ]+"]])
def test_interactive_json_has_a_record_for_each_beginning(sample, flags):
    flags = ["-i", "--seed", 1, "-q", *flags]
    beginnings = b"Tin\nBa\nTin\n"
    records = records_of(sample(*flags, "--json", "--logprobs", input=beginnings))
    written = sample(*flags, input=beginnings).done.stdout.decode()
    assert "".join(f"{record['prompt']}{record['text']}".rstrip("\n") + "\n" for record in records) == written
    assert [(record["sample"], record["prompt"]) for record in records] == [(0, "Tin"), (1, "Ba"), (2, "Tin")]
    for record in records:
        assert len(record["logprobs"]) == len(record["text"])
        assert record["seed"] == 1
    assert {record["stop_reason"] for record in records} <= {"length", "lines", "stop", "match"}


def test_interactive_record_equals_that_of_a_single_text(sample):
    flags = ["-p", "Ti", "-n", 20, "--seed", 1, "--json", "--logprobs"]
    ((alone,), (typed,)) = (records_of(sample(*flags, *more, input=b"\n")) for more in ([], ["-i"]))
    assert (alone.pop("prompt"), typed.pop("prompt")) == ("Ti", ""), "what was typed, and not what stands before all"
    for figure in ("mean_logprob", "logprobs"):
        assert typed.pop(figure) == pytest.approx(alone.pop(figure), abs=2e-5), figure
    assert typed == alone


def test_interactive_record_of_a_refused_beginning_has_its_error(sample):
    result = sample("-i", "-n", 5, "--json", "--seed", 1, input="Tin\né\nBa\n".encode())
    assert result.stderr == b"seed 1\n"
    first, refused, last = records_of(result, code=1)
    assert (first["sample"], last["sample"], last["prompt"], len(last["text"])) == (0, 2, "Ba", 5)
    assert (refused["sample"], refused["prompt"], len(refused)) == (1, "é", 3)
    assert refused["error"].startswith("prompt has 'é' (U+00E9), which this model never saw (")


def test_interactive_records_are_written_at_once(trained, start):
    process = start(trained, "sample", "words.pt", "-i", "-q", "--json", "-n", 9)
    for typed in ("Tin", "\xff", "Ba"):
        process.stdin.write(typed.encode("latin-1") + b"\n")
        process.stdin.flush()
        record = json.loads(read_until(process.stdout.fileno(), b"\n"))
        assert ("text" in record, record.get("prompt_bytes")) == ((False, "/w==") if typed == "\xff" else (True, None))
    assert process.communicate(timeout=60) == (b"", b"")


def test_story_continues_as_one_unbroken_text(sample):
    """At temperature 0 the text depends only on what was read."""
    flags = ["-t", 0, "-q", "--recall-all", "-n", 40]
    first, second, third = records_of(sample("-i", "--story", "-p", "Sole n", *flags, "--json", input=b"ap\n\n Ti\n"))
    assert [record["prompt"] for record in (first, second, third)] == ["ap", "", " Ti"], "what was typed"
    told = f"Sole nap{first['text']}{second['text']}"
    assert sample("-p", "Sole nap", *flags[:-1], 80).done.stdout.decode() == told
    assert sample("-p", f"{told} Ti", *flags).done.stdout.decode() == f"{told} Ti{third['text']}"
    written = sample("-i", "--story", "-p", "Sole n", *flags, input=b"ap\n\n Ti\n").done.stdout.decode()
    assert written == "".join(f"{record['prompt']}{record['text']}" for record in (first, second, third))


def test_story_of_a_byte_model_is_one_text_though_characters_are_cut(sample, trained):
    """The model has learned little more than that one two-byte character is frequent."""
    (trained / "cut.txt").write_text(make_text(5000).replace("a", "\u00e9"), encoding="utf-8")
    train_briefly(trained, "cut.txt", "--unit", "byte", "--hidden-size", "32", "--max-steps", "40")
    flags = ["-t", 0, "-q", "--recall-all"]
    for length in (3, 5):
        asked = ["-i", "--story", *flags, "-n", length]
        records, written = (
            sample(*asked, *more, checkpoint="cut.pt", input=b"T\n" + b"\n" * 20).done.stdout
            for more in (["--json"], [])
        )
        texts = [json.loads(line)["text"] for line in records.splitlines()]
        assert f"T{''.join(texts)}".encode() == written
        assert min(len(text.encode()) for text in texts) == length - 1, "a character was cut"
        whole = sample("-p", "T", *flags, "-n", len(written) - 1, checkpoint="cut.pt").done.stdout
        assert written == whole


def test_story_continues_after_its_stops(sample):
    flags = ["-i", "--story", "-t", 0, "-q", "--stop", "n", "--json", "--seed", 1]
    kept, asked = (records_of(sample(*flags, *more, input=b"Ti\n\n\n")) for more in ([], ["--keep-stop"]))
    assert kept == asked
    assert all(record["text"].endswith("n") for record in kept)


def test_story_without_a_beginning_starts_like_a_text_without_a_prompt(sample):
    flags = ["-n", 40, "--seed", 3, "-q"]
    (told,) = records_of(sample("-i", "--story", *flags, "--json", input=b"\n"))
    assert sample(*flags).done.stdout.decode() == told["text"]


def test_story_line_fits_its_pattern_together_with_its_beginning(sample):
    """A beginning that cannot be continued to a matching line is refused and leaves the story unchanged."""
    flags = ["--match", "[A-Z][a-z ]+", "--forbid", r"\n", "-n", 9, "--seed", 1, "-q", "--json"]
    first, refused, last = records_of(sample("-i", "--story", *flags, input=b"Tin\nB\nna\n"), code=1)
    assert (refused["prompt"], "error" in refused) == ("B", True)
    assert re.fullmatch("Tin[a-z ]{9}na[a-z ]{9}", f"Tin{first['text']}na{last['text']}")


def test_interactive_ignores_bom_and_crlf_of_a_file(sample):
    flags = ["-i", "-n", 20, "--seed", 1]
    plain, marked = (sample(*flags, input=lines) for lines in (b"Tin\nBa\n", b"\xef\xbb\xbfTin\r\nBa\r\n"))
    assert (marked.stdout, marked.stderr) == (plain.stdout, plain.stderr)
    assert plain.stderr == b"seed 1\n"


def test_interactive_backslash_hint_names_the_terminal_and_prompt_file(sample):
    told = sample("-i", "-q", input=rb"Tin\n").stderr
    assert told.endswith(b"; a line feed is typed at a terminal alone; --prompt-file may hold some\n")


def test_ctrl_c_ends_a_text_and_end_of_input_ends_the_conversation(trained, start):
    """A text of vowels only neither ends by itself nor has a line feed."""
    process = start(trained, "sample", "words.pt", "-i", "-q", "-n", -1, "--allow", "aeiou")
    for typed in (b"Tin", b"Ba"):
        process.stdin.write(typed + b"\n")
        process.stdin.flush()
        shown = read_until(process.stdout.fileno(), typed)
        process.send_signal(signal.SIGINT)
        shown = read_until(process.stdout.fileno(), b"\n", shown)
        assert re.fullmatch(typed + b"[aeiou]*\n", shown)
    assert process.communicate(timeout=60) == (b"", b"")
    assert process.returncode == 0


def test_ctrl_c_adds_nothing_to_a_story_off_the_terminal(trained, start):
    words = ["sample", "words.pt", "-i", "--story", "-q", "-n", -1, "--allow", "a"]
    process = start(trained, *words)
    shown = b""
    for typed in (b"Tin", b"Ro"):
        process.stdin.write(typed + b"\n")
        process.stdin.flush()
        shown = read_until(process.stdout.fileno(), typed + b"aaa", shown)
        process.send_signal(signal.SIGINT)
    rest, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, b"")
    assert re.fullmatch(b"Tina+Roa+", shown + rest)
    (trained / "beginnings.txt").write_text("Tin\nRo\n")
    with open(trained / "beginnings.txt") as beginnings:
        process = start(trained, *words, stdin=beginnings)
    shown = read_until(process.stdout.fileno(), b"Tinaaa")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert re.fullmatch(b"Tina+", shown + process.stdout.read())


def test_ctrl_c_ends_a_conversation_read_from_a_file(trained, start):
    (trained / "beginnings.txt").write_text("Tin\nBa\n")
    with open(trained / "beginnings.txt") as beginnings:
        words = ["sample", "words.pt", "-i", "-q", "-n", -1, "--allow", "aeiou"]
        process = start(trained, *words, stdin=beginnings)
    shown = read_until(process.stdout.fileno(), b"Tin")
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    shown += process.stdout.read()
    assert (process.returncode, process.stderr.read()) == (130, b"")
    assert re.fullmatch(b"Tin[aeiou]*\n?", shown)
