"""`charrnn sample` with models of other text forms: CR LF, lines, lowercase, Unicode forms and mixtures of these."""

import json
import re

import numpy as np
import pytest
import torch
from conftest import make_text, train_briefly

from charrnn.cli.sampler import preparing
from charrnn.cli.sampler.forms import InputForm
from charrnn.loading import load_for_sampling, read_others
from charrnn.storage.archive import read_checkpoint
from charrnn.text.encoder import CharEncoder
from charrnn.text.options import PLAIN, TextOptions


def test_crlf_in_a_prompt_is_read_as_lf_if_the_model_lacks_cr(sample):
    expected = sample("-p", "-", "-n", 5, "--seed", 1, input=b"Tin\nBa").done.stdout
    assert sample("-p", "-", "-n", 5, "--seed", 1, input=b"Tin\r\nBa\r\n").done.stdout == expected
    assert sample("-p", "-", "-n", 5, "--seed", 1, input=b"Tin\rBa").returncode == 1


@pytest.fixture(scope="session")
def returns(trained):
    """The name of a model whose text's lines end by CR LF."""
    (trained / "returns.txt").write_bytes(
        (make_text(12_000) * 2).replace("\n", "\r\n").replace("\r\nT", "\r\n" * 2 + "T").encode()
    )
    train_briefly(trained, "returns.txt", "--hidden-size", "48", "--max-steps", "120")
    return "returns.pt"


@pytest.mark.parametrize(("typed", "end"), [(r"\n", "\r\n"), (r"\n\n", "\r\n\r\n"), (r"\r\n", "\r\n"), (r"\r", "\r")])
def test_line_feed_in_a_stop_means_crlf_for_a_crlf_model(sample, returns, typed, end):
    flags = ["-p", "Ti", "-n", 600, "--seed", 3, "-q"]  # what is read first without a prompt depends on the stop
    whole = sample(*flags, checkpoint=returns).done.stdout.decode()
    cut = sample(*flags, "--stop", typed, checkpoint=returns)
    assert (cut.stdout.decode(), cut.stderr) == (whole[: whole.index(end)], b"")


@pytest.mark.parametrize(
    ("stops", "feeds"),
    [([r"\n\n"], 2), ([r"\r\n\r\n"], 2), ([r"\n"], 1), ([r"\n\n", "x", r"\n\n\n", r"\n"], 3), ([r"\n\nT"], 1), ([], 1)],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_text_without_a_prompt_begins_after_the_blank_line_stop(sample, returns, trained, stops, feeds, end):
    checkpoint = "words.pt" if end == "\n" else returns
    flags = [word for stop in stops for word in ("--stop", stop)]
    record = json.loads(sample("-n", 1, "--json", "--logprobs", "-q", *flags, checkpoint=checkpoint).done.stdout)
    read_first = "\n" if feeds == 1 else end * feeds
    value = log_probability(*load_for_sampling(read_checkpoint(str(trained / checkpoint))), read_first, record)
    assert record["logprobs"] == pytest.approx([value], abs=1e-4)


@pytest.mark.parametrize(("characters", "end"), [("ab\n", "\n\n"), ("ab", "")])
def test_blank_line_stop_is_ignored_if_the_line_feed_is_a_rare_character(characters, end):
    form = InputForm(PLAIN, CharEncoder(characters, has_unknown=True), has_cr_lf=False)
    assert preparing._blank_line_stop([r"\n\n"], form) == end


def test_stop_with_a_line_feed_matches_lf_and_crlf_for_a_mixed_model(sample, returns):
    flags = ["-n", 600, "--seed", 1, "-t", 9, "-q"]
    whole = sample(*flags, checkpoint=returns).done.stdout.decode()
    first = re.search("\r?\n", whole)
    assert first[0] == "\n", "a line feed that stands alone is the first"
    assert sample(*flags, "--stop", r"\n", checkpoint=returns).done.stdout.decode() == whole[: first.start()]
    told = sample(*flags, "--stop", r"9\n", checkpoint=returns).stderr.decode()
    assert told == "charrnn: --stop '9\\r\\n' can end no text: the model never writes '9' (U+0039)\n"


def test_line_feed_in_a_prompt_means_crlf_for_a_crlf_model(sample, returns):
    typed, read = (
        sample("-p", text, "-n", 9, "--seed", 1, checkpoint=returns).done.stdout for text in ("Ba\n", "Ba\r\n")
    )
    assert typed == read
    assert typed.startswith(b"Ba\r\n")


def test_line_feed_in_allow_or_forbid_means_crlf_for_a_crlf_model(sample, returns):
    assert b"\r" not in sample("-n", 300, "--seed", 1, "--forbid", r"\n", checkpoint=returns).done.stdout
    assert b"\r" in sample("-n", 300, "--seed", 1, "--allow", r"a\n", checkpoint=returns).done.stdout
    flags = ["--allow", r"a\n", "--forbid", r"\r", "--stop", r"\n", "-t", 3, "-q"]
    bare = sample("-n", 600, "--seed", 1, *flags, checkpoint=returns)
    assert (len(bare.stdout) < 600, bare.stdout.count(b"\r"), bare.stderr) == (True, 0, b"")


@pytest.mark.parametrize(("first", "other"), [("LF", "CR LF"), ("CR LF", "LF"), ("LF", "LF"), ("CR LF", "CR LF")])
def test_mixing_models_of_different_line_ends_warns(sample, returns, first, other):
    names = {"LF": "words.pt", "CR LF": returns}
    result = sample("-n", 9, "-q", "--mix", f"{names[other]}:0.5", checkpoint=names[first])
    told = f"--mix {names[other]} ends its lines by {other}, and the first model by {first}; the text may have both"
    assert result.stderr.decode() == (f"charrnn: {told}\n" if first != other else "")


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"lowercase": True}, "in lowercase"),
        ({"normalize": "nfc"}, "in its original case and normalized by nfc"),
        ({}, ""),
    ],
)
def test_mixing_models_of_different_text_forms_warns(sample, trained, form, told):
    contents = torch.load(trained / "words.pt", weights_only=True)
    torch.save({**contents, "text": {**contents["text"], **form}}, trained / "formed.pt")
    for first, other, texts in (
        ("formed.pt", "words.pt", ("in its original case", told)),
        ("words.pt", "formed.pt", (told, "in its original case")),
    ):
        result = sample("-n", 9, "-q", "--mix", f"{other}:0.5", checkpoint=first)
        message = (
            f"charrnn: the text of --mix {other} is {texts[0]}, that of the first model {texts[1]}; what you type is "
        )
        assert result.stderr.decode() == (f"{message}treated like the first model's\n" if told else "")


def test_match_on_a_crlf_model_writes_crlf_lines(sample, returns):
    flags = ["--match", "[A-Z][a-z]+ .*", "--seed", 1, "-q"]
    lines = sample(*flags, "--lines", 5, checkpoint=returns).done.stdout.decode().split("\r\n")
    assert (len(lines), lines[-1]) == (6, "")
    assert all(re.fullmatch("[A-Z][a-z]+ [a-z ]*", line) for line in lines[:-1])
    many = sample(*flags, "-n", 300, "-N", 3, "--stop", "tuna", "--json", checkpoint=returns).done.stdout
    texts = [json.loads(line)["text"] for line in many.splitlines()]
    assert all(re.fullmatch("([A-Z][a-z]+ [a-z ]*\r\n)*([A-Z][a-z]+ [a-z ]*)?", text) for text in texts)
    short = sample("--match", "[A-Z]", "--seed", 1, "-q", "-n", 2, "-N", 2, checkpoint=returns).done.stdout.decode()
    assert re.fullmatch("[A-Z]\r\n\r\n[A-Z]\r\n", short), "no text ends in half a line's end"
    flags = ["--match", "[A-Z][a-z ]{9}", "--lines", 2, "--forbid", r"\r"]
    assert re.fullmatch("([A-Z][a-z ]{9}\n){2}", sample(*flags, checkpoint=returns).done.stdout.decode())


def test_separator_and_last_line_end_follow_the_line_ends_of_the_model(sample, returns):
    flags = ["-n", 40, "--seed", 1, "-q", "--stop", r"\n"]
    one, two = sample(*flags, "-N", 2, "--separator", r"\0", checkpoint=returns).done.stdout.decode().split("\0")
    assert one.count("\n") == two.count("\n") == one.count("\r\n") == two.count("\r\n") == 1
    for separator, between in (([], "\r\n"), (["--separator", r"-\n\r\n"], "-\r\n\r\n"), (["--separator", ""], "")):
        assert sample(*flags, "-N", 2, *separator, checkpoint=returns).done.stdout.decode() == one + between + two
    spared = sample("-n", 40, "--seed", 1, "-q", "-N", 2, "--forbid", r"\r", checkpoint=returns).done.stdout
    assert b"\r" not in spared
    talk = sample("-i", *flags, checkpoint=returns, input=b"Tin\nBa\n").done.stdout.decode()
    assert re.fullmatch("Tin[^\r\n]*\r\nBa[^\r\n]*\r\n", talk)


def test_typed_characters_take_the_text_form_of_the_model(sample, trained):
    (trained / "accents.txt").write_text("CAFÉ TUNA\r\nTÜR NAP\r\n" * 300, encoding="utf-8")
    form = ["--lowercase", "--normalize", "nfc", "--newline", "lf"]
    train_briefly(trained, "accents.txt", "--hidden-size", "8", "--max-steps", "2", *form, "--overwrite")
    flags = {"checkpoint": "accents.pt"}
    assert "é" not in sample("-n", 300, "--seed", 1, "--forbid", "E\u0301", **flags).done.stdout.decode()
    assert set(sample("-n", 300, "--seed", 1, "--allow", "U\u0308N", **flags).done.stdout.decode()) == set("ün")
    for typed in (["--forbid", r"\r"], ["--allow", r"u\r\n\r"]):
        result = sample("-n", 300, "--seed", 1, "-q", "-t", 9, *typed, **flags)
        assert b"\n" in result.stdout, "a CR is no line feed"
        assert result.stderr.decode() == f"charrnn: {typed[0]} has '\\r' (U+000D), which the model never writes\n"
    whole = sample("-n", 300, "--seed", 1, "-q", **flags).done.stdout.decode()
    for typed, stop in (("E\u0301", "é"), ("\r\n", "\n"), ("N", "n")):
        result = sample("-n", 300, "--seed", 1, "-q", "--stop", typed, **flags)
        assert (result.stdout.decode(), result.stderr) == (whole[: whole.index(stop)], b"")


@pytest.mark.parametrize("is_allowed", [True, False])
def test_typed_capital_sigma_is_lowercased_by_position_and_in_lists_to_both(is_allowed):
    small, as_it_is = (
        InputForm(TextOptions(lowercase=small), CharEncoder("Σσς τουλ"), False) for small in (True, False)
    )
    typed = {"ΤΟΥΣ": "τους", "ΛΣΤ": "λστ", "Σ": "σ", "τουσ": "τουσ", "ΤΟΥΣ ": "τους "}
    assert {text: small.of(text) for text in typed} == typed
    lists = {"Σ": "σς", "ΟΣ": "οσς", "σ": "σ", "ς": "ς"}
    assert {text: small.characters_of([text], is_allowed=is_allowed) for text in lists} == lists
    assert as_it_is.characters_of(["ΟΣ"], is_allowed=is_allowed) == "ΟΣ"
    for known, either in (("σ", "σ"), ("ς", "ς"), ("τ", "σ")):
        form = InputForm(TextOptions(lowercase=True), CharEncoder(known), False)
        assert form.characters_of(["Σ"], is_allowed=is_allowed) == either


@pytest.fixture(scope="module")
def forms(trained):
    """Checkpoints that write decomposed Hangul and accents, and composed ones, as if their texts had been so."""
    contents = torch.load(trained / "words.pt", weights_only=True)
    for name, written in (("apart.pt", "\u0308\u1102\u1103\u1104\u1161"), ("whole.pt", "\u00fc\ub2c8\ub2e4")):
        characters = contents["characters"][: -len(written)] + written
        torch.save({**contents, "characters": characters}, trained / name)
    of_bytes = {"characters": contents["characters"][:-2] + "\x81\xcc", "text": {**contents["text"], "unit": "byte"}}
    torch.save({**contents, **of_bytes}, trained / "bytes.pt")


@pytest.mark.usefixtures("forms")
def test_typed_unicode_form_is_converted_to_that_of_the_model(sample):
    for checkpoint, typed, stop in (("apart.pt", "\ub530", "\u1104\u1161"), ("whole.pt", "\u1102\u1175", "\ub2c8")):
        flags = ["-n", 4000, "--seed", 1, "-q", "-t", 3]
        whole = sample(*flags, checkpoint=checkpoint).done.stdout.decode()
        cut = sample(*flags, "--stop", typed, checkpoint=checkpoint)
        assert (cut.stdout.decode(), cut.stderr) == (whole[: whole.index(stop)], b"")
        allowed = sample(*flags, "--allow", typed, checkpoint=checkpoint)
        assert (set(allowed.stdout.decode()), allowed.stderr) == (set(stop), b"")
    forbidden = sample(*flags, "--forbid", "u\u0308", checkpoint="whole.pt")
    assert (set(whole) - set(forbidden.stdout.decode()), forbidden.stderr) == ({"\u00fc"}, b"")
    spared = sample(*flags, "--forbid", "\u00fc", checkpoint="apart.pt")
    assert spared.stderr.decode() == "charrnn: --forbid has '\u00fc' (U+00FC), which the model never writes\n"
    assert "\u0308" in spared.stdout.decode(), "no part of it is forbidden"
    told = sample(*flags, "--forbid", "\u00f69\u00eb", checkpoint="apart.pt").stderr.decode().splitlines()
    assert told == [
        "charrnn: --forbid has '\u00f6' (U+00F6), which the model writes as 'o' (U+006F), '◌\u0308' (U+0308); forbid "
        "one of these",
        "charrnn: --forbid has '\u00eb' (U+00EB), which the model writes as 'e' (U+0065), '◌\u0308' (U+0308); forbid "
        "one of these",
        "charrnn: --forbid has '9' (U+0039), which the model never writes",
    ]


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize(
    ("checkpoint", "typed", "known"), [("apart.pt", "\ub530", "\u1104\u1161"), ("whole.pt", "u\u0308", "\u00fc")]
)
def test_prompt_in_the_other_unicode_form_is_converted(sample, trained, checkpoint, typed, known):
    (trained / "beginning.txt").write_text(f"Ma{typed}", encoding="utf-8")
    lines = f"Ma{typed}\n".encode()
    for flags in (["-p", f"Ma{typed}"], ["-f", "beginning.txt"], ["-p", "-"], ["-i"]):
        result = sample("-n", 5, "--seed", 1, "-q", *flags, checkpoint=checkpoint, input=lines)
        assert result.stdout.decode().startswith(f"Ma{known}"), result.stderr
        assert result.stderr == b""


@pytest.mark.usefixtures("forms")
def test_refused_pattern_gets_no_advice(sample):
    for pattern, checkpoint in (("[a\u00e9]", "bytes.pt"), ("(\ub530", "apart.pt")):
        refused = sample("--match", pattern, checkpoint=checkpoint)
        assert (refused.returncode, refused.stderr.count(b"\n")) == (2, 1), refused.stderr
    assert sample("--stop", "\u00e9", "-n", 9, "-q", checkpoint="bytes.pt").stderr == b"", (
        "though it knows the other form"
    )


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize(
    ("checkpoint", "pattern", "written"),
    [
        ("apart.pt", "[\ub2e4-\ud7a3 ]{3}", r"((\u1103|\u1104)\u1161| ){3}"),
        ("apart.pt", "\ub2e4+\u00f6?", r"(\u1103\u1161)+(o\u0308)?"),
        ("whole.pt", "[au\u0308 ]{3}", r"[a\xfc ]{3}"),
        ("whole.pt", "[\u00fc\uac00-\ud7a3 a]{3}", r"[\u00fc\uac00-\ud7a3 a]{3}"),
    ],
)
def test_pattern_in_the_other_unicode_form_is_converted(sample, checkpoint, pattern, written):
    result = sample("--match", pattern, "--seed", 1, "-q", checkpoint=checkpoint)
    assert re.fullmatch(written, result.stdout.decode().strip("\n"))
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.usefixtures("forms")
def test_all_unconvertible_letters_of_a_class_are_named(sample):
    result = sample("--match", "[^\ub2e4\ub098]\ub2e4[\\s\ub530]", "--seed", 1, "-q", checkpoint="apart.pt")
    assert result.stderr.decode() == (
        "charrnn: --match has '\ub2e4' (U+B2E4), '\ub098' (U+B098), '\ub530' (U+B530) in a class with ^ or \\w or its "
        "like, and the model writes several characters for that; name what is meant without these, or as "
        "(\\u1103\\u1161|a)\n"
    )


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("tin|nap Tuna", "T"),
        ("[A-Z][a-z]+|[\\S]in", "[A-Z]"),
        ("[A-Za-z]{3}|(?:\\x54)", "\\x54"),
        ("(?i)Tin", ""),
        ("\\S\\D.", ""),
    ],
)
def test_capitals_in_a_pattern_warn_for_a_lowercase_model(sample, trained, pattern, shown):
    contents = torch.load(trained / "words.pt", weights_only=True)
    small = {
        "characters": "\n abcdefghijklmnopqrstu",
        "text": {**contents["text"], "lowercase": True},
    }
    torch.save({**contents, **small}, trained / "small.pt")
    told = (
        f"--match has '{shown}', and the model's text is in lowercase; write small letters, or (?i) before the pattern"
    )
    for checkpoint, is_told in (("small.pt", shown != ""), ("words.pt", False)):
        result = sample("--match", pattern, "-q", checkpoint=checkpoint)
        assert (result.returncode, result.stderr.decode()) == (0, f"charrnn: {told}\n" * is_told)


@pytest.mark.usefixtures("forms")
@pytest.mark.parametrize(
    ("checkpoint", "written", "other"), [("apart.pt", "o\u0308", "\u00f6"), ("whole.pt", "\u00fc", "u\u0308")]
)
def test_novel_compares_across_unicode_forms(sample, trained, checkpoint, written, other):
    (trained / "known.txt").write_text(f"Ba{other}\nna\u00eff\n", encoding="utf-8")
    flags = ["--match", f"Ba{written}|Ban", "--lines", 9, "--seed", 1, "-q", "-t", 99]
    assert written in sample(*flags, checkpoint=checkpoint).done.stdout.decode()
    assert sample(*flags, "--novel", "known.txt", checkpoint=checkpoint).done.stdout == b"Ban\n" * 9


@pytest.mark.parametrize("names", [("words.pt", "lines.pt"), ("lines.pt", "words.pt"), ("words.pt", "words.pt")])
def test_mixture_with_a_lines_model_reads_a_prompt_as_the_start_of_a_line(sample, trained, lines, names):
    first, other = names
    contents = read_checkpoint(str(trained / first))
    mixed = load_for_sampling(contents, read_others(contents, [f"{trained / other}:0.5"]))
    flags = ["--mix", f"{other}:0.5", "-n", 1, "--json", "--logprobs", "-q"]
    for prompt in ("Ti", ""):
        record = json.loads(sample("-p", prompt, *flags, checkpoint=first).done.stdout)
        read_first = "\n" if lines in names or not prompt else ""
        assert record["logprobs"] == pytest.approx([log_probability(*mixed, read_first + prompt, record)], abs=1e-4)


def log_probability(model, encoder, text, record):
    """Of a record's first character, after a text."""
    read = model.reader()
    for character in encoder.encode(text).tolist():
        logits = read(character)
    return float(logits[encoder.encode(record["text"])[0]] - np.log(np.exp(logits.astype(float)).sum()))


def test_lines_model_reads_a_prompt_as_the_start_of_a_line(sample, trained, lines):
    model, encoder = load_for_sampling(read_checkpoint(str(trained / lines)))
    read = model.reader()
    for character in encoder.encode("\nTi").tolist():
        logits = read(character)
    expected = encoder.characters[int(logits.argmax())]
    for flags, beginning in ((["-p", "Ti"], b""), (["-i"], b"Ti\n")):
        written = sample("-n", 1, "-t", 0, "-q", *flags, checkpoint=lines, input=beginning).done.stdout.decode()
        assert written.rstrip("\n") == ("Ti" + expected).rstrip("\n")
    flags = ["-n", 3, "-t", 2, "-q", "--seed", 3]
    many = sample(*flags, "-p", "T", "-N", 60, "--separator", "", checkpoint=lines).done.stdout
    assert sample(*flags, "-i", checkpoint=lines, input=b"T\n" * 60).done.stdout == many
    records = sample("-p", "Ti", "-n", 1, "--json", "--logprobs", "--seed", 3, checkpoint=lines).done.stdout
    record = json.loads(records)
    assert record["logprobs"] == pytest.approx([log_probability(model, encoder, "\nTi", record)], abs=1e-4)


def test_mixing_a_model_with_itself_changes_nothing(sample, lines):
    alone = sample("-n", 60, "--seed", 1).done.stdout
    assert sample("-n", 60, "--seed", 1, "--mix", f"{lines}:0.5").done.stdout != alone
    assert sample("-n", 60, "--seed", 1, "--mix", "words.pt:0.5").done.stdout == alone
