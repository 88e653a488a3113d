"""The one extension that links csrc: the kernel table, threads, the launch door and recorded plans.

Every kernel is called through `launch` or `launch_shares`. Eager, they call; while the calling thread records they call and note the
call, which is the whole mechanism behind captured steps.

Longer than others, because the door, the records and the plans share variables of the thread that no other extension may see.
"""
import os
from operator import index

cimport numpy as cnp
from cpython.exc cimport PyErr_Occurred
from cpython.object cimport PyObject
from libc.math cimport ceil
from libc.stdlib cimport free, malloc

from fastnn.kernels._fnn cimport *
from fastnn.kernels._table cimport fnn_check_args, fnn_conv_args, fnn_conv_weight_args, fnn_gemm_args, fnn_table, argument_layouts, build_flags, kernel_sets

import numpy as np

cnp.import_array()

cdef extern from "fnn.h" nogil:
    fnn_table fnn_kernels
    size_t fnn_gemm_scratch(const fnn_gemm_args *args, fnn_dtype dtype, size_t parts)
    size_t fnn_gemm_packed(fnn_dtype dtype, size_t k, size_t n)
    int fnn_conv_form(const fnn_conv_args *args, fnn_dtype dtype, int winograd)
    size_t fnn_conv_packed(const fnn_conv_args *args, fnn_dtype dtype)
    int fnn_conv_weight_winograd(const fnn_conv_weight_args *args)
    size_t fnn_conv_scratch(const fnn_conv_args *args, fnn_dtype dtype, size_t parts)
    size_t fnn_conv_weight_scratch(const fnn_conv_weight_args *args, fnn_dtype dtype, size_t parts)
    size_t fnn_recurrent_panel(fnn_dtype dtype, size_t units, size_t rows, size_t pieces)
    size_t fnn_recurrent_packed(fnn_dtype dtype, size_t k, size_t gates, size_t units)

cdef extern from "Python.h":
    int PyErr_CheckSignals() noexcept  # leaves the exception set for `launch` to pass on

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #define FNN_THREAD_LOCAL __declspec(thread)
    #else
    #define FNN_THREAD_LOCAL _Thread_local
    #endif
    static FNN_THREAD_LOCAL PyObject *fnn_recording; /* the Record of this thread's launches, or NULL */

    #if defined(__clang__)
    #define FNN_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
    #define FNN_COMPILER "gcc " __VERSION__
    #elif defined(_MSC_FULL_VER)
    #define FNN_TEXT2(x) #x
    #define FNN_TEXT(x) FNN_TEXT2(x)
    #define FNN_COMPILER "MSVC " FNN_TEXT(_MSC_FULL_VER)
    #else
    #define FNN_COMPILER "unknown"
    #endif
    """
    const char *FNN_COMPILER
    PyObject *fnn_recording

# One share is at least this many cycles: below it, waking a thread costs more than it brings.
cdef double CYCLES_PER_SHARE = 20_000
# Long work is cut to shares of at most this many cycles, equally many for each thread, so that an interrupt is seen between two of them.
cdef double CYCLES_PER_SLICE = 50_000_000
# Work that looks for interrupts itself is cut to two or four shares a thread where they are still this many cycles: a thread whose processor others
# use, too, then takes fewer of them. No more, and no odd numbers: every share packs for itself (46 shares of 2048 x 2048 took 1.15 times as long).
cdef double CYCLES_PER_FINE_SHARE = 8_000_000
# Work below this many cycles keeps the GIL: giving it up and taking it back would be a noticeable part of it.
cdef double CYCLES_WITH_GIL = 30_000


# --- launching ---

cdef double one_each(double cycles) noexcept nogil:
    """Shares for as many threads as such work is worth."""
    cdef double parts = cycles / CYCLES_PER_SHARE, threads = <double>fnn_threads()
    return 1 if parts < 2 else min(parts, threads)


cdef size_t shares(double cycles) noexcept nogil:
    cdef double parts = one_each(cycles)
    if cycles > parts * CYCLES_PER_SLICE:
        parts *= ceil(cycles / (parts * CYCLES_PER_SLICE))
    return <size_t>parts


cdef size_t fine_shares(double cycles) noexcept nogil:
    cdef size_t parts = <size_t>one_each(cycles), more = 1
    while parts > 1 and more < 4 and cycles > parts * more * CYCLES_PER_FINE_SHARE:
        more *= 2
    return parts * more


cdef int launch(fnn_kernel kernel, const void *args, size_t size, double cycles) except -1:
    """Run a kernel that is estimated to take so many cycles on one thread. `size` is that of the argument struct."""
    return launch_shares(kernel, args, size, shares(cycles), cycles, True)


cdef int launch_shares(fnn_kernel kernel, const void *args, size_t size, size_t parts, double cycles, bint cancellable) except -1:
    """Run a kernel in exactly `parts` shares. One that updates its inputs in place is not cancellable: Ctrl-C waits for it."""
    global writes
    cdef int cancelled
    if fnn_recording != NULL:
        (<Record>fnn_recording).call(kernel, args, size, parts, NULL)
    if not cancellable:
        writes += 1
        fnn_shield(1)
    if cycles < CYCLES_WITH_GIL:
        cancelled = fnn_run(kernel, args, parts)
    else:
        with nogil:
            cancelled = fnn_run(kernel, args, parts)
    if not cancellable:
        fnn_shield(0)
    return interrupted() if cancelled else 0


cdef int64_t launch_check(fnn_kernel kernel, fnn_check_args *args) except -1:
    return launch_check_of(kernel, args, sizeof(args[0]), &args.bad)


cdef int64_t launch_check_of(fnn_kernel kernel, void *args, size_t size, int64_t **result) except -1:
    cdef int64_t bad
    cdef cnp.ndarray cell
    result[0] = &bad
    if fnn_recording != NULL:
        cell = np.zeros(1, np.int64)
        result[0] = <int64_t *>cnp.PyArray_DATA(cell)
        keep(cell)
        (<Record>fnn_recording).call(kernel, args, size, 1, result[0])
    kernel(args, 0, 1)
    return result[0][0]


cdef int interrupted() except -1:
    """Pass on the exception that `poll` found."""
    if PyErr_Occurred() == NULL:
        raise KeyboardInterrupt
    return -1


cdef int poll() noexcept with gil:
    """Called every 50 ms by a launching thread: let Python's signal handlers run. Nonzero: one of them raised."""
    global polling
    polling = True
    cdef int raised = PyErr_CheckSignals() != 0
    polling = False
    return raised


cdef bint polling = False


def is_polling():
    """Whether signal handlers run because a kernel asked for it: an exception then cancels the kernel, or the step, without a trace."""
    return polling


# --- recording ---

cdef class Record:
    """The kernel calls of one thread: `with record: …` notes them while they run.

    calls: (address of the kernel, bytes of its arguments, shares, address of its stop cell or 0, label) each. owners: what the pointers among the
    arguments point into. fresh: (address, bytes) of arrays that were allocated for a launch. numbers: (float, array it was
    read from). label: what the next calls are noted with.
    """
    cdef readonly list calls, owners, fresh, numbers
    cdef public object label

    def __cinit__(self):
        self.calls, self.owners, self.fresh, self.numbers = [], [], [], []

    cdef int call(self, fnn_kernel kernel, const void *args, size_t size, size_t parts, const int64_t *stop) except -1:
        self.calls.append((<size_t>kernel, (<const char *>args)[:size], parts, <size_t>stop, self.label))
        return 0

    def __enter__(self):
        global fnn_recording
        if fnn_recording != NULL:
            raise RuntimeError("this thread is recording already")
        fnn_recording = <PyObject *>self
        return self

    def __exit__(self, *_):
        global fnn_recording
        fnn_recording = NULL


cdef int keep(object owner) except -1:
    if fnn_recording != NULL:
        (<Record>fnn_recording).owners.append(owner)
    return 0


cdef int fresh(object array) except -1:
    if fnn_recording != NULL:
        (<Record>fnn_recording).owners.append(array)
        (<Record>fnn_recording).fresh.append((<size_t>cnp.PyArray_DATA(<cnp.ndarray>array), <size_t>cnp.PyArray_NBYTES(<cnp.ndarray>array)))
    return 0


cdef int note_number(object number, object array) except -1:
    if fnn_recording != NULL:
        (<Record>fnn_recording).numbers.append((number, array))
    return 0


def kernel_addresses():
    """{address: (name, dtype index)} of all kernels of the current instruction set."""
    cdef const fnn_kernel *slots = <const fnn_kernel *>kernels
    cdef size_t i
    return {<size_t>slots[2 * i + d]: (name, d) for i, name in enumerate(kernel_sets()) for d in range(2)}


def kernel_layouts():
    """{kernel: (size of its argument struct, its fields in C)}, as kernels.def lists them."""
    layouts = argument_layouts()
    return {name: layouts[arguments] for name, arguments in kernel_sets().items()}


# --- plans ---

cdef class Plan:
    """Recorded calls made ready to be replayed in one go.

    calls: (address of the kernel, bytes of its arguments, shares, address of its stop cell or 0, [(offset of a pointer in the arguments, input,
    offset in that input), …]) each. commit: the number of the first call that must run to its end with all after it. preserve:
    (address, bytes) of memory that the calls before change, and that a replay which does not get there puts back. owners: what to
    keep alive.
    """

    def __cinit__(self, list calls, size_t commit, list preserve, object owners):
        cdef size_t i, kernel, parts, stop, field, input, offset, address, size
        cdef bytes args
        self.owners = owners
        self.plan = fnn_plan_new()
        cdef bint failed = self.plan == NULL
        for i, (kernel, args, parts, stop, inputs) in enumerate(calls if not failed else ()):
            if i == commit:
                fnn_plan_commit(self.plan)
            failed |= fnn_plan_append(self.plan, <fnn_kernel>kernel, <const char *>args, len(args), parts, <const int64_t *>stop) != 0
            for field, input, offset in inputs:
                failed |= fnn_plan_input(self.plan, field, input, offset) != 0
        for address, size in preserve if not failed else ():
            failed |= fnn_plan_preserve(self.plan, <void *>address, size) != 0
        if failed:
            raise MemoryError("a plan could not be allocated")

    def __dealloc__(self):
        fnn_plan_free(self.plan)

    def __len__(self):
        return fnn_plan_length(self.plan)

    cdef void bind(self, size_t input, const void *data) noexcept nogil:
        fnn_plan_bind(self.plan, input, data)

    cdef fnn_end run(self) noexcept nogil:
        return fnn_plan_replay(self.plan)

    def timed(self):
        """Replay on what is bound; returns the seconds that each call took."""
        cdef cnp.ndarray seconds = np.zeros(len(self))
        cdef double *to = <double *>cnp.PyArray_DATA(seconds)
        cdef fnn_end end
        with nogil:
            end = fnn_plan_time(self.plan, to)
        if end != FNN_DONE:
            interrupted()
        return seconds


cdef fnn_end run_steps(fnn_steps *steps) noexcept nogil:
    return fnn_plan_steps(steps)


# --- scratch memory ---

cdef class Scratch:
    def __cinit__(self, size_t size):
        self.memory = malloc(size + 63) if size < <size_t>-64 else NULL
        if self.memory == NULL:
            raise MemoryError(f"{size} bytes of scratch memory could not be allocated")
        self.data = <void *>((<size_t>self.memory + 63) & ~<size_t>63)
        self.size = size

    def __dealloc__(self):
        free(self.memory)


cdef list idle_scratch = []


cdef Scratch borrow(size_t size):
    cdef Scratch scratch
    try:
        scratch = idle_scratch.pop()
    except IndexError:
        return Scratch(size)
    return scratch if scratch.size >= size else Scratch(size)


cdef int give_back(Scratch scratch) except -1:
    if fnn_recording != NULL:
        (<Record>fnn_recording).owners.append(scratch)
        (<Record>fnn_recording).fresh.append((<size_t>scratch.data, scratch.size))
    elif len(idle_scratch) < 4:
        idle_scratch.append(scratch)
    return 0


cdef size_t gemm_scratch(const fnn_gemm_args *args, int dtype, size_t parts) noexcept:
    return (fnn_gemm_scratch(args, <fnn_dtype>dtype, parts) + 63) & ~<size_t>63


cdef int conv_form(const fnn_conv_args *args, int dtype, bint winograd) noexcept:
    return fnn_conv_form(args, <fnn_dtype>dtype, winograd)


cdef size_t conv_packed(const fnn_conv_args *args, int dtype) noexcept:
    return fnn_conv_packed(args, <fnn_dtype>dtype)


cdef bint conv_weight_winograd(const fnn_conv_weight_args *args) noexcept:
    return fnn_conv_weight_winograd(args)


cdef size_t conv_scratch(const fnn_conv_args *args, int dtype, size_t parts) noexcept:
    return fnn_conv_scratch(args, <fnn_dtype>dtype, parts)


cdef size_t conv_weight_scratch(const fnn_conv_weight_args *args, int dtype, size_t parts) noexcept:
    return fnn_conv_weight_scratch(args, <fnn_dtype>dtype, parts)


cdef size_t recurrent_panel(int dtype, size_t units, size_t rows, size_t pieces) noexcept:
    return fnn_recurrent_panel(<fnn_dtype>dtype, units, rows, pieces)


cdef size_t recurrent_packed(int dtype, size_t k, size_t gates, size_t units) noexcept:
    return fnn_recurrent_packed(<fnn_dtype>dtype, k, gates, units)


def gemm_scratch_bytes(bytes args, int dtype, size_t parts):
    """The scratch memory for all shares of a product with these argument bytes."""
    return gemm_scratch(<const fnn_gemm_args *><const char *>args, dtype, parts) * parts


def gemm_packed(int dtype, size_t k, size_t n):
    """How many elements k x n has when gemm_pack has packed it."""
    return fnn_gemm_packed(<fnn_dtype>dtype, k, n)


# --- threads and instruction set ---

cdef size_t threads() noexcept nogil:
    return fnn_threads()


def set_num_threads(threads):
    """Set how many threads fastnn may use, the calling one included. Work that is too small for them runs on fewer.

    Raises TypeError if `threads` is not an integer and ValueError if it is below 1.
    """
    cdef Py_ssize_t n = checked_threads(threads, "threads")
    fnn_set_threads(n)


def get_num_threads():
    """How many threads fastnn may use, the calling one included."""
    return fnn_threads()


def instruction_set():
    """The instruction set whose kernels run: "scalar", "avx2", "avx512" or "neon"."""
    return fnn_isa_name(current_isa).decode()


def usable_instruction_sets():
    """The instruction sets that this build has kernels for and this processor can run, narrowest first."""
    return [fnn_isa_name(<fnn_isa>isa).decode() for isa in range(FNN_ISAS) if fnn_isa_usable(<fnn_isa>isa)]


def kernel_names():
    """The names of all kernels, as kernels.def lists them."""
    return tuple(kernel_sets())


def build_info():
    """What built this: {"compiler": name and version, "flags": those of the C sources without an instruction set's own}."""
    return {"compiler": FNN_COMPILER.decode().strip(), "flags": build_flags()}


cdef Py_ssize_t checked_threads(object value, str name) except -1:
    try:
        n = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if not 1 <= n <= 4096:
        raise ValueError(f"{name} must be between 1 and 4096, got {n}")
    return n


def _initial_threads():
    for variable in ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS"):
        text = os.environ.get(variable, "").split(",")[0].strip()
        if text:
            if not text.isdecimal():
                if variable == "OMP_NUM_THREADS":
                    continue  # not ours to judge
                raise ValueError(f"{variable} must be a whole number from 1 to 4096, got {text!r}")
            return checked_threads(int(text), variable)
    return fnn_default_threads()


cdef fnn_isa isa_of(str name, str argument) except *:
    usable = usable_instruction_sets()
    if name not in usable:
        raise ValueError(f"{argument} must be one of {', '.join(usable)} on this machine, got {name!r}")
    for isa in range(FNN_ISAS):
        if fnn_isa_name(<fnn_isa>isa).decode() == name:
            return <fnn_isa><int>isa


cdef fnn_isa _initial_isa() except *:
    forced = os.environ.get("FASTNN_FORCE_ISA", "")
    return isa_of(forced, "FASTNN_FORCE_ISA") if forced else fnn_isa_best()


def _use_instruction_set(str name):
    """For tests: switch to the kernels of a usable instruction set, while no other thread is in a kernel."""
    global current_isa
    current_isa = isa_of(name, "name")
    fnn_dispatch(current_isa)


def _use_cycles_per_share(double cycles):
    """For tests: cut work into shares of so many cycles, to see several threads on small arrays. Returns what it was."""
    global CYCLES_PER_SHARE
    before, CYCLES_PER_SHARE = CYCLES_PER_SHARE, cycles
    return before


def note_write():
    """Count a write to parameters that was not a kernel's: what was derived from them is out of date."""
    global writes
    writes += 1


def count_writes():
    """How often the library has written to parameters or other lasting memory in this process."""
    return writes


cdef fnn_isa current_isa = _initial_isa()
fnn_dispatch(current_isa)
kernels = &fnn_kernels
fnn_set_threads(_initial_threads())
fnn_set_poll(poll)
