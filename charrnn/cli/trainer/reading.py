"""Read the requested texts once, and give the corpus to every process of a training."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from charrnn.arrays import Ids
from charrnn.cli.common.training_outputs import is_made_by_training
from charrnn.cli.trainer.request import Request
from charrnn.cli.trainer.resume_changes import check_fine_tuning, check_resume
from charrnn.cli.trainer.suggested_commands import command_from_stdin, typed_texts, way_to_begin
from charrnn.cli.trainer.waiting import has_viewer
from charrnn.display.messages import write_line
from charrnn.errors import CheckpointError, ConfigError, CorpusError, ForeignTextError
from charrnn.escape import one_line, shell_quoted
from charrnn.paths import STDIN, name_of, told_of_typing
from charrnn.storage.archive import Checkpoint, read_checkpoint
from charrnn.storage.origin import CorpusFacts, Origin
from charrnn.text.cache import Cache
from charrnn.text.corpus import Corpus, read_corpus
from charrnn.text.documents import begins_as
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import TextOptions
from charrnn.text.read_options import ReadOptions
from charrnn.training.clock import CLOCK
from charrnn.training.ranks import Ranks
from charrnn.wording import all_of


def stored_reading(request: Request, ranks: Ranks) -> ReadOptions:
    """The reading options for a resumed run: text options and alphabet as in the checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be read, or was exported.
        ConfigError: a flag does not fit the stored run.
    """
    text, encoder = ranks.broadcast(lambda: _stored_text(request))
    reading = replace(request.reading, options=text, encoder=encoder, start_flags=way_to_begin(request))
    return replace(reading, min_count=None, max_vocab=None) if request.force else reading  # the stored alphabet stays


def initial_reading(request: Request, ranks: Ranks) -> ReadOptions:
    """The reading options for a run with the weights of another: explicit flags, else the checkpoint's text options.

    Raises:
        CheckpointError: the checkpoint cannot be read.
        ConfigError: the flags ask for another unit, or do not fit the weights.
    """
    text, encoder = ranks.broadcast(lambda: _stored_text(request))
    given = {name: value for name, value in request.explicit.items() if name in asdict(text)}
    if given.get("unit", text.unit) != text.unit:
        raise ConfigError(f"--unit is {given['unit']}, and {request.source} has learned {text.unit}s; leave it out")
    return replace(request.reading, options=replace(text, **given), known=encoder)


def read_texts(request: Request, reading: ReadOptions, ranks: Ranks) -> Corpus:
    """Read and encode the texts on the first rank; the others receive its ids, or map the same cache file.

    On a host without that file, one process reads the texts there, and the others map the file that it has written.

    Raises:
        CorpusError: see `read_corpus`; or the texts differ between hosts.
        CheckpointError: the text of a resumed run has grown, and has characters that its alphabet lacks.
    """
    reading = replace(reading, outputs=request.outputs, is_made=is_made_by_training)
    corpus = _read_first(request, reading) if ranks.is_first else None
    if ranks.world_size == 1:
        assert corpus is not None, "one that is alone is the first"
        return corpus
    facts, file = ranks.broadcast(lambda: _describe(corpus))
    if file is None:
        ids = cast(Ids, ranks.broadcast_array(None if corpus is None else corpus.ids))
        return replace(facts, ids=ids)
    path, num_ids, dtype = file
    mapped = corpus.ids if corpus else Cache(path.parent).find(path.stem, num_ids, dtype)
    again = replace(reading, encoder=facts.encoder, min_count=None, max_vocab=None)
    for is_turn in (ranks.local_rank == 0, ranks.local_rank != 0):
        if mapped is None and is_turn:
            made = again.cache.find(path.stem, num_ids, dtype) if again.cache else None
            mapped = _read_again(request, again, facts) if made is None else made
        ranks.barrier()
    assert mapped is not None, "each had its turn"
    return replace(facts, ids=mapped)


def check_same(stored: Checkpoint, corpus: Corpus, request: Request) -> None:
    """Refuse to resume with another text than the one that a checkpoint has learned from.

    Raises:
        CheckpointError: it is another text; the message names flags that may be missing, or how to resume if the text
            has grown.
    """
    before = stored.corpus
    if is_same_text(before, corpus):
        return
    if before.sha256 == corpus.sha256:
        raise CheckpointError(
            f"{request.source}: read these bytes as other characters: they were divided into files differently (a "
            "byte-order mark counts only where a file begins), or Python was another version; give the texts in the "
            "files that they were in"
        )
    mend = _mend_by_flags(stored, request)
    if corpus.num_bytes > before.bytes and any(map(os.path.isdir, request.all_texts)):
        mend += " as it was (--exclude leaves out files that have come into a folder since, not what was edited)"
    has = "have" if request.texts[1:] else "has"
    found = f"{_named(corpus.name, request.new_origin())} {has} {corpus.num_bytes:,} (sha256 {corpus.sha256:.12})"
    raise _of_another_text(stored, found, _mend_by_growth(request, before) or mend, request)


def is_same_text(before: CorpusFacts, corpus: Corpus) -> bool:
    """Whether a text is the one that a checkpoint has learned from: the same bytes, decoded to the same characters."""
    return (before.sha256, before.counts) == (corpus.sha256, corpus.counts)


def _mend_by_flags(stored: Checkpoint, request: Request) -> str:
    """Advice on which text to give: with flags that are missing, or with the --val-text of the stored run."""
    before, now = stored.origin, request.new_origin()
    if now.val_texts and not before.val_texts:
        return "give that text without --val-text"
    if now.val_texts and before.held_out_by_name != now.held_out_by_name:
        return "give that text with " + " ".join(f"--val-text {shell_quoted(text)}" for text in before.val_texts)
    flags = {"val_texts": "--val-text", **{name: f"--{name}" for name in ("separator", "include", "exclude")}}
    then, given = vars(before), vars(request.reading)
    forgotten = [flag for name, flag in flags.items() if then[name] and not given[name]]
    return f"give that text with its {all_of(forgotten)}" if forgotten else "give that text"


def _named(name: str, origin: Origin) -> str:
    """The name of the corpus, with the number of further texts and those held out by --val-text."""
    held_out = f" ({origin.held_out_by_name} held out)" if origin.val_texts else ""
    return one_line(f"{name}{origin.and_more_texts}{held_out}")


def _of_another_text(stored: Checkpoint, now: str, mend: str, request: Request) -> CheckpointError:
    path, before = request.source, stored.corpus
    return CheckpointError(
        f"{path}: learned from {_named(before.name, stored.origin)} of {before.bytes:,} bytes "
        f"(sha256 {one_line(before.sha256):.12}), and {now}; {mend}, or begin a training on this one from its weights "
        f"with {way_to_begin(request)}"
    )


def _mend_by_growth(request: Request, before: CorpusFacts) -> str:
    """Advice on how to resume with a text that has grown; empty if it has not."""
    if len(request.all_texts) > 1 or not begins_as(request.texts[0], before.bytes, before.sha256):
        return ""
    piped = f"head -c {before.bytes} {typed_texts(request)} | {command_from_stdin(request)}"
    return f"it has grown: to go on with what there was, its first {before.bytes:,} bytes, run {piped}"


def _stored_text(request: Request) -> tuple[TextOptions, CharEncoder]:
    stored = read_checkpoint(str(request.source))
    check = check_resume if request.resume else check_fine_tuning
    check(stored, request)  # before the texts are read: they may be pipes
    return stored.text_options, stored.encoder


def _read_first(request: Request, reading: ReadOptions) -> Corpus:
    """Read the texts; if the run's alphabet lacks characters because the text has grown, say so in the error."""
    try:
        return _read(request, reading)
    except (ForeignTextError, ConfigError):
        if reading.encoder is not None and not request.force:
            stored = read_checkpoint(str(request.source))
            if mend := _mend_by_growth(request, stored.corpus):
                now = f"{request.texts[0]} has {os.path.getsize(request.texts[0]):,}"
                raise _of_another_text(stored, now, mend, request) from None
        raise


def _read(request: Request, reading: ReadOptions) -> Corpus:
    if request.speaks_plainly and (told := told_of_typing(request.all_texts)):
        write_line(told)
    if has_viewer(request):
        from charrnn.display.console import reading_bar

        with reading_bar(sys.stderr) as bar:
            corpus = read_corpus(request.texts, reading, partial(_look, bar=bar))
    else:
        corpus = read_corpus(request.texts, reading, _look)
    CLOCK.heartbeat()  # before the loading of PyTorch, which does not look
    return corpus


def _look(done: int, bar: Callable[[int], None] | None = None) -> None:
    """Progress callback of the reading: look at the clock, and update a bar."""
    CLOCK.heartbeat()
    if bar is not None:
        bar(done)


def _describe(corpus: Corpus | None) -> tuple[Corpus, tuple[Path, int, np.dtype[np.generic]] | None]:
    """A corpus without its ids, and path, length and dtype of the file that they are mapped from; None if in memory."""
    assert corpus is not None, "the first rank has one"
    ids = corpus.ids
    file = (Path(str(ids.filename)), len(ids), ids.dtype) if isinstance(ids, np.memmap) else None
    return replace(corpus, ids=np.empty(0, dtype=np.uint8)), file


def _read_again(request: Request, reading: ReadOptions, facts: Corpus) -> Ids:
    """Read the texts on a host other than the first rank's."""
    if STDIN in request.all_texts:
        raise CorpusError(f"{name_of(STDIN)}: is too long to be sent to other hosts; give a file that all have")
    corpus = read_corpus(request.texts, reading)
    if corpus.sha256 != facts.sha256:
        raise CorpusError(f"{corpus.name}: is another text here than on the first host; give all hosts the same")
    return corpus.ids
