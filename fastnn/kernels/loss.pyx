"""Element-wise losses and their derivatives. Formulas: fastnn.reference.loss; arithmetic: csrc/ops/loss.h.

input and target have one shape and one dtype, float32 or float64; weight and pos_weight broadcast to it. reduction "mean" and "sum" give a
Python float, "none" an array of input's shape. The backwards return the gradient with respect to input; dy is a number, or for "none" an array.
With `keep` a forward returns (loss, saved): saved[0] is the loss in memory that a recorded step writes, too.
"""
cimport numpy as cnp
from fastnn.kernels._arrays cimport dtype_index, new, new_like, real, same_dtype, same_shape
from fastnn.kernels._core cimport kernels, launch, launch_check, launch_shares, shares
from fastnn.kernels._fnn cimport fnn_kernel, int64_t
from fastnn.kernels._reduction cimport BATCHMEAN, MEAN, NONE, SUM, array_dy, number, reduction_code, scalar_dy, total
from fastnn.kernels._table cimport fnn_check_args, fnn_loss_args, fnn_loss_backward_args

import numpy as np

from math import copysign

from fastnn.kernels.elementwise import copy, sum_to

cnp.import_array()

cdef size_t CHUNK = 1024  # LOSS_CHUNK in csrc/ops/loss.h


cdef cnp.ndarray spread(object weight, cnp.ndarray input, str name):
    """weight broadcast to input's shape, or None."""
    if weight is None:
        return None
    cdef cnp.ndarray w = real(weight, name)
    same_dtype(input, "input", w, name)
    if cnp.PyArray_SAMESHAPE(w, input):
        return w
    try:
        return copy(np.broadcast_to(w, np.shape(input)))
    except ValueError:
        raise ValueError(f"{name} must broadcast to input's shape {np.shape(input)}, got {np.shape(w)}") from None


cdef double divisor(cnp.ndarray input, int code) noexcept:
    """What the sum of the losses is divided by."""
    if code == MEAN:
        return cnp.PyArray_SIZE(input)
    if code == BATCHMEAN:
        return cnp.PyArray_DIM(input, 0) if cnp.PyArray_NDIM(input) else 1
    return 1


cdef inline void *data(cnp.ndarray x) noexcept:
    return NULL if x is None else cnp.PyArray_DATA(x)


cdef object forward(const fnn_kernel *kernel, object input, object target, object weight, object pos_weight, double p, int code,
                    double cycles, bint keep, bint unit_interval=False):
    cdef cnp.ndarray x = real(input, "input"), t = real(target, "target"), w, pw, losses = None, saved
    cdef fnn_loss_args args
    cdef int dtype = dtype_index(x)
    same_dtype(x, "input", t, "target")
    same_shape(x, "input", t, "target")
    if unit_interval:
        check_values(kernels.check_unit_interval, x, "input", "between 0 and 1")
        check_values(kernels.check_unit_interval, t, "target", "between 0 and 1")
    w, pw = spread(weight, x, "weight"), spread(pos_weight, x, "pos_weight")
    args.n = cnp.PyArray_SIZE(x)
    cdef cnp.npy_intp chunks = (args.n + CHUNK - 1) // CHUNK, length = 2 + chunks
    saved = new(1, &length, cnp.PyArray_TYPE(x))
    if code == NONE:
        losses = new_like(x)
    args.losses, args.value = data(losses), data(saved)
    args.sums = <char *>args.value + 2 * cnp.PyArray_ITEMSIZE(x)
    args.input, args.target, args.weight, args.pos_weight = data(x), data(t), data(w), data(pw)
    args.p, args.divisor = p, divisor(x, code)
    cdef size_t parts = shares(args.n * cycles)
    launch_shares(kernel[dtype], &args, sizeof(args), parts, args.n * cycles, True)
    if parts > 1 and code != NONE:
        total(args.value, args.sums, NULL, chunks, args.divisor, dtype)
    result = losses if code == NONE else number(saved)
    return (result, saved) if keep else result


cdef object backward(const fnn_kernel *kernel, object dy, object input, object target, object weight, object pos_weight, double p,
                     int code, double cycles):
    cdef cnp.ndarray x = real(input, "input"), t = real(target, "target"), w, pw, g = None, dx
    cdef fnn_loss_backward_args args
    same_dtype(x, "input", t, "target")
    same_shape(x, "input", t, "target")
    w, pw = spread(weight, x, "weight"), spread(pos_weight, x, "pos_weight")
    args.n, args.p, args.scale = cnp.PyArray_SIZE(x), p, 0
    if code == NONE:
        g = array_dy(dy, x, np.shape(x))
    elif args.n:
        args.scale = scalar_dy(dy) / divisor(x, code)
    dx = new_like(x)
    args.dinput, args.dy, args.input, args.target, args.weight, args.pos_weight = data(dx), data(g), data(x), data(t), data(w), data(pw)
    launch(kernel[dtype_index(x)], &args, sizeof(args), args.n * cycles)
    return dx


cdef int check_values(const fnn_kernel *kernel, cnp.ndarray x, str name, str what) except -1:
    """ValueError if the check finds an element that is not `what`; NaN is let through."""
    cdef fnn_check_args args
    args.x, args.n, args.classes, args.ignore = cnp.PyArray_DATA(x), cnp.PyArray_SIZE(x), 0, 0
    cdef int64_t bad = launch_check(kernel[dtype_index(x)], &args)
    if bad:
        at = tuple([int(k) for k in np.unravel_index(bad - 1, np.shape(x))])
        raise ValueError(f"{name} must be {what}, got {(<object>x)[at]} at index {at}")
    return 0


cdef double limit(object value, str name, bint zero) except? -1:
    cdef double number = float(value)
    if not (number > 0 or (zero and number == 0)):
        raise ValueError(f"{name} must be {'at least' if zero else 'above'} 0, got {value}")
    return number


def mse_loss(input, target, reduction="mean", *, bint keep=False):
    """(input - target)²."""
    return forward(kernels.mse_loss_forward, input, target, None, None, 0, reduction_code(reduction), 0.5, keep)


def mse_loss_backward(dy, input, target, reduction="mean"):
    """2 (input - target)."""
    return backward(kernels.mse_loss_backward, dy, input, target, None, None, 0, reduction_code(reduction), 0.5)


def l1_loss(input, target, reduction="mean", *, bint keep=False):
    """|input - target|."""
    return forward(kernels.l1_loss_forward, input, target, None, None, 0, reduction_code(reduction), 0.5, keep)


def l1_loss_backward(dy, input, target, reduction="mean"):
    """sign(input - target), 0 where they are equal."""
    return backward(kernels.l1_loss_backward, dy, input, target, None, None, 0, reduction_code(reduction), 0.5)


def smooth_l1_loss(input, target, beta=1.0, reduction="mean", *, bint keep=False):
    """With d = input - target: d² / (2 beta) where |d| < beta, else |d| - beta / 2. ValueError if beta is negative."""
    return forward(kernels.smooth_l1_loss_forward, input, target, None, None, limit(beta, "beta", True), reduction_code(reduction), 1, keep)


def smooth_l1_loss_backward(dy, input, target, beta=1.0, reduction="mean"):
    """d / beta where |d| < beta, else sign(d)."""
    return backward(kernels.smooth_l1_loss_backward, dy, input, target, None, None, limit(beta, "beta", True), reduction_code(reduction), 1)


def huber_loss(input, target, delta=1.0, reduction="mean", *, bint keep=False):
    """With d = input - target: d² / 2 where |d| <= delta, else delta (|d| - delta / 2). ValueError unless delta is positive."""
    return forward(kernels.huber_loss_forward, input, target, None, None, limit(delta, "delta", False), reduction_code(reduction), 1, keep)


def huber_loss_backward(dy, input, target, delta=1.0, reduction="mean"):
    """d limited to [-delta, delta]."""
    return backward(kernels.huber_loss_backward, dy, input, target, None, None, limit(delta, "delta", False), reduction_code(reduction), 1)


def binary_cross_entropy(input, target, weight=None, reduction="mean", *, bint keep=False):
    """-weight (target log(input) + (1 - target) log(1 - input)), both logarithms no lower than -100.

    ValueError if an element of input or target is outside [0, 1].
    """
    return forward(kernels.binary_cross_entropy_forward, input, target, weight, None, 0, reduction_code(reduction), 4, keep, True)


def binary_cross_entropy_backward(dy, input, target, weight=None, reduction="mean"):
    """weight (input - target) / max(input (1 - input), 1e-12)."""
    return backward(kernels.binary_cross_entropy_backward, dy, input, target, weight, None, 0, reduction_code(reduction), 1)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction="mean", *, bint keep=False):
    """-weight (pos_weight target log(sigmoid(input)) + (1 - target) log(1 - sigmoid(input))), without overflow."""
    return forward(kernels.binary_cross_entropy_with_logits_forward, input, target, weight, pos_weight, 0, reduction_code(reduction), 3, keep)


def binary_cross_entropy_with_logits_backward(dy, input, target, weight=None, pos_weight=None, reduction="mean"):
    """weight ((p + 1 - target) sigmoid(input) - p) with p = pos_weight target."""
    return backward(
        kernels.binary_cross_entropy_with_logits_backward, dy, input, target, weight, pos_weight, 0, reduction_code(reduction), 2
    )


def kl_div(input, target, log_target=False, reduction="mean", *, bint keep=False):
    """target (log(target) - input), 0 log 0 being 0; input holds log-probabilities, as does target with log_target.

    "mean" divides by the number of elements; "batchmean", the divergence itself, by the size of the first axis.
    """
    cdef const fnn_kernel *kernel = &kernels.kl_div_log_target_forward[0] if log_target else &kernels.kl_div_forward[0]
    return forward(kernel, input, target, None, None, 0, reduction_code(reduction, True), 3, keep)


def kl_div_backward(dy, input, target, log_target=False, reduction="mean"):
    """-target, or -exp(target) with log_target."""
    cdef const fnn_kernel *kernel = &kernels.kl_div_log_target_backward[0] if log_target else &kernels.kl_div_backward[0]
    return backward(kernel, dy, input, target, None, None, 0, reduction_code(reduction, True), 1)


def hinge_embedding_loss(input, target, margin=1.0, reduction="mean", *, bint keep=False):
    """input where target is 1, max(0, margin - input) where it is -1; target holds 1 and -1."""
    return forward(kernels.hinge_embedding_loss_forward, input, target, None, None, margin, reduction_code(reduction), 1, keep)


def hinge_embedding_loss_backward(dy, input, target, margin=1.0, reduction="mean"):
    """1 where target is 1, else -1 where margin - input >= 0, else 0."""
    return backward(kernels.hinge_embedding_loss_backward, dy, input, target, None, None, margin, reduction_code(reduction), 1)


def soft_margin_loss(input, target, reduction="mean", *, bint keep=False):
    """log(1 + exp(-target input)), without overflow; target holds 1 and -1."""
    return forward(kernels.soft_margin_loss_forward, input, target, None, None, 0, reduction_code(reduction), 3, keep)


def soft_margin_loss_backward(dy, input, target, reduction="mean"):
    """-target sigmoid(-target input)."""
    return backward(kernels.soft_margin_loss_backward, dy, input, target, None, None, 0, reduction_code(reduction), 2)


cdef double signed(object eps, bint full) except? -1:
    """eps as kernels take it: with the sign bit where the loss has its constant part."""
    return copysign(limit(eps, "eps", True), -1 if full else 1)


def poisson_nll_loss(input, target, bint log_input=True, bint full=False, eps=1e-8, reduction="mean", *, bint keep=False):
    """exp(input) - target input, or for log_input=False input - target log(input + eps); input is the expected count, or its logarithm.

    full: with Stirling's approximation of log(target!) where target > 1, target log(target) - target + log(2 pi target) / 2.
    """
    cdef const fnn_kernel *kernel = &kernels.poisson_nll_loss_forward[0] if log_input else &kernels.poisson_nll_loss_of_rate_forward[0]
    return forward(kernel, input, target, None, None, signed(eps, full), reduction_code(reduction), 3, keep)


def poisson_nll_loss_backward(dy, input, target, bint log_input=True, bint full=False, eps=1e-8, reduction="mean"):
    """exp(input) - target, or for log_input=False 1 - target / (input + eps)."""
    cdef const fnn_kernel *kernel = &kernels.poisson_nll_loss_backward[0] if log_input else &kernels.poisson_nll_loss_of_rate_backward[0]
    return backward(kernel, dy, input, target, None, None, signed(eps, full), reduction_code(reduction), 2)


cdef cnp.ndarray variance(object var, cnp.ndarray input):
    """var as an array that broadcasts to input's shape."""
    cdef cnp.ndarray v = real(var, "var")
    shape, own = np.shape(input), np.shape(v)
    if own == shape or own == shape[:-1] + (1,):
        return v
    if own != shape[:-1]:
        raise ValueError(f"var must have input's shape {shape}, or that with 1 as its last axis or without it, got {own}")
    return np.reshape(v, own + (1,))


def gaussian_nll_loss(input, target, var, bint full=False, eps=1e-6, reduction="mean", *, bint keep=False):
    """(log(v) + (input - target)² / v) / 2 with v = max(var, eps); full: and log(2 pi) / 2.

    var: variances of input's shape, or of that with 1 as its last axis or without it. ValueError if one is below 0.
    """
    cdef cnp.ndarray v = variance(var, real(input, "input"))
    check_values(kernels.check_not_negative, v, "var", "at least 0")
    return forward(kernels.gaussian_nll_loss_forward, input, target, v, None, signed(eps, full), reduction_code(reduction), 3, keep)


def gaussian_nll_loss_backward(dy, input, target, var, bint full=False, eps=1e-6, reduction="mean"):
    """(dinput, dvar): (input - target) / v, and (1 - (input - target)² / v) / (2 v) summed to var's shape, also where var < eps."""
    cdef cnp.ndarray v = variance(var, real(input, "input"))
    cdef int code = reduction_code(reduction)
    cdef double p = signed(eps, full)
    dinput = backward(kernels.gaussian_nll_loss_backward, dy, input, target, v, None, p, code, 2)
    dvar = backward(kernels.gaussian_nll_loss_backward_variance, dy, input, target, v, None, p, code, 3)
    return dinput, sum_to(dvar, np.shape(v)).reshape(np.shape(var))
