"""The loops of element-wise losses, for losses that end in one."""
from fastnn.kernels._fnn cimport fnn_kernel

# Launch a loss that takes so many cycles an element; what its wrapper returns. unit_interval: input and target must be in [0, 1].
cdef object forward(const fnn_kernel *kernel, object input, object target, object weight, object pos_weight, double p, int code,
                    double cycles, bint keep, bint unit_interval=*)

# The same for one of its derivatives.
cdef object backward(const fnn_kernel *kernel, object dy, object input, object target, object weight, object pos_weight, double p,
                     int code, double cycles)
