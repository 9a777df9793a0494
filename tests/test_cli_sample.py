"""`charrnn sample` as a user and a script run it."""

import io
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
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import (
    clean_environment,
    make_text,
    most_held,
    numpy_twin,
    random_model,
    read_terminal,
    read_until,
    run_charrnn,
    save_like,
    train_briefly,
)
from hypothesis import example, given
from hypothesis import strategies as st

from charrnn.cli.common import cores
from charrnn.cli.common.backslashes import escaped, unescape
from charrnn.cli.sampler import interactive, preparing, sharing, writing
from charrnn.cli.sampler.forms import InputForm
from charrnn.cli.sampler.interrupts import DeferredInterrupt
from charrnn.cli.sampler.job import Job
from charrnn.cli.sampler.prompts import fit_prompt
from charrnn.cli.sampler.writing import write_many, write_stream, write_texts
from charrnn.config import ModelConfig
from charrnn.generation.endings import Ending
from charrnn.generation.filters import FILTERS, SamplingOptions
from charrnn.generation.rules import Rules
from charrnn.generation.samples import Sample
from charrnn.generation.sampling import Sampler
from charrnn.loading import load_for_sampling, read_others
from charrnn.shapes import count_parameters
from charrnn.storage.archive import read_checkpoint
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN, TextOptions

LONGER = "; give a larger --length, or -1\n"
RANGE_OVER_LINES = "--temperature as a range runs over the lines"
PASTES_BY_LINE = b"\x1b[?2004l\r"  # a terminal that is told so is not at its prompt


@pytest.fixture
def sample(trained):
    """Run `charrnn sample words.pt` beside the trained checkpoint."""

    def run(*arguments, checkpoint="words.pt", **options):
        return run_charrnn(trained, "sample", checkpoint, *arguments, **options)

    return run


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


@pytest.mark.parametrize("rules", [Rules(), Rules(lines=99)])
def test_samples_do_not_depend_on_batch_size_or_processes(rules):
    config = ModelConfig(vocab_size=9, cell="lstm", hidden_size=16, num_layers=1, embedding_dim=4)
    sampler = Sampler(numpy_twin(random_model(config)), [1], SamplingOptions(), 3)
    written = []
    for at_once, processes in ((2, 1), (5, 1), (2, 2), (5, 3)):
        job = Job(
            sampler=sampler, form=InputForm(PLAIN, CharEncoder("abcdefghi"), has_cr_lf=False), before=[], prompt="",
            echo=True, length=20, rules=rules, num_samples=5, separator="", at_once=at_once, processes=processes,
        )  # fmt: skip
        out = io.BytesIO()
        write_many(out, job)
        written.append(out.getvalue().split())
    assert written == [written[0]] * 4
    assert len(set(written[0])) == 5


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


def test_prompt_from_stdin_or_a_file_may_have_another_encoding(sample, trained):
    expected = sample("-n", 5, "--seed", 1, "-p", "Tin").done.stdout
    wide = "Tin".encode("utf-16")
    assert sample("-n", 5, "--seed", 1, "-p", "-", "--encoding", "utf-16", input=wide).done.stdout == expected
    (trained / "wide.txt").write_bytes(wide)
    assert sample("-n", 5, "--seed", 1, "-f", "wide.txt", "--encoding", "utf-16").done.stdout == expected
    refused = sample("-p", "-", "--encoding", "klingon", input=b"Tin")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"--encoding is 'klingon'; give one of texts that Python knows" in refused.stderr


def test_utf8_prompt_read_in_another_encoding_warns(sample, trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    torch.save({**contents, "text": {**contents["text"], "encoding": "windows-1252"}}, trained / "windows.pt")
    told = "is valid UTF-8, and is read as windows-1252, as the model's text was; if it is UTF-8, give --encoding utf-8"
    typed = "Tïn".encode()
    (trained / "prompt.txt").write_bytes(typed)
    refused = sample("-f", "prompt.txt", checkpoint="windows.pt")
    assert refused.stderr.decode().startswith(f"charrnn: prompt.txt: {told}\ncharrnn: prompt has 'Ã' (U+00C3), ")
    refused = sample("-p", "-", checkpoint="windows.pt", input=typed)
    assert refused.stderr.decode().startswith(f"charrnn: standard input: {told}\n")
    refused = sample("-p", "-", "--encoding", "utf-8", checkpoint="windows.pt", input=typed)
    assert refused.stderr.decode().startswith("charrnn: prompt has 'ï' (U+00EF)")


def test_only_the_last_line_end_of_a_stdin_prompt_is_dropped(sample):
    assert sample("-p", "-", "-n", 0, "-q", input=b"Tin \n\n").done.stdout == b"Tin \n"


def test_checkpoint_comes_from_stdin(sample, trained):
    data = (trained / "words.pt").read_bytes()
    assert sample("--seed", 1, checkpoint="-", input=data).done.stdout == sample("--seed", 1).done.stdout
    both = sample("-p", "-", checkpoint="-", input=data)
    assert (both.returncode, both.stderr.count(b"\n")) == (2, 1)


@pytest.mark.parametrize(("rule", "prompt"), [("skip", "Ba"), ("nearest", "Baa")])
def test_unknown_characters_are_skipped_or_replaced_on_request(sample, rule, prompt):
    text = sample("-p", "Baä", "-n", 5, "--seed", 1, "--unknown", rule).done.stdout.decode()
    assert text == sample("-p", prompt, "-n", 5, "--seed", 1).done.stdout.decode()


def test_crlf_in_a_prompt_is_read_as_lf_if_the_model_lacks_cr(sample):
    expected = sample("-p", "-", "-n", 5, "--seed", 1, input=b"Tin\nBa").done.stdout
    assert sample("-p", "-", "-n", 5, "--seed", 1, input=b"Tin\r\nBa\r\n").done.stdout == expected
    assert sample("-p", "-", "-n", 5, "--seed", 1, input=b"Tin\rBa").returncode == 1


@given(st.text())
@example(r"\textbf \n")
def test_unescape_reverses_escaped(text):
    assert unescape(escaped(text)) == text
    assert "\n" not in escaped(text)


def test_lines_and_stop_end_a_text(sample):
    whole = sample("-n", 400, "--seed", 3, "-q").done.stdout.decode()
    assert sample("-n", 400, "--seed", 3, "--lines", 2).done.stdout.decode() == "".join(whole.splitlines(True)[:2])
    word = whole.split()[4]
    assert sample("-n", 400, "--seed", 3, "--stop", word).done.stdout.decode() == whole[: whole.index(word)]
    many = sample("-n", 400, "--seed", 3, "--stop", word, "-N", 2).done.stdout.decode()
    assert many.startswith(whole[: whole.index(word)])
    assert sample("-n", 400, "--seed", 3, "--stop", r"\n").done.stdout.decode() == whole[: whole.index("\n")]


def test_allow_and_forbid_restrict_the_characters(sample):
    assert "e" not in sample("-n", 300, "--forbid", "e", "--seed", 1).done.stdout.decode()
    assert set(sample("-n", 300, "--allow", "aeio t", "--seed", 1).done.stdout.decode()) <= set("aeio t")


def test_repeated_allow_and_forbid_flags_add_up(sample):
    assert set(sample("-n", 200, "-t", 9, "--allow", "e", "--allow", "at", "--seed", 1).done.stdout.decode()) == set(
        "eat"
    )
    assert not set(sample("-n", 300, "--forbid", "e", "--forbid", "an", "--seed", 1).done.stdout.decode()) & set("ean")


def test_escapes_are_read_in_allow_and_forbid(sample):
    assert sample("--lines", 2, "--allow", r"abnti \n", "--seed", 1).done.stdout.count(b"\n") == 2
    assert b"\n" not in sample("-n", 300, "--forbid", r"\n", "--seed", 1).done.stdout
    assert set(sample("-n", 90, "--allow", r"a\x\\", "--seed", 1).done.stdout.decode()) == {"a"}, (
        "of the others it has none"
    )


def test_stop_that_the_model_cannot_write_warns(sample):
    result = sample("-n", 20, "--seed", 1, "-q", "--stop", r"\nx9", "--stop", "a", "--forbid", "n", "--stop", "tin")
    lines = result.stderr.decode().splitlines()
    assert lines == [
        r"charrnn: --stop '\nx9' can end no text: the model never writes 'x' (U+0078), '9' (U+0039)",
        "charrnn: --stop 'tin' can end no text: the model never writes 'n' (U+006E)",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--allow", "abtx9"], "--allow has 'x' (U+0078), '9' (U+0039), which the model never writes"),
        (["--forbid", "n9", "--forbid", "9"], "--forbid has '9' (U+0039), which the model never writes"),
        (
            ["--allow", "a-z"],
            "--allow has '-' (U+002D), 'z' (U+007A), which the model never writes; a range of characters is one in a "
            "pattern: --match '[a-z]*'",
        ),
        (["--allow", r"a\n", "--forbid", "e"], ""),
    ],
)
def test_useless_allow_or_forbid_characters_warn(sample, arguments, told):
    assert sample("-n", 20, "-q", *arguments).stderr.decode() == (f"charrnn: {told}\n" if told else "")


@pytest.mark.parametrize(
    ("arguments", "range_"),
    [
        (["--allow", "a-t"], "a-t"),
        (["--allow", r"\n ", "--forbid", "B-KM-T"], "M-T"),
        (["--allow", "abeiklmnoprst-"], ""),
        (["--allow", "a-t", "--allow", "beiklmnoprs"], ""),
        (["--allow", "abe-", "--allow", "nt"], ""),
        (["--forbid", "e-i"], ""),
        (["--forbid", "B-a"], ""),
    ],
)
def test_allow_with_a_range_warns_that_the_hyphen_is_literal(sample, trained, arguments, range_):
    contents = torch.load(trained / "words.pt", weights_only=True)
    torch.save({**contents, "characters": "".join(sorted(contents["characters"][:-1] + "-"))}, trained / "hyphen.pt")
    flag = arguments[-2]
    told = f"{flag} has '{range_}', which is no range here; a range of characters is one in a pattern: --match '[a-z]*'"
    result = sample("-n", 20, "-q", *arguments, checkpoint="hyphen.pt")
    assert result.stderr.decode() == (f"charrnn: {told}\n" if range_ else "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--allow", "\u00e9"],
            "--allow has '\u00e9' (U+00E9), which the model never writes\n"
            "charrnn: --allow leaves no character of the model to write with",
        ),
        (["--forbid", make_text(2000)], "--forbid leaves no character of the model to write with"),
        (["--allow", "ab", "--forbid", "ba"], "--allow and --forbid leave no character of the model to write with"),
    ],
)
def test_flags_that_leave_no_character_are_refused(sample, arguments, told):
    refused = sample(*arguments)
    assert (refused.returncode, refused.stdout, refused.stderr.decode()) == (2, b"", f"charrnn: {told}\n")


@pytest.fixture(scope="session")
def returns(trained):
    """The name of a model whose text's lines end by CR LF."""
    (trained / "returns.txt").write_bytes(
        (make_text(12_000) * 2).replace("\n", "\r\n").replace("\r\nT", "\r\n" * 2 + "T").encode()
    )
    train_briefly(trained, "returns.txt", "--hidden-size", "48", "--max-steps", "120")
    return "returns.pt"


@pytest.mark.parametrize(("typed", "end"), [(r"\n", "\r\n"), (r"\n\n", "\r\n\r\n"), (r"\r\n", "\r\n"), (r"\r", "\r")])
def test_line_feed_in_a_stop_means_crlf_for_a_crlf_model(sample, returns, typed, end):
    flags = ["-p", "Ti", "-n", 600, "--seed", 3, "-q"]  # what is read first without a prompt depends on the stop
    whole = sample(*flags, checkpoint=returns).done.stdout.decode()
    cut = sample(*flags, "--stop", typed, checkpoint=returns)
    assert (cut.stdout.decode(), cut.stderr) == (whole[: whole.index(end)], b"")


@pytest.mark.parametrize(
    ("stops", "feeds"),
    [([r"\n\n"], 2), ([r"\r\n\r\n"], 2), ([r"\n"], 1), ([r"\n\n", "x", r"\n\n\n", r"\n"], 3), ([r"\n\nT"], 1), ([], 1)],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_without_a_prompt_begins_after_the_blank_line_stop(sample, returns, trained, stops, feeds, end):
    checkpoint = "words.pt" if end == "\n" else returns
    flags = [word for stop in stops for word in ("--stop", stop)]
    record = json.loads(sample("-n", 1, "--json", "--logprobs", "-q", *flags, checkpoint=checkpoint).done.stdout)
    read_first = "\n" if feeds == 1 else end * feeds
    value = log_probability(*load_for_sampling(read_checkpoint(str(trained / checkpoint))), read_first, record)
    assert record["logprobs"] == pytest.approx([value], abs=1e-4)


@pytest.mark.parametrize(("characters", "end"), [("ab\n", "\n\n"), ("ab", "")])
def test_blank_line_stop_is_ignored_if_the_line_feed_is_a_rare_character(characters, end):
    form = InputForm(PLAIN, CharEncoder(characters, has_unknown=True), has_cr_lf=False)
    assert preparing._blank_line_stop([r"\n\n"], form) == end


def test_stop_with_a_line_feed_matches_lf_and_crlf_for_a_mixed_model(sample, returns):
    flags = ["-n", 600, "--seed", 1, "-t", 9, "-q"]
    whole = sample(*flags, checkpoint=returns).done.stdout.decode()
    first = re.search("\r?\n", whole)
    assert first[0] == "\n", "a line feed that stands alone is the first"
    assert sample(*flags, "--stop", r"\n", checkpoint=returns).done.stdout.decode() == whole[: first.start()]
    told = sample(*flags, "--stop", r"9\n", checkpoint=returns).stderr.decode()
    assert told == "charrnn: --stop '9\\r\\n' can end no text: the model never writes '9' (U+0039)\n"


def test_line_feed_in_a_prompt_means_crlf_for_a_crlf_model(sample, returns):
    typed, read = (
        sample("-p", text, "-n", 9, "--seed", 1, checkpoint=returns).done.stdout for text in ("Ba\n", "Ba\r\n")
    )
    assert typed == read
    assert typed.startswith(b"Ba\r\n")


def test_line_feed_in_allow_or_forbid_means_crlf_for_a_crlf_model(sample, returns):
    assert b"\r" not in sample("-n", 300, "--seed", 1, "--forbid", r"\n", checkpoint=returns).done.stdout
    assert b"\r" in sample("-n", 300, "--seed", 1, "--allow", r"a\n", checkpoint=returns).done.stdout
    flags = ["--allow", r"a\n", "--forbid", r"\r", "--stop", r"\n", "-t", 3, "-q"]
    bare = sample("-n", 600, "--seed", 1, *flags, checkpoint=returns)
    assert (len(bare.stdout) < 600, bare.stdout.count(b"\r"), bare.stderr) == (True, 0, b"")


@pytest.mark.parametrize(("first", "other"), [("LF", "CR LF"), ("CR LF", "LF"), ("LF", "LF"), ("CR LF", "CR LF")])
def test_mixing_models_of_different_line_ends_warns(sample, returns, first, other):
    names = {"LF": "words.pt", "CR LF": returns}
    result = sample("-n", 9, "-q", "--mix", f"{names[other]}:0.5", checkpoint=names[first])
    told = f"--mix {names[other]} ends its lines by {other}, and the first model by {first}; the text may have both"
    assert result.stderr.decode() == (f"charrnn: {told}\n" if first != other else "")


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"lowercase": True}, "in lowercase"),
        ({"normalize": "nfc"}, "in its original case and normalized by nfc"),
        ({}, ""),
    ],
)
def test_mixing_models_of_different_text_forms_warns(sample, trained, form, told):
    contents = torch.load(trained / "words.pt", weights_only=True)
    torch.save({**contents, "text": {**contents["text"], **form}}, trained / "formed.pt")
    for first, other, texts in (
        ("formed.pt", "words.pt", ("in its original case", told)),
        ("words.pt", "formed.pt", (told, "in its original case")),
    ):
        result = sample("-n", 9, "-q", "--mix", f"{other}:0.5", checkpoint=first)
        message = (
            f"charrnn: the text of --mix {other} is {texts[0]}, that of the first model {texts[1]}; what you type is "
        )
        assert result.stderr.decode() == (f"{message}treated like the first model's\n" if told else "")


def test_match_on_a_crlf_model_writes_crlf_lines(sample, returns):
    flags = ["--match", "[A-Z][a-z]+ .*", "--seed", 1, "-q"]
    lines = sample(*flags, "--lines", 5, checkpoint=returns).done.stdout.decode().split("\r\n")
    assert (len(lines), lines[-1]) == (6, "")
    assert all(re.fullmatch("[A-Z][a-z]+ [a-z ]*", line) for line in lines[:-1])
    many = sample(*flags, "-n", 300, "-N", 3, "--stop", "tuna", "--json", checkpoint=returns).done.stdout
    texts = [json.loads(line)["text"] for line in many.splitlines()]
    assert all(re.fullmatch("([A-Z][a-z]+ [a-z ]*\r\n)*([A-Z][a-z]+ [a-z ]*)?", text) for text in texts)
    short = sample("--match", "[A-Z]", "--seed", 1, "-q", "-n", 2, "-N", 2, checkpoint=returns).done.stdout.decode()
    assert re.fullmatch("[A-Z]\r\n\r\n[A-Z]\r\n", short), "no text ends in half a line's end"
    flags = ["--match", "[A-Z][a-z ]{9}", "--lines", 2, "--forbid", r"\r"]
    assert re.fullmatch("([A-Z][a-z ]{9}\n){2}", sample(*flags, checkpoint=returns).done.stdout.decode())


def test_separator_and_last_line_end_follow_the_line_ends_of_the_model(sample, returns):
    flags = ["-n", 40, "--seed", 1, "-q", "--stop", r"\n"]
    one, two = sample(*flags, "-N", 2, "--separator", r"\0", checkpoint=returns).done.stdout.decode().split("\0")
    assert one.count("\n") == two.count("\n") == one.count("\r\n") == two.count("\r\n") == 1
    for separator, between in (([], "\r\n"), (["--separator", r"-\n\r\n"], "-\r\n\r\n"), (["--separator", ""], "")):
        assert sample(*flags, "-N", 2, *separator, checkpoint=returns).done.stdout.decode() == one + between + two
    spared = sample("-n", 40, "--seed", 1, "-q", "-N", 2, "--forbid", r"\r", checkpoint=returns).done.stdout
    assert b"\r" not in spared
    talk = sample("-i", *flags, checkpoint=returns, input=b"Tin\nBa\n").done.stdout.decode()
    assert re.fullmatch("Tin[^\r\n]*\r\nBa[^\r\n]*\r\n", talk)


def test_typed_characters_take_the_text_form_of_the_model(sample, trained):
    (trained / "accents.txt").write_text("CAFÉ TUNA\r\nTÜR NAP\r\n" * 300, encoding="utf-8")
    form = ["--lowercase", "--normalize", "nfc", "--newline", "lf"]
    train_briefly(trained, "accents.txt", "--hidden-size", "8", "--max-steps", "2", *form, "--overwrite")
    flags = {"checkpoint": "accents.pt"}
    assert "é" not in sample("-n", 300, "--seed", 1, "--forbid", "E\u0301", **flags).done.stdout.decode()
    assert set(sample("-n", 300, "--seed", 1, "--allow", "U\u0308N", **flags).done.stdout.decode()) == set("ün")
    for typed in (["--forbid", r"\r"], ["--allow", r"u\r\n\r"]):
        result = sample("-n", 300, "--seed", 1, "-q", "-t", 9, *typed, **flags)
        assert b"\n" in result.stdout, "a CR is no line feed"
        assert result.stderr.decode() == f"charrnn: {typed[0]} has '\\r' (U+000D), which the model never writes\n"
    whole = sample("-n", 300, "--seed", 1, "-q", **flags).done.stdout.decode()
    for typed, stop in (("E\u0301", "é"), ("\r\n", "\n"), ("N", "n")):
        result = sample("-n", 300, "--seed", 1, "-q", "--stop", typed, **flags)
        assert (result.stdout.decode(), result.stderr) == (whole[: whole.index(stop)], b"")


@pytest.mark.parametrize("is_allowed", [True, False])
def test_typed_capital_sigma_is_lowercased_by_position_and_in_lists_to_both(is_allowed):
    small, as_it_is = (
        InputForm(TextOptions(lowercase=small), CharEncoder("Σσς τουλ"), False) for small in (True, False)
    )
    typed = {"ΤΟΥΣ": "τους", "ΛΣΤ": "λστ", "Σ": "σ", "τουσ": "τουσ", "ΤΟΥΣ ": "τους "}
    assert {text: small.of(text) for text in typed} == typed
    lists = {"Σ": "σς", "ΟΣ": "οσς", "σ": "σ", "ς": "ς"}
    assert {text: small.characters_of([text], is_allowed=is_allowed) for text in lists} == lists
    assert as_it_is.characters_of(["ΟΣ"], is_allowed=is_allowed) == "ΟΣ"
    for known, either in (("σ", "σ"), ("ς", "ς"), ("τ", "σ")):
        form = InputForm(TextOptions(lowercase=True), CharEncoder(known), False)
        assert form.characters_of(["Σ"], is_allowed=is_allowed) == either


@pytest.fixture(scope="module")
def forms(trained):
    """Checkpoints that write decomposed Hangul and accents, and composed ones, as if their texts had been so."""
    contents = torch.load(trained / "words.pt", weights_only=True)
    for name, written in (("apart.pt", "\u0308\u1102\u1103\u1104\u1161"), ("whole.pt", "\u00fc\ub2c8\ub2e4")):
        characters = contents["characters"][: -len(written)] + written
        torch.save({**contents, "characters": characters}, trained / name)
    of_bytes = {"characters": contents["characters"][:-2] + "\x81\xcc", "text": {**contents["text"], "unit": "byte"}}
    torch.save({**contents, **of_bytes}, trained / "bytes.pt")


@pytest.mark.usefixtures("forms")
def test_typed_unicode_form_is_converted_to_that_of_the_model(sample):
    for checkpoint, typed, stop in (("apart.pt", "\ub530", "\u1104\u1161"), ("whole.pt", "\u1102\u1175", "\ub2c8")):
        flags = ["-n", 4000, "--seed", 1, "-q", "-t", 3]
        whole = sample(*flags, checkpoint=checkpoint).done.stdout.decode()
        cut = sample(*flags, "--stop", typed, checkpoint=checkpoint)
        assert (cut.stdout.decode(), cut.stderr) == (whole[: whole.index(stop)], b"")
        allowed = sample(*flags, "--allow", typed, checkpoint=checkpoint)
        assert (set(allowed.stdout.decode()), allowed.stderr) == (set(stop), b"")
    forbidden = sample(*flags, "--forbid", "u\u0308", checkpoint="whole.pt")
    assert (set(whole) - set(forbidden.stdout.decode()), forbidden.stderr) == ({"\u00fc"}, b"")
    spared = sample(*flags, "--forbid", "\u00fc", checkpoint="apart.pt")
    assert spared.stderr.decode() == "charrnn: --forbid has '\u00fc' (U+00FC), which the model never writes\n"
    assert "\u0308" in spared.stdout.decode(), "no part of it is forbidden"
    told = sample(*flags, "--forbid", "\u00f69\u00eb", checkpoint="apart.pt").stderr.decode().splitlines()
    assert told == [
        "charrnn: --forbid has '\u00f6' (U+00F6), which the model writes as 'o' (U+006F), '◌\u0308' (U+0308); forbid "
        "one of these",
        "charrnn: --forbid has '\u00eb' (U+00EB), which the model writes as 'e' (U+0065), '◌\u0308' (U+0308); forbid "
        "one of these",
        "charrnn: --forbid has '9' (U+0039), which the model never writes",
    ]


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize(
    ("checkpoint", "typed", "known"), [("apart.pt", "\ub530", "\u1104\u1161"), ("whole.pt", "u\u0308", "\u00fc")]
)
def test_prompt_in_the_other_unicode_form_is_converted(sample, trained, checkpoint, typed, known):
    (trained / "beginning.txt").write_text(f"Ma{typed}", encoding="utf-8")
    lines = f"Ma{typed}\n".encode()
    for flags in (["-p", f"Ma{typed}"], ["-f", "beginning.txt"], ["-p", "-"], ["-i"]):
        result = sample("-n", 5, "--seed", 1, "-q", *flags, checkpoint=checkpoint, input=lines)
        assert result.stdout.decode().startswith(f"Ma{known}"), result.stderr
        assert result.stderr == b""


@pytest.mark.usefixtures("forms")
def test_refused_pattern_gets_no_advice(sample):
    for pattern, checkpoint in (("[a\u00e9]", "bytes.pt"), ("(\ub530", "apart.pt")):
        refused = sample("--match", pattern, checkpoint=checkpoint)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1), refused.stderr
    assert sample("--stop", "\u00e9", "-n", 9, "-q", checkpoint="bytes.pt").stderr == b"", (
        "though it knows the other form"
    )


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize(
    ("checkpoint", "pattern", "written"),
    [
        ("apart.pt", "[\ub2e4-\ud7a3 ]{3}", r"((\u1103|\u1104)\u1161| ){3}"),
        ("apart.pt", "\ub2e4+\u00f6?", r"(\u1103\u1161)+(o\u0308)?"),
        ("whole.pt", "[au\u0308 ]{3}", r"[a\xfc ]{3}"),
        ("whole.pt", "[\u00fc\uac00-\ud7a3 a]{3}", r"[\u00fc\uac00-\ud7a3 a]{3}"),
    ],
)
def test_pattern_in_the_other_unicode_form_is_converted(sample, checkpoint, pattern, written):
    result = sample("--match", pattern, "--seed", 1, "-q", checkpoint=checkpoint)
    assert re.fullmatch(written, result.stdout.decode().strip("\n"))
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.usefixtures("forms")
def test_all_unconvertible_letters_of_a_class_are_named(sample):
    result = sample("--match", "[^\ub2e4\ub098]\ub2e4[\\s\ub530]", "--seed", 1, "-q", checkpoint="apart.pt")
    assert result.stderr.decode() == (
        "charrnn: --match has '\ub2e4' (U+B2E4), '\ub098' (U+B098), '\ub530' (U+B530) in a class with ^ or \\w or its "
        "like, and the model writes several characters for that; name what is meant without these, or as "
        "(\\u1103\\u1161|a)\n"
    )


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("tin|nap Tuna", "T"),
        ("[A-Z][a-z]+|[\\S]in", "[A-Z]"),
        ("[A-Za-z]{3}|(?:\\x54)", "\\x54"),
        ("(?i)Tin", ""),
        ("\\S\\D.", ""),
    ],
)
def test_capitals_in_a_pattern_warn_for_a_lowercase_model(sample, trained, pattern, shown):
    contents = torch.load(trained / "words.pt", weights_only=True)
    small = {
        "characters": "\n abcdefghijklmnopqrstu",
        "text": {**contents["text"], "lowercase": True},
    }
    torch.save({**contents, **small}, trained / "small.pt")
    told = (
        f"--match has '{shown}', and the model's text is in lowercase; write small letters, or (?i) before the pattern"
    )
    for checkpoint, is_told in (("small.pt", shown != ""), ("words.pt", False)):
        result = sample("--match", pattern, "-q", checkpoint=checkpoint)
        assert (result.returncode, result.stderr.decode()) == (0, f"charrnn: {told}\n" * is_told)


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


@pytest.fixture(scope="session", params=["latin-1", "utf-16", "utf-8"])
def encoded(trained, request):
    """The name of a model of names with accents, and the encoding of its text."""
    name = f"names-{request.param}"
    (trained / f"{name}.txt").write_text("Zo\u00eb\nCaf\u00e9\n" * 500, encoding=request.param)
    train_briefly(trained, f"{name}.txt", "--encoding", request.param, "--hidden-size", "8", "--max-steps", "1")
    return f"{name}.pt", request.param


@pytest.mark.parametrize("given", [None, "cp437"])
def test_novel_reads_the_encoding_of_the_model_utf8_or_the_given_one(sample, trained, encoded, given):
    checkpoint, own = encoded
    flags = ["--match", "Zo\u00eb|Caf\u00e9", "--lines", 20, "--seed", 1, *(["--encoding", given] if given else [])]
    for encoding in filter(None, ("utf-8", own, given)):
        (trained / "known.txt").write_text("Caf\u00e9\n", encoding=encoding)
        for path in ("known.txt", "-"):
            result = sample(*flags, "--novel", path, checkpoint=checkpoint, input=(trained / "known.txt").read_bytes())
            assert (result.stdout.decode(), result.returncode) == ("Zo\u00eb\n" * 20, 0)
            told = f" left out because they are in {'standard input' if path == '-' else path}\n"
            assert result.stderr.decode().endswith(told)


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize(
    ("checkpoint", "written", "other"), [("apart.pt", "o\u0308", "\u00f6"), ("whole.pt", "\u00fc", "u\u0308")]
)
def test_novel_compares_across_unicode_forms(sample, trained, checkpoint, written, other):
    (trained / "known.txt").write_text(f"Ba{other}\nna\u00eff\n", encoding="utf-8")
    flags = ["--match", f"Ba{written}|Ban", "--lines", 9, "--seed", 1, "-q", "-t", 99]
    assert written in sample(*flags, checkpoint=checkpoint).done.stdout.decode()
    assert sample(*flags, "--novel", "known.txt", checkpoint=checkpoint).done.stdout == b"Ban\n" * 9


def test_undecodable_novel_file_is_refused_with_the_given_encoding(sample, trained):
    (trained / "odd.txt").write_bytes(b"caf\xe9\n\x81")
    refused = sample("--novel", "odd.txt", "--encoding", "cp1252")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr.startswith(b"charrnn: odd.txt: not valid CP1252 at byte 5 (0x81); ")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("utf-8", ""),
        ("utf-16-be", "read as UTF-8, it has many NUL characters, as UTF-16 and UTF-32 have then"),
        ("utf-32-le", "read as UTF-8, it has many NUL characters, as UTF-16 and UTF-32 have then"),
        ("utf-16", "not valid UTF-8 at byte 0 (0xff)"),
    ],
)
def test_novel_file_decoded_to_nonsense_is_refused(trained, written, told):
    (trained / "wide.txt").write_text(make_text(300), encoding=written)
    for look in (["sample", "words.pt", "-n", 9, "--novel"], ["inspect", "words.pt", "--novelty"]):
        result = run_charrnn(trained, *look, "wide.txt")
        if told:
            assert result.stderr.decode() == f"charrnn: wide.txt: {told}; name its own encoding with --encoding\n"
        assert result.returncode == (2 if told else 0)
        assert run_charrnn(trained, *look, "wide.txt", "--encoding", written).returncode == 0


def test_novel_refuses_a_prompt_that_begins_an_unknown_line(sample):
    refused = sample("--novel", "words.txt", "-p", "Tin")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert b"cannot leave out the one that the prompt begins" in refused.stderr
    assert sample("--novel", "words.txt", "-p", "Tin\n", "-n", 20).returncode == 0


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


@pytest.fixture(scope="session")
def lines(trained):
    """The name of a model that learned line by line."""
    train_briefly(trained, "words.txt", "-o", "lines.pt", "--lines", "--hidden-size", "48", "--max-steps", "60")
    return "lines.pt"


@pytest.mark.parametrize("names", [("words.pt", "lines.pt"), ("lines.pt", "words.pt"), ("words.pt", "words.pt")])
def test_mixture_with_a_lines_model_reads_a_prompt_as_the_start_of_a_line(sample, trained, lines, names):
    first, other = names
    contents = read_checkpoint(str(trained / first))
    mixed = load_for_sampling(contents, read_others(contents, [f"{trained / other}:0.5"]))
    flags = ["--mix", f"{other}:0.5", "-n", 1, "--json", "--logprobs", "-q"]
    for prompt in ("Ti", ""):
        record = json.loads(sample("-p", prompt, *flags, checkpoint=first).done.stdout)
        read_first = "\n" if lines in names or not prompt else ""
        assert record["logprobs"] == pytest.approx([log_probability(*mixed, read_first + prompt, record)], abs=1e-4)


def log_probability(model, encoder, text, record):
    """Of a record's first character, after a text."""
    read = model.reader()
    for character in encoder.encode(text).tolist():
        logits = read(character)
    return float(logits[encoder.encode(record["text"])[0]] - np.log(np.exp(logits.astype(float)).sum()))


def test_lines_model_reads_a_prompt_as_the_start_of_a_line(sample, trained, lines):
    model, encoder = load_for_sampling(read_checkpoint(str(trained / lines)))
    read = model.reader()
    for character in encoder.encode("\nTi").tolist():
        logits = read(character)
    expected = encoder.characters[int(logits.argmax())]
    for flags, beginning in ((["-p", "Ti"], b""), (["-i"], b"Ti\n")):
        written = sample("-n", 1, "-t", 0, "-q", *flags, checkpoint=lines, input=beginning).done.stdout.decode()
        assert written.rstrip("\n") == ("Ti" + expected).rstrip("\n")
    flags = ["-n", 3, "-t", 2, "-q", "--seed", 3]
    many = sample(*flags, "-p", "T", "-N", 60, "--separator", "", checkpoint=lines).done.stdout
    assert sample(*flags, "-i", checkpoint=lines, input=b"T\n" * 60).done.stdout == many
    records = sample("-p", "Ti", "-n", 1, "--json", "--logprobs", "--seed", 3, checkpoint=lines).done.stdout
    record = json.loads(records)
    assert record["logprobs"] == pytest.approx([log_probability(model, encoder, "\nTi", record)], abs=1e-4)


def test_empty_checkpoint_name_is_reported(sample):
    result = sample(checkpoint="")
    assert (result.returncode, result.stderr.decode().split(";")[0]) == (1, "charrnn: the checkpoint's name is empty")


def test_invalid_bytes_in_a_conversation_print_no_traceback(trained):
    run = subprocess.run(
        [sys.executable, "-m", "charrnn", "sample", "words.pt", "-i", "-n", "5", "-q"],
        cwd=trained, input=b"Ti\xff\nTi\n", capture_output=True, timeout=60,
        env={**clean_environment(), "PYTHONIOENCODING": "utf-8:strict"},
    )  # fmt: skip
    assert run.returncode == 1
    assert run.stdout.startswith(b"Ti")
    assert run.stderr.startswith(b"charrnn: prompt has byte 0xFF, which this model never saw (")


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


def test_mixing_a_model_with_itself_changes_nothing(sample, lines):
    alone = sample("-n", 60, "--seed", 1).done.stdout
    assert sample("-n", 60, "--seed", 1, "--mix", f"{lines}:0.5").done.stdout != alone
    assert sample("-n", 60, "--seed", 1, "--mix", "words.pt:0.5").done.stdout == alone


def test_conversation_prepares_its_model_before_the_first_interruptible_text(monkeypatch):
    """Ctrl-C ends a text, not the conversation: while the weights are folded it would leave them incomplete."""
    order, form = [], InputForm(PLAIN, CharEncoder("a"), has_cr_lf=False)
    model = SimpleNamespace(reader=lambda: order.append("ready"))
    monkeypatch.setattr(interactive, "_begin_editing", lambda: None)
    monkeypatch.setattr(interactive, "_is_of_file", lambda: False)
    monkeypatch.setattr(interactive, "read_lines", lambda *_, **__: order.append("a beginning") or iter([]))
    assert interactive.converse(
        SimpleNamespace(sampler=SimpleNamespace(model=model), prompt="", form=form),
        SimpleNamespace(quiet=True, story=False, encoding=None),
    )
    assert order == ["ready", "a beginning"]


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


def records_of(result, *, code=0):
    assert result.returncode == code, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


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


def test_record_of_an_interrupted_text_holds_what_was_written():
    def drawn():
        yield "a", -1.0
        raise KeyboardInterrupt

    sample = interactive._sample_of(DeferredInterrupt(ends_all=False).until(drawn()), Ending(Rules()), 3)
    assert sample == Sample(3, "a", [-1.0], "interrupted")
    with pytest.raises(KeyboardInterrupt):
        interactive._sample_of(DeferredInterrupt(ends_all=True).until(drawn()), Ending(Rules()), 3)


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


def test_interactive_reports_missing_lines(sample):
    result = sample("-i", "--lines", 9, "-n", 20, "--seed", 1, input=b"Tin\nBa\n")
    told = re.fullmatch(f"seed 1\n(. of 9 lines: --length 20 was reached{LONGER}){{2}}", result.stderr.decode())
    assert told is not None
    assert sample("-i", "--lines", 9, "-n", 20, "-q", input=b"Tin\nBa\n").stderr == b""


def test_interactive_reports_an_empty_text_after_the_typed_beginning(sample):
    told = sample("-i", "--stop", " ", "--match", "Tin tin", "--seed", 1, input=b"Tin\n\n").stderr.decode()
    assert told == f"seed 1\nthe text is empty behind the prompt: {UNFITTING}\nthe text is empty: {UNFITTING}\n"


def test_interactive_ignores_bom_and_crlf_of_a_file(sample):
    flags = ["-i", "-n", 20, "--seed", 1]
    plain, marked = (sample(*flags, input=lines) for lines in (b"Tin\nBa\n", b"\xef\xbb\xbfTin\r\nBa\r\n"))
    assert (marked.stdout, marked.stderr) == (plain.stdout, plain.stderr)
    assert plain.stderr == b"seed 1\n"


@pytest.mark.parametrize("given", [None, "cp437", "utf-8"])
def test_interactive_reads_the_encoding_of_the_model_or_the_given_one(sample, encoded, given):
    checkpoint, own = encoded
    flags = ["-i", "-n", 0, "-q", *(["--encoding", given] if given else [])]
    typed = "\ufeff" * (given == "utf-8") + "Zo\u00eb\r\nCaf\u00e9\n\nCaf\u00e9"
    result = sample(*flags, checkpoint=checkpoint, input=typed.encode(given or own))
    if (given or own) == "utf-16":
        told = "standard input: is read as utf-16, whose lines cannot be read one by one; "
        assert (result.returncode, result.stdout) == (2, b"")
        assert result.stderr.decode() == f"charrnn: {told}convert it to UTF-8 (iconv), and give --encoding utf-8\n"
        return
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().split("\n") == ["Zo\u00eb", "Caf\u00e9", "", "Caf\u00e9", ""]


def test_interactive_utf8_input_read_in_another_encoding_warns(sample, trained):
    save_like(trained, "latin.pt", text={"encoding": "latin-1"})
    result = sample("-i", "-n", 0, "-q", checkpoint="latin.pt", input="Tin\nCaf\u00e9\nBa\n".encode())
    doubt, refused = result.stderr.decode().splitlines()
    assert doubt.startswith("charrnn: standard input: is valid UTF-8, and is read as latin-1, as the model's text was")
    assert "'\u00c3' (U+00C3), '\u00a9' (U+00A9), which this model never saw" in refused
    assert (result.returncode, result.stdout) == (1, b"Tin\nBa\n")


def test_interactive_reports_an_undecodable_beginning_and_continues_the_others(sample):
    result = sample("-i", "-n", 0, "-q", "--encoding", "cp932", input=b"Tin\nBa\x81\nTin\n")
    assert (result.returncode, result.stdout) == (1, b"Tin\nTin\n")
    assert result.stderr.startswith(b"charrnn: prompt has byte 0x81, which this model never saw (")


def test_interactive_byte_model_refuses_an_encoding(sample, trained):
    save_like(trained, "bytes.pt", text={"unit": "byte"})
    flags = ["-i", "-n", 0, "-q"]
    assert sample(*flags, checkpoint="bytes.pt", input=b"\xef\xbb\xbfTin\n").done.stdout == b"Tin\n"
    refused = sample(*flags, "--encoding", "latin-1", checkpoint="bytes.pt", input=b"Tin\n")
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert refused.stderr.startswith(b"charrnn: --encoding is for text, and a model of bytes reads them as they are; ")


def test_encoding_flag_is_refused_for_a_terminal(trained, start):
    master, slave = pty.openpty()
    process = start(trained, "sample", "words.pt", "-i", "--encoding", "latin-1", stdin=slave)
    os.close(slave)
    told = b"charrnn: --encoding is for what is read; "
    assert (process.wait(timeout=60), process.stderr.read().startswith(told)) == (2, True)
    os.close(master)


def test_interactive_backslash_hint_names_the_terminal_and_prompt_file(sample):
    told = sample("-i", "-q", input=rb"Tin\n").stderr
    assert told.endswith(b"; a line feed is typed at a terminal alone; --prompt-file may hold some\n")


def test_prompt_of_which_nothing_is_left_warns(sample):
    result = sample("-p", "Q9", "--unknown", "skip", "-n", 9, "-q")
    told = "nothing is left of the prompt, of which the model knows no character"
    assert (len(result.stdout), result.stderr.decode()) == (9, f"charrnn: {told}\n")
    assert sample("-p", "Q9a", "--unknown", "skip", "-n", 9, "-q").stderr == b""


@pytest.mark.parametrize("way", [["-p", "9éa9"], ["-i"]])
def test_prompt_characters_read_as_rare_are_listed_unless_quiet(sample, trained, way):
    """A refusal is for whoever asks for it: a name in a Chinese prompt may well have a rare character."""
    characters = torch.load(trained / "words.pt", weights_only=True)["characters"]
    save_like(trained, "rare.pt", characters=characters[:-1], has_unknown=True)

    def run(*flags):
        result = sample(*way, "-n", 9, "-q", *flags, checkpoint="rare.pt", input="9éa9\n".encode())
        return result.returncode, result.stdout.decode()[:4], result.stderr.decode()

    seen = "prompt has '9' (U+0039), 'é' (U+00E9), which this model"
    result = sample(*way, "-n", 9, "--seed", 1, checkpoint="rare.pt", input="9éa9\n".encode())
    told = f"{seen} reads as rare characters; --unknown skip leaves them out, nearest takes what is like them\n"
    assert (result.returncode, result.stdout.decode()[:4]) == (0, "9éa9")
    assert sorted(result.stderr.decode().splitlines(True)) == [told, "seed 1\n"]
    assert run() == (0, "9éa9", "")
    code, text, refused = run("--unknown", "error")
    assert (code, text.strip()) == (1, "")
    assert refused.startswith(
        f"charrnn: {seen} does not know (23 characters; see `charrnn inspect rare.pt`); --unknown"
    )
    assert run("--unknown", "nearest")[:2] == (0, "9ea9")
    assert run("--unknown", "skip")[1][0] == "a"


def test_unknown_typed_characters_are_read_as_rare_ones_if_these_have_an_id(capfd):
    encoder = CharEncoder("ae", has_unknown=True)
    assert fit_prompt("9éa", encoder, None, "a.pt", is_typed=True) == "9ea"
    assert capfd.readouterr().err == "prompt has '9' (U+0039), which this model reads as rare characters\n"


@pytest.mark.parametrize("flags", [["-p", "Q9Qa"], ["-i"]])
def test_skipped_prompt_characters_are_listed_unless_quiet(sample, flags):
    told = "3 characters left out of the prompt, which the model lacks: 'Q' (U+0051), '9' (U+0039)\n"
    result = sample(*flags, "--unknown", "skip", "-n", 9, "--seed", 1, input=b"Q9Qa\na\n")
    assert (result.returncode, sorted(result.stderr.decode().splitlines(True))) == (0, [told, "seed 1\n"])
    assert sample(*flags, "--unknown", "skip", "-n", 9, "-q", input=b"Q9Qa\n").stderr == b""


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


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["-q"], b""),
        (
            ["--seed", 1],
            b"seed 1\ntype a beginning, then Enter (after \\ for one more line); Ctrl-C stops a text or drops a "
            b"line, Ctrl-",
        ),
    ],
)
def test_ctrl_c_ends_a_text_and_ctrl_d_ends_the_conversation_on_a_terminal(trained, start, flags, told):
    master, slave = pty.openpty()
    words = ["sample", "words.pt", "-i", *flags, "-n", -1, "--allow", "a"]
    process = start(trained, *words, before=["setsid", "--ctty"], stdin=slave, stdout=slave)
    os.close(slave)
    for typed in (b"Tin", b"Ba"):
        read_until(master, b"> ")
        os.write(master, typed + b"\n")
        read_until(master, typed + b"aaa")
        os.write(master, b"\x03")
    read_until(master, b"> ")
    os.write(master, b"\x04")
    read_terminal(master)
    assert process.wait(timeout=60) == 0
    assert process.stderr.read().removesuffix(b"D leaves\n") == told


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ([], b"1 character left out of the prompt, which the model lacks: '9' (U+0039)\n"),
        (["-q"], b""),
        (["-q", "--unknown", "nearest"], b"charrnn: prompt has '9' (U+0039), which this model never saw ("),
    ],
)
def test_unknown_typed_characters_are_skipped_on_a_terminal_by_default(trained, start, flags, told):
    """No flag can be given during a conversation."""
    master, slave = pty.openpty()
    process = start(trained, "sample", "words.pt", "-i", "-n", 3, "--allow", "a", *flags, stdin=slave, stdout=slave)
    os.close(slave)
    read_until(master, b"> ")
    os.write(master, b"T9in\n")
    shown = read_until(master, b"> ")
    os.write(master, b"\x04")
    read_terminal(master)
    assert process.wait(timeout=60) == 0, "who typed it has seen what became of it"
    assert (b"\nTinaaa\r\n" in shown.replace(PASTES_BY_LINE, b"")) == ("nearest" not in flags)
    said = process.stderr.read()
    assert told in said
    assert told or not said


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"LANG": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_line_editing_works_by_characters_in_any_locale(trained, start, variables):
    pytest.importorskip("readline")
    master, slave = pty.openpty()
    words = ["sample", "words.pt", "-i", "-q", "-n", 3, "--allow", "a"]
    plain = {name: value for name, value in clean_environment().items() if not name.startswith(("LC_", "LANG"))}
    process = start(
        trained, *words, stdin=slave, stdout=slave, env={**plain, "TERM": "xterm", "INPUTRC": os.devnull, **variables}
    )
    os.close(slave)
    shown = read_until(master, b"> ")
    os.write(master, "Tin\u00e9\x7f\n".encode())
    shown = read_until(master, b"> ", shown, times=2)
    os.write(master, b"\x04")
    read_terminal(master)
    assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")
    assert b"\nTinaaa\r\n" in shown.replace(PASTES_BY_LINE, b"")


def test_typed_text_may_have_escaped_lines_and_lookalike_characters(trained, start):
    """The model knows a curly apostrophe and no straight one."""
    contents = torch.load(trained / "words.pt", weights_only=True)
    characters = contents["characters"]
    assert "u" in characters
    torch.save({**contents, "characters": "".join(sorted(characters.replace("u", "\u2019")))}, trained / "curly.pt")
    master, slave = pty.openpty()
    words = ["sample", "curly.pt", "-i", "-q", "-n", 3, "--allow", "a"]
    process = start(trained, *words, stdin=slave, stdout=slave)
    os.close(slave)
    read_until(master, b"> ")
    os.write(master, b"Tin\\\n")
    read_until(master, b"| ")
    os.write(master, b"kin's\n")
    shown = read_until(master, b"> ")
    os.write(master, b"\x04")
    read_terminal(master)
    assert (process.wait(timeout=60), process.stderr.read()) == (0, b"")
    assert "\nTin\r\nkin\u2019saaa\r\n".encode() in shown.replace(PASTES_BY_LINE, b"")


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"TERM": "xterm", "INPUTRC": "inputrc"}])
def test_bracketed_paste_stays_off_if_readline_or_terminal_disable_it(trained, start, variables):
    pytest.importorskip("readline")
    (trained / "inputrc").write_text("set enable-bracketed-paste off\n")
    master, slave = pty.openpty()
    environment = {**clean_environment(), **variables}
    process = start(trained, "sample", "words.pt", "-i", "-q", "-n", 3, stdin=slave, stderr=slave, env=environment)
    os.close(slave)
    shown = read_until(master, b"> ")
    os.write(master, b"\x04")
    shown += read_terminal(master)
    assert process.wait(timeout=60) == 0
    assert b"\x1b[?2004" not in shown


def test_lines_pasted_together_are_one_beginning(trained, start):
    readline = pytest.importorskip("readline")
    if "libedit" in (readline.__doc__ or ""):
        pytest.skip("libedit does not know what is pasted")
    master, slave = pty.openpty()
    words = ["sample", "words.pt", "-i", "-q", "-n", 3, "--allow", "a"]
    environment = {**clean_environment(), "TERM": "xterm"}
    process = start(trained, *words, stdin=slave, stderr=slave, env=environment)
    os.close(slave)
    read_until(master, b"> ")
    os.write(master, b"\x1b[200~Tin\nkin\x1b[201~")
    read_until(master, b"kin")
    os.write(master, b"\n")
    read_until(master, b"> ")
    os.write(master, b"\x04")
    read_terminal(master)
    assert (process.wait(timeout=60), process.stdout.read()) == (0, b"Tin\nkinaaa\n")


def test_long_typed_line_is_read_whole_with_stdout_piped(trained, start):
    """Without line editing, a terminal passes on at most 4,095 bytes of a line."""
    pytest.importorskip("readline")
    master, slave = pty.openpty()
    words = ["sample", "words.pt", "-i", "-q", "-n", 0]
    process = start(trained, *words, stdin=slave, stderr=slave, env={**clean_environment(), "TERM": "xterm"})
    os.close(slave)
    read_until(master, b"> ")
    for _ in range(12):
        os.write(master, b"a" * 500)
        read_until(master, b"a")  # as it is echoed, so that neither side waits for the other
    os.write(master, b"\n")
    read_until(master, b"> ")
    os.write(master, b"\x04")
    read_terminal(master)
    assert (process.wait(timeout=60), process.stdout.read()) == (0, b"a" * 6000 + b"\n")


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


@pytest.mark.parametrize(
    "flags",
    [
        ["--match", r"Zo\u00eb"],
        ["-p", "-", "-n", 0],
        ["-i", "-n", 0, "--encoding", "utf-8"],
        ["-p", "Zo\u00eb", "-n", 0],
        ["-p", "Zo\u00eb", "-n", 0, "--allow", "\u00eb", "--stop", "\u00eb"],
        ["--match", "Zo\u00eb"],
    ],
)
def test_output_does_not_depend_on_the_locale(sample, encoded, flags):
    checkpoint, own = encoded
    typed = "Zo\u00eb\n".encode("utf-8" if "-i" in flags else own)
    plain = {**clean_environment(), "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    result = sample(*flags, "-q", checkpoint=checkpoint, input=typed, cold=True, env=plain)
    assert (result.returncode, result.stderr, result.stdout.rstrip(b"\n")) == (0, b"", "Zo\u00eb".encode())


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
