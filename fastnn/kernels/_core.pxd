"""The door: what the other kernel modules need of the core."""
from fastnn.kernels._fnn cimport fnn_dtype, fnn_kernel
from fastnn.kernels._table cimport fnn_table

# The kernel table. kernels.relu_forward[dtype] is the kernel for this processor.
cdef fnn_table *kernels

# Launch a kernel; see _core.pyx.
cdef int launch(fnn_kernel kernel, const void *args, size_t size, double cycles) except -1
cdef int launch_shares(fnn_kernel kernel, const void *args, size_t size, size_t parts, double cycles, bint cancellable) except -1

# How many shares work of so many cycles is cut into.
cdef size_t shares(double cycles) noexcept nogil

# Whether a plan is recording on this thread; if so, keep `owner` alive as long as the plan.
cdef int keep(object owner) except -1
