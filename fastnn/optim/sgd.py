"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastnn.nn.module import Parameter
from fastnn.optim.optimizer import Optimizer, at_least


class SGD(Optimizer):
    """Gradient descent, optionally with momentum (Polyak 1964; Nesterov's form as in Sutskever et al. 2013), as torch.optim.SGD.

    b = momentum b + (1 - dampening) g, the first time b = g; w -= lr b, or with `nesterov` w -= lr (g + momentum b), where
    g is the gradient plus weight_decay w.
    """

    kernel = "sgd"
    states = ("momentum_buffer",)

    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov, maximize=maximize)

    def check(self, group: Mapping[str, Any]) -> None:
        at_least(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")

    def settings(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["momentum"], group["dampening"], group["weight_decay"], group["nesterov"], group["maximize"])

    def used_states(self, group: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        return group["momentum"] != 0, False, False
