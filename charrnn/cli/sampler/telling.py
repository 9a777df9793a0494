"""What is told of samples once they are written: lines that were left out, and ends that did not come."""

from __future__ import annotations

from dataclasses import dataclass

from charrnn.cli.sampler.job import Job
from charrnn.display.outlet import write_line
from charrnn.escape import quoted
from charrnn.generation.course import MOST_IN_VAIN
from charrnn.generation.endings import Ending
from charrnn.generation.rules import Rules
from charrnn.generation.samples import Sample
from charrnn.paths import name_of
from charrnn.wording import either, number_of

HOTTER = "give a higher --temperature"


@dataclass
class Shortfall:
    """What is to be told of samples once they are written.

    Attributes:
        refused: known lines left out of them.
        repeated: other lines left out of them since they had come before.
        num_begun: unfinished last lines left out of them since they might have become one that is to be left out.
        num_short: how many have fewer lines than were asked for, since their length was over before.
        num_without_room: how many of these had some length left, in which no line could fit a pattern.
        num_known: how many ended since hardly anything came but what is left out.
        lines: whole lines of that which has most, of these and of those that have fewer than were asked for.
        num_unstopped: how many came to their length, of those that a stop was to end before; those that ended since
            hardly anything came but what is left out are none of them.
        num_empty: how many are empty where a stop ended them.
        num_emptied: how many of these since a line was left out, or the beginning of one.
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
        """Lines left out of them, for whatever reason."""
        return self.refused + self.repeated

    def add(self, written: Sample | Ending, rules: Rules) -> None:
        """Count one more, which was to end by these rules."""
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
    """Say on stderr how many lines were left out because they are in files, or had come before, where they may be."""
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
    """Say on stderr where lines are lacking, where no stop has come, or too early a one, why, and what to do."""
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
    """Why lines are lacking, and what to do; what no flag mends is said first."""
    if not job.writes_line_feeds:
        is_taken = "\n" in job.form.encoder
        reason = "--allow or --forbid leaves no line feed" if is_taken else "the model writes no line feed"
        if shortfall.left_out:
            return f"the only line is a known one, and {reason} to begin another; give another --seed"
        return reason + r"; allow \n too" * is_taken
    if shortfall.num_known == shortfall.num_short:
        return _why_known(shortfall, job)
    what = f"{_length(shortfall, job)} was reached"
    if shortfall.num_without_room == shortfall.num_short:
        if job.takes_no_line:
            return "no other line fits --match with the characters that are allowed"
        what = f"--length {job.length} has no room for another that fits --match"
    can_be_endless = job.num_samples == 1 and job.sampler.options.last_temperature is None
    other = ", or a higher --temperature" if shortfall.left_out else ", or -1" if can_be_endless else ""
    match = job.sampler.match
    bound = ", or bound what lines may be, as .{0,60} does for .*" if match is not None and match.is_endless else ""
    over = ", over which --temperature runs then" if job.sampler.over_lines is not None else ""
    return f"{what}; give a larger --length{over}{other}{bound}"


def _told_of_known(shortfall: Shortfall, job: Job) -> str:
    """Which texts are shorter than was asked for; nothing of one without end."""
    if job.length is None:
        return ""
    which = f"{shortfall.num_known:,} of {job.num_samples:,} texts are" if job.num_samples > 1 else "the text is"
    return f"{which} shorter than --length {job.length}: "


def _why_known(shortfall: Shortfall, job: Job) -> str:
    """Why hardly anything came but what is left out, and what to do."""
    if job.sampler.match is not None:
        lines = "others" if shortfall.lines else "lines"
        why = [f"are in {_files(job)}"] * bool(job.known_in) + ["were written before"] * job.rules.unique
        why += ["are empty"] * job.sampler.match.fits("")
        return f"all {lines} drawn that fit --match {either(why)}; widen the pattern, or {HOTTER}"
    kinds = ["known lines"] * (job.rules.known_lines is not None) + ["repeats"] * job.rules.unique
    told = f"{', '.join(kinds)}, or empty ones; {HOTTER}"
    if job.length is None:
        return f"{MOST_IN_VAIN:,} characters in a row were {told}"
    return f"ten times --length {job.length} was drawn, nearly all of it {told}"


def _told_of_empty(shortfall: Shortfall, job: Job) -> str:
    told = "the text is"
    if job.num_samples > 1:
        told = f"{shortfall.num_empty:,} of {job.num_samples:,} texts {'is' if shortfall.num_empty == 1 else 'are'}"
    return f"{told} empty{' behind the prompt' if job.prompt else ''}"


def _why_empty(shortfall: Shortfall, job: Job) -> str:
    """Why nothing was left before a stop, in all texts that are empty."""
    why = []
    if shortfall.num_emptied < shortfall.num_empty:
        match = job.sampler.match
        is_cut = match is not None and (job.rules.keep_stop or not match.fits(""))
        why.append("in the first line, and what was left of that does not fit --match" if is_cut else "first")
    if shortfall.num_emptied:
        flags = " or ".join(["--novel"] * bool(job.known_in) + ["--unique"] * job.rules.unique)
        why.append(f"behind nothing but lines that {flags} leaves out, or that begin so")
    return f"--stop came {', or '.join(why)}"


def _files(job: Job) -> str:
    """The names of the files that hold the known lines."""
    return " or ".join(quoted(name_of(source)) for source in job.known_in)


def _length(shortfall: Shortfall, job: Job) -> str:
    """The length that was reached, in words."""
    drawn = ", or ten times as many characters drawn," if shortfall.left_out else ""
    return f"--length {job.length}{drawn}"
