"""`charrnn inspect`: the card, the JSON and the score."""

import json
import math
import subprocess
import sys

import pytest
import torch
from conftest import clean_environment, make_text

from charrnn.config import config_from_dict
from charrnn.evaluation import evaluate
from charrnn.model import CharRNN


@pytest.fixture
def inspect(trained):
    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "charrnn", "inspect", "words.pt", *map(str, arguments)],
            cwd=trained,
            capture_output=True,
            text=True,
            env={**clean_environment(), "COLUMNS": "80"},
            timeout=60,
            **options,
        )

    return run


def test_the_card_tells_what_it_is_and_how_well_it_does(inspect, trained):
    result = inspect()
    assert (result.returncode, result.stderr) == (0, "")
    names = {line[:12].strip(): line[12:].strip() for line in result.stdout.splitlines() if line[:1].isalpha()}
    assert names["model"].startswith("lstm, 1 layer of 48, embedding 64")
    assert names["vocabulary"] == r"23 characters: \n BKMNRSTabeiklmnoprstu"
    assert names["corpus"] == "words.txt, 20,000 characters, 20,000 bytes"
    assert names["trained"].startswith("120 steps")
    assert "nats (perplexity" in names["best"]
    assert "in windows of 256 that start without a state" in result.stdout
    assert "● validation" in result.stdout
    assert max(map(len, result.stdout.splitlines()[-12:])) <= 80


def test_json_holds_what_is_promised(inspect, trained):
    card = json.loads(inspect("--json").stdout)
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
    assert {"step", "train_loss", "val_loss"} <= set(card["history"][0])


def test_score_is_the_loss_of_the_best_weights_on_that_text(inspect, trained):
    held_out = make_text(20_000)[-2000:]
    (trained / "held_out.txt").write_text(held_out)
    result = json.loads(inspect("--score", "held_out.txt", "--json").stdout)
    card = json.loads(inspect("--json").stdout)
    contents = torch.load(trained / "words.pt", weights_only=True)
    from charrnn.config import ModelConfig
    from charrnn.encoder import CharEncoder

    model = CharRNN(config_from_dict(ModelConfig, contents["model"]))
    model.load_state_dict(contents["weights"])
    expected = evaluate(model.eval(), CharEncoder(contents["characters"]).encode(held_out), batch_size=1)
    assert result["loss"] == pytest.approx(expected, abs=1e-5)
    assert result["loss"] == pytest.approx(card["best"]["val_loss"], abs=2e-3), "the figure in the checkpoint is true"
    assert result["characters"] == 1999
    assert result["perplexity"] == pytest.approx(math.exp(expected), rel=1e-4)
    assert 0.3 < result["accuracy"] < 1


def test_score_reads_stdin_and_prints_a_table(inspect):
    result = inspect("--score", "-", input="Banana tin sole\n")
    assert result.returncode == 0
    assert result.stdout.splitlines()[1] == "characters          15 predicted"


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["--score", "-"], "naïa", "standard input has 'ï' (U+00EF), which this model never saw (23 characters"),
        (["--score", "-"], "", "a text of 0 characters cannot be scored; give at least 2"),
        (["--score", "no.txt"], "", "no.txt: no such file"),
    ],
)
def test_bad_input_is_one_line(inspect, arguments, stdin, message):
    result = inspect(*arguments, input=stdin)
    assert result.returncode in (1, 2)
    assert result.stdout == ""
    assert result.stderr.startswith(f"charrnn: {message}")
    assert result.stderr.count("\n") == 1


def test_verify_reads_all_of_it_and_says_what_it_checked(inspect, trained):
    result = inspect("--verify")
    assert (result.returncode, result.stderr) == (0, "")
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert rows["checksums"].strip() == "right, of every record of the file"
    contents = torch.load(trained / "words.pt", weights_only=True)
    count = sum(tensor.numel() for tensor in contents["weights"].values())
    assert f"{len(contents['weights'])} tensors with {count:,} numbers" in rows["weights"]
    assert "step 120" in rows["training"]
    assert json.loads(inspect("--verify", "--json").stdout)["weights"] == rows["weights"].strip()


def test_verify_finds_damage_in_what_only_a_resume_reads(inspect, trained):
    whole = (trained / "words.pt").read_bytes()
    moments = torch.load(trained / "words.pt", weights_only=True)["training"]["optimizer"]["state"][0]["exp_avg"]
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
