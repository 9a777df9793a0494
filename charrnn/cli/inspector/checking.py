"""Refuses invalid flags of `charrnn inspect`: before anything is read or, if they depend on the model, is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charrnn.cli.inspector.flags import MAX_JUDGED, UNKNOWN_RULES, InspectFlags, is_number
from charrnn.errors import ConfigError
from charrnn.limits import Range, check_choice, check_range, flag_name
from charrnn.paths import STDIN

if TYPE_CHECKING:
    from charrnn.cli.inspector.subject import Subject


def check_flags(flags: InspectFlags) -> None:
    """Refuse invalid flags, before any checkpoint is read.

    Raises:
        ConfigError: a value is out of its range, or two flags contradict each other.
    """
    _check_values(flags)
    _check_scoring(flags)
    _check_outputs(flags)
    _check_reading(flags)
    _check_inputs(flags)


def check_subjects(subjects: Sequence[Subject], flags: InspectFlags) -> None:
    """Refuse flags that one of the checkpoints does not support, before anything is shown.

    Raises:
        CharRNNError: there is such a flag.
    """
    if flags.gates or flags.cell:
        from charrnn.cli.inspector.unit_views import parse_unit, require_gates

        if flags.gates:
            require_gates(subjects)
        for subject in subjects:
            for cell in flags.cell:
                parse_unit(cell, subject)
    if flags.novelty is not None and not is_number(flags.novelty):
        from charrnn.text.sources import require_texts
        from charrnn.text.unreadable import require_file

        require_file(flags.novelty)
        require_texts([flags.novelty])
    for subject in subjects:
        for name in flags.asked_for("gradients", "dynamic"):
            subject.require_stream(f"--{name}")


def _check_values(flags: InspectFlags) -> None:
    check_choice("unknown", flags.unknown, UNKNOWN_RULES)
    check_range("top_k", flags.top_k, Range(0))
    check_range("member", flags.member, Range(0))
    if flags.novelty is not None and is_number(flags.novelty):
        check_range("novelty", int(flags.novelty), Range(1, MAX_JUDGED))


def _check_scoring(flags: InspectFlags) -> None:
    """Refuse options of --score without --score, and invalid or contradictory ones."""
    for name, is_asked in (("by", flags.by), ("dynamic", flags.dynamic)):
        if is_asked and flags.score is None:
            raise ConfigError(f"--{name} is a way of scoring; give --score FILE, or --score - for standard input")
    if flags.by not in (None, "line"):
        raise ConfigError(f"--by is {flags.by!r}; it must be line")
    if flags.above is not None and math.isnan(flags.above):
        raise ConfigError("--above is not a number; give bits per character, such as 3.5")
    if flags.above is not None and flags.by is None:
        raise ConfigError("--above chooses lines; give --by line too")
    if flags.dynamic and flags.by:
        raise ConfigError("--dynamic reads one text from end to end, and --by line every line by itself; give one")


def _check_outputs(flags: InspectFlags) -> None:
    """Refuse combinations with a flag that must stand alone, and outputs that do not support what is asked for."""
    shown = [*(view.name for view in flags.views), *flags.asked_for("score", "export", "svg", "html")]
    for name in flags.asked_for("verify", "score", "export"):
        if others := [other for other in shown if other != name]:
            raise ConfigError(f"--{name} does not go with other output; leave {flag_name(others[0])} out")
    if len(flags.checkpoints) > 1:
        for name in flags.asked_for("svg", "export"):
            raise ConfigError(f"--{name} writes a file of one checkpoint; give one")
        if flags.html is not None and (others := [view.name for view in flags.views if not view.is_compared]):
            raise ConfigError(
                "--html compares losses, --text and --gradients of several checkpoints; give one for "
                f"{flag_name(others[0])}"
            )
    for name in flags.asked_for("export", "svg", "html"):
        if flags.as_json:
            raise ConfigError(f"--{name} writes a file; leave --json out")
    if flags.svg is not None and flags.html is not None:
        raise ConfigError("--svg and --html both write a file; give one of them")
    if flags.svg is not None:
        _check_picture(flags)
    if flags.export is not None:
        from charrnn.cli.inspector.exporting import check_export

        check_export(flags.export, flags.checkpoints[0])


def _check_picture(flags: InspectFlags) -> None:
    """Refuse --svg for views without a coloured text, for no view and for several."""
    if others := [view.name for view in flags.views if not view.is_pictured]:
        raise ConfigError(f"--svg draws a text, coloured by its surprise or by a --cell; leave --{others[0]} out")
    if not flags.views or len(flags.cell) > 1:
        raise ConfigError("--svg draws one text; give --text or --text-file alone, or one --cell")


def _check_reading(flags: InspectFlags) -> None:
    """Refuse two texts at once, and flags about a text where none is read.

    Raises:
        ConfigError: there is such a flag.
    """
    if flags.text is not None and flags.text_file is not None:
        raise ConfigError("--text and --text-file both give a text; give one of them")
    is_read = flags.gives_text
    if flags.unknown != "count" and not is_read and flags.score is None:
        raise ConfigError("--unknown is about a text that you give; give --score FILE, --text or --text-file")
    is_file_read = flags.score is not None or flags.text_file is not None
    is_file_read |= flags.novelty is not None and not is_number(flags.novelty)
    if flags.encoding is not None and not is_file_read:
        raise ConfigError("--encoding is about a file that is read; give --score, --text-file or --novelty FILE")
    if flags.top_k and flags.html is None and (not is_read or flags.recording):
        raise ConfigError("--top-k goes with a text that is coloured by surprise; give --text or --text-file alone")


def _check_inputs(flags: InspectFlags) -> None:
    """Refuse standard input or a pipe where it would be read more than once, and inputs that are not read."""
    if flags.inputs.count(STDIN) > 1:
        raise ConfigError("standard input can be one thing only; give files for the others")
    for name in flags.asked_for("score", "verify", "export"):
        if flags.corpus is not None:
            raise ConfigError(f"--{name} does not read the text that the model learned from; leave --corpus out")
    if flags.member is not None and flags.verify:
        raise ConfigError("--verify reads all of a checkpoint; leave --member out")
    for name, path in (("novelty", flags.novelty), ("corpus", flags.corpus)):
        is_pipe = path is not None and Path(path).is_fifo()
        if (is_pipe or path == STDIN) and len(flags.checkpoints) > 1:
            what = "a pipe" if is_pipe else "standard input"
            raise ConfigError(f"--{name} is read for every checkpoint, and {what} only once; give a file")
