"""Trainable arrays. In Cython, because every step looks at all of them."""
import numpy as np

from fastnn.kernels.elementwise import add, copy


cdef class Parameter:
    """A trainable array and its gradient.

    `data` keeps its identity from step to step. `grad`, of the same shape, dtype and memory order, is allocated when first asked for.
    `stale` says that the next backward overwrites the gradient instead of adding to it; zero_grad sets it.
    """

    def __init__(self, data):
        self.data = data
        self._grad = None
        self.stale = True

    @property
    def grad(self):
        if self._grad is None:
            self._grad = np.zeros_like(self.data)
        elif self.stale:
            self._grad[...] = 0
            self.stale = False
        return self._grad

    def grad_target(self):
        """For backward: the gradient's array, and whether to add to it; what it held is overwritten otherwise."""
        if self._grad is None:
            self._grad = np.zeros_like(self.data)
        accumulate = not self.stale
        self.stale = False
        return self._grad, accumulate

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
