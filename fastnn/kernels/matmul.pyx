"""Matrix products: matmul, linear and its backward. Formulas: fastnn.reference.matmul; the arithmetic: csrc/gemm.

Operands may have any strides: a transposed view costs no copy. Each element of a product is one chain of fused multiply-adds over
the inner dimension in ascending order, so a row's result does not depend on the rows beside it.
"""
cimport numpy as cnp
from libc.stddef cimport ptrdiff_t
from fastnn.kernels._arrays cimport deliver, dtype_index, new, real, same_dtype, strided, target
from fastnn.kernels._core cimport Scratch, borrow, fine_shares, gemm_scratch, give_back, keep, kernels, launch, launch_shares
from fastnn.kernels._table cimport fnn_gemm_args, fnn_peak_args, fnn_sum_rows_args
from fastnn.kernels.activation cimport Map, activation_map

import numpy as np

from fastnn.kernels._core import instruction_set

cnp.import_array()


cdef struct Matrix:
    # A two-dimensional view: element (i, j) is data[i row + j col].
    void *data
    ptrdiff_t rows, cols, row, col


cdef inline Matrix matrix(cnp.ndarray x) noexcept:
    """The last two axes of x."""
    cdef int n = cnp.PyArray_NDIM(x)
    cdef ptrdiff_t size = cnp.PyArray_ITEMSIZE(x)
    return Matrix(cnp.PyArray_DATA(x), cnp.PyArray_DIM(x, n - 2), cnp.PyArray_DIM(x, n - 1),
                  cnp.PyArray_STRIDE(x, n - 2) // size, cnp.PyArray_STRIDE(x, n - 1) // size)


cdef inline Matrix rows_of(cnp.ndarray x) noexcept:
    """A C-ordered array as a matrix of its last axis' rows; one-dimensional: one row."""
    cdef ptrdiff_t cols = cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1), rows = 1
    cdef int i
    for i in range(cnp.PyArray_NDIM(x) - 1):
        rows *= cnp.PyArray_DIM(x, i)
    return Matrix(cnp.PyArray_DATA(x), rows, cols, cols, 1)


cdef inline Matrix transposed(Matrix x) noexcept:
    return Matrix(x.data, x.cols, x.rows, x.col, x.row)


cdef void operands(fnn_gemm_args *args, Matrix c, Matrix a, Matrix b) noexcept:
    """Fill in C = A B, with no batch, bias or activation."""
    args.c, args.a, args.b = c.data, a.data, b.data
    args.bias = args.scratch = NULL
    args.offsets = NULL
    args.batch, args.m, args.n, args.k = 1, c.rows, c.cols, a.cols
    args.c_row, args.c_col, args.a_row, args.a_col, args.b_row, args.b_col = c.row, c.col, a.row, a.col, b.row, b.col
    args.bias_row = args.bias_col = 0
    args.alpha, args.beta = 1, 0
    args.activation = NULL
    args.p = args.q = 0
    args.b_packed = 0


cdef int multiply(fnn_gemm_args *args, int dtype) except -1:
    """Launch the product, with scratch memory where it needs some."""
    # multiply-adds, and numbers of A and B to be read
    cdef double work = <double>args.m * args.n * (args.k + 8) + 4 * (<double>args.m + args.n) * args.k
    cdef double cycles = 500 + args.batch * work / (24 if dtype == 0 else 12)
    cdef size_t parts = fine_shares(cycles), size = gemm_scratch(args, dtype, parts)
    cdef Scratch scratch
    if size == 0:
        return launch_shares(kernels.gemm[dtype], args, sizeof(args[0]), parts, cycles, True)
    scratch = borrow(size * parts)
    args.scratch = scratch.data
    launch_shares(kernels.gemm[dtype], args, sizeof(args[0]), parts, cycles, True)
    return give_back(scratch)


cdef object batch_offsets(tuple batch, cnp.ndarray c, cnp.ndarray a, cnp.ndarray b):
    """The element offsets, batch by 3, of every matrix of c, a and b; a and b broadcast over the shape `batch`."""
    offsets = np.zeros(batch + (3,), np.intp)
    for operand, x in enumerate((c, a, b)):
        lead = x.ndim - 2
        for axis in range(lead):
            if x.shape[axis] > 1:
                along = np.arange(x.shape[axis]) * (x.strides[axis] // x.itemsize)
                offsets[..., operand] += along.reshape((-1,) + (1,) * (lead - axis - 1))
    return offsets.reshape(-1, 3)


def matmul(a, b, out=None):
    """The matrix product a @ b, batched and broadcast as numpy.matmul does.

    a: (…, m, k) or (k,); b: (…, k, n) or (k,), of a's dtype. Returns (…, m, n), without the axis of a one-dimensional operand.
    Raises ValueError if the inner dimensions differ or the leading ones do not broadcast, TypeError if the dtypes differ.
    """
    cdef cnp.ndarray x = strided(a, "a"), y = strided(b, "b"), z
    cdef fnn_gemm_args args
    cdef cnp.npy_intp shape[64]
    cdef int ndim = 0
    cdef tuple batch = ()
    same_dtype(x, "a", y, "b")
    if x.ndim == 0 or y.ndim == 0:
        raise ValueError(f"a and b must have at least one dimension, got shapes {np.shape(x)} and {np.shape(y)}")
    cdef bint row = x.ndim == 1, column = y.ndim == 1
    if row:
        x = x[None, :]
    if column:
        y = y[:, None]
    cdef Matrix mx = matrix(x), my = matrix(y)
    if mx.cols != my.rows:
        raise ValueError(f"a's last dimension must equal b's {'only' if column else 'last but one'}, got shapes {np.shape(a)} and {np.shape(b)}")
    if x.ndim > 2 or y.ndim > 2:
        try:
            batch = np.broadcast_shapes(np.shape(x)[:-2], np.shape(y)[:-2])
        except ValueError:
            raise ValueError(f"a's and b's leading dimensions must broadcast, got shapes {np.shape(a)} and {np.shape(b)}") from None
    if len(batch) > 30:
        raise ValueError(f"a and b must have at most 32 dimensions, got {len(batch) + 2}")
    for size in batch:
        shape[ndim] = size
        ndim += 1
    if not row:
        shape[ndim] = mx.rows
        ndim += 1
    if not column:
        shape[ndim] = my.cols
        ndim += 1
    result = target(out, ndim, shape, cnp.PyArray_TYPE(x), x, y, False)
    z = result.reshape(batch + (mx.rows, my.cols)) if row or column else result
    operands(&args, matrix(z), mx, my)
    offsets = None
    if batch:
        offsets = batch_offsets(batch, z, x, y)
        keep(offsets)
        args.batch = len(offsets)
        args.offsets = <const ptrdiff_t *>cnp.PyArray_DATA(<cnp.ndarray>offsets)
    if args.batch:
        multiply(&args, dtype_index(x))
    return deliver(result, out)


# --- linear ---

cdef int check_weight(cnp.ndarray x, cnp.ndarray weight) except -1:
    same_dtype(x, "x", weight, "weight")
    if cnp.PyArray_NDIM(weight) != 2:
        raise ValueError(f"weight must have shape (out, in), got {np.shape(weight)}")
    if cnp.PyArray_NDIM(x) == 0 or cnp.PyArray_DIM(x, cnp.PyArray_NDIM(x) - 1) != cnp.PyArray_DIM(weight, 1):
        raise ValueError(f"x must have shape (…, {weight.shape[1]}) for a weight of shape {np.shape(weight)}, got {np.shape(x)}")
    return 0


def linear(x, weight, bias=None, activation=None, out=None):
    """activation(x weightᵀ + bias).

    x: (…, in); weight: (out, in), in any memory order, fastest where weight.T is C-ordered; bias: (out,) or None; activation: None
    or the name of an element-wise one, which then has its default parameters. Returns (…, out). Raises ValueError or TypeError where
    shapes or dtypes do not fit.
    """
    cdef cnp.ndarray a = real(x, "x"), w = strided(weight, "weight"), b, y
    cdef fnn_gemm_args args
    cdef Map map
    cdef cnp.npy_intp shape[64]
    cdef int i, ndim = cnp.PyArray_NDIM(a), dtype = dtype_index(a)
    check_weight(a, w)
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(a, i)
    shape[ndim - 1] = cnp.PyArray_DIM(w, 0)
    y = target(out, ndim, shape, cnp.PyArray_TYPE(a), a, w, False)
    operands(&args, rows_of(y), rows_of(a), transposed(matrix(w)))
    if bias is not None:
        b = real(bias, "bias")
        same_dtype(a, "x", b, "bias")
        if cnp.PyArray_NDIM(b) != 1 or cnp.PyArray_DIM(b, 0) != cnp.PyArray_DIM(w, 0):
            raise ValueError(f"bias must have shape ({w.shape[0]},), got {np.shape(b)}")
        args.bias, args.bias_col = cnp.PyArray_DATA(b), 1
    if activation is not None:
        map = activation_map(activation, dtype)
        args.activation, args.p, args.q = map.kernel, map.p, map.q
    multiply(&args, dtype)
    return deliver(y, out)


def linear_backward(dy, x, weight, *, dweight=None, dbias=None, accumulate=False, input_gradient=True, bias_gradient=True):
    """The gradients (dx, dweight, dbias) of `linear` without activation: dy weight, dyᵀ x, and dy summed over its rows.

    dy: (…, out); x: (…, in); weight: (out, in). `dweight` and `dbias` are arrays to write into, or to add to where `accumulate`;
    a new dweight gets weight's memory order. dx and dbias are None where not asked for.
    """
    cdef cnp.ndarray a = real(x, "x"), g = real(dy, "dy"), w = strided(weight, "weight"), dx = None, dw, db = None
    cdef fnn_gemm_args args
    cdef int dtype = dtype_index(a)
    check_weight(a, w)
    same_dtype(a, "x", g, "dy")
    if not has_shape_of(g, a, cnp.PyArray_DIM(w, 0)):
        raise ValueError(f"dy must have shape {np.shape(a)[:-1] + (w.shape[0],)}, got {np.shape(g)}")
    cdef Matrix mg = rows_of(g), ma = rows_of(a), mw = matrix(w)

    if dweight is None:
        dw = np.empty_like(w)
        keep(dw)
    else:
        dw = gradient_array(dweight, "dweight", w, 2, cnp.PyArray_DIMS(w))
    operands(&args, matrix(dw), transposed(mg), ma)
    args.beta = 1 if accumulate and dweight is not None else 0
    multiply(&args, dtype)

    if bias_gradient:
        if dbias is None:
            db = new(1, cnp.PyArray_DIMS(w), cnp.PyArray_TYPE(w))
        else:
            db = gradient_array(dbias, "dbias", w, 1, cnp.PyArray_DIMS(w))
        sum_rows(mg, db, dtype, accumulate and dbias is not None)

    if input_gradient:
        dx = new(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a))
        operands(&args, rows_of(dx), mg, mw)
        multiply(&args, dtype)
    return dx, dw, db


cdef inline bint has_shape_of(cnp.ndarray g, cnp.ndarray x, cnp.npy_intp last) noexcept:
    """Whether g has x's shape with `last` in the place of the last dimension."""
    cdef int i, n = cnp.PyArray_NDIM(x)
    if cnp.PyArray_NDIM(g) != n or cnp.PyArray_DIM(g, n - 1) != last:
        return False
    for i in range(n - 1):
        if cnp.PyArray_DIM(g, i) != cnp.PyArray_DIM(x, i):
            return False
    return True


cdef cnp.ndarray gradient_array(object given, str name, cnp.ndarray weight, int ndim, const cnp.npy_intp *shape):
    """`given`, once it is known to be a writeable array of this shape and the weight's dtype."""
    cdef cnp.ndarray array = strided(given, name)
    cdef bint fits = cnp.PyArray_NDIM(array) == ndim
    cdef int i
    if array is not given or not cnp.PyArray_ISWRITEABLE(array):
        raise TypeError(f"{name} must be a writeable, aligned, native float32 or float64 ndarray")
    same_dtype(weight, "weight", array, name)
    for i in range(ndim if fits else 0):
        fits = fits and cnp.PyArray_DIM(array, i) == shape[i]
    if not fits:
        raise ValueError(f"{name} must have shape {tuple([shape[i] for i in range(ndim)])}, got {np.shape(array)}")
    if ndim == 1 and cnp.PyArray_DIM(array, 0) > 1 and cnp.PyArray_STRIDE(array, 0) != cnp.PyArray_ITEMSIZE(array):
        raise ValueError(f"{name} must be contiguous")
    return array


cdef int sum_rows(Matrix x, cnp.ndarray y, int dtype, bint accumulate) except -1:
    """y (+)= the sum over the rows of x, which are C-ordered."""
    cdef fnn_sum_rows_args args
    args.y, args.x, args.rows, args.cols = cnp.PyArray_DATA(y), x.data, x.rows, x.cols
    args.accumulate = accumulate
    return launch(kernels.sum_rows[dtype], &args, sizeof(args), 200 + 0.3 * x.rows * x.cols)


# --- the measure of a product's speed ---

def fma_peak(iterations, dtype):
    """Run so many iterations of independent multiply-adds on one thread, for benchmarks; returns the floating-point operations done.

    dtype: float32 or float64. See csrc/gemm/peak.h; the caller takes the time.
    """
    cdef cnp.ndarray out = np.empty(16, dtype)
    cdef int index = dtype_index(real(out, "dtype"))
    cdef fnn_peak_args args
    args.out, args.n = cnp.PyArray_DATA(out), iterations
    launch_shares(kernels.fma_peak[index], &args, sizeof(args), 1, 12.0 * args.n, True)
    width = {"scalar": out.itemsize, "avx2": 32, "avx512": 64, "neon": 16}[instruction_set()]
    return 24.0 * (width // out.itemsize) * args.n
