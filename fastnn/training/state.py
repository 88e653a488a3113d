"""What a training step changes besides the parameters, kept so that a step that was cut short leaves no trace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.data import DataLoader
from fastnn.nn.module import Array, Module


def extra_states(model: Module) -> dict[str, Array]:
    """What modules keep outside their state_dict, such as how many masks a Dropout has drawn, by the module's name."""
    return {name: module.extra_state() for name, module in model.named_modules() if hasattr(module, "extra_state")}


def load_extra_states(model: Module, states: Mapping[str, Array]) -> None:
    """Take over what extra_states gave; KeyError if it is of another model."""
    modules = {name: module for name, module in model.named_modules() if hasattr(module, "load_extra_state")}
    if modules.keys() != states.keys():
        raise KeyError(f"the extra states must be of {sorted(modules)}, got {sorted(states)}")
    for name, state in states.items():
        modules[name].load_extra_state(state)


class Snapshot:
    """Running statistics and counters of a model and the place in a loader, as they were after the last whole step."""

    def __init__(self, model: Module, loader: Any) -> None:
        self._buffers: list[tuple[Array, Array]] = [(buffer, np.empty_like(buffer)) for _, buffer in model.named_buffers()]
        self._extra: list[tuple[Any, Array]] = [(m, m.extra_state()) for m in model.modules() if hasattr(m, "extra_state")]
        self._loader = loader if isinstance(loader, DataLoader) else None
        if self._loader is not None:
            self._place = self._loader.state_dict()

    def before_step(self) -> None:
        for buffer, kept in self._buffers:
            kept[...] = buffer
        for module, state in self._extra:
            state[...] = module.extra_state()

    def after_step(self, position: int | None = None) -> None:
        """The place is the loader's, or this position in its epoch."""
        if self._loader is not None:
            self._place["epoch"], self._place["position"] = self._loader.epoch, self._loader.position if position is None else position

    def undo_step(self) -> None:
        """Give the model back what it held before the step; its parameters are still untouched."""
        for buffer, kept in self._buffers:
            buffer[...] = kept
        for module, state in self._extra:
            module.load_extra_state(state)

    def rewind_loader(self) -> None:
        """Let the loader's next loop begin with the first batch that no whole step has seen."""
        if self._loader is not None:
            self._loader.load_state_dict(self._place)
