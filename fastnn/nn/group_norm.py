"""Normalisation of groups of channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn.kernels import group_norm, group_norm_backward
from fastnn.nn.arguments import number_between, positive_int
from fastnn.nn.module import Array, Module, ParameterField, check_dtype, grad_targets


class GroupNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) weight + bias, with the statistics of each image over num_groups groups of neighbouring channels.

    x, y: (N, num_channels, …); weight, bias: (num_channels,), ones and zeros at first. ValueError unless num_groups divides num_channels.
    """

    weight = ParameterField()
    bias = ParameterField()

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, dtype: DTypeLike = np.float32) -> None:
        kind = check_dtype(np.dtype(dtype))
        self.num_groups, self.num_channels = positive_int(num_groups, "num_groups"), positive_int(num_channels, "num_channels", minimum=0)
        if self.num_channels % self.num_groups:
            raise ValueError(f"num_channels must be a multiple of num_groups {self.num_groups}, got {self.num_channels}")
        self.eps = number_between(eps, "eps", 0, np.inf)
        self.affine = affine
        self.weight = np.ones(self.num_channels, kind) if affine else None
        self.bias = np.zeros(self.num_channels, kind) if affine else None

    def forward(self, x: Array) -> Array:
        shape = np.shape(x)
        if len(shape) < 2 or shape[1] != self.num_channels:
            raise ValueError(f"x must have shape (N, {self.num_channels}, …), got {shape}")
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        y, mean, rstd = group_norm(
            x, self.num_groups, None if weight is None else weight.data, None if bias is None else bias.data, self.eps
        )
        if self.training:
            self._saved = x, mean, rstd
        return y

    def backward(self, dy: Array) -> Array | None:
        x, mean, rstd = self.saved()
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        dweight, dbias, accumulate = (None, None, False) if weight is None else grad_targets(weight, bias)
        return group_norm_backward(
            dy, x, mean, rstd, None if weight is None else weight.data, dweight=dweight, dbias=dbias, accumulate=accumulate,
            input_gradient=self.needs_input_grad, parameter_gradients=weight is not None,
        )[0]  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"
