"""From a recording to a plan that is ready to be replayed."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.captured.calls import Call
from fastnn.captured.constants import hoist_constants, look_up_products
from fastnn.captured.memory import Memory, Region, arrange, block, extent
from fastnn.captured.passes import Once, drop_unused, fold_batch_norms, fuse_activations, mask_before_max_pools, pack_weights
from fastnn.captured.recording import Recording
from fastnn.kernels._core import Plan, Scratch
from fastnn.kernels._replay import Ready
from fastnn.nn.module import Array


class Calls(list[Call]):
    """A plan's calls with their memory, for `explain`. peak, total: bytes of the plan's own memory, shared and if nothing were shared."""

    memory: Memory
    peak: int
    total: int


def template(array: Array) -> Array:
    """An array of the same shape and dtype that takes no memory."""
    return np.broadcast_to(np.empty((), array.dtype), array.shape)


def assemble(
    recording: Recording, commit: Call | None = None, outputs: tuple[Array, ...] = (), value: Array | None = None, output: Array | None = None,
    preserve: tuple[Region, ...] = (), fold: bool = False, pack: bool = False,
) -> Ready:  # fmt: skip
    """A plan of the recorded calls, with all its own memory in one block.

    commit: the first call that must run to its end with all after it. outputs: what a call returns in new arrays; each fills a fresh region.
    value, output: what is to be found in the plan's memory after a replay. preserve: what an unfinished replay puts back. fold: batch
    normalisations into the products before them; pack: weights in the products' order. `Ready.once` does both whenever parameters have changed.
    """
    memory, once = recording.memory, Once()
    returned = [memory.find(array.ctypes.data) for array in outputs]
    results = [memory.find(array.ctypes.data) for array in (value, output) if array is not None]
    lasting = [region for region in results if region is not None and region.fresh]
    wanted = [region for region in [*lasting, *returned] if region is not None]
    needed = drop_unused(recording.calls, memory, wanted)
    if fold:
        needed = fold_batch_norms(needed, memory, once)
    if pack:
        needed = drop_unused(look_up_products(needed, memory, once), memory, wanted)
        needed = hoist_constants(needed, memory, once, wanted)
        needed = pack_weights(needed, memory, once)
    calls = Calls(mask_before_max_pools(fuse_activations(needed, memory, wanted), memory, wanted))
    for i, region in enumerate(returned):
        assert region is not None
        region.input = len(recording.inputs) + i
        region.fresh = False
    offsets, calls.peak, calls.total = arrange(calls, memory, lasting)
    arena = block(calls.peak)
    base = arena.ctypes.data

    recorded = []
    for call in calls:
        bindings = []
        for argument, address in call.pointers():
            region = memory.find(address)
            if region is None or argument.table:
                continue
            if region.input is not None:
                bindings.append((argument.offset, region.input, address - region.start))
            elif region.fresh:
                call[argument.name] = base + offsets[region] + address - region.start
        recorded.append((call.address, bytes(call.args), call.parts, call.stop, bindings))

    def moved(array: Array | None) -> Any:
        region = None if array is None else memory.find(array.ctypes.data)
        if array is None or region is None or not region.fresh:
            return array
        return np.ndarray(array.shape, array.dtype, arena.data, offsets[region] + array.ctypes.data - region.start, array.strides)

    calls.memory = Memory()
    for region in memory:
        if region.fresh and region in offsets:
            calls.memory.add(base + offsets[region], region.size)
        elif not region.fresh:
            calls.memory.add(region.start, region.size)
    owners = (arena, _kept(recording), once.arrays)
    plan = Plan(recorded, len(calls) if commit is None else calls.index(commit), [(r.start, r.size) for r in preserve], owners)
    prepare = Plan([(call.address, bytes(call.args), call.parts, 0, []) for call in once.calls], len(once.calls), [], owners) if once.calls else None
    return Ready(plan, prepare, tuple(map(template, recording.inputs)), tuple(map(template, outputs)), moved(value), moved(output), calls)


def _kept(recording: Recording) -> list[Any]:
    """What the calls point into besides the block and the inputs."""
    def replaced(owner: Any) -> bool:
        region = recording.memory.find(extent(owner)[0]) if isinstance(owner, np.ndarray) else None
        return region is not None and (region.fresh or region.input is not None)

    return [owner for owner in recording.record.owners if not replaced(owner) and not isinstance(owner, Scratch)]
