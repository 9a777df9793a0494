"""Messages to a reader who stops reading: none is lost unless a signal arrives meanwhile."""

import fcntl
import io
import json
import os
import threading
import time

import pytest
from conftest import read_until, refuse_a_thread

from charrnn.display import messages
from charrnn.display.console import LiveDisplay
from charrnn.display.messages import PatientStream
from charrnn.display.plain import JsonDisplay, PlainDisplay

PAGE = 4096


@pytest.fixture
def pipe(monkeypatch):
    """A pipe of one page: its end to read from, and a stream into it."""
    monkeypatch.setattr(messages, "HURRY_SECONDS", 0.2)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PAGE)
    with os.fdopen(writer, "w") as stream:
        yield reader, stream
    os.close(reader)


def read_lines(reader, count):
    return read_until(reader, b"\n", times=count).decode().splitlines()


def test_slow_reader_gets_every_line(pipe):
    reader, stream = pipe
    display = PlainDisplay(stream, shows_samples=False)
    lines = [f"{number} {'x' * 300}" for number in range(60)] + ["y" * 3 * PAGE]
    writer = threading.Thread(target=lambda: [display.note(line) for line in lines], daemon=True)
    writer.start()
    time.sleep(0.5)
    assert writer.is_alive(), "it waits"
    assert read_lines(reader, len(lines)) == lines
    writer.join(30)
    assert not writer.is_alive()


@pytest.mark.parametrize("make", [JsonDisplay, PlainDisplay, LiveDisplay])
def test_lines_skipped_for_a_signal_are_counted_and_reported(pipe, monkeypatch, make):
    monkeypatch.setenv("COLUMNS", str(3 * PAGE))
    reader, stream = pipe
    options = {JsonDisplay: {"path": "m.pt"}, PlainDisplay: {"shows_samples": False}}.get(make, {})
    display = make(stream, **options, is_hurried=lambda: True)
    long = "x" * 2 * PAGE
    for message in (long, "lost", "lost too"):
        display.note(message)
    first = read_lines(reader, 1)
    display._patient._writer.join(60)
    assert not display._patient._writer.is_alive()
    display.note("heard")
    lines = first + read_lines(reader, 2)
    told = "2 lines were left out while nobody read"
    if make is JsonDisplay:
        assert [*map(json.loads, lines)] == [{"note": long}, {"warning": told}, {"note": "heard"}]
    else:
        assert lines == [long, f"charrnn: {told}", "heard"]


def test_skipped_drawing_is_not_counted(pipe):
    reader, stream = pipe
    text = PatientStream(stream, is_hurried=lambda: True)
    for drawn in ("x" * 2 * PAGE, "lost", "lost too"):
        text.write(drawn, counts=drawn == "lost")
    assert text.left_out == 1
    read_until(reader, b"x", times=2 * PAGE)
    text._writer.join(60)
    assert text.write("drawn\n", counts=False)
    assert text.left_out == 1
    assert text.write("heard\n")
    assert text.left_out == 0


def test_streams_without_a_descriptor_or_reader_are_written_to():
    text = io.StringIO()
    assert PatientStream(text).write("a\n")
    assert text.getvalue() == "a\n"
    gone, writer = os.pipe()
    os.close(gone)
    with os.fdopen(writer, "w") as closed:
        assert PatientStream(closed).write("a\n")


def test_line_is_written_at_once_if_no_thread_can_be_started(pipe, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", refuse_a_thread)
    reader, stream = pipe
    display = PlainDisplay(stream, shows_samples=False)
    for line in ("a", "b"):
        display.note(line)
    assert read_lines(reader, 2) == ["a", "b"]
