"""The `charrnn train` command: its flags, and the request built from them."""

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from charrnn.cli.common.cores import prepare_training
from charrnn.cli.trainer.durations import parse_duration
from charrnn.cli.trainer.resume_policy import RESUME_POLICY
from charrnn.config import CHOICES, ModelConfig, TrainConfig, check_options
from charrnn.errors import ConfigError
from charrnn.garbage import paused_gc
from charrnn.paths import expanded
from charrnn.text.options import TextOptions
from charrnn.training.torchrun import read_place, speaks_for_host

STARTED = time.perf_counter() - time.process_time()
"""About `time.perf_counter()` at the start of this process: up to here, CPU time is about the elapsed time."""

CHOSEN = "[default: by the text's size and the time]"
MEMBERS = f"{CHOSEN[:-1]}; 1 with --hidden-size or --num-layers]"
BY_PASSES = "[default: by the passes over the text]"
BY_UPDATES = "[default: by the model and the number of updates]"
UNENDED = "[default: by the text's size, if no end is given]"
PARTS = {
    "cell": "The model", "epochs": "How long it trains", "batch_size": "How it learns",
    "include": "How the text is read", "device": "The machine", "save_every": "Saving and resuming",
    "sample_every": "What it reports",
}  # fmt: skip
"""The first flag of each section of the help, and the section's title."""

HELP = (
    "Learn the style of a text and write a checkpoint.",
    "The checkpoint's path goes to stdout when it is done, and nothing else does. What is not given is chosen from the "
    "text's size and the time; a flag always wins.",
)
EXAMPLES = (
    "charrnn train mybook.txt --time 10m",
    "charrnn train names.txt --lines",
    "cat logs | charrnn train - --out logs.pt",
    "charrnn train mybook.txt --resume --time 20m",
)
SPEAKS_JSON = True
WORDS = CHOICES


def train(
    context: typer.Context,
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...",
            help="Files and folders to learn from; - for stdin.",
            callback=lambda paths: expanded(paths),  # a lambda: typer fails on the type of `expanded` on 3.10
        ),
    ],
    out: Annotated[
        str | None, typer.Option("--out", "-o", help="Checkpoint to write. [default: the text's name with .pt, here]")
    ] = None,
    cell: Annotated[str, typer.Option(help="Recurrent cell: lstm, gru, rnn (tanh) or rnn-relu.")] = "lstm",
    hidden_size: Annotated[int | None, typer.Option(help=f"Units in each layer. {CHOSEN}")] = None,
    num_layers: Annotated[int | None, typer.Option(help=f"Number of layers. {CHOSEN}")] = None,
    members: Annotated[int | None, typer.Option(help=f"Networks that predict together. {MEMBERS}")] = None,
    embedding_dim: Annotated[
        int | None, typer.Option(help="Width of a character's vector. [default: 64; 128 for over 512 ids, or a GPU]")
    ] = None,
    residual: Annotated[bool, typer.Option(help="Add each layer's input to its output.")] = True,
    layer_norm: Annotated[
        bool | None, typer.Option(help="Normalise each layer's output. [default: yes, except for one unit or two]")
    ] = None,
    recall: Annotated[
        int | None,
        typer.Option(
            help="How many characters back it looks up what followed the last few, up to 32,768; 0: none. "
            "[default: 16,384; 0 with --lines]"
        ),
    ] = None,
    epochs: Annotated[float | None, typer.Option(help=f"Passes over the text. {UNENDED}")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Updates of the weights. [default: no limit]")] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time",
            metavar="TIME",
            help="End after this time in all: 90s, 10m, 1h30m, 2d, or seconds. [default: no limit]",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Evaluations without a gain before it ends early. [default: 8 or more, if no end is given]"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Lanes read side by side. [default: by the text's size]")
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option(help="Characters in a window: how far gradients go back. [default: 64]")
    ] = None,
    stretch: Annotated[
        int | None,
        typer.Option(help="Characters that a lane reads on end; 0: all. [default: 256 to 2,048, by size and passes]"),
    ] = None,
    state_reset: Annotated[
        float, typer.Option(help="Share of lanes that begin a window without a state, to learn beginnings too.")
    ] = TrainConfig.state_reset,
    dropout: Annotated[
        float | None, typer.Option(help=f"Share of values dropped against overfitting. {BY_PASSES}")
    ] = None,
    input_dropout: Annotated[
        float | None, typer.Option(help=f"Share of characters hidden while training, likewise. {BY_PASSES}")
    ] = None,
    recall_dropout: Annotated[
        float | None,
        typer.Option(
            help="Share of characters after which nothing is recalled while training. "
            f"[default: {ModelConfig.recall_dropout}]"
        ),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Learning rate: rises over --warmup-steps, falls all the while. " + BY_UPDATES)
    ] = None,
    warmup_steps: Annotated[
        int | None, typer.Option(help="Steps over which the learning rate rises. [default: 100, or a tenth of all]")
    ] = None,
    final_learning_rate: Annotated[
        float, typer.Option(help="Share of --learning-rate that it falls towards, linearly.")
    ] = TrainConfig.final_learning_rate,
    optimizer: Annotated[
        str, typer.Option(help="adamw, adam, rmsprop or sgd (Nesterov's, momentum 0.9).")
    ] = TrainConfig.optimizer,
    beta2: Annotated[float, typer.Option(help="Decay of the average of squared gradients.")] = TrainConfig.beta2,
    weight_decay: Annotated[
        float | None, typer.Option(help="Decay of the weight matrices. [default: 0.01 with adamw, else 0]")
    ] = None,
    grad_clip: Annotated[float, typer.Option(help="Largest norm of the gradient; 0: any.")] = TrainConfig.grad_clip,
    val_fraction: Annotated[
        float,
        typer.Option(
            help="Share of the text held out: its end, with --lines lines from all over; 0: none. Not with --val-text."
        ),
    ] = TrainConfig.val_fraction,
    val_text: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="Hold this text out instead of the end; may be given again."),
    ] = None,
    evaluate_every: Annotated[
        int | None, typer.Option(help="Steps between two evaluations. [default: by size and time]")
    ] = None,
    rewind: Annotated[
        bool, typer.Option(help="Go back to the best weights, with a lower rate, when evaluations bring no gain.")
    ] = TrainConfig.rewind,
    seed: Annotated[
        int, typer.Option(help="Seed of the first weights, of dropout and of the order of reading.")
    ] = TrainConfig.seed,
    include: Annotated[
        list[str] | None,
        typer.Option(help="In folders, only files like '*.py' (in quotes) or in sub/; may be given again."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="In folders, no files like '*.py' (in quotes) or in sub/; may be given again."),
    ] = None,
    separator: Annotated[
        str,
        typer.Option(
            help=r"Text between two files; with --lines ending with \n. Escapes: \n, \t, \r, \0 and \\. [default: none]"
        ),
    ] = "",
    lines: Annotated[bool, typer.Option("--lines", help="Learn each line as a text of its own.")] = False,
    unit: Annotated[str, typer.Option(help="What is learned: character or byte.")] = TextOptions.unit,
    encoding: Annotated[
        str, typer.Option(help="Encoding of the files, such as windows-1252, cp932 or gb18030.")
    ] = TextOptions.encoding,
    errors: Annotated[
        str, typer.Option(help="What to do with bytes that are not text: strict, replace or surrogateescape.")
    ] = TextOptions.errors,
    newline: Annotated[str, typer.Option(help="keep, or lf to turn line ends into LF.")] = TextOptions.newline,
    normalize: Annotated[str, typer.Option(help="Unicode form: none, nfc or nfkc.")] = TextOptions.normalize,
    lowercase: Annotated[bool, typer.Option(help="Turn capitals into lower case.")] = TextOptions.lowercase,
    min_count: Annotated[
        int | None, typer.Option(help="Rarer characters share one id that is never written. [default: see --max-vocab]")
    ] = None,
    max_vocab: Annotated[
        int | None,
        typer.Option(
            help="Limit on characters with ids of their own. [default: all; of over 1,000, the 1,000 most common, or "
            "as many more as make up 99.9 % of the text]"
        ),
    ] = None,
    cache: Annotated[
        str | None, typer.Option(help="Folder for large encoded texts. [default: the user's cache folder]")
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Hold large encoded texts in memory.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto (the fastest one here), float32, bfloat16, or on a GPU float16.")
    ] = "auto",
    deterministic: Annotated[
        bool, typer.Option(help="Make a GPU repeat results exactly, as a CPU does.")
    ] = TrainConfig.deterministic,
    threads: Annotated[
        int | None, typer.Option(help="Threads of each process. [default: the cores, fewer if others use them]")
    ] = None,
    save_every: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Save this often: 90s, 10m, 1h30m, 2d, or seconds. [default: 60s, or less often if saving is slow]",
        ),
    ] = None,
    log: Annotated[
        str | None, typer.Option(metavar="FILE", help="A line of JSON per report, to a new file; --resume adds to it.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue where the checkpoint left off.")] = False,
    resume_or_start: Annotated[
        bool, typer.Option("--resume-or-start", help="Continue if the checkpoint is there, else start: for scripts.")
    ] = False,
    resume_from: Annotated[
        str | None, typer.Option(metavar="CHECKPOINT", help="Continue from this one, and write to another.")
    ] = None,
    init_from: Annotated[
        str | None,
        typer.Option(metavar="CHECKPOINT", help="Start with its weights and learn another text (fine-tune)."),
    ] = None,
    force_resume: Annotated[
        bool,
        typer.Option("--force-resume", help="Resume with other flags; on another text, begin as with --init-from."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing checkpoint and log; nothing else.")
    ] = False,
    sample_every: Annotated[
        int | None,
        typer.Option(
            help="Show what it writes after every K-th evaluation; 0: never. [default: 1 on a terminal, else 0]"
        ),
    ] = None,
    report_every: Annotated[
        int | None, typer.Option(help="Steps between two reports. [default: up to five reports a second]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON on stderr per report.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but warnings and errors.")] = False,
) -> None:
    """Carry out the command; the text of its help is in `HELP`."""
    flags = {name: value for name, value in context.params.items() if name in RESUME_POLICY}
    explicit = {name for name in flags if str(context.get_parameter_source(name)).endswith("COMMANDLINE")}
    with _one_of_several_tells():
        flags["time_limit"] = None if time_limit is None else parse_duration(time_limit, "time_limit")
        flags["save_every"] = None if save_every is None else parse_duration(save_every, "save_every")
        check_options(flags)
        if val_text and "val_fraction" in explicit:
            raise ConfigError("--val-text is held out, and --val-fraction is a share of the text; give one of them")
    prepare_training(is_launched=read_place().is_launched)
    with paused_gc():  # here, so that --help does not wait for numpy
        from charrnn.cli.trainer.entry_point import require_working_directory, run_training
        from charrnn.cli.trainer.request import Request, parse_reading

    with _one_of_several_tells():
        require_working_directory()
        reading = parse_reading(context.params)
    request = Request(
        texts=tuple(texts),
        reading=reading,
        out=out,
        options=flags,
        explicit={name: value for name, value in flags.items() if name in explicit},
        log=log,
        resume=resume or force_resume or resume_from is not None,
        resume_or_start=resume_or_start,
        resume_from=resume_from,
        init_from=init_from,
        force=force_resume,
        overwrite=overwrite,
        quiet=quiet,
        as_json=as_json,
        started=STARTED,
    )
    run_training(request)


@contextlib.contextmanager
def _one_of_several_tells() -> Iterator[None]:
    """Let only one process per host report an error in the flags, which are the same for all processes."""
    try:
        yield
    except ConfigError as error:
        if not speaks_for_host():
            raise typer.Exit(error.exit_code) from None
        raise
