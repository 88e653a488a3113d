"""Trainable arrays. In Cython, because every step looks at all of them."""
import numpy as np

from fastnn.kernels.elementwise import add, copy


cdef class RowGradient:
    """The gradient of a table that is 0 but for some rows: values[u] is that of row rows[u], for u < range[1].

    `values` and `rows` have room for all rows of the table `like`, but memory that no row has needed is never touched, so it takes none. `places` and
    range[0] are the kernels' own, see csrc/ops/embedding.h.
    """

    def __init__(self, like):
        if like.ndim != 2 or not like.flags.c_contiguous:
            raise ValueError(f"a gradient of used rows is for a C-ordered table (rows, dim), got shape {like.shape}")
        self.values = np.empty(like.shape, like.dtype)
        self.rows = np.empty(len(like), np.int64)
        self.places = np.zeros(len(like), np.int64)
        self.range = np.zeros(2, np.int64)

    @property
    def arrays(self):
        return self.values, self.rows, self.places, self.range

    def __len__(self):
        """How many rows there are."""
        return int(self.range[1])

    def dense(self):
        """A new array with all rows."""
        full = np.zeros_like(self.values)
        full[self.rows[:len(self)]] = self.values[:len(self)]
        return full


cdef class Parameter:
    """A trainable array and its gradient.

    `data` keeps its identity from step to step. `grad`, of the same shape, dtype and memory order, is allocated when first asked for.
    `stale` says that the next backward overwrites the gradient instead of adding to it; zero_grad sets it. Of a gradient that has
    only the rows in use (`row_grad`), `grad` is a copy with all of them.
    """

    def __init__(self, data):
        self.data = data
        self._grad = None
        self.stale = True

    @property
    def grad(self):
        if isinstance(self._grad, RowGradient):
            return np.zeros_like(self.data) if self.stale else self._grad.dense()
        if self._grad is None:
            self._grad = np.zeros_like(self.data)
        elif self.stale:
            self._grad[...] = 0
            self.stale = False
        return self._grad

    def grad_target(self):
        """For backward: the gradient's array, and whether to add to it; what it held is overwritten otherwise."""
        if self._grad is None or self._is_replaced(RowGradient):
            self._grad = np.zeros_like(self.data)
        accumulate = not self.stale
        self.stale = False
        return self._grad, accumulate

    def row_grad_target(self):
        """The same for a gradient that has only the rows in use: a RowGradient, and whether to add to it."""
        if self._grad is None or self._is_replaced(np.ndarray):
            self._grad = RowGradient(self.data)
        accumulate = not self.stale
        self.stale = False
        return self._grad, accumulate

    cdef bint _is_replaced(self, kind) except -1:
        """Whether the gradient is of this kind and may be replaced by one of the other."""
        if isinstance(self._grad, kind) and not self.stale:
            raise RuntimeError("gradients of used rows (sparse=True) and of all rows cannot be added up in one parameter: zero_grad in between")
        return isinstance(self._grad, kind)

    def add_grad(self, gradient):
        """Add to the gradient, or set it where it is stale."""
        grad, accumulate = self.grad_target()
        copy(add(grad, gradient) if accumulate else gradient, out=grad)

    @property
    def shape(self):
        return self.data.shape

    @property
    def dtype(self):
        return self.data.dtype

    @property
    def size(self):
        return self.data.size

    def __array__(self, dtype=None, copy=None):
        return np.array(self.data, dtype=dtype) if copy or dtype is not None else self.data

    def __repr__(self):
        return f"Parameter(shape={self.shape}, dtype={self.dtype})"
