"""Texts of every kind through the whole command line: trained on, sampled from and scored."""

import base64
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import clean_environment, lock, make_text
from processes import FOUR_STEPS as SMALL
from processes import assert_same_weights, map_all

from charrnn.storage.archive import read_checkpoint


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


def test_separator_that_would_change_a_line_is_refused(charrnn, tmp_path):
    (tmp_path / "a.txt").write_text("Tomas")
    (tmp_path / "b.txt").write_text("Anna\nEva\n" * 20)
    flags = ["train", "a.txt", "b.txt", *SMALL, "--lines", "--separator"]
    message = "--separator would become part of the next text's first line; with --lines, end it with \\n"
    refused = charrnn(*flags, "--")
    assert (refused.code, refused.stderr) == (2, f"charrnn: {message}\n")
    assert charrnn(*flags, r"--\n").code == 0


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
