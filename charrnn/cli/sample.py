"""`charrnn sample`: text from a checkpoint to stdout, as it comes."""

from __future__ import annotations

import itertools
import math
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from charrnn.errors import CharRNNError, ConfigError, UnknownCharacterError
from charrnn.escape import visible

if TYPE_CHECKING:
    from charrnn.archive import Checkpoint
    from charrnn.encoder import CharEncoder
    from charrnn.sampling import Sampler, StepModel

STREAMS_AT_ONCE = {"cpu": 64, "cuda": 4096}
FLUSH_SECONDS = 0.05


def sample(
    checkpoint: Annotated[str, typer.Argument(help="A file that `charrnn train` wrote.", show_default=False)],
    prompt: Annotated[
        str, typer.Option("--prompt", "-p", help="Text to continue; it is written first.", show_default=False)
    ] = "",
    length: Annotated[
        int, typer.Option("--length", "-n", min=-1, help="Characters to write after the prompt; -1: without end.")
    ] = 500,
    temperature: Annotated[
        float, typer.Option("--temperature", "-t", help="Below 1 safer, above 1 wilder; 0: always the likeliest.")
    ] = 0.8,
    top_k: Annotated[
        int | None,
        typer.Option(help="Choose among the K likeliest characters only. [default: all]", show_default=False),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Same seed, same text. [default: a fresh one, told on stderr]", show_default=False),
    ] = None,
    num_samples: Annotated[
        int, typer.Option("--num-samples", "-N", min=1, help="Texts to write, a blank line between them.")
    ] = 1,
    device: Annotated[str, typer.Option(help="cpu, or cuda for thousands of texts at once.")] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on stderr but errors.")] = False,
) -> None:
    """Write text in the style of a checkpoint.

    The text goes to stdout as it comes, and nothing else does.
    """
    if length == -1 and num_samples > 1:
        raise ConfigError("--length -1 never ends, so that --num-samples must be 1")
    # Imported here: --help must not wait for numpy.
    from charrnn.archive import read_checkpoint
    from charrnn.cli.shared import first_ids
    from charrnn.filters import SamplingOptions
    from charrnn.sampling import Sampler

    if device not in STREAMS_AT_ONCE:
        raise ConfigError(f"--device is {device!r}; it must be one of {', '.join(STREAMS_AT_ONCE)}")
    options = SamplingOptions(temperature=temperature, top_k=top_k)
    contents = read_checkpoint(checkpoint)
    prompt_ids = _encode_prompt(contents.encoder, prompt, checkpoint) or first_ids(
        contents.encoder, contents.corpus.counts
    )
    if seed is None:
        seed = secrets.randbits(32)
    sampler = Sampler(_load_model(contents, device), prompt_ids, options, seed)
    if not quiet:
        print(f"seed {seed}", file=sys.stderr, flush=True)
    if num_samples == 1:
        ids = sampler.stream(None if length == -1 else length)
        write_stream(sys.stdout.buffer, itertools.chain(prompt, (contents.encoder.characters[i] for i in ids)))
    else:
        texts = _texts(sampler, contents, num_samples, length, STREAMS_AT_ONCE[device])
        write_texts(sys.stdout.buffer, (prompt + text for text in texts))


def write_stream(out: BinaryIO, characters: Iterable[str]) -> None:
    """Write characters as they come, and end the line.

    On a terminal each is shown at once, and what would command the terminal is shown and not obeyed; elsewhere they are
    handed on unaltered every `FLUSH_SECONDS`.
    """
    is_terminal, flushed, last = out.isatty(), -math.inf, ""
    for last in characters:
        out.write(to_bytes(visible(last) if is_terminal else last))
        if is_terminal or time.monotonic() - flushed > FLUSH_SECONDS:
            out.flush()
            flushed = time.monotonic()
    if is_terminal and last != "\n":
        out.write(b"\n")
    out.flush()


def write_texts(out: BinaryIO, texts: Iterable[str]) -> None:
    """Write whole texts, each ended by a line feed, a blank line between them."""
    is_terminal = out.isatty()
    for number, text in enumerate(texts):
        separator = b"\n" if number else b""
        shown = to_bytes(visible(text) if is_terminal else text)
        out.write(separator + shown + (b"" if text.endswith("\n") else b"\n"))
        out.flush()


def to_bytes(text: str) -> bytes:
    """Encode as UTF-8; what cannot be (a lone surrogate in a stranger's alphabet) becomes a question mark."""
    return text.encode("utf-8", "replace")


def _texts(sampler: Sampler, contents: Checkpoint, num_samples: int, length: int, at_once: int) -> Iterator[str]:
    """All samples in order, a bounded number of them computed side by side."""
    for first in range(0, num_samples, at_once):
        batch = sampler.batch(range(first, min(first + at_once, num_samples)), length)
        yield from map(contents.encoder.decode, batch)


def _encode_prompt(encoder: CharEncoder, prompt: str, path: str) -> list[int]:
    from charrnn.cli.shared import encode_ids

    try:
        return encode_ids(encoder, prompt)
    except UnknownCharacterError as error:
        raise CharRNNError(
            f"prompt has {error.describe()}, which this model never saw "
            f"({error.vocab_size} characters; see `charrnn inspect {path}`)"
        ) from None


def _load_model(contents: Checkpoint, device: str) -> StepModel:
    """The numpy engine on a CPU; torch, which takes seconds to import, on a GPU only."""
    if device == "cuda":
        from charrnn.torch_engine import TorchCharRNN

        return TorchCharRNN(contents.model, contents.weights, device)
    from charrnn.engine import NumpyCharRNN

    return NumpyCharRNN(contents.model, contents.weights)
