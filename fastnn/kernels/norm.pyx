"""Layer, RMS and local response normalisation. Formulas: fastnn.reference.norm, local_response_norm.

Each forward returns the statistics that its backward takes. Gradients of parameters are written to the arrays given for them, or
added where `accumulate`; new arrays are made where none is given. A row's result depends on that row alone.
"""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport (
    checked, data, deliver, dtype_index, new, new_like, product, real, require_shape, same_dtype, same_shape, target, writeable,
)
from fastnn.kernels._core cimport Scratch, borrow, give_back, kernels, launch, launch_shares, shares
from fastnn.kernels._table cimport fnn_local_response_norm_args, fnn_local_response_norm_backward_args, fnn_norm_args, fnn_norm_backward_args

import numpy as np

cnp.import_array()


cdef int trailing(object normalized_shape, cnp.ndarray x) except -1:
    """How many of x's last axes normalized_shape names; ValueError unless it names them all rightly."""
    cdef int n, i, ndim = cnp.PyArray_NDIM(x)
    cdef bint fits
    if isinstance(normalized_shape, int):
        normalized_shape = (normalized_shape,)
    n = len(normalized_shape)
    fits = 0 < n <= ndim
    for i in range(n if fits else 0):
        fits = fits and normalized_shape[i] == cnp.PyArray_DIM(x, ndim - n + i)
    if not fits:
        raise ValueError(f"normalized_shape {tuple(normalized_shape)} must be x's last axes, got x of shape {np.shape(x)}")
    return n


def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5, out=None):
    """(y, mean, rstd): y = (x - mean) rstd weight + bias over the last axes, which normalized_shape (an int or a tuple) names.

    weight, bias: normalized_shape, or None. y has x's shape; mean and rstd that of its leading axes.
    """
    cdef cnp.ndarray a = real(x, "x"), w, b, y, mean, rstd
    cdef fnn_norm_args args
    cdef int ndim = cnp.PyArray_NDIM(a), lead = ndim - trailing(normalized_shape, a)
    w = checked(weight, "weight", a, ndim - lead, cnp.PyArray_DIMS(a) + lead)
    b = checked(bias, "bias", a, ndim - lead, cnp.PyArray_DIMS(a) + lead)
    y = target(out, ndim, cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    mean = new(lead, cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a))
    rstd = new(lead, cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a))
    args.y, args.mean, args.rstd = cnp.PyArray_DATA(y), cnp.PyArray_DATA(mean), cnp.PyArray_DATA(rstd)
    args.x, args.weight, args.bias = cnp.PyArray_DATA(a), data(w), data(b)
    args.rows, args.cols, args.eps = product(a, 0, lead), product(a, lead, ndim), eps
    launch(kernels.layer_norm_forward[dtype_index(a)], &args, sizeof(args), 1.0 * cnp.PyArray_SIZE(a) + 40.0 * args.rows)
    return deliver(y, out), mean, rstd


def layer_norm_backward(dy, x, mean, rstd, weight=None, *, dweight=None, dbias=None, accumulate=False,
                        input_gradient=True, weight_gradient=True, bias_gradient=True):
    """(dx, dweight, dbias) of layer_norm; None for those not asked for. mean, rstd: as the forward returned them."""
    return norm_backward(True, dy, x, mean, rstd, weight, dweight, dbias, accumulate, input_gradient, weight_gradient, bias_gradient)


def rms_norm(x, normalized_shape, weight=None, eps=None, out=None):
    """(y, rstd): y = x rstd weight with rstd = 1 / sqrt(average(x²) + eps) over the last axes. eps None: the dtype's machine epsilon."""
    cdef cnp.ndarray a = real(x, "x"), w, y, rstd
    cdef fnn_norm_args args
    cdef int ndim = cnp.PyArray_NDIM(a), lead = ndim - trailing(normalized_shape, a)
    w = checked(weight, "weight", a, ndim - lead, cnp.PyArray_DIMS(a) + lead)
    y = target(out, ndim, cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    rstd = new(lead, cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a))
    args.y, args.mean, args.rstd = cnp.PyArray_DATA(y), NULL, cnp.PyArray_DATA(rstd)
    args.x, args.weight, args.bias = cnp.PyArray_DATA(a), data(w), NULL
    args.rows, args.cols = product(a, 0, lead), product(a, lead, ndim)
    args.eps = (2.0 ** -23 if dtype_index(a) == 0 else 2.0 ** -52) if eps is None else eps
    launch(kernels.rms_norm_forward[dtype_index(a)], &args, sizeof(args), 0.8 * cnp.PyArray_SIZE(a) + 40.0 * args.rows)
    return deliver(y, out), rstd


def rms_norm_backward(dy, x, rstd, weight=None, *, dweight=None, accumulate=False, input_gradient=True, weight_gradient=True):
    """(dx, dweight) of rms_norm; None for those not asked for. rstd: as the forward returned it."""
    return norm_backward(False, dy, x, None, rstd, weight, dweight, None, accumulate, input_gradient, weight_gradient, False)[:2]


cdef tuple norm_backward(bint centred, object dy, object x, object mean, object rstd, object weight, object dweight, object dbias,
                         bint accumulate, bint input_gradient, bint weight_gradient, bint bias_gradient):
    cdef cnp.ndarray a = real(x, "x"), g = real(dy, "dy"), r = real(rstd, "rstd"), m = None, w, dx = None, dw = None, db = None
    cdef fnn_norm_backward_args args
    cdef int ndim = cnp.PyArray_NDIM(a), lead = cnp.PyArray_NDIM(r), dtype = dtype_index(a)
    cdef double size = cnp.PyArray_SIZE(a)
    cdef const cnp.npy_intp *shape = cnp.PyArray_DIMS(a)
    same_dtype(a, "x", g, "dy")
    same_shape(a, "x", g, "dy")
    same_dtype(a, "x", r, "rstd")
    if lead >= ndim:
        raise ValueError(f"rstd must have the leading axes of x's shape {np.shape(a)}, got {np.shape(r)}")
    require_shape(r, "rstd", lead, shape)
    if centred:
        m = checked(mean, "mean", a, lead, shape)
        if m is None:
            raise TypeError("mean must be an array, got None")
    w = checked(weight, "weight", a, ndim - lead, shape + lead)
    args.dy, args.x, args.weight, args.mean, args.rstd = cnp.PyArray_DATA(g), cnp.PyArray_DATA(a), data(w), data(m), cnp.PyArray_DATA(r)
    args.rows, args.cols = product(a, 0, lead), product(a, lead, ndim)
    args.dx = args.dweight = args.dbias = NULL
    args.accumulate = 0
    if weight_gradient:
        dw = writeable(dweight, "dweight", a, ndim - lead, shape + lead)
    if bias_gradient:
        db = writeable(dbias, "dbias", a, ndim - lead, shape + lead)
    if accumulate:
        if (weight_gradient and dweight is None) or (bias_gradient and dbias is None):
            raise ValueError("accumulate needs dweight and dbias to add to")
        args.accumulate = 1
    if weight_gradient or bias_gradient:
        args.dweight, args.dbias = data(dw), data(db)
        launch_shares(kernels.layer_norm_backward_parameters[dtype] if centred else kernels.rms_norm_backward_parameters[dtype],
                      &args, sizeof(args), shares(size), size, False)
    if input_gradient:
        dx = new_like(a)
        args.dx = cnp.PyArray_DATA(dx)
        launch(kernels.layer_norm_backward[dtype] if centred else kernels.rms_norm_backward[dtype], &args, sizeof(args), 1.5 * size + 40.0 * args.rows)
    return dx, dw, db


# --- local response normalisation ---

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
