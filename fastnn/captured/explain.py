"""A profile of a plan that a person can read."""

from __future__ import annotations

import numpy as np

from fastnn.captured.assemble import Calls
from fastnn.kernels._core import get_num_threads
from fastnn.kernels._replay import Ready
from fastnn.nn.module import Array

_LONGEST = 44  # characters of a call's numbers


def readable(amount: float) -> str:
    """Bytes with a unit."""
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def profile(ready: Ready, arrays: list[Array], title: str, repeats: int = 15) -> str:
    """The table of a plan, with medians over some replays on made-up inputs; `arrays` that a replay changes are put back."""
    rng = np.random.default_rng(0)
    before = [array.copy() for array in arrays]
    inputs = tuple((rng.random(like.shape) if like.dtype.kind == "f" else np.zeros(like.shape)).astype(like.dtype) for like in ready.inputs)
    inputs += tuple(np.empty(like.shape, like.dtype) for like in ready.outputs)
    try:
        seconds = np.median([ready.timed(inputs) for _ in range(repeats)], axis=0)
    finally:
        for array, kept in zip(arrays, before):
            array[...] = kept
    return table(ready, list(seconds), title)


def table(ready: Ready, seconds: list[float], title: str) -> str:
    """One line for each call: whose it is, its kernel with sizes, the bytes of the arrays that it touches, its time and share."""
    calls: Calls = ready.calls
    total = sum(seconds) or 1.0
    rows = [("module", "phase", "kernel", "sizes", "threads", "bytes", "µs", "%")]
    for call, time in zip(calls, seconds, strict=True):
        touched = {id(region): region.size for argument, address in call.pointers() if (region := calls.memory.find(address)) is not None}
        numbers = " ".join(f"{name}={_number(value)}" for name, value in call.numbers().items() if not name.endswith(("_row", "_col", "_stride")))
        kernel = call.kernel.removesuffix("_forward")
        rows.append((
            str(call.label), call.label.phase, kernel, numbers if len(numbers) <= _LONGEST else numbers[: _LONGEST - 1] + "…", str(min(call.parts, get_num_threads())),
            readable(sum(touched.values())), f"{time * 1e6:.2f}", f"{100 * time / total:.1f}",
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) if i < 4 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))).rstrip() for row in rows]
    memory = f"{readable(calls.peak)} of memory of its own"
    if calls.total > calls.peak:
        memory += f" ({readable(calls.total)} without sharing)"
    summary = f"{title}: {len(calls)} calls, {sum(seconds) * 1e6:.1f} µs one by one, {memory}"
    return "\n".join([summary, "-" * len(lines[0]), lines[0], "-" * len(lines[0]), *lines[1:]])


def _number(value: object) -> str:
    if isinstance(value, tuple):
        return "×".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
