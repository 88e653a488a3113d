"""Captured steps: what a model, a loss and an optimizer do for one batch, recorded once and then replayed as one call into C."""

from __future__ import annotations

from typing import Any, overload

from fastnn.captured.errors import CaptureError as CaptureError
from fastnn.captured.prediction import CapturedPrediction as CapturedPrediction
from fastnn.captured.step import CapturedStep as CapturedStep
from fastnn.nn.module import Module
from fastnn.optim import Optimizer


@overload
def capture(model: Module, *, fold: bool = True, pack: bool = True) -> CapturedPrediction: ...
@overload
def capture(
    model: Module, loss: Module, optimizer: Optimizer, *, clip_grad_norm: float | None = None, clip_grad_value: float | None = None, accumulate: int = 1
) -> CapturedStep: ...
def capture(model: Module, loss: Module | None = None, optimizer: Optimizer | None = None, **options: Any) -> Any:
    """`capture(model, loss, optimizer)` → `step(x, y)`, a training step as one call: see CapturedStep.
    `capture(model)` → `predict(x)`, inference as one call: see CapturedPrediction.

    Raises CaptureError, here or at the first call, for what cannot be captured.
    """
    if loss is None and optimizer is None:
        return CapturedPrediction(model, **options)
    if loss is None or optimizer is None:
        raise TypeError("capture takes a model, a loss and an optimizer for training, or a model alone for inference")
    return CapturedStep(model, loss, optimizer, **options)
