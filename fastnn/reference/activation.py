"""Activations: y = f(x) element by element, and dx = dy f'(x).

Every function takes x of any shape, float32 or float64, and returns an array of x's shape and dtype. Every backward takes dy, then
what the forward took (tanh and sigmoid: dy and the forward's output y, which is all that their derivatives need).

At a kink the derivative is PyTorch's choice, stated with each function. NaN goes in and comes out. Formulas are written so that no
exponential of a positive number is taken where it could overflow. At ±inf functions and derivatives have their limits (PyTorch's GELU, SiLU,
Mish, hardswish and softsign give NaN at some of them): where x meets a factor that falls to 0, it is limited to +-LARGE, where that factor is 0 already.
"""

# NumPy's stubs type the arithmetic of arrays of any dtype as Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .array import Array

# Klambauer et al., Self-Normalizing Neural Networks, 2017, equation 14.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946

LARGE = 1000.0


# ---- piecewise linear -----------------------------------------------------------------------------------------------------------


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.maximum(x, 0)


def relu_backward(dy: Array, x: Array) -> Array:
    """f'(0) = 0."""
    return np.where(x <= 0, 0, dy)


def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope x."""
    return np.where(x > 0, x, negative_slope * x)


def leaky_relu_backward(dy: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """f'(0) = negative_slope."""
    return np.where(x > 0, dy, negative_slope * dy)


def _per_channel(x: Array, weight: Array) -> Array:
    """weight (1,) or (C,), shaped so that it broadcasts along x's channels: axis 1, or axis 0 of a 1-D x."""
    if weight.size == 1:
        return weight.reshape(())
    return weight.reshape((-1,) + (1,) * max(x.ndim - 2, 0))


def prelu(x: Array, weight: Array) -> Array:
    """x where x > 0, else weight x. weight: (1,) for all channels or (C,); channels are axis 1 of x, or axis 0 of a 1-D x.

    Source: He et al., Delving Deep into Rectifiers, 2015.
    """
    return np.where(x > 0, x, _per_channel(x, weight) * x)


def prelu_backward(dy: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """(dx, dweight), dweight of weight's shape; f'(0) = weight."""
    dx = np.where(x > 0, dy, _per_channel(x, weight) * dy)
    slope = np.where(x > 0, 0, x * dy)
    if weight.size == 1:
        return dx, np.asarray(slope.sum()).reshape(weight.shape)
    channel = min(x.ndim - 1, 1)
    return dx, slope.sum(axis=tuple(axis for axis in range(x.ndim) if axis != channel))


def hardtanh(x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """x limited to [min_val, max_val]."""
    return np.minimum(np.maximum(x, min_val), max_val)


def hardtanh_backward(dy: Array, x: Array, min_val: float = -1.0, max_val: float = 1.0) -> Array:
    """f' = 0 at both bounds."""
    return np.where((x <= min_val) | (x >= max_val), 0, dy)


def relu6(x: Array) -> Array:
    """x limited to [0, 6]."""
    return hardtanh(x, 0.0, 6.0)


def relu6_backward(dy: Array, x: Array) -> Array:
    """f'(0) = f'(6) = 0."""
    return hardtanh_backward(dy, x, 0.0, 6.0)


def hardsigmoid(x: Array) -> Array:
    """(x + 3) / 6 limited to [0, 1]."""
    return hardtanh(x + 3, 0.0, 6.0) / 6


def hardsigmoid_backward(dy: Array, x: Array) -> Array:
    """f'(-3) = f'(3) = 0."""
    return np.where((x > -3) & (x < 3), dy / 6, 0)


def hardswish(x: Array) -> Array:
    """x hardsigmoid(x). Source: Howard et al., Searching for MobileNetV3, 2019."""
    return np.maximum(x, -3) * (hardtanh(x + 3, 0.0, 6.0) / 6)


def hardswish_backward(dy: Array, x: Array) -> Array:
    """0 up to -3, x / 3 + 1/2 between, 1 from 3 on."""
    return np.where(x <= -3, 0, np.where(x < 3, dy * (x / 3 + 0.5), dy))


def hardshrink(x: Array, lambd: float = 0.5) -> Array:
    """0 where -lambd <= x <= lambd, else x."""
    return np.where((x >= -lambd) & (x <= lambd), 0, x)


def hardshrink_backward(dy: Array, x: Array, lambd: float = 0.5) -> Array:
    """f' = 0 at both bounds."""
    return np.where((x >= -lambd) & (x <= lambd), 0, dy)


@np.errstate(invalid="ignore")
def softshrink(x: Array, lambd: float = 0.5) -> Array:
    """x - lambd above lambd, x + lambd below -lambd, 0 between."""
    return np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, 0 * x))


def softshrink_backward(dy: Array, x: Array, lambd: float = 0.5) -> Array:
    """f' = 0 at both bounds."""
    return np.where((x >= -lambd) & (x <= lambd), 0, dy)


def threshold(x: Array, threshold: float, value: float) -> Array:
    """x where x > threshold, else value."""
    return np.where(x <= threshold, value, x)


def threshold_backward(dy: Array, x: Array, threshold: float, value: float) -> Array:
    """f'(threshold) = 0."""
    return np.where(x <= threshold, 0, dy)


# ---- sigmoid, tanh and their kin ------------------------------------------------------------------------------------------------


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), computed from e = exp(-|x|) as 1 / (1 + e) or e / (1 + e)."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    """dy y (1 - y); y is the forward's output."""
    return dy * y * (1 - y)


def logsigmoid(x: Array) -> Array:
    """log(sigmoid(x)) = min(x, 0) - log(1 + exp(-|x|))."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


def logsigmoid_backward(dy: Array, x: Array) -> Array:
    """f'(x) = sigmoid(-x)."""
    return dy * sigmoid(-x)


def tanh(x: Array) -> Array:
    """The hyperbolic tangent."""
    return np.tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    """dy (1 - y^2); y is the forward's output."""
    return dy * (1 - y * y)


@np.errstate(invalid="ignore")
def tanhshrink(x: Array) -> Array:
    """x - tanh(x)."""
    return x - np.tanh(x)


def tanhshrink_backward(dy: Array, x: Array) -> Array:
    """f'(x) = tanh(x)^2."""
    return dy * np.tanh(x) ** 2


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""
    z = beta * x
    return np.where(z > threshold, x, (np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))) / beta)


def softplus_backward(dy: Array, x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    """f'(x) = sigmoid(beta x), and 1 where beta x > threshold."""
    z = beta * x
    return np.where(z > threshold, dy, dy * sigmoid(z))


@np.errstate(invalid="ignore")
def softsign(x: Array) -> Array:
    """x / (1 + |x|), which is 1 for large x."""
    x = np.clip(x, -1e30, 1e30)
    return x / (1 + np.abs(x))


def softsign_backward(dy: Array, x: Array) -> Array:
    """f'(x) = 1 / (1 + |x|)^2."""
    return dy / (1 + np.abs(x)) ** 2


def silu(x: Array) -> Array:
    """x sigmoid(x)."""
    return np.maximum(x, -LARGE) * sigmoid(x)


def silu_backward(dy: Array, x: Array) -> Array:
    """f'(x) = s (1 + x (1 - s)) with s = sigmoid(x)."""
    x = np.clip(x, -LARGE, LARGE)
    s = sigmoid(x)
    return dy * s * (1 + x * (1 - s))


def mish(x: Array) -> Array:
    """x tanh(softplus(x)). Source: Misra, Mish, 2019."""
    return np.maximum(x, -LARGE) * np.tanh(softplus(x))


def mish_backward(dy: Array, x: Array) -> Array:
    """f'(x) = t + x (1 - t^2) sigmoid(x) with t = tanh(softplus(x))."""
    x = np.clip(x, -LARGE, LARGE)
    t = np.tanh(softplus(x))
    return dy * (t + x * (1 - t * t) * sigmoid(x))


def glu(x: Array, axis: int = -1) -> Array:
    """a sigmoid(b) where a and b are the first and second half of x along axis; the result has half of x's size there.

    Source: Dauphin et al., Language Modeling with Gated Convolutional Networks, 2016.
    """
    if x.shape[axis] % 2:
        raise ValueError(f"glu: axis {axis} of x must have an even size, got shape {x.shape}")
    a, b = np.split(x, 2, axis=axis)
    return a * sigmoid(b)


def glu_backward(dy: Array, x: Array, axis: int = -1) -> Array:
    """da = dy s, db = dy a s (1 - s) with s = sigmoid(b), joined along axis."""
    a, b = np.split(x, 2, axis=axis)
    s = sigmoid(b)
    return np.concatenate([dy * s, dy * a * s * (1 - s)], axis=axis)


# ---- exponential and Gaussian ---------------------------------------------------------------------------------------------------


def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha (exp(x) - 1). Source: Clevert et al., 2015."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def elu_backward(dy: Array, x: Array, alpha: float = 1.0) -> Array:
    """f'(0) = alpha."""
    return np.where(x <= 0, dy * (alpha * np.exp(np.minimum(x, 0))), dy)


def celu(x: Array, alpha: float = 1.0) -> Array:
    """x where x > 0, else alpha (exp(x / alpha) - 1). Source: Barron, 2017."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x / alpha, 0)))


def celu_backward(dy: Array, x: Array, alpha: float = 1.0) -> Array:
    """f'(0) = 1."""
    return np.where(x <= 0, dy * np.exp(np.minimum(x / alpha, 0)), dy)


def selu(x: Array) -> Array:
    """SELU_SCALE elu(x, SELU_ALPHA). Source: Klambauer et al., 2017."""
    return np.where(x > 0, SELU_SCALE * x, SELU_SCALE * SELU_ALPHA * np.expm1(np.minimum(x, 0)))


def selu_backward(dy: Array, x: Array) -> Array:
    """f'(0) = SELU_SCALE SELU_ALPHA."""
    return np.where(x <= 0, dy * (SELU_SCALE * SELU_ALPHA * np.exp(np.minimum(x, 0))), SELU_SCALE * dy)


def _erfc(x: Array) -> Any:
    """The complementary error function: SciPy's where it is installed, else the standard library's, element by element."""
    try:
        from scipy.special import erfc  # type: ignore[import-untyped]
    except ImportError:
        return np.vectorize(math.erfc, otypes=[x.dtype])(x)
    return erfc(x)


def gelu(x: Array, approximate: str = "none") -> Array:
    """x Phi(x), Phi being the normal distribution function: x erfc(-x / sqrt 2) / 2.

    approximate="tanh": x (1 + tanh(u)) / 2 = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3). The second form keeps the
    digits that 1 + tanh(u) loses where u is very negative.
    Source: Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    if approximate == "tanh":
        return np.maximum(x, -LARGE) * sigmoid(2 * _gelu_tanh_argument(x))
    _require_none(approximate)
    return 0.5 * np.maximum(x, -LARGE) * _erfc(-math.sqrt(0.5) * x)


def gelu_backward(dy: Array, x: Array, approximate: str = "none") -> Array:
    """f'(x) = Phi(x) + x phi(x), phi being the normal density; "tanh": s + 2 x s (1 - s) u'(x) with s = sigmoid(2 u)."""
    x = np.clip(x, -LARGE, LARGE)
    if approximate == "tanh":
        s = sigmoid(2 * _gelu_tanh_argument(x))
        du = math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * x * x)
        return dy * (s + 2 * x * s * (1 - s) * du)
    _require_none(approximate)
    phi = np.exp(-0.5 * x * x) * math.sqrt(0.5 / math.pi)
    return dy * (0.5 * _erfc(-math.sqrt(0.5) * x) + x * phi)


@np.errstate(over="ignore")
def _gelu_tanh_argument(x: Array) -> Array:
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


def _require_none(approximate: str) -> None:
    if approximate != "none":
        raise ValueError(f'gelu: approximate must be "none" or "tanh", got {approximate!r}')
