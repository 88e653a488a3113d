"""Losses of rows of classes with margins. Formulas: fastnn.reference.margin; arithmetic: csrc/ops/margin.h.

input has shape (C,) or (N, C). reduction "mean" and "sum" give a Python float, "none" an array of shape () or (N,). The backwards return the gradient
with respect to input; dy is a number, or for "none" an array. With `keep` a forward returns (loss, saved): saved[0] is the loss in memory that a
recorded step writes, too.
"""
cimport numpy as cnp
from fastnn.kernels._arrays cimport data, dtype_index, integers, new, new_like, real, same_dtype, same_shape
from fastnn.kernels._core cimport Scratch, borrow, give_back, kernels, launch_check, launch_shares, shares, threads
from fastnn.kernels._fnn cimport fnn_kernel, int64_t
from fastnn.kernels._reduction cimport MEAN, NONE, array_dy, number, reduction_code, scalar_dy, total
from fastnn.kernels._table cimport fnn_check_args, fnn_row_loss_args, fnn_row_loss_backward_args

import numpy as np

cnp.import_array()


cdef cnp.ndarray rows_of(object input, bint any_rank):
    """input; ValueError unless it has rows."""
    cdef cnp.ndarray x = real(input, "input")
    if cnp.PyArray_NDIM(x) == 0 or (cnp.PyArray_NDIM(x) > 2 and not any_rank):
        raise ValueError(f"input must have shape (C,) or {'(..., C)' if any_rank else '(N, C)'}, got {np.shape(x)}")
    return x


cdef cnp.ndarray classes_of(object target, cnp.ndarray x, bint several):
    """The labels: one for each row, or `several`, as many as there are classes, of which those behind a -1 do not count."""
    cdef cnp.ndarray t = integers(target, "target")
    cdef fnn_check_args args
    cdef int64_t bad
    cdef Py_ssize_t n = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    shape = np.shape(x) if several else np.shape(x)[:-1]
    if np.shape(t) != shape:
        raise ValueError(f"target must have shape {shape} for an input of shape {np.shape(x)}, got {np.shape(t)}")
    if n == 0 and not several and cnp.PyArray_SIZE(t):
        raise ValueError(f"input must have at least one class, got shape {np.shape(x)}")
    args.x, args.n, args.classes, args.ignore = cnp.PyArray_DATA(t), cnp.PyArray_SIZE(t), n, -1 if several else 0
    bad = launch_check(kernels.check_labels[0], &args)
    if bad:
        at = tuple([int(j) for j in np.unravel_index(bad - 1, np.shape(t))])
        end = ", and -1 behind the last one" if several else ""
        raise ValueError(f"target must hold classes from 0 to {n - 1} ({n} classes){end}, got {(<object>t)[at]} at index {at}")
    return t


cdef cnp.ndarray class_weight(object weight, cnp.ndarray x):
    if weight is None:
        return None
    cdef cnp.ndarray w = real(weight, "weight")
    same_dtype(x, "input", w, "weight")
    if np.shape(w) != np.shape(x)[-1:]:
        raise ValueError(f"weight must have shape {np.shape(x)[-1:]}, one for each class, got {np.shape(w)}")
    return w


cdef object forward(const fnn_kernel *kernel, cnp.ndarray x, cnp.ndarray t, cnp.ndarray w, double p, double margin, int code, bint marks,
                    double cycles, bint keep):
    """Launch a loss that takes so many cycles an element; marks: it needs scratch memory of a row."""
    cdef fnn_row_loss_args args
    cdef cnp.ndarray saved, losses
    cdef int dtype = dtype_index(x), ndim = cnp.PyArray_NDIM(x)
    cdef cnp.npy_intp length = 2
    cdef Scratch scratch = None
    losses = new(ndim - 1, cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))
    saved = new(1, &length, cnp.PyArray_TYPE(x))
    args.rows, args.n, args.p, args.margin = cnp.PyArray_SIZE(losses), cnp.PyArray_DIM(x, ndim - 1), p, margin
    args.losses, args.value, args.scratch = cnp.PyArray_DATA(losses), cnp.PyArray_DATA(saved), NULL
    args.input, args.target, args.weight = cnp.PyArray_DATA(x), cnp.PyArray_DATA(t), data(w)
    args.divisor = args.rows if code == MEAN else 1
    cdef double work = args.rows * (40.0 + cycles * args.n)
    cdef size_t parts = shares(work)
    if marks:
        parts = min(parts, 4 * threads())
        scratch = borrow(parts * args.n * cnp.PyArray_ITEMSIZE(x))
        args.scratch = scratch.data
    launch_shares(kernel[dtype], &args, sizeof(args), parts, work, True)
    if marks:
        give_back(scratch)
    if parts > 1 and code != NONE:
        total(args.value, args.losses, NULL, args.rows, args.divisor, dtype)
    result = losses if code == NONE else number(saved)
    return (result, saved) if keep else result


cdef object backward(const fnn_kernel *kernel, object dy, cnp.ndarray x, cnp.ndarray t, cnp.ndarray w, double p, double margin, int code,
                     bint marks, double cycles):
    cdef fnn_row_loss_backward_args args
    cdef cnp.ndarray dx = new_like(x), g = None
    cdef int ndim = cnp.PyArray_NDIM(x), i
    cdef Scratch scratch = None
    args.rows, args.n, args.p, args.margin, args.scale = 1, cnp.PyArray_DIM(x, ndim - 1), p, margin, 0
    for i in range(ndim - 1):
        args.rows *= cnp.PyArray_DIM(x, i)
    if code == NONE:
        g = array_dy(dy, x, np.shape(x)[:-1])
    else:
        args.scale = scalar_dy(dy) / (max(args.rows, 1) if code == MEAN else 1)
    args.dinput, args.scratch, args.dy = cnp.PyArray_DATA(dx), NULL, data(g)
    args.input, args.target, args.weight = cnp.PyArray_DATA(x), cnp.PyArray_DATA(t), data(w)
    cdef double work = args.rows * (40.0 + cycles * args.n)
    cdef size_t parts = shares(work)
    if marks:
        parts = min(parts, 4 * threads())
        scratch = borrow(parts * args.n * cnp.PyArray_ITEMSIZE(x))
        args.scratch = scratch.data
    launch_shares(kernel[dtype_index(x)], &args, sizeof(args), parts, work, True)
    if marks:
        give_back(scratch)
    return dx


cdef int power(object p) except -1:
    if p != 1 and p != 2:
        raise ValueError(f"p must be 1 or 2, got {p}")
    return p


def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, reduction="mean", *, bint keep=False):
    """The sum over the classes i but the label t of weight[t] max(0, margin - input[t] + input[i])^p / C; p is 1 or 2.

    input: (N, C) or (C,); target: labels (N,) or (); weight: (C,) or None. Raises ValueError for a label that is no class.
    """
    cdef cnp.ndarray x = rows_of(input, False)
    return forward(kernels.multi_margin_loss_forward, x, classes_of(target, x, False), class_weight(weight, x), power(p), margin,
                   reduction_code(reduction), False, 1, keep)


def multi_margin_loss_backward(dy, input, target, p=1, margin=1.0, weight=None, reduction="mean"):
    """weight[t] p max(0, z)^(p - 1) / C where z = margin - input[t] + input[i] > 0; at the label the negative sum of the others."""
    cdef cnp.ndarray x = rows_of(input, False)
    return backward(kernels.multi_margin_loss_backward, dy, x, classes_of(target, x, False), class_weight(weight, x), power(p), margin,
                    reduction_code(reduction), False, 1.5)


def multilabel_margin_loss(input, target, reduction="mean", *, bint keep=False):
    """The sum over labels t and classes i that are no label of max(0, 1 - (input[t] - input[i])) / C.

    input: (N, C) or (C,); target: integers of input's shape, a row's labels and -1 behind the last one. ValueError for a label that is no class.
    """
    cdef cnp.ndarray x = rows_of(input, False)
    cdef double n = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    return forward(kernels.multilabel_margin_loss_forward, x, classes_of(target, x, True), None, 1, 1, reduction_code(reduction), True, n + 1, keep)


def multilabel_margin_loss_backward(dy, input, target, reduction="mean"):
    """1 / C for each pair (t, i) with 1 - (input[t] - input[i]) > 0 at i, and -1 / C at t."""
    cdef cnp.ndarray x = rows_of(input, False)
    cdef double n = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1)
    return backward(kernels.multilabel_margin_loss_backward, dy, x, classes_of(target, x, True), None, 1, 1, reduction_code(reduction), True, n + 1)


cdef cnp.ndarray like_input(object target, cnp.ndarray x):
    cdef cnp.ndarray t = real(target, "target")
    same_dtype(x, "input", t, "target")
    same_shape(x, "input", t, "target")
    return t


def multilabel_soft_margin_loss(input, target, weight=None, reduction="mean", *, bint keep=False):
    """The mean over the last axis of -weight (target log(sigmoid(input)) + (1 - target) log(1 - sigmoid(input))).

    input, target: (..., C), one dtype; weight: (C,) or None. "none" gives an array of input's shape without the last axis.
    """
    cdef cnp.ndarray x = rows_of(input, True)
    return forward(kernels.multilabel_soft_margin_loss_forward, x, like_input(target, x), class_weight(weight, x), 1, 1,
                   reduction_code(reduction), False, 3, keep)


def multilabel_soft_margin_loss_backward(dy, input, target, weight=None, reduction="mean"):
    """weight (sigmoid(input) - target) / C."""
    cdef cnp.ndarray x = rows_of(input, True)
    return backward(kernels.multilabel_soft_margin_loss_backward, dy, x, like_input(target, x), class_weight(weight, x), 1, 1,
                    reduction_code(reduction), False, 2)
