"""Characters in `charrnn sample`: those that a model lacks, and those of `--allow` and `--forbid`."""

import pytest
import torch
from conftest import make_text, save_like

from charrnn.cli.sampler.prompts import fit_prompt
from charrnn.text.encoder import CharEncoder


@pytest.mark.parametrize(("rule", "prompt"), [("skip", "Ba"), ("nearest", "Baa")])
def test_unknown_characters_are_skipped_or_replaced_on_request(sample, rule, prompt):
    text = sample("-p", "Baä", "-n", 5, "--seed", 1, "--unknown", rule).done.stdout.decode()
    assert text == sample("-p", prompt, "-n", 5, "--seed", 1).done.stdout.decode()


def test_allow_and_forbid_restrict_the_characters(sample):
    assert "e" not in sample("-n", 300, "--forbid", "e", "--seed", 1).done.stdout.decode()
    assert set(sample("-n", 300, "--allow", "aeio t", "--seed", 1).done.stdout.decode()) <= set("aeio t")


def test_repeated_allow_and_forbid_flags_add_up(sample):
    assert set(sample("-n", 200, "-t", 9, "--allow", "e", "--allow", "at", "--seed", 1).done.stdout.decode()) == set(
        "eat"
    )
    assert not set(sample("-n", 300, "--forbid", "e", "--forbid", "an", "--seed", 1).done.stdout.decode()) & set("ean")


def test_escapes_are_read_in_allow_and_forbid(sample):
    assert sample("--lines", 2, "--allow", r"abnti \n", "--seed", 1).done.stdout.count(b"\n") == 2
    assert b"\n" not in sample("-n", 300, "--forbid", r"\n", "--seed", 1).done.stdout
    assert set(sample("-n", 90, "--allow", r"a\x\\", "--seed", 1).done.stdout.decode()) == {"a"}, (
        "of the others it has none"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--allow", "abtx9"], "--allow has 'x' (U+0078), '9' (U+0039), which the model never writes"),
        (["--forbid", "n9", "--forbid", "9"], "--forbid has '9' (U+0039), which the model never writes"),
        (
            ["--allow", "a-z"],
            "--allow has '-' (U+002D), 'z' (U+007A), which the model never writes; a range of characters is one in a "
            "pattern: --match '[a-z]*'",
        ),
        (["--allow", r"a\n", "--forbid", "e"], ""),
    ],
)
def test_useless_allow_or_forbid_characters_warn(sample, arguments, told):
    assert sample("-n", 20, "-q", *arguments).stderr.decode() == (f"charrnn: {told}\n" if told else "")


@pytest.mark.parametrize(
    ("arguments", "range_"),
    [
        (["--allow", "a-t"], "a-t"),
        (["--allow", r"\n ", "--forbid", "B-KM-T"], "M-T"),
        (["--allow", "abeiklmnoprst-"], ""),
        (["--allow", "a-t", "--allow", "beiklmnoprs"], ""),
        (["--allow", "abe-", "--allow", "nt"], ""),
        (["--forbid", "e-i"], ""),
        (["--forbid", "B-a"], ""),
    ],
)
def test_allow_with_a_range_warns_that_the_hyphen_is_literal(sample, trained, arguments, range_):
    contents = torch.load(trained / "words.pt", weights_only=True)
    torch.save({**contents, "characters": "".join(sorted(contents["characters"][:-1] + "-"))}, trained / "hyphen.pt")
    flag = arguments[-2]
    told = f"{flag} has '{range_}', which is no range here; a range of characters is one in a pattern: --match '[a-z]*'"
    result = sample("-n", 20, "-q", *arguments, checkpoint="hyphen.pt")
    assert result.stderr.decode() == (f"charrnn: {told}\n" if range_ else "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--allow", "\u00e9"],
            "--allow has '\u00e9' (U+00E9), which the model never writes\n"
            "charrnn: --allow leaves no character of the model to write with",
        ),
        (["--forbid", make_text(2000)], "--forbid leaves no character of the model to write with"),
        (["--allow", "ab", "--forbid", "ba"], "--allow and --forbid leave no character of the model to write with"),
    ],
)
def test_flags_that_leave_no_character_are_refused(sample, arguments, told):
    refused = sample(*arguments)
    assert (refused.returncode, refused.stdout, refused.stderr.decode()) == (2, b"", f"charrnn: {told}\n")


def test_prompt_of_which_nothing_is_left_warns(sample):
    result = sample("-p", "Q9", "--unknown", "skip", "-n", 9, "-q")
    told = "nothing is left of the prompt, of which the model knows no character"
    assert (len(result.stdout), result.stderr.decode()) == (9, f"charrnn: {told}\n")
    assert sample("-p", "Q9a", "--unknown", "skip", "-n", 9, "-q").stderr == b""


@pytest.mark.parametrize("way", [["-p", "9éa9"], ["-i"]])
def test_prompt_characters_read_as_rare_are_listed_unless_quiet(sample, trained, way):
    """A refusal is for whoever asks for it: a name in a Chinese prompt may well have a rare character."""
    characters = torch.load(trained / "words.pt", weights_only=True)["characters"]
    save_like(trained, "rare.pt", characters=characters[:-1], has_unknown=True)

    def run(*flags):
        result = sample(*way, "-n", 9, "-q", *flags, checkpoint="rare.pt", input="9éa9\n".encode())
        return result.returncode, result.stdout.decode()[:4], result.stderr.decode()

    seen = "prompt has '9' (U+0039), 'é' (U+00E9), which this model"
    result = sample(*way, "-n", 9, "--seed", 1, checkpoint="rare.pt", input="9éa9\n".encode())
    told = f"{seen} reads as rare characters; --unknown skip leaves them out, nearest takes what is like them\n"
    assert (result.returncode, result.stdout.decode()[:4]) == (0, "9éa9")
    assert sorted(result.stderr.decode().splitlines(True)) == [told, "seed 1\n"]
    assert run() == (0, "9éa9", "")
    code, text, refused = run("--unknown", "error")
    assert (code, text.strip()) == (1, "")
    assert refused.startswith(
        f"charrnn: {seen} does not know (23 characters; see `charrnn inspect rare.pt`); --unknown"
    )
    assert run("--unknown", "nearest")[:2] == (0, "9ea9")
    assert run("--unknown", "skip")[1][0] == "a"


def test_rare_characters_of_prompts_in_a_file_are_listed_in_one_line(sample, trained):
    characters = torch.load(trained / "words.pt", weights_only=True)["characters"]
    save_like(trained, "rare.pt", characters=characters[:-1], has_unknown=True)
    result = sample("-i", "-n", 2, "--seed", 1, checkpoint="rare.pt", input="9é\na\né\\9\n".encode())
    told, *others = sorted(result.stderr.decode().splitlines())
    assert told.startswith("prompt has '9' (U+0039), 'é' (U+00E9), '\\' (U+005C), which this model reads as rare")
    assert others == ["seed 1"]


def test_unknown_typed_characters_are_read_as_rare_ones_if_these_have_an_id(capfd):
    encoder = CharEncoder("ae", has_unknown=True)
    assert fit_prompt("9éa", encoder, None, "a.pt", is_typed=True) == "9ea"
    assert capfd.readouterr().err == "prompt has '9' (U+0039), which this model reads as rare characters\n"


@pytest.mark.parametrize("flags", [["-p", "Q9Qa"], ["-i"]])
def test_skipped_prompt_characters_are_listed_unless_quiet(sample, flags):
    told = "3 characters left out of the prompt, which the model lacks: 'Q' (U+0051), '9' (U+0039)\n"
    result = sample(*flags, "--unknown", "skip", "-n", 9, "--seed", 1, input=b"Q9Qa\na\n")
    assert (result.returncode, sorted(result.stderr.decode().splitlines(True))) == (0, [told, "seed 1\n"])
    assert sample(*flags, "--unknown", "skip", "-n", 9, "-q", input=b"Q9Qa\n").stderr == b""
