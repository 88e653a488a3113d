"""Losses that compare inputs with each other: backward returns a gradient for each of them."""

from __future__ import annotations

from math import inf
from typing import Any

from fastnn import kernels
from fastnn.nn.arguments import number_between
from fastnn.nn.loss import Loss
from fastnn.nn.module import Array


class MarginRankingLoss(Loss):
    """max(0, margin - target (input1 - input2)): for target 1 input1 should be the larger one, for -1 the smaller one. The arrays broadcast."""

    differentiable = (0, 1)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number_between(margin, "margin", -inf, inf)

    def forward(self, input1: Array, input2: Array, target: Array) -> Any:
        result = kernels.margin_ranking_loss(input1, input2, target, self.margin, self.reduction, keep=True)
        return self.keep(input1, input2, target, result)

    def backward(self, dy: Any = 1.0) -> tuple[Array, Array]:
        input1, input2, target, _ = self.saved()
        return kernels.margin_ranking_loss_backward(dy, input1, input2, target, self.margin, self.reduction)

    def extra_repr(self) -> str:
        return f"margin={self.margin}, {super().extra_repr()}"


class CosineEmbeddingLoss(Loss):
    """1 - cos(input1, input2) where target is 1, max(0, cos(input1, input2) - margin) where it is -1.

    input1, input2: (N, D) or (D,); target: (N,) or ().
    """

    differentiable = (0, 1)

    def __init__(self, margin: float = 0.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number_between(margin, "margin", -inf, inf)

    def forward(self, input1: Array, input2: Array, target: Array) -> Any:
        result = kernels.cosine_embedding_loss(input1, input2, target, self.margin, self.reduction, keep=True)
        return self.keep(input1, input2, target, result)

    def backward(self, dy: Any = 1.0) -> tuple[Array, Array]:
        input1, input2, target, saved = self.saved()
        return kernels.cosine_embedding_loss_backward(dy, input1, input2, target, self.margin, self.reduction, saved=saved)

    def extra_repr(self) -> str:
        return f"margin={self.margin}, {super().extra_repr()}"


class TripletMarginLoss(Loss):
    """max(0, margin + d(anchor, positive) - d(anchor, negative)), d being PairwiseDistance(p, eps); arrays (N, D) or (D,), margin > 0.

    swap: where d(positive, negative) is smaller than d(anchor, negative), it takes its place. Source: Balntas et al., 2016.
    """

    differentiable = (0, 1, 2)

    def __init__(self, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number_between(margin, "margin", 5e-324, inf)
        self.p = number_between(p, "p", 0, inf)
        self.eps = number_between(eps, "eps", -inf, inf)
        self.swap = bool(swap)

    def forward(self, anchor: Array, positive: Array, negative: Array) -> Any:
        inputs = anchor, positive, negative
        return self.keep(*inputs, kernels.triplet_margin_loss(*inputs, self.margin, self.p, self.eps, self.swap, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> tuple[Array, Array, Array]:
        anchor, positive, negative, saved = self.saved()
        return kernels.triplet_margin_loss_backward(
            dy, anchor, positive, negative, self.margin, self.p, self.eps, self.swap, self.reduction, saved=saved
        )

    def extra_repr(self) -> str:
        return f"margin={self.margin}, p={self.p}, eps={self.eps}, swap={self.swap}, {super().extra_repr()}"
