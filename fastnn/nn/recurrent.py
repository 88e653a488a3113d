"""Recurrent layers over whole sequences: RNN, LSTM and GRU; LastStep."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn import kernels
from fastnn.nn import init
from fastnn.nn.arguments import number_between, one_of, positive_int
from fastnn.nn.dropout import Dropout
from fastnn.nn.module import Array, Module, Parameter, check_dtype, copy_into, grad_targets
from fastnn.random import Rng, default_rng


class _Recurrent(Module):
    """What RNN, LSTM and GRU have in common: the arguments, the parameters of all layers, and the way through them.

    Layer k has weight_ih_l{k} (gates hidden, in), weight_hh_l{k} (gates hidden, hidden), bias_ih_l{k} and bias_hh_l{k}, and the same with _reverse behind
    their names for the second direction; all start from U(-1/√hidden, 1/√hidden), as in PyTorch.
    """

    gates = 1
    states = 1  # arrays that a state has: h, or h and c
    proj_size = 0

    def _build(
        self, input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float, bidirectional: bool, dtype: DTypeLike,
        rng: Rng,
    ) -> None:  # fmt: skip
        self.input_size = positive_int(input_size, "input_size")
        self.hidden_size = positive_int(hidden_size, "hidden_size")
        self.num_layers = positive_int(num_layers, "num_layers")
        self.bias, self.batch_first, self.bidirectional = bool(bias), bool(batch_first), bool(bidirectional)
        self.dropout = number_between(dropout, "dropout", 0, 1)
        kind, generator = check_dtype(np.dtype(dtype)), default_rng(rng)
        self._dropouts = tuple(Dropout(dropout, rng=generator) for _ in range(num_layers - 1)) if dropout else ()
        self._parameters = {}
        bound, rows = 1 / sqrt(hidden_size), self.gates * hidden_size
        for layer in range(num_layers):
            width = input_size if layer == 0 else self._width
            for names in self._names(layer):
                shapes = {"weight_ih": (rows, width), "weight_hh": (rows, self._size), "weight_hr": (self._size, hidden_size)}
                for name in names:
                    shape = shapes.get(name[:9], (rows,))
                    self._parameters[name] = Parameter(init.uniform_(np.empty(shape[::-1], kind).T, -bound, bound, generator))

    @property
    def _size(self) -> int:
        """The numbers in a row of h."""
        return self.proj_size or self.hidden_size

    @property
    def _width(self) -> int:
        """The numbers in a step of the output."""
        return self._size * (2 if self.bidirectional else 1)

    def _names(self, layer: int) -> list[list[str]]:
        """The names of a layer's parameters, for each direction, in the kernels' order."""
        kinds = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if self.bias else []), *(["weight_hr"] if self.proj_size else [])]
        return [[f"{kind}_l{layer}{end}" for kind in kinds] for end in ("", "_reverse")[: 1 + self.bidirectional]]

    def _weights(self, layer: int) -> list[tuple[Parameter | None, ...]]:
        """weight_ih, weight_hh, bias_ih, bias_hh and perhaps weight_hr of each direction."""
        found = []
        for names in self._names(layer):
            entries: list[Parameter | None] = [self._parameters[name] for name in names]
            if not self.bias:
                entries[2:2] = [None, None]
            found.append(tuple(entries))
        return found

    def __getattr__(self, name: str) -> Any:
        try:
            return vars(self)["_parameters"][name].data
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        entry = vars(self).get("_parameters", {}).get(name)
        if entry is None:
            object.__setattr__(self, name, value)
        else:
            copy_into(entry.data, value, name)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((f"dropout_l{i}", layer) for i, layer in enumerate(self._dropouts))

    # --- the kernel of one layer, which subclasses say ---

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        """y, the last states, and what backward needs."""
        raise NotImplementedError(f"{type(self).__name__} does not define _forward")

    def _backward(self, dy: Array | None, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        """dx, the gradients of the initial states, and those of the weights."""
        raise NotImplementedError(f"{type(self).__name__} does not define _backward")

    # --- all layers ---

    def forward(self, x: Array, state: Any = None, lengths: ArrayLike | None = None, table: Array | None = None) -> tuple[Array, Any]:
        """The output of the last layer for each step, and the state after the last one.

        x: (T, B, input_size), (B, T, input_size) where batch_first, or without a batch (T, input_size). state: the initial one of all layers, (layers
        directions, B, hidden), of an LSTM the pair (h, c) of such; None: 0. lengths: (B,) integers from 0 to T: steps beyond a sequence's length
        are left out, whatever x holds there; their outputs are 0. table: (rows, input_size): x then holds integers (T, B) and stands for table[x], at a
        fraction of the work where its rows are fewer than the steps of all sequences; backward returns the gradient of the table. Returns output
        (T, B, directions hidden) and the state after each sequence's last step.
        """
        x = np.asarray(x)
        unbatched = x.ndim == 2 and table is None
        if table is None and (x.ndim not in (2, 3) or x.shape[-1] != self.input_size):
            shape = f"{'(B, T' if self.batch_first else '(T, B'}, {self.input_size}) or (T, {self.input_size})"
            raise ValueError(f"x must have shape {shape}, got {x.shape}")
        if unbatched and lengths is not None:
            raise ValueError("lengths must be None for an x without a batch")
        if unbatched:
            x = x[None] if self.batch_first else x[:, None]
        initial = self._layers_of(state, x, unbatched, "state")
        kept, last = [], []
        for layer in range(self.num_layers):
            weights = [tuple(None if p is None else p.data for p in entry) for entry in self._weights(layer)]
            result = self._forward(x, weights, initial[layer], table=None if layer else table, lengths=lengths, batch_first=self.batch_first, save=self.training)
            kept.append((x, result[-1]))
            last.append(result[1:-1])
            x = result[0]
            if self.training and layer < len(self._dropouts):
                x = self._dropouts[layer].forward(x)
        if self.training:
            self._saved = kept, lengths, state is not None, unbatched, table
        ends = tuple(one[0] if self.num_layers == 1 else kernels.concatenate(one, 0) for one in zip(*last))
        if unbatched:
            x, ends = x.reshape(-1, x.shape[-1]), tuple(end[:, 0] for end in ends)
        return x, ends[0] if self.states == 1 else ends

    def backward(self, dy: Array | None, dstate: Any = None) -> Any:
        """The gradient of x from those of the output and of the last state, either of which may be None; with an initial state, (dx, its gradient)."""
        kept, lengths, with_state, unbatched, table = self.saved()
        gradient = None if dy is None else np.asarray(dy)
        if gradient is not None and unbatched:
            gradient = gradient[None] if self.batch_first else gradient[:, None]
        ends = self._layers_of(dstate, kept[0][0], unbatched, "dstate")
        first = []
        for layer in reversed(range(self.num_layers)):
            x, saved = kept[layer]
            parameters = self._weights(layer)
            weights = [tuple(None if p is None else p.data for p in entry) for entry in parameters]
            targets, accumulate = zip(*map(_gradients, parameters))
            gradient, *dinitial, _ = self._backward(
                gradient, x, weights, saved, ends[layer], table=None if layer else table, lengths=lengths, batch_first=self.batch_first, gradients=targets, accumulate=accumulate,
                input_gradient=layer > 0 or self.needs_input_grad, state_gradients=with_state,
            )  # fmt: skip
            first.append(dinitial)
            if 0 < layer <= len(self._dropouts):
                gradient = self._dropouts[layer - 1].backward(gradient)
        if unbatched and gradient is not None:
            gradient = gradient.reshape(-1, gradient.shape[-1])
        if not with_state:
            return gradient
        initial = tuple(one[0] if self.num_layers == 1 else kernels.concatenate(one[::-1], 0) for one in zip(*first))
        if unbatched:
            initial = tuple(one[:, 0] for one in initial)
        return gradient, initial[0] if self.states == 1 else initial

    def link(self, x: Array, lengths: ArrayLike | None) -> Array:
        return self.forward(x, None, lengths)[0]

    def _layers_of(self, state: Any, x: Array, unbatched: bool, name: str) -> list[list[Array | None]]:
        """The arrays of a state, h or h and c, for each layer; the last state's gradient may have None for one of them."""
        directions = 1 + self.bidirectional
        if state is None:
            return [[None] * self.states] * self.num_layers
        arrays = state if self.states > 1 else (state,)
        if not isinstance(arrays, (tuple, list)) or len(arrays) != self.states:
            raise TypeError(f"{name} must be a pair of arrays (h, c), got {type(state).__name__}")
        rows = x.shape[0 if self.batch_first else 1]
        parts: list[list[Array | None]] = [[] for _ in range(self.num_layers)]
        for array, width in zip(arrays, (self._size, self.hidden_size)):
            if array is not None:
                array = np.asarray(array)
                shape = (self.num_layers * directions, *(() if unbatched else (rows,)), width)
                if array.shape != shape:
                    raise ValueError(f"{name} must have arrays of shape {shape}, got {array.shape}")
                array = array.reshape(self.num_layers, directions, rows, width)
            for layer, part in enumerate(parts):
                part.append(None if array is None else array[layer])
        return parts

    def extra_repr(self) -> str:
        given = {"num_layers": (self.num_layers, 1), "bias": (self.bias, True), "batch_first": (self.batch_first, False),
                 "dropout": (self.dropout, 0.0), "bidirectional": (self.bidirectional, False), "proj_size": (self.proj_size, 0)}  # fmt: skip
        return ", ".join([f"{self.input_size}, {self.hidden_size}", *(f"{name}={value}" for name, (value, usual) in given.items() if value != usual)])


def _gradients(parameters: tuple[Parameter | None, ...]) -> tuple[tuple[Array | None, ...], tuple[bool, ...]]:
    """The gradients' arrays of one direction, in the parameters' order, and whether to add to each."""
    (ih, hh, bias_ih, bias_hh), rest = parameters[:4], parameters[4:]
    assert ih is not None and hh is not None
    first, second = grad_targets(ih, bias_ih), grad_targets(hh, bias_hh)
    others = [parameter.grad_target() for parameter in rest if parameter is not None]
    targets = (first[0], second[0], first[1], second[1], *(target for target, _ in others))
    return targets, (first[2], second[2], first[2], second[2], *(add for _, add in others))


class RNN(_Recurrent):
    """A recurrent layer: h[t] = nonlinearity(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh), with nonlinearity "tanh" or "relu".

    forward(x, state=None, lengths=None) returns (output, h_n); see its docstring. With num_layers > 1 each layer takes the outputs of the one
    before, in training through dropout; bidirectional: a second direction goes through time backwards, and outputs are joined. In a
    Sequential it passes its output on. Elman (1990).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        self.nonlinearity = one_of(nonlinearity, "nonlinearity", ("tanh", "relu"))
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng)

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.rnn(x, weights, *states, nonlinearity=self.nonlinearity, **options)

    def _backward(self, dy: Array | None, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.rnn_backward(dy, x, weights, saved, dh_n=dstates[0], nonlinearity=self.nonlinearity, **options)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity!r}")


class LSTM(_Recurrent):
    """Long short-term memory: i, f, g, o = the gates; c[t] = sigmoid(f) c[t-1] + sigmoid(i) tanh(g); h[t] = sigmoid(o) tanh(c[t]).

    forward(x, (h, c)=None, lengths=None) returns (output, (h_n, c_n)); otherwise as RNN. proj_size > 0: h[t] is a product of weight_hr
    (proj_size, hidden) with that. Hochreiter and Schmidhuber (1997); gates in PyTorch's order i, f, g, o.
    """

    gates, states = 4, 2

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, proj_size: int = 0, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        self.proj_size = positive_int(proj_size, "proj_size", minimum=0)
        if self.proj_size >= positive_int(hidden_size, "hidden_size"):
            raise ValueError(f"proj_size must be smaller than hidden_size, got {proj_size} and {hidden_size}")
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng)

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.lstm(x, weights, *states, **options)

    def _backward(self, dy: Array | None, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.lstm_backward(dy, x, weights, saved, dh_n=dstates[0], dc_n=dstates[1], **options)


class GRU(_Recurrent):
    """Gated recurrent units: r, z = sigmoid(the gates); n = tanh(W_in x[t] + b_in + r (W_hn h[t-1] + b_hn)); h[t] = (1 - z) n + z h[t-1].

    forward(x, state=None, lengths=None) returns (output, h_n); otherwise as RNN. Cho et al. (2014); gates in PyTorch's order r, z, n.
    """

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        self._build(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, dtype, rng)

    def _forward(self, x: Array, weights: list[Any], states: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.gru(x, weights, *states, **options)

    def _backward(self, dy: Array | None, x: Array, weights: list[Any], saved: Any, dstates: list[Array | None], **options: Any) -> tuple[Any, ...]:
        return kernels.gru_backward(dy, x, weights, saved, dh_n=dstates[0], **options)


class LastStep(Module):
    """The last valid step of each sequence: y[b] = x[lengths[b] - 1, b], 0 where a length is 0.

    x: (T, B, …), or (B, T, …) where batch_first; lengths: (B,) integers from 0 to T, or None: T. y: (B, …).
    """

    def __init__(self, batch_first: bool = False) -> None:
        self.batch_first = bool(batch_first)

    def forward(self, x: Array, lengths: ArrayLike | None = None) -> Array:
        y = kernels.last_step(x, lengths, batch_first=self.batch_first)
        if self.training:
            self._saved = np.shape(x), lengths
        return y

    def backward(self, dy: Array) -> Array | None:
        shape, lengths = self.saved()
        return kernels.last_step_backward(dy, shape, lengths, batch_first=self.batch_first) if self.needs_input_grad else None

    def link(self, x: Array, lengths: ArrayLike | None) -> Array:
        return self.forward(x, lengths)

    def extra_repr(self) -> str:
        return "batch_first=True" if self.batch_first else ""
