"""Learning-rate schedules that run in cycles: cosine waves with warm restarts, and the one-cycle policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .schedule_base import HasParamGroups, LRScheduler, count, number, one_per_group


class CosineAnnealingWarmRestarts(LRScheduler):
    """η = m + (b - m) · (1 + cos(π T_cur / T_i)) / 2, where T_cur counts from the last restart and T_i, the time to the next one,
    starts as `T_0` and is multiplied by `T_mult` at each. Source: Loshchilov and Hutter, "SGDR", 2017.
    """

    def __init__(self, optimizer: HasParamGroups, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_0 = self.T_i = count("T_0", T_0)
        self.T_mult = count("T_mult", T_mult)
        self.eta_min = number("eta_min", eta_min)
        self.T_cur: float = 0
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        wave = 1 + math.cos(math.pi * self.T_cur / self.T_i)
        return [self.eta_min + (base - self.eta_min) * wave / 2 for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go to the next step, or to `epoch`, which may be a fraction (epoch + batch / batches)."""
        if epoch is None and not self._initial:
            self.last_epoch += 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = number("epoch", self.last_epoch + 1 if epoch is None else epoch, 0)
            self.last_epoch = math.floor(epoch)
            self.T_cur, self.T_i = epoch, self.T_0
            if self.T_mult == 1:
                self.T_cur = epoch % self.T_0
            else:
                while self.T_cur >= self.T_i:
                    self.T_cur -= self.T_i
                    self.T_i *= self.T_mult
        self._write(self.get_lr())


class OneCycleLR(LRScheduler):
    """One cycle: up from max_lr / div_factor to `max_lr` during `pct_start` of `total_steps`, then down to the starting rate divided
    by `final_div_factor`; the momentum goes the opposite way. Step it after every batch.

    total_steps: the cycle's length; or `epochs` and `steps_per_epoch`, whose product it is. max_lr, base_momentum, max_momentum: a number
    or one for each group. anneal_strategy: "cos" or "linear". cycle_momentum: cycle the groups' "momentum" (or the first of "betas")
    between max_momentum and base_momentum. three_phase: go down to the starting rate as fast as up, then on to the final one.
    Source: Smith and Topin, "Super-convergence", 2018.
    """

    def __init__(self, optimizer: HasParamGroups, max_lr: float | Sequence[float], total_steps: int | None = None,
                 epochs: int | None = None, steps_per_epoch: int | None = None, pct_start: float = 0.3,
                 anneal_strategy: str = "cos", cycle_momentum: bool = True, base_momentum: float | Sequence[float] = 0.85,
                 max_momentum: float | Sequence[float] = 0.95, div_factor: float = 25.0, final_div_factor: float = 1e4,
                 three_phase: bool = False, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        groups = optimizer.param_groups
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR needs total_steps, or epochs and steps_per_epoch.")
        self.total_steps = (count("epochs", epochs) * count("steps_per_epoch", steps_per_epoch) if total_steps is None
                            else count("total_steps", total_steps))
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', but is {anneal_strategy!r}.")
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = bool(cycle_momentum)

        # (last step, learning rate from, to, momentum from, to) of each phase; the names are keys of the groups
        rising = number("pct_start", pct_start, 0, 1) * self.total_steps
        self._phases: list[list[Any]] = [[rising - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum"]]
        if three_phase:
            self._phases += [[2 * rising - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum"],
                             [self.total_steps - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum"]]
        else:
            self._phases += [[self.total_steps - 1, "max_lr", "min_lr", "base_momentum", "max_momentum"]]

        div_factor = number("div_factor", div_factor, 0, open_low=True)
        final_div_factor = number("final_div_factor", final_div_factor, 0, open_low=True)
        max_lrs = [number("max_lr", v) for v in one_per_group("max_lr", max_lr, groups)]
        highs = [number("max_momentum", v) for v in one_per_group("max_momentum", max_momentum, groups)]
        lows = [number("base_momentum", v) for v in one_per_group("base_momentum", base_momentum, groups)]
        if self.cycle_momentum and not all("momentum" in g or "betas" in g for g in groups):
            raise ValueError("cycle_momentum=True needs an optimizer with 'momentum' or 'betas'; pass cycle_momentum=False for this one.")
        if last_epoch == -1:
            for group, top, high, low in zip(groups, max_lrs, highs, lows):
                first = top / div_factor
                group.update(initial_lr=first, max_lr=top, min_lr=first / final_div_factor)
                if self.cycle_momentum:
                    group.update(max_momentum=high, base_momentum=low)
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)
        return (end - start) * part + start

    def get_lr(self) -> list[float]:
        """Return the learning rates of step `last_epoch` and write the momenta into the groups."""
        t, begin = self.last_epoch, 0.0
        for phase in self._phases:
            end, lr_from, lr_to, momentum_from, momentum_to = phase
            if t <= end or phase is self._phases[-1]:
                break
            begin = end
        part = (t - begin) / (end - begin) if end > begin else 1.0
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                momentum = self._between(group[momentum_from], group[momentum_to], part)
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum
        return [self._between(group[lr_from], group[lr_to], part) for group in self.optimizer.param_groups]

    def step(self) -> None:
        """Go to the next learning rate and momentum; raise ValueError once the cycle is over."""
        if self.last_epoch >= self.total_steps:
            raise ValueError(f"OneCycleLR was made for {self.total_steps} steps, and all of them have been taken.")
        super().step()
