"""Check and allocate: what every kernel wrapper does before and after its launch. See _arrays.pxd for the contracts."""
cimport numpy as cnp
from fastnn.kernels._core cimport fresh, keep

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    bint PyArray_ISCARRAY_RO(cnp.ndarray)
    bint PyArray_ISBEHAVED_RO(cnp.ndarray)
    bint PyArray_ISBEHAVED(cnp.ndarray)
    bint PyArray_IS_C_CONTIGUOUS(cnp.ndarray)


cdef inline bint is_real(cnp.ndarray x) noexcept:
    return cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT or cnp.PyArray_TYPE(x) == cnp.NPY_DOUBLE


cdef cnp.ndarray real_array(object x, str name):
    """`x` as a native float32 or float64 ndarray of any layout."""
    cdef cnp.ndarray a
    try:
        a = np.asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} must be an array: {error}") from None
    if not is_real(a):
        raise TypeError(f"{name} must be float32 or float64, got {a.dtype}")
    return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


cdef cnp.ndarray real(object x, str name):
    cdef cnp.ndarray a
    if not cnp.PyArray_CheckExact(x) or not is_real(<cnp.ndarray>x) or not PyArray_ISCARRAY_RO(<cnp.ndarray>x):
        x = np.require(real_array(x, name), requirements=("C", "A"))
    keep(x)
    return <cnp.ndarray>x


cdef cnp.ndarray strided(object x, str name):
    cdef cnp.ndarray a
    cdef int i
    if not cnp.PyArray_CheckExact(x) or not is_real(<cnp.ndarray>x) or not PyArray_ISBEHAVED_RO(<cnp.ndarray>x):
        x = np.require(real_array(x, name), requirements=("A",))
    a = <cnp.ndarray>x
    for i in range(cnp.PyArray_NDIM(a)):
        if cnp.PyArray_STRIDE(a, i) % cnp.PyArray_ITEMSIZE(a):
            a = np.ascontiguousarray(a)
            break
    keep(a)
    return a


cdef cnp.ndarray integers(object x, str name):
    cdef cnp.ndarray a
    if not cnp.PyArray_CheckExact(x) or cnp.PyArray_TYPE(<cnp.ndarray>x) != cnp.NPY_INT64 or not PyArray_ISCARRAY_RO(<cnp.ndarray>x):
        a = np.asarray(x)
        if a.dtype.kind not in "iu":
            raise TypeError(f"{name} must be integers, got {a.dtype}")
        if a.dtype == np.uint64 and a.size and a.max() > 2**63 - 1:
            raise ValueError(f"{name} must be below 2**63, got {a.max()}")
        x = np.require(a, dtype=np.int64, requirements=("C", "A"))
    keep(x)
    return <cnp.ndarray>x


cdef int same_dtype(cnp.ndarray a, str a_name, cnp.ndarray b, str b_name) except -1:
    if cnp.PyArray_TYPE(a) != cnp.PyArray_TYPE(b):
        raise TypeError(f"{b_name} must have {a_name}'s dtype {a.dtype}, got {b.dtype}")
    return 0


cdef int same_shape(cnp.ndarray a, str a_name, cnp.ndarray b, str b_name) except -1:
    if not cnp.PyArray_SAMESHAPE(a, b):
        raise ValueError(f"{b_name} must have {a_name}'s shape {np.shape(a)}, got {np.shape(b)}")
    return 0


cdef int require_shape(cnp.ndarray a, str name, int ndim, const cnp.npy_intp *shape) except -1:
    cdef int i
    cdef bint fits = cnp.PyArray_NDIM(a) == ndim
    for i in range(ndim if fits else 0):
        fits = fits and cnp.PyArray_DIM(a, i) == shape[i]
    if not fits:
        raise ValueError(f"{name} must have shape {tuple([shape[i] for i in range(ndim)])}, got {np.shape(a)}")
    return 0


cdef cnp.ndarray checked(object given, str name, cnp.ndarray x, int ndim, const cnp.npy_intp *shape):
    cdef cnp.ndarray a
    if given is None:
        return None
    a = real(given, name)
    same_dtype(x, "x", a, name)
    require_shape(a, name, ndim, shape)
    return a


cdef cnp.ndarray new(int ndim, const cnp.npy_intp *shape, int typenum):
    cdef cnp.ndarray a = cnp.PyArray_EMPTY(ndim, <cnp.npy_intp *>shape, typenum, 0)
    fresh(a)
    return a


cdef cnp.ndarray new_like(cnp.ndarray x):
    return new(cnp.PyArray_NDIM(x), cnp.PyArray_DIMS(x), cnp.PyArray_TYPE(x))


def empty(tuple shape, dtype):
    """A new C-ordered array for kernels to write into by parts; a captured step places it where it likes. float32 or float64."""
    cdef cnp.npy_intp dims[64]
    cdef int typenum = cnp.NPY_FLOAT if np.dtype(dtype) == np.float32 else cnp.NPY_DOUBLE
    dimensions(dims, shape, 4 if typenum == cnp.NPY_FLOAT else 8, "shape")
    return new(len(shape), dims, typenum)


cdef cnp.ndarray writeable(object given, str name, cnp.ndarray x, int ndim, const cnp.npy_intp *shape):
    cdef cnp.ndarray a
    if given is None:
        return new(ndim, shape, cnp.PyArray_TYPE(x))
    a = real(given, name)
    if a is not given or not cnp.PyArray_ISWRITEABLE(a):
        raise TypeError(f"{name} must be a writeable, C-ordered, native float32 or float64 ndarray")
    same_dtype(x, "x", a, name)
    require_shape(a, name, ndim, shape)
    return a


cdef int dimensions(cnp.npy_intp *shape, tuple sizes, int itemsize, str what) except -1:
    cdef int i
    cdef object size, total = itemsize
    if len(sizes) > 64:
        raise ValueError(f"{what} must have at most 64 dimensions, got {len(sizes)}")
    for size in sizes:
        total *= max(size, 1)
    if total >= 2**63:
        raise ValueError(f"{what} would be too large for memory: shape {sizes}")
    for i in range(len(sizes)):
        shape[i] = sizes[i]
    return 0


cdef inline bint apart(cnp.ndarray out, cnp.ndarray x, bint elementwise) except -1:
    """Whether writing the C-ordered `out` leaves the input `x` alone until it has been read."""
    cdef char *o = <char *>cnp.PyArray_DATA(out)
    if x is None or (elementwise and o == <char *>cnp.PyArray_DATA(x)):
        return True
    cdef char *first = <char *>cnp.PyArray_DATA(x)
    cdef char *last = first
    cdef cnp.npy_intp reach
    cdef int i
    for i in range(cnp.PyArray_NDIM(x)):
        reach = (cnp.PyArray_DIM(x, i) - 1) * cnp.PyArray_STRIDE(x, i)
        if reach < 0:
            first += reach
        else:
            last += reach
    return o >= last + cnp.PyArray_ITEMSIZE(x) or o + cnp.PyArray_NBYTES(out) <= first


cdef cnp.ndarray target(object out, int ndim, const cnp.npy_intp *shape, int typenum, cnp.ndarray a, cnp.ndarray b, bint elementwise):
    if out is None:
        return new(ndim, shape, typenum)
    check_out(out, ndim, shape, typenum)
    cdef cnp.ndarray array = <cnp.ndarray>out
    if PyArray_ISBEHAVED(array) and PyArray_IS_C_CONTIGUOUS(array) and apart(array, a, elementwise) and apart(array, b, elementwise):
        keep(array)
        return array
    return new(ndim, shape, typenum)


cdef int check_out(object out, int ndim, const cnp.npy_intp *shape, int typenum) except -1:
    """Raise unless `out` is a writeable native array of this shape and dtype."""
    if not isinstance(out, cnp.ndarray):
        raise TypeError(f"out must be an ndarray, got {type(out).__name__}")
    cdef cnp.ndarray array = <cnp.ndarray>out
    if cnp.PyArray_TYPE(array) != typenum or not cnp.PyArray_ISNOTSWAPPED(array):
        raise TypeError(f"out must have dtype {'float32' if typenum == cnp.NPY_FLOAT else 'float64'}, got {array.dtype}")
    cdef bint fits = cnp.PyArray_NDIM(array) == ndim
    cdef int i
    for i in range(ndim if fits else 0):
        fits = fits and cnp.PyArray_DIM(array, i) == shape[i]
    if not fits:
        raise ValueError(f"out must have shape {tuple([shape[i] for i in range(ndim)])}, got {np.shape(array)}")
    if not cnp.PyArray_ISWRITEABLE(array):
        raise ValueError("out must be writeable, got a read-only array")
    return 0


cdef object deliver(cnp.ndarray result, object out):
    if out is None or out is result:
        return result
    out[...] = result
    return out
