"""Batches of a long text for language models, cut so that each goes on where the one before it ended."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..random import default_rng
from .epochs import Epochs, _integer

__all__ = ["StreamBatches"]

Batch = tuple[NDArray[Any], NDArray[Any]]


class StreamBatches(Epochs):
    """Iterate over batches (x, y) of a text; every `for` loop is one epoch.

    The text is cut into `batch_size` streams of equal length that run side by side. x has the next `steps` integers of each, y those one position
    on: what is to be predicted. So row b of a batch goes on where row b of the batch before it ended, and a recurrent network's last state after
    one batch belongs in front of the next. At the beginning of an epoch there is no such state.

    ids: (n,) integers, such as a vocabulary's `encode` gives, or a memory-mapped array of them, of which no more is read than the batch at hand.
    batch_first: x and y are (batch_size, steps), else (steps, batch_size); both are views of ids. drop_last: leave out the last batch of an epoch if it
    has fewer steps. random_offset: leave out some of the first `steps` - 1 integers, another number in each epoch, so that epochs cut the text
    differently; `seed` determines it (an int below 2⁶⁴; if None, one is drawn from `rng`: None for fastnn's default, an int or a Generator).

    `state_dict()` may be taken at any time, also within a loop; batches that have loaded it go on with the next one. Raises ValueError for a text
    that is too short for one batch.
    """

    _fixed = ("total", "batch_size", "steps", "drop_last", "random_offset")

    def __init__(self, ids: ArrayLike, batch_size: int, steps: int, *, batch_first: bool = True, drop_last: bool = True, random_offset: bool = False,
                 seed: int | None = None, rng: None | int | np.random.Generator = None) -> None:
        self.ids = np.asarray(ids)
        if self.ids.ndim != 1 or self.ids.size and self.ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be a one-dimensional array of integers, but has dtype {self.ids.dtype} and shape {self.ids.shape}.")
        self.total = len(self.ids)
        self.batch_size, self.steps = _integer("batch_size", batch_size, 1), _integer("steps", steps, 1)
        self.batch_first, self.drop_last, self.random_offset = bool(batch_first), bool(drop_last), bool(random_offset)
        spare = self.steps if random_offset else 1  # integers that are in no x: those before the first one, and the last one
        self.length = (self.total - spare) // self.batch_size  # of a stream
        needed = self.batch_size * (self.steps if drop_last else 1) + spare
        if self.total < needed:
            raise ValueError(f"ids must have at least {needed} integers for batches of {self.batch_size} streams and {self.steps} steps, "
                             f"but has {self.total}.")
        if seed is not None and rng is not None:
            raise ValueError("seed and rng both determine the offsets; give one of them.")
        if seed is None:
            seed = int(default_rng(rng).integers(2**63)) if random_offset else 0
        self._begin(seed)

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(self.length, self.steps)
        return full + (rest > 0 and not self.drop_last)

    def start(self, epoch: int | None = None) -> int:
        """Return where in ids the first stream begins in `epoch`, by default the one that the next loop runs; a function of (seed, epoch, steps)."""
        epoch = self._coming_epoch() if epoch is None else _integer("epoch", epoch, 0)
        if not self.random_offset:
            return 0
        return int(np.random.Philox(key=np.array([self.seed, epoch], np.uint64)).random_raw() % self.steps)

    def __iter__(self) -> Iterator[Batch]:
        return self._epoch(lambda epoch, numbers: map(partial(self._batch, self.start(epoch)), numbers))

    def _batch(self, start: int, i: int) -> Batch:
        steps = slice(i * self.steps, min((i + 1) * self.steps, self.length))
        x, y = (self.ids[first : first + self.batch_size * self.length].reshape(self.batch_size, -1)[:, steps] for first in (start, start + 1))
        return (x, y) if self.batch_first else (x.T, y.T)
