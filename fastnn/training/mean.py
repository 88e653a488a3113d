"""The means over an epoch's rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastnn.training.batches import rows_of
from fastnn.training.metrics import Metrics, resolve


class Mean:
    """The means over rows of a loss and of metrics, collected batch by batch. A loss with reduction="sum" is summed instead."""

    def __init__(self, loss: Any, metrics: Metrics) -> None:
        self.functions = resolve(metrics)
        self._summed = getattr(loss, "reduction", "mean") == "sum"
        self.reset()

    def reset(self) -> None:
        self.rows, self._loss = 0, 0.0
        self._sums = [0.0] * len(self.functions)

    def state(self) -> tuple[int, float, list[float]]:
        return self.rows, self._loss, list(self._sums)

    def load_state(self, state: tuple[int, float, list[float]]) -> None:
        self.rows, self._loss, self._sums = state[0], state[1], list(state[2])

    def number(self, loss: Any) -> float:
        """A loss as a number; TypeError if it is an array."""
        if isinstance(loss, float):
            return loss
        if np.ndim(loss):
            raise TypeError(f"loss must give one number, got an array of shape {np.shape(loss)}; use reduction=\"mean\" or \"sum\"")
        return float(loss)

    def add(self, loss: float, output: Any, target: Any) -> int:
        """Add a batch; returns its rows."""
        rows = rows_of(target)
        self.rows += rows
        self._loss += loss if self._summed else loss * rows
        for i, function in enumerate(self.functions.values()):
            self._sums[i] += float(function(output, target)) * rows
        return rows

    def values(self, prefix: str = "") -> dict[str, float]:
        rows = max(self.rows, 1)
        values = {"loss": self._loss if self._summed else self._loss / rows}
        values.update((name, total / rows) for name, total in zip(self.functions, self._sums))
        return {prefix + name: value for name, value in values.items()}
