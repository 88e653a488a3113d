"""Layer, RMS and batch normalisation. Formulas: fastnn.reference.norm.

Each forward returns the statistics that its backward takes. Gradients of parameters are written to the arrays given for them, or
added where `accumulate`; new arrays are made where none is given. A row's result depends on that row alone (layer, RMS).
"""
cimport numpy as cnp
from libc.stdint cimport uint64_t
from fastnn.kernels._arrays cimport deliver, dtype_index, new, new_like, real, same_dtype, same_shape, target
from fastnn.kernels._core cimport keep, kernels, launch, launch_shares, shares
from fastnn.kernels._table cimport fnn_advance_args, fnn_batch_norm_args, fnn_batch_norm_backward_args, fnn_norm_args, fnn_norm_backward_args

import numpy as np

cnp.import_array()


cdef cnp.ndarray checked(object given, str name, cnp.ndarray x, int ndim, const cnp.npy_intp *shape):
    """An optional array of x's dtype and this shape; None for None."""
    cdef cnp.ndarray a
    if given is None:
        return None
    a = real(given, name)
    same_dtype(x, "x", a, name)
    require_shape(a, name, ndim, shape)
    return a


cdef int require_shape(cnp.ndarray a, str name, int ndim, const cnp.npy_intp *shape) except -1:
    cdef int i
    cdef bint fits = cnp.PyArray_NDIM(a) == ndim
    for i in range(ndim if fits else 0):
        fits = fits and cnp.PyArray_DIM(a, i) == shape[i]
    if not fits:
        raise ValueError(f"{name} must have shape {tuple([shape[i] for i in range(ndim)])}, got {np.shape(a)}")
    return 0


cdef cnp.ndarray writeable(object given, str name, cnp.ndarray x, int ndim, const cnp.npy_intp *shape):
    """`given`, known to be a C-ordered array that a kernel can write to; a new one for None."""
    cdef cnp.ndarray a
    if given is None:
        return new(ndim, shape, cnp.PyArray_TYPE(x))
    a = real(given, name)
    if a is not given or not cnp.PyArray_ISWRITEABLE(a):
        raise TypeError(f"{name} must be a writeable, C-ordered, native float32 or float64 ndarray")
    same_dtype(x, "x", a, name)
    require_shape(a, name, ndim, shape)
    return a


cdef inline void *data(cnp.ndarray a) noexcept:
    return NULL if a is None else cnp.PyArray_DATA(a)


# --- rows: layer and RMS normalisation ---

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


cdef inline size_t product(cnp.ndarray x, int first, int last) noexcept:
    cdef size_t n = 1
    cdef int i
    for i in range(first, last):
        n *= cnp.PyArray_DIM(x, i)
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


# --- channels: batch normalisation ---

cdef int require_channels(cnp.ndarray x) except -1:
    if cnp.PyArray_NDIM(x) < 2:
        raise ValueError(f"x must have at least 2 dimensions (N, C, …), got shape {np.shape(x)}")
    return 0


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5, *,
               num_batches_tracked=None, out=None):
    """(y, mean, rstd): y = (x - mean) rstd weight + bias. x, y: (N, C, …); all else (C,), or None.

    training: the batch's statistics, which move running_mean and running_var in place where these are given:
    running = (1 - momentum) running + momentum batch. num_batches_tracked, a 0-dimensional int64 array, is counted up then, and
    with momentum None the running statistics are the average over all batches so far. Else the running statistics, or the batch's
    without them. Raises ValueError where a channel has but one value to take statistics of.
    """
    cdef cnp.ndarray a = real(x, "x"), w, b, running_m, running_v, y, mean, rstd
    cdef fnn_batch_norm_args args
    cdef fnn_advance_args count
    cdef const cnp.npy_intp *channels
    cdef size_t size
    require_channels(a)
    size = cnp.PyArray_SIZE(a)
    channels = cnp.PyArray_DIMS(a) + 1
    w = checked(weight, "weight", a, 1, channels)
    b = checked(bias, "bias", a, 1, channels)
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must both be arrays or both None")
    running_m = None if running_mean is None else writeable(running_mean, "running_mean", a, 1, channels)
    running_v = None if running_var is None else writeable(running_var, "running_var", a, 1, channels)
    args.from_batch = training or running_m is None
    args.outer, args.channels, args.inner = cnp.PyArray_DIM(a, 0), channels[0], product(a, 2, cnp.PyArray_NDIM(a))
    if args.from_batch and args.outer * args.inner == 1:
        raise ValueError(f"x must have more than one value per channel in training, got shape {np.shape(a)}")
    if momentum is None and training and running_m is not None and num_batches_tracked is None:
        raise ValueError("momentum None needs num_batches_tracked")
    args.momentum = 0 if momentum is None else momentum
    args.batches = NULL
    args.eps = eps
    y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    mean = new(1, channels, cnp.PyArray_TYPE(a))
    rstd = new(1, channels, cnp.PyArray_TYPE(a))
    if training and num_batches_tracked is not None:
        count.counter = counter(num_batches_tracked)
        if momentum is None:
            args.batches = count.counter
        launch_shares(kernels.advance[0], &count, sizeof(count), 1, 1, False)
    args.y, args.mean, args.rstd = cnp.PyArray_DATA(y), cnp.PyArray_DATA(mean), cnp.PyArray_DATA(rstd)
    args.running_mean, args.running_var = data(running_m), data(running_v)
    args.x, args.weight, args.bias = cnp.PyArray_DATA(a), data(w), data(b)
    launch_shares(kernels.batch_norm_forward[dtype_index(a)], &args, sizeof(args), shares(1.5 * size), 1.5 * size, not training)
    return deliver(y, out), mean, rstd


cdef uint64_t *counter(object given) except NULL:
    cdef cnp.ndarray cell
    if isinstance(given, cnp.ndarray):
        cell = given
        if cnp.PyArray_TYPE(cell) == cnp.NPY_INT64 and cnp.PyArray_SIZE(cell) == 1 and cnp.PyArray_ISCARRAY(cell):
            keep(cell)
            return <uint64_t *>cnp.PyArray_DATA(cell)
    raise TypeError("num_batches_tracked must be a writeable int64 array of one element")


def batch_norm_backward(dy, x, mean, rstd, weight=None, training=True, *, dweight=None, dbias=None, accumulate=False,
                        input_gradient=True, parameter_gradients=True):
    """(dx, dweight, dbias) of batch_norm; None for those not asked for. mean, rstd: as the forward returned them.

    training False: the statistics were the running ones, constants.
    """
    cdef cnp.ndarray a = real(x, "x"), g = real(dy, "dy"), m, r, w, dx = None, dw = None, db = None
    cdef fnn_batch_norm_backward_args args
    cdef const cnp.npy_intp *channels
    cdef double size = cnp.PyArray_SIZE(a)
    require_channels(a)
    channels = cnp.PyArray_DIMS(a) + 1
    same_dtype(a, "x", g, "dy")
    same_shape(a, "x", g, "dy")
    m = checked(mean, "mean", a, 1, channels)
    r = checked(rstd, "rstd", a, 1, channels)
    if m is None or r is None:
        raise TypeError("mean and rstd must be arrays, got None")
    w = checked(weight, "weight", a, 1, channels)
    if parameter_gradients:
        if accumulate and (dweight is None or dbias is None):
            raise ValueError("accumulate needs dweight and dbias to add to")
        dw = writeable(dweight, "dweight", a, 1, channels)
        db = writeable(dbias, "dbias", a, 1, channels)
    if input_gradient:
        dx = new_like(a)
    args.dx, args.dweight, args.dbias = data(dx), data(dw), data(db)
    args.dy, args.x, args.weight, args.mean, args.rstd = cnp.PyArray_DATA(g), cnp.PyArray_DATA(a), data(w), cnp.PyArray_DATA(m), cnp.PyArray_DATA(r)
    args.outer, args.channels, args.inner = cnp.PyArray_DIM(a, 0), channels[0], product(a, 2, cnp.PyArray_NDIM(a))
    args.from_batch, args.accumulate = training, accumulate
    launch_shares(kernels.batch_norm_backward[dtype_index(a)], &args, sizeof(args), shares(2 * size), 2 * size, False)
    return dx, dw, db
