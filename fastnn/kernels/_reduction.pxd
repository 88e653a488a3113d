"""What the two families of losses share: reductions, and the gradient that comes from above."""
cimport numpy as cnp
from fastnn.kernels._arrays cimport real, same_dtype
from fastnn.kernels._core cimport kernels, launch, note_number
from fastnn.kernels._table cimport fnn_loss_total_args

cdef enum:
    NONE, SUM, MEAN, BATCHMEAN


cdef inline int reduction_code(object reduction, bint batchmean=False) except -1:
    if reduction == "mean":
        return MEAN
    if reduction == "sum":
        return SUM
    if reduction == "none":
        return NONE
    if batchmean and reduction == "batchmean":
        return BATCHMEAN
    names = '"mean", "batchmean", "sum" or "none"' if batchmean else '"mean", "sum" or "none"'
    raise ValueError(f"reduction must be {names}, got {reduction!r}")


cdef inline int total(void *value, const void *sums, const void *counts, size_t chunks, double divisor, int dtype) except -1:
    """What a loss kernel leaves to do when it ran in several shares."""
    cdef fnn_loss_total_args args
    args.value, args.sums, args.counts, args.chunks, args.divisor = value, sums, counts, chunks, divisor
    return launch(kernels.loss_total[dtype], &args, sizeof(args), chunks + 100.0)


cdef inline object number(cnp.ndarray saved):
    """The loss, the first element of `saved`, as a Python float."""
    cdef double value = (<float *>cnp.PyArray_DATA(saved))[0] if cnp.PyArray_TYPE(saved) == cnp.NPY_FLOAT else (<double *>cnp.PyArray_DATA(saved))[0]
    cdef object result = value
    note_number(result, saved)
    return result


cdef inline double scalar_dy(object dy) except? -1:
    try:
        return float(dy)
    except TypeError:
        raise TypeError(f'dy must be a number unless reduction is "none", got {type(dy).__name__}') from None


cdef inline cnp.ndarray array_dy(object dy, cnp.ndarray input, tuple shape):
    """dy as an array of `shape`, the gradient for reduction "none"."""
    cdef cnp.ndarray g = real(dy, "dy")
    if (<object>g).shape != shape:
        raise ValueError(f'dy must have shape {shape} with reduction "none", got {(<object>g).shape}')
    same_dtype(input, "input", g, "dy")
    return g
