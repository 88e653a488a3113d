"""Normalisation and dropout against the NumPy reference: verified, then both sides timed in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from fastnn import kernels, reference

SHAPES = ((32, 64), (256, 512), (4096, 1024))
Case = tuple[str, tuple[int, ...], type, Callable[[], Any], Callable[[], Any], Callable[[], None]]


def case(name: str, shape: tuple[int, ...], dtype: type, *inputs: Any) -> Case:
    ours, theirs = getattr(kernels, name), getattr(reference, name)

    def check() -> None:
        for actual, expected in zip(_arrays(ours(*inputs)), _arrays(theirs(*inputs)), strict=True):
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(actual, expected, rtol=0, atol=200 * np.finfo(dtype).eps * scale)

    return name, shape, dtype, lambda: ours(*inputs), lambda: theirs(*inputs), check


def _arrays(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def cases() -> Iterator[Case]:
    rng = np.random.default_rng(1)
    for shape in SHAPES:
        for dtype in (np.float32, np.float64):
            x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
            w, b = (rng.standard_normal(shape[1]).astype(dtype) for _ in range(2))
            layer, rms, batch = (f(x, *a)[1:] for f, a in ((kernels.layer_norm, (shape[1],)), (kernels.rms_norm, (shape[1],)), (kernels.batch_norm, (None, None))))
            yield case("layer_norm", shape, dtype, x, shape[1], w, b)
            yield case("layer_norm_backward", shape, dtype, dy, x, *layer, w)
            yield case("rms_norm", shape, dtype, x, shape[1], w)
            yield case("rms_norm_backward", shape, dtype, dy, x, *rms, w)
            yield case("batch_norm", shape, dtype, x, None, None, w, b, True)
            yield case("batch_norm_backward", shape, dtype, dy, x, *batch, w)
            yield case("dropout", shape, dtype, x, 0.5, 1, 2)


@pytest.mark.parametrize("side", ["fastnn", "numpy"])
@pytest.mark.parametrize("name", ["layer_norm", "layer_norm_backward", "rms_norm", "rms_norm_backward", "batch_norm", "batch_norm_backward", "dropout"])
def test_norm(benchmark: Any, name: str, side: str) -> None:
    *_, ours, theirs, check = next(c for c in cases() if c[:3] == (name, (256, 512), np.float32))
    check()
    benchmark(ours if side == "fastnn" else theirs)
