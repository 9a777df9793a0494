"""`charrnn sample --interactive`: type a beginning, read how it goes on, again."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator

from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.sampler.flags import SampleFlags
from charrnn.cli.sampler.job import Job
from charrnn.cli.sampler.prompts import IN_CONVERSATION, fit_prompt
from charrnn.cli.sampler.stopping import Stop
from charrnn.cli.sampler.telling import Shortfall, tell_short
from charrnn.cli.sampler.turns import Turns
from charrnn.cli.sampler.writing import record_of, write_record, write_stream
from charrnn.display.outlet import write_error, write_line
from charrnn.errors import CharRNNError
from charrnn.generation.endings import Drawn, Ending
from charrnn.generation.samples import Sample, draw_characters
from charrnn.paths import STDIN
from charrnn.text.decoding import BOM, prepare
from charrnn.text.line_reader import read_lines
from charrnn.text.options import BYTE, TextOptions

INTERRUPTED = "interrupted"
"""Why a text ended that Ctrl-C has stopped."""


def converse(job: Job, flags: SampleFlags) -> bool:
    """Read beginnings from standard input until it ends, and continue each.

    Ctrl-C ends the text that is being written, not the conversation, unless the beginnings come from a file, which
    nobody can end by typing. The text of the n-th beginning is the same every time for one seed.

    Args:
        job: how to write; its prompt stands before each beginning, unwritten, and before an empty one alone, or, in a
            story, before all of them.
        flags: how to answer. Where they have no rule for characters that the model lacks, see `fit_prompt`, the nearest
            stand for them at a terminal, such as curly quotation marks for straight ones, or they are left out;
            elsewhere they are refused. A text that fell short of its lines or its stop is told, but for `quiet` where a
            length was given.

    Returns:
        Whether every beginning could be continued.
    """
    job.sampler.model.reader()  # the weights are folded now: a Ctrl-C amid that would leave them half done
    _begin_editing()
    is_typed = sys.stdin.isatty()
    if is_typed and not flags.quiet:
        _tell_how(is_story=flags.story)
    turns, stop = Turns(job, is_story=flags.story), Stop(ends_all=_is_of_file())
    read = _typed_beginnings(stop) if is_typed else stop.each(_read_beginnings(job.form.text_options, flags.encoding))
    is_each_continued = True
    with stop.put_by():
        for number, line in enumerate(read):
            try:
                typed = _fitted(line, job, flags)
                turn = turns.begin(typed)
            except CharRNNError as error:
                _tell_refused(error, line, number, flags)
                is_each_continued = False
                continue
            ending = Ending(job.rules, turn.prompt)
            drawn = draw_characters(
                turn.sampler, job.form.encoder, turn.length, ending, number, with_log_probabilities=flags.as_json
            )
            _answer(turn, typed, turns.heard(stop.until(drawn)), ending, number, flags)
    return is_each_continued


def _answer(turn: Job, typed: str, drawn: Iterable[Drawn], ending: Ending, number: int, flags: SampleFlags) -> None:
    """Write what continues a beginning, as it comes or as a record, and say where it falls short.

    Of a story that is kept in a file each text goes on where the one before has ended.
    """
    if flags.as_json:
        sample = _sample_of(drawn, ending, number)
        write_record(sys.stdout.buffer, record_of(sample, typed, turn.sampler.seed, flags.logprobs))
        return
    written = itertools.chain(typed if turn.echo else "", (character for character, _ in drawn))
    line_end = None if flags.story else turn.form.line_end
    write_stream(sys.stdout.buffer, written, of_bytes=turn.form.of_bytes, line_end=line_end)
    if not flags.quiet or turn.length_is_chosen:
        shortfall = Shortfall()
        shortfall.add(ending, turn.rules)
        tell_short(shortfall, turn)


def _fitted(line: str, job: Job, flags: SampleFlags) -> str:
    """What is typed, as the model reads it.

    Raises:
        CharRNNError: characters are left that the model does not know.
    """
    prepared = job.form.with_line_ends(prepare(line, job.form.text_options))
    unknown = flags.unknown or (None if sys.stdin.isatty() else "error")
    return fit_prompt(prepared, job.form.encoder, unknown, flags.checkpoint, IN_CONVERSATION, quiet=flags.quiet)


def _tell_refused(error: CharRNNError, line: str, number: int, flags: SampleFlags) -> None:
    """Say why a beginning is not continued: on stderr, or for programs in the place of its record."""
    if flags.as_json:
        write_record(sys.stdout.buffer, {"sample": number, "prompt": line, "error": str(error)})
    else:
        write_error(str(error))


def _sample_of(drawn: Iterable[Drawn], ending: Ending, number: int) -> Sample:
    """A text once it is whole, or as far as it had come when Ctrl-C stopped it."""
    characters = [*drawn]
    text, values = "".join(character for character, _ in characters), [value for _, value in characters]
    return Sample(number, text, values, ending.reason or INTERRUPTED, stop=ending.stop)


def _tell_how(*, is_story: bool) -> None:
    leaves = "Ctrl-Z and Enter leave" if os.name == "nt" else "Ctrl-D leaves"
    what = "type what comes next, or nothing, then" if is_story else "type a beginning, then"
    write_line(f"{what} Enter (after \\ for one more line); Ctrl-C stops a text or drops a line, {leaves}")


def _begin_editing() -> None:
    """Arrow keys and history where Python has them, by characters of UTF-8, as all that is typed is read.

    Lines that are pasted together are one beginning, where the terminal tells what is pasted (bracketed paste).
    """
    with contextlib.suppress(ImportError):
        import locale
        import readline

        readline.parse_and_bind("set enable-bracketed-paste on")

        if os.name != "nt" and locale.nl_langinfo(locale.CODESET).upper() not in ("UTF-8", "UTF8"):
            os.environ["LC_ALL"] = "C.UTF-8"  # which readline asks anew for each line


def _is_of_file() -> bool:
    """Whether what is typed stands in a file."""
    return stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)


def _read_beginnings(own: TextOptions, encoding: str | None) -> Iterator[str]:
    """The lines of a file or a pipe, as they come, without a byte-order mark, and without the CR of their end.

    Raises:
        ConfigError: a model of bytes has no such encoding, or there is none.
        CorpusError: its lines cannot be read one by one, or the file is no text.
    """
    is_tolerant, doubt = own.unit != BYTE, doubt_of(own.encoding, encoding)
    groups = read_lines(STDIN, own.in_encoding(encoding), is_tolerant=is_tolerant, doubt=doubt)
    mark = BOM  # which is still there for a model of bytes
    for line in itertools.chain.from_iterable(groups):
        yield line.removeprefix(mark).removesuffix("\n").removesuffix("\r")
        mark = ""


def _typed_beginnings(stop: Stop) -> Iterator[str]:
    """What is typed at a terminal, each a line, or several, of which all but the last end with a backslash.

    Ctrl-C drops one that is half typed.
    """
    while True:
        try:
            typed = _read_line("> ", stop)
            while typed.endswith("\\"):
                typed = f"{typed[:-1]}\n{_read_line('| ', stop)}"
            yield typed
        except EOFError:
            return
        except KeyboardInterrupt:
            continue


def _read_line(prompt: str, stop: Stop) -> str:
    """A line that is typed behind a prompt; where it is broken off, what follows begins on the next one there.

    Raises:
        EOFError: there is none.
    """
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        with stop:
            return input()
    with _stdout_at_terminal():
        try:
            with stop:
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
