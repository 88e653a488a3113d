"""The base of all optimizers: parameter groups, options, state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from fastnn.kernels.optimizer import OptimizerGroup
from fastnn.nn.module import Parameter


class Optimizer:
    """Updates parameters from their gradients.

    params: the parameters (`model.parameters()`), or a list of dicts with "params" and options of their own. `param_groups` is a list of
    dicts with "params" and every option; changing an option there takes effect at the next step.
    """

    kernel: ClassVar[str]  # the step kernel
    states: ClassVar[tuple[str, ...]]  # PyTorch's names of its states

    def __init__(self, params: Iterable[Parameter] | Iterable[dict[str, Any]], **defaults: Any) -> None:
        self.defaults = defaults
        self.param_groups: list[dict[str, Any]] = []
        self._groups: list[OptimizerGroup] = []
        entries: list[Any] = list(params)
        if not entries:
            raise ValueError("params must not be empty")
        if not all(isinstance(entry, dict) for entry in entries):
            entries = [{"params": entries}]
        for entry in entries:
            self.add_param_group(entry)

    # What an optimizer says of itself.

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise ValueError for an option out of range."""

    def settings(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """The kernel's settings for a group's options, in the kernel's order."""
        raise NotImplementedError(f"{type(self).__name__} does not define settings")

    def used_states(self, group: Mapping[str, Any]) -> tuple[bool, bool, bool]:
        """Which of the kernel's states the options call for."""
        raise NotImplementedError(f"{type(self).__name__} does not define used_states")

    def initial_state(self, group: Mapping[str, Any]) -> float:
        """What the first state starts from."""
        return 0.0

    # What all have in common.

    def add_param_group(self, group: dict[str, Any]) -> None:
        """Add a group: a dict with "params" (a Parameter or several) and options that differ from the defaults."""
        unknown = group.keys() - self.defaults.keys() - {"params"}
        if unknown:
            raise ValueError(f"a parameter group's options must be among {sorted(self.defaults)}, got {sorted(unknown)}")
        members = group["params"]
        parameters = [members] if isinstance(members, Parameter) else list(members)
        known = {id(parameter) for other in self.param_groups for parameter in other["params"]}
        for i, parameter in enumerate(parameters):
            if not isinstance(parameter, Parameter):
                raise TypeError(f"params[{i}] must be a Parameter (see Module.parameters), got {type(parameter).__name__}")
            if id(parameter) in known:
                raise ValueError(f"params[{i}] must be in one group only, once")
            known.add(id(parameter))
        complete = {**self.defaults, **group, "params": parameters}
        self.check(complete)
        self.param_groups.append(complete)
        self._groups.append(OptimizerGroup(self.kernel, parameters, self.used_states(complete), self.initial_state(complete)))

    def zero_grad(self) -> None:
        """Mark all gradients: the next backward overwrites them."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.stale = True

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for group, tensors in zip(self.param_groups, self._groups):
            tensors.step(self.settings(group))

    def state_dict(self) -> dict[str, Any]:
        """A copy of the state in PyTorch's form: {"state": {index: {"step": …, name: array}}, "param_groups": […]}."""
        state: dict[int, dict[str, Any]] = {}
        groups, first = [], 0
        for group, tensors in zip(self.param_groups, self._groups):
            count = len(group["params"])
            for t in range(count):
                if tensors.steps[t]:
                    arrays = {name: array.copy() for name, array in zip(self.states, tensors.states_of(t)) if array is not None}
                    state[first + t] = {"step": float(tensors.steps[t]), **arrays}
            groups.append({**{k: v for k, v in group.items() if k != "params"}, "params": list(range(first, first + count))})
            first += count
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state_dict of an optimizer with the same groups; ValueError, before anything is changed, if it does not fit."""
        saved = state["param_groups"]
        sizes, wanted = [len(g["params"]) for g in saved], [len(g["params"]) for g in self.param_groups]
        if sizes != wanted:
            raise ValueError(f"state must have groups of {wanted} parameters, got {sizes}")
        entries = [(tensors, t) for tensors in self._groups for t in range(len(tensors.parameters))]
        for index, values in state["state"].items():
            tensors, t = entries[int(index)]
            for k, name in enumerate(self.states):
                if name in values and np.shape(values[name]) != tensors.parameters[t].shape:
                    raise ValueError(f"state {name} of parameter {index} must have shape {tensors.parameters[t].shape}, got {np.shape(values[name])}")
        for group, tensors, new in zip(self.param_groups, self._groups, saved):
            group.update({k: v for k, v in new.items() if k != "params"})
            fresh = OptimizerGroup(self.kernel, group["params"], self.used_states(group), self.initial_state(group))
            self._groups[self._groups.index(tensors)] = fresh
        entries = [(tensors, t) for tensors in self._groups for t in range(len(tensors.parameters))]
        for index, values in state["state"].items():
            tensors, t = entries[int(index)]
            tensors.steps[t] = values["step"]
            for name, array in zip(self.states, tensors.states_of(t)):
                if array is not None and name in values:
                    array[...] = values[name]

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.defaults.items())
        return f"{type(self).__name__}({options})"


def at_least(group: Mapping[str, Any], *names: str, low: float = 0.0) -> None:
    """ValueError unless each of the options is a number of at least `low`."""
    for name in names:
        if not group[name] >= low:
            raise ValueError(f"{name} must be at least {low:g}, got {group[name]}")


def fractions(group: Mapping[str, Any], name: str) -> None:
    """ValueError unless each number of the option, or the number that it is, lies in [0, 1)."""
    values = group[name] if isinstance(group[name], (tuple, list)) else (group[name],)
    if not all(0 <= value < 1 for value in values):
        raise ValueError(f"{name} must be in [0, 1), got {group[name]}")
