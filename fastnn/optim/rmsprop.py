"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastnn.nn.module import Parameter
from fastnn.optim.optimizer import Optimizer, at_least


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6e; centered: Graves 2013, arXiv:1308.0850), as torch.optim.RMSprop.

    v = alpha v + (1 - alpha) g²; w -= lr g / (√v + eps), through a momentum buffer where `momentum`; `centered` takes the square of g's
    running average off v.
    """

    kernel = "rmsprop"
    states = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8,
        weight_decay: float = 0.0, momentum: float = 0.0, centered: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, alpha=alpha, eps=eps, weight_decay=weight_decay, momentum=momentum, centered=centered, maximize=maximize)

    def check(self, group: Mapping[str, Any]) -> None:
        at_least(group, "lr", "alpha", "eps", "weight_decay", "momentum")

    def settings(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["alpha"], group["eps"], group["weight_decay"], group["momentum"], group["centered"], group["maximize"])

    def used_states(self, group: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        return True, group["momentum"] != 0, bool(group["centered"])
