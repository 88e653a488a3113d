"""Losses over classes: CrossEntropyLoss and NLLLoss."""

from __future__ import annotations

from operator import index
from typing import Any

from numpy.typing import ArrayLike

from fastnn.kernels import cross_entropy, cross_entropy_backward, nll_loss, nll_loss_backward
from fastnn.nn.arguments import number_between
from fastnn.nn.loss import Loss, constant
from fastnn.nn.module import Array, BufferField


class _ClassLoss(Loss):
    """What both share: class weights and the label to ignore."""

    weight = BufferField()

    def __init__(self, weight: ArrayLike | None, ignore_index: int, reduction: str) -> None:
        super().__init__(reduction)
        weights = constant(weight, "weight")
        if weights is not None and weights.ndim != 1:
            raise ValueError(f"weight must have shape (C,), one for each class, got {weights.shape}")
        self.weight = weights
        self.ignore_index = index(ignore_index)

    def extra_repr(self) -> str:
        return f"ignore_index={self.ignore_index}, {super().extra_repr()}"


class CrossEntropyLoss(_ClassLoss):
    """-sum over the classes of weight p log(softmax(input)), softmax and loss in one kernel.

    input: logits (C,), (N, C) or (N, C, d1, …). target: integer labels of input's shape without the C, or probabilities p of input's shape and
    dtype. weight: (C,) or None. Samples whose label is `ignore_index` do not count. label_smoothing in [0, 1] mixes that share of the uniform
    distribution into the target. `reduction` "mean" divides by the sum of the labels' weights, for probabilities by the number of samples.
    """

    def __init__(
        self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean", label_smoothing: float = 0.0
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = number_between(label_smoothing, "label_smoothing", 0, 1)

    def forward(self, input: Array, target: Array) -> Any:
        result = cross_entropy(
            input, target, self._buffers["weight"], self.ignore_index, self.label_smoothing, self.reduction, keep=True
        )
        return self.keep(input, target, result)

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, saved = self.saved()
        return cross_entropy_backward(
            dy, input, target, self._buffers["weight"], self.ignore_index, self.label_smoothing, self.reduction, saved=saved
        )

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, label_smoothing={self.label_smoothing}"


class NLLLoss(_ClassLoss):
    """-weight[t] input[t] for the label t; input holds log-probabilities (C,), (N, C) or (N, C, d1, …).

    target: integer labels of input's shape without the C; the rest is as in CrossEntropyLoss.
    """

    def __init__(self, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(weight, ignore_index, reduction)

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, nll_loss(input, target, self._buffers["weight"], self.ignore_index, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, saved = self.saved()
        return nll_loss_backward(dy, input, target, self._buffers["weight"], self.ignore_index, self.reduction, saved=saved)
