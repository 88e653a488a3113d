"""The same network, data and optimizer in fastnn and in plain NumPy, timed side by side."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from fastnn import data, nn
from fastnn.training.numpy_baseline import ACTIVATIONS, OPTIMIZERS, NumpyNetwork

ROUNDS = 7
SECONDS = 1.5  # for all rounds of both


def compare(model: Any, options: argparse.Namespace, rate: float, loader: data.DataLoader) -> dict[str, float] | str:
    """Seconds per epoch, {"numpy": …, "fastnn": …}, or why there is no comparison.

    Both train copies of the model on the same shuffled batches (forward, loss, backward, update), one chunk of an epoch each in turn;
    the median of the rounds counts.
    """
    from fastnn.cli.train import make_optimizer
    from fastnn.training.architecture import build, feed_forward

    if options.model != "mlp":
        return "the network in NumPy is the mlp"
    if options.dropout:
        return "the network in NumPy has no dropout"
    if options.activation.lower() not in ACTIVATIONS or options.optimizer not in OPTIMIZERS:
        return f"the network in NumPy knows {', '.join(ACTIVATIONS)} and {', '.join(OPTIMIZERS)} only"
    state = model.state_dict()
    names = [name for name in state if name.endswith("weight")]
    theirs = NumpyNetwork(
        [state[name] for name in names], [state[name[: -len("weight")] + "bias"] for name in names], options.activation.lower(), options.optimizer, lr=rate
    )
    ours = build(feed_forward(loader.arrays[0].shape[1], options.hidden, 10, options.activation), rng=0)
    ours.load_state_dict(state)
    ours.needs_input_grad = False
    loss, optimizer = nn.CrossEntropyLoss(), make_optimizer(options.optimizer, ours, rate)

    def our_step(x: Any, labels: Any) -> None:
        loss(ours.forward(x), labels)
        optimizer.zero_grad()
        ours.backward(loss.backward())
        optimizer.step()

    x, labels = loader.arrays
    order = loader.order(0)
    batches = [order[i : i + loader.batch_size] for i in range(0, len(order), loader.batch_size)]
    for step in (our_step, theirs.step):  # warm up, and find how much of an epoch fits the time
        begin = time.perf_counter()
        for rows in batches[:10]:
            step(x[rows], labels[rows])
        seconds = (time.perf_counter() - begin) / min(10, len(batches))
    chunk = max(10, min(len(batches), int(SECONDS / 2 / ROUNDS / seconds)))
    times: dict[str, list[float]] = {"numpy": [], "fastnn": []}
    for round_ in range(ROUNDS):
        some = [batches[(round_ * chunk + i) % len(batches)] for i in range(chunk)]
        for name, step in (("numpy", theirs.step), ("fastnn", our_step)):
            begin = time.perf_counter()
            for rows in some:
                step(x[rows], labels[rows])
            times[name].append((time.perf_counter() - begin) / chunk * len(batches))
    return {name: float(np.median(values)) for name, values in times.items()}
