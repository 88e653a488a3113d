"""Initial values for parameters, with PyTorch's names and formulas.

Every function ending in _ writes into array, an ndarray of float32 or float64 of any shape and memory order, and returns it.
rng: None, an integer or a numpy.random.Generator (see fastnn.random.default_rng). Values are drawn in double, in C order of the
indices, so that they depend on shape and generator alone: dtype only rounds them, memory order only places them.

Fans: a weight of shape (out, in, k1, ...) has fan_in = in k1 ... and fan_out = out k1 ...
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from fastnn.kernels._core import note_write

from ..random import Rng, default_rng

Array = npt.NDArray[Any]


def _fill(array: Array, values: Any) -> Array:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"array must be a numpy.ndarray, got {type(array).__name__}")
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"array must have a floating dtype, got {array.dtype}")
    array[...] = values
    note_write()
    return array


# ---- constants ------------------------------------------------------------------------------------------------------------------


def constant_(array: Array, val: float) -> Array:
    """val everywhere."""
    return _fill(array, val)


def zeros_(array: Array) -> Array:
    """0 everywhere."""
    return _fill(array, 0.0)


def ones_(array: Array) -> Array:
    """1 everywhere."""
    return _fill(array, 1.0)


def eye_(array: Array) -> Array:
    """The identity: 1 on the diagonal, else 0. Raises ValueError unless array is 2-D."""
    if array.ndim != 2:
        raise ValueError(f"eye_: array must be 2-D, got shape {array.shape}")
    return _fill(array, np.eye(*array.shape))


# ---- distributions --------------------------------------------------------------------------------------------------------------


def uniform_(array: Array, a: float = 0.0, b: float = 1.0, rng: Rng = None) -> Array:
    """Uniform between a and b."""
    return _fill(array, default_rng(rng).uniform(a, b, size=array.shape))


def normal_(array: Array, mean: float = 0.0, std: float = 1.0, rng: Rng = None) -> Array:
    """Normal with this mean and standard deviation."""
    return _fill(array, default_rng(rng).normal(mean, std, size=array.shape))


def trunc_normal_(
    array: Array, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, rng: Rng = None
) -> Array:
    """Normal, restricted to [a, b] (not in units of std).

    Draws again whatever falls outside. Where less than a tenth would fall inside, inverts the distribution function instead,
    element by element: slow, and exact also far out in a tail. Raises ValueError if a is not below b or all of [a, b] is beyond 37 std.
    """
    if not (a < b and std > 0):
        raise ValueError(f"trunc_normal_: needs a < b and std > 0, got a={a}, b={b}, std={std}")
    generator = default_rng(rng)
    low, high = (a - mean) / std, (b - mean) / std
    mirrored = low > 0
    if mirrored:  # The lower tail's distribution function has full relative precision, the upper one's does not.
        low, high = -high, -low
    below, inside = _normal_cdf(low), _normal_cdf(high) - _normal_cdf(low)
    if inside <= 0:
        raise ValueError(f"trunc_normal_: [{a}, {b}] is too far from mean {mean} for std {std}")
    if inside >= 0.1:
        z = generator.standard_normal(array.size)
        outside = np.flatnonzero((z < low) | (z > high))
        while outside.size:
            z[outside] = generator.standard_normal(outside.size)
            outside = outside[(z[outside] < low) | (z[outside] > high)]
    else:
        p = below + inside * (1.0 - generator.random(array.size))
        from statistics import NormalDist  # slow to import, and rarely needed

        inverse = NormalDist().inv_cdf
        z = np.clip(np.array([inverse(q) for q in p.tolist()], np.float64), low, high)
    z = -z if mirrored else z
    return _fill(array, np.clip(mean + std * z, a, b).reshape(array.shape))


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


# ---- scaled by fan --------------------------------------------------------------------------------------------------------------


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The recommended gain for a nonlinearity; param is leaky_relu's slope, 0.01 by default."""
    if nonlinearity in ("linear", "identity", "sigmoid") or nonlinearity.startswith("conv"):
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3.0
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1.0 + (0.01 if param is None else param) ** 2))
    if nonlinearity == "selu":
        return 0.75
    raise ValueError(f"calculate_gain: unknown nonlinearity {nonlinearity!r}")


def _fans(array: Array) -> tuple[int, int]:
    """(fan_in, fan_out)."""
    if array.ndim < 2:
        raise ValueError(f"fan_in and fan_out need an array of at least 2 dimensions, got shape {array.shape}")
    window = math.prod(array.shape[2:])
    return array.shape[1] * window, array.shape[0] * window


def _xavier_std(array: Array, gain: float) -> float:
    return gain * math.sqrt(2.0 / max(sum(_fans(array)), 1))


def xavier_uniform_(array: Array, gain: float = 1.0, rng: Rng = None) -> Array:
    """Uniform on [-u, u], u = gain sqrt(6 / (fan_in + fan_out)). Source: Glorot and Bengio, 2010."""
    bound = math.sqrt(3.0) * _xavier_std(array, gain)
    return uniform_(array, -bound, bound, rng)


def xavier_normal_(array: Array, gain: float = 1.0, rng: Rng = None) -> Array:
    """Normal with mean 0 and std gain sqrt(2 / (fan_in + fan_out)). Source: Glorot and Bengio, 2010."""
    return normal_(array, 0.0, _xavier_std(array, gain), rng)


def _kaiming_std(array: Array, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f'mode must be "fan_in" or "fan_out", got {mode!r}')
    fan_in, fan_out = _fans(array)
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan_in if mode == "fan_in" else fan_out, 1))


def kaiming_uniform_(
    array: Array, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", rng: Rng = None
) -> Array:
    """Uniform on [-u, u], u = gain sqrt(3 / fan); a: leaky_relu's slope. Source: He et al., 2015."""
    bound = math.sqrt(3.0) * _kaiming_std(array, a, mode, nonlinearity)
    return uniform_(array, -bound, bound, rng)


def kaiming_normal_(
    array: Array, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", rng: Rng = None
) -> Array:
    """Normal with mean 0 and std gain / sqrt(fan); a: leaky_relu's slope. Source: He et al., 2015."""
    return normal_(array, 0.0, _kaiming_std(array, a, mode, nonlinearity), rng)


def orthogonal_(array: Array, gain: float = 1.0, rng: Rng = None) -> Array:
    """gain times a random matrix (shape[0], the rest) whose rows, or whichever are fewer, rows or columns, are orthonormal.

    The orthogonal factor of a normal matrix, with the signs that make its distribution uniform.
    Source: Saxe et al., Exact Solutions to the Nonlinear Dynamics of Learning, 2013.
    """
    if array.ndim < 2:
        raise ValueError(f"orthogonal_: array must have at least 2 dimensions, got shape {array.shape}")
    if array.size == 0:
        return array
    rows = array.shape[0]
    a = default_rng(rng).standard_normal((rows, array.size // rows))
    q, r = np.linalg.qr(a.T if rows < a.shape[1] else a)
    q = q * np.sign(np.diagonal(r))
    return _fill(array, gain * (q.T if rows < a.shape[1] else q).reshape(array.shape))
