"""Activations and their derivatives, and elementary functions. Formulas and sources: fastnn.reference.activation, elementary.

Every function takes an array of any layout, float32 or float64, and returns a C-ordered array of its shape and dtype, or fills
`out` (which may be the input itself) and returns that. At ±inf all have their limits; NaN stays NaN. The file is long because there is
one pair of functions for each activation; each is a line or two.
"""
cimport numpy as cnp
from fastnn.kernels._arrays cimport deliver, dtype_index, new, new_like, real, same_dtype, same_shape, target
from fastnn.kernels._core cimport kernels, launch
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._table cimport (
    fnn_glu_args, fnn_glu_backward_args, fnn_map_args, fnn_map_backward_args, fnn_prelu_args, fnn_prelu_backward_args, fnn_sum_rows_args,
)

import numpy as np

cnp.import_array()

# Klambauer et al., Self-Normalizing Neural Networks, 2017, equation 14.
cdef double SELU_SCALE = 1.0507009873554804934193349852946
cdef double SELU_ALPHA_SCALE = 1.6732632423543772848170429916717 * SELU_SCALE


# How many times longer than a float a double takes: half the lanes and longer polynomials.
cdef double DOUBLE_COST = 3


cdef object forward(const fnn_kernel *kernel, object x, object out, double p, double q, double cycles):
    """Launch a map kernel that takes so many cycles a float."""
    cdef cnp.ndarray a = real(x, "x")
    cdef cnp.ndarray y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    cdef fnn_map_args args
    args.y, args.x, args.n = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), cnp.PyArray_SIZE(a)
    args.p, args.q = p, q
    launch(kernel[dtype_index(a)], &args, sizeof(args), args.n * cycles * (1 if dtype_index(a) == 0 else DOUBLE_COST))
    return deliver(y, out)


cdef object backward(const fnn_kernel *kernel, object dy, object x, object out, double p, double q, double cycles, str name="x"):
    """Launch a map's derivative. `name` says what the second array is: forward's input x or its output y."""
    cdef cnp.ndarray a = real(x, name)
    cdef cnp.ndarray g = real(dy, "dy")
    same_dtype(a, name, g, "dy")
    same_shape(a, name, g, "dy")
    cdef cnp.ndarray dx = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, g, True)
    cdef fnn_map_backward_args args
    args.dx, args.dy, args.x, args.n = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g), cnp.PyArray_DATA(a), cnp.PyArray_SIZE(a)
    args.p, args.q = p, q
    launch(kernel[dtype_index(a)], &args, sizeof(args), args.n * cycles * (1 if dtype_index(a) == 0 else DOUBLE_COST))
    return deliver(dx, out)


# --- linear in pieces ---


def relu(x, out=None):
    """max(x, 0)."""
    return forward(kernels.relu_forward, x, out, 0, 0, 0.3)


def relu_backward(dy, x, out=None):
    """dy where x > 0, else 0. `x` may as well be relu's output."""
    return backward(kernels.relu_backward, dy, x, out, 0, 0, 0.4)


def leaky_relu(x, double negative_slope=0.01, out=None):
    """x where x > 0, else negative_slope x."""
    return forward(kernels.leaky_relu_forward, x, out, negative_slope, 0, 0.3)


def leaky_relu_backward(dy, x, double negative_slope=0.01, out=None):
    """dy where x > 0, else negative_slope dy."""
    return backward(kernels.leaky_relu_backward, dy, x, out, negative_slope, 0, 0.4)


def hardtanh(x, double min_val=-1.0, double max_val=1.0, out=None):
    """x limited to [min_val, max_val]. Raises ValueError if min_val > max_val."""
    ordered(min_val, max_val)
    return forward(kernels.hardtanh_forward, x, out, min_val, max_val, 0.3)


def hardtanh_backward(dy, x, double min_val=-1.0, double max_val=1.0, out=None):
    """dy where min_val < x < max_val, else 0."""
    ordered(min_val, max_val)
    return backward(kernels.hardtanh_backward, dy, x, out, min_val, max_val, 0.4)


def relu6(x, out=None):
    """x limited to [0, 6]."""
    return forward(kernels.hardtanh_forward, x, out, 0, 6, 0.3)


def relu6_backward(dy, x, out=None):
    """dy where 0 < x < 6, else 0."""
    return backward(kernels.hardtanh_backward, dy, x, out, 0, 6, 0.4)


def hardsigmoid(x, out=None):
    """(x + 3) / 6 limited to [0, 1]."""
    return forward(kernels.hardsigmoid_forward, x, out, 0, 0, 0.7)


def hardsigmoid_backward(dy, x, out=None):
    """dy / 6 where -3 < x < 3, else 0."""
    return backward(kernels.hardsigmoid_backward, dy, x, out, 0, 0, 0.7)


def hardswish(x, out=None):
    """x hardsigmoid(x)."""
    return forward(kernels.hardswish_forward, x, out, 0, 0, 0.7)


def hardswish_backward(dy, x, out=None):
    """0 up to -3, dy (x / 3 + 1/2) below 3, then dy."""
    return backward(kernels.hardswish_backward, dy, x, out, 0, 0, 0.7)


def hardshrink(x, double lambd=0.5, out=None):
    """0 where -lambd <= x <= lambd, else x."""
    return forward(kernels.hardshrink_forward, x, out, lambd, 0, 0.3)


def hardshrink_backward(dy, x, double lambd=0.5, out=None):
    """0 where -lambd <= x <= lambd, else dy."""
    return backward(kernels.hardshrink_backward, dy, x, out, lambd, 0, 0.4)


def softshrink(x, double lambd=0.5, out=None):
    """x - lambd above lambd, x + lambd below -lambd, 0 between. Raises ValueError if lambd < 0."""
    not_negative(lambd)
    return forward(kernels.softshrink_forward, x, out, lambd, 0, 0.3)


def softshrink_backward(dy, x, double lambd=0.5, out=None):
    """0 where -lambd <= x <= lambd, else dy."""
    not_negative(lambd)
    return backward(kernels.softshrink_backward, dy, x, out, lambd, 0, 0.4)


def threshold(x, double threshold, double value, out=None):
    """x where x > threshold, else value."""
    return forward(kernels.threshold_forward, x, out, threshold, value, 0.3)


def threshold_backward(dy, x, double threshold, double value, out=None):
    """dy where x > threshold, else 0."""
    return backward(kernels.threshold_backward, dy, x, out, threshold, value, 0.4)


cdef int ordered(double min_val, double max_val) except -1:
    if not min_val <= max_val:
        raise ValueError(f"min_val must not be above max_val, got {min_val} and {max_val}")
    return 0


cdef int not_negative(double lambd) except -1:
    if not lambd >= 0:
        raise ValueError(f"lambd must be 0 or more, got {lambd}")
    return 0


# --- sigmoid, tanh and their kin ---


def sigmoid(x, out=None):
    """1 / (1 + exp(-x)), within 2 ULP."""
    return forward(kernels.sigmoid_forward, x, out, 0, 0, 1.5)


def sigmoid_backward(dy, y, out=None):
    """dy y (1 - y), y being sigmoid's output."""
    return backward(kernels.sigmoid_backward, dy, y, out, 0, 0, 0.4, "y")


def tanh(x, out=None):
    """The hyperbolic tangent, within 2 ULP."""
    return forward(kernels.tanh_forward, x, out, 0, 0, 1.5)


def tanh_backward(dy, y, out=None):
    """dy (1 - y²), y being tanh's output."""
    return backward(kernels.tanh_backward, dy, y, out, 0, 0, 0.4, "y")


def logsigmoid(x, out=None):
    """log(sigmoid(x)) = -log(1 + exp(-x))."""
    return forward(kernels.logsigmoid_forward, x, out, 0, 0, 2)


def logsigmoid_backward(dy, x, out=None):
    """dy sigmoid(-x)."""
    return backward(kernels.logsigmoid_backward, dy, x, out, 0, 0, 1.5)


def tanhshrink(x, out=None):
    """x - tanh(x), without cancellation near 0."""
    return forward(kernels.tanhshrink_forward, x, out, 0, 0, 2)


def tanhshrink_backward(dy, x, out=None):
    """dy tanh²(x)."""
    return backward(kernels.tanhshrink_backward, dy, x, out, 0, 0, 1.5)


def softplus(x, double beta=1.0, double threshold=20.0, out=None):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""
    return forward(kernels.softplus_forward, x, out, beta, threshold, 2.5)


def softplus_backward(dy, x, double beta=1.0, double threshold=20.0, out=None):
    """dy sigmoid(beta x), and dy where beta x > threshold."""
    return backward(kernels.softplus_backward, dy, x, out, beta, threshold, 1.5)


def softsign(x, out=None):
    """x / (1 + |x|)."""
    return forward(kernels.softsign_forward, x, out, 0, 0, 0.7)


def softsign_backward(dy, x, out=None):
    """dy / (1 + |x|)²."""
    return backward(kernels.softsign_backward, dy, x, out, 0, 0, 0.7)


def silu(x, out=None):
    """x sigmoid(x)."""
    return forward(kernels.silu_forward, x, out, 0, 0, 1.5)


def silu_backward(dy, x, out=None):
    """dy (s + x s (1 - s)) with s = sigmoid(x)."""
    return backward(kernels.silu_backward, dy, x, out, 0, 0, 1.5)


def mish(x, out=None):
    """x tanh(softplus(x))."""
    return forward(kernels.mish_forward, x, out, 0, 0, 1.5)


def mish_backward(dy, x, out=None):
    """dy (t + x (1 - t²) sigmoid(x)) with t = tanh(softplus(x))."""
    return backward(kernels.mish_backward, dy, x, out, 0, 0, 2)


# --- exponential and Gaussian ---


def elu(x, double alpha=1.0, out=None):
    """x where x > 0, else alpha (exp(x) - 1)."""
    return forward(kernels.elu_forward, x, out, alpha, 1, 1.5)


def elu_backward(dy, x, double alpha=1.0, out=None):
    """dy where x > 0, else dy alpha exp(x)."""
    return backward(kernels.elu_backward, dy, x, out, alpha, 1, 1.2)


def celu(x, double alpha=1.0, out=None):
    """x where x > 0, else alpha (exp(x / alpha) - 1). Raises ValueError if alpha is 0."""
    not_zero(alpha)
    return forward(kernels.celu_forward, x, out, alpha, 0, 2)


def celu_backward(dy, x, double alpha=1.0, out=None):
    """dy where x > 0, else dy exp(x / alpha)."""
    not_zero(alpha)
    return backward(kernels.celu_backward, dy, x, out, alpha, 0, 1.7)


def selu(x, out=None):
    """scale elu(x, alpha) with the constants of self-normalizing networks."""
    return forward(kernels.elu_forward, x, out, SELU_ALPHA_SCALE, SELU_SCALE, 1.5)


def selu_backward(dy, x, out=None):
    """dy scale where x > 0, else dy scale alpha exp(x)."""
    return backward(kernels.elu_backward, dy, x, out, SELU_ALPHA_SCALE, SELU_SCALE, 1.2)


cdef int not_zero(double alpha) except -1:
    if alpha == 0:
        raise ValueError("alpha must not be 0")
    return 0


def gelu(x, approximate="none", out=None):
    """x Phi(x), Phi being the normal distribution function; approximate="tanh": x (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))) / 2."""
    if is_tanh(approximate):
        return forward(kernels.gelu_tanh_forward, x, out, 0, 0, 3)
    return forward(kernels.gelu_forward, x, out, 0, 0, 4)


def gelu_backward(dy, x, approximate="none", out=None):
    """dy (Phi(x) + x phi(x)), phi being the normal density; approximate="tanh": dy times the derivative of that form."""
    if is_tanh(approximate):
        return backward(kernels.gelu_tanh_backward, dy, x, out, 0, 0, 3)
    return backward(kernels.gelu_backward, dy, x, out, 0, 0, 4)


cdef bint is_tanh(object approximate) except -1:
    if approximate != "none" and approximate != "tanh":
        raise ValueError(f"approximate must be 'none' or 'tanh', got {approximate!r}")
    return approximate == "tanh"


# --- PReLU ---

cdef struct Channels:
    # An array seen as outer x channels x inner.
    size_t outer, channels, inner


cdef cnp.ndarray slopes(object weight, cnp.ndarray x, Channels *c):
    """`weight` as an array that fits x's channels: axis 1, or axis 0 of a one-dimensional x."""
    cdef cnp.ndarray w = real(weight, "weight")
    cdef int i, ndim = cnp.PyArray_NDIM(x), axis = 1 if ndim > 1 else 0
    same_dtype(x, "x", w, "weight")
    if cnp.PyArray_NDIM(w) != 1 or cnp.PyArray_DIM(w, 0) == 0:
        raise ValueError(f"weight must have shape (1,) or (channels,), got {np.shape(w)}")
    c.outer, c.channels, c.inner = 1, cnp.PyArray_DIM(w, 0), cnp.PyArray_SIZE(x)
    if c.channels > 1:
        if ndim == 0 or <size_t>cnp.PyArray_DIM(x, axis) != c.channels:
            raise ValueError(f"weight must have shape (1,), or one element for each of x's channels on axis {axis}, "
                             f"got {np.shape(w)} for x of shape {np.shape(x)}")
        c.inner = 1
        for i in range(ndim):
            if i < axis:
                c.outer *= cnp.PyArray_DIM(x, i)
            elif i > axis:
                c.inner *= cnp.PyArray_DIM(x, i)
    if cnp.PyArray_SIZE(x) == 0:
        c.outer, c.inner = 0, 1
    return w


def prelu(x, weight, out=None):
    """x where x > 0, else weight x. weight: (1,), or (C,) for x's channels, which are axis 1, or axis 0 of a one-dimensional x.

    Raises ValueError where weight does not fit x, TypeError where the dtypes differ.
    """
    cdef cnp.ndarray a = real(x, "x"), w, y
    cdef Channels c
    cdef fnn_prelu_args args
    w = slopes(weight, a, &c)
    y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, w, True)
    if cnp.PyArray_DATA(y) == cnp.PyArray_DATA(w):
        y = new_like(a)
    args.y, args.x, args.weight = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), cnp.PyArray_DATA(w)
    args.outer, args.channels, args.inner = c.outer, c.channels, c.inner
    launch(kernels.prelu_forward[dtype_index(a)], &args, sizeof(args), 0.4 * cnp.PyArray_SIZE(a))
    return deliver(y, out)


def prelu_backward(dy, x, weight, *, dweight=None, accumulate=False):
    """The gradients (dx, dweight): dy where x > 0, else weight dy; and the sum of x dy over the elements of a channel with x <= 0.

    `dweight` is an array to write into, or to add to where `accumulate`.
    """
    cdef cnp.ndarray a = real(x, "x"), g = real(dy, "dy"), w, dx, dw, partial
    cdef Channels c
    cdef fnn_prelu_backward_args args
    cdef fnn_sum_rows_args sums
    cdef cnp.npy_intp cuts[2]
    cdef int dtype = dtype_index(a)
    same_dtype(a, "x", g, "dy")
    same_shape(a, "x", g, "dy")
    w = slopes(weight, a, &c)
    dw = gradient_array(dweight, w)
    dx = new_like(a)
    cuts[0] = c.outer * ((c.inner - 1) // 2048 + 1) if c.inner > 1 else (c.outer + 127) // 128
    cuts[1] = c.channels
    partial = new(2, cuts, cnp.PyArray_TYPE(a))
    args.dx, args.partial = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(partial)
    args.dy, args.x, args.weight = cnp.PyArray_DATA(g), cnp.PyArray_DATA(a), cnp.PyArray_DATA(w)
    args.outer, args.channels, args.inner = c.outer, c.channels, c.inner
    launch(kernels.prelu_backward[dtype], &args, sizeof(args), 0.6 * cnp.PyArray_SIZE(a))
    sums.y, sums.x, sums.rows, sums.cols = cnp.PyArray_DATA(dw), cnp.PyArray_DATA(partial), cuts[0], cuts[1]
    sums.accumulate = bool(accumulate) and dweight is not None
    launch(kernels.sum_rows[dtype], &sums, sizeof(sums), 100 + 0.3 * cuts[0] * cuts[1])
    return dx, dw


cdef cnp.ndarray gradient_array(object given, cnp.ndarray like):
    """`given` once it is known to fit `like`, or a new array."""
    if given is None:
        return new_like(like)
    cdef cnp.ndarray array = real(given, "dweight")
    if array is not given or not cnp.PyArray_ISWRITEABLE(array):
        raise TypeError("dweight must be a writeable, aligned, C-ordered float32 or float64 ndarray")
    same_dtype(like, "weight", array, "dweight")
    same_shape(like, "weight", array, "dweight")
    return array


# --- GLU ---

cdef int halves(cnp.ndarray x, int axis, size_t *outer, size_t *span) except? -1:
    """See x as outer x 2 x span around `axis`, which is returned from 0 upward."""
    cdef int i, ndim = cnp.PyArray_NDIM(x)
    if not -ndim <= axis < ndim:
        raise ValueError(f"axis must be one of x's {ndim}, got {axis}")
    axis = axis + ndim if axis < 0 else axis
    if cnp.PyArray_DIM(x, axis) % 2:
        raise ValueError(f"x must have an even size on axis {axis}, got shape {np.shape(x)}")
    outer[0], span[0] = 1, cnp.PyArray_DIM(x, axis) // 2
    for i in range(ndim):
        if i < axis:
            outer[0] *= cnp.PyArray_DIM(x, i)
        elif i > axis:
            span[0] *= cnp.PyArray_DIM(x, i)
    return axis


def glu(x, int axis=-1, out=None):
    """u sigmoid(v), u and v being the first and the second half of x along axis, whose size must be even. Returns half of x's size there."""
    cdef cnp.ndarray a = real(x, "x"), y
    cdef fnn_glu_args args
    cdef cnp.npy_intp shape[64]
    cdef int i, halved = halves(a, axis, &args.outer, &args.span)
    for i in range(cnp.PyArray_NDIM(a)):
        shape[i] = cnp.PyArray_DIM(a, i)
    shape[halved] //= 2
    y = target(out, cnp.PyArray_NDIM(a), shape, cnp.PyArray_TYPE(a), a, None, False)
    args.y, args.x = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a)
    launch(kernels.glu_forward[dtype_index(a)], &args, sizeof(args), 1.5 * cnp.PyArray_SIZE(y))
    return deliver(y, out)


def glu_backward(dy, x, int axis=-1, out=None):
    """dx of x's shape: dy s and dy u s (1 - s), joined along axis, with s = sigmoid(v)."""
    cdef cnp.ndarray a = real(x, "x"), g = real(dy, "dy"), dx
    cdef fnn_glu_backward_args args
    cdef int i, halved = halves(a, axis, &args.outer, &args.span)
    cdef bint fits = cnp.PyArray_NDIM(g) == cnp.PyArray_NDIM(a)
    same_dtype(a, "x", g, "dy")
    for i in range(cnp.PyArray_NDIM(a) if fits else 0):
        fits = fits and cnp.PyArray_DIM(g, i) * (2 if i == halved else 1) == cnp.PyArray_DIM(a, i)
    if not fits:
        raise ValueError(f"dy must have x's shape {np.shape(a)} with axis {halved} halved, got {np.shape(g)}")
    dx = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, g, True)
    if cnp.PyArray_DATA(dx) == cnp.PyArray_DATA(g):
        dx = new_like(a)
    args.dx, args.dy, args.x = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g), cnp.PyArray_DATA(a)
    launch(kernels.glu_backward[dtype_index(a)], &args, sizeof(args), 2 * cnp.PyArray_SIZE(g))
    return deliver(dx, out)


# --- by name ---

cdef struct Entry:
    const fnn_kernel *kernel
    double p, q

cdef Entry entries[32]
cdef dict index_of = {}


cdef int enter(str name, const fnn_kernel *kernel, double p=0, double q=0) except -1:
    cdef int i = len(index_of)
    entries[i] = Entry(kernel, p, q)
    index_of[name] = i
    return 0


enter("relu", kernels.relu_forward)
enter("leaky_relu", kernels.leaky_relu_forward, 0.01)
enter("relu6", kernels.hardtanh_forward, 0, 6)
enter("hardtanh", kernels.hardtanh_forward, -1, 1)
enter("hardsigmoid", kernels.hardsigmoid_forward)
enter("hardswish", kernels.hardswish_forward)
enter("hardshrink", kernels.hardshrink_forward, 0.5)
enter("softshrink", kernels.softshrink_forward, 0.5)
enter("sigmoid", kernels.sigmoid_forward)
enter("tanh", kernels.tanh_forward)
enter("logsigmoid", kernels.logsigmoid_forward)
enter("tanhshrink", kernels.tanhshrink_forward)
enter("softplus", kernels.softplus_forward, 1, 20)
enter("softsign", kernels.softsign_forward)
enter("silu", kernels.silu_forward)
enter("mish", kernels.mish_forward)
enter("elu", kernels.elu_forward, 1, 1)
enter("celu", kernels.celu_forward, 1)
enter("selu", kernels.elu_forward, SELU_ALPHA_SCALE, SELU_SCALE)
enter("gelu", kernels.gelu_forward)
enter("gelu_tanh", kernels.gelu_tanh_forward)


cdef Map activation_map(object name, int dtype) except *:
    cdef Entry entry
    try:
        entry = entries[<int>index_of[name]]
    except (KeyError, TypeError):
        raise ValueError(f"activation must be None or one of {', '.join(index_of)}, got {name!r}") from None
    return Map(entry.kernel[dtype], entry.p, entry.q)


# --- elementary functions, which have no backward of their own: at most 1 ULP from the truth for exp and log, 2 ULP for the others (csrc/vec/vmath.h) ---


def exp(x, out=None):
    """e to the power x."""
    return forward(kernels.exp_forward, x, out, 0, 0, 1)


def expm1(x, out=None):
    """e to the power x, minus 1, without cancellation near 0."""
    return forward(kernels.expm1_forward, x, out, 0, 0, 1.2)


def log(x, out=None):
    """The natural logarithm: -inf at 0, NaN below."""
    return forward(kernels.log_forward, x, out, 0, 0, 1.3)


def log1p(x, out=None):
    """The natural logarithm of 1 + x, without cancellation near 0: -inf at -1, NaN below."""
    return forward(kernels.log1p_forward, x, out, 0, 0, 1.3)


def erf(x, out=None):
    """The error function, 2/√π times the integral of exp(-t²) from 0 to x."""
    return forward(kernels.erf_forward, x, out, 0, 0, 2)
