"""Ctrl-C at any place of a conversation."""

import io
import itertools
import json
import signal
import sys
from types import SimpleNamespace

import pytest
from models import ANSWERED, Reciting

from charrnn.cli.sampler import interactive, interrupts, turns, writing
from charrnn.cli.sampler.forms import InputForm
from charrnn.cli.sampler.interactive import converse
from charrnn.cli.sampler.interrupts import DeferredInterrupt
from charrnn.cli.sampler.job import Job
from charrnn.generation.endings import Ending
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.rules import Rules
from charrnn.generation.samples import Sample
from charrnn.generation.sampling import Sampler
from charrnn.generation.story import Story
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN

OWN = {module.__file__ for module in (interactive, interrupts, turns, writing)}


def press():
    signal.raise_signal(signal.SIGINT)


def test_ctrl_c_is_deferred_until_allowed():
    stop = DeferredInterrupt(ends_all=False)
    with stop.deferred():
        press()
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt), stop:
                raise AssertionError("it came later")
            with stop:
                pass
            press()
        with pytest.raises(KeyboardInterrupt):
            press()  # a second one, which nothing waits for
        press()
    with pytest.raises(KeyboardInterrupt):
        press()


def test_ctrl_c_ends_drawing_without_losing_a_character():
    stop = DeferredInterrupt(ends_all=False)

    def drawn():
        yield from "ab"
        press()
        yield "c"

    with stop.deferred():
        assert [*stop.until(drawn())] == ["a", "b"]
        given = []
        for character in stop.until("abc"):
            press()
            given.append(character)
        assert given == ["a"]


def test_ctrl_c_that_ends_a_conversation_comes_at_once():
    stop = DeferredInterrupt(ends_all=True)
    with stop.deferred(), pytest.raises(KeyboardInterrupt):
        press()
    with stop.deferred(), pytest.raises(KeyboardInterrupt):
        [*stop.until(press() for _ in range(2))]


def test_ignored_ctrl_c_stays_ignored(monkeypatch):
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with DeferredInterrupt(ends_all=False).deferred():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, former)


class Pressing:
    """Ctrl-C where the modules of a conversation come to some line of theirs, counted from the first that is typed."""

    def __init__(self, number):
        self.left, self.has_begun = number, False

    def __call__(self, frame, event, _):
        if frame.f_code.co_filename not in OWN:
            return None
        if event == "line" and self.has_begun:
            self.left -= 1
            if self.left == 0:
                press()
        return self


@pytest.fixture
def told(monkeypatch):
    """Tell a story of two turns and hear Ctrl-C at some line of the modules: what is written, whether it came by then.

    A test fails where the story has become another one than what is written.
    """
    encoder = CharEncoder("abc")
    job = Job(
        sampler=Sampler(Reciting(encoder, "abc"), [0], SamplingOptions(), 3),
        form=InputForm(PLAIN, encoder, has_cr_lf=False), before=[], prompt="", echo=True, length=2, rules=Rules(),
        num_samples=1, separator="", at_once=1,
    )  # fmt: skip

    def tell(number, *, as_json):
        heard, typed, out, pressing = [], iter("cb"), io.BytesIO(), Pressing(number)

        def type_next(*_):
            pressing.has_begun = True
            for line in typed:
                return line
            pressing.has_begun = False
            raise EOFError

        class Heard(Story):
            def __init__(self, model, ids, generated_from):
                heard.extend(ids)
                super().__init__(model, ids, generated_from)

            def take(self, ids):
                heard.extend(ids)
                super().take(ids)

        monkeypatch.setattr(turns, "Story", Heard)
        monkeypatch.setattr("builtins.input", type_next)
        monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: False, buffer=out))
        flags = SimpleNamespace(**{**vars(ANSWERED), "story": True, "as_json": as_json, "logprobs": False})
        sys.settrace(pressing)
        try:
            assert converse(job, flags)
        except KeyboardInterrupt:
            pytest.fail("it ends the conversation")
        finally:
            sys.settrace(None)
        records = [json.loads(line) for line in out.getvalue().splitlines()] if as_json else []
        written = "".join(record["prompt"] + record["text"] for record in records) if as_json else out.getvalue()
        assert encoder.decode(heard) == (written if as_json else written.decode())
        return written, pressing.left <= 0

    monkeypatch.setattr(interactive, "_is_of_file", lambda: False)
    monkeypatch.setattr(interactive, "_begin_editing", lambda: None)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("sys.stderr", io.StringIO())
    return tell


@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_at_any_place_keeps_conversation_and_story_consistent(told, as_json):
    found = set()
    for number in itertools.count(1):
        written, came = told(number, as_json=as_json)
        found.add(len(written))
        if not came:
            break
    assert {4, 5, 6} <= found, "it came where nothing was drawn yet of a text, where something was, and behind it"


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


def test_record_of_an_interrupted_text_holds_what_was_written():
    def drawn():
        yield "a", -1.0
        raise KeyboardInterrupt

    sample = interactive._sample_of(DeferredInterrupt(ends_all=False).until(drawn()), Ending(Rules()), 3)
    assert sample == Sample(3, "a", [-1.0], "interrupted")
    with pytest.raises(KeyboardInterrupt):
        interactive._sample_of(DeferredInterrupt(ends_all=True).until(drawn()), Ending(Rules()), 3)
