"""The command line's own help and errors."""

import re

import pytest
from conftest import ROOT

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
        (["inspect", "a.pt", "--by"], "option '--by' requires an argument; `charrnn inspect -h` tells more"),
    ],
)
def test_a_command_line_that_is_none_is_refused_in_one_line(charrnn, words, told):
    refused = charrnn(*words)
    assert (refused.code, refused.text, refused.stderr) == (2, "", f"charrnn: {told}\n")


def test_without_words_it_helps(charrnn):
    helped = charrnn()
    assert (helped.code, helped.text) == (2, "")
    assert helped.stderr.startswith("Usage: charrnn")


@pytest.mark.parametrize("module", [train, sample, inspection])
def test_help_lists_every_flag_once_in_the_parts_and_the_order_of_the_readme(charrnn, module):
    name = "inspect" if module is inspection else module.__name__.split(".")[-1]
    helped = charrnn(name, "--help").text
    titles = [line.rstrip(":") for line in helped.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert titles[0] == "Arguments"
    assert [title for title in titles[1:] if title != "Options"] == list(module.PARTS.values())
    flags = re.findall(r"^(\w.*):$|^  (?:-\w, )?(--[a-z0-9-]+)", helped, re.M)
    table = (ROOT / "README.md").read_text(encoding="utf-8").split(f"### `charrnn {name}")[1].split("\n\n|")[1]
    listed = re.findall(r"^\| \*\*(.*?)\*\*|^\| (.*?) \|", table.split("\n\n")[0], re.M)
    rows = [(title, flag) for title, flags in listed for flag in re.findall(r"`(--[a-z0-9-]+)`", flags) or [""]]
    rows = [(title, flag) for title, flag in rows if (title or flag) and not flag.startswith("--no-")]
    shown = [(title, flag) for title, flag in flags if title not in ("Arguments", "Options") and flag != "--help"]
    assert [pair for pair in shown if not pair[1].startswith("--no-")] == rows
    assert len({flag for _, flag in shown if flag}) == len([flag for _, flag in shown if flag])
