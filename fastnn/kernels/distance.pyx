"""How alike two arrays are row by row, and the losses of that. Formulas: fastnn.reference.distance; arithmetic: csrc/ops/distance.h, loss_margin.h.

The arrays of one call have one dtype and broadcast to one shape. The backwards return a gradient for each of them, of its own shape; `saved` is what
the forward returned with `keep`, or None: it is computed once more. Reductions are those of fastnn.kernels.loss.
"""
cimport numpy as cnp
from operator import index

from fastnn.kernels._arrays cimport dtype_index, new, new_like, real, same_dtype
from fastnn.kernels._core cimport kernels, launch
from fastnn.kernels._reduction cimport reduction_code
from fastnn.kernels._table cimport fnn_cosine_args, fnn_cosine_backward_args, fnn_distance_args, fnn_distance_backward_args
from fastnn.kernels.loss cimport backward, forward

import numpy as np

from fastnn.kernels.elementwise import add, copy, scale, sum_to

cnp.import_array()

cdef double EMBEDDING_EPS = 1e-12  # PyTorch adds it to the squared norms in cosine_embedding_loss


cdef list together(tuple given, tuple names):
    """The arrays, broadcast to their common shape; ValueError where there is none."""
    cdef list arrays = [real(x, name) for x, name in zip(given, names)]
    for a, name in zip(arrays[1:], names[1:]):
        same_dtype(arrays[0], names[0], a, name)
    shapes = [np.shape(a) for a in arrays]
    if shapes.count(shapes[0]) == len(shapes):
        return arrays
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{', '.join(names[:-1])} and {names[-1]} must have shapes that broadcast, got {', '.join(map(str, shapes))}") from None
    return [a if np.shape(a) == shape else copy(np.broadcast_to(a, shape)) for a in arrays]


cdef list rows_of(object x1, object x2, str name1, str name2):
    """Both arrays in one shape that has rows."""
    cdef list both = together((x1, x2), (name1, name2))
    if np.ndim(both[0]) == 0:
        raise ValueError(f"{name1} and {name2} must have at least one axis, got ()")
    return both


cdef cnp.ndarray row_gradient(object dy, cnp.ndarray x, bint keepdim):
    """dy as one number for each row of x."""
    cdef cnp.ndarray g = real(dy, "dy")
    same_dtype(x, "x1", g, "dy")
    shape = np.shape(x)[:-1] + (1,) * keepdim
    if np.shape(g) != shape:
        raise ValueError(f"dy must have shape {shape}, got {np.shape(g)}")
    return g


cdef double at_least_0(object value, str name) except? -1:
    cdef double number = value
    if not number >= 0:
        raise ValueError(f"{name} must be at least 0, got {value}")
    return number


cdef list kept(object saved, cnp.ndarray x, tuple counts, str name):
    """The arrays that a loss' forward on rows like x's kept, with so many numbers for each row."""
    cdef list arrays = [real(a, "saved") for a in saved[1:]]
    rows = np.shape(x)[:-1]
    sizes = [count * int(np.prod(rows, dtype=np.int64)) for count in counts]
    if [np.size(a) for a in arrays] != sizes or any([a.dtype != x.dtype for a in arrays]) or np.shape(arrays[0]) != rows:
        raise ValueError(f"saved must be what {name}(..., keep=True) returned for these arrays")
    return arrays


# ---- cosine ----


cdef tuple cosine(cnp.ndarray a, cnp.ndarray b, double eps, bint added):
    """(cosine, factors) of the rows."""
    cdef fnn_cosine_args args
    cdef int ndim = cnp.PyArray_NDIM(a)
    cdef cnp.ndarray y = new(ndim - 1, cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a)), factors
    cdef cnp.npy_intp shape[2]
    shape[0], shape[1] = cnp.PyArray_SIZE(y), 3
    factors = new(2, shape, cnp.PyArray_TYPE(a))
    args.y, args.factors, args.x1, args.x2 = cnp.PyArray_DATA(y), cnp.PyArray_DATA(factors), cnp.PyArray_DATA(a), cnp.PyArray_DATA(b)
    args.rows, args.n, args.eps, args.added = shape[0], cnp.PyArray_DIM(a, ndim - 1), eps, added
    launch(kernels.cosine_similarity_forward[dtype_index(a)], &args, sizeof(args), args.rows * (30.0 + 0.5 * args.n))
    return y, factors


cdef tuple cosine_backward(cnp.ndarray g, cnp.ndarray a, cnp.ndarray b, cnp.ndarray factors):
    cdef fnn_cosine_backward_args args
    cdef cnp.ndarray da = new_like(a), db = new_like(a)
    args.dx1, args.dx2, args.dy = cnp.PyArray_DATA(da), cnp.PyArray_DATA(db), cnp.PyArray_DATA(g)
    args.x1, args.x2, args.factors = cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_DATA(factors)
    args.rows, args.n = cnp.PyArray_SIZE(g), cnp.PyArray_DIM(a, cnp.PyArray_NDIM(a) - 1)
    launch(kernels.cosine_similarity_backward[dtype_index(a)], &args, sizeof(args), args.rows * (20.0 + 0.5 * args.n))
    return da, db


cdef list with_rows_last(list both, object dim):
    """The arrays with the axis `dim` moved to the end."""
    cdef int ndim = np.ndim(both[0]), axis = index(dim) if -ndim <= index(dim) < ndim else ndim
    if axis == ndim:
        raise ValueError(f"dim must be from {-ndim} to {ndim - 1} for arrays of {ndim} dimensions, got {dim}")
    return both if axis in (-1, ndim - 1) else [copy(np.moveaxis(x, axis, -1)) for x in both]


def cosine_similarity(x1, x2, dim=1, eps=1e-8, *, bint keep=False):
    """x1·x2 / (max(|x1|, eps) max(|x2|, eps)) along the axis `dim`, which the result does not have."""
    cdef list both = with_rows_last(rows_of(x1, x2, "x1", "x2"), dim)
    result = cosine(both[0], both[1], at_least_0(eps, "eps"), False)
    return result if keep else result[0]


def cosine_similarity_backward(dy, x1, x2, dim=1, eps=1e-8, *, saved=None):
    """(dx1, dx2): dx1 = dy (x2 / (|x1| |x2|) - y x1 / |x1|²), without the second term where |x1| < eps; dx2 likewise."""
    cdef list both = with_rows_last(rows_of(x1, x2, "x1", "x2"), dim)
    cdef cnp.ndarray g = row_gradient(dy, both[0], False)
    cdef cnp.ndarray factors = real(cosine(both[0], both[1], at_least_0(eps, "eps"), False)[1] if saved is None else saved, "saved")
    if cnp.PyArray_SIZE(factors) != 3 * cnp.PyArray_SIZE(g) or cnp.PyArray_TYPE(factors) != cnp.PyArray_TYPE(g):
        raise ValueError("saved must be what cosine_similarity(..., keep=True) returned for these arrays")
    both = list(cosine_backward(g, both[0], both[1], factors))
    if index(dim) not in (-1, np.ndim(both[0]) - 1):
        both = [copy(np.moveaxis(dx, -1, dim)) for dx in both]
    return sum_to(both[0], np.shape(x1)), sum_to(both[1], np.shape(x2))


def cosine_embedding_loss(input1, input2, target, margin=0.0, reduction="mean", *, bint keep=False):
    """1 - cos(input1, input2) where target is 1, max(0, cos(input1, input2) - margin) where it is -1.

    input1, input2: (N, D) or (D,); target: (N,) or (), holds 1 and -1. The cosine's squared norms are 1e-12 larger than they are.
    """
    cdef list both = rows_of(input1, input2, "input1", "input2")
    cdef cnp.ndarray t = real(target, "target")
    if np.shape(t) != np.shape(both[0])[:-1]:
        raise ValueError(f"target must have shape {np.shape(both[0])[:-1]}, one for each row of input1, got {np.shape(t)}")
    y, factors = cosine(both[0], both[1], EMBEDDING_EPS, True)
    result = forward(kernels.cosine_embedding_loss_forward, y, t, None, None, margin, reduction_code(reduction), 1, keep)
    return (result[0], (result[1], y, factors)) if keep else result


def cosine_embedding_loss_backward(dy, input1, input2, target, margin=0.0, reduction="mean", *, saved=None):
    """(dinput1, dinput2): the cosine's gradients times -1 where target is 1, times 1 where it is -1 and cos >= margin, else 0."""
    cdef list both = rows_of(input1, input2, "input1", "input2")
    if saved is None:
        saved = cosine_embedding_loss(input1, input2, target, margin, reduction, keep=True)[1]
    y, factors = kept(saved, both[0], (1, 3), "cosine_embedding_loss")
    g = backward(kernels.cosine_embedding_loss_backward, dy, y, target, None, None, margin, reduction_code(reduction), 1)
    d1, d2 = cosine_backward(g, both[0], both[1], factors)
    return sum_to(d1, np.shape(input1)), sum_to(d2, np.shape(input2))


# ---- p-norm ----


cdef cnp.ndarray distance(cnp.ndarray a, cnp.ndarray b, double p, double eps, bint keepdim):
    cdef fnn_distance_args args
    cdef int ndim = cnp.PyArray_NDIM(a), i
    cdef cnp.npy_intp shape[65]
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(a, i)
    args.n, shape[ndim - 1] = shape[ndim - 1], 1
    cdef cnp.ndarray y = new(ndim if keepdim else ndim - 1, shape, cnp.PyArray_TYPE(a))
    args.y, args.x1, args.x2 = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), cnp.PyArray_DATA(b)
    args.rows, args.p, args.eps = cnp.PyArray_SIZE(y), p, eps
    launch(kernels.pairwise_distance_forward[dtype_index(a)], &args, sizeof(args), args.rows * (30.0 + args.n))
    return y


cdef tuple distance_backward(cnp.ndarray g, cnp.ndarray a, cnp.ndarray b, cnp.ndarray y, double p, double eps):
    cdef fnn_distance_backward_args args
    cdef cnp.ndarray da = new_like(a), db = new_like(a)
    args.dx1, args.dx2, args.dy = cnp.PyArray_DATA(da), cnp.PyArray_DATA(db), cnp.PyArray_DATA(g)
    args.x1, args.x2, args.y = cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_DATA(y)
    args.rows, args.n, args.p, args.eps = cnp.PyArray_SIZE(g), cnp.PyArray_DIM(a, cnp.PyArray_NDIM(a) - 1), p, eps
    launch(kernels.pairwise_distance_backward[dtype_index(a)], &args, sizeof(args), args.rows * (20.0 + args.n))
    return da, db


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, bint keepdim=False):
    """(sum over the last axis of |x1 - x2 + eps|^p)^(1/p): the largest one for p = inf, how many are not 0 for p = 0."""
    cdef list both = rows_of(x1, x2, "x1", "x2")
    return distance(both[0], both[1], at_least_0(p, "p"), eps, keepdim)


def pairwise_distance_backward(dy, x1, x2, p=2.0, eps=1e-6, bint keepdim=False, *, saved=None):
    """(dx1, dx2): dx1 = dy sign(d) (|d| / y)^(p - 1) with d = x1 - x2 + eps, 0 where d is 0; dx2 = -dx1. saved: y, or None."""
    cdef list both = rows_of(x1, x2, "x1", "x2")
    cdef cnp.ndarray g = row_gradient(dy, both[0], keepdim)
    cdef double power = at_least_0(p, "p")
    cdef cnp.ndarray y = real(distance(both[0], both[1], power, eps, keepdim) if saved is None else saved, "saved")
    if cnp.PyArray_SIZE(y) != cnp.PyArray_SIZE(g) or cnp.PyArray_TYPE(y) != cnp.PyArray_TYPE(g):
        raise ValueError("saved must be what pairwise_distance returned for these arrays")
    d1, d2 = distance_backward(g, both[0], both[1], y, power, eps)
    return sum_to(d1, np.shape(x1)), sum_to(d2, np.shape(x2))


# ---- ranking ----


def margin_ranking_loss(input1, input2, target, margin=0.0, reduction="mean", *, bint keep=False):
    """max(0, margin - target (input1 - input2)): for target 1 input1 should be the larger one, for -1 the smaller one."""
    a, b, t = together((input1, input2, target), ("input1", "input2", "target"))
    return forward(kernels.margin_ranking_loss_forward, a, t, b, None, margin, reduction_code(reduction), 1, keep)


def margin_ranking_loss_backward(dy, input1, input2, target, margin=0.0, reduction="mean"):
    """(dinput1, dinput2): -target and target where margin - target (input1 - input2) >= 0, else 0."""
    a, b, t = together((input1, input2, target), ("input1", "input2", "target"))
    d1 = backward(kernels.margin_ranking_loss_backward, dy, a, t, b, None, margin, reduction_code(reduction), 1)
    return sum_to(d1, np.shape(input1)), sum_to(scale(d1, -1.0), np.shape(input2))


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, bint swap=False, reduction="mean", *, bint keep=False):
    """max(0, margin + distance(anchor, positive) - distance(anchor, negative)), distances as in pairwise_distance.

    anchor, positive, negative: (N, D) or (D,). swap: the second distance is that from positive where this is the smaller one. ValueError unless
    margin is positive.
    """
    cdef list three = together((anchor, positive, negative), ("anchor", "positive", "negative"))
    cdef double power = at_least_0(p, "p")
    cdef int code = reduction_code(reduction)
    if np.ndim(three[0]) == 0:
        raise ValueError("anchor, positive and negative must have at least one axis, got ()")
    if not margin > 0:
        raise ValueError(f"margin must be above 0, got {margin}")
    near = distance(three[0], three[1], power, eps, False)
    far = distance(three[0], three[2], power, eps, False)
    other = distance(three[1], three[2], power, eps, False) if swap else far
    result = forward(kernels.triplet_margin_loss_forward, near, far, other, None, margin, code, 1, keep)
    return (result[0], (result[1], near, far, other)) if keep else result


def triplet_margin_loss_backward(dy, anchor, positive, negative, margin=1.0, p=2.0, eps=1e-6, bint swap=False, reduction="mean", *, saved=None):
    """(danchor, dpositive, dnegative) through the distances that the loss is made of; two equal ones share the gradient of the smaller one."""
    cdef list three = together((anchor, positive, negative), ("anchor", "positive", "negative"))
    cdef double power = at_least_0(p, "p")
    cdef int code = reduction_code(reduction)
    if saved is None:
        saved = triplet_margin_loss(anchor, positive, negative, margin, power, eps, swap, reduction, keep=True)[1]
    near, far, other = kept(saved, three[0], (1, 1, 1), "triplet_margin_loss")
    dnear = backward(kernels.triplet_margin_loss_backward, dy, near, far, other, None, margin, code, 1)
    if swap:
        dfar = backward(kernels.triplet_margin_loss_backward_negative, dy, near, far, other, None, margin, code, 1)
        dother = backward(kernels.triplet_margin_loss_backward_negative, dy, near, other, far, None, margin, code, 1)
    else:
        dfar = scale(dnear, -1.0)
    da, dp = distance_backward(dnear, three[0], three[1], near, power, eps)
    also, dn = distance_backward(dfar, three[0], three[2], far, power, eps)
    da = add(da, also)
    if swap:
        first, second = distance_backward(dother, three[1], three[2], other, power, eps)
        dp, dn = add(dp, first), add(dn, second)
    return sum_to(da, np.shape(anchor)), sum_to(dp, np.shape(positive)), sum_to(dn, np.shape(negative))
