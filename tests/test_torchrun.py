"""Trainings under torchrun itself: restarts, several hosts and Ctrl-C."""

import functools
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import NO_SPINNING, clean_environment
from ranks import FLAGS, SAVING, TEXT

from charrnn.storage.archive import read_checkpoint

STAYS_SECONDS = 25


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "verse.txt").write_text(TEXT, encoding="utf-8")
    return folder


@pytest.fixture
def torchrun(folder):
    """Start torchrun with two ranks; what a failed test leaves of it is stopped, its ranks first.

    A rank that stays for long says where it is, before torchrun kills it for that.
    """
    started = []
    early = folder.parent / "early"
    early.mkdir()
    dump = f"faulthandler.dump_traceback_later({STAYS_SECONDS})"
    (early / "sitecustomize.py").write_text(f"import faulthandler, os\nif 'RANK' in os.environ:\n    {dump}\n")
    paths = os.pathsep.join(filter(None, [str(early), os.environ.get("PYTHONPATH")]))

    def start(*arguments, meeting=("--standalone",), ranks=2, **environment):
        command = [sys.executable, "-m", "torch.distributed.run", *meeting, "--nproc-per-node", str(ranks)]
        started.append(subprocess.Popen(
            [*command, *map(str, arguments)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", env={**clean_environment(), **NO_SPINNING, "PYTHONPATH": paths, **environment},
        ))  # fmt: skip
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()  # it hands that on to them
            process.communicate(timeout=60)


@pytest.mark.slow
def test_torchrun_restarts_a_dead_rank_and_the_job_goes_on(folder, torchrun):
    (folder / "verse.pt").touch()  # as mktemp does
    command = ["--max-restarts", 1, "-m", "--", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite"]
    process = torchrun(*command, "--max-steps", 400, "--log", "verse.log", LOGLEVEL="INFO")  # of torchrun's own lines
    wait_for_checkpoint(folder, process)
    killed = find_rank(1, process)
    os.kill(killed, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    all_told = f"torchrun, of which process {killed} was killed, ended with {process.returncode} and said:\n{stderr}"
    assert process.returncode == 0, all_told
    assert stdout == "verse.pt\n", all_told
    assert "charrnn: another process of this training is gone; " in stderr, all_told  # early, where the disk is slow
    assert ", going on after step " in stderr, all_told
    steps = [json.loads(line)["step"] for line in (folder / "verse.log").read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 400


@pytest.mark.slow
def test_restart_ignores_a_checkpoint_of_an_earlier_job_with_the_same_id(folder, torchrun):
    restarts = ["--max-restarts", 2]  # torch itself may abort, too
    command = [*restarts, "-m", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "-q"]
    meeting = ["--rdzv-id", "night", "--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    earlier = torchrun(*command, "--max-steps", 5, meeting=meeting)
    _, stderr = earlier.communicate(timeout=120)
    assert earlier.returncode == 0, stderr
    later = torchrun(*command, "--max-steps", 20, "--overwrite", "--learning-rate", 0.5, meeting=meeting)
    os.kill(find_rank(1, later), signal.SIGKILL)  # while it loads PyTorch, or soon after
    _, stderr = later.communicate(timeout=120)
    assert later.returncode == 0, stderr
    assert read_checkpoint(str(folder / "verse.pt")).train_config.learning_rate == 0.5


@pytest.mark.slow
def test_two_hosts_go_on_if_only_one_counts_the_restart(folder, torchrun):
    """The second rank waits a second for the first to report; its host finds it healthy and restarts with the other."""
    meeting = ["--nnodes", 2, "--rdzv-id", "night", "--rdzv-backend", "c10d", "--rdzv-endpoint"]
    meeting = [*map(str, meeting), f"127.0.0.1:{free_port()}"]
    command = ["--max-restarts", 1, "-m", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite"]
    hosts = [torchrun(*command, "--max-steps", 1_000, meeting=meeting, ranks=1) for _ in range(2)]
    wait_for_checkpoint(folder, *hosts)
    os.kill(find_rank(0, *hosts), signal.SIGKILL)
    stdouts, stderrs = zip(*(host.communicate(timeout=120) for host in hosts), strict=True)
    assert [host.returncode for host in hosts] == [0, 0], stderrs
    assert "".join(stdouts) == "verse.pt\n"
    assert ", going on after step " in "".join(stderrs)


@pytest.mark.slow
def test_two_hosts_go_on_if_one_does_not_notice_the_restart(folder, torchrun):
    """Its own process is healthy, in a long step, while the other host restarts."""
    (folder / "slow.py").write_text(SLOW_STEPS)
    meeting = ["--nnodes", 2, "--rdzv-id", "night", "--rdzv-backend", "c10d", "--rdzv-endpoint"]
    meeting = [*map(str, meeting), f"127.0.0.1:{free_port()}"]
    command = ["--max-restarts", 3, "slow.py", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite", "--max-steps", 40]
    hosts = [torchrun(*command, meeting=meeting, ranks=1) for _ in range(2)]
    wait_for_checkpoint(folder, *hosts)
    os.kill(find_rank(1, *hosts), signal.SIGKILL)
    stdouts, stderrs = zip(*(host.communicate(timeout=180) for host in hosts), strict=True)
    assert [host.returncode for host in hosts] == [0, 0], stderrs
    assert "".join(stdouts) == "verse.pt\n"
    assert ", going on after step " in "".join(stderrs)


@pytest.mark.slow
def test_second_host_that_joins_late_continues_the_run(folder, torchrun):
    (folder / "slow.py").write_text(SLOW_STEPS)
    meeting = ["--nnodes", "1:2", "--rdzv-id", "night", "--rdzv-backend", "c10d", "--rdzv-endpoint"]
    meeting = [*meeting, f"127.0.0.1:{free_port()}", "--rdzv-conf", "last_call_timeout=1"]
    command = ["--max-restarts", 3, "slow.py", "train", "verse.txt", *FLAGS, *SAVING, "--overwrite", "--max-steps", 50]
    # Else torch 2.13 waits in vain for an address that the first host gives in its first life alone.
    start = functools.partial(torchrun, *command, meeting=meeting, ranks=1, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")
    hosts = [start()]
    wait_for_checkpoint(folder, *hosts)
    hosts.append(start())
    stdouts, stderrs = zip(*(host.communicate(timeout=180) for host in hosts), strict=True)
    assert [host.returncode for host in hosts] == [0, 0], stderrs
    assert "".join(stdouts) == "verse.pt\n"
    assert "processes: 2, before 1, " in "".join(stderrs)


SLOW_STEPS = """
import time

from charrnn.cli import main
from charrnn.training import loop

take_step = loop.take_step
loop.take_step = lambda run: (time.sleep(0.4), take_step(run))[1]
main()
"""
PORTS = itertools.count(10_000 + 10 * os.getpid() % 20_000)
"""Below those that the system gives to whoever asks for any, and others in each process that runs tests."""


def free_port():
    """A free port, reserved until it is bound."""
    return next(port for port in PORTS if not answers(port))


def answers(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.slow
def test_ctrl_c_on_torchrun_saves_once_and_stops(folder, torchrun):
    process = torchrun("-m", "charrnn", "train", "verse.txt", *FLAGS, *SAVING, "--max-steps", 100_000)
    wait_for_checkpoint(folder, process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    assert stdout == ""
    step = read_checkpoint(str(folder / "verse.pt")).step
    assert stderr.count(f"stopped after step {step:,}, saved; go on with: ") == stderr.count("stopped after") == 1
    assert sorted(os.listdir(folder)) == ["verse.pt", "verse.txt"]


def wait_for_checkpoint(folder, *launchers):
    """Wait until there is a checkpoint, unless a process that should write it has ended."""
    end = time.monotonic() + 60
    while not (folder / "verse.pt").exists() or (folder / "verse.pt").stat().st_size < 1000:
        assert time.monotonic() < end
        for process in launchers:
            assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)


def find_rank(rank, *launchers):
    """The process id of a rank, once one of some torchruns has started it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for child in (child for process in launchers for child in children_of(process.pid)):
            with suppress(OSError):  # one that has ended meanwhile
                if f"RANK={rank}".encode() in Path("/proc", child, "environ").read_bytes().split(b"\0"):
                    return int(child)
        time.sleep(0.05)
    raise AssertionError("there is no such rank")


def children_of(number):
    """The process ids of what a process has started, as text."""
    return [child for task in Path(f"/proc/{number}/task").glob("*/children") for child in task.read_text().split()]
