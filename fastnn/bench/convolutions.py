"""Convolutions, forward and both backwards, against PyTorch's and the NumPy reference (im2col and matmul)."""

# PyTorch's own interface is typed too loosely to be checked here.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastnn import kernels, reference
from fastnn.bench.harness import Call, Case, Work
from fastnn.bench.machine import random_array


class Shape(NamedTuple):
    """A two-dimensional convolution of square images."""

    batch: int
    inputs: int
    outputs: int
    size: int
    taps: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1

    def __str__(self) -> str:
        marks = (("s", self.stride, 1), ("d", self.dilation, 1), ("g", self.groups, 1))
        return f"{self.batch}×{self.inputs}→{self.outputs}×{self.size}² {self.taps}×{self.taps}" + "".join(f" {m}{v}" for m, v, no in marks if v != no)


SWEEP = (
    # LeNet-5, the small network, VGG for 32×32
    Shape(64, 1, 6, 28, 5, 1, 2), Shape(64, 6, 16, 14, 5), Shape(64, 3, 32, 32, 3, 1, 1), Shape(64, 32, 32, 32, 3, 1, 1), Shape(64, 32, 64, 16, 3, 1, 1),
    Shape(64, 64, 64, 16, 3, 1, 1), Shape(64, 64, 128, 8, 3, 1, 1), Shape(64, 128, 128, 8, 3, 1, 1), Shape(64, 128, 256, 4, 3, 1, 1),
    # ResNet-18
    Shape(4, 3, 64, 224, 7, 2, 3), Shape(4, 64, 64, 56, 3, 1, 1), Shape(4, 64, 128, 56, 3, 2, 1), Shape(4, 64, 128, 56, 1, 2), Shape(4, 128, 128, 28, 3, 1, 1),
    Shape(4, 128, 256, 28, 3, 2, 1), Shape(4, 128, 256, 28, 1, 2), Shape(4, 256, 256, 14, 3, 1, 1), Shape(4, 256, 512, 14, 3, 2, 1), Shape(4, 512, 512, 7, 3, 1, 1),
    # 1×1
    Shape(4, 64, 256, 56, 1), Shape(4, 256, 64, 56, 1), Shape(4, 512, 128, 28, 1), Shape(16, 1024, 256, 14, 1),
    # larger kernels, dilation, groups, depthwise
    Shape(8, 32, 32, 32, 5, 1, 2), Shape(8, 64, 64, 28, 5, 1, 2), Shape(8, 16, 16, 32, 7, 1, 3), Shape(8, 64, 64, 28, 3, 1, 2, 2), Shape(8, 32, 64, 32, 3, 1, 4, 4),
    Shape(8, 64, 64, 28, 3, 1, 1, 1, 4), Shape(8, 128, 128, 28, 3, 1, 1, 1, 32), Shape(8, 64, 64, 56, 3, 1, 1, 1, 64), Shape(8, 64, 64, 56, 3, 2, 1, 1, 64),
    Shape(8, 256, 256, 14, 3, 1, 1, 1, 256),
)  # fmt: skip
QUICK = (0, 1, 3, 8, 11, 16, 21, 28, 30)
WAYS = ("forward", "input gradient", "weight gradient")
TARGET = 1.0  # each; the geometric mean of the sweep is to be 1.8


def torch_call(s: Shape, way: str, x: Any, w: Any, dy: Any) -> Call:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    tx, tw, tdy = map(torch.from_numpy, (x, w, dy))
    if way == "forward":
        return partial(torch.nn.functional.conv2d, tx, tw, None, s.stride, s.padding, s.dilation, s.groups)
    geometry = [(n, n) for n in (s.stride, s.padding, s.dilation)]
    wanted = (way == "input gradient", way == "weight gradient", False)
    return partial(torch.ops.aten.convolution_backward, tdy, tx, tw, None, *geometry, False, (0, 0), s.groups, wanted)


def prepare(s: Shape, way: str, wanted: tuple[str, ...]) -> Work:
    x = random_array(s.batch, s.inputs, s.size, s.size)
    w = random_array(s.outputs, s.inputs // s.groups, s.taps, s.taps, seed=1) / np.float32(np.sqrt(s.inputs // s.groups) * s.taps)
    options = s[5:]
    y = kernels.conv(x, w, None, *options)
    dy = random_array(*y.shape, seed=2)
    backward: dict[str, Any] = {"input_gradient": way == "input gradient", "weight_gradient": way == "weight gradient", "bias_gradient": False}
    forward = way == "forward"
    ours: Call = partial(kernels.conv, x, w, None, *options) if forward else partial(kernels.conv_backward, dy, x, w, *options, **backward)
    theirs: Call = partial(reference.conv, x, w, None, *options) if forward else partial(reference.conv_backward, dy, x, w, *options)
    sides = {"numpy": theirs}
    if "torch" in wanted:
        sides["torch"] = torch_call(s, way, x, w, dy)
    place = WAYS.index(way) - 1

    def check() -> None:
        for side in (ours, *sides.values()):
            actual, expected = (np.asarray(r if forward else r[place]) for r in (side(), theirs()))  # type: ignore[index]
            np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max(), err_msg=f"{s} {way}")

    return Work(ours, sides, check, 2.0 * y.size * w[0].size)


def conv_cases() -> Iterator[Case]:
    for i, s in enumerate(SWEEP):
        for way in WAYS:
            yield Case(
                "conv", f"convolution, {way}", f"conv {way}", str(s), "float32", partial(prepare, s, way), {"torch": TARGET}, small=s.batch * s.inputs * s.size**2 < 1 << 19,
                quick=i in QUICK,
            )  # fmt: skip
