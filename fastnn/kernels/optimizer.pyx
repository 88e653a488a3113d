"""Optimizer steps and gradient clipping over lists of tensors, each one kernel call. Formulas: fastnn.reference.optimizer.

Tensors are arrays in any dense memory order; a parameter, its gradient and its states share one order, so a step runs over plain memory. Of a
parameter whose gradient is a RowGradient only the rows in it are updated; how many there are is read at each step, recorded ones too.
"""
cimport numpy as cnp
from libc.stdlib cimport calloc, free
from fastnn.kernels._arrays cimport dtype_index
from fastnn.kernels._core cimport keep, kernels, launch, launch_shares, shares
from fastnn.kernels._fnn cimport fnn_kernel, int64_t
from fastnn.kernels._parameter cimport RowGradient
from fastnn.kernels._table cimport fnn_clip_args, fnn_optimizer_args, fnn_optimizer_tick_args, fnn_row_sizes_args

import numpy as np

cnp.import_array()

cdef enum:
    MAX_SETTINGS = 9
    STATES = 3


cdef const fnn_kernel *step_kernel(str name) except NULL:
    if name == "sgd":
        return kernels.sgd_step
    if name == "adam":
        return kernels.adam_step
    if name == "rmsprop":
        return kernels.rmsprop_step
    if name == "adagrad":
        return kernels.adagrad_step
    raise ValueError(f"optimizer must be 'sgd', 'adam', 'rmsprop' or 'adagrad', got {name!r}")


cdef class Tables:
    """Where the arrays of the parameters that a step updates are: parameters, gradients, steps, rows and their numbers, then the states, a row of
    `count` each. sizes: of the gradients, then the widths of those of rows. sparse: the first parameter with one of these, -1 if there is none.
    """
    cdef void **pointers
    cdef size_t *sizes
    cdef size_t count, elements
    cdef Py_ssize_t sparse
    cdef int dtype

    def __cinit__(self, size_t count):
        self.count, self.elements, self.dtype, self.sparse = count, 0, 0, -1
        self.pointers = <void **>calloc((5 + STATES) * count + 1, sizeof(void *))
        self.sizes = <size_t *>calloc(2 * count + 1, sizeof(size_t))
        if self.pointers == NULL or self.sizes == NULL:
            raise MemoryError("the tables of a parameter group could not be allocated")

    def __dealloc__(self):
        free(self.pointers)
        free(self.sizes)

    cdef int launch_row_sizes(self) except -1:
        """Set the sizes of gradients that have only some rows."""
        return launch_row_sizes(self.sizes, self.pointers + 4 * self.count, self.count, self.dtype) if self.sparse >= 0 else 0


cdef int launch_row_sizes(size_t *sizes, void **counts, size_t count, int dtype) except -1:
    cdef fnn_row_sizes_args args
    args.sizes, args.counts, args.widths, args.count = sizes, <const int64_t **>counts, sizes + count, count
    return launch_shares(kernels.row_sizes[dtype], &args, sizeof(args), 1, 0, True)


cdef int place_rows(RowGradient gradient, size_t t, size_t count, void **rows, size_t *sizes) except -1:
    """Fill in tensor t's entries of the tables of rows and of their numbers, of sizes as they are now, and of widths; rows, sizes: where these begin."""
    cdef cnp.ndarray places = gradient.rows, number = gradient.range, values = gradient.values
    rows[t] = cnp.PyArray_DATA(places)
    rows[count + t] = <int64_t *>cnp.PyArray_DATA(number) + 1
    sizes[count + t] = cnp.PyArray_DIM(values, 1)
    sizes[t] = max(len(gradient), 1) * sizes[count + t]
    return 0


cdef class OptimizerGroup:
    """The parameters of one group with their states, stepped together in one kernel call.

    optimizer: "sgd", "adam", "rmsprop" or "adagrad"; parameters: a list of fastnn.nn.Parameter of one dtype; used: which of the three states
    exist; initial: what the first one starts from. `states[k][t]` is state k of parameter t, None where unused; `steps[t]` counts its steps.
    """
    cdef const fnn_kernel *kernel
    cdef readonly list parameters
    cdef readonly list states
    cdef readonly cnp.ndarray steps
    cdef list data, grads  # what the tables were made for; a gradient is None where the parameter is left out
    cdef Tables tables
    cdef double options[MAX_SETTINGS]
    cdef readonly tuple settings  # what `options` was made from

    def __init__(self, str optimizer, list parameters, tuple used, double initial=0):
        cdef Py_ssize_t count = len(parameters)
        self.kernel = step_kernel(optimizer)
        self.parameters = parameters
        self.states = [[np.full_like(p.data, initial if k == 0 else 0) if used[k] else None for p in parameters] for k in range(STATES)]
        self.steps = np.zeros(count)
        self.data = [None] * count
        self.grads = [None] * count
        self.tables = Tables(0)

    def step(self, tuple settings):
        """Update every parameter that has a gradient, and count the step. Parameters whose gradient is stale stay as they are."""
        cdef Py_ssize_t i
        cdef bint fresh = True
        cdef object p, grad
        self.set_options(settings)
        for i in range(len(self.parameters)):
            p = self.parameters[i]
            grad = None if p.stale else p._grad
            if p.data is not self.data[i] or grad is not self.grads[i]:
                fresh = False
                break
        if not fresh:
            self.tabulate()
        self.check_rows()
        if self.tables.elements:
            self.launch_step()

    def configure(self, tuple settings not None):
        """Set what the steps to come, recorded ones too, read."""
        self.set_options(settings)
        self.check_rows()

    cdef int set_options(self, tuple settings) except -1:
        cdef Py_ssize_t i
        for i in range(len(settings)):
            self.options[i] = settings[i]
        self.settings = settings
        return 0

    cdef int check_rows(self) except -1:
        """ValueError if there is a gradient that has only some rows, and the optimizer changes the others, too."""
        cdef double *o = self.options
        cdef bint takes
        if self.tables.sparse < 0:
            return 0
        if self.kernel == kernels.sgd_step:
            takes = o[1] == 0 and o[3] == 0
        elif self.kernel == kernels.adagrad_step:
            takes = o[2] == 0
        else:
            takes = self.kernel == kernels.adam_step and o[8] != 0
        if not takes:
            i = self.tables.sparse
            raise ValueError(f"params[{i}], of shape {self.parameters[i].shape}, has a gradient of its used rows only (sparse=True), which SGD without momentum, "
                             "Adagrad and SparseAdam take, all without weight_decay")
        return 0

    def states_of(self, Py_ssize_t t):
        """The state arrays of parameter t, None where unused."""
        return [arrays[t] for arrays in self.states]

    cdef int tabulate(self) except -1:
        """Write down where the arrays of all parameters with a gradient are. A recorded step keeps the tables that it was made with."""
        cdef Py_ssize_t i, t
        cdef list members = [i for i in range(len(self.parameters)) if not (self.parameters[i].stale or self.parameters[i]._grad is None)]
        cdef size_t count = len(members)
        cdef cnp.ndarray data, grad, state
        cdef Tables tables = Tables(count)
        for t, i in enumerate(members):
            p = self.parameters[i]
            data = p.data
            tables.sizes[t] = cnp.PyArray_SIZE(data)
            if isinstance(p._grad, RowGradient):
                grad = p._grad.values
                place_rows(p._grad, t, count, tables.pointers + 3 * count, tables.sizes)
                tables.sparse = i if tables.sparse < 0 else tables.sparse
            else:
                grad = p._grad
            if t and dtype_index(data) != tables.dtype:
                raise TypeError("the parameters of a group must have one dtype")
            tables.dtype = dtype_index(data)
            tables.pointers[t] = cnp.PyArray_DATA(data)
            tables.pointers[count + t] = cnp.PyArray_DATA(grad)
            tables.pointers[2 * count + t] = <double *>cnp.PyArray_DATA(self.steps) + i
            for k in range(STATES):
                if self.states[k][i] is not None:
                    if self.states[k][i].dtype != data.dtype:
                        self.states[k][i] = self.states[k][i].astype(data.dtype, order="K")
                    state = self.states[k][i]
                    tables.pointers[(5 + k) * count + t] = cnp.PyArray_DATA(state)
            tables.elements += tables.sizes[t]
        self.tables = tables
        self.data = [p.data for p in self.parameters]
        self.grads = [None if p.stale else p._grad for p in self.parameters]
        return 0

    cdef int launch_step(self) except -1:
        cdef Tables tables = self.tables
        cdef size_t count = tables.count
        cdef double cycles = 100 + tables.elements * (2.0 if tables.dtype == 0 else 5.0)
        cdef fnn_optimizer_tick_args tick
        cdef fnn_optimizer_args args
        tick.steps, tick.count = <double **>tables.pointers + 2 * count, count
        args.parameters, args.gradients, args.steps = tables.pointers, <const void **>tables.pointers + count, <const double **>tick.steps
        args.rows, args.states = <const int64_t **>tables.pointers + 3 * count, tables.pointers + 5 * count
        args.widths, args.sizes, args.settings, args.count = tables.sizes + count, tables.sizes, self.options, count
        keep(self)
        keep(tables)
        tables.launch_row_sizes()
        launch_shares(kernels.optimizer_tick[tables.dtype], &tick, sizeof(tick), 1, 0, False)
        return launch_shares(self.kernel[tables.dtype], &args, sizeof(args), shares(cycles), cycles, False)


# --- clipping ---

cdef class Gradients:
    """Pointers and sizes of a list of gradients of one dtype, for the clipping kernels; rows: the tables of those that have only some rows."""
    cdef void **pointers
    cdef void **rows
    cdef size_t *sizes
    cdef size_t count, blocks, elements
    cdef int dtype
    cdef bint sparse
    cdef list arrays

    def __init__(self, list gradients):
        cdef size_t i
        cdef cnp.ndarray g
        cdef list arrays = [gradient.values if isinstance(gradient, RowGradient) else gradient for gradient in gradients]
        self.arrays, self.count, self.blocks, self.elements, self.dtype, self.sparse = gradients, len(arrays), 0, 0, 0, False
        self.pointers = <void **>calloc(3 * self.count + 1, sizeof(void *))
        self.sizes = <size_t *>calloc(2 * self.count + 1, sizeof(size_t))
        if self.pointers == NULL or self.sizes == NULL:
            raise MemoryError("the tables of a gradient list could not be allocated")
        self.rows = self.pointers + self.count
        for i in range(self.count):
            if not isinstance(arrays[i], np.ndarray) or arrays[i].dtype not in (np.float32, np.float64):
                raise TypeError(f"gradients[{i}] must be a float32 or float64 ndarray, got {getattr(arrays[i], 'dtype', type(arrays[i]).__name__)}")
            g = arrays[i]
            if not (g.flags.forc and g.flags.behaved):
                raise ValueError(f"gradients[{i}] must be writeable, aligned and dense in memory")
            if i and dtype_index(g) != self.dtype:
                raise TypeError(f"gradients[{i}] must have gradients[0]'s dtype {arrays[0].dtype}, got {g.dtype}")
            self.dtype = dtype_index(g)
            self.pointers[i], self.sizes[i] = cnp.PyArray_DATA(g), cnp.PyArray_SIZE(g)
            self.blocks += (self.sizes[i] + BLOCK - 1) // BLOCK
            if isinstance(gradients[i], RowGradient):
                place_rows(gradients[i], i, self.count, self.rows, self.sizes)
                self.sparse = True
            self.elements += self.sizes[i]

    def __dealloc__(self):
        free(self.pointers)
        free(self.sizes)

    cdef fnn_clip_args args(self, double limit, int norm):
        cdef fnn_clip_args args
        args.gradients, args.sizes, args.count, args.blocks = self.pointers, self.sizes, self.count, self.blocks
        args.partials = args.total = NULL
        args.limit, args.norm = limit, norm
        keep(self)
        return args

    cdef int launch_row_sizes(self) except -1:
        return launch_row_sizes(self.sizes, self.rows + self.count, self.count, self.dtype) if self.sparse else 0


cdef enum:
    BLOCK = 16384  # elements to a partial sum: CLIP_BLOCK in csrc/ops/clip.h


def clip_grad_norm(list gradients, double max_norm, norm_type=2.0):
    """Scale gradient arrays in place so that the norm of all of them together is at most `max_norm`; returns the norm before.

    norm_type: 1, 2 or inf. The scale is max_norm / (norm + 1e-6) where that is below 1. ValueError for another norm or a negative max_norm.
    """
    if norm_type not in (1, 2, float("inf")):
        raise ValueError(f"norm_type must be 1, 2 or inf, got {norm_type}")
    if not max_norm >= 0:
        raise ValueError(f"max_norm must not be negative, got {max_norm}")
    cdef Gradients table = Gradients(gradients)
    cdef fnn_clip_args args = table.args(max_norm, 0 if norm_type == float("inf") else <int>norm_type)
    cdef cnp.ndarray partials = np.empty(table.blocks), total = np.empty(2)
    keep(partials), keep(total)
    table.launch_row_sizes()
    args.partials, args.total = <double *>cnp.PyArray_DATA(partials), <double *>cnp.PyArray_DATA(total)
    launch(kernels.gradient_norm_partials[table.dtype], &args, sizeof(args), 0.5 * table.elements)
    launch_shares(kernels.gradient_norm_total[table.dtype], &args, sizeof(args), 1, 0, True)
    launch_shares(kernels.gradient_norm_scale[table.dtype], &args, sizeof(args), shares(0.5 * table.elements), 0.5 * table.elements, False)
    return float(total[0])


def clip_grad_value(list gradients, double clip_value):
    """Limit every element of gradient arrays, in place, to [-clip_value, clip_value]. ValueError for a negative limit."""
    if not clip_value >= 0:
        raise ValueError(f"clip_value must not be negative, got {clip_value}")
    cdef Gradients table = Gradients(gradients)
    cdef fnn_clip_args args = table.args(clip_value, 0)
    table.launch_row_sizes()
    launch_shares(kernels.gradient_clip_value[table.dtype], &args, sizeof(args), shares(0.5 * table.elements), 0.5 * table.elements, False)
