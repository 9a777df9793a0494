"""What messages say to do instead: of flags that a command does not have, and of characters that a model lacks."""

from __future__ import annotations

from charrnn.escape import as_typed
from charrnn.paths import STDIN

_OF_SAMPLE = "it is a flag of `charrnn sample`"
_SAMPLES = f"{_OF_SAMPLE}; --sample-every shows what it writes while it trains"
_TEXTS = "texts are given without a flag"
_RATE = "the learning rate falls linearly; --final-learning-rate is its last value, as a share of --learning-rate"
_CHECKPOINT = "a checkpoint is given without a flag"
_STDOUT = "the text goes to stdout: add > and a file's name"

TRAIN = {
    "TEXT...": "- stands for standard input",
    "--checkpoint": "--resume goes on from the one that --out names, and --init-from begins with one's weights",
    "--init-from=resume": "--resume goes on with a training, and --init-from names a checkpoint",
    **dict.fromkeys(("--input", "-i", "--data", "--data-dir", "--input-file", "--input-txt", "--dataset"), _TEXTS),
    **dict.fromkeys(("--text", "--file", "--corpus"), _TEXTS),
    **dict.fromkeys(("--lr-decay", "--learning-rate-decay", "--lr-decay-factor", "--min-lr"), _RATE),
    **dict.fromkeys(("--verbose", "-v"), "it reports everything unless --quiet is given; --json is for programs"),
    "--train-frac": "--val-fraction is the share that is held out, the rest is trained on",
    **dict.fromkeys(("--val", "--valid"), "--val-fraction is the share that is held out, --val-text a text of its own"),
    "--model": "--cell chooses the kind of network, and --out names the checkpoint",
    "--line-delimited": "--lines learns each line as a text of its own",
    "--word-level": "it learns characters, or bytes with --unit byte",
    **dict.fromkeys(("--temperature", "--prompt", "--length"), _SAMPLES),
}
SAMPLE = {
    "": "a text to continue is given with --prompt",
    **dict.fromkeys(("--out", "--output", "-o"), _STDOUT),
    **dict.fromkeys(("--model", "--checkpoint", "--out-dir"), _CHECKPOINT),
    "-t": "the temperature is -t, in lower case",
    **dict.fromkeys(("--color", "--colour"), "--surprisal colours each character by how surprising it was"),
    **dict.fromkeys(
        ("--repeat-penalty", "--repetition-penalty", "--frequency-penalty", "--presence-penalty"),
        "there is none; where a text repeats itself, raise --temperature",
    ),
    "--greedy": "-t 0 always takes the likeliest character",
    "--ignore-case": "(?i) at the start of --match makes both cases of a letter equal",
}
INSPECT = {
    **dict.fromkeys(("--temperature", "--length", "--seed"), _OF_SAMPLE),
    "--prompt": f"{_OF_SAMPLE}; --text shows where a text surprises the model",
    "--plot": "without a flag it draws the losses; --html and --svg write pictures to a file",
    **dict.fromkeys(("--model", "--checkpoint"), _CHECKPOINT),
}
HINTS: dict[str, dict[str, str]] = {"train": TRAIN, "sample": SAMPLE, "inspect": INSPECT}
"""What to do instead, by the command and the flag; by no flag, where a word is left over; by an argument, where it is
missing and something is piped in."""


def told_where_listed(checkpoint: str) -> str:
    """Where a model's characters are listed, behind their number; nothing of one that came through a pipe."""
    return "" if checkpoint == STDIN else f"; see `charrnn inspect {as_typed(checkpoint)}`"
