"""Work that is shared among processes: the same results, whatever happens to one of them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from charrnn.cli.sampler.sharing import in_order
from charrnn.errors import CharRNNError, DivergenceError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are shared on Linux alone")


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
@pytest.mark.parametrize("num_pieces", [0, 1, 2, 7])
def test_results_come_in_the_order_of_the_pieces_from_as_many_processes_as_there_are(processes, num_pieces):
    done = list(in_order(lambda piece: (piece * 2, os.getpid()), range(num_pieces), processes))
    assert [result for result, _ in done] == [2 * piece for piece in range(num_pieces)]
    workers = {worker for _, worker in done}
    used = min(processes, num_pieces)
    assert len(workers) == used
    assert (os.getpid() in workers) == (used == 1)
    assert not multiprocessing.active_children()


def test_what_goes_wrong_in_a_process_is_raised_after_the_results_before_it():
    def work(piece):
        if piece == 3:
            raise DivergenceError("no numbers any more")
        return piece

    results = in_order(work, range(9), 2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DivergenceError, match=r"^no numbers any more$"):
        next(results)
    assert not multiprocessing.active_children()


def test_a_process_that_is_killed_is_told():
    def work(piece):
        if piece == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return piece

    with pytest.raises(CharRNNError, match="a process that drew texts was killed; ask for fewer or shorter ones"):
        list(in_order(work, range(9), 2))
    assert not multiprocessing.active_children()


def test_who_wants_no_more_leaves_no_process_behind():
    results = in_order(lambda piece: (os.getpid(), b"x" * 10**6), range(100), 2)
    next(results)
    assert len(multiprocessing.active_children()) == 2
    results.close()
    assert not multiprocessing.active_children()


def test_processes_end_with_the_one_that_forked_them():
    script = (
        "import os, sys, time\nfrom charrnn.cli.sampler.sharing import in_order\n"
        "for pid in in_order(lambda piece: time.sleep(600 * (piece > 1)) or os.getpid(), range(4), 2):\n"
        "    print(pid, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        workers = [int(parent.stdout.readline()) for _ in range(2)]
        parent.kill()
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
