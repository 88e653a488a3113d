"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fastnn.nn.module import Parameter
from fastnn.optim.optimizer import Optimizer, at_least, fractions


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980), with AMSGrad (Reddi et al. 2018) as an option, as torch.optim.Adam.

    m and v are running averages of g and g² with the rates `betas`; w -= lr m̂ / (√v̂ + eps), with m̂ and v̂ corrected for starting at 0.
    `weight_decay` adds weight_decay w to the gradient, or where `decoupled_weight_decay` shrinks w by lr weight_decay w.
    """

    kernel = "adam"
    states = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")

    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False, decoupled_weight_decay: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(
            params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )  # fmt: skip

    def check(self, group: Mapping[str, Any]) -> None:
        at_least(group, "lr", "eps", "weight_decay")
        fractions(group, "betas")

    def settings(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        beta1, beta2 = group["betas"]
        return (group["lr"], beta1, beta2, group["eps"], group["weight_decay"], group["decoupled_weight_decay"], group["amsgrad"], group["maximize"])

    def used_states(self, group: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        return True, True, bool(group["amsgrad"])


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101), as torch.optim.AdamW."""

    def __init__(
        self, params: Iterable[Parameter] | Iterable[dict[str, Any]], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8, weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True)
