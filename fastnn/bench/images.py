"""Convolutional networks: a captured training step (forward, loss, backward, Adam) and captured inference, against the same network in other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn import nn, optim
from fastnn.bench import image_peers
from fastnn.bench.harness import Call, Case, Work
from fastnn.bench.machine import random_array

Array = NDArray[Any]
BATCH = 64
# name: the model, its input, the least ratios for a training step and for inference of one image and of a batch
NETWORKS: dict[str, tuple[Callable[..., nn.Module], tuple[int, ...], float, tuple[float, float]]] = {
    "LeNet-5": (nn.models.lenet5, (1, 28, 28), 4.0, (1.5, 1.2)),
    "CNN 32-32-P-64-64-P-128-10": (nn.models.small_cnn, (3, 32, 32), 2.0, (1.2, 1.05)),
}
# While it is timed a network must stay what it was.
TIMING_LR = 1e-6


class Fastnn:
    def __init__(self, model: nn.Module, lr: float) -> None:
        self.model, self.loss = model, nn.CrossEntropyLoss()
        self.optimizer = optim.Adam(model.parameters(), lr=lr)
        self.captured = fastnn.capture(model, self.loss, self.optimizer)

    def step(self, x: Array, y: Array) -> Any:
        return self.captured(x, y)

    def predictor(self) -> Any:
        return fastnn.capture(self.model.eval())


SIDES: dict[str, Any] = {"fastnn": Fastnn, **image_peers.PEERS}


def network(name: str) -> Any:
    """The model, with the same weights each time; nobody asks for the gradient of its input."""
    model: Any = NETWORKS[name][0](rng=1)
    model.needs_input_grad = False
    return model


def batch_of(name: str, batch: int) -> tuple[Array, Array]:
    return random_array(batch, *NETWORKS[name][1], seed=20), np.random.default_rng(21).integers(10, size=batch)


def training(name: str, wanted: tuple[str, ...]) -> Work:
    """The sides' losses over some steps must agree before one of them is timed."""
    x, y = batch_of(name, BATCH)
    kinds = {side: kind for side, kind in SIDES.items() if side in ("fastnn", "numpy", *wanted) and hasattr(kind, "step")}

    def check() -> None:
        losses = {side: [float(step(x, y)) for _ in range(4)] for side, step in ((s, kind(network(name), 1e-3).step) for s, kind in kinds.items())}
        assert losses["numpy"][-1] < losses["numpy"][0], f"the loss of NumPy's network does not fall: {losses['numpy']}"
        for side, found in losses.items():
            np.testing.assert_allclose(found, losses["numpy"], rtol=2e-3, err_msg=f"losses of {side}'s first steps")

    calls: dict[str, Call] = {side: partial(kind(network(name), TIMING_LR).step, x, y) for side, kind in kinds.items()}
    return Work(calls.pop("fastnn"), calls, check)


def inference(name: str, batch: int, wanted: tuple[str, ...]) -> Work:
    x, _ = batch_of(name, batch)
    predictors = {side: kind(network(name), 1e-3).predictor() for side, kind in SIDES.items() if side in ("fastnn", "numpy", *wanted)}
    calls: dict[str, Call] = {side: partial(predict, x) for side, predict in predictors.items()}

    def check() -> None:
        expected: Any = calls["numpy"]()
        for side, call in calls.items():
            np.testing.assert_allclose(np.asarray(call()), expected, rtol=1e-3, atol=1e-4, err_msg=f"{side}'s predictions")

    work = Work(calls["fastnn"], {side: call for side, call in calls.items() if side != "fastnn"}, check)
    return work


def image_cases() -> Iterator[Case]:
    for name, (_, _, step, both) in NETWORKS.items():
        yield Case(
            "images", f"captured training step {name}, batch {BATCH}", f"capture {name}", f"batch {BATCH}", "float32", partial(training, name),
            dict.fromkeys(image_peers.PEERS, step), small=name == "LeNet-5",
        )  # fmt: skip
        for batch, target in zip((1, BATCH), both):
            yield Case(
                "images", f"captured inference {name}, {'one image' if batch == 1 else f'batch {batch}'}", f"infer {name}", f"batch {batch}", "float32",
                partial(inference, name, batch), dict.fromkeys(image_peers.PEERS, target), small=batch == 1 or name == "LeNet-5",
            )  # fmt: skip
