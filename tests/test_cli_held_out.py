"""The held-out part of a training: `--val-fraction` and `--val-text`, and texts that are too short for one."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import clean_environment, make_text
from processes import FOUR_STEPS as SMALL
from processes import assert_same_weights


def test_val_fraction_zero_learns_all_and_labels_its_loss(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(6000))
    all_of_it = charrnn("train", "verse.txt", *SMALL, "--val-fraction", 0)
    assert all_of_it.code == 0, all_of_it.stderr
    told = "6,000 to train on, nothing held out: validation is on 600 in its end, which are learned from too\n"
    assert told in all_of_it.stderr
    assert "\nbest loss on what was learned from " in all_of_it.stderr
    card = charrnn("inspect", "verse.pt").text
    assert re.search(r"\n  held out +nothing\n", card)
    assert re.search(r"\n  6-gram +nothing was held out of its text\n", card), "it would have learned that too"
    assert re.search(r"\nverdict +none: its losses are of what it learned from", card)
    values = json.loads(charrnn("inspect", "verse.pt", "--json").text)
    assert values["baseline"] is None
    piece = json.loads(charrnn("inspect", "verse.pt", "--gates", "--json").text)["gates"]["text"]
    assert piece == "the end of verse.txt, learned from too"
    copied = json.loads(charrnn("inspect", "verse.pt", "--novelty", 100, "--json").text)["novelty"]
    assert copied["held_out"] is None
    assert copied["note"] == "nothing was held out of its text, to compare with"
    assert "held-out text" not in charrnn("inspect", "verse.pt", "--novelty", 100).text
    assert charrnn("train", "verse.txt", *SMALL, "-o", "usual.pt").code == 0
    compared = charrnn("inspect", "verse.pt", "usual.pt").text
    assert "some losses are on text that the model learned from, since nothing was held out" in " ".join(
        compared.split()
    )
    resumed = charrnn("train", "verse.txt", "--resume", "--max-steps", 6)
    assert "nothing held out" in resumed.done.stderr
    lines = charrnn("train", "verse.txt", *SMALL, "--lines", "--val-fraction", 0, "-o", "lines.pt")
    assert re.search(r"validation is on [\d,]+ in lines from all over it, which are learned from", lines.done.stderr)
    assert "of the lines held out" not in lines.stderr, "all are learned from, as was asked for"
    assert re.search(r"\n  held out +nothing\n", charrnn("inspect", "lines.pt").text)
    assert json.loads(charrnn("inspect", "lines.pt", "--json").text)["known_lines"] is None


def test_too_little_held_out_text_warns(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(6000))
    (tmp_path / "end.txt").write_text(make_text(30))
    told = "30 characters held out: too few to judge by, or to tell which weights are the best; "
    little = charrnn("train", "verse.txt", *SMALL, "--val-fraction", 0.005).done.stderr
    assert f"\n{told}hold out more by --val-fraction, or learn from all by 0\n" in little
    verdict = re.compile(r"\nverdict +none: 30 characters held out, too few to judge by\n")
    assert verdict.search(charrnn("inspect", "verse.pt").text)
    named = charrnn("train", "verse.txt", "--val-text", "end.txt", *SMALL, "-o", "named.pt").done.stderr
    assert f"\n{told}hold out more\n" in named
    assert verdict.search(charrnn("inspect", "named.pt").text)
    further = ["--init-from", "named.pt", "--val-fraction", 0.005, "--max-steps", 1, "-o", "tuned.pt"]
    assert f"\n{told}" in charrnn("train", "verse.txt", *further).done.stderr, (
        "chance would choose the best weights there as well"
    )


def test_held_out_lines_are_counted_in_characters(charrnn, tmp_path):
    (tmp_path / "list.txt").write_text((make_text(2000).replace("\n", " ")[:119] + "\n") * 700)
    for num_lines, told in ((60, "none: 180 characters held out, too few to judge by"), (250, "")):
        (tmp_path / "end.txt").write_text("na\n" * num_lines)
        flags = ["--lines", "--val-text", "end.txt", *SMALL, "--overwrite"]
        assert charrnn("train", "list.txt", *flags).code == 0
        verdict = json.loads(charrnn("inspect", "list.pt", "--json").text)["verdict"]
        assert verdict == told if told else "too few to judge by" not in verdict


def test_too_short_text_warns_unless_fine_tuned(charrnn, tmp_path):
    (tmp_path / "short.txt").write_text(make_text(100))
    (tmp_path / "long.txt").write_text(make_text(5600))
    (tmp_path / "list.txt").write_text("name\n" * 40)
    told = " are too few to learn a style from"
    short = charrnn("train", "short.txt", *SMALL).stderr
    assert f"\n90 characters{told}, and 10 held out too few to judge by; 100,000 are a good beginning\n" in short
    for flags in (["--resume", *SMALL[:-1], 6], ["--init-from", "short.pt", "--max-steps", 1, "-o", "t.pt"]):
        assert told not in charrnn("train", "short.txt", *flags).done.stderr
    assert told not in charrnn("train", "long.txt", *SMALL).done.stderr
    held_out = charrnn("train", "short.txt", "--val-text", "long.txt", *SMALL, "-o", "v.pt").stderr
    assert f"\n100 characters{told}; 100,000 are a good beginning\n" in held_out
    lines = charrnn("train", "list.txt", "--lines", *SMALL).stderr
    assert f"\n36 lines{told}, and 4 held out too few to judge by; 5,000 are a good beginning\n" in lines
    assert json.loads(charrnn("inspect", "list.pt", "--json").text)["verdict"] == (
        "none: 4 lines held out, too few to judge by"
    )
    for text, flags, held_out in (("abab", [], "2 characters"), ("a\nb\nc\n", ["--lines"], "1 line")):
        (tmp_path / "tiny.txt").write_text(text)
        assert charrnn("train", "tiny.txt", "--hidden-size", 8, "--max-steps", 1, *flags, "--overwrite").code == 0
        verdict = json.loads(charrnn("inspect", "tiny.pt", "--json").text)["verdict"]
        assert verdict == f"none: {held_out} held out, too few to judge by"
    (tmp_path / "list.txt").write_text("name\n" * 120)
    assert told not in charrnn("train", "list.txt", "--lines", *SMALL, "--overwrite").done.stderr
    (tmp_path / "nothing.bin").write_bytes(bytes(3000))
    assert "\n3,000 NUL characters kept; " in charrnn("train", "nothing.bin", *SMALL).stderr


@pytest.mark.slow
def test_val_text_is_held_out_and_found_again(charrnn, tmp_path):
    def told_of_6_gram(*arguments):
        return next(line for line in charrnn("inspect", *arguments).text.splitlines() if line.startswith("  6-gram"))

    (tmp_path / "a.txt").write_text(make_text(3000))
    (tmp_path / "b.txt").write_text(make_text(700, seed=1))
    (tmp_path / "both.txt").write_text(make_text(3000) + make_text(700, seed=1))
    trained = charrnn("train", "a.txt", "--val-text", "b.txt", *SMALL)
    assert " characters of the held-out b.txt\n" in charrnn("inspect", "a.pt", "--gates").text
    assert json.loads(charrnn("inspect", "a.pt", "--gates", "--json").text)["gates"]["text"] == "the held-out b.txt"
    assert trained.code == 0, trained.stderr
    assert "in 2 files, 23 distinct; 3,000 to train on, the 700 of b.txt held out\n" in trained.stderr
    assert " epochs of 3,000 characters\n" in trained.stderr, "and the model was chosen by these"
    assert charrnn("train", "both.txt", "--val-fraction", 700 / 3700, "-o", "b.pt", *SMALL).code == 0
    assert_same_weights(tmp_path, "a.pt", "b.pt")
    card, compared = (charrnn("inspect", *models).text for models in (["a.pt"], ["a.pt", "b.pt"]))
    assert "  held out            b.txt, 700 characters of these\n" in card
    assert re.search(r"held out +b\.txt +0\.1892\n", compared)
    assert "held out" not in charrnn("inspect", "b.pt").text
    assert " nats (" in told_of_6_gram("a.pt"), "its text was found"
    resumed = charrnn("train", "a.txt", "--val-text", "b.txt", "--resume", "--max-steps", 6)
    assert resumed.code == 0, resumed.stderr
    (tmp_path / "c.txt").write_text(make_text(700, seed=2))
    refused = charrnn("train", "a.txt", "--val-text", "c.txt", "--resume", "--max-steps", 7).stderr
    assert re.match(r"charrnn: a\.pt: learned from a\.txt \(b\.txt held out\) of 3,700 bytes ", refused)
    assert re.search(
        r", and a\.txt \(c\.txt held out\) has 3,700 .*; give that text with --val-text b\.txt, or", refused
    )
    assert charrnn("train", "a.txt", "--val-text", "b.txt", "--val-text", "c.txt", *SMALL, "-o", "two.pt").code == 0
    refused = charrnn("train", "a.txt", "--val-text", "c.txt", "-o", "two.pt", "--resume", "--max-steps", 7).stderr
    assert "; give that text with --val-text b.txt --val-text c.txt, or" in refused
    (tmp_path / "b.txt").unlink()
    assert "a.txt, or what --val-text named, has not been found as it was" in told_of_6_gram("a.pt")
    assert " nats (" in told_of_6_gram("a.pt", "--corpus", "both.txt")


def test_same_bytes_with_other_file_borders_are_another_text(charrnn, tmp_path):
    texts = [("é" + make_text(1000)).encode(), b"\xef\xbb\xbf" + make_text(1000, seed=1).encode()]
    for name, text in zip(("a.txt", "b.txt"), texts, strict=True):
        (tmp_path / name).write_bytes(text)
    assert charrnn("train", "a.txt", "b.txt", *SMALL, "--min-count", 2, "-o", "both.pt").code == 0
    again = ["--out", "both.pt", "--resume", "--max-steps", 6]
    refused = charrnn("train", "-", *again, stdin=b"".join(texts))
    assert refused.code == 1
    assert "both.pt: read these bytes as other characters: they were divided into files differently " in refused.stderr
    assert charrnn("train", "a.txt", "b.txt", *again).code == 0


def test_val_text_of_a_learned_text_is_refused_with_its_flag(charrnn, tmp_path):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(make_text(1000, seed=ord(name[0])))
    assert charrnn("train", "a.txt", "b.txt", *SMALL).code == 0
    refused = charrnn("train", "a.txt", "--val-text", "b.txt", "--resume")
    told = (
        "charrnn: --val-text holds out 0.5 of the text, and a.pt was trained with 0.1 of it held out; leave it out to "
    )
    assert (refused.code, refused.stderr[: len(told)]) == (2, told)


KEEPS_APART = (
    "--lines keeps lines apart, and the model in a.pt recalls what stood before; leave --lines out, or begin with a "
    "model that was itself trained with --lines or with --recall 0\n"
)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--out", "a.pt", "--resume", "--hidden-size", 64], "--hidden-size is 64 and a.pt was trained with 16"),
        (["--out", "a.pt", "--force-resume", "--cell", "gru"], "--cell: cannot be changed, since the weights in a.pt"),
        (["--out", "a.pt", "--resume", "--dropout", 0.4], "--dropout is 0.4 and a.pt was trained with 0.0"),
        (["--resume-from", "slim.pt"], "slim.pt: was exported without what it takes to go on"),
        (["--init-from", "a.pt", "--lines"], KEEPS_APART),
        (["--init-from", "a.pt", "--lines", "--recall", 0], KEEPS_APART),
        (["--init-from", "a.pt", "--recall", 0], "--recall is 0, and the weights in a.pt were made for 16384; leave "),
        (["--init-from", "a.pt", "--num-layers", 9], "--num-layers is 9, and the weights in a.pt were made for 1"),
    ],
)
def test_flags_that_contradict_the_checkpoint_are_refused_before_reading(charrnn, tmp_path, flags, told):
    (tmp_path / "a.txt").write_text(make_text(1000))
    assert charrnn("train", "a.txt", *SMALL).code == 0
    assert charrnn("inspect", "a.pt", "--export", "slim.pt").code == 0
    reader, writer = os.pipe()  # which is open, and has nothing to read
    command = [sys.executable, "-m", "charrnn", "train", "-", *map(str, flags)]
    ended = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(), stdin=reader, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode in (1, 2)
    assert ended.stderr.startswith(f"charrnn: {told}")
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ["--val-fraction", 0.1],
            "--val-text is held out, and --val-fraction is a share of the text; give one of them",
        ),
        (["-o", "b.txt", "--overwrite"], "b.txt: is the text itself; give another file with --out"),
        (["--val-text", ""], "a text's name is empty; give a file, a folder, or - for standard input"),
        (["--val-text", "none"], "none: no such file; give a text file, or - for standard input"),
    ],
)
def test_impossible_val_text_is_refused_in_one_line(charrnn, tmp_path, flags, told):
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "b.txt").write_text("another")
    trained = charrnn("train", "a.txt", "--val-text", "b.txt", *flags)
    assert (trained.code, trained.stderr) == (2, f"charrnn: {told}\n")


def test_forced_val_text_is_held_out(charrnn, tmp_path):
    lines = [f"{number:03}\n" for number in range(100)]
    for name, part in {"both.txt": lines, "a.txt": lines[:80], "b.txt": lines[80:]}.items():
        (tmp_path / name).write_text("".join(part))
    assert charrnn("train", "both.txt", "--lines", *SMALL[:2], *SMALL[6:]).code == 0
    flags = ["a.txt", "--val-text", "b.txt", "--resume-from", "both.pt", "-o", "f.pt", "--force-resume"]
    forced = charrnn("train", *flags, "--max-steps", 6)
    assert "320 to train on, the 80 of b.txt held out" in forced.stderr
    assert "so that some of what is held out was learned from before" in forced.stderr
