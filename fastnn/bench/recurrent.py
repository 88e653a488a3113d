"""Recurrent layers over whole sequences, forward and backward, against PyTorch's and the NumPy reference, step by step."""

# PyTorch's own interface is typed too loosely to be checked here.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call"

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from fastnn import kernels, nn, reference
from fastnn.bench.harness import Call, Case, Work
from fastnn.bench.machine import random_array


class Shape(NamedTuple):
    """One layer, one direction."""

    steps: int
    batch: int
    inputs: int
    hidden: int

    def __str__(self) -> str:
        return f"{self.steps}×{self.batch} {self.inputs}→{self.hidden}"


CELLS = ("RNN", "LSTM", "GRU")
SHAPES = (Shape(64, 32, 32, 128), Shape(64, 1, 32, 128), Shape(64, 32, 256, 256), Shape(50, 16, 8, 32), Shape(35, 20, 512, 512))
SMALL, QUICK = 128, 256  # hidden units, at most


def torch_call(cell: str, s: Shape, backward: bool, state: dict[str, Any], x: Any, dy: Any) -> Call:
    """The layer without autograd, or the gradients by themselves, of a graph that is kept."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    layer, tx = getattr(torch.nn, cell)(s.inputs, s.hidden), torch.from_numpy(x)
    layer.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in state.items()})
    if not backward:
        forward: Call = torch.inference_mode()(lambda: layer(tx)[0])
        return forward
    tx.requires_grad_()
    return partial(torch.autograd.grad, layer(tx)[0], [tx, *layer.parameters()], torch.from_numpy(dy), retain_graph=True)


def prepare(cell: str, s: Shape, backward: bool, wanted: tuple[str, ...]) -> Work:
    layer = getattr(nn, cell)(s.inputs, s.hidden, rng=1)
    parameters = layer.state_dict()
    weights = [tuple(parameters.values())]
    x, dy = random_array(s.steps, s.batch, s.inputs), random_array(s.steps, s.batch, s.hidden, seed=2)
    name = cell.lower()
    ours: Call = partial(getattr(kernels, name), x, weights)
    numpy: Call = partial(getattr(reference, name), x, weights)
    if backward:
        *_, saved = getattr(kernels, name)(x, weights, save=True)
        ours = partial(getattr(kernels, f"{name}_backward"), dy, x, weights, saved, state_gradients=False)
        *_, saved = getattr(reference, name)(x, weights)
        numpy = partial(getattr(reference, f"{name}_backward"), dy, x, weights, saved)
    sides = {"numpy": numpy}
    if "torch" in wanted:
        sides["torch"] = torch_call(cell, s, backward, parameters, x, dy)

    def results(peer: str, result: Any) -> list[Any]:
        """The outputs, or the gradients of x and of the parameters."""
        if peer == "torch":
            return list(result) if backward else [result]
        return [result[0], *result[-1][0]] if backward else [result[0]]

    def check() -> None:
        expected = results("numpy", numpy())
        for peer, side in (("fastnn", ours), *sides.items()):
            for actual, right in zip(results(peer, side()), expected, strict=True):
                np.testing.assert_allclose(np.asarray(actual), right, rtol=0, atol=1e-4 * np.abs(right).max(), err_msg=f"{peer}'s {cell} {s}")

    products = 2.0 * s.steps * s.batch * len(weights[0][0]) * (s.inputs + s.hidden)
    return Work(ours, sides, check, 2 * products if backward else products)


def recurrent_cases() -> Iterator[Case]:
    for cell in CELLS:
        for backward in (False, True):
            way = "backward" if backward else "forward"
            for s in SHAPES:
                yield Case(
                    "recurrent", f"{cell} {way}", f"{cell} {way}", str(s), "float32", partial(prepare, cell, s, backward), small=s.hidden <= SMALL,
                    quick=s.hidden <= QUICK,
                )  # fmt: skip
