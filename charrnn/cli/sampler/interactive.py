"""`charrnn sample --interactive`: a loop that reads a beginning and writes its continuation."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator

from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.sampler.flags import SampleFlags
from charrnn.cli.sampler.interrupts import DeferredInterrupt
from charrnn.cli.sampler.job import Job
from charrnn.cli.sampler.prompts import IN_CONVERSATION, fit_prompt, tell_rare
from charrnn.cli.sampler.telling import Shortfall, tell_short
from charrnn.cli.sampler.turns import Turns
from charrnn.cli.sampler.writing import record_of, write_record, write_stream
from charrnn.display.messages import write_error, write_line
from charrnn.errors import CharRNNError
from charrnn.generation.endings import Drawn, Ending
from charrnn.generation.samples import Sample, draw_characters
from charrnn.paths import STDIN
from charrnn.text.decoding import BOM, prepare
from charrnn.text.line_reader import read_lines
from charrnn.text.options import BYTE, TextOptions

INTERRUPTED = "interrupted"
"""The stop reason of a text that Ctrl-C has ended."""


def converse(job: Job, flags: SampleFlags) -> bool:
    """Read beginnings from standard input until it ends, and continue each.

    Ctrl-C ends the text that is being written, not the conversation, unless the beginnings come from a file, which
    cannot be ended by typing. The text of the n-th beginning is the same every time for one seed.

    Args:
        job: how to write. Its prompt, which is not written, precedes each beginning, even an empty one, or, in a story,
            only the first.
        flags: how to answer. Without a rule for characters that the model lacks (see `fit_prompt`), at a terminal the
            nearest character is taken, such as a straight quotation mark for a curly one. A text that lacks lines or
            did not reach its stop is reported, except with `quiet` and a given length.

    Returns:
        Whether every beginning could be continued.
    """
    job.sampler.model.reader()  # fold the weights now: a Ctrl-C during that would leave them half folded
    _begin_editing()
    is_typed = sys.stdin.isatty()
    if is_typed and not flags.quiet:
        _tell_how(is_story=flags.story)
    turns, interrupt = Turns(job, is_story=flags.story), DeferredInterrupt(ends_all=_is_of_file())
    read = (
        _typed_beginnings(interrupt)
        if is_typed
        else interrupt.each(_read_beginnings(job.form.text_options, flags.encoding))
    )
    is_each_continued, rare = True, dict[str, None]()
    with interrupt.deferred():
        for number, line in enumerate(read):
            try:
                typed = _fitted(line, job, flags)
                rare |= dict.fromkeys(job.form.encoder.without_own_id(typed))
                turn = turns.begin(typed)
            except CharRNNError as error:
                _tell_refused(error, line, number, flags)
                is_each_continued = False
                continue
            ending = Ending(job.rules, turn.prompt)
            drawn = draw_characters(
                turn.sampler, job.form.encoder, turn.length, ending, number, with_log_probabilities=flags.as_json
            )
            _answer(turn, typed, turns.heard(interrupt.until(drawn)), ending, number, flags)
    if rare and not is_typed and not flags.quiet:
        tell_rare("".join(rare), flags.unknown, IN_CONVERSATION)
    return is_each_continued


def _answer(turn: Job, typed: str, drawn: Iterable[Drawn], ending: Ending, number: int, flags: SampleFlags) -> None:
    """Write the continuation of a beginning, as it comes or as a JSON record, and report what falls short.

    In a story no line end is added, so that each text, in a file, continues directly where the previous one ended.
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
    """Bring a beginning to the form that the model reads; rare characters are reported only if it is typed.

    Raises:
        CharRNNError: characters are left that the model does not know.
    """
    prepared, is_typed = job.form.with_line_ends(prepare(line, job.form.text_options)), sys.stdin.isatty()
    return fit_prompt(
        prepared,
        job.form.encoder,
        flags.unknown,
        flags.checkpoint,
        IN_CONVERSATION,
        is_typed=is_typed,
        quiet=flags.quiet or not (is_typed or flags.unknown == "skip"),
    )


def _tell_refused(error: CharRNNError, line: str, number: int, flags: SampleFlags) -> None:
    """Report why a beginning is not continued: on stderr, or, with --json, in place of its record."""
    if flags.as_json:
        write_record(sys.stdout.buffer, {"sample": number, "prompt": line, "error": str(error)})
    else:
        write_error(str(error))


def _sample_of(drawn: Iterable[Drawn], ending: Ending, number: int) -> Sample:
    """Collect a text until it ends or Ctrl-C stops it."""
    characters = [*drawn]
    text, values = "".join(character for character, _ in characters), [value for _, value in characters]
    return Sample(number, text, values, ending.reason or INTERRUPTED, stop=ending.stop)


def _tell_how(*, is_story: bool) -> None:
    leaves = "Ctrl-Z and Enter leave" if os.name == "nt" else "Ctrl-D leaves"
    what = "type what comes next, or nothing, then" if is_story else "type a beginning, then"
    write_line(f"{what} Enter (after \\ for one more line); Ctrl-C stops a text or drops a line, {leaves}")


def _begin_editing() -> None:
    """Enable line editing and history, where Python has readline, in UTF-8, in which all input is read.

    Lines that are pasted together are one beginning if the terminal supports bracketed paste.
    """
    with contextlib.suppress(ImportError):
        import locale
        import readline

        if os.environ.get("TERM") not in ("dumb", "unknown"):
            readline.parse_and_bind("set enable-bracketed-paste on")
            with contextlib.suppress(OSError):  # there is no file of the user's, whose settings come first
                readline.read_init_file()
        if os.name != "nt" and locale.nl_langinfo(locale.CODESET).upper() not in ("UTF-8", "UTF8"):
            os.environ["LC_ALL"] = "C.UTF-8"  # readline looks it up for each line


def _is_of_file() -> bool:
    """Whether standard input is a regular file."""
    return stat.S_ISREG(os.fstat(sys.stdin.fileno()).st_mode)


def _read_beginnings(own: TextOptions, encoding: str | None) -> Iterator[str]:
    """The lines of a file or a pipe, as they come, without a byte-order mark and without their line ends, LF or CR LF.

    Raises:
        ConfigError: the encoding does not exist, or does not go with a model of bytes.
        CorpusError: the lines cannot be read one by one, or the file is not text.
    """
    is_tolerant, doubt = own.unit != BYTE, doubt_of(own.encoding, encoding)
    groups = read_lines(STDIN, own.in_encoding(encoding), is_tolerant=is_tolerant, doubt=doubt)
    mark = BOM  # still there for a model of bytes
    for line in itertools.chain.from_iterable(groups):
        yield line.removeprefix(mark).removesuffix("\n").removesuffix("\r")
        mark = ""


def _typed_beginnings(interrupt: DeferredInterrupt) -> Iterator[str]:
    """The beginnings typed at a terminal: one line each, or several of which all but the last end with a backslash.

    Ctrl-C drops a beginning that is half typed.
    """
    while True:
        try:
            typed = _read_line("> ", interrupt)
            while typed.endswith("\\"):
                typed = f"{typed[:-1]}\n{_read_line('| ', interrupt)}"
            yield typed
        except EOFError:
            return
        except KeyboardInterrupt:
            continue


def _read_line(prompt: str, interrupt: DeferredInterrupt) -> str:
    """Read a line that is typed behind a prompt; if that is broken off, move the cursor to a new line.

    Raises:
        EOFError: the input has ended.
    """
    if not (sys.stdout.isatty() or sys.stderr.isatty()):
        with interrupt:
            return input()
    with _stdout_at_terminal():
        try:
            with interrupt:
                return input(prompt)
        except (EOFError, KeyboardInterrupt):
            print(flush=True)
            raise


@contextlib.contextmanager
def _stdout_at_terminal() -> Iterator[None]:
    """Redirect stdout to stderr's terminal within the context, if stdout is not a terminal.

    Python offers line editing only if stdin and stdout are terminals. Otherwise the terminal driver passes on lines of
    at most 4,095 bytes, and silently drops what is typed or pasted beyond that.
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
