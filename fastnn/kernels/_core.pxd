"""The door: what the other kernel modules need of the core."""
from fastnn.kernels._fnn cimport fnn_cycle, fnn_dtype, fnn_end, fnn_kernel, fnn_plan, fnn_steps, int64_t, uint64_t
from fastnn.kernels._table cimport fnn_check_args, fnn_conv_args, fnn_conv_weight_args, fnn_gemm_args, fnn_table

# The kernel table. kernels.relu_forward[dtype] is the kernel for this processor.
cdef fnn_table *kernels

# Launch a kernel; see _core.pyx.
cdef int launch(fnn_kernel kernel, const void *args, size_t size, double cycles) except -1
cdef int launch_shares(fnn_kernel kernel, const void *args, size_t size, size_t parts, double cycles, bint cancellable) except -1

# How many shares work of so many cycles is cut into; fine: where it may be more of them than threads without being slower.
cdef size_t shares(double cycles) noexcept nogil
cdef size_t fine_shares(double cycles) noexcept nogil

# While this thread's launches are recorded: keep `owner`, an array or the tables of one, alive as long as the record. `fresh`: an
# array that was allocated for this launch and holds nothing yet. `note_number`: a float that was read from a launch's result.
cdef int keep(object owner) except -1
cdef int fresh(object array) except -1
cdef int note_number(object number, object array) except -1

# Launch one of the checks; returns 1 + the index of the first bad element, or 0. A recorded step asks again each time.
cdef int64_t launch_check(fnn_kernel kernel, fnn_check_args *args) except -1

# The same for one with an argument struct of its own, `result` being the address of its field `bad`.
cdef int64_t launch_check_of(fnn_kernel kernel, void *args, size_t size, int64_t **result) except -1

# How often parameters or other lasting memory have been written to by the library, in this process.
cdef uint64_t writes

# Scratch memory of kernels, 64-byte aligned. `borrow` one, launch, `give_back` it: a few are kept for the next borrowers.
cdef class Scratch:
    cdef void *memory
    cdef void *data
    cdef size_t size
cdef Scratch borrow(size_t size)
cdef int give_back(Scratch scratch) except -1

# The scratch memory in bytes, for each share, that a product or a convolution needs; a multiple of 64. SIZE_MAX: more than there is.
cdef size_t gemm_scratch(const fnn_gemm_args *args, int dtype, size_t parts) noexcept
cdef int conv_form(const fnn_conv_args *args, int dtype, bint winograd) noexcept
cdef size_t conv_packed(const fnn_conv_args *args, int dtype) noexcept
cdef bint conv_weight_winograd(const fnn_conv_weight_args *args) noexcept
cdef size_t conv_scratch(const fnn_conv_args *args, int dtype, size_t parts) noexcept
cdef size_t conv_weight_scratch(const fnn_conv_weight_args *args, int dtype, size_t parts) noexcept

# How the weights of a recurrent layer's steps are packed: vectors of units in a panel, and the numbers in all panels.
cdef size_t recurrent_panel(int dtype, size_t units, size_t rows, size_t pieces) noexcept
cdef size_t recurrent_packed(int dtype, size_t k, size_t gates, size_t units) noexcept

# Recorded calls made ready to be replayed; see _core.pyx.
cdef class Plan:
    cdef fnn_plan *plan
    cdef object owners
    cdef void bind(self, size_t input, const void *data) noexcept nogil
    cdef fnn_end run(self) noexcept nogil
cdef fnn_end run_steps(fnn_steps *steps) noexcept nogil

# Pass on the exception for which a run was cancelled.
cdef int interrupted() except -1

# The number of threads, as fnn.h says.
cdef size_t threads() noexcept nogil
