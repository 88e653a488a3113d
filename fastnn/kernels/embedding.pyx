"""Rows of a table by their numbers, alone or in bags. Formulas: fastnn.reference.embedding; arithmetic: csrc/ops/embedding.h.

weight has shape (rows, dim); ids are integers from 0 to rows - 1. padding_idx: None, or a row whose gradient is 0 and that does not count
in bags; negative ones count from the end. A bag is a row of ids with two dimensions, or with one dimension what stands between two offsets.
"""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport checked, data, deliver, dimensions, dtype_index, integers, new, real, require_shape, same_dtype, target, writeable
from fastnn.kernels._core cimport Scratch, borrow, give_back, keep, kernels, launch, launch_check, launch_shares, shares
from fastnn.kernels._fnn cimport int64_t
from fastnn.kernels._parameter cimport RowGradient
from fastnn.kernels._table cimport (
    fnn_check_args, fnn_embedding_backward_args, fnn_embedding_bag_args, fnn_embedding_bag_dots_args, fnn_embedding_frequencies_args,
    fnn_embedding_renorm_args, fnn_embedding_slots_args, fnn_gather_rows_args
)

import numpy as np

cnp.import_array()

cdef size_t GRAIN = 16  # EMBEDDING_GRAIN in csrc/ops/embedding.h
cdef tuple MODES = ("sum", "mean", "max")
cdef enum:
    SUM, MEAN, MAX


# --- checks ---

cdef cnp.ndarray table(object weight):
    cdef cnp.ndarray w = real(weight, "weight")
    if cnp.PyArray_NDIM(w) != 2:
        raise ValueError(f"weight must have shape (rows, dim), got {np.shape(w)}")
    return w


cdef cnp.ndarray checked_ids(object ids, size_t rows):
    """ids as int64, each of them one of so many rows."""
    cdef cnp.ndarray i = integers(ids, "ids")
    cdef fnn_check_args args
    cdef int64_t bad = 1 if cnp.PyArray_SIZE(i) else 0
    if rows:
        args.x, args.n, args.classes, args.ignore = cnp.PyArray_DATA(i), cnp.PyArray_SIZE(i), rows, 0
        bad = launch_check(kernels.check_labels[0], &args)
    if bad:
        at = tuple([int(j) for j in np.unravel_index(bad - 1, np.shape(i))])
        raise ValueError(f"ids must be rows from 0 to {<Py_ssize_t>rows - 1} ({rows} rows), got {(<object>i)[at]} at index {at}")
    return i


cdef ptrdiff_t padding(object padding_idx, size_t rows) except? -1:
    """The row that does not count, -1 for none."""
    cdef object number
    if padding_idx is None:
        return -1
    number = index(padding_idx)
    if not -<Py_ssize_t>rows <= number < <Py_ssize_t>rows:
        raise ValueError(f"padding_idx must be from {-<Py_ssize_t>rows} to {<Py_ssize_t>rows - 1} ({rows} rows), got {number}")
    return number % rows


cdef size_t number_of_rows(object rows) except? 0:
    number = index(rows)
    if not 0 <= number < 2**62:
        raise ValueError(f"rows must be at least 0 and below 2**62, got {number}")
    return number


# --- single rows ---

def embedding(weight, ids, out=None):
    """weight[ids]: the rows with these numbers, of shape ids.shape + (dim,). ValueError for an id that is no row."""
    cdef cnp.ndarray w = table(weight), i = checked_ids(ids, cnp.PyArray_DIM(w, 0)), y
    cdef fnn_gather_rows_args args
    cdef cnp.npy_intp shape[64]
    cdef cnp.npy_intp dim = cnp.PyArray_DIM(w, 1)
    dimensions(shape, np.shape(i) + (dim,), cnp.PyArray_ITEMSIZE(w), "the result")
    y = target(out, cnp.PyArray_NDIM(i) + 1, shape, cnp.PyArray_TYPE(w), w, None, False)
    args.y, args.x, args.rows = cnp.PyArray_DATA(y), cnp.PyArray_DATA(w), <const int64_t *>cnp.PyArray_DATA(i)
    args.n, args.bytes = cnp.PyArray_SIZE(i), dim * cnp.PyArray_ITEMSIZE(w)
    launch(kernels.gather_rows[dtype_index(w)], &args, sizeof(args), args.n * (15 + args.bytes / 20.0))
    return deliver(y, out)


def embedding_backward(dy, ids, rows, *, padding_idx=None, bint scale_grad_by_freq=False, dweight=None, bint accumulate=False):
    """dweight, (rows, dim): the sum of dy over the positions of each row, with scale_grad_by_freq over their number.

    dy: ids.shape + (dim,). dweight: an array to write to, or with `accumulate` to add to; or a RowGradient, which takes the rows among the ids alone.
    """
    cdef size_t n = number_of_rows(rows)
    cdef cnp.ndarray g = real(dy, "dy"), i = checked_ids(ids, n)
    cdef int ndim = cnp.PyArray_NDIM(i)
    if cnp.PyArray_NDIM(g) != ndim + 1 or np.shape(g)[:ndim] != np.shape(i):
        raise ValueError(f"dy must have the shape of ids, {np.shape(i)}, and one dimension more, got {np.shape(g)}")
    return scatter(g, i, None, None, None, cnp.PyArray_SIZE(i), 1, n, padding(padding_idx, n), False, scale_grad_by_freq, dweight, accumulate)


cdef object scatter(cnp.ndarray g, cnp.ndarray ids, cnp.ndarray offsets, cnp.ndarray scale, cnp.ndarray winners, size_t bags, size_t length, size_t rows,
                    ptrdiff_t padding_idx, bint mean, bint by_frequency, object dweight, bint accumulate):
    """The gradient of the table; g: bags x dim."""
    cdef fnn_embedding_backward_args args
    cdef fnn_embedding_slots_args slots_args
    cdef RowGradient used
    cdef cnp.ndarray dw, slots
    cdef cnp.npy_intp n = cnp.PyArray_SIZE(ids)
    cdef cnp.npy_intp shape[2]
    cdef double cycles
    args.dim = cnp.PyArray_DIM(g, cnp.PyArray_NDIM(g) - 1)
    dimensions(shape, (rows, args.dim), cnp.PyArray_ITEMSIZE(g), "dweight")
    args.ids, args.range, args.padding_idx = cnp.PyArray_DATA(ids), NULL, padding_idx
    cycles = 100 + n * (10 + 0.4 * args.dim)
    if isinstance(dweight, RowGradient):
        if winners is not None or by_frequency:
            raise ValueError("a gradient of used rows only (sparse=True) can be had neither of mode 'max' nor with scale_grad_by_freq")
        used = dweight
        dw = checked(used.values, "dweight.values", g, 2, shape)
        slots = new(1, &n, cnp.NPY_INT64)
        for array in used.arrays:
            keep(array)
        slots_args.slots, slots_args.rows = <int64_t *>data(slots), <int64_t *>data(used.rows)
        slots_args.places, slots_args.range = <int64_t *>data(used.places), <int64_t *>data(used.range)
        slots_args.ids, slots_args.n, slots_args.padding_idx, slots_args.accumulate = args.ids, n, padding_idx, accumulate
        launch_shares(kernels.embedding_slots[0], &slots_args, sizeof(slots_args), 1, 5.0 * n, True)
        args.ids, args.range, args.padding_idx = data(slots), slots_args.range, -1
    else:
        accumulate = accumulate and dweight is not None
        dw = writeable(dweight, "dweight", g, 2, shape)
        cycles += 0 if accumulate else 0.3 * rows * args.dim
    if by_frequency:
        scale = frequencies(ids, scale, g, rows)
    args.dweight, args.dy, args.offsets, args.scale, args.winners = data(dw), data(g), data(offsets), data(scale), data(winners)
    args.n, args.bags, args.length, args.rows, args.mean, args.accumulate = n, bags, length, rows, mean, accumulate
    launch_shares(kernels.embedding_backward[dtype_index(g)], &args, sizeof(args), max(min(shares(cycles), (args.dim + GRAIN - 1) // GRAIN), 1), cycles, True)
    return dweight if isinstance(dweight, RowGradient) else dw


cdef cnp.ndarray frequencies(cnp.ndarray ids, cnp.ndarray given, cnp.ndarray like, size_t rows):
    """given (1 where None) over the number of times that each id is there; of like's dtype."""
    cdef fnn_embedding_frequencies_args args
    cdef cnp.npy_intp n = cnp.PyArray_SIZE(ids)
    cdef cnp.ndarray scale = new(1, &n, cnp.PyArray_TYPE(like))
    cdef Scratch scratch = borrow(rows * sizeof(int64_t))
    args.scale, args.counts, args.ids, args.given, args.n = data(scale), <int64_t *>scratch.data, data(ids), data(given), n
    launch_shares(kernels.embedding_frequencies[dtype_index(like)], &args, sizeof(args), 1, 15.0 * n, True)
    give_back(scratch)
    return scale


def embedding_renorm_(weight, ids, max_norm, norm_type=2.0):
    """Scale the rows of weight among the ids, in place, so that the norm of each is at most max_norm. norm_type: 1, 2 or inf."""
    cdef cnp.ndarray w = table(weight), i = checked_ids(ids, cnp.PyArray_DIM(w, 0))
    cdef fnn_embedding_renorm_args args
    cdef Scratch scratch
    w = writeable(weight, "weight", w, 2, cnp.PyArray_DIMS(w))
    if norm_type not in (1, 2, float("inf")):
        raise ValueError(f"norm_type must be 1, 2 or inf, got {norm_type}")
    if not max_norm >= 0:
        raise ValueError(f"max_norm must not be negative, got {max_norm}")
    scratch = borrow(cnp.PyArray_DIM(w, 0))
    args.weight, args.seen, args.ids = data(w), <unsigned char *>scratch.data, data(i)
    args.n, args.dim, args.max_norm, args.norm = cnp.PyArray_SIZE(i), cnp.PyArray_DIM(w, 1), max_norm, 0 if norm_type == float("inf") else <int>norm_type
    launch_shares(kernels.embedding_renorm[dtype_index(w)], &args, sizeof(args), 1, args.n * (10 + 0.3 * args.dim), False)
    give_back(scratch)
    return w


# --- bags ---

cdef class Bags:
    """What is the same forward and backward, checked."""
    cdef cnp.ndarray w, ids, offsets, scale
    cdef size_t n, count, length, rows, dim
    cdef ptrdiff_t padding_idx
    cdef int mode

    def __init__(self, weight, ids, offsets, per_sample_weights, mode, padding_idx, bint include_last_offset):
        self.w = table(weight)
        self.rows, self.dim = cnp.PyArray_DIM(self.w, 0), cnp.PyArray_DIM(self.w, 1)
        self.ids = checked_ids(ids, self.rows)
        if mode not in MODES:
            raise ValueError(f"mode must be 'sum', 'mean' or 'max', got {mode!r}")
        self.mode = MODES.index(mode)
        self.padding_idx = padding(padding_idx, self.rows)
        self.n = cnp.PyArray_SIZE(self.ids)
        if cnp.PyArray_NDIM(self.ids) not in (1, 2):
            raise ValueError(f"ids must have one dimension, or two: bags of equally many, got shape {np.shape(self.ids)}")
        if (cnp.PyArray_NDIM(self.ids) == 1) != (offsets is not None):
            raise ValueError(f"offsets must be given for ids of one dimension, and only for them, got ids of shape {np.shape(self.ids)}"
                             + (" without offsets" if offsets is None else " with offsets"))
        if offsets is None:
            self.count, self.length = cnp.PyArray_DIM(self.ids, 0), cnp.PyArray_DIM(self.ids, 1)
        else:
            self.take_offsets(offsets, include_last_offset)
        if per_sample_weights is not None and self.mode != SUM:
            raise ValueError(f"per_sample_weights can be given for mode 'sum' only, got mode {mode!r}")
        if per_sample_weights is not None:
            self.scale = real(per_sample_weights, "per_sample_weights")
            same_dtype(self.w, "weight", self.scale, "per_sample_weights")
            require_shape(self.scale, "per_sample_weights", cnp.PyArray_NDIM(self.ids), cnp.PyArray_DIMS(self.ids))

    cdef int take_offsets(self, object offsets, bint include_last_offset) except -1:
        cdef fnn_check_args args
        cdef int64_t bad
        self.offsets = integers(offsets, "offsets")
        if cnp.PyArray_NDIM(self.offsets) != 1:
            raise ValueError(f"offsets must have one dimension, got shape {np.shape(self.offsets)}")
        self.count, self.length = cnp.PyArray_DIM(self.offsets, 0), 0
        if self.count == 0 and (self.n or include_last_offset):
            raise ValueError(f"offsets must say where bags begin, got none for {self.n} ids")
        args.x, args.n, args.classes, args.ignore = data(self.offsets), self.count, self.n, include_last_offset
        bad = launch_check(kernels.check_offsets[0], &args)
        if bad:
            raise ValueError(f"offsets must begin with 0, never fall and {'end with' if include_last_offset else 'not exceed'} the number of ids, {self.n}, "
                             f"got {(<object>self.offsets)[bad - 1]} at index {bad - 1}")
        self.count -= include_last_offset
        return 0


cdef cnp.ndarray checked_winners(object winners, Bags b, const cnp.npy_intp *shape):
    cdef cnp.ndarray best = integers(winners, "winners")
    cdef fnn_check_args args
    require_shape(best, "winners", 2, shape)
    args.x, args.n, args.classes, args.ignore = data(best), cnp.PyArray_SIZE(best), b.rows, -1
    if launch_check(kernels.check_labels[0], &args):
        raise ValueError(f"winners must be what a forward returned: -1, or rows from 0 to {<Py_ssize_t>b.rows - 1}")
    return best


def embedding_bag(weight, ids, offsets=None, per_sample_weights=None, mode="mean", *, padding_idx=None, include_last_offset=False):
    """(y, winners): y, (bags, dim), has the sum, mean or maximum of the rows of each bag, 0 where it is empty; winners the rows of the maxima.

    ids: (bags, length), or (n,) with offsets: where each bag begins and, with include_last_offset, the last one ends. per_sample_weights: of ids' shape,
    factors for mode "sum". winners is None for other modes than "max"; -1 where a bag is empty. Raises ValueError for ids and offsets out of range.
    """
    cdef Bags b = Bags(weight, ids, offsets, per_sample_weights, mode, padding_idx, include_last_offset)
    cdef fnn_embedding_bag_args args
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray y, winners = None
    dimensions(shape, (b.count, b.dim), 8, "the result")
    y = new(2, shape, cnp.PyArray_TYPE(b.w))
    if b.mode == MAX:
        winners = new(2, shape, cnp.NPY_INT64)
    args.y, args.winners, args.weight, args.ids, args.offsets, args.scale = data(y), data(winners), data(b.w), data(b.ids), data(b.offsets), data(b.scale)
    args.n, args.bags, args.length, args.dim, args.padding_idx, args.mode = b.n, b.count, b.length, b.dim, b.padding_idx, b.mode
    if b.dim:  # there may be any number of bags without columns
        launch(kernels.embedding_bag_forward[dtype_index(b.w)], &args, sizeof(args),
               20.0 * (b.n + b.count) + 1.0 * b.dim * (b.count + b.n * (0.3 if winners is None else 3)))
    return y, winners


def embedding_bag_backward(dy, weight, ids, offsets=None, per_sample_weights=None, winners=None, mode="mean", *, padding_idx=None,
                           include_last_offset=False, bint scale_grad_by_freq=False, dweight=None, bint accumulate=False):
    """(dweight, dper_sample_weights) of embedding_bag; the second is None where there are no weights. winners: as the forward returned them.

    dy: (bags, dim); dweight, accumulate and scale_grad_by_freq as for embedding_backward. Mode "max" takes no scale_grad_by_freq.
    """
    cdef Bags b = Bags(weight, ids, offsets, per_sample_weights, mode, padding_idx, include_last_offset)
    cdef fnn_embedding_bag_dots_args args
    cdef cnp.npy_intp shape[2]
    cdef cnp.ndarray g, best = None, dscale = None
    shape[0], shape[1] = b.count, b.dim
    g = checked(real(dy, "dy"), "dy", b.w, 2, shape)
    if b.mode == MAX:
        if scale_grad_by_freq:
            raise ValueError("scale_grad_by_freq must be False for mode 'max'")
        if winners is None:
            winners = embedding_bag(weight, ids, offsets, mode=mode, padding_idx=padding_idx, include_last_offset=include_last_offset)[1]
        best = checked_winners(winners, b, shape)
    if b.scale is not None:
        dscale = new(cnp.PyArray_NDIM(b.ids), cnp.PyArray_DIMS(b.ids), cnp.PyArray_TYPE(b.w))
        args.dscale, args.dy, args.weight, args.ids, args.offsets = data(dscale), data(g), data(b.w), data(b.ids), data(b.offsets)
        args.n, args.bags, args.length, args.dim, args.padding_idx = b.n, b.count, b.length, b.dim, b.padding_idx
        if b.n:
            launch(kernels.embedding_bag_dots[dtype_index(b.w)], &args, sizeof(args), b.n * (20 + 0.3 * b.dim))
    return scatter(g, b.ids, b.offsets, b.scale, best, b.count, b.length, b.rows, b.padding_idx, b.mode == MEAN, scale_grad_by_freq, dweight, accumulate), dscale
