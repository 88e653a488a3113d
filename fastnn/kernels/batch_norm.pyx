"""Batch normalisation. Formulas: fastnn.reference.batch_norm.

The forward returns the statistics that the backward takes. Gradients of parameters are written to the arrays given for them, or added where
`accumulate`; new arrays are made where none is given.
"""
cimport numpy as cnp
from libc.stdint cimport uint64_t
from fastnn.kernels._arrays cimport checked, data, deliver, dtype_index, new, new_like, product, real, same_dtype, same_shape, target, writeable
from fastnn.kernels._core cimport keep, kernels, launch_shares, shares
from fastnn.kernels._table cimport fnn_advance_args, fnn_batch_norm_args, fnn_batch_norm_backward_args

import numpy as np

cnp.import_array()


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
    if size == 0:
        args.outer = 0  # no walk through images of nothing
    args.momentum = 0 if momentum is None else momentum
    args.batches = NULL
    args.eps = eps
    args.activation, args.p, args.q = NULL, 0, 0
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
    if size == 0:
        args.outer = 0
    args.from_batch, args.accumulate = training, accumulate
    launch_shares(kernels.batch_norm_backward[dtype_index(a)], &args, sizeof(args), shares(2 * size), 2 * size, False)
    return dx, dw, db
