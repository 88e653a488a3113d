"""Rows of a table: lookup, its backward, and training steps of a table with a dense gradient or one of the used rows alone.

NumPy's side is weight[ids] and np.add.at; a step of SGD there touches the used rows only, too. PyTorch's lookups are the operators themselves, its steps
nn.Embedding with the optimizer. Where the gradient is dense, each writes to all rows.
"""

# PyTorch's operators are not typed.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,no-any-return"

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import kernels, nn, optim
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import random_array

Array = NDArray[Any]

IDS, DIM = 2048, 256
TABLES = (96, 50_000)
# name: fastnn's and PyTorch's optimizer, whether the gradient has the used rows alone
STEPS = {
    "step SGD": ("SGD", False),
    "step SGD sparse": ("SGD", True),
    "step Adagrad sparse": ("Adagrad", True),
    "step SparseAdam": ("SparseAdam", True),
}
LR = 0.01


def numpy_backward(dy: Array, ids: Array, rows: int) -> Array:
    dweight = np.zeros((rows, dy.shape[1]), dy.dtype)
    np.add.at(dweight, ids, dy)
    return dweight


def numpy_step(weight: Array, ids: Array, dy: Array) -> Array:
    """The lookup and a step of SGD."""
    y: Array = weight[ids]
    used, places = np.unique(ids, return_inverse=True)
    gradient = np.zeros((len(used), dy.shape[1]), dy.dtype)
    np.add.at(gradient, places, dy)
    weight[used] -= weight.dtype.type(LR) * gradient
    return y


def prepare(name: str, rows: int, dtype: str, wanted: tuple[str, ...]) -> Work:
    weight, dy = random_array(rows, DIM, dtype=dtype), random_array(IDS, DIM, dtype=dtype, seed=1)
    ids = np.random.default_rng(2).integers(0, rows, IDS)
    ours: Callable[[], Any]
    calls: dict[str, Callable[[], Any]]
    if name == "forward":
        ours, calls = partial(kernels.embedding, weight, ids), {"numpy": lambda: weight[ids]}
    else:
        ours, calls = partial(kernels.embedding_backward, dy, ids, rows), {"numpy": partial(numpy_backward, dy, ids, rows)}
    if "torch" in wanted:
        import torch

        tensors = [torch.from_numpy(array) for array in (weight, ids, dy)]
        if name == "forward":
            calls["torch"] = torch.inference_mode()(lambda: torch.nn.functional.embedding(tensors[1], tensors[0]))
        else:
            calls["torch"] = torch.inference_mode()(lambda: torch.ops.aten.embedding_dense_backward(tensors[2], tensors[1], rows, -1, False))

    def check() -> None:
        for peer, call in calls.items():
            np.testing.assert_allclose(ours(), np.asarray(call()), rtol=0, atol=1e3 * float(np.finfo(dtype).eps), err_msg=f"{name} against {peer}")

    return Work(ours, calls, check)


def prepare_step(name: str, rows: int, dtype: str, wanted: tuple[str, ...]) -> Work:
    """Forward, backward from a given gradient, and the update."""
    kind, sparse = STEPS[name]
    weight, dy = random_array(rows, DIM, dtype=dtype), random_array(IDS, DIM, dtype=dtype, seed=1)
    ids = np.random.default_rng(2).integers(0, rows, IDS)
    layer = nn.Embedding.from_pretrained(weight, freeze=False, sparse=sparse)
    optimizer = getattr(optim, kind)(layer.parameters(), lr=LR)
    calls: dict[str, Callable[[], Any]] = {}
    results: dict[str, Callable[[], Array]] = {}

    def ours() -> None:
        layer(ids)
        optimizer.zero_grad()
        layer.backward(dy)
        optimizer.step()

    if kind == "SGD":
        table = weight.copy()
        calls["numpy"], results["numpy"] = partial(numpy_step, table, ids, dy), lambda: table
    if "torch" in wanted:
        import torch

        theirs = torch.nn.Embedding(rows, DIM, sparse=sparse, _weight=torch.from_numpy(weight.copy()))
        updating, numbers, upstream = getattr(torch.optim, kind)(theirs.parameters(), lr=LR), torch.from_numpy(ids), torch.from_numpy(dy)

        def step() -> None:
            y = theirs(numbers)
            updating.zero_grad()
            y.backward(upstream)
            updating.step()

        calls["torch"], results["torch"] = step, lambda: theirs.weight.detach().numpy()

    def check() -> None:
        ours()
        for peer, call in calls.items():
            call()
            np.testing.assert_allclose(layer.weight, results[peer](), rtol=0, atol=1e2 * float(np.finfo(dtype).eps), err_msg=f"{name} against {peer}")

    return Work(ours, calls, check)


def embedding_cases() -> Iterator[Case]:
    for name in ("forward", "backward", *STEPS):
        for dtype in ("float32", "float64"):
            for rows in TABLES:
                work = partial(prepare_step if name in STEPS else prepare, name, rows, dtype)
                yield Case(
                    "embedding", f"embedding {name} {dtype}", f"embedding {name}", f"{IDS} of {rows}×{DIM}", dtype, work,
                    small=rows == TABLES[0], quick=dtype == "float32",
                )  # fmt: skip
