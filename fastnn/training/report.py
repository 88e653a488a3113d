"""What fit shows: a table with a line for each epoch, and a progress bar below it."""

from __future__ import annotations

import sys
import warnings
from typing import Any


class Report:
    """Prints a header once, then a line per epoch. `progress`: a tqdm bar on stderr; None shows it where stderr is a terminal.

    total: how many samples the whole run takes, None if unknown.
    """

    def __init__(self, verbose: bool, progress: bool | None, epochs: int, total: int | None) -> None:
        self.verbose, self.epochs = verbose, epochs
        self._columns: list[str] = []
        self._bar: Any = None
        self._warned = False
        self._terminal = terminal = sys.stderr is not None and sys.stderr.isatty()
        if progress if progress is not None else verbose and terminal:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, desc="training", unit=" samples", unit_scale=True, ncols=None if terminal else 80,
                mininterval=0.1 if terminal else 10.0, leave=not terminal, dynamic_ncols=terminal, file=sys.stderr,
            )  # fmt: skip

    def advance(self, samples: int) -> None:
        if self._bar is not None:
            self._bar.update(samples)

    def epoch(self, number: int, values: dict[str, float], seconds: float) -> None:
        """Print the line of an epoch, counted from 1."""
        if not self.verbose:
            return
        width = max(5, 2 * len(str(self.epochs)) + 1)
        if list(values) != self._columns:
            self._columns = list(values)
            names = "".join(f"  {label(name):>{column_width(name)}}" for name in values)
            self._print(f"{'epoch':>{width}}{names}  {'time':>8}")
        numbers = "".join(f"  {shown(name, value):>{column_width(name)}}" for name, value in values.items())
        self._print(f"{f'{number}/{self.epochs}':>{width}}{numbers}  {clock(seconds):>8}")

    def note(self, sentence: str) -> None:
        """Print a line."""
        if self.verbose:
            self._print(sentence)

    def warn(self, sentence: str) -> None:
        """Give a RuntimeWarning, once in a run."""
        if not self._warned:
            self._warned = True
            warnings.warn(sentence, RuntimeWarning, stacklevel=5)

    def _print(self, line: str) -> None:
        if self._bar is not None and self._terminal:  # above the bar
            self._bar.write(line, file=sys.stdout)
            sys.stdout.flush()
        else:
            print(line, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def label(name: str) -> str:
    """A metric's name for people: val_loss → val loss."""
    return name.replace("_", " ")


def column_width(name: str) -> int:
    return max(8, len(label(name)))


def shown(name: str, value: float) -> str:
    """A metric's value for people: percent for an accuracy, else four significant places."""
    if name.endswith("accuracy"):
        return f"{100 * value:.1f} %"
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def clock(seconds: float) -> str:
    """An epoch's time, with the same unit for similar epochs."""
    return f"{1e3 * seconds:.1f} ms" if seconds < 0.9995 else duration(seconds) if seconds >= 99.5 else f"{seconds:.2f} s"


def duration(seconds: float) -> str:
    """A time for people: 23 µs, 4.6 ms, 1.23 s, 2 min 3 s."""
    for unit, scale in (("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{seconds / scale:.3g} {unit}"
    if seconds < 99.5:
        return f"{seconds:.3g} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"
