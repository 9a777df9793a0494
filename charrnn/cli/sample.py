"""The `charrnn sample` command: its flags, and the dispatch to what they ask for."""

import sys
from typing import Annotated

import typer

from charrnn.cli.common.cores import spread_over_cores
from charrnn.cli.sampler.checking import STREAMS_AT_ONCE, check_flags
from charrnn.cli.sampler.flags import UNKNOWN_RULES, SampleFlags
from charrnn.garbage import paused_gc
from charrnn.paths import told_of_typing

FEWEST_TEXTS = 16
"""Number of texts from which on an additional process pays."""

PARTS = {
    "prompt": "The beginning", "length": "How much", "temperature": "How it chooses", "allow": "What it may write",
    "as_json": "Extra output", "device": "The machine",
}  # fmt: skip
"""The first flag of each part of the help, and the part's title."""

HELP = ("Write text in the style of a checkpoint.", "The text goes to stdout as it comes, and nothing else does.")
EXAMPLES = (
    'charrnn sample mybook.pt --prompt "Once" --temperature 0.7 --length 500',
    "charrnn sample names.pt --lines 20 --novel names.txt --unique",
    "charrnn sample verse.pt --length -1 | head -n 50",
    "charrnn sample verse.pt -i -n 40 < beginnings.txt",
)

WORDS = {"unknown": UNKNOWN_RULES, "device": tuple(STREAMS_AT_ONCE)}
"""Values of flags, for shell completion; `checking` refuses any other value."""


def sample(
    context: typer.Context,
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="A file that `charrnn train` wrote, or - for stdin.")
    ],
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="Text to continue, written first; - for stdin.")] = "",
    prompt_file: Annotated[
        str | None, typer.Option("--prompt-file", "-f", help="A file with the text to continue; - for stdin.")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(
            help="Encoding of a prompt from a file or stdin, of what -i reads there, and of --novel. "
            "[default: that of the model's text]"
        ),
    ] = None,
    no_echo: Annotated[bool, typer.Option("--no-echo", help="Leave the prompt out of what is written.")] = False,
    unknown: Annotated[
        str | None,
        typer.Option(
            help="What to do with characters of a prompt that the model lacks: error, skip or nearest. "
            "[default: error, or read them as rare ones; at a terminal with -i nearest, and skip for the rest]"
        ),
    ] = None,
    length: Annotated[
        int | None,
        typer.Option(
            "--length",
            "-n",
            help="Characters after the prompt; -1: without end. [default: 500; more for --lines, --match or --stop]",
        ),
    ] = None,
    lines: Annotated[int | None, typer.Option(help="End after this many whole lines. [default: no limit]")] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            help=r"End before this text; \n, \t, \r, \0 and \\ are escapes; may be given again. [default: none]"
        ),
    ] = None,
    keep_stop: Annotated[
        bool, typer.Option("--keep-stop", help="End with the text of --stop, and not before it.")
    ] = False,
    num_samples: Annotated[int, typer.Option("--num-samples", "-N", help="Texts to write.")] = 1,
    separator: Annotated[
        str | None,
        typer.Option(help=r"What goes between texts; \n, \t, \r, \0 and \\ are escapes. [default: a blank line]"),
    ] = None,
    temperature: Annotated[
        str,
        typer.Option(
            "--temperature", "-t", help="Below 1 safer, above 1 wilder; 0: the likeliest; 0.3..1.2: over the text."
        ),
    ] = "0.8",
    top_k: Annotated[
        int | None, typer.Option(help="Choose among the K likeliest characters only; 0: all. [default: all]")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Choose among the fewest that together have this probability. [default: all]")
    ] = None,
    min_p: Annotated[
        float | None,
        typer.Option(help="Choose among those with this share of the best one's probability. [default: all]"),
    ] = None,
    recall_all: Annotated[
        bool,
        typer.Option(
            "--recall-all", help="Recall long pieces of its own words too, which may lead it round in circles."
        ),
    ] = False,
    mix: Annotated[
        list[str] | None, typer.Option(help="OTHER.pt:SHARE: let another model have a share; may be given again.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Same seed, same text. [default: a fresh one, printed on stderr]")
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(help=r"Write with these characters only; \n is a line end; may be given again. [default: all]"),
    ] = None,
    forbid: Annotated[
        list[str] | None,
        typer.Option(help=r"Write without these characters; \n is a line end; may be given again. [default: none]"),
    ] = None,
    match: Annotated[
        str | None, typer.Option(help="Write only lines that fit this regular expression. [default: any]")
    ] = None,
    novel: Annotated[
        list[str] | None,
        typer.Option(help="Leave out lines that are in this file; may be given again. [default: none]"),
    ] = None,
    unique: Annotated[bool, typer.Option("--unique", help="Leave out lines that the text has already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON for each text.")] = False,
    logprobs: Annotated[
        bool, typer.Option("--logprobs", help="In the JSON, each character's log-probability.")
    ] = False,
    surprisal: Annotated[
        bool, typer.Option("--surprisal", help="Colour each character by how surprising it was, on a terminal.")
    ] = False,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive",
            "-i",
            help="Type a beginning, read how it goes on, type another (or -i < FILE, one a line); --prompt goes before "
            "each, or before a --story; Ctrl-D leaves.",
        ),
    ] = False,
    story: Annotated[
        bool,
        typer.Option("--story", help="With -i: what you type continues the whole text so far; Enter alone goes on."),
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, or cuda for thousands of texts at once.")] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but warnings and errors.")] = False,
) -> None:
    """Carry out the command; the text of its help is in `HELP`."""
    flags = SampleFlags(**context.params)
    wanted = flags.num_samples // FEWEST_TEXTS if flags.device == "cpu" else 1
    processes = spread_over_cores(wanted)  # before numpy is imported
    check_flags(flags)
    # Imported here: --help must not wait for numpy.
    with paused_gc():
        import secrets

        from charrnn.cli.common.terminal import shows_colour
        from charrnn.cli.sampler.preparing import prepare_job
        from charrnn.cli.sampler.telling import tell_left_out, tell_short
        from charrnn.cli.sampler.writing import write_json, write_many, write_one
        from charrnn.display.messages import write_line

    if not flags.quiet and (told := told_of_typing(flags.inputs)):
        write_line(told)
    seed = secrets.randbits(32) if flags.seed is None else flags.seed
    job = prepare_job(flags, seed=seed, processes=processes)
    if not flags.quiet:
        write_line(f"seed {seed}")
    out = sys.stdout.buffer
    if flags.interactive:
        from charrnn.cli.sampler.interactive import converse

        if not converse(job, flags) and not sys.stdin.isatty():
            raise typer.Exit(1)  # a calling program cannot see which text is missing
        return
    if flags.as_json:
        shortfall = write_json(out, job, with_log_probabilities=flags.logprobs)
    elif flags.num_samples == 1:
        shortfall = write_one(out, job, coloured=flags.surprisal and shows_colour())
    else:
        shortfall = write_many(out, job)
    if not flags.quiet:
        tell_left_out(shortfall, job)
    if not flags.as_json and (not flags.quiet or flags.length_is_chosen):  # a JSON record says why it ended
        tell_short(shortfall, job)
