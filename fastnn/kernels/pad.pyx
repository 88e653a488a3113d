"""Padding and cropping of the last one to three axes. Formulas: fastnn.reference.pad; arithmetic: csrc/ops/pad.h."""
cimport numpy as cnp
from operator import index
from fastnn.kernels._arrays cimport deliver, dimensions, dtype_index, new, real, target
from fastnn.kernels._core cimport kernels, launch
from fastnn.kernels._table cimport fnn_pad_args, fnn_pad_backward_args

import numpy as np

cnp.import_array()

MODES = ("constant", "reflect", "replicate", "circular")  # in the order of csrc/ops/pad.h
cdef enum:
    CONSTANT, REFLECT, REPLICATE, CIRCULAR


cdef int mode_number(object mode) except -1:
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    return MODES.index(mode)


cdef tuple amounts_of(object padding, tuple shape):
    """`padding` as two integers for each of some last axes, the last one first."""
    cdef tuple amounts
    try:
        amounts = tuple([index(amount) for amount in padding])
    except TypeError:
        raise TypeError(f"padding must be a sequence of integers, got {padding!r}") from None
    if len(amounts) not in (2, 4, 6):
        raise ValueError(f"padding must have 2, 4 or 6 integers, two for each of x's last axes, got {len(amounts)}")
    if len(amounts) > 2 * len(shape):
        raise ValueError(f"x must have at least {len(amounts) // 2} dimensions for padding {amounts}, got shape {shape}")
    return amounts


cdef tuple padded_shape(tuple shape, tuple amounts, int mode):
    """The shape after padding; ValueError where there is none."""
    cdef list result = list(shape)
    cdef int i, axis
    for i in range(len(amounts) // 2):
        axis = len(shape) - 1 - i
        n, before, after = shape[axis], amounts[2 * i], amounts[2 * i + 1]
        result[axis] = size = n + before + after
        if before < -n or after < -n or size < 0:
            raise ValueError(f"padding must not crop more than x's size {n} along axis {axis}, got {(before, after)} for shape {shape}")
        if mode == REFLECT and max(before, after, 0) >= max(n, 1):
            raise ValueError(f"padding must be smaller than x's size {n} along axis {axis} to reflect it, got {(before, after)} for shape {shape}")
        if mode == CIRCULAR and max(before, after) > n:
            raise ValueError(f"padding must be at most x's size {n} along axis {axis} to go round it, got {(before, after)} for shape {shape}")
        if mode == REPLICATE and n == 0 and size:
            raise ValueError(f"x must have an element along axis {axis} to replicate, got shape {shape}")
    return tuple(result)


cdef void split(size_t *planes, size_t *sizes, cnp.ndarray x, int axes) noexcept:
    """x's shape as planes of three axes, of which the last `axes` are padded."""
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    planes[0] = sizes[0] = sizes[1] = 1
    for i in range(ndim - axes):
        planes[0] *= cnp.PyArray_DIM(x, i)
    for i in range(axes):
        sizes[2 - i] = cnp.PyArray_DIM(x, ndim - 1 - i)


cdef tuple below(tuple amounts):
    return tuple([min(amount, 0) for amount in amounts])


cdef tuple above(tuple amounts):
    return tuple([max(amount, 0) for amount in amounts])


cdef object padded(cnp.ndarray x, tuple amounts, int mode, double value, tuple sizes, object out):
    """x padded to the shape `sizes`."""
    cdef cnp.npy_intp shape[64]
    cdef fnn_pad_args args
    cdef int i, axes = len(amounts) // 2
    dimensions(shape, sizes, cnp.PyArray_ITEMSIZE(x), "the padded array")
    cdef cnp.ndarray y = target(out, cnp.PyArray_NDIM(x), shape, cnp.PyArray_TYPE(x), x, None, False)
    args.y, args.x, args.value, args.mode = cnp.PyArray_DATA(y), cnp.PyArray_DATA(x), value, mode
    split(&args.planes, args.x_shape, x, axes)
    split(&args.planes, args.y_shape, y, axes)
    for i in range(3):
        args.before[2 - i] = amounts[2 * i] if i < axes else 0
    if cnp.PyArray_SIZE(y):
        launch(kernels.pad_forward[dtype_index(x)], &args, sizeof(args), 0.5 * cnp.PyArray_SIZE(y) + 20.0 * cnp.PyArray_SIZE(y) / args.y_shape[2])
    return deliver(y, out)


def pad(x, padding, mode="constant", value=0.0, out=None):
    """x continued, or cropped where padding is negative, on both sides of its last axes.

    padding: (before, after) of the last axis, then of the last but one, then of the one before, as in PyTorch. mode: "constant" (`value`),
    "reflect" (the border is not repeated; padding smaller than the axis), "replicate" (the border is repeated) or "circular" (padding at
    most the axis, which is cropped first where one side is negative). Raises ValueError where an axis has not the elements.
    """
    cdef cnp.ndarray a = real(x, "x")
    cdef int number = mode_number(mode)
    cdef tuple shape = np.shape(a), amounts = amounts_of(padding, shape)
    if number == CIRCULAR and min(amounts) < 0:
        a = padded(a, below(amounts), CONSTANT, 0, padded_shape(shape, below(amounts), CONSTANT), None)
        shape, amounts = np.shape(a), above(amounts)
    return padded(a, amounts, number, value, padded_shape(shape, amounts, number), out)


def pad_backward(dy, x_shape, padding, mode="constant"):
    """dx: each element of x gets the sum of dy's elements that came from it. x_shape: x's shape; all else as in the forward."""
    cdef cnp.ndarray g = real(dy, "dy"), dx
    cdef int number = mode_number(mode)
    cdef tuple shape = tuple(x_shape), amounts = amounts_of(padding, shape), cropped = shape, sizes
    cdef cnp.npy_intp dims[64]
    cdef fnn_pad_backward_args args
    cdef int i, axes = len(amounts) // 2
    if min(shape) < 0:
        raise ValueError(f"x_shape must have no negative sizes, got {shape}")
    circular_crop = number == CIRCULAR and min(amounts) < 0
    if circular_crop:
        cropped = padded_shape(shape, below(amounts), CONSTANT)
    sizes = padded_shape(cropped, above(amounts) if circular_crop else amounts, number)
    if np.shape(g) != sizes:
        raise ValueError(f"dy must have the shape {sizes} that x of shape {shape} is padded to, got {np.shape(g)}")
    if circular_crop:
        dx = pad_backward(g, cropped, above(amounts), mode)
        return pad_backward(dx, shape, below(amounts))
    if number == CONSTANT:
        return padded(g, tuple([-amount for amount in amounts]), CONSTANT, 0, shape, None)
    dimensions(dims, shape, cnp.PyArray_ITEMSIZE(g), "dx")
    dx = new(len(shape), dims, cnp.PyArray_TYPE(g))
    args.dx, args.dy, args.mode = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g), number
    split(&args.planes, args.x_shape, dx, axes)
    split(&args.planes, args.y_shape, g, axes)
    for i in range(3):
        args.before[2 - i] = amounts[2 * i] if i < axes else 0
    if cnp.PyArray_SIZE(dx):
        launch(kernels.pad_backward[dtype_index(g)], &args, sizeof(args), 0.5 * cnp.PyArray_SIZE(g) + 40.0 * cnp.PyArray_SIZE(g) / max(args.y_shape[2], 1))
    return dx
