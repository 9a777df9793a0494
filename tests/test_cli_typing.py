"""`charrnn sample --interactive` on a terminal: typing, pasting and line editing."""

import os
import pty

import pytest
import torch
from conftest import clean_environment, read_terminal, read_until

PASTES_BY_LINE = b"\x1b[?2004l\r"  # a terminal that is told so is not at its prompt


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
