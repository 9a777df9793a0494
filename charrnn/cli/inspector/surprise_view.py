"""`charrnn inspect --text`: a text coloured by how much each character surprises the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from charrnn.analysis.neurons import MAX_VIEWED
from charrnn.analysis.surprise import HIGHEST_BITS, SeenCharacter, follow, mean_bits
from charrnn.cli.inspector.fitting import fit_text, unknown_price
from charrnn.cli.inspector.recording import TYPED, Excerpt, describe_omission
from charrnn.cli.inspector.results import Section, View
from charrnn.cli.inspector.subject import Subject
from charrnn.display.heatmap import Column, digit, draw, heat, heat_scale, share_ground
from charrnn.display.svg import Tinted
from charrnn.display.widths import wrapped
from charrnn.errors import CorpusError
from charrnn.escape import describe_characters, one_line
from charrnn.metrics import bits_per_char
from charrnn.surrogates import name_byte
from charrnn.text.encoder import UNKNOWN_MARK
from charrnn.text.unknowns import EncodedText, encode_known
from charrnn.wording import number_of

DEFAULT_TOP_K, MOST_GUESSES = 5, 20
"""Default and largest number of guesses per character on a page."""


def surprise_view(subject: Subject, given: Excerpt, *, rule: str, top_k: int) -> View:
    """Show a text, or its beginning, coloured by surprisal, with the likeliest characters below each."""
    piece, source = given.first(MAX_VIEWED), given.source
    encoded, left_out = _readable(subject, piece, rule)
    if not encoded.text:
        raise CorpusError(f"{source}: no characters to show; give a text to read")
    top_k = min(top_k, subject.contents.model.vocab_size)
    seen = follow(
        subject.engine, subject.contents.encoder, encoded,
        first_id=subject.contents.first_id,
        price=unknown_price(subject), top_k=top_k,
    )  # fmt: skip
    told = _told_of_unknown(encoded, unknown_price(subject), source)
    data = {
        "text": source,
        "read": len(piece.text),
        "of": piece.whole,
        "unknown": encoded.num_unknown,
        "left_out": left_out,
        "bits_per_char": mean_bits(seen),
        "characters": [
            {"char": name_byte(one.character), "bits": round(one.bits, 4), "top": _top(one)} for one in seen
        ],
    }
    tinted = tuple(
        Tinted(one.character, one.bits / HIGHEST_BITS, tuple(_sign(guess) for guess, _ in one.guesses)) for one in seen
    )
    cut = f"{piece.extent}; --score FILE --by line reads all of it" if piece.is_cut else ""
    notes = [note for note in (cut, told, describe_omission(left_out).removeprefix("; ")) if note]
    legend = f"orange: surprising, the strongest {HIGHEST_BITS} bits or more"
    legend += "; below: what was expected" if top_k else ""
    return View(
        "surprise", data, lambda width, colour: _draw_surprise(seen, notes, width, colour, top_k), tinted, legend, cut
    )


def surprise_section(subject: Subject, shown: Excerpt, *, rule: str, top_k: int) -> Section:
    """The surprise view for a page, always with guesses."""
    top_k = min(top_k or DEFAULT_TOP_K, MOST_GUESSES)
    seen = surprise_view(subject, shown, rule=rule, top_k=top_k)
    return {"surprise": {**seen.data, "extent": shown.page_extent}}


def _readable(subject: Subject, piece: Excerpt, rule: str) -> tuple[EncodedText, int]:
    """A piece as the model reads it, and the number of unknown characters left out.

    A fitted piece is not normalised again: characters on both sides of a gap might be joined.
    """
    encoder = subject.contents.encoder
    if piece.is_fitted:
        return encode_known(piece.text, encoder), piece.left_out
    encoded = fit_text(subject, piece.text, piece.source, rule)
    if rule != "skip":
        return encoded, 0
    return encode_known(encoded.known_text, encoder), encoded.num_unknown


def _told_of_unknown(encoded: EncodedText, price: float, source: str) -> str:
    """A note on unknown characters and their price in the figure; empty if there are none."""
    if not encoded.unknown:
        return ""
    unknown = f"{number_of(encoded.num_unknown, 'character')} that it does not know"
    is_escaped = source == TYPED and "\\" in encoded.unknown
    typed = "; a line feed is typed as $'...\\n' in bash and zsh, or comes by --text-file" if is_escaped else ""
    return f"{unknown}, at {bits_per_char(price):.1f} bits each: {describe_characters(encoded.unknown)}{typed}"


def _draw_surprise(
    seen: Sequence[SeenCharacter], notes: Sequence[str], width: int, colour: bool, top_k: int
) -> list[str]:
    columns = []
    for one in seen:
        digits = () if colour else (digit(one.bits),)
        guesses = [_sign(character) for character, _ in one.guesses]
        below = (*digits, *guesses, *" " * (top_k - len(guesses)))
        grounds = [share_ground(share) for _, share in one.guesses]
        padded = (*grounds, *[0] * (top_k - len(grounds))) if colour else ()
        columns.append(Column(one.character, heat(one.bits), below, padded))
    means = "the colour" if colour else "the digit below"
    bits = f"{mean_bits(seen):.3f} bits per character; {means} is a character's"
    headline = [line for told in (*notes, bits) for line in wrapped(one_line(told), width)]
    scale = heat_scale(colour=colour, guesses=top_k > 0)
    scale = scale if colour else [line for one in scale for line in wrapped(one, width)]
    drawn = draw(columns, width, colour=colour)
    return [*headline, "", *drawn, *([""] if drawn[-1] else []), *scale]


def _top(one: SeenCharacter) -> list[list[Any]]:
    return [[name_byte(character), round(share, 5)] for character, share in one.guesses]


def _sign(guess: str) -> str:
    """A guess as a single sign, or `UNKNOWN_MARK` if its name is longer."""
    return guess if len(name_byte(guess)) == 1 else UNKNOWN_MARK
