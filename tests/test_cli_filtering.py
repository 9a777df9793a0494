"""`charrnn inspect --score --by line`: lines one by one, as a filter in a pipe."""

import contextlib
import json
import os
import time

import numpy as np
import pytest
import torch
from conftest import make_text, most_held, read_until, save_like, train_briefly
from scores import torch_bits

from charrnn.cli.inspector import filtering, fitting
from charrnn.cli.inspector.subject import read_subjects

LINES = ["Banana tin sole mare kilo", "nub nub nub", "", "Tuna"]


def test_line_scores_equal_the_bits_computed_by_torch(command, trained):
    result = command("words.pt", "--score", "-", "--by", "line", stdin="\n".join(LINES))
    assert (result.returncode, result.stderr) == (0, b"")
    rows = [line.split("\t") for line in result.stdout.decode().splitlines()]
    assert [row[1:] for row in rows] == [[str(len(line)), line] for line in LINES]
    ended = [line + "\n" for line in LINES[:-1]] + [LINES[-1]]
    assert [float(row[0]) for row in rows] == pytest.approx([torch_bits(trained, line) for line in ended], abs=1e-4)


def test_line_score_does_not_depend_on_other_lines(command):
    text = make_text(30_000, seed=9)
    whole = command("words.pt", "--score", "-", "--by", "line", stdin=text).done.stdout.decode().splitlines()
    assert [row.split("\t")[2] for row in whole] == text.split("\n")
    few = command("words.pt", "--score", "-", "--by", "line", stdin="".join(text.splitlines(True)[700:710])).done.stdout
    for alone, among in zip(few.decode().splitlines(), whole[700:710], strict=True):
        assert float(alone.split("\t")[0]) == pytest.approx(float(among.split("\t")[0]), abs=2e-4)


def test_above_prints_only_surprising_lines(command):
    result = command("words.pt", "--score", "-", "--by", "line", "--above", "3.5", stdin="Banana tin\nxkqj\nTin sole\n")
    assert [row.split("\t")[2] for row in result.stdout.decode().splitlines()] == ["xkqj"]
    none = command("words.pt", "--score", "-", "--by", "line", "--above", "99", stdin="Banana tin\nTin sole\n")
    assert (none.returncode, none.stdout, none.stderr) == (0, b"", b"")


def test_blank_line_is_never_above(command):
    lines = ("words.pt", "--score", "-", "--by", "line")
    assert command(*lines, stdin="\r\nTin\n\n").done.stdout.count(b"\n") == 3
    assert command(*lines, "--above", "0.001", stdin="\r\nTin\n\n").done.stdout.endswith(b"\t3\tTin\n")
    assert command(*lines, "--above", "0.001", stdin="\r\nTin\n\n").done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("shown", ["", "lines", "no terminal"])
def test_progress_is_shown_on_a_terminal_without_lines(tmp_path, monkeypatch, capsys, shown):
    (tmp_path / "app.log").write_bytes(b"x" * 400)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filtering, "is_live", lambda: shown != "no terminal")
    monkeypatch.setattr("sys.stdout.isatty", lambda: shown == "lines")
    monkeypatch.setattr(filtering.time, "monotonic", iter([0, 5, 20, 50, 81, 99, 999]).__next__)
    waiting = filtering.Waiting("app.log")
    for _ in range(5):
        waiting(80)
    told = "app.log: 40% scored, about 30 s left\napp.log: 80% scored, about 20 s left\n"
    assert capsys.readouterr().err == ("" if shown else told)


def test_json_has_an_object_per_line(command):
    result = command("words.pt", "--score", "-", "--by", "line", "--json", stdin='Tin "é"\n')
    (row,) = [json.loads(line) for line in result.stdout.decode().splitlines()]
    figures = {"bits_per_char": None, "worst": None}
    assert {**row, **figures} == {"line": 1, "length": 7, "text": 'Tin "é"', **figures}


def test_line_is_answered_before_the_next_and_a_gone_reader_ends_it_silently(trained, start):
    process = start(trained, "inspect", "words.pt", "--score", "-", "--by", "line")
    for word in (b"Banana", b"Tin"):
        process.stdin.write(word + b"\n")
        process.stdin.flush()
        answer = read_until(process.stdout.fileno(), b"\n")  # while the input is still open
        assert answer.endswith(b"\t" + word + b"\n")
    process.stdout.close()
    for _ in range(50):
        try:
            process.stdin.write(b"Sole\n")
            process.stdin.flush()
        except BrokenPipeError:
            break
        time.sleep(0.02)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    assert (process.wait(timeout=30), process.stderr.read()) == (0, b"")


@pytest.mark.parametrize("rule", ["count", "skip"])
def test_worst_place_of_a_line_is_the_peak_of_five_neighbours(command, rule):
    lines = ["Banana tin sole qq mare", "Tin§ sole§§ nap", "Tin", *(["§"] if rule == "count" else []), ""]
    arguments = ("words.pt", "--unknown", rule, "--json")
    scored = command(*arguments, "--score", "-", "--by", "line", stdin="".join(line + "\n" for line in lines))
    for line, found in zip(lines, map(json.loads, scored.stdout.splitlines()), strict=True):
        seen = json.loads(command(*arguments, f"--text={line}\n").done.stdout)["surprise"]["characters"]
        bits = [one["bits"] for one in seen]
        means = [sum(bits[i : i + 5]) / 5 for i in range(len(bits) - 4)] or [sum(bits) / len(bits)]
        assert found["worst"] == pytest.approx(max(means), abs=1e-3)
        assert found["bits_per_char"] == pytest.approx(sum(bits) / len(bits), abs=1e-3)
    both = json.loads(
        command("words.pt", "zoo.pt", "--json", "--score", "-", "--by", "line", stdin="Tin sole\n").done.stdout
    )
    assert set(both["worst"]) == {"words", "zoo"}


def test_line_of_unknown_characters_has_no_bits_when_skipped_and_fits_no_model(command, trained):
    save_like(trained, "cyrillic.pt", characters="\n" + "".join(chr(0x430 + i) for i in range(22)))
    arguments = ("words.pt", "cyrillic.pt", "--score", "-", "--by", "line", "--unknown", "skip")
    result = command(*arguments, "--json", stdin="Tin sole\nабв\n§§\n")
    found = [*map(json.loads, result.stdout.splitlines())]
    assert [row["best"] for row in found] == ["words", "cyrillic", None]
    nothing = {"words": [False, True, True], "cyrillic": [True, False, True]}
    assert {name: [row["bits_per_char"][name] is None for row in found] for name in nothing} == nothing
    assert b"these models do not read the text alike (--unknown skip)" in result.stderr
    rows = [
        row.split("\t") for row in command(*arguments, stdin="Tin sole\nабв\n§§\n").done.stdout.decode().splitlines()
    ]
    assert [row[1:3] for row in rows] == [["nan", "words"], [rows[1][1], "cyrillic"], ["nan", "-"]]
    above = command(*arguments, "--above", "0.01", stdin="Tin sole\n§§\n").done.stdout.decode()
    assert above.endswith("\tTin sole\n"), "a model that knows nothing of it has no say"
    whole = json.loads(command(*arguments[:4], "--unknown", "skip", "--json", stdin="Tin sole\nабв\n").done.stdout)
    assert whole["unlike"] == ["--unknown skip"]


def test_above_with_several_models_leaves_out_what_fits_any_of_them(command):
    arguments = ["--score", "-", "--by", "line", "--above", "4"]
    text = "Banana tin\nBanana tuna\nBanana tzna\nxkqj\n"  # one knows no z, the other no u
    (row,) = command("words.pt", "zoo.pt", *arguments, stdin=text).done.stdout.decode().splitlines()
    assert row.endswith("\txkqj")


ORDINARY = [
    "request GET /items/{0} 200 in {1} ms", "user {2} logged in from 10.0.{3}.{1}", "query took {1} ms, {0} rows",
    "cache hit for key item:{0}", "queue length {3}, {1} workers",
]  # fmt: skip
ODD = [
    "Traceback (most recent call last):", '  File "/srv/app/main.py", line 88, in handle', "KeyError: 'session'",
    "2026-03-04T10:11:12 ERROR db: deadlock detected, transaction rolled back", "Connection reset by peer",
    "2026-05-06T01:02:03 INFO api: request GET /../../etc/passwd 404 in 3 ms", "GET / HTTP/1.1",
    "kernel: Out of memory: Killed process 4211 (python3)", "-----BEGIN PRIVATE KEY-----", "äöü",
    "2026-08-09T11:12:13 INFO api: request POST /items/12' OR '1'='1 500 in 9 ms", "panic: runtime error",
    "2026-02-11T04:05:06 CRITICAL cache: connection refused (111)", "at java.lang.Thread.run(Thread.java:748)",
    "2026-07-07T07:07:07 INFO mail: user eve password changed to hunter2", "segfault at 0 ip 00007f3a error 4",
    "2026-10-10T10:10:10 WARN db: disk 98% full on /var/lib", "\x1b[31merror: index out of range",
    "2026-01-02T03:04:05 INFO api: request DELETE /users/* 200 in 1 ms", "2026-01-02T03:04:05 INFO db: DROP TABLE x",
]  # fmt: skip


def make_log(num_lines, seed):
    generator = np.random.default_rng(seed)
    lines = []
    for _ in range(num_lines):
        month, day, hour, minute, second = (int(generator.integers(1, n)) for n in (13, 29, 24, 60, 60))
        values = (generator.integers(1, 9999), generator.integers(1, 300), generator.choice(["anna", "bert", "eve"]))
        message = generator.choice(ORDINARY).format(*values, generator.integers(0, 256))
        level, service = generator.choice(["INFO", "INFO", "DEBUG"]), generator.choice(["auth", "api", "db", "mail"])
        lines.append(f"2026-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02} {level} {service}: {message}")
    return lines


@pytest.mark.slow
def test_odd_lines_of_a_log_stand_out_after_a_short_training(command, trained):
    """20 odd lines among 20,000 ordinary ones: at least 18 are among the 40 most surprising."""
    (trained / "app.log").write_text("\n".join(make_log(20_000, 1)) + "\n")
    train_briefly(trained, "app.log", "--hidden-size", "128", "--max-steps", "200")
    lines = make_log(20_000, 2)
    for place, odd in enumerate(ODD):
        lines.insert(991 * (place + 1), odd)
    result = command("app.pt", "--score", "-", "--by", "line", stdin="\n".join(lines) + "\n")
    rows = [row.split("\t", 2) for row in result.stdout.decode().split("\n")[:-1]]
    most = sorted(rows, key=lambda row: -float(row[0]))[:40]
    assert sum(text in ODD for _, _, text in most) >= 18


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells what a process held at most")
def test_lines_are_scored_in_constant_memory(trained):
    """Three times as many lines as fill all that is scored at once take no more memory, to a few megabytes."""
    peaks = []
    for copies in (10, 30):
        (trained / "many.txt").write_text(make_text(60_000) * copies)
        arguments = ["words.pt", "--score", "many.txt", "--by", "line", "--above", "90"]
        peaks.append(most_held(trained, "inspect", *arguments))
    assert peaks[1] - peaks[0] < 10_000_000


@pytest.mark.parametrize("models", [["words.pt"], ["words.pt", "zoo.pt"]])
def test_lines_before_a_refused_one_are_scored_and_its_number_is_reported(command, models):
    lines = (*models, "--score", "-", "--by", "line", "--unknown")
    stdin = "Tin\n" * 3000 + "sole\nmare§\nkilo\n"
    refused = command(*lines, "error", stdin=stdin)
    assert (refused.returncode, refused.stderr.count(b"\n")) == (1, 1)
    assert refused.stderr.decode().startswith("charrnn: standard input: line 3,002 has '§' (U+00A7), which this model ")
    assert [row.split(b"\t")[-1] for row in refused.stdout.splitlines()] == [b"Tin"] * 3000 + [b"sole"]


@pytest.mark.parametrize("rule", ["count", "error"])
def test_line_is_encoded_once_per_model(trained, tmp_path, monkeypatch, capsysbinary, rule):
    (tmp_path / "lines.txt").write_text("Tin\nsole\nTin sole\n")
    made, real = [], fitting.encode_known
    monkeypatch.setattr(fitting, "encode_known", lambda text, *rest: made.append(text) or real(text, *rest))
    subjects = read_subjects([str(trained / "words.pt")] * 2)
    filtering.filter_lines(subjects, str(tmp_path / "lines.txt"), rule=rule, above=None, as_json=True)
    assert sorted(made) == sorted(["Tin\n", "sole\n", "Tin sole\n"] * 2)
    assert capsysbinary.readouterr().out.count(b"\n") == 3


def test_line_with_overflowing_scores_is_the_oddest(command, trained):
    contents = torch.load(trained / "words.pt", weights_only=True)
    weights = {name: weight * 1e30 for name, weight in contents["weights"].items()}
    save_like(trained, "huge.pt", weights=weights)
    rows = command("huge.pt", "--score", "-", "--by", "line", "--above", "9", stdin="Tin\nsole\n").done.stdout
    assert rows == b"inf\t3\tTin\ninf\t4\tsole\n"
    record = command("huge.pt", "--score", "-", "--by", "line", "--json", stdin="Tin\n").done.stdout
    assert json.loads(record)["bits_per_char"] is None
    whole = command("huge.pt", "--score", "-", stdin="Tin\nsole\n")
    assert (whole.returncode, whole.stdout) == (1, b"")
    assert b"not numbers any more" in whole.stderr
