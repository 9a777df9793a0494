"""Checks of the flags of `charrnn sample`, made before anything is read."""

from __future__ import annotations

import sys

from charrnn.cli.common.terminal import shows_colour
from charrnn.cli.sampler.flags import UNKNOWN_RULES, SampleFlags
from charrnn.errors import ConfigError
from charrnn.generation.sample_progress import MOST_CHARACTERS
from charrnn.limits import Range, check_choice, check_range
from charrnn.paths import STDIN

MOST_TEXTS = 10**12
"""The most texts that can be asked for at once: more than anybody reads."""

STREAMS_AT_ONCE = {"cpu": 256, "cuda": 4096}
"""The most texts to compute side by side, by device."""


def check_flags(flags: SampleFlags) -> None:
    """Refuse invalid flags.

    Raises:
        ConfigError: a flag is out of its range, or two contradict each other.
    """
    _check_ends(flags)
    check_choice("device", flags.device, STREAMS_AT_ONCE)
    check_choice("unknown", "error" if flags.unknown is None else flags.unknown, UNKNOWN_RULES)
    check_range("seed", flags.seed, Range(0))
    _check_output(flags)
    reads_beginnings = flags.interactive and not sys.stdin.isatty()
    if flags.encoding is not None and not (flags.reads_prompt or flags.novel or reads_beginnings):
        raise ConfigError("--encoding is for what is read; give --prompt-file, --prompt -, --novel or -i < FILE")
    if flags.interactive:
        _check_conversation(flags)
    elif flags.story:
        raise ConfigError("--story is for a conversation; give --interactive too, or --prompt-file to continue a text")
    if flags.mix and flags.device == "cuda":
        raise ConfigError("--mix runs on the CPU; leave --device out")
    if "" in flags.stop:
        raise ConfigError("--stop is empty, and would end every text at once; give a text")
    if flags.keep_stop and not flags.stop:
        raise ConfigError("--keep-stop keeps what --stop names; give --stop too")
    has_prompt = flags.prompt != "" or flags.prompt_file is not None  # --unique covers the prompt's lines too
    if flags.unique and flags.num_samples > 1 and flags.wanted_lines == 1 and not has_prompt:
        raise ConfigError(
            "--unique compares the lines of a text, and each of these has one; give --lines "
            f"{flags.num_samples} in place of --num-samples {flags.num_samples}"
        )
    if flags.match is not None and flags.match.isascii():  # else the form of the model's text must be known
        from charrnn.generation.patterns import parse_pattern

        parse_pattern(flags.match)
    _check_inputs(flags)


def _check_inputs(flags: SampleFlags) -> None:
    """Refuse a prompt that is given twice, and standard input for two things."""
    if flags.prompt and flags.prompt_file is not None:
        raise ConfigError("--prompt and --prompt-file both give a prompt; give one of them")
    sources = {"the checkpoint": flags.checkpoint, "the prompt": flags.prompt, "--prompt-file": flags.prompt_file}
    asking = [name for name, path in sources.items() if path == STDIN]
    asking += ["--novel" for path in flags.novel if path == STDIN]
    asking += [f"--mix {entry}" for entry, path in zip(flags.mix, flags.mixed, strict=True) if path == STDIN]
    asking += ["--interactive"] if flags.interactive else []
    if len(asking) > 1:
        raise ConfigError(f"{asking[0]} and {asking[1]} cannot both come from standard input")


def _check_ends(flags: SampleFlags) -> None:
    """Refuse numbers of characters, lines and texts out of range, and endless texts where an end is needed."""
    if flags.length is not None and not -1 <= flags.length <= MOST_CHARACTERS:
        raise ConfigError(f"--length is {flags.length}; it must be from 0 to {MOST_CHARACTERS:,}, or -1 for no end")
    check_range("lines", flags.lines, Range(1))
    check_range("num_samples", flags.num_samples, Range(1, MOST_TEXTS))
    for name, value in {"num-samples": flags.num_samples > 1, "json": flags.as_json}.items():
        if flags.is_endless and value:
            raise ConfigError(f"--length -1 has no end, and --{name} needs one; give a length")


def _check_output(flags: SampleFlags) -> None:
    """Refuse extra output where it cannot be shown."""
    if flags.logprobs and not flags.as_json:
        raise ConfigError("--logprobs are a part of the JSON; give --json too")
    if flags.separator is not None and flags.as_json:
        raise ConfigError("--separator goes between texts, and with --json each is a line; leave one of them out")
    is_seen = sys.stdout.isatty() or shows_colour()
    if flags.surprisal and (flags.as_json or flags.num_samples > 1 or not is_seen):
        raise ConfigError("--surprisal colours one text on a terminal; elsewhere --json --logprobs tells the same")


def _check_conversation(flags: SampleFlags) -> None:
    """Refuse flags that do not go with --interactive."""
    given = {
        "num-samples": flags.num_samples > 1, "surprisal": flags.surprisal,
        "novel": bool(flags.novel), "unique": flags.unique, "separator": flags.separator is not None,
    }  # fmt: skip
    for name, value in given.items():
        if value:
            raise ConfigError(f"--{name} does not go with --interactive, which writes one text for each beginning")
