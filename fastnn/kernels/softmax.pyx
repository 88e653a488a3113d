"""Softmax, softmin and log-softmax along one axis, and their derivatives. Formulas: fastnn.reference.softmax; arithmetic: csrc/ops/softmax.h.

Every function takes an array of any layout, float32 or float64, and returns a C-ordered array of its shape and dtype, or fills
`out` (which may be the input itself) and returns that. The last axis is the fastest.
"""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport deliver, dtype_index, real, same_dtype, same_shape, target
from fastnn.kernels._core cimport kernels, launch
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._table cimport fnn_softmax_args, fnn_softmax_backward_args

import numpy as np

cnp.import_array()


cdef int split(cnp.ndarray x, object axis, size_t *outer, size_t *n, size_t *inner) except -1:
    """x's shape as (outer, n, inner) around `axis`; a 0-d array has one axis of size 1."""
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef Py_ssize_t at = axis if type(axis) is int else index(axis)
    if not -max(ndim, 1) <= at < max(ndim, 1):
        raise ValueError(f"axis must be between {-max(ndim, 1)} and {max(ndim, 1) - 1} for shape {np.shape(x)}, got {axis}")
    outer[0] = n[0] = inner[0] = 1
    if at < 0:
        at += max(ndim, 1)
    for i in range(ndim):
        if i < at:
            outer[0] *= cnp.PyArray_DIM(x, i)
        elif i == at:
            n[0] = cnp.PyArray_DIM(x, i)
        else:
            inner[0] *= cnp.PyArray_DIM(x, i)
    return 0


cdef object forward(const fnn_kernel *kernel, object x, object axis, object out, bint negate, double cycles):
    """Launch a kernel that takes so many cycles an element."""
    cdef cnp.ndarray a = real(x, "x")
    cdef fnn_softmax_args args
    split(a, axis, &args.outer, &args.n, &args.inner)
    cdef cnp.ndarray y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    args.y, args.x, args.negate = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), negate
    if cnp.PyArray_SIZE(a):
        launch(kernel[dtype_index(a)], &args, sizeof(args), 50.0 * args.outer + cnp.PyArray_SIZE(a) * cycles)
    return deliver(y, out)


cdef object backward(const fnn_kernel *kernel, object dy, object y, object axis, object out, bint negate, double cycles):
    cdef cnp.ndarray a = real(y, "y")
    cdef cnp.ndarray g = real(dy, "dy")
    cdef fnn_softmax_backward_args args
    same_dtype(a, "y", g, "dy")
    same_shape(a, "y", g, "dy")
    split(a, axis, &args.outer, &args.n, &args.inner)
    cdef cnp.ndarray dx = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, g, True)
    args.dx, args.dy, args.y, args.negate = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g), cnp.PyArray_DATA(a), negate
    if cnp.PyArray_SIZE(a):
        launch(kernel[dtype_index(a)], &args, sizeof(args), 30.0 * args.outer + cnp.PyArray_SIZE(a) * cycles)
    return deliver(dx, out)


def softmax(x, axis=-1, out=None):
    """exp(x) / sum(exp(x)) along `axis`. A row with NaN or +inf, or with nothing but -inf, is NaN. ValueError if there is no such axis."""
    return forward(kernels.softmax_forward, x, axis, out, False, 2)


def softmax_backward(dy, y, axis=-1, out=None):
    """y (dy - sum(dy y)), y being softmax's output."""
    return backward(kernels.softmax_backward, dy, y, axis, out, False, 1)


def softmin(x, axis=-1, out=None):
    """softmax(-x)."""
    return forward(kernels.softmax_forward, x, axis, out, True, 2)


def softmin_backward(dy, y, axis=-1, out=None):
    """-y (dy - sum(dy y)), y being softmin's output."""
    return backward(kernels.softmax_backward, dy, y, axis, out, True, 1)


def log_softmax(x, axis=-1, out=None):
    """log(softmax(x)), computed as x - max(x) - log(sum(exp(x - max(x))))."""
    return forward(kernels.log_softmax_forward, x, axis, out, False, 2)


def log_softmax_backward(dy, y, axis=-1, out=None):
    """dy - exp(y) sum(dy), y being log_softmax's output."""
    return backward(kernels.log_softmax_backward, dy, y, axis, out, False, 2)
