"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastnn.nn.module import Parameter
from fastnn.optim.optimizer import Optimizer, at_least


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer 2011), as torch.optim.Adagrad.

    sum += g²; w -= lr / (1 + (t - 1) lr_decay) g / (√sum + eps).
    """

    kernel = "adagrad"
    states = ("sum",)

    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr=lr, lr_decay=lr_decay, weight_decay=weight_decay, initial_accumulator_value=initial_accumulator_value, eps=eps,
            maximize=maximize,
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        at_least(group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def settings(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        return (group["lr"], group["lr_decay"], group["weight_decay"], group["eps"], group["maximize"])

    def used_states(self, group: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        return True, False, False

    def initial_state(self, group: Mapping[str, Any]) -> float:
        return float(group["initial_accumulator_value"])
