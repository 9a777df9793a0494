"""The benchmarks can be imported, and their tables are the README's; what they measure is not tested."""

import importlib

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
