"""Recurrent networks: a captured training step (forward, loss, backward, Adam), captured inference, and text written character by character, against the same
network in other libraries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn import nn, optim
from fastnn.bench.harness import Call, Case, Work
from fastnn.bench.machine import random_array
from fastnn.bench.sequence_loops import parts
from fastnn.bench.sequence_peers import PEERS

Array = NDArray[Any]
VOCABULARY = 96
LIBRARIES = tuple(peer for peer in PEERS if peer != "numpy")  # those that the targets are for


class Network(NamedTuple):
    """A model, what it is asked, and the least ratios: for a training step, and for inference of a batch (None: not measured) and of one sequence."""

    build: Callable[[], Any]
    steps: int
    batch: int
    features: int | None  # of a step; None: tokens, and a prediction for each
    classes: int | None  # None: one value is predicted
    training: float
    inference: float | None
    one: float

    def data(self, batch: int) -> tuple[Array, Array]:
        """Random inputs, (steps, batch) or (steps, batch, features), and random labels or values."""
        labels = np.random.default_rng(21)
        if self.features is None:
            return labels.integers(VOCABULARY, size=(self.steps, batch)), labels.integers(VOCABULARY, size=self.steps * batch)
        x = random_array(self.steps, batch, self.features, seed=20)
        return x, random_array(batch, 1, seed=21) if self.classes is None else labels.integers(self.classes, size=batch)


def on_last_step(layer: Any, outputs: int) -> nn.Module:
    return nn.Sequential(layer, nn.LastStep(), nn.Linear(layer.hidden_size, outputs, rng=2))


NETWORKS = {
    "GRU 256 characters": Network(lambda: nn.models.LanguageModel(VOCABULARY, "gru", 256, 256, 1, rng=1), 64, 32, None, VOCABULARY, 3.0, 1.3, 1.3),
    "LSTM 32→128": Network(lambda: on_last_step(nn.LSTM(32, 128, rng=1), 10), 64, 32, 32, 10, 3.0, 2.0, 2.0),
    "RNN 8→32": Network(lambda: on_last_step(nn.RNN(8, 32, rng=1), 1), 50, 16, 8, None, 12.0, None, 2.0),
}
WRITING = {"torch": 3.0}  # the least ratio for a character
WIDTH, WRITTEN = 512, 40  # units of the network that writes, characters that are compared
# While it is timed a network must stay what it was.
TIMING_LR = 1e-6


class Fastnn:
    def __init__(self, model: Any, lr: float) -> None:
        self.model = model
        loss = nn.MSELoss() if parts(model)[-1].out_features == 1 else nn.CrossEntropyLoss()
        self.step = fastnn.capture(model, loss, optim.Adam(model.parameters(), lr=lr))

    def predictor(self) -> Any:
        return fastnn.capture(self.model.eval())

    def carrier(self) -> tuple[Any, Any]:
        return self.predictor(), self.model.zero_state(1)


SIDES: dict[str, Any] = {"fastnn": Fastnn, **PEERS}


def sides(wanted: tuple[str, ...], ability: str) -> dict[str, Any]:
    """The libraries that are wanted and can do this."""
    return {side: kind for side, kind in SIDES.items() if side in ("fastnn", "numpy", *wanted) and (side == "fastnn" or hasattr(kind, ability))}


def built(net: Network) -> Any:
    """The model, with the same weights each time; nobody asks for the gradient of its input."""
    model = net.build()
    model.needs_input_grad = False
    return model


def given(side: Any, *arrays: Array) -> list[Any]:
    """The inputs, where the library wants them."""
    return [side.put(array) for array in arrays] if hasattr(side, "put") else list(arrays)


def training(net: Network, wanted: tuple[str, ...]) -> Work:
    """The sides' losses over some steps must agree before one of them is timed."""
    x, y = net.data(net.batch)
    kinds = sides(wanted, "step")

    def steps(lr: float) -> dict[str, Callable[[], Any]]:
        made = {name: kind(built(net), lr) for name, kind in kinds.items()}
        return {name: partial(side.step, *given(side, x, y)) for name, side in made.items()}

    def check() -> None:
        losses = {side: [float(step()) for _ in range(4)] for side, step in steps(1e-3).items()}
        assert losses["numpy"][-1] < losses["numpy"][0], f"the loss of NumPy's network does not fall: {losses['numpy']}"
        for side, found in losses.items():
            np.testing.assert_allclose(found, losses["numpy"], rtol=1e-4, err_msg=f"losses of {side}'s first steps")

    calls: dict[str, Call] = {**steps(TIMING_LR)}
    return Work(calls.pop("fastnn"), calls, check)


def inference(net: Network, batch: int, wanted: tuple[str, ...]) -> Work:
    x, _ = net.data(batch)
    made = {name: kind(built(net), 1e-3) for name, kind in sides(wanted, "predictor").items()}
    calls: dict[str, Call] = {name: partial(side.predictor(), *given(side, x)) for name, side in made.items()}

    def check() -> None:
        expected: Any = calls["numpy"]()
        for side, call in calls.items():
            np.testing.assert_allclose(np.asarray(call()), expected, rtol=1e-3, atol=1e-5, err_msg=f"{side}'s predictions")

    return Work(calls["fastnn"], {side: call for side, call in calls.items() if side != "fastnn"}, check)


def writer(side: Any) -> Callable[[], Array]:
    """Each call reads a character, chooses the likeliest as the one that the next call reads, and returns the logits."""
    advance, state = side.carrier()
    token = np.zeros((1, 1), np.int64)

    def next_character() -> Array:
        nonlocal state
        logits: Array
        logits, state = advance(token, state)
        token[0, 0] = logits.argmax()
        return logits

    return next_character


def writing(width: int, wanted: tuple[str, ...]) -> Work:
    def write(kind: Any) -> Callable[[], Array]:
        return writer(kind(nn.models.LanguageModel(VOCABULARY, "lstm", width, width, 1, rng=1), 1e-3))

    kinds = sides(wanted, "carrier")

    def check() -> None:
        texts = {side: [np.array(call()) for _ in range(WRITTEN)] for side, call in ((s, write(kind)) for s, kind in kinds.items())}
        for side, text in texts.items():
            np.testing.assert_allclose(text, texts["numpy"], rtol=1e-3, atol=1e-5, err_msg=f"logits of {side}'s text")

    calls: dict[str, Call] = {side: write(kind) for side, kind in kinds.items()}
    return Work(calls.pop("fastnn"), calls, check)


def sequence_cases() -> Iterator[Case]:
    def case(group: str, name: str, shape: str, prepare: Callable[[tuple[str, ...]], Work], target: float) -> Case:
        return Case("sequences", group, name, shape, "float32", prepare, dict.fromkeys(LIBRARIES, target))

    for name, net in NETWORKS.items():
        shape = f"{net.steps}×{net.batch}"
        yield case(f"captured training step {name}, {net.steps} steps, batch {net.batch}", f"capture {name}", shape, partial(training, net), net.training)
        for batch, target in ((net.batch, net.inference), (1, net.one)):
            if target is not None:
                what = "one sequence" if batch == 1 else f"batch {batch}"
                work = partial(inference, net, batch)
                yield case(f"captured inference {name}, {net.steps} steps, {what}", f"infer {name}", f"{net.steps}×{batch}", work, target)
    yield Case("sequences", f"a character of text, LSTM {WIDTH}", f"write LSTM {WIDTH}", "1×1", "float32", partial(writing, WIDTH), WRITING)
