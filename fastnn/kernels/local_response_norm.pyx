"""Local response normalisation. Formulas: fastnn.reference.local_response_norm."""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport checked, deliver, dtype_index, new_like, product, real, same_dtype, same_shape, target
from fastnn.kernels._core cimport Scratch, borrow, give_back, kernels, launch, launch_shares, shares
from fastnn.kernels._table cimport fnn_local_response_norm_args, fnn_local_response_norm_backward_args

import numpy as np

cnp.import_array()


cdef cnp.npy_intp checked_size(object size, cnp.ndarray x) except -1:
    """The size of a window that does what `size` does on x, whose rank is checked too: what exceeds twice the channels sees only zeros."""
    if cnp.PyArray_NDIM(x) < 3:
        raise ValueError(f"x must have at least 3 dimensions (N, C, L, …), got shape {np.shape(x)}")
    try:
        number = index(size)
    except TypeError:
        raise TypeError(f"size must be an integer, got {type(size).__name__}") from None
    if number < 1:
        raise ValueError(f"size must be at least 1, got {number}")
    return min(number, 2 * cnp.PyArray_DIM(x, 1) + 1)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0, out=None):
    """(y, scale): y = x / scale^beta, scale = k + alpha / size times the sum of x² over `size` channels around each.

    x, y, scale: (N, C, L, …). The window of channel c goes from c - size // 2 to c + (size - 1) // 2; beyond the channels are zeros.
    """
    cdef cnp.ndarray a = real(x, "x"), y, scale
    cdef fnn_local_response_norm_args args
    args.size = checked_size(size, a)
    args.alpha, args.beta, args.k = alpha * (<object>args.size / size), beta, k
    y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, False)
    scale = new_like(a)
    args.y, args.scale, args.x = cnp.PyArray_DATA(y), cnp.PyArray_DATA(scale), cnp.PyArray_DATA(a)
    args.outer, args.channels, args.inner = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1), product(a, 2, cnp.PyArray_NDIM(a))
    launch(kernels.local_response_norm_forward[dtype_index(a)], &args, sizeof(args), cnp.PyArray_SIZE(a) * (3.0 + 0.2 * args.size))
    return deliver(y, out), scale


def local_response_norm_backward(dy, x, scale, size, alpha=1e-4, beta=0.75):
    """dx of local_response_norm. scale: as the forward returned it."""
    cdef cnp.ndarray a = real(x, "x"), g = real(dy, "dy"), s = checked(scale, "scale", a, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a)), dx
    cdef fnn_local_response_norm_backward_args args
    cdef double cycles
    cdef size_t parts
    cdef Scratch scratch
    same_dtype(a, "x", g, "dy")
    same_shape(a, "x", g, "dy")
    if s is None:
        raise TypeError("scale must be an array, got None")
    args.size = checked_size(size, a)
    args.alpha, args.beta = alpha * (<object>args.size / size), beta
    dx = new_like(a)
    if cnp.PyArray_SIZE(a) == 0:
        return dx
    args.dx, args.dy, args.x, args.scale = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g), cnp.PyArray_DATA(a), cnp.PyArray_DATA(s)
    args.outer, args.channels, args.inner = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(a, 1), product(a, 2, cnp.PyArray_NDIM(a))
    cycles = cnp.PyArray_SIZE(a) * (6.0 + 0.2 * args.size)
    parts = min(shares(cycles), args.outer)
    scratch = borrow(parts * args.channels * args.inner * cnp.PyArray_ITEMSIZE(a))
    args.scratch = scratch.data
    launch_shares(kernels.local_response_norm_backward[dtype_index(a)], &args, sizeof(args), parts, cycles, True)
    give_back(scratch)
    return dx
