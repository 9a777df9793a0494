"""What is to be written, from the flags of `charrnn sample`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from charrnn.cli.common.shared import encode_ids, first_id, unescape
from charrnn.cli.sampler.prompts import check_inputs, check_novel, fit_prompt, read_prompt
from charrnn.cli.sampler.writing import Job
from charrnn.display.plain import write_error
from charrnn.errors import ConfigError, describe_characters
from charrnn.generation.endings import KnownLines, Rules
from charrnn.generation.filters import SamplingOptions
from charrnn.generation.sampling import Sampler
from charrnn.loading import load_for_sampling
from charrnn.storage.archive import read_checkpoint
from charrnn.text.decoding import prepare
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import BYTE, TextOptions


def prepare_job(flags: Mapping[str, Any], *, at_once: int) -> Job:
    """Read all that is to be read and put together what is to be written.

    Args:
        flags: those of `charrnn sample`, checked one by one, with a length, the lines that it stands for, and a seed.
        at_once: how many samples to compute side by side, at most.

    Raises:
        CharRNNError: something cannot be read, or what was read does not go with the flags.
    """
    check_inputs(flags)
    contents = read_checkpoint(flags["checkpoint"])
    prompt = read_prompt(flags["prompt"], flags["prompt_file"], contents.text, flags["encoding"])
    model, encoder = load_for_sampling(contents, flags["mix"] or [], flags["device"])
    prompt = fit_prompt(prompt, encoder, flags["unknown"], flags["checkpoint"])
    before = encode_ids(encoder, "\n") if contents.text.lines else []  # after which it learned to begin a line
    opening = before + encode_ids(encoder, prompt)
    if not prompt:
        opening = encode_ids(encoder, contents.encoder.decode([first_id(contents.encoder, contents.corpus.counts)]))
    length = None if flags["length"] == -1 else flags["length"]
    options = _options(flags, encoder, contents.text)
    rules = _rules(flags, contents.text)
    check_novel(prompt, rules)
    match = None
    if flags["match"] is not None:
        from charrnn.generation.matching import LineMatch  # here: most samples start without

        match = LineMatch.build(flags["match"], encoder, options.allowed).after(prompt, length)
        rules = replace(rules, fits=match.fits)
    _warn_of_stops(rules.stops, encoder, options.allowed)
    return Job(
        sampler=Sampler(model, opening, options, flags["seed"], match),
        encoder=encoder,
        text=contents.text,
        before=before,
        prompt=prompt,
        echo=not flags["no_echo"],
        length=length,
        rules=rules,
        num_samples=flags["num_samples"],
        separator="\n" if flags["separator"] is None else unescape(flags["separator"]),
        at_once=at_once,
    )


def _rules(flags: Mapping[str, Any], text: TextOptions) -> Rules:
    """What ends a sample before its length, and which lines are left out of it."""
    known_lines = _known_lines(flags["novel"], text) if flags["novel"] else None
    stops = tuple(_as_text(stop, text) for stop in flags["stop"] or ())
    return Rules(stops=stops, lines=flags["lines"], known_lines=known_lines)


def _as_text(typed: str, options: TextOptions) -> str:
    """What is typed with escapes, in the form that the model's text has."""
    return prepare(unescape(typed), options)


def _warn_of_stops(stops: Sequence[str], encoder: CharEncoder, allowed: tuple[int, ...] | None) -> None:
    """Say on stderr which texts can end nothing, since the model never writes one of their characters."""
    for stop in stops:
        never = "".join(dict.fromkeys(c for c in stop if not _writes(c, encoder, allowed)))
        if never:
            write_error(f"--stop {stop!r} can end no text: the model never writes {describe_characters(never)}")


def _writes(character: str, encoder: CharEncoder, allowed: tuple[int, ...] | None) -> bool:
    return character in encoder and (allowed is None or set(encode_ids(encoder, character)) <= set(allowed))


def _known_lines(paths: Sequence[str], options: TextOptions) -> KnownLines:
    """The lines of files, read as the model's text was."""
    from charrnn.text.documents import read_text  # here: most samples start without

    return KnownLines(line.removesuffix("\r") for path in paths for line in read_text(path, options).split("\n"))


def _options(flags: Mapping[str, Any], encoder: CharEncoder, text: TextOptions) -> SamplingOptions:
    """How the next character is chosen."""
    temperature, last = _parse_temperature(flags["temperature"])
    if last is not None and flags["length"] == -1:
        raise ConfigError("--temperature as a range runs over the text, and --length -1 has no end; give a length")
    over_lines = flags["over_lines"] if last is not None else None
    if over_lines == 1:
        raise ConfigError(
            "--temperature as a range runs over the lines, and there is one; give --length to run over that"
        )
    return SamplingOptions(
        temperature=temperature,
        last_temperature=last,
        over_lines=over_lines,
        top_k=flags["top_k"],
        top_p=flags["top_p"],
        min_p=flags["min_p"],
        allowed=_allowed(flags, encoder, text),
        recall_all=flags["recall_all"],
    )


def _allowed(flags: Mapping[str, Any], encoder: CharEncoder, text: TextOptions) -> tuple[int, ...] | None:
    """The ids to write with; None for all."""
    if not flags["allow"] and not flags["forbid"]:
        return None
    allow, forbid = ("".join(_as_text(typed, text) for typed in flags[name] or ()) for name in ("allow", "forbid"))
    if encoder.unit == BYTE and not f"{allow}{forbid}".isascii():
        raise ConfigError("--allow and --forbid take ASCII alone for a model of bytes: other characters are several")
    allow = allow if flags["allow"] else encoder.characters
    written = {i: c for i, c in enumerate(encoder.characters) if c in allow and c not in forbid}
    if flags["lines"] is not None and flags["match"] is None and "\n" in encoder and "\n" not in written.values():
        flag = "--forbid" if "\n" in allow else "--allow"
        raise ConfigError(f"{flag} leaves no line feed to end a line with, and --lines asks for lines; allow \\n too")
    return tuple(written)


def _parse_temperature(text: str) -> tuple[float, float | None]:
    """Read a temperature such as `0.8`, or a range such as `0.3..1.2`: its end is None where it is none.

    Raises:
        ConfigError: it is neither.
    """
    first, dots, last = text.partition("..")
    try:
        return float(first), float(last) if dots else None
    except ValueError:
        raise ConfigError(f"--temperature is {text!r}; write it as 0.8, or as 0.3..1.2 for a range") from None
