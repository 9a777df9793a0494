"""Several processes that train one model, through deaths, failures and signals."""

import functools
import os
import re
import signal
import sys
import time
from datetime import timedelta
from multiprocessing.util import Finalize

import pytest
import torch
from processes import Training, all_but_the_clock, stop_in_step
from ranks import FLAGS, SAVING, start_ranks
from runs import break_forward
from torch import distributed as dist

from charrnn.cli.trainer import session
from charrnn.errors import OutputError
from charrnn.storage.archive import read_checkpoint
from charrnn.training import checkpoint, loop, validation
from charrnn.training import group as groups
from charrnn.training.clock import CLOCK
from charrnn.training.group import DistributedRanks


@pytest.mark.slow
def test_killed_rank_leaves_one_line_and_a_checkpoint_that_resumes_bit_for_bit(folder):
    ends = [*FLAGS, "--max-steps", 60]
    straight = start_ranks(folder, 3, *ends, "--out", "straight.pt", "-q")
    assert [process.wait() for process in straight] == [0, 0, 0], straight[0].stderr
    first, second, third = start_ranks(folder, 3, *ends, "--log", "verse.log", step_takes=0.02)
    first.wait_for("validation")
    second.kill(signal.SIGKILL)
    assert [first.wait(), third.wait()] == [1, 1]
    step = read_checkpoint(str(folder / "verse.pt")).step
    (line,) = [line for line in (first.stderr + third.stderr).splitlines() if line.startswith("charrnn: ")]
    kept = f"verse.pt is as it was after step {step:,}; go on with --resume"
    assert line == f"charrnn: another process of this training is gone; {kept}"
    assert (second.stderr, third.stderr) == ("", "")
    assert sorted(os.listdir(folder)) == ["straight.pt", "verse.log", "verse.pt", "verse.txt"]
    resumed = start_ranks(folder, 3, "--resume", "--log", "verse.log", "-q")
    assert [process.wait() for process in resumed] == [0, 0, 0], resumed[0].stderr
    assert [process.stdout for process in resumed] == ["verse.pt\n", "", ""]
    one, other = (all_but_the_clock(folder / name) for name in ("verse.pt", "straight.pt"))
    assert one["history"] == other["history"]
    for part in ("weights", "optimizer", "state"):
        torch.testing.assert_close(one["training"][part], other["training"][part], rtol=0, atol=0)
    for part in ("random_state", "other_ranks", "lanes"):
        assert one["training"][part] == other["training"][part]
    assert len(one["training"]["other_ranks"]) == 2


@pytest.mark.slow
def test_failing_members_end_all_ranks(folder):
    flags = [*FLAGS, "--members", 4, "--recall", 0, "--max-steps", 60]
    ranks = start_ranks(folder, 2, *flags, prepare=break_members)
    assert [process.wait(60) for process in ranks] == [1, 1], ranks[0].stderr
    (line,) = "".join(process.stderr for process in ranks if "charrnn: " in process.stderr).splitlines()[-1:]
    assert line.startswith("charrnn: out of memory; ")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["before", "while it connects"])
def test_rank_killed_before_the_first_step_is_reported_in_one_line(folder, where):
    prepare = functools.partial(die_before_it_learns, where)
    first, second = start_ranks(folder, 2, *FLAGS, "--max-steps", 5, "-q", prepare=prepare)
    assert [first.wait(60), second.wait(60)] == [1, -signal.SIGKILL]
    (line,) = [line for line in first.stderr.splitlines() if line.startswith("charrnn: ")]
    assert line == "charrnn: another process of this training is gone"


@pytest.mark.slow
def test_library_output_while_connecting_stays_out_of_stdout(folder):
    """As gloo of PyTorch 2.10 does."""
    ranks = start_ranks(folder, 2, *FLAGS, "--max-steps", 5, "-q", prepare=speak_while_connecting)
    assert [process.wait() for process in ranks] == [0, 0], ranks[0].stderr
    assert [process.stdout for process in ranks] == ["verse.pt\n", ""]


def speak_while_connecting(rank):
    def aloud(connect):
        return lambda *given, **options: (os.write(1, b"connected\n"), connect(*given, **options))[1]

    dist.init_process_group, dist.new_group = aloud(dist.init_process_group), aloud(dist.new_group)


def die_before_it_learns(where, rank):
    replicate = DistributedRanks.replicate

    def die(*given, **options):
        os.kill(os.getpid(), signal.SIGKILL)

    def replicate_in_haste(self, model):
        groups.RENDEZVOUS_TIMEOUT = timedelta(seconds=1)  # they have met
        replicate(self, model)

    if where == "while it connects":
        DistributedRanks.replicate = replicate_in_haste
        dist.new_group = die if rank else dist.new_group
    elif rank:
        DistributedRanks.replicate = die


def break_members(rank):
    take_step = loop.take_step

    def take_broken_step(run):
        run.model.at_once = 2
        if rank and run.step == 3:
            for member in run.model.members[:2]:
                member.head.register_forward_hook(fail)
        return take_step(run)

    loop.take_step = take_broken_step


def fail(*given):
    time.sleep(0.2)
    raise MemoryError


@pytest.mark.slow
def test_ranks_agree_on_the_weights_to_keep_when_one_is_still_saving(folder):
    ranks = start_ranks(folder, 2, *FLAGS, "--max-steps", 60, prepare=save_slowly_and_break)
    assert [process.wait() for process in ranks] == [1, 1]
    assert ranks[0].stderr.endswith("; verse.pt keeps the best so far\n")
    assert ranks[1].stderr == ""


def save_slowly_and_break(rank):
    write, handle = checkpoint.write, session.Session._handle
    checkpoint.write = lambda *given: (time.sleep(5), write(*given))

    def handle_and_break(self, report):
        handle(self, report)
        if report.val_loss is not None:
            break_forward(self._run, range(10**6))

    session.Session._handle = handle_and_break


@pytest.mark.slow
def test_lost_rank_is_reported_before_a_slow_save_ends(folder):
    """A launcher kills a process that stays too long, before its last message."""
    first, second = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 10**6, prepare=save_slowly_and_soon_tell)
    first.wait_for("saves")
    second.kill(signal.SIGKILL)
    assert first.wait() == 1
    early, last = [line for line in first.stderr.splitlines() if "another process" in line]
    assert early == "charrnn: another process of this training is gone; a save is still under way"
    assert last.startswith("charrnn: another process of this training is gone; verse.pt is as it was after step ")


def save_slowly_and_soon_tell(rank):
    write, session.LAST_WORDS = checkpoint.write, 0.5

    def write_slowly(*given):
        print("saves", file=sys.stderr, flush=True)
        time.sleep(3)
        write(*given)

    checkpoint.write = write_slowly


@pytest.mark.slow
def test_surviving_rank_knows_that_the_save_of_the_other_failed(folder):
    first, second = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 10**6, prepare=fail_to_save)
    first.wait_for("training goes on, and tries again")
    first.kill(signal.SIGKILL)
    assert second.wait() == 1
    lost = "charrnn: process 2 of 2 (rank 1): another process of this training is gone; this process knows of no save\n"
    assert second.stderr == lost


@pytest.mark.slow
@pytest.mark.parametrize("saves", [1, 2])
def test_surviving_rank_states_only_the_step_that_it_knows_to_be_saved(folder, saves):
    """The first rank may have saved since without reporting it, even its first save."""
    prepare = functools.partial(die_after_saves, saves)
    first, second = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 10**6, prepare=prepare)
    assert [first.wait(), second.wait()] == [-signal.SIGKILL, 1]
    told = r"another process of this training is gone; verse.pt holds step (\d+) or a later one; go on with --resume"
    (step,) = re.fullmatch(rf"charrnn: process 2 of 2 \(rank 1\): {told}\n", second.stderr).groups()
    held = read_checkpoint(str(folder / "verse.pt")).step
    assert int(step) < held if saves > 1 else int(step) == held


def die_after_saves(saves, rank):
    write, written = checkpoint.write, []

    def write_and_die(path, *what):
        write(path, *what)
        written.append(path)
        if len(written) == saves:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoint.write = write_and_die


def fail_to_save(rank):
    def write(path, *_):
        raise OutputError(f"{path}: the checkpoint cannot be written (No space left on device)")

    checkpoint.write = write


@pytest.mark.slow
def test_slow_samples_of_one_rank_keep_evaluations_in_step(folder):
    ranks = start_ranks(folder, 2, *FLAGS, *SAVING, "--time", "60s", "--sample-every", 1, prepare=put_forward_the_clock)
    assert [process.wait() for process in ranks] == [0, 0], ranks[0].stderr
    history = read_checkpoint(str(folder / "verse.pt")).history
    assert ranks[0].stderr.count(" writes: ") == len(history) >= 3
    assert ranks[1].stderr == ""


def put_forward_the_clock(rank):
    """A step, an evaluation and a sample take longer, by what nobody waits for: a sample is due every few steps."""

    def takes(seconds, function):
        def put_forward(*given, **options):
            CLOCK._left_out -= seconds
            return function(*given, **options)

        return put_forward

    loop.take_step = takes(0.5, loop.take_step)
    validation.evaluate = takes(0.1, validation.evaluate)
    session.Session._sample = takes(2.0, session.Session._sample)


@pytest.mark.slow
def test_signal_to_one_rank_stops_all_and_one_process_can_resume(folder):
    ranks = start_ranks(folder, 2, *FLAGS, *SAVING, "--max-steps", 5000)
    ranks[0].wait_for("validation")
    ranks[1].kill(signal.SIGTERM)
    assert [process.wait() for process in ranks] == [143, 143]
    stored = read_checkpoint(str(folder / "verse.pt"), with_training=True).training
    saved = (
        f"stopped after step {stored['step']:,}, saved; go on with: torchrun ... -m charrnn train verse.txt --resume"
    )
    assert ranks[0].stderr.splitlines()[-1] == saved
    assert ranks[1].stderr == ""
    assert stored["state"][0][0].shape == (5, 16)
    alone = Training(folder, "--resume", "--max-steps", stored["step"] + 50)
    assert alone.wait() == 0, alone.stderr
    assert "processes: 1, before 2, with new random numbers for dropout" in alone.stderr
    assert read_checkpoint(str(folder / "verse.pt")).step == stored["step"] + 50


@pytest.mark.slow
@pytest.mark.parametrize(("stops", "code"), [(False, 0), (True, 143)])
def test_abort_at_the_exit_of_python_does_not_change_the_exit_code(folder, stops, code):
    """As PyTorch's threads sometimes do, where one process ends much later than the others."""
    prepare = functools.partial(abort_at_exit, stops)
    ranks = start_ranks(folder, 2, *FLAGS, "--max-steps", 8, "--log", "verse.log", prepare=prepare)
    assert [process.wait() for process in ranks] == [code, code], ranks[0].stderr
    told = "stopped after step " if stops else "best validation loss "
    assert ranks[0].stderr.splitlines()[-1].startswith(told)
    assert [process.stdout for process in ranks] == ["" if stops else "verse.pt\n", ""]
    assert ranks[1].stderr == ""
    assert sorted(os.listdir(folder)) == ["verse.log", "verse.pt", "verse.txt"]


def abort_at_exit(stops, rank):
    Finalize(None, os.abort, exitpriority=0)  # what `atexit` is to a process that was forked
    if stops:
        stop_in_step(5)
