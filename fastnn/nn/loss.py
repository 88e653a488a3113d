"""Element-wise losses: loss(input, target), then loss.backward() is the gradient with respect to input.

input and target have one shape and dtype. `reduction` "mean" and "sum" give a Python float, "none" an array of input's shape; backward then needs
the gradient dy of that array.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn import kernels
from fastnn.nn.arguments import number_between
from fastnn.nn.module import Array, BufferField, Module

REDUCTIONS = ("mean", "sum", "none")


class Loss(Module):
    """The base of all losses.

    Subclasses write forward(input, target), some with more inputs, and backward(dy). `_saved` is (input, target, saved) of the last forward, and
    saved[0] the loss in memory that a recorded step writes, too. differentiable: of which arguments of forward backward returns the gradients, a
    tuple where there are several.
    """

    reductions: tuple[str, ...] = REDUCTIONS
    differentiable: tuple[int, ...] = (0,)

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in self.reductions:
            raise ValueError(f"reduction must be one of {self.reductions}, got {reduction!r}")
        self.reduction = reduction

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, dy: Any = 1.0) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def keep(self, *inputs_and_result: Any) -> Any:
        """The loss of a kernel's (loss, saved), the last argument, kept for backward with the inputs before it."""
        *inputs, (loss, saved) = inputs_and_result
        if self.training:
            self._saved = *inputs, saved
        return loss

    def extra_repr(self) -> str:
        return f"reduction={self.reduction!r}"


def constant(value: ArrayLike | None, name: str) -> Array | None:
    """A loss' constant argument: float32 and float64 arrays keep their dtype, all other numbers become float32."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
    kept = isinstance(value, (np.ndarray, np.generic)) and array.dtype in (np.float32, np.float64)
    return np.array(array, array.dtype if kept else np.float32, order="C")


class MSELoss(Loss):
    """(input - target)²."""

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.mse_loss(input, target, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.mse_loss_backward(dy, input, target, self.reduction)


class L1Loss(Loss):
    """|input - target|."""

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.l1_loss(input, target, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.l1_loss_backward(dy, input, target, self.reduction)


class SmoothL1Loss(Loss):
    """With d = input - target: d² / (2 beta) where |d| < beta, else |d| - beta / 2. Source: Girshick, Fast R-CNN, 2015."""

    def __init__(self, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = number_between(beta, "beta", 0, inf)

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.smooth_l1_loss(input, target, self.beta, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.smooth_l1_loss_backward(dy, input, target, self.beta, self.reduction)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, beta={self.beta}"


class HuberLoss(Loss):
    """With d = input - target: d² / 2 where |d| <= delta, else delta (|d| - delta / 2); delta > 0. Source: Huber, 1964."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = number_between(delta, "delta", 5e-324, inf)

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.huber_loss(input, target, self.delta, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.huber_loss_backward(dy, input, target, self.delta, self.reduction)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, delta={self.delta}"


class BCELoss(Loss):
    """-weight (target log(input) + (1 - target) log(1 - input)), logarithms no lower than -100; input and target in [0, 1].

    weight: broadcasts to input's shape, or None.
    """

    weight = BufferField()

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.weight = constant(weight, "weight")

    def forward(self, input: Array, target: Array) -> Any:
        weight = self._buffers["weight"]
        return self.keep(input, target, kernels.binary_cross_entropy(input, target, weight, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.binary_cross_entropy_backward(dy, input, target, self._buffers["weight"], self.reduction)


class BCEWithLogitsLoss(Loss):
    """BCELoss of sigmoid(input), without overflow: -weight (pos_weight target log(sigmoid(input)) + (1 - target) log(1 - sigmoid(input))).

    weight, pos_weight: broadcast to input's shape, or None.
    """

    weight = BufferField()
    pos_weight = BufferField()

    def __init__(self, weight: ArrayLike | None = None, reduction: str = "mean", pos_weight: ArrayLike | None = None) -> None:
        super().__init__(reduction)
        self.weight = constant(weight, "weight")
        self.pos_weight = constant(pos_weight, "pos_weight")

    def forward(self, input: Array, target: Array) -> Any:
        b = self._buffers
        result = kernels.binary_cross_entropy_with_logits(input, target, b["weight"], b["pos_weight"], self.reduction, keep=True)
        return self.keep(input, target, result)

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        b = self._buffers
        return kernels.binary_cross_entropy_with_logits_backward(dy, input, target, b["weight"], b["pos_weight"], self.reduction)


class KLDivLoss(Loss):
    """target (log(target) - input), input being log-probabilities, as is target with `log_target`.

    `reduction` "batchmean" divides the sum by the size of the first axis, which is the divergence itself; "mean" by that of all.
    """

    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, reduction: str = "mean", log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = bool(log_target)

    def forward(self, input: Array, target: Array) -> Any:
        return self.keep(input, target, kernels.kl_div(input, target, self.log_target, self.reduction, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.kl_div_backward(dy, input, target, self.log_target, self.reduction)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, log_target={self.log_target}"
