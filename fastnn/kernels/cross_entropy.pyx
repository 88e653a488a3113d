"""Losses over classes: cross_entropy and nll_loss. Formulas: fastnn.reference.loss; arithmetic: csrc/ops/cross_entropy.h.

input has shape (C,), (N, C) or (N, C, d1, …), C being the classes; labels are integers of input's shape without the C. reduction "mean" and "sum"
give a Python float, "none" an array of the labels' shape. The backwards return the gradient with respect to input; dy is a number, or for "none"
an array. With `keep` a forward returns (loss, saved): saved[0] is the loss in memory that a recorded step writes, too, and the rest is what
backward would otherwise compute once more.
"""
cimport numpy as cnp
from operator import index

from libc.stdint cimport int64_t
from fastnn.kernels._arrays cimport dtype_index, integers, new, new_like, real, same_dtype, same_shape
from fastnn.kernels._core cimport kernels, launch, launch_check, launch_shares, shares
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._reduction cimport MEAN, NONE, array_dy, number, reduction_code, scalar_dy, total
from fastnn.kernels._table cimport fnn_check_args, fnn_cross_entropy_args, fnn_cross_entropy_backward_args

import numpy as np

cnp.import_array()

cdef size_t CHUNK = 64  # LOSS_ROWS in csrc/ops/cross_entropy.h


cdef struct Sizes:
    size_t outer, n, inner, positions, chunks
    double elements


cdef int split(cnp.ndarray x, Sizes *s) except -1:
    """(C,), (N, C) or (N, C, d1, …) as (outer, n, inner)."""
    cdef int ndim = cnp.PyArray_NDIM(x), i
    if ndim == 0:
        raise ValueError("input must have shape (C,), (N, C) or (N, C, d1, ...), got ()")
    s.outer = cnp.PyArray_DIM(x, 0) if ndim > 1 else 1
    s.n = cnp.PyArray_DIM(x, 1 if ndim > 1 else 0)
    s.inner = 1
    for i in range(2, ndim):
        s.inner *= cnp.PyArray_DIM(x, i)
    s.positions = s.outer * s.inner
    if s.inner == 1:
        s.chunks = (s.outer + CHUNK - 1) // CHUNK
    else:
        s.chunks = s.outer * ((s.inner + CHUNK - 1) // CHUNK)
    s.elements = <double>s.positions * s.n
    return 0


cdef tuple without_classes(cnp.ndarray x):
    """The shape of the labels and of the losses."""
    shape = np.shape(x)
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


cdef int check_labels(cnp.ndarray labels, cnp.ndarray input, size_t n, int64_t ignore_index) except -1:
    """ValueError unless the labels have input's shape without the classes, and are classes or ignore_index."""
    cdef int ndim = cnp.PyArray_NDIM(input), i
    cdef bint fits = cnp.PyArray_NDIM(labels) == ndim - 1
    cdef fnn_check_args args
    cdef int64_t bad
    if fits and ndim > 1:
        fits = cnp.PyArray_DIM(labels, 0) == cnp.PyArray_DIM(input, 0)
        for i in range(2, ndim):
            fits = fits and cnp.PyArray_DIM(labels, i - 1) == cnp.PyArray_DIM(input, i)
    if not fits:
        raise ValueError(f"target must have shape {without_classes(input)} for an input of shape {np.shape(input)}, got {np.shape(labels)}")
    args.x, args.n, args.classes, args.ignore = cnp.PyArray_DATA(labels), cnp.PyArray_SIZE(labels), n, ignore_index
    bad = launch_check(kernels.check_labels[0], &args)
    if bad:
        at = tuple([int(j) for j in np.unravel_index(bad - 1, np.shape(labels))])
        raise ValueError(f"target must hold classes from 0 to {<Py_ssize_t>n - 1} ({n} classes), got {(<object>labels)[at]} at index {at}")
    return 0


cdef cnp.ndarray class_weight(object weight, cnp.ndarray input, size_t n):
    if weight is None:
        return None
    cdef cnp.ndarray w = real(weight, "weight")
    same_dtype(input, "input", w, "weight")
    if cnp.PyArray_NDIM(w) != 1 or <size_t>cnp.PyArray_DIM(w, 0) != n:
        raise ValueError(f"weight must have shape ({n},), one for each class, got {np.shape(w)}")
    return w


cdef int64_t ignored(object ignore_index) except? -1:
    return ignore_index if type(ignore_index) is int else index(ignore_index)


cdef double smoothing(object label_smoothing) except? -1:
    cdef double value = label_smoothing
    if not 0 <= value <= 1:
        raise ValueError(f"label_smoothing must be between 0 and 1, got {label_smoothing}")
    return value


cdef inline void *data(cnp.ndarray x) noexcept:
    return NULL if x is None else cnp.PyArray_DATA(x)


cdef bint is_probabilities(object target) except -1:
    if cnp.PyArray_Check(target):
        return not cnp.PyArray_ISINTEGER(<cnp.ndarray>target)
    return np.asarray(target).dtype.kind not in "iu"


cdef cnp.ndarray checked_target(cnp.ndarray x, object target, size_t n, int64_t ignore_index, bint probabilities):
    cdef cnp.ndarray t
    if probabilities:
        t = real(target, "target")
        same_dtype(x, "input", t, "target")
        same_shape(x, "input", t, "target")
    else:
        t = integers(target, "target")
        check_labels(t, x, n, ignore_index)
    return t


cdef object forward(const fnn_kernel *kernel, object input, object target, object weight, object ignore_index, double smooth, int code,
                    bint probabilities, bint statistics, double cycles, bint keep):
    """Launch a loss that takes so many cycles an element. `statistics`: whether it saves top, sum and mass of each position."""
    cdef cnp.ndarray x = real(input, "input"), t, w, losses = None, saved
    cdef fnn_cross_entropy_args args
    cdef Sizes s
    cdef int dtype = dtype_index(x)
    cdef size_t item = cnp.PyArray_ITEMSIZE(x)
    split(x, &s)
    args.ignore_index = ignored(ignore_index)
    t = checked_target(x, target, s.n, args.ignore_index, probabilities)
    w = class_weight(weight, x, s.n)
    if code == NONE:
        losses = np.empty(without_classes(x), x.dtype)
    cdef cnp.npy_intp length = 2 + (3 * s.positions if statistics else 0) + 2 * s.chunks
    saved = new(1, &length, cnp.PyArray_TYPE(x))
    args.losses, args.value = data(losses), data(saved)
    args.top = args.sum = args.mass = NULL
    if statistics:
        args.top = <char *>args.value + 2 * item
        args.sum = <char *>args.top + s.positions * item
        args.mass = <char *>args.sum + s.positions * item
    args.sums = <char *>args.value + (length - 2 * s.chunks) * item
    args.input, args.weight = data(x), data(w)
    args.labels, args.target = (NULL if probabilities else data(t)), (data(t) if probabilities else NULL)
    args.outer, args.n, args.inner, args.smoothing = s.outer, s.n, s.inner, smooth
    args.divisor = 1 if code != MEAN else (s.positions if probabilities else -1)
    cdef double work = 60.0 * s.positions + cycles * s.elements
    cdef size_t parts = shares(work)
    launch_shares(kernel[dtype], &args, sizeof(args), parts, work, True)
    if parts > 1 and code != NONE:
        total(args.value, args.sums, <char *>args.sums + s.chunks * item, s.chunks, args.divisor, dtype)
    result = losses if code == NONE else number(saved)
    return (result, saved) if keep else result


cdef object backward(const fnn_kernel *kernel, object dy, object input, object target, object weight, object ignore_index, double smooth,
                     int code, bint probabilities, bint statistics, cnp.ndarray saved, double cycles):
    cdef cnp.ndarray x = real(input, "input"), t, w, g = None, dx
    cdef fnn_cross_entropy_backward_args args
    cdef Sizes s
    cdef size_t item = cnp.PyArray_ITEMSIZE(x)
    split(x, &s)
    args.ignore_index = ignored(ignore_index)
    t = checked_target(x, target, s.n, args.ignore_index, probabilities)
    w = class_weight(weight, x, s.n)
    if cnp.PyArray_TYPE(saved) != cnp.PyArray_TYPE(x) or <size_t>cnp.PyArray_SIZE(saved) < 2 + 2 * s.chunks:
        raise ValueError("saved must be what a forward on this input returned")
    args.scale = 0
    if code == NONE:
        g = array_dy(dy, x, without_classes(x))
    else:
        args.scale = scalar_dy(dy)
    dx = new_like(x)
    args.dinput, args.dy, args.input, args.weight, args.value = data(dx), data(g), data(x), data(w), data(saved)
    args.labels, args.target = (NULL if probabilities else data(t)), (data(t) if probabilities else NULL)
    args.top = args.sum = args.mass = NULL
    if statistics:
        args.top = <const char *>args.value + 2 * item
        args.sum = <const char *>args.top + s.positions * item
        args.mass = <const char *>args.sum + s.positions * item
    args.outer, args.n, args.inner, args.smoothing = s.outer, s.n, s.inner, smooth
    launch(kernel[dtype_index(x)], &args, sizeof(args), 60.0 * s.positions + cycles * s.elements)
    return dx


def cross_entropy(input, target, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean", *, bint keep=False):
    """The cross-entropy between the classes' softmax and target.

    input: logits (C,), (N, C) or (N, C, d1, …). target: integer labels, input's shape without the C, or probabilities (input's dtype
    and shape). weight: (C,). "mean" divides by the sum of the labels' weights, without those that are ignore_index; for
    probabilities by the number of samples. Raises ValueError for a label that is no class, and where shapes do not fit.
    """
    return forward(kernels.cross_entropy_forward, input, target, weight, ignore_index, smoothing(label_smoothing),
                   reduction_code(reduction), is_probabilities(target), True, 2, keep)


def cross_entropy_backward(dy, input, target, weight=None, ignore_index=-100, label_smoothing=0.0, reduction="mean", *, saved=None):
    """softmax(input) sum(p) - p, p being the target with label smoothing and weights; 0 where the label is ignored.

    saved: what cross_entropy(…, keep=True) returned for the same arguments; it is computed again if None.
    """
    cdef bint probabilities = is_probabilities(target)
    cdef Sizes s
    if saved is None:
        _, saved = cross_entropy(input, target, weight, ignore_index, label_smoothing, reduction, keep=True)
    else:
        split(real(input, "input"), &s)
        if <size_t>len(saved) != 2 + 3 * s.positions + 2 * s.chunks:
            raise ValueError(f"saved must be what cross_entropy(..., keep=True) returned for an input of shape {np.shape(input)}")
    return backward(kernels.cross_entropy_backward, dy, input, target, weight, ignore_index, smoothing(label_smoothing),
                    reduction_code(reduction), probabilities, True, saved, 2)


def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean", *, bint keep=False):
    """-weight[t] input[t] for the label t, 0 where t is ignore_index; "mean" divides by the sum of weight[t] that count.

    input: log-probabilities (C,), (N, C) or (N, C, d1, …); target: integer labels, input's shape without the C; weight: (C,).
    Raises ValueError for a label that is no class, and where shapes do not fit.
    """
    return forward(kernels.nll_loss_forward, input, target, weight, ignore_index, 0, reduction_code(reduction), False, False, 0.1, keep)


def nll_loss_backward(dy, input, target, weight=None, ignore_index=-100, reduction="mean", *, saved=None):
    """-weight[t] at the label t, 0 elsewhere and where t is ignore_index. saved: what nll_loss(…, keep=True) returned, or None."""
    if saved is None:
        _, saved = nll_loss(input, target, weight, ignore_index, reduction, keep=True)
    return backward(kernels.nll_loss_backward, dy, input, target, weight, ignore_index, 0, reduction_code(reduction), False, False, saved, 0.2)
