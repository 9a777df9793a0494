"""Work in pieces that is shared among processes.

Of texts side by side only the products have threads. All the rest, which is most of the work of a small model (its
activations, the draws, what each character ends), keeps one core busy: so each process takes some of the texts.
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
"""Linux's request for a signal when the parent is gone; see prctl(2)."""


def in_order(work: Callable[[Piece], Result], pieces: Sequence[Piece], processes: int) -> Iterator[Result]:
    """Do pieces of work, each in one of several processes that are forked from this one.

    A process works ahead until a pipe is full of its results (64 KiB on Linux). The pieces of those that cannot be
    started are done here.

    Args:
        work: what is done with a piece; it need not be such that it can be pickled, but the results must.
        pieces: in order.
        processes: with one, all is done here.

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
        What gives the results of each, of as many as the system lets be started.
    """
    import multiprocessing  # here, since who asks for one text must not wait for it

    context = multiprocessing.get_context("fork")
    receivers: list[Connection] = []
    workers = []
    try:
        # Ctrl-C reaches all of them, and they leave it to this one, which ends them.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for share in shares:
                receiver, sender = context.Pipe(duplex=False)
                worker = context.Process(target=_work, args=(work, share, sender, [*receivers, receiver]), daemon=True)
                worker.start()
                workers.append(worker)
                receivers.append(receiver)
                sender.close()
        except OSError:  # no more processes, files or memory: those that there are will do
            pass
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        yield receivers
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _received(receiver: Connection) -> Any:
    """The next result of a process.

    Raises:
        CharRNNError: it was killed.
        Exception: what its work has raised.
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
    """What a process does: its pieces, until nobody wants their results any more."""
    _end_with_parent()
    for receiver in receivers:  # while they are open here, their writers do not hear that nobody reads
        receiver.close()
    try:
        for piece in pieces:
            sender.send((True, work(piece)))
    except BrokenPipeError:
        return
    except Exception as error:
        sender.send((False, error))


def _end_with_parent() -> None:
    """Be killed when the parent is, which may not have the time to do it."""
    import ctypes

    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
