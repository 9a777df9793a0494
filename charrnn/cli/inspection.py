"""`charrnn inspect`: its flags, and what they ask for."""

import math
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.cli.common.cores import leave_busy_cores
from charrnn.cli.common.helping import UNSAID
from charrnn.errors import ConfigError
from charrnn.limits import flag_name
from charrnn.standard_input import STDIN, told_of_typing

if TYPE_CHECKING:
    from charrnn.cli.inspector.subject import Subject

VIEWS = ("text_file", "neurons", "cell", "gates", "gradients", "novelty", "embeddings")
"""Flags that ask for something other than the card and the score, beside --text."""

PICTURED = ("text", "text_file", "cell")
"""Those of them that a picture shows."""

PARTS = {
    "score": "How well it knows a text", "text": "Where a text surprises it", "neurons": "What goes on inside",
    "html": "Output",
}  # fmt: skip
"""The first flag of each part of the help, and the part's title."""

EXAMPLES = (
    "charrnn inspect mybook.pt",
    'charrnn inspect mybook.pt --text "To be, or not to be" --top-k 3',
    "tail -f app.log | charrnn inspect app.pt --score - --by line --above 3.5",
    "charrnn inspect lstm.pt tanh.pt --gradients",
)
HINTS: dict[str, str] = {
    "--temperature": "it is a flag of `charrnn sample`",
    **dict.fromkeys(("--model", "--checkpoint"), "a checkpoint is given without a flag"),
}
"""By a flag that people try, what to do instead."""


def inspect(
    context: typer.Context,
    checkpoints: Annotated[
        list[str],
        typer.Argument(help="Files that `charrnn train` wrote; - for stdin.", metavar="CHECKPOINT...", **UNSAID),
    ],
    score: Annotated[
        str | None, typer.Option(metavar="FILE", help="Score a text by each checkpoint; - for stdin.", **UNSAID)
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="line", help="Score every line as it comes, as a filter.", **UNSAID)
    ] = None,
    above: Annotated[
        float | None,
        typer.Option(help="Only lines that take more bits per character than this. [default: all]", **UNSAID),
    ] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Also let the model learn while it is scored.")] = False,
    unknown: Annotated[
        str, typer.Option(help="What to do with characters that it never saw: count, skip, nearest or error.")
    ] = "count",
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of a text that is read. [default: that of the model's text]", **UNSAID)
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Show where this text surprises the model, or what its cells do on it.", **UNSAID)
    ] = None,
    text_file: Annotated[
        str | None, typer.Option(metavar="FILE", help="The same for a file; - for stdin.", **UNSAID)
    ] = None,
    top_k: Annotated[int, typer.Option(help="Under each character the K likeliest ones in its place.")] = 0,
    neurons: Annotated[bool, typer.Option("--neurons", help="Find cells and gates that stand for something.")] = False,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER:UNIT",
            help="Colour the text by a cell (of an LSTM by its tanh), or by LAYER:UNIT:h, its output, or :i, :f, :o, "
            "its gates (of a GRU :r, :z); may be given again.",
            **UNSAID,
        ),
    ] = None,
    gates: Annotated[bool, typer.Option("--gates", help="Show how open and how shut the gates are.")] = False,
    gradients: Annotated[bool, typer.Option("--gradients", help="Measure how far back gradients reach.")] = False,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Show which characters are expected in the same places.")
    ] = False,
    novelty: Annotated[
        str | None,
        typer.Option(metavar="FILE|N", help="Find what a sample of up to 20,000 characters copies.", **UNSAID),
    ] = None,
    member: Annotated[
        int | None,
        typer.Option(metavar="K", help="Look at one member of an ensemble, counted from 0, alone.", **UNSAID),
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The text that it learned from. [default: where it was, here, or beside the checkpoint]",
            **UNSAID,
        ),
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write all that is asked for as one web page.", **UNSAID)
    ] = None,
    svg: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the coloured text as an SVG picture.", **UNSAID)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the weights as .safetensors, or as .pt without the state of training.", **UNSAID
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of it, check every checksum, and say what was checked.")
    ] = False,
) -> None:
    """Look into a checkpoint, or score a text by it.

    Losses are in nats per character; perplexity is exp(loss), bits per character is loss / ln 2.
    """
    flags = dict(context.params)
    leave_busy_cores()  # before anything imports numpy
    _check(flags)
    # Imported here: --help must not wait for numpy.
    from charrnn.cli.inspector.subject import read_subjects
    from charrnn.display.plain import write_line

    if told := told_of_typing(_inputs(flags)):
        write_line(sys.stderr, told)
    if verify:
        _verify(checkpoints, as_json)
        return
    subjects = read_subjects(checkpoints, corpus, member, encoding)
    _check_subjects(subjects, flags)
    if by is not None and score is not None:
        from charrnn.cli.inspector.filtering import filter_lines

        filter_lines(subjects, score, rule=unknown, above=above, as_json=as_json)
    elif score is not None:
        from charrnn.cli.inspector.scoring import show_score

        show_score(subjects, score, rule=unknown, dynamic=dynamic, as_json=as_json)
    elif export is not None:
        from charrnn.cli.inspector.exporting import export as write_weights

        write_weights(subjects[0], export)
    elif svg is not None:
        from charrnn.cli.inspector.gallery import write_picture

        write_picture(subjects[0], svg, flags)
    elif html is not None:
        from charrnn.cli.inspector.webpage import write_report

        write_report(subjects[0], html, flags)
    elif _views(flags):
        from charrnn.cli.inspector.gallery import show_views

        show_views(subjects, flags)
    else:
        _show_cards(subjects, as_json)


def _check(flags: Mapping[str, Any]) -> None:
    """Refuse, before anything is read, flags that cannot be followed.

    Raises:
        ConfigError: one is out of its range, or two contradict each other.
    """
    from charrnn.text.unknowns import check_rule

    check_rule(flags["unknown"])
    for name in ("top_k", "member"):
        if flags[name] is not None and flags[name] < 0:
            raise ConfigError(f"{flag_name(name)} is {flags[name]}; it must be at least 0")
    for name in ("by", "dynamic"):
        if flags[name] and flags["score"] is None:
            raise ConfigError(f"--{name} is a way of scoring; give --score FILE, or --score - for standard input")
    if flags["by"] not in (None, "line"):
        raise ConfigError(f"--by is {flags['by']!r}; it must be line")
    if flags["above"] is not None and math.isnan(flags["above"]):
        raise ConfigError("--above is not a number; give bits per character, such as 3.5")
    if flags["above"] is not None and flags["by"] is None:
        raise ConfigError("--above chooses lines; give --by line too")
    if flags["dynamic"] and flags["by"]:
        raise ConfigError("--dynamic reads one text from end to end, and --by line every line by itself; give one")
    if flags["text"] is not None and flags["text_file"] is not None:
        raise ConfigError("--text and --text-file both give a text; give one of them")
    for name in ("verify", "score", "export"):
        if flags[name] not in (None, False) and (seen := _views(flags) + _outputs(flags, beside=name)):
            raise ConfigError(f"--{name} stands alone; leave {flag_name(seen[0])} out")
    for name in ("html", "svg", "export"):
        if flags[name] is not None and len(flags["checkpoints"]) > 1:
            raise ConfigError(f"--{name} writes a file of one checkpoint; give one")
    for name in ("export", "svg", "html"):
        if flags[name] is not None and flags["as_json"]:
            raise ConfigError(f"--{name} writes a file; leave --json out")
    if flags["svg"] is not None and flags["html"] is not None:
        raise ConfigError("--svg and --html both write a file; give one of them")
    if flags["svg"] is not None and (others := [name for name in _views(flags) if name not in PICTURED]):
        raise ConfigError(f"--svg draws a text, coloured by its surprise or by a --cell; leave --{others[0]} out")
    if flags["export"] is not None:
        from charrnn.cli.inspector.exporting import check_export

        check_export(flags["export"])
    _check_reading(flags)
    if _inputs(flags).count(STDIN) > 1:
        raise ConfigError("standard input can be one thing only; give files for the others")
    for name in ("score", "verify", "export"):
        if flags[name] not in (None, False) and flags["corpus"] is not None:
            raise ConfigError(f"--{name} does not read the text that the model learned from; leave --corpus out")
    if flags["member"] is not None and flags["verify"]:
        raise ConfigError("--verify reads all of a checkpoint; leave --member out")
    for name in ("novelty", "corpus"):
        if flags[name] == STDIN and len(flags["checkpoints"]) > 1:
            raise ConfigError(f"--{name} is read for every checkpoint, and standard input only once; give a file")


def _inputs(flags: Mapping[str, Any]) -> list[str | None]:
    """All that is read, each a path or "-"."""
    return [*flags["checkpoints"], *(flags[name] for name in ("score", "text_file", "novelty", "corpus"))]


def _check_reading(flags: Mapping[str, Any]) -> None:
    """Refuse flags about a text that is read where none is.

    Raises:
        ConfigError: there is such a one.
    """
    from charrnn.cli.common.shared import is_number
    from charrnn.cli.inspector.watching import ON_A_TEXT

    is_read = flags["text"] is not None or flags["text_file"] is not None
    if flags["unknown"] != "count" and not is_read and flags["score"] is None:
        raise ConfigError("--unknown is about a text that you give; give --score FILE, --text or --text-file")
    is_file_read = any(flags[name] is not None for name in ("score", "text_file"))
    is_file_read |= flags["novelty"] is not None and not is_number(flags["novelty"])
    if flags["encoding"] is not None and not is_file_read:
        raise ConfigError("--encoding is about a file that is read; give --score, --text-file or --novelty FILE")
    if flags["top_k"] and flags["html"] is None and (not is_read or any(flags[name] for name in ON_A_TEXT)):
        raise ConfigError("--top-k goes with a text that is coloured by surprise; give --text or --text-file alone")


def _check_subjects(subjects: "list[Subject]", flags: Mapping[str, Any]) -> None:
    """Refuse, before anything is shown, what one of the checkpoints cannot answer.

    Raises:
        CharRNNError: there is such a one.
    """
    if flags["gates"]:
        from charrnn.cli.inspector.views import require_gates

        require_gates(subjects)
    for subject in subjects:
        for name in ("gradients", "dynamic"):
            if flags[name]:
                subject.require_stream(f"--{name}")
        for cell in flags["cell"] or ():
            from charrnn.cli.inspector.views import parse_unit

            parse_unit(cell, subject)


def _views(flags: Mapping[str, Any]) -> list[str]:
    """The views that the flags ask for, by name."""
    return [name for name in ("text", *VIEWS) if flags[name] or flags[name] == ""]


def _outputs(flags: Mapping[str, Any], beside: str) -> list[str]:
    """What else the flags ask for that stands alone."""
    return [name for name in ("score", "export", "svg", "html") if name != beside and flags[name] is not None]


def _verify(checkpoints: list[str], as_json: bool) -> None:
    """Check all of each checkpoint; of several, tell which it is."""
    from charrnn.cli.common.tables import print_table
    from charrnn.display.json_line import to_json
    from charrnn.escape import quoted
    from charrnn.storage.verification import verify_checkpoint

    if as_json:
        checked = [{"checkpoint": path, **dict(verify_checkpoint(path))} for path in checkpoints]
        print(to_json(checked if len(checked) > 1 else checked[0]))
        return
    for path in checkpoints:
        rows = verify_checkpoint(path)
        print_table([("checkpoint", quoted(path)), *rows] if len(checkpoints) > 1 else rows)


def _show_cards(subjects: "list[Subject]", as_json: bool) -> None:
    from charrnn.cli.inspector.cards import describe_each, show_card, show_comparison
    from charrnn.display.json_line import to_json

    if as_json:
        found = zip(subjects, describe_each(subjects), strict=True)
        cards = [{"checkpoint": subject.path, **card} for subject, card in found]
        print(to_json(cards[0] if len(cards) == 1 else cards))
    elif len(subjects) == 1:
        show_card(subjects[0])
    else:
        show_comparison(subjects)
