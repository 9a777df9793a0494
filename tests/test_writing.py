"""Samples on their way to stdout: what reaches a terminal, a pipe and a program that reads JSON."""

import base64
import contextlib
import io
import json
import math
import os
import sys
import types
import unicodedata
from dataclasses import replace

import pytest
from conftest import numpy_twin, random_model
from hypothesis import example, given
from hypothesis import strategies as st
from models import ANSWERED, Reciting

from charrnn.cli.sampler import interactive, writing
from charrnn.cli.sampler.forms import InputForm
from charrnn.cli.sampler.interactive import converse
from charrnn.cli.sampler.job import Job
from charrnn.cli.sampler.telling import Shortfall, tell_short
from charrnn.cli.sampler.writing import write_json, write_many, write_one, write_stream
from charrnn.config import ModelConfig
from charrnn.display.json_line import EXACT, to_json
from charrnn.generation import batch_samples, samples, sampling
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.rules import KnownLines, Rules
from charrnn.generation.samples import Sample
from charrnn.generation.sampling import Sampler
from charrnn.inference.folding import FoldedWeights
from charrnn.surrogates import to_bytes
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN


@pytest.fixture
def reciting():
    """Make a job whose every text is the same one, again and again."""

    def make(text, *, prompt="", length=None, rules=None, num_samples=1, unit="character"):
        alphabet = text + prompt if unit == "character" else to_bytes(text + prompt).decode("latin-1")
        encoder = CharEncoder(alphabet, unit)
        sampler = Sampler(Reciting(encoder, text), [0], SamplingOptions(), 3)
        return Job(
            sampler=sampler, form=InputForm(PLAIN, encoder, has_cr_lf=False), before=[], prompt=prompt, echo=True,
            length=len(text) if length is None else length, rules=rules or Rules(), num_samples=num_samples,
            separator="", at_once=2,
        )  # fmt: skip

    return make


def test_control_characters_are_shown_in_coloured_prompt_and_text(reciting):
    out = io.BytesIO()
    write_one(out, reciting("ab\x1b", prompt="\x1b[2J\na"), coloured=True)
    assert out.getvalue().decode() == "\u241b[2J\naab\u241b"


class Terminal(io.BytesIO):
    """What a terminal is sent."""

    def isatty(self):
        return True


def test_carriage_return_before_a_line_feed_is_hidden_on_a_terminal_only(reciting):
    text, shown = "ab\r\n\r\n\rc\r", "ab\n\n\u240dc\u240d"
    job = reciting(text, prompt="a\r\n")
    for rules in (Rules(), Rules(lines=99)):
        screen, pipe = Terminal(), io.BytesIO()
        for out in (screen, pipe):
            write_one(out, reciting(text, prompt="a\r\n", rules=rules))
        assert (screen.getvalue().decode(), pipe.getvalue().decode()) == (f"a\n{shown}\n", f"a\r\n{text}")
    screen, coloured = Terminal(), Terminal()
    write_many(screen, job)
    write_one(coloured, job, coloured=True)
    assert screen.getvalue().decode() == coloured.getvalue().decode() == f"a\n{shown}\n"


@pytest.mark.parametrize(
    ("length", "shown"),
    [
        (4, "a<0xD0>b"), (6, "a<0xD0>b\u0416"), (7, "a<0xD0>b\u0416<0xE2>a"), (8, "a<0xD0>b\u0416<0xE2>a"),
        (10, "a<0xD0>b\u0416<0xE2>a<0xE9>"),
    ],
)  # fmt: skip
def test_character_cut_by_the_length_is_hidden_on_a_terminal_only(reciting, length, shown):
    """A stray byte is no cut character, though it may begin one."""
    data = b"a\xd0b\xd0\x96\xe2a\xe9\xf0\x9f"
    text = data.decode("utf-8", "surrogateescape")
    for rules in (Rules(), Rules(lines=99)):
        job = reciting(text, rules=rules, length=length, unit="byte")
        screen, pipe = Terminal(), io.BytesIO()
        write_one(screen, job)
        write_one(pipe, job)
        assert (screen.getvalue().decode(), pipe.getvalue()) == (f"{shown}\n", data[:length])
        screen, coloured, pipe = Terminal(), Terminal(), io.BytesIO()
        write_many(screen, job)
        write_one(coloured, job, coloured=True)
        write_many(pipe, job)
        assert screen.getvalue().decode() == coloured.getvalue().decode() == f"{shown}\n"
        assert pipe.getvalue() == data[:length] + b"\n"
    job = reciting("caf\udce9")
    for write in (write_one, write_many):
        screen = Terminal()
        write(screen, job)
        assert screen.getvalue() == b"caf<0xE9>\n", "a character of its own is never cut"


@pytest.mark.parametrize(
    ("prompt", "text", "shown"),
    [
        (b"a\xe6\x97", b"\xa5b", "a\u65e5b"), (b"a\xe6", b"\x97\xa5", "a\u65e5"), (b"a\xe6", b"\x97", "a"),
        (b"a\xe6\x97", b"b\xe6", "a<0xE6><0x97>b"), (b"a\x97", b"\xa5b", "a<0x97><0xA5>b"), (b"a\r", b"\nb", "a\nb"),
    ],
)  # fmt: skip
def test_character_split_between_prompt_and_text_is_whole_on_a_terminal(reciting, prompt, text, shown):
    read = (given.decode("utf-8", "surrogateescape") for given in (prompt, text))
    job = reciting(prompt=next(read), text=next(read), unit="byte")
    screens, pipe = [Terminal() for _ in range(4)], io.BytesIO()
    for out in (screens[0], pipe):
        write_one(out, job)
    write_one(screens[1], replace(job, rules=Rules(lines=99)))
    write_one(screens[2], job, coloured=True)
    write_many(screens[3], job)
    assert [screen.getvalue().decode() for screen in screens] == [f"{shown}\n"] * 4
    assert pipe.getvalue() == prompt + text


@pytest.mark.parametrize(
    ("stop", "kept", "expected"),
    [
        ("\udce3", "", b"a"), ("\udce3", "\udce3", b"a\xe3"), ("\udc88", "", b"a\xe3"),
        ("\udc85b", "\udc85b", b"a\xe3\x88\x85b"), ("\u3205b", "", b"a"),
    ],
)  # fmt: skip
def test_byte_stop_ends_a_text_within_a_character_however_written(reciting, stop, kept, expected):
    def job(number):
        rules = Rules(stops=(stop,), keep_stop=bool(kept))
        return reciting("a\u3205bc", rules=rules, num_samples=number, length=20, unit="byte")

    one, many, records = io.BytesIO(), io.BytesIO(), io.BytesIO()
    assert write_one(one, job(1)).num_unstopped == 0
    write_many(many, job(2))
    write_json(records, job(2), with_log_probabilities=True)
    assert (one.getvalue(), many.getvalue()) == (expected, 2 * (expected + b"\n"))
    for record in map(json.loads, records.getvalue().splitlines()):
        text, stopped = (
            base64.b64decode(record.get(EXACT[name], "")) or record[name].encode() for name in ("text", "stop")
        )
        assert (text, stopped, record["stop_reason"]) == (expected, to_bytes(stop), "stop")
        assert len(record["logprobs"]) == len(record["text"])


def written_in_every_way(make):
    """The text of a job as it is written alone, beside others, and as JSON."""
    one, many, records = io.BytesIO(), io.BytesIO(), io.BytesIO()
    write_one(one, make(1))
    write_many(many, make(2))
    write_json(records, make(2), with_log_probabilities=False)
    texts = [json.loads(line)["text"] for line in records.getvalue().splitlines()]
    assert many.getvalue().decode() == "".join(text.removesuffix("\n") + "\n" for text in texts)
    assert texts == [one.getvalue().decode()] * 2
    return texts[0]


@pytest.mark.parametrize("rules", [Rules(), Rules(stops=("ba",))])
def test_texts_are_batched_up_to_the_limit(monkeypatch, reciting, rules):
    monkeypatch.setattr(writing, "MOST_AT_ONCE", 10)
    at_once, steps = [], Sampler.steps

    def count_and_step(sampler, numbers, progresses):
        at_once.append(len(numbers))
        return steps(sampler, numbers, progresses)

    monkeypatch.setattr(Sampler, "steps", count_and_step)
    for length, expected in ((5, [2, 1]), (6, [1, 1, 1]), (11, [1, 1, 1])):
        out = io.BytesIO()
        write_many(out, reciting("abc", length=length, rules=rules, num_samples=3))
        assert at_once == expected
        assert out.getvalue().count(b"\n") == 3
        at_once.clear()


@pytest.mark.parametrize(("text", "written"), [("ab", b"ab\n"), ("ab\n", b"ab\n"), ("", b"")])
def test_ctrl_c_ends_an_unfinished_line(text, written):
    def interrupted():
        yield from text
        raise KeyboardInterrupt

    out = io.BytesIO()
    with pytest.raises(KeyboardInterrupt):
        write_stream(out, interrupted())
    assert out.getvalue() == written


def test_known_lines_do_not_count_towards_the_length(reciting):
    rules = Rules(known_lines=KnownLines(["ab"]))
    for length, kept in ((12, 4), (11, 3), (10, 3)):  # where the last line begins as a known one it is left out
        text = written_in_every_way(lambda n, end=length: reciting("ab\ncd\n", length=end, rules=rules, num_samples=n))
        assert text == kept * "cd\n"


def test_known_lines_of_a_byte_model_count_as_bytes(reciting):
    rules = Rules(known_lines=KnownLines(["\u00e4b"]))
    text = written_in_every_way(lambda n: reciting("\u00e4b\nc\n", length=10, rules=rules, num_samples=n, unit="byte"))
    assert text == "c\nc\nc\nc\n"


def test_model_that_writes_only_known_lines_ends(reciting):
    rules = Rules(known_lines=KnownLines(["ab"]))
    text = written_in_every_way(lambda n: reciting("ab\n", length=30, rules=rules, num_samples=n))
    assert text == ""
    job = reciting("ab\n", length=30, rules=rules)
    assert write_one(io.BytesIO(), job).refused == 100, "lines in ten times the length"


@pytest.mark.parametrize("lines", [5, None])
def test_endless_text_ends_if_only_known_lines_come(capsys, reciting, lines):
    rules = Rules(lines=lines, known_lines=KnownLines(["ab", "\u00e9"]))
    job = replace(reciting("ab\n\n\u00e9\n", rules=rules), length=None)
    out = io.BytesIO()
    shortfall = write_one(out, job)
    tell_short(shortfall, job)
    told = "100,000 characters in a row were known lines, or empty ones; give a higher --temperature\n"
    assert (out.getvalue(), shortfall.refused) == (b"", 33_333)
    assert capsys.readouterr().err == ("0 of 5 lines: " if lines else "") + told


def test_text_ends_if_only_repeats_and_blank_lines_come(capsys, reciting):
    job, out = reciting("ab\n\n", length=30, rules=Rules(unique=True)), io.BytesIO()
    tell_short(write_one(out, job), job)
    assert out.getvalue() == b"ab\n\n"
    why = "ten times --length 30 was drawn, nearly all of it repeats, or empty ones; give a higher --temperature\n"
    assert capsys.readouterr().err == f"the text is shorter than --length 30: {why}"


@pytest.mark.parametrize(("lines", "told"), [(5, "0 of 5 lines: "), (None, "the text is shorter than --length 30: ")])
def test_text_of_nearly_only_known_lines_is_reported(capsys, reciting, lines, told):
    job = reciting("ab\n", length=30, rules=Rules(lines=lines, known_lines=KnownLines(["ab"])))
    tell_short(write_one(io.BytesIO(), job), job)
    why = "ten times --length 30 was drawn, nearly all of it known lines, or empty ones; give a higher --temperature\n"
    assert capsys.readouterr().err == told + why


@pytest.mark.parametrize(
    ("reasons", "refused", "why"),
    [
        (["match", "match"], 0, "--length 6 has no room for another that fits --match; give a larger --length"),
        (["match", "length"], 0, "--length 6 was reached; give a larger --length"),
        (
            ["length", "length"],
            2,
            "--length 6, or ten times as many characters drawn, was reached; give a larger --length, or a higher "
            "--temperature",
        ),
    ],
)
def test_texts_with_too_few_lines_are_reported_with_their_common_reason(capsys, reciting, reasons, refused, why):
    job, shortfall = reciting("ab\nab\n", rules=Rules(lines=3), num_samples=3), Shortfall()
    for number, reason in enumerate([*reasons, "lines"]):
        shortfall.add(Sample(number, "", [], reason, lines=3 if reason == "lines" else 2, refused=refused), job.rules)
    tell_short(shortfall, job)
    assert capsys.readouterr().err == f"2 of 3 texts have fewer than 3 lines: {why}\n"


def test_length_advice_notes_that_it_changes_a_temperature_range_over_lines(capsys, reciting):
    job, shortfall = reciting("ab\nab\n", rules=Rules(lines=3)), Shortfall()
    options = replace(job.sampler.options, temperature=0.3, final_temperature=1.2)
    job = replace(job, sampler=replace(job.sampler, options=options, over_lines=3))
    shortfall.add(Sample(0, "", [], "length", lines=2), job.rules)
    tell_short(shortfall, job)
    why = "--length 6 was reached; give a larger --length, over which --temperature runs then"
    assert capsys.readouterr().err == f"2 of 3 lines: {why}\n"


@pytest.mark.parametrize(
    ("text", "rules", "why"),
    [
        (".", {"known_lines": KnownLines(["ab"])}, "first"),
        ("ab.", {"known_lines": KnownLines(["ab"])}, "behind nothing but lines that --novel leaves out"),
        ("a.", {"known_lines": KnownLines(["ab"])}, "behind nothing but lines that --novel leaves out"),
        ("ab\n.", {"unique": True}, "behind nothing but lines that --unique leaves out"),
        ("ab\n.", {"known_lines": KnownLines(["ab"]), "unique": True}, "behind nothing but lines that --novel or --"),
    ],
)
def test_empty_text_report_says_whether_lines_were_left_out_before_the_stop(capsys, reciting, text, rules, why):
    job = reciting(text, length=30, rules=Rules(stops=(".",), **rules))
    job = replace(job, known_in=["k.txt"] * ("known_lines" in rules), prompt="ab\n" * ("known_lines" not in rules))
    for write, job_ in ((write_one, job), (write_many, replace(job, num_samples=2))):
        tell_short(write(io.BytesIO(), job_), job_)
        _, told = capsys.readouterr().err.split(": ")
        assert told.startswith(f"--stop came {why}")
        assert told.endswith(" leaves out, or that begin so\n" if "lines" in why else " came first\n")


def test_several_empty_texts_are_reported_by_reason(capsys, reciting):
    job, shortfall = reciting("ab", rules=Rules(stops=(".",), unique=True), num_samples=3), Shortfall()
    for repeated in (0, 1):
        shortfall.add(Sample(repeated, "", [], "stop", repeated=repeated), job.rules)
    tell_short(shortfall, job)
    why = "--stop came first, or behind nothing but lines that --unique leaves out, or that begin so"
    assert capsys.readouterr().err == f"2 of 3 texts are empty: {why}\n"


def test_mean_log_probability_is_rounded_once(monkeypatch, reciting):
    values = [-0.000004] * 9
    monkeypatch.setattr(writing, "draw_samples", lambda *_, **__: [Sample(0, "abcabcabc", [*values, -math.inf])])
    out = io.BytesIO()
    write_json(out, reciting("abc"), with_log_probabilities=True)
    record = json.loads(out.getvalue())
    assert record["logprobs"] == [0.0] * 9 + [None]
    assert record["mean_logprob"] is None, "that of the others would be of a likelier text"
    monkeypatch.setattr(
        writing, "draw_samples", lambda *_, **__: [Sample(0, "a", [-0.1, -0.100009]), Sample(1, "", [])]
    )
    out = io.BytesIO()
    write_json(out, reciting("abc"), with_log_probabilities=False)
    assert [json.loads(line)["mean_logprob"] for line in out.getvalue().splitlines()] == [-0.1, None]


def test_log_probabilities_are_computed_only_if_shown(monkeypatch, reciting):
    computed = []
    compute = samples.log_softmax
    for module in (samples, batch_samples):
        monkeypatch.setattr(module, "log_softmax", lambda logits: computed.append(1) or compute(logits))
    job = reciting("abc", rules=Rules(lines=1), num_samples=2)
    write_one(io.BytesIO(), job)
    write_many(io.BytesIO(), job)
    assert not computed
    write_one(io.BytesIO(), job, coloured=True)
    write_json(io.BytesIO(), job, with_log_probabilities=False)
    assert len(computed) == 6, "the mean is shown in any case"


@pytest.mark.skipif(sys.platform != "linux", reason="processes are shared on Linux alone")
def test_worker_processes_do_not_fold_the_weights_or_read_the_prompt_again(monkeypatch, reciting):
    def once(function):
        def called(*arguments):
            assert os.getpid() == own
            return function(*arguments)

        return called

    own = os.getpid()
    monkeypatch.setattr(FoldedWeights, "__init__", once(FoldedWeights.__init__))
    monkeypatch.setattr(sampling, "ReadPrompt", once(sampling.ReadPrompt))
    model = numpy_twin(
        random_model(ModelConfig(vocab_size=3, cell="gru", hidden_size=8, num_layers=1, embedding_dim=4))
    )
    job = reciting("abc", num_samples=6)
    job = replace(job, sampler=replace(job.sampler, model=model), processes=2)
    out = io.BytesIO()
    write_many(out, job)
    assert len(out.getvalue().split()) == 6


@pytest.mark.parametrize("is_typed", [True, False])
def test_ctrl_c_ends_a_piped_conversation_and_writes_nothing(monkeypatch, capsys, reciting, is_typed):
    keys = iter([KeyboardInterrupt, EOFError])

    def interrupted(*_):
        raise next(keys)

    monkeypatch.setattr("builtins.input", interrupted)
    pipe = types.SimpleNamespace(read1=interrupted)
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: is_typed, buffer=pipe))
    monkeypatch.setattr(interactive, "_is_of_file", lambda: False)
    with contextlib.nullcontext() if is_typed else pytest.raises(KeyboardInterrupt):
        converse(reciting("ab"), ANSWERED)
    assert capsys.readouterr().out == ""


def test_conversation_on_a_terminal_hides_a_character_cut_by_the_length(monkeypatch, reciting):
    typed, screen = iter(["a"]), Terminal()
    monkeypatch.setattr("builtins.input", lambda *_: next(typed, None) or _raise(EOFError))
    monkeypatch.setattr("sys.stdin", types.SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("sys.stdout", types.SimpleNamespace(isatty=lambda: False, buffer=screen))
    monkeypatch.setattr(interactive, "_is_of_file", lambda: False)
    converse(reciting("ab\u20ac", length=4, unit="byte"), ANSWERED)
    assert screen.getvalue() == b"aab\n"


def _raise(error):
    raise error


@given(st.text(st.characters(exclude_categories=())))
@example("\x7f\x85\x9b2J\u2028\u2029 \u202eabc\u202c \u2066x\u2069 \u200e\u200f\u061c")
@example("\x7f\udcff")
@example("caf\u00e9 \U0001f469\u200d\U0001f680")
def test_json_holds_any_text_on_one_line_without_control_characters(text):
    line = to_json({"text": text})
    replaced = "".join(c if unicodedata.category(c) != "Cs" else "\ufffd" for c in text)
    exact = {} if replaced == text else {"bytes": base64.b64encode(to_bytes(text)).decode()}
    assert json.loads(line.encode("utf-8")) == {"text": replaced, **exact}
    prompted = json.loads(to_json({"prompt": text}))
    assert prompted == {"prompt": replaced, **({"prompt_bytes": exact["bytes"]} if exact else {})}
    assert len(line.splitlines()) == 1
    assert not [c for c in line if unicodedata.category(c) == "Cc" or unicodedata.bidirectional(c) in BIDI_COMMANDS]


BIDI_COMMANDS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def test_json_keeps_harmless_characters():
    assert (
        to_json({"text": "caf\u00e9 \U0001f469\u200d\U0001f680"}) == '{"text": "caf\u00e9 \U0001f469\u200d\U0001f680"}'
    )


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
