"""Mistakes in command lines, such as other programs' flags or a word processor's dashes, and what is meant by them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from charrnn.cli.common.quotes import find_lost_quotes
from charrnn.cli.common.words import outside_of_values
from charrnn.escape import shell_quoted

SYNONYMS = {
    "--learning-rate": "lr",
    "--final-learning-rate": "final-lr",
    "--warmup-steps": "warmup warmup-iters",
    "--beta2": "decay-rate",
    "--hidden-size": "rnn-size n-embd hidden units hidden-units nhid",
    "--num-layers": "n-layer layers n-layers nlayers rnn-layers",
    "--embedding-dim": "embedding-size wordvec-size dim-embeddings emsize",
    "--batch-size": "batchsize batch",
    "--seq-len": "seq-length block-size bptt max-length",
    "--epochs": "num-epochs max-epochs n-epochs",
    "--max-steps": "max-iters steps iterations num-iters iters n-iters",
    "--patience": "early-stopping",
    "--cell": "rnn-type model-type",
    "--grad-clip": "clip max-grad-norm",
    "--out": "output out-dir save save-dir savefile checkpoint-name checkpoint-dir o name",
    "--log": "csv plot loss-log tensorboard wandb wandb-log",
    "--val-fraction": "val-frac valid-frac",
    "--max-vocab": "max-words vocab-size",
    "--init-from": "finetune fine-tune pretrained load load-from init",
    "--evaluate-every": "eval-interval eval-every eval-val-every",
    "--report-every": "print-every log-interval log-every",
    "--time": "timeout max-time",
    "--prompt": "start start-text prime primetext prefix seed-text",
    "--length": "max-new-tokens num-chars max-gen-length max-tokens max-length sample-length predict-len",
    "--num-samples": "n-samples samples count number n",
    "--temperature": "temp temperatures",
    "--precision": "dtype",
    "--overwrite": "force",
    "--score": "eval evaluate perplexity",
}
"""Names of the same flag in other programs, by our flag; one name may mean different flags of different commands. Flags
that are only similar, count in another unit or have no counterpart are in `hints`."""

NEAR = 0.8
"""Similarity of two flags, as `difflib` measures it, from which on one may be the other mistyped."""

COMMANDS_ELSEWHERE = {
    "generate": "sample MODEL", "write": "sample MODEL", "predict": "sample MODEL", "info": "inspect MODEL",
    "eval": "inspect MODEL --score TEXT", "evaluate": "inspect MODEL --score TEXT", "fit": "train TEXT",
    "score": "inspect MODEL --score TEXT", "test": "inspect MODEL --score TEXT",
    "export": "inspect MODEL --export FILE", **dict.fromkeys(("resume", "continue"), "train TEXT --resume"),
    **dict.fromkeys(("finetune", "fine-tune"), "train TEXT --init-from MODEL"),
}  # fmt: skip
"""What other programs call our commands, and what to type after `charrnn` instead."""

_ONE_DASH = re.compile(r"-([A-Za-z][\w-]+)(=.*)?", re.DOTALL)
_SHORT = re.compile(r"(-[A-Za-z])=(.*)", re.DOTALL)
_DASHES = "\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"
_DASHED = re.compile(f"-*[{_DASHES}]")


def meant_by(flag: str, known: Mapping[str, bool]) -> str:
    """Which of a command's flags is meant by one that it does not have; "" if unknown.

    Args:
        flag: as it was typed, with or without hyphens before it.
        known: the command's flags, and whether each takes a value.
    """
    name = _name_of(flag)
    if f"--{name}" in known:
        return f"--{name}"
    return next((ours for ours, others in SYNONYMS.items() if ours in known and name in others.split()), "")


def likely_flags(flag: str, known: Mapping[str, bool]) -> list[str]:
    """Which of a command's flags may be meant by one that it does not have: a synonym, or else similarly spelled."""
    if meant := meant_by(flag, known):
        return [meant]
    names = [name.removeprefix("--") for name in known if name.startswith("--")]
    return [f"--{near}" for near in get_close_matches(_name_of(flag), names, cutoff=NEAR)]


def hint_at(flag: str, hints: Mapping[str, str]) -> str:
    """What to do instead of a flag, or `FLAG=VALUE`, that the command lacks, ignoring case and underscores."""
    return hints.get(flag.replace("_", "-").lower(), "")


def find_mistake(arguments: Sequence[str], known: Mapping[str, bool], hints: Mapping[str, str]) -> str:
    """Find what a parser would misread: a long flag with one hyphen or a dash, = after a short one, lost quotes, ...

    Args:
        arguments: a command's arguments.
        known: the command's flags, and whether each takes a value.
        hints: what to do instead, by a flag that people try and the command lacks.

    Returns:
        What is wrong, or "".
    """
    for word in filter(None, outside_of_values(arguments, known)):
        if word == "#" and not os.path.exists(word):
            return "# begins no comment in a line that is typed into zsh; leave it out, and all that follows"
        if "=" in word and (hint := hint_at(word, hints)) and not os.path.exists(word.partition("=")[2]):
            return f"{word}: {hint}"
        short = _SHORT.fullmatch(word)
        if short and known.get(short[1]):  # its value would begin with the =
            return f"{word}: a short flag takes no =; write {shell_quoted(*short.groups())}"
        if _DASHED.match(word) and (meant := _behind_dashes(word, known)) and not os.path.exists(word):
            told = "begins with a dash, not a hyphen" if word[0] in _DASHES else "has a dash in the place of a hyphen"
            return f"{word} {told}; the flag is {meant}"
        found = _ONE_DASH.fullmatch(word)
        if found and len(found[1]) > 1 and (told := _told_of_one_hyphen(found[1], known, hints)):
            return told
    return find_lost_quotes(arguments, known)


def _name_of(flag: str) -> str:
    return flag.strip("-").replace("_", "-").lower()


def _told_of_one_hyphen(name: str, known: Mapping[str, bool], hints: Mapping[str, str]) -> str:
    """What is wrong with a word after one hyphen; "" if it is a group of short flags and no known name."""
    refused = f"no such option: -{name}"
    if hint := hint_at(f"--{name}", hints):
        return f"{refused}; {hint}"
    is_short = _is_short(name, known)
    meant = meant_by(name, known)
    if not (meant or is_short):
        meant = next(iter(likely_flags(name, known)), "")
    if meant:
        return f"{refused}; a long one begins with two hyphens: {meant}"
    return "" if is_short else refused


def _is_short(name: str, known: Mapping[str, bool]) -> bool:
    """Whether the word after one hyphen is a group of short flags, the last of which may have its value attached."""
    for letter in name:
        takes_value = known.get(f"-{letter}")
        if takes_value is None:
            return False
        if takes_value:
            return True
    return True


def _behind_dashes(word: str, known: Mapping[str, bool]) -> str:
    """The flag in a word that begins with a dash, as word processors write it; "" if it is none."""
    name = word.strip("-" + _DASHES).partition("=")[0]
    return f"-{name}" if f"-{name}" in known else meant_by(name, known)
