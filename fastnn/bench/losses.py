"""Losses, forward and backward together, against the NumPy expressions that a careful user writes."""

# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import kernels, nn
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import random_array

Array = NDArray[Any]


def cross_entropy(x: Array, labels: Array) -> tuple[Any, Array]:
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


def mse(x: Array, t: Array) -> tuple[Any, Array]:
    d = x - t
    loss = (d * d).mean()
    d *= x.dtype.type(2 / x.size)
    return loss, d


def huber(x: Array, t: Array) -> tuple[Any, Array]:
    d = x - t
    a = np.abs(d)
    loss = np.where(a <= 1, 0.5 * d * d, a - 0.5).mean()
    np.clip(d, -1, 1, out=d)
    d /= x.size
    return loss, d


def bce_with_logits(x: Array, t: Array) -> tuple[Any, Array]:
    e = np.exp(-np.abs(x))
    loss = (np.maximum(x, 0) - x * t + np.log1p(e)).mean()
    d: Array = np.where(x >= 0, 1, e) / (1 + e)
    d -= t
    d /= x.size
    return loss, d


def kl_div(x: Array, t: Array) -> tuple[Any, Array]:
    loss = (t * (np.log(t) - x)).mean()
    return loss, t * x.dtype.type(-1 / x.size)


CLASSES = ((64, 10), (256, 128), (256, 1000), (60000, 10))
SHAPES = ((32, 1), (256, 256), (1024, 4096))
# name: fastnn's loss, NumPy's loss and gradient, shapes, what the target is
FUNCTIONS: dict[str, tuple[Callable[[], Any], Callable[..., tuple[Any, Array]], tuple[tuple[int, int], ...], str]] = {
    "cross_entropy": (nn.CrossEntropyLoss, cross_entropy, CLASSES, "labels"),
    "mse": (nn.MSELoss, mse, SHAPES, "values"),
    "huber": (nn.HuberLoss, huber, SHAPES, "values"),
    "bce_with_logits": (nn.BCEWithLogitsLoss, bce_with_logits, SHAPES, "probabilities"),
    "kl_div": (nn.KLDivLoss, kl_div, SHAPES, "probabilities"),
}


def prepare(name: str, shape: tuple[int, int], dtype: str, _: tuple[str, ...]) -> Work:
    make, careful, _shapes, kind = FUNCTIONS[name]
    loss = make()
    x = random_array(*shape, dtype=dtype)
    rng = np.random.default_rng(1)
    t: Array
    if kind == "labels":
        t = rng.integers(0, shape[1], shape[0])
    else:
        t = random_array(*shape, dtype=dtype, seed=1) if kind == "values" else rng.uniform(0.01, 0.99, shape).astype(dtype)

    def ours() -> tuple[Any, Any]:
        return loss(x, t), loss.backward()

    def check() -> None:
        single = dtype == "float32"
        for actual, expected in zip(ours(), careful(x, t), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=1e-4 if single else 1e-10, atol=1e-6 if single else 1e-13, err_msg=name)

    return Work(ours, {"numpy": lambda: careful(x, t)}, check)


def ctc_paths(e: Array, states: Array) -> Array:
    """The log-probabilities of the states after each step, for emissions e (T, N, states)."""
    skips = np.full(states.shape, -np.inf, e.dtype)
    skips[:, 3::2][states[:, 3::2] != states[:, 1:-2:2]] = 0
    alpha, last = np.empty_like(e), np.full((states.shape[0], states.shape[1] + 2), -np.inf, e.dtype)
    last[:, 2] = 0
    for t in range(len(e)):
        stayed = np.logaddexp(last[:, 2:], last[:, 1:-1])
        last[:, 2:] = alpha[t] = e[t] + np.logaddexp(stayed, last[:, :-2] + skips)
    return alpha


def ctc(x: Array, targets: Array) -> tuple[Any, Array]:
    """All sequences of a batch at once, step by step; they have equal lengths."""
    states = np.zeros((len(targets), 2 * targets.shape[1] + 1), int)
    states[:, 1::2] = targets
    e = np.take_along_axis(x, states[np.newaxis], axis=2)
    alpha, beta = ctc_paths(e, states), ctc_paths(e[::-1, :, ::-1], states[:, ::-1])[::-1, :, ::-1]
    nll = -np.logaddexp(alpha[-1, :, -1], alpha[-1, :, -2])
    posterior = np.exp(alpha + beta - e + nll[:, np.newaxis])
    d, rows = np.exp(x), np.arange(len(targets))
    for s in range(states.shape[1]):
        d[:, rows, states[:, s]] -= posterior[:, :, s]
    d *= x.dtype.type(1 / targets.size)
    return (nll / targets.shape[1]).mean(), d


def torch_ctc(x: Array, targets: Array, lengths: tuple[Array, Array]) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    leaf, labels, steps, sizes = torch.from_numpy(x).requires_grad_(), *map(torch.from_numpy, (targets, *lengths))

    def call() -> tuple[Any, Any]:
        loss = torch.nn.functional.ctc_loss(leaf, labels, steps, sizes)
        return loss.item(), torch.autograd.grad(loss, leaf)[0].numpy()

    return call


CTC = (100, 16, 32, 20)  # steps, batch, classes, labels


def prepare_ctc(dtype: str, wanted: tuple[str, ...]) -> Work:
    steps, batch, classes, labels = CTC
    x = kernels.log_softmax(random_array(steps, batch, classes, dtype=dtype), -1)
    targets = np.random.default_rng(1).integers(1, classes, (batch, labels))
    lengths = np.full(batch, steps), np.full(batch, labels)
    loss = nn.CTCLoss()

    def ours() -> tuple[Any, Any]:
        return loss(x, targets, *lengths), loss.backward()

    sides: dict[str, Callable[[], Any]] = {"numpy": lambda: ctc(x, targets)}
    if "torch" in wanted:
        sides["torch"] = torch_ctc(x, targets, lengths)

    def check() -> None:
        value, gradient = ctc(x.astype(np.float64), targets)
        for side in (ours, *sides.values()):
            actual, slope = side()
            np.testing.assert_allclose(actual, value, rtol=1e-5)
            np.testing.assert_allclose(slope, gradient, atol=1e-3 * np.abs(gradient).max())

    return Work(ours, sides, check)


def loss_cases() -> Iterator[Case]:
    for dtype in ("float32", "float64"):
        yield Case("loss", f"ctc {dtype}, forward and backward", "ctc", "×".join(map(str, CTC)), dtype, partial(prepare_ctc, dtype), quick=dtype == "float32")
    for name, (_, _, shapes, _) in FUNCTIONS.items():
        for dtype in ("float32", "float64"):
            for shape in shapes:
                size = shape[0] * shape[1]
                yield Case(
                    "loss", f"{name} {dtype}, forward and backward", name, "×".join(map(str, shape)), dtype, partial(prepare, name, shape, dtype),
                    small=size <= 1 << 18, quick=dtype == "float32" and size <= 1 << 18,
                )  # fmt: skip
