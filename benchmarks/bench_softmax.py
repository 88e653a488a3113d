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


def cases():
    """(name, shape, dtype, fastnn callable, NumPy callable, check callable), the check comparing the two results."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        close = {"rtol": 2e-5 if dtype == np.float32 else 1e-12, "atol": 1e-5 if dtype == np.float32 else 1e-13}

        def check(a, b, close=close):
            np.testing.assert_allclose(a, b, **close)

        for size in SIZES:
            for n in ROWS:
                x, dy = rng.standard_normal((2, size // n, n)).astype(dtype)
                p, log_p = kernels.softmax(x), kernels.log_softmax(x)
                yield "softmax", x.shape, dtype, lambda x=x: kernels.softmax(x), lambda x=x: softmax(x), check
                yield "log_softmax", x.shape, dtype, lambda x=x: kernels.log_softmax(x), lambda x=x: log_softmax(x), check
                if size == SIZES[1]:
                    yield (
                        "softmax_backward", x.shape, dtype,
                        lambda dy=dy, p=p: kernels.softmax_backward(dy, p), lambda dy=dy, p=p: softmax_backward(dy, p), check,
                    )  # fmt: skip
                    yield (
                        "log_softmax_backward", x.shape, dtype,
                        lambda dy=dy, p=log_p: kernels.log_softmax_backward(dy, p), lambda dy=dy, p=log_p: log_softmax_backward(dy, p), check,
                    )  # fmt: skip
