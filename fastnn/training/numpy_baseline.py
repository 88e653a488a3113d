"""A feed-forward network in plain NumPy, as a careful user writes it: what `fastnn train` and `fastnn bench` are measured against.

float32 throughout, no array allocated twice that can be kept: products, biases and activations go through `out=`, and the optimizer's
update is in place. The update runs over one flat array that all parameters are views of, so that it is a dozen NumPy calls a step and
not a dozen for each parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
ACTIVATIONS = ("relu", "tanh", "sigmoid")
OPTIMIZERS = ("adam", "sgd")


class NumpyNetwork:
    """Linear layers with an activation between them, softmax cross-entropy or the mean squared error, Adam or SGD with momentum.

    weights: (out, in) for each layer, biases: (out,); they are copied. `step(x, y)` trains on a batch and returns its loss.
    """

    def __init__(self, weights: Sequence[Array], biases: Sequence[Array], activation: str = "relu", optimizer: str = "adam",
                 lr: float = 1e-3, momentum: float = 0.9, loss: str = "cross_entropy") -> None:
        arrays = [array for pair in zip((w.T for w in weights), biases) for array in pair]
        self._flat = np.concatenate([a.ravel() for a in arrays])
        self._grad = np.zeros_like(self._flat)
        ends = np.cumsum([a.size for a in arrays])[:-1]
        views = [[part.reshape(a.shape) for part, a in zip(np.split(flat, ends), arrays)] for flat in (self._flat, self._grad)]
        self.weights, self.biases = views[0][::2], views[0][1::2]  # weights as (in, out), which x @ w likes best
        self._dweights, self._dbiases = views[1][::2], views[1][1::2]
        self._activation, self._optimizer, self._lr, self._momentum = activation, optimizer, np.float32(lr), np.float32(momentum)
        self._loss = self._cross_entropy if loss == "cross_entropy" else self._mean_square
        self._m, self._v, self._scratch = np.zeros_like(self._flat), np.zeros_like(self._flat), np.empty_like(self._flat)
        self._steps = 0
        self._buffers: dict[int, tuple[list[Array], list[Array], Array]] = {}

    def _buffers_for(self, rows: int) -> tuple[list[Array], list[Array], Array]:
        """Outputs and their gradients of each layer, and the row numbers, for batches of so many rows."""
        if rows not in self._buffers:
            outputs = [np.empty((rows, b.size), self._flat.dtype) for b in self.biases]
            self._buffers[rows] = outputs, [np.empty_like(y) for y in outputs], np.arange(rows)
        return self._buffers[rows]

    def forward(self, x: Array) -> Array:
        """The outputs (rows, out) for x (rows, in), in memory that the next call with so many rows uses again."""
        outputs, _, _ = self._buffers_for(len(x))
        last, below = len(outputs) - 1, x
        for i, y in enumerate(outputs):
            np.matmul(below, self.weights[i], out=y)
            y += self.biases[i]
            if i < last:
                self._activate(y)
            below = y
        return below

    def _cross_entropy(self, y: Array, dy: Array, labels: Array, numbers: Array) -> float:
        """p = softmax(y), loss = -mean log p[label], dy = (p - onehot) / rows."""
        y -= y.max(axis=1, keepdims=True)
        np.exp(y, out=dy)
        total = dy.sum(axis=1, keepdims=True)
        loss = float(np.mean(np.log(total[:, 0]) - y[numbers, labels]))
        dy /= total
        dy[numbers, labels] -= 1
        dy *= np.float32(1 / len(y))
        return loss

    def _mean_square(self, y: Array, dy: Array, target: Array, numbers: Array) -> float:
        """loss = mean (y - target)², dy = 2 (y - target) / size."""
        np.subtract(y, target, out=dy)
        loss = float(np.vdot(dy, dy)) / dy.size
        dy *= np.float32(2 / dy.size)
        return loss

    def step(self, x: Array, target: Array) -> float:
        """Forward, loss, backward and update for a batch x (rows, in) with labels (rows,) or values (rows, out); returns the mean loss."""
        outputs, gradients, numbers = self._buffers_for(len(x))
        loss = self._loss(self.forward(x), gradients[-1], target, numbers)

        for i in range(len(outputs) - 1, -1, -1):
            below = outputs[i - 1] if i else x
            np.matmul(below.T, gradients[i], out=self._dweights[i])
            gradients[i].sum(axis=0, out=self._dbiases[i])
            if i:
                np.matmul(gradients[i], self.weights[i].T, out=gradients[i - 1])
                self._activate_backward(gradients[i - 1], outputs[i - 1])
        self._update()
        return loss

    def _activate(self, y: Array) -> None:
        if self._activation == "relu":
            np.maximum(y, 0, out=y)
        elif self._activation == "tanh":
            np.tanh(y, out=y)
        else:  # sigmoid, as (1 + tanh(y / 2)) / 2, which does not overflow
            y *= np.float32(0.5)
            np.tanh(y, out=y)
            y += 1
            y *= np.float32(0.5)

    def _activate_backward(self, dy: Array, y: Array) -> None:
        if self._activation == "relu":
            dy *= y > 0
        elif self._activation == "tanh":
            dy *= 1 - y * y
        else:
            dy *= y * (1 - y)

    def _update(self) -> None:
        """Adam (Kingma and Ba 2015) with the usual betas and eps, or SGD with momentum."""
        g, m, v, t = self._grad, self._m, self._v, self._scratch
        if self._optimizer == "sgd":
            m *= self._momentum
            m += g
            np.multiply(m, self._lr, out=t)
            self._flat -= t
            return
        self._steps += 1
        m *= np.float32(0.9)
        np.multiply(g, np.float32(0.1), out=t)
        m += t
        v *= np.float32(0.999)
        np.multiply(g, g, out=t)
        t *= np.float32(0.001)
        v += t
        np.sqrt(v, out=t)
        t *= np.float32((1 - 0.999**self._steps) ** -0.5)
        t += np.float32(1e-8)
        np.divide(m, t, out=t)
        t *= np.float32(self._lr / (1 - 0.9**self._steps))
        self._flat -= t
