"""Whole networks: a training step (forward, loss, backward, Adam) and inference, against the same network in other libraries."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.bench import peers as libraries
from fastnn.bench.harness import Call, Case, Work
from fastnn.bench.machine import random_array
from fastnn.bench.peers import Network

Array = NDArray[Any]

# name: sizes, activation, loss, batch
NETWORKS: dict[str, tuple[tuple[int, ...], str, str, int]] = {
    "4-32-32-1 tanh": ((4, 32, 32, 1), "tanh", "mse", 32),
    "784-128-10 ReLU": ((784, 128, 10), "relu", "cross_entropy", 64),
    "784-1024-1024-10 ReLU": ((784, 1024, 1024, 10), "relu", "cross_entropy", 256),
}
# The least ratios for a training step. What captured steps are for has no target against torch and JAX here.
TARGETS = {
    "4-32-32-1 tanh": {"numpy": 3.0},
    "784-128-10 ReLU": {"numpy": 3.0, "torch": 1.0, "jax": 1.0},
    "784-1024-1024-10 ReLU": {"numpy": 3.0, "torch": 1.0, "jax": 1.0},
}
# While it is timed a network must stay what it was: trained for thousands of steps on one batch its gradients would become subnormal.
TIMING_LR = 1e-6


def network(name: str, lr: float) -> Network:
    sizes, activation, loss, _ = NETWORKS[name]
    scales = [1 / np.sqrt(n) for n in sizes]
    weights = tuple(random_array(*pair, seed=i) * np.float32(s) for i, (pair, s) in enumerate(zip(zip(sizes, sizes[1:]), scales)))
    biases = tuple(random_array(n, seed=10 + i) * np.float32(0.1) for i, n in enumerate(sizes[1:]))
    return Network(sizes, activation, loss, lr, weights, biases)


def batch_of(name: str, batch: int) -> tuple[Array, Array]:
    """Random inputs; random labels or values to learn."""
    sizes, _, loss, _ = NETWORKS[name]
    x = random_array(batch, sizes[0], seed=20)
    return x, np.random.default_rng(21).integers(sizes[-1], size=batch) if loss == "cross_entropy" else random_array(batch, sizes[-1], seed=21)


def training(name: str, wanted: tuple[str, ...]) -> Work:
    """The sides' losses over some steps must agree before one of them is timed."""
    x, y = batch_of(name, NETWORKS[name][3])
    kinds = {"fastnn": libraries.Fastnn, **{peer: libraries.PEERS[peer] for peer in libraries.TRAINERS if peer in ("numpy", *wanted)}}

    def losses(kind: Any) -> list[float]:
        side = kind(network(name, lr=1e-3))
        inputs = side.inputs(x, y)
        return [float(side.step(*inputs)) for _ in range(4)]

    def check() -> None:
        expected = losses(libraries.Numpy)
        assert expected[-1] < expected[0], f"the loss of NumPy's network does not fall: {expected}"
        for peer, kind in kinds.items():
            np.testing.assert_allclose(losses(kind), expected, rtol=1e-4, err_msg=f"losses of {peer}'s first steps")

    calls: dict[str, Call] = {}
    for peer, kind in kinds.items():
        side = kind(network(name, lr=TIMING_LR))
        calls[peer] = partial(side.step, *side.inputs(x, y))
    return Work(calls.pop("fastnn"), calls, check)


def inference(name: str, batch: int, wanted: tuple[str, ...]) -> Work:
    net = network(name, lr=1e-3)
    x, y = batch_of(name, batch)
    sides = {peer: kind(net) for peer, kind in {"fastnn": libraries.Fastnn, **libraries.PEERS}.items() if peer in ("fastnn", "numpy", *wanted)}
    calls: dict[str, Call] = {peer: partial(side.predictor(), side.inputs(x, y)[0]) for peer, side in sides.items()}

    def check() -> None:
        predict: Any = libraries.Numpy(net).predictor()
        expected = predict(x)
        for peer, call in calls.items():
            actual = np.asarray(call()).reshape(expected.shape)
            if peer == "sklearn" and net.loss == "cross_entropy":  # gives probabilities
                actual = np.log(actual)
                actual = actual + (expected - actual).mean(axis=1, keepdims=True)
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4, err_msg=f"{peer}'s predictions")

    return Work(calls.pop("fastnn"), calls, check)


def training_cases() -> Iterator[Case]:
    for name, (_, _, _, batch) in NETWORKS.items():
        yield Case(
            "training", f"training step {name}, batch {batch}", f"train {name}", f"batch {batch}", "float32",
            partial(training, name), TARGETS[name],
        )  # fmt: skip


def inference_cases() -> Iterator[Case]:
    for name, (_, _, _, full) in NETWORKS.items():
        for batch in (full, 1):
            yield Case(
                "inference", f"inference {name}, {'one sample' if batch == 1 else f'batch {batch}'}", f"infer {name}", f"batch {batch}", "float32",
                partial(inference, name, batch),
            )  # fmt: skip
