"""Normalisation of rows: LayerNorm, RMSNorm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from fastnn.kernels import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from fastnn.nn.arguments import number_between, positive_int
from fastnn.nn.module import Array, Module, ParameterField, check_dtype, grad_targets


def _shape(normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    sizes = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not sizes:
        raise ValueError("normalized_shape must name at least one axis, got none")
    return tuple(positive_int(size, "normalized_shape", minimum=0) for size in sizes)


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) weight + bias over the last axes, which normalized_shape names.

    x, y: (…, *normalized_shape); weight, bias: normalized_shape, ones and zeros at first.
    """

    weight = ParameterField()
    bias = ParameterField()

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        kind = check_dtype(np.dtype(dtype))
        self.normalized_shape = _shape(normalized_shape)
        self.eps = number_between(eps, "eps", 0, np.inf)
        self.elementwise_affine = elementwise_affine
        self.weight = np.ones(self.normalized_shape, kind) if elementwise_affine else None
        self.bias = np.zeros(self.normalized_shape, kind) if elementwise_affine and bias else None

    def forward(self, x: Array) -> Array:
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        y, mean, rstd = layer_norm(
            x, self.normalized_shape, None if weight is None else weight.data, None if bias is None else bias.data, self.eps
        )
        if self.training:
            self._saved = x, mean, rstd
        return y

    def backward(self, dy: Array) -> Array | None:
        x, mean, rstd = self.saved()
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        dweight, dbias, accumulate = (None, None, False) if weight is None else grad_targets(weight, bias)
        return layer_norm_backward(
            dy, x, mean, rstd, None if weight is None else weight.data, dweight=dweight, dbias=dbias, accumulate=accumulate,
            input_gradient=self.needs_input_grad, weight_gradient=weight is not None, bias_gradient=bias is not None,
        )[0]  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class RMSNorm(Module):
    """y = x / sqrt(average(x²) + eps) weight over the last axes, which normalized_shape names. eps None: the dtype's machine epsilon."""

    weight = ParameterField()

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        kind = check_dtype(np.dtype(dtype))
        self.normalized_shape = _shape(normalized_shape)
        self.eps = None if eps is None else number_between(eps, "eps", 0, np.inf)
        self.elementwise_affine = elementwise_affine
        self.weight = np.ones(self.normalized_shape, kind) if elementwise_affine else None

    def forward(self, x: Array) -> Array:
        weight = self._parameters["weight"]
        y, rstd = rms_norm(x, self.normalized_shape, None if weight is None else weight.data, self.eps)
        if self.training:
            self._saved = x, rstd
        return y

    def backward(self, dy: Array) -> Array | None:
        x, rstd = self.saved()
        weight = self._parameters["weight"]
        dweight, accumulate = (None, False) if weight is None else weight.grad_target()
        return rms_norm_backward(
            dy, x, rstd, None if weight is None else weight.data, dweight=dweight, accumulate=accumulate,
            input_gradient=self.needs_input_grad, weight_gradient=weight is not None,
        )[0]  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
