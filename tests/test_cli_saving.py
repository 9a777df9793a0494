"""Saving as a whole training does it: failures, files of others at the path, and two trainings on one output."""

import json
import os
import re
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from processes import ENDLESS, FIRST_STEP, SMALL, Training, slow_steps, step_of, tell_first_step, train, wait_until

from charrnn.cli.trainer import entry_point
from charrnn.cli.trainer.log import TrainingLog

STRANGE = (
    "verse.pt: cannot be replaced (another file was put there meanwhile); the checkpoint lies beside it, as "
    "verse.unplaced.pt"
)
BESIDE = f"{STRANGE}; go on with --resume-from verse.unplaced.pt and another --out"


@pytest.mark.slow
def test_lost_log_is_reported_though_the_checkpoint_is_saved(folder):
    (folder / "away").mkdir()
    training = train(folder, *SMALL, "--max-steps", 30, "--log", "away/verse.log", prepare=lose_the_log)
    assert training.process.exitcode == 1
    told = "away/verse.log: the log cannot be written (No such file or directory)"
    assert f"charrnn: {told}; training goes on, and tries again\n" in training.stderr
    saved = re.escape(f"charrnn: the training is done and saved as verse.pt, but {told}: its lines from step ")
    assert re.fullmatch(rf"{saved}\d+ on are missing", training.stderr.splitlines()[-1])
    assert step_of(folder / "verse.pt") == 30


def lose_the_log():
    write = TrainingLog.write

    def write_nowhere(self, fields):
        if self._path.parent.is_dir():
            shutil.rmtree(self._path.parent)
        write(self, fields)

    TrainingLog.write = write_nowhere


@pytest.mark.slow
def test_rare_reports_do_not_delay_saves_or_stops(folder):
    rare = ["--report-every", 10**8, "--evaluate-every", 10**8]
    training = Training(folder, *SMALL, *ENDLESS, *rare, "--save-every", "0.1s", prepare=slow_steps)
    wait_until((folder / "verse.pt").exists)
    first = step_of(folder / "verse.pt")
    wait_until(lambda: step_of(folder / "verse.pt") > first)
    training.kill(signal.SIGTERM)
    assert training.wait() == 143
    assert f"stopped after step {step_of(folder / 'verse.pt'):,}, saved" in training.stderr


@pytest.mark.slow
def test_training_survives_a_disk_that_is_full_for_a_while(folder):
    """The limit on the size of files is lowered and raised while it runs: `No space` as the system tells it."""
    straight = train(folder, *SMALL, "--max-steps", 600, "--out", "straight.pt")
    assert straight.process.exitcode == 0
    flags = ["--save-every", "0.1s", "--log", "verse.log"]
    training = Training(folder, *SMALL, "--max-steps", 600, *flags, prepare=slow_steps)
    wait_until((folder / "verse.pt").exists)
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (20_000, hard))
    training.wait_for("verse.pt: the checkpoint cannot be written (File too large)")
    old = step_of(folder / "verse.pt")
    time.sleep(0.3)
    assert step_of(folder / "verse.pt") == old, "the old checkpoint stays"
    resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    training.wait_for("verse.pt: saved again")
    assert training.wait() == 0
    assert training.stdout == "verse.pt\n"
    assert sorted(os.listdir(folder)) == [
        "straight.pt", "verse.log", "verse.pt", "verse.txt",
    ]  # fmt: skip
    one, other = (torch.load(folder / name, weights_only=True) for name in ("straight.pt", "verse.pt"))
    torch.testing.assert_close(one["training"]["weights"], other["training"]["weights"], rtol=0, atol=0)
    logged = [json.loads(line)["step"] for line in (folder / "verse.log").read_text().splitlines()]
    assert logged == sorted(set(logged))
    assert {row["step"] for row in one["history"]} <= set(logged)


def slow_steps_of_which_the_first_is_told():
    slow_steps()
    tell_first_step()


@pytest.mark.slow
def test_stop_with_an_irreplaceable_checkpoint_path_saves_beside_it(folder):
    training = Training(folder, *SMALL, *ENDLESS, "--save-every", "1h", prepare=tell_first_step)
    training.wait_for(FIRST_STEP)
    (folder / "verse.pt").mkdir()
    training.kill(signal.SIGTERM)
    assert training.wait() == 1
    step = step_of(folder / "verse.unplaced.pt")
    assert training.stderr.splitlines()[-1] == (
        f"charrnn: stopped after step {step:,}, but verse.pt: cannot be replaced (Is a directory); the checkpoint lies "
        "beside it, as verse.unplaced.pt; go on with --resume-from verse.unplaced.pt and another --out"
    )
    flags = ["--resume-from", "verse.unplaced.pt", "--out", "more.pt", "--max-steps", step + 5]
    assert train(folder, *flags).process.exitcode == 0


@pytest.mark.slow
def test_resume_is_refused_beside_a_later_unplaced_save(folder):
    kept, beside = folder / "kept", folder / "verse.unplaced3.pt"  # with a number that is free before it
    assert train(folder, *SMALL, "--max-steps", 3, "--log", "verse.log").process.exitcode == 0
    shutil.copy(folder / "verse.pt", kept)
    shutil.copy(folder / "verse.pt", folder / "verse.unplaced.pt")  # no later one
    assert train(folder, "--resume", "--max-steps", 6, "--log", "verse.log").process.exitcode == 0
    (folder / "verse.pt").rename(beside)
    kept.rename(folder / "verse.pt")
    told = (
        "charrnn: verse.unplaced3.pt: holds this training after step 6, which could not be saved as verse.pt; go on "
        "from there with --resume-from verse.unplaced3.pt --out verse.pt --overwrite, or move it away\n"
    )
    before = (folder / "verse.log").read_bytes()
    refused = train(folder, "--resume", "--max-steps", 4, "-q", "--log", "verse.log")
    assert (refused.process.exitcode, refused.stderr) == (2, told)
    assert (folder / "verse.log").read_bytes() == before, "which has lines of the later save"
    as_told = ["--resume-from", beside.name, "--out", "verse.pt", "--overwrite", "--max-steps", 7]
    for flags in (as_told, ["--resume", "--max-steps", 8]):
        later = train(folder, *flags)
        assert later.process.exitcode == 0, later.stderr
    assert step_of(folder / "verse.pt") == 8


@pytest.mark.slow
def test_no_resume_is_suggested_for_a_checkpoint_that_is_gone(folder):
    (folder / "runs").mkdir()
    training = Training(folder, *SMALL, *ENDLESS, "-q", "-o", "runs/m.pt", "--save-every", "0.1s", prepare=slow_steps)
    wait_until((folder / "runs" / "m.pt").exists)
    (folder / "runs").rename(folder / "moved")
    training.wait_for("training goes on, and tries again")
    training.kill(signal.SIGTERM)
    assert training.wait() == 1
    told = r"; runs/m.pt, which was saved after step [\d,]+, is gone"
    assert re.search(rf"{told}$", training.stderr.splitlines()[-1]), training.stderr


@pytest.mark.slow
def test_training_saves_beside_a_file_that_was_put_at_its_path(folder):
    training = Training(folder, *SMALL, *ENDLESS, "-q", "--save-every", "0.1s", prepare=slow_steps)
    wait_until((folder / "verse.pt").exists)
    (folder / "thesis").write_text("my only one")
    (folder / "thesis").rename(folder / "verse.pt")
    training.wait_for(f"charrnn: {STRANGE}; training goes on, and tries again\n")
    training.kill(signal.SIGTERM)
    assert training.wait() == 1
    step = step_of(folder / "verse.unplaced.pt")
    assert training.stderr.splitlines()[1:] == [f"charrnn: stopped after step {step:,}, but {BESIDE}"]
    assert (folder / "verse.pt").read_text() == "my only one"
    assert sorted(os.listdir(folder)) == ["verse.pt", "verse.txt", "verse.unplaced.pt"]


@pytest.mark.slow
def test_file_created_at_the_output_while_the_text_is_read_is_kept(folder):
    assert train(folder, *SMALL, "--max-steps", 3).process.exitcode == 0
    flags = ["--max-steps", 5, "--overwrite"]
    training = train(folder, *SMALL, *flags, prepare=put_a_thesis_there_once_the_text_is_read)
    assert training.process.exitcode == 1
    assert training.stderr.endswith(f"charrnn: the training is done, but {BESIDE}\n")
    assert (folder / "verse.pt").read_text() == "my only one"


def put_a_thesis_there_once_the_text_is_read():
    read = entry_point.read_texts

    def read_and_put(*given):
        corpus = read(*given)
        Path("verse.pt").write_text("my only one")
        return corpus

    entry_point.read_texts = read_and_put


@pytest.mark.slow
@pytest.mark.parametrize("way", [["--overwrite"], ["--resume"], ["--init-from", "verse.pt", "--overwrite"]])
def test_checkpoint_touched_by_others_during_a_run_is_replaced(folder, way):
    assert train(folder, *SMALL, "--max-steps", 3).process.exitcode == 0
    fresh = [] if "verse.pt" in way or "--resume" in way else SMALL
    training = train(folder, *fresh, *way, "--max-steps", 300, "--save-every", "0.1s", prepare=touch_at_every_step)
    assert training.process.exitcode == 0, training.stderr
    assert step_of(folder / "verse.pt") == 300
    assert "verse.pt: " not in training.stderr
    assert sorted(os.listdir(folder)) == ["verse.pt", "verse.txt"]


def touch_at_every_step():
    from charrnn.training import loop

    slow_steps()
    take_step = loop.take_step

    def touch_and_take(run):
        os.utime("verse.pt")
        return take_step(run)

    loop.take_step = touch_and_take


@pytest.mark.slow
def test_failing_run_names_its_save_beside_the_path(folder):
    for prepare, told in ((break_after_saves, "lower --learning-rate"), (run_out_of_memory, "out of memory; go on")):
        training = train(folder, *SMALL, "--max-steps", 60, "--evaluate-every", 5, prepare=prepare)
        assert training.process.exitcode == 1
        last = training.stderr.splitlines()[-1]
        assert told in last
        assert BESIDE.rsplit("; ", 1)[-1] in last
        assert "could not be saved" not in training.stderr
        assert step_of(folder / "verse.unplaced.pt") > 0
        (folder / "verse.unplaced.pt").unlink()
        (folder / "verse.pt").unlink()


def put_another_file_there(then):
    """Put a file there before the first step, and call a function from the thirtieth step on."""
    from charrnn.training import loop

    take_step = loop.take_step

    def take(run):
        if not run.step:
            Path("verse.pt").write_text("theirs")
        if run.step >= 30:
            then(run)
        return take_step(run)

    loop.take_step = take


def break_after_saves():
    put_another_file_there(lambda run: next(run.model.parameters()).data.fill_(float("nan")))


def run_out_of_memory():
    def fail(_):
        raise MemoryError

    put_another_file_there(fail)


@pytest.mark.slow
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_failed_last_save_sets_the_exit_code(folder, number):
    steps = 600 if number is None else 10**8
    training = Training(folder, *SMALL, "--max-steps", steps, prepare=slow_steps_of_which_the_first_is_told)
    training.wait_for(FIRST_STEP)  # a signal before it ends what has nothing to save
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.prlimit(training.process.pid, resource.RLIMIT_FSIZE, (20_000, hard))
    if number is not None:
        training.kill(number)
    assert training.wait() == 1
    assert training.stdout == ""
    last = training.stderr.splitlines()[-1]
    assert last.startswith("charrnn: the training is done, but " if number is None else "charrnn: stopped after step ")
    assert last.endswith(
        "verse.pt: the checkpoint cannot be written (File too large); an older one, if any, is untouched; "
        "nothing was saved before"
    )
    assert sorted(os.listdir(folder)) == ["verse.txt"]


@pytest.mark.slow
def test_deleted_checkpoint_and_missing_folder_do_not_end_a_training(folder):
    (folder / "out").mkdir()
    flags = ["--out", "out/", "--save-every", "0.1s"]
    training = Training(folder, *SMALL, *ENDLESS, *flags, prepare=slow_steps)
    training.wait_for("training:")
    written = folder / "out" / "verse.pt"
    wait_until(written.exists)
    written.unlink()
    wait_until(written.exists)
    (folder / "out").rename(folder / "away")
    training.wait_for("out/verse.pt: the checkpoint cannot be written (No such file or directory)")
    (folder / "away").rename(folder / "out")
    training.wait_for("out/verse.pt: saved again")
    training.kill(signal.SIGINT)
    assert training.wait() == 130
    assert step_of(written) > 0
    assert os.listdir(folder / "out") == ["verse.pt"]


@pytest.mark.slow
def test_second_training_on_the_same_output_or_log_is_refused(folder):
    first = Training(folder, *SMALL, *ENDLESS, "--evaluate-every", 10, "--log", "verse.log")
    wait_until((folder / "verse.pt").exists)  # which is saved after an evaluation
    for shared, flag, flags in (
        ("verse.pt", "--out", ["--overwrite"]),
        ("verse.log", "--log", ["--overwrite", "--out", "other.pt"]),
        ("verse.log", "--log", ["--resume-or-start", "--out", "other.pt"]),
    ):
        second = Training(folder, *SMALL, "--max-steps", 3, "--log", "verse.log", *flags)
        assert second.wait() == 2
        assert second.stderr == (
            f"charrnn: {shared}: another training (process {first.process.pid}) is writing it; wait for it, stop it, "
            f"or give another file with {flag}\n"
        )
    first.kill(signal.SIGKILL)
    first.wait()
    assert (folder / ".verse.pt.lock").exists()
    assert train(folder, *SMALL, "--max-steps", 3, "--log", "verse.log", "--overwrite").process.exitcode == 0
    assert sorted(os.listdir(folder)) == ["verse.log", "verse.pt", "verse.txt"]
