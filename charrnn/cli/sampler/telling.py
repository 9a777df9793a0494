"""Reports on samples once they are written: lines left out, and lines or stops that did not come."""

from __future__ import annotations

from dataclasses import dataclass

from charrnn.cli.sampler.job import Job
from charrnn.display.messages import write_line
from charrnn.escape import one_line
from charrnn.generation.endings import Ending
from charrnn.generation.rules import Rules
from charrnn.generation.sample_progress import MOST_IN_VAIN
from charrnn.generation.samples import Sample
from charrnn.paths import name_of
from charrnn.wording import either, listed, number_of

HOTTER = "give a higher --temperature"


@dataclass
class Shortfall:
    """Counts of what to report on samples once they are written.

    Attributes:
        refused: known lines left out.
        repeated: other lines left out because they had come before.
        num_begun: unfinished last lines left out because they might have become a line to leave out.
        num_short: samples with fewer lines than were asked for.
        num_without_room: samples among `num_short` with some length left, but no room for a line that matches.
        num_known: samples that ended because nearly all that was drawn was left out.
        lines: the most whole lines of any sample counted in `num_short` or `num_known`.
        num_unstopped: samples that reached their length before the stop that was to end them; those counted in
            `num_known` excluded.
        num_empty: samples that a stop ended and that are empty.
        num_emptied: samples among `num_empty` of which a line was left out, or the beginning of one.
    """

    refused: int = 0
    repeated: int = 0
    num_begun: int = 0
    num_short: int = 0
    num_without_room: int = 0
    num_known: int = 0
    lines: int = 0
    num_unstopped: int = 0
    num_empty: int = 0
    num_emptied: int = 0

    @property
    def left_out(self) -> int:
        """Number of whole lines left out."""
        return self.refused + self.repeated

    def add(self, written: Sample | Ending, rules: Rules) -> None:
        """Count one more sample, written under some rules."""
        self.refused += written.refused
        self.repeated += written.repeated
        self.num_begun += written.is_begun_left_out
        is_empty = written.reason == "stop" and written.is_empty
        self.num_empty += is_empty
        self.num_emptied += is_empty and bool(written.refused or written.repeated or written.is_begun_left_out)
        if written.reason not in ("length", "match", "known"):
            return
        is_known, is_short = written.reason == "known", rules.lines is not None and written.lines < rules.lines
        self.num_known += is_known
        self.num_unstopped += bool(rules.stops) and rules.lines is None and not is_known
        self.num_short += is_short
        self.num_without_room += is_short and written.reason == "match"
        if is_known or is_short:
            self.lines = max(self.lines, written.lines)


def tell_left_out(shortfall: Shortfall, job: Job) -> None:
    """Report on stderr how many lines --novel and --unique left out, if they are given."""
    if job.known_in:
        told = "line left out because it is" if shortfall.refused == 1 else "lines left out because they are"
        write_line(f"{shortfall.refused:,} {told} in {_files(job)}")
    if job.rules.unique:
        told = "line left out because it was" if shortfall.repeated == 1 else "lines left out because they were"
        write_line(f"{shortfall.repeated:,} {told} written before")
    if shortfall.num_begun:
        told = "line left out since it" if shortfall.num_begun == 1 else "lines left out since they"
        write_line(f"{shortfall.num_begun:,} unfinished {told} might have become such a line")


def tell_short(shortfall: Shortfall, job: Job) -> None:
    """Report on stderr if lines are lacking, or a stop did not come or came too early, with the reason and advice."""
    ends_by_pattern = job.sampler.match is not None and (job.takes_no_line or not job.writes_line_feeds)
    if shortfall.num_unstopped and not ends_by_pattern:
        write_line(_told_of_unstopped(shortfall, job))
    if shortfall.num_short:
        assert job.rules.lines is not None, "else none is lacking"
        wanted = number_of(job.rules.lines, "line")
        told = f"{shortfall.lines:,} of {wanted}"
        if job.num_samples > 1:
            told = f"{shortfall.num_short:,} of {job.num_samples:,} texts have fewer than {wanted}"
        write_line(f"{told}: {_why_short(shortfall, job)}")
    elif shortfall.num_known:
        write_line(f"{_told_of_known(shortfall, job)}{_why_known(shortfall, job)}")
    if shortfall.num_empty:
        write_line(f"{_told_of_empty(shortfall, job)}: {_why_empty(shortfall, job)}")


def _told_of_unstopped(shortfall: Shortfall, job: Job) -> str:
    told = f"--length {job.length} was reached"
    if job.num_samples > 1:
        told = f"{shortfall.num_unstopped:,} of {job.num_samples:,} texts reached --length {job.length}"
    return f"{told} before --stop; give a larger --length"


def _why_short(shortfall: Shortfall, job: Job) -> str:
    """Why lines are lacking, and what to do; causes that a longer text cannot help come first."""
    if not job.writes_line_feeds:
        is_taken = "\n" in job.form.encoder
        reason = "--allow or --forbid leaves no line feed" if is_taken else "the model writes no line feed"
        if shortfall.left_out:
            return f"the only line is a known one, and {reason} to begin another; give another --seed"
        return rf"{reason}; allow \n too" if is_taken else reason
    if shortfall.num_known == shortfall.num_short:
        return _why_known(shortfall, job)
    what = f"{_length(shortfall, job)} was reached"
    if shortfall.num_without_room == shortfall.num_short:
        if job.takes_no_line:
            return "no other line fits --match with the characters that are allowed"
        what = f"--length {job.length} has no room for another that fits --match"
    other = ""
    if shortfall.left_out:
        other = ", or a higher --temperature"
    elif job.num_samples == 1 and job.sampler.options.final_temperature is None:  # it may be endless
        other = ", or -1"
    match = job.sampler.match
    bound = ", or bound what lines may be, as .{0,60} does for .*" if match is not None and match.is_endless else ""
    over = ", over which --temperature runs then" if job.sampler.over_lines is not None else ""
    return f"{what}; give a larger --length{over}{other}{bound}"


def _told_of_known(shortfall: Shortfall, job: Job) -> str:
    """Which texts are shorter than was asked for; "" for an endless text."""
    if job.length is None:
        return ""
    which = f"{shortfall.num_known:,} of {job.num_samples:,} texts are" if job.num_samples > 1 else "the text is"
    return f"{which} shorter than --length {job.length}: "


def _why_known(shortfall: Shortfall, job: Job) -> str:
    """Why nearly all that was drawn was left out, and what to do."""
    if job.sampler.match is not None:
        lines = "others" if shortfall.lines else "lines"
        why = [f"are in {_files(job)}"] if job.known_in else []
        if job.rules.unique:
            why.append("were written before")
        if job.sampler.match.fits(""):
            why.append("are empty")
        return f"all {lines} drawn that fit --match {either(why)}; widen the pattern, or {HOTTER}"
    kinds = listed("" if job.rules.known_lines is None else "known lines", "repeats" if job.rules.unique else "")
    told = f"{kinds}, or empty ones; {HOTTER}"
    if job.length is None:
        return f"{MOST_IN_VAIN:,} characters in a row were {told}"
    return f"ten times --length {job.length} was drawn, nearly all of it {told}"


def _told_of_empty(shortfall: Shortfall, job: Job) -> str:
    told = "the text is"
    if job.num_samples > 1:
        told = f"{shortfall.num_empty:,} of {job.num_samples:,} texts {'is' if shortfall.num_empty == 1 else 'are'}"
    return f"{told} empty{' behind the prompt' if job.prompt else ''}"


def _why_empty(shortfall: Shortfall, job: Job) -> str:
    """Why the empty texts hold nothing before their stop."""
    why = []
    if shortfall.num_emptied < shortfall.num_empty:
        match = job.sampler.match
        is_cut = match is not None and (job.rules.keep_stop or not match.fits(""))
        why.append("in the first line, and what was left of that does not fit --match" if is_cut else "first")
    if shortfall.num_emptied:
        given = (("--novel", job.known_in), ("--unique", job.rules.unique))
        flags = " or ".join(flag for flag, is_given in given if is_given)
        why.append(f"behind nothing but lines that {flags} leaves out, or that begin so")
    return f"--stop came {', or '.join(why)}"


def _files(job: Job) -> str:
    """The names of the files that hold the known lines."""
    return " or ".join(one_line(name_of(source)) for source in job.known_in)


def _length(shortfall: Shortfall, job: Job) -> str:
    """The length that was reached, in words."""
    drawn = ", or ten times as many characters drawn," if shortfall.left_out else ""
    return f"--length {job.length}{drawn}"
