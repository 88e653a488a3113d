"""Learning-rate schedules with PyTorch's names, arguments and step sequence.

A schedule is bound to an optimizer, which is anything with ``param_groups``: a list of dicts with an ``"lr"``. Building the schedule sets
the learning rate of step 0; each ``step()`` sets the next one:

    schedule = CosineAnnealingLR(optimizer, T_max=50)
    for epoch in range(50):
        train()
        schedule.step()

Let t count the steps (``last_epoch``), b be a group's first learning rate (``initial_lr``) and η(t) the learning rate after step t.
Chained schedules are written as a factor on the *current* learning rate, η(t) = η(t-1) · f(t), so that several of them, or a
user who writes to ``group["lr"]``, can act on one optimizer:

    StepLR              f = gamma every step_size steps            η = b · gamma^⌊t / step_size⌋
    MultiStepLR         f = gamma at each milestone                η = b · gamma^#{milestones ≤ t}
    ExponentialLR       f = gamma                                  η = b · gamma^t
    ConstantLR          f = factor at 0, 1/factor at total_iters   η = b · factor, then b
    LinearLR            from start_factor to end_factor            η = b · (s + (e - s) · min(t, n) / n)
    CosineAnnealingLR   half a cosine wave                         η = m + (b - m) · (1 + cos(π t / T_max)) / 2

The others compute η from t alone (LambdaLR, OneCycleLR, CosineAnnealingWarmRestarts) or from a metric (ReduceLROnPlateau); those with
more to them than one formula live in files of their own.
"""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any

from .plateau import ReduceLROnPlateau
from .schedule_base import HasParamGroups, LRScheduler, count, number, one_per_group
from .schedules_cyclic import CosineAnnealingWarmRestarts, OneCycleLR

__all__ = [
    "LRScheduler", "StepLR", "MultiStepLR", "ExponentialLR", "ConstantLR", "LinearLR", "CosineAnnealingLR", "LambdaLR",
    "CosineAnnealingWarmRestarts", "OneCycleLR", "SequentialLR", "ReduceLROnPlateau",
]


class _ChainedLR(LRScheduler):
    """η(t) = η(t-1) · f(t), with η(0) = b · f₀."""

    def _factor(self) -> float:
        """f(t) at t = last_epoch."""
        raise NotImplementedError

    def _first_factor(self) -> float:
        """f₀."""
        return 1.0

    def get_lr(self) -> list[float]:
        factor = self._factor()
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _first_lr(self) -> list[float]:
        return [base * self._first_factor() for base in self.base_lrs]


class StepLR(_ChainedLR):
    """Multiply the learning rate by `gamma` every `step_size` steps."""

    def __init__(self, optimizer: HasParamGroups, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = count("step_size", step_size)
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return self.gamma if self.last_epoch != 0 and self.last_epoch % self.step_size == 0 else 1.0


class MultiStepLR(_ChainedLR):
    """Multiply the learning rate by `gamma` at each of the `milestones` (at one that is named n times, by gamma^n)."""

    def __init__(self, optimizer: HasParamGroups, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.milestones = sorted(count("each of milestones", m, 0) for m in milestones)
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return self.gamma ** self.milestones.count(self.last_epoch)

    def _first_factor(self) -> float:
        return self.gamma ** self.milestones.count(0)


class ExponentialLR(_ChainedLR):
    """Multiply the learning rate by `gamma` at every step."""

    def __init__(self, optimizer: HasParamGroups, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number("gamma", gamma)
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        return self.gamma if self.last_epoch != 0 and not self._initial else 1.0


class ConstantLR(_ChainedLR):
    """Scale the learning rate by `factor` (0 < factor ≤ 1) for the first `total_iters` steps."""

    def __init__(self, optimizer: HasParamGroups, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1) -> None:
        self.factor = number("factor", factor, 0, 1, open_low=True)
        self.total_iters = count("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        if self.last_epoch == 0:
            return self.factor
        return 1.0 / self.factor if self.last_epoch == self.total_iters else 1.0

    def _first_factor(self) -> float:
        return self.factor


class LinearLR(_ChainedLR):
    """Go linearly from b · `start_factor` (0 < start_factor ≤ 1) to b · `end_factor` (0 to 1) within `total_iters` steps."""

    def __init__(self, optimizer: HasParamGroups, start_factor: float = 1.0 / 3, end_factor: float = 1.0, total_iters: int = 5,
                 last_epoch: int = -1) -> None:
        self.start_factor = number("start_factor", start_factor, 0, 1, open_low=True)
        self.end_factor = number("end_factor", end_factor, 0, 1)
        self.total_iters = count("total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def _factor(self) -> float:
        t, rise = self.last_epoch, self.end_factor - self.start_factor
        if t == 0:
            return self.start_factor
        if self._initial or t > self.total_iters:
            return 1.0
        return 1.0 + rise / (self.total_iters * self.start_factor + (t - 1) * rise)

    def _first_factor(self) -> float:
        return self.start_factor


class CosineAnnealingLR(LRScheduler):
    """Go from b to `eta_min` along half a cosine wave in `T_max` steps, then back up, and so on.

    In factors on the distance from eta_min: η(t) - m = (η(t-1) - m) · (1 + cos(π t / T)) / (1 + cos(π (t-1) / T)); the denominator is zero
    in the step after a minimum, which starts the way up by adding. Source: Loshchilov and Hutter, "SGDR", 2017, without the restarts.
    """

    def __init__(self, optimizer: HasParamGroups, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max = count("T_max", T_max)
        self.eta_min = number("eta_min", eta_min)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, T, low, groups = self.last_epoch, self.T_max, self.eta_min, self.optimizer.param_groups
        if self._initial or t == 0:
            return [group["lr"] for group in groups]
        if (t - 1 - T) % (2 * T) == 0:
            rise = 1 - math.cos(math.pi / T)
            return [group["lr"] + (base - low) * rise / 2 for group, base in zip(groups, self.base_lrs)]
        factor = (1 + math.cos(math.pi * t / T)) / (1 + math.cos(math.pi * (t - 1) / T))
        return [factor * (group["lr"] - low) + low for group in groups]

    def _first_lr(self) -> list[float]:
        return list(self.base_lrs)


class LambdaLR(LRScheduler):
    """η(t) = b · lr_lambda(t), with one function for all groups or a list of one for each.

    Functions are not saved in the state; of a callable object its attributes are.
    """

    _not_saved = ("optimizer", "lr_lambdas")

    def __init__(self, optimizer: HasParamGroups, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
                 last_epoch: int = -1) -> None:
        self._attach(optimizer)
        self.lr_lambdas: list[Callable[[int], float]] = one_per_group("lr_lambda", lr_lambda, optimizer.param_groups)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda must be a function of the step or a list of such, but holds {function!r}.")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [base * function(self.last_epoch) for function, base in zip(self.lr_lambdas, self.base_lrs)]

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["lr_lambdas"] = [None if isinstance(function, FunctionType) else copy.deepcopy(getattr(function, "__dict__", None))
                               for function in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        attributes = state_dict.get("lr_lambdas")
        if not isinstance(attributes, list) or len(attributes) != len(self.lr_lambdas):
            raise ValueError(f"The state of this LambdaLR must hold 'lr_lambdas', a list of {len(self.lr_lambdas)}, "
                             f"but holds {attributes!r}.")
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "lr_lambdas"})
        for function, saved in zip(self.lr_lambdas, attributes):
            if saved is not None:
                vars(function).update(copy.deepcopy(saved))


class SequentialLR(LRScheduler):
    """Run `schedulers` one after the other: number i + 1 takes over, from its own step 0, at step milestones[i]."""

    _not_saved = ("optimizer", "_schedulers")

    def __init__(self, optimizer: HasParamGroups, schedulers: Sequence[LRScheduler], milestones: Sequence[int],
                 last_epoch: int = -1) -> None:
        self._attach(optimizer)
        self._schedulers = list(schedulers)
        if not self._schedulers:
            raise ValueError("SequentialLR needs at least one schedule, but schedulers is empty.")
        for i, schedule in enumerate(self._schedulers):
            if isinstance(schedule, ReduceLROnPlateau) or not isinstance(schedule, LRScheduler):
                raise TypeError("SequentialLR takes schedules that step without a metric, "
                                f"but schedulers[{i}] is a {type(schedule).__name__}.")
            if schedule.optimizer is not optimizer:
                raise ValueError(f"SequentialLR needs schedules of one optimizer, but schedulers[{i}] belongs to another one.")
        self._milestones = [count("each of milestones", m, 0) for m in milestones]
        if len(self._milestones) != len(self._schedulers) - 1:
            raise ValueError(f"SequentialLR needs one milestone fewer than schedules, but got {len(self._schedulers)} schedules and "
                             f"{len(self._milestones)} milestones.")
        if self._milestones != sorted(self._milestones):
            raise ValueError(f"milestones must be in ascending order, but are {self._milestones}.")
        self.last_epoch = count("last_epoch", last_epoch, -1) + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for schedule in self._schedulers:
            schedule._rewind()
        self._begin()

    def _begin(self) -> None:
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._begin()
        self._last_lr = first.get_last_lr()

    def _rewind(self) -> None:
        self.last_epoch = 0
        for schedule in self._schedulers:
            if schedule.last_epoch >= 0:
                schedule._rewind()

    def _restart(self) -> None:
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._restart()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Go to the next learning rate of the schedule whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        schedule = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            schedule._restart()
        else:
            schedule.step()
        self._last_lr = schedule.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "_schedulers": [schedule.state_dict() for schedule in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        states = state_dict.get("_schedulers")
        if not isinstance(states, list) or len(states) != len(self._schedulers):
            raise ValueError(f"The state of this SequentialLR must hold '_schedulers', a list of {len(self._schedulers)} states.")
        super().load_state_dict({key: value for key, value in state_dict.items() if key != "_schedulers"})
        for schedule, state in zip(self._schedulers, states):
            schedule.load_state_dict(state)
