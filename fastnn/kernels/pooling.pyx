"""Pooling over the last one, two or three axes. Formulas: fastnn.reference.pooling; arithmetic: csrc/ops/pooling.h.

kernel_size, stride, padding, dilation and output_size are tuples with a number for each pooled axis, or one number for all of x's axes
after the first two, (N, C). Any axes may come before the pooled ones.
"""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport deliver, dtype_index, integers, new, real, target
from fastnn.kernels._core cimport kernels, keep, launch, launch_check
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._table cimport fnn_check_args, fnn_pool_args, fnn_pool_backward_args
from fastnn.kernels.activation cimport backward, forward

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    bint PyArray_ISCARRAY_RO(cnp.ndarray)

cdef enum:
    SLACK = 32  # bytes around the winners of a plane


cdef struct Pool:
    # What the kernels take of the shapes; pooled axes are the last `dims` of three. shape: y's, and x's up to the pooled axes.
    size_t planes
    size_t x_shape[3]
    size_t y_shape[3]
    size_t kernel[3]
    size_t stride[3]
    size_t padding[3]
    size_t dilation[3]
    int ndim, dims
    cnp.npy_intp shape[64]
    double divisor  # of averages, 0 where windows differ
    bint count_padding, adaptive


# --- shapes ---

cdef int number(object value, str name, Py_ssize_t least, size_t *to) except -1:
    try:
        n = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer or a tuple of integers, got {value!r}") from None
    if not least <= n < 2**31:
        raise ValueError(f"{name} must be at least {least} and below 2**31, got {n}")
    to[0] = n
    return 0


cdef int numbers(object value, str name, Py_ssize_t least, int dims, size_t *to) except -1:
    """A number for each of the last `dims` of three axes."""
    cdef int i
    cdef bint several = isinstance(value, (tuple, list))
    if several and len(value) != dims:
        raise ValueError(f"{name} must be a number or have one for each of the {dims} pooled axes, got {value!r}")
    for i in range(dims):
        number(value[i] if several else value, name, least, to + 3 - dims + i)
    return 0


cdef int pooled_axes(Pool *pool, tuple shape, object like, str name) except -1:
    """Cut x's shape before the axes that `like` has a number for."""
    cdef int i, lead
    pool.ndim = len(shape)
    pool.dims = len(like) if isinstance(like, (tuple, list)) else pool.ndim - 2
    if not 1 <= pool.dims <= 3:
        raise ValueError(f"{name} must be for 1, 2 or 3 axes, got {like!r} for x of shape {shape}")
    if pool.dims > pool.ndim:
        raise ValueError(f"x must have at least the {pool.dims} axes that {name} {like!r} is for, got shape {shape}")
    lead = pool.ndim - pool.dims
    pool.planes = 1
    for i in range(3):
        pool.x_shape[i] = pool.y_shape[i] = pool.kernel[i] = pool.stride[i] = pool.dilation[i] = 1
        pool.padding[i] = 0
    for i in range(lead):
        pool.shape[i] = shape[i]
        pool.planes *= pool.shape[i]
    for i in range(pool.dims):
        pool.x_shape[3 - pool.dims + i] = shape[lead + i]
    pool.adaptive = pool.count_padding = False
    pool.divisor = 0
    return lead


cdef int windows(Pool *pool, tuple shape, object kernel_size, object stride, object padding, object dilation, bint ceil_mode) except -1:
    """Fill in `pool` for windows of one size; ValueError where there is none."""
    cdef int i, lead = pooled_axes(pool, shape, kernel_size, "kernel_size"), dims = pool.dims
    cdef long long reach, room, count
    numbers(kernel_size, "kernel_size", 1, dims, pool.kernel)
    numbers(kernel_size if stride is None else stride, "stride", 1, dims, pool.stride)
    numbers(padding, "padding", 0, dims, pool.padding)
    numbers(dilation, "dilation", 1, dims, pool.dilation)
    for i in range(3 - dims, 3):
        if 2 * pool.padding[i] > pool.kernel[i]:
            raise ValueError(f"padding must be at most half of kernel_size, got padding {padding!r} and kernel_size {kernel_size!r}")
        if pool.x_shape[i] == 0:
            raise ValueError(f"x must have at least one element along each pooled axis, got shape {shape}")
        reach = (<long long>pool.kernel[i] - 1) * <long long>pool.dilation[i] + 1
        room = <long long>pool.x_shape[i] + 2 * <long long>pool.padding[i] - reach
        if ceil_mode:
            room += <long long>pool.stride[i] - 1
        if room < 0:
            raise ValueError(
                f"kernel_size must fit into the padded input, got kernel_size {kernel_size!r}, padding {padding!r} and dilation {dilation!r} "
                f"for x of shape {shape}"
            )
        count = room // <long long>pool.stride[i] + 1
        if ceil_mode and (count - 1) * <long long>pool.stride[i] >= <long long>(pool.x_shape[i] + pool.padding[i]):
            count -= 1  # it would begin in the padding on the right
        pool.y_shape[i] = count
        pool.shape[lead + i - 3 + dims] = count
    return 0


cdef int adaptive_windows(Pool *pool, tuple shape, object output_size) except -1:
    """Fill in `pool` for windows that share out the input: all of one size where that divides it."""
    cdef int i, lead = pooled_axes(pool, shape, output_size, "output_size"), dims = pool.dims
    cdef bint several = isinstance(output_size, (tuple, list)), some = True
    for i in range(3 - dims, 3):
        size = output_size[i - 3 + dims] if several else output_size
        if size is None:
            pool.y_shape[i] = pool.x_shape[i]
        else:
            number(size, "output_size", 0, pool.y_shape + i)
        pool.shape[lead + i - 3 + dims] = pool.y_shape[i]
        some = some and pool.y_shape[i] != 0
    for i in range(3):
        if some and pool.x_shape[i] == 0:
            raise ValueError(f"x must have at least one element along each pooled axis, got shape {shape}")
        pool.adaptive = pool.adaptive or pool.y_shape[i] == 0 or pool.x_shape[i] % pool.y_shape[i] != 0
    for i in range(3 if not pool.adaptive else 0):
        pool.kernel[i] = pool.stride[i] = pool.x_shape[i] // pool.y_shape[i]
    if not pool.adaptive:
        pool.divisor = volume(pool.kernel)
    return 0


cdef inline double volume(const size_t *shape) noexcept:
    return <double>shape[0] * <double>shape[1] * <double>shape[2]


cdef int averages(Pool *pool, bint count_include_pad, object divisor_override) except -1:
    """What the windows of `pool` divide by."""
    cdef int i
    cdef bint alike = True
    pool.count_padding = count_include_pad
    if divisor_override is not None:
        try:
            pool.divisor = index(divisor_override)
        except TypeError:
            raise TypeError(f"divisor_override must be an integer or None, got {divisor_override!r}") from None
        if pool.divisor == 0:
            raise ValueError("divisor_override must not be 0")
        return 0
    for i in range(3):
        alike = alike and (count_include_pad or pool.padding[i] == 0)
        alike = alike and (pool.y_shape[i] - 1) * pool.stride[i] + pool.kernel[i] <= pool.x_shape[i] + 2 * pool.padding[i]
    pool.divisor = volume(pool.kernel) if alike else 0
    return 0


cdef int same_windows(Pool *pool, cnp.ndarray a, str name) except -1:
    """ValueError unless `a` has y's shape."""
    cdef int i
    cdef bint fits = cnp.PyArray_NDIM(a) == pool.ndim
    for i in range(pool.ndim if fits else 0):
        fits = fits and cnp.PyArray_DIM(a, i) == pool.shape[i]
    if not fits:
        raise ValueError(f"{name} must have the output's shape {tuple([pool.shape[i] for i in range(pool.ndim)])}, got {np.shape(a)}")
    return 0


# --- launching ---

cdef inline double work(Pool *pool) noexcept:
    """Cycles, about."""
    return pool.planes * (volume(pool.y_shape) * (1 + 0.3 * volume(pool.kernel)) + (2 * volume(pool.x_shape) if pool.adaptive else 0))


cdef void describe(fnn_pool_args *args, Pool *pool) noexcept:
    cdef int i
    args.planes, args.divisor, args.count_padding, args.adaptive = pool.planes, pool.divisor, pool.count_padding, pool.adaptive
    for i in range(3):
        args.x_shape[i], args.y_shape[i], args.kernel[i] = pool.x_shape[i], pool.y_shape[i], pool.kernel[i]
        args.stride[i], args.padding[i], args.dilation[i] = pool.stride[i], pool.padding[i], pool.dilation[i]


cdef cnp.ndarray pooled(fnn_kernel *kernel, Pool *pool, cnp.ndarray a, cnp.ndarray winners, cnp.ndarray flat, object out):
    cdef fnn_pool_args args
    cdef cnp.ndarray y = target(out, pool.ndim, pool.shape, cnp.PyArray_TYPE(a), a, None, False)
    describe(&args, pool)
    args.y, args.x = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a)
    args.winners = NULL if winners is None else cnp.PyArray_DATA(winners)
    args.flat = NULL if flat is None else cnp.PyArray_DATA(flat)
    launch(kernel[dtype_index(a)], &args, sizeof(args), work(pool))
    return y


cdef object spread(fnn_kernel *kernel, Pool *pool, tuple shape, cnp.ndarray g, cnp.ndarray winners, cnp.ndarray flat, object out):
    """dx, of x's shape."""
    cdef fnn_pool_backward_args args
    cdef cnp.npy_intp x_shape[64]
    cdef cnp.ndarray dx
    cdef int i
    for i in range(pool.ndim):
        x_shape[i] = shape[i]
    dx = target(out, pool.ndim, x_shape, cnp.PyArray_TYPE(g), g, None, False)
    args.dx, args.dy = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g)
    args.winners = NULL if winners is None else cnp.PyArray_DATA(winners)
    args.flat = NULL if flat is None else cnp.PyArray_DATA(flat)
    args.planes, args.divisor, args.adaptive = pool.planes, pool.divisor, pool.adaptive
    for i in range(3):
        args.x_shape[i], args.y_shape[i], args.kernel[i] = pool.x_shape[i], pool.y_shape[i], pool.kernel[i]
        args.stride[i], args.padding[i], args.dilation[i] = pool.stride[i], pool.padding[i], pool.dilation[i]
    launch(kernel[dtype_index(g)], &args, sizeof(args), work(pool) + 0.5 * pool.planes * volume(pool.x_shape))
    return deliver(dx, out)


cdef tuple shape_of(object shape):
    """x's shape, for a backward."""
    try:
        sizes = tuple([index(n) for n in shape])
    except TypeError:
        raise TypeError(f"shape must be the shape of the forward's x, a tuple of integers, got {type(shape).__name__}") from None
    if len(sizes) > 64 or any(not 0 <= n < 2**63 for n in sizes):
        raise ValueError(f"shape must be the shape of the forward's x, got {sizes}")
    return sizes


# --- maxima ---

cdef tuple maxima(Pool *pool, cnp.ndarray a, object indices, object out):
    cdef cnp.ndarray winners = None, flat = None, y
    cdef cnp.npy_intp bytes_of[2]
    if indices is not None and indices != "flat" and indices != "window":
        raise ValueError(f"indices must be None, 'flat' or 'window', got {indices!r}")
    if indices == "window" and not pool.adaptive and volume(pool.kernel) <= 255:
        bytes_of[0], bytes_of[1] = pool.planes, <cnp.npy_intp>volume(pool.y_shape) + SLACK
        winners = new(2, bytes_of, cnp.NPY_UINT8)
    elif indices is not None:
        flat = new(pool.ndim, pool.shape, cnp.NPY_INT64)
    y = pooled(kernels.max_pool_forward, pool, a, winners, flat, out)
    return deliver(y, out), winners if flat is None else flat


cdef object spread_maxima(Pool *pool, tuple shape, object dy, object indices, object out):
    cdef cnp.ndarray g = real(dy, "dy"), winners = None, flat = None
    cdef fnn_check_args check
    same_windows(pool, g, "dy")
    if isinstance(indices, np.ndarray) and indices.dtype == np.uint8:
        winners = indices
        if (pool.adaptive or volume(pool.kernel) > 255 or not PyArray_ISCARRAY_RO(winners)
                or np.shape(winners) != (pool.planes, <size_t>volume(pool.y_shape) + SLACK)):
            raise ValueError(f"indices must be as the forward returned them for dy of shape {np.shape(g)}, got shape {np.shape(winners)}")
        keep(winners)
    else:
        flat = integers(indices, "indices")
        same_windows(pool, flat, "indices")
        check.x, check.n, check.classes, check.ignore = cnp.PyArray_DATA(flat), cnp.PyArray_SIZE(flat), <size_t>volume(pool.x_shape), -1
        bad = launch_check(kernels.check_labels[0], &check)
        if bad:
            raise ValueError(f"indices must be from 0 to {<size_t>volume(pool.x_shape) - 1}, or -1, got {flat.ravel()[bad - 1]}")
    return spread(kernels.max_pool_backward, pool, shape, g, winners, flat, out)


def max_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, indices=None, out=None):
    """(y, indices): the maximum of each window; NaN where it has one.

    stride: None is kernel_size. padding: at most half of kernel_size, of -inf. ceil_mode: also the windows that end behind the padded input,
    if they begin before its right padding. indices: None gives None; "flat" the position of each maximum in its plane of x, the first of equal
    ones and the last NaN, int64; "window" what max_pool_backward reads fastest. Raises ValueError where no window fits.
    """
    cdef Pool pool
    cdef cnp.ndarray a = real(x, "x")
    windows(&pool, np.shape(a), kernel_size, stride, padding, dilation, ceil_mode)
    return maxima(&pool, a, indices, out)


def max_pool_backward(dy, indices, shape, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, out=None):
    """dx, of x's `shape`: dy at the positions of the maxima, added where windows share one. indices: as max_pool gave them, with the same options."""
    cdef Pool pool
    cdef tuple sizes = shape_of(shape)
    windows(&pool, sizes, kernel_size, stride, padding, dilation, ceil_mode)
    return spread_maxima(&pool, sizes, dy, indices, out)


def adaptive_max_pool(x, output_size, indices=None, out=None):
    """(y, indices) as max_pool; y has output_size (None: x's) along the pooled axes, window o from floor(o size / n) to ceil((o + 1) size / n)."""
    cdef Pool pool
    cdef cnp.ndarray a = real(x, "x")
    adaptive_windows(&pool, np.shape(a), output_size)
    return maxima(&pool, a, indices, out)


def adaptive_max_pool_backward(dy, indices, shape, output_size, out=None):
    """dx, of x's `shape`. indices: as adaptive_max_pool gave them."""
    cdef Pool pool
    cdef tuple sizes = shape_of(shape)
    adaptive_windows(&pool, sizes, output_size)
    return spread_maxima(&pool, sizes, dy, indices, out)


# --- averages ---

cdef object spread_averages(Pool *pool, tuple shape, object dy, object out):
    cdef cnp.ndarray g = real(dy, "dy")
    same_windows(pool, g, "dy")
    if pool.divisor == 0:
        g = pooled(kernels.avg_pool_quotients, pool, g, None, None, None)
        pool.divisor = 1
    return spread(kernels.avg_pool_backward, pool, shape, g, None, None, out)


def avg_pool(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None, out=None):
    """y: the average of each window.

    stride, padding (of zeros), ceil_mode: as in max_pool. It is the sum over the number of elements, those in the padding included where
    count_include_pad, or over divisor_override. Raises ValueError where no window fits.
    """
    cdef Pool pool
    cdef cnp.ndarray a = real(x, "x")
    windows(&pool, np.shape(a), kernel_size, stride, padding, 1, ceil_mode)
    averages(&pool, count_include_pad, divisor_override)
    return deliver(pooled(kernels.avg_pool_forward, &pool, a, None, None, out), out)


def avg_pool_backward(dy, shape, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None, out=None):
    """dx, of x's `shape`: each dy over its divisor, added to its window. Options as avg_pool's."""
    cdef Pool pool
    cdef tuple sizes = shape_of(shape)
    windows(&pool, sizes, kernel_size, stride, padding, 1, ceil_mode)
    averages(&pool, count_include_pad, divisor_override)
    return spread_averages(&pool, sizes, dy, out)


def adaptive_avg_pool(x, output_size, out=None):
    """y: averages; its windows are those of adaptive_max_pool."""
    cdef Pool pool
    cdef cnp.ndarray a = real(x, "x")
    adaptive_windows(&pool, np.shape(a), output_size)
    return deliver(pooled(kernels.avg_pool_forward, &pool, a, None, None, out), out)


def adaptive_avg_pool_backward(dy, shape, output_size, out=None):
    """dx, of x's `shape`."""
    cdef Pool pool
    cdef tuple sizes = shape_of(shape)
    adaptive_windows(&pool, sizes, output_size)
    return spread_averages(&pool, sizes, dy, out)


# --- powers ---

def power(x, exponent, scale=1.0, out=None):
    """(scale x)^exponent, as C's pow, up to 2 + |exponent| / 2 ULP (square roots of -0 and -inf are -0 and NaN)."""
    return forward(kernels.power_forward, x, out, exponent, scale, 3)


def power_backward(dy, x, exponent, scale=1.0, out=None):
    """dy exponent scale (scale x)^(exponent - 1)."""
    return backward(kernels.power_backward, dy, x, out, exponent, scale, 3)


cdef tuple lp_window(object kernel_size, tuple shape, object norm_type):
    """(elements of a window, norm_type), checked."""
    cdef Pool pool
    cdef double p
    pooled_axes(&pool, shape, kernel_size, "kernel_size")
    numbers(kernel_size, "kernel_size", 1, pool.dims, pool.kernel)
    try:
        p = norm_type
    except TypeError:
        raise TypeError(f"norm_type must be a number, got {norm_type!r}") from None
    if not 0 < abs(p) < 1e300:
        raise ValueError(f"norm_type must be a finite number other than 0, got {norm_type!r}")
    return volume(pool.kernel), p


def lp_pool(x, norm_type, kernel_size, stride=None, ceil_mode=False):
    """(y, mean): y = (n mean)^(1 / norm_type), mean: of x^norm_type over each window, n: the elements of a whole one.

    So y is the root of the sum, and in windows that ceil_mode cuts off of the sum they would have. Powers as in `power`: a negative sum has
    no root but with norm_type 1.
    """
    cdef cnp.ndarray a = real(x, "x")
    n, p = lp_window(kernel_size, np.shape(a), norm_type)
    mean = avg_pool(power(a, p), kernel_size, stride, 0, ceil_mode)
    return power(mean, 1 / p, n), mean


def lp_pool_backward(dy, x, mean, norm_type, kernel_size, stride=None, ceil_mode=False):
    """dx of lp_pool; 0 from windows whose mean is 0. mean: as the forward returned it."""
    cdef cnp.ndarray a = real(x, "x")
    n, p = lp_window(kernel_size, np.shape(a), norm_type)
    dmean = backward(kernels.lp_root_backward, dy, mean, None, 1 / p, n, 3, "mean")
    return power_backward(avg_pool_backward(dmean, np.shape(a), kernel_size, stride, 0, ceil_mode), a, p)
