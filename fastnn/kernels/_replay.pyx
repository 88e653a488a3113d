"""The way into a captured step: find that nothing has changed since it was recorded, say where the inputs are, replay.

What makes and arranges plans is in fastnn/captured; this is what every call goes through.
"""
cimport numpy as cnp
from cpython.dict cimport PyDict_Next
from cpython.list cimport PyList_GET_ITEM
from cpython.object cimport PyObject
from cpython.pythread cimport NOWAIT_LOCK, PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock
from fastnn.kernels cimport _core
from fastnn.kernels._core cimport Plan, interrupted, kernels, run_steps
from fastnn.kernels._parameter cimport Parameter
from libc.stdlib cimport free, malloc
from fastnn.kernels._fnn cimport FNN_CANCELLED, FNN_DONE, FNN_STOPPED, fnn_column, fnn_cycle, fnn_end, fnn_kernel, fnn_steps, int64_t, uint64_t

import os

import numpy as np

cnp.import_array()

cdef extern from "numpy/arrayobject.h":
    bint PyArray_ISCARRAY_RO(cnp.ndarray)

cdef enum:
    MAX_INPUTS = 16  # inputs and outputs together
    BYTES_PER_SHARE = 262144  # of rows gathered


cdef class Watched:
    """Objects that must stay what they are: dicts, by the identity of their entries, and the arrays of parameters.

    ignore, also: keys that may change.
    """
    cdef list dicts, parameters
    cdef list held            # what the pointers below point to
    cdef PyObject **entries   # keys and values of all dicts, each followed by NULL; then data and gradient of each parameter
    cdef PyObject *ignore
    cdef PyObject *also

    def __init__(self, list dicts, list parameters, str ignore, str also=""):
        cdef Py_ssize_t i
        cdef dict d
        self.dicts, self.parameters = dicts, parameters
        self.held = [ignore, also]
        self.ignore, self.also = <PyObject *>ignore, <PyObject *>also
        for d in dicts:
            for key, value in d.items():
                if key is not ignore and key is not also:
                    self.held += [key, value]
            self.held.append(self)  # the end of a dict
        for p in parameters:
            self.held += [(<Parameter?>p).data, (<Parameter>p)._grad]
        free(self.entries)
        self.entries = <PyObject **>malloc(len(self.held) * sizeof(PyObject *))
        if self.entries == NULL:
            raise MemoryError("a list of what is watched could not be allocated")
        for i in range(2, len(self.held)):
            self.entries[i - 2] = NULL if self.held[i] is self else <PyObject *>self.held[i]
        self.held = [item for item in self.held if item is not self]

    def __dealloc__(self):
        free(self.entries)

    cdef bint unchanged(self) noexcept:
        cdef PyObject **entry = self.entries
        cdef PyObject *key
        cdef PyObject *value
        cdef Py_ssize_t i, position
        cdef Parameter p
        for i in range(len(self.dicts)):
            position = 0
            while PyDict_Next(<object>PyList_GET_ITEM(self.dicts, i), &position, &key, &value):
                if key == self.ignore or key == self.also:
                    continue
                if entry[0] != key or entry[1] != value:
                    return False
                entry += 2
            if entry[0] != NULL:
                return False
            entry += 1
        for i in range(len(self.parameters)):
            p = <Parameter>PyList_GET_ITEM(self.parameters, i)
            if <PyObject *>p.data != entry[0] or <PyObject *>p._grad != entry[1]:
                return False
            entry += 2
        return True


cdef class Ready:
    """A plan with what its caller needs to know.

    inputs: an array of the shape and dtype of each input; outputs: of each array that a call returns anew; how inputs and outputs are bunched into
    tuples: see `bunches`. value: the cell with the loss, or None.
    output: the array in which the plan leaves the model's output. once: a plan that prepares what this one reads, or None. calls: what the plan
    was made of.
    """
    cdef Plan plan
    cdef readonly Plan once
    cdef readonly tuple inputs, outputs
    cdef readonly object value, output, calls
    cdef public tuple bunched_inputs, bunched_outputs
    cdef fnn_kernel one_of_them
    cdef size_t threads

    def __init__(self, Plan plan, Plan once, tuple inputs, tuple outputs, value, output, calls):
        if len(inputs) + len(outputs) > MAX_INPUTS:
            raise ValueError(f"a captured model must have at most {MAX_INPUTS} inputs and outputs, got {len(inputs) + len(outputs)}")
        self.plan, self.once, self.inputs, self.outputs = plan, once, inputs, outputs
        self.value, self.output, self.calls = value, output, calls
        self.one_of_them, self.threads = kernels.gemm[0], _core.threads()

    cdef bint takes(self, tuple given) except -1:
        """Whether these are arrays that the plan can read as they are, and threads and instruction set are those that it was made for."""
        cdef Py_ssize_t i, n = len(self.inputs)
        if len(given) != n or self.threads != _core.threads() or self.one_of_them != kernels.gemm[0]:
            return False
        for i in range(n):
            if not fits(given[i], <cnp.ndarray>self.inputs[i]):
                return False
        return True

    def is_for(self, tuple given):
        """The same, for Python."""
        return self.takes(given)

    def timed(self, tuple arrays):
        """Replay on these arrays, inputs then outputs; returns the seconds that each call took."""
        cdef size_t i
        for i, array in enumerate(arrays):
            self.plan.bind(i, cnp.PyArray_DATA(<cnp.ndarray>array))
        return self.plan.timed()

    def prepare(self):
        """Compute anew what the plan derives from parameters."""
        if self.once is not None and self.once.run() != FNN_DONE:
            interrupted()

    cdef object number(self):
        cdef cnp.ndarray cell = self.value
        if cnp.PyArray_TYPE(cell) == cnp.NPY_FLOAT:
            return <double>(<float *>cnp.PyArray_DATA(cell))[0]
        return (<double *>cnp.PyArray_DATA(cell))[0]


def bunches(values):
    """The sizes of the tuples among `values`, 0 for what is none; None where none is."""
    if not any([isinstance(value, (tuple, list)) for value in values]):
        return None
    return tuple([len(value) if isinstance(value, (tuple, list)) else 0 for value in values])


def flattened(values):
    """`values` with the members of its tuples in their place."""
    flat = []
    for value in values:
        flat += value if isinstance(value, (tuple, list)) else (value,)
    return tuple(flat)


def bunched(flat, sizes):
    """The values that were flattened, from their bunches."""
    if sizes is None:
        return tuple(flat)
    left = iter(flat)
    return tuple([tuple([next(left) for _ in range(n)]) if n else next(left) for n in sizes])


cdef inline bint fits(object given, cnp.ndarray like) except -1:
    return (cnp.PyArray_CheckExact(given) and cnp.PyArray_TYPE(<cnp.ndarray>given) == cnp.PyArray_TYPE(like)
            and cnp.PyArray_SAMESHAPE(<cnp.ndarray>given, like) and PyArray_ISCARRAY_RO(<cnp.ndarray>given))


cdef size_t forks = 0  # between the first process and this one


def _forked():
    global forks
    forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


cdef class Captured:
    """What captured steps and captured predictions have in common. Subclasses write `prepare` and, where there is something to do before or after a
    replay, `refresh` and the attributes below.

    cycle: the plans that are used by turns for inputs like the last ones, None where there is none yet; turn: whose turn it is.
    watched: None, or what must not have changed. groups: [[group, tensors, settings, Watched of the group], …] of an optimizer.
    active: parameters that get a gradient. writes: the value of count_writes() for which `once` has run, -1 if there is none.
    """
    cdef public list cycle, groups, active
    cdef public size_t turn, done
    cdef public object watched, optimizer
    cdef public int64_t writes
    cdef PyThread_type_lock lock
    cdef size_t forks

    def __cinit__(self, *_, **__):
        self.forks = forks
        self.cycle, self.groups, self.active, self.turn, self.done, self.writes = [None], [], [], 0, 0, -1
        self.lock = PyThread_allocate_lock()
        if self.lock == NULL:
            raise MemoryError("a lock could not be allocated")

    def __dealloc__(self):
        if self.lock != NULL:
            PyThread_free_lock(self.lock)

    def __call__(self, *inputs):
        cdef Ready ready
        self.enter()
        try:
            ready = <Ready>self.cycle[self.turn]
            flat = inputs
            if ready is not None and ready.bunched_inputs is not None:
                flat = flattened(inputs) if bunches(inputs) == ready.bunched_inputs else ()
            if ready is not None and ready.takes(flat) and self.current() and not self.is_outdated():
                return self.replay(ready, flat)
            return self.prepare(inputs)
        finally:
            PyThread_release_lock(self.lock)

    def prepare(self, tuple inputs):
        """Called where no plan is at hand: make `cycle` fit and run it, or run without a plan. Returns what the call returns."""
        raise NotImplementedError(f"{type(self).__name__} does not define prepare")

    cdef int enter(self) except -1:
        if self.forks != forks:  # the thread that held the lock, if one did, is not in this process
            PyThread_free_lock(self.lock)
            self.lock = PyThread_allocate_lock()
            if self.lock == NULL:
                raise MemoryError("a lock could not be allocated")
            self.forks = forks
        if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            raise RuntimeError(f"this {type(self).__name__} is running already: it is for one thread at a time; capture one for each thread")
        return 0

    cdef bint current(self) except -1:
        if self.watched is not None and not (<Watched>self.watched).unchanged():
            return False
        if self.optimizer is not None and not self.same_groups(self.optimizer.param_groups, self.optimizer._groups):
            return False
        return True

    cpdef bint is_outdated(self) except -1:
        """Whether parameters may have changed since plans prepared what they derive from them."""
        return self.writes >= 0 and <uint64_t>self.writes != _core.writes

    cdef bint same_groups(self, list options, list tensors) except -1:
        cdef Py_ssize_t i
        if len(options) != len(self.groups) or len(tensors) != len(self.groups):
            return False
        for i in range(len(self.groups)):
            if (<list>self.groups[i])[0] is not options[i] or (<list>self.groups[i])[1] is not tensors[i]:
                return False
        return True

    def is_current(self):
        """Whether what plans were made for is still so."""
        return self.current()

    cdef int configure(self) except -1:
        """Bring an optimizer's options to where its kernels read them."""
        cdef list entry
        for entry in self.groups:
            if entry[1].settings is not entry[2] or not (<Watched>entry[3]).unchanged():
                self.optimizer.check(entry[0])
                entry[1].configure(self.optimizer.settings(entry[0]))
                entry[2], entry[3] = entry[1].settings, Watched([entry[0]], [], "")
        return 0

    def replay(self, Ready ready not None, tuple inputs):
        """Run a plan on arrays that it takes."""
        cdef size_t i = 0
        cdef fnn_end end
        cdef cnp.ndarray array
        cdef list made = []
        self.configure()
        for i in range(len(ready.inputs)):
            ready.plan.bind(i, cnp.PyArray_DATA(<cnp.ndarray>inputs[i]))
        for i, like in enumerate(ready.outputs, len(ready.inputs)):
            array = cnp.PyArray_EMPTY(cnp.PyArray_NDIM(<cnp.ndarray>like), cnp.PyArray_DIMS(<cnp.ndarray>like), cnp.PyArray_TYPE(<cnp.ndarray>like), 0)
            ready.plan.bind(i, cnp.PyArray_DATA(array))
            made.append(array)
        with nogil:
            end = ready.plan.run()
        if end != FNN_DONE:
            return self.ended(end, inputs)
        self.made_step(1)
        if ready.value is not None:
            return ready.number()
        return made[0] if len(made) == 1 else bunched(made, ready.bunched_outputs)

    cdef object ended(self, fnn_end end, tuple inputs):
        """After a replay that did not get to its end."""
        self.forget_gradients()
        if end == FNN_CANCELLED:
            interrupted()
        return self.refuse(inputs)

    cdef int forget_gradients(self) except -1:
        """After an unfinished step; one that adds to the gradients of the steps before has put these back."""
        if self.turn == 0:
            for p in self.active:
                p.stale = True
        return 0

    def refuse(self, tuple inputs):
        """Called where a check found bad data: raise what the eager code raises."""
        raise NotImplementedError(f"{type(self).__name__} does not define refuse")

    cdef int made_step(self, size_t steps) except -1:
        if self.groups:
            _core.writes += 1
        self.turn = (self.turn + steps) % len(self.cycle)
        cdef Parameter p
        for p in self.active:
            p.stale = False
        return 0

    def run_steps(self, tuple columns, order, size_t batch, cnp.ndarray values, outputs):
        """Replay `cycle` once for each of len(values) batches; see fnn_plan_steps. Returns None, or the columns' rows that a check has refused.

        columns: C-ordered arrays of the plans' dtypes, with enough rows. order: int64 row numbers within them, or None. values: takes the losses;
        outputs: takes the outputs of all batches, or None. `done` counts the steps made, also when KeyboardInterrupt is raised.
        """
        cdef fnn_steps steps
        cdef fnn_cycle cycle[64]
        cdef fnn_column column[MAX_INPUTS]
        cdef list gathered = []
        cdef fnn_end end
        cdef Ready ready
        cdef cnp.ndarray array, rows
        cdef size_t i
        self.done = 0
        for i in range(len(self.cycle)):
            ready = <Ready>self.cycle[i]
            array = ready.value
            cycle[i].plan, cycle[i].value, cycle[i].output = ready.plan.plan, cnp.PyArray_DATA(array), cnp.PyArray_DATA(<cnp.ndarray>ready.output)
        steps.value_bytes, steps.output_bytes = cnp.PyArray_ITEMSIZE(array), cnp.PyArray_NBYTES(<cnp.ndarray>ready.output)
        for i in range(len(columns)):
            rows = columns[i]
            column[i].rows, column[i].gathered = cnp.PyArray_DATA(rows), NULL
            column[i].bytes = cnp.PyArray_NBYTES(<cnp.ndarray>ready.inputs[i]) // batch
            if order is not None:
                array = np.empty(np.shape(ready.inputs[i]), rows.dtype)
                gathered.append(array)
                column[i].gathered = cnp.PyArray_DATA(array)
        steps.cycle, steps.cycles, steps.first, steps.column, steps.columns = cycle, len(self.cycle), self.turn, column, len(columns)
        steps.order = NULL if order is None else <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray>order)
        steps.batch, steps.steps, steps.done, steps.bytes_per_share = batch, cnp.PyArray_SIZE(values), 0, BYTES_PER_SHARE
        steps.values = cnp.PyArray_DATA(values)
        steps.outputs = NULL if outputs is None else cnp.PyArray_DATA(<cnp.ndarray>outputs)
        self.enter()
        try:
            self.configure()
            with nogil:
                end = run_steps(&steps)
            self.done = steps.done
            self.made_step(steps.done)
            if end == FNN_DONE:
                return None
            self.forget_gradients()
            if end == FNN_CANCELLED:
                interrupted()
            return slice(self.done * batch, (self.done + 1) * batch)
        finally:
            PyThread_release_lock(self.lock)
