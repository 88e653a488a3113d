"""Softmax and log-softmax of rows against the NumPy expression that a careful user writes: in place, in the input's dtype."""

import numpy as np

from fastnn import kernels

SIZES = (4 * 1024, 64 * 1024, 256 * 1024, 4 * 1024 * 1024)
ROWS = (10, 128, 1000)


def softmax(x):
    y = x - x.max(axis=-1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def softmax_backward(dy, y):
    dx = dy * y
    dx = dy - dx.sum(axis=-1, keepdims=True)
    dx *= y
    return dx


def log_softmax(x):
    y = x - x.max(axis=-1, keepdims=True)
    y -= np.log(np.exp(y).sum(axis=-1, keepdims=True))
    return y


def log_softmax_backward(dy, y):
    dx = np.exp(y)
    dx *= dy.sum(axis=-1, keepdims=True)
    np.subtract(dy, dx, out=dx)
    return dx


def case(name, dtype, ours, numpy, *arrays):
    def check():
        single = dtype == np.float32
        np.testing.assert_allclose(ours(*arrays), numpy(*arrays), rtol=2e-5 if single else 1e-12, atol=1e-5 if single else 1e-13)

    return name, arrays[0].shape, dtype, lambda: ours(*arrays), lambda: numpy(*arrays), check


def cases():
    """(name, shape, dtype, fastnn callable, NumPy callable, check callable), none taking an argument."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for size in SIZES:
            for n in ROWS:
                x, dy = rng.standard_normal((2, size // n, n)).astype(dtype)
                yield case("softmax", dtype, kernels.softmax, softmax, x)
                yield case("log_softmax", dtype, kernels.log_softmax, log_softmax, x)
                if size == SIZES[1]:
                    yield case("softmax_backward", dtype, kernels.softmax_backward, softmax_backward, dy, kernels.softmax(x))
                    yield case("log_softmax_backward", dtype, kernels.log_softmax_backward, log_softmax_backward, dy, kernels.log_softmax(x))
