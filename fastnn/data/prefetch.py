"""Batches that a thread makes while the loop works on those before them."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")


def prefetched(make: Callable[[int], T], numbers: range, ahead: int) -> Iterator[T]:
    """Give ``make(i)`` for the numbers in turn; a thread makes up to `ahead` of them before they are asked for.

    What `make` raises is raised here, in its turn. The thread ends with the last number, and when the iterator is closed: by the end of a loop, however it
    ends, or by the garbage collector. A forked child, into which no thread comes along, starts one of its own with the next number.
    """
    worker = None
    try:
        for number in numbers:
            if worker is None or worker.process != os.getpid():
                worker = _Worker(make, range(number, numbers.stop), ahead)
            yield worker.take()
    finally:
        if worker is not None:
            worker.stop()


class _Worker:
    """The thread, and the two queues between it and the loop: of what it has made, and of places for more.

    Its methods may be called by the garbage collector, at any point of any thread: SimpleQueue's `put` allows that.
    """

    def __init__(self, make: Callable[[int], Any], numbers: range, ahead: int) -> None:
        self.process = os.getpid()
        self._made: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(ahead):
            self._places.put(None)
        self._wanted = True
        # a daemon, since Python waits for the others before it calls _stop_all
        self.thread = threading.Thread(target=self._work, args=(make, numbers), name="fastnn.data.prefetch", daemon=True)
        self.thread.start()
        _workers.add(self)

    def _work(self, make: Callable[[int], Any], numbers: range) -> None:
        for number in numbers:
            self._places.get()
            if not self._wanted:
                return
            try:
                self._made.put((make(number), None))
            except BaseException as error:
                self._made.put((None, error))
                return

    def take(self) -> Any:
        """The next of what was made, waiting for it; makes place for another one."""
        while True:
            try:
                made, error = self._made.get(timeout=0.1)  # not all systems let Ctrl-C end a longer wait
                break
            except Empty:
                pass
        if error is not None:
            try:
                raise error
            finally:
                del error  # which would hold itself by its traceback
        self._places.put(None)
        return made

    def stop(self) -> None:
        """Have the thread end after what it is making."""
        self._wanted = False
        if self.process == os.getpid():
            self._places.put(None)


_workers: weakref.WeakSet[_Worker] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    """Before the interpreter goes, wait for the threads, which could otherwise be within NumPy then."""
    for worker in list(_workers):
        worker.stop()
        if worker.process == os.getpid():
            worker.thread.join()
