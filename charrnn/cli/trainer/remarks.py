"""What `charrnn train` says about its text: what it is, how it was read, and what may be wrong with it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from charrnn.analysis.amounts import LINE, measure_of
from charrnn.cli.trainer.prepared_run import PreparedRun
from charrnn.escape import one_line
from charrnn.text.advice import OF_WINDOWS, SCRIPTS
from charrnn.text.cache import KEPT_DAYS
from charrnn.text.corpus import Corpus
from charrnn.text.documents import TO_A_NUL
from charrnn.text.left_out import MADE, LeftOut
from charrnn.text.options import CHARACTER
from charrnn.text.places import count_blank_lines, count_lines
from charrnn.text.splitting import count_known
from charrnn.wording import describe_known, number_of

MANY_CONTROLS = 0.05
"""Share of a text above which C1 controls point to a wrong encoding, not only to misread quotation marks. With that
share of C0 controls other than NUL, it is hardly a text."""

C0_CONTROLS = frozenset(map(chr, range(0x20))).difference("\b\t\n\v\f\r\x1b")
"""C0 controls that do not occur in text: all but white space, backspace (overstrike) and escape (colours)."""

MANY_BLANK = 0.1
"""Share of blank lines from which a warning is given, with --lines: no other line is as likely."""

NAMED = 3
"""Most files named in one message about files left out."""

ENDINGS = 5
"""Most file name extensions that are listed, the most common first."""

_MISREAD = "the text was misread, here or before: name its --encoding, or get it again"


def describe_corpus(prepared: PreparedRun) -> list[str]:
    """Describe the text, how it was read and what may be wrong with it, one line each."""
    corpus, run = prepared.corpus, prepared.run
    lines = [
        _describe_pieces(prepared),
        _told_of_cache(corpus),
        _told_of_rare(corpus, is_fresh=not run.history),  # with a history the alphabet comes from an earlier text
        _told_of_known_lines(prepared),
    ]
    lines += _told_of_skipped(prepared, corpus.skipped)
    if not run.step:  # at a resume these were told before, and their remedies would be refused
        lines += _too_little(prepared)
        lines.append(_told_of_blank_lines(prepared))
        lines.append(corpus.told_of_patterns)
        lines.append(_told_of_html(corpus))
        lines += _doubts(corpus) if corpus.options.unit == CHARACTER else []
    return list(filter(None, lines))


def warnings(prepared: PreparedRun) -> list[str]:
    """The remarks about the text that are shown even with --quiet, one line each."""
    corpus = prepared.corpus
    told = _told_of_skipped(prepared, [left for left in corpus.skipped if left.cause != MADE])
    told += [] if prepared.run.step else [*_told_of_misread(corpus), _told_of_no_text(corpus)]
    return list(filter(None, told))


def _describe_pieces(prepared: PreparedRun) -> str:
    corpus, run = prepared.corpus, prepared.run
    training, held_out = map(len, prepared.pieces)
    evaluated = run.config.num_evaluated(len(run.val_ids))
    files = f" in {corpus.num_documents:,} files{_endings(corpus)}" if corpus.num_documents > 1 else ""
    which = f"the {held_out:,} of {one_line(corpus.val_name)}" if corpus.val_name else f"the last {held_out:,}"
    which = f"{held_out:,} in lines from all over it" if run.config.val_spread else which
    some = f", of which {evaluated:,} are evaluated" if evaluated < held_out else ""
    apart = f"{which} held out{some}"
    if not run.config.holds_out:
        where = "lines from all over it" if run.config.val_spread else "its end"
        apart = f"nothing held out: validation is on {evaluated:,} in {where}, which are learned from too"
    name = one_line(corpus.name + prepared.origin.and_more_texts)
    return (
        f"{name}: {len(corpus.ids):,} {corpus.options.unit}s{files}, {corpus.num_distinct:,} distinct; "
        f"{training:,} to train on, {apart}"
    )


def _endings(corpus: Corpus) -> str:
    """How many files there are of each extension; empty if all have the same."""
    counted = [f"{times:,} {ending or 'without an ending'}" for ending, times in corpus.endings.items()]
    more = ", ..." if len(counted) > ENDINGS else ""
    return f" ({one_line(', '.join(counted[:ENDINGS]))}{more})" if len(counted) > 1 else ""


def _told_of_cache(corpus: Corpus) -> str:
    if not isinstance(corpus.ids, np.memmap):
        return ""
    return (
        f"kept encoded in {one_line(os.path.dirname(str(corpus.ids.filename)))}, {corpus.ids.nbytes / 1e6:,.0f} MB, "
        f"for {KEPT_DAYS} days after its last use; --no-cache holds it in memory"
    )


def _told_of_rare(corpus: Corpus, *, is_fresh: bool) -> str:
    """How many characters share the id for unknown ones; empty if none do."""
    if not (corpus.encoder.has_unknown and corpus.counts[-1]):
        return ""
    rare = corpus.num_distinct - sum(times > 0 for times in corpus.counts[:-1])
    why = "too rare to be learned" if is_fresh else "too rare or new to the model"
    flags = "; --min-count and --max-vocab decide" if is_fresh else ""
    return (
        f"{number_of(rare, corpus.options.unit)} {why} ({corpus.counts[-1] / len(corpus.ids):.2%} of the text) "
        f"share one id, which is never written{flags}"
    )


def _told_of_known_lines(prepared: PreparedRun) -> str:
    """How many held-out lines also occur in the training piece; empty if none do, or without --lines."""
    corpus = prepared.corpus
    if corpus.line_end_id is None or not prepared.run.config.holds_out:
        return ""
    known = describe_known(*count_known(*prepared.pieces, corpus.encoder))
    mend = f"leave them out of {one_line(corpus.name)}" if corpus.val_name else "sort -u leaves each line once"
    return f"{known}; {mend}" if known else ""


def _told_of_blank_lines(prepared: PreparedRun) -> str:
    """How many lines are blank, with --lines if many are: a model may write hardly any others."""
    corpus = prepared.corpus
    if corpus.line_end_id is None:
        return ""
    white = [number for number, c in enumerate(corpus.encoder.characters) if c.isspace() and c != "\n"]
    blank = count_blank_lines(corpus.ids, corpus.line_end_id, white)
    if blank < MANY_BLANK * (lines := count_lines(corpus.ids, corpus.line_end_id)):
        return ""
    poems = "" if prepared.run.history else ", and poems are learned without --lines"  # else learned with it
    return (
        f"{blank:,} of {number_of(lines, 'line')} {'is' if blank == 1 else 'are'} blank, and each is learned as a text "
        f"of its own: many that it writes will be blank; grep '[^[:space:]]' leaves them out{poems}"
    )


def _told_of_skipped(prepared: PreparedRun, skipped: Sequence[LeftOut]) -> list[str]:
    """Name the files and folders that were left out, and why: one line for each remedy and kind.

    A resumed run gets no remedies: with those files its text would be another.
    """
    groups = dict[tuple[str, str], list[LeftOut]]()
    for left in skipped:
        groups.setdefault((left.cause.mend, left.kind), []).append(left)
    return [_left_out(files, mend="" if prepared.run.step else mend) for (mend, _), files in groups.items()]


def _left_out(files: Sequence[LeftOut], *, mend: str) -> str:
    """Name files, or folders, that were left out; a reason that all share is given once."""
    whys = {left.cause.why for left in files}
    is_shared = len(whys) == 1
    named = ", ".join(left.name if is_shared else f"{left.name} ({left.cause.why})" for left in files[:NAMED])
    why = f", {whys.pop()}" if is_shared else ""
    more = ", ... (--json names all)" if len(files) > NAMED else ""
    number = number_of(len(files), files[0].kind)
    return one_line(f"{number} left out{why}: {named}{more}{f'; {mend}' if mend else ''}")


def _too_little(prepared: PreparedRun) -> list[str]:
    """Warn of a training piece or a held-out piece that is too short."""
    corpus, pieces = prepared.corpus, prepared.pieces
    training, held_out = map(len, pieces)
    measure = measure_of(training, corpus.options.unit, has_lines=corpus.line_end_id is not None)
    if measure.unit == LINE and corpus.line_end_id is not None:
        training, held_out = (count_lines(piece, corpus.line_end_id) for piece in pieces)
    few_to_judge = measure.has_few_to_judge(held_out) and prepared.run.config.holds_out
    if training >= measure.few or prepared.run.history:  # a history before step 1: the weights have learned a style
        return [_too_few_held_out(number_of(held_out, measure.unit), corpus)] if few_to_judge else []
    judged = f", and {held_out:,} held out too few to judge by" if few_to_judge else ""
    few = f"{number_of(training, measure.unit)} {'is' if training == 1 else 'are'} too few to learn a style from"
    return [f"{few}{judged}; {measure.enough:,} are a good beginning"]


def _too_few_held_out(held_out: str, corpus: Corpus) -> str:
    """Warn that too little is held out of a text that is long enough."""
    mend = "hold out more" if corpus.val_name else "hold out more by --val-fraction, or learn from all by 0"
    return f"{held_out} held out: too few to judge by, or to tell which weights are the best; {mend}"


def _told_of_no_text(corpus: Corpus) -> str:
    """Warn of a corpus that is hardly a text, by its control characters; empty for any other.

    NUL alone is no evidence: half of an English text in UTF-16 is NUL if it is read as UTF-8. Other scripts in UTF-16
    also give other control characters.
    """
    if corpus.options.unit != CHARACTER:
        return ""
    times = {c: n for c, n in zip(corpus.encoder.characters, corpus.counts, strict=False) if c in C0_CONTROLS}
    controls, nulls = sum(times.values()), times.get("\0", 0)
    if controls - nulls <= MANY_CONTROLS * len(corpus.ids):
        return ""
    unless = "" if corpus.options.is_wide else "unless it takes another --encoding, "
    return (
        f"{one_line(corpus.name)}: {controls / len(corpus.ids):.0%} of it are control characters, as in hardly any "
        f"text; {unless}it may be no text, but for instance the numbers that another program made of one"
    )


def _doubts(corpus: Corpus) -> list[str]:
    """Warn of characters that rarely belong in a text, with what may have caused them."""

    def times(characters: str) -> int:
        return sum(corpus.counts[corpus.encoder.characters.index(c)] for c in characters if c in corpus.encoder)

    lines = [*_told_of_misread(corpus), _told_of_no_text(corpus)]
    if lines[-1] and corpus.options.is_wide:  # otherwise the lines below name a better encoding
        return lines
    if returns := times("\r"):
        lines.append(f"{number_of(returns, 'carriage return')} kept as characters; --newline lf makes all line ends LF")
    if nulls := times("\0"):
        lines.append(f"{number_of(nulls, 'NUL character')} kept{_advice_on_kept(nulls, corpus)}")
    if controls := times("".join(map(chr, range(0x80, 0xA0)))):
        share = controls / len(corpus.ids)
        right = OF_WINDOWS.get(corpus.options.codec)
        reads = f"--encoding {right} reads them as such" if right else _MISREAD
        told = f"where these should be quotation marks and dashes, {reads}"
        if share > MANY_CONTROLS:
            others = f"utf-8, windows-1252, {SCRIPTS}"
            if right and right not in others:
                others = f"{right}, {others}"
            told = f"{share:.0%} of the text, whose --encoding is probably another, such as {others}"
        lines.append(f"{number_of(controls, 'control character')} of U+0080 to U+009F kept; {told}")
    if escapes := times("\x1b"):
        told = "where ESC $ and ESC ( stand, --encoding iso2022_jp reads Japanese"
        lines.append(f"{number_of(escapes, 'escape character')} kept, of a terminal's colours as a rule; {told}")
    return lines


def _advice_on_kept(nulls: int, corpus: Corpus) -> str:
    """The likely cause of so many NUL characters, and a remedy; follows their number in the message.

    Read one byte a character, UTF-32 is usually more than half NUL, and UTF-16 at most half.
    """
    options, are_few = corpus.options, nulls * TO_A_NUL < len(corpus.ids)
    if are_few and not options.is_wide:
        return r", as a log has where it was broken off; tr -d '\0' takes them out"
    if are_few or options.codec.startswith("utf-32"):
        return ""
    kind = "utf-32" if options.is_wide or 2 * nulls > len(corpus.ids) else "utf-16"
    return f"; of a text in {kind.upper()}, --encoding {kind}-le or -be leaves none"


def _told_of_misread(corpus: Corpus) -> list[str]:
    """Warn of texts that are likelier in another encoding than they are read in, a line for each such encoding."""
    lines = []
    for likely in dict.fromkeys(corpus.misread.values()):
        names = [name for name, encoding in corpus.misread.items() if encoding == likely]
        is_in = "valid UTF-8" if likely == "utf-8" else f"probably in {likely}"
        told = f"read as {corpus.options.encoding}; give --encoding {likely} if that is what is meant"
        lines.append(f"{_these_are(names)} {is_in}, and {told}")
    return lines


def _told_of_html(corpus: Corpus) -> str:
    """Name the texts that are web pages; empty without."""
    if not corpus.html:
        return ""
    them = "it" if len(corpus.html) == 1 else "each"
    return f"{_these_are(corpus.html)} HTML, and its tags are learned too; save {them} as plain text to leave them out"


def _these_are(names: Sequence[str]) -> str:
    """The first of some texts, and how many more there are, as a sentence begins that says what they are."""
    name, *others = names
    return f"{one_line(name)} and {number_of(len(others), 'other text')} are" if others else f"{one_line(name)}: is"
