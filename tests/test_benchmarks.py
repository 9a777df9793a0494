"""The benchmarks can be imported, and their tables are the README's; what they measure is not tested."""

import importlib

import pytest
from conftest import ROOT


def test_what_was_measured_becomes_tables_of_the_readmes_form(monkeypatch, capfd):
    monkeypatch.syspath_prepend(ROOT)
    benchmarks = importlib.import_module("tests.benchmarks.__main__")
    assert capfd.readouterr() == ("", ""), "importing measures nothing"
    rates = [benchmarks.Rate(median, 0.0, 1e9) for median in (433_210.0, 374_000.0, 9_834.4, 842.6)]
    training, sampled = (benchmarks.speed.Beside((2, 512), *pair, "") for pair in (rates[:2], rates[2:]))
    trained = benchmarks.losses.Trained("`charrnn train a.txt`", "2 networks of 512, 5.4 passes", "1.3 nats", 1.41, "")
    rows = {
        benchmarks.tables.speed_table([training], [sampled]): (
            "| 2 layers of 512 | 433,000 | 374,000 | 1.2 | 9,830 | 843 | 11.7 |"
        ),
        benchmarks.tables.loss_table([trained]): (
            "| `charrnn train a.txt` | 2 networks of 512, 5.4 passes | 1.3 nats | 1.4100 |"
        ),
    }
    for table, row in rows.items():
        head, _, written = table.rpartition("\n")
        assert written == row
        assert f"\n{head}\n| " in (ROOT / "README.md").read_text(encoding="utf-8")


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
def test_a_plain_loop_on_a_gpu_is_said_to_compute_in_what_its_recurrent_kernels_do(monkeypatch, ours, device, plain):
    monkeypatch.syspath_prepend(ROOT)
    speed = importlib.import_module("tests.benchmarks.speed")
    assert speed.plain_precisions(ours, device) == plain
