"""What is said on stderr, before anything is written, of what is asked for in vain and of models that are not alike."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from unicodedata import category

from charrnn.cli.common.terminal import shows_colour
from charrnn.cli.sampler.flags import SampleFlags
from charrnn.cli.sampler.forms import Form
from charrnn.display.outlet import write_warning
from charrnn.escape import as_typed, describe_characters
from charrnn.loading import Other
from charrnn.storage.archive import Checkpoint
from charrnn.text.encoder import CharEncoder
from charrnn.text.likeness import other_forms
from charrnn.wording import number_of

if TYPE_CHECKING:
    from charrnn.generation.matching import LineMatch


FILE = "FILE:"
"""What nanoGPT takes a file's name behind for the prompt that is in the file."""


def warn_of_no_colour(flags: SampleFlags) -> None:
    """Say on stderr where --surprisal has nothing to colour with."""
    if flags.surprisal and not shows_colour():
        why = "NO_COLOR is set" if os.environ.get("NO_COLOR") else "this terminal has none"
        write_warning(f"--surprisal is by colour, and {why}; --json --logprobs tells the same")


def warn_of_file_in_prompt(flags: SampleFlags) -> None:
    """Say on stderr where a prompt names a file as nanoGPT's do, and is none here but itself."""
    name = flags.prompt.removeprefix(FILE)
    if name != flags.prompt and os.path.isfile(name):
        write_warning(f"the prompt is {flags.prompt!r}; --prompt-file {as_typed(name)} takes what is in the file")


def warn_of_other_forms(others: Iterable[Other], first: Checkpoint) -> None:
    """Say on stderr where a model that is mixed in ends its lines otherwise than the first, or has another form."""
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


def warn_of_stops(flags: SampleFlags, form: Form, match: LineMatch | None) -> None:
    """Say on stderr which texts can end nothing: the model, or a pattern for its lines, or their number, has none."""
    for typed in flags.stop:
        if why := _why_never(typed, flags, form, match):
            write_warning(f"--stop {form.of(typed)!r} can end no text: {why}")


def warn_of_records(flags: SampleFlags, form: Form) -> None:
    """Say on stderr that known lines are left out one by one, where texts of several lines are what is wanted."""
    if flags.novel and any("\n\n" in form.of(typed).replace("\r", "") for typed in flags.stop):
        write_warning(
            "--novel leaves out each line that stands in its file, not whole texts: of one that --stop ends, such as a "
            "tune or a recipe, the lines that it shares with others are missing"
        )


def _why_never(typed: str, flags: SampleFlags, form: Form, match: LineMatch | None) -> str:
    """Why a stop never comes; nothing where it may."""
    stop = form.of(typed)
    if never := "".join(dict.fromkeys(c for c in stop if not form.writes(c))):
        return f"the model never writes {describe_characters(never)}"
    if match is not None and not any(form.may_come(each, match) for each in form.stops_of(typed)):
        is_blank = "\n\n" in stop.replace("\r", "") and not match.fits("")
        empty = "; with a | at its end the pattern fits empty lines too" if is_blank else ""
        return f"no lines that fit --match hold it{empty}"
    lines = None if flags.novel or flags.unique else flags.wanted_lines  # beside which others may come
    if lines is not None and stop[:-1].count("\n") >= lines:
        return f"it takes more than {number_of(lines, 'line')}; give more --lines, or --length instead"
    return ""


def warn_of_form(pattern: str, encoder: CharEncoder) -> None:
    """Say on stderr which letters in classes of a pattern, in the form of the text as it is, are several characters."""
    from charrnn.cli.sampler.pattern_form import not_in_form  # here: most samples start without

    if forms := not_in_form(pattern, encoder):
        written = next(iter(forms.values())).encode("ascii", "backslashreplace").decode()
        write_warning(
            f"--match has {describe_characters(''.join(forms))} in a class with ^ or \\w or its like, and the model "
            f"writes several characters for that; name what is meant without these, or as ({written}|a)"
        )


def warn_of_case(match: LineMatch, form: Form) -> None:
    """Say on stderr where a pattern has capitals, and the model's text was brought to lowercase."""
    from charrnn.generation.patterns import shown  # here: most samples start without

    if form.text_options.lowercase:
        for source in match.automaton.pattern.in_other_case(form.encoder.characters)[:1]:
            write_warning(
                f"--match has {shown(source)}, and the model's text is in lowercase; write small letters, or (?i) "
                "before the pattern"
            )


def warn_of_lacking(flags: SampleFlags, form: Form) -> None:
    """Say on stderr which characters are allowed or forbidden in vain.

    The model lacks them, or writes them as several, none of which is forbidden with them, or ranges seem meant.
    """
    for name, given in (("allow", flags.allow), ("forbid", flags.forbid)):
        typed = [form.characters_of([text], is_allowed=name == "allow") for text in given]
        lacking = "".join(dict.fromkeys(c for c in "".join(typed) if c not in form.encoder))
        apart = {c: known for c in lacking for known in other_forms(c, form.encoder).values()}
        for character, known in apart.items():
            write_warning(f"--{name} has {_in_both_forms(character, known)}; {name} one of these")
        lacking = "".join(c for c in lacking if c not in apart)
        range_ = _range_in("\n".join(typed), form.encoder)
        told = f"{range_!r}, which is no range here"
        if lacking:
            told = f"{describe_characters(lacking)}, which the model never writes"
        help_ = "; a range of characters is one in a pattern: --match '[a-z]*'" if range_ else ""
        if lacking or range_:
            write_warning(f"--{name} has {told}{help_}")


def _in_both_forms(typed: str, known: str) -> str:
    return f"{describe_characters(typed)}, which the model writes as {describe_characters(known)}"


def _range_in(typed: str, encoder: CharEncoder) -> str:
    """The first part of what is typed that seems to be a range; empty if none has between its ends what it lacks."""
    for first, last in re.findall(r"(\w)-(\w)", typed):
        between = map(chr, range(ord(first) + 1, ord(last)))
        if category(first) == category(last) and any(c in encoder and c not in typed for c in between):
            return f"{first}-{last}"
    return ""


def _form_of(contents: Checkpoint) -> str:
    """The form that a model's text was brought to, in words."""
    own = contents.text_options
    case = "in lowercase" if own.lowercase else "in its original case"
    return case if own.normalize == "none" else f"{case} and normalized by {own.normalize}"


def _line_end_of(contents: Checkpoint) -> str:
    """What a model's lines end by, in words; nothing where it knows no line feed."""
    if "\n" not in contents.encoder:
        return ""
    return "CR LF" if contents.has_cr_lf else "LF"
