"""Convolution and transposed convolution: against the float64 reference, with the same bits everywhere, forward and backward.

Long, because every way that a convolution can go has its shapes here, and all go through the same checks.
"""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_close, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

# images, channels in and out, size, taps, stride, padding, dilation, groups
WINOGRAD = (
    (2, 16, 16, (8, 8), (3, 3), 1, 1, 1, 1),
    (5, 20, 34, (7, 9), (3, 3), 1, 1, 1, 1),
    (2, 40, 36, (12, 33), (3, 3), 1, 0, 1, 1),
    (3, 64, 34, (9, 8), (3, 3), 1, (2, 3), 1, 2),
    (1, 16, 17, (4, 450), (3, 3), 1, 1, 1, 1),
    (1, 530, 16, (7, 7), (3, 3), 1, 1, 1, 1),
    (1, 17, 150, (8, 8), (3, 3), 1, 1, 1, 1),
    (2, 64, 20, (8, 8), (3, 3), 1, 1, 1, 1),
    (2, 20, 16, (26, 27), (3, 3), 1, 2, 2, 1),
    (1, 16, 34, (13, 75), (3, 3), 1, (1, 2), (1, 3), 1),
    (3, 36, 32, (29, 24), (3, 3), 1, (1, 4), (3, 2), 2),
    (1, 16, 16, (9, 900), (3, 3), 1, (0, 1), (2, 1), 1),
    (1, 17, 16, (8, 901), (3, 3), 1, 2, 2, 1),
    (2, 20, 18, (23, 27), (3, 3), 1, 4, 4, 1),
    (3, 4, 20, (12, 10), (3, 3), 1, 0, 1, 1),
    (5, 3, 16, (31, 33), (3, 3), 1, 1, 1, 1),
    (1, 24, 3, (9, 18), (3, 3), 1, 1, 1, 1),
    (1, 64, 48, (7, 7), (5, 5), 1, 2, 1, 1),
    (2, 20, 35, (12, 33), (5, 5), 1, (0, 2), 1, 1),
    (3, 34, 36, (17, 30), (5, 5), 1, 4, 2, 2),
    (1, 16, 17, (9, 401), (5, 5), 1, (2, 1), 1, 1),
    (19, 24, 34, (4, 4), (3, 3), 1, 1, 1, 2),
    (1, 20, 24, (8, 7), (5, 5), 1, 2, 1, 1),
    (2, 16, 20, (13, 22), (7, 7), 1, 3, 1, 1),
    (1, 8, 9, (10, 30), (9, 6), 1, (4, 2), 1, 1),
    (3, 27, 16, (9, 20), (3, 5), 1, (1, 2), (2, 3), 1),
    (1, 3, 10, (36, 40), (7, 7), 2, 3, 1, 1),
    (2, 20, 16, (21, 18), (5, 7), (1, 2), (2, 3), 1, 1),
    (2, 36, 16, (18, 21), (5, 5), 2, 2, 1, 2),
    (1, 8, 8, (8, 900), (5, 5), 2, 2, 1, 1),
)
LARGE = (  # the same with weights that are transformed where they are used
    (1, 150, 230, (7, 8), (3, 3), 1, 1, 1, 1),
    (18, 130, 260, (4, 4), (3, 3), 1, 1, 1, 1),
    (2, 370, 376, (4, 5), (3, 3), 1, 1, 1, 2),
    (2, 190, 180, (9, 11), (3, 3), 1, 2, 2, 1),
    (2, 172, 200, (9, 8), (5, 5), 1, 2, 1, 1),
    (3, 70, 60, (14, 13), (7, 7), 1, 3, 1, 1),
    (1, 64, 66, (24, 25), (7, 7), 2, 3, 1, 1),
)
HALVED = (  # 3 x 3 taps with a stride of 2, whose even and odd taps go by ways of their own
    (1, 16, 16, (32, 32), (3, 3), 2, 1, 1, 1),
    (3, 40, 36, (31, 29), (3, 3), 2, 1, 1, 1),
    (2, 34, 40, (32, 66), (3, 3), 2, (1, 0), 1, 1),
    (2, 64, 80, (31, 32), (3, 3), 2, 1, 1, 2),
    (1, 24, 20, (16, 450), (3, 3), 2, (1, 2), 1, 1),
    (2, 20, 33, (29, 30), (3, 3), 2, 2, 1, 1),
    (1, 18, 20, (64, 65), (3, 3), 2, 0, 1, 1),
    (1, 150, 230, (15, 16), (3, 3), 2, 1, 1, 1),
    (5, 200, 180, (16, 14), (3, 3), 2, 1, 1, 1),
    (2, 182, 190, (17, 16), (3, 3), 2, (0, 1), 1, 1),
)
IMAGES = (  # enough of them for vectors across the batch
    (16, 6, 16, (14, 14), (5, 5), 1, 0, 1, 1),
    (31, 1, 6, (12, 13), (5, 5), 1, 2, 1, 1),
    (16, 8, 10, (5, 6), (3, 3), 2, 1, 1, 2),
    (33, 20, 20, (4, 4), (3, 3), 1, 1, 1, 1),
    (16, 4, 6, (3, 4, 5), (3, 2, 3), 1, 1, 1, 1),
    (16, 7, 9, (12,), (3,), 1, 2, 2, 1),
    (64, 12, 12, (3, 3), (3, 3), 1, 1, 1, 12),
    (30, 9, 3, (2, 3), (4, 4), 1, 3, 1, 1),
    (17, 5, 5, (6, 7), (3, 3), 1, 1, 1, 5),
    (18, 5, 5, (9, 8), (3, 3), 2, 1, 1, 5),
    (18, 14, 40, (5, 5), (3, 3), 1, 1, 1, 1),
)
DEPTHWISE = (
    (2, 5, 5, (17, 40), (3, 3), 1, 1, 1, 5),
    (1, 4, 4, (20, 37), (5, 5), 2, 2, 1, 4),
    (2, 4, 4, (21, 70), (3, 3), 2, 1, 1, 4),
    (2, 3, 3, (1, 41), (3, 3), 1, (1, 0), 1, 3),
    (2, 3, 3, (2, 38), (3, 3), 2, (1, 2), 1, 3),
    (2, 3, 3, (9, 40), (3, 3), (2, 1), 1, 1, 3),
    (2, 3, 3, (12, 70), (7, 3), 1, (3, 1), (1, 2), 3),
    (3, 4, 4, (9, 18), (1, 5), 2, (0, 2), 1, 4),
    (2, 3, 3, (33, 5), (4, 2), 2, (1, 4), (2, 3), 3),
    (2, 3, 3, (4, 33), (3, 3), 1, (4, 20), (2, 9), 3),
    (2, 3, 3, (11, 40), (4, 2), 2, 1, 1, 3),
    (1, 2, 2, (10, 70), (3, 6), 2, (3, 5), 1, 2),
    (2, 4, 4, (12, 9), (2, 1), 2, 0, 1, 4),
)
CHANNELS = (  # enough of them for vectors along those of the result
    (2, 12, 64, (9, 7), (3, 3), 2, 1, 1, 1),
    (1, 30, 100, (14, 14), (3, 3), 2, 1, 1, 1),
    (2, 24, 88, (6, 10), (5, 3), 1, 2, (1, 2), 2),
    (1, 16, 48, (3, 5, 7), (2, 3, 3), 1, 1, 1, 1),
    (2, 40, 64, (23,), (5,), 2, 3, 1, 1),
    (1, 64, 48, (7, 7), (5, 2), 1, 2, 1, 1),
    (3, 33, 130, (7, 6), (2, 3), 1, 0, 1, 1),
    (2, 110, 64, (7, 9), (1, 1), 1, 0, 1, 1),
    (2, 130, 100, (13, 14), (1, 1), 2, 0, 1, 1),
    (1, 700, 60, (20, 32), (1, 1), 1, 0, 1, 1),
    (2, 110, 70, (7, 9), (3, 4), 2, 1, 1, 1),  # the places of its gradient have their weights packed together
    (1, 64, 110, (11, 8), (4, 3), (2, 1), 1, 1, 1),
    (1, 60, 110, (4, 5, 5), (2, 3, 3), 2, 1, 1, 1),
)
SHAPES = (
    (1, 1, 1, (1,), (1,), 1, 0, 1, 1),
    (2, 3, 5, (9,), (3,), 1, 1, 1, 1),
    (2, 4, 6, (20,), (4,), 2, 3, 1, 2),
    (1, 2, 3, (700,), (5,), 1, 2, 3, 1),
    (2, 3, 8, (8, 8), (3, 3), 1, 1, 1, 1),
    (3, 4, 4, (7, 9), (3, 2), 2, 1, 1, 1),
    (2, 6, 6, (9, 9), (3, 3), 1, 1, 1, 6),
    (2, 4, 12, (17, 16), (3, 3), 2, 1, 1, 4),
    (2, 8, 16, (5, 5), (1, 1), 1, 0, 1, 1),
    (2, 40, 50, (16, 16), (1, 1), 1, 0, 1, 1),
    (2, 8, 16, (5, 5), (1, 1), 2, 0, 1, 1),
    (2, 2, 3, (12, 13), (5, 3), (3, 2), (2, 1), (1, 2), 1),
    (2, 64, 12, (8, 8), (3, 3), 1, 1, 1, 1),
    (5, 40, 70, (4, 4), (3, 3), 1, 1, 1, 1),
    (2, 3, 9, (32, 32), (3, 3), 1, 1, 1, 1),
    (1, 3, 7, (36, 40), (7, 7), 2, 3, 1, 1),
    (3, 5, 4, (1, 1), (3, 3), 1, 1, 1, 1),
    (2, 4, 4, (6, 6), (3, 3), 4, 1, 1, 1),
    (2, 4, 4, (20, 20), (3, 3), 1, 4, 4, 1),
    (2, 4, 6, (5, 6, 7), (3, 2, 3), (1, 2, 1), 1, 1, 2),
    (1, 2, 3, (6, 6, 6), (3, 3, 3), 2, 1, 2, 1),
    (3, 26, 52, (6, 7), (3, 3), 1, 1, 1, 13),
    (2, 21, 21, (14, 14), (3, 3), 2, 1, 1, 21),
    (5, 100, 20, (4, 5), (3, 3), 1, 1, 1, 1),
    (3, 4, 11, (12, 10), (3, 3), 1, 0, 1, 1),
    (2, 29, 30, (1, 19), (3, 3), 1, (1, 3), 1, 1),
    *WINOGRAD,
    *LARGE,
    *HALVED,
    *IMAGES,
    *DEPTHWISE,
    *CHANNELS,
)
EMPTY = ((0, 3, 4, (5, 5), (3, 3), 1, 1, 1, 1), (2, 0, 4, (5, 5), (3, 3), 1, 1, 1, 1), (2, 3, 0, (5, 5), (3, 3), 1, 1, 1, 1), (2, 3, 4, (0, 5), (3, 3), 1, 2, 1, 1))


def operands(shape, dtype, rng):
    n, channels, outputs, size, taps, *_, groups = shape
    x, w, b = rng.standard_normal((n, channels, *size)), rng.standard_normal((outputs, channels // groups, *taps)), rng.standard_normal(outputs)
    return x.astype(dtype), w.astype(dtype), b.astype(dtype)


def sum_of_taps(dtype, dy, x, w, way, stride=1):
    """y, dx or dw of a convolution with a square kernel and as many zeros around x as it reaches, in this dtype."""
    taps = w.shape[-1]
    pad = taps // 2
    dy, x, w = (a.astype(dtype) for a in (dy, x, w))
    padded, dx, dw = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad))), 0, np.zeros_like(w)
    y = 0
    height, width = x.shape[2:]
    dx = np.zeros_like(padded)
    for i, j in np.ndindex(taps, taps):
        read = np.s_[:, :, i : i + height : stride, j : j + width : stride]
        window = padded[read]
        y = y + np.einsum("nchw,oc->nohw", window, w[:, :, i, j])
        dx[read] += np.einsum("nohw,oc->nchw", dy, w[:, :, i, j])
        dw[:, :, i, j] = np.einsum("nohw,nchw->oc", dy, window)
    return (y, dx[:, :, pad:-pad, pad:-pad], dw)[way]


def wide(*arrays):
    return [a.astype(np.float64) for a in arrays]


def may_be_winograd(shape):
    _, channels, outputs, _, taps, stride, *_, groups = shape
    steps = np.broadcast_to(stride, len(taps))
    if len(taps) != 2 or min(taps) < 3 or max(taps) > 9 or max(steps) > 2:
        return False
    cells = np.prod([sum(-(-len(range(phase, t, step)) // 3) for phase in range(step)) for t, step in zip(taps, steps, strict=True)])
    few, many = sorted((channels // groups, outputs // groups))
    if tuple(taps) == (3, 3) and min(steps) == 2:
        return few >= 16
    return few >= 3 and few * many >= 48 if cells == 1 else many >= 8 and cells * few >= 27 and 81 * cells <= 20 * np.prod(taps)


def check(actual, function, *arrays, options, winograd=False):
    """Against the reference's function of these arrays, each result on the scale of the sum of its terms' magnitudes; by Winograd's algorithm, where the errors
    of a square's results are those of its largest, on that of the largest."""
    expected = function(*wide(*arrays), **options)
    magnitude = function(*[abs(a) for a in wide(*arrays)], **options)
    single = not isinstance(expected, tuple)
    results = [(actual, expected, magnitude)] if single else zip(actual, expected, magnitude, strict=True)
    for a, e, m in results:
        assert a.dtype == arrays[0].dtype
        assert_close(a, e, **({"terms": 3, "magnitude": m.max()} if winograd else {"magnitude": m}))


@pytest.mark.parametrize("shape", SHAPES + EMPTY, ids=str)
def test_conv_matches_reference(shape, dtype, rng):
    x, w, b = operands(shape, dtype, rng)
    options = dict(zip(("stride", "padding", "dilation", "groups"), shape[-4:], strict=True))
    y = kernels.conv(x, w, b, **options)
    check(y, reference.conv, x, w, b, options=options, winograd=may_be_winograd(shape))
    dy = rng.standard_normal(y.shape).astype(dtype)
    check(kernels.conv_backward(dy, x, w, **options), reference.conv_backward, dy, x, w, options=options, winograd=may_be_winograd(shape))


@pytest.mark.parametrize("extra", (0, 1))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conv_transpose_matches_reference(shape, extra, dtype, rng):
    n, channels, outputs, size, taps, stride, padding, dilation, groups = shape
    x, b = rng.standard_normal((n, outputs, *size)).astype(dtype), rng.standard_normal(channels).astype(dtype)
    w = rng.standard_normal((outputs, channels // groups, *taps)).astype(dtype)
    extra = extra if np.min(stride) > 1 else 0
    options = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    try:
        y = kernels.conv_transpose(x, w, b, **options)
    except ValueError as error:
        assert "at least one position" in str(error)
        return
    check(y, reference.conv_transpose, x, w, b, options=options, winograd=may_be_winograd(shape))
    dy = rng.standard_normal(y.shape).astype(dtype)
    check(kernels.conv_transpose_backward(dy, x, w, **options), reference.conv_transpose_backward, dy, x, w, options=options, winograd=may_be_winograd(shape))


@pytest.mark.parametrize("padding", ("same", "valid"))
@pytest.mark.parametrize("taps", ((4,), (3, 2), (1, 2, 3)))
def test_padding_by_name(padding, taps, rng):
    x, w = rng.standard_normal((2, 3, *(6 + t for t in taps))), rng.standard_normal((4, 3, *taps))
    y = kernels.conv(x, w, padding=padding, dilation=2)
    check(y, reference.conv, x, w, options={"padding": padding, "dilation": 2})
    assert padding == "valid" or y.shape[2:] == x.shape[2:]
    dy = rng.standard_normal(y.shape)
    check(kernels.conv_backward(dy, x, w, padding=padding, dilation=2), reference.conv_backward, dy, x, w, options={"padding": padding, "dilation": 2})


@pytest.mark.parametrize("shape", [SHAPES[i] for i in (2, 3, 5, 6, 7, 9, 11, 13, 15, 18, 19, 21, 22, 23, 24, 25)] + [*WINOGRAD, *LARGE, *HALVED, *IMAGES, *DEPTHWISE, *CHANNELS], ids=str)
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, dtype, rng):
    x, w, b = operands(shape, dtype, rng)
    options = dict(zip(("stride", "padding", "dilation", "groups"), shape[-4:], strict=True))
    assert_same_bits(lambda: kernels.conv(x, w, b, **options))
    dy = rng.standard_normal(kernels.conv(x, w, b, **options).shape).astype(dtype)
    assert_same_bits(lambda: kernels.conv_backward(dy, x, w, **options))


def test_an_image_and_two_equal_those_in_a_batch(dtype, rng):
    for shape in (SHAPES[4], SHAPES[12], SHAPES[13], SHAPES[14], SHAPES[27], LARGE[1], LARGE[3], HALVED[1], HALVED[8]):
        x, w, b = operands(shape, dtype, rng)
        options = {"stride": shape[5], "padding": 1}
        y = kernels.conv(x, w, b, **options)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = kernels.conv_backward(dy, x, w, **options)[0]
        for i in range(len(x)):
            for some in (i, slice(i, i + 2)):
                np.testing.assert_array_equal(kernels.conv(x[some], w, b, **options), y[some])
                np.testing.assert_array_equal(kernels.conv_backward(dy[some], x[some], w, **options)[0], dx[some])


@pytest.mark.parametrize("number", (1, np.inf, np.nan))
@pytest.mark.parametrize("shape", IMAGES, ids=str)
def test_an_image_alone_equals_the_image_in_a_bundle(shape, number, dtype, rng):
    x, w, b = operands(shape, dtype, rng)
    w.flat[0] = number
    options = dict(zip(("stride", "padding", "dilation", "groups"), shape[-4:], strict=True))
    y = kernels.conv(x, w, b, **options)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = kernels.conv_backward(dy, x, w, **options)[0]
    for i in range(len(x)):
        np.testing.assert_array_equal(kernels.conv(x[i], w, b, **options), y[i])
        np.testing.assert_array_equal(kernels.conv_backward(dy[i], x[i], w, **options)[0], dx[i])


@pytest.mark.parametrize(
    ("channels", "taps", "stride", "most"),
    ((4, 3, 1, 4), (16, 3, 1, 2.6), (64, 3, 1, 2.2), (256, 3, 1, 1.1), (16, 5, 1, 2.6), (64, 5, 1, 2.2), (16, 7, 1, 2.6), (16, 3, 2, 1.8), (256, 3, 2, 0.8)),
)
def test_winograds_errors_are_a_few_times_the_direct_sums(channels, taps, stride, most, dtype, rng):
    """The fewer, the more channels the sum has; those of the weights' gradient 3 to 4 times. A convolution of two images in depth has the same terms, but goes
    the direct way."""
    x, w, _ = operands((4, channels, 16, (16 * stride, 16 * stride), (taps, taps), 1), dtype, rng)
    pad = taps // 2
    options = {"stride": stride, "padding": pad}
    dy = rng.standard_normal((4, 16, 16, 16)).astype(dtype)
    if dtype == np.float32:
        expected = reference.conv(*wide(x, w), **options), *reference.conv_backward(*wide(dy, x, w), **options)[:2]
    else:  # long double, by taps
        expected = [sum_of_taps(np.longdouble, dy, x, w, way, stride) for way in range(3)]
    winograd = kernels.conv(x, w, **options), *kernels.conv_backward(dy, x, w, **options, bias_gradient=False)[:2]
    deep, deep_dy = (np.stack([a, np.zeros_like(a)], 2) for a in (x, dy))
    options = {"stride": (1, stride, stride), "padding": (0, pad, pad)}
    dx, dw, _ = kernels.conv_backward(deep_dy, deep, w[:, :, None], **options, bias_gradient=False)
    direct = kernels.conv(deep, w[:, :, None], **options)[:, :, 0], dx[:, :, 0], dw[:, :, 0]
    times = (most, 2.6, 3.6) if stride == 1 else (most, 3.1)  # the input's gradient sums 16 channels; that of weights with a stride goes the direct way, too
    for most, a, d, e in zip(times, winograd, direct, expected, strict=False):
        assert not np.array_equal(a, d)
        assert np.sqrt(np.mean((a - e) ** 2)) < most * np.sqrt(np.mean((d - e) ** 2))


def test_an_infinity_reaches_the_results_of_its_squares_only(rng):
    x, w, _ = operands(WINOGRAD[0], np.float32, rng)
    clean = kernels.conv(x, w, padding=1)
    x[0, 3, 5, 5] = np.inf
    y = kernels.conv(x, w, padding=1)
    assert not np.isfinite(y[0, :, 4:7, 4:7]).any()
    y[0, :, 4:8, 4:8] = clean[0, :, 4:8, 4:8]
    np.testing.assert_array_equal(y, clean)


@pytest.mark.parametrize(("taps", "stride"), ((3, 1), (5, 1), (7, 1), (9, 1), (3, 2), (7, 2)))
def test_an_infinity_reaches_four_positions_further_at_most(taps, stride, rng):
    x, w, _ = operands((1, 16, 16, (40, 40), (taps, taps), 1), np.float32, rng)
    for at in range(16, 24):
        spoilt = x.copy()
        spoilt[0, 0, at, at] = np.inf
        reached = np.argwhere(~np.isfinite(kernels.conv(spoilt, w, stride=stride, padding=taps // 2)[0, 0])) - at / stride
        assert taps // 2 // stride <= abs(reached).max() <= taps // 2 / stride + 4


def test_an_infinity_reaches_four_positions_further_at_most_in_a_transposed_convolution(rng):
    x, w = rng.standard_normal((1, 24, 40, 40)).astype(np.float32), rng.standard_normal((24, 20, 3, 3)).astype(np.float32)
    reach = []
    for at in range(16, 24):
        spoilt = x.copy()
        spoilt[0, 0, at, at] = np.inf
        reach.append(abs(np.argwhere(~np.isfinite(kernels.conv_transpose(spoilt, w, stride=2, padding=1)[0, 0])) - 2 * at).max())
    assert min(reach) == 1 and 1 < max(reach) <= 1 + 4  # beyond the definition's only where Winograd's algorithm is used


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, w, b = operands(SHAPES[5], dtype, rng)
    relaid = LAYOUTS[layout]
    y = kernels.conv(x, w, b, 2, 1)
    dy = rng.standard_normal(y.shape).astype(dtype)
    np.testing.assert_array_equal(kernels.conv(relaid(x), relaid(w), relaid(b), 2, 1), y)
    for a, e in zip(kernels.conv_backward(relaid(dy), relaid(x), relaid(w), 2, 1), kernels.conv_backward(dy, x, w, 2, 1), strict=True):
        np.testing.assert_array_equal(a, e)
    out = relaid(np.zeros_like(y))
    if out.flags.writeable and out.dtype.isnative:
        assert kernels.conv(x, w, b, 2, 1, out=out) is out
        np.testing.assert_array_equal(out, y)


def test_gradients_accumulate(dtype, rng):
    x, w, b = operands(SHAPES[4], dtype, rng)
    dy = rng.standard_normal(kernels.conv(x, w).shape).astype(dtype)
    _, dw, db = kernels.conv_backward(dy, x, w)
    sums = dw.copy(), db.copy()
    kernels.conv_backward(dy, x, w, dweight=sums[0], dbias=sums[1], accumulate=True)
    np.testing.assert_array_equal(sums[0], dw + dw)
    np.testing.assert_array_equal(sums[1], db + db)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda d: nn.Conv1d(4, 6, 3, padding=2, dilation=2, groups=2, dtype=d, rng=1), (2, 4, 9)),
        (lambda d: nn.Conv2d(3, 4, 3, stride=2, padding=1, dtype=d, rng=1), (2, 3, 6, 5)),
        (lambda d: nn.Conv2d(2, 3, (3, 2), padding="same", bias=False, dtype=d, rng=1), (2, 4, 5)),
        (lambda d: nn.Conv2d(2, 3, 3, padding=1, padding_mode="reflect", dtype=d, rng=1), (2, 2, 4, 5)),
        (lambda d: nn.Conv2d(2, 3, 4, padding="same", padding_mode="circular", dtype=d, rng=1), (2, 2, 5, 5)),
        (lambda d: nn.Conv2d(4, 4, 3, padding=1, groups=4, padding_mode="replicate", dtype=d, rng=1), (2, 4, 4, 4)),
        (lambda d: nn.Conv3d(2, 3, 2, stride=(1, 2, 1), dtype=d, rng=1), (2, 2, 3, 4, 4)),
        (lambda d: nn.ConvTranspose1d(4, 6, 3, stride=2, groups=2, dtype=d, rng=1), (2, 4, 5)),
        (lambda d: nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1, dtype=d, rng=1), (2, 3, 3, 4)),
        (lambda d: nn.ConvTranspose3d(2, 3, 2, dilation=2, bias=False, dtype=d, rng=1), (2, 2, 3, 2)),
    ],
)
def test_gradient_matches_central_differences(layer, shape, rng):
    gradcheck(layer(np.float64), rng.standard_normal(shape if len(shape) > 3 or "1d" in repr(layer(np.float64)) else shape))


def test_transposed_layer_takes_an_output_size(rng):
    layer = nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1, rng=1)
    x = rng.standard_normal((1, 2, 4, 4)).astype(np.float32)
    assert layer(x, output_size=(8, 7)).shape == (1, 3, 8, 7)
    assert layer.backward(np.ones((1, 3, 8, 7), np.float32)).shape == x.shape
    with pytest.raises(ValueError, match="output_size must be from"):
        layer(x, output_size=(9, 7))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"stride": 0}, ValueError, "stride must be from 1"),
        ({"stride": -1}, ValueError, "stride must be from 1"),
        ({"stride": (1, 2, 3)}, ValueError, "stride must have 2 numbers"),
        ({"stride": 1.5}, TypeError, "stride must be an integer"),
        ({"padding": -1}, ValueError, "padding must be from 0"),
        ({"padding": 2**62}, ValueError, "padding must be from 0"),
        ({"padding": "some"}, ValueError, "padding must be"),
        ({"padding": "same", "stride": 2}, ValueError, "needs a stride of 1"),
        ({"dilation": 2**30}, ValueError, "smaller than the kernel"),
        ({"dilation": 2**62}, ValueError, "dilation must be from 1"),
        ({"groups": 0}, ValueError, "groups must be a positive integer"),
        ({"groups": 3}, ValueError, "groups must be a positive integer"),
        ({"groups": 2}, ValueError, "x must have 6 channels"),
        ({"bias": np.zeros(3, np.float32)}, ValueError, r"bias must have shape \(4,\)"),
        ({"bias": np.zeros(4)}, TypeError, "bias must have x's dtype"),
        ({"x": np.zeros((2, 3, 2, 5), np.float32)}, ValueError, "smaller than the kernel"),
        ({"x": np.zeros((3, 5), np.float32)}, ValueError, "x must have 4 dimensions"),
        ({"x": np.zeros((1, 3, 5, 5))}, TypeError, "dtype"),
        ({"weight": np.zeros((4, 3), np.float32)}, ValueError, "weight must have 3, 4 or 5 dimensions"),
        ({"weight": np.zeros((4, 3, 0, 2), np.float32)}, ValueError, "at least one tap"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, words):
    given = {"x": np.zeros((2, 3, 5, 5), np.float32), "weight": np.zeros((4, 3, 3, 3), np.float32), **arguments}
    with pytest.raises(error, match=words):
        kernels.conv(**given)


def test_huge_geometry_is_an_error_or_right():
    x, w = np.ones((1, 1, 5, 5), np.float32), np.ones((1, 1, 3, 3), np.float32)
    with pytest.raises((MemoryError, ValueError)):
        kernels.conv(x, w, padding=2**30)
    assert kernels.conv(x, w, padding=2**30, dilation=2**30).shape == (1, 1, 5, 5)
    np.testing.assert_array_equal(kernels.conv(x, w, padding=2**30, dilation=2**30), x)
    np.testing.assert_array_equal(kernels.conv_backward(x, x, w, padding=2**30, dilation=2**30)[1][0, 0], np.pad([[25.0]], 1))
    assert kernels.conv(x, w, stride=2**30).shape == (1, 1, 1, 1)
    with pytest.raises((MemoryError, ValueError)):
        kernels.conv_transpose(x, w, stride=2**30)
    with pytest.raises(ValueError, match="at least one position"):
        kernels.conv_transpose(x, w, padding=2**30)


def test_infinities_and_nan_stay_where_they_are(dtype):
    x, w = np.ones((1, 2, 6, 20), dtype), np.ones((3, 2, 3, 3), dtype)
    x[0, 1, 2, 17] = np.nan
    y = kernels.conv(x, w, padding=1)
    expected = np.zeros((6, 20), bool)
    expected[1:4, 16:19] = True
    np.testing.assert_array_equal(np.isnan(y), np.broadcast_to(expected, y.shape))
    dw = kernels.conv_backward(np.ones_like(y), x, w, padding=1)[1]
    np.testing.assert_array_equal(np.isnan(dw), np.broadcast_to(np.array([False, True])[:, None, None], dw.shape))


def test_layers_name_what_is_wrong():
    with pytest.raises(ValueError, match="in_channels must be a multiple of groups 2, got 3"):
        nn.Conv2d(3, 4, 3, groups=2)
    with pytest.raises(ValueError, match="kernel_size must be at least 1, got 0"):
        nn.Conv2d(3, 4, 0)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 3, H, W\) or \(3, H, W\), got \(1, 4, 5, 5\)"):
        nn.Conv2d(3, 4, 3)(np.zeros((1, 4, 5, 5), np.float32))
    with pytest.raises(ValueError, match="padding_mode must be one of"):
        nn.Conv1d(3, 4, 3, padding_mode="mirror")
    with pytest.raises(ValueError, match="padding must be one of"):
        nn.Conv1d(3, 4, 3, padding="full")
