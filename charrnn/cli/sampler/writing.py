"""Writing samples to stdout: as they come, whole one after another, coloured, or as JSON lines."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

from charrnn.cli.common.terminal import fit_colours
from charrnn.cli.sampler.job import Job
from charrnn.cli.sampler.sharing import in_order
from charrnn.cli.sampler.telling import Shortfall
from charrnn.display.heatmap import heat, paint
from charrnn.display.json_line import to_json
from charrnn.escape import visible
from charrnn.generation.batch_samples import draw_samples
from charrnn.generation.batch_sampling import ENDED
from charrnn.generation.endings import Drawn, Ending
from charrnn.generation.samples import Sample, draw_characters, joined
from charrnn.metrics import finite_or_none
from charrnn.surrogates import join_bytes, to_bytes

Text = TypeVar("Text")

FLUSH_SECONDS = 0.05

MOST_AT_ONCE = 1 << 24
"""The most characters, in total, of samples that are computed side by side and held until they are written."""


def write_one(out: BinaryIO, job: Job, *, coloured: bool = False) -> Shortfall:
    """Write one sample as it comes."""
    ending = Ending(job.rules, job.prompt)
    encoder = job.form.encoder
    of_bytes = job.form.of_bytes
    characters: Iterable[str]
    if job.rules.are_none and not coloured:
        characters = itertools.chain(job.opening, encoder.spell(job.sampler.stream(job.length)))
    else:
        drawn = draw_characters(job.sampler, encoder, job.length, ending, with_log_probabilities=coloured)
        written = itertools.chain(((character, 0.0) for character in job.opening), drawn)
        characters = map(_colour, _as_shown(written, of_bytes)) if coloured else (character for character, _ in written)
    write_stream(out, characters, ready=coloured, of_bytes=of_bytes)
    shortfall = Shortfall()
    shortfall.add(ending, job.rules)
    return shortfall


def write_many(out: BinaryIO, job: Job) -> Shortfall:
    """Write samples whole, in order."""
    shortfall = Shortfall()

    def texts() -> Iterator[str]:
        for sample in _samples(job, with_log_probabilities=False):
            shortfall.add(sample, job.rules)
            yield job.opening + sample.text

    whole = (job.opening + text for text in _whole_texts(job)) if job.rules.are_none else texts()
    write_texts(out, whole, job.separator, line_end=job.form.line_end, of_bytes=job.form.of_bytes)
    return shortfall


def write_json(out: BinaryIO, job: Job, *, with_log_probabilities: bool) -> Shortfall:
    """Write samples as JSON lines, in order."""
    shortfall = Shortfall()
    for sample in _samples(job, with_log_probabilities=True):
        shortfall.add(sample, job.rules)
        write_record(out, record_of(sample, job.prompt, job.sampler.seed, with_log_probabilities))
    return shortfall


def record_of(sample: Sample, prompt: str, seed: int, with_log_probabilities: bool) -> dict[str, Any]:
    """The content of a sample's JSON line."""
    values = sample.log_probabilities
    record = {
        "sample": sample.number,
        "prompt": prompt,
        "text": sample.text,
        "mean_logprob": _rounded(sum(values) / len(values)) if values else None,
        "seed": seed,
        "stop_reason": sample.reason,
    }
    if sample.stop is not None:
        record["stop"] = sample.stop
    if with_log_probabilities:
        record["logprobs"] = [_rounded(value) for value in values]
    return record


def write_record(out: BinaryIO, record: Mapping[str, Any]) -> None:
    """Write a JSON line and flush it."""
    with _until_ctrl_c(out):
        out.write(to_bytes(to_json(record) + "\n"))
        out.flush()


def write_stream(
    out: BinaryIO,
    characters: Iterable[str],
    *,
    ready: bool = False,
    of_bytes: bool = False,
    line_end: str | None = "",
) -> None:
    """Write characters as they come.

    On a terminal each character is shown at once, control characters are made visible, a CR before a line feed and an
    incomplete character at the end are left out, and the last line is ended. Elsewhere characters are passed on
    unaltered, flushed every `FLUSH_SECONDS`, and a line that Ctrl-C cuts is ended, unless the reader has stopped
    reading.

    Args:
        out: the stream to write to.
        characters: the characters to write.
        ready: whether they are already prepared for a terminal.
        of_bytes: whether the model writes bytes, so that the last character may be incomplete.
        line_end: what ends the last line where `out` is no terminal, for a program that waits for the line's end; empty
            for nothing; None for nothing even after Ctrl-C, since more text is to follow directly.
    """
    is_terminal, flushed, last = out.isatty(), -math.inf, ""
    if is_terminal:
        line_end = "\n"
    if is_terminal and not ready:
        characters = (visible(character) for character, _ in _as_shown(((each, 0.0) for each in characters), of_bytes))
    try:
        for last in characters:
            out.write(to_bytes(last))
            if is_terminal or time.monotonic() - flushed > FLUSH_SECONDS:
                out.flush()
                flushed = time.monotonic()
    except KeyboardInterrupt:
        _stop_waiting(out)
        if line_end == "" and last != "":
            line_end = "\n"
        raise
    finally:
        out.write(_missing(line_end or "", last).encode())
        out.flush()


def write_texts(
    out: BinaryIO, texts: Iterable[str], separator: str = "\n", *, line_end: str = "\n", of_bytes: bool = False
) -> None:
    """Write whole texts, ending each one's last line, with a separator between them; see `write_stream`."""
    is_terminal = out.isatty()
    if is_terminal:
        line_end = "\n"
    with _until_ctrl_c(out):
        for number, text in enumerate(texts):
            shown = text
            if is_terminal:
                shown = visible(join_bytes(text, is_whole=False) if of_bytes else text)
            before = separator if number else ""
            out.write(to_bytes(before + shown + _missing(line_end, shown)))
            out.flush()


def _rounded(log_probability: float) -> float | None:
    """Round a log-probability for JSON; None for infinity, which JSON lacks."""
    return finite_or_none(round(log_probability, 5))


def _missing(line_end: str, text: str) -> str:
    """What a text's last line lacks of its line end."""
    if text.endswith("\n"):
        return ""
    return line_end.removeprefix("\r") if text.endswith("\r") else line_end


@contextlib.contextmanager
def _until_ctrl_c(out: BinaryIO) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _stop_waiting(out)
        raise


def _stop_waiting(out: BinaryIO) -> None:
    """Flush without blocking; if the reader does not take everything, discard the rest and all later output.

    A terminal is left alone.
    """
    if os.name == "nt" or out.isatty():
        return
    try:
        descriptor = out.fileno()
    except OSError:  # no file descriptor
        return
    was_blocking = os.get_blocking(descriptor)
    os.set_blocking(descriptor, False)
    try:
        out.flush()
        is_taken = True
    except OSError:  # the pipe is full, or has no reader any more
        is_taken = False
    finally:
        os.set_blocking(descriptor, was_blocking)  # other processes may share it
    if not is_taken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _samples(job: Job, *, with_log_probabilities: bool) -> Iterator[Sample]:
    """All samples in order."""

    def draw(block: range) -> list[Sample]:
        return draw_samples(
            job.sampler,
            job.form.encoder,
            _length(job),
            job.rules,
            block,
            job.prompt,
            with_log_probabilities=with_log_probabilities,
        )

    return _drawn_in_blocks(job, draw)


def _whole_texts(job: Job) -> Iterator[str]:
    """All samples as text, in order; only valid if no rule ends them early."""

    def draw(block: range) -> list[str]:
        return [job.form.encoder.decode(ids[ids != ENDED]) for ids in job.sampler.batch(block, _length(job))]

    return _drawn_in_blocks(job, draw)


def _drawn_in_blocks(job: Job, draw: Callable[[range], list[Text]]) -> Iterator[Text]:
    """All samples in order, a bounded number of them computed side by side."""
    job.sampler.begin()  # read the prompt once, not in each process
    firsts = _firsts(job)

    def draw_from(first: int) -> list[Text]:
        return draw(range(first, min(first + firsts.step, job.num_samples)))

    return itertools.chain.from_iterable(in_order(draw_from, firsts, job.processes))


def _length(job: Job) -> int:
    assert job.length is not None, "many samples have an end"
    return job.length


def _firsts(job: Job) -> range:
    """The number of the first sample of each block that is computed side by side."""
    most = MOST_AT_ONCE // (job.processes * max(_length(job), 1))
    return range(0, job.num_samples, max(1, min(job.at_once, most, -(-job.num_samples // job.processes))))


def _as_shown(drawn: Iterable[Drawn], of_bytes: bool) -> Iterator[Drawn]:
    """The characters as a terminal shows them."""
    return _without_cr(joined(drawn) if of_bytes else drawn)


def _without_cr(drawn: Iterable[Drawn]) -> Iterator[Drawn]:
    """Leave out each carriage return before a line feed; a CR is held until the next character is known."""
    held: list[Drawn] = []
    for each in drawn:
        if each[0] != "\n":
            yield from held
        held = [each] if each[0] == "\r" else []
        if not held:
            yield each
    yield from held


def _colour(drawn: Drawn) -> str:
    """A character on the colour of its surprisal, 0 bits for the prompt; a line feed as it is."""
    character, log_probability = drawn
    bits = min(-log_probability / math.log(2), 99)
    return character if character == "\n" else fit_colours(paint(visible(character), heat(bits)))
