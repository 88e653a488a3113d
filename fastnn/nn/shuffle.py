"""Layers that move elements between channels and pixels: each is one copy of a view that has its axes in another order."""

from __future__ import annotations

import numpy as np

from fastnn.kernels import copy
from fastnn.nn.arguments import positive_int
from fastnn.nn.module import Array, Module


def _to_pixels(x: Array, r: int) -> Array:
    """(…, C r², H, W) to (…, C, H r, W r): y[c, h r + i, w r + j] = x[(c r + i) r + j, h, w]."""
    *lead, channels, height, width = x.shape
    n = len(lead)
    view = x.reshape(*lead, channels // r**2, r, r, height, width).transpose(*range(n + 1), n + 3, n + 1, n + 4, n + 2)
    return copy(view).reshape(*lead, channels // r**2, height * r, width * r)


def _to_channels(x: Array, r: int) -> Array:
    """The reverse: (…, C, H r, W r) to (…, C r², H, W)."""
    *lead, channels, height, width = x.shape
    n = len(lead)
    view = x.reshape(*lead, channels, height // r, r, width // r, r).transpose(*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    return copy(view).reshape(*lead, channels * r**2, height // r, width // r)


def _transpose_channels(x: Array, groups: int) -> Array:
    """Channel g n + i of (N, groups n, …) becomes channel i groups + g."""
    view = x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:]).swapaxes(1, 2)
    return copy(view).reshape(x.shape)


class _Shuffle(Module):
    """What the three share: a forward that `check`s the shape first, and a backward for gradients of the right one."""

    def check(self, shape: tuple[int, ...]) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not define check")

    def shuffle(self, x: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} does not define shuffle")

    def unshuffle(self, dy: Array) -> Array:
        raise NotImplementedError(f"{type(self).__name__} does not define unshuffle")

    def forward(self, x: Array) -> Array:
        x = np.asarray(x)
        self.check(x.shape)
        y = self.shuffle(x)
        if self.training:
            self._saved = (y.shape,)
        return y

    def backward(self, dy: Array) -> Array | None:
        (shape,) = self.saved()
        if np.shape(dy) != shape:
            raise ValueError(f"dy must have the output's shape {shape}, got {np.shape(dy)}")
        return self.unshuffle(np.asarray(dy)) if self.needs_input_grad else None


class PixelShuffle(_Shuffle):
    """(…, C r², H, W) to (…, C, H r, W r) with r = upscale_factor: r² channels become r by r pixels."""

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = positive_int(upscale_factor, "upscale_factor")

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 3 or shape[-3] % self.upscale_factor**2:
            raise ValueError(f"x must have shape (…, C {self.upscale_factor}², H, W), got {shape}")

    def shuffle(self, x: Array) -> Array:
        return _to_pixels(x, self.upscale_factor)

    def unshuffle(self, dy: Array) -> Array:
        return _to_channels(dy, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(_Shuffle):
    """(…, C, H r, W r) to (…, C r², H, W) with r = downscale_factor: r by r pixels become r² channels."""

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = positive_int(downscale_factor, "downscale_factor")

    def check(self, shape: tuple[int, ...]) -> None:
        r = self.downscale_factor
        if len(shape) < 3 or shape[-2] % r or shape[-1] % r:
            raise ValueError(f"x must have shape (…, C, {r} H, {r} W), got {shape}")

    def shuffle(self, x: Array) -> Array:
        return _to_channels(x, self.downscale_factor)

    def unshuffle(self, dy: Array) -> Array:
        return _to_pixels(dy, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"


class ChannelShuffle(_Shuffle):
    """Deals the channels of (N, C, …) round: the first of each group, then the second of each, and so on. C must be divisible by groups."""

    def __init__(self, groups: int) -> None:
        self.groups = positive_int(groups, "groups")

    def check(self, shape: tuple[int, ...]) -> None:
        if len(shape) < 3 or shape[1] % self.groups:
            raise ValueError(f"x must have shape (N, C, …) with 3 dimensions or more and C divisible by {self.groups}, got {shape}")

    def shuffle(self, x: Array) -> Array:
        return _transpose_channels(x, self.groups)

    def unshuffle(self, dy: Array) -> Array:
        return _transpose_channels(dy, dy.shape[1] // self.groups) if dy.size else copy(dy)

    def extra_repr(self) -> str:
        return f"groups={self.groups}"
