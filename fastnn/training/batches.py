"""What fit, evaluate and predict share: batches from whatever a user passes as data, and modes that are put back."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from fastnn.data import DataLoader

# A DataLoader, a tuple of arrays (x, y), or any iterable of batches that can be iterated again for every epoch.
Data = DataLoader | tuple[Any, ...] | Iterable[tuple[Any, ...]]


def as_batches(data: Data, name: str, batch_size: int, shuffle: bool = False, rng: Any = None) -> Iterable[tuple[Any, ...]]:
    """`data` as an iterable of batches (inputs …, target); a tuple of arrays gets a DataLoader. Raises ValueError if it is empty."""
    if isinstance(data, np.ndarray):
        raise TypeError(f"{name} must be a tuple of arrays (x, y), a DataLoader or an iterable of batches, got one array")
    if isinstance(data, tuple):
        data = DataLoader(*data, batch_size=batch_size, shuffle=shuffle, rng=rng)
    elif not isinstance(data, Iterable):
        raise TypeError(f"{name} must be a tuple of arrays (x, y), a DataLoader or an iterable of batches, got {type(data).__name__}")
    if isinstance(data, DataLoader):
        if len(data.arrays) < 2:
            raise ValueError(f"{name} must hold inputs and targets, (x, y), but has one array only")
        if not len(data):
            raise ValueError(f"{name} is empty: {data.rows} rows make no batch")
    elif isinstance(data, Iterator):
        raise TypeError(f"{name} is an iterator, which can be gone through once only; pass a list of batches or a DataLoader")
    return data


def parts(batch: Any, name: str) -> tuple[tuple[Any, ...], Any]:
    """A batch's inputs and its target."""
    if not isinstance(batch, (tuple, list)) or len(batch) < 2:
        raise TypeError(f"a batch of {name} must be a tuple (inputs …, target), got {type(batch).__name__}")
    return tuple(batch[:-1]), batch[-1]


def rows_of(target: Any) -> int:
    """How many rows a batch has, for weighting its loss and metrics."""
    return len(target) if np.ndim(target) else 1


def positive(value: Any, name: str, least: int = 1) -> int:
    """`value` as an integer of at least `least`, or an error."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number
