"""Sums, products, copies and concatenation of arrays, with NumPy's broadcasting. Formulas: fastnn.reference.elementwise.

Operands may have any strides: views cost no copy. Each backward sums a gradient over the axes along which its operand was broadcast.
"""
cimport numpy as cnp
from libc.stddef cimport ptrdiff_t
from libc.string cimport memcpy
from fastnn.kernels._arrays cimport deliver, dtype_index, new, real, same_dtype, strided, target
from fastnn.kernels._core cimport kernels, launch, launch_shares, shares
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._table cimport fnn_map_args, fnn_strided_args, fnn_sum_axis_args

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    bint PyArray_IS_C_CONTIGUOUS(cnp.ndarray)


cdef enum:
    SHORT_ROW = 16  # elements, below which the work for each row outweighs that for its elements


cdef struct Walk:
    # The axes of a result and the strides, in elements, of the result y and of two operands along them.
    int ndim
    cnp.npy_intp shape[64]
    ptrdiff_t y[64]
    ptrdiff_t a[64]
    ptrdiff_t b[64]


cdef int strides_along(ptrdiff_t *strides, Walk *walk, cnp.ndarray x) except -1:
    """x's strides, 0 where it is broadcast; ValueError where it does not fit."""
    cdef int i, lead = walk.ndim - cnp.PyArray_NDIM(x)
    for i in range(walk.ndim):
        strides[i] = 0
        if i >= lead and cnp.PyArray_DIM(x, i - lead) != 1:
            strides[i] = cnp.PyArray_STRIDE(x, i - lead) // cnp.PyArray_ITEMSIZE(x)
    return 0


cdef void join(Walk *walk) noexcept:
    """Make one axis of neighbours that every array steps through as one."""
    cdef int i, n = 0
    for i in range(walk.ndim):
        if walk.shape[i] == 1:
            continue
        if n and (walk.y[n - 1] == walk.y[i] * walk.shape[i] and walk.a[n - 1] == walk.a[i] * walk.shape[i]
                  and walk.b[n - 1] == walk.b[i] * walk.shape[i]):
            walk.shape[n - 1] *= walk.shape[i]
        else:
            walk.shape[n] = walk.shape[i]
            n += 1
        walk.y[n - 1], walk.a[n - 1], walk.b[n - 1] = walk.y[i], walk.a[i], walk.b[i]
    walk.ndim = n


cdef int run(fnn_kernel *kernel, Walk *walk, int dtype, void *y, void *a, void *b, bint in_place) except -1:
    """Launch over walk's axes. -1 without an exception cannot be."""
    cdef fnn_strided_args args
    cdef int i, n
    cdef double size = 1
    join(walk)
    n = walk.ndim
    if n > 4:
        return run_slices(kernel, walk, n, dtype, y, a, b, in_place)
    for i in range(n):
        size *= walk.shape[i]
    for i in range(4):
        args.shape[i] = 1
        args.y_stride[i] = args.a_stride[i] = args.b_stride[i] = 0
    for i in range(n):
        args.shape[4 - n + i] = walk.shape[i]
        args.y_stride[4 - n + i], args.a_stride[4 - n + i], args.b_stride[4 - n + i] = walk.y[i], walk.a[i], walk.b[i]
    args.y, args.a, args.b = y, a, b
    if in_place:
        return launch_shares(kernel[dtype], &args, sizeof(args), shares(size), size, False)
    return launch(kernel[dtype], &args, sizeof(args), size)


cdef int run_slices(fnn_kernel *kernel, Walk *walk, int n, int dtype, void *y, void *a, void *b, bint in_place) except -1:
    """More than four axes remain: one launch for each index of the first."""
    cdef Walk rest
    cdef cnp.npy_intp k
    cdef int i
    cdef ptrdiff_t item = 4 if dtype == 0 else 8
    for k in range(walk.shape[0]):
        rest.ndim = n - 1
        for i in range(n - 1):
            rest.shape[i], rest.y[i], rest.a[i], rest.b[i] = walk.shape[i + 1], walk.y[i + 1], walk.a[i + 1], walk.b[i + 1]
        run(kernel, &rest, dtype, <char *>y + k * walk.y[0] * item, <char *>a + k * walk.a[0] * item,
            <char *>b + k * walk.b[0] * item, in_place)
    return 0


cdef int broadcast(Walk *walk, cnp.ndarray a, cnp.ndarray b) except -1:
    """The common shape of a and b."""
    cdef int i, j, k
    cdef cnp.npy_intp p, q
    walk.ndim = max(cnp.PyArray_NDIM(a), cnp.PyArray_NDIM(b))
    for i in range(walk.ndim):
        j, k = i - walk.ndim + cnp.PyArray_NDIM(a), i - walk.ndim + cnp.PyArray_NDIM(b)
        p = cnp.PyArray_DIM(a, j) if j >= 0 else 1
        q = cnp.PyArray_DIM(b, k) if k >= 0 else 1
        if p != q and p != 1 and q != 1:
            raise ValueError(f"a and b must have shapes that broadcast, got {np.shape(a)} and {np.shape(b)}")
        walk.shape[i] = q if p == 1 else p
    return 0


cdef inline bint plain(cnp.ndarray x, cnp.ndarray like) noexcept:
    return PyArray_IS_C_CONTIGUOUS(x) and cnp.PyArray_SAMESHAPE(x, like)


cdef object binary(fnn_kernel *kernel, object a, object b, object out):
    cdef cnp.ndarray p = strided(a, "a"), q = strided(b, "b"), y
    cdef Walk walk
    same_dtype(p, "a", q, "b")
    broadcast(&walk, p, q)
    y = target(out, walk.ndim, walk.shape, cnp.PyArray_TYPE(p), p, q, plain(p, q) and plain(q, p))
    strides_along(walk.y, &walk, y)
    strides_along(walk.a, &walk, p)
    strides_along(walk.b, &walk, q)
    run(kernel, &walk, dtype_index(p), cnp.PyArray_DATA(y), cnp.PyArray_DATA(p), cnp.PyArray_DATA(q), False)
    return deliver(y, out)


# --- sums and products ---

def add(a, b, out=None):
    """a + b, broadcast as NumPy does. Arrays of one dtype; ValueError where the shapes do not broadcast."""
    return binary(kernels.add, a, b, out)


def add_backward(dy, a, b):
    """(da, db): dy summed to the shapes of a and b. A gradient that needs no sum is dy itself."""
    return sum_to(dy, np.shape(a)), sum_to(dy, np.shape(b))


def add_(y, x):
    """y += x in place; x broadcasts to y's shape. Returns y."""
    cdef cnp.ndarray p = strided(y, "y"), q = strided(x, "x")
    cdef Walk walk
    if p is not y or not cnp.PyArray_ISWRITEABLE(p):
        raise TypeError("y must be a writeable, aligned, native float32 or float64 ndarray")
    same_dtype(p, "y", q, "x")
    broadcast(&walk, p, q)
    if walk.ndim != cnp.PyArray_NDIM(p) or not same_shape_as(&walk, p):
        raise ValueError(f"x must broadcast to y's shape {np.shape(p)}, got {np.shape(q)}")
    if not (plain(p, q) and plain(q, p) and cnp.PyArray_DATA(p) == cnp.PyArray_DATA(q)) and np.may_share_memory(p, q):
        q = copy(q)
    strides_along(walk.y, &walk, p)
    strides_along(walk.b, &walk, q)
    memcpy(walk.a, walk.y, sizeof(walk.y))
    run(kernels.add, &walk, dtype_index(p), cnp.PyArray_DATA(p), cnp.PyArray_DATA(p), cnp.PyArray_DATA(q), True)
    return y


cdef bint same_shape_as(Walk *walk, cnp.ndarray x) noexcept:
    cdef int i
    for i in range(walk.ndim):
        if walk.shape[i] != cnp.PyArray_DIM(x, i):
            return False
    return True


def multiply(a, b, out=None):
    """a b, element by element, broadcast as NumPy does. Arrays of one dtype; ValueError where the shapes do not broadcast."""
    return binary(kernels.multiply, a, b, out)


def multiply_backward(dy, a, b):
    """(da, db): dy b and dy a, summed to the shapes of a and b."""
    return sum_to(multiply(dy, b), np.shape(a)), sum_to(multiply(dy, a), np.shape(b))


def scale(x, s, out=None):
    """s x for a number s, which is rounded to x's dtype first."""
    cdef cnp.ndarray a = real(x, "x")
    cdef cnp.ndarray y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    cdef fnn_map_args args
    args.y, args.x, args.n, args.p, args.q = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), cnp.PyArray_SIZE(a), s, 0
    launch(kernels.scale[dtype_index(a)], &args, sizeof(args), 0.5 * args.n)
    return deliver(y, out)


def scale_backward(dy, s, out=None):
    """s dy."""
    return scale(dy, s, out)


# --- copies ---

def copy(x, out=None):
    """A C-ordered copy of x, or x written into `out`, which may have any strides."""
    cdef cnp.ndarray a = strided(x, "x"), y
    cdef Walk walk
    cdef int i
    walk.ndim = cnp.PyArray_NDIM(a)
    for i in range(walk.ndim):
        walk.shape[i] = cnp.PyArray_DIM(a, i)
    if out is not None and not np.may_share_memory(a, out):
        y = strided(out, "out")
        if y is out and cnp.PyArray_ISWRITEABLE(y) and cnp.PyArray_SAMESHAPE(y, a) and cnp.PyArray_TYPE(y) == cnp.PyArray_TYPE(a):
            return copied(&walk, y, a)
    y = target(out, walk.ndim, walk.shape, cnp.PyArray_TYPE(a), a, None, False)
    return deliver(copied(&walk, y, a), out)


cdef void move_axis(Walk *walk, int source, int to) noexcept:
    """Take the axis `source` out and put it back as the axis `to`."""
    cdef cnp.npy_intp n = walk.shape[source]
    cdef ptrdiff_t y = walk.y[source], a = walk.a[source], b = walk.b[source]
    cdef int step = 1 if to > source else -1
    while source != to:
        walk.shape[source] = walk.shape[source + step]
        walk.y[source], walk.a[source], walk.b[source] = walk.y[source + step], walk.a[source + step], walk.b[source + step]
        source += step
    walk.shape[to], walk.y[to], walk.a[to], walk.b[to] = n, y, a, b


cdef void reorder(Walk *walk) noexcept:
    """A copy may take its elements in any order: no short rows while there are longer ones, and few slices of more than four axes."""
    cdef int i, best, last
    join(walk)
    last = best = walk.ndim - 1
    if last < 1:
        return
    if walk.shape[last] < SHORT_ROW:
        for i in range(last):
            if (walk.y[i] == 1 or walk.a[i] == 1) and walk.shape[i] > walk.shape[best]:
                best = i
        move_axis(walk, best, last)
    for first in range(walk.ndim - 4):
        best = first
        for i in range(first, last):
            if walk.shape[i] < walk.shape[best]:
                best = i
        move_axis(walk, best, first)


cdef cnp.ndarray copied(Walk *walk, cnp.ndarray y, cnp.ndarray x):
    strides_along(walk.y, walk, y)
    strides_along(walk.a, walk, x)
    memcpy(walk.b, walk.a, sizeof(walk.a))
    reorder(walk)
    run(kernels.copy, walk, dtype_index(x), cnp.PyArray_DATA(y), cnp.PyArray_DATA(x), cnp.PyArray_DATA(x), False)
    return y


cdef int checked_axis(object axis, int ndim) except -1:
    cdef object i = axis
    if not -ndim <= i < ndim:
        raise ValueError(f"axis must be between {-ndim} and {ndim - 1}, got {axis}")
    return i + ndim if i < 0 else i


def concatenate(arrays, axis=-1):
    """The arrays, which agree in dtype and in all axes but `axis`, joined along it. Returns a new C-ordered array."""
    cdef list parts = [strided(x, f"arrays[{i}]") for i, x in enumerate(arrays)]
    cdef cnp.npy_intp shape[64]
    cdef cnp.ndarray first, y, x
    cdef Walk walk
    cdef int i, along, ndim
    cdef cnp.npy_intp at = 0, step
    if not parts:
        raise ValueError("arrays must hold at least one array, got none")
    first = parts[0]
    ndim = cnp.PyArray_NDIM(first)
    along = checked_axis(axis, ndim)
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(first, i)
    shape[along] = 0
    for k, part in enumerate(parts):
        x = part
        same_dtype(first, "arrays[0]", x, f"arrays[{k}]")
        fits = cnp.PyArray_NDIM(x) == ndim
        for i in range(ndim if fits else 0):
            fits = fits and (i == along or cnp.PyArray_DIM(x, i) == shape[i])
        if not fits:
            raise ValueError(f"arrays[{k}] must have arrays[0]'s shape {np.shape(first)} but along axis {along}, got {np.shape(x)}")
        shape[along] += cnp.PyArray_DIM(x, along)
    y = new(ndim, shape, cnp.PyArray_TYPE(first))
    step = cnp.PyArray_STRIDE(y, along)
    for part in parts:
        x = part
        copy_slice(&walk, y, x, <char *>cnp.PyArray_DATA(y) + at * step, <char *>cnp.PyArray_DATA(x), x)
        at += cnp.PyArray_DIM(x, along)
    return y


cdef int copy_slice(Walk *walk, cnp.ndarray y, cnp.ndarray x, char *to, char *source, cnp.ndarray shaped) except -1:
    """Copy shaped's shape from `source`, within x, to `to`, within y."""
    cdef int i
    walk.ndim = cnp.PyArray_NDIM(shaped)
    for i in range(walk.ndim):
        walk.shape[i] = cnp.PyArray_DIM(shaped, i)
        walk.y[i] = cnp.PyArray_STRIDE(y, i) // cnp.PyArray_ITEMSIZE(y)
        walk.a[i] = walk.b[i] = cnp.PyArray_STRIDE(x, i) // cnp.PyArray_ITEMSIZE(x)
    return run(kernels.copy, walk, dtype_index(y), to, source, source, False)


def concatenate_backward(dy, sizes, axis=-1):
    """The pieces of dy along `axis` that have these sizes, as a list of C-ordered arrays. ValueError unless they add up."""
    cdef cnp.ndarray g = strided(dy, "dy"), x
    cdef cnp.npy_intp shape[64]
    cdef Walk walk
    cdef int i, along = checked_axis(axis, cnp.PyArray_NDIM(g))
    cdef cnp.npy_intp at = 0
    if sum(sizes) != cnp.PyArray_DIM(g, along):
        raise ValueError(f"sizes must add up to dy's size {g.shape[along]} along axis {along}, got {tuple(sizes)}")
    for i in range(cnp.PyArray_NDIM(g)):
        shape[i] = cnp.PyArray_DIM(g, i)
    pieces = []
    for size in sizes:
        shape[along] = size
        x = new(cnp.PyArray_NDIM(g), shape, cnp.PyArray_TYPE(g))
        copy_slice(&walk, x, g, <char *>cnp.PyArray_DATA(x), <char *>cnp.PyArray_DATA(g) + at * cnp.PyArray_STRIDE(g, along), x)
        pieces.append(x)
        at += size
    return pieces


# --- sums over axes ---

def sum_to(x, shape):
    """x summed over the axes along which an array of `shape` would be broadcast to x's shape. x itself where there is none.

    Raises ValueError if `shape` does not broadcast to x's.
    """
    cdef cnp.ndarray a = real(x, "x"), y
    cdef tuple wanted = tuple(shape)
    cdef cnp.npy_intp dims[64]
    cdef int ndim = cnp.PyArray_NDIM(a), lead = ndim - len(wanted), i, j
    cdef fnn_sum_axis_args args
    cdef double cycles
    if lead == 0 and wanted == np.shape(a):
        return a
    fits = lead >= 0
    for i in range(lead, ndim if fits else 0):
        fits = fits and (wanted[i - lead] == 1 or wanted[i - lead] == cnp.PyArray_DIM(a, i))
    if not fits:
        raise ValueError(f"shape must broadcast to x's shape {np.shape(a)}, got {wanted}")
    for i in range(ndim):
        dims[i] = cnp.PyArray_DIM(a, i)
    i = ndim
    while i > 0:  # runs of neighbouring axes to be summed, from the last to the first
        i -= 1
        if i >= lead and wanted[i - lead] == dims[i]:
            continue
        j = i
        while j > 0 and (j - 1 < lead or wanted[j - 1 - lead] != dims[j - 1]):
            j -= 1
        args.outer = args.n = args.inner = 1
        for k in range(ndim):
            if k < j:
                args.outer *= dims[k]
            elif k <= i:
                args.n *= dims[k]
                dims[k] = 1
            else:
                args.inner *= dims[k]
        y = new(ndim, dims, cnp.PyArray_TYPE(a))
        args.y, args.x, args.accumulate = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), 0
        cycles = 0.3 * cnp.PyArray_SIZE(a)
        launch(kernels.sum_axis[dtype_index(a)], &args, sizeof(args), cycles)
        a, i = y, j
    return a if lead == 0 else a.reshape(wanted)
