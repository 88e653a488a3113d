"""Multi-head attention: projections of query, key and value, scaled dot-product attention in every head, and a projection of the result."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn.kernels import (
    add, concatenate, concatenate_backward, copy, linear, linear_backward, pad, scale, scaled_dot_product_attention, scaled_dot_product_attention_backward,
    scaled_dot_product_attention_weights, sum_to,
)  # fmt: skip
from fastnn.kernels._arrays import empty
from fastnn.nn import init
from fastnn.nn.arguments import number_between, positive_int
from fastnn.nn.dropout import Dropout
from fastnn.nn.linear import Linear
from fastnn.nn.module import Array, Module, Parameter, ParameterField, check_dtype
from fastnn.random import Rng, default_rng

NAMES = ("query", "key", "value")


class MultiheadAttention(Module):
    """y = out_proj(the heads' softmax(q kᵀ / √head_dim + masks) v, side by side), with q, k, v projected from query, key, value.

    query: (L, N, embed_dim), or with batch_first (N, L, embed_dim), or unbatched (L, embed_dim); key: (S, N, kdim), value: (S, N, vdim), likewise. Source:
    Vaswani et al., Attention Is All You Need, 2017. Parameters, names and initial values are PyTorch's: in_proj_weight (3 embed_dim, embed_dim), or
    q_, k_ and v_proj_weight where kdim or vdim differ; in_proj_bias; bias_k and bias_v with add_bias_kv; out_proj.

    backward(dy) returns (dquery, dkey, dvalue). Where forward was given one array in several places (by identity), the first of them has its whole gradient and
    the others None: for self-attention, (dx, None, None). The weights have no backward.
    """

    in_proj_weight = ParameterField()
    q_proj_weight = ParameterField()
    k_proj_weight = ParameterField()
    v_proj_weight = ParameterField()
    in_proj_bias = ParameterField()
    bias_k = ParameterField()
    bias_v = ParameterField()

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False, add_zero_attn: bool = False,
        kdim: int | None = None, vdim: int | None = None, batch_first: bool = False, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        self.embed_dim, self.num_heads = positive_int(embed_dim, "embed_dim"), positive_int(num_heads, "num_heads")
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim must be divisible by num_heads, got {embed_dim} and {num_heads}")
        self.kdim = self.embed_dim if kdim is None else positive_int(kdim, "kdim")
        self.vdim = self.embed_dim if vdim is None else positive_int(vdim, "vdim")
        self.head_dim, self.batch_first = self.embed_dim // self.num_heads, bool(batch_first)
        self.dropout = number_between(dropout, "dropout", 0, 1)
        kind, generator, e = check_dtype(np.dtype(dtype)), default_rng(rng), self.embed_dim
        self.packed = self.kdim == self.vdim == e

        def weight(out: int, features: int) -> Array:
            return init.xavier_uniform_(np.empty((features, out), kind).T, rng=generator)

        self.in_proj_weight = weight(3 * e, e) if self.packed else None
        self.q_proj_weight, self.k_proj_weight, self.v_proj_weight = (None if self.packed else weight(e, n) for n in (e, self.kdim, self.vdim))
        self.in_proj_bias = np.zeros(3 * e, kind) if bias else None
        self.bias_k, self.bias_v = (init.xavier_normal_(np.empty((1, 1, e), kind), rng=generator) if add_bias_kv else None for _ in "kv")
        self.out_proj = Linear(e, e, bias, kind, generator)
        if bias:
            init.zeros_(self.out_proj.bias)
        self._dropout = Dropout(self.dropout, rng=generator)  # has the state of the masks
        self.add_zero_attn = bool(add_zero_attn)

    # --- projections: neighbours of query, key and value that are one array are projected by one product ---

    def _runs(self, inputs: tuple[Array, Array, Array]) -> list[slice]:
        """Places with the same input, one behind the other; with weights of their own, each place by itself."""
        starts = [i for i in range(3) if i == 0 or not self.packed or inputs[i] is not inputs[i - 1]]
        return [slice(start, end) for start, end in zip(starts, [*starts[1:], 3], strict=True)]

    def _of(self, run: slice, arrays: list[Array | None]) -> tuple[Array, Array | None]:
        """What of the weights, or their gradients, and of the bias belongs to a run. arrays: in_proj_weight or the three, then the bias."""
        rows, bias = slice(run.start * self.embed_dim, run.stop * self.embed_dim), arrays[-1]
        weight = arrays[0] if self.packed else arrays[run.start]
        assert weight is not None
        return weight[rows] if self.packed else weight, None if bias is None else bias[rows]

    def _in_proj(self) -> list[Parameter | None]:
        names = ["in_proj_weight"] if self.packed else [f"{letter}_proj_weight" for letter in "qkv"]
        return [self._parameters[name] for name in (*names, "in_proj_bias")]

    def _heads(self, x: Array) -> Array:
        """(…, embed_dim) of two leading axes as (batch, heads, length, head_dim), in place."""
        return x.reshape(*x.shape[:2], self.num_heads, self.head_dim).transpose((0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))

    # --- forward and backward ---

    def forward(
        self, query: Array, key: Array, value: Array, key_padding_mask: ArrayLike | None = None, need_weights: bool = True,
        attn_mask: ArrayLike | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Array, Array | None]:  # fmt: skip
        """(y, weights). y: query's shape; weights: (N, L, S), or (N, num_heads, L, S) where not averaged, or None where not needed.

        key_padding_mask: (N, S); attn_mask: (L, S) or (N num_heads, L, S); True where a query may not look, or numbers that are added. is_causal
        alone stands for the causal mask, and costs half. A query that may look at nothing has only out_proj's bias.
        """
        inputs = self._checked(query, key, value)
        batched = inputs[0].ndim == 3
        axis = 0 if self.batch_first else 1
        if not batched:
            views = {id(x): x[None] if self.batch_first else x[:, None] for x in inputs}
            inputs = tuple(views[id(x)] for x in inputs)  # type: ignore[assignment]
        parameters = [None if p is None else p.data for p in self._in_proj()]
        projected: list[Array] = []
        for run in self._runs(inputs):
            weight, bias = self._of(run, parameters)
            y = linear(inputs[run.start], weight, bias)
            projected += [y[..., i * self.embed_dim : (i + 1) * self.embed_dim] for i in range(run.stop - run.start)]
        if self._own_keys:
            self._more_keys(projected)
        q, k, v = map(self._heads, projected)
        options = self._options(q, k, key_padding_mask, attn_mask, is_causal)
        y, top, total = scaled_dot_product_attention(q, k, v, **options)
        if self.training:
            self._saved = inputs, batched, q, k, v, y, top, total, options
        weights = None
        if need_weights:
            weights = scaled_dot_product_attention_weights(q, k, top, total, **options)
            if average_attn_weights:
                n, _, length, keys = weights.shape
                weights = scale(sum_to(weights, (n, 1, length, keys)), 1 / self.num_heads).reshape(n, length, keys)
            weights = weights if batched else weights[0]
        y = self.out_proj.forward(y.transpose((0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)).reshape(inputs[0].shape[:2] + (self.embed_dim,)))
        return y if batched else y.squeeze(axis), weights

    def backward(self, dy: Array) -> tuple[Array | None, Array | None, Array | None]:
        inputs, batched, q, k, v, y, top, total, options = self.saved()
        axis, e = 0 if self.batch_first else 1, self.embed_dim
        dy = self._heads(self.out_proj.backward(dy if batched else np.expand_dims(dy, axis)))  # type: ignore[arg-type]
        runs = self._runs(inputs)
        packs = [empty((*inputs[run.start].shape[:2], (run.stop - run.start) * e), q.dtype) for run in runs]
        places = [pack[..., i * e : (i + 1) * e] for pack, run in zip(packs, runs, strict=True) for i in range(run.stop - run.start)]
        longer = self._own_keys > 0
        given: dict[str, Any] = {name: self._heads(place) for name, place in zip(("dq", "dk", "dv"), places, strict=True) if name == "dq" or not longer}
        _, dk, dv = scaled_dot_product_attention_backward(dy, q, k, v, y, top, total, **options, **given)
        if longer:
            self._more_keys_backward(dk, dv, packs, runs)
        parameters = self._in_proj()
        targets, accumulate = _grad_targets(parameters)
        gradients: list[Array | None] = [None, None, None]
        for run, pack in zip(runs, packs, strict=True):
            weight, _ = self._of(run, [None if p is None else p.data for p in parameters])
            dweight, dbias = self._of(run, targets)
            dx = linear_backward(
                pack, inputs[run.start], weight, dweight=dweight, dbias=dbias, accumulate=accumulate, input_gradient=self.needs_input_grad,
                bias_gradient=dbias is not None,
            )[0]  # fmt: skip
            first = next(i for i in range(3) if inputs[i] is inputs[run.start])
            before = gradients[first]
            gradients[first] = dx if before is None or dx is None else add(before, dx)
        dquery, dkey, dvalue = (g if g is None or batched else g.squeeze(axis) for g in gradients)
        return dquery, dkey, dvalue

    # --- keys and values of the layer's own: bias_k and bias_v, then zeros ---

    @property
    def _own_keys(self) -> int:
        return int(self.bias_k is not None) + int(self.add_zero_attn)

    def _more_keys(self, projected: list[Array]) -> None:
        """Append them to the projected keys and values."""
        axis = 1 if self.batch_first else 0
        for i, own in ((1, self.bias_k), (2, self.bias_v)):
            x = projected[i]
            if own is not None:
                n = x.shape[1 - axis]
                x = concatenate([x, np.broadcast_to(own, (n, 1, self.embed_dim) if axis else (1, n, self.embed_dim))], axis)
            projected[i] = pad(copy(x), (0, 0, 0, axis, 0, 1 - axis)) if self.add_zero_attn else x

    def _more_keys_backward(self, dk: Array, dv: Array, packs: list[Array], runs: list[slice]) -> None:
        """The gradients of the projections into `packs`, those of bias_k and bias_v to their parameters."""
        axis, e = 1 if self.batch_first else 0, self.embed_dim
        for i, gradient, name in ((1, dk, "bias_k"), (2, dv, "bias_v")):
            whole = gradient.transpose((0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3))
            whole = whole.reshape(*whole.shape[:2], e)
            head, *rest = concatenate_backward(whole, [whole.shape[axis] - self._own_keys] + [1] * self._own_keys, axis)
            number = next(n for n, run in enumerate(runs) if run.start <= i < run.stop)
            copy(head, out=packs[number][..., (i - runs[number].start) * e :][..., :e])
            if self._parameters[name] is not None:
                self._parameters[name].add_grad(sum_to(rest[0], (1, 1, e)))

    # --- arguments ---

    def _checked(self, *inputs: ArrayLike) -> tuple[Array, Array, Array]:
        """The inputs as arrays; what is one object stays one."""
        axis = 0 if self.batch_first else 1
        for name, x, size in zip(NAMES, inputs, (self.embed_dim, self.kdim, self.vdim), strict=True):
            shape = np.shape(x)
            if len(shape) not in (2, 3) or shape[-1] != size or len(shape) != np.ndim(inputs[0]):
                length = "L" if name == "query" else "S"
                layout = f"(N, {length}, {size})" if self.batch_first else f"({length}, N, {size})"
                raise ValueError(f"{name} must have shape {layout} or without N, the same for all three, got {shape}")
        arrays = {id(x): np.asarray(x) for x in inputs}
        query, key, value = (arrays[id(x)] for x in inputs)
        if np.shape(key)[:-1] != np.shape(value)[:-1]:
            raise ValueError(f"key and value must have the same length and batch, got {np.shape(key)} and {np.shape(value)}")
        if np.ndim(query) == 3 and np.shape(query)[axis] != np.shape(key)[axis]:
            raise ValueError(f"query and key must have the same batch, got {np.shape(query)} and {np.shape(key)}")
        return query, key, value

    def _options(self, q: Array, k: Array, padding: ArrayLike | None, mask: ArrayLike | None, is_causal: bool) -> dict[str, Any]:
        """Those of the kernel. Masks have columns for the keys that were given: the layer's own may always be looked at."""
        n, heads, length, _ = q.shape
        own = self._own_keys
        keys = k.shape[2] - own
        if mask is not None:
            mask = np.asarray(mask)
            if mask.shape not in ((length, keys), (n * heads, length, keys)):
                raise ValueError(f"attn_mask must have shape {(length, keys)} or {(n * heads, length, keys)}, got {mask.shape}")
            mask = mask if mask.ndim == 2 else mask.reshape(n, heads, length, keys)
        if padding is not None:
            padding = np.asarray(padding)
            wanted = ((n, keys), (keys,)) if n == 1 else ((n, keys),)
            if padding.shape not in wanted:
                raise ValueError(f"key_padding_mask must have shape {wanted[0]}, got {padding.shape}")
            padding = padding.reshape(n, keys)
        if own and is_causal:
            future = ~np.tri(length, keys, dtype=np.bool_)
            mask, is_causal = future if mask is None else np.where(future, True if mask.dtype == np.bool_ else -np.inf, mask).astype(mask.dtype), False
        if own:
            mask, padding = (None if m is None else np.concatenate([m, np.zeros((*m.shape[:-1], own), m.dtype)], -1) for m in (mask, padding))
        options = {"mask": mask, "key_padding_mask": padding, "causal": is_causal}
        return {**options, "dropout_p": self.dropout, "state": self._dropout._state} if self.training and self.dropout else options

    def extra_repr(self) -> str:
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, dropout={self.dropout}, batch_first={self.batch_first}"


def _grad_targets(parameters: list[Parameter | None]) -> tuple[list[Array | None], bool]:
    """The parameters' gradient arrays, and whether to add to all of them."""
    targets = [(None, False) if p is None else p.grad_target() for p in parameters]
    accumulate = any(add_to for _, add_to in targets)
    for array, add_to in targets:
        if accumulate and not add_to and array is not None:  # some of them were zeroed by themselves
            array[...] = 0
    return [array for array, _ in targets], accumulate
