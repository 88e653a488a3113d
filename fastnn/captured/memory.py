"""Where the arguments of recorded calls point to, and one block of memory for all that a plan needs for itself."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastnn.captured.calls import Call
from fastnn.nn.module import Array

ALIGNMENT = 64  # bytes: a cache line, and the widest vector


@dataclass(eq=False)
class Region:
    """A block of memory. input: the number of the input that it is, or None. fresh: it belongs to the recorded launches alone."""

    start: int
    size: int
    input: int | None = None
    fresh: bool = False


def extent(array: Array) -> tuple[int, int]:
    """The address and the bytes of the allocation that an array is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    reaches = [(n - 1) * stride for n, stride in zip(array.shape, array.strides)] if array.size else []
    low, high = sum(min(reach, 0) for reach in reaches), sum(max(reach, 0) for reach in reaches) + array.itemsize
    return array.ctypes.data + low, high - low


class Memory:
    """Finds the region that an address is in."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._regions: list[Region] = []

    def add(self, start: int, size: int, input: int | None = None, fresh: bool = False) -> Region:
        """A region, which is the old one where there is one that holds `start`."""
        known = self.find(start)
        if known is not None:
            return known
        region = Region(start, max(size, 1), input, fresh)
        i = bisect_right(self._starts, start)
        self._starts.insert(i, start)
        self._regions.insert(i, region)
        return region

    def add_array(self, array: Array, input: int | None = None) -> Region:
        return self.add(*extent(array), input)

    def find(self, address: int) -> Region | None:
        i = bisect_right(self._starts, address) - 1
        if i < 0 or address >= self._starts[i] + self._regions[i].size:
            return None
        return self._regions[i]

    def __iter__(self) -> Any:
        return iter(self._regions)


def arrange(calls: list[Call], memory: Memory, lasting: Iterable[Region]) -> tuple[dict[Region, int], int, int]:
    """Offsets within one block for the fresh regions that calls use, the block's bytes, and the bytes that they would take side by side.

    Regions that are not in use at the same time share space: each is placed, the largest first, at the lowest offset that is free from its first
    call to its last. Those of `lasting` are in use up to the end.
    """
    lives: dict[Region, list[int]] = {}
    for i, call in enumerate(calls):
        for _, address in call.pointers():
            region = memory.find(address)
            if region is not None and region.fresh:
                lives.setdefault(region, [i, i])[1] = i
    for region in lasting:
        lives.setdefault(region, [0, 0])[1] = len(calls)
    placed: list[tuple[int, int, list[int]]] = []  # (offset, end, life)
    offsets: dict[Region, int] = {}
    peak = total = 0
    for region in sorted(lives, key=lambda region: -region.size):
        life, size = lives[region], -(-region.size // ALIGNMENT) * ALIGNMENT
        at = 0
        for offset, end, other in sorted(placed, key=lambda place: place[0]):
            if other[0] <= life[1] and life[0] <= other[1]:
                if offset >= at + size:
                    break
                at = max(at, end)
        offsets[region] = at
        placed.append((at, at + size, life))
        peak, total = max(peak, at + size), total + size
    return offsets, peak, total


def block(size: int) -> Array:
    """`size` bytes that start at a multiple of ALIGNMENT."""
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size]
