"""`charrnn train --resume`: what may change, what may not, and what can be forced."""

import functools
import json
import math
import os
import re
import shlex
import shutil
import signal
import sys
import time

import pytest
import torch
from conftest import make_text, run_charrnn
from processes import FIRST_STEP, Training, tell_first_step, train

from charrnn.training import loop

SMALL = ["--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "float32"]


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A folder with a text, a training of twenty steps that is over, and its log."""
    folder = tmp_path_factory.mktemp("ended") / "work"
    folder.mkdir()
    (folder / "verse.txt").write_text(make_text(3000), encoding="utf-8")
    training = train(folder, *SMALL, "--max-steps", 20, "--log", "verse.log")
    assert training.process.exitcode == 0, training.stderr
    return folder


@pytest.fixture
def folder(ended, tmp_path):
    return shutil.copytree(ended, tmp_path / "work")


def contents(folder):
    return torch.load(folder / "verse.pt", weights_only=True)


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "verse.log").read_text().splitlines()]


@pytest.mark.slow
def test_first_command_of_a_run_is_kept_through_every_resume(folder):
    first = contents(folder)["made"]["command"]
    assert "begun_by" not in contents(folder)["made"]
    for flags in (["--resume", "--max-steps", 21], ["--resume", "--max-steps", 22]):
        assert train(folder, *flags).process.exitcode == 0
        made = contents(folder)["made"]
        assert made["begun_by"] == first
        assert made["command"].endswith(shlex.join(map(str, flags)))
    assert train(folder, "--resume-from", "verse.pt", "--max-steps", 23, "--out", "branch.pt").process.exitcode == 0
    assert torch.load(folder / "branch.pt", weights_only=True)["made"]["begun_by"] == first
    assert train(folder, *SMALL, "--max-steps", 2, "--overwrite").process.exitcode == 0
    assert "begun_by" not in contents(folder)["made"], "another run"


@pytest.mark.slow
@pytest.mark.parametrize(("command", "began"), [
    ("charrnn train verse.txt --resumed 5", True), ("charrnn train verse.txt --resume", False), ("", False),
    ("charrnn train verse.txt --resume-from=a.pt", False), ("charrnn train verse.txt --force-resume --seed 3", False),
])  # fmt: skip
def test_resume_command_is_not_recorded_as_the_first_command(folder, command, began):
    """A checkpoint of an older version has only the last command."""
    before = contents(folder)
    torch.save({**before, "made": {**before["made"], "command": command}}, folder / "verse.pt")
    assert train(folder, "--resume", "--max-steps", 21).process.exitcode == 0
    made = contents(folder)["made"]
    assert made.get("begun_by") == (command if began else None)
    assert made["command"].endswith("--resume --max-steps 21")


@pytest.mark.slow
def test_resume_or_start_starts_resumes_and_ends(folder):
    (folder / "verse.pt").write_bytes(b"")  # as mktemp makes it
    (folder / "verse.log").unlink()
    flags = [*SMALL, "--log", "verse.log", "--report-every", 1, "--evaluate-every", 10, "--resume-or-start"]
    flags.append("--max-steps")
    killed = train(folder, *flags, 20, prepare=die_before_an_evaluation)
    assert killed.process.exitcode == -signal.SIGKILL
    assert ((folder / "verse.pt").stat().st_size, steps(folder)) == (0, [1, 2, 3, 4, 5])
    for last in (20, 20, 30):
        training = train(folder, *flags, last)
        assert (training.process.exitcode, training.stdout) == (0, "verse.pt\n"), training.stderr
        assert steps(folder) == sorted(set(steps(folder)))
        assert steps(folder)[-1] == contents(folder)["training"]["step"] == last
    assert "going on after step 20" in training.stderr
    assert "begun_by" in contents(folder)["made"]
    assert sorted(os.listdir(folder)) == ["verse.log", "verse.pt", "verse.txt"]


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


@pytest.mark.slow
def test_error_with_resume_or_start_names_that_flag(folder):
    (folder / "verse.txt").write_text(make_text(2000), encoding="utf-8")
    refused = train(folder, "--resume-or-start", "--max-steps", 30)
    assert refused.process.exitcode == 1
    assert refused.stderr.endswith("--init-from verse.pt --overwrite in place of --resume-or-start\n"), refused.stderr


def die_before_an_evaluation():
    take_step = loop.take_step
    loop.take_step = lambda run: os.kill(os.getpid(), signal.SIGKILL) if run.step == 5 else take_step(run)


@pytest.mark.slow
def test_changeable_flags_are_accepted_and_the_log_continues(folder):
    before = steps(folder)
    assert before[-1] == 20
    with open(folder / "verse.log", "a") as log:
        log.write('{"run": "abcdef012345", "step": 21, "tra')  # as a killed process leaves it
    flags = ["--max-steps", 40, "--patience", 50, "--json", "--save-every", "5m", "--log", "verse.log"]
    training = train(folder, "--resume", *flags, "--sample-every", 2)
    assert (training.process.exitcode, training.stdout) == (0, "verse.pt\n")
    _, *told = (json.loads(line) for line in training.stderr.splitlines())
    reported = [line["step"] for line in told if "sample" not in line]
    assert steps(folder) == before + reported == sorted({*before, *reported})
    assert len(told) == len(reported) + 1, "a sample at every second evaluation"
    assert (told[-1]["step"], told[-1]["checkpoint"]) == (40, "verse.pt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (
            ["--dropout", 0.5, "--learning-rate", 0.1], 2,
            "--dropout is 0.5 and verse.pt was trained with 0.0, --learning-rate is 0.1 and verse.pt was trained with ",
        ),
        (
            ["--hidden-size", 32], 2,
            "--hidden-size is 32 and verse.pt was trained with 16; leave it out to go on, or begin another run with "
            "--out\n",
        ),
        (["--recall-dropout", 0.5], 2, "--recall-dropout is 0.5 and verse.pt was trained with 0.6; leave it out to"),
        (["--hidden-size", 32, "--force-resume"], 2, "--hidden-size: cannot be changed, since the weights in verse.pt"),
        (["--log", "verse.txt"], 2, "verse.txt: is the checkpoint or the text itself; give another file with --log"),
        (["--log", "notes.log"], 2, "notes.log: is not the log of a training; give another file with --log"),
        (["--log", "loop.log"], 2, "loop.log: cannot be written (Too many levels of symbolic links); give"),
        (["--log", "x" * 300], 2, f"{'x' * 300}: cannot be written (File name too long); give another file with --log"),
        (["--overwrite"], 2, "--resume goes on with a checkpoint and --overwrite replaces it; give one of them"),
        (
            ["--overwrite", "--force-resume"], 2,
            "--force-resume replaces a checkpoint without --overwrite; leave that out, or give --init-from verse.pt "
            "--overwrite in place of --force-resume\n",
        ),
        (["--save-every", "soon"], 2, "--save-every is 'soon'; write it as 90s, 10m, 1h30m or 2d, or in seconds"),
        (["--max-steps", 10**16], 2, "--max-steps is 10000000000000000; it must be at least 1 and at most 1,000,000,"),
    ],
)  # fmt: skip
def test_unchangeable_flags_are_refused_with_the_difference(folder, flags, code, message):
    (folder / "notes.log").write_text("my notes\n")
    (folder / "loop.log").symlink_to("loop.log")
    before = (folder / "verse.pt").read_bytes()
    training = train(folder, "--resume", *flags)
    assert training.process.exitcode == code
    assert training.stderr.startswith(f"charrnn: {message}")
    assert training.stderr.count("\n") == 1
    assert (folder / "verse.pt").read_bytes() == before
    assert (folder / "notes.log").read_text() == "my notes\n"


@pytest.mark.slow
def test_recall_dropout_is_refused_for_a_model_without_recall(folder):
    assert train(folder, *SMALL, "--max-steps", 3, "--recall", 0, "--out", "none.pt").process.exitcode == 0
    resumed = train(folder, "--resume", "--out", "none.pt", "--recall-dropout", 0.5, "--force-resume")
    assert resumed.process.exitcode == 2
    assert resumed.stderr == (
        "charrnn: --recall-dropout hides what is recalled, and the model in none.pt recalls nothing; leave it out\n"
    )


@pytest.mark.slow
def test_another_text_is_refused_unless_forced(folder):
    other = make_text(4000, seed=1).replace("b", "a")  # an alphabet that lacks a letter
    (folder / "verse.txt").write_text(other, encoding="utf-8")
    refused = train(folder, "--resume", "--max-steps", 30)
    assert refused.process.exitcode == 1
    assert "learned from verse.txt of 3,000 bytes" in refused.stderr
    assert "and verse.txt has 4,000" in refused.stderr
    told = "or begin a training on this one from its weights with "
    assert f"{told}--init-from verse.pt --overwrite in place of --resume\n" in refused.stderr
    apart = train(folder, "--resume-from", "verse.pt", "--out", "apart.pt", "--max-steps", 30)
    assert f"{told}--init-from verse.pt in place of --resume-from\n" in apart.stderr
    itself = train(folder, "--resume-from", "verse.pt", "--max-steps", 30)
    assert f"{told}--init-from verse.pt --overwrite in place of --resume-from\n" in itself.stderr
    before = contents(folder)
    forced = train(folder, "--force-resume", "--max-steps", 30)
    assert forced.process.exitcode == 0, forced.stderr
    assert "parameters, those of verse.pt, whose loss here is " in forced.stderr
    after = contents(folder)
    assert after["characters"] == before["characters"], "an id means what it meant"
    assert after["corpus"]["characters"] == sum(after["corpus"]["counts"]) == 4000
    assert after["corpus"]["counts"][after["characters"].index("b")] == 0
    assert [row["step"] for row in after["history"]][:1] == [0], "losses of another text, from its beginning on"
    assert after["training"]["step"] == 30
    (folder / "verse.txt").write_text(other + "é", encoding="utf-8")
    unknown = train(folder, "--force-resume", "--max-steps", 40)
    assert unknown.process.exitcode == 1
    assert "verse.txt: cannot go on with it, since it has 'é' (U+00E9)" in unknown.stderr
    assert unknown.stderr.endswith(f"{told}--init-from verse.pt --overwrite in place of --force-resume\n")
    branch = train(folder, "--resume-from", "verse.pt", "--force-resume", "--out", "b.pt", "--max-steps", 40)
    assert branch.stderr.endswith(f"{told}--init-from verse.pt in place of --resume-from and --force-resume\n")


@pytest.mark.slow
def test_changed_flags_can_be_forced(folder):
    before = contents(folder)
    flags = ["--dropout", 0.4, "--batch-size", 8, "--optimizer", "sgd", "--learning-rate", 0.01, "--seed", 5]
    training = train(folder, "--force-resume", "--max-steps", 30, *flags)
    assert training.process.exitcode == 0, training.stderr
    assert "forced: " in training.stderr
    assert all(words in training.stderr for words in ("--dropout 0.4", "--batch-size 8", "--optimizer sgd"))
    after = contents(folder)
    config = after["training"]["config"]
    assert (config["batch_size"], config["optimizer"], config["learning_rate"]) == (8, "sgd", 0.01)
    assert after["model"]["dropout"] == 0.4
    assert after["history"][: len(before["history"])] == before["history"], "the same text is held out"
    assert after["training"]["step"] == 30


@pytest.mark.slow
def test_forced_seed_changes_the_dropout_masks(folder):
    weights = []
    for seed in (5, 6):
        flags = ["--resume-from", "verse.pt", "--out", f"{seed}.pt", "--max-steps", 22, "--dropout", 0.3]
        # whole lanes: their order is the same for each seed, so that the masks alone can differ
        forced = train(folder, "--force-resume", *flags, "--seed", seed, "--stretch", 0)
        assert forced.process.exitcode == 0, forced.stderr
        weights.append(torch.load(folder / f"{seed}.pt", weights_only=True)["training"]["weights"]["head.weight"])
    assert not torch.equal(*weights)


@pytest.mark.slow
def test_epochs_are_counted_across_forced_changes_of_reading(folder):
    epoch = contents(folder)["history"][-1]["epoch"]  # of 43 windows
    ways = ((["--batch-size", 8], 22), (["--seed", 5], 22), (["--batch-size", 4], 43))
    for step, (flags, windows) in enumerate(ways, start=21):
        assert train(folder, "--force-resume", "--max-steps", step, *flags).process.exitcode == 0
        epoch, expected = contents(folder)["history"][-1]["epoch"], epoch + 1 / windows
        assert epoch == pytest.approx(expected, abs=0.5 / windows), "whole windows are counted"


@pytest.mark.slow
def test_resume_from_continues_into_another_file(folder):
    before = (folder / "verse.pt").read_bytes()
    flags = ["--resume-from", "verse.pt", "--max-steps", 25]
    training = train(folder, *flags, "--out", "longer.pt")
    assert (training.process.exitcode, training.stdout) == (0, "longer.pt\n")
    assert (folder / "verse.pt").read_bytes() == before
    longer = torch.load(folder / "longer.pt", weights_only=True)
    assert longer["training"]["step"] == 25
    own, first = longer["origin"], contents(folder)["origin"]
    assert (own["run"] == first["run"], own["parents"], own["left_at"]) == (False, [first["run"]], [20])
    assert train(folder, "--resume", "--out", "longer.pt", "--max-steps", 26).process.exitcode == 0
    assert torch.load(folder / "longer.pt", weights_only=True)["origin"] == own, "a name stays what it is"
    os.mkfifo(folder / "pipe")
    piped = train(folder, "--resume-from", "pipe", "--out", "other.pt")
    assert (piped.process.exitcode, piped.stderr) == (
        2,
        "charrnn: --resume-from pipe is a pipe, and it is read twice; give a file\n",
    )
    for flag in ("--resume-from", "--init-from"):
        read = train(folder, flag, "-", "--out", "other.pt")
        told = f"charrnn: {flag} - is standard input, and it is read twice; give a file\n"
        assert (read.process.exitcode, read.stderr) == (2, told)
    refused = train(folder, *flags, "--out", "longer.pt")
    assert refused.process.exitcode == 2
    assert refused.stderr.startswith("charrnn: longer.pt: exists; ")
    assert train(folder, *flags, "--out", "longer.pt", "--overwrite").process.exitcode == 0
    assert train(folder, *flags).process.exitcode == 0, "verse.pt itself"


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


def stop_in_step(last):
    """Send a training a signal during a step; each step is reported."""
    take_step = loop.take_step

    def take_and_stop(run):
        found = take_step(run)
        if run.step == last:
            os.kill(os.getpid(), signal.SIGTERM)
        return found

    loop.take_step = take_and_stop


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


def test_same_end_keeps_the_number_of_evaluations(folder):
    state = contents(folder)
    state["training"]["config"]["evaluations"] = 7
    torch.save(state, folder / "verse.pt")
    assert train(folder, "--resume-from", "verse.pt", "--out", "on.pt", "--max-steps", 20).process.exitcode == 0
    assert torch.load(folder / "on.pt", weights_only=True)["training"]["config"]["evaluations"] == 7


@pytest.mark.slow
def test_counts_of_one_are_singular_and_out_may_be_a_folder(folder):
    (folder / "models").mkdir()
    flags = ["--hidden-size", 16, "--batch-size", 1, "--epochs", 1, "--max-steps", 1, "--precision", "float32"]
    for out in ("models/", "models"):
        training = train(folder, *flags, "--out", out, "--overwrite")
        assert (training.process.exitcode, training.stdout) == (0, "models/verse.pt\n")
    assert "training: 1 epoch or 1 step, 1 lane, windows of 64, adamw" in training.stderr
    missing = train(folder, *flags, "--out", "nowhere/")
    assert missing.stderr == "charrnn: nowhere: no such folder; make it, or choose another place with --out\n"


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
def test_grown_text_is_refused_with_a_command_to_continue(folder):
    with open(folder / "verse.txt", "a") as text:
        text.write("more\n")
    refused = train(folder, "--resume", "--max-steps", 24)
    assert refused.process.exitcode == 1
    grown = "it has grown: to go on with what there was, its first 3,000 bytes, run "
    command = re.search(rf"{grown}(.*), or begin", refused.stderr)[1]
    assert command == "head -c 3000 verse.txt | charrnn train - --out verse.pt --resume --max-steps 24 --threads 1"
    (folder / "there.txt").write_bytes((folder / "verse.txt").read_bytes()[:3000])
    words = shlex.split(command.rpartition("|")[2].replace(" - ", " there.txt "))
    assert run_charrnn(folder, *words[1:]).returncode == 0
    before = (folder / "verse.pt").read_bytes()
    branch = ["--resume-from", "verse.pt", "--out", "b.pt"]
    ends, pace = ["--epochs", "3", "--time", "90"], ["--patience", "5", "--evaluate-every", "7"]
    machine, own = ["--device", "cpu", "--no-deterministic"], ["--save-every", "90", "--sample-every", "2", "--quiet"]
    refused = train(folder, *branch, *own, *machine, *pace, *ends, "--log", "b.log", "--no-cache")
    command = re.search(r"run head -c 3000 verse.txt \| (.*), or begin", refused.stderr)[1]
    kept = " ".join([*branch, "--log", "b.log", *ends, *pace, *machine, "--threads", "1", *own])
    assert command == f"charrnn train - --no-cache {kept}"
    assert run_charrnn(folder, *shlex.split(command.replace(" - ", " there.txt "))[1:]).returncode == 0
    assert ((folder / "verse.pt").read_bytes() == before, (folder / "b.log").exists()) == (True, True)
    (folder / "verse.txt").write_text("x" + make_text(4000))
    refused = train(folder, "--resume", "--max-steps", 24)
    assert (refused.process.exitcode, "grown" in refused.stderr) == (1, False), refused.stderr


@pytest.mark.slow
def test_grown_text_is_recognized_whatever_was_added(folder):
    few = ["--out", "few.pt", "--min-count", 40, "--max-steps"]
    assert train(folder, *SMALL, *few, 3).process.exitcode == 0
    told = "; it has grown: to go on with what there was, its first 3,000 bytes, run head -c 3000 verse.txt | "
    for new, flags in (("\u4e2d", ["--max-steps", 24]), (make_text(5000), [*few, 5])):
        (folder / "verse.txt").write_text(make_text(3000) + new, encoding="utf-8")
        refused = train(folder, "--resume", *flags)
        assert (refused.process.exitcode, told in refused.stderr) == (1, True), refused.stderr


@pytest.mark.slow
def test_flag_forgotten_at_a_resume_is_named(folder):
    (folder / "two.txt").write_text(make_text(1000, seed=2))
    flags = [*SMALL, "--max-steps", 3, "--out", "two.pt", "--separator", "\\n\\n", "--val-text", "two.txt"]
    assert train(folder, *flags).process.exitcode == 0
    refused = train(folder, "--out", "two.pt", "--resume", "--max-steps", 5)
    assert "; give that text with its --val-text and --separator, or begin" in refused.stderr
    refused = train(folder, "--out", "two.pt", "--resume", "--max-steps", 5, "--separator", "\\n\\n")
    assert "; give that text with its --val-text, or begin" in refused.stderr


@pytest.mark.slow
def test_text_name_with_a_hyphen_is_quoted_in_messages(folder):
    (folder / "-x.txt").write_text(make_text(1000))
    begun = run_charrnn(folder, "train", *SMALL, "--max-steps", 3, "--out", "x.pt", "--", "-x.txt")
    assert begun.returncode == 0, begun.stderr
    with open(folder / "-x.txt", "a") as text:
        text.write("more\n")
    told = run_charrnn(folder, "train", "--out", "x.pt", "--resume", "--", "-x.txt").stderr
    assert b"head -c 1000 ./-x.txt | charrnn train - --out x.pt --resume" in told


@pytest.mark.slow
def test_forced_optimizer_gets_its_own_rate_and_decay(folder):
    flags = ["--force-resume", "--max-steps", 24, "--optimizer", "sgd"]
    assert contents(folder)["training"]["config"]["weight_decay"] == 0.01, "adamw's"
    assert "sgd at 1;" in train(folder, *flags).stderr
    assert contents(folder)["training"]["config"]["weight_decay"] == 0
    assert "sgd at 0.5;" in train(folder, *flags, "--learning-rate", 0.5).stderr


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--learning-rate", 0.05], ["--optimizer", "sgd"]])
def test_forced_rate_resets_patience(folder, flags):
    stored = contents(folder)
    stored["training"]["config"]["max_steps"] = 40  # as it is before the end
    stored["training"]["pace"] |= {"stale": 2, "lowest": 0.1}
    stored["training"]["rewinds"] = 1
    torch.save(stored, folder / "verse.pt")
    forced = train(folder, "--force-resume", *flags, "--evaluate-every", 20)
    assert forced.process.exitcode == 0, forced.stderr
    assert "no gain in 3 evaluations" not in forced.stderr
    after = contents(folder)["training"]
    assert (after["step"], after["rewinds"], after["pace"]["stale"]) == (40, 0, 0)


@pytest.mark.slow
def test_rewound_run_reports_its_lowered_rate(folder):
    stored = contents(folder)
    peak = stored["training"]["config"]["learning_rate"]
    stored["training"]["rewinds"] = 2
    torch.save(stored, folder / "verse.pt")
    assert f"adamw at {peak * 0.16:.2g}, at first {peak:g};" in train(folder, "--resume", "--max-steps", 22).stderr


@pytest.mark.slow
def test_larger_held_out_part_warns_that_it_was_learned(folder):
    flags = ["--force-resume", "--max-steps", 24, "--val-fraction"]
    larger, same = train(folder, *flags, 0.2), train(folder, *flags, 0.1)
    assert (larger.process.exitcode, same.process.exitcode) == (0, 0), same.stderr
    assert "--val-fraction 0.2, so that some of what is held out was learned from before" in larger.stderr
    assert "learned from before" not in same.stderr
    assert contents(folder)["origin"]["learned_held_out"], "as its last line cannot tell"


@pytest.mark.slow
def test_finished_run_with_other_held_out_text_makes_one_step(folder):
    larger = train(folder, "--force-resume", "--val-fraction", 0.2)
    told = (
        "verse.pt: already at its end: none of its evaluations is of what is held out now, so one step is made and "
        "evaluated; give a larger --epochs, --max-steps or --time to train on"
    )
    assert larger.stderr.count(told) == 1, larger.stderr
    assert contents(folder)["training"]["step"] == 21


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


@pytest.mark.slow
@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_same_device_may_be_given_again(folder, device):
    training = train(folder, "--resume", "--max-steps", 22, "--device", device)
    assert training.process.exitcode == 0, training.stderr
    assert "bit for bit" not in training.stderr
    assert contents(folder)["training"]["config"]["device"] == "cpu"


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["--precision", "auto"]])
def test_resume_of_a_gpu_run_on_a_cpu_is_reported(folder, flags):
    stored = contents(folder)
    stored["training"]["config"] |= {"device": "cuda", "precision": "float16"}
    stored["training"]["cuda_random_state"] = torch.zeros(16, dtype=torch.uint8)
    torch.save(stored, folder / "verse.pt")
    training = train(folder, "--resume", "--max-steps", 30, *flags)
    assert training.process.exitcode == 0, training.stderr
    assert "on cpu, before cuda: not bit for bit as it would have gone on there" in training.stderr
    config = contents(folder)["training"]["config"]
    assert config["device"] == "cpu"
    assert config["precision"] in ("float32", "bfloat16")
    assert contents(folder)["training"]["step"] == 30


@pytest.mark.slow
def test_resume_with_automatic_precision_takes_the_fastest(folder):
    stored = contents(folder)
    stored["training"]["config"]["precision"] = "auto"
    torch.save(stored, folder / "verse.pt")
    training = train(folder, "--resume", "--max-steps", 30)
    assert training.process.exitcode == 0, training.stderr
    assert contents(folder)["training"]["config"]["precision"] in ("float32", "bfloat16")


ROUNDED = ["--cell", "gru", "--hidden-size", 16, "--batch-size", 4, "--seq-len", 16, "--precision", "bfloat16"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("origin", "flags"),
    [
        ({"precision_given": False}, []),  # it was measured elsewhere
        ({}, []),  # nobody knows, as of an older file
        ({"precision_given": True}, ["--precision", "auto"]),
    ],
)
def test_resume_without_hardware_for_the_precision_changes_it_and_reports(folder, origin, flags):
    assert train(folder, *ROUNDED, "--max-steps", 3, "--overwrite").process.exitcode == 0
    stored = contents(folder)
    assert stored["origin"].pop("precision_given")
    stored["origin"] |= origin
    torch.save(stored, folder / "verse.pt")
    training = train(folder, "--resume", "--max-steps", 6, *flags, prepare=slow_bfloat16)
    assert training.process.exitcode == 0, training.stderr
    assert "without bfloat16, which this machine lacks: not bit for bit as it would have gone on" in training.stderr
    stored = contents(folder)["training"]
    assert (stored["config"]["precision"], stored["step"]) == ("float32", 6)
    assert not contents(folder)["origin"]["precision_given"], "a later resume measures again too"


@pytest.mark.slow
def test_requested_precision_is_kept_without_hardware_for_it(folder):
    straight = train(folder, *ROUNDED, "--max-steps", 9, "--out", "straight.pt", prepare=slow_bfloat16)
    assert straight.process.exitcode == 0, straight.stderr
    begin = [*ROUNDED, "--max-steps", 9, "--report-every", 1, "--overwrite"]
    for flags, last in ((begin, 3), (["--resume", "--report-every", 1], 6), (["--resume"], 9)):
        training = train(folder, *flags, prepare=functools.partial(stop_in_step_without_bfloat16, last))
        assert training.process.exitcode == (143 if last < 9 else 0), training.stderr
        assert "bit for bit" not in training.stderr
        assert contents(folder)["training"]["step"] == last
    stored = contents(folder)
    expected = torch.load(folder / "straight.pt", weights_only=True)
    torch.testing.assert_close(stored["training"]["weights"], expected["training"]["weights"], rtol=0, atol=0)


def stop_in_step_without_bfloat16(last):
    slow_bfloat16()
    if last < 9:
        stop_in_step(last)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "other_text", "wanted"),
    [
        (["--resume"], False, "float32"),  # in which it was trained
        (["--force-resume"], True, "auto"),
        (["--force-resume", "--precision", "float32"], True, "float32"),
        (["--overwrite"], False, "auto"),
    ],
)
def test_fresh_start_may_change_precision_with_its_threads(folder, flags, other_text, wanted):
    if other_text:
        (folder / "verse.txt").write_text(make_text(1500, seed=1), encoding="utf-8")
    training = train(folder, *flags, "--max-steps", 50, "--evaluate-every", 10, prepare=change_threads)
    assert training.process.exitcode == 0, training.stderr
    assert {line for line in training.stderr.splitlines() if line.startswith("wanted: ")} == {f"wanted: {wanted}"}


def change_threads():
    from charrnn.cli.trainer import session
    from charrnn.cli.trainer.threads import ThreadKeeper

    ThreadKeeper.adjust = lambda self, model: True
    session.settle_precision_again = lambda run, wanted, found: print(f"wanted: {wanted}", file=sys.stderr)


def slow_bfloat16():
    from charrnn.training import precision

    precision._time_product = lambda left, right: 1.0 if left.dtype == torch.bfloat16 else 0.1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (
            "full_gpu",
            "the GPU is out of memory; verse.pt is as it was after step 20; go on with --resume on a GPU ",
        ),
        ("starved_gpu", "the GPU is out of memory; verse.pt is as it was after step 20; go on with --resume on a "),
        ("broken_gpu", "the GPU has failed (CUDA error: an illegal memory access was encountered); try again, "),
        ("lame_gpu", "the GPU has failed (cuDNN error: CUDNN_STATUS_EXECUTION_FAILED); try again, "),
    ],
)
def test_gpu_failure_is_one_line_and_the_checkpoint_is_kept(folder, prepare, message):
    before = (folder / "verse.pt").read_bytes()
    training = train(folder, "--resume", "--max-steps", 30, prepare=globals()[prepare])
    assert training.process.exitcode == 1
    assert training.stderr.splitlines()[-1].startswith(f"charrnn: {message}")
    assert "Traceback" not in training.stderr
    assert (folder / "verse.pt").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "prepare", "told"),
    [
        (
            ["--resume"],
            "full_gpu_in_trial",
            "the GPU is out of memory; train it on a GPU with more, or with --device cpu",
        ),
        (["--resume"], "little_memory_in_trial", "out of memory; train it where there is more memory"),
        (
            ["--init-from", "verse.pt", "--out", "new.pt"],
            "little_memory_in_trial",
            "out of memory; lower --batch-size or --seq-len, or train it where there is more memory",
        ),
        (
            ["--hidden-size", 8, "--out", "new.pt"],
            "little_memory_in_trial",
            "out of memory; lower --hidden-size, --batch-size or --seq-len",
        ),
    ],
)
def test_out_of_memory_before_the_first_step_suggests_usable_flags(folder, flags, prepare, told):
    training = train(folder, *flags, "--max-steps", 30, prepare=globals()[prepare])
    assert training.process.exitcode == 1
    assert training.stderr.splitlines()[-1] == f"charrnn: {told}"


def full_gpu_in_trial():
    _fail_in_trial(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))


def little_memory_in_trial():
    _fail_in_trial(MemoryError())


def _fail_in_trial(error):
    from charrnn.cli.trainer import machine

    def fail(*_, **__):
        raise error

    machine.probe_precision = fail


def full_gpu():
    _fail_with(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore lines."))


def starved_gpu():
    _fail_with(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))


def broken_gpu():
    _fail_with(RuntimeError("CUDA error: an illegal memory access was encountered\nMore lines."))


def lame_gpu():
    _fail_with(RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"))


def _fail_with(error):
    from charrnn.training import loop

    def fail(run):
        raise error

    loop.take_step = fail


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_out_of_memory_is_reported_in_one_line(folder, number):
    prepare = functools.partial(little_memory, number)
    training = train(folder, *SMALL, "--max-steps", 3, "--out", "new.pt", prepare=prepare)
    assert training.process.exitcode == 1
    assert training.stderr.splitlines()[-1].startswith("charrnn: out of memory; lower --hidden-size, --batch-size")
    assert "Traceback" not in training.stderr


def little_memory(number):
    """Run out of memory as one of the libraries tells it."""
    if number == 0:
        from charrnn.training import loop

        loop.take_step = lambda run: torch.empty(1 << 60)
    else:
        _fail_with(TOLD_BY_OTHERS[number - 1])


@pytest.mark.slow
def test_save_in_progress_when_memory_runs_out_is_written(folder):
    flags = ["--max-steps", 40, "--evaluate-every", 2, "--out", "new.pt"]
    training = train(folder, *SMALL, *flags, prepare=little_memory_amid_a_save)
    told = "charrnn: out of memory; new.pt is as it was after step 2; go on with --resume where there is more memory"
    assert (training.process.exitcode, training.stderr.splitlines()[-1]) == (1, told), training.stderr
    assert torch.load(folder / "new.pt", weights_only=True)["training"]["step"] == 2


def little_memory_amid_a_save():
    from charrnn.training import checkpoint, loop

    write, take_step = checkpoint.write, loop.take_step
    checkpoint.write = lambda *what: (time.sleep(0.5), write(*what))

    def fail_after_an_evaluation(run):
        if run.history:
            raise MemoryError
        return take_step(run)

    loop.take_step = fail_after_an_evaluation


TOLD_BY_OTHERS = [
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    OSError("libtorch_global_deps.so: failed to map segment from shared object"),
    RuntimeError("could not create a primitive"),
]


@pytest.mark.slow
def test_finished_run_is_copied_to_another_output(folder):
    training = train(folder, "--resume-from", "verse.pt", "--out", "copy.pt")
    assert (training.process.exitcode, training.stdout) == (0, "copy.pt\n"), training.stderr
    copy = torch.load(folder / "copy.pt", weights_only=True)
    assert copy["training"]["step"] == 20
    torch.testing.assert_close(copy["weights"], contents(folder)["weights"], rtol=0, atol=0)


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
@pytest.mark.parametrize(
    ("part", "value"), [("lanes", 5), ("other_ranks", 5), ("first_step", 10**30), ("step", None), ("weights", None)]
)
def test_damaged_training_state_is_refused_with_force_resume(folder, part, value):
    state = contents(folder)
    state["training"][part] = value
    torch.save(state, folder / "verse.pt")
    training = train(folder, "--force-resume", "--max-steps", 30, "--batch-size", 2, "--val-fraction", 0.2)
    assert training.process.exitcode == 1
    assert training.stderr.startswith("charrnn: verse.pt: ")
    assert training.stderr.count("\n") == 1


@pytest.mark.slow
def test_alphabet_chosen_by_flags_cannot_change(folder):
    flags = ["--min-count", 40, "--max-steps", 22]
    chosen = train(folder, *SMALL, *flags, "--out", "few.pt")
    assert chosen.process.exitcode == 0, chosen.stderr
    assert train(folder, "--resume", "--out", "few.pt", "--min-count", 40).process.exitcode == 0
    refused = train(folder, "--resume", "--out", "few.pt", "--max-vocab", 3)
    assert refused.process.exitcode == 2
    assert refused.stderr.startswith("charrnn: --min-count and --max-vocab would give 3 characters an id, and the ")
    told = ", with the alphabet as it was, whatever --max-vocab would choose"
    for text in (make_text(3000), make_text(1500)):  # the same, and another
        (folder / "verse.txt").write_text(text, encoding="utf-8")
        forced = train(folder, "--force-resume", "--out", "few.pt", "--max-vocab", 3, "--max-steps", 24)
        assert (forced.process.exitcode, told in forced.stderr) == (0, True), forced.stderr


@pytest.mark.slow
def test_suggested_resume_command_works(folder):
    (folder / "texts").mkdir()
    for name in ("a.txt", "b.md", "c.txt"):
        (folder / "texts" / name).write_text(make_text(2000, seed=len(name)), encoding="utf-8")
    flags = ["--include", "*.txt", "--separator", "it's\\n", "--evaluate-every", 50]
    training = Training(folder, "texts", *SMALL, "--max-steps", 10**5, *flags, "--out", "all.pt")
    training.wait_for("validation")
    training.kill(signal.SIGINT)
    assert training.wait() == 130
    again = shlex.split(training.stderr.splitlines()[-1].partition("go on with: ")[2])
    assert again[:4] == ["charrnn", "train", "verse.txt", "texts"]
    step = torch.load(folder / "all.pt", weights_only=True)["training"]["step"]
    assert train(folder, *again[3:], "--max-steps", step + 2).process.exitcode == 0
