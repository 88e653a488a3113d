"""SparseAdam."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastnn.nn.module import Parameter
from fastnn.optim.optimizer import Optimizer, at_least, fractions


class SparseAdam(Optimizer):
    """Adam for tables of which a step uses few rows, as torch.optim.SparseAdam: only the used rows and their averages m and v move.

    w -= lr √(1 - β₂ᵗ) / (1 - β₁ᵗ) m / (√v + eps), t being the table's number of steps. A dense gradient uses all rows.
    """

    kernel = "adam"
    states = ("exp_avg", "exp_avg_sq")

    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr=lr, betas=betas, eps=eps, maximize=maximize)

    def check(self, group: Mapping[str, Any]) -> None:
        at_least(group, "lr", "eps")
        fractions(group, "betas")

    def settings(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return (group["lr"], beta1, beta2, group["eps"], 0, False, False, group["maximize"], True)

    def used_states(self, group: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        return True, True, False
