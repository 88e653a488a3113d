"""Losses of one input with a margin. `reduction` is as in fastnn.nn.loss; a row's loss counts as one element."""

from __future__ import annotations

from math import inf
from typing import Any

from numpy.typing import ArrayLike

from fastnn import kernels
from fastnn.nn.arguments import number_between
from fastnn.nn.loss import Loss, constant
from fastnn.nn.module import Array, BufferField


class HingeEmbeddingLoss(Loss):
    """input, a distance, where target is 1, and max(0, margin - input) where it is -1."""

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.margin = number_between(margin, "margin", -inf, inf)

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.hinge_embedding_loss(input, target, self.margin, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.hinge_embedding_loss_backward(dy, input, target, self.margin, self.reduction)

    def extra_repr(self) -> str:
        return f"margin={self.margin}, {super().extra_repr()}"


class SoftMarginLoss(Loss):
    """log(1 + exp(-target input)); target holds 1 and -1."""

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.soft_margin_loss(input, target, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.soft_margin_loss_backward(dy, input, target, self.reduction)


class MultiMarginLoss(Loss):
    """The sum over the classes i but the label t of weight[t] max(0, margin - input[t] + input[i])^p / C; p is 1 or 2.

    input: (N, C) or (C,); target: labels (N,) or (); weight: (C,) or None.
    """

    weight = BufferField()

    def __init__(self, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if p not in (1, 2):
            raise ValueError(f"p must be 1 or 2, got {p}")
        self.p = int(p)
        self.margin = number_between(margin, "margin", -inf, inf)
        self.weight = constant(weight, "weight")

    def forward(self, input: Array, target: Array) -> Any:
        result = kernels.multi_margin_loss(input, target, self.p, self.margin, self._buffers["weight"], self.reduction, keep=True)
        return self.keep(input, target, result)

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.multi_margin_loss_backward(dy, input, target, self.p, self.margin, self._buffers["weight"], self.reduction)

    def extra_repr(self) -> str:
        return f"p={self.p}, margin={self.margin}, {super().extra_repr()}"


class MultiLabelMarginLoss(Loss):
    """The sum over labels t and classes i that are no label of max(0, 1 - (input[t] - input[i])) / C.

    input: (N, C) or (C,); target: integers of input's shape, a row's labels and -1 behind the last one.
    """

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.multilabel_margin_loss(input, target, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.multilabel_margin_loss_backward(dy, input, target, self.reduction)


class MultiLabelSoftMarginLoss(Loss):
    """The mean over the last axis of -weight (target log(sigmoid(input)) + (1 - target) log(1 - sigmoid(input))).

    input, target: (..., C); weight: (C,) or None.
    """

    weight = BufferField()

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = constant(weight, "weight")

    def forward(self, input: Array, target: Array) -> Any:
        weight = self._buffers["weight"]
        return self.keep(input, target, kernels.multilabel_soft_margin_loss(input, target, weight, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.multilabel_soft_margin_loss_backward(dy, input, target, self._buffers["weight"], self.reduction)
