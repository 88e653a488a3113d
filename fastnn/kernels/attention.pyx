"""Scaled dot-product attention and its derivative. Formulas: fastnn.reference.attention; arithmetic: csrc/attention.

q, k, v: (batch, heads, length or keys, dim) of any strides: slices of one array that holds all three, or of one with the heads beside each other in its
last axis, cost no copy as long as their own last axis is contiguous. Results have the memory order of what they belong to: y that of q, so that it
can be seen as (length, batch, heads dim) where q was made from such an array.
"""
cimport numpy as cnp
from libc.math cimport sqrt
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport uint64_t
from libc.string cimport memset
from fastnn.kernels._arrays cimport dimensions, dtype_index, new, real, require_shape, same_dtype, strided
from fastnn.kernels._core cimport Scratch, borrow, give_back, keep, kernels, launch_shares, shares
from fastnn.kernels._fnn cimport fnn_kernel
from fastnn.kernels._table cimport fnn_advance_args, fnn_attention_args
from fastnn.kernels.dropout cimport word, words
from fastnn.kernels.elementwise import copy

import numpy as np

cnp.import_array()

AXES = "(batch, heads, length, dim)"


cdef cnp.ndarray four_axes(object x, str name):
    """`x` with four axes, the last of them contiguous."""
    cdef cnp.ndarray a = strided(x, name)
    if cnp.PyArray_NDIM(a) != 4:
        raise ValueError(f"{name} must have shape {AXES}, got {np.shape(a)}")
    return copy(a) if cnp.PyArray_DIM(a, 3) > 1 and cnp.PyArray_STRIDE(a, 3) != cnp.PyArray_ITEMSIZE(a) else a


cdef int fits(cnp.ndarray a, str name, cnp.ndarray q, str q_name, tuple shape) except -1:
    """Raise unless `a` has q's dtype and this shape; -1 stands for any size."""
    cdef int i
    same_dtype(q, q_name, a, name)
    for i in range(4):
        if shape[i] >= 0 and cnp.PyArray_DIM(a, i) != shape[i]:
            wanted = ", ".join("any" if n < 0 else str(n) for n in shape)
            raise ValueError(f"{name} must have shape ({wanted}) for {q_name} of shape {np.shape(q)}, got {np.shape(a)}")
    return 0


cdef void strides_of(ptrdiff_t *strides, cnp.ndarray a, int axes) noexcept:
    cdef int i
    for i in range(axes):
        strides[i] = cnp.PyArray_STRIDE(a, i) // cnp.PyArray_ITEMSIZE(a)


cdef cnp.ndarray new_like_order(cnp.ndarray x, tuple shape):
    """A new array of this shape, its first three axes in memory as x has them and the last one contiguous."""
    cdef cnp.npy_intp dims[64]
    order = sorted(range(3), key=lambda i: -abs(x.strides[i])) + [3]
    dimensions(dims, tuple([shape[i] for i in order]), cnp.PyArray_ITEMSIZE(x), "the result")
    return new(4, dims, cnp.PyArray_TYPE(x)).transpose(np.argsort(order))


cdef cnp.ndarray gradient_of(object given, str name, cnp.ndarray x):
    """The array for x's gradient: `given`, or a new one."""
    if given is None:
        return new_like_order(x, np.shape(x))
    cdef cnp.ndarray a = strided(given, name)
    if a is not given or not cnp.PyArray_ISWRITEABLE(a) or cnp.PyArray_NDIM(a) != 4 or four_axes(a, name) is not a:
        raise TypeError(f"{name} must be a writeable, native ndarray of four axes, the last of them contiguous")
    fits(a, name, x, name[1:], np.shape(x))
    return a


cdef cnp.ndarray mask_array(object mask, str name, cnp.ndarray q, tuple shape, bint *is_bytes):
    """A mask of booleans or of q's dtype, broadcast to `shape`."""
    cdef cnp.ndarray a = np.asarray(mask)
    is_bytes[0] = a.dtype == np.bool_
    if is_bytes[0]:
        keep(a)
    elif a.dtype.kind == "f":
        a = strided(a, name)
        same_dtype(q, "q", a, name)
    else:
        raise TypeError(f"{name} must be bool or {q.dtype}, got {a.dtype}")
    try:
        return np.broadcast_to(a, shape)
    except ValueError:
        raise ValueError(f"{name} must broadcast to {shape}, got shape {np.shape(a)}") from None


cdef class Attention:
    """The checked arguments that forward, backward and weights have in common. `owners` keeps arrays alive for the launch."""

    cdef fnn_attention_args args
    cdef cnp.ndarray q, k, v
    cdef int dtype
    cdef list owners

    def __init__(self, q, k, v, mask, key_padding_mask, causal, scale, double dropout_p, seed, stream, state):
        cdef fnn_attention_args *args = &self.args
        cdef bint is_bytes
        memset(args, 0, sizeof(args[0]))
        self.q, self.k = four_axes(q, "q"), four_axes(k, "k")
        batch, heads, length, dim = np.shape(self.q)
        fits(self.k, "k", self.q, "q", (batch, heads, -1, dim))
        keys = self.k.shape[2]
        args.batch, args.heads, args.length, args.keys, args.dim = batch, heads, length, keys, dim
        args.q, args.k = cnp.PyArray_DATA(self.q), cnp.PyArray_DATA(self.k)
        strides_of(args.q_stride, self.q, 3)
        strides_of(args.k_stride, self.k, 3)
        self.dtype = dtype_index(self.q)
        if v is not None:
            self.v = four_axes(v, "v")
            fits(self.v, "v", self.q, "q", (batch, heads, keys, -1))
            args.v, args.v_dim = cnp.PyArray_DATA(self.v), cnp.PyArray_DIM(self.v, 3)
            strides_of(args.v_stride, self.v, 3)
        self.owners = []
        if mask is not None:
            held = mask_array(mask, "mask", self.q, (batch, heads, length, keys), &is_bytes)
            strides_of(args.mask_stride, held, 4)
            args.mask, args.mask_bytes = cnp.PyArray_DATA(<cnp.ndarray>held), is_bytes
            self.owners.append(held)
        if key_padding_mask is not None:
            if np.shape(key_padding_mask) != (batch, keys):
                raise ValueError(f"key_padding_mask must have shape {(batch, keys)}, got {np.shape(key_padding_mask)}")
            held = mask_array(key_padding_mask, "key_padding_mask", self.q, (batch, keys), &is_bytes)
            strides_of(args.padding_stride, held, 2)
            args.padding, args.padding_bytes = cnp.PyArray_DATA(<cnp.ndarray>held), is_bytes
            self.owners.append(held)
        args.causal = bool(causal)
        args.scale = 1 / sqrt(max(dim, 1)) if scale is None else scale
        if not 0 <= dropout_p <= 1:
            raise ValueError(f"dropout_p must be between 0 and 1, got {dropout_p}")
        args.threshold, args.kept = <uint64_t>(dropout_p * 4294967296.0), 1 / (1 - dropout_p) if dropout_p < 1 else 0
        args.seed, args.stream = word(seed, "seed"), word(stream, "stream")
        if state is not None:
            args.state = words(state)
            self.owners.append(state)

    cdef int run(self, fnn_kernel *kernel, double products) except -1:
        """Launch a kernel that makes so many products of every block of scores."""
        cdef fnn_attention_args *args = &self.args
        cdef Scratch scratch
        cdef double scores = <double>args.batch * args.heads * args.length * args.keys * (0.5 if args.causal else 1)
        cdef double cycles = 500 + scores * (products * 0.5 * (args.dim + args.v_dim) / (24 if self.dtype == 0 else 12) + (12 if args.threshold else 3))
        cdef size_t parts = shares(cycles), size = 64 * (4 * args.dim + 3 * args.v_dim + 320) * (4 if self.dtype == 0 else 8)
        if not args.batch * args.heads:
            return 0
        scratch = borrow(size * parts)
        args.scratch = scratch.data
        launch_shares(kernel[self.dtype], args, sizeof(args[0]), parts, cycles, True)
        return give_back(scratch)

    cdef int saved(self, object top, object total) except -1:
        """What forward saved for each row."""
        cdef cnp.ndarray a = real(top, "top"), b = real(total, "total")
        same_dtype(self.q, "q", a, "top")
        same_dtype(self.q, "q", b, "total")
        require_shape(a, "top", 3, cnp.PyArray_DIMS(self.q))
        require_shape(b, "total", 3, cnp.PyArray_DIMS(self.q))
        self.args.saved_top, self.args.saved_total = cnp.PyArray_DATA(a), cnp.PyArray_DATA(b)
        self.owners += [a, b]
        return 0


def scaled_dot_product_attention(q, k, v, *, mask=None, key_padding_mask=None, causal=False, scale=None, dropout_p=0.0, seed=0, stream=0, state=None):
    """(y, top, total): y = dropout(softmax(scale q kᵀ + masks)) v, and of each row of scores the largest and the sum of exp(score - top).

    q: (batch, heads, length, dim); k: (batch, heads, keys, dim); v: (batch, heads, keys, v_dim); y: (batch, heads, length, v_dim); top, total:
    (batch, heads, length). Masks: booleans, True where a query may not look, or numbers of q's dtype that are added; `mask` broadcasts to (batch,
    heads, length, keys), key_padding_mask is (batch, keys). causal: query i looks at the keys up to i. A query that may look at nothing has y = 0.
    scale: 1 / √dim where None. dropout_p: the mask of weights is a function of seed, stream and element; `state`, an array of two uint64 {seed, stream},
    takes their place, its stream advanced first. Never holds more than a block of scores. ValueError or TypeError where shapes or dtypes do not fit.
    """
    cdef Attention a = Attention(q, k, v, mask, key_padding_mask, causal, scale, dropout_p, seed, stream, state)
    cdef fnn_advance_args advance
    cdef cnp.ndarray y = new_like_order(a.q, np.shape(a.q)[:3] + np.shape(a.v)[3:])
    cdef cnp.ndarray top = new(3, cnp.PyArray_DIMS(a.q), cnp.PyArray_TYPE(a.q)), total = new(3, cnp.PyArray_DIMS(a.q), cnp.PyArray_TYPE(a.q))
    a.args.y, a.args.top, a.args.total = cnp.PyArray_DATA(y), cnp.PyArray_DATA(top), cnp.PyArray_DATA(total)
    strides_of(a.args.y_stride, y, 3)
    if state is not None:
        advance.counter = words(state) + 1
        launch_shares(kernels.advance[0], &advance, sizeof(advance), 1, 1, False)
    a.run(kernels.scaled_dot_product_attention_forward, 2)
    return y, top, total


def scaled_dot_product_attention_backward(
    dy, q, k, v, y, top, total, *, mask=None, key_padding_mask=None, causal=False, scale=None, dropout_p=0.0, seed=0, stream=0, state=None,
    dq=None, dk=None, dv=None,
):
    """(dq, dk, dv), from forward's arguments and results. `dq`, `dk`, `dv` are arrays to write into, of any strides but for the last axis."""
    cdef Attention a = Attention(q, k, v, mask, key_padding_mask, causal, scale, dropout_p, seed, stream, state)
    cdef cnp.ndarray g = four_axes(dy, "dy"), out = four_axes(y, "y"), p, r, s
    cdef tuple shape = np.shape(a.q)[:3] + np.shape(a.v)[3:]
    fits(g, "dy", a.q, "q", shape)
    fits(out, "y", a.q, "q", shape)
    a.saved(top, total)
    p, r, s = gradient_of(dq, "dq", a.q), gradient_of(dk, "dk", a.k), gradient_of(dv, "dv", a.v)
    a.args.dq, a.args.dk, a.args.dv = cnp.PyArray_DATA(p), cnp.PyArray_DATA(r), cnp.PyArray_DATA(s)
    a.args.dy, a.args.saved_y = cnp.PyArray_DATA(g), cnp.PyArray_DATA(out)
    strides_of(a.args.dq_stride, p, 3)
    strides_of(a.args.dk_stride, r, 3)
    strides_of(a.args.dv_stride, s, 3)
    strides_of(a.args.dy_stride, g, 3)
    strides_of(a.args.y_stride, out, 3)
    a.run(kernels.scaled_dot_product_attention_backward, 5)
    return p, r, s


def scaled_dot_product_attention_weights(
    q, k, top, total, *, mask=None, key_padding_mask=None, causal=False, scale=None, dropout_p=0.0, seed=0, stream=0, state=None,
):
    """The weights, (batch, heads, length, keys), that the forward with these arguments and results multiplied v by, dropout included."""
    cdef Attention a = Attention(q, k, None, mask, key_padding_mask, causal, scale, dropout_p, seed, stream, state)
    cdef cnp.npy_intp shape[64]
    cdef cnp.ndarray weights
    a.saved(top, total)
    dimensions(shape, np.shape(a.q)[:3] + np.shape(a.k)[2:3], cnp.PyArray_ITEMSIZE(a.q), "the weights")
    weights = new(4, shape, cnp.PyArray_TYPE(a.q))
    a.args.weights = cnp.PyArray_DATA(weights)
    a.run(kernels.scaled_dot_product_attention_weights, 2)
    return weights
