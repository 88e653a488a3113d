"""The learning-rate schedule that watches a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .schedule_base import HasParamGroups, LRScheduler, count, number, one_per_group


class ReduceLROnPlateau(LRScheduler):
    """Multiply the learning rate by `factor` when the metric has not improved for more than `patience` steps.

    mode: "min" or "max", the direction that is better. threshold, threshold_mode: an improvement passes best · (1 ± threshold) ("rel") or
    best ± threshold ("abs"). cooldown: steps after a reduction during which nothing counts as bad. min_lr: the lower bound, a number or
    one for each group. eps: a change of no more than this is not made. A NaN metric is no improvement.
    """

    def __init__(self, optimizer: HasParamGroups, mode: str = "min", factor: float = 0.1, patience: int = 10, threshold: float = 1e-4,
                 threshold_mode: str = "rel", cooldown: int = 0, min_lr: float | Sequence[float] = 0, eps: float = 1e-8) -> None:
        self._attach(optimizer)
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', but is {mode!r}.")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold_mode must be 'rel' or 'abs', but is {threshold_mode!r}.")
        self.mode, self.threshold_mode = mode, threshold_mode
        self.factor = number("factor", factor)
        if not self.factor < 1:
            raise ValueError(f"factor must be less than 1, but is {self.factor:g}.")
        self.patience = count("patience", patience, 0)
        self.threshold = number("threshold", threshold)
        self.cooldown = count("cooldown", cooldown, 0)
        self.min_lrs = [number("min_lr", v) for v in one_per_group("min_lr", min_lr, optimizer.param_groups)]
        self.eps = number("eps", eps)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = self.last_epoch = 0
        self._last_lr = [float(group["lr"]) for group in optimizer.param_groups]

    def _is_better(self, value: float) -> bool:
        sign = -1.0 if self.mode == "min" else 1.0
        bar = self.best * (1.0 + sign * self.threshold) if self.threshold_mode == "rel" else self.best + sign * self.threshold
        return value < bar if self.mode == "min" else value > bar

    @property
    def in_cooldown(self) -> bool:
        """Whether a reduction was made within the last `cooldown` steps."""
        return self.cooldown_counter > 0

    def step(self, metrics: float) -> None:  # type: ignore[override]
        """Take note of the step's metric and reduce the learning rates if it is time to."""
        try:
            value = float(metrics)
        except (TypeError, ValueError):
            raise TypeError(f"metrics must be a number, but is {metrics!r}.") from None
        self.last_epoch += 1
        if self._is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0

        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        if self.num_bad_epochs > self.patience:
            reduced = [max(rate * self.factor, low) for rate, low in zip(rates, self.min_lrs)]
            rates = [new if old - new > self.eps else old for old, new in zip(rates, reduced)]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._write(rates)
