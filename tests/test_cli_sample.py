"""`charrnn sample` as a user and a script run it."""

import os
import pty
import re
import subprocess
import sys

import pytest
from conftest import clean_environment, make_text

from charrnn.cli.sample import write_stream, write_texts


@pytest.fixture
def sample(trained):
    """Run `charrnn sample words.pt` beside the trained checkpoint."""

    def run(*arguments, checkpoint="words.pt", **options):
        return subprocess.run(
            [sys.executable, "-m", "charrnn", "sample", checkpoint, *map(str, arguments)],
            cwd=trained,
            capture_output=True,
            env=clean_environment(),
            timeout=60,
            **options,
        )

    return run


def test_stdout_is_the_text_and_stderr_tells_the_seed(sample):
    result = sample()
    assert result.returncode == 0
    assert len(result.stdout.decode()) == 500
    assert re.fullmatch(rb"seed \d+\n", result.stderr)
    assert set(result.stdout.decode()) <= set(make_text(20_000))


def test_the_told_seed_gives_the_same_text_again(sample):
    first = sample("-n", 80)
    seed = first.stderr.split()[1].decode()
    assert sample("-n", 80, "--seed", seed).stdout == first.stdout
    assert sample("-n", 80).stdout != first.stdout


def test_quiet_tells_nothing(sample):
    assert sample("-n", 5, "-q").stderr == b""


def test_the_prompt_is_written_first_and_continued(sample):
    text = sample("-p", "Banana t", "-n", 30, "--seed", 1).stdout.decode()
    assert text.startswith("Banana t")
    assert len(text) == 8 + 30


def test_temperature_zero_and_top_k_one_do_not_depend_on_the_seed(sample):
    greedy = {sample("-n", 60, "-t", 0, "--seed", seed).stdout for seed in range(3)}
    top = {sample("-n", 60, "--top-k", 1, "-t", 1.5, "--seed", seed).stdout for seed in range(3)}
    assert len(greedy) == 1
    assert greedy == top


def test_a_trained_model_writes_the_corpus_words(sample):
    words = set(make_text(20_000).lower().split())
    written = sample("-n", 600, "-t", 0.3, "--seed", 2).stdout.decode().lower().split()[1:-1]
    assert sum(word in words for word in written) / len(written) > 0.9


def test_many_samples_are_whole_and_in_order(sample):
    alone = sample("-n", 40, "--seed", 9).stdout.decode()
    three = sample("-n", 40, "--seed", 9, "-N", 3).stdout.decode()
    five = sample("-n", 40, "--seed", 9, "-N", 5).stdout.decode()
    assert three.startswith(alone)
    assert five.startswith(three)


def test_texts_end_their_line_and_stand_apart(tmp_path):
    with open(tmp_path / "out", "wb") as out:
        write_texts(out, ["one", "two\n", "three"])
    assert (tmp_path / "out").read_bytes() == b"one\n\ntwo\n\nthree\n"


@pytest.mark.parametrize("length", ["-1", "1000000"])
def test_a_closed_pipe_ends_it_quietly(trained, length):
    command = f"{sys.executable} -m charrnn sample words.pt -q -n {length} | head -c 100; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], cwd=trained, capture_output=True, timeout=60)
    assert result.stdout.endswith(b"0\n")
    assert len(result.stdout) == 102
    assert result.stderr == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full on this system")
def test_a_full_disk_is_one_line_and_exit_code_one(trained):
    with open("/dev/full", "wb") as full:
        result = subprocess.run(
            [sys.executable, "-m", "charrnn", "sample", "words.pt", "-q"],
            cwd=trained,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )
    assert result.returncode == 1
    assert result.stderr == b"charrnn: No space left on device\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["-p", "né"],
            1,
            "prompt has 'é' (U+00E9), which this model never saw (23 characters; see `charrnn inspect words.pt`)",
        ),
        (["-t", "-1"], 2, "--temperature is -1.0; it must be at least 0 (greedy) and finite"),
        (["--top-k", "0"], 2, "--top-k is 0; it must be at least 1"),
        (["-n", "-1", "-N", "2"], 2, "--length -1 never ends, so that --num-samples must be 1"),
        (["--device", "tpu"], 2, "--device is 'tpu'; it must be one of cpu, cuda"),
    ],
)
def test_bad_input_is_one_line(sample, arguments, code, message):
    result = sample(*arguments)
    assert (result.returncode, result.stdout) == (code, b"")
    assert result.stderr.decode() == f"charrnn: {message}\n"


def test_a_missing_and_a_damaged_checkpoint_are_one_line(sample, trained):
    missing = sample(checkpoint="no.pt")
    assert (missing.returncode, missing.stderr.count(b"\n")) == (1, 1)
    (trained / "bad.pt").write_bytes((trained / "words.pt").read_bytes()[:-100])
    damaged = sample(checkpoint="bad.pt")
    assert (damaged.returncode, damaged.stderr.count(b"\n")) == (1, 1)
    assert damaged.stderr.startswith(b"charrnn: bad.pt: not a whole charrnn checkpoint")


def test_on_a_terminal_the_line_is_ended(trained):
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "charrnn", "sample", "words.pt", "-q", "-n", "7", "-p", "Tin", "--seed", "1"],
        cwd=trained,
        stdout=slave,
        stderr=subprocess.PIPE,
    )
    _, stderr = process.communicate(timeout=60)
    os.close(slave)
    shown = os.read(master, 1000).decode().replace("\r\n", "\n")
    os.close(master)
    assert stderr == b""
    assert shown.startswith("Tin")
    assert shown.endswith("\n")


def test_control_characters_are_shown_on_a_terminal_and_unaltered_in_a_file(tmp_path):
    text = "a\x1b[2J\x07é\n"
    master, slave = pty.openpty()
    for path, expected in ((os.ttyname(slave), None), (tmp_path / "out", text.encode())):
        with open(path, "wb", buffering=0) as raw:
            write_stream(raw, text)
        if expected is not None:
            assert path.read_bytes() == expected
    shown = os.read(master, 1000).decode()
    os.close(slave)
    os.close(master)
    assert shown.rstrip() == "a␛[2J␇é"


def test_no_text_is_repaired_by_the_locale(sample):
    assert sample("-n", 20, "--seed", 1).stdout.decode("ascii")
