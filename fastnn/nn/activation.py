"""Element-wise activation layers, PReLU and GLU. Formulas and sources: fastnn.reference.activation.

`inplace` is accepted, as PyTorch has it, and without effect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from fastnn import kernels
from fastnn.nn.arguments import positive_int
from fastnn.nn.module import Array, Module, ParameterField, check_dtype


class Activation(Module):
    """The base of activations without arguments: `function` and its `derivative`, which takes forward's input x."""

    function: ClassVar[Callable[..., Array]]
    derivative: ClassVar[Callable[..., Array]]

    def forward(self, x: Array) -> Array:
        if self.training:
            self._saved = x
        return self.function(x)

    def backward(self, dy: Array) -> Array:
        return self.derivative(dy, self.saved())


class ActivationOfOutput(Activation):
    """The base of activations whose `derivative` takes forward's output y."""

    def forward(self, x: Array) -> Array:
        y = self.function(x)
        if self.training:
            self._saved = y
        return y


class ActivationWithArguments(Activation):
    """The base of activations with arguments: the attributes named in `fields`, which both functions take in that order."""

    fields: ClassVar[tuple[str, ...]]

    def arguments(self) -> list[Any]:
        return [getattr(self, field) for field in self.fields]

    def forward(self, x: Array) -> Array:
        if self.training:
            self._saved = x
        return self.function(x, *self.arguments())

    def backward(self, dy: Array) -> Array:
        return self.derivative(dy, self.saved(), *self.arguments())

    def extra_repr(self) -> str:
        return ", ".join(f"{field}={getattr(self, field)!r}" for field in self.fields)


# --- linear in pieces ---


class ReLU(ActivationOfOutput):
    """max(x, 0)."""

    function, derivative = staticmethod(kernels.relu), staticmethod(kernels.relu_backward)

    def __init__(self, inplace: bool = False) -> None:
        pass


class LeakyReLU(ActivationWithArguments):
    """x where x > 0, else negative_slope x."""

    function, derivative = staticmethod(kernels.leaky_relu), staticmethod(kernels.leaky_relu_backward)
    fields = ("negative_slope",)

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        self.negative_slope = negative_slope


class PReLU(Module):
    """x where x > 0, else weight x, with one learned weight for each channel, or one for all.

    weight: (num_parameters,), init at first. With several, x's axis 1 (axis 0 of a one-dimensional x) has num_parameters channels.
    """

    weight = ParameterField()

    def __init__(self, num_parameters: int = 1, init: float = 0.25, dtype: DTypeLike = np.float32) -> None:
        self.num_parameters = positive_int(num_parameters, "num_parameters")
        self.init = init
        self.weight = np.full(self.num_parameters, init, check_dtype(np.dtype(dtype)))

    def forward(self, x: Array) -> Array:
        if self.training:
            self._saved = x
        return kernels.prelu(x, self._parameters["weight"].data)

    def backward(self, dy: Array) -> Array:
        weight, x = self._parameters["weight"], self.saved()
        dweight, accumulate = weight.grad_target()
        return kernels.prelu_backward(dy, x, weight.data, dweight=dweight, accumulate=accumulate)[0]

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class ReLU6(Activation):
    """x limited to [0, 6]."""

    function, derivative = staticmethod(kernels.relu6), staticmethod(kernels.relu6_backward)

    def __init__(self, inplace: bool = False) -> None:
        pass


class Hardtanh(ActivationWithArguments):
    """x limited to [min_val, max_val]. Raises ValueError unless min_val < max_val."""

    function, derivative = staticmethod(kernels.hardtanh), staticmethod(kernels.hardtanh_backward)
    fields = ("min_val", "max_val")

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        if not min_val < max_val:
            raise ValueError(f"min_val must be below max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val


class Hardsigmoid(Activation):
    """(x + 3) / 6 limited to [0, 1]."""

    function, derivative = staticmethod(kernels.hardsigmoid), staticmethod(kernels.hardsigmoid_backward)

    def __init__(self, inplace: bool = False) -> None:
        pass


class Hardswish(Activation):
    """x times hardsigmoid(x)."""

    function, derivative = staticmethod(kernels.hardswish), staticmethod(kernels.hardswish_backward)

    def __init__(self, inplace: bool = False) -> None:
        pass


class Hardshrink(ActivationWithArguments):
    """0 where -lambd <= x <= lambd, else x."""

    function, derivative = staticmethod(kernels.hardshrink), staticmethod(kernels.hardshrink_backward)
    fields = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd


class Softshrink(ActivationWithArguments):
    """x - lambd above lambd, x + lambd below -lambd, 0 between. lambd must not be negative."""

    function, derivative = staticmethod(kernels.softshrink), staticmethod(kernels.softshrink_backward)
    fields = ("lambd",)

    def __init__(self, lambd: float = 0.5) -> None:
        self.lambd = lambd


class Threshold(ActivationWithArguments):
    """x where x > threshold, else value."""

    function, derivative = staticmethod(kernels.threshold), staticmethod(kernels.threshold_backward)
    fields = ("threshold", "value")

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        self.threshold = threshold
        self.value = value


# --- sigmoid, tanh and their kin ---


class Sigmoid(ActivationOfOutput):
    """1 / (1 + exp(-x))."""

    function, derivative = staticmethod(kernels.sigmoid), staticmethod(kernels.sigmoid_backward)


class Tanh(ActivationOfOutput):
    """The hyperbolic tangent."""

    function, derivative = staticmethod(kernels.tanh), staticmethod(kernels.tanh_backward)


class LogSigmoid(Activation):
    """log(sigmoid(x))."""

    function, derivative = staticmethod(kernels.logsigmoid), staticmethod(kernels.logsigmoid_backward)


class Tanhshrink(Activation):
    """x - tanh(x)."""

    function, derivative = staticmethod(kernels.tanhshrink), staticmethod(kernels.tanhshrink_backward)


class Softplus(ActivationWithArguments):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""

    function, derivative = staticmethod(kernels.softplus), staticmethod(kernels.softplus_backward)
    fields = ("beta", "threshold")

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        self.beta = beta
        self.threshold = threshold


class Softsign(Activation):
    """x / (1 + |x|)."""

    function, derivative = staticmethod(kernels.softsign), staticmethod(kernels.softsign_backward)


class SiLU(Activation):
    """x sigmoid(x)."""

    function, derivative = staticmethod(kernels.silu), staticmethod(kernels.silu_backward)

    def __init__(self, inplace: bool = False) -> None:
        pass


class Mish(Activation):
    """x tanh(softplus(x))."""

    function, derivative = staticmethod(kernels.mish), staticmethod(kernels.mish_backward)

    def __init__(self, inplace: bool = False) -> None:
        pass


class GLU(ActivationWithArguments):
    """u sigmoid(v), u and v being the halves of x along axis `dim`, whose size must be even."""

    function, derivative = staticmethod(kernels.glu), staticmethod(kernels.glu_backward)
    fields = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


# --- exponential and Gaussian ---


class ELU(ActivationWithArguments):
    """x where x > 0, else alpha (exp(x) - 1)."""

    function, derivative = staticmethod(kernels.elu), staticmethod(kernels.elu_backward)
    fields = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha


class CELU(ActivationWithArguments):
    """x where x > 0, else alpha (exp(x / alpha) - 1). alpha must not be 0."""

    function, derivative = staticmethod(kernels.celu), staticmethod(kernels.celu_backward)
    fields = ("alpha",)

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        self.alpha = alpha


class SELU(Activation):
    """scale x where x > 0, else scale alpha (exp(x) - 1), with the constants of self-normalizing networks."""

    function, derivative = staticmethod(kernels.selu), staticmethod(kernels.selu_backward)

    def __init__(self, inplace: bool = False) -> None:
        pass


class GELU(ActivationWithArguments):
    """x Phi(x), Phi being the normal distribution function, or its approximation with tanh where approximate is "tanh"."""

    function, derivative = staticmethod(kernels.gelu), staticmethod(kernels.gelu_backward)
    fields = ("approximate",)

    def __init__(self, approximate: str = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate
