"""Activations and their derivatives, element by element. Formulas and sources: fastnn.reference.activation.

Every function takes an array of any layout, float32 or float64, and returns a C-ordered array of its shape and dtype, or fills
`out` (which may be the input itself) and returns that.
"""
cimport numpy as cnp
from fastnn.kernels._arrays cimport deliver, dtype_index, real, same_dtype, same_shape, target
from fastnn.kernels._core cimport kernels, launch
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._table cimport fnn_map_args, fnn_map_backward_args

cnp.import_array()


cdef object forward(const fnn_kernel *kernel, object x, object out, double p, double q, double cycles):
    """Launch a map kernel that takes so many cycles an element."""
    cdef cnp.ndarray a = real(x, "x")
    cdef cnp.ndarray y = target(out, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), a, None, True)
    cdef fnn_map_args args
    args.y, args.x, args.n = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), cnp.PyArray_SIZE(a)
    args.p, args.q = p, q
    launch(kernel[dtype_index(a)], &args, sizeof(args), args.n * cycles)
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
    launch(kernel[dtype_index(a)], &args, sizeof(args), args.n * cycles)
    return deliver(dx, out)


def relu(x, out=None):
    """max(x, 0); NaN stays NaN."""
    return forward(kernels.relu_forward, x, out, 0, 0, 0.5)


def relu_backward(dy, x, out=None):
    """dy where x > 0, else 0. `x` may as well be relu's output."""
    return backward(kernels.relu_backward, dy, x, out, 0, 0, 0.5)


def tanh(x, out=None):
    """The hyperbolic tangent, within 2 ULP."""
    return forward(kernels.tanh_forward, x, out, 0, 0, 1)


def tanh_backward(dy, y, out=None):
    """dy (1 - y²), y being tanh's output."""
    return backward(kernels.tanh_backward, dy, y, out, 0, 0, 0.5, "y")
