"""What is drawn at the foot of a terminal, where a shell has it meanwhile, or its width changes."""

import fcntl
import io
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from conftest import read_until
from runs import REPORT

from charrnn.display import echo, frame
from charrnn.display.frame import Frame
from charrnn.display.messages import PatientStream

HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"

DISPLAY = f"""
import dataclasses, sys, time
from charrnn.display.console import LiveDisplay
from charrnn.metrics import Report
with LiveDisplay(sys.stderr) as display:
    for step in range(10**6):
        display.update(dataclasses.replace({REPORT!r}, step=step))
        time.sleep(0.05)
"""

LEAVES_AT_ONCE = """
import os, signal, sys, time
from charrnn.cli.trainer import exit_watchdog
from charrnn.display import frame, messages
exit_watchdog.PATIENCE = 0.0
frame.HURRY_SECONDS = messages.HURRY_SECONDS = 0.5
hurried = messages.PatientStream(sys.stderr, is_hurried=lambda: True)
lines = ["drawn"]
drawn = frame.Frame(
    sys.stderr, messages.PatientStream(sys.stderr), lambda: lines, lambda: (40, 24), stays=True, hides_typing=True
)
drawn.start()
signal.signal(signal.SIGINT, lambda *_: None)
watcher = exit_watchdog.ExitWatchdog(lambda number: True, lambda: hurried.write("told\\n"))
sys.stdin.readline()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""

FILLS_IT = """
import sys, time
from charrnn.display import frame, messages
frame.DRAWN_EVERY, drawn = 0.01, []
def render():
    drawn.append(1)
    return ["a" * 20, "b", f"{len(drawn)} times"]
stderr = messages.PatientStream(sys.stderr)
frame.Frame(sys.stderr, stderr, render, lambda: (20, 3), stays=True, hides_typing=False).start()
time.sleep(60)
"""

CLEAR = b"\x1b[K\x1b[C\x1b[J\r"


@pytest.fixture
def terminal():
    master, slave = pty.openpty()
    yield master, slave
    os.close(slave)
    os.close(master)


@pytest.fixture
def stream(terminal, monkeypatch):
    """The terminal, as if it were this process's own, on which no thread draws."""
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    monkeypatch.setattr(frame, "DRAWN_EVERY", 1000.0)
    with open(os.ttyname(terminal[1]), "w") as stream:
        yield stream


def framed(stream, lines):
    patient = PatientStream(stream)
    return Frame(stream, patient, lambda: lines, lambda: (40, 24), stays=True, hides_typing=True), patient


def echoes(descriptor):
    return bool(termios.tcgetattr(descriptor)[3] & termios.ECHO)


def script(folder, text):
    (folder / "script.py").write_text(text)
    return f"{sys.executable} script.py"


def test_display_becomes_lines_in_the_background_and_returns_in_the_foreground(tmp_path, terminal, start_in_terminal):
    master, slave = terminal
    start_in_terminal(tmp_path, slave, f"set -m; {script(tmp_path, DISPLAY)} & read -r; fg")
    shown = read_until(master, b"step 30,")
    assert b"step 1, epoch 1.50, 25%: training 2.0000, validation 1.5000 nats" in shown
    assert b"\x1b" not in shown
    assert echoes(slave)
    os.write(master, b"\n")
    shown = read_until(master, b"char/s, learning rate").partition(HIDE_CURSOR)
    assert b"\x1b" not in shown[0]
    assert b"training" in shown[2]


def test_ctrl_z_restores_the_terminal_and_drawing_resumes_below(tmp_path, terminal, start_in_terminal):
    master, slave = terminal
    command = f"set -m; {script(tmp_path, DISPLAY)}; echo at the shell >&2; read -r; fg"
    start_in_terminal(tmp_path, slave, command)
    read_until(master, b"char/s, learning rate", times=2)
    assert not echoes(slave)
    os.write(master, b"\x1a")
    drawn, _, after = read_until(master, b"at the shell\r\n").rpartition(SHOW_CURSOR)
    assert drawn.endswith(b"\r\n"), "on a line of its own"
    assert b"\x1b" not in after
    assert echoes(slave)
    os.write(master, b"\n")
    drawn = read_until(master, b"char/s, learning rate").partition(HIDE_CURSOR)
    assert b"\x1b" not in drawn[0], "nothing above is taken away"
    assert b"training" in drawn[2]
    assert not echoes(slave), "anew"


@pytest.mark.parametrize("is_held", [False, True])
def test_immediate_exit_restores_the_terminal_unless_held(tmp_path, terminal, start_in_terminal, is_held):
    master, slave = terminal
    process = start_in_terminal(tmp_path, slave, f"exec {script(tmp_path, LEAVES_AT_ONCE)}", "--wait")
    shown = read_until(master, b"drawn")
    assert not echoes(slave)
    if is_held:
        termios.tcflow(slave, termios.TCOOFF)
    os.write(master, b"\n")
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGINT
    assert echoes(slave)
    if not is_held:
        assert read_until(master, b"told\r\n", shown).endswith(b"drawn\r\n" + SHOW_CURSOR + b"told\r\n")


@pytest.mark.parametrize(
    ("columns", "up"),
    [
        (40, b"\r\x1b[1A"),
        (20, b"\r\x1b[2A"),
        (6, b"\r\x1b[5A"),
        (5, b"\r\x1b[7A"),  # of which a row of wide signs fills four
    ],
)
def test_lines_wrapped_by_a_narrower_terminal_are_erased_whole(monkeypatch, columns, up):
    monkeypatch.setattr(frame, "DRAWN_EVERY", 1000.0)
    stream, size = io.StringIO(), [(40, 24)]
    lines = ["\x1b[1m" + "x" * 21 + "\x1b[0m", "漢" * 5]
    drawn = Frame(stream, PatientStream(stream), lambda: lines, lambda: size[0], stays=True, hides_typing=True)
    drawn.start()
    size[0] = (columns, 24)
    before = len(stream.getvalue())
    drawn.write("above\n")
    assert stream.getvalue()[before:].encode().startswith(up + CLEAR + b"above\n")
    drawn.stop()
    assert stream.getvalue().endswith(f"{lines[1]}\n\x1b[?25h")


@pytest.mark.parametrize(("told", "width"), [(132, 70), (66, 66)])
def test_frame_is_no_wider_than_the_terminal_whatever_columns_says(tmp_path, terminal, start_in_terminal, told, width):
    master, slave = terminal
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 70, 0, 0))
    start_in_terminal(tmp_path, slave, f"export COLUMNS={told} LINES=99; exec {script(tmp_path, DISPLAY)}")
    shown = read_until(master, b"char/s, learning rate").decode()
    bar = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()[0]
    assert len(bar) == width, bar


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_frame_filling_the_terminal_does_not_scroll(tmp_path):
    (tmp_path / "tmux.conf").write_text("set -g status off\n")

    def tmux(*words):
        command = ["tmux", "-L", f"charrnn-{os.getpid()}", "-f", "tmux.conf", *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True).stdout

    tmux("new-session", "-d", "-x", "20", "-y", "3", script(tmp_path, FILLS_IT))
    try:
        end, shown = time.monotonic() + 60, ""
        while not re.match(r"a{20}\nb\n\d{2,} times$", shown):
            assert time.monotonic() < end, shown
            shown = tmux("capture-pane", "-p")
        assert tmux("display", "-p", "#{history_size}") == "0\n"
    finally:
        tmux("kill-server")


def test_lines_skipped_for_a_signal_are_not_erased(stream, terminal, monkeypatch):
    lines = ["a"]
    drawn, patient = framed(stream, lines)
    with monkeypatch.context() as held:
        held.setattr(patient, "write", lambda _, **__: False)
        drawn.start()
    drawn.write("note\n")
    drawn.stop()
    assert read_until(terminal[0], SHOW_CURSOR) == b"note\r\n" + HIDE_CURSOR + b"a\r\n" + SHOW_CURSOR
    assert echoes(stream), "as it did before the first of two beginnings"
    drawn, patient = framed(stream, lines)
    drawn.start()
    lines += ["b", "c"]
    with monkeypatch.context() as held:
        held.setattr(patient, "write", lambda _, **__: False)
        drawn.write("lost\n")
    drawn.write("above\n")
    assert read_until(terminal[0], b"c") == HIDE_CURSOR + b"a\r" + CLEAR + b"above\r\na\r\nb\r\nc"
    drawn.stop()


@pytest.mark.parametrize("amid", ["_turn", "_render", "_draw", "_leave"])
def test_ctrl_c_during_the_last_drawing_restores_the_terminal(stream, terminal, monkeypatch, amid):
    def interrupt(**_):
        interrupted.undo()
        raise KeyboardInterrupt

    drawn, _ = framed(stream, ["a"])
    drawn.start()
    with monkeypatch.context() as interrupted:
        interrupted.setattr(drawn, amid, interrupt)
        with pytest.raises(KeyboardInterrupt):
            drawn.stop()
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL
    assert echoes(stream)
    drawn.stop()
    assert amid == "_leave" or read_until(terminal[0], SHOW_CURSOR).endswith(b"a\r\n" + SHOW_CURSOR)


@pytest.mark.parametrize("amid", ["_render", "write"])
def test_exit_during_a_drawing_shows_the_cursor(stream, terminal, monkeypatch, amid):
    """As from a signal handler that never returns to the drawing."""

    def leave(*_, **__):
        frame.abandon_all()
        assert read_until(terminal[0], SHOW_CURSOR) == HIDE_CURSOR + b"a\r\n" + SHOW_CURSOR
        return ["a"]

    monkeypatch.setattr(frame, "HURRY_SECONDS", 0.5)
    drawn, patient = framed(stream, ["a"])
    drawn.start()
    with monkeypatch.context() as interrupted:
        interrupted.setattr(patient if amid == "write" else drawn, amid, leave)
        drawn.write("above\n")
    drawn.stop()


def test_echo_is_restored_after_an_exception_while_switching_it(stream, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        set_terminal = termios.tcsetattr
        interrupted.setattr(termios, "tcsetattr", lambda *setting: (set_terminal(*setting), interrupt()))
        with pytest.raises(KeyboardInterrupt):
            echo.hide_typing(stream)
    assert not echoes(stream)
    with monkeypatch.context() as interrupted:
        interrupted.setattr(termios, "tcsetattr", interrupt)
        with pytest.raises(KeyboardInterrupt):
            echo.show_typing()
    echo.show_typing()
    assert echoes(stream)


def test_ctrl_z_during_a_drawing_restores_the_terminal_afterwards(stream, terminal, monkeypatch):
    """And only once, though it is typed again while the terminal is restored."""
    stops = []
    monkeypatch.setattr(os, "kill", lambda *_: stops.append(echoes(stream)))
    drawn, _ = framed(stream, ["a"])
    drawn.start()
    with monkeypatch.context() as typed:
        typed.setattr(drawn, "_render", lambda: signal.raise_signal(signal.SIGTSTP) or ["a"])
        typed.setattr(frame, "show_typing", lambda: signal.raise_signal(signal.SIGTSTP) or echo.show_typing())
        drawn.write("above\n")
    assert stops == [True]
    drawn.write("below\n")
    drawn.stop()
    first = HIDE_CURSOR + b"a\r" + CLEAR + b"above\r\na\r\n" + SHOW_CURSOR
    again = HIDE_CURSOR + b"a\r\n" + SHOW_CURSOR
    assert read_until(terminal[0], SHOW_CURSOR, times=2) == first + b"below\r\n" + again
    assert len(stops) == 1
