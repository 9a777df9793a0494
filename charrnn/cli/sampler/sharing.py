"""Work in pieces that is shared among forked processes.

For texts side by side only the matrix products are multithreaded. All the rest, most of the work of a small model (its
activations, the draws, the rules for each character), keeps one core busy, so each process takes some of the texts.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from charrnn.errors import CharRNNError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Piece = TypeVar("Piece")
Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1
"""The prctl(2) option of Linux that requests a signal when the parent dies."""


def in_order(work: Callable[[Piece], Result], pieces: Sequence[Piece], processes: int) -> Iterator[Result]:
    """Do pieces of work in several processes that are forked from this one.

    A process works ahead until its pipe is full of results (64 KiB on Linux). The pieces of processes that cannot be
    started are done in this process.

    Args:
        work: the function to call with each piece; it need not be picklable, but its results must be.
        pieces: in order.
        processes: number of processes; with one, all is done in this process.

    Yields:
        The results, in the order of the pieces.

    Raises:
        CharRNNError: a process was killed.
        Exception: whatever `work` raises.
    """
    processes = min(processes, len(pieces))
    if processes <= 1:
        yield from map(work, pieces)
        return
    shares = [pieces[number::processes] for number in range(processes)]
    with _workers(work, shares) as receivers:
        for number, piece in enumerate(pieces):
            worker = number % processes
            yield _received(receivers[worker]) if worker < len(receivers) else work(piece)


@contextlib.contextmanager
def _workers(work: Callable[[Piece], Result], shares: Sequence[Sequence[Piece]]) -> Iterator[Sequence[Connection]]:
    """Start a process for each share of the pieces; all end with the context.

    Yields:
        For each process, as many as the system could start, the end of a pipe that its results come from.
    """
    import multiprocessing  # here, so that a single text does not wait for the import

    context = multiprocessing.get_context("fork")
    receivers: list[Connection] = []
    workers = []
    try:
        # Ctrl-C reaches all processes; the workers block it, and this process kills them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for share in shares:
                receiver, sender = context.Pipe(duplex=False)
                worker = context.Process(target=_work, args=(work, share, sender, [*receivers, receiver]), daemon=True)
                worker.start()
                workers.append(worker)
                receivers.append(receiver)
                sender.close()
        except OSError:  # no more processes, files or memory: go on with those started
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield receivers
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _received(receiver: Connection) -> Any:
    """Receive the next result of a process.

    Raises:
        CharRNNError: the process was killed.
        Exception: whatever its work has raised.
    """
    try:
        is_done, result = receiver.recv()
    except (EOFError, OSError):  # before a result, or within one
        raise CharRNNError("a process that drew texts was killed; ask for fewer or shorter ones") from None
    if not is_done:
        raise result
    return result


def _work(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], sender: Connection, receivers: Sequence[Connection]
) -> None:
    """The main function of a worker: does its pieces until nobody reads their results any more."""
    _end_with_parent()
    for receiver in receivers:  # while open here, writers would not notice that the parent has closed its end
        receiver.close()
    try:
        for piece in pieces:
            sender.send((True, work(piece)))
    except BrokenPipeError:
        return
    except Exception as error:
        sender.send((False, error))


def _end_with_parent() -> None:
    """Ask to be killed when the parent dies, which may have no time to kill its workers."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
