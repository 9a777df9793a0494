"""`charrnn sample` as a user and a script run it: streams, seeds, prompts and bad input."""

import json
import os
import pty
import re
import resource
import select
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from conftest import (
    clean_environment,
    make_text,
    most_held,
    random_model,
    read_terminal,
    read_until,
    run_charrnn,
    save_like,
)
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.cli.common import cores
from charrnn.cli.common.backslashes import escaped, unescape
from charrnn.cli.sampler import sharing, writing
from charrnn.cli.sampler.writing import write_stream, write_texts
from charrnn.generation.filters import FILTERS
from charrnn.shapes import count_parameters
from charrnn.storage.archive import read_checkpoint

RANGE_OVER_LINES = "--temperature as a range runs over the lines"


def test_text_goes_to_stdout_and_seed_to_stderr(sample):
    result = sample()
    assert result.returncode == 0
    assert len(result.stdout.decode()) == 500
    assert re.fullmatch(rb"seed \d+\n", result.stderr)
    assert set(result.stdout.decode()) <= set(make_text(20_000))


def test_printed_seed_reproduces_the_text(sample):
    first = sample("-n", 80)
    seed = first.stderr.split()[1].decode()
    assert sample("-n", 80, "--seed", seed).done.stdout == first.stdout
    assert sample("-n", 80).done.stdout != first.stdout


def test_stdin_is_read_only_on_request(trained):
    """As in a `while read` loop of a shell."""
    reader, writer = os.pipe()
    os.write(writer, b"Tin\nBa\n")
    os.close(writer)
    command = [sys.executable, "-m", "charrnn", "sample", "words.pt", "-n", "5", "-q"]
    subprocess.run(command, cwd=trained, stdin=reader, capture_output=True, check=True, env=clean_environment())
    assert os.read(reader, 99) == b"Tin\nBa\n"
    os.close(reader)


def test_quiet_prints_no_seed(sample):
    assert sample("-n", 5, "-q").stderr == b""


def test_closed_stderr_reader_loses_no_text(trained):
    gone, writer = os.pipe()
    os.close(gone)
    command = [sys.executable, "-m", "charrnn", "sample", "words.pt", "-n", "20", "--seed", "1"]
    options = {"cwd": trained, "stdout": subprocess.PIPE, "env": clean_environment(), "timeout": 60}
    result = subprocess.run(command, stderr=writer, **options)
    os.close(writer)
    assert (result.returncode, len(result.stdout)) == (0, 20)


def test_prompt_is_written_first_and_continued(sample):
    text = sample("-p", "Banana t", "-n", 30, "--seed", 1).done.stdout.decode()
    assert text.startswith("Banana t")
    assert len(text) == 8 + 30


def test_temperature_zero_and_top_k_one_ignore_the_seed(sample):
    greedy = {sample("-n", 60, "-t", 0, "--seed", seed).done.stdout for seed in range(3)}
    top = {sample("-n", 60, "--top-k", 1, "-t", 1.5, "--seed", seed).done.stdout for seed in range(3)}
    assert len(greedy) == 1
    assert greedy == top


NARROWEST = {"top_k": ("--top-k", 1), "top_p": ("--top-p", 1e-9), "min_p": ("--min-p", 1), "allowed": ("--allow", "a")}
"""Each filter's flag, leaving one character."""


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_has_a_flag_with_an_effect(sample, name):
    texts = {sample("-n", 30, "-t", 1.5, *NARROWEST[name], "--seed", seed).done.stdout for seed in range(2)}
    assert len(texts) == 1, "where nothing is left to chance, the seed does not matter"


def test_trained_model_writes_words_of_the_corpus(sample):
    words = set(make_text(20_000).lower().split())
    written = sample("-n", 600, "-t", 0.3, "--seed", 2).done.stdout.decode().lower().split()[1:-1]
    assert sum(word in words for word in written) / len(written) > 0.9


@pytest.mark.skipif(sys.platform != "linux", reason="processes are shared on Linux alone")
def test_many_texts_are_the_same_from_one_process_or_several(trained):
    arguments = ["sample", "words.pt", "-q", "-N", 64, "-n", 40, "--seed", 5]
    shared = run_charrnn(trained, *arguments, prepare=free_three_cores)
    alone = run_charrnn(trained, *arguments)
    assert (shared.returncode, shared.stderr) == (0, b"processes: 3\n")
    assert (alone.returncode, alone.stderr) == (0, b"")
    assert shared.stdout == alone.stdout
    assert len(set(shared.stdout.decode().split("\n\n"))) == 64


def free_three_cores():
    """Pretend that three cores are free, and print how many processes share the texts."""
    del os.environ["OPENBLAS_NUM_THREADS"]  # as where the user has not set it
    cores.free_cores = lambda: 3

    def in_order(work, pieces, processes):
        print("processes:", processes, file=sys.stderr, flush=True)
        return sharing.in_order(work, pieces, processes)

    writing.in_order = in_order


def test_texts_end_with_a_line_end_and_are_separated(tmp_path):
    with open(tmp_path / "out", "wb") as out:
        write_texts(out, ["one", "two\n", "three"])
        write_texts(out, ["1", "2\r", "3\r\n"], "", line_end="\r\n")
    assert (tmp_path / "out").read_bytes() == b"one\n\ntwo\n\nthree\n1\r\n2\r\n3\r\n"


@pytest.mark.parametrize("length", ["-1", "1000000"])
def test_closed_pipe_ends_sampling_quietly(trained, length):
    command = f"{sys.executable} -m charrnn sample words.pt -q -n {length} | head -c 100; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], cwd=trained, capture_output=True, timeout=60)
    assert result.stdout.endswith(b"0\n")
    assert len(result.stdout) == 102


@pytest.mark.parametrize(
    ("stdout", "code", "told"),
    [("| head -c 9", 0, b""), (">&-", 1, b"charrnn: standard output: Bad file descriptor\n"), (">&- 2>&-", 1, b"")],
)
def test_closed_streams_behave_the_same_without_dev_null(trained, stdout, code, told):
    (trained / "bare.py").write_text(
        "import os\nos.devnull = '/nowhere/null'\nfrom charrnn.__main__ import main\nmain()\n"
    )
    command = f"set -o pipefail; {sys.executable} bare.py sample words.pt -q -n 100000 {stdout}"
    result = subprocess.run(["bash", "-c", command], cwd=trained, capture_output=True, timeout=60)
    assert (result.returncode, result.stderr) == (code, told)


def test_ctrl_c_ends_the_line_and_exits_with_130(trained):
    command = [sys.executable, "-m", "charrnn", "sample", "words.pt", "-q", "-n", "-1", "--allow", "aeiou"]
    with subprocess.Popen(command, cwd=trained, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.read(10)
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"")
    assert rest.count(b"\n") == 1
    assert rest.endswith(b"\n")


@pytest.mark.parametrize("flags", [["-n", -1], ["-n", -1, "--lines", 10**9], ["-N", 5000], ["-N", 5000, "--json"]])
def test_ctrl_c_works_while_the_pipe_is_full(trained, start, flags):
    reader, writer = os.pipe()
    with open(reader, "rb"), open(writer, "wb"):
        process = start(trained, "sample", "words.pt", "-q", *flags, stdout=writer)
        end = time.monotonic() + 60
        while select.select([], [writer], [], 0)[1]:  # the pipe is not full yet
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.5)  # until it waits to write more
        process.send_signal(signal.SIGINT)
        assert (process.wait(timeout=60), process.stderr.read()) == (130, b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_full_disk_is_reported_in_one_line_with_exit_code_1(trained):
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "charrnn", "sample", "words.pt", "-q"],
            cwd=trained,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert result.returncode == 1
    assert result.stderr == b"charrnn: standard output: No space left on device\n"


@pytest.mark.parametrize("variable", [{"PYTHONUNBUFFERED": ""}, {"PYTHONUNBUFFERED": "1"}])
def test_disk_that_fills_within_a_record_is_reported_for_any_buffering(trained, variable):
    uncompiled = {"PYTHONDONTWRITEBYTECODE": "1"}  # of which the limit would leave the beginning, for all to stumble on
    with open(trained / "cut.json", "wb") as out:
        result = subprocess.run(
            [sys.executable, "-m", "charrnn", "sample", "words.pt", "-q", "--json", "-n", "9000"], cwd=trained,
            stdout=out, stderr=subprocess.PIPE, env={**clean_environment(), **variable, **uncompiled},
            timeout=60, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (1, b"charrnn: standard output: File too large\n")
    assert (trained / "cut.json").stat().st_size == 4096


def test_unbuffered_streams_write_the_same_as_buffered_ones(trained):
    command = [sys.executable, "-m", "charrnn", "sample", "words.pt", "-n", "300", "--seed", "1"]
    results = [
        subprocess.run(command, cwd=trained, capture_output=True, env={**clean_environment(), **variable}, timeout=60)
        for variable in ({"PYTHONUNBUFFERED": ""}, {"PYTHONUNBUFFERED": "1"})
    ]
    assert results[0].stdout == results[1].stdout
    assert [result.stderr for result in results] == [b"seed 1\n", b"seed 1\n"]


def test_pause_on_a_nonblocking_pipe_is_not_its_end(trained):
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    command = [sys.executable, "-m", "charrnn", "sample", "words.pt", "--prompt", "-", "-q", "-n", "5"]
    with subprocess.Popen(command, cwd=trained, stdin=reader, stdout=subprocess.PIPE) as process:
        os.write(writer, b"Banana ")
        while not os.get_blocking(reader) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(0.5)
        os.write(writer, b"tin")
        os.close(writer)
        text, _ = process.communicate(timeout=60)
    os.close(reader)
    assert text.startswith(b"Banana tin")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["-p", "né"],
            1,
            "prompt has 'é' (U+00E9), which this model never saw (23 characters; see `charrnn inspect words.pt`); "
            "--unknown skip leaves them out, nearest takes what is like them",
        ),
        (
            ["-p", "Q9", "--unknown", "nearest"],
            1,
            "prompt has 'Q' (U+0051), '9' (U+0039), which this model never saw (23 characters; see `charrnn inspect "
            "words.pt`); nothing is near them; --unknown skip leaves them out",
        ),
        (
            ["-p", "Tin", "--encoding", "latin-1"],
            2,
            "--encoding is for what is read; give --prompt-file, --prompt -, --novel or -i < FILE",
        ),
        (["-t", "-1"], 2, "--temperature is -1.0; it must be at least 0 (greedy) and finite"),
        *(
            (
                ["-t", typed],
                2,
                f"--temperature is '{typed}'; give one number, such as 0.8, or one range, such as 0.3..1.2{several}",
            )
            for typed, several in (
                *((typed, "") for typed in ("warm", "0.3...1", "0.3..", "0.3..1..2")),
                *((typed, "; for several, call it once for each") for typed in ("0.3,0.5", "[0.3, 0.5]", "0.3 0.5")),
            )
        ),
        (
            ["-t", "0.1..1", "-n", "-1"],
            2,
            "--temperature as a range runs over the text, and --length -1 has no end; give a length",
        ),
        *(
            (["-t", "0.1..1", *one_line], 2, f"{RANGE_OVER_LINES}, and there is one; give --length to run over that")
            for one_line in (["--lines", "1"], ["--match", "[a-z]+"])
        ),
        (
            ["-p", r"Tin\nBa"],
            1,
            "prompt has '\\' (U+005C), which this model never saw (23 characters; see `charrnn inspect words.pt`); "
            r"--unknown skip leaves them out, nearest takes what is like them; a line feed is typed as $'...\n' in "
            "bash and zsh, or comes by --prompt-file",
        ),
        *(
            (
                [*flags, "--lines", "3"],
                2,
                rf"{flags[0]} leaves no line feed to end a line with, and --lines asks for lines; allow \n too",
            )
            for flags in (["--allow", "aeio "], ["--forbid", r"e\n"])
        ),
        (["--stop", ""], 2, "--stop is empty, and would end every text at once; give a text"),
        (["-n", "-2"], 2, "--length is -2; it must be from 0 to 1,000,000,000,000, or -1 for no end"),
        (["--lines", "0"], 2, "--lines is 0; it must be at least 1"),
        *(
            (["-N", number], 2, f"--num-samples is {number}; it must be at least 1 and at most 1,000,000,000,000")
            for number in ("0", "10000000000000000000000")
        ),
        (["-n", "-1", "--json"], 2, "--length -1 has no end, and --json needs one; give a length"),
        (["--logprobs"], 2, "--logprobs are a part of the JSON; give --json too"),
        (
            ["--separator", "-", "--json"],
            2,
            "--separator goes between texts, and with --json each is a line; leave one of them out",
        ),
        (
            ["--surprisal"],
            2,
            "--surprisal colours one text on a terminal; elsewhere --json --logprobs tells the same",
        ),
        (["--unknown", ""], 2, "--unknown is ''; it must be one of error, skip, nearest"),
        (["--unknown", "guess"], 2, "--unknown is 'guess'; it must be one of error, skip, nearest"),
        (["--mix", "words.pt"], 2, "--mix is 'words.pt'; write it as other.pt:0.3, with a share between 0 and 1"),
        (
            ["--mix", "words.pt:0.5", "--mix", "words.pt:0.6"],
            2,
            "the shares in --mix sum to 1.1, which leaves nothing for the first model",
        ),
        (["--mix", "no.pt:0.5"], 1, "no.pt: no such file; `charrnn train TEXT` writes one"),
        (["-p", "Tin", "-f", "words.txt"], 2, "--prompt and --prompt-file both give a prompt; give one of them"),
        (["-f", "no.txt"], 2, "no.txt: no such file; give a text file, or - for standard input"),
        (["-n", "-1", "-N", "2"], 2, "--length -1 has no end, and --num-samples needs one; give a length"),
        (
            ["--device", "mps"],
            2,
            "--device is 'mps'; it must be one of cpu, cuda; of GPUs NVIDIA's alone are used, by cuda",
        ),
        (["--seed", "-1"], 2, "--seed is -1; it must be at least 0"),
        (["--interactive", "--json", "-n", -1], 2, "--length -1 has no end, and --json needs one; give a length"),
        (["--story"], 2, "--story is for a conversation; give --interactive too, or --prompt-file to continue a text"),
        (["--keep-stop"], 2, "--keep-stop keeps what --stop names; give --stop too"),
        *(
            (
                ["--interactive", *flag],
                2,
                f"{flag[0]} does not go with --interactive, which writes one text for each beginning",
            )
            for flag in (["--num-samples", 3], ["--novel", "words.txt"], ["--unique"], ["--separator", "x"])
        ),
        (
            ["--unique", "--lines", 1, "-N", 30],
            2,
            "--unique compares the lines of a text, and each of these has one; give --lines 30 in place of "
            "--num-samples 30",
        ),
        *(
            ([*typed, "-p", "-"], 2, f"the prompt and {other} cannot both come from standard input")
            for other, *typed in (
                ("--interactive", "-i"),
                ("--mix -:0.3", "--mix", "-:0.3"),
                ("--novel", "--novel", "-"),
            )
        ),
        (["-n", 10**30], 2, f"--length is {10**30}; it must be from 0 to 1,000,000,000,000, or -1 for no end"),
        (
            ["--mix", "words.pt:0.7", "--mix", "words.pt:0.2", "--mix", "words.pt:0.1"],
            2,
            "the shares in --mix sum to 1, which leaves nothing for the first model",
        ),
        (["--mix", "words.pt:0.5", "--device", "cuda"], 2, "--mix runs on the CPU; leave --device out"),
    ],
)
def test_bad_input_is_reported_in_one_line(sample, arguments, code, message):
    result = sample(*arguments)
    assert (result.returncode, result.stdout) == (code, b"")
    assert result.stderr.decode() == f"charrnn: {message}\n"


def test_missing_or_damaged_checkpoint_is_reported_in_one_line(sample, trained):
    missing = sample(checkpoint="no.pt")
    assert (missing.returncode, missing.stderr.count(b"\n")) == (1, 1)
    (trained / "bad.pt").write_bytes((trained / "words.pt").read_bytes()[:-100])
    damaged = sample(checkpoint="bad.pt")
    assert (damaged.returncode, damaged.stderr.count(b"\n")) == (1, 1)
    assert damaged.stderr.startswith(b"charrnn: bad.pt: not a whole charrnn checkpoint")


def test_text_on_a_terminal_ends_with_a_line_end(trained):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "charrnn", "sample", "words.pt", "-q", "-n", "7", "-p", "Tin", "--seed", "1"],
        cwd=trained,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    os.close(slave)
    shown = read_terminal(master).decode().replace("\r\n", "\n")
    _, stderr = process.communicate(timeout=60)
    assert stderr == b""
    assert shown.startswith("Tin")
    assert shown.endswith("\n")


def test_control_characters_are_escaped_on_a_terminal_and_kept_in_a_file(tmp_path):
    text = "a\x1b[2J\x07é\n"
    master, slave = pty.openpty()
    for path, expected in ((os.ttyname(slave), None), (tmp_path / "out", text.encode())):
        with open(path, "wb", buffering=0) as raw:
            write_stream(raw, text)
        if expected is not None:
            assert path.read_bytes() == expected
    shown = read_until(master, b"\n").decode()
    os.close(slave)
    os.close(master)
    assert shown.rstrip() == "a␛[2J␇é"


def test_temperature_range_is_accepted(sample):
    assert len(sample("-n", 90, "-t", "0..2", "--seed", 1).done.stdout) == 90
    assert sample("-n", 1, "-t", "0..2", "--seed", 1).done.stdout == sample("-n", 1, "-t", 0, "--seed", 2).done.stdout


def test_temperature_range_spans_the_lines_or_the_given_length(sample):
    flags = ["-t", "0.5..1.5", "--seed", 1, "-q"]
    assert sample("--lines", 4, *flags).done.stdout.count(b"\n") == 4
    with_length = sample("--lines", 4, "-n", 300, *flags).done.stdout
    assert sample("-n", 300, *flags).done.stdout.startswith(with_length)
    assert sample("--lines", 1, "-n", 300, *flags).done.stdout == with_length.splitlines(True)[0]


def test_prompt_comes_from_stdin_or_a_file(sample, trained):
    (trained / "prompt.txt").write_text("Tin")
    given = sample("-p", "Tin", "-n", 30, "--seed", 1).done.stdout
    assert given.startswith(b"Tin")
    assert sample("-p", "-", "-n", 30, "--seed", 1, input=b"Tin\n").done.stdout == given
    assert sample("-f", "prompt.txt", "-n", 30, "--seed", 1).done.stdout == given
    assert sample("-p", "Tin", "-n", 30, "--seed", 1, "--no-echo").done.stdout == given[3:]


def test_only_the_last_line_end_of_a_stdin_prompt_is_dropped(sample):
    assert sample("-p", "-", "-n", 0, "-q", input=b"Tin \n\n").done.stdout == b"Tin \n"


def test_checkpoint_comes_from_stdin(sample, trained):
    data = (trained / "words.pt").read_bytes()
    assert sample("--seed", 1, checkpoint="-", input=data).done.stdout == sample("--seed", 1).done.stdout
    both = sample("-p", "-", checkpoint="-", input=data)
    assert (both.returncode, both.stderr.count(b"\n")) == (2, 1)


@given(st.text())
@example(r"\textbf \n")
def test_unescape_reverses_escaped(text):
    assert unescape(escaped(text)) == text
    assert "\n" not in escaped(text)


def test_empty_checkpoint_name_is_reported(sample):
    result = sample(checkpoint="")
    assert (result.returncode, result.stderr.decode().split(";")[0]) == (1, "charrnn: the checkpoint's name is empty")


def test_separator_is_written_between_texts(sample):
    marked = sample("-n", 9, "-N", 3, "--seed", 1, "--separator", r"--\n").done.stdout.decode()
    texts = marked.split("--\n")
    assert len(texts) == 3
    assert "\n".join(texts) == sample("-n", 9, "-N", 3, "--seed", 1).done.stdout.decode()


def test_json_records_have_the_documented_fields(sample):
    result = sample("-n", 30, "-N", 3, "--seed", 4, "--json", "--logprobs")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    texts = sample("-n", 30, "-N", 3, "--seed", 4, "--separator", "").done.stdout.decode()
    assert "\n".join(record["text"] for record in records) + "\n" == texts
    for number, record in enumerate(records):
        assert (record["sample"], record["seed"], record["stop_reason"]) == (number, 4, "length")
        assert len(record["logprobs"]) == len(record["text"]) == 30
        assert max(record["logprobs"]) <= 0
        assert record["mean_logprob"] == pytest.approx(sum(record["logprobs"]) / 30, abs=1e-5)


def test_command_in_a_message_is_quoted_and_names_no_pipe(sample, trained, charrnn, tmp_path):
    contents = (trained / "words.pt").read_bytes()
    (tmp_path / "My words.pt").write_bytes(contents)
    (tmp_path / "other.txt").write_text("Q")
    told = "(23 characters; see `charrnn inspect 'My words.pt'`); "
    assert told in charrnn("sample", "My words.pt", "-p", "Q").stderr
    assert told in charrnn("inspect", "My words.pt", "--score", "other.txt", "--unknown", "error").stderr
    assert "(23 characters); " in sample("-p", "Q", "-q", checkpoint="-", input=contents).stderr.decode()


def in_terminal(folder, *arguments, stderr=None, **environment):
    """What `charrnn sample words.pt` shows on a terminal."""
    command = [sys.executable, "-m", "charrnn", "sample", "words.pt", "-q", "--seed", "1", *arguments]
    master, slave = pty.openpty()
    options = {"cwd": folder, "env": {**clean_environment(), **environment}}
    with subprocess.Popen(command, stdout=slave, stderr=stderr, **options) as process:
        os.close(slave)
        shown = read_terminal(master).decode().replace("\r\n", "\n")
    assert process.returncode == 0, shown
    return shown


def test_nanogpt_style_file_prompt_suggests_prompt_file(sample, trained, tmp_path):
    (tmp_path / "tin.txt").write_text("the tin")
    words, told = [f"FILE:{tmp_path}/tin.txt", "-n", 5, "-q", "--unknown", "skip"], f"--prompt-file {tmp_path}/tin.txt"
    assert f"'; {told} takes what is in the file\n" in sample("--prompt", *words).stderr.decode()
    (tmp_path / "tin.txt").unlink()
    assert told not in sample("--prompt", *words).stderr.decode()


def test_surprisal_colours_a_colour_terminal(sample, trained):
    shown = in_terminal(trained, "-n", "20", "--surprisal", TERM="xterm-256color")
    plain = sample("-q", "-n", "20", "--seed", 1).done.stdout.decode()
    assert "\x1b[38;5;16;48;5;" in shown, "black on a colour, whatever the terminal's own are"
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown).rstrip("\n") == plain.rstrip("\n")
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": "vt100"}):
        assert in_terminal(trained, "-n", "20", "--surprisal", **environment).rstrip("\n") == plain.rstrip("\n")


@pytest.mark.parametrize(
    ("environment", "why"), [({"NO_COLOR": "1"}, "NO_COLOR is set"), ({"TERM": "dumb"}, "this terminal has none")]
)
def test_surprisal_without_colour_is_reported(trained, environment, why):
    told = f"charrnn: --surprisal is by colour, and {why}; --json --logprobs tells the same\n"
    assert in_terminal(trained, "-n", "20", "--surprisal", stderr=subprocess.STDOUT, **environment).startswith(told)


@pytest.mark.parametrize("more", [["--json"], ["-N", 2], ["-i"]])
def test_surprisal_is_refused_for_more_than_one_text_or_json(sample, more):
    coloured = {**clean_environment(), "TERM": "xterm-256color", "FORCE_COLOR": "1"}  # else a pipe alone is refused
    refused = sample("--surprisal", "-n", 5, *more, env=coloured)
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"--surprisal" in refused.stderr


def test_surprisal_colours_a_pipe_with_force_color(sample):
    plain = sample("-q", "-n", "20", "--seed", 1).done.stdout.decode()
    coloured = {**clean_environment(), "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    shown = sample("-q", "-n", "20", "--seed", 1, "--surprisal", env=coloured).done.stdout.decode()
    assert "\x1b[38;5;16;48;5;" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown).rstrip("\n") == plain.rstrip("\n")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells what a process held at most")
@pytest.mark.parametrize(
    ("cell", "layers", "hidden", "members"), [("lstm", 2, 512, 1), ("gru", 1, 1024, 1), ("lstm", 1, 512, 4)]
)
def test_sampling_holds_the_weights_in_memory_once(trained, cell, layers, hidden, members):
    """The weights take 12 to 19 MB; only one stored weight at a time is in memory beside the folded ones."""
    stored = read_checkpoint(str(trained / "words.pt")).model
    config = replace(stored, cell=cell, num_layers=layers, hidden_size=hidden, members=members)
    save_like(trained, "large.pt", random_model(config))
    above = most_held(trained, "sample", "large.pt", "-n", 300, "-q") - 4 * count_parameters(config)
    assert above < 60_000_000
