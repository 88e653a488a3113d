"""Padding layers: zero, constant, reflection, replication and circular, over one, two or three last axes."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index

import numpy as np

from fastnn.kernels import pad, pad_backward
from fastnn.nn.module import Array, Module


class _Pad(Module):
    """What all share. padding: an int for all sides, or (before, after) of the last axis, then of the one before it, and so on."""

    axes = 1
    mode = "constant"
    value: float = 0.0

    def __init__(self, padding: int | Sequence[int]) -> None:
        amounts = tuple(padding) if isinstance(padding, Sequence) else (padding,) * (2 * self.axes)
        if len(amounts) != 2 * self.axes:
            raise ValueError(f"padding must be an integer or {2 * self.axes} of them for {type(self).__name__}, got {padding}")
        try:
            self.padding = tuple(index(amount) for amount in amounts)
        except TypeError:
            raise TypeError(f"padding must be an integer or {2 * self.axes} of them, got {padding!r}") from None

    def forward(self, x: Array) -> Array:
        shape = np.shape(x)
        if not self.axes + 1 <= len(shape) <= self.axes + 2:
            last = ", ".join("DHW"[3 - self.axes :]) if self.axes > 1 else "L"
            raise ValueError(f"x must have shape (N, C, {last}) or (C, {last}), got {shape}")
        y = pad(x, self.padding, self.mode, self.value)
        if self.training:
            self._saved = (shape,)
        return y

    def backward(self, dy: Array) -> Array | None:
        (shape,) = self.saved()
        return pad_backward(dy, shape, self.padding, self.mode) if self.needs_input_grad else None

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with `value`; negative padding crops."""

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = float(value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    """Pads (N, C, H, W) or (C, H, W) with `value`; negative padding crops."""

    axes = 2


class ConstantPad3d(ConstantPad1d):
    """Pads (N, C, D, H, W) or (C, D, H, W) with `value`; negative padding crops."""

    axes = 3


class ZeroPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with zeros; negative padding crops."""


class ZeroPad2d(_Pad):
    """Pads (N, C, H, W) or (C, H, W) with zeros; negative padding crops."""

    axes = 2


class ZeroPad3d(_Pad):
    """Pads (N, C, D, H, W) or (C, D, H, W) with zeros; negative padding crops."""

    axes = 3


class ReflectionPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with its reflection at the border elements. Padding must be smaller than the axis."""

    mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    """Pads (N, C, H, W) or (C, H, W) with its reflection at the border elements. Padding must be smaller than the axis."""

    axes = 2


class ReflectionPad3d(ReflectionPad1d):
    """Pads (N, C, D, H, W) or (C, D, H, W) with its reflection at the border elements. Padding must be smaller than the axis."""

    axes = 3


class ReplicationPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with its border elements; negative padding crops."""

    mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    """Pads (N, C, H, W) or (C, H, W) with its border elements; negative padding crops."""

    axes = 2


class ReplicationPad3d(ReplicationPad1d):
    """Pads (N, C, D, H, W) or (C, D, H, W) with its border elements; negative padding crops."""

    axes = 3


class CircularPad1d(_Pad):
    """Pads (N, C, L) or (C, L) with its other end. Padding must not exceed the axis, which negative padding crops first."""

    mode = "circular"


class CircularPad2d(CircularPad1d):
    """Pads (N, C, H, W) or (C, H, W) with its other end. Padding must not exceed the axis, which negative padding crops first."""

    axes = 2


class CircularPad3d(CircularPad1d):
    """Pads (N, C, D, H, W) or (C, D, H, W) with its other end. Padding must not exceed the axis, which negative padding crops first."""

    axes = 3
