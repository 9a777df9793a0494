"""`charrnn train --lines`: lines that are separate texts, learned and held out one by one."""

import json
import re

import pytest
import torch
from conftest import make_text
from processes import FOUR_STEPS as SMALL
from processes import assert_same_weights

from charrnn.cli.inspector.training_text import find_text
from charrnn.storage.archive import read_checkpoint


@pytest.mark.slow
def test_training_on_lines_is_deterministic_and_scores_lines_independently(charrnn, tmp_path):
    lines = [f"{first}{second}n\n" for first in "bdfgklm" for second in ("a", "ee", "ooo", "iiii")] * 20
    (tmp_path / "t.txt").write_text("".join(lines))
    flags = ["--lines", "--hidden-size", 16, "--batch-size", 5, "--precision", "float32", "--threads", 1]
    flags += ["--warmup-steps", 5, "--final-learning-rate", 1]  # so that the rate does not depend on the end
    for name, *steps in (("straight.pt", 60), ("one.pt", 30, 60)):
        for max_steps in steps:
            trained = charrnn("train", "t.txt", *flags, "--max-steps", max_steps, "-o", name, "-q", "--resume-or-start")
            assert trained.code == 0, trained.stderr
    assert_same_weights(tmp_path, "straight.pt", "one.pt")
    sampled = charrnn("sample", "straight.pt", "--lines", 3, "--seed", 2, "-N", 2, "--separator", "")
    assert len(sampled.text.splitlines()) == 6, sampled.stderr
    scored = charrnn("inspect", "straight.pt", "--score", "t.txt", "--json")
    swapped = "".join(reversed(lines))
    backwards = charrnn("inspect", "straight.pt", "--score", "-", "--json", stdin=swapped.encode())
    assert json.loads(scored.text)["characters"] == sum(map(len, lines))
    assert json.loads(backwards.text)["loss"] == pytest.approx(json.loads(scored.text)["loss"], abs=1e-6)


def test_held_out_lines_come_from_all_over_a_list(charrnn, tmp_path):
    lines = [f"{first}{second}n\n" for first in "bdfgklm" for second in ("a", "ee", "ooo", "iiii")]
    (tmp_path / "t.txt").write_text("".join(line.replace("n", end) for line in lines for end in "ghklmnprst"))
    flags = ["t.txt", "--lines", *SMALL[:2], *SMALL[6:]]
    trained = charrnn("train", *flags, "-o", "t.pt")
    assert "1,386 to train on, 154 in lines from all over it held out\n" in trained.stderr
    assert " lanes, windows of at most " in trained.stderr, "a window holds no more than a line"
    assert "learned from too" not in trained.stderr
    stored = read_checkpoint(str(tmp_path / "t.pt"))
    assert stored.train_config.val_spread
    found = find_text(stored, str(tmp_path / "t.pt"))
    assert {line[0] for line in stored.encoder.decode(found.held_out).split()} == set("bdfgklm")
    scored = charrnn("inspect", "t.pt", "--score", "-", "--json", stdin=stored.encoder.decode(found.held_out).encode())
    assert json.loads(scored.text)["loss"] == pytest.approx(stored.best.val_loss, abs=1e-5)
    beside = charrnn("inspect", "t.pt", "--gates")
    assert " of the held-out lines of t.txt" in beside.text.splitlines()[0]
    other = charrnn("train", "t.txt", "--force-resume", "--val-fraction", 0.05, "--max-steps", 6)
    assert "forced: --val-fraction 0.05, so that some of what is held out was learned from before" in other.stderr


def test_epochs_are_planned_for_the_learned_lines_only(charrnn, tmp_path):
    lines = ["a" * (90 if number in (0, 16, 22, 38) else 9) for number in range(100)]
    (tmp_path / "t.txt").write_text("\n".join(lines) + "\n")
    trained = charrnn("train", "t.txt", "--lines", *SMALL[:2], *SMALL[6:])
    assert "900 to train on, 424 in lines from all over it held out" in trained.stderr
    assert " epochs of 900 characters\n" in trained.stderr


def test_many_blank_lines_warn(charrnn, tmp_path):
    few = [f"line {number}\n" for number in range(180)]
    (tmp_path / "t.txt").write_text("".join([*few, " \r\n\n" * 10]))
    flags = [*SMALL[:2], *SMALL[6:]]
    told = (
        "20 of 200 lines are blank, and each is learned as a text of its own: many that it writes will be blank; "
        "grep '[^[:space:]]' leaves them out"
    )
    assert f"{told}, and poems are learned without --lines\n" in charrnn("train", "t.txt", "--lines", *flags).stderr
    assert "blank" not in charrnn("train", "t.txt", "-o", "stream.pt", *SMALL).stderr, "one stream"
    tuned = charrnn("train", "t.txt", "--init-from", "t.pt", "-o", "tuned.pt", *flags)
    assert f"{told}\n" in tuned.stderr, "a model of lines goes on with lines"
    (tmp_path / "t.txt").write_text("".join([*few, "one more\n\n" * 10]))
    assert "blank" not in charrnn("train", "t.txt", "--lines", "-o", "few.pt", *flags).stderr


def test_recurring_held_out_lines_warn(charrnn, tmp_path):
    (tmp_path / "t.txt").write_text("one\ntwo\nthree\nfour\n" * 50)
    flags = ["t.txt", "--lines", *SMALL[:2], *SMALL[6:]]
    told = "100% of the lines held out are learned from too: their loss cannot show overfitting"
    assert f"{told}; sort -u leaves each line once\n" in charrnn("train", *flags).stderr
    card = " ".join(charrnn("inspect", "t.pt").text.split())
    assert told in card
    assert "verdict none: a model that knows its lines by heart would have as low a loss" in card
    described = json.loads(charrnn("inspect", "t.pt", "--json").text)
    assert described["known_lines"] == {"held_out": 20, "learned_too": 20}
    assert described["verdict"].startswith("none: ")
    (tmp_path / "other.txt").write_text("one\ntwo\n" * 9)
    named = charrnn("train", *flags, "--val-text", "other.txt", "-o", "n.pt")
    assert f"{told}; leave them out of t.txt\n" in named.stderr
    assert not read_checkpoint(str(tmp_path / "n.pt")).train_config.val_spread
    assert "learned from too" not in charrnn("train", "t.txt", "-o", "s.pt", *SMALL).done.stderr, "one stream"


def test_older_checkpoint_keeps_its_last_lines_held_out(charrnn, tmp_path):
    (tmp_path / "t.txt").write_text("".join(f"{number:03}\n" for number in range(100)))
    assert charrnn("train", "t.txt", "--lines", *SMALL[:2], *SMALL[6:]).code == 0
    contents = torch.load(tmp_path / "t.pt", weights_only=True)
    assert contents["training"]["config"].pop("val_spread")
    torch.save(contents, tmp_path / "t.pt")
    resumed = charrnn("train", "t.txt", "--resume", "--max-steps", 6)
    assert "360 to train on, the last 40 held out" in resumed.stderr, resumed.stderr
    (tmp_path / "other.txt").write_text("no line's end")
    refused = charrnn("train", "other.txt", "--init-from", "t.pt")
    told = "other.txt: no line feed, and --lines needs lines; give a text of lines"
    assert (refused.code, refused.stderr) == (2, f"charrnn: {told}\n")
    elsewhere = charrnn("inspect", "t.pt", "--neurons", "--corpus", "other.txt")
    assert "other.txt: is not the text that t.pt learned from" in elsewhere.stderr
    begun = charrnn("train", "t.txt", "--init-from", "t.pt", "-o", "i.pt", *SMALL[6:])
    assert re.search(
        r"whose loss here is \d\.\d+, so that some of what is held out was learned from before", begun.stderr
    )


def test_older_checkpoint_keeps_its_huge_line_held_out(charrnn, tmp_path):
    (tmp_path / "t.txt").write_text("0" * 2000 + "\n" + "".join(f"{number:03}\n" for number in range(99)))
    began = charrnn("train", "t.txt", "--lines", *SMALL[:2], *SMALL[6:])
    assert "2,357 to train on, 40 in lines from all over it held out" in began.stderr
    resumed = charrnn("train", "t.txt", "--resume", "--max-steps", 6)
    assert "2,357 to train on, 40 in lines from all over it held out" in resumed.stderr
    assert len(find_text(read_checkpoint(str(tmp_path / "t.pt")), str(tmp_path / "t.pt")).held_out) == 40
    other = charrnn("train", "t.txt", "--force-resume", "--batch-size", 5, "--max-steps", 8)
    assert other.code == 0, other.stderr
    contents = torch.load(tmp_path / "t.pt", weights_only=True)
    assert contents["training"]["config"].pop("val_bounded")
    torch.save(contents, tmp_path / "t.pt")
    assert len(find_text(read_checkpoint(str(tmp_path / "t.pt")), str(tmp_path / "t.pt")).held_out) == 2037
    assert "360 to train on, 2,037 in lines" in charrnn("train", "t.txt", "--force-resume", "--max-steps", 9).stderr


@pytest.mark.slow
def test_few_long_lines_get_as_many_lanes_as_lines(charrnn, tmp_path):
    (tmp_path / "long.txt").write_text("\n".join(make_text(9000, seed=n).replace("\n", " ") for n in range(8)) + "\n")
    trained = charrnn("train", "long.txt", "--lines", "--hidden-size", 16, "--max-steps", 2)
    assert trained.code == 0, trained.stderr
    assert "7 lanes" in trained.stderr
