"""Softmax over rows against the NumPy expression of a careful user; see elementwise.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import kernels, reference
from fastnn.bench.elementwise import SIZES, Functions, cases_of
from fastnn.bench.harness import Case

Array = NDArray[Any]
ROW_LENGTHS = (10, 128, 1024)


def softmax(x: Array, out: Array, scratch: Array) -> None:
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    np.divide(out, out.sum(axis=-1, keepdims=True), out=out)


def softmax_backward(dy: Array, y: Array, out: Array, scratch: Array) -> None:
    np.multiply(dy, y, out=scratch)
    np.subtract(dy, scratch.sum(axis=-1, keepdims=True), out=out)
    np.multiply(out, y, out=out)


def log_softmax(x: Array, out: Array, scratch: Array) -> None:
    np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(out, out=scratch)
    np.subtract(out, np.log(scratch.sum(axis=-1, keepdims=True)), out=out)


FUNCTIONS: dict[str, Functions] = {
    "softmax": (kernels.softmax, softmax, reference.softmax, 1),
    "log_softmax": (kernels.log_softmax, log_softmax, reference.log_softmax, 1),
    "softmax_backward": (kernels.softmax_backward, softmax_backward, reference.softmax_backward, 2),
}


def softmax_cases() -> Iterator[Case]:
    return cases_of("softmax", FUNCTIONS, [(n // columns, columns) for n in (*SIZES[::2], SIZES[-1]) for columns in ROW_LENGTHS])
