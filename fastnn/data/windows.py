"""Series in time: sliding windows with what comes after them, and the parting of a series in past and future."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from .epochs import _integer

__all__ = ["SlidingWindows", "train_test_split_in_time"]

Array = NDArray[Any]


class SlidingWindows:
    """Windows of a series, each with the steps that come after it: ``series[i:i + length], series[i + length:i + length + horizon]``.

    series: (T,) or (T, features) numbers, also memory-mapped. length, horizon: steps in a window and after it. stride: from one window's beginning to
    the next one's. target: which feature is to be forecast, or a slice of some; None: all.

    `windows[i]` is the pair of number i, for an int or a slice; `len(windows)` how many there are. All of them are the read-only views x, (n, length) or (n,
    length, features), and y, (n, horizon) or (n, horizon, targets), which take no memory of their own:

        for x, y in DataLoader(windows.x, windows.y, batch_size=32, shuffle=True): …

    Raises ValueError for a series that is too short for one window.
    """

    def __init__(self, series: ArrayLike, length: int, horizon: int = 1, stride: int = 1, target: int | slice | None = None) -> None:
        self.series = _as_series(series)
        self.length, self.horizon = _integer("length", length, 1), _integer("horizon", horizon, 1)
        self.stride = _integer("stride", stride, 1)
        steps = len(self.series)
        if self.length + self.horizon > steps:
            raise ValueError(f"series must have at least {self.length + self.horizon} steps for windows of {self.length} and {self.horizon} "
                             f"after them, but has shape {self.series.shape}.")
        self.x = _windows(self.series[: steps - self.horizon], self.length)[:: self.stride]
        self.y = _windows(self._targets(target)[self.length :], self.horizon)[:: self.stride]

    def _targets(self, target: int | slice | None) -> Array:
        if target is None:
            return self.series
        if self.series.ndim != 2:
            raise ValueError(f"target must be None for a series of shape {self.series.shape}, which has no features, but is {target!r}.")
        if isinstance(target, slice):
            return self.series[:, target]
        features = self.series.shape[1]
        chosen: Array = self.series[:, _integer("target", target, -features, features - 1)]
        return chosen

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int | slice) -> tuple[Array, Array]:
        return self.x[i], self.y[i]

    def arrays(self) -> tuple[Array, Array]:
        """Return x and y as arrays of their own, with each step as often as it is in windows: what `fit` goes through fastest."""
        return np.array(self.x, order="C"), np.array(self.y, order="C")


def train_test_split_in_time(series: ArrayLike, fraction: float, context: int = 0) -> tuple[Array, Array]:
    """Return ``past, future``: views of a series (T, ...), with the last `fraction` of its steps (rounded) in the second.

    context: that many of the last steps of the past are in front of the future too, so that with windows of this length the future's first step is
    the first one to be forecast.
    """
    array = np.asarray(series)
    if array.ndim == 0:
        raise ValueError("series must have a first dimension of steps, but is a single value.")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be between 0 and 1, but is {fraction}.")
    past = len(array) - round(len(array) * fraction)
    return array[:past], array[past - _integer("context", context, 0, past) :]


def _as_series(series: ArrayLike) -> Array:
    array = np.asarray(series)
    if array.ndim not in (1, 2):
        raise ValueError(f"series must have shape (T,) or (T, features), but has {array.shape}.")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"series must be numbers, but has dtype {array.dtype}.")
    return array


def _windows(series: Array, length: int) -> Array:
    """All windows of a series, (n, length, ...)."""
    return np.moveaxis(sliding_window_view(series, length, axis=0), -1, 1)
