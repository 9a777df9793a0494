"""The text that a sample begins with: where it comes from, and what becomes of characters that the model lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from charrnn.cli.common.encodings import doubt_of
from charrnn.cli.common.hints import told_where_listed
from charrnn.display.messages import write_line, write_warning
from charrnn.errors import CharRNNError, ConfigError
from charrnn.escape import describe_characters, one_line, shell_quoted
from charrnn.paths import STDIN
from charrnn.text.decoding import prepare
from charrnn.text.encoder import CharEncoder
from charrnn.text.likeness import in_known_form, to_nearest
from charrnn.text.options import BYTE, TextOptions
from charrnn.wording import number_of

if TYPE_CHECKING:
    from charrnn.generation.rules import Rules

_MENDS = {
    "error": "--unknown skip leaves them out, nearest takes what is like them",
    "nearest": "nothing is near them; --unknown skip leaves them out",
}
"""What to advise if characters remain that a model lacks, by the rule that leaves them."""

LONGEST_SHOWN = 60
"""The most characters of a prompt that a message shows."""

SPECIAL = frozenset(r"\.^$*+?{}[]|()")
"""Characters that have a special meaning in a pattern unless escaped."""

IN_SHELL = r"a line feed is typed as $'...\n' in bash and zsh, or comes by --prompt-file"
IN_CONVERSATION = "a line feed is typed at a terminal alone; --prompt-file may hold some"
"""What to advise if the prompt has a backslash, which the model lacks."""


def check_novel(prompt: str, rules: Rules, unit: str) -> None:
    """Refuse --novel if the prompt ends within a line: that line is written before it is known how it goes on.

    Args:
        prompt: what stands before the sample.
        rules: whether known lines are left out, how many lines are written, and whether they must match a pattern.
        unit: the model's unit; bytes cannot be held to a pattern.

    Raises:
        ConfigError: known lines are to be left out, and the prompt ends within a line.
    """
    before, _, begun = prompt.rpartition("\n")
    if rules.known_lines is None or not begun:
        return
    place = "its last line" if before else "the prompt"
    told = "let the prompt end with a line feed"
    is_one = rules.lines == 1  # several would all begin like the prompt
    if rules.fits is not None:
        told += f", or let the pattern begin so in place of {place}{'' if is_one else ', and give --lines 1'}"
    elif unit != BYTE and len(begun) <= LONGEST_SHOWN:
        pattern = shell_quoted(f"{_as_pattern(begun)}.*")
        told += f", or give in place of {place} a pattern: --match {pattern}{'' if is_one else ' --lines 1'}"
    raise ConfigError(f"--novel leaves out whole lines, and cannot leave out the one that the prompt begins; {told}")


def read_prompt(prompt: str, prompt_file: str | None, options: TextOptions, encoding: str | None = None) -> str:
    """Take the prompt as given, from a file, or from standard input for "-", and prepare it as the model's text was.

    Args:
        prompt: the prompt itself, or "-".
        prompt_file: path of a file that holds the prompt, or None.
        options: how the model's text was read.
        encoding: encoding of the file or standard input; None for that of the model's text.

    Raises:
        CorpusError: the prompt cannot be read.
        ConfigError: there is no such encoding.
    """
    source = prompt_file
    if source is None and prompt == STDIN:
        source = STDIN
    if source is None:
        return prepare(prompt, options)
    from charrnn.text.documents import read_text

    text = read_text(source, options.in_encoding(encoding), doubt=doubt_of(options.encoding, encoding))
    if prompt != STDIN:
        return text
    end = "\r\n" if text.endswith("\r\n") else "\n"
    return text.removesuffix(end)  # drop the line end that `echo` adds


def fit_prompt(
    prompt: str,
    encoder: CharEncoder,
    unknown: str | None,
    model: str,
    of_backslash: str = IN_SHELL,
    *,
    is_typed: bool = False,
    quiet: bool = False,
) -> str:
    """Bring a prompt to the characters that a model knows; report what is lost of it, and if nothing is left.

    Args:
        prompt: any text; a letter that the model knows only in the other Unicode form is replaced by that.
        encoder: the model's encoder.
        unknown: what to do with other characters, one of `charrnn.cli.sampler.flags.UNKNOWN_RULES`: refuse them, leave
            them out, or replace them by the nearest. None: keep them where the model has an id for rare characters, as
            which it reads them; else refuse them.
        model: the model's path as the user typed it, for the message.
        of_backslash: what the message says of a backslash.
        is_typed: whether it is typed in a conversation, where nobody can change the rule: without one, characters are
            replaced by the nearest, and what would be refused is left out.
        quiet: whether not to report what is lost, unless it is everything.

    Raises:
        CharRNNError: characters remain that the model does not know.
    """
    is_lenient = is_typed and unknown is None
    fitted = in_known_form(prompt, encoder)
    if unknown == "nearest" or is_lenient:
        fitted = to_nearest(fitted, encoder)
    lacking = encoder.without_own_id(fitted)
    if unknown == "skip" or (is_lenient and not encoder.has_unknown):
        fitted = _skip(fitted, encoder, quiet=quiet)
    elif lacking:
        told, help_ = _told_of(lacking), _help(lacking, unknown, of_backslash)
        if unknown == "error" or not encoder.has_unknown:
            verb = "does not know" if encoder.has_unknown else "never saw"  # it may have seen rare ones
            known = f"{number_of(len(encoder), encoder.unit)}{told_where_listed(model)}"
            raise CharRNNError(f"{told} {verb} ({known}); {help_}")
        if not quiet:
            write_line(f"{told} reads as rare characters{'' if is_lenient else f'; {help_}'}")
    if prompt and not fitted:
        write_warning("nothing is left of the prompt, of which the model knows no character")
    return fitted


def tell_rare(lacking: str, unknown: str | None, of_backslash: str) -> None:
    """Report which characters of several prompts, not typed but read, a model reads as rare ones."""
    write_line(f"{_told_of(lacking)} reads as rare characters; {_help(lacking, unknown, of_backslash)}")


def _told_of(lacking: str) -> str:
    return f"prompt has {describe_characters(lacking)}, which this model"


def _help(lacking: str, unknown: str | None, of_backslash: str) -> str:
    return _MENDS[unknown or "error"] + (f"; {of_backslash}" if "\\" in lacking else "")


def _skip(prompt: str, encoder: CharEncoder, *, quiet: bool) -> str:
    """Leave out the characters of a prompt that a model does not know, and report them."""
    known = "".join(character for character in prompt if character in encoder)
    if known and len(known) < len(prompt) and not quiet:
        skipped = number_of(len(prompt) - len(known), "character")
        described = describe_characters(encoder.without_own_id(prompt))
        write_line(f"{skipped} left out of the prompt, which the model lacks: {one_line(described)}")
    return known


def _as_pattern(text: str) -> str:
    """A pattern that matches only one text."""
    return "".join(f"\\{character}" if character in SPECIAL else character for character in text)
