"""Recurrent layers: rnn, lstm, gru, one layer in one or two directions. Formulas: fastnn.reference.recurrent; the arithmetic: csrc/recurrent.

x: (T, B, in), or (B, T, in) where batch_first. weights: for each direction (weight_ih, weight_hh, bias_ih, bias_hh), of an LSTM with projection with weight_hr behind
them, in PyTorch's shapes and order of gates; biases may be None. The second direction goes through time backwards. All steps of a direction are one launch.

table: (rows, in), or None. With one, x holds integers, (T, B), and stands for table[x]: the products with weight_ih and their gradients are then made
for each row of the table, not for each step of each sequence. The gradient of x is that of the table.

Longer than others, because forward and backward of all kinds of cells share how weights are checked, packed and laid out in scratch memory.
"""
cimport numpy as cnp
from libc.stddef cimport ptrdiff_t
from fastnn.kernels._arrays cimport checked, data, dimensions, dtype_index, integers, new, product, real, same_dtype, strided
from fastnn.kernels._core cimport Scratch, borrow, give_back, kernels, launch, launch_check, launch_shares, recurrent_packed, recurrent_panel, shares, threads
from fastnn.kernels._fnn cimport fnn_kernel, int64_t
from fastnn.kernels._table cimport (
    fnn_check_args, fnn_last_step_args, fnn_last_step_backward_args, fnn_recurrent_args, fnn_recurrent_backward_args, fnn_recurrent_pack_args,
)

import numpy as np

from fastnn.kernels.elementwise import add, copy
from fastnn.kernels.embedding import embedding, embedding_backward
from fastnn.kernels.matmul import linear, linear_backward

cnp.import_array()

cdef enum Cell:
    RNN_TANH
    RNN_RELU
    LSTM
    GRU


cdef struct Sizes:
    # gates: of the cell; units: hidden ones; size: of the state h, which is `units` but where there is a projection.
    ptrdiff_t steps, rows, inputs, gates, units, size, directions


# Less than this for a piece of a step does not pay for waiting for the others.
cdef double CYCLES_PER_PIECE = 1500


def has_projection(entry):
    """Whether a direction's weights have one."""
    return len(entry) == 5 and entry[4] is not None


cdef Sizes sizes_of(Cell cell, cnp.ndarray x, cnp.ndarray table, list weights, bint batch_first) except *:
    """The sizes, once x, the table and all weights are known to fit them."""
    cdef Sizes s
    cdef cnp.npy_intp shape[2]
    cdef int projected
    s.units = s.size = 0
    cdef cnp.ndarray values = x if table is None else table
    if cnp.PyArray_NDIM(x) != (3 if table is None else 2):
        raise ValueError(f"x must have shape {'(B, T' if batch_first else '(T, B'}{', in' if table is None else ''}), got {np.shape(x)}")
    if table is not None and cnp.PyArray_NDIM(table) != 2:
        raise ValueError(f"table must have shape (rows, in), got {np.shape(table)}")
    if len(weights) not in (1, 2):
        raise ValueError(f"weights must have one tuple for each of one or two directions, got {len(weights)}")
    s.steps, s.rows, s.inputs = cnp.PyArray_DIM(x, batch_first), cnp.PyArray_DIM(x, not batch_first), values.shape[values.ndim - 1]
    s.gates, s.directions = 4 if cell == LSTM else 3 if cell == GRU else 1, len(weights)
    if s.steps == 0:
        raise ValueError(f"x must have at least one step, got shape {np.shape(x)}")
    for direction, entry in enumerate(weights):
        if len(entry) != 4 and not (len(entry) == 5 and cell == LSTM):
            raise ValueError(f"weights[{direction}] must be (weight_ih, weight_hh, bias_ih, bias_hh{', weight_hr' if cell == LSTM else ''}), got {len(entry)} arrays")
        if np.ndim(entry[0]) != 2 or entry[0].shape[0] % s.gates or not entry[0].shape[0]:
            raise ValueError(f"weight_ih must have shape ({s.gates} hidden, in), got {np.shape(entry[0])}")
        if direction == 0:
            s.units = s.size = entry[0].shape[0] // s.gates
            if len(entry) == 5 and entry[4] is not None:
                s.size = entry[4].shape[0]
        projected = has_projection(entry)
        wanted = ((s.gates * s.units, s.inputs), (s.gates * s.units, s.size), (s.gates * s.units,), (s.gates * s.units,), (s.size, s.units))
        for name, array, needed in zip(("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"), entry, wanted):
            if array is None and name[0] == "b" or name == "weight_hr" and not projected:
                continue
            same_dtype(values, "x" if table is None else "table", strided(array, name), name)
            if np.shape(array) != needed:
                raise ValueError(f"{name} must have shape {needed} for {'x' if table is None else 'a table'} of shape {np.shape(values)}, got {np.shape(array)}")
    return s


cdef cnp.ndarray checked_lengths(object lengths, ptrdiff_t steps, ptrdiff_t rows):
    """The lengths as int64, once a kernel has seen that they are from 0 to the number of steps."""
    cdef fnn_check_args args
    cdef cnp.ndarray a
    cdef int64_t bad
    if lengths is None:
        return None
    a = integers(lengths, "lengths")
    if cnp.PyArray_NDIM(a) != 1 or cnp.PyArray_DIM(a, 0) != rows:
        raise ValueError(f"lengths must have shape ({rows},), one for each sequence, got {np.shape(a)}")
    args.x, args.n, args.classes, args.ignore = cnp.PyArray_DATA(a), rows, steps + 1, 0
    bad = launch_check(kernels.check_labels[0], &args)
    if bad:
        raise ValueError(f"lengths must be from 0 to {steps}, the number of steps, got {a[bad - 1]} at index {bad - 1}")
    return a


cdef cnp.ndarray state(object given, str name, cnp.ndarray x, Sizes s, ptrdiff_t size):
    """An initial state, or the gradient of a last one, or None."""
    cdef cnp.npy_intp shape[3]
    shape[0], shape[1], shape[2] = s.directions, s.rows, size
    return checked(given, name, x, 3, shape)


cdef inline const void *part_of(cnp.ndarray a, ptrdiff_t direction) noexcept:
    """The direction's part of an array with the directions in front; NULL for None."""
    return NULL if a is None else cnp.PyArray_BYTES(a) + direction * (cnp.PyArray_NBYTES(a) // cnp.PyArray_DIM(a, 0))


cdef cnp.ndarray over_time(Sizes s, bint batch_first, ptrdiff_t width, int typenum):
    """A new array (T, B, width), or (B, T, width)."""
    cdef cnp.npy_intp shape[3]
    shape[batch_first], shape[not batch_first], shape[2] = s.steps, s.rows, width
    return new(3, shape, typenum)


cdef cnp.ndarray packed_weights(cnp.ndarray weight, cnp.ndarray bias, size_t k, size_t gates, size_t units, size_t panel, bint transposed):
    """The weights (gates x units, k), or where `transposed` (k, units), as the kernels of all steps read them."""
    cdef fnn_recurrent_pack_args args
    cdef int dtype = dtype_index(weight)
    cdef cnp.npy_intp n = recurrent_packed(dtype, k, gates, units)
    cdef cnp.ndarray packed = new(1, &n, cnp.PyArray_TYPE(weight))
    cdef ptrdiff_t row = cnp.PyArray_STRIDE(weight, 0) // cnp.PyArray_ITEMSIZE(weight), col = cnp.PyArray_STRIDE(weight, 1) // cnp.PyArray_ITEMSIZE(weight)
    args.packed, args.weight, args.bias = cnp.PyArray_DATA(packed), cnp.PyArray_DATA(weight), data(bias)
    args.k, args.gates, args.units, args.panel = k, gates, units, panel
    args.k_stride, args.gate_stride, args.unit_stride = row if transposed else col, units * row, col if transposed else row
    launch(kernels.recurrent_pack[dtype], &args, sizeof(args), 300 + 2.0 * n)
    return packed


cdef cnp.ndarray bias_of(object bias, str name):
    return None if bias is None else real(bias, name)


cdef bint by_steps(Sizes s, ptrdiff_t itemsize) noexcept:
    """Whether the input's product is made step by step: its weights stay in L2 beside those of the state, all products would not, and there are rows enough for a tile."""
    cdef double width = <double>s.gates * s.units * itemsize
    return s.steps > 1 and s.rows >= 4 and s.inputs * width <= 1 << 18 and s.steps * s.rows * width > 1 << 18


cdef inline ptrdiff_t pitch(ptrdiff_t n) noexcept:
    return n + 16


cdef inline double step_cycles(Sizes s, ptrdiff_t k, int dtype) noexcept:
    """Those of a row for one step."""
    return s.gates * <double>s.units * (k / (20.0 if dtype == 0 else 10.0) + (4 if dtype == 0 else 8))


cdef int run(fnn_kernel kernel, const void *args, size_t size, Sizes s, ptrdiff_t k, size_t pieces, int dtype) except -1:
    """Launch all steps. Shares of rows are as large as can be, since a few rows take almost as long as many."""
    cdef double cycles = 1000 + s.steps * <double>s.rows * step_cycles(s, k, dtype)
    cdef size_t parts = 1 + s.steps * pieces if pieces > 1 else min(shares(cycles), threads(), <size_t>max(s.rows // 4, 1))
    return launch_shares(kernel, args, size, parts, cycles, True)


cdef size_t pieces_of(Sizes s, bint whole, int dtype) noexcept:
    """How many shares of units a step of a few rows is cut into; 1 where it must be whole, or waiting for each other would cost too much."""
    cdef double most = s.rows * step_cycles(s, s.size, dtype) / CYCLES_PER_PIECE
    if whole or s.rows >= 4 or s.steps == 1 or most < 2:
        return 1
    return min(<size_t>most, threads())


cdef tuple forward(Cell cell, object inputs, object weights, object h0, object c0, object rows, object lengths, bint batch_first, bint save):
    """y, h_n, c_n, and what each direction saved. rows: the table, or None."""
    cdef cnp.ndarray table = None if rows is None else real(rows, "table"), ids = real(inputs, "x") if rows is None else integers(inputs, "x"), h, c, y, h_n, c_n = None, gates, w, before, cells, extra, projection, counts
    cdef list directions = list(weights), saved = []
    cdef Sizes s = sizes_of(cell, ids, table, directions, batch_first)
    cdef cnp.ndarray x = ids if table is None else table
    cdef fnn_recurrent_args args
    cdef cnp.npy_intp shape[3]
    cdef int typenum = cnp.PyArray_TYPE(x), dtype = dtype_index(x)
    cdef ptrdiff_t d
    cdef size_t projection_panel = recurrent_panel(dtype, s.size, s.rows, 1)
    cdef Scratch scratch
    h, c, counts = state(h0, "h0", x, s, s.size), state(c0, "c0", x, s, s.units), checked_lengths(lengths, s.steps, s.rows)
    y = over_time(s, batch_first, s.directions * s.size, typenum)
    shape[0], shape[1], shape[2] = s.directions, s.rows, s.size
    h_n = new(3, shape, typenum)
    if cell == LSTM:
        shape[2] = s.units
        c_n = new(3, shape, typenum)
    args.lengths = <const int64_t *>data(counts)
    args.steps, args.rows, args.inputs, args.units, args.size = s.steps, s.rows, s.inputs, s.units, s.size
    args.step, args.apart, args.y_width = 1 if batch_first else s.rows, s.steps if batch_first else 1, s.directions * s.size
    args.pieces = pieces_of(s, counts is not None or any(map(has_projection, directions)), dtype)
    args.panel, args.projection_panel = recurrent_panel(dtype, s.units, s.rows, args.pieces), projection_panel
    stepwise = table is None and by_steps(s, cnp.PyArray_ITEMSIZE(x))
    for d in range(s.directions):
        weight_hh, bias_hh = directions[d][1], directions[d][3]
        w = strided(weight_hh, "weight_hh")
        gates = of_input = None
        if stepwise:
            of_input = packed_weights(strided(directions[d][0], "weight_ih"), bias_of(directions[d][2], "bias_ih"), s.inputs, s.gates, s.units, args.panel, False)
            if save:
                gates = over_time(s, batch_first, s.gates * s.units, typenum)
        else:
            gates = linear(x, directions[d][0], directions[d][2])
            if table is not None:
                gates = embedding(gates, ids)
        before = cells = extra = projection = None
        projected = has_projection(directions[d])
        if save:
            before = over_time(s, batch_first, s.size, typenum)
            if cell == LSTM:
                cells = over_time(s, batch_first, s.units, typenum)
            if cell == GRU or projected:
                extra = over_time(s, batch_first, s.units, typenum)
        packed = hidden = None
        if s.steps == 1 and h is not None:
            hidden = linear(h[d], weight_hh, bias_hh)
        else:
            packed = packed_weights(w, bias_of(bias_hh, "bias_hh"), s.size, s.gates, s.units, args.panel, False)
        if projected:
            projection = packed_weights(strided(directions[d][4], "weight_hr"), None, s.units, 1, s.size, projection_panel, False)
        args.y = cnp.PyArray_BYTES(y) + d * s.size * cnp.PyArray_ITEMSIZE(y)
        args.h_last, args.c_last = <void *>part_of(h_n, d), <void *>part_of(c_n, d)
        args.gates, args.before, args.cells, args.extra = data(gates) if save else NULL, data(before), data(cells), data(extra)
        args.x, args.input, args.h, args.c = NULL if stepwise else data(gates), data(x) if stepwise else NULL, part_of(h, d), part_of(c, d)
        args.packed, args.input_packed, args.projection, args.product = data(packed), data(of_input), data(projection), data(hidden)
        args.reverse, args.bias, args.input_bias = d, bias_hh is not None, directions[d][2] is not None
        scratch = borrow(s.rows * (2 * pitch(s.size) + s.units + pitch(s.units)) * cnp.PyArray_ITEMSIZE(x))
        args.scratch = scratch.data
        run(forward_kernel(cell, dtype), &args, sizeof(args), s, s.size if projection is None else 2 * s.size, args.pieces, dtype)
        give_back(scratch)
        saved.append((gates, before, cells, extra))
    return y, h_n, c_n, saved


cdef fnn_kernel forward_kernel(Cell cell, int dtype) noexcept:
    if cell == LSTM:
        return kernels.lstm_forward[dtype]
    if cell == GRU:
        return kernels.gru_forward[dtype]
    return kernels.rnn_relu_forward[dtype] if cell == RNN_RELU else kernels.rnn_tanh_forward[dtype]


cdef fnn_kernel backward_kernel(Cell cell, int dtype) noexcept:
    if cell == LSTM:
        return kernels.lstm_backward[dtype]
    if cell == GRU:
        return kernels.gru_backward[dtype]
    return kernels.rnn_relu_backward[dtype] if cell == RNN_RELU else kernels.rnn_tanh_backward[dtype]


cdef tuple backward(Cell cell, object dys, object inputs, object weights, object all_saved, object dh_last, object dc_last, object rows, object lengths, bint batch_first,
                    object gradients, object accumulate, bint input_gradient, bint state_gradients):
    """dx, dh0, dc0, and the gradients of each direction's weights."""
    cdef cnp.ndarray table = None if rows is None else real(rows, "table"), ids = real(inputs, "x") if rows is None else integers(inputs, "x"), dy, dh_n, dc_n, dh = None, dc = None, dgates, dextra, w, gates, before, cells, extra, counts, projection, valid = None
    cdef list directions = list(weights), made = []
    cdef Sizes s = sizes_of(cell, ids, table, directions, batch_first)
    cdef cnp.ndarray x = ids if table is None else table
    cdef fnn_recurrent_backward_args args
    cdef cnp.npy_intp shape[3]
    cdef int typenum = cnp.PyArray_TYPE(x), dtype = dtype_index(x)
    cdef ptrdiff_t d, width
    cdef Scratch scratch
    shape[batch_first], shape[not batch_first], shape[2] = s.steps, s.rows, s.directions * s.size
    dy = checked(dys, "dy", x, 3, shape)
    dh_n, dc_n, counts = state(dh_last, "dh_n", x, s, s.size), state(dc_last, "dc_n", x, s, s.units), checked_lengths(lengths, s.steps, s.rows)
    if state_gradients:
        shape[0], shape[1], shape[2] = s.directions, s.rows, s.size
        dh = new(3, shape, typenum)
        if cell == LSTM:
            shape[2] = s.units
            dc = new(3, shape, typenum)
    args.lengths = <const int64_t *>data(counts)
    args.steps, args.rows, args.units, args.size = s.steps, s.rows, s.units, s.size
    args.step, args.apart, args.y_width = 1 if batch_first else s.rows, s.steps if batch_first else 1, s.directions * s.size
    args.panel, args.projection_panel = recurrent_panel(dtype, s.size, s.rows, 1), recurrent_panel(dtype, s.units, s.rows, 1)
    if counts is not None and table is None:
        valid = over_time(s, batch_first, s.inputs, typenum)
    args.x, args.inputs = cnp.PyArray_DATA(x), s.inputs
    dx, one_gradient = None, cell != GRU  # both biases are added to the same gates
    for d in range(s.directions):
        gates, before, cells, extra = all_saved[d]
        if before is None:
            raise ValueError("saved must come from a forward with save=True")
        targets = (None,) * 5 if gradients is None else (tuple(gradients[d]) + (None,))[:5]
        add_to = (False,) * 5 if gradients is None else (tuple(accumulate[d]) + (False,))[:5]
        dgates = over_time(s, batch_first, s.gates * s.units, typenum)
        projected = has_projection(directions[d])
        dextra = projection = packed = None
        if cell == GRU or projected:
            dextra = over_time(s, batch_first, s.size if projected else s.gates * s.units, typenum)
        if s.steps > 1 or state_gradients:
            packed = packed_weights(strided(directions[d][1], "weight_hh"), None, s.gates * s.units, 1, s.size, args.panel, True)
        if projected:
            projection = packed_weights(strided(directions[d][4], "weight_hr"), None, s.size, 1, s.units, args.projection_panel, True)
        args.dgates, args.dextra, args.dh, args.dc = data(dgates), data(dextra), <void *>part_of(dh, d), <void *>part_of(dc, d)
        args.dy = NULL if dy is None else cnp.PyArray_BYTES(dy) + d * s.size * cnp.PyArray_ITEMSIZE(dy)
        args.dh_last, args.dc_last = part_of(dh_n, d), part_of(dc_n, d)
        args.packed, args.projection = data(packed), data(projection)
        args.gates, args.before, args.cells, args.extra = data(gates), data(before), data(cells), data(extra)
        args.reverse, args.valid = d, data(valid) if d == 0 else NULL
        scratch = borrow(s.rows * (2 * pitch(s.gates * s.units) + 2 * pitch(s.size) + s.units) * cnp.PyArray_ITEMSIZE(x))
        args.scratch = scratch.data
        run(backward_kernel(cell, dtype), &args, sizeof(args), s, s.size if projection is None else 2 * s.size, 1, dtype)
        give_back(scratch)
        of_x = dgates if table is None else embedding_backward(dgates, ids, cnp.PyArray_DIM(table, 0))
        one, dw_ih, db_ih = linear_backward(
            of_x, x if valid is None else valid, directions[d][0], dweight=targets[0], dbias=targets[2], accumulate=add_to[0], input_gradient=input_gradient,
            bias_gradient=directions[d][2] is not None)
        same = one_gradient and directions[d][2] is not None and directions[d][3] is not None and not add_to[0] and not add_to[1]
        _, dw_hh, db_hh = linear_backward(
            dextra if cell == GRU else dgates, before, directions[d][1], dweight=targets[1], dbias=targets[3], accumulate=add_to[1], input_gradient=False,
            bias_gradient=directions[d][3] is not None and not same)
        if same:
            db_hh = copy(db_ih, out=targets[3])
        if projected:
            _, dw_hr, _ = linear_backward(dextra, extra, directions[d][4], dweight=targets[4], accumulate=add_to[4], input_gradient=False, bias_gradient=False)
            made.append((dw_ih, dw_hh, db_ih, db_hh, dw_hr))
        else:
            made.append((dw_ih, dw_hh, db_ih, db_hh))
        dx = one if dx is None else add(dx, one)
    return dx, dh, dc, made


cdef Cell rnn_cell(object nonlinearity) except *:
    if nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
    return RNN_TANH if nonlinearity == "tanh" else RNN_RELU


# --- the functions ---

def rnn(x, weights, h0=None, *, nonlinearity="tanh", table=None, lengths=None, batch_first=False, save=False):
    """h[t] = nonlinearity(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh).

    x: (T, B, in); h0: (directions, B, hidden), or None: 0; lengths: (B,) integers from 0 to T, or None: T. Returns y (T, B, directions hidden), 0
    beyond a sequence's length; h_n (directions, B, hidden), after its last step; and what rnn_backward needs, where `save`. ValueError
    or TypeError where shapes or dtypes do not fit.
    """
    y, h_n, _, saved = forward(rnn_cell(nonlinearity), x, weights, h0, None, table, lengths, batch_first, save)
    return y, h_n, saved


def rnn_backward(dy, x, weights, saved, *, dh_n=None, nonlinearity="tanh", table=None, lengths=None, batch_first=False, gradients=None, accumulate=None, input_gradient=True,
                 state_gradients=True):
    """The gradients (dx, dh0, [(dweight_ih, dweight_hh, dbias_ih, dbias_hh), …]) of `rnn`, for those of y and h_n, either of which may be None.

    gradients: like weights, arrays to write into, or where `accumulate` has True in their place to add to; a bias goes with the weight before it.
    """
    dx, dh, _, made = backward(rnn_cell(nonlinearity), dy, x, weights, saved, dh_n, None, table, lengths, batch_first, gradients, accumulate, input_gradient, state_gradients)
    return dx, dh, made


def lstm(x, weights, h0=None, c0=None, *, table=None, lengths=None, batch_first=False, save=False):
    """i, f, g, o = the gates weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh; c[t] = sigmoid(f) c[t-1] + sigmoid(i) tanh(g); h[t] = sigmoid(o) tanh(c[t]).

    As `rnn`, with c0 (directions, B, hidden) and c_n behind h_n: returns y, h_n, c_n, saved. With weight_hr (size, hidden), h[t] is weight_hr times that,
    and y, h0 and h_n have `size` in the place of hidden.
    """
    y, h_n, c_n, saved = forward(LSTM, x, weights, h0, c0, table, lengths, batch_first, save)
    return y, h_n, c_n, saved


def lstm_backward(dy, x, weights, saved, *, dh_n=None, dc_n=None, table=None, lengths=None, batch_first=False, gradients=None, accumulate=None, input_gradient=True,
                  state_gradients=True):
    """The gradients (dx, dh0, dc0, [(dweight_ih, dweight_hh, dbias_ih, dbias_hh), …]) of `lstm`; arguments as of rnn_backward."""
    return backward(LSTM, dy, x, weights, saved, dh_n, dc_n, table, lengths, batch_first, gradients, accumulate, input_gradient, state_gradients)


def gru(x, weights, h0=None, *, table=None, lengths=None, batch_first=False, save=False):
    """r, z = sigmoid(weight_ih x[t] + bias_ih + weight_hh h[t-1] + bias_hh); n = tanh(W_in x[t] + b_in + r (W_hn h[t-1] + b_hn)); h[t] = n + z (h[t-1] - n).

    Arguments and results as of `rnn`.
    """
    y, h_n, _, saved = forward(GRU, x, weights, h0, None, table, lengths, batch_first, save)
    return y, h_n, saved


def gru_backward(dy, x, weights, saved, *, dh_n=None, table=None, lengths=None, batch_first=False, gradients=None, accumulate=None, input_gradient=True, state_gradients=True):
    """The gradients (dx, dh0, [(dweight_ih, dweight_hh, dbias_ih, dbias_hh), …]) of `gru`; arguments as of rnn_backward."""
    dx, dh, _, made = backward(GRU, dy, x, weights, saved, dh_n, None, table, lengths, batch_first, gradients, accumulate, input_gradient, state_gradients)
    return dx, dh, made


def last_step(x, lengths=None, *, batch_first=False):
    """y[b] = x[lengths[b] - 1, b], 0 where a length is 0.

    x: (T, B, …), or (B, T, …) where batch_first; lengths: (B,) integers from 0 to T, or None: T. Returns (B, …). ValueError where they do not fit.
    """
    cdef cnp.ndarray a = real(x, "x"), counts, y
    cdef fnn_last_step_args args
    if cnp.PyArray_NDIM(a) < 2:
        raise ValueError(f"x must have at least two dimensions, time and batch, got shape {np.shape(a)}")
    args.steps, args.rows = cnp.PyArray_DIM(a, batch_first), cnp.PyArray_DIM(a, not batch_first)
    counts = checked_lengths(lengths, args.steps, args.rows)
    y = new_shaped((args.rows,) + np.shape(a)[2:], a)
    args.y, args.x, args.lengths = cnp.PyArray_DATA(y), cnp.PyArray_DATA(a), <const int64_t *>data(counts)
    args.width = product(a, 2, cnp.PyArray_NDIM(a))
    args.step, args.apart = 1 if batch_first else args.rows, args.steps if batch_first else 1
    launch(kernels.last_step_forward[dtype_index(a)], &args, sizeof(args), 200 + 0.5 * args.rows * args.width)
    return y


def last_step_backward(dy, shape, lengths=None, *, batch_first=False):
    """The gradient of last_step's x, which has this shape: dy at each sequence's last step, 0 elsewhere."""
    cdef cnp.ndarray g = real(dy, "dy"), counts, dx
    cdef fnn_last_step_backward_args args
    args.steps, args.rows = shape[batch_first], shape[not batch_first]
    if np.shape(g) != (args.rows,) + tuple(shape[2:]):
        raise ValueError(f"dy must have shape {(args.rows,) + tuple(shape[2:])}, got {np.shape(g)}")
    counts = checked_lengths(lengths, args.steps, args.rows)
    dx = new_shaped(tuple(shape), g)
    args.dx, args.dy, args.lengths = cnp.PyArray_DATA(dx), cnp.PyArray_DATA(g), <const int64_t *>data(counts)
    args.width = product(g, 1, cnp.PyArray_NDIM(g))
    args.step, args.apart = 1 if batch_first else args.rows, args.steps if batch_first else 1
    launch(kernels.last_step_backward[dtype_index(g)], &args, sizeof(args), 200 + 0.5 * args.steps * args.rows * args.width)
    return dx


cdef cnp.ndarray new_shaped(tuple shape, cnp.ndarray like):
    cdef cnp.npy_intp dims[64]
    dimensions(dims, shape, cnp.PyArray_ITEMSIZE(like), "the result")
    return new(len(shape), dims, cnp.PyArray_TYPE(like))
