"""Advice in error messages: for flags that a command does not have, and for characters that a model lacks."""

from __future__ import annotations

from charrnn.escape import shell_quoted
from charrnn.paths import STDIN

_OF_SAMPLE = "it is a flag of `charrnn sample`"
_SAMPLES = f"{_OF_SAMPLE}; --sample-every shows what it writes while it trains"
_TEXTS = "texts are given without a flag"
_RATE = "the learning rate falls linearly; --final-learning-rate is its last value, as a share of --learning-rate"
_CHECKPOINT = "a checkpoint is given without a flag"
_STDOUT = "the text goes to stdout: add > and a file's name"
_HELD_OUT = "--val-fraction is the share that is held out, the rest is trained on"
_ARGMAX = "characters are sampled; -t 0 always takes the likeliest instead"
_CSV = "a CSV file is read as it is; README.md, under Questions, shows how to make lines of a column"
_SAVES = "--save-every is a time such as 60s, not a number of steps"
_DEVICE = "--device cpu computes on the processor, --device cuda on a GPU"
_NONE = "charrnn has nothing of the kind; leave it out"

ELSEWHERE = {
    **dict.fromkeys(("--gpu", "--gpuid", "--gpu-id", "--cuda", "--gpu-backend", "--opencl", "--mps"), _DEVICE),
    "--compile": _NONE,
}
"""Hints for flags that neither `train` nor `sample` has."""

TRAIN = {
    **ELSEWHERE,
    "TEXT...": "- stands for standard input",
    "--checkpoint": "--resume goes on from the one that --out names, and --init-from begins with one's weights",
    "--init-from=resume": "--resume goes on with a training, and --init-from names a checkpoint",
    **dict.fromkeys(
        ("--continue", "--auto-resume", "--resume-if-exists", "--restart"),
        "--resume goes on with a checkpoint, --resume-or-start does where there is one",
    ),
    "--reset-iterations": "steps count from zero with --init-from, and go on with --resume",
    "--new-model": "it trains a new model unless --resume or --init-from is given",
    **dict.fromkeys(("--input", "-i", "--data", "--data-dir", "--input-file", "--input-txt", "--dataset"), _TEXTS),
    **dict.fromkeys(("--text", "--file", "--corpus"), _TEXTS),
    **dict.fromkeys(("--input-h5", "--input-json"), f"plain {_TEXTS}, and need no preparation"),
    **dict.fromkeys(("--is-csv", "--header", "--delim"), _CSV),
    **dict.fromkeys(("--lr-decay", "--learning-rate-decay", "--lr-decay-factor", "--min-lr", "--decay-lr"), _RATE),
    **dict.fromkeys(("--lr-decay-every", "--learning-rate-decay-after", "--lr-decay-iters"), _RATE),
    **dict.fromkeys(("--lr-scheduler", "--scheduler", "--lr-schedule", "--cosine"), _RATE),
    "--beta1": "it is 0.9; --beta2 may be chosen",
    "--gradient-accumulation-steps": "--batch-size is the number of lanes of a step, which are read all at once",
    **dict.fromkeys(("--verbose", "-v"), "it reports everything unless --quiet is given; --json is for programs"),
    **dict.fromkeys(("--train-frac", "--train-size", "--test-frac", "--test-fraction"), _HELD_OUT),
    **dict.fromkeys(
        ("--val", "--valid", "--validation"),
        "--val-fraction is the share that is held out, --val-text a text of its own",
    ),
    "--eval-iters": "all that is held out is evaluated, or of a long text a part; --evaluate-every says how often",
    "--eval-only": "`charrnn inspect MODEL --score TEXT` evaluates",
    **dict.fromkeys(("--checkpoint-every", "--save-interval"), _SAVES),
    "--always-save-checkpoint": "it always saves, the best weights and the last",
    "--gen-epochs": "--sample-every 1 shows what it writes after each evaluation",
    "--shuffle": "the order of reading is a new one in each epoch; --stretch 0 reads straight on, but not --lines",
    "--batchnorm": "--layer-norm, which is on by default, normalises each layer's output",
    **dict.fromkeys(("--n-head", "--nhead"), "it is a recurrent network, which has no attention heads"),
    **dict.fromkeys(("--bias", "--tied", "--tie-weights", "--rnn-bidirectional", "--bidirectional"), _NONE),
    **dict.fromkeys(("--speed-benchmark", "--memory-benchmark"), _NONE),
    **dict.fromkeys(("--amp", "--fp16", "--bf16", "--mixed-precision"), "--precision is bfloat16 where that is faster"),
    **dict.fromkeys(("--keep-all", "--save-total-limit"), "one file holds the best weights and the last; copy it"),
    "--model": "--cell chooses the kind of network, and --out names the checkpoint",
    "--line-delimited": "--lines learns each line as a text of its own",
    "--word-level": "it learns characters, or bytes with --unit byte",
    **dict.fromkeys(("--temperature", "--prompt", "--length"), _SAMPLES),
}
SAMPLE = {
    **ELSEWHERE,
    "": "a text to continue is given with --prompt",
    **dict.fromkeys(("--out", "--output", "-o", "--generate-to-file"), _STDOUT),
    **dict.fromkeys(("--model", "--checkpoint", "--out-dir"), _CHECKPOINT),
    "-t": "the temperature is -t, in lower case",
    **dict.fromkeys(("--color", "--colour"), "--surprisal colours each character by how surprising it was"),
    **dict.fromkeys(
        ("--repeat-penalty", "--repetition-penalty", "--frequency-penalty", "--presence-penalty"),
        "there is none; where a text repeats itself, raise --temperature",
    ),
    **dict.fromkeys(
        ("--typical-p", "--typical", "--mirostat", "--xtc-probability", "--tfs"),
        "--top-k, --top-p and --min-p leave out what is unlikely",
    ),
    **dict.fromkeys(("--grammar", "--grammar-file"), "--match holds each line to a regular expression"),
    "--logit-bias": "--forbid and --allow choose the characters",
    **dict.fromkeys(("--best-of", "--num-beams", "--beam"), "-N 20 --json gives each of 20 texts its mean_logprob"),
    **dict.fromkeys(("--reverse-prompt", "--stop-sequence"), "--stop ends a text before another"),
    **dict.fromkeys(("--prompts", "--input", "--input-file"), "-i < FILE continues each of its lines"),
    **dict.fromkeys(("--words", "--sentences"), "--length counts characters; --lines and --stop end a text elsewhere"),
    "--server": "-i --json answers each line of a pipe with one of JSON",
    "--include-stop": "--keep-stop ends a text with its --stop",
    "--stream": "every character is written as soon as it is chosen",
    "--greedy": "-t 0 always takes the likeliest character",
    "--sample": _ARGMAX,
    "--top-n": "no characters are offered to choose from; --top-k draws from the likeliest",
    "--verbose": "it always says all that it has to say; --quiet says less",
    "--ignore-case": "(?i) at the start of --match makes both cases of a letter equal",
}
INSPECT = {
    **dict.fromkeys(("--temperature", "--length", "--seed"), _OF_SAMPLE),
    "--prompt": f"{_OF_SAMPLE}; --text shows where a text surprises the model",
    "--plot": "without a flag it draws the losses; --html and --svg write pictures to a file",
    **dict.fromkeys(("--model", "--checkpoint"), _CHECKPOINT),
}
HINTS: dict[str, dict[str, str]] = {"train": TRAIN, "sample": SAMPLE, "inspect": INSPECT}
"""What to do instead, by command and flag; by "" for a superfluous word; by an argument's metavar if the argument is
missing and something is piped in."""


def told_where_listed(checkpoint: str) -> str:
    """Where a model's characters are listed, to append to their number; "" for a model that came through a pipe."""
    return "" if checkpoint == STDIN else f"; see `charrnn inspect {shell_quoted(checkpoint)}`"
