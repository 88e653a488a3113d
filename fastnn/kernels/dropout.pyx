"""Dropout with counter-based random numbers. Formulas and the generator: fastnn.reference.dropout.

The mask is a function of (seed, stream, element) alone; it is never stored, backward makes it again.
"""
cimport numpy as cnp
from libc.math cimport sqrt
from libc.stdint cimport uint64_t
from fastnn.kernels._arrays cimport deliver, dtype_index, real, target
from fastnn.kernels._core cimport keep, kernels, launch, launch_shares
from fastnn.kernels._table cimport fnn_advance_args, fnn_dropout_args, fnn_dropout_channels_args

import numpy as np

cnp.import_array()


cdef enum Noise:
    DROPOUT, ALPHA, ALPHA_BACKWARD

cdef double SELU_FLOOR = -1.7580993408473766  # SELU's limit at minus infinity


cdef object masked(Noise noise, object x, str name, object p, uint64_t seed, uint64_t stream, const uint64_t *state, object leading, object out):
    cdef cnp.ndarray a = real(x, name)
    cdef fnn_dropout_args args
    cdef fnn_dropout_channels_args channels
    cdef double probability = p, kept = 1 - probability
    cdef cnp.ndarray y
    cdef int i, axes
    if not 0 <= probability <= 1:
        raise ValueError(f"p must be between 0 and 1, got {p}")
    axes = leading_axes(leading, a, name)
    y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    args.y, args.x, args.n = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), cnp.PyArray_SIZE(a)
    args.state, args.seed, args.stream = state, seed, stream
    args.threshold = <uint64_t>(probability * 4294967296.0)
    args.scale, args.shift, args.dropped = 0, -0.0, 0
    if kept > 0:
        args.scale = 1 / kept if noise == DROPOUT else 1 / sqrt(kept * (1 + probability * SELU_FLOOR * SELU_FLOOR))
        if noise == ALPHA:
            args.shift = -args.scale * probability * SELU_FLOOR
            args.dropped = args.scale * SELU_FLOOR + args.shift
    if axes == cnp.PyArray_NDIM(a):
        launch(kernels.dropout[dtype_index(a)], &args, sizeof(args), 4.0 * args.n)
        return deliver(y, out)
    channels.y, channels.x, channels.n, channels.inner = args.y, args.x, 1, 1
    for i in range(cnp.PyArray_NDIM(a)):
        if i < axes:
            channels.n *= cnp.PyArray_DIM(a, i)
        else:
            channels.inner *= cnp.PyArray_DIM(a, i)
    channels.state, channels.seed, channels.stream = state, seed, stream
    channels.threshold, channels.scale, channels.shift, channels.dropped = args.threshold, args.scale, args.shift, args.dropped
    if args.n:
        launch(kernels.dropout_channels[dtype_index(a)], &channels, sizeof(channels), 8.0 * channels.n + 0.5 * args.n)
    return deliver(y, out)


cdef int leading_axes(object leading, cnp.ndarray x, str name) except -1:
    """How many of x's first axes have a random number for each index; None: all."""
    cdef int ndim = cnp.PyArray_NDIM(x)
    if leading is None:
        return ndim
    if not 0 <= leading <= ndim:
        raise ValueError(f"leading must be between 0 and {ndim} for {name} of shape {np.shape(x)}, got {leading}")
    return leading


cdef uint64_t word(object value, str name) except? 0:
    if not 0 <= value < 2**64:
        raise ValueError(f"{name} must be between 0 and 2**64 - 1, got {value}")
    return value


def dropout(x, p, seed, stream, out=None, *, leading=None):
    """x / (1 - p) where the mask of (seed, stream) keeps an element, else 0; each is dropped with probability p.

    p: in [0, 1]; seed, stream: integers in [0, 2**64). leading: the mask has an element for each index of so many of x's first axes, and what
    lies under one is kept or dropped together (2: whole channels of (N, C, …)); None: each element by itself. Raises ValueError
    outside of these ranges.
    """
    return masked(DROPOUT, x, "x", p, word(seed, "seed"), word(stream, "stream"), NULL, leading, out)


def dropout_backward(dy, p, seed, stream, out=None, *, leading=None):
    """dy / (1 - p) where the forward with this seed and stream kept x, else 0."""
    return masked(DROPOUT, dy, "dy", p, word(seed, "seed"), word(stream, "stream"), NULL, leading, out)


cdef uint64_t *words(object state) except NULL:
    cdef cnp.ndarray cell
    if isinstance(state, cnp.ndarray):
        cell = state
        if cnp.PyArray_TYPE(cell) == cnp.NPY_UINT64 and cnp.PyArray_SIZE(cell) == 2 and cnp.PyArray_ISCARRAY(cell):
            keep(cell)
            return <uint64_t *>cnp.PyArray_DATA(cell)
    raise TypeError("state must be a writeable array of two uint64: the seed and the stream")


def alpha_dropout(x, p, seed, stream, out=None, *, leading=None):
    """As `dropout`, but what is dropped becomes SELU's lower limit, and all is scaled and shifted so that a mean of 0 and a variance of 1 stay."""
    return masked(ALPHA, x, "x", p, word(seed, "seed"), word(stream, "stream"), NULL, leading, out)


def alpha_dropout_backward(dy, p, seed, stream, out=None, *, leading=None):
    """dy times the scale where the forward with this seed and stream kept x, else 0."""
    return masked(ALPHA_BACKWARD, dy, "dy", p, word(seed, "seed"), word(stream, "stream"), NULL, leading, out)


cdef object next_mask(Noise noise, object x, object p, object state, object leading):
    cdef fnn_advance_args args
    cdef uint64_t *cell = words(state)
    if not 0 <= p <= 1:
        raise ValueError(f"p must be between 0 and 1, got {p}")
    leading_axes(leading, real(x, "x"), "x")
    args.counter = cell + 1
    launch_shares(kernels.advance[0], &args, sizeof(args), 1, 1, False)
    return masked(noise, x, "x", p, 0, 0, cell, leading, None)


def dropout_next(x, p, state, *, leading=None):
    """Advance the stream in `state`, an array of two uint64 {seed, stream}, then `dropout` with both as they are then.

    A recorded plan that replays this draws a fresh mask each time.
    """
    return next_mask(DROPOUT, x, p, state, leading)


def dropout_next_backward(dy, p, state, *, leading=None):
    """The backward of the last `dropout_next` with this state."""
    return masked(DROPOUT, dy, "dy", p, 0, 0, words(state), leading, None)


def alpha_dropout_next(x, p, state, *, leading=None):
    """As `dropout_next`, of `alpha_dropout`."""
    return next_mask(ALPHA, x, p, state, leading)


def alpha_dropout_next_backward(dy, p, state, *, leading=None):
    """The backward of the last `alpha_dropout_next` with this state."""
    return masked(ALPHA_BACKWARD, dy, "dy", p, 0, 0, words(state), leading, None)
