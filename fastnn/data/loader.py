"""Mini-batches of arrays, in order or shuffled.

The order of an epoch is a function of (seed, epoch, number of rows) alone: the rows are sorted by the raw 64-bit outputs of a Philox counter
keyed with (seed, epoch). It is therefore known before the epoch begins, can be computed for any epoch, and a run that is resumed from
a saved (seed, epoch, position) sees the batches that an uninterrupted run sees. What a transform draws for a batch comes from the same key and the
batch's number, so that it does not depend on the other batches, on the thread, or on where the run was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..random import default_rng
from .epochs import Epochs, _integer
from .prefetch import prefetched

__all__ = ["DataLoader", "split"]

Rows = NDArray[np.intp] | slice


def _as_columns(arrays: Sequence[ArrayLike]) -> tuple[NDArray[Any], ...]:
    """Return the arrays as ndarrays (memory-mapped ones stay so) after checking that they have equally many rows."""
    if not arrays:
        raise ValueError("At least one array is needed, but none was given.")
    columns = tuple(np.asarray(array) for array in arrays)
    for i, column in enumerate(columns):
        if column.ndim == 0:
            raise ValueError(f"Every array needs a first dimension of rows, but array {i} is a single value.")
        if len(column) != len(columns[0]):
            raise ValueError("All arrays must have equally many rows, but "
                             f"array 0 has shape {columns[0].shape} and array {i} has shape {column.shape}.")
    return columns


def _take(column: NDArray[Any], rows: Rows) -> NDArray[Any]:
    """Return a view for a slice, else a copy of the rows. `take` is the faster, but would first copy all of an array that is not plain."""
    if isinstance(rows, slice) or not column.flags.carray:
        batch: NDArray[Any] = column[rows]
        return batch
    return column.take(rows, axis=0)


class DataLoader(Epochs):
    """Iterate over tuples of batches, one for each array; every `for` loop is one epoch.

    arrays: one or more arrays (n, ...) with equally many rows. batch_size: rows in a batch; the last one may be smaller, or is left
    out with `drop_last`. shuffle: another order in every epoch, which `seed` determines (an int below 2⁶⁴; if None, one is drawn from
    `rng`: None for fastnn's default, an int or a Generator). Without shuffle the batches are views of the arrays.

    transform: a function (x, rng) that returns what takes the place of the first array's batch x (see fastnn.data.Compose); rng is a Generator
    that `seed`, the epoch and the batch's number determine. prefetch: how many batches a thread makes ahead of the loop, 0 for none; they are the same.

    `state_dict()` may be taken at any time, also within a loop; a loader that has loaded it goes on with the next batch.
    """

    _fixed = ("rows", "batch_size", "shuffle", "drop_last")

    def __init__(self, *arrays: ArrayLike, batch_size: int = 32, shuffle: bool = False, drop_last: bool = False, seed: int | None = None,
                 rng: None | int | np.random.Generator = None, transform: Callable[[Any, Any], Any] | None = None, prefetch: int = 0) -> None:
        self.arrays = _as_columns(arrays)
        self.rows = len(self.arrays[0])
        self.batch_size = _integer("batch_size", batch_size, 1)
        self.shuffle, self.drop_last = bool(shuffle), bool(drop_last)
        if seed is not None and rng is not None:
            raise ValueError("seed and rng both determine the order; give one of them.")
        if transform is not None and not callable(transform):
            raise TypeError(f"transform must be called with (x, rng), but is a {type(transform).__name__}.")
        self.transform, self.prefetch = transform, _integer("prefetch", prefetch, 0)
        if seed is None:
            seed = int(default_rng(rng).integers(2**63)) if shuffle or transform is not None else 0
        self._begin(seed)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(self.rows, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def order(self, epoch: int | None = None) -> NDArray[np.intp]:
        """Return the rows in the order in which `epoch` (by default the one that the next loop runs) gives them out.

        Batch i of the epoch is ``order()[i * batch_size:(i + 1) * batch_size]``; with drop_last the rows left out are not in it.
        """
        epoch = self._coming_epoch() if epoch is None else _integer("epoch", epoch, 0)
        if self.shuffle:
            key = np.array([self.seed, epoch], np.uint64)
            rows = np.argsort(np.random.Philox(key=key).random_raw(self.rows), kind="stable")
        else:
            rows = np.arange(self.rows)
        return rows[:len(self) * self.batch_size]

    def _rows(self, order: NDArray[np.intp] | None, i: int) -> Rows:
        rows = slice(i * self.batch_size, min((i + 1) * self.batch_size, self.rows))
        return rows if order is None else order[rows]

    def _made(self, epoch: int, order: NDArray[np.intp] | None, i: int) -> tuple[Any, ...]:
        """Make batch i of an epoch: a function of its arguments, and safe to call in a thread."""
        batch = self.take(self._rows(order, i))
        if self.transform is None:
            return batch
        # the order's numbers come from the counter (n, 0, 0, 0)
        own = np.random.Philox(key=np.array([self.seed, epoch], np.uint64), counter=np.array([0, i + 1, 0, 0], np.uint64))
        return self.transform(batch[0], np.random.Generator(own)), *batch[1:]

    def indices(self) -> Iterator[Rows]:
        """Run one epoch as `iter()` does, but give the rows of each batch (a slice when not shuffled) instead of the batch."""
        return self._epoch(lambda epoch, numbers: map(partial(self._rows, self._shuffled(epoch)), numbers))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._epoch(self._batches)

    def _batches(self, epoch: int, numbers: range) -> Iterator[tuple[Any, ...]]:
        make = partial(self._made, epoch, self._shuffled(epoch))
        return prefetched(make, numbers, self.prefetch) if self.prefetch else map(make, numbers)

    def _shuffled(self, epoch: int) -> NDArray[np.intp] | None:
        return self.order(epoch) if self.shuffle else None

    def take(self, rows: Rows) -> tuple[NDArray[Any], ...]:
        """Return these rows of every array: views for a slice, else copies."""
        return tuple(_take(column, rows) for column in self.arrays)


def split(arrays: Sequence[ArrayLike], fraction: float, rng: None | int | np.random.Generator = None
          ) -> tuple[tuple[NDArray[Any], ...], tuple[NDArray[Any], ...]]:
    """Return ``first, second``: the arrays' rows parted at random, `fraction` of them (rounded) in the second part.

    Both parts are tuples of copies, one for each array, whose rows still belong together:
    ``(x, y), (x_val, y_val) = split((x, y), 0.1, rng=0)``.
    """
    if isinstance(arrays, np.ndarray):
        raise TypeError("arrays must be a tuple or list of arrays, but is one array; write split((x,), fraction).")
    columns = _as_columns(arrays)
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be between 0 and 1, but is {fraction}.")
    rows = len(columns[0])
    order = default_rng(rng).permutation(rows)
    first = rows - round(rows * fraction)
    return tuple(_take(c, order[:first]) for c in columns), tuple(_take(c, order[first:]) for c in columns)
