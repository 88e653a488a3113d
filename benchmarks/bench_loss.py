"""Losses, forward and backward together, against the NumPy expressions that a careful user writes."""

import numpy as np

from fastnn import nn


def cross_entropy(x, labels):
    rows = np.arange(len(x))
    p = x - x.max(axis=1, keepdims=True)
    picked = p[rows, labels]
    np.exp(p, out=p)
    total = p.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - picked).mean()
    p /= total
    p[rows, labels] -= 1
    p /= len(x)
    return loss, p


def mse(x, t):
    d = x - t
    loss = (d * d).mean()
    d *= x.dtype.type(2 / x.size)
    return loss, d


def huber(x, t):
    d = x - t
    a = np.abs(d)
    loss = np.where(a <= 1, 0.5 * d * d, a - 0.5).mean()
    np.clip(d, -1, 1, out=d)
    d /= x.size
    return loss, d


def bce_with_logits(x, t):
    e = np.exp(-np.abs(x))
    loss = (np.maximum(x, 0) - x * t + np.log1p(e)).mean()
    d = np.where(x >= 0, 1, e) / (1 + e)
    d -= t
    d /= x.size
    return loss, d


def kl_div(x, t):
    loss = (t * (np.log(t) - x)).mean()
    return loss, t * x.dtype.type(-1 / x.size)


def case(name, loss, numpy, x, t):
    def ours():
        return loss(x, t), loss.backward()

    def check():
        single = x.dtype == np.float32
        for a, b in zip(ours(), numpy(x, t), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4 if single else 1e-10, atol=1e-6 if single else 1e-13)

    return name, x.shape, x.dtype, ours, lambda: numpy(x, t), check


def cases():
    """(name, shape, dtype, fastnn callable, NumPy callable, check callable), none taking an argument."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for shape in ((64, 10), (256, 128), (256, 1000), (60000, 10)):
            x = rng.standard_normal(shape).astype(dtype)
            yield case("cross_entropy", nn.CrossEntropyLoss(), cross_entropy, x, rng.integers(0, shape[1], shape[0]))
        for shape in ((32, 1), (256, 256), (1024, 4096)):
            x, t = rng.standard_normal((2, *shape)).astype(dtype)
            u = rng.uniform(0.01, 0.99, shape).astype(dtype)
            yield case("mse", nn.MSELoss(), mse, x, t)
            yield case("huber", nn.HuberLoss(), huber, x, t)
            yield case("bce_with_logits", nn.BCEWithLogitsLoss(), bce_with_logits, x, u)
            yield case("kl_div", nn.KLDivLoss(), kl_div, np.log(u), u)
