"""The live display, driven through a pseudo-terminal with stdout read apart."""

import dataclasses
import fcntl
import functools
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest
import torch
from conftest import clean_environment, make_text, read_terminal, read_until, refuse_a_thread
from processes import Training
from runs import REPORT

from charrnn.display import console, frame, messages
from charrnn.display.widths import text_width
from charrnn.text.corpus import read_corpus

SMALL = ["--hidden-size", "32", "--batch-size", "4", "--seq-len", "32", "--precision", "float32"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(6000))
    return tmp_path


def run_in_terminal(
    folder, *arguments, stop_after=None, signal_to_stop=signal.SIGINT, columns=80, cold=False, **environment
):
    """Run with stderr on a terminal of so many columns and stdout elsewhere: exit code, stdout, what was shown.

    It is forked from a process that has imported all of it, unless it is to start cold: as it does for a user.
    """
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {"TERM": "xterm", "COLUMNS": str(columns), **environment}
    words = [*SMALL, *map(str, arguments)]
    if cold:
        command = [sys.executable, "-m", "charrnn", "train", "verse.txt", "--threads", "1", *words]
        options = {"cwd": folder, "env": {**clean_environment(), **environment}}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=slave, **options)
        number, has_ended = process.pid, lambda: process.poll() is not None
    else:
        prepare = functools.partial(write_to_terminal, os.ttyname(slave), environment)
        training = Training(folder, *words, prepare=prepare)
        number, has_ended = training.process.pid, lambda: not training.process.is_alive()
    shown, end = b"", time.monotonic() + 120
    while not has_ended():
        assert time.monotonic() < end, shown
        if select.select([master], [], [], 0.2)[0]:
            shown += os.read(master, 1 << 16)
        if stop_after and stop_after in shown:
            os.kill(number, signal_to_stop)
            stop_after = None
    os.close(slave)
    shown += read_terminal(master)
    code, stdout = (
        (process.returncode, process.communicate()[0]) if cold else (training.wait(), training.stdout.encode())
    )
    return code, stdout, shown.decode("utf-8", "replace")


def write_to_terminal(name, environment):
    os.environ.update(environment)
    sys.stderr.close()
    os.dup2(os.open(name, os.O_RDWR | os.O_NOCTTY), 2)
    sys.stderr = open(2, "w", encoding="utf-8")  # noqa: SIM115


TRAIN = f"{sys.executable} -m charrnn train verse.txt --threads 1 {' '.join(SMALL)}"


def plain(shown):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_display_shows_progress_and_stdout_stays_data(folder):
    code, stdout, shown = run_in_terminal(folder, "--epochs", 20)
    assert (code, stdout) == (0, b"verse.pt\n")
    for expected in (
        "training",
        "validation",
        "perplexity",
        "bits per",
        "best",
        "char/s",
        "it writes",
        "left",
        "epoch",
    ):
        assert expected in plain(shown), expected
    assert "\x1b[" in shown
    assert "best validation loss" in plain(shown)
    assert shown.endswith(
        "`charrnn sample verse.pt` writes text with it; `charrnn inspect verse.pt` shows how good it is\r\n"
    )


def test_slow_setup_is_named_and_erased_again(folder):
    code, _, shown = run_in_terminal(folder, "--max-steps", 1, cold=True)
    assert code == 0
    for waited_for in ("loading PyTorch ...", "measuring this machine ..."):
        assert f"{waited_for}\r{' ' * len(waited_for)}\r" in shown
    assert shown.index("measuring") < shown.index("verse.txt:")
    for flag in ("--quiet", "--json"):
        assert "..." not in run_in_terminal(folder, "--max-steps", 1, "--overwrite", flag, cold=True)[2]


@pytest.mark.slow
def test_setup_message_is_cut_on_a_narrow_terminal(folder):
    code, _, shown = run_in_terminal(folder, "--max-steps", 1, columns=15, cold=True)
    assert code == 0
    for waited_for in ("loading PyTorc", "measuring this"):
        assert f"{waited_for}\r{' ' * 14}\r" in shown


def test_setup_message_is_erased_before_an_error(folder):
    code, _, shown = run_in_terminal(folder, "--device", "cuda", cold=True)
    assert code == 2
    assert shown.splitlines()[-1].split("\r")[-1].startswith("charrnn: ")


def test_ctrl_c_restores_the_terminal_and_suggests_a_resume(folder):
    code, stdout, shown = run_in_terminal(folder, "--max-steps", 10**8, stop_after=b"char/s")
    assert (code, stdout) == (130, b"")
    *_, last = plain(shown).splitlines()
    assert last.endswith("go on with: charrnn train verse.txt --resume")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is shown again"


def test_ctrl_backslash_exits_at_once_and_restores_the_terminal(folder):
    code, stdout, shown = run_in_terminal(
        folder, "--max-steps", 10**8, stop_after=b"char/s", signal_to_stop=signal.SIGQUIT
    )
    assert (code, stdout) == (131, b"")
    assert shown.rfind("\x1b[?25h") > shown.rfind("\x1b[?25l"), "the cursor is shown again"
    assert not list(folder.glob(".*")), "it has left its lock"


@pytest.mark.slow
def test_typed_ctrl_c_and_resizing_leave_no_trace_in_the_display(folder, start_in_terminal):
    """An echoed `^C` or Enter would move the cursor, and with it the display."""
    master, slave = pty.openpty()
    process = start_in_terminal(folder, slave, f"exec {TRAIN} --epochs 1e6", "--wait")
    shown = read_until(master, b"char/s")
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 30, 0, 0))
    assert not termios.tcgetattr(slave)[3] & termios.ECHO
    os.write(master, b"\n\x03")
    shown = read_until(master, b"go on with", shown)
    stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (130, b"")
    assert b"^C" not in shown
    assert b"Traceback" not in shown
    assert termios.tcgetattr(slave)[3] & termios.ECHO, "the terminal is as it was"
    os.close(slave)
    os.close(master)


@pytest.mark.slow
def test_background_training_draws_nothing(folder, start_in_terminal):
    master, slave = pty.openpty()
    process = start_in_terminal(folder, slave, f"set -m; {TRAIN} --max-steps 30 & wait", "--wait")
    os.close(slave)
    shown = read_terminal(master)
    assert process.communicate(timeout=60)[0] == b"verse.pt\n"
    assert b", best so far; " in shown
    assert b"\x1b" not in shown
    assert b" ..." not in shown, "nor what is waited for"


@pytest.mark.slow
@pytest.mark.parametrize(("before", "code"), [("", 129), ("trap '' HUP; ", 0)])
def test_closed_terminal_saves_and_stops_unless_sighup_is_ignored(folder, start_in_terminal, before, code):
    """It sends SIGHUP; where that is ignored, the training goes on without anybody to show it to."""
    master, slave = pty.openpty()
    steps = 10**8 if code else 200
    process = start_in_terminal(folder, slave, f"{before}exec {TRAIN} --max-steps {steps}")
    os.close(slave)
    read_until(master, b"char/s")
    os.close(master)
    stdout, _ = process.communicate(timeout=120)
    assert (process.returncode, stdout) == (code, b"" if code else b"verse.pt\n")
    step = torch.load(folder / "verse.pt", weights_only=True)["training"]["step"]
    assert step > 0 if code else step == steps


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment", [{"TERM": "dumb"}, {"COLUMNS": "20"}, {"NO_COLOR": "1"}, {"LANG": "C", "LC_ALL": "C"}]
)
def test_odd_terminals_are_supported(folder, environment):
    code, stdout, shown = run_in_terminal(folder, "--max-steps", 30, cold="LANG" in environment, **environment)
    assert (code, stdout) == (0, b"verse.pt\n")
    assert "best validation loss" in plain(shown)
    assert "Traceback" not in shown
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in shown
    if "NO_COLOR" in environment:
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(("seconds", "is_shown"), [(0.0, True), (1000.0, False)])
def test_slow_reading_of_a_text_shows_progress(monkeypatch, tmp_path, seconds, is_shown):
    monkeypatch.setattr(console, "QUIET_SECONDS", seconds)
    monkeypatch.setenv("TERM", "xterm")
    (tmp_path / "t.txt").write_bytes(b"x" * 3_000_000)
    stream = Terminal()
    with console.reading_bar(stream) as bar:
        assert read_corpus([str(tmp_path / "t.txt")], progress=bar).num_bytes == 3_000_000
    shown = plain(stream.getvalue())
    assert ("reading" in shown and "6.0 MB" in shown) == is_shown
    assert bool(shown) == is_shown


def test_work_of_known_size_shows_its_share(monkeypatch):
    monkeypatch.setattr(console, "QUIET_SECONDS", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with console.share_bar(stream, "scoring", total=2000) as bar:
        for _ in range(3):
            bar.advance(500)
    assert "scoring" in plain(stream.getvalue())
    assert "75%" in plain(stream.getvalue())
    assert "\x1b[?25" not in stream.getvalue(), "nor is a cursor hidden that would not be back after SIGTERM"


@pytest.mark.parametrize("width", [40, 60, 80])
def test_display_fits_its_terminal_and_omits_nothing(monkeypatch, width):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Terminal()
    with console.LiveDisplay(stream) as display:
        display.update(dataclasses.replace(REPORT, step=123_456, best_step=120_000))
        display.sample(1200, "Now is the winter\nof our discontent")
    shown = plain(stream.getvalue())
    words = " ".join(shown.split())
    for told in (
        "25%",
        "epoch 1.50, step 123,456, 3 min 05 s left",
        "2.0000 nats (perplexity 7.39, 2.885 bits per character)",
        "1.5000 nats, at step 120,000",
        "34,568 char/s, learning rate 0.004",
        "of our discontent",
    ):
        assert told in words
    assert "…" not in shown


def test_display_omits_unknown_figures(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with console.LiveDisplay(stream) as display:
        display.update(dataclasses.replace(REPORT, train_loss=None, chars_per_second=None, gradient_norm=None))
    shown = plain(stream.getvalue())
    assert "1.5000 nats (perplexity" in shown
    assert "training" not in shown
    assert "speed" not in shown


def test_zero_columns_and_lines_are_ignored(monkeypatch):
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with console.LiveDisplay(stream) as display:
        display.update(REPORT)
        display.note("a note")
    shown = plain(stream.getvalue())
    assert "a note\n" in shown
    assert "2.0000 nats (perplexity 7.39, 2.885 bits per character)\n" in shown


def test_display_without_threads_is_drawn_at_each_update(monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", refuse_a_thread)
    monkeypatch.setattr(frame, "DRAWN_EVERY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with console.LiveDisplay(stream) as display:
        for step in range(3):
            display.update(dataclasses.replace(REPORT, step=step))
            assert plain(stream.getvalue()).count(f"step {step}, ") == 1
        monkeypatch.setattr(frame, "DRAWN_EVERY", 1000.0)
        display.update(dataclasses.replace(REPORT, step=3))
        assert "step 3, " not in plain(stream.getvalue()), "so soon"
    assert "step 3, " in plain(stream.getvalue())


def test_no_line_of_the_display_is_wider_than_the_terminal(monkeypatch):
    """Or it would wrap, and the display would move up one line too few each time that it is drawn anew."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    with console.LiveDisplay(stream) as display:
        display.update(REPORT)
        display.sample(1200, "\n".join(["ශ්‍රී ලංකා " * 20, "👍🏽" * 60, "👨‍👩‍👧‍👦 " * 30, "ශ්‍රී ලංකා " * 6 + "."]))
    lines = [line for line in plain(stream.getvalue()).splitlines() if "ල" in line or "👍" in line or "👧" in line]
    assert [line[:2] for line in lines] == ["  "] * len(lines)
    assert max(map(text_width, lines)) <= 80
    assert min(map(text_width, lines)) > 50, "nor is much left out"
    assert not any(line.endswith(". ") for line in lines), "rich fills none up, which it would by its own measure"


def test_note_in_any_script_fits_its_terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    message = "विद्यालय ज्ञान शृंखला ऋषि ऐतिहासिक औषधि मात्राएँ.txt: 22,967 characters, 59 distinct; 20,670 to train on"
    stream = Terminal()
    with console.LiveDisplay(stream) as display:
        display.note(message)
    lines = stream.getvalue().splitlines()
    assert max(map(text_width, lines)) <= 60, "rich gives a spacing vowel sign no column, a terminal one"
    assert " ".join(lines) == message


def test_ctrl_s_does_not_keep_a_training_from_stopping(monkeypatch):
    monkeypatch.setattr(messages, "HURRY_SECONDS", 0.2)
    monkeypatch.setenv("TERM", "xterm")
    master, slave = pty.openpty()
    asked, former = [], signal.getsignal(signal.SIGTSTP)
    with os.fdopen(slave, "w") as stream:
        display = console.LiveDisplay(stream, is_hurried=lambda: bool(asked))
        display.update(REPORT)
        termios.tcflow(slave, termios.TCOOFF)
        work = threading.Thread(target=lambda: (display.note("halted"), display.close()), daemon=True)
        work.start()
        work.join(1.0)
        assert work.is_alive(), "it waits"
        asked.append(True)
        work.join(30)
        assert not work.is_alive()
        termios.tcflow(slave, termios.TCOON)
    os.close(master)
    signal.signal(signal.SIGTSTP, former)  # which no other thread than the main one can put back


@pytest.mark.parametrize(
    "words",
    [
        "train - --max-steps 1 --hidden-size 8 --out typed.pt",
        "sample words.pt --prompt - --length 3",
        "sample words.pt --mix -:0.3",
        "inspect words.pt --score -",
        "inspect words.pt --score - --by line",
        "train - -q --max-steps 1 --hidden-size 8 --out typed.pt",
        "sample words.pt -q --prompt - --length 3",
        "inspect words.pt --text Tin",
    ],
)
def test_text_to_be_typed_is_prompted_for(tmp_path, trained, words):
    (tmp_path / "words.pt").write_bytes((trained / "words.pt").read_bytes())
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "charrnn", *words.split()]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=slave, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()
    ) as process:
        os.close(slave)
        os.write(master, b"Tin sole mare\n\x04")
        try:
            _, stderr = process.communicate(timeout=60)
        finally:
            process.kill()  # what waits for more would be waited for
    os.close(master)
    is_told = " -q" not in words and re.search(" -[ :]", f"{words} ") is not None
    assert stderr.startswith(b"reading from the terminal; Ctrl-D ends it\n") == is_told
    assert process.returncode == ("--mix" in words), "nobody types a checkpoint"
