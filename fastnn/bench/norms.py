"""Normalisation and dropout, forward and backward, against the NumPy reference."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from fastnn import kernels, reference
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import random_array

SHAPES = ((32, 64), (256, 512), (4096, 1024))
NAMES = ("layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward", "batch_norm", "batch_norm_backward", "dropout")


def inputs_of(name: str, shape: tuple[int, int], dtype: str) -> tuple[Any, ...]:
    """The arguments of the kernel and of the reference; a backward gets what the forward saved."""
    x, dy = random_array(*shape, dtype=dtype), random_array(*shape, dtype=dtype, seed=1)
    w, b = random_array(shape[1], dtype=dtype, seed=2), random_array(shape[1], dtype=dtype, seed=3)
    family = name.removesuffix("_backward")
    if family == "dropout":
        return x, 0.5, 1, 2
    forward: tuple[Any, ...] = {"layer_norm": (x, shape[1], w, b), "rms_norm": (x, shape[1], w), "batch_norm": (x, None, None, w, b, True)}[family]
    if name == family:
        return forward
    saved = kernels.batch_norm(x, None, None) if family == "batch_norm" else getattr(kernels, family)(x, shape[1])
    return (dy, x, *saved[1:], w)


def prepare(name: str, shape: tuple[int, int], dtype: str, _: tuple[str, ...]) -> Work:
    ours, theirs, inputs = getattr(kernels, name), getattr(reference, name), inputs_of(name, shape, dtype)

    def check() -> None:
        for actual, expected in zip(outputs(ours(*inputs)), outputs(theirs(*inputs)), strict=True):
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(actual, expected, rtol=0, atol=200 * float(np.finfo(dtype).eps) * scale, err_msg=name)

    return Work(lambda: ours(*inputs), {"numpy": lambda: theirs(*inputs)}, check)


def outputs(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def norm_cases() -> Iterator[Case]:
    for name in NAMES:
        for dtype in ("float32", "float64"):
            for shape in SHAPES:
                size = shape[0] * shape[1]
                yield Case(
                    "norm", f"{name} {dtype}", name, "×".join(map(str, shape)), dtype, partial(prepare, name, shape, dtype), small=size <= 1 << 18,
                    quick=dtype == "float32" and size <= 1 << 18,
                )  # fmt: skip
