"""Elementary functions, element by element, with the largest errors that csrc/vec/vmath.h states: 1 ULP for exp and log, 2 ULP for the others.

Every function takes an array of any layout, float32 or float64, and returns a C-ordered array of its shape and dtype, or fills
`out` (which may be the input itself) and returns that. They have no backward of their own.
"""
from fastnn.kernels._core cimport kernels
from fastnn.kernels.activation cimport forward


def exp(x, out=None):
    """e to the power x."""
    return forward(kernels.exp_forward, x, out, 0, 0, 1)


def expm1(x, out=None):
    """e to the power x, minus 1, without cancellation near 0."""
    return forward(kernels.expm1_forward, x, out, 0, 0, 1.2)


def log(x, out=None):
    """The natural logarithm: -inf at 0, NaN below."""
    return forward(kernels.log_forward, x, out, 0, 0, 1.3)


def log1p(x, out=None):
    """The natural logarithm of 1 + x, without cancellation near 0: -inf at -1, NaN below."""
    return forward(kernels.log1p_forward, x, out, 0, 0, 1.3)


def erf(x, out=None):
    """The error function, 2/√π times the integral of exp(-t²) from 0 to x."""
    return forward(kernels.erf_forward, x, out, 0, 0, 2)
