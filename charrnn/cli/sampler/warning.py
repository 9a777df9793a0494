"""Warnings on stderr, before anything is written, about flags without effect and models whose texts differ in form."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING
from unicodedata import category

from charrnn.cli.common.terminal import shows_colour
from charrnn.cli.sampler.flags import SampleFlags
from charrnn.cli.sampler.forms import InputForm
from charrnn.display.messages import write_warning
from charrnn.escape import describe_characters, shell_quoted
from charrnn.loading import Other
from charrnn.storage.archive import Checkpoint
from charrnn.text.encoder import CharEncoder
from charrnn.text.likeness import other_forms
from charrnn.wording import number_of

if TYPE_CHECKING:
    from charrnn.generation.matching import LineMatch


FILE = "FILE:"
"""The prefix by which nanoGPT recognises a prompt that names a file."""


def warn_of_inputs(flags: SampleFlags, contents: Checkpoint, others: Iterable[Other]) -> None:
    """Warn about models whose texts differ in form, about colours, and about a prompt that names a file."""
    _warn_of_other_forms(others, contents)
    _warn_of_no_colour(flags)
    _warn_of_file_in_prompt(flags)


def warn_of_ends(flags: SampleFlags, form: InputForm, match: LineMatch | None) -> None:
    """Warn about stops that can never come, and about --novel where one ends texts of several lines."""
    _warn_of_stops(flags, form, match)
    _warn_of_records(flags, form)


def warn_of_form(pattern: str, encoder: CharEncoder) -> None:
    """Warn about letters in a pattern's negated and similar classes that the model writes as several characters."""
    from charrnn.cli.sampler.pattern_form import not_in_form  # here: most samples start without

    if forms := not_in_form(pattern, encoder):
        written = next(iter(forms.values())).encode("ascii", "backslashreplace").decode()
        write_warning(
            f"--match has {describe_characters(''.join(forms))} in a class with ^ or \\w or its like, and the model "
            f"writes several characters for that; name what is meant without these, or as ({written}|a)"
        )


def warn_of_case(match: LineMatch, form: InputForm) -> None:
    """Warn if a pattern has capitals and the model's text is lowercase."""
    from charrnn.generation.patterns import shown  # here: most samples start without

    if form.text_options.lowercase:
        for source in match.automaton.pattern.in_other_case(form.encoder.characters)[:1]:
            write_warning(
                f"--match has {shown(source)}, and the model's text is in lowercase; write small letters, or (?i) "
                "before the pattern"
            )


def warn_of_lacking(flags: SampleFlags, form: InputForm) -> None:
    """Warn about characters that --allow or --forbid names without effect.

    The model lacks them, or writes them as several characters, or they seem to be meant as a range.
    """
    for name, given in (("allow", flags.allow), ("forbid", flags.forbid)):
        _warn_of_idle(name, [form.characters_of([text], is_allowed=name == "allow") for text in given], form.encoder)


def _warn_of_idle(name: str, typed: Sequence[str], encoder: CharEncoder) -> None:
    """Warn about characters typed for a flag, "allow" or "forbid", that have no effect."""
    lacking = dict.fromkeys(c for c in "".join(typed) if c not in encoder)
    apart = {c: known for c in lacking for known in other_forms(c, encoder).values()}
    for character, known in apart.items():
        write_warning(f"--{name} has {_in_both_forms(character, known)}; {name} one of these")
    never_written = "".join(c for c in lacking if c not in apart)
    range_ = _range_in("\n".join(typed), encoder)
    advice = "; a range of characters is one in a pattern: --match '[a-z]*'" if range_ else ""
    if never_written:
        write_warning(f"--{name} has {describe_characters(never_written)}, which the model never writes{advice}")
    elif range_:
        write_warning(f"--{name} has {range_!r}, which is no range here{advice}")


def _warn_of_no_colour(flags: SampleFlags) -> None:
    """Warn if --surprisal has no colours."""
    if flags.surprisal and not shows_colour():
        why = "NO_COLOR is set" if os.environ.get("NO_COLOR") else "this terminal has none"
        write_warning(f"--surprisal is by colour, and {why}; --json --logprobs tells the same")


def _warn_of_file_in_prompt(flags: SampleFlags) -> None:
    """Warn if a prompt names a file in nanoGPT's way, which has no meaning here."""
    name = flags.prompt.removeprefix(FILE)
    if name != flags.prompt and os.path.isfile(name):
        write_warning(f"the prompt is {flags.prompt!r}; --prompt-file {shell_quoted(name)} takes what is in the file")


def _warn_of_other_forms(others: Iterable[Other], first: Checkpoint) -> None:
    """Warn if the text of a model that is mixed in differs from the first's in line ends, case or normalisation."""
    for other in others:
        own, of_first = (_form_of(contents) for contents in (other.contents, first))
        if own != of_first:
            write_warning(
                f"the text of --mix {other.path} is {own}, that of the first model {of_first}; what you type is "
                "treated like the first model's"
            )
        own, of_first = (_line_end_of(contents) for contents in (other.contents, first))
        if own and of_first and own != of_first:
            write_warning(
                f"--mix {other.path} ends its lines by {own}, and the first model by {of_first}; the text may have both"
            )


def _warn_of_stops(flags: SampleFlags, form: InputForm, match: LineMatch | None) -> None:
    """Warn about stops that can never come: because of the model, the pattern, or the number of lines."""
    for typed in flags.stop:
        if why := _why_never(typed, flags, form, match):
            write_warning(f"--stop {form.of(typed)!r} can end no text: {why}")


def _warn_of_records(flags: SampleFlags, form: InputForm) -> None:
    """Warn that --novel leaves out single lines, if --stop shows that texts of several lines are wanted."""
    if flags.novel and any("\n\n" in form.of(typed).replace("\r", "") for typed in flags.stop):
        write_warning(
            "--novel leaves out each line that stands in its file, not whole texts: of one that --stop ends, such as a "
            "tune or a recipe, the lines that it shares with others are missing"
        )


def _why_never(typed: str, flags: SampleFlags, form: InputForm, match: LineMatch | None) -> str:
    """Why a stop can never come; "" if it may."""
    stop = form.of(typed)
    if never := "".join(dict.fromkeys(c for c in stop if not form.writes(c))):
        return f"the model never writes {describe_characters(never)}"
    if match is not None and not any(form.may_come(each, match) for each in form.stops_of(typed)):
        is_blank = "\n\n" in stop.replace("\r", "") and not match.fits("")
        empty = "; with a | at its end the pattern fits empty lines too" if is_blank else ""
        return f"no lines that fit --match hold it{empty}"
    lines = None if flags.novel or flags.unique else flags.wanted_lines  # lines left out may hold the stop too
    if lines is not None and stop[:-1].count("\n") >= lines:
        return f"it takes more than {number_of(lines, 'line')}; give more --lines, or --length instead"
    return ""


def _in_both_forms(typed: str, known: str) -> str:
    return f"{describe_characters(typed)}, which the model writes as {describe_characters(known)}"


def _range_in(typed: str, encoder: CharEncoder) -> str:
    """The first range, such as a-z, that seems to be typed: characters not typed lie between its ends. Else ""."""
    for first, last in re.findall(r"(\w)-(\w)", typed):
        between = map(chr, range(ord(first) + 1, ord(last)))
        if category(first) == category(last) and any(c in encoder and c not in typed for c in between):
            return f"{first}-{last}"
    return ""


def _form_of(contents: Checkpoint) -> str:
    """The case and normalisation of a model's text, in words."""
    own = contents.text_options
    case = "in lowercase" if own.lowercase else "in its original case"
    return case if own.normalize == "none" else f"{case} and normalized by {own.normalize}"


def _line_end_of(contents: Checkpoint) -> str:
    """A model's line end, in words; "" if it knows no line feed."""
    if "\n" not in contents.encoder:
        return ""
    return "CR LF" if contents.has_cr_lf else "LF"
