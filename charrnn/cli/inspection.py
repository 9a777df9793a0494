"""The `charrnn inspect` command: its flags, and the dispatch to what they ask for."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from charrnn.cli.common.cores import leave_busy_cores
from charrnn.cli.common.streams import discard_stdout, is_closed_pipe
from charrnn.cli.inspector.checking import check_flags, check_subjects
from charrnn.cli.inspector.flags import UNKNOWN_RULES, InspectFlags, told_of_file, told_of_number
from charrnn.errors import CheckpointError
from charrnn.garbage import paused_gc
from charrnn.paths import expanded, told_of_typing

if TYPE_CHECKING:
    from charrnn.cli.inspector.subject import Subject

PARTS = {
    "score": "How well it knows a text", "text": "Where a text surprises it", "neurons": "What goes on inside",
    "html": "Output",
}  # fmt: skip
"""The first flag of each part of the help, and the part's title."""

HELP = (
    "Look into a checkpoint, or score a text by it.",
    "Losses are in nats per character; perplexity is exp(loss), bits per character is loss / ln 2.",
)
EXAMPLES = (
    "charrnn inspect mybook.pt",
    'charrnn inspect mybook.pt --text "To be, or not to be" --top-k 3',
    "tail -f app.log | charrnn inspect app.pt --score - --by line --above 3.5",
    "charrnn inspect lstm.pt tanh.pt --gradients",
)

WORDS = {"unknown": UNKNOWN_RULES, "by": ("line",)}
"""Values of flags, for shell completion; `checking` refuses any other value."""


def inspect(
    context: typer.Context,
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            help="Files that `charrnn train` wrote; - for stdin.",
            metavar="CHECKPOINT...",
            callback=lambda paths: expanded(paths),  # a lambda: typer fails on the type of `expanded` on 3.10
        ),
    ],
    score: Annotated[
        str | None, typer.Option(metavar="FILE", help="Score a text by each checkpoint; - for stdin.")
    ] = None,
    by: Annotated[str | None, typer.Option(metavar="line", help="Score every line as it comes, as a filter.")] = None,
    above: Annotated[
        float | None, typer.Option(help="Only lines that take more bits per character than this. [default: all]")
    ] = None,
    dynamic: Annotated[bool, typer.Option("--dynamic", help="Also let the model learn while it is scored.")] = False,
    unknown: Annotated[
        str, typer.Option(help="What to do with characters that it never saw: count, skip, nearest or error.")
    ] = "count",
    encoding: Annotated[
        str | None, typer.Option(help="Encoding of a text that is read. [default: that of the model's text]")
    ] = None,
    text: Annotated[
        str | None, typer.Option(help="Show where this text surprises the model, or what its cells do on it.")
    ] = None,
    text_file: Annotated[str | None, typer.Option(metavar="FILE", help="The same for a file; - for stdin.")] = None,
    top_k: Annotated[int, typer.Option(help="Under each character the K likeliest ones in its place.")] = 0,
    neurons: Annotated[bool, typer.Option("--neurons", help="Find cells and gates that stand for something.")] = False,
    cell: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER:UNIT",
            help="Colour the text by a cell (of an LSTM by its tanh, LAYER:UNIT:c too), or by LAYER:UNIT:h, its "
            "output, or :i, :f, :o, its gates (of a GRU :r, :z); may be given again.",
        ),
    ] = None,
    gates: Annotated[bool, typer.Option("--gates", help="Show how open and how shut the gates are.")] = False,
    gradients: Annotated[bool, typer.Option("--gradients", help="Measure how far back gradients reach.")] = False,
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Show which characters are expected in the same places.")
    ] = False,
    novelty: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|N",
            help="How much of a file, or of N sampled characters, stands in the training text; 20,000 at most.",
        ),
    ] = None,
    member: Annotated[
        int | None, typer.Option(metavar="K", help="Look at one member of an ensemble, counted from 0, alone.")
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="The text that it learned from. [default: where it was, here, or near the checkpoint]"
        ),
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write one web page of all, or of the views asked for.")
    ] = None,
    svg: Annotated[str | None, typer.Option(metavar="FILE", help="Write the coloured text as an SVG picture.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    export: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the weights as .safetensors, or as .pt without the state of training."
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of it, check every checksum, and say what was checked.")
    ] = False,
) -> None:
    """Carry out the command; the text of its help is in `HELP`."""
    flags = InspectFlags(**context.params)
    leave_busy_cores()  # before anything imports numpy
    check_flags(flags)
    # Imported here: --help must not wait for numpy.
    with paused_gc():
        from charrnn.cli.inspector.subject import read_subjects
        from charrnn.display.messages import write_line

    for told in filter(None, (told_of_typing(flags.inputs), told_of_number(flags.novelty), told_of_file(flags.text))):
        write_line(told)
    if verify:
        _verify(checkpoints, as_json)
        return
    subjects = read_subjects(checkpoints, corpus, member, encoding)
    check_subjects(subjects, flags)
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

        write_report(subjects, html, flags)
    elif flags.views:
        from charrnn.cli.inspector.gallery import show_views

        show_views(subjects, flags)
    else:
        _show_cards(subjects, as_json)


def _verify(checkpoints: list[str], as_json: bool) -> None:
    """Verify every checkpoint, continuing after a damaged one or without a reader, and print the results.

    Raises:
        Exit: a checkpoint is damaged; the error has been printed.
    """
    from charrnn.cli.inspector.tables import print_json, print_table
    from charrnn.display.messages import write_error
    from charrnn.escape import one_line
    from charrnn.storage.verification import verify_checkpoint

    found: list[dict[str, str]] = []
    for path in checkpoints:
        try:
            rows = verify_checkpoint(path)
        except CheckpointError as error:
            write_error(str(error))
            rows = [("error", str(error))]
        else:
            if not as_json:
                with _ignoring_closed_pipe():
                    print_table([("checkpoint", one_line(path)), *rows] if len(checkpoints) > 1 else rows)
        found.append({"checkpoint": path, **dict(rows)})
    if as_json:
        with _ignoring_closed_pipe():
            print_json(found)
    if any("error" in one for one in found):
        raise typer.Exit(CheckpointError.exit_code)


@contextlib.contextmanager
def _ignoring_closed_pipe() -> Iterator[None]:
    """Flush what is printed here; if the reader of a pipe has closed it, discard this and all further output."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        if not is_closed_pipe(error):
            raise
        discard_stdout()


def _show_cards(subjects: "list[Subject]", as_json: bool) -> None:
    from charrnn.cli.inspector.cards import describe_each, show_card
    from charrnn.cli.inspector.comparison import show_comparison
    from charrnn.cli.inspector.tables import print_json

    if as_json:
        print_json(describe_each(subjects))
    elif len(subjects) == 1:
        show_card(subjects[0])
    else:
        show_comparison(subjects)
