"""The door: what the other kernel modules need of the core."""
from fastnn.kernels._fnn cimport fnn_dtype, fnn_kernel
from fastnn.kernels._table cimport fnn_gemm_args, fnn_table

# The kernel table. kernels.relu_forward[dtype] is the kernel for this processor.
cdef fnn_table *kernels

# Launch a kernel; see _core.pyx.
cdef int launch(fnn_kernel kernel, const void *args, size_t size, double cycles) except -1
cdef int launch_shares(fnn_kernel kernel, const void *args, size_t size, size_t parts, double cycles, bint cancellable) except -1

# How many shares work of so many cycles is cut into.
cdef size_t shares(double cycles) noexcept nogil

# While a plan records on this thread, keep `owner` alive as long as the plan.
cdef int keep(object owner) except -1

# Scratch memory of kernels, 64-byte aligned. `borrow` one, launch, `give_back` it: a few are kept for the next borrowers.
cdef class Scratch:
    cdef void *memory
    cdef void *data
    cdef size_t size
cdef Scratch borrow(size_t size)
cdef int give_back(Scratch scratch) except -1

# The scratch memory in bytes, for each share, that a matrix product needs; a multiple of 64.
cdef size_t gemm_scratch(const fnn_gemm_args *args, int dtype, size_t parts) noexcept
