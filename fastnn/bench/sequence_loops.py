"""A recurrent network in NumPy as a careful user writes it: one product for the inputs of all steps, a loop over time with one small product a step, and behind
the backward loop one product for each gradient of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import nn, reference

Array = NDArray[Any]


def parts(model: Any) -> list[Any]:
    """The layers in their order: those of a chain, or of a language model."""
    return list(model.layers) if isinstance(model, nn.Sequential) else [model.embedding, model.recurrent, model.head]


def sigmoid(x: Array) -> Array:
    y: Array = np.tanh(0.5 * x)
    y += 1
    y *= 0.5
    return y


# A step takes what the input and h give, gates and hidden (B, gates H), and returns h, c and what its backward needs. A step's backward returns the gradients of
# gates, of hidden, of h (without what reaches it through hidden) and of c.


def rnn_step(gates: Array, hidden: Array, h: Array, c: Any) -> tuple[Array, Any, Any]:
    y = np.tanh(gates + hidden)
    return y, None, y


def rnn_step_backward(dh: Array, dc: Any, y: Array) -> tuple[Array, Array, Any, Any]:
    d = dh * (1 - y * y)
    return d, d, 0, 0


def lstm_step(gates: Array, hidden: Array, h: Array, c: Array) -> tuple[Array, Any, Any]:
    size = c.shape[1]
    hidden += gates
    both, g, o = sigmoid(hidden[:, : 2 * size]), np.tanh(hidden[:, 2 * size : 3 * size]), sigmoid(hidden[:, 3 * size :])
    i, f = both[:, :size], both[:, size:]
    after = f * c + i * g
    t = np.tanh(after)
    return o * t, after, (i, f, g, o, c, t)


def lstm_step_backward(dh: Array, dc: Any, saved: Any) -> tuple[Array, Array, Any, Any]:
    i, f, g, o, c, t = saved
    dc = dc + dh * o * (1 - t * t)
    d = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)], axis=1)
    return d, d, 0, dc * f


def gru_step(gates: Array, hidden: Array, h: Array, c: Any) -> tuple[Array, Any, Any]:
    size = h.shape[1]
    both = sigmoid(gates[:, : 2 * size] + hidden[:, : 2 * size])
    r, z, hn = both[:, :size], both[:, size:], hidden[:, 2 * size :]
    n = np.tanh(gates[:, 2 * size :] + r * hn)
    return n + z * (h - n), None, (r, z, n, hn, h)


def gru_step_backward(dh: Array, dc: Any, saved: Any) -> tuple[Array, Array, Any, Any]:
    r, z, n, hn, h = saved
    dn = dh * (1 - z) * (1 - n * n)
    dz, dr = dh * (h - n) * z * (1 - z), dn * hn * r * (1 - r)
    return np.concatenate([dr, dz, dn], axis=1), np.concatenate([dr, dz, dn * r], axis=1), dh * z, 0


STEPS: dict[str, Any] = {"RNN": (rnn_step, rnn_step_backward), "LSTM": (lstm_step, lstm_step_backward), "GRU": (gru_step, gru_step_backward)}


def rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def recurrent(kind: str, x: Array, weights: list[Array], state: Any = None) -> tuple[Array, Any, Any]:
    """Outputs (T, B, H), the state (h, c) after the last step, and what backward needs."""
    w_ih, w_hh, b_ih, b_hh = weights
    gates = rows(x) @ w_ih.T
    gates += b_ih
    gates = gates.reshape(*x.shape[:2], -1)
    h, c = state or (np.zeros((x.shape[1], w_hh.shape[1]), x.dtype),) * 2
    outputs, kept = np.empty((len(x) + 1, *h.shape), x.dtype), []
    outputs[0] = h
    for t, one in enumerate(gates):
        hidden = h @ w_hh.T
        hidden += b_hh
        h, c, saved = STEPS[kind][0](one, hidden, h, c)
        outputs[t + 1] = h
        kept.append(saved)
    return outputs[1:], (h, c), (x, outputs[:-1], kept)


def recurrent_backward(kind: str, dy: Array, weights: list[Array], saved: Any) -> tuple[Array, list[Array]]:
    """dx and the gradients of the weights."""
    w_ih, w_hh, _, _ = weights
    x, before, kept = saved
    dgates = np.empty((*x.shape[:2], len(w_ih)), x.dtype)
    dhidden = np.empty_like(dgates) if kind == "GRU" else dgates
    dh: Any = 0
    dc: Any = 0
    for t in reversed(range(len(x))):
        gates, hidden, carried, dc = STEPS[kind][1](dy[t] + dh, dc, kept[t])
        dgates[t] = gates
        if dhidden is not dgates:
            dhidden[t] = hidden
        dh = hidden @ w_hh + carried
    dgates, dhidden = rows(dgates), rows(dhidden)
    gradients = [dgates.T @ rows(x), dhidden.T @ rows(before), dgates.sum(axis=0), dhidden.sum(axis=0)]
    return (dgates @ w_ih).reshape(x.shape), gradients


class Numpy:
    """The network of `parts(model)`, with cross-entropy for labels and the mean squared error for values, trained with Adam."""

    def __init__(self, model: Any, lr: float) -> None:
        self.kinds, self.lr, self.steps = [type(layer).__name__ for layer in parts(model)], lr, 0
        self.parameters = [[np.array(value) for value in layer.state_dict().values()] for layer in parts(model)]
        self.moments = [[(np.zeros_like(p), np.zeros_like(p)) for p in some] for some in self.parameters]

    def forward(self, x: Array, state: Any = None) -> tuple[Array, Any, list[Any]]:
        """The outputs, a row for each prediction; the state after the last step; what backward needs."""
        kept: list[Any] = []
        for kind, some in zip(self.kinds, self.parameters):
            saved: Any = x
            if kind == "Embedding":
                x = some[0][x]
            elif kind == "LastStep":
                x = x[-1]
            elif kind == "Linear":
                x = reference.linear(rows(x), some[0], some[1])
            else:
                x, state, saved = recurrent(kind, x, some, state)
            kept.append(saved)
        return x, state, kept

    def step(self, x: Array, y: Array) -> Any:
        out, _, kept = self.forward(x)
        loss, loss_backward = (
            (reference.cross_entropy, reference.cross_entropy_backward) if y.dtype.kind == "i" else (reference.mse_loss, reference.mse_loss_backward)
        )
        value, d = loss(out, y), loss_backward(out.dtype.type(1), out, y)
        self.steps += 1
        for i in reversed(range(len(kept))):
            kind, some, saved = self.kinds[i], self.parameters[i], kept[i]
            gradients: Any = ()
            if kind == "Embedding":
                chosen = np.equal(saved.reshape(1, -1), np.arange(len(some[0]))[:, None]).astype(d.dtype)
                gradients = (chosen @ rows(d),)
            elif kind == "LastStep":
                d, last = np.zeros_like(saved), d
                d[-1] = last
            elif kind == "Linear":
                dx, *gradients = reference.linear_backward(d, rows(saved), some[0])
                d = dx.reshape(saved.shape)
            else:
                d, gradients = recurrent_backward(kind, d, some, saved)
            for parameter, gradient, (m, v) in zip(some, gradients, self.moments[i]):
                reference.adam_step(parameter, gradient, m, v, step=self.steps, lr=self.lr)
        return value

    def predictor(self) -> Any:
        return lambda x: self.forward(x)[0]

    def carrier(self) -> tuple[Any, Any]:
        return lambda tokens, state: self.forward(tokens, state)[:2], None
