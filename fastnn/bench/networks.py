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
    "64-128-10 ReLU": ((64, 128, 10), "relu", "cross_entropy", 64),
    "784-128-10 ReLU": ((784, 128, 10), "relu", "cross_entropy", 64),
    "784-1024-1024-10 ReLU": ((784, 1024, 1024, 10), "relu", "cross_entropy", 256),
}
# The least ratios for a training step of eager layers. What captured steps are for has no target against torch and JAX here.
EAGER_TARGETS = {
    "4-32-32-1 tanh": {"numpy": 3.0},
    "784-128-10 ReLU": {"numpy": 3.0, "torch": 1.0, "jax": 1.0},
    "784-1024-1024-10 ReLU": {"numpy": 3.0, "torch": 1.0, "jax": 1.0},
}
# The least ratios against the best of the others, for captured training steps and for captured inference of one sample and of a batch.
CAPTURED_TARGETS = {"4-32-32-1 tanh": 8.0, "64-128-10 ReLU": 8.0, "784-128-10 ReLU": 2.5, "784-1024-1024-10 ReLU": 1.3}
INFERENCE_TARGETS = {"4-32-32-1 tanh": (4.0, 2.0), "784-128-10 ReLU": (1.5, 1.3), "784-1024-1024-10 ReLU": (1.2, 1.1)}
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


def products(sizes: tuple[int, ...], batch: int, training: bool) -> float:
    """The floating-point operations of a network's products: forward, and in training weight gradients and all input gradients but the first."""
    forward = sum(2.0 * batch * m * n for m, n in zip(sizes, sizes[1:]))
    return 3 * forward - 2.0 * batch * sizes[0] * sizes[1] if training else forward


def training(name: str, captured: bool, trainers: tuple[str, ...], wanted: tuple[str, ...]) -> Work:
    """The sides' losses over some steps must agree before one of them is timed. scikit-learn's step is one of those of its fit."""
    sizes, _, _, batch = NETWORKS[name]
    x, y = batch_of(name, batch)
    peers = {peer: libraries.PEERS[peer] for peer in trainers if peer == "numpy" or peer.split(".")[0] in wanted}
    kinds = {"fastnn": libraries.Captured if captured else libraries.Fastnn, **peers}

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
    work = Work(calls.pop("fastnn"), calls, check, products(sizes, batch, training=True) if captured else 0.0)
    if captured and "sklearn" in wanted and name in SKLEARN_TRAINS:
        work.peers["sklearn"], work.scale["sklearn"] = libraries.sklearn_epoch(network(name, lr=TIMING_LR), *batch_of(name, SKLEARN_STEPS * batch), batch)
    return work


SKLEARN_TRAINS = ("64-128-10 ReLU",)
SKLEARN_STEPS = 20


def inference(name: str, batch: int, wanted: tuple[str, ...]) -> Work:
    net = network(name, lr=1e-3)
    x, y = batch_of(name, batch)
    sides = {peer: kind(net) for peer, kind in {"fastnn": libraries.Captured, **libraries.PREDICTORS}.items() if peer in ("fastnn", "numpy", *wanted)}
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

    return Work(calls.pop("fastnn"), calls, check, products(NETWORKS[name][0], batch, training=False))


def training_cases() -> Iterator[Case]:
    """Eager layers."""
    for name, targets in EAGER_TARGETS.items():
        batch = NETWORKS[name][3]
        yield Case(
            "training", f"training step {name}, batch {batch}", f"train {name}", f"batch {batch}", "float32",
            partial(training, name, False, libraries.TRAINERS), targets,
        )  # fmt: skip


def captured_cases() -> Iterator[Case]:
    """Captured steps; the slow compilation of torch.compile is not part of --quick."""
    for trainers, quick in ((libraries.TRAINERS, True), (("torch.compile",), False)):
        for name, (_, _, _, batch) in NETWORKS.items():
            targets = dict.fromkeys((*trainers, "sklearn"), CAPTURED_TARGETS[name])
            yield Case(
                "captured", f"captured training step {name}, batch {batch}", f"capture {name}{'' if quick else ', compiled'}", f"batch {batch}", "float32",
                partial(training, name, True, trainers), targets, small=quick, quick=quick,
            )  # fmt: skip


def inference_cases() -> Iterator[Case]:
    """Captured predictions."""
    for name, targets in INFERENCE_TARGETS.items():
        for batch, target in zip((1, NETWORKS[name][3]), targets):
            yield Case(
                "inference", f"captured inference {name}, {'one sample' if batch == 1 else f'batch {batch}'}", f"infer {name}", f"batch {batch}", "float32",
                partial(inference, name, batch), dict.fromkeys(libraries.PREDICTORS, target),
            )  # fmt: skip
