"""Gradient clipping over a model's parameters."""

from __future__ import annotations

from collections.abc import Iterable

from fastnn.kernels._parameter import RowGradient
from fastnn.kernels.optimizer import clip_grad_norm, clip_grad_value
from fastnn.nn.module import Array, Parameter


def _gradients(parameters: Parameter | Iterable[Parameter]) -> list[Array | RowGradient]:
    members = [parameters] if isinstance(parameters, Parameter) else parameters
    return [p._grad if isinstance(p._grad, RowGradient) else p.grad for p in members if not p.stale]


def clip_grad_norm_(
    parameters: Parameter | Iterable[Parameter], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale the gradients in place so that the norm of all of them together is at most `max_norm`; returns the norm before.

    norm_type: 1, 2 or inf. RuntimeError for a norm that is not finite if `error_if_nonfinite`; the gradients then stay as they are.
    """
    gradients = _gradients(parameters)
    if error_if_nonfinite:
        norm = clip_grad_norm(gradients, float("inf"), norm_type)  # an infinite limit scales by 1
        if not norm < float("inf"):
            raise RuntimeError(f"the gradients' norm must be finite, got {norm}")
    return clip_grad_norm(gradients, max_norm, norm_type)


def clip_grad_value_(parameters: Parameter | Iterable[Parameter], clip_value: float) -> None:
    """Limit every element of the gradients, in place, to [-clip_value, clip_value]."""
    clip_grad_value(_gradients(parameters), clip_value)
