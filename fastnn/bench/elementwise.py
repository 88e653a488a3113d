"""Activations against the NumPy expressions of a careful user: in place, into an array that is there, in the input's dtype.

Both sides write into `out`, so that neither pays for fresh pages. NumPy's GELU has the error function of Abramowitz and Stegun, 7.1.26
(absolute error 1.5e-7), which is what it takes without SciPy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import pi, prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import kernels, reference
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import cache_bytes, random_array

Array = NDArray[Any]
# fastnn's function f(inputs…, out), NumPy's g(inputs…, out, scratch), the reference, how many inputs they take.
Functions = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any], int]

WITH_TARGET = ("tanh", "sigmoid", "gelu", "gelu tanh", "softmax", "log_softmax")
SIZES = (1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22)


def sigmoid(x: Array, out: Array, scratch: Array) -> None:
    np.multiply(x, 0.5, out=out)
    np.tanh(out, out=out)
    np.multiply(out, 0.5, out=out)
    np.add(out, 0.5, out=out)


def gelu_tanh(x: Array, out: Array, scratch: Array) -> None:
    np.multiply(x, x, out=out)
    np.multiply(out, 0.044715 * sqrt(2 / pi), out=out)
    np.add(out, sqrt(2 / pi), out=out)
    np.multiply(out, x, out=out)
    np.tanh(out, out=out)
    np.add(out, 1, out=out)
    np.multiply(out, x, out=out)
    np.multiply(out, 0.5, out=out)


def gelu(x: Array, out: Array, scratch: Array) -> None:
    # erf|z| = 1 - p(t) exp(-z²) with t = 1 / (1 + 0.3275911 |z|), z = x / √2; y = x/2 + |x|/2 erf|z|
    np.abs(x, out=scratch)
    np.multiply(scratch, 0.3275911 * sqrt(0.5), out=scratch)
    np.add(scratch, 1, out=scratch)
    np.reciprocal(scratch, out=scratch)
    np.multiply(scratch, 1.061405429, out=out)
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        np.add(out, coefficient, out=out)
        np.multiply(out, scratch, out=out)
    np.multiply(x, x, out=scratch)
    np.multiply(scratch, -0.5, out=scratch)
    np.exp(scratch, out=scratch)
    np.multiply(out, scratch, out=out)
    np.subtract(1, out, out=out)
    np.abs(x, out=scratch)
    np.multiply(out, scratch, out=out)
    np.add(out, x, out=out)
    np.multiply(out, 0.5, out=out)


def silu(x: Array, out: Array, scratch: Array) -> None:
    sigmoid(x, out, scratch)
    np.multiply(out, x, out=out)


def softplus(x: Array, out: Array, scratch: Array) -> None:
    np.abs(x, out=out)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    np.maximum(x, 0, out=scratch)
    np.add(out, scratch, out=out)


def elu(x: Array, out: Array, scratch: Array) -> None:
    np.minimum(x, 0, out=out)
    np.expm1(out, out=out)
    np.maximum(x, 0, out=scratch)
    np.add(out, scratch, out=out)


def tanh_backward(dy: Array, y: Array, out: Array, scratch: Array) -> None:
    np.multiply(y, y, out=out)
    np.subtract(1, out, out=out)
    np.multiply(out, dy, out=out)


def relu_backward(dy: Array, x: Array, out: Array, scratch: Array) -> None:
    np.multiply(dy, x > 0, out=out)


FUNCTIONS: dict[str, Functions] = {
    "tanh": (kernels.tanh, lambda x, out, scratch: np.tanh(x, out=out), reference.tanh, 1),
    "sigmoid": (kernels.sigmoid, sigmoid, reference.sigmoid, 1),
    "gelu": (kernels.gelu, gelu, reference.gelu, 1),
    "gelu tanh": (partial(kernels.gelu, approximate="tanh"), gelu_tanh, partial(reference.gelu, approximate="tanh"), 1),
    "relu": (kernels.relu, lambda x, out, scratch: np.maximum(x, 0, out=out), reference.relu, 1),
    "silu": (kernels.silu, silu, reference.silu, 1),
    "softplus": (kernels.softplus, softplus, reference.softplus, 1),
    "elu": (kernels.elu, elu, reference.elu, 1),
    "relu_backward": (kernels.relu_backward, relu_backward, reference.relu_backward, 2),
    "tanh_backward": (kernels.tanh_backward, tanh_backward, reference.tanh_backward, 2),
}


def prepare(name: str, functions: Functions, shape: tuple[int, ...], dtype: str, _: tuple[str, ...]) -> Work:
    function, careful, exact, count = functions
    inputs = [random_array(*shape, dtype=dtype, seed=i) for i in range(count)]
    if name == "tanh_backward":  # takes forward's result, as softmax_backward does
        np.tanh(inputs[1], out=inputs[1])
    elif name == "softmax_backward":
        inputs[1] = reference.softmax(inputs[1])
    ours, theirs, scratch = (np.empty(shape, dtype) for _ in range(3))

    def check() -> None:
        expected = exact(*(x.astype(np.float64) for x in inputs))
        tolerance = 40 * float(np.finfo(dtype).eps)
        function(*inputs, out=ours)
        np.testing.assert_allclose(ours, expected, rtol=tolerance, atol=tolerance, err_msg=f"fastnn's {name}")
        careful(*inputs, theirs, scratch)
        loose = max(tolerance, 2e-6) if name == "gelu" else tolerance
        np.testing.assert_allclose(theirs, expected, rtol=loose, atol=loose, err_msg=f"NumPy's {name}")

    return Work(lambda: function(*inputs, out=ours), {"numpy": lambda: careful(*inputs, theirs, scratch)}, check)


def cases_of(area: str, functions: Mapping[str, Functions], shapes: Sequence[tuple[int, ...]]) -> Iterator[Case]:
    """Within the caches: input and output take no more than half of the last level, which others use as well."""
    for name, some in functions.items():
        for dtype in ("float32", "float64"):
            for shape in shapes:
                elements = prod(shape)
                inside = 2 * elements * np.dtype(dtype).itemsize <= cache_bytes() / 2
                text = "×".join(map(str, shape)) if len(shape) > 1 else f"{elements // 1024} Ki"
                yield Case(
                    area, f"{name} {dtype}, {'within' if inside else 'beyond'} the caches", name, text, dtype, partial(prepare, name, some, shape, dtype),
                    {"numpy": 5.0 if inside else 3.0} if name in WITH_TARGET and dtype == "float32" else {},
                    small=elements <= 1 << 18, quick=dtype == "float32" and 1 << 14 <= elements <= 1 << 18,
                )  # fmt: skip


def activation_cases() -> Iterator[Case]:
    return cases_of("activation", FUNCTIONS, [(n,) for n in SIZES])
