"""Ctrl-C between steps: while an optimizer updates, an interrupt waits, so that a model is never left half updated.

Python runs signal handlers between two byte codes of the main thread, thus also between the updates of two parameter groups. For as long
as a Shield is active its own handler notes an interrupt that comes between `begin` and `end` and hands it on at the end; at any
other time, and to a kernel that asks, it hands it on at once. Outside the main thread, where Python delivers no signals, a Shield does nothing.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

from fastnn.kernels._core import is_polling


class Shield:
    """`with Shield() as shield:` makes it active; within, `shield.begin()` … `shield.end()` enclose what must not be cut."""

    def __init__(self) -> None:
        self._previous: Any = None
        self._holding = False
        self._waiting: tuple[int, Any] | None = None

    def __enter__(self) -> Shield:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):  # neither ignored nor left to the system
                self._previous = previous
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: Any) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _handle(self, number: int, frame: Any) -> None:
        if self._holding and not is_polling():
            self._waiting = (number, frame)
        else:
            self._previous(number, frame)

    def begin(self) -> None:
        """Postpone interrupts from here on."""
        self._holding = True

    def end(self) -> None:
        """Let interrupts through again, and the one that came meanwhile."""
        self._holding = False
        if self._waiting is not None:
            (number, frame), self._waiting = self._waiting, None
            self._previous(number, frame)
