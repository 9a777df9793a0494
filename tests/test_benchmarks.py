"""The benchmarks can be imported, and their tables are the README's; what they measure is not tested."""

import importlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import ROOT


def test_measurements_become_tables_in_the_form_of_the_readme(monkeypatch, capfd):
    monkeypatch.syspath_prepend(ROOT)
    benchmarks = importlib.import_module("tests.benchmarks.__main__")
    assert capfd.readouterr() == ("", ""), "importing measures nothing"
    rates = [benchmarks.Rate(median, 0.0, 1e9) for median in (433_210.0, 374_000.0, 9_834.4, 842.6)]
    training, sampled = (benchmarks.speed.Beside((2, 512), *pair, "") for pair in (rates[:2], rates[2:]))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    figures = re.search(
        r"^\| `charrnn train (?P<text>\S+) --time (?P<duration>\S+)` \| "
        r"(?P<members>\d+) networks of (?P<hidden_size>\d+), (?P<epoch>[\d.]+) passes \| "
        r"(?P<val_loss>[\d.]+) nats \((?P<bits_per_char>[\d.]+) bits\) \| (?P<cold_loss>[\d.]+) \|$", readme, re.M,
    )  # fmt: skip
    trained = train_as_told(monkeypatch, benchmarks.losses, **figures.groupdict())
    rows = {
        benchmarks.tables.speed_table([training], [sampled]): (
            "| 2 layers of 512 | 433,000 | 374,000 | 1.2 | 9,830 | 843 | 11.7 |"
        ),
        benchmarks.tables.loss_table([trained]): figures[0],
    }
    for table, row in rows.items():
        head, _, written = table.rpartition("\n")
        assert written == row
        assert f"\n{head}\n| " in readme


def train_as_told(monkeypatch, losses, text, duration, members, hidden_size, **best):
    """A training by the benchmark that reaches these figures, without one."""
    shape = {"cell": "lstm", "dropout": 0.1, "num_layers": 1, "members": int(members), "hidden_size": int(hidden_size)}
    card = {**shape, "best": {name: float(value) for name, value in best.items()}}
    monkeypatch.setattr(losses.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=json.dumps(card)))
    return losses.train(Path(text), duration)


def test_failed_training_is_explained(monkeypatch, capfd):
    monkeypatch.syspath_prepend(ROOT)
    losses = importlib.import_module("tests.benchmarks.losses")
    with pytest.raises(losses.subprocess.CalledProcessError):
        losses.train(Path("missing.txt"), "5s")
    assert "missing.txt" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("ours", "device", "plain"),
    [
        ("float32", "cpu", ["float32"]),
        ("bfloat16", "cpu", ["float32", "bfloat16"]),
        ("float32", "cuda", ["float32"]),
        ("bfloat16", "cuda", ["float32", "float16"]),
        ("float16", "cuda", ["float32", "float16"]),
    ],
)
def test_plain_loop_on_a_gpu_reports_the_precision_of_its_kernels(monkeypatch, ours, device, plain):
    monkeypatch.syspath_prepend(ROOT)
    speed = importlib.import_module("tests.benchmarks.speed")
    assert speed.plain_precisions(ours, device) == plain
