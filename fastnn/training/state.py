"""What a training step changes besides the parameters, kept so that a step that was cut short leaves no trace."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.data import DataLoader
from fastnn.nn.module import Array, Module


class Snapshot:
    """Buffers (running statistics, counters) of a model and the place in a loader, as they were after the last whole step."""

    def __init__(self, model: Module, loader: Any) -> None:
        self._buffers: list[tuple[Array, Array]] = [(buffer, np.empty_like(buffer)) for _, buffer in model.named_buffers()]
        self._loader = loader if isinstance(loader, DataLoader) else None
        if self._loader is not None:
            self._place = self._loader.state_dict()

    def before_step(self) -> None:
        for buffer, kept in self._buffers:
            kept[...] = buffer

    def after_step(self) -> None:
        if self._loader is not None:
            self._place["epoch"], self._place["position"] = self._loader.epoch, self._loader.position

    def undo_step(self) -> None:
        """Give the buffers back what they held before the step."""
        for buffer, kept in self._buffers:
            buffer[...] = kept

    def rewind_loader(self) -> None:
        """Let the loader's next loop begin with the first batch that no whole step has seen."""
        if self._loader is not None:
            self._loader.load_state_dict(self._place)
