"""Elementary functions, element by element, in the dtype of x."""

from __future__ import annotations

import math

import numpy as np

from .array import Array


def exp(x: Array) -> Array:
    """e to the power x."""
    return np.exp(x)


def expm1(x: Array) -> Array:
    """e to the power x, minus 1."""
    return np.expm1(x)


def log(x: Array) -> Array:
    """The natural logarithm."""
    return np.log(x)


def log1p(x: Array) -> Array:
    """The natural logarithm of 1 + x."""
    return np.log1p(x)


def erf(x: Array) -> Array:
    """The error function, 2/√π times the integral of exp(-t²) from 0 to x."""
    values = [math.erf(value) for value in np.asarray(x, np.float64).ravel()]
    return np.array(values, np.float64).reshape(np.shape(x)).astype(x.dtype)
