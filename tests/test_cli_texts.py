"""Texts of every kind through the whole command line: trained on, sampled from and scored."""

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import clean_environment, make_text
from processes import map_all, weights_of
from test_sources import lock

from charrnn.cli.inspector.training_text import find_text
from charrnn.storage.archive import read_checkpoint

SMALL = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32", "--max-steps", 4]


def assert_same_weights(folder, one, other):
    torch.testing.assert_close(weights_of(folder / one), weights_of(folder / other), rtol=0, atol=0)


@pytest.mark.slow
def test_texts_from_pipe_files_folder_or_archive_give_the_same_weights(charrnn, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.txt").write_text(make_text(2000))
    (tmp_path / "all" / "b.txt").write_text("häuser " + make_text(1500), encoding="utf-8")
    (tmp_path / "all" / "picture.txt").write_bytes(b"\x89PNG\0\0")
    both = (tmp_path / "all" / "a.txt").read_bytes() + (tmp_path / "all" / "b.txt").read_bytes()
    (tmp_path / "both.gz").write_bytes(gzip.compress(both))
    assert charrnn("train", "-", *SMALL, "-q", stdin=both).done.stdout == b"stdin.pt\n"
    assert charrnn("train", "all/a.txt", "all/b.txt", "-o", "files.pt", *SMALL, "-q").code == 0
    folder = charrnn("train", "all", *SMALL, "--include", "*.txt")
    assert (folder.code, folder.stdout) == (0, b"all.pt\n"), folder.stderr
    assert charrnn("train", "both.gz", "-o", "packed.pt", *SMALL, "-q").code == 0
    for other in ("files.pt", "all.pt", "packed.pt"):
        assert_same_weights(tmp_path, "stdin.pt", other)
    assert "all: 3,507 characters in 2 files" in folder.stderr
    assert "1 file left out, a picture (PNG), not text: all/picture.txt; --exclude leaves such files" in folder.stderr
    resumed = charrnn("train", "all/a.txt", "all/b.txt", "-o", "all.pt", "--resume", "--max-steps", 6, "-q")
    assert resumed.code == 0, resumed.stderr


def test_own_outputs_in_the_corpus_folder_are_not_read(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(2000))
    flags = [".", "--unit", "byte", *SMALL, "--out", "here.pt", "--log", "here.jsonl"]
    longer = [".", "--unit", "byte", *SMALL[:-1], 6, "--out", "here.pt", "--log", "here.jsonl"]
    for again in (flags, [*longer, "--resume"], [*flags, "--overwrite"]):
        result = charrnn("train", *again)
        assert result.code == 0, result.stderr
        assert ": 2,000 bytes, " in result.stderr
    for unit in ("character", "byte"):
        other = charrnn("train", ".", "--unit", unit, *SMALL, "--out", "other.pt", "--overwrite")
        assert "\n2 files left out, made by a training: here.jsonl, here.pt\n" in other.stderr
        assert f": 2,000 {unit}s, " in other.stderr


@pytest.mark.parametrize("unit", ["character", "byte"])
def test_output_redirected_into_the_corpus_folder_is_not_read(tmp_path, unit):
    (tmp_path / "verse.txt").write_text(make_text(2000))
    flags = [".", "--unit", unit, *SMALL[:-1]]
    runs = (4, "--out", "here.pt"), (6, "--out", "here.pt", "--resume"), (4, "--out", "other.pt", "--json")
    for number, more in enumerate(runs, start=1):
        command = [sys.executable, "-m", "charrnn", "train", *map(str, [*flags, *more])]
        with open(tmp_path / "nohup.out", "ab") as both:
            both.write(b"what it said before\n")
            both.flush()
            ended = subprocess.run(command, cwd=tmp_path, env=clean_environment(), stdout=both, stderr=both)
        said = (tmp_path / "nohup.out").read_text()
        assert ended.returncode == 0, said
        assert said.count(f": 2,000 {unit}s, ") == number
        assert said.count(" left out, made by a training: ") == number


def test_file_added_to_the_folder_is_refused_with_exclude_advice(charrnn, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.txt").write_text(make_text(2000))
    assert charrnn("train", "all", *SMALL).code == 0
    (tmp_path / "all" / "b.txt").write_text("tin")
    refused = charrnn("train", "all", "--resume")
    told = "; give that text as it was (--exclude leaves out files that have come into a folder since, not what was "
    told += "edited), or begin a training on this one from its weights with --init-from all.pt --overwrite in place of"
    assert told in refused.stderr
    assert charrnn("train", "all", "--resume", "--exclude", "b.txt").code == 0
    (tmp_path / "all" / "b.txt").unlink()
    (tmp_path / "all" / "a.txt").write_text(make_text(1990))
    refused = charrnn("train", "all", "--resume").stderr
    assert re.search(r" and all has 1,990 \(sha256 \w+\); give that text, or begin a training on this one", refused)


def test_refused_text_is_named_by_the_first_file_and_their_number(charrnn, tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(make_text(1000, seed=ord(name)))
    trained = charrnn("train", "a", "b", "c", *SMALL)
    assert trained.code == 0
    assert "\na and 2 more: 3,000 characters in 3 files, " in f"\n{trained.stderr}"
    assert re.search(r"\ncorpus +a and 2 more, 3,000 characters, ", charrnn("inspect", "a.pt").text)
    refused = charrnn("train", "a", "b", "--resume").stderr
    assert re.search(r": learned from a and 2 more of 3,000 bytes \(.*\), and a and 1 more have 2,000 \(", refused)
    refused = charrnn("train", "a", "--resume").stderr
    assert re.search(r": learned from a and 2 more of 3,000 bytes \(.*\), and a has 1,000 \(", refused)


def test_patterns_without_a_match_warn_at_the_start_only(charrnn, tmp_path):
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "a.txt").write_text(make_text(2000))
    flags = ["train", "all", "--include", "*.txt", "--exclude", "all/b.txt", *SMALL[:-1]]
    told = "nothing fits --exclude all/b.txt; patterns choose among the files of folders, by names and by paths below "
    assert charrnn(*flags, 4).done.stderr.count(f"\n{told}") == 1
    assert told not in charrnn(*flags, 6, "--resume").done.stderr
    assert told in charrnn(*flags, 4, "--init-from", "all.pt", "-o", "other.pt", "--json").done.stderr


def test_cache_in_the_corpus_folder_is_not_read(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(2000))
    flags = ["train", ".", "--unit", "byte", *SMALL, "--cache", "cache", "--overwrite"]
    for _ in range(2):
        assert ": 2,000 bytes, " in charrnn(*flags, "--out", "here.pt", prepare=map_all).done.stderr
        assert len([*(tmp_path / "cache").iterdir()]) == 1


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
    (tmp_path / "list.txt").write_text("name\n" * 120)
    assert told not in charrnn("train", "list.txt", "--lines", *SMALL, "--overwrite").done.stderr
    (tmp_path / "nothing.bin").write_bytes(bytes(3000))
    assert "\n3,000 NUL characters kept; " in charrnn("train", "nothing.bin", *SMALL).stderr


@pytest.mark.parametrize(
    ("written", "read", "told"),
    [
        ("utf-16-le", "utf-8", "; of a text in UTF-16, --encoding utf-16-le or -be leaves none\n"),
        ("utf-32-le", "latin-1", "; of a text in UTF-32, --encoding utf-32-le or -be leaves none\n"),
        ("utf-32-be", "utf-16-be", "; of a text in UTF-32, --encoding utf-32-le or -be leaves none\n"),
    ],
)
def test_nul_characters_suggest_a_wide_encoding(charrnn, tmp_path, written, read, told):
    (tmp_path / "wide.txt").write_text("Москва " * 300, encoding=written)
    assert f" NUL characters kept{told}" in charrnn("train", "wide.txt", "--encoding", read, *SMALL).stderr


def test_nul_characters_in_utf32_suggest_no_encoding(charrnn, tmp_path):
    (tmp_path / "wide.txt").write_text("Tin\0" * 300, encoding="utf-32-le")
    assert "\n300 NUL characters kept\n" in charrnn("train", "wide.txt", "--encoding", "utf-32-le", *SMALL).stderr


def lock_what_is_called_so():
    lock(pytest.MonkeyPatch())


def test_unreadable_folder_is_reported_apart_from_files(charrnn, tmp_path):
    (tmp_path / "many.lock").mkdir()
    for name in ("one.lock", "verse.txt"):
        (tmp_path / name).write_text(make_text(200))
    told = charrnn("train", ".", *SMALL, prepare=lock_what_is_called_so).done.stderr
    for left in ("1 folder left out, not readable by you: many.lock", "1 file left out, not readable by you: one.lock"):
        assert f"\n{left}; check the permissions\n" in told


def test_left_out_files_are_named_up_to_three_per_cause(charrnn, tmp_path):
    for number in range(5):
        (tmp_path / f"{number}.bin").write_bytes(b"\0")
    (tmp_path / "a.log").write_bytes(b"tin" * 4000 + b"\xe9t\xe9")
    (tmp_path / "b.log").write_bytes(b"\xe9t\xe9")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"tin" * 4000)[:-20])
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "link").symlink_to(tmp_path.parent, target_is_directory=True)
    (tmp_path / "verse.txt").write_text(make_text(200))
    flags = [".", *SMALL[:-1]]
    nuls = (
        "left out, with many NUL characters, as UTF-16 and UTF-32 have (--encoding utf-16-le, utf-32-be, ...) and what "
        "is no text: "
    )
    read = "; name the file itself to read it all the same, or give --unit byte\n"
    bad = ["a.log (not valid UTF-8 at byte 12,000 (0xe9))", "b.log (not valid UTF-8 at byte 0 (0xe9))"]
    other = "all texts need one encoding: convert this one (iconv -f cp1252 -t utf-8), or if each is "
    told = charrnn("train", *flags, 4, "-o", "a.pt").done.stderr
    assert f"\n5 files {nuls}0.bin, 1.bin, 2.bin, ... (--json names all){read}" in told
    assert f"\n2 files left out: {', '.join(bad)}; {other}" in told
    assert "or pass over such bytes with --errors replace\n" in told
    assert "\n1 file left out, compressed, and damaged (" in told
    assert "): cut.gz; get it again\n" in told
    assert "\n1 file left out, linked to what is not there: gone; fetch or mount that\n" in told
    assert "\n1 folder left out, reached by a link alone: link; name the folder itself to read it too\n" in told
    again = charrnn("train", *flags, 6, "-o", "a.pt", "--resume", "--exclude", "[34].bin").done.stderr
    assert f"\n3 files {nuls}0.bin, 1.bin, 2.bin\n" in again, "nothing may be done about them now"
    assert f"\n2 files left out: {', '.join(bad)}\n" in again
    begun = json.loads(charrnn("train", *flags, 4, "--json", "-o", "b.pt").done.stderr.splitlines()[0])["corpus"]
    names = [*(f"{number}.bin" for number in range(5)), "a.log", "a.pt", "b.log", "cut.gz", "gone", "link"]
    assert sorted(begun["left_out"]) == sorted(begun["left_out_causes"]) == names
    assert begun["left_out_causes"]["b.log"] == "not valid UTF-8 at byte 0 (0xe9)"
    assert begun["left_out_causes"]["a.pt"] == "made by a training"


def test_file_endings_are_counted(charrnn, tmp_path):
    (tmp_path / "novel" / "sub").mkdir(parents=True)
    for name in ("1.txt", "2.txt", "sub/notes.md", "sub/3.txt", "README", "novel.scrivx"):
        (tmp_path / "novel" / name).write_text(make_text(100))
    told = charrnn("train", "novel", *SMALL).done.stderr
    assert "novel: 600 characters in 6 files (3 .txt, 1 without an ending, 1 .scrivx, 1 .md), " in told
    flags = ["--include", "*.txt", "-o", "b.pt"]
    assert "novel: 300 characters in 3 files, " in charrnn("train", "novel", *flags, *SMALL).done.stderr
    for kind in "abc":
        (tmp_path / "novel" / f"x.{kind}").write_text(make_text(100))
    told = charrnn("train", "novel", *SMALL, "-o", "c.pt").done.stderr
    assert " in 9 files (3 .txt, 1 without an ending, 1 .scrivx, 1 .md, 1 .a, ...), " in told


def test_binary_data_is_reported_without_useless_advice(charrnn, tmp_path):
    text = make_text(3000)
    ids = {character: number for number, character in enumerate(sorted(set(text)))}
    numbers = np.array([ids[character] for character in text], dtype="<u2")
    numbers.tofile(tmp_path / "ids.bin")
    (tmp_path / "cyrillic.txt").write_bytes("Привет, день чудесный!\n".encode("utf-16-le") * 50)
    (tmp_path / "english.txt").write_bytes(text.encode("utf-16-le"))
    hardly, none = (
        "of it are control characters, as in hardly any text; ",
        "it may be no text, but for instance the numbers ",
    )
    either = f"{hardly}unless it takes another --encoding, {none}"
    for name, told, *flags in (
        ("ids.bin", either), ("ids.bin", either, "-q"), ("ids.bin", hardly + none, "--encoding", "utf-16-le"),
        ("cyrillic.txt", either),
    ):  # fmt: skip
        stderr = charrnn("train", name, *SMALL, "--overwrite", *flags).done.stderr
        assert f"{name}: " in stderr
        assert stderr.count(told) == 1
        assert (" NUL characters kept; " in stderr) == (not flags), "which advises an encoding"
    for flags in (["english.txt"], ["cyrillic.txt", "--encoding", "utf-16-le"], ["ids.bin", "--unit", "byte"]):
        assert hardly not in charrnn("train", *flags, *SMALL, "--overwrite").done.stderr


def test_html_text_is_reported_once(charrnn, tmp_path):
    told = " HTML, and its tags are learned too; save {} as plain text to leave them out\n"
    page = f"<p>{make_text(2000)}</p></html>\n"
    (tmp_path / "pages").mkdir()
    (tmp_path / "a.html").write_text(f"\ufeff\n<!DOCTYPE html>\n{page}")
    (tmp_path / "pages" / "b").write_text(f"<html lang='en'>{page}")
    (tmp_path / "pages" / "c").write_text(f'<?xml version="1.0"?>\n<!doctype HTML PUBLIC "-//W3C">{page}')
    (tmp_path / "pages" / "d").write_text(f"about <html>{page}<html>{page}")
    (tmp_path / "e").write_text(f"<!-- made by a program -->\n<!--\na > b -->\n<!DOCTYPE html>\n{page}")
    assert f"\na.html: is{told.format('it')}" in charrnn("train", "a.html", *SMALL).stderr
    assert "HTML" not in charrnn("train", "a.html", *SMALL[:-1], 4, "--resume").stderr
    several = charrnn("train", "pages", *SMALL).stderr
    assert several.count("HTML") == 1
    assert f"b and 1 other text are{told.format('each')}" in several
    assert "HTML" not in charrnn("train", "pages/d", *SMALL).stderr
    assert f"\ne: is{told.format('it')}" in charrnn("train", "e", *SMALL).stderr


def test_log_with_nul_characters_is_read_and_they_are_reported(charrnn, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text(make_text(2000))
    (tmp_path / "logs" / "b.log").write_text(make_text(2000) + "\0\0\0" + make_text(2000))
    told = charrnn("train", "logs", *SMALL).done.stderr
    assert "logs: 6,003 characters in 2 files, " in told
    assert "\n3 NUL characters kept, as a log has where it was broken off; tr -d '\\0' takes them out\n" in told
    assert "left out" not in told


def test_quiet_reports_unreadable_files_but_not_own_outputs(charrnn, tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(2000))
    flags = ["train", ".", *SMALL, "--log", "log", "--out", "a.pt", "--overwrite", "-q"]
    for _ in range(2):
        assert charrnn(*flags).done.stderr == ""
    (tmp_path / "latin.txt").write_bytes("é\n".encode("latin-1"))
    told = "charrnn: 1 file left out, not valid UTF-8 at byte 0 (0xe9): latin.txt; all texts need one encoding: "
    told += "convert this one (iconv -f cp1252 -t utf-8), or if each is Windows-1252 or Latin-1, give --encoding "
    told += "windows-1252 (Czech, Polish, Hungarian: windows-1250; Turkish: windows-1254), or pass over such bytes "
    told += "with --errors replace\n"
    for again in (flags, [*flags[:-6], "-o", "b.pt", "-q"]):
        assert charrnn(*again).done.stderr == told
    spoken = charrnn(*flags, "--json").done.stderr
    assert json.loads(spoken) == {"warning": told.removeprefix("charrnn: ").strip()}, "and no line more"


@pytest.mark.slow
def test_byte_model_takes_any_file_and_writes_bytes(charrnn, tmp_path):
    data = bytes(range(256)) * 12
    (tmp_path / "any.bin").write_bytes(data)
    trained = charrnn("train", "any.bin", "--unit", "byte", *SMALL)
    assert trained.code == 0, trained.stderr
    assert "3,072 bytes, 256 distinct" in trained.stderr
    assert " bits per byte)" in trained.stderr
    assert "bits per character" not in trained.stderr
    sampled = charrnn("sample", "any.pt", "-n", 300, "--seed", 1, "-t", 1.5)
    assert (sampled.code, len(sampled.stdout)) == (0, 300), sampled.stderr
    assert len(charrnn("sample", "any.pt", "-n", 5, "-p", "é").stdout) == 7
    assert "this model writes bytes" in charrnn("sample", "any.pt", "--match", "a*").stderr
    record = json.loads(charrnn("sample", "any.pt", "-n", 300, "--seed", 1, "-t", 1.5, "--json", "--logprobs").text)
    assert base64.b64decode(record["bytes"]) == sampled.stdout
    assert len(record["logprobs"]) == len(record["text"])
    many = charrnn("sample", "any.pt", "-n", 300, "--seed", 1, "-t", 1.5, "-N", 2, "--separator", "")
    assert many.stdout.startswith(sampled.stdout)
    scored = charrnn("inspect", "any.pt", "--score", "any.bin", "--json")
    assert json.loads(scored.text)["characters"] == len(data) - 1


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


def test_no_lowercase_restores_capitals_when_fine_tuning(charrnn, tmp_path):
    (tmp_path / "a.txt").write_text(make_text(2000))
    assert charrnn("train", "a.txt", "--lowercase", *SMALL).code == 0
    for flags, lowercase in (([], True), (["--no-lowercase"], False)):
        assert (
            charrnn("train", "a.txt", "--init-from", "a.pt", *flags, *SMALL[6:], "-o", "b.pt", "--overwrite").code == 0
        )
        stored = read_checkpoint(str(tmp_path / "b.pt"))
        assert (stored.text_options.lowercase, "B" in stored.encoder) == (lowercase, not lowercase)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (
            ["--cache", "c", "--no-cache"],
            "--cache names a folder for encoded texts, and --no-cache keeps none; give one ",
        ),
        (
            ["--cache=~/big"],
            "--cache ~/big: the shell expands ~ only at the beginning of a word and outside quotes, if",
        ),
    ],
)
def test_unusable_cache_folder_is_refused_before_it_is_made(charrnn, tmp_path, flags, told):
    (tmp_path / "a.txt").write_text(make_text(100))
    refused = charrnn("train", "a.txt", *flags, prepare=map_all)
    assert (refused.code, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith(f"charrnn: {told}")
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.slow
def test_rare_characters_share_an_id_and_are_never_written(charrnn, tmp_path):
    (tmp_path / "t.txt").write_text("abcab" * 300 + "xyzé" + "abcab" * 300, encoding="utf-8")
    trained = charrnn("train", "t.txt", "--min-count", 5, *SMALL)
    assert trained.code == 0, trained.stderr
    assert "4 characters too rare to be learned (0.13% of the text) share one id" in trained.stderr
    assert "; --min-count and --max-vocab decide" in trained.stderr
    (tmp_path / "o.txt").write_text("abqwb" * 300)
    other = charrnn("train", "o.txt", "--resume-from", "t.pt", "--force-resume", "--max-steps", 2)
    told = "2 characters too rare or new to the model (40.00% of the text) share one id, which is never written\n"
    assert told in other.stderr
    sampled = charrnn("sample", "t.pt", "-n", 3000, "-t", 3, "-p", "qé")
    assert sampled.code == 0, sampled.stderr
    assert set(sampled.text.removeprefix("qé")) == set("abc")
    assert charrnn("inspect", "t.pt", "--score", "t.txt").code == 0
    matched = charrnn("sample", "t.pt", "--match", "[a-z]{5}", "-N", 3, "--length", 5, "--json")
    assert [set(json.loads(line)["text"]) <= set("abc") for line in matched.text.splitlines()] == [True] * 3
    mixed = charrnn("sample", "t.pt", "--mix", "t.pt:0.4", "-n", 300, "-t", 3)
    assert set(mixed.text) == set("abc"), mixed.stderr


@pytest.mark.slow
def test_text_options_apply_to_prompts_and_scores(charrnn, tmp_path):
    text = "Café ÉTÉ\r\n" * 200
    (tmp_path / "t.txt").write_bytes(text.encode("utf-16"))
    flags = ["--encoding", "utf-16", "--newline", "lf", "--normalize", "nfkc", "--lowercase"]
    trained = charrnn("train", "t.txt", *flags, *SMALL)
    assert trained.code == 0, trained.stderr
    assert "1,800 characters, 7 distinct" in trained.stderr
    sampled = charrnn("sample", "t.pt", "-p", "CAFE\u0301\r\n", "-n", 0)
    assert sampled.text == "café\n", sampled.stderr
    (tmp_path / "p.txt").write_bytes("ÉT".encode("utf-16"))
    assert charrnn("sample", "t.pt", "-f", "p.txt", "-n", 0).text == "ét"
    scored = charrnn("inspect", "t.pt", "--score", "t.txt", "--json")
    assert json.loads(scored.text)["characters"] == 1799
    resumed = charrnn("train", "t.txt", "--resume", "--max-steps", 6, "-q", "--encoding", "UTF16")
    assert resumed.code == 0, "by another name it is the same encoding"
    other = charrnn("train", "t.txt", "--resume", "--max-steps", 8, "--newline", "keep")
    assert other.code == 2
    assert "--newline is keep and t.pt was trained with lf" in other.stderr


@pytest.mark.slow
def test_carriage_returns_are_reported(charrnn, tmp_path):
    (tmp_path / "t.txt").write_bytes(b"one line\r\n" * 200)
    told = "200 carriage returns kept as characters; --newline lf makes all line ends LF"
    assert told in charrnn("train", "t.txt", *SMALL).done.stderr
    assert told in charrnn("train", "t.txt", "--init-from", "t.pt", "--max-steps", 1, "-o", "other.pt").done.stderr
    resumed = charrnn("train", "t.txt", *SMALL[:-1], 6, "--resume").done.stderr
    assert "carriage return" not in resumed, "no flag mends that any more"


@pytest.mark.slow
def test_cached_large_text_gives_the_same_weights(charrnn, tmp_path):
    (tmp_path / "t.txt").write_text(make_text(3000))
    for out, flags in (("a.pt", ["--cache", "kept"]), ("b.pt", ["--cache", "kept"]), ("c.pt", ["--no-cache"])):
        trained = charrnn("train", "t.txt", *SMALL, *flags, "-o", out, prepare=map_all)
        assert trained.code == 0, trained.stderr
        told = f"\nkept encoded in {tmp_path / 'kept'}, 0 MB, for 30 days after its last use; --no-cache holds it in m"
        assert (told in trained.stderr) == (out != "c.pt")
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".ids"]
    assert_same_weights(tmp_path, "a.pt", "b.pt")
    assert_same_weights(tmp_path, "a.pt", "c.pt")


def test_missing_home_folder_matters_only_for_a_large_text(charrnn, tmp_path):
    (tmp_path / "t.txt").write_text(make_text(3000))
    nowhere = {"XDG_CACHE_HOME": "", "LOCALAPPDATA": ""}
    assert charrnn("train", "t.txt", *SMALL, env=nowhere, prepare=leave_home).done
    refused = charrnn("train", "t.txt", *SMALL, "-o", "large.pt", "-q", env=nowhere, prepare=leave_home_with_all)
    told = "no home folder to keep encoded texts in; give a folder with --cache, or --no-cache"
    assert (refused.code, refused.stderr) == (2, f"charrnn: {told}\n")


def leave_home():
    """The user id has no entry in the password file, as in some containers."""

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    Path.home = no_home


def leave_home_with_all():
    """The same, and every text counts as large."""
    leave_home()
    map_all()


@pytest.mark.slow
def test_text_of_many_millions_of_characters_is_cached(charrnn, tmp_path):
    (tmp_path / "t.txt").write_text(make_text(1000) * 68_000)
    trained = charrnn("train", "t.txt", *SMALL, "--val-fraction", 1e-4, "--cache", "kept", "-q")
    assert trained.code == 0, trained.stderr
    assert [path.suffix for path in (tmp_path / "kept").iterdir()] == [".ids"]
    for path in (tmp_path / "t.txt", *(tmp_path / "kept").iterdir()):
        path.unlink()


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


STRANGE = {
    "two characters": b"ab" * 200,
    "one character": b"a" * 100_000,
    "one line": b"no end " * 2000,
    "NUL": b"\0\1\2" * 500,
    "right to left": "שלום עולם ".encode() * 100,
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 ".encode() * 100,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STRANGE)
def test_small_and_strange_texts_are_trained_sampled_and_scored(charrnn, tmp_path, name):
    (tmp_path / "t.txt").write_bytes(STRANGE[name])
    trained = charrnn("train", "t.txt", "--max-steps", 3, "-q")
    assert trained.code == 0, trained.stderr
    assert len(charrnn("sample", "t.pt", "-n", 20).text) == 20
    assert charrnn("inspect", "t.pt", "--score", "t.txt").code == 0


@pytest.mark.parametrize(
    ("data", "flags", "message"),
    [
        (b"", [], "t.txt: no characters; give a text to learn from"),
        (b"a", [], "t.txt: 1 character, but at least 4 are needed"),
        (
            b"caf\xe9" * 100,
            [],
            "t.txt: not valid UTF-8 at byte 3 (0xe9); if it is Windows-1252 or Latin-1, give --encoding windows-1252",
        ),
        (b"abc" * 100, ["--encoding", "klingon"], "--encoding is 'klingon'; give one of texts that Python knows"),
        *(
            (b"abc" * 100, ["--unit", "byte", *flag], f"bytes as they are; leave out {flag[0]}\n")
            for flag in (["--lowercase"], ["--errors", "replace"], ["--normalize", "nfc"])
        ),
        (
            b"abc" * 100,
            ["--unit", "byte", "--encoding", "utf-16", "--newline", "lf", "--lowercase"],
            "--unit byte takes a file's bytes as they are; leave out --encoding, --newline, --lowercase\n",
        ),
        (b"abc" * 100, ["--lines"], "t.txt: no line feed, and --lines needs lines; leave it out"),
        (b"abc\n" * 20, ["--lines", "--batch-size", 50], "--batch-size 50 asks for as many lines to train on"),
        (b"abc" * 100, ["--min-count", 0], "--min-count is 0; it must be at least 1"),
        (b"abcdef\nghi\n", ["--val-fraction", 0.96], "t.txt: 11 characters, but at least 13 are needed"),
    ],
)
def test_untrainable_text_is_refused_in_one_line(charrnn, tmp_path, data, flags, message):
    (tmp_path / "t.txt").write_bytes(data)
    result = charrnn("train", "t.txt", *flags)
    assert result.code == 2
    assert result.stdout == b""
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
    assert not (tmp_path / "t.pt").exists()


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


def test_forced_val_text_is_held_out(charrnn, tmp_path):
    lines = [f"{number:03}\n" for number in range(100)]
    for name, part in {"both.txt": lines, "a.txt": lines[:80], "b.txt": lines[80:]}.items():
        (tmp_path / name).write_text("".join(part))
    assert charrnn("train", "both.txt", "--lines", *SMALL[:2], *SMALL[6:]).code == 0
    flags = ["a.txt", "--val-text", "b.txt", "--resume-from", "both.pt", "-o", "f.pt", "--force-resume"]
    forced = charrnn("train", *flags, "--max-steps", 6)
    assert "320 to train on, the 80 of b.txt held out" in forced.stderr
    assert "so that some of what is held out was learned from before" in forced.stderr


@pytest.mark.parametrize(
    ("text", "encoding", "told"),
    [
        (
            "it\u2019s a \u201cquotation\u201d, which would be one in a much longer text that has but a few of them; "
            * 9,
            "cp1252",
            "--encoding windows-1252",
        ),
        ("“Yes” – ‘no’… " * 20, "cp1252", "--encoding is probably another, such as utf-8, windows-1252, "),
        (
            "昨日の夜はとても静かでした。" * 9,
            "cp932",
            "--encoding is probably another, such as utf-8, windows-1252, gb18030, big5hkscs",
        ),
        (
            "春天的风吹过山谷。" * 20,
            "utf-8",
            "--encoding is probably another, such as utf-8, windows-1252, gb18030, big5hkscs",
        ),
        (
            "昨日の夜は\n" * 20,
            "iso2022_jp",
            "40 escape characters kept, of a terminal's colours as a rule; where ESC $ and ESC ( stand, --encoding iso",
        ),
    ],
)
def test_rare_characters_are_reported_with_their_likely_cause(charrnn, tmp_path, text, encoding, told):
    (tmp_path / "t.txt").write_bytes(text.encode(encoding))
    read = "utf-8" if encoding == "iso2022_jp" else "latin-1"
    trained = charrnn("train", "t.txt", "--encoding", read, *SMALL)
    assert trained.code == 0, trained.stderr
    (line,) = (line for line in trained.stderr.splitlines() if " kept" in line)
    assert told in line


@pytest.mark.parametrize(
    ("text", "encoding", "read", "told"),
    [
        ("„Ano“ — řekl. Pátý kůň", "windows-1250", "iso8859-2", "--encoding windows-1250 reads them as such"),
        ("«Да» — сказал", "windows-1251", "iso8859-5", "--encoding windows-1251 reads them as such"),
        ("“ภาษาไทย” เป็นภาษาที่", "cp874", "tis-620", "--encoding cp874 reads them as such"),
        ("“café”", "windows-1252", "iso8859-15", "--encoding windows-1252 reads them as such"),
        ("\x93caf\xe9\x94", "utf-8", "utf-8", "was misread, here or before: name its --encoding, or get it again"),
    ],
)
def test_control_characters_suggest_the_windows_encoding_of_the_same_letters(
    charrnn, tmp_path, text, encoding, read, told
):
    (tmp_path / "t.txt").write_bytes((text + " and letters of ASCII, far more than signs. " * 9).encode(encoding) * 2)
    trained = charrnn("train", "t.txt", "--encoding", read, *SMALL)
    assert trained.code == 0, trained.stderr
    (line,) = (line for line in trained.stderr.splitlines() if " kept" in line)
    assert line.endswith(told)


@pytest.mark.parametrize(
    ("text", "encoding", "read", "told"),
    [
        (
            "„Ano,“ řekl. „Ne,“ řekla.\n",
            "windows-1250",
            "iso8859-2",
            "such as windows-1250, utf-8, windows-1252, gb18030",
        ),
        ("“ภาษา” “ไทย”\n", "cp874", "tis-620", "such as cp874, utf-8, windows-1252, gb18030"),
    ],
)
def test_windows_encoding_of_the_same_letters_is_suggested_first(charrnn, tmp_path, text, encoding, read, told):
    (tmp_path / "t.txt").write_bytes(text.encode(encoding) * 30)
    trained = charrnn("train", "t.txt", "--encoding", read, *SMALL)
    assert trained.code == 0, trained.stderr
    assert told in trained.stderr


def test_utf8_texts_read_in_another_encoding_warn(charrnn, tmp_path):
    (tmp_path / "own.txt").write_text(make_text(2000) + "töne " * 9, encoding="windows-1252")
    (tmp_path / "more").mkdir()
    for name in "ab":
        (tmp_path / "more" / name).write_text(make_text(2000) + "töne " * 9, encoding="utf-8")
    told = "valid UTF-8, and read as windows-1252; give --encoding utf-8 if that is what is meant\n"
    first = charrnn("train", "own.txt", "--encoding", "windows-1252", *SMALL)
    assert (first.code, "UTF-8" in first.stderr) == (0, False), first.stderr
    begun = charrnn("train", "more/a", "--init-from", "own.pt", "-o", "a.pt", "--max-steps", 2)
    assert f"\nmore/a: is {told}" in begun.stderr
    quiet = charrnn("train", "more/a", "--init-from", "own.pt", "-o", "q.pt", "--max-steps", 2, "-q")
    assert quiet.stderr == f"charrnn: more/a: is {told}"
    resumed = charrnn("train", "more/a", "--resume-from", "a.pt", "-o", "r.pt", "--max-steps", 4)
    assert (resumed.code, "UTF-8" in resumed.stderr) == (0, False), "what mends it would be refused now"
    both = charrnn("train", "own.txt", "more", "--encoding", "windows-1252", "-o", "both.pt", *SMALL)
    assert f"\nmore/a and 1 other text are {told}" in both.stderr
    right = charrnn("train", "more/a", "--init-from", "own.pt", "--encoding", "utf-8", "-o", "u.pt", "--max-steps", 2)
    assert (right.code, "UTF-8" in right.stderr) == (0, False), right.stderr


def test_text_in_another_encoding_than_the_given_one_warns(charrnn, tmp_path):
    text = "エラー: ファイルを開けません。もう一度、別の名前で試してください。\n" * 50
    for encoding in ("euc_jp", "gb18030"):
        (tmp_path / encoding).write_text(text, encoding=encoding)
    flags = ["--encoding", "gb18030", *SMALL]
    quiet = charrnn("train", "euc_jp", "-q", *flags)
    told = "is probably in euc-jp, and read as gb18030; give --encoding euc-jp if that is what is meant"
    assert (quiet.code, quiet.stderr) == (0, f"charrnn: euc_jp: {told}\n")
    own = charrnn("train", "gb18030", "-q", *flags)
    assert (own.code, own.stderr) == (0, "")
    told = "is probably in euc-jp, and is read as gb18030, as the model's text was; if it is euc-jp, give --encoding "
    scored = charrnn("inspect", "gb18030.pt", "--score", "euc_jp", "--unknown", "skip")
    assert (scored.code, scored.stderr.splitlines()[0]) == (0, f"charrnn: euc_jp: {told}euc-jp")


@pytest.mark.slow
def test_few_long_lines_get_as_many_lanes_as_lines(charrnn, tmp_path):
    (tmp_path / "long.txt").write_text("\n".join(make_text(9000, seed=n).replace("\n", " ") for n in range(8)) + "\n")
    trained = charrnn("train", "long.txt", "--lines", "--hidden-size", 16, "--max-steps", 2)
    assert trained.code == 0, trained.stderr
    assert "7 lanes" in trained.stderr


@pytest.mark.slow
def test_byte_model_without_rare_bytes_samples_and_is_inspected(charrnn, tmp_path):
    (tmp_path / "any.bin").write_bytes((bytes(range(11, 256)) + b"ab" * 9) * 9)  # of the rare ones there are the most
    trained = charrnn("train", "any.bin", "--unit", "byte", "--max-vocab", 2, *SMALL)
    assert trained.code == 0, trained.stderr
    sampled = charrnn("sample", "any.pt", "-n", 50)
    assert (sampled.code, set(sampled.stdout)) == (0, set(b"ab")), sampled.stderr
    copied = charrnn("inspect", "any.pt", "--novelty", "any.bin")
    assert copied.code == 0, copied.stderr
    refused = charrnn("sample", "any.pt", "--forbid", "é")
    assert (refused.code, refused.stderr.count("\n")) == (2, 1)
    assert refused.stderr.startswith("charrnn: --allow and --forbid take ASCII alone")
    refused = charrnn("sample", "any.pt", "--novel", "any.bin", "-p", "a")
    assert refused.stderr.endswith("; let the prompt end with a line feed\n"), "--match is for characters"


@pytest.mark.slow
def test_novel_reads_its_file_with_the_options_of_the_text(charrnn, tmp_path):
    lines = "\n".join(["TUNA NAP", "ONE TIN"] * 60) + "\n"
    (tmp_path / "names.txt").write_bytes(lines.encode("utf-16"))
    flags = ["--encoding", "utf-16", "--lowercase", "--hidden-size", 32, "--batch-size", 4, "--max-steps", 150, "-q"]
    assert charrnn("train", "names.txt", *flags).code == 0
    sampled = charrnn("sample", "names.pt", "--novel", "names.txt", "-n", 200, "--temperature", 0.1, "--seed", 1)
    assert sampled.code == 0, sampled.stderr
    assert not {"tuna nap", "one tin"} & set(sampled.text.splitlines())
    assert "left out" in sampled.stderr


@pytest.mark.slow
def test_separator_that_is_not_utf8_is_refused(charrnn, tmp_path):
    (tmp_path / "a.txt").write_text(make_text(2000))
    refused = charrnn("train", "a.txt", *SMALL, "--separator", "\udcff")
    message = "charrnn: --separator is not UTF-8; give characters, or any bytes with --unit byte\n"
    assert (refused.code, refused.stderr) == (2, message)
    (tmp_path / "grown.txt").write_text(make_text(2000))
    flags = ["--separator", "\udcff", "--unit", "byte", "--out", "bytes.pt"]
    assert charrnn("train", "grown.txt", *SMALL, *flags).code == 0
    (tmp_path / "grown.txt").write_text(make_text(2100))
    refused = charrnn("train", "grown.txt", *flags, "--resume")
    assert " | charrnn train - --separator $'\\xff' --unit byte --out bytes.pt --resume, or" in refused.stderr
