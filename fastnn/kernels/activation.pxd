"""Activations by name, for kernels that apply one to their result."""
from fastnn.kernels._fnn cimport fnn_kernel

cdef struct Map:
    fnn_kernel kernel
    double p, q

# The kernel and the default parameters of the activation `name`; ValueError lists the names.
cdef Map activation_map(object name, int dtype) except *

# Launch a map kernel that takes so many cycles a float on the array `x`; what its wrapper returns.
cdef object forward(const fnn_kernel *kernel, object x, object out, double p, double q, double cycles)

# The same for a map's derivative; `name`: what x is called in errors.
cdef object backward(const fnn_kernel *kernel, object dy, object x, object out, double p, double q, double cycles, str name=*)
