"""Connectionist temporal classification. Formulas: fastnn.reference.ctc; arithmetic: csrc/ops/ctc.h."""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport data, dimensions, dtype_index, integers, new, new_like, real
from fastnn.kernels._core cimport Scratch, borrow, give_back, kernels, launch_check_of, launch_shares, shares, threads
from fastnn.kernels._fnn cimport int64_t
from fastnn.kernels._reduction cimport MEAN, NONE, array_dy, number, reduction_code, scalar_dy, total
from fastnn.kernels._table cimport fnn_ctc_args, fnn_ctc_backward_args, fnn_ctc_check_args

import numpy as np

cnp.import_array()

cdef size_t SPARE = 64  # CTC_SPARE in csrc/ops/ctc.h


cdef class Problem:
    """The arguments that forward and backward share, checked."""
    cdef cnp.ndarray x, targets, input_lengths, target_lengths
    cdef size_t steps, batch, classes, padded, room, blank
    cdef object shape  # of the losses


cdef cnp.ndarray lengths_of(object lengths, str name, Problem q):
    cdef cnp.ndarray n = integers(lengths, name)
    if np.shape(n) != (q.batch,) and not (q.shape == () and np.shape(n) == ()):
        raise ValueError(f"{name} must have shape {(q.batch,) if q.shape else '() or (1,)'}, one for each sequence, got {np.shape(n)}")
    return n


cdef Problem problem(object log_probs, object targets, object input_lengths, object target_lengths, object blank):
    cdef Problem q = Problem()
    cdef fnn_ctc_check_args args
    cdef int64_t bad
    cdef int ndim
    q.x, q.targets = real(log_probs, "log_probs"), integers(targets, "targets")
    ndim = cnp.PyArray_NDIM(q.x)
    if ndim not in (2, 3):
        raise ValueError(f"log_probs must have shape (T, N, C) or (T, C), got {np.shape(q.x)}")
    q.steps, q.batch, q.classes = cnp.PyArray_DIM(q.x, 0), cnp.PyArray_DIM(q.x, 1) if ndim == 3 else 1, cnp.PyArray_DIM(q.x, ndim - 1)
    q.shape = (q.batch,) if ndim == 3 else ()
    if not 0 <= index(blank) < q.classes:
        raise ValueError(f"blank must be one of the {q.classes} classes of log_probs, got {blank}")
    q.blank = index(blank)
    if cnp.PyArray_NDIM(q.targets) not in (1, 2) or (cnp.PyArray_NDIM(q.targets) == 2 and <size_t>cnp.PyArray_DIM(q.targets, 0) != q.batch):
        raise ValueError(f"targets must have shape ({q.batch}, S), or one axis with all targets one behind the other, got {np.shape(q.targets)}")
    q.input_lengths, q.target_lengths = lengths_of(input_lengths, "input_lengths", q), lengths_of(target_lengths, "target_lengths", q)
    args.concatenated, args.size = cnp.PyArray_NDIM(q.targets) == 1, cnp.PyArray_SIZE(q.targets)
    q.padded = 0 if args.concatenated else cnp.PyArray_DIM(q.targets, 1)
    q.room = 2 * (args.size if args.concatenated else q.padded) + 1 + SPARE
    args.targets, args.input_lengths, args.target_lengths = data(q.targets), data(q.input_lengths), data(q.target_lengths)
    args.steps, args.batch, args.classes, args.padded, args.blank = q.steps, q.batch, q.classes, q.padded, q.blank
    bad = launch_check_of(kernels.check_ctc[0], &args, sizeof(args), &args.bad)
    if bad:
        refuse(q, bad - 1)
    return q


cdef int refuse(Problem q, Py_ssize_t bad) except -1:
    """Say what check_ctc found."""
    cdef Py_ssize_t batch = q.batch
    if bad < batch:
        steps = np.ravel(q.input_lengths)[bad]
        raise ValueError(f"input_lengths must be from 0 to {q.steps}, the steps of log_probs, got {steps} at index {bad}")
    if bad < 2 * batch and q.targets.ndim == 2:
        length = np.ravel(q.target_lengths)[bad - batch]
        raise ValueError(f"target_lengths must be from 0 to {q.padded} for targets of shape {np.shape(q.targets)}, got {length} at index {bad - batch}")
    if bad < 2 * batch or bad == 2 * batch + q.targets.size:
        lengths = np.array2string(np.ravel(q.target_lengths), threshold=8, separator=", ")
        raise ValueError(f"target_lengths must be at least 0 and add up to the {q.targets.size} labels of targets, got {lengths}")
    at = tuple([int(i) for i in np.unravel_index(bad - 2 * batch, np.shape(q.targets))])
    raise ValueError(f"targets must hold classes from 0 to {<Py_ssize_t>q.classes - 1} but for the blank, {q.blank}, got {(<object>q.targets)[at]} at index {at}")


cdef double cycles(Problem q) noexcept:
    """Of a forward."""
    return q.steps * (6.0 * (2.0 * cnp.PyArray_SIZE(q.targets) + q.batch) + 100.0 * q.batch)


def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", bint zero_infinity=False, *, bint keep=False):
    """-log of the probability of all paths that spell the target once repeated classes are merged and blanks left out.

    log_probs: (T, N, C) or (T, C), logarithms of probabilities. targets: (N, S), padded with anything, or all labels one behind the other; none is
    the blank. input_lengths, target_lengths: (N,), integers. A target that is longer than its input allows has an infinite loss, 0 with
    zero_infinity. reduction "mean" divides each loss by its target's length (at least 1), then by N; "none" gives an array of shape (N,) or ().
    With `keep` (loss, saved): saved[0] is the loss in memory that a recorded step writes, too, the rest what backward needs.

    Raises ValueError for lengths and labels out of range and shapes that do not fit. Source: Graves et al., 2006.
    """
    cdef Problem q = problem(log_probs, targets, input_lengths, target_lengths, blank)
    cdef fnn_ctc_args args
    cdef int code = reduction_code(reduction), dtype = dtype_index(q.x)
    cdef size_t item = cnp.PyArray_ITEMSIZE(q.x)
    cdef cnp.npy_intp length, batch = q.batch
    cdef cnp.ndarray saved, losses = None
    dimensions(&length, (2 + 2 * q.batch + q.steps * (2 * int(cnp.PyArray_SIZE(q.targets)) + q.batch),), item, "the states of all steps")
    saved = new(1, &length, cnp.PyArray_TYPE(q.x))
    if code == NONE:
        losses = new(len(q.shape), &batch, cnp.PyArray_TYPE(q.x))
    args.value = cnp.PyArray_DATA(saved)
    args.losses = <char *>args.value + 2 * item if losses is None else cnp.PyArray_DATA(losses)
    args.nll = <char *>args.value + (2 + q.batch) * item
    args.alpha = <char *>args.nll + q.batch * item
    args.log_probs, args.targets, args.input_lengths, args.target_lengths = data(q.x), data(q.targets), data(q.input_lengths), data(q.target_lengths)
    args.steps, args.batch, args.classes, args.padded, args.room, args.blank = q.steps, q.batch, q.classes, q.padded, q.room, q.blank
    args.mean, args.zero_infinity, args.divisor = code == MEAN, zero_infinity, q.batch if code == MEAN else 1
    cdef size_t parts = min(shares(cycles(q)), max(q.batch, 1), 4 * threads())
    cdef Scratch scratch = borrow(parts * 4 * q.room * item)
    args.scratch = scratch.data
    launch_shares(kernels.ctc_loss_forward[dtype], &args, sizeof(args), parts, cycles(q), True)
    give_back(scratch)
    if parts > 1 and code != NONE:
        total(args.value, args.losses, NULL, q.batch, args.divisor, dtype)
    result = number(saved) if losses is None else losses
    return (result, saved) if keep else result


def ctc_loss_backward(
    dy, log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", bint zero_infinity=False, *, saved=None
):
    """exp(log_probs) minus the probability of each class in each step, given the target; 0 from input_lengths on.

    That is the gradient with respect to the logits whose log_softmax log_probs is, and passes through log_softmax's backward as it is. NaN where
    the loss is infinite, or 0 with zero_infinity. saved: what ctc_loss(…, keep=True) returned, or None.
    """
    cdef Problem q = problem(log_probs, targets, input_lengths, target_lengths, blank)
    cdef fnn_ctc_backward_args args
    cdef int code = reduction_code(reduction)
    cdef size_t item = cnp.PyArray_ITEMSIZE(q.x)
    cdef cnp.ndarray dx = new_like(q.x), g = None, kept
    if saved is None:
        _, saved = ctc_loss(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero_infinity, keep=True)
    kept = real(saved, "saved")
    if cnp.PyArray_TYPE(kept) != cnp.PyArray_TYPE(q.x) or <size_t>cnp.PyArray_SIZE(kept) != 2 + 2 * q.batch + q.steps * (2 * cnp.PyArray_SIZE(q.targets) + q.batch):
        raise ValueError("saved must be what ctc_loss(..., keep=True) returned for these arguments")
    args.scale = 0
    if code == NONE:
        g = array_dy(dy, q.x, q.shape)
    else:
        args.scale = scalar_dy(dy) / (max(q.batch, 1) if code == MEAN else 1)
    args.dlog_probs, args.dy = data(dx), data(g)
    args.log_probs, args.targets, args.input_lengths, args.target_lengths = data(q.x), data(q.targets), data(q.input_lengths), data(q.target_lengths)
    args.nll = <char *>data(kept) + (2 + q.batch) * item
    args.alpha = <const char *>args.nll + q.batch * item
    args.steps, args.batch, args.classes, args.padded, args.room, args.blank = q.steps, q.batch, q.classes, q.padded, q.room, q.blank
    args.mean, args.zero_infinity = code == MEAN, zero_infinity
    cdef double work = 1.3 * cycles(q) + 2.0 * cnp.PyArray_SIZE(q.x)
    cdef size_t parts = min(shares(work), max(q.batch, 1), 4 * threads())
    cdef Scratch scratch = borrow(parts * 4 * q.room * item)
    args.scratch = scratch.data
    launch_shares(kernels.ctc_loss_backward[dtype_index(q.x)], &args, sizeof(args), parts, work, True)
    give_back(scratch)
    return dx
