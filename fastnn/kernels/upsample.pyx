"""Resampling of the axes behind batch and channels, by the nearest element or linearly. Formulas: fastnn.reference.upsample.

What every element of an axis comes from stands in tables, which a kernel of their own makes: they are functions of the sizes alone.
"""
cimport numpy as cnp
from libc.stdint cimport int64_t
from operator import index
from fastnn.kernels._arrays cimport deliver, dimensions, dtype_index, new, real, target
from fastnn.kernels._core cimport Scratch, borrow, give_back, kernels, launch_shares, shares
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._table cimport fnn_upsample_args, fnn_upsample_backward_args, fnn_upsample_table_args

from math import floor, isfinite

import numpy as np

cnp.import_array()

cdef enum:  # the rules of csrc/ops/upsample.h
    NEAREST, LINEAR, ALIGNED

LINEAR_MODES = ("linear", "bilinear", "trilinear")  # for one, two and three axes
MODES = ("nearest", *LINEAR_MODES)


cdef class Resampling:
    # What size, scale_factor and the rest come to for an x of some shape. scale: elements of x for each of y.
    cdef int rule, axes
    cdef tuple x_shape, y_shape
    cdef list scale


cdef tuple for_axes(object given, str name, int axes):
    """A number for each axis, of one number or as many."""
    cdef tuple numbers = tuple(given) if isinstance(given, (tuple, list, np.ndarray)) else (given,) * axes
    if len(numbers) != axes:
        raise ValueError(f"{name} must be a number or {axes} of them for an input of {axes + 2} dimensions, got {given}")
    return numbers


cdef object positive_number(object value, str name):
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}") from None
    if not (isfinite(number) and number > 0):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return number


cdef object positive_int(object value, str name):
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if number < 1:
        raise ValueError(f"{name} must be at least 1, got {number}")
    return number


cdef Resampling resampling(tuple shape, object size, object scale_factor, object mode, object align_corners, object recompute_scale_factor):
    cdef Resampling r = Resampling()
    cdef int i, axes = len(shape) - 2
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if mode != "nearest" and axes != LINEAR_MODES.index(mode) + 1:
        raise ValueError(f"x must have {LINEAR_MODES.index(mode) + 3} dimensions for mode {mode!r}, got shape {shape}")
    if not 1 <= axes <= 3:
        raise ValueError(f"x must have shape (N, C, L), (N, C, H, W) or (N, C, D, H, W), got {shape}")
    if align_corners is not None and mode == "nearest":
        raise ValueError("align_corners must be None for mode 'nearest': it is a choice of the linear modes")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"either size or scale_factor must be given, got {'neither' if size is None else 'both'}")
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor must not be set where size is given")
    r.axes, r.x_shape = axes, shape
    r.rule = NEAREST if mode == "nearest" else ALIGNED if align_corners else LINEAR
    if size is not None:
        factors = (None,) * axes
        sizes = tuple([positive_int(n, "size") for n in for_axes(size, "size", axes)])
    else:
        factors = tuple([positive_number(factor, "scale_factor") for factor in for_axes(scale_factor, "scale_factor", axes)])
        sizes = tuple([scaled_size(n, factor, shape) for n, factor in zip(shape[2:], factors)])
        if recompute_scale_factor:
            factors = (None,) * axes
    if 0 in shape[2:]:
        raise ValueError(f"x must have an element along each axis that is resampled, got shape {shape}")
    r.y_shape = shape[:2] + sizes
    r.scale = []
    for n, m, factor in zip(shape[2:], sizes, factors):
        if r.rule == ALIGNED:
            r.scale.append((n - 1) / (m - 1) if m > 1 else 0.0)
        else:
            exact = factor is None or (r.rule == NEAREST and axes == 2 and m in (n, 2 * n))  # PyTorch's choice, for images alone
            r.scale.append(n / m if exact else 1 / factor)
    return r


cdef object scaled_size(object n, object factor, tuple shape):
    product = n * factor
    if not isfinite(product):
        raise ValueError(f"scale_factor must give sizes that memory can hold, got {factor} for shape {shape}")
    if product < 1 and n:
        raise ValueError(f"scale_factor must leave at least one element along each axis, got {factor} for shape {shape}")
    return floor(product)


cdef class Tables:
    # index, start and weight of csrc/ops/upsample.h.
    cdef cnp.ndarray index, start, weight


cdef Tables tables(Resampling r, int typenum):
    """The tables, and the launch that fills them."""
    cdef Tables t = Tables()
    cdef fnn_upsample_table_args args
    cdef cnp.npy_intp elements, starts = 3
    cdef int i
    spread(args.x_shape, r.x_shape)
    spread(args.y_shape, r.y_shape)
    elements = args.y_shape[0] + args.y_shape[1] + args.y_shape[2]
    for i in range(3):
        starts += args.x_shape[i]
        args.scale[i] = r.scale[i - 3 + r.axes] if i >= 3 - r.axes else 1
    t.index, t.start, t.weight = new(1, &elements, cnp.NPY_INT64), new(1, &starts, cnp.NPY_INT64), new(1, &elements, typenum)
    args.index, args.start = <int64_t *>cnp.PyArray_DATA(t.index), <int64_t *>cnp.PyArray_DATA(t.start)
    args.weight, args.rule = cnp.PyArray_DATA(t.weight), r.rule
    launch_shares(kernels.upsample_table[0 if typenum == cnp.NPY_FLOAT else 1], &args, sizeof(args), 1, 10.0 * elements, True)
    return t


cdef int spread(size_t *sizes, tuple shape) except -1:
    """The axes behind batch and channels as three."""
    cdef int i, ndim = len(shape)
    sizes[0] = sizes[1] = 1
    for i in range(ndim - 2):
        sizes[2 - i] = shape[ndim - 1 - i]
    return 0


def upsample(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None, out=None):
    """x, of shape (N, C, L), (N, C, H, W) or (N, C, D, H, W), resampled along the axes behind N and C.

    size: the new sizes, or scale_factor: how many times the old ones they are; one number or one for each axis. mode: "nearest", or
    "linear", "bilinear" and "trilinear" for one, two and three axes. align_corners (linear modes): the first and last elements of x
    and y fall together, rather than the outer edges. recompute_scale_factor: positions follow from the sizes, not from scale_factor
    itself. Positions are PyTorch's to the bit. ValueError for other shapes and modes, and where an axis is or would be empty.
    """
    cdef cnp.ndarray a = real(x, "x"), y
    cdef Resampling r = resampling(np.shape(a), size, scale_factor, mode, align_corners, recompute_scale_factor)
    cdef cnp.npy_intp shape[64]
    cdef fnn_upsample_args args
    cdef Tables t
    cdef Scratch scratch = None
    cdef double cycles
    cdef size_t parts
    cdef int dtype = dtype_index(a)
    cdef fnn_kernel kernel
    dimensions(shape, r.y_shape, 8, "the resampled array")
    y = target(out, cnp.PyArray_NDIM(a), shape, cnp.PyArray_TYPE(a), a, None, False)
    if cnp.PyArray_SIZE(y) == 0:
        return deliver(y, out)
    t = tables(r, cnp.PyArray_TYPE(a))
    args.y, args.x, args.scratch = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), NULL
    args.index, args.start = <int64_t *>cnp.PyArray_DATA(t.index), <int64_t *>cnp.PyArray_DATA(t.start)
    args.weight, args.planes = cnp.PyArray_DATA(t.weight), shape[0] * shape[1]
    spread(args.x_shape, r.x_shape)
    spread(args.y_shape, r.y_shape)
    cycles = (1.0 if r.rule == NEAREST else 2.0) * cnp.PyArray_SIZE(y)
    parts = shares(cycles)
    if r.rule != NEAREST and args.x_shape[0] * args.x_shape[1] > 1:
        scratch = borrow(4 * parts * args.y_shape[2] * cnp.PyArray_ITEMSIZE(a))
        args.scratch = scratch.data
    kernel = kernels.upsample_nearest_forward[dtype] if r.rule == NEAREST else kernels.upsample_linear_forward[dtype]
    launch_shares(kernel, &args, sizeof(args), parts, cycles, True)
    if scratch is not None:
        give_back(scratch)
    return deliver(y, out)


def upsample_backward(dy, x_shape, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    """dx: each element of x gets the sum of dy's elements that it went into, times its weight there. x_shape: x's shape; all else as in the forward."""
    cdef cnp.ndarray g = real(dy, "dy"), dx
    cdef Resampling r = resampling(tuple(x_shape), size, scale_factor, mode, align_corners, recompute_scale_factor)
    cdef cnp.npy_intp shape[64]
    cdef fnn_upsample_backward_args args
    cdef Tables t
    cdef Scratch scratch = None
    cdef double cycles
    cdef size_t parts
    cdef int dtype = dtype_index(g)
    cdef fnn_kernel kernel
    if np.shape(g) != r.y_shape:
        raise ValueError(f"dy must have the shape {r.y_shape} that x of shape {r.x_shape} is resampled to, got {np.shape(g)}")
    dimensions(shape, r.x_shape, 8, "dx")
    dx = new(cnp.PyArray_NDIM(g), shape, cnp.PyArray_TYPE(g))
    if cnp.PyArray_SIZE(dx) == 0:
        return dx
    t = tables(r, cnp.PyArray_TYPE(g))
    args.dx, args.dy, args.scratch = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g), NULL
    args.start, args.weight, args.planes = <int64_t *>cnp.PyArray_DATA(t.start), cnp.PyArray_DATA(t.weight), shape[0] * shape[1]
    spread(args.x_shape, r.x_shape)
    spread(args.y_shape, r.y_shape)
    cycles = 2.0 * cnp.PyArray_SIZE(g) + 2.0 * cnp.PyArray_SIZE(dx)
    parts = shares(cycles)
    if args.x_shape[0] * args.x_shape[1] > 1 or args.y_shape[0] * args.y_shape[1] > 1:
        scratch = borrow(parts * args.y_shape[2] * cnp.PyArray_ITEMSIZE(g))
        args.scratch = scratch.data
    kernel = kernels.upsample_nearest_backward[dtype] if r.rule == NEAREST else kernels.upsample_linear_backward[dtype]
    launch_shares(kernel, &args, sizeof(args), parts, cycles, True)
    if scratch is not None:
        give_back(scratch)
    return dx
