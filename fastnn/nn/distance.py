"""How alike two arrays are: CosineSimilarity and PairwiseDistance, layers of two inputs."""

from __future__ import annotations

from math import inf
from operator import index

from fastnn.kernels import cosine_similarity, cosine_similarity_backward, pairwise_distance, pairwise_distance_backward
from fastnn.nn.arguments import number_between
from fastnn.nn.module import Array, Module


class CosineSimilarity(Module):
    """x1·x2 / (max(|x1|, eps) max(|x2|, eps)) along the axis `dim`, which the result does not have. The inputs broadcast."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        self.dim = index(dim)
        self.eps = number_between(eps, "eps", 0, inf)

    def forward(self, x1: Array, x2: Array) -> Array:
        y: Array
        y, factors = cosine_similarity(x1, x2, self.dim, self.eps, keep=True)
        if self.training:
            self._saved = x1, x2, factors
        return y

    def backward(self, dy: Array) -> tuple[Array, Array]:
        x1, x2, factors = self.saved()
        return cosine_similarity_backward(dy, x1, x2, self.dim, self.eps, saved=factors)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"


class PairwiseDistance(Module):
    """The p-norm of x1 - x2 + eps over the last axis: (N, D) or (D,) to (N,) or (), or with `keepdim` a last axis of 1. The inputs broadcast."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        self.p = number_between(p, "p", 0, inf)
        self.eps = number_between(eps, "eps", -inf, inf)
        self.keepdim = bool(keepdim)

    def forward(self, x1: Array, x2: Array) -> Array:
        y = pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
        if self.training:
            self._saved = x1, x2, y
        return y

    def backward(self, dy: Array) -> tuple[Array, Array]:
        x1, x2, y = self.saved()
        return pairwise_distance_backward(dy, x1, x2, self.p, self.eps, self.keepdim, saved=y)

    def extra_repr(self) -> str:
        return f"p={self.p}, eps={self.eps}, keepdim={self.keepdim}"
