"""Embedding and EmbeddingBag: rows of a learned table."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn.kernels import embedding, embedding_backward, embedding_bag, embedding_bag_backward, embedding_renorm_
from fastnn.nn import init
from fastnn.nn.arguments import number_between, one_of, positive_int
from fastnn.nn.module import Array, Module, ParameterField, check_dtype
from fastnn.random import Rng

Table = TypeVar("Table", bound="_Table")


class _Table(Module):
    """The table and what both layers do with it."""

    weight = ParameterField()

    def _build(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, max_norm: float | None, norm_type: float, scale_grad_by_freq: bool,
        sparse: bool, weight: ArrayLike | None, dtype: DTypeLike, rng: Rng,
    ) -> None:  # fmt: skip
        self.num_embeddings = positive_int(num_embeddings, "num_embeddings", minimum=0)
        self.embedding_dim = positive_int(embedding_dim, "embedding_dim", minimum=0)
        self.padding_idx = padding_idx
        if padding_idx is not None:
            positive_int(padding_idx, "padding_idx", minimum=-num_embeddings)
            if not padding_idx < num_embeddings:
                raise ValueError(f"padding_idx must be from {-num_embeddings} to {num_embeddings - 1}, got {padding_idx}")
            self.padding_idx = padding_idx % num_embeddings
        self.max_norm = None if max_norm is None else number_between(max_norm, "max_norm", 0, np.inf)
        if norm_type not in (1, 2, np.inf):
            raise ValueError(f"norm_type must be 1, 2 or inf, got {norm_type}")
        self.norm_type = norm_type
        self.scale_grad_by_freq, self.sparse = bool(scale_grad_by_freq), bool(sparse)
        if self.sparse and self.scale_grad_by_freq:
            raise ValueError("scale_grad_by_freq must be False with sparse=True")
        self.frozen = False
        shape = num_embeddings, embedding_dim
        if weight is not None:
            table = np.asarray(weight)
            if table.shape != shape:
                raise ValueError(f"_weight must have shape {shape}, got {table.shape}")
            self.weight = np.array(table, check_dtype(table.dtype.newbyteorder("=")), order="C")
            return
        table = init.normal_(np.empty(shape, check_dtype(np.dtype(dtype))), rng=rng)
        if self.padding_idx is not None:
            table[self.padding_idx] = 0
        self.weight = table

    @classmethod
    def from_pretrained(cls: type[Table], embeddings: ArrayLike, freeze: bool = True, **options: Any) -> Table:
        """A layer with a copy of this table, (num_embeddings, embedding_dim). freeze: backward gives it no gradient. options: those of the class."""
        table = np.asarray(embeddings)
        if table.ndim != 2:
            raise ValueError(f"embeddings must have shape (num_embeddings, embedding_dim), got {table.shape}")
        build: Any = cls
        layer: Table = build(*table.shape, _weight=table, **options)
        layer.frozen = bool(freeze)
        return layer

    def _renorm(self, ids: Array) -> Array:
        """The table, with max_norm applied to the rows that are asked for."""
        weight: Array = self._parameters["weight"].data
        return weight if self.max_norm is None else embedding_renorm_(weight, ids, self.max_norm, self.norm_type)

    def _gradient(self) -> dict[str, Any]:
        """The keyword arguments of a backward."""
        weight = self._parameters["weight"]
        target, accumulate = weight.row_grad_target() if self.sparse else weight.grad_target()
        return {"padding_idx": self.padding_idx, "scale_grad_by_freq": self.scale_grad_by_freq, "dweight": target, "accumulate": accumulate}

    def extra_repr(self) -> str:
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        shown = {"padding_idx": None, "max_norm": None, "norm_type": 2.0, "scale_grad_by_freq": False, "sparse": False}
        return text + "".join(f", {name}={getattr(self, name)}" for name, usual in shown.items() if getattr(self, name) != usual)


class Embedding(_Table):
    """y = weight[ids]: ids are integers of any shape, y has their shape and one dimension more, (…, embedding_dim).

    weight: (num_embeddings, embedding_dim) from N(0, 1). padding_idx: a row that starts at 0 and gets no gradient; negative ones count from the end.
    max_norm: rows that are asked for are first scaled, in place, to a norm (norm_type 1, 2 or inf) of at most that. scale_grad_by_freq: gradients
    are divided by how often their id is in the batch. sparse: the gradient has only the rows that were used, and so has the update: for SGD without
    momentum, Adagrad and SparseAdam. `grads` then gives a dense copy. Raises ValueError for ids out of range; backward returns None.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, max_norm: float | None = None, norm_type: float = 2.0,
        scale_grad_by_freq: bool = False, sparse: bool = False, _weight: ArrayLike | None = None, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        self._build(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, dtype, rng)

    def forward(self, ids: Array) -> Array:
        if self.training:
            self._saved = ids
        return embedding(self._renorm(ids), ids)

    def backward(self, dy: Array) -> None:
        ids = self.saved()
        if not self.frozen:
            embedding_backward(dy, ids, self.num_embeddings, **self._gradient())


class EmbeddingBag(_Table):
    """The sum, mean or maximum of the rows in each bag of ids: y (bags, embedding_dim), 0 for an empty bag.

    ids: (bags, length), or (n,) with offsets: where each bag begins and, with include_last_offset, the last one ends. per_sample_weights: factors of
    ids' shape, for mode "sum". Rows of padding_idx do not count. The rest is as for Embedding; mode "max" takes neither sparse nor scale_grad_by_freq.
    backward returns None, or where there are per_sample_weights a tuple that ends with their gradient, after None for ids and offsets.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, max_norm: float | None = None, norm_type: float = 2.0, scale_grad_by_freq: bool = False,
        mode: str = "mean", sparse: bool = False, _weight: ArrayLike | None = None, include_last_offset: bool = False, padding_idx: int | None = None,
        dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        self._build(num_embeddings, embedding_dim, padding_idx, max_norm, norm_type, scale_grad_by_freq, sparse, _weight, dtype, rng)
        self.mode, self.include_last_offset = one_of(mode, "mode", ("sum", "mean", "max")), bool(include_last_offset)
        if mode == "max" and (self.sparse or self.scale_grad_by_freq):
            raise ValueError("mode 'max' takes neither sparse=True nor scale_grad_by_freq=True")

    def __call__(self, ids: Array, offsets: Array | None = None, per_sample_weights: Array | None = None) -> Array:
        return self.forward(ids, offsets, per_sample_weights)

    def forward(self, ids: Array, offsets: Array | None = None, per_sample_weights: Array | None = None) -> Array:
        options: dict[str, Any] = {"mode": self.mode, "padding_idx": self.padding_idx, "include_last_offset": self.include_last_offset}
        y, winners = embedding_bag(self._renorm(ids), ids, offsets, per_sample_weights, **options)
        if self.training:
            self._saved = ids, offsets, per_sample_weights, winners
        return y

    def backward(self, dy: Array) -> tuple[Array | None, ...] | None:
        ids, offsets, weights, winners = self.saved()
        if self.frozen and weights is None:
            return None
        options = {"dweight": None, "padding_idx": self.padding_idx} if self.frozen else self._gradient()
        _, dweights = embedding_bag_backward(
            dy, self._parameters["weight"].data, ids, offsets, weights, winners, self.mode, include_last_offset=self.include_last_offset, **options
        )
        return None if weights is None else (None,) * (1 if offsets is None else 2) + (dweights,)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, mode={self.mode!r}"
