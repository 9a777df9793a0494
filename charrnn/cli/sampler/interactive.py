"""`charrnn sample --interactive`: type a beginning, read how it goes on, again."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace

from charrnn.cli.sampler.job import Job
from charrnn.cli.sampler.prompts import IN_CONVERSATION, fit_prompt
from charrnn.cli.sampler.telling import Shortfall, tell_short
from charrnn.cli.sampler.writing import write_stream
from charrnn.display.outlet import write_error, write_line
from charrnn.errors import CharRNNError
from charrnn.generation.course import MOST_CHARACTERS
from charrnn.generation.endings import Ending
from charrnn.generation.matching import LineMatch
from charrnn.generation.samples import draw_characters
from charrnn.text.decoding import BOM, prepare


def converse(job: Job, unknown: str | None, checkpoint: str, *, quiet: bool) -> bool:
    """Read beginnings from standard input until it ends, and continue each.

    Ctrl-C ends the text that is being written, not the conversation, unless the beginnings come from a file, which
    nobody can end by typing. The n-th text of a seed is the same every time.

    Args:
        job: how to write; its prompt stands before each beginning, unwritten, and before an empty one alone.
        unknown: what becomes of characters that the model lacks, see `fit_prompt`; None: at a terminal the nearest
            stand for them, such as curly quotation marks for straight ones, and elsewhere they are refused.
        checkpoint: how the user calls the model.
        quiet: whether to say neither how to type nor what is skipped nor, where a length was given, which text fell
            short of its lines or its stop.

    Returns:
        Whether every beginning could be continued.
    """
    job.sampler.model.reader()  # the weights are folded now: a Ctrl-C amid that would leave them half done
    _begin_editing()
    if not quiet and sys.stdin.isatty():
        _tell_how()
    unknown = unknown or ("nearest" if sys.stdin.isatty() else "error")
    number, is_each_continued = 0, True
    for line in _beginnings():
        try:
            prepared, encoder = job.form.with_line_ends(prepare(line, job.form.text_options)), job.form.encoder
            typed = fit_prompt(prepared, encoder, unknown, checkpoint, IN_CONVERSATION, quiet=quiet)
            beginning = job.prompt + typed
            match, length = _after(beginning, job)
        except CharRNNError as error:
            write_error(str(error))
            is_each_continued = False
            continue
        sampler = replace(job.sampler, match=match)
        if typed:
            sampler = replace(sampler, prompt=job.before + encoder.encode_list(beginning))
        ending = Ending(job.rules, beginning)
        drawn = draw_characters(sampler, encoder, length, ending, number, with_log_probabilities=False)
        number += 1
        _write(job, itertools.chain(typed if job.echo else "", (character for character, _ in drawn)))
        if not quiet or job.length_is_chosen:
            shortfall = Shortfall()
            shortfall.add(ending, job.rules)
            tell_short(shortfall, replace(job, length=length, prompt=beginning))
    return is_each_continued


def _write(job: Job, characters: Iterable[str]) -> None:
    goes_on = not _is_of_file()
    with contextlib.suppress(KeyboardInterrupt) if goes_on else contextlib.nullcontext():
        of_bytes, line_end = job.form.of_bytes, job.form.line_end
        write_stream(sys.stdout.buffer, characters, of_bytes=of_bytes, line_end=line_end, goes_on=goes_on)


def _tell_how() -> None:
    leaves = "Ctrl-Z and Enter leave" if os.name == "nt" else "Ctrl-D leaves"
    write_line(
        f"type a beginning, then Enter (after \\ for one more line); Ctrl-C stops a text or drops a line, {leaves}"
    )


def _begin_editing() -> None:
    """Arrow keys and history where Python has them, by characters of UTF-8, as all that is typed is read."""
    with contextlib.suppress(ImportError):
        import locale
        import readline  # noqa: F401

        if os.name != "nt" and locale.nl_langinfo(locale.CODESET).upper() not in ("UTF-8", "UTF8"):
            os.environ["LC_ALL"] = "C.UTF-8"  # which readline asks anew for each line


def _after(beginning: str, job: Job) -> tuple[LineMatch | None, int | None]:
    """What lines must fit behind a beginning, and the length, with room for them where none was given.

    Raises:
        ConfigError: no line that begins so can fit, or none in the length that was given.
    """
    match, length = job.sampler.match, job.length
    if match is None:
        return None, length
    match = match.after(beginning, None if job.length_is_chosen else length)
    if length is not None and job.length_is_chosen:
        length = min(max(length, match.shortest(job.rules.lines or 1)), MOST_CHARACTERS)
    return match, length


def _is_of_file() -> bool:
    """Whether what is typed stands in a file."""
    return stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)


def _beginnings() -> Iterator[str]:
    """What is typed; Ctrl-C drops one that is half typed at a terminal, and else ends the conversation.

    Each is a line or, at a terminal, several, of which all but the last end with a backslash. Those of a file come
    without a byte-order mark, and without the CR of their end.
    """
    mark = BOM
    while True:
        try:
            typed = _read_line("> ")
            while typed.endswith("\\") and sys.stdin.isatty():
                typed = f"{typed[:-1]}\n{_read_line('| ')}"
            yield typed.removeprefix(mark).removesuffix("\r")
            mark = ""
        except EOFError:
            return
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise


def _read_line(prompt: str) -> str:
    """A line, at a terminal behind a prompt; where it is broken off, what follows begins on the next one there.

    Raises:
        EOFError: there is none.
    """
    if not (sys.stdin.isatty() and (sys.stdout.isatty() or sys.stderr.isatty())):
        return input()
    with _stdout_at_terminal():
        try:
            return input(prompt)
        except (EOFError, KeyboardInterrupt):
            print(flush=True)
            raise


@contextlib.contextmanager
def _stdout_at_terminal() -> Iterator[None]:
    """Let stdout be stderr's terminal for a while, where it is none itself.

    Python lets a line be edited only where stdin and stdout are terminals. Else the terminal itself hands on lines, of
    no more than 4,095 bytes: what is typed or pasted beyond that is lost without a word.
    """
    if sys.stdout.isatty():
        yield
        return
    sys.stdout.flush()
    number = sys.stdout.fileno()
    own = os.dup(number)
    os.dup2(sys.stderr.fileno(), number)
    try:
        yield
    finally:
        os.dup2(own, number)
        os.close(own)
