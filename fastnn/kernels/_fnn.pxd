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

    cdef enum:
        FNN_CONV_TILES
        FNN_CONV_CHANNELS
        FNN_CONV_TURNED
        FNN_CONV_WINOGRAD_LARGE

    ctypedef void (*fnn_kernel)(const void *args, size_t part, size_t parts) noexcept nogil

    bint fnn_conv_by_winograd(int form)
    int fnn_isa_usable(fnn_isa isa)
    const char *fnn_isa_name(fnn_isa isa)
    void fnn_dispatch(fnn_isa isa)
    fnn_isa fnn_isa_best()

    int fnn_run(fnn_kernel kernel, const void *args, size_t parts)
    int fnn_shield(int on)
    void fnn_set_poll(int (*poll)() noexcept)
    size_t fnn_threads()
    void fnn_set_threads(size_t threads)
    size_t fnn_default_threads()

    ctypedef struct fnn_plan:
        pass
    fnn_plan *fnn_plan_new()
    void fnn_plan_free(fnn_plan *plan)
    int fnn_plan_append(fnn_plan *plan, fnn_kernel kernel, const void *args, size_t size, size_t parts, const int64_t *stop)
    int fnn_plan_input(fnn_plan *plan, size_t field, size_t input, size_t offset)
    int fnn_plan_preserve(fnn_plan *plan, void *memory, size_t bytes)
    void fnn_plan_commit(fnn_plan *plan)
    size_t fnn_plan_length(const fnn_plan *plan)
    void fnn_plan_bind(fnn_plan *plan, size_t input, const void *data)

    ctypedef enum fnn_end:
        FNN_DONE
        FNN_CANCELLED
        FNN_STOPPED
    fnn_end fnn_plan_replay(const fnn_plan *plan)
    fnn_end fnn_plan_time(const fnn_plan *plan, double *seconds)

    ctypedef struct fnn_column:
        const void *rows
        void *gathered
        size_t bytes
    ctypedef struct fnn_cycle:
        fnn_plan *plan
        const void *value
        const void *output
    ctypedef struct fnn_steps:
        const fnn_cycle *cycle
        size_t cycles, first
        const fnn_column *column
        size_t columns
        const int64_t *order
        size_t batch, steps, done
        size_t bytes_per_share
        void *values
        void *outputs
        size_t value_bytes, output_bytes
    fnn_end fnn_plan_steps(fnn_steps *steps)
