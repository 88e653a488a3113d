"""Convolution and transposed convolution along one, two or three axes. Formulas: fastnn.reference.conv; the arithmetic: csrc/conv.

x: (N, C, …) or, without a batch, (C, …); the weight's dimensions say how many axes there are. Both operations are one kernel: what the transposed
convolution computes is the gradient of a convolution's input, and the other way round. Every element is one chain of fused multiply-adds
over (channel, tap), so an image's result does not depend on the images beside it.

Two-dimensional convolutions of stride 1 with 3 × 3 taps, and larger ones, up to 9 × 9 and with stride 2 too, cut into cells of 3 × 3, take Winograd's algorithm,
F(4 × 4, 3 × 3), with not too few channels and positions, forward and backward (the weights' gradient of 3 × 3 from four channels on; the input's with stride 1): up to
4 times fewer multiplications, 2.4 for 7 × 7, the same promises. 3 × 3 with stride 2 takes 1.8 times fewer, but for the weights' gradient. Its rounding errors are 1 to 2.8 times the direct
sum's (256 channels to 16), up to 4 times with three or four channels, those of the weights' gradient 3 to 5 times, which is what frameworks have that add positions in one chain; an infinity or NaN in x may reach results up to four positions,
times the dilation, beside those it belongs to. The environment variable FASTNN_WINOGRAD=0, read on import, turns it off.

Longer than others, because both operations and their gradients share the geometry, most of the file, and nothing else needs it.
"""
from math import gcd

cimport numpy as cnp
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport SIZE_MAX
from fastnn.kernels._arrays cimport checked, deliver, dtype_index, new, real, same_dtype, target, writeable
from fastnn.kernels._core cimport Scratch, borrow, conv_form, conv_packed, conv_scratch, conv_weight_scratch, conv_weight_winograd, give_back, kernels, launch, launch_shares, shares, threads
from fastnn.kernels._fnn cimport FNN_CONV_CHANNELS, FNN_CONV_TILES, FNN_CONV_TURNED, FNN_CONV_WINOGRAD_LARGE, fnn_conv_by_winograd
from fastnn.kernels._table cimport fnn_channel_sums_args, fnn_conv_args, fnn_conv_pack_weight_args, fnn_conv_weight_args

import os

import numpy as np

cnp.import_array()


def _winograd_allowed():
    text = os.environ.get("FASTNN_WINOGRAD", "") or "1"
    if text not in ("0", "1"):
        raise ValueError(f"FASTNN_WINOGRAD must be 0 or 1, got {text!r}")
    return text == "1"


cdef bint winograd_allowed = _winograd_allowed()

cdef struct Axis:
    # One axis of a convolution from `size` to `out` positions; a transposed one goes the other way. before, after: the padding.
    ptrdiff_t size, out, taps, step, dilation, before, after


cdef struct Conv:
    Axis axis[3]        # depth, height, width; those that are not there have one position and one tap
    int axes
    size_t batch, groups, rows, channels    # out and in channels of a group of the convolution


cdef tuple numbers(object value, str name, int axes, ptrdiff_t least):
    """`value`, an int or one for each axis, as a tuple of ints from `least` to 2**31 - 1."""
    if isinstance(value, int):
        value = (value,) * axes
    try:
        values = tuple([v.__index__() for v in value])
    except (TypeError, AttributeError):
        raise TypeError(f"{name} must be an integer or a tuple of {axes}, got {value!r}") from None
    if len(values) != axes:
        raise ValueError(f"{name} must have {axes} numbers, one for each axis, got {value}")
    for v in values:
        if not least <= v < 2**31:
            raise ValueError(f"{name} must be from {least} to 2**31 - 1, got {v}")
    return values


cdef int set_axes(Conv *c, cnp.ndarray weight, object stride, object padding, object dilation, bint transposed) except -1:
    """Everything about the axes but their sizes."""
    cdef int i, axes = cnp.PyArray_NDIM(weight) - 2
    cdef Axis *axis
    cdef ptrdiff_t total
    if not 1 <= axes <= 3:
        raise ValueError(f"weight must have 3, 4 or 5 dimensions, got shape {np.shape(weight)}")
    c.axes = axes
    for i in range(3 - axes):
        c.axis[i] = Axis(1, 1, 1, 1, 1, 0, 0)
    strides, dilations = numbers(stride, "stride", axes, 1), numbers(dilation, "dilation", axes, 1)
    same = isinstance(padding, str) and padding == "same" and not transposed
    if same and max(strides) > 1:
        raise ValueError(f"padding 'same' needs a stride of 1, got {stride}")
    if isinstance(padding, str) and not same and (padding != "valid" or transposed):
        raise ValueError(f"padding must be an integer, a tuple of them{'' if transposed else ', \'same\' or \'valid\''}, got {padding!r}")
    paddings = numbers(0 if isinstance(padding, str) else padding, "padding", axes, 0)
    for i in range(axes):
        axis = &c.axis[3 - axes + i]
        axis.taps, axis.step, axis.dilation, axis.before = cnp.PyArray_DIM(weight, 2 + i), strides[i], dilations[i], paddings[i]
        axis.after = axis.before
        if axis.taps < 1:
            raise ValueError(f"weight must have at least one tap along each axis, got shape {np.shape(weight)}")
        if same:
            total = axis.dilation * (axis.taps - 1)
            axis.before = total // 2
            axis.after = total - total // 2
    return 0


cdef cnp.ndarray batched(cnp.ndarray x, str name, int axes):
    """x with a batch axis in front."""
    if cnp.PyArray_NDIM(x) == axes + 1:
        return x[None]
    if cnp.PyArray_NDIM(x) != axes + 2:
        raise ValueError(f"{name} must have {axes + 2} dimensions (N, C, …) or {axes + 1} (C, …) for a weight of {axes + 2}, got shape {np.shape(x)}")
    return x


cdef int set_channels(Conv *c, cnp.ndarray x, cnp.ndarray weight, object groups, bint transposed) except -1:
    """Batch, groups and channels; x: the operation's input, batched."""
    cdef ptrdiff_t n, inputs = cnp.PyArray_DIM(x, 1), first = cnp.PyArray_DIM(weight, 0), second = cnp.PyArray_DIM(weight, 1)
    if not isinstance(groups, int) or groups < 1 or first % groups:
        raise ValueError(f"groups must be a positive integer that divides weight's first dimension, got {groups!r} for shape {np.shape(weight)}")
    n = groups
    if inputs != (first if transposed else second * n):
        raise ValueError(f"x must have {first if transposed else second * n} channels for weight of shape {np.shape(weight)} and groups {n}, got shape {np.shape(x)}")
    c.batch, c.groups, c.rows, c.channels = cnp.PyArray_DIM(x, 0), n, first // n, second
    return 0


cdef int forward_sizes(Conv *c, cnp.ndarray x) except -1:
    """From the convolution's input to its output."""
    cdef int i
    cdef Axis *axis
    for i in range(3 - c.axes, 3):
        axis = &c.axis[i]
        axis.size = cnp.PyArray_DIM(x, i - 1 + c.axes)
        if axis.size + axis.before + axis.after <= axis.dilation * (axis.taps - 1):
            raise ValueError(f"x padded to {axis.size + axis.before + axis.after} is smaller than the kernel, {axis.dilation * (axis.taps - 1) + 1}, "
                             f"along axis {i - 1 + c.axes}: x has shape {np.shape(x)}")
        axis.out = (axis.size + axis.before + axis.after - axis.dilation * (axis.taps - 1) - 1) // axis.step + 1
    return 0


cdef int transposed_sizes(Conv *c, cnp.ndarray x, object output_padding) except -1:
    """From the transposed convolution's input to its output."""
    cdef int i
    cdef Axis *axis
    more = numbers(output_padding, "output_padding", c.axes, 0)
    for i in range(3 - c.axes, 3):
        axis = &c.axis[i]
        axis.out = cnp.PyArray_DIM(x, i - 1 + c.axes)
        extra = more[i - 3 + c.axes]
        if extra >= axis.step and extra >= axis.dilation:
            raise ValueError(f"output_padding must be smaller than stride or dilation, got {extra} for stride {axis.step} and dilation {axis.dilation}")
        axis.size = (axis.out - 1) * axis.step - axis.before - axis.after + axis.dilation * (axis.taps - 1) + extra + 1 if axis.out else 0
        if axis.size < 0 or (axis.size == 0 and axis.out):
            raise ValueError(f"the output must have at least one position along each axis, got {axis.size} along axis {i - 1 + c.axes} for x of shape {np.shape(x)}")
    return 0


cdef cnp.ndarray image_target(object out, cnp.ndarray x, bint unbatched, ptrdiff_t channels, Conv *c, bint transposed, cnp.ndarray weight):
    """The array for a result of so many channels; for `out` without a batch, one without."""
    cdef cnp.npy_intp shape[5]
    cdef int i
    shape[0], shape[1] = c.batch, channels
    for i in range(c.axes):
        shape[2 + i] = c.axis[3 - c.axes + i].size if transposed else c.axis[3 - c.axes + i].out
    return target(out, c.axes + 2 - unbatched, shape + unbatched, cnp.PyArray_TYPE(x), x, weight, False)


# --- the kernels' geometry ---

cdef struct Taps:
    # Along one axis: the first of the taps that reach the input, in the weight; how far apart; how many.
    ptrdiff_t first, apart, count


cdef Taps reaching(ptrdiff_t first, ptrdiff_t apart, ptrdiff_t count, ptrdiff_t out, ptrdiff_t step, ptrdiff_t dilation, ptrdiff_t size, ptrdiff_t *origin) noexcept:
    """Of `count` taps those that read anything but zeros at some of `out` positions, at least one; moves the origin accordingly."""
    cdef ptrdiff_t at, j, last = count - 1, low = 0
    while low < last:
        at = origin[0] + low * dilation
        j = 0 if at >= 0 else (-at + step - 1) // step
        if j < out and at + j * step < size:
            break
        low += 1
    while last > low:
        at = origin[0] + last * dilation
        j = 0 if at >= 0 else (-at + step - 1) // step
        if j < out and at + j * step < size:
            break
        last -= 1
    origin[0] += low * dilation
    return Taps(first + low * apart, apart, last - low + 1)


cdef void join_axes(size_t *out, const size_t *taps, size_t *size, const size_t *step, const ptrdiff_t *origin) noexcept:
    """Where every position reads just its own, the axes are one long one."""
    cdef int i
    for i in range(3):
        if taps[i] != 1 or step[i] != 1 or origin[i] != 0 or size[i] != out[i]:
            return
    out[2] = size[2] = out[0] * out[1] * out[2]
    out[0] = out[1] = size[0] = size[1] = 1


cdef double winograd_terms(const size_t *taps, const size_t *step) noexcept nogil:
    """The multiplications for a position, or somewhat fewer with a step of 2: for a square of 4 x 4 36 for each 3 x 3 of the taps, 81 of 3 x 3 with a step of 2."""
    if taps[1] == taps[2] == 3 and step[1] == step[2] == 2:
        return 5.0625
    return 2.25 * ((taps[1] + 2) // 3 * ((taps[2] + 2) // 3))


cdef Scratch scratch_for(size_t size, size_t parts):
    if size >= SIZE_MAX // parts:
        raise MemoryError("the zeros around x that this stride, padding and dilation ask for do not fit in memory")
    return borrow(size * parts)


cdef int pack_weights(fnn_conv_args *args, fnn_conv_pack_weight_args *pack, cnp.ndarray packed, int dtype) except -1:
    pack.packed, pack.groups, pack.rows, pack.channels = cnp.PyArray_DATA(packed), args.groups, args.rows, args.channels
    for i in range(3):
        pack.taps[i], pack.step[i] = args.taps[i], args.step[i]
    return launch(kernels.conv_pack_weight[dtype], pack, sizeof(pack[0]), 2.0 * cnp.PyArray_SIZE(packed))


cdef void read_packed(fnn_conv_args *args, const void *packed) noexcept:
    args.weight = packed
    args.w_group = args.w_row = args.w_channel = args.w_tap[0] = args.w_tap[1] = args.w_tap[2] = 0


cdef void read_weights(fnn_conv_args *args, const fnn_conv_pack_weight_args *pack) noexcept:
    """Where and how the weights are that are not packed."""
    args.weight, args.w_group, args.w_row, args.w_channel = pack.weight, pack.w_group, pack.w_row, pack.w_channel
    for i in range(3):
        args.w_tap[i] = pack.w_tap[i]


cdef int run(fnn_conv_args *args, fnn_conv_pack_weight_args *pack, int dtype, int typenum, bint turned=False) except -1:
    """Pack the weights and convolve."""
    args.form = FNN_CONV_TURNED if turned else conv_form(args, dtype, winograd_allowed)
    pack.form = FNN_CONV_TILES if turned else args.form
    cdef cnp.npy_intp elements = 0
    cdef cnp.ndarray packed         # until the end
    if args.form == FNN_CONV_WINOGRAD_LARGE:
        read_weights(args, pack)
    else:
        elements = conv_packed(args, dtype)
        packed = new(1, &elements, typenum)
        pack.places[0] = pack.places[1] = pack.places[2] = 1
        pack_weights(args, pack, packed, dtype)
        read_packed(args, pack.packed)
    return run_packed(args, dtype)


cdef int run_packed(fnn_conv_args *args, int dtype) except -1:
    """Convolve, with the memory that this needs."""
    cdef double taps = args.taps[0] * args.taps[1] * <double>args.taps[2]
    cdef double terms = args.channels * (winograd_terms(args.taps, args.step) if fnn_conv_by_winograd(args.form) else taps)        # for a position
    cdef double cycles = 1000 + args.batch * <double>args.groups * args.out[0] * args.out[1] * args.out[2] * args.rows * (terms + 8) / (20 if dtype == 0 else 10)
    if args.form == FNN_CONV_WINOGRAD_LARGE:
        cycles += args.groups * <double>args.rows * args.channels * (20 if dtype == 0 else 40)
    cdef size_t parts = min(shares(cycles), threads())      # the kernels see interrupts
    cdef Scratch scratch = scratch_for(conv_scratch(args, dtype, parts), parts)
    args.scratch = scratch.data
    launch_shares(kernels.conv_forward[dtype], args, sizeof(args[0]), parts, cycles, True)
    return give_back(scratch)


cdef int convolve(cnp.ndarray y, cnp.ndarray x, cnp.ndarray weight, cnp.ndarray bias, const Conv *c) except -1:
    """y = the convolution of x."""
    cdef fnn_conv_args args
    cdef fnn_conv_pack_weight_args pack
    cdef ptrdiff_t taps = c.axis[0].taps * c.axis[1].taps * c.axis[2].taps, inner = 1, offset = 0
    cdef const Axis *axis
    cdef Taps t
    cdef int i
    args.y, args.x, args.bias = cnp.PyArray_DATA(y), cnp.PyArray_DATA(x), NULL if bias is None else cnp.PyArray_DATA(bias)
    args.batch, args.groups, args.rows, args.channels = c.batch, c.groups, c.rows, c.channels
    args.activation, args.p, args.q = NULL, 0, 0
    for i in range(2, -1, -1):
        axis = &c.axis[i]
        args.out[i], args.x_size[i], args.step[i], args.dilation[i], args.origin[i] = axis.out, axis.size, axis.step, axis.dilation, -axis.before
        args.y_step[i], args.y_first[i] = 1, 0
        t = reaching(0, 1, axis.taps, axis.out, axis.step, axis.dilation, axis.size, &args.origin[i])
        args.taps[i] = t.count
        pack.w_tap[i] = inner
        offset += t.first * inner
        inner *= axis.taps
    join_axes(args.out, args.taps, args.x_size, args.step, args.origin)
    for i in range(3):
        args.y_size[i] = args.out[i]
    pack.weight = <char *>cnp.PyArray_DATA(weight) + offset * cnp.PyArray_ITEMSIZE(weight)
    pack.w_group, pack.w_row, pack.w_channel = c.rows * c.channels * taps, c.channels * taps, taps
    return run(&args, &pack, dtype_index(x), cnp.PyArray_TYPE(x))


cdef bint all_are(ptrdiff_t step, ptrdiff_t dilation, const Conv *c) noexcept:
    """Whether height and width have this step and dilation."""
    return c.axis[1].step == c.axis[2].step == step and c.axis[1].dilation == c.axis[2].dilation == dilation


cdef void set_place(fnn_conv_args *args, fnn_conv_pack_weight_args *pack, const char *weight, int size, const ptrdiff_t *place, const Conv *c) noexcept:
    """The convolution for one place between the steps, all but its pointers and its activation. weight: its first element; size: of an element."""
    cdef ptrdiff_t taps = c.axis[0].taps * c.axis[1].taps * c.axis[2].taps, inner = 1, offset = 0, period, tap
    cdef const Axis *axis
    cdef Taps t
    cdef int i
    cdef bint empty = False
    args.batch, args.groups, args.rows, args.channels = c.batch, c.groups, c.channels, c.rows
    for i in range(2, -1, -1):
        axis = &c.axis[i]
        args.out[i], args.x_size[i], args.step[i] = (axis.size - place[i] + axis.step - 1) // axis.step, axis.out, 1
        args.y_size[i], args.y_step[i], args.y_first[i] = axis.size, axis.step, place[i]
        # position q = place + j step takes tap t from y's (q + before - t dilation) / step where that is whole: every `period` taps
        period = axis.step // <ptrdiff_t>gcd(axis.step, axis.dilation)
        tap = 0
        while tap < axis.taps and tap < period and (place[i] + axis.before - tap * axis.dilation) % axis.step:
            tap += 1
        if tap >= axis.taps or tap >= period:
            empty, tap, t = True, 0, Taps(0, 0, 1)
            args.dilation[i], args.origin[i] = 1, 0
        else:
            tap += (axis.taps - 1 - tap) // period * period     # the last one, which reads the lowest position
            args.dilation[i] = period * axis.dilation // axis.step
            args.origin[i] = (place[i] + axis.before - tap * axis.dilation) // axis.step    # exact
            t = reaching(tap, -period, tap // period + 1, args.out[i], 1, args.dilation[i], axis.out, &args.origin[i])
        args.taps[i] = t.count
        pack.w_tap[i] = t.apart * inner
        offset += t.first * inner
        inner *= axis.taps
    if empty:
        args.channels = 0
    if c.axis[0].step * c.axis[1].step * c.axis[2].step == 1:
        join_axes(args.out, args.taps, args.x_size, args.step, args.origin)
        for i in range(3):
            args.y_size[i] = args.out[i]
    pack.weight = weight + offset * size
    pack.w_group, pack.w_row, pack.w_channel = c.rows * c.channels * taps, taps, c.channels * taps


cdef bint run_together(fnn_conv_args *args, const char *weight, int dtype, int typenum, const ptrdiff_t *places, const Conv *c) except -1:
    """Convolve for all places, at most two along an axis, from weights that are packed in one go, if they all have the form that can be; or return False."""
    cdef fnn_conv_args of[8]
    cdef fnn_conv_pack_weight_args pack[8]
    cdef ptrdiff_t place[3], size = 4 if dtype == 0 else 8
    cdef cnp.npy_intp elements = 0, count = places[0] * places[1] * places[2]
    cdef cnp.ndarray packed
    cdef char *at
    cdef int i, n, second
    for n in range(count):
        of[n] = args[0]
        place[0], place[1], place[2] = n // (places[1] * places[2]), n // places[2] % places[1], n % places[2]
        set_place(&of[n], &pack[n], weight, size, place, c)
        of[n].form = conv_form(&of[n], dtype, winograd_allowed)
        if of[n].form != FNN_CONV_CHANNELS:
            return False
        elements += conv_packed(&of[n], dtype)
    packed = new(1, &elements, typenum)
    pack[0].form = FNN_CONV_CHANNELS
    for i in range(3):
        second = (places[1] * places[2] if i == 0 else places[2] if i == 1 else 1) if places[i] == 2 else 0
        pack[0].places[i], pack[0].second_taps[i] = places[i], of[second].taps[i]
        pack[0].second_first[i] = (<const char *>pack[second].weight - <const char *>pack[0].weight) // size
    pack_weights(&of[0], &pack[0], packed, dtype)
    at = <char *>cnp.PyArray_DATA(packed)
    for n in range(count):
        read_packed(&of[n], at)
        at += conv_packed(&of[n], dtype) * size
        run_packed(&of[n], dtype)
    return True


cdef bint set_whole(fnn_conv_args *args, fnn_conv_pack_weight_args *pack, const char *weight, int size, int dtype, const Conv *c) noexcept:
    """The convolution for all places at once, with a step of 2 along height and width, and whether there is a form for it: depthwise, or of 3 x 3 taps by Winograd's algorithm."""
    cdef ptrdiff_t taps = c.axis[0].taps * c.axis[1].taps * c.axis[2].taps
    cdef bint depthwise = c.rows == c.channels == 1 and c.groups > 1 and c.axis[1].size >= 8
    cdef const Axis *axis
    cdef int i
    args.batch, args.groups, args.rows, args.channels = c.batch, c.groups, c.channels, c.rows
    for i in range(3):
        axis = &c.axis[i]
        args.x_size[i], args.step[i], args.taps[i], args.y_size[i], args.dilation[i] = axis.out, axis.step, axis.taps, axis.size, 1
        args.out[i], args.y_step[i], args.y_first[i], args.origin[i] = axis.size, 1, 0, axis.before
        if not depthwise:       # positions: those of a place; y_first, origin: of the place that takes the even taps
            args.out[i], args.y_step[i], args.y_first[i] = (axis.size + axis.step - 1) // axis.step, axis.step, axis.before % axis.step
            args.origin[i] = (axis.before + args.y_first[i]) // axis.step - axis.taps // 2
    pack.weight = weight + (taps - 1) * size
    pack.w_group, pack.w_row, pack.w_channel = c.rows * c.channels * taps, taps, c.channels * taps
    pack.w_tap[0], pack.w_tap[1], pack.w_tap[2] = -taps, -c.axis[2].taps, -1
    args.form = FNN_CONV_TURNED if depthwise else conv_form(args, dtype, winograd_allowed)
    return depthwise or fnn_conv_by_winograd(args.form)


cdef int turn_round(cnp.ndarray x, cnp.ndarray y, cnp.ndarray weight, cnp.ndarray bias, const Conv *c) except -1:
    """x = the transposed convolution of y: a convolution of y for each place that a position of x can have between the steps."""
    cdef fnn_conv_args args
    cdef fnn_conv_pack_weight_args pack
    cdef ptrdiff_t place[3], places[3]
    cdef int i, dtype = dtype_index(x), typenum = cnp.PyArray_TYPE(x), size = cnp.PyArray_ITEMSIZE(x)
    cdef const char *first = <const char *>cnp.PyArray_DATA(weight)
    args.y, args.x, args.bias = cnp.PyArray_DATA(x), cnp.PyArray_DATA(y), NULL if bias is None else cnp.PyArray_DATA(bias)
    args.activation, args.p, args.q = NULL, 0, 0
    if c.axes == 2 and all_are(2, 1, c) and set_whole(&args, &pack, first, size, dtype, c):
        return run(&args, &pack, dtype, typenum, args.form == FNN_CONV_TURNED)
    for i in range(3):
        places[i] = min(c.axis[i].step, c.axis[i].size)
    if max(places[0], places[1], places[2]) == 2 and run_together(&args, first, dtype, typenum, places, c):
        return 0
    for place[0] in range(places[0]):
        for place[1] in range(places[1]):
            for place[2] in range(places[2]):
                set_place(&args, &pack, first, size, place, c)
                run(&args, &pack, dtype, typenum)
    return 0


cdef int weight_gradient(cnp.ndarray dw, cnp.ndarray dy, cnp.ndarray x, const Conv *c, bint accumulate) except -1:
    """dw of the convolution from x to what dy is the gradient of."""
    cdef fnn_conv_weight_args args
    cdef int i, dtype = dtype_index(x)
    cdef size_t parts
    cdef double taps
    cdef double cycles = 1000
    cdef const Axis *axis
    cdef Taps t
    cdef Scratch scratch
    args.dw, args.dy, args.x = cnp.PyArray_DATA(dw), cnp.PyArray_DATA(dy), cnp.PyArray_DATA(x)
    args.batch, args.groups, args.rows, args.channels = c.batch, c.groups, c.rows, c.channels
    args.accumulate = accumulate
    for i in range(3):
        axis = &c.axis[i]
        args.out[i], args.x_size[i], args.step[i], args.dilation[i], args.origin[i] = axis.out, axis.size, axis.step, axis.dilation, -axis.before
        t = reaching(0, 1, axis.taps, axis.out, axis.step, axis.dilation, axis.size, &args.origin[i])
        args.taps[i], args.dw_taps[i], args.tap_first[i] = t.count, axis.taps, t.first
    join_axes(args.out, args.taps, args.x_size, args.step, args.origin)
    args.winograd = winograd_allowed and conv_weight_winograd(&args)
    taps = winograd_terms(args.taps, args.step) if args.winograd else args.taps[0] * args.taps[1] * <double>args.taps[2]
    cycles += c.batch * <double>args.out[0] * args.out[1] * args.out[2] * c.groups * c.rows * c.channels * taps / (16 if dtype == 0 else 8)
    parts = min(shares(cycles), threads())
    scratch = scratch_for(conv_weight_scratch(&args, dtype, parts), parts)
    args.scratch = scratch.data
    launch_shares(kernels.conv_weight_gradient[dtype], &args, sizeof(args), parts, cycles, True)
    return give_back(scratch)


cdef int bias_gradient_of(cnp.ndarray db, cnp.ndarray dy, bint accumulate) except -1:
    cdef fnn_channel_sums_args args
    cdef double size = cnp.PyArray_SIZE(dy)
    cdef int i
    args.y, args.x, args.accumulate = cnp.PyArray_DATA(db), cnp.PyArray_DATA(dy), accumulate
    args.outer, args.channels, args.inner = cnp.PyArray_DIM(dy, 0), cnp.PyArray_DIM(dy, 1), 1
    for i in range(2, cnp.PyArray_NDIM(dy)):
        args.inner *= cnp.PyArray_DIM(dy, i)
    return launch(kernels.channel_sums[dtype_index(dy)], &args, sizeof(args), 0.3 * size + 20.0 * args.channels * args.outer)


cdef tuple backward(bint transposed, object dy, object x, object weight, object stride, object padding, object dilation, object groups, object output_padding,
                    object dweight, object dbias, bint accumulate, bint input_gradient, bint weight_gradient_, bint bias_gradient):
    cdef cnp.ndarray a = real(x, "x"), w = real(weight, "weight"), g = real(dy, "dy"), dx = None, dw = None, db = None
    cdef Conv c
    cdef cnp.npy_intp channels
    cdef int i
    same_dtype(a, "x", w, "weight")
    same_dtype(a, "x", g, "dy")
    set_axes(&c, w, stride, padding, dilation, transposed)
    unbatched = cnp.PyArray_NDIM(a) == c.axes + 1
    a, g = batched(a, "x", c.axes), batched(g, "dy", c.axes)
    set_channels(&c, a, w, groups, transposed)
    if transposed:
        transposed_sizes(&c, a, output_padding)
    else:
        forward_sizes(&c, a)
    channels = c.groups * (c.channels if transposed else c.rows)
    expected = (c.batch, channels) + tuple([c.axis[i].size if transposed else c.axis[i].out for i in range(3 - c.axes, 3)])
    if np.shape(g) != expected:
        raise ValueError(f"dy must have the result's shape {expected[1:] if unbatched else expected}, got {np.shape(dy)}")
    if accumulate and ((weight_gradient_ and dweight is None) or (bias_gradient and dbias is None)):
        raise ValueError("accumulate needs dweight and dbias to add to")
    if weight_gradient_:
        dw = writeable(dweight, "dweight", a, c.axes + 2, cnp.PyArray_DIMS(w))
        if cnp.PyArray_SIZE(dw):
            weight_gradient(dw, a if transposed else g, g if transposed else a, &c, accumulate)
    if bias_gradient:
        db = writeable(dbias, "dbias", a, 1, &channels)
        bias_gradient_of(db, g, accumulate)
    if input_gradient:
        dx = new(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a))
        if cnp.PyArray_SIZE(dx) and transposed:
            convolve(dx, g, w, None, &c)
        elif cnp.PyArray_SIZE(dx):
            turn_round(dx, g, w, None, &c)
    return dx[0] if unbatched and input_gradient else dx, dw, db


# --- what users call ---

def conv(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, out=None):
    """The convolution of x: y[n, o, p] = bias[o] + sum over c and taps of weight[o, c, tap] x[n, c, p stride + tap dilation - padding].

    x: (N, C, …) or (C, …) with one, two or three axes behind, zeros around them; weight: (O, C / groups, taps …); bias: (O,) or None. stride, padding,
    dilation: an int or one for each axis; padding also 'valid' (none) or 'same' (y as large as x, more zeros at the end where they are odd).
    Returns (N, O, …) or (O, …) with (size + 2 padding - dilation (taps - 1) - 1) // stride + 1 positions along each axis.
    Raises ValueError where shapes and groups do not fit or the kernel is larger than the padded x, TypeError if dtypes differ.
    """
    cdef cnp.ndarray a = real(x, "x"), w = real(weight, "weight"), b, y
    cdef cnp.npy_intp outputs
    cdef Conv c
    same_dtype(a, "x", w, "weight")
    set_axes(&c, w, stride, padding, dilation, False)
    unbatched = cnp.PyArray_NDIM(a) == c.axes + 1
    a = batched(a, "x", c.axes)
    set_channels(&c, a, w, groups, False)
    forward_sizes(&c, a)
    outputs = c.groups * c.rows
    b = checked(bias, "bias", a, 1, &outputs)
    y = image_target(out, a, unbatched, c.groups * c.rows, &c, False, w)
    if cnp.PyArray_SIZE(y):
        convolve(y, a, w, b, &c)
    return deliver(y, out)


def conv_backward(dy, x, weight, stride=1, padding=0, dilation=1, groups=1, *, dweight=None, dbias=None, accumulate=False,
                  input_gradient=True, weight_gradient=True, bias_gradient=True):
    """(dx, dweight, dbias) of conv; None for those not asked for. dy: y's shape.

    Gradients of parameters are written to the arrays given for them, or added where `accumulate`; new arrays are made where none is given.
    """
    return backward(False, dy, x, weight, stride, padding, dilation, groups, 0, dweight, dbias, accumulate, input_gradient, weight_gradient, bias_gradient)


def conv_transpose(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, out=None):
    """The transposed convolution of x: y[n, o, q] = bias[o] + sum over c, p, taps with q = p stride + tap dilation - padding of weight[c, o, tap] x[n, c, p].

    It is the gradient of conv's input, with x for dy. x: (N, C, …) or (C, …); weight: (C, O / groups, taps …); bias: (O,) or None. Returns (N, O, …) or
    (O, …) with (size - 1) stride - 2 padding + dilation (taps - 1) + output_padding + 1 positions along each axis. Raises as conv does.
    """
    cdef cnp.ndarray a = real(x, "x"), w = real(weight, "weight"), b, y
    cdef cnp.npy_intp outputs
    cdef Conv c
    same_dtype(a, "x", w, "weight")
    set_axes(&c, w, stride, padding, dilation, True)
    unbatched = cnp.PyArray_NDIM(a) == c.axes + 1
    a = batched(a, "x", c.axes)
    set_channels(&c, a, w, groups, True)
    transposed_sizes(&c, a, output_padding)
    outputs = c.groups * c.channels
    b = checked(bias, "bias", a, 1, &outputs)
    y = image_target(out, a, unbatched, c.groups * c.channels, &c, True, w)
    if cnp.PyArray_SIZE(y):
        turn_round(y, a, w, b, &c)
    return deliver(y, out)


def conv_transpose_backward(dy, x, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1, *, dweight=None, dbias=None, accumulate=False,
                            input_gradient=True, weight_gradient=True, bias_gradient=True):
    """(dx, dweight, dbias) of conv_transpose, as conv_backward returns them."""
    return backward(True, dy, x, weight, stride, padding, dilation, groups, output_padding, dweight, dbias, accumulate, input_gradient, weight_gradient, bias_gradient)
