"""Negative log-likelihoods of numbers: PoissonNLLLoss and GaussianNLLLoss."""

from __future__ import annotations

from math import inf
from typing import Any

from fastnn import kernels
from fastnn.nn.arguments import number_between
from fastnn.nn.loss import Loss
from fastnn.nn.module import Array


class PoissonNLLLoss(Loss):
    """exp(input) - target input; without `log_input` input - target log(input + eps), input then being the expected count itself.

    full: with Stirling's approximation of log(target!) where target > 1, target log(target) - target + log(2 pi target) / 2.
    """

    def __init__(self, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.log_input, self.full = bool(log_input), bool(full)
        self.eps = number_between(eps, "eps", 0, inf)

    def forward(self, input: Array, target: Array) -> Any:
        result = kernels.poisson_nll_loss(input, target, self.log_input, self.full, self.eps, self.reduction, keep=True)
        return self.keep(input, target, result)

    def backward(self, dy: Any = 1.0) -> Array:
        input, target, _ = self.saved()
        return kernels.poisson_nll_loss_backward(dy, input, target, self.log_input, self.full, self.eps, self.reduction)

    def extra_repr(self) -> str:
        return f"log_input={self.log_input}, full={self.full}, eps={self.eps}, {super().extra_repr()}"


class GaussianNLLLoss(Loss):
    """(log(v) + (input - target)² / v) / 2 with v = max(var, eps); with `full` log(2 pi) / 2 more.

    var: variances of input's shape, or of that with 1 as its last axis or without it. backward returns (dinput, dvar); dvar is as if v were var.
    """

    differentiable = (0, 2)

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.full = bool(full)
        self.eps = number_between(eps, "eps", 0, inf)

    def forward(self, input: Array, target: Array, var: Array) -> Any:
        result = kernels.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction, keep=True)
        return self.keep(input, target, var, result)

    def backward(self, dy: Any = 1.0) -> tuple[Array, Array]:
        input, target, var, _ = self.saved()
        return kernels.gaussian_nll_loss_backward(dy, input, target, var, self.full, self.eps, self.reduction)

    def extra_repr(self) -> str:
        return f"full={self.full}, eps={self.eps}, {super().extra_repr()}"
