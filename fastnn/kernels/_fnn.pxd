"""What csrc/fnn.h declares, for Cython. The argument structs and the kernel table are in _table.pxd, written from kernels.def."""
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint64_t

cdef extern from "fnn.h" nogil:
    ctypedef enum fnn_dtype:
        FNN_F32
        FNN_F64

    ctypedef enum fnn_isa:
        FNN_SCALAR
        FNN_AVX2
        FNN_AVX512
        FNN_NEON
        FNN_ISAS

    ctypedef void (*fnn_kernel)(const void *args, size_t part, size_t parts) noexcept nogil

    int fnn_isa_usable(fnn_isa isa)
    const char *fnn_isa_name(fnn_isa isa)
    void fnn_dispatch(fnn_isa isa)
    fnn_isa fnn_isa_best()

    int fnn_run(fnn_kernel kernel, const void *args, size_t parts)
    void fnn_set_poll(int (*poll)() noexcept)
    size_t fnn_threads()
    void fnn_set_threads(size_t threads)
    size_t fnn_default_threads()

    ctypedef struct fnn_plan:
        pass
    fnn_plan *fnn_plan_new()
    void fnn_plan_free(fnn_plan *plan)
    int fnn_plan_append(fnn_plan *plan, fnn_kernel kernel, const void *args, size_t size, size_t parts)
    size_t fnn_plan_length(const fnn_plan *plan)
    int fnn_plan_replay(const fnn_plan *plan)
