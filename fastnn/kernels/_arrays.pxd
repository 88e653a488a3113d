"""Check and allocate: what every kernel wrapper does before and after its launch."""
cimport numpy as cnp

# `x` as an aligned, native, C-ordered float32 or float64 array: itself where it is one, else a copy. TypeError names the argument.
cdef cnp.ndarray real(object x, str name)

# The same without the demand for C order: any strides that are whole elements.
cdef cnp.ndarray strided(object x, str name)

# `x` as an aligned C-ordered int64 array of labels or indices. TypeError names the argument.
cdef cnp.ndarray integers(object x, str name)

# TypeError unless both have one dtype; ValueError unless both have one shape.
cdef int same_dtype(cnp.ndarray a, str a_name, cnp.ndarray b, str b_name) except -1
cdef int same_shape(cnp.ndarray a, str a_name, cnp.ndarray b, str b_name) except -1

# ValueError unless `a` has this shape.
cdef int require_shape(cnp.ndarray a, str name, int ndim, const cnp.npy_intp *shape) except -1

# An optional array as `real` gives it, of x's dtype and this shape; None for None.
cdef cnp.ndarray checked(object given, str name, cnp.ndarray x, int ndim, const cnp.npy_intp *shape)

# `given`, known to be a C-ordered array of x's dtype and this shape that a kernel can write to; a new one for None.
cdef cnp.ndarray writeable(object given, str name, cnp.ndarray x, int ndim, const cnp.npy_intp *shape)

# A new C-ordered array.
cdef cnp.ndarray new(int ndim, const cnp.npy_intp *shape, int typenum)
cdef cnp.ndarray new_like(cnp.ndarray x)

# The array to compute a result into: `out` itself where that is safe, else a new one, which `deliver` copies to `out` and returns.
# `out` must have the dtype and shape asked for. `a` and `b` (None or an array) are inputs that may overlap with it; an input that
# is the very same memory is safe for element-wise kernels only.
cdef cnp.ndarray target(object out, int ndim, const cnp.npy_intp *shape, int typenum, cnp.ndarray a, cnp.ndarray b, bint elementwise)
cdef object deliver(cnp.ndarray result, object out)

cdef inline int dtype_index(cnp.ndarray x) noexcept:
    """The kernel table's index for x's dtype."""
    return 0 if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT else 1

cdef inline void *data(cnp.ndarray a) noexcept:
    """Its data pointer; NULL for None."""
    return NULL if a is None else cnp.PyArray_DATA(a)

cdef inline size_t product(cnp.ndarray x, int first, int last) noexcept:
    """The product of the axes [first, last)."""
    cdef size_t n = 1
    cdef int i
    for i in range(first, last):
        n *= cnp.PyArray_DIM(x, i)
    return n
