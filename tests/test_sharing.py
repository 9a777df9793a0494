"""Work that is shared among processes: the same results, whatever happens to one of them."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from charrnn.cli.sampler.sharing import in_order
from charrnn.errors import CharRNNError, DivergenceError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are shared on Linux alone")


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
@pytest.mark.parametrize("num_pieces", [0, 1, 2, 7])
def test_results_come_in_order_from_all_processes(processes, num_pieces):
    done = list(in_order(lambda piece: (piece * 2, os.getpid()), range(num_pieces), processes))
    assert [result for result, _ in done] == [2 * piece for piece in range(num_pieces)]
    workers = {worker for _, worker in done}
    used = min(processes, num_pieces)
    assert len(workers) == used
    assert (os.getpid() in workers) == (used == 1)
    assert not multiprocessing.active_children()


def test_error_in_a_process_is_raised_after_the_results_before_it():
    def work(piece):
        if piece == 3:
            raise DivergenceError("no numbers any more")
        return piece

    results = in_order(work, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DivergenceError, match=r"^no numbers any more$"):
        next(results)
    assert not multiprocessing.active_children()


def test_killed_process_is_reported():
    def work(piece):
        if piece == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    with pytest.raises(CharRNNError, match="a process that drew texts was killed; ask for fewer or shorter ones"):
        list(in_order(work, range(9), 2))
    assert not multiprocessing.active_children()


def test_process_killed_within_a_result_is_reported():
    def work(piece):
        if piece == 2:
            threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return b"x" * 10**7  # more than a pipe holds
        return os.getpid()

    results = in_order(work, range(9), 2)
    worker = next(results)
    next(results)
    wait_for_end_of([worker])
    with pytest.raises(CharRNNError, match="a process that drew texts was killed; ask for fewer or shorter ones"):
        next(results)


@pytest.mark.parametrize("most", [0, 1, 2])
def test_work_runs_in_this_process_if_none_can_be_started(monkeypatch, most):
    fork, forked = os.fork, []

    def fork_a_few():
        if len(forked) == most:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        forked.append(fork())
        return forked[-1]

    monkeypatch.setattr(os, "fork", fork_a_few)
    done = list(in_order(lambda piece: (piece * 2, os.getpid()), range(8), 3))
    assert [result for result, _ in done] == [2 * piece for piece in range(8)]
    assert {worker for _, worker in done} == {os.getpid(), *forked}
    assert not multiprocessing.active_children()


def test_ctrl_c_at_the_start_of_a_worker_is_left_to_its_parent():
    script = (
        "import os, signal\nfrom charrnn.cli.sampler.sharing import in_order\n"
        "os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))\n"
        "print(list(in_order(str, range(4), 2)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "['0', '1', '2', '3']\n", "")


def test_abandoned_results_leave_no_process_behind():
    results = in_order(lambda piece: (os.getpid(), b"x" * 10**6), range(100), 2)
    next(results)
    assert len(multiprocessing.active_children()) == 2
    results.close()
    assert not multiprocessing.active_children()


def test_workers_end_with_their_parent():
    script = (
        "import os, sys, time\nfrom charrnn.cli.sampler.sharing import in_order\n"
        "for pid in in_order(lambda piece: time.sleep(600 * (piece > 1)) or os.getpid(), range(4), 2):\n"
        "    print(pid, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
    wait_for_end_of(workers)


def wait_for_end_of(workers):
    end = time.monotonic() + 60
    while any(map(is_running, workers)):
        assert time.monotonic() < end, "they go on"
        time.sleep(0.01)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"  # one that nobody has asked for its end
    except FileNotFoundError:
        return False
