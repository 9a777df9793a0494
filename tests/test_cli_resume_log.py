"""What becomes of the `--log` of a training that is resumed, replaced or branched off."""

import json
import os
import shutil
import signal
import time

import pytest
from processes import FIRST_STEP, SMALL, Training, contents, steps, tell_first_step, train


@pytest.fixture
def folder(ended, tmp_path):
    return shutil.copytree(ended, tmp_path / "work")


@pytest.mark.slow
def test_resume_or_start_does_not_overwrite_the_log_of_a_moved_checkpoint(folder):
    before = (folder / "verse.log").read_bytes()
    (folder / "verse.pt").rename(folder / "final.pt")
    again = [*SMALL, "--log", "verse.log", "--resume-or-start", "--max-steps", 2, "-q"]
    refused = train(folder, *again, "--val-fraction", 0.999)
    assert (refused.process.exitcode, (folder / "verse.log").read_bytes()) == (2, before), refused.stderr
    training = train(folder, *again)
    told = "charrnn: verse.log: is kept as verse.before.log, for its checkpoint is not at verse.pt\n"
    assert (training.process.exitcode, training.stderr) == (0, told)
    assert (folder / "verse.before.log").read_bytes() == before
    assert steps(folder)[-1] == 2
    done = train(folder, *again)
    assert (done.process.exitcode, done.stdout, done.stderr) == (0, "verse.pt\n", ""), "no news to a script"
    (folder / "verse.pt").rename(folder / "verse.unplaced.pt")
    refused = train(folder, *again)
    assert refused.process.exitcode == 2
    assert refused.stderr == (
        "charrnn: verse.unplaced.pt: holds a training that could not be saved as verse.pt; move it there, or give "
        "--resume-from verse.unplaced.pt --out verse.pt\n"
    )
    assert steps(folder)[-1] == 2


def test_log_of_another_training_is_refused(folder):
    other = train(folder, *SMALL, "--max-steps", 60, "--seed", 5, "--out", "other.pt", "--log", "other.log")
    assert other.process.exitcode == 0
    before = (folder / "other.log").read_bytes()
    refused = train(folder, "--resume", "--max-steps", 70, "--log", "other.log")
    assert refused.process.exitcode == 2
    assert refused.stderr.endswith("other.log: is the log of another training; give another file with --log\n")
    assert (folder / "other.log").read_bytes() == before
    assert train(folder, "--out", "other.pt", "--resume", "--max-steps", 70, "--log", "other.log").process.exitcode == 0
    assert (folder / "other.log").read_bytes().startswith(before)


@pytest.mark.slow
def test_log_continues_with_other_held_out_text_and_earlier_evaluations_do_not_count(folder):
    before = (folder / "verse.log").read_bytes()
    flags = ["--force-resume", "--val-fraction", 0.2, "--log", "verse.log"]
    for end in (24, 28):
        on = train(folder, *flags, "--max-steps", end)
        assert on.process.exitcode == 0, on.stderr
    assert (folder / "verse.log").read_bytes().startswith(before)
    assert steps(folder)[-1] == 28


@pytest.mark.slow
def test_log_given_by_mistake_survives_a_run_without_evaluations(folder):
    log = (folder / "verse.log").read_bytes()
    flags = [*SMALL, "--seed", 3, "--max-steps", 10**6, "--evaluate-every", 10**5, "--out", "new.pt"]
    begun = Training(folder, *flags, prepare=tell_first_step)
    begun.wait_for(FIRST_STEP)
    begun.kill(signal.SIGINT)
    assert begun.wait() == 130, begun.stderr
    refused = train(folder, "--out", "new.pt", "--resume", "--max-steps", 10, "--log", "verse.log")
    assert refused.process.exitcode == 2, refused.stderr
    assert (folder / "verse.log").read_bytes() == log


def test_log_skipped_by_one_resume_is_reported_to_have_a_gap(folder):
    assert train(folder, "--resume", "--max-steps", 24).process.exitcode == 0
    on = train(folder, "--resume", "--max-steps", 26, "--log", "verse.log")
    told = "verse.log: ends with step 20, and the run goes on after step 24; what lies between is not in it, "
    assert (on.process.exitcode, on.stderr.count(told)) == (0, 1), on.stderr
    on = train(folder, "--resume", "--max-steps", 28, "--log", "verse.log")
    assert (on.process.exitcode, "ends with" in on.stderr) == (0, False), on.stderr


@pytest.mark.slow
def test_moved_log_and_branched_log_are_told_apart(folder):
    for name in ("verse.pt", "verse.log"):
        (folder / name).rename(folder / f"{name}.1")
    branch = ["--resume-from", "verse.pt", "--out", "branch.pt", "--log", "branch.log"]
    for flags in (["--resume", "--log", "verse.log"], branch):
        shutil.copy(folder / "verse.pt.1", folder / "verse.pt")
        assert train(folder, *flags, "--max-steps", 30).process.exitcode == 0
    shutil.copy(folder / "verse.pt.1", folder / "verse.pt")  # as after a SIGKILL
    refused = train(folder, "--resume", "--max-steps", 30, "--log", "branch.log")
    told = "branch.log: is the log of another training; give another file with --log\n"
    assert (refused.process.exitcode, refused.stderr.endswith(told)) == (2, True), refused.stderr
    written = (folder / "verse.log").read_text()
    refused = train(folder, *branch[:4], "--log", "verse.log", "--overwrite", "--max-steps", 30)
    assert refused.stderr.endswith("verse.log: is the log of another training; give another file with --log\n")
    assert (folder / "verse.log").read_text() == written, "a branch leaves it to the run that it comes from"
    on = train(folder, "--resume", "--max-steps", 30, "--log", "verse.log")
    told = "charrnn: verse.log: begins after step 20; what came before is not in it\n"
    assert (on.process.exitcode, on.stderr.count(told)) == (0, 1), on.stderr
    assert steps(folder) == sorted(set(steps(folder)))
    assert steps(folder)[-1] == 30


@pytest.mark.slow
def test_overwriting_a_branch_replaces_only_its_own_log(folder):
    branch = ["--resume-from", "verse.pt", "--out", "branch.pt", "--max-steps", 30, "--log", "branch.log"]
    for flags in ([], ["--overwrite"]):
        training = train(folder, *branch, *flags)
        assert training.process.exitcode == 0, training.stderr
    logged = [json.loads(line)["step"] for line in (folder / "branch.log").read_text().splitlines()]
    assert logged == sorted(set(logged))
    assert (logged[0] > 20, logged[-1]) == (True, 30)
    before = (folder / "verse.log").read_bytes()
    other = train(folder, *branch[:-1], "verse.log", "--overwrite")
    assert other.process.exitcode == 0, "it goes on with the log of the run that it comes from, up to there"
    assert (folder / "verse.log").read_bytes().startswith(before)


@pytest.mark.slow
def test_forced_text_leaves_the_log_of_the_first_alone(folder):
    flags = ["--log", "often.log", "--out", "often.pt"]
    assert train(folder, *SMALL, *flags, "--max-steps", 5, "--evaluate-every", 1).process.exitcode == 0
    before = (folder / "often.log").read_bytes()
    with open(folder / "verse.txt", "a") as text:
        text.write("banana\n")
    refused = train(folder, *flags, "--force-resume", "--max-steps", 8)
    assert refused.process.exitcode == 2
    assert refused.stderr.endswith(
        "often.log: is the log of the training whose checkpoint this one is to replace; give --init-from often.pt "
        "--overwrite in place of --force-resume, which replaces both, or another file with --log\n"
    )
    assert (folder / "often.log").read_bytes() == before
    as_told = train(folder, *flags, *SMALL[2:], "--init-from", "often.pt", "--overwrite", "--max-steps", 8)
    assert as_told.process.exitcode == 0, as_told.stderr


@pytest.mark.slow
@pytest.mark.parametrize("branch", [[], ["--resume-from", "verse.pt", "--out", "branch.pt"]])
def test_log_begun_by_a_resume_is_recognized_after_a_kill(folder, branch):
    flags = ["--max-steps", 10**6, "--evaluate-every", 10**5, "--save-every", "1h", "--log", "new.log"]
    training = Training(folder, "--resume", *flags, *branch)
    end = time.monotonic() + 120
    while not (folder / "new.log").exists() or not (folder / "new.log").stat().st_size:
        assert training.process.is_alive(), training.stderr
        assert time.monotonic() < end
        time.sleep(0.01)
    training.kill(signal.SIGKILL)
    training.wait()
    again = train(folder, "--resume", "--max-steps", 24, "--log", "new.log", *branch[2:])
    assert again.process.exitcode == 0, again.stderr
    logged = [json.loads(line)["step"] for line in (folder / "new.log").read_text().splitlines()]
    assert logged[-1] == 24


@pytest.mark.slow
def test_replaced_training_and_its_log_are_kept_until_the_first_save(folder):
    before, files = steps(folder), sorted(os.listdir(folder))
    name = (folder / "verse.log").read_bytes()[:24]
    flags = [*SMALL, "--max-steps", 10**6, "--evaluate-every", 10**5, "--save-every", "1h", "--log", "verse.log"]
    training = Training(folder, *flags, "--overwrite")
    end = time.monotonic() + 120
    while (folder / "verse.log").read_bytes()[:24] in (b"", name):
        assert training.process.is_alive(), training.stderr
        assert time.monotonic() < end
        time.sleep(0.01)
    training.kill(signal.SIGKILL)
    training.wait()
    again = train(folder, "--resume", "--max-steps", 24, "--log", "verse.log")
    assert again.process.exitcode == 0, again.stderr
    assert (steps(folder)[: len(before)], steps(folder)[-1]) == (before, 24)
    assert sorted(os.listdir(folder)) == files


@pytest.mark.slow
def test_replacing_training_killed_after_a_save_continues_its_own_log(folder):
    files = sorted(os.listdir(folder))
    flags = ["--max-steps", 40, "--evaluate-every", 10, "--log", "verse.log"]
    killed = train(folder, *SMALL, *flags, "--overwrite", prepare=die_once_saved)
    assert killed.process.exitcode == -signal.SIGKILL
    assert contents(folder)["training"]["config"]["max_steps"] == 40
    again = train(folder, "--resume", "--log", "verse.log")
    assert again.process.exitcode == 0, again.stderr
    logged = [json.loads(line) for line in (folder / "verse.log").read_text().splitlines()]
    assert {line["run"] for line in logged} == {contents(folder)["origin"]["run"]}
    assert {10, 20, 30, 40} <= {line["step"] for line in logged}
    assert sorted(os.listdir(folder)) == files


def die_once_saved():
    from charrnn.cli.trainer.log import TrainingLog

    TrainingLog.settle = lambda self: os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_existing_log_is_not_overwritten(folder):
    training = train(folder, *SMALL, "--max-steps", 3, "--out", "new.pt", "--log", "verse.log")
    assert training.process.exitcode == 2
    assert training.stderr == (
        "charrnn: verse.log: exists; replace it with --overwrite, or give another file with --log\n"
    )
