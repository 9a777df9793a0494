"""`charrnn inspect`: the card, the JSON and the score."""

import json
import math
import os
import pty
import re
import subprocess
import sys
from dataclasses import fields

import pytest
import torch
from conftest import README, clean_environment, make_text, read_terminal, run_charrnn, save_like, train_briefly

from charrnn.config import ModelConfig, config_from_dict
from charrnn.network.model import CharRNN
from charrnn.training.evaluation import evaluate


@pytest.fixture
def inspect(trained):
    def run(*arguments, checkpoint="words.pt", **options):
        options = {"text": True, "env": {**clean_environment(), "COLUMNS": "80"}, **options}
        return run_charrnn(trained, "inspect", checkpoint, *arguments, **options)

    return run


def test_card_has_the_model_and_its_losses(inspect, trained):
    result = inspect()
    assert (result.returncode, result.stderr) == (0, "")
    rows = result.stdout.split("\n\n")[0].splitlines()
    names = dict(re.split(r"  +", line, maxsplit=1) for line in rows if line[0] != " ")
    details = dict(re.split(r"  +", line[2:], maxsplit=1) for line in rows if line[0] == " ")
    assert names["model"].startswith("lstm, 1 layer of 48, embedding 64")
    assert names["vocabulary"] == r"23 characters: \n␣BKMNRSTabeiklmnoprstu"
    assert names["corpus"] == "words.txt, 20,000 characters, 20,000 bytes"
    assert names["trained"].startswith("120 steps")
    assert "nats (perplexity" in names["best"]
    assert "in windows of 256 that start without a state" in result.stdout
    weight = torch.load(trained / "words.pt", weights_only=True)["weights"]["layers.0.weight_hh"]
    share = weight.numel() / int(names["parameters"].replace(",", ""))
    assert details["layers.0.weight_hh"] == f"192 x 48        9,216   {share:.1%}  norm {weight.norm().item():.4g}"
    spaces = make_text(20_000).count(" ") / 20_000
    assert f"space {spaces:.1%}" in details["most frequent"]
    assert details["by"].startswith("charrnn train words.txt --hidden-size 48")
    assert "perplexity" in details["6-gram"]
    assert re.search("this model is (better|WORSE) by", details["6-gram"])
    assert re.match("still improving|levelled off|underfitting|overfitting", names["verdict"])
    assert "● validation" in result.stdout
    assert "learning rate" in result.stdout
    assert max(map(len, result.stdout.splitlines()[-15:])) <= 80


def test_card_has_the_first_and_the_last_command_of_a_run(inspect, trained):
    told = {"command": "charrnn train --resume \x1b[7m", "begun_by": f"charrnn train {'a' * 300}"}
    save_like(trained, "resumed.pt", made=told)
    rows = dict(
        re.split("  +", row.strip(), maxsplit=1)
        for row in inspect(checkpoint="resumed.pt").done.stdout.splitlines()[:20]
    )
    assert rows["by"] == f"charrnn train {'a' * 286}... and 14 characters more"
    assert rows["resumed by"] == "charrnn train --resume \N{SYMBOL FOR ESCAPE}[7m"
    assert "resumed by" not in inspect().done.stdout


def test_baseline_is_shown_or_its_absence_explained(inspect, trained, deep_folder):
    baseline = json.loads(inspect("--json").done.stdout)["baseline"]
    assert baseline["text"] == "words.txt"
    assert 0.2 < baseline["bits_per_char"] < 2
    (deep_folder / "words.pt").write_bytes((trained / "words.pt").read_bytes())
    (deep_folder / "other.txt").write_text("another text")
    apart = inspect(cwd=deep_folder)
    assert "words.txt has not been found; --corpus says where it is" in apart.stdout
    assert json.loads(inspect("--json", cwd=deep_folder).done.stdout)["baseline"] is None
    told = json.loads(inspect("--json", "--corpus", trained / "words.txt", cwd=deep_folder).done.stdout)["baseline"]
    assert told["loss"] == baseline["loss"]
    wrong = inspect("--corpus", "other.txt", cwd=deep_folder)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("charrnn: other.txt: is not the text that words.pt learned from")


def test_equal_checkpoints_are_compared_without_a_mark(inspect, trained):
    (trained / "again.pt").write_bytes((trained / "words.pt").read_bytes())
    rows = inspect("again.pt").done.stdout.splitlines()
    assert rows[0].split() == ["words", "again"]
    assert not any(line.startswith("*") for line in rows)


def test_compared_checkpoints_of_one_name_are_named_by_their_paths(inspect, trained, tmp_path):
    (tmp_path / "words.pt").write_bytes((trained / "words.pt").read_bytes())
    named = "".join(inspect(tmp_path / "words.pt").done.stdout.split())  # a long name may be cut into lines
    assert named.startswith("words.pt")
    assert str(tmp_path / "words.pt") in named


@pytest.fixture
def other(trained):
    """A checkpoint like `words.pt` of another model, and that model."""
    model = CharRNN(ModelConfig(vocab_size=23, cell="gru", hidden_size=8, num_layers=2, embedding_dim=64))
    save_like(trained, "other.pt", model)
    return model


def test_comparison_marks_what_differs(inspect, other):
    rows = inspect("other.pt").done.stdout.splitlines()
    marked = {re.split("  +", line)[1] for line in rows if line.startswith("*")}
    assert marked == {"cell", "hidden size", "num layers", "dropout", "input dropout", "recall", "parameters"}
    cards = json.loads(inspect("other.pt", "--json").done.stdout)
    assert [(card["checkpoint"], card["cell"]) for card in cards] == [("words.pt", "lstm"), ("other.pt", "gru")]


def test_comparison_shows_the_losses_and_the_verdict_of_the_card(inspect, other):
    result = inspect("other.pt").done
    assert "cannot be compared" not in result.stdout
    shown = dict(re.split("  +", line.removeprefix("*").strip())[:2] for line in result.stdout.splitlines()[1:])
    assert (shown["residual"], shown["characters"]) == ("yes", "20,000")
    card = json.loads(inspect("--json").done.stdout)
    assert shown["cold loss, nats"] == f"{card['best']['cold_loss']:.4f}"
    assert shown["6-gram, nats"] == f"{card['baseline']['loss']:.4f}"
    assert shown["evaluated"] == f"{card['baseline']['characters']:,}" == "1,999"
    assert shown["verdict"] == card["verdict"].partition(":")[0]


def test_losses_of_different_texts_are_not_compared(inspect, trained):
    save_like(trained, "other.pt", corpus={"sha256": "0" * 64})
    told = " ".join(inspect("other.pt").done.stdout.split())
    assert told.endswith(
        "these models learned from different texts, or were judged by different ones: their losses cannot be compared; "
        "--score FILE gives them one"
    )


@pytest.mark.parametrize("changes", [{"val_fraction": 0.2}, {"evaluated": 900}], ids=str)
def test_losses_over_different_parts_are_not_compared(inspect, trained, changes):
    save_like(trained, "other.pt", training={"config": changes})
    result = inspect("other.pt").done
    told = " ".join(result.stdout.split())
    assert told.endswith(
        " their losses are over different parts of the text: they cannot be compared; --score FILE gives them one"
    )
    shown = dict(re.split("  +", line)[1:3] for line in result.stdout.splitlines() if "  " in line)
    assert ("evaluated" in shown, shown["held out"]) == (True, "0.1")


@pytest.mark.parametrize("flags", [["--unit", "byte"], ["--max-vocab", "9"]], ids=str)
def test_losses_over_different_alphabets_are_not_compared(inspect, trained, flags):
    train_briefly(
        trained, "words.txt", *flags, "-o", "apart.pt", "--overwrite", "--hidden-size", "8", "--max-steps", "1"
    )
    told = " ".join(inspect("apart.pt").done.stdout.split())
    assert told.endswith(
        "these models read different units, or count different characters as rare: their losses cannot be "
        "compared; --score FILE gives them one"
    )


def test_comparison_lists_differing_settings_and_the_usual_ones(inspect, trained):
    usual = names_of_rows(inspect("words.pt").done.stdout)
    changes = {
        "optimizer": "sgd", "warmup_steps": 1200, "final_learning_rate": 1.0, "beta2": 0.9, "weight_decay": 0.5,
        "grad_clip": 0.1, "evaluate_every": 7, "rewind": False, "state_reset": 0.5, "patience": 3, "stretch": 64,
        "epochs": 0.5, "max_steps": None, "time_limit": 60.0, "precision": "bfloat16", "device": "cuda", "threads": 7,
        "deterministic": True, "evaluations": 5,
    }  # fmt: skip
    text = {"encoding": "latin-1", "errors": "replace", "newline": "lf", "normalize": "nfc", "lowercase": True}
    read = {"separator": "\n", "include": ["*.py", "*.c"], "exclude": ["b"], "init_from": "/home/me/\x1b[7m.pt"}
    save_like(trained, "set.pt", training={"config": changes}, text=text, origin=read)
    rows = inspect("set.pt").done.stdout.splitlines()
    marked = {name: cells for star, name, *cells in (re.split("  +", row) for row in rows if row.startswith("*"))}
    settings = {name.replace("_", " ") for name in {**changes, **text, **read} if name != "evaluations"}
    assert marked.keys() - {"evaluated", "6-gram, nats"} == settings, "it cannot find a text that is read so"
    assert names_of_rows("\n".join(rows)) - settings == usual
    assert (marked["optimizer"], marked["warmup steps"]) == (["adamw", "sgd"], ["12", "1,200"])
    assert (marked["time limit"], marked["rewind"], marked["evaluate every"]) == (
        ["none", "1 min 00 s"], ["yes", "no"], ["none", "7"],
    )  # fmt: skip
    assert (marked["include"], marked["separator"]) == (["none on record", "*.py, *.c"], ["none", r"\n"])
    assert marked["init from"] == ["none", "\N{SYMBOL FOR ESCAPE}[7m.pt"]


@pytest.mark.parametrize(("one", "other", "cells"), [
    (("a/model.pt", "1"), ("model.pt", "1"), None),
    (("a/model.pt", "1"), ("b/other.pt", "2"), ["model.pt", "other.pt"]),
    (("a/model.pt", "1"), ("b/model.pt", "2"), ["a/model.pt", "b/model.pt"]),
    (("model.pt", "1"), ("model.pt", "2"), ["model.pt, run 111111111111", "model.pt, run 222222222222"]),
    (("model.pt", "1"), (None, None), ["model.pt", "none"]),
    (("a/model.pt", "1"), ("model.pt", None), None),  # as an export of the same has it
])  # fmt: skip
def test_models_with_different_init_from_are_distinguished(inspect, trained, one, other, cells):
    for name, (path, run) in (("one.pt", one), ("other.pt", other)):
        save_like(trained, name, origin={"init_from": path, "init_run": run and run * 12})
    assert row_of(inspect("other.pt", checkpoint="one.pt").done.stdout, "init from") == cells


def test_settings_differing_in_the_last_digits_are_shown_to_differ(inspect, trained):
    for name, limit in (("day.pt", 86400.0), ("more.pt", 86401.5), ("hour.pt", 3600.0)):
        save_like(trained, name, training={"config": {"time_limit": limit}})
    assert row_of(inspect("more.pt", checkpoint="day.pt").done.stdout, "time limit") == ["86400.0 s", "86401.5 s"]
    assert row_of(inspect("hour.pt", checkpoint="day.pt").done.stdout, "time limit") == ["24 h 00 min", "1 h 00 min"]


def row_of(table, name):
    """The cells of a row in which models differ; None where it is not there."""
    rows = (re.split("  +", line) for line in table.splitlines() if line.startswith("*"))
    return next((cells for _, title, *cells in rows if title == name), None)


def test_value_missing_in_one_model_is_shown_as_none(inspect, trained, tmp_path):
    train_briefly(trained, "words.txt", "--unit", "byte", "-o", "bytewise.pt", "--hidden-size", "8", "--max-steps", "1")
    few = torch.load(trained / "bytewise.pt", weights_only=True)
    torch.save({**few, "training": {**few["training"], "cold_loss": None}}, trained / "bytewise.pt")
    card = json.loads(inspect("--json").done.stdout)
    for pair in (["words.pt", "bytewise.pt"], ["bytewise.pt", "words.pt"]):
        _, *rows = inspect(pair[1], checkpoint=pair[0]).done.stdout.split("\n\n")[0].splitlines()
        rows = [row[1:].strip() for row in rows]
        cold = [f"{card['best']['cold_loss']:.4f}", "none on record"]
        assert rows[-1].startswith("verdict"), "the last, whichever rows the first model lacks"
        found = {re.split("  +", row)[0]: re.split("  +", row)[1:] for row in rows}
        assert found["cold loss, nats"] == (cold if pair[0] == "words.pt" else cold[::-1])
        names = list(found)
        assert names.index("cold loss, nats") > names.index("best loss, nats") > names.index("bytes")
        assert names.index("steps") > names.index("characters") > names.index("corpus")
    save_like(trained, "cool.pt", training={"cold_loss": None})
    assert "cold" not in inspect("cool.pt", checkpoint="bytewise.pt").done.stdout, "where none has one"


def names_of_rows(table):
    """The names in a comparison of two models, without what stands above and below."""
    _, *rows = table.split("\n\n")[0].splitlines()
    return {re.split("  +", row[1:].strip())[0] for row in rows}


def test_card_of_a_lines_model_has_the_characters_of_its_losses(inspect, trained):
    small = CharRNN(ModelConfig(vocab_size=23, cell="gru", hidden_size=8, num_layers=1, embedding_dim=8))
    for name, lines in (("lined.pt", True), ("streamed.pt", False)):  # small, as lines are not recalled
        save_like(trained, name, small, training={"config": {"evaluated": 900}}, text={"lines": lines})
    counted = json.loads(inspect("--json", checkpoint="lined.pt").done.stdout)["baseline"]["characters"]
    assert counted not in (900, 1999), "whole lines, as near to 900 as they come"
    assert f" on the same {counted} characters: this model is " in inspect(checkpoint="lined.pt").done.stdout
    shown = inspect("streamed.pt", checkpoint="lined.pt").done.stdout
    assert re.search(rf"^\*    evaluated  +{counted}  +900$", shown, re.M)
    assert "their losses are over different parts of the text" in shown
    save_like(trained, "whole.pt", small, text={"lines": True})
    whole = inspect("whole.pt", checkpoint="words.pt").done.stdout
    assert "cannot be compared" not in whole, "all of the same held-out piece"


def test_unevaluated_checkpoint_has_a_card(inspect, trained):
    save_like(trained, "young.pt", history=[])
    assert "no loss on record" in inspect(cwd=trained, checkpoint="young.pt").done.stdout
    card = json.loads(inspect("--json", checkpoint="young.pt").done.stdout)
    assert (card["best"], card["verdict"]) == (None, "no evaluation on record")
    save_like(trained, "young.pt", training={"step": 1}, history=[])
    assert re.search("^trained +1 step, ", inspect(checkpoint="young.pt").done.stdout, re.M)


def test_idle_pattern_that_no_file_name_can_have_does_not_hide_the_card(inspect, trained):
    """A stranger's checkpoint may hold one: half of a surrogate pair, which UTF-8 cannot encode."""
    save_like(trained, "pattern.pt", origin={"exclude": ["\ud800"]})
    card = inspect(checkpoint="pattern.pt").done
    assert card.stderr == ""
    assert re.search("^verdict ", card.stdout, re.M)
    assert inspect("--json", checkpoint="pattern.pt").done.stderr == ""


@pytest.mark.parametrize("width", [20, 40])
def test_values_are_below_their_names_on_a_narrow_terminal(trained, width):
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "charrnn", "inspect", "words.pt"]
    environment = {**clean_environment(), "COLUMNS": str(width), "TERM": "xterm"}
    with subprocess.Popen(command, cwd=trained, stdout=slave, env=environment) as process:
        os.close(slave)
        shown = read_terminal(master).decode().replace("\r\n", "\n")
    assert process.returncode == 0, shown
    assert "model\n    lstm, 1 layer of" in shown
    assert max(map(len, shown.splitlines())) <= width
    assert "verdict\n" in shown


def test_json_has_the_documented_values(inspect, trained):
    card = json.loads(inspect("--json").done.stdout)
    contents = torch.load(trained / "words.pt", weights_only=True)
    assert card["format_version"] == 1
    assert (card["cell"], card["hidden_size"], card["num_layers"], card["embedding_dim"]) == ("lstm", 48, 1, 64)
    assert card["vocab_size"] == 23
    assert card["characters"] == "".join(sorted(set(make_text(20_000))))
    assert card["num_parameters"] == sum(tensor.numel() for tensor in contents["weights"].values())
    losses = [row["val_loss"] for row in card["history"]]
    assert card["best"]["val_loss"] == min(losses)
    assert card["best"]["perplexity"] == pytest.approx(math.exp(min(losses)))
    assert card["best"]["bits_per_char"] == pytest.approx(min(losses) / math.log(2))
    assert card["best"]["cold_loss"] == pytest.approx(min(losses), abs=0.2)
    assert card["best"]["step"] == card["history"][losses.index(min(losses))]["step"]
    assert card["corpus"]["name"] == "words.txt"
    assert sum(card["corpus"]["counts"]) == card["corpus"]["characters"] == 20_000
    assert len(card["corpus"]["sha256"]) == 64
    assert (card["text"]["unit"], card["text"]["lowercase"], card["best"]["unit"]) == ("character", False, "character")
    assert card["made"]["cores"] >= 1
    assert {"step", "train_loss", "val_loss"} <= set(card["history"][0])


def test_json_fields_of_the_card_and_the_readme_agree(inspect):
    section = README.split("#### What its JSON holds\n")[1].split("\n### ")[0]
    listed = {name for names in re.findall(r"^- ([^:,]*)[:,]", section, re.M) for name in re.findall(r"`(\w+)`", names)}
    card = json.loads(inspect("--json").done.stdout)
    assert set(card) == listed | {"checkpoint"} | {field.name for field in fields(ModelConfig)}
    inner = {name for field in ("best", "baseline", "corpus") for name in card[field]} | set(card["history"][0])
    assert inner - {"model"} <= set(re.findall(r"`(\w+)`", section)), "of the 6-gram model"


def test_score_is_the_loss_of_the_best_weights(inspect, trained):
    held_out = make_text(20_000)[-2000:]
    (trained / "held_out.txt").write_text(held_out)
    result = json.loads(inspect("--score", "held_out.txt", "--json").done.stdout)
    card = json.loads(inspect("--json").done.stdout)
    contents = torch.load(trained / "words.pt", weights_only=True)
    from charrnn.text.encoder import CharEncoder

    model = CharRNN(config_from_dict(ModelConfig, contents["model"]))
    model.load_state_dict(contents["weights"])
    expected = evaluate(model.eval(), CharEncoder(contents["characters"]).encode(held_out), batch_size=1)
    assert result["loss"] == pytest.approx(expected, abs=1e-5)
    assert result["loss"] == pytest.approx(card["best"]["val_loss"], abs=2e-3), "the figure in the checkpoint is true"
    assert result["characters"] == 1999
    assert result["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    assert 0.3 < result["accuracy"] < 1


@pytest.mark.parametrize(("text", "told"), [("Tin¿", "1 character"), ("¿Tin¿", "2 characters")])
def test_unknown_characters_of_a_score_are_counted_in_words(inspect, text, told):
    assert re.search(f"^unknown +{told} that it does not know$", inspect("--score", "-", input=text).done.stdout, re.M)


def test_score_reads_stdin_and_prints_a_table(inspect):
    result = inspect("--score", "-", input="Banana tin sole\n")
    assert result.returncode == 0
    assert result.stdout.splitlines()[1] == "characters          15 predicted"


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (
            ["--score", "-", "--unknown", "error"],
            "naïa",
            "standard input has 'ï' (U+00EF), which this model does not know",
        ),
        (
            ["--score", "-", "--by", "line", "--unknown", "error"],
            "naïa\n",
            "standard input: line 1 has 'ï' (U+00EF), which",
        ),
        (["--score", "-", "--by", "word"], "", "--by is 'word'; it must be line"),
        (["--score", "-", "--above", "2"], "", "--above chooses lines; give --by line too"),
        (["--by", "line"], "", "--by is a way of scoring; give --score FILE"),
        (["--score", "-", "--by", "line", "--dynamic"], "", "--dynamic reads one text from end to end"),
        (["--text", "a", "--top-k", "-1"], "", "--top-k is -1; it must be at least 0"),
        (["--member", "-1"], "", "--member is -1; it must be at least 0"),
        (["--score", "-", "--unknown", "x"], "", "--unknown is 'x'; it must be one of"),
        (["-", "--score", "-"], "", "standard input can be one thing only"),
        (
            ["--score", "-", "--by", "line", "--unknown", "error"],
            b"\xff\n",
            "standard input: line 1 is not valid UTF-8",
        ),
        (["--score", "-"], "", "standard input: too few characters that words.pt knows to be scored; give 2 or more"),
        (["--score", "-"], "T", "standard input: too few characters that words.pt knows to be scored; give 2 or more"),
        (["--score", "no.txt"], "", "no.txt: no such file"),
    ],
)
def test_bad_input_is_reported_in_one_line(inspect, arguments, stdin, message):
    result = inspect(
        *arguments,
        input=stdin.decode("utf-8", "surrogateescape") if isinstance(stdin, bytes) else stdin,
        errors="surrogateescape",
    )
    assert result.returncode == (1 if "'ï'" in message else 2), "1: a character that the model lacks"
    assert result.stdout == ""
    assert result.stderr.startswith(f"charrnn: {message}")
    assert result.stderr.count("\n") == 1


def test_verify_reads_everything_and_says_what_it_checked(inspect, trained):
    result = inspect("--verify")
    assert (result.returncode, result.stderr) == (0, "")
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert rows["checksums"].strip() == "right, of every record of the file"
    contents = torch.load(trained / "words.pt", weights_only=True)
    count = sum(tensor.numel() for tensor in contents["weights"].values())
    assert f"{len(contents['weights'])} tensors with {count:,} numbers" in rows["weights"]
    assert "step 120" in rows["training"]
    assert json.loads(inspect("--verify", "--json").done.stdout)["weights"] == rows["weights"].strip()


def test_verify_names_each_of_several_checkpoints(inspect, trained):
    (trained / "twin.pt").write_bytes((trained / "words.pt").read_bytes())
    lines = inspect("twin.pt", "--verify").done.stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("checkpoint")] == ["words.pt", "twin.pt"]
    objects = json.loads(inspect("twin.pt", "--verify", "--json").done.stdout)
    assert [one["checkpoint"] for one in objects] == ["words.pt", "twin.pt"]


@pytest.mark.parametrize("is_json", [False, True])
def test_verify_reports_every_damaged_checkpoint_and_checks_the_others(inspect, trained, is_json):
    whole = (trained / "words.pt").read_bytes()
    for name in ("bad.pt", "worse.pt"):
        (trained / name).write_bytes(whole[:-99])
    (trained / "twin.pt").write_bytes(whole)
    result = inspect("bad.pt", "twin.pt", "worse.pt", "--verify", *["--json"] * is_json)
    assert result.returncode == 1
    told = [line.removeprefix("charrnn: ") for line in result.stderr.splitlines()]
    assert [line.split(": not a whole charrnn checkpoint")[0] for line in told] == ["bad.pt", "worse.pt"]
    if is_json:
        found = json.loads(result.stdout)
        assert [one["checkpoint"] for one in found] == ["words.pt", "bad.pt", "twin.pt", "worse.pt"]
        assert [one.get("error") for one in found] == [None, told[0], None, told[1]]
    else:
        checked = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("checkpoint")]
        assert checked == ["words.pt", "twin.pt"]


@pytest.mark.parametrize("flags", ["", "--json"])
@pytest.mark.parametrize(("stdout", "unbuffered"), [("| true", ""), ("| true", "1"), (">&-", "")])
@pytest.mark.parametrize(("order", "code"), [("bad.pt words.pt", 1), ("words.pt bad.pt", 1), ("words.pt words.pt", 0)])
def test_verify_reports_damage_by_its_exit_code_even_with_stdout_closed(
    trained, order, code, stdout, unbuffered, flags
):
    (trained / "bad.pt").write_bytes((trained / "words.pt").read_bytes()[:-99])
    command = f"set -o pipefail; {sys.executable} -m charrnn inspect {order} --verify {flags} {stdout}"
    env = {**clean_environment(), "PYTHONUNBUFFERED": unbuffered}
    result = subprocess.run(["bash", "-c", command], cwd=trained, capture_output=True, timeout=60, env=env)
    told = [line.split(": ")[1] for line in result.stderr.decode().splitlines()]
    if stdout == ">&-":
        assert (result.returncode, told[-1]) == (1, "standard output")
    else:
        assert (result.returncode, told) == (code, ["bad.pt"] * code)


def test_verify_reports_nan_and_allows_unmeasured_infinity(trained, tmp_path):
    for value, code in ((float("inf"), 0), (float("nan"), 1)):
        save_like(trained, tmp_path / "m.pt", training={"measured": [value]})
        result = run_charrnn(tmp_path, "inspect", "m.pt", "--verify", text=True)
        assert result.returncode == code
        assert ("m.pt: its training state holds NaN" in result.stderr) == (code == 1)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda training: training.pop("health"), "it has no health"),
        (lambda training: training.update(state=[]), "the hidden state has another number of layers"),
        (lambda training: training.update(optimizer="x"), "it has another number of members"),
        (lambda training: training["lanes"].update(index=10**9), "the place in the text lies behind its end"),
        (
            lambda training: training["pace"].update(chars=0, steps=1),
            "pace counts characters or evaluations that there",
        ),
    ],
)
def test_verify_refuses_a_training_state_that_a_resume_would_refuse(trained, tmp_path, change, told):
    contents = torch.load(trained / "words.pt", weights_only=True)
    change(contents["training"])
    torch.save(contents, tmp_path / "m.pt")
    result = run_charrnn(tmp_path, "inspect", "m.pt", "--verify", text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert f"m.pt: its training state is damaged, or of a later version ({told}" in result.stderr


def test_verify_finds_damage_in_what_only_a_resume_reads(inspect, trained):
    whole = (trained / "words.pt").read_bytes()
    moments = torch.load(trained / "words.pt", weights_only=True)["training"]["optimizer"][0]["state"][0]["exp_avg"]
    data = bytearray(whole)
    data[data.index(moments.numpy().tobytes()) + 5] ^= 1
    try:
        (trained / "words.pt").write_bytes(data)
        assert inspect().returncode == 0
        result = inspect("--verify")
    finally:
        (trained / "words.pt").write_bytes(whole)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("charrnn: words.pt: not a whole charrnn checkpoint (Bad CRC-32 for file ")
