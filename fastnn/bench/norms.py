"""Normalisation and dropout, forward and backward, against the NumPy reference and against PyTorch."""

# PyTorch's own interface is typed too loosely to be checked here.
# mypy: disable-error-code="import-not-found,no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastnn import kernels, reference
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import random_array

ROWS = ((32, 64), (256, 512), (4096, 1024))
IMAGES = ((64, 32, 32, 32), (64, 64, 16, 16), (64, 64, 8, 8), (64, 512, 4, 4), (64, 256, 7, 7), (64, 256, 1, 1))
GROUPS = 8
LRN = (5, 1e-4, 0.75)
# name of the family: its shapes
FAMILIES: dict[str, tuple[tuple[int, ...], ...]] = {
    "layer_norm": ROWS, "rms_norm": ROWS, "batch_norm": ROWS + IMAGES, "group_norm": IMAGES, "instance_norm": IMAGES[:4],
    "local_response_norm": IMAGES[:3], "dropout": ROWS,
}  # fmt: skip
TARGETS = {"torch": 1.3}


def arguments(family: str, x: Any, w: Any, b: Any) -> tuple[Any, ...]:
    """Those of the forward."""
    return {
        "layer_norm": (x, x.shape[-1], w, b), "rms_norm": (x, x.shape[-1], w), "batch_norm": (x, None, None, w, b, True), "group_norm": (x, GROUPS, w, b),
        "instance_norm": (x, None, None, w, b), "local_response_norm": (x, *LRN), "dropout": (x, 0.5, 1, 2),
    }[family]  # fmt: skip


def inputs_of(name: str, shape: tuple[int, ...], dtype: str) -> tuple[Any, ...]:
    """The arguments of the kernel and of the reference; a backward gets what the forward saved."""
    x, dy = random_array(*shape, dtype=dtype), random_array(*shape, dtype=dtype, seed=1)
    w, b = random_array(shape[1], dtype=dtype, seed=2), random_array(shape[1], dtype=dtype, seed=3)
    family = name.removesuffix("_backward")
    forward = arguments(family, x, w, b)
    if name == family:
        return forward
    saved = getattr(kernels, family)(*forward)[1:]
    return (dy, x, *saved, *(LRN if family == "local_response_norm" else (w,)))


def torch_call(name: str, shape: tuple[int, ...], dtype: str) -> Callable[[], Any] | None:
    """The same in PyTorch, as autograd would call it; None where that has no function of its own."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    family, backward = name.removesuffix("_backward"), name.endswith("_backward")
    x, dy = (torch.from_numpy(random_array(*shape, dtype=dtype, seed=seed)) for seed in (0, 1))
    w, b = (torch.from_numpy(random_array(shape[1], dtype=dtype, seed=seed)) for seed in (2, 3))
    ops = torch.ops.aten
    if family == "batch_norm":
        saved = ops.native_batch_norm(x, w, b, None, None, True, 0.1, 1e-5)[1:]
        if backward:
            return lambda: ops.native_batch_norm_backward(dy, x, w, None, None, *saved, True, 1e-5, [True] * 3)
        return lambda: ops.native_batch_norm(x, w, b, None, None, True, 0.1, 1e-5)
    if family == "group_norm":
        sizes = shape[0], shape[1], prod(shape[2:]), GROUPS
        saved = ops.native_group_norm(x, w, b, *sizes, 1e-5)[1:]
        if backward:
            return lambda: ops.native_group_norm_backward(dy, x, *saved, w, *sizes, [True] * 3)
        return lambda: ops.native_group_norm(x, w, b, *sizes, 1e-5)
    if family == "layer_norm":
        saved = ops.native_layer_norm(x, shape[1:], w, b, 1e-5)[1:]
        if backward:
            return lambda: ops.native_layer_norm_backward(dy, x, shape[1:], *saved, w, b, [True] * 3)
        return lambda: ops.native_layer_norm(x, shape[1:], w, b, 1e-5)
    functional = torch.nn.functional
    forward = {
        "instance_norm": lambda x: functional.instance_norm(x, None, None, w, b), "local_response_norm": lambda x: functional.local_response_norm(x, *LRN),
    }.get(family)  # fmt: skip
    if forward is None or not backward:
        return forward and partial(forward, x)
    x.requires_grad_(True)
    parameters = [x] if family == "local_response_norm" else [x, w.requires_grad_(True), b.requires_grad_(True)]
    y = forward(x)
    return lambda: torch.autograd.grad(y, parameters, dy, retain_graph=True)


def prepare(name: str, shape: tuple[int, ...], dtype: str, peers: tuple[str, ...]) -> Work:
    ours, theirs, inputs = getattr(kernels, name), getattr(reference, name), inputs_of(name, shape, dtype)
    sides: dict[str, Callable[[], Any]] = {"numpy": lambda: theirs(*inputs)}
    torch = torch_call(name, shape, dtype) if "torch" in peers else None
    if torch:
        sides["torch"] = torch

    def check() -> None:
        for actual, expected in zip(outputs(ours(*inputs)), outputs(theirs(*inputs)), strict=True):
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(actual, expected, rtol=0, atol=200 * float(np.finfo(dtype).eps) * scale, err_msg=name)
        if torch:
            y, expected = outputs(torch())[0].detach().numpy(), outputs(ours(*inputs))[0]
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(y, expected, rtol=0, atol=200 * float(np.finfo(dtype).eps) * scale, err_msg=f"{name} of PyTorch")

    return Work(lambda: ours(*inputs), sides, check)


def outputs(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def norm_cases() -> Iterator[Case]:
    for family, shapes in FAMILIES.items():
        for name in (family,) if family == "dropout" else (family, f"{family}_backward"):
            for dtype in ("float32", "float64"):
                for shape in shapes:
                    size = prod(shape)
                    images = ", images" if len(shape) == 4 else ""
                    targets = TARGETS if family == "batch_norm" and images and dtype == "float32" else {}
                    yield Case(
                        "norm", f"{name}{images} {dtype}", name, "×".join(map(str, shape)), dtype, partial(prepare, name, shape, dtype),
                        targets=targets, small=size <= 1 << 18, quick=bool(targets) or (dtype == "float32" and size <= 1 << 18),
                    )  # fmt: skip
