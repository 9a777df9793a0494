"""`charrnn train --resume`: what may change, what may not, and what can be forced."""

import json
import os
import shlex
import shutil
import signal

import pytest
import torch
from conftest import make_text
from processes import SMALL, Training, contents, steps, train

from charrnn.training import loop


@pytest.fixture
def folder(ended, tmp_path):
    return shutil.copytree(ended, tmp_path / "work")


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
def test_counts_of_one_are_singular_and_out_may_be_a_folder(folder):
    (folder / "models").mkdir()
    flags = ["--hidden-size", 16, "--batch-size", 1, "--epochs", 1, "--max-steps", 1, "--precision", "float32"]
    for out in ("models/", "models"):
        training = train(folder, *flags, "--out", out, "--overwrite")
        assert (training.process.exitcode, training.stdout) == (0, "models/verse.pt\n")
    assert "training: 1 epoch or 1 step, 1 lane, windows of 64, adamw" in training.stderr
    missing = train(folder, *flags, "--out", "nowhere/")
    assert missing.stderr == "charrnn: nowhere: no such folder; make it, or choose another place with --out\n"


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
def test_finished_run_is_copied_to_another_output(folder):
    training = train(folder, "--resume-from", "verse.pt", "--out", "copy.pt")
    assert (training.process.exitcode, training.stdout) == (0, "copy.pt\n"), training.stderr
    copy = torch.load(folder / "copy.pt", weights_only=True)
    assert copy["training"]["step"] == 20
    torch.testing.assert_close(copy["weights"], contents(folder)["weights"], rtol=0, atol=0)


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
