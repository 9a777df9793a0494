"""The end of a training that is resumed: a later or an earlier one, epochs, and evaluations by then."""

import functools
import math
import os
import shutil
import signal

import pytest
import torch
from conftest import make_text
from processes import SMALL, contents, steps, stop_in_step, train

from charrnn.cli.trainer.announce import doubt
from charrnn.config import ModelConfig, TrainConfig
from charrnn.text.encoder import CharEncoder
from charrnn.training.clock import CLOCK
from charrnn.training.loop import take_step
from charrnn.training.run import TrainingRun


@pytest.fixture
def folder(ended, tmp_path):
    return shutil.copytree(ended, tmp_path / "work")


@pytest.mark.slow
def test_run_ended_by_patience_says_so_and_a_later_end_renews_patience(folder):
    state = contents(folder)
    state["training"]["pace"] |= {"stale": 3, "lowest": 0.1}
    state["training"]["config"]["patience"] = 3
    torch.save(state, folder / "verse.pt")
    training = train(folder, "--resume")
    assert training.process.exitcode == 0
    assert "already at its end, 3 evaluations without a gain; give a larger --patience, or a larger" in training.stderr
    assert train(folder, "--resume", "--max-steps", 24).process.exitcode == 0
    later = contents(folder)["training"]
    assert later["step"] > 20
    assert later["config"]["patience"] == 3, "it stays what it was"
    assert later["pace"]["lowest"] > 0.1, "what was found since is a gain"


@pytest.mark.slow
def test_forced_change_after_the_end_is_kept(folder):
    before = contents(folder)["training"]
    forced = train(folder, "--force-resume", "--learning-rate", 0.001, "--batch-size", 8)
    assert forced.process.exitcode == 0, forced.stderr
    assert "already at its end" in forced.stderr
    kept = contents(folder)["training"]
    assert (kept["step"], kept["cold_loss"]) == (before["step"], before["cold_loss"])
    torch.testing.assert_close(kept["weights"], before["weights"], rtol=0, atol=0)
    more = train(folder, "--resume", "--learning-rate", 0.001, "--batch-size", 8, "--max-steps", 22)
    assert more.process.exitcode == 0, more.stderr
    assert contents(folder)["training"]["step"] == 22


LATE = "2 evaluations without a gain: the steps since the last one are evaluated, and no more are made unless they have"
OVER = "already at its end, 2 evaluations without a gain; give a larger --patience"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "cold", "end", "told", "told_later"),
    [
        (33, None, ["--patience", 2], f"already at its end, {LATE} gained; give", OVER.replace("2", "3")),
        (30, None, ["--patience", 2], OVER, OVER),
        (30, 9.5, ["--patience", 2], OVER, OVER),
        (30, 9.5, ["--max-steps", 30], *["already at its end; give a larger --epochs"] * 2),
    ],
)
def test_end_that_had_passed_already_is_kept_with_its_state(folder, step, cold, end, told, told_later):
    flags = ["--max-steps", 40, "--evaluate-every", 10, "--report-every", 1]
    stopped = train(folder, "--resume", *flags, prepare=functools.partial(stop_in_step, step))
    assert stopped.process.exitcode == 143, stopped.stderr
    state = contents(folder)
    state["training"]["pace"] |= {"stale": 2, "lowest": 0.1}
    state["training"]["cold_loss"] = cold
    torch.save(state, folder / "verse.pt")
    training = train(folder, "--resume", *end)
    assert training.process.exitcode == 0, training.stderr
    assert told in training.stderr
    saved = contents(folder)
    assert (saved["training"]["step"], saved["history"][-1]["step"]) == (step, step)
    assert saved["training"]["cold_loss"] == (cold or pytest.approx(1.5, abs=1))
    assert saved["training"]["config"][end[0].strip("-").replace("-", "_")] == end[1]
    before = (folder / "verse.pt").read_bytes()
    again = train(folder, "--resume-or-start")
    assert again.process.exitcode == 0, again.stderr
    assert told_later in again.stderr
    assert (folder / "verse.pt").read_bytes() == before


@pytest.mark.slow
def test_evaluation_is_logged_once_though_killed_before_its_save(folder):
    flags = ["--max-steps", 40, "--evaluate-every", 20, "--report-every", 1, "--log", "verse.log"]
    stopped = train(folder, "--resume", *flags, prepare=functools.partial(stop_in_step, 23))
    assert stopped.process.exitcode == 143, stopped.stderr
    before = steps(folder)
    flags = ["--resume", "--max-steps", 22, "--log", "verse.log"]
    assert train(folder, *flags, prepare=die_before_the_last_save).process.exitcode == -signal.SIGKILL
    assert steps(folder) == [*before, 23]
    assert train(folder, *flags).process.exitcode == 0
    assert steps(folder) == [*before, 23], "the report of the stop, and that of the evaluation"


def die_before_the_last_save():
    from charrnn.cli.trainer.run_saver import RunSaver

    RunSaver.save_at_the_end = lambda self, what: os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "times"),
    [
        (["--max-steps", 86], 4),
        (["--max-steps", 430], 12),  # ten passes over the text
        (["--epochs", 10], 12),
    ],
)
def test_later_end_sets_the_number_of_evaluations(folder, end, times):
    before = contents(folder)
    assert before["training"]["config"]["evaluations"] == 4
    training = train(folder, "--resume", *end)
    assert training.process.exitcode == 0, training.stderr
    after = contents(folder)
    total = after["training"]["step"]
    assert after["training"]["config"]["evaluations"] == times
    steps = [row["step"] for row in after["history"]][len(before["history"]) :]
    assert steps == [*range(20, total, math.ceil(total / times)), total][1:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "seconds", "times"), [(4, 1800.0, 12), (20, 1800.0, 20), (15, 2.0, 1000), (15, 180.0, 80)]
)
def test_later_time_limit_keeps_the_rate_of_evaluations(folder, before, seconds, times):
    state = contents(folder)
    assert len(state["history"]) == 4
    state["training"]["config"]["evaluations"] = before  # of a training that was stopped after those four
    state["training"]["seconds"] = seconds
    torch.save(state, folder / "verse.pt")
    steps = state["training"]["step"] + 1
    training = train(folder, "--resume", "--time", "1h", "--max-steps", steps)
    assert training.process.exitcode == 0, training.stderr
    assert contents(folder)["training"]["config"]["evaluations"] == pytest.approx(times, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "given", "after"), [(None, [], None), (8, [], 171), (5, [], 5), (8, ["--patience", 9], 9)]
)
def test_closer_evaluations_after_a_resume_count_for_less_without_a_gain(folder, before, given, after):
    state = contents(folder)
    assert state["training"]["config"]["rewind_after"] == 3
    state["training"]["config"]["patience"] = before
    torch.save(state, folder / "verse.pt")
    training = train(folder, "--resume", "--max-steps", 86, "--evaluate-every", 1, *given)
    assert training.process.exitcode == 0, training.stderr
    config = contents(folder)["training"]["config"]
    assert config["patience"] == after
    assert config["rewind_after"] == (3 if after in (5, 9) else round(3 * 86 / 4)), "86 steps have four evaluations"


def test_same_end_keeps_the_number_of_evaluations(folder):
    state = contents(folder)
    state["training"]["config"]["evaluations"] = 7
    torch.save(state, folder / "verse.pt")
    assert train(folder, "--resume-from", "verse.pt", "--out", "on.pt", "--max-steps", 20).process.exitcode == 0
    assert torch.load(folder / "on.pt", weights_only=True)["training"]["config"]["evaluations"] == 7


@pytest.mark.slow
def test_epochs_are_those_of_the_forced_text(folder):
    (folder / "verse.txt").write_text(make_text(1500, seed=1), encoding="utf-8")
    windows = -(-1350 // 4 // 16)
    forced = train(folder, "--force-resume", "--epochs", 3, "--batch-size", 4, "--seq-len", 16)
    assert forced.process.exitcode == 0, forced.stderr
    after = contents(folder)["training"]
    assert (after["lanes"]["epoch"], after["step"]) == (2, 3 * windows), "three passes, all of the new text"
    more = train(folder, "--force-resume", "--epochs", 5, "--batch-size", 2)
    assert more.process.exitcode == 0, more.stderr
    assert contents(folder)["training"]["step"] == after["step"] - 2 * (-1350 // 2 // 16), "two more, in other lanes"


@pytest.mark.slow
def test_unfinished_epoch_counts_by_its_part(folder):
    forced = train(folder, "--force-resume", "--epochs", 0.6, "--batch-size", 8)
    assert forced.process.exitcode == 0, forced.stderr
    windows = -(-2700 // 8 // 16)
    assert contents(folder)["training"]["step"] == 20 + math.ceil(0.6 * windows) - 20 * 4 // 8


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "history"), [({"stale": 9}, []), ({"steps": 3, "chars": 0}, None)])
def test_contradictory_counts_are_refused(folder, counts, history):
    state = contents(folder)
    state["training"]["pace"] |= counts
    state["history"] = state["history"] if history is None else history
    torch.save(state, folder / "verse.pt")
    training = train(folder, "--resume", "--patience", 5)
    damage = "pace counts characters or evaluations that there are none of"
    told = f"verse.pt: its training state is damaged, or of a later version ({damage}); train again"
    assert (training.process.exitcode, training.stderr) == (1, f"charrnn: {told}\n")


@pytest.mark.slow
def test_resume_of_a_finished_run_changes_nothing(charrnn, text):
    charrnn("train", "verse.txt", *SMALL, "--max-steps", 5, "--time", "10m", "-q")
    before = text.with_name("verse.pt").read_bytes()
    told = "charrnn: verse.pt: already at its end; give a larger --epochs, --max-steps or --time to train on\n"
    for quiet in ([], ["-q"]):
        result = charrnn("train", "verse.txt", "--resume", *quiet)
        assert (result.code, result.stdout) == (0, b"verse.pt\n")
        assert told == result.stderr if quiet else told in result.stderr
    assert text.with_name("verse.pt").read_bytes() == before


def test_resumed_run_at_its_end_says_that_it_is_only_evaluated():
    text = make_text(3000)
    encoder = CharEncoder(text)
    model = ModelConfig(vocab_size=len(encoder), cell="gru", hidden_size=8, num_layers=1, embedding_dim=4)
    ids = encoder.encode(text)
    passed = "already at its end: the steps since its last evaluation are evaluated, and no more are made"
    for max_steps, seconds, told in ((2, 0, ""), (2, 4000, ""), (1, 0, passed), (3, 4000, passed)):
        config = TrainConfig(batch_size=2, seq_len=8, max_steps=max_steps, learning_rate=0.01, time_limit=3600.0)
        run = TrainingRun.start(model, config, ids[:2000], ids[2000:], started_at=CLOCK.now() - seconds)
        take_step(run)
        take_step(run)
        assert (run.progress, run.is_finished) == (1, False)
        assert doubt(run).partition(";")[0] == told
