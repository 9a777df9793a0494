"""From the flags of `charrnn sample` to the job that they describe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from charrnn.cli.sampler.checking import STREAMS_AT_ONCE
from charrnn.cli.sampler.flags import SampleFlags
from charrnn.cli.sampler.forms import InputForm
from charrnn.cli.sampler.job import Job
from charrnn.cli.sampler.prompts import check_novel, fit_prompt, read_prompt
from charrnn.cli.sampler.warning import warn_of_case, warn_of_ends, warn_of_form, warn_of_inputs, warn_of_lacking
from charrnn.errors import ConfigError
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.rules import KnownLines, Rules
from charrnn.generation.sample_progress import MOST_CHARACTERS
from charrnn.generation.sampling import Sampler
from charrnn.loading import load_for_sampling, read_others
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.text.likeness import in_known_form

if TYPE_CHECKING:
    from charrnn.generation.matching import LineMatch

DEFAULT_LENGTH = 500
"""If no length is given: characters of a text, or the least room for each of its lines."""

MEAN_LINES = 10
"""If no length is given: room for each line, as a multiple of the mean line of the model's text."""

LONGEST_LINE = 100_000
"""The most characters of such a line: a text may have hardly any line feeds."""

LONGEST_STOPPED = 10_000
"""If no length is given: the most characters of a text that a stop is to end."""


def prepare_job(flags: SampleFlags, *, seed: int, processes: int) -> Job:
    """Read all inputs and build the job.

    Args:
        flags: flags that passed `check_flags`.
        seed: the seed given, or a fresh one.
        processes: number of processes that share the samples.

    Raises:
        CharRNNError: an input cannot be read, or does not go with the flags.
    """
    contents = read_checkpoint(flags.checkpoint)
    prompt = read_prompt(flags.prompt, flags.prompt_file, contents.text_options, flags.encoding)
    others = read_others(contents, flags.mix)
    warn_of_inputs(flags, contents, others)
    model, encoder = load_for_sampling(contents, others, flags.device)
    form = InputForm(contents.text_options, encoder, contents.has_cr_lf)
    prompt = _fit(prompt, flags, form)
    has_lines = any(one.text_options.lines for one in (contents, *(other.contents for other in others)))
    before = encoder.encode_list("\n") if has_lines else []  # a model trained with --lines begins a line after it
    opening = _opening(flags, contents, form, prompt, before)
    warn_of_lacking(flags, form)
    options = _options(flags, form)
    over_lines = _over_lines(flags, options)
    form = form.limited_to(options.allowed)
    match = _line_match(flags, form, prompt)
    rules = _rules(flags, form, prompt, match)
    is_stopped = bool(rules.stops) and options.final_temperature is None
    warn_of_ends(flags, form, match)
    _check_line_ends(flags, form, match, rules)
    return Job(
        sampler=Sampler(model, opening, options, seed, match, over_lines=over_lines, recall_all=flags.recall_all),
        form=form,
        before=before,
        prompt=prompt,
        echo=not flags.no_echo,
        length=_length(flags, contents, match, is_stopped=is_stopped),
        rules=rules,
        num_samples=flags.num_samples,
        separator=form.separator_of(r"\n" if flags.separator is None else flags.separator),
        at_once=STREAMS_AT_ONCE[flags.device],
        processes=processes,
        length_is_chosen=flags.length_is_chosen,
        known_in=flags.novel,
    )


def _fit(prompt: str, flags: SampleFlags, form: InputForm) -> str:
    """A prompt as the model's text would have it."""
    if not (flags.reads_prompt and form.of_bytes):  # bytes from a file keep their line ends
        prompt = form.with_line_ends(prompt)
    return fit_prompt(prompt, form.encoder, flags.unknown, flags.checkpoint, quiet=flags.quiet)


def _opening(flags: SampleFlags, contents: Checkpoint, form: InputForm, prompt: str, before: list[int]) -> list[int]:
    """The ids that are read before a sample: the prompt, or else what a text begins after."""
    if prompt:
        return before + form.encoder.encode_list(prompt)
    usual = contents.encoder.decode([contents.first_id])
    end = "" if contents.text_options.lines else _blank_line_stop(flags.stop, form)
    return form.encoder.encode_list(end) or before or form.encoder.encode_list(usual)


def _line_match(flags: SampleFlags, form: InputForm, prompt: str) -> LineMatch | None:
    """The pattern that the lines of samples must match after a prompt; None for any."""
    if flags.match is None:
        return None
    from charrnn.cli.sampler.pattern_form import pattern_in_form  # here: most samples start without
    from charrnn.generation.matching import LineMatch

    pattern = pattern_in_form(flags.match, form.text_options, form.encoder)
    match = LineMatch.build(pattern, form.encoder, form.allowed, ends_by_cr_lf=form.has_cr_lf)
    warn_of_form(pattern, form.encoder)
    warn_of_case(match, form)
    return match if flags.interactive else match.after(prompt, flags.given_length)  # each beginning is checked later


def _length(flags: SampleFlags, contents: Checkpoint, match: LineMatch | None, *, is_stopped: bool) -> int | None:
    """The length that is given, None for endless texts; else one with room for the stop or the lines that end a text.

    The room for lines depends on the mean line of the model's text, and on the shortest lines that match the pattern.
    """
    if not flags.length_is_chosen:
        return flags.given_length
    lines = flags.wanted_lines
    if lines is None:
        return LONGEST_STOPPED if is_stopped else DEFAULT_LENGTH
    counts = contents.corpus.counts
    feeds = counts[contents.encoder.characters.index("\n")] if "\n" in contents.encoder else 0
    line = min(MEAN_LINES * sum(counts) // feeds, LONGEST_LINE) if feeds else 0
    shortest = 0 if match is None or flags.interactive else match.shortest(lines)
    return min(max(max(DEFAULT_LENGTH, line) * lines, shortest), MOST_CHARACTERS)


def _blank_line_stop(stops: Sequence[str], form: InputForm) -> str:
    """The longest --stop made of blank lines: a sample without a prompt starts after it, as if another had just ended.

    Returns:
        The stop, or "" if there is none.
    """
    ends = [
        stop
        for stop in map(form.of, stops)
        if re.fullmatch("(\r?\n){2,}", stop) and not form.encoder.without_own_id(stop)
    ]
    return max(ends, key=len, default="")


def _rules(flags: SampleFlags, form: InputForm, prompt: str, match: LineMatch | None) -> Rules:
    """The rules that end a sample before its length, and leave lines out of it."""
    stops = (stop for typed in flags.stop for stop in form.stops_of(typed))
    written = tuple(stop for stop in stops if form.may_come(stop, match))
    if written and match is not None and flags.is_endless and not form.writes("\n"):
        or_allow = r", or allow \n" if "\n" in form.encoder else ""
        raise ConfigError(
            "--stop takes back a whole line of --match, and without a line feed --length -1 is one line, held back to "
            f"its end; give a length{or_allow}"
        )
    known_lines = _known_lines(flags.novel, form, flags.encoding) if flags.novel else None
    ends_by_length = not flags.is_endless and form.writes("\n")
    rules = Rules(
        stops=written,
        keep_stop=flags.keep_stop or flags.story,  # a story would not get past a stop that is removed
        lines=flags.wanted_lines,
        known_lines=known_lines,
        unique=flags.unique,
        fits=None if match is None else match.fits,
        is_cut=match.is_cut if match is not None and ends_by_length else None,
    )
    check_novel(prompt, rules, form.encoder.unit)
    return rules


def _known_lines(paths: Sequence[str], form: InputForm, encoding: str | None) -> KnownLines:
    """The lines of files, read in the encoding of the model's text and, where possible, in UTF-8, that of samples.

    Args:
        paths: paths of the files.
        form: the form of the model's text; the lines are brought to its Unicode form.
        encoding: the encoding given, in which the files are read too; None if none was given.
    """
    from charrnn.text.documents import read_in_each  # here: most samples start without

    own = form.text_options
    encodings = list(dict.fromkeys([encoding or own.encoding, own.encoding, "utf-8"]))
    takes_nulls = "\0" in form.encoder
    read = (text for path in paths for text in read_in_each(path, own, encodings, takes_nulls=takes_nulls))
    texts = (in_known_form(text, form.encoder) for text in read)
    return KnownLines(line for text in texts for line in text.split("\n"))


def _options(flags: SampleFlags, form: InputForm) -> SamplingOptions:
    """How the next character is drawn."""
    temperature, last = _parse_temperature(flags.temperature)
    return SamplingOptions(
        temperature=temperature,
        final_temperature=last,
        top_k=flags.top_k,
        top_p=flags.top_p,
        min_p=flags.min_p,
        allowed=_allowed(flags, form),
    )


def _over_lines(flags: SampleFlags, options: SamplingOptions) -> int | None:
    """Number of lines over which the temperature changes; None if it changes over the characters, or not at all."""
    if options.final_temperature is None:
        return None
    if flags.is_endless:
        raise ConfigError("--temperature as a range runs over the text, and --length -1 has no end; give a length")
    lines = flags.wanted_lines if flags.length_is_chosen else None
    if lines == 1:
        raise ConfigError(
            "--temperature as a range runs over the lines, and there is one; give --length to run over that"
        )
    return lines


def _allowed(flags: SampleFlags, form: InputForm) -> tuple[int, ...] | None:
    """The ids that the model may write; None for all."""
    encoder = form.encoder
    if not flags.allow and not flags.forbid:
        return None
    allow = form.characters_of(flags.allow, is_allowed=True) if flags.allow else encoder.characters
    forbid = form.characters_of(flags.forbid, is_allowed=False)
    written = {i: c for i, c in enumerate(encoder.characters) if c in allow and c not in forbid}
    if not written:
        given = " and ".join(f"--{name}" for name, typed in (("allow", flags.allow), ("forbid", flags.forbid)) if typed)
        leaves = "leave" if " " in given else "leaves"
        raise ConfigError(f"{given} {leaves} no character of the model to write with")
    return tuple(written)


def _check_line_ends(flags: SampleFlags, form: InputForm, match: LineMatch | None, rules: Rules) -> None:
    """Refuse --allow and --forbid if they exclude the line feed that is to end the lines of a text.

    Raises:
        ConfigError: the model has a line feed, but may not write it, although lines must end.
    """
    if form.writes("\n") or "\n" not in form.encoder:
        return
    if why := _why_lines_must_end(flags, match, rules):
        is_forbidden = not flags.allow or "\n" in form.characters_of(flags.allow, is_allowed=True)
        flag = "--forbid" if is_forbidden else "--allow"
        raise ConfigError(f"{flag} leaves no line feed to end a line with, and {why}; allow \\n too")


def _why_lines_must_end(flags: SampleFlags, match: LineMatch | None, rules: Rules) -> str:
    """Why a text needs line feeds to be whole.

    Returns:
        The reason, or "" if it does not, such as one line of a pattern that has an end, or that a stop can end.
    """
    if match is None:
        return "--lines asks for lines" if flags.lines is not None else ""
    if rules.stops or flags.wanted_lines is None:
        return ""
    if match.is_endless:
        from charrnn.generation.patterns import shown  # here: most samples start without

        return f"a line of --match {shown(flags.match or '')} may go on without an end"
    return "--lines asks for lines" if flags.wanted_lines > 1 else ""


def _parse_temperature(text: str) -> tuple[float, float | None]:
    """Parse a temperature such as `0.8`, or a range such as `0.3..1.2`; the second value is None without a range.

    Raises:
        ConfigError: the text is neither.
    """
    first, dots, last = text.partition("..")
    try:
        if last.startswith("."):  # `0.3...1` may mean an end of 0.1 or of 1
            raise ValueError
        return float(first), float(last) if dots else None
    except ValueError:
        several = "; for several, call it once for each" if "," in text or " " in text else ""
        raise ConfigError(
            f"--temperature is {text!r}; give one number, such as 0.8, or one range, such as 0.3..1.2{several}"
        ) from None
