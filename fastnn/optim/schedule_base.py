"""What all learning-rate schedules share: the base class, and checks of their arguments."""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Sequence
from typing import Any, Protocol


class HasParamGroups(Protocol):
    """What a schedule needs of an optimizer."""

    param_groups: list[dict[str, Any]]


def count(name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int; raise a sentence unless it is an integer of at least `least`."""
    try:
        integer = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, but is {value!r} of type {type(value).__name__}.") from None
    if integer < least:
        raise ValueError(f"{name} must be at least {least}, but is {integer}.")
    return integer


def number(name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False) -> float:
    """Return `value` as a float; raise a sentence unless low ≤ value ≤ high (low < value if `open_low`)."""
    try:
        real = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, but is {value!r} of type {type(value).__name__}.") from None
    if not (low < real if open_low else low <= real) or not real <= high:
        above = f"greater than {low:g}" if open_low else f"at least {low:g}"
        bounds = "a number" if low == -math.inf else above if high == math.inf else f"{above} and at most {high:g}"
        raise ValueError(f"{name} must be {bounds}, but is {real:g}.")
    return real


def one_per_group(name: str, value: Any, groups: list[dict[str, Any]]) -> list[Any]:
    """Spread one value over the groups, or check that there is one value for each."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(groups)
    if len(value) != len(groups):
        raise ValueError(f"{name} has {len(value)} values, but the optimizer has {len(groups)} parameter groups.")
    return list(value)


class LRScheduler:
    """Base of the schedules: counts the steps and writes ``get_lr()`` into the optimizer's groups.

    optimizer: an object with `param_groups`. last_epoch: -1 starts afresh; t resumes as if t steps had been taken, and needs the groups'
    "initial_lr". A subclass writes `get_lr()`, which returns one learning rate for each group at step `self.last_epoch`.
    """

    _not_saved: tuple[str, ...] = ("optimizer",)

    def __init__(self, optimizer: HasParamGroups, last_epoch: int = -1) -> None:
        self._attach(optimizer)
        self.last_epoch = count("last_epoch", last_epoch, -1)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"Resuming at last_epoch={last_epoch} needs 'initial_lr' in every parameter group, "
                               f"but group {i} has none; load the optimizer's state first.")
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self._begin()

    def _attach(self, optimizer: HasParamGroups) -> None:
        groups = getattr(optimizer, "param_groups", None)
        if not isinstance(groups, list) or not all(isinstance(g, dict) and "lr" in g for g in groups):
            raise TypeError("optimizer must have param_groups, a list of dicts with an 'lr' each, "
                            f"but is of type {type(optimizer).__name__}.")
        self.optimizer = optimizer

    def _begin(self) -> None:
        """Take the step that sets the learning rate of step 0 (or of the step at which a run is resumed)."""
        self._initial = True
        self.step()
        self._initial = False

    def _rewind(self) -> None:
        """Forget the first step; SequentialLR takes it when this schedule's turn comes."""
        self.last_epoch -= 1

    def _restart(self) -> None:
        """Set step 0's learning rate from the initial ones, whatever the current ones are."""
        self.last_epoch = 0
        self._write(self._first_lr())

    def _first_lr(self) -> list[float]:
        return self.get_lr()

    def _write(self, values: Sequence[float]) -> None:
        groups = self.optimizer.param_groups
        if len(values) != len(groups):
            raise ValueError(f"{type(self).__name__} was made for {len(values)} parameter groups, "
                             f"but the optimizer now has {len(groups)}.")
        for group, value in zip(groups, values):
            group["lr"] = float(value)
        self._last_lr = [group["lr"] for group in groups]

    def get_lr(self) -> list[float]:
        """Return the learning rate of each group for step `last_epoch`. The current one is `get_last_lr()`."""
        raise NotImplementedError(f"{type(self).__name__} must define get_lr().")

    def get_last_lr(self) -> list[float]:
        """Return the learning rates that this schedule set last, one for each group."""
        return list(self._last_lr)

    def step(self) -> None:
        """Go to the next learning rate. Call it after the optimizer's step."""
        self.last_epoch += 1
        self._write(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """Return the schedule's state (plain numbers, strings and lists). The optimizer's own state is saved separately."""
        return {key: copy.deepcopy(value) for key, value in vars(self).items() if key not in self._not_saved}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that `state_dict()` returned; raise ValueError if it belongs to another kind of schedule."""
        expected = {key for key in vars(self) if key not in self._not_saved}
        if set(state_dict) != expected:
            raise ValueError(f"The state is not that of a {type(self).__name__}: "
                             f"missing {sorted(expected - set(state_dict))}, unexpected {sorted(set(state_dict) - expected)}.")
        vars(self).update(copy.deepcopy(state_dict))
