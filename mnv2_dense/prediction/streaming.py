"""Work on many things by several threads: in order, in bounded memory, ended at any moment."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

JOINED_SECONDS = 1.0
"""For which what brings the items is waited for in the end."""

Given = TypeVar("Given")
Made = TypeVar("Made")


def in_order(
    work: Callable[[Given], Made], items: Iterable[Given], threads: int
) -> Generator[Made, None, None]:
    """What `work` makes of every item, in their order, while more of them are in work.

    The items come from one more thread. At most two items per thread are in work or wait to be
    taken, so that neither a fast source nor a slow taker fills the memory. All threads end when
    the generator does: at its end, at an error, or when it is closed or no longer used; the one
    that brings the items perhaps only when it has the next.

    Args:
        work: Is called by several threads at once.
        items: Is iterated by one thread that is not the caller's, and closed there if it is left
            early.
        threads: Of the work.

    Raises:
        Exception: What the items or the work raised, in the place of its result.
    """
    stop, room = threading.Event(), threading.Semaphore(2 * threads)
    results: queue.SimpleQueue[Future[Made] | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(threads, "predict") as pool:
        feeder = threading.Thread(
            target=_feed, args=(pool, work, iter(items), room, results, stop), daemon=True
        )
        feeder.start()
        try:
            while (result := results.get()) is not None:
                yield result.result()
                room.release()
        finally:
            stop.set()
            room.release()  # The feeder may wait for it.
            feeder.join(JOINED_SECONDS)  # Or for a camera: then it ends with its next picture.
            pool.shutdown(cancel_futures=True)


def _feed(
    pool: ThreadPoolExecutor,
    work: Callable[[Given], Made],
    items: Iterator[Given],
    room: threading.Semaphore,
    results: "queue.SimpleQueue[Future[Made] | None]",
    stop: threading.Event,
) -> None:
    try:
        while room.acquire() and not stop.is_set():
            results.put(pool.submit(work, next(items)))
    except StopIteration:
        pass
    except BaseException as error:  # The caller's thread raises it.
        failed: Future[Made] = Future()
        failed.set_exception(error)
        results.put(failed)
    finally:
        if isinstance(items, Generator):
            items.close()
        results.put(None)


def in_groups(items: Iterable[Given], size: int) -> Generator[list[Given], None, None]:
    """The items in lists of `size`, the last one perhaps of fewer."""
    rest = iter(items)
    while group := list(islice(rest, size)):
        yield group
