"""Pooling layers, forward in evaluation and in training and backward, against PyTorch's and the NumPy reference."""

# PyTorch's own interface is typed too loosely to be checked here.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastnn import nn, reference
from fastnn.bench.harness import Call, Case, Work
from fastnn.bench.machine import random_array

# name: the layer's class and its arguments; the reference and its arguments
LAYERS: dict[str, tuple[str, tuple[Any, ...], str, tuple[Any, ...]]] = {
    "MaxPool2d 2": ("MaxPool2d", (2,), "max_pool", (2,)),
    "MaxPool2d 3, stride 2": ("MaxPool2d", (3, 2, 1), "max_pool", (3, 2, 1)),
    "AvgPool2d 2": ("AvgPool2d", (2,), "avg_pool", (2,)),
    "AvgPool2d 3, stride 2": ("AvgPool2d", (3, 2, 1), "avg_pool", (3, 2, 1)),
    "AdaptiveAvgPool2d 1": ("AdaptiveAvgPool2d", (1,), "adaptive_avg_pool", (1,)),
    "AdaptiveMaxPool2d 1": ("AdaptiveMaxPool2d", (1,), "adaptive_max_pool", (1,)),
}
SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "2": ((64, 6, 28, 28), (64, 16, 10, 10), (64, 32, 32, 32)),
    "3, stride 2": ((64, 64, 56, 56),),
    "1": ((64, 64, 8, 8), (64, 512, 7, 7)),
}
WAYS = ("evaluation", "training", "backward")
TARGET = 1.3


def torch_call(kind: str, options: tuple[Any, ...], way: str, x: Any, dy: Any) -> Call:
    """The same of PyTorch; backward is the gradient by itself, of a graph that is kept."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    layer, input = getattr(torch.nn, kind)(*options), torch.from_numpy(x)
    if way == "evaluation":
        inference: Call = torch.inference_mode()(partial(layer, input))
        return inference
    input.requires_grad_()
    if way == "training":
        return partial(layer, input)
    return partial(torch.autograd.grad, layer(input), input, torch.from_numpy(dy), retain_graph=True)


def prepare(name: str, way: str, shape: tuple[int, ...], dtype: str, wanted: tuple[str, ...]) -> Work:
    kind, options, function, arguments = LAYERS[name]
    x = random_array(*shape, dtype=dtype)
    layer = getattr(nn, kind)(*options)
    layer.train(way != "evaluation")
    dy = random_array(*layer(x).shape, dtype=dtype, seed=1)
    maxima = "max" in function

    def forward() -> Any:
        forward = getattr(reference, function)
        return forward(x, *arguments, indices="flat") if maxima else (forward(x, *arguments), None)

    saved = (forward()[1],) if maxima else ()
    backward = partial(getattr(reference, f"{function}_backward"), dy, *saved, shape, *arguments)
    sides: dict[str, Call] = {"numpy": backward if way == "backward" else forward}
    if "torch" in wanted:
        sides["torch"] = torch_call(kind, options, way, x, dy)

    def check() -> None:
        tolerance = 40 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(layer(x), forward()[0], rtol=tolerance, atol=tolerance, err_msg=name)
        if layer.training:
            np.testing.assert_allclose(layer.backward(dy), backward(), rtol=tolerance, atol=tolerance, err_msg=f"{name} backward")

    return Work(partial(layer.backward, dy) if way == "backward" else partial(layer, x), sides, check)


def pooling_cases() -> Iterator[Case]:
    for name in LAYERS:
        for shape in SHAPES[name.split(" ", 1)[1]]:
            for way in WAYS:
                size = prod(shape)
                yield Case(
                    "pooling", f"{name} {way}", f"{name} {way}", "×".join(map(str, shape)), "float32", partial(prepare, name, way, shape, "float32"),
                    {"torch": TARGET}, small=size <= 1 << 19, quick=size <= 1 << 19,
                )  # fmt: skip
