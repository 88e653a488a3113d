"""Group and instance normalisation. Formulas: fastnn.reference.group_norm.

Each forward returns the statistics that its backward takes. Gradients of parameters are written to the arrays given for them, or added where
`accumulate`; new arrays are made where none is given. An image's result depends on that image alone.
"""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport checked, data, deliver, dtype_index, new, new_like, product, real, require_shape, same_dtype, same_shape, target, writeable
from fastnn.kernels._core cimport kernels, launch, launch_shares, shares
from fastnn.kernels._table cimport fnn_group_norm_args, fnn_group_norm_backward_args, fnn_instance_norm_running_args, fnn_sum_rows_args
from fastnn.kernels.batch_norm import batch_norm

import numpy as np

cnp.import_array()


cdef cnp.npy_intp checked_groups(object num_groups, cnp.ndarray x) except -1:
    """num_groups, once it is known to divide the channels of x."""
    if cnp.PyArray_NDIM(x) < 2:
        raise ValueError(f"x must have at least 2 dimensions (N, C, …), got shape {np.shape(x)}")
    try:
        groups = index(num_groups)
    except TypeError:
        raise TypeError(f"num_groups must be an integer, got {type(num_groups).__name__}") from None
    if groups < 1 or cnp.PyArray_DIM(x, 1) % groups:
        raise ValueError(f"num_groups must divide the {cnp.PyArray_DIM(x, 1)} channels of x, got {groups} for x of shape {np.shape(x)}")
    return groups


cdef tuple normalised(cnp.ndarray x, cnp.npy_intp groups, object weight, object bias, double eps, cnp.ndarray variance, object out):
    """(y, mean, rstd). variance: (N, groups), written, or None. groups: 0 only where there are no channels."""
    cdef cnp.ndarray w, b, y, mean, rstd
    cdef fnn_group_norm_args args
    cdef cnp.npy_intp[2] shape
    cdef double size = cnp.PyArray_SIZE(x)
    w = checked(weight, "weight", x, 1, cnp.PyArray_DIMS(x) + 1)
    b = checked(bias, "bias", x, 1, cnp.PyArray_DIMS(x) + 1)
    y = target(out, cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x), x, None, True)
    shape[0], shape[1] = cnp.PyArray_DIM(x, 0), groups
    mean = new(2, shape, cnp.PyArray_TYPE(x))
    rstd = new(2, shape, cnp.PyArray_TYPE(x))
    args.y, args.mean, args.rstd, args.variance = cnp.PyArray_DATA(y), cnp.PyArray_DATA(mean), cnp.PyArray_DATA(rstd), data(variance)
    args.x, args.weight, args.bias = cnp.PyArray_DATA(x), data(w), data(b)
    args.outer, args.channels, args.inner, args.groups = shape[0], cnp.PyArray_DIM(x, 1), product(x, 2, cnp.PyArray_NDIM(x)), groups
    args.eps = eps
    if groups:
        launch(kernels.group_norm_forward[dtype_index(x)], &args, sizeof(args), size + 50.0 * args.outer * groups)
    return deliver(y, out), mean, rstd


def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5, out=None):
    """(y, mean, rstd): y = (x - mean) rstd weight + bias, with statistics of each image over num_groups groups of neighbouring channels.

    x, y: (N, C, …); weight, bias: (C,), or None; mean, rstd: (N, num_groups). Raises ValueError unless num_groups divides C.
    """
    cdef cnp.ndarray a = real(x, "x")
    return normalised(a, checked_groups(num_groups, a), weight, bias, eps, None, out)


def group_norm_backward(dy, x, mean, rstd, weight=None, *, dweight=None, dbias=None, accumulate=False, input_gradient=True, parameter_gradients=True):
    """(dx, dweight, dbias) of group_norm; None for those not asked for. mean, rstd: as the forward returned them."""
    cdef cnp.ndarray a = real(x, "x"), g = real(dy, "dy"), m = real(mean, "mean"), r, w, dx = None, dw = None, db = None, by_image = None, by_image_bias = None
    cdef fnn_group_norm_backward_args args
    cdef const cnp.npy_intp *shape = cnp.PyArray_DIMS(a)
    cdef double size = cnp.PyArray_SIZE(a)
    cdef cnp.npy_intp[2] statistics
    same_dtype(a, "x", g, "dy")
    same_shape(a, "x", g, "dy")
    same_dtype(a, "x", m, "mean")
    if cnp.PyArray_NDIM(a) < 2 or cnp.PyArray_NDIM(m) != 2:
        raise ValueError(f"x must have shape (N, C, …) and mean (N, num_groups), got {np.shape(a)} and {np.shape(m)}")
    statistics[0], statistics[1] = shape[0], cnp.PyArray_DIM(m, 1)
    if statistics[1] or shape[1]:
        checked_groups(statistics[1], a)
    require_shape(m, "mean", 2, statistics)
    r = checked(rstd, "rstd", a, 2, statistics)
    if r is None:
        raise TypeError("rstd must be an array, got None")
    w = checked(weight, "weight", a, 1, shape + 1)
    if parameter_gradients:
        if accumulate and (dweight is None or dbias is None):
            raise ValueError("accumulate needs dweight and dbias to add to")
        dw = writeable(dweight, "dweight", a, 1, shape + 1)
        db = writeable(dbias, "dbias", a, 1, shape + 1)
        by_image = new(2, shape, cnp.PyArray_TYPE(a))
        by_image_bias = new(2, shape, cnp.PyArray_TYPE(a))
    if input_gradient:
        dx = new_like(a)
    args.dx, args.partial_dweight, args.partial_dbias = data(dx), data(by_image), data(by_image_bias)
    args.dy, args.x, args.weight, args.mean, args.rstd = cnp.PyArray_DATA(g), cnp.PyArray_DATA(a), data(w), cnp.PyArray_DATA(m), cnp.PyArray_DATA(r)
    args.outer, args.channels, args.inner, args.groups = shape[0], shape[1], product(a, 2, cnp.PyArray_NDIM(a)), statistics[1]
    if shape[1] and (input_gradient or parameter_gradients):
        launch(kernels.group_norm_backward[dtype_index(a)], &args, sizeof(args), 1.5 * size + 50.0 * args.outer * args.channels)
    if parameter_gradients:
        add_up(dw, by_image, accumulate)
        add_up(db, by_image_bias, accumulate)
    return dx, dw, db


cdef int add_up(cnp.ndarray y, cnp.ndarray x, bint accumulate) except -1:
    """y (+)= the sum over the rows of x."""
    cdef fnn_sum_rows_args args
    args.y, args.x, args.rows, args.cols, args.accumulate = cnp.PyArray_DATA(y), cnp.PyArray_DATA(x), cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1), accumulate
    return launch_shares(kernels.sum_rows[dtype_index(y)], &args, sizeof(args), shares(0.3 * args.rows * args.cols), 0.3 * args.rows * args.cols, False)


def instance_norm(x, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5, *, out=None):
    """(y, mean, rstd): y = (x - mean) rstd weight + bias, with statistics of each channel of each image. x, y: (N, C, …); mean, rstd: (N, C).

    running_mean, running_var: (C,), or None; moved in place towards the averages over the images of mean and variance (over n - 1). Without
    use_input_stats they take the statistics' place: batch_norm in evaluation, whose mean and rstd, and whose backward, are
    (C,). Raises ValueError where a channel of an image has but one value to take statistics of.
    """
    cdef cnp.ndarray a = real(x, "x"), means, running_m = None, running_v = None, variance = None
    cdef fnn_instance_norm_running_args args
    cdef const cnp.npy_intp *shape
    if cnp.PyArray_NDIM(a) < 3:
        raise ValueError(f"x must have at least 3 dimensions (N, C, L, …), got shape {np.shape(a)}")
    if (running_mean is None) != (running_var is None):
        raise ValueError("running_mean and running_var must both be arrays or both None")
    if not use_input_stats:
        if running_mean is None:
            raise ValueError("running_mean and running_var must be arrays where use_input_stats is False, got None")
        return batch_norm(a, running_mean, running_var, weight, bias, False, 0, eps, out=out)
    shape = cnp.PyArray_DIMS(a)
    if product(a, 2, cnp.PyArray_NDIM(a)) == 1:
        raise ValueError(f"x must have more than one value per channel and image, got shape {np.shape(a)}")
    if running_mean is not None:
        running_m = writeable(running_mean, "running_mean", a, 1, shape + 1)
        running_v = writeable(running_var, "running_var", a, 1, shape + 1)
        variance = new(2, shape, cnp.PyArray_TYPE(a))
    args.momentum = momentum
    y, mean, rstd = normalised(a, shape[1], weight, bias, eps, variance, out)
    if running_m is not None and cnp.PyArray_SIZE(a) > 0:
        means = mean
        args.running_mean, args.running_var = cnp.PyArray_DATA(running_m), cnp.PyArray_DATA(running_v)
        args.mean, args.variance, args.outer, args.channels = cnp.PyArray_DATA(means), cnp.PyArray_DATA(variance), shape[0], shape[1]
        launch_shares(kernels.instance_norm_running[dtype_index(a)], &args, sizeof(args), 1, 0.6 * args.outer * args.channels, False)
    return y, mean, rstd


def instance_norm_backward(dy, x, mean, rstd, weight=None, *, dweight=None, dbias=None, accumulate=False, input_gradient=True, parameter_gradients=True):
    """(dx, dweight, dbias) of instance_norm with use_input_stats; None for those not asked for. mean, rstd: as the forward returned them."""
    if np.shape(mean) != np.shape(x)[:2]:
        raise ValueError(f"mean must have shape {np.shape(x)[:2]}, got {np.shape(mean)}")
    return group_norm_backward(
        dy, x, mean, rstd, weight, dweight=dweight, dbias=dbias, accumulate=accumulate, input_gradient=input_gradient,
        parameter_gradients=parameter_gradients,
    )
