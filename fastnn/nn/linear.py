"""Linear: y = x weightᵀ + bias."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn.kernels import linear, linear_backward
from fastnn.nn import init
from fastnn.nn.arguments import positive_int
from fastnn.nn.module import Array, Module, ParameterField, check_dtype, grad_targets
from fastnn.random import Rng, default_rng


class Linear(Module):
    """An affine map of the last axis: y = x weightᵀ + bias.

    x: (…, in_features); y: (…, out_features). `weight` has shape (out_features, in_features) and is a transposed view of a C-ordered
    array, which is the order the products like best. Both start from U(-1/√in, 1/√in), as in PyTorch.
    """

    weight = ParameterField()
    bias = ParameterField()

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: DTypeLike = np.float32, rng: Rng = None) -> None:
        self.in_features = positive_int(in_features, "in_features", minimum=0)
        self.out_features = positive_int(out_features, "out_features", minimum=0)
        kind = check_dtype(np.dtype(dtype))
        generator = default_rng(rng)
        bound = 1 / np.sqrt(max(in_features, 1))
        self.weight = init.uniform_(np.empty((in_features, out_features), kind).T, -bound, bound, generator)
        self.bias = init.uniform_(np.empty(out_features, kind), -bound, bound, generator) if bias else None

    def forward(self, x: Array) -> Array:
        if self.training:
            self._saved = x
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        return linear(x, weight.data, None if bias is None else bias.data)

    def backward(self, dy: Array) -> Array | None:
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        dweight, dbias, accumulate = grad_targets(weight, bias)
        dx, _, _ = linear_backward(
            dy, self.saved(), weight.data, dweight=dweight, dbias=dbias, accumulate=accumulate,
            input_gradient=self.needs_input_grad, bias_gradient=bias is not None,
        )  # fmt: skip
        return dx

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
