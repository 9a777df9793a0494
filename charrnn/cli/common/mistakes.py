"""What people type who come from other programs, or from a word processor, and what they mean by it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import takewhile

from charrnn.errors import ConfigError
from charrnn.escape import as_typed
from charrnn.paths import STDIN

SYNONYMS = {
    "--learning-rate": "lr",
    "--beta2": "decay-rate",
    "--hidden-size": "rnn-size n-embd hidden units hidden-units",
    "--num-layers": "n-layer layers",
    "--embedding-dim": "embedding-size wordvec-size",
    "--batch-size": "batchsize",
    "--seq-len": "seq-length block-size bptt",
    "--epochs": "num-epochs max-epochs n-epochs",
    "--max-steps": "max-iters steps iterations num-iters",
    "--cell": "rnn-type model-type",
    "--grad-clip": "clip",
    "--out": "output out-dir save save-dir savefile checkpoint-name checkpoint-dir o",
    "--log": "csv plot loss-log tensorboard wandb",
    "--val-fraction": "val-frac valid-frac",
    "--init-from": "finetune fine-tune pretrained load load-from init",
    "--evaluate-every": "eval-interval eval-every eval-val-every",
    "--report-every": "print-every log-interval log-every",
    "--save-every": "checkpoint-every save-interval",
    "--time": "timeout max-time",
    "--prompt": "start start-text prime primetext prefix seed-text",
    "--length": "max-new-tokens num-chars max-gen-length max-tokens max-length sample-length predict-len",
    "--num-samples": "n-samples samples count number",
    "--temperature": "temp",
    "--device": "gpu gpuid gpu-id cuda",
    "--precision": "dtype",
    "--overwrite": "force",
    "--score": "eval evaluate perplexity",
}
"""By one of our flags, what the same is called elsewhere."""

_OURS = {other: ours for ours, others in SYNONYMS.items() for other in others.split()}

COMMANDS = {
    "generate": "sample MODEL", "write": "sample MODEL", "predict": "sample MODEL", "info": "inspect MODEL",
    "eval": "inspect MODEL --score TEXT", "evaluate": "inspect MODEL --score TEXT", "fit": "train TEXT",
    "score": "inspect MODEL --score TEXT", "test": "inspect MODEL --score TEXT",
    "export": "inspect MODEL --export FILE", **dict.fromkeys(("resume", "continue"), "train TEXT --resume"),
    **dict.fromkeys(("finetune", "fine-tune"), "train TEXT --init-from MODEL"),
}  # fmt: skip
"""What our commands are called elsewhere."""

_OF_WORDS = {"--prompt", "-p", "--text", "--stop", "--match", "--allow", "--forbid", "--separator", "--out", "-o"}
"""Flags whose value may be of several words."""

_OF_TIME = {"--time", "--save-every"}
"""Flags whose value is a time, which is written without spaces."""

_UNITS = ("d|days?", "h|hrs?|hours?", "m|mins?|minutes?", "s|secs?|seconds?")
_TIME = re.compile("".join(rf"(?:\d+(?:\.\d+)?(?:{unit}))?" for unit in _UNITS), re.IGNORECASE)

_TYPOGRAPHIC = r"[\u2018-\u201f\u2039\u203a\xab\xbb]"
_IN_TYPOGRAPHIC = re.compile(f"{_TYPOGRAPHIC}(.+){_TYPOGRAPHIC}", re.DOTALL)

_ONE_DASH = re.compile(r"-([A-Za-z][\w-]+)(=.*)?", re.DOTALL)
_SHORT = re.compile(r"(-[A-Za-z])=(.*)", re.DOTALL)
_DASHES = "\N{EN DASH}\N{EM DASH}\N{MINUS SIGN}"


def meant_by(flag: str, known: Mapping[str, bool]) -> str:
    """Which of a command's flags somebody means by one that it does not have; empty where that is not known.

    Args:
        flag: as it was typed, with or without hyphens before it.
        known: the command's flags, and whether each takes a value.
    """
    name = flag.strip("-").replace("_", "-").lower()
    return next((other for other in (f"--{name}", _OURS.get(name, "")) if other in known), "")


def likely_flags(flag: str, known: Mapping[str, bool]) -> list[str]:
    """Which of a command's flags may be meant by one that it does not have: by its meaning, or else its spelling."""
    meant = meant_by(flag, known)
    return [meant] if meant else get_close_matches(flag.replace("_", "-"), [name for name in known if name[:2] == "--"])


def hint_at(flag: str, hints: Mapping[str, str]) -> str:
    """What to do instead of a flag, or of one with a value, that the command does not have, however it is spelled."""
    return hints.get(flag.replace("_", "-").lower(), "")


def find_mistake(arguments: Sequence[str], known: Mapping[str, bool], hints: Mapping[str, str]) -> str:
    """Find what a parser would misread: a long flag with one hyphen or a dash, = behind a short one, lost quotes, ...

    Args:
        arguments: of a command.
        known: its flags, and whether each takes a value.
        hints: by a flag that the command does not have and people try, what to do instead.

    Returns:
        What is wrong, or nothing.
    """
    for word in filter(None, _outside_of_values(arguments, known)):
        if word == "#" and not os.path.exists(word):
            return "# begins no comment in a line that is typed into zsh; leave it out, and all that follows"
        if "=" in word and (hint := hint_at(word, hints)) and not os.path.exists(word.partition("=")[2]):
            return f"{word}: {hint}"
        short = _SHORT.fullmatch(word)
        if short and known.get(short[1]):  # whose value would begin with the sign
            return f"{word}: a short flag takes no =; write {as_typed(*short.groups())}"
        if word[0] in _DASHES and (meant := _behind_dashes(word, known)) and not os.path.exists(word):
            return f"{word} begins with a dash and no hyphen; the flag is {meant}"
        found = _ONE_DASH.fullmatch(word)
        if found and len(found[1]) > 1 and (hint := hint_at(f"--{found[1]}", hints)):
            return f"no such option: -{found[1]}; {hint}"
        if found and len(found[1]) > 1 and (meant := meant_by(found[1], known)):
            return f"no such option: -{found[1]}; a long one begins with two hyphens: {meant}"
    return _told_of_pieces(arguments, known)


def require_working_directory() -> None:
    """Refuse a working directory that was deleted, of which PyTorch's libraries know nothing better than to abort.

    Raises:
        ConfigError: it is gone.
    """
    try:
        os.getcwd()
    except FileNotFoundError:
        raise ConfigError("the working directory is gone; go to another with `cd`") from None


def check_quotes(paths: Sequence[str]) -> None:
    """Refuse a path with spaces that has come in pieces.

    Raises:
        ConfigError: the words together are a path that is there, and one of them alone is none.
    """
    whole = " ".join(paths)
    if len(paths) > 1 and os.path.exists(whole) and not all(map(os.path.exists, paths)):
        raise ConfigError(f'{whole}: a name with spaces; put quotes around it: "{whole}"')


def _told_of_pieces(arguments: Sequence[str], known: Mapping[str, bool]) -> str:
    """What is wrong where words that are no files stand behind a flag's value and belong to it; nothing elsewhere.

    Other words must be there to be read. No number or pattern goes on in the next word.
    """
    num_paths = sum(word == STDIN or not word.startswith("-") for word in _outside_of_values(arguments, known))
    for flag, value, behind in _valued(arguments, known):
        lost = list(takewhile(lambda word: word[:1] != "-" and not os.path.exists(word), behind))
        full = flag if flag.startswith("--") else f"-{flag[-1]}"
        if full in _OF_TIME:
            lost = lost[: _num_of_time(value, lost)]
            mend = f"write {flag} {_as_one_time([value, *lost])}"
        elif full in _OF_WORDS and (bare := _IN_TYPOGRAPHIC.fullmatch(" ".join([value, *lost]))):
            straight = as_typed(bare[1].strip())
            mend = f"the quotation marks are typographic, and the shell needs straight ones: {flag} {straight}"
        elif full in _OF_WORDS and not any(map(_is_whole, [value, *lost])):
            mend = f"put quotes around the words: {flag} {as_typed(' '.join([value, *lost]))}"
        else:
            continue
        if 0 < len(lost) < num_paths:
            return f"{' '.join(lost)}: follows {flag} {value} and is not a file; {mend}"
    return ""


def _valued(arguments: Sequence[str], known: Mapping[str, bool]) -> Iterator[tuple[str, str, Sequence[str]]]:
    """Each flag that has a value, as it was typed, the value, and the words that stand behind it."""
    place = 0
    for word in _outside_of_values(arguments, known):
        place += 1
        flag, sign, value = word.partition("=")
        if _wants_value(word, known):
            flag, value, place = word, "".join(arguments[place : place + 1]), place + 1
        elif not (sign and known.get(flag)):
            continue
        yield flag, value, arguments[place:]


def _num_of_time(value: str, words: Sequence[str]) -> int:
    """How many words go on with a value to make it a time, such as "min" behind "10"."""
    ends = range(len(words), 0, -1)
    return next((end for end in ends if _TIME.fullmatch("".join([value, *words[:end]]))), 0)


def _as_one_time(pieces: Sequence[str]) -> str:
    """A time that came in several words as it is written here: of a unit its first letter."""
    return re.sub("[a-z]+", lambda unit: unit[0][0], "".join(pieces).lower())


def _is_whole(word: str) -> bool:
    """Whether a word is no piece of a text: it was in quotes, or is a file's name, with a folder's or an ending."""
    return " " in word or "/" in word or os.sep in word or len(os.path.splitext(word)[1]) > 1


def _outside_of_values(arguments: Sequence[str], known: Mapping[str, bool]) -> Iterator[str]:
    """The words of a command line that are no flag's value."""
    is_value = False
    for word in arguments:
        if word == "--":
            return
        if not is_value:
            yield word
        is_value = not is_value and _wants_value(word, known)


def _wants_value(word: str, known: Mapping[str, bool]) -> bool:
    """Whether the next word is the value of this one, a flag or several short ones of which the last takes it."""
    if word in known or word.startswith("--") or not word.startswith("-"):
        return known.get(word, False)
    takes = [known.get(f"-{letter}", False) for letter in word[1:]]
    return True in takes and takes.index(True) == len(takes) - 1


def _behind_dashes(word: str, known: Mapping[str, bool]) -> str:
    """The flag that a word processor has put a dash before; empty where it is none."""
    name = word.strip("-" + _DASHES).partition("=")[0]
    return f"-{name}" if f"-{name}" in known else meant_by(name, known)
