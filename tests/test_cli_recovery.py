"""Trainings that fail after their numbers went wrong: which weights are kept, and what is said."""

import json
import os
import re
import signal
import time

import processes
import pytest
import torch
from conftest import make_text
from runs import break_forward


@pytest.mark.slow
def test_best_weights_are_kept_if_training_fails_before_they_were_saved(tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    flags = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32", "--max-steps", 60]
    trained = processes.train(tmp_path, *flags, "--log", "log", prepare=_break_after_the_first_evaluation)
    assert trained.process.exitcode == 1
    assert trained.stderr.rstrip().endswith("; verse.pt keeps the best so far")
    assert re.findall(r"^charrnn: after step .* \((\d) of 3 tries\)$", trained.stderr, re.M) == ["1", "2", "3"]
    contents = torch.load(tmp_path / "verse.pt", weights_only=True)
    best = [row["step"] for row in contents["history"]][-1]
    assert contents["training"]["step"] >= best > 0
    torch.testing.assert_close(contents["training"]["weights"], contents["weights"], rtol=0, atol=0)
    assert contents["training"]["health"]["tries"] == contents["training"]["health"]["skipped_in_row"] == 0
    *_, evaluated, last = rows = rows_of(tmp_path / "log")
    assert (evaluated["is_last"], evaluated["val_loss"]) == (False, contents["history"][-1]["val_loss"])
    assert (last["step"], last["is_last"], last["ended_by"]) == (best, True, "divergence")
    assert "going back 3 times" in last["trouble"]
    resumed = processes.train(tmp_path, "--resume", "--max-steps", 62, "--log", "log", "--report-every", 1)
    assert resumed.process.exitcode == 0
    assert rows_of(tmp_path / "log")[: len(rows)] == rows
    assert [row["step"] for row in rows_of(tmp_path / "log")[len(rows) :]] == [*range(best + 1, 63)]
    assert "tries" not in resumed.stderr, "what was told once is not told again"


@pytest.mark.slow
def test_best_weights_are_kept_if_training_fails_after_later_ones_were_saved(tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    flags = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32", "--max-steps", 60]
    trained = processes.train(tmp_path, *flags, "--report-every", 1, prepare=_break_after_a_save_that_follows_the_best)
    assert trained.process.exitcode == 1
    assert trained.stderr.rstrip().endswith("; verse.pt keeps the best so far")
    contents = torch.load(tmp_path / "verse.pt", weights_only=True)
    (best,) = [row["step"] for row in contents["history"]]
    assert f"saved after step {best + 1:,}" in trained.stderr
    torch.testing.assert_close(contents["training"]["weights"], contents["weights"], rtol=0, atol=0)


@pytest.mark.slow
def test_failed_resume_keeps_a_checkpoint_later_than_the_best(tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    flags = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32", "--max-steps", 60]
    processes.train(tmp_path, *flags, "--report-every", 1, prepare=_stop_after_the_best)
    before = (tmp_path / "verse.pt").read_bytes()
    flags = ["--force-resume", "--learning-rate", 10, "--report-every", 1]
    resumed = processes.train(tmp_path, *flags, prepare=_break_after_the_first_report)
    assert resumed.process.exitcode == 1
    assert resumed.stderr.rstrip().endswith("; verse.pt keeps the best so far")
    assert (tmp_path / "verse.pt").read_bytes() == before


@pytest.mark.slow
def test_failure_before_the_first_evaluation_waits_for_the_save_and_reports_it(tmp_path):
    (tmp_path / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    flags = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32", "--max-steps", 10**6]
    flags += ["--evaluate-every", 10**6, "--report-every", 1, "--save-every", "0.1s"]
    trained = processes.train(tmp_path, *flags, prepare=_break_amid_the_first_save)
    assert trained.process.exitcode == 1
    step = torch.load(tmp_path / "verse.pt", weights_only=True)["training"]["step"]
    told = f"; verse.pt is as it was after step {step:,}; go on with --force-resume"
    assert trained.stderr.rstrip().endswith(told), trained.stderr
    assert sorted(os.listdir(tmp_path)) == ["verse.pt", "verse.txt"]
    forced = processes.train(tmp_path, "--force-resume", "--learning-rate", 0.001, "--max-steps", step + 2)
    assert forced.process.exitcode == 0, forced.stderr


def _break_amid_the_first_save():
    from charrnn.cli.trainer import background_saver, run_saver

    write = background_saver.checkpoint.write
    background_saver.checkpoint.write = lambda *what: (time.sleep(1), write(*what))
    save = run_saver.RunSaver._save

    def save_and_break(self):
        save(self)
        break_forward(self._run, set(range(10**6)))

    run_saver.RunSaver._save = save_and_break


def rows_of(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def _break_after_the_first_evaluation():
    from charrnn.cli.trainer import background_saver, session

    background_saver.BackgroundSaver.is_due = lambda self, evaluated: False  # as where the save before took long
    handle = session.Session._handle

    def handle_and_break(self, report):
        handle(self, report)
        if report.val_loss is not None:
            break_forward(self._run, set(range(10**6)))

    session.Session._handle = handle_and_break


def _break_after_a_save_that_follows_the_best():
    from charrnn.cli.trainer import session

    handle = session.Session._handle

    def handle_and_break(self, report):
        handle(self, report)
        if self._run.best is not None and self._run.step > self._run.best.step:
            self._saver.save_now()
            break_forward(self._run, set(range(10**6)))

    session.Session._handle = handle_and_break


def _stop_after_the_best():
    from charrnn.cli.trainer import session

    handle = session.Session._handle

    def handle_and_stop(self, report):
        handle(self, report)
        if self._run.best is not None and self._run.step > self._run.best.step:
            os.kill(os.getpid(), signal.SIGTERM)

    session.Session._handle = handle_and_stop


def _break_after_the_first_report():
    from charrnn.cli.trainer import session

    handle = session.Session._handle

    def handle_and_break(self, report):
        handle(self, report)
        break_forward(self._run, set(range(10**6)))

    session.Session._handle = handle_and_break
