"""How ranks meet: incarnations, those that never come, and stores."""

import functools
import os
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from processes import Training, server
from ranks import FLAGS, make_store, take_place
from torch import distributed as dist

from charrnn.errors import LostRankError
from charrnn.training import group as groups
from charrnn.training import rendezvous
from charrnn.training.group import DistributedRanks
from charrnn.training.rendezvous import join_incarnation
from charrnn.training.torchrun import Place, read_place


def begin_lives(store, ranks, world=3):
    """The names and numbers of the incarnation that some ranks join, in their order."""
    with ThreadPoolExecutor() as threads:
        found = [threads.submit(join_incarnation, store, Place(rank, world), timedelta(seconds=20)) for rank in ranks]
    return [each.result() for each in found]


def test_ranks_of_one_incarnation_meet_despite_traces_of_earlier_ones():
    store = dist.HashStore()
    (first,) = {name for name, _ in begin_lives(store, (0, 1, 2))}
    for rank in (0, 1):  # came, and died before the others did
        with pytest.raises(TimeoutError):
            join_incarnation(store, Place(rank, 3), timedelta(0))
    found = begin_lives(store, (2, 1, 0))
    assert len({name for name, _ in found}) == 1
    assert found[0][0] != first
    assert found[-1][1] == 2, "two were begun before"


def test_rank_without_peers_gives_up_and_names_the_address(monkeypatch):
    monkeypatch.setattr("charrnn.training.group.RENDEZVOUS_TIMEOUT", timedelta(seconds=0.2))
    keeper = make_store()
    for port, reason in ((keeper.port, "the first process has not come"), (1, "nobody answers")):
        group = DistributedRanks(Place(1, 2, host="127.0.0.1", port=port, has_store=True))
        with pytest.raises(
            LostRankError, match=rf"^the processes do not meet at 127.0.0.1:{port} \({reason}\); MASTER"
        ):
            group.meet()
        group.leave()
        assert group.may_speak(), "the first of its host"


# Two processes.


@pytest.mark.slow
def test_hosts_with_different_restart_counts_meet_and_may_then_be_slow(tmp_path):
    store = make_store()
    for life, pause in (("first", 0), ("second", MEETING + 1)):
        counted = ((0, 0), (1, 3))
        arguments = [(tmp_path / f"{life}{rank}", rank, 2, store.port, count, pause) for rank, count in counted]
        processes = [server().Process(target=meet_as, args=each, daemon=True) for each in arguments]
        for process in processes:
            process.start()
        for process in processes:
            process.join(100)
            assert process.exitcode == 0
        assert [arguments[rank][0].read_text() for rank in (0, 1)] == ["3 slow", "3 slow"]


MEETING = 10.0
"""Seconds in which they have to meet; more than that is slow afterwards."""


def meet_as(path, rank, world, port, restarts, pause):
    take_place(rank, world, port)
    os.environ["TORCHELASTIC_RESTART_COUNT"] = str(restarts)
    groups.RENDEZVOUS_TIMEOUT = timedelta(seconds=MEETING)
    group = DistributedRanks(read_place())
    group.meet()
    path.write_text(f"{group.restarts} {group.broadcast(lambda: time.sleep(pause) or 'slow')}")
    group.leave()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "change", "reason"),
    [
        ((0, 1), {"GLOO_SOCKET_IFNAME": "eth9"}, "Unable to find address for: eth9"),
        ((0,), {"TORCHELASTIC_USE_AGENT_STORE": "False"}, "EADDRINUSE"),
    ],
)
def test_ranks_that_cannot_meet_report_one_line(folder, ranks, change, reason):
    store = make_store()
    places = [functools.partial(take_changed_place, rank, 2, store.port, change) for rank in ranks]
    trainings = [Training(folder, *FLAGS, prepare=prepare) for prepare in places]
    assert {training.wait() for training in trainings} == {1}
    (line,) = "".join(training.stderr for training in trainings).splitlines()
    told = rf"the processes do not meet at 127.0.0.1:{store.port} \(.*{reason}.*\); "
    assert re.match(rf"charrnn: (process 2 of 2 \(rank 1\): )?{told}", line)


@pytest.mark.parametrize(
    ("platform", "chosen", "has_libuv"),
    [("linux", None, True), ("linux", "0", False), ("win32", None, False), ("win32", "1", False)],
)
def test_store_uses_libuv_only_if_torch_has_it_and_allows_it(monkeypatch, platform, chosen, has_libuv):
    monkeypatch.setattr(rendezvous, "TCPStore", lambda *_, **options: options["use_libuv"])
    monkeypatch.setattr(rendezvous.sys, "platform", platform)
    monkeypatch.delenv("USE_LIBUV", raising=False)
    if chosen is not None:
        monkeypatch.setenv("USE_LIBUV", chosen)
    place = Place(world_size=2, host="127.0.0.1", port=1)
    assert rendezvous.find_store(place, timedelta(seconds=1)) is has_libuv


def take_changed_place(rank, world, port, change):
    take_place(rank, world, port)
    os.environ.update(change)


@pytest.mark.slow
def test_signal_ends_a_rank_that_waits_for_the_others(folder):
    store = make_store()
    for number, port, code in ((signal.SIGINT, store.port, 130), (signal.SIGTERM, 1, 143)):
        training = Training(folder, *FLAGS, prepare=functools.partial(tell_meeting, 1, 2, port))
        training.wait_for("meeting")
        training.kill(number)
        assert training.wait() == code
        assert training.stderr == "meeting\n"


def tell_meeting(rank, world, port):
    take_place(rank, world, port)
    find_store = groups.find_store
    groups.find_store = lambda *given: print("meeting", file=sys.stderr, flush=True) or find_store(*given)
