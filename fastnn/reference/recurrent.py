"""Recurrent layers, step by step. x: (T, B, in); weights: for each direction (weight_ih, weight_hh, bias_ih, bias_hh), and weight_hr of an LSTM with projection."""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .activation import sigmoid
from .array import Array

Weights = Sequence[Sequence[Any]]
Step = tuple[Array, tuple[Array, ...], Any]  # h, all states after the step, and what its backward needs


def _relu(a: Array) -> Array:
    return np.maximum(a, 0)


def _rnn_step(gates: Array, hidden: Array, h: Array, nonlinearity: str) -> Step:
    y = (np.tanh if nonlinearity == "tanh" else _relu)(gates + hidden)
    return y, (y,), y


def _rnn_step_backward(dh: Array, y: Array, nonlinearity: str) -> tuple[Array, Array, Array]:
    d = dh * (1 - y * y if nonlinearity == "tanh" else y > 0)
    return d, d, np.zeros_like(dh)


def _gru_step(gates: Array, hidden: Array, h: Array) -> Step:
    (xr, xz, xn), (hr, hz, hn) = np.split(gates, 3, -1), np.split(hidden, 3, -1)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    y = n + z * (h - n)
    return y, (y,), (r, z, n, hn, h)


def _gru_step_backward(dh: Array, saved: Any) -> tuple[Array, Array, Array]:
    r, z, n, hn, h = saved
    dn = dh * (1 - z) * (1 - n * n)
    dz, dr = dh * (h - n) * z * (1 - z), dn * hn * r * (1 - r)
    return np.concatenate([dr, dz, dn], -1), np.concatenate([dr, dz, dn * r], -1), dh * z


def _lstm_step(gates: Array, hidden: Array, c: Array) -> tuple[Array, Array, Any]:
    i, f, g, o = np.split(gates + hidden, 4, -1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    after = f * c + i * g
    return o * np.tanh(after), after, (i, f, g, o, c, after)


def _lstm_step_backward(dh: Array, dc: Array, saved: Any) -> tuple[Array, Array]:
    i, f, g, o, c, after = saved
    t = np.tanh(after)
    dc = dc + dh * o * (1 - t * t)
    gates = np.concatenate([dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)], -1)
    return gates, dc * f


def _plus(product: Array, bias: Array | None) -> Array:
    return product if bias is None else product + bias


def _valid(lengths: Any, t: int, rows: int) -> Array:
    """Whether step t is one of each sequence, as a column."""
    return (np.ones(rows, bool) if lengths is None else t < np.asarray(lengths))[:, None]


def _run(cell: str, x: Array, weights: Weights, h0: Any, c0: Any, lengths: Any, batch_first: bool, nonlinearity: str) -> tuple[Array, Array, Array, list[Any]]:
    x = x.swapaxes(0, 1) if batch_first else x
    steps, rows = x.shape[:2]
    outputs, h_n, c_n, saved = [], [], [], []
    for direction, (w_ih, w_hh, b_ih, b_hh, *rest) in enumerate(weights):
        size, units = w_hh.shape[1], w_hh.shape[0] // {"rnn": 1, "gru": 3, "lstm": 4}[cell]
        h = np.zeros((rows, size), x.dtype) if h0 is None else h0[direction]
        c = np.zeros((rows, units), x.dtype) if c0 is None else c0[direction]
        y, kept = np.zeros((steps, rows, size), x.dtype), {}
        for t in reversed(range(steps)) if direction else range(steps):
            gates, hidden, valid = _plus(x[t] @ w_ih.T, b_ih), _plus(h @ w_hh.T, b_hh), _valid(lengths, t, rows)
            if cell == "lstm":
                raw, after, step = _lstm_step(gates, hidden, c)
                new = raw @ rest[0].T if rest and rest[0] is not None else raw
                c, step = np.where(valid, after, c), (step, raw)
            elif cell == "gru":
                new, _, step = _gru_step(gates, hidden, h)
            else:
                new, _, step = _rnn_step(gates, hidden, h, nonlinearity)
            kept[t] = (step, h)
            h, y[t] = np.where(valid, new, h), np.where(valid, new, 0)
        outputs.append(y)
        h_n.append(h)
        c_n.append(c)
        saved.append(kept)
    y = np.concatenate(outputs, -1)
    return y.swapaxes(0, 1) if batch_first else y, np.stack(h_n), np.stack(c_n), saved


def _run_backward(
    cell: str, dy: Any, x: Array, weights: Weights, saved: list[Any], dh_n: Any, dc_n: Any, lengths: Any, batch_first: bool, nonlinearity: str
) -> tuple[Array, Array, Array, list[Any]]:
    x = x.swapaxes(0, 1) if batch_first else x
    steps, rows = x.shape[:2]
    dx, dh0, dc0, gradients = np.zeros_like(x), [], [], []
    for direction, (w_ih, w_hh, b_ih, b_hh, *rest) in enumerate(weights):
        size, units = w_hh.shape[1], w_hh.shape[0] // {"rnn": 1, "gru": 3, "lstm": 4}[cell]
        projection = rest[0] if rest else None
        dh = np.zeros((rows, size), x.dtype) if dh_n is None else dh_n[direction]
        dc = np.zeros((rows, units), x.dtype) if dc_n is None else dc_n[direction]
        dw_ih, dw_hh, db_ih, db_hh = np.zeros_like(w_ih), np.zeros_like(w_hh), np.zeros(len(w_ih), x.dtype), np.zeros(len(w_hh), x.dtype)
        dw_hr = None if projection is None else np.zeros_like(projection)
        for t in range(steps) if direction else reversed(range(steps)):
            (step, h), valid = saved[direction][t], _valid(lengths, t, rows)
            d = dh
            if dy is not None:
                d = d + (dy.swapaxes(0, 1) if batch_first else dy)[t][:, direction * size : (direction + 1) * size]
            carried: Any = 0
            if cell == "lstm":
                step, raw = step
                if projection is not None:
                    dw_hr += np.where(valid, d, 0).T @ np.where(valid, raw, 0)
                    d_raw = d @ projection
                else:
                    d_raw = d
                gates, before = _lstm_step_backward(d_raw, dc, step)
                hidden, dc = gates, np.where(valid, before, dc)
            elif cell == "gru":
                gates, hidden, carried = _gru_step_backward(d, step)
            else:
                gates, hidden, carried = _rnn_step_backward(d, step, nonlinearity)
            gates, hidden = np.where(valid, gates, 0), np.where(valid, hidden, 0)
            dw_ih += gates.T @ x[t]
            dw_hh += hidden.T @ h
            db_ih += gates.sum(0)
            db_hh += hidden.sum(0)
            dx[t] += gates @ w_ih
            dh = np.where(valid, hidden @ w_hh + carried, dh)
        dh0.append(dh)
        dc0.append(dc)
        made = (dw_ih, dw_hh, None if b_ih is None else db_ih, None if b_hh is None else db_hh)
        gradients.append(made if not rest else (*made, dw_hr))
    return dx.swapaxes(0, 1) if batch_first else dx, np.stack(dh0), np.stack(dc0), gradients


def _looked_up(x: Array, table: Any) -> Array:
    return x if table is None else table[x]


def _of_table(dx: Array, x: Array, table: Any) -> Array:
    """The gradient of the table, from that of its rows."""
    if table is None:
        return dx
    gradient = np.zeros_like(table)
    np.add.at(gradient, x, dx)
    return gradient


def rnn(
    x: Array, weights: Weights, h0: Any = None, *, nonlinearity: str = "tanh", table: Any = None, lengths: Any = None, batch_first: bool = False
) -> tuple[Array, Array, list[Any]]:
    y, h_n, _, saved = _run("rnn", _looked_up(x, table), weights, h0, None, lengths, batch_first, nonlinearity)
    return y, h_n, saved


def rnn_backward(
    dy: Any, x: Array, weights: Weights, saved: list[Any], *, dh_n: Any = None, nonlinearity: str = "tanh", table: Any = None, lengths: Any = None, batch_first: bool = False
) -> tuple[Array, Array, list[Any]]:
    dx, dh, _, gradients = _run_backward("rnn", dy, _looked_up(x, table), weights, saved, dh_n, None, lengths, batch_first, nonlinearity)
    return _of_table(dx, x, table), dh, gradients


def lstm(
    x: Array, weights: Weights, h0: Any = None, c0: Any = None, *, table: Any = None, lengths: Any = None, batch_first: bool = False
) -> tuple[Array, Array, Array, list[Any]]:
    return _run("lstm", _looked_up(x, table), weights, h0, c0, lengths, batch_first, "")


def lstm_backward(
    dy: Any, x: Array, weights: Weights, saved: list[Any], *, dh_n: Any = None, dc_n: Any = None, table: Any = None, lengths: Any = None, batch_first: bool = False
) -> tuple[Array, Array, Array, list[Any]]:
    dx, dh, dc, gradients = _run_backward("lstm", dy, _looked_up(x, table), weights, saved, dh_n, dc_n, lengths, batch_first, "")
    return _of_table(dx, x, table), dh, dc, gradients


def gru(x: Array, weights: Weights, h0: Any = None, *, table: Any = None, lengths: Any = None, batch_first: bool = False) -> tuple[Array, Array, list[Any]]:
    y, h_n, _, saved = _run("gru", _looked_up(x, table), weights, h0, None, lengths, batch_first, "")
    return y, h_n, saved


def gru_backward(
    dy: Any, x: Array, weights: Weights, saved: list[Any], *, dh_n: Any = None, table: Any = None, lengths: Any = None, batch_first: bool = False
) -> tuple[Array, Array, list[Any]]:
    dx, dh, _, gradients = _run_backward("gru", dy, _looked_up(x, table), weights, saved, dh_n, None, lengths, batch_first, "")
    return _of_table(dx, x, table), dh, gradients


def last_step(x: Array, lengths: Any = None, *, batch_first: bool = False) -> Array:
    x = x.swapaxes(0, 1) if batch_first else x
    counts = np.full(x.shape[1], len(x)) if lengths is None else np.asarray(lengths)
    y = np.zeros(x.shape[1:], x.dtype)
    for b in np.flatnonzero(counts):
        y[b] = x[counts[b] - 1, b]
    return y


def last_step_backward(dy: Array, shape: tuple[int, ...], lengths: Any = None, *, batch_first: bool = False) -> Array:
    dx = np.zeros(shape, dy.dtype)
    over_time = dx.swapaxes(0, 1) if batch_first else dx
    counts = np.full(len(dy), len(over_time)) if lengths is None else np.asarray(lengths)
    for b in np.flatnonzero(counts):
        over_time[counts[b] - 1, b] = dy[b]
    return dx
