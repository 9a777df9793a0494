"""`charrnn inspect`: what a checkpoint is, how well it does, and what it makes of a text."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from charrnn.errors import CharRNNError, UnknownCharacterError

if TYPE_CHECKING:
    from charrnn.analysis import Score
    from charrnn.archive import Checkpoint


def inspect(
    checkpoint: Annotated[str, typer.Argument(help="A file that `charrnn train` wrote.", show_default=False)],
    score: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Score a text instead: how well the model predicts it; - for stdin.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all of it, check every checksum, and say what was checked.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a checkpoint is and how well it does.

    Losses are in nats per character; perplexity is exp(loss), bits per character is loss / ln 2.
    """
    # Imported here: --help must not wait for numpy.
    from charrnn.archive import read_checkpoint

    if verify:
        from charrnn.verification import verify_checkpoint

        rows = verify_checkpoint(checkpoint)
        print(json.dumps(dict(rows))) if as_json else _print_table(rows)
        return
    contents = read_checkpoint(checkpoint)
    if score is not None:
        _show_score(_score_file(contents, score, checkpoint), score, as_json)
    elif as_json:
        print(json.dumps(describe(contents)))
    else:
        _show_card(contents)


def describe(contents: Checkpoint) -> dict[str, Any]:
    """Everything about a checkpoint as plain values, for JSON."""
    from charrnn.archive import FORMAT_VERSION
    from charrnn.config import count_parameters
    from charrnn.metrics import bits_per_char, finite_or_none, perplexity

    best = contents.best
    return {
        "format_version": FORMAT_VERSION,
        **asdict(contents.model),
        "num_parameters": count_parameters(contents.model),
        "characters": contents.encoder.characters,
        "text": contents.text.to_dict(),
        "best": best
        and {
            "val_loss": best.val_loss,
            "perplexity": finite_or_none(perplexity(best.val_loss)),
            "bits_per_char": bits_per_char(best.val_loss),
            "step": best.step,
            "epoch": best.epoch,
            "cold_loss": contents.training.get("cold_loss"),
        },
        "corpus": asdict(contents.corpus),
        "history": [asdict(row) for row in contents.history],
        "made": contents.made,
        "training": {name: contents.training.get(name) for name in ("step", "seconds", "config")},
    }


def _show_card(contents: Checkpoint) -> None:
    from charrnn.report import card, history_curve

    _print_table(card(contents))
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    curve = history_curve(contents.history, width)
    if curve:
        print("", *curve, sep="\n")


def _print_table(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values on stdout: wrapped and in colour on a terminal, a line each elsewhere."""
    if sys.stdout.isatty():
        from charrnn.console import print_table

        print_table(rows)
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")


def _score_file(contents: Checkpoint, path: str, checkpoint: str) -> Score:
    from charrnn.analysis import score
    from charrnn.cli.models import load_reader
    from charrnn.corpus import read_text
    from charrnn.sources import STDIN

    try:
        opening = "\n" if contents.text.lines else ""  # what a line begins with
        ids = contents.encoder.encode(opening + read_text(path, contents.text))
    except UnknownCharacterError as error:
        name = "standard input" if path == STDIN else path
        raise CharRNNError(
            f"{name} has {error.describe()}, which this model never saw "
            f"({error.vocab_size} characters; see `charrnn inspect {checkpoint}`)"
        ) from None
    return score(load_reader(contents), ids)


def _show_score(result: Score, name: str, as_json: bool) -> None:
    from charrnn.metrics import bits_per_char, finite_or_none, perplexity

    values = {
        "text": name,
        "characters": result.characters,
        "loss": result.loss,
        "perplexity": perplexity(result.loss),
        "bits_per_char": bits_per_char(result.loss),
        "accuracy": result.accuracy,
    }
    if as_json:
        print(json.dumps({**values, "perplexity": finite_or_none(perplexity(result.loss))}))
        return
    from charrnn.escape import quoted

    _print_table(
        [
            ("text", quoted(name)),
            ("characters", f"{result.characters:,} predicted"),
            ("loss", f"{result.loss:.4f} nats per character"),
            ("perplexity", f"{values['perplexity']:.3f}"),
            ("bits per character", f"{values['bits_per_char']:.4f}"),
            ("accuracy", f"{result.accuracy:.1%} of first guesses are right"),
        ]
    )
