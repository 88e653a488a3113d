"""Activations against the NumPy expression that a careful user writes, verified against the float64 reference before they are timed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from fastnn import kernels, reference

Array = NDArray[Any]
Functions = tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]

SIZES = (1 << 12, 1 << 16, 1 << 20, 1 << 22)
DTYPES = (np.float32, np.float64)


class Case(NamedTuple):
    """One measurement: two functions without arguments that do the same work, and one that raises AssertionError where they do not."""

    name: str
    shape: tuple[int, ...]
    dtype: type
    fastnn: Callable[[], Any]
    numpy: Callable[[], Any]
    check: Callable[[], None]


def numpy_sigmoid(x: Array) -> Any:
    return 1 / (1 + np.exp(-x))


def numpy_gelu(x: Array) -> Any:
    """With SciPy's error function; NumPy has none."""
    from scipy.special import erf  # type: ignore[import-untyped]

    return 0.5 * x * (1 + erf(x * math.sqrt(0.5)))


def numpy_gelu_tanh(x: Array) -> Any:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def numpy_silu(x: Array) -> Any:
    return x / (1 + np.exp(-x))


def numpy_elu(x: Array) -> Any:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def gelu_tanh(x: Array) -> Array:
    return kernels.gelu(x, "tanh")


def reference_gelu_tanh(x: Array) -> Array:
    return reference.gelu(x, "tanh")


# Name: ours, the NumPy expression, the exact function.
FORWARD: dict[str, Functions] = {
    "relu": (kernels.relu, lambda x: np.maximum(x, 0), reference.relu),
    "tanh": (kernels.tanh, np.tanh, reference.tanh),
    "sigmoid": (kernels.sigmoid, numpy_sigmoid, reference.sigmoid),
    "gelu": (kernels.gelu, numpy_gelu, reference.gelu),
    "gelu_tanh": (gelu_tanh, numpy_gelu_tanh, reference_gelu_tanh),
    "silu": (kernels.silu, numpy_silu, reference.silu),
    "mish": (kernels.mish, reference.mish, reference.mish),
    "elu": (kernels.elu, numpy_elu, reference.elu),
    "softplus": (kernels.softplus, lambda x: np.logaddexp(x, 0), reference.softplus),
}

# Name: the backwards of both, which take dy and x, or dy and y.
BACKWARD: dict[str, Functions] = {
    "relu_backward": (kernels.relu_backward, lambda dy, x: dy * (x > 0), reference.relu_backward),
    "tanh_backward": (kernels.tanh_backward, lambda dy, y: dy * (1 - y * y), reference.tanh_backward),
    "gelu_backward": (kernels.gelu_backward, reference.gelu_backward, reference.gelu_backward),
    "silu_backward": (kernels.silu_backward, reference.silu_backward, reference.silu_backward),
}


def case(name: str, functions: Functions, inputs: list[Array]) -> Case:
    ours, theirs, exact = functions

    def check() -> None:
        expected = exact(*(x.astype(np.float64) for x in inputs))
        tolerance = 32 * np.finfo(inputs[0].dtype).eps
        for function in (ours, theirs):
            np.testing.assert_allclose(function(*inputs), expected, rtol=tolerance, atol=tolerance)

    x = inputs[0]
    return Case(name, x.shape, x.dtype.type, lambda: ours(*inputs), lambda: theirs(*inputs), check)


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(1)
    for size in SIZES:
        for dtype in DTYPES:
            x, dy = (rng.standard_normal(size).astype(dtype) for _ in range(2))
            for name, functions in FORWARD.items():
                yield case(name, functions, [x])
            for name, functions in BACKWARD.items():
                yield case(name, functions, [dy, np.tanh(x) if name == "tanh_backward" else x])


@pytest.mark.parametrize("side", ["fastnn", "numpy"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", [*FORWARD, *BACKWARD])
def test_activation(benchmark: Any, name: str, size: int, side: str) -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, size)).astype(np.float32)
    functions = (FORWARD | BACKWARD)[name]
    measured = case(name, functions, [x[0]] if name in FORWARD else [x[0], np.tanh(x[1])])
    measured.check()
    benchmark.group = f"{name} {size}"
    benchmark(getattr(measured, side))
