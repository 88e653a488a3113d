"""Convolutions: Conv1d, Conv2d, Conv3d and their transposes."""

from __future__ import annotations

from math import prod, sqrt
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn.kernels import conv, conv_backward, conv_transpose, conv_transpose_backward, pad, pad_backward
from fastnn.nn import init
from fastnn.nn.arguments import one_of, per_axis, positive_int
from fastnn.nn.module import Array, Module, ParameterField, check_dtype, grad_targets
from fastnn.random import Rng, default_rng

Sizes = int | tuple[int, ...]
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}  # of kernels.pad


class _Filters(Module):
    """What all six have in common: the arguments, the parameters and their initialisation."""

    weight = ParameterField()
    bias = ParameterField()
    axes: int
    padding: Any
    transposed = False

    def _build(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes, padding: Sizes | str, dilation: Sizes, groups: int, bias: bool,
        dtype: DTypeLike, rng: Rng,
    ) -> None:  # fmt: skip
        kind = check_dtype(np.dtype(dtype))
        self.in_channels = positive_int(in_channels, "in_channels", minimum=0)
        self.out_channels = positive_int(out_channels, "out_channels", minimum=0)
        self.groups = positive_int(groups, "groups")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name} must be a multiple of groups {groups}, got {channels}")
        self.kernel_size = per_axis(kernel_size, "kernel_size", self.axes)
        self.stride = per_axis(stride, "stride", self.axes)
        self.dilation = per_axis(dilation, "dilation", self.axes)
        self.padding = padding if isinstance(padding, str) else per_axis(padding, "padding", self.axes, minimum=0)
        first, second = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        fan_in = second // groups * prod(self.kernel_size)
        bound, generator = 1 / sqrt(max(fan_in, 1)), default_rng(rng)
        self.weight = init.uniform_(np.empty((first, second // groups, *self.kernel_size), kind), -bound, bound, generator)
        self.bias = init.uniform_(np.empty(out_channels, kind), -bound, bound, generator) if bias else None

    def _check(self, x: Array) -> None:
        if np.ndim(x) not in (self.axes + 1, self.axes + 2) or np.shape(x)[-self.axes - 1] != self.in_channels:
            sizes = ", ".join("DHW"[-self.axes :] if self.axes > 1 else "L")
            raise ValueError(f"x must have shape (N, {self.in_channels}, {sizes}) or ({self.in_channels}, {sizes}), got {np.shape(x)}")

    def _gradients(self) -> dict[str, Any]:
        """The keyword arguments of a backward."""
        dweight, dbias, accumulate = grad_targets(self._parameters["weight"], self._parameters["bias"])
        return {
            "dweight": dweight, "dbias": dbias, "accumulate": accumulate,
            "input_gradient": self.needs_input_grad, "bias_gradient": dbias is not None,
        }  # fmt: skip

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding not in (0, (0,) * self.axes):
            text += f", padding={self.padding!r}"
        if self.dilation != (1,) * self.axes:
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class _Conv(_Filters):
    """Forward and backward of a convolution along any number of axes."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes | str = 0, dilation: Sizes = 1,
        groups: int = 1, bias: bool = True, padding_mode: str = "zeros", dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        if isinstance(padding, str):
            one_of(padding, "padding", ("valid", "same"))
        self._build(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype, rng)
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f"padding 'same' needs a stride of 1, got {stride}")
        self.padding_mode = one_of(padding_mode, "padding_mode", tuple(MODES))
        around = (0,) * self.axes if isinstance(self.padding, str) else self.padding
        margins = [(p, p) for p in around]
        if padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            margins = [(total // 2, total - total // 2) for total in totals]
        self._margins = tuple(n for pair in reversed(margins) for n in pair)  # as kernels.pad takes them: the last axis first
        self._pads = padding_mode != "zeros" and any(self._margins)

    def forward(self, x: Array) -> Array:
        self._check(x)
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        if self._pads:
            shape = np.shape(x)
            x = pad(x, self._margins, MODES[self.padding_mode])
        if self.training:
            self._saved = (x, shape) if self._pads else (x, None)
        return conv(x, weight.data, None if bias is None else bias.data, self.stride, 0 if self._pads else self.padding, self.dilation, self.groups)

    def backward(self, dy: Array) -> Array | None:
        x, shape = self.saved()
        padding = 0 if self._pads else self.padding
        dx = conv_backward(dy, x, self._parameters["weight"].data, self.stride, padding, self.dilation, self.groups, **self._gradients())[0]
        return pad_backward(dx, shape, self._margins, MODES[self.padding_mode]) if self._pads and dx is not None else dx

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.padding_mode == "zeros" else f", padding_mode={self.padding_mode!r}")


class Conv1d(_Conv):
    """Conv2d along one axis: x (N, in_channels, L) or (in_channels, L), weight (out_channels, in_channels / groups, kernel_size)."""

    axes = 1


class Conv2d(_Conv):
    """y[n, o, p] = bias[o] + sum over c and taps of weight[o, c, tap] x[n, c, p stride + tap dilation - padding].

    x: (N, in_channels, H, W) or (in_channels, H, W); y: (N, out_channels, H', W') with H' = (H + 2 padding - dilation (kernel_size - 1) - 1) //
    stride + 1; weight: (out_channels, in_channels / groups, *kernel_size); bias: (out_channels,). padding: an int or one for each axis, 'valid' or
    'same'; padding_mode: 'zeros', 'reflect', 'replicate' or 'circular'. Weight and bias start from U(-1/√fan_in, 1/√fan_in), as in PyTorch.
    """

    axes = 2


class Conv3d(_Conv):
    """Conv2d along three axes: x (N, in_channels, D, H, W) or (in_channels, D, H, W), weight (out_channels, in_channels / groups, *kernel_size)."""

    axes = 3


class _ConvTranspose(_Filters):
    """Forward and backward of a transposed convolution along any number of axes."""

    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Sizes, stride: Sizes = 1, padding: Sizes = 0, output_padding: Sizes = 0, groups: int = 1,
        bias: bool = True, dilation: Sizes = 1, padding_mode: str = "zeros", dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f"padding_mode must be 'zeros' in a transposed convolution, got {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"padding must be an integer or a tuple of {self.axes}, got {padding!r}")
        self._build(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype, rng)
        self.output_padding = per_axis(output_padding, "output_padding", self.axes, minimum=0)

    def _extra(self, x: Array, output_size: Sizes | None) -> tuple[int, ...]:
        """The output padding with which the result has this size."""
        if output_size is None:
            return self.output_padding
        wanted = per_axis(output_size, "output_size", self.axes, minimum=0)
        geometry = zip(np.shape(x)[-self.axes :], self.kernel_size, self.stride, self.padding, self.dilation, strict=True)
        least = tuple((n - 1) * s - 2 * p + d * (k - 1) + 1 for n, k, s, p, d in geometry)
        if any(not low <= size < low + step for low, size, step in zip(least, wanted, self.stride, strict=True)):
            most = tuple(low + step - 1 for low, step in zip(least, self.stride, strict=True))
            raise ValueError(f"output_size must be from {least} to {most} for x of shape {np.shape(x)}, got {output_size}")
        return tuple(size - low for low, size in zip(least, wanted, strict=True))

    def __call__(self, x: Array, output_size: Sizes | None = None) -> Array:
        return self.forward(x, output_size)

    def forward(self, x: Array, output_size: Sizes | None = None) -> Array:
        self._check(x)
        weight, bias, extra = self._parameters["weight"], self._parameters["bias"], self._extra(x, output_size)
        if self.training:
            self._saved = x, extra
        return conv_transpose(x, weight.data, None if bias is None else bias.data, self.stride, self.padding, extra, self.groups, self.dilation)

    def backward(self, dy: Array) -> Array | None:
        x, extra = self.saved()
        weight = self._parameters["weight"].data
        return conv_transpose_backward(dy, x, weight, self.stride, self.padding, extra, self.groups, self.dilation, **self._gradients())[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", output_padding={self.output_padding}" if any(self.output_padding) else "")


class ConvTranspose1d(_ConvTranspose):
    """ConvTranspose2d along one axis: x (N, in_channels, L) or (in_channels, L)."""

    axes = 1


class ConvTranspose2d(_ConvTranspose):
    """y[n, o, q] = bias[o] + sum over c, p, taps with q = p stride + tap dilation - padding of weight[c, o, tap] x[n, c, p].

    x: (N, in_channels, H, W) or (in_channels, H, W); y: (N, out_channels, H', W') with H' = (H - 1) stride - 2 padding + dilation (kernel_size - 1) +
    output_padding + 1; weight: (in_channels, out_channels / groups, *kernel_size); bias: (out_channels,). `output_size` of forward, the wanted
    (H', W'), stands in for output_padding. Weight and bias start as in PyTorch.
    """

    axes = 2


class ConvTranspose3d(_ConvTranspose):
    """ConvTranspose2d along three axes: x (N, in_channels, D, H, W) or (in_channels, D, H, W)."""

    axes = 3
