"""The command line's own help and errors."""

import pytest

from charrnn.cli import inspection, sample, train


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["tran"], "no such command 'tran'. Did you mean 'train'? `charrnn -h` tells more"),
        (["--nothing"], "no such option: --nothing; `charrnn -h` tells more"),
        (["train"], "missing argument 'TEXT...'; `charrnn train -h` tells more"),
        (
            ["train", "a.txt", "--hidden-size", "much"],
            "invalid value for '--hidden-size': 'much' is not a valid int; `charrnn train -h` tells more",
        ),
        (["sample", "a.pt", "b.pt"], "got unexpected extra argument(s) (b.pt); `charrnn sample -h` tells more"),
        (["inspect", "a.pt", "--by"], "option '--by' requires an argument; `charrnn -h` tells more"),
    ],
)
def test_a_command_line_that_is_none_is_refused_in_one_line(charrnn, words, told):
    refused = charrnn(*words)
    assert (refused.code, refused.text, refused.stderr) == (2, "", f"charrnn: {told}\n")


def test_without_words_it_helps(charrnn):
    helped = charrnn()
    assert "Usage: charrnn" in helped.text + helped.stderr


@pytest.mark.parametrize("module", [train, sample, inspection])
def test_help_lists_every_flag_once_in_parts(charrnn, module):
    name = "inspect" if module is inspection else module.__name__.split(".")[-1]
    helped = charrnn(name, "--help").text
    titles = [line.rstrip(":") for line in helped.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[0] == "Arguments"
    assert [title for title in titles[1:] if title != "Options"] == list(module.PARTS.values())
    for flag in ("--json", "--quiet" if module is not inspection else "--html", "--help"):
        assert helped.count(f"{flag} ") == 1, flag
