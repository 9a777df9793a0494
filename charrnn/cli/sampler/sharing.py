"""Work in pieces that is shared among processes.

Of texts side by side only the products have threads. All the rest, which is most of the work of a small model (its
activations, the draws, what each character ends), keeps one core busy: so each process takes some of the texts.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from charrnn.errors import CharRNNError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Piece = TypeVar("Piece")
Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1
"""Linux's request for a signal when the parent is gone; see prctl(2)."""


def in_order(work: Callable[[Piece], Result], pieces: Sequence[Piece], processes: int) -> Iterator[Result]:
    """Do pieces of work, each in one of several processes that are forked from this one.

    A process is at most one piece ahead of what was taken of its results.

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
    import multiprocessing  # here, since who asks for one text must not wait for it

    context = multiprocessing.get_context("fork")
    receivers: list[Connection] = []
    workers = []
    try:
        for number in range(processes):
            receiver, sender = context.Pipe(duplex=False)
            receivers.append(receiver)
            own = pieces[number::processes]
            workers.append(context.Process(target=_work, args=(work, own, sender, receivers), daemon=True))
            workers[-1].start()
            sender.close()
        for number in range(len(pieces)):
            try:
                is_done, result = receivers[number % processes].recv()
            except EOFError:
                raise CharRNNError("a process that drew texts was killed; ask for fewer or shorter ones") from None
            if not is_done:
                raise result
            yield result
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _work(
    work: Callable[[Piece], Result], pieces: Sequence[Piece], sender: Connection, receivers: Sequence[Connection]
) -> None:
    """What a process does: its pieces, until nobody wants their results any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this one
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
