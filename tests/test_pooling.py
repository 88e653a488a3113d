"""Pooling: against the NumPy reference in 1, 2 and 3 dimensions, with the same bits everywhere, forward and backward.

Long, because five kinds of pooling go through the same checks, and their tables of cases stand beside them.
"""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_close, assert_same_bits, special_values, ulp_error

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

# shape of x, kernel_size, stride, padding, ceil_mode
CASES = (
    ((2, 3, 20), 2, None, 0, False),
    ((2, 3, 71), (3,), 1, 1, False),
    ((1, 2, 40), 5, 3, 2, True),
    ((3, 130), (4,), 4, 0, False),
    ((2, 2), (5,), 5, 0, True),
    ((2, 3, 32, 32), 2, 2, 0, False),
    ((2, 2, 28, 28), (2, 2), None, 0, False),
    ((2, 2, 10, 11), 2, None, 0, True),
    ((1, 2, 56, 56), 3, 2, 1, False),
    ((2, 2, 7, 9), 3, 2, 1, True),
    ((1, 3, 8, 35), (2, 5), (1, 2), (1, 2), False),
    ((2, 9, 21), (4, 3), (3, 1), (2, 1), True),
    ((1, 2, 40, 77), (3, 3), (1, 5), 0, False),
    ((1, 1, 9, 40), (3, 2), (2, 3), (1, 0), False),
    ((2, 2, 6, 6), 6, 1, 0, False),
    ((2, 2, 40, 30), (20, 15), (20, 3), 0, False),
    ((1, 2, 4, 5, 6), 2, 2, 0, False),
    ((2, 4, 7, 34), (2, 3, 3), (1, 2, 2), (1, 1, 1), True),
    ((2, 1, 5, 4, 19), (3, 2, 4), 1, (1, 1, 2), False),
)
# kernel_size, stride, padding, dilation of x (2, 3, 13, 40)
DILATED = (((3, 3), 1, 1, 2), ((2, 3), 2, (1, 0), (3, 5)), ((1, 2), (2, 3), (0, 1), (7, 9)), ((2, 2), (3, 1), 1, (14, 3)), ((2, 2), 1, (1, 0), (16, 1)))
# shape of x, output_size
ADAPTIVE = (
    ((2, 3, 12), (4,)),
    ((2, 3, 13), 5),
    ((2, 3, 7, 7), 1),
    ((2, 16, 32, 32), (4, 4)),
    ((2, 10, 13), (4, None)),
    ((1, 2, 5, 9), (7, 3)),
    ((2, 9, 11, 20), (3, 4, 5)),
    ((1, 2, 20, 70), (1, 2)),
)
SPECIALS = (np.nan, -np.inf, np.inf, -0.0, 0.0)


def wide(x):
    return x.astype(np.float64)


def with_ties(shape, dtype, rng):
    """Few values, so that windows have several equal maxima, and all special ones."""
    x = rng.integers(-3, 3, shape).astype(dtype)
    x.ravel()[rng.random(x.size) < 0.5] = -np.inf
    some = rng.integers(0, x.size, max(x.size // 50, 2))
    x.ravel()[some] = rng.choice(SPECIALS, some.size)
    return x


def check_maxima(x, forward, backward, expected, back, rng):
    """Values, positions and gradients; forward(x, indices), backward(dy, indices, x.shape)."""
    y, places = expected
    for kind in (None, "flat", "window"):
        actual, indices = forward(x, kind)
        np.testing.assert_array_equal(actual, y)
        assert actual.dtype == x.dtype
        assert (indices is None) == (kind is None)
        if kind == "flat":
            assert indices.dtype == np.int64
            np.testing.assert_array_equal(indices, places)
        if kind:
            dy = rng.standard_normal(y.shape).astype(x.dtype)
            assert_close(backward(dy, indices, x.shape), back(wide(dy), places, x.shape), 30, np.abs(dy).max(initial=0))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_max_pool_matches_reference(case, dtype, rng):
    shape, *options, ceil_mode = case
    options = (*options, 1, ceil_mode)
    for x in (rng.standard_normal(shape).astype(dtype), with_ties(shape, dtype, rng)):
        check_maxima(
            x, lambda x, kind: kernels.max_pool(x, *options, kind), lambda *a: kernels.max_pool_backward(*a, *options),
            reference.max_pool(x, *options, "flat"), lambda *a: reference.max_pool_backward(*a, *options), rng,
        )  # fmt: skip


@pytest.mark.parametrize("options", DILATED, ids=str)
def test_dilated_max_pool_matches_reference(options, dtype, rng):
    x = with_ties((2, 3, 13, 40), dtype, rng) if options[-1] != (16, 1) else rng.standard_normal((2, 3, 15, 6)).astype(dtype)
    check_maxima(
        x, lambda x, kind: kernels.max_pool(x, *options, False, kind), lambda *a: kernels.max_pool_backward(*a, *options),
        reference.max_pool(x, *options, False, "flat"), lambda *a: reference.max_pool_backward(*a, *options), rng,
    )  # fmt: skip


def test_a_dilated_window_may_have_no_element(dtype):
    x = np.ones((1, 1, 1), dtype)
    for kind in ("flat", "window"):
        y, indices = kernels.max_pool(x, 2, 1, 1, 2, False, kind)
        assert y == -np.inf
        assert kernels.max_pool_backward(x, indices, x.shape, 2, 1, 1, 2) == 0
    assert kernels.max_pool(x, 2, 1, 1, 2, False, "flat")[1] == -1


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("more", ((), (False,), (True, 7), (False, -3)), ids=str)
def test_avg_pool_matches_reference(case, more, dtype, rng):
    shape, *options, ceil_mode = case
    options = (*options, ceil_mode, *more)
    x = rng.standard_normal(shape).astype(dtype)
    expected = reference.avg_pool(wide(x), *options)
    actual = kernels.avg_pool(x, *options)
    assert actual.dtype == dtype
    assert_close(actual, expected, 300, np.abs(x).max())
    dy = rng.standard_normal(expected.shape).astype(dtype)
    assert_close(kernels.avg_pool_backward(dy, shape, *options), reference.avg_pool_backward(wide(dy), shape, *options), 60, np.abs(dy).max())


@pytest.mark.parametrize("case", ADAPTIVE, ids=str)
def test_adaptive_pools_match_reference(case, dtype, rng):
    shape, size = case
    x = with_ties(shape, dtype, rng)
    check_maxima(
        x, lambda x, kind: kernels.adaptive_max_pool(x, size, kind), lambda *a: kernels.adaptive_max_pool_backward(*a, size),
        reference.adaptive_max_pool(x, size, "flat"), lambda *a: reference.adaptive_max_pool_backward(*a, size), rng,
    )  # fmt: skip
    x = rng.standard_normal(shape).astype(dtype)
    expected = reference.adaptive_avg_pool(wide(x), size)
    assert_close(kernels.adaptive_avg_pool(x, size), expected, 60, np.abs(x).max())
    dy = rng.standard_normal(expected.shape).astype(dtype)
    assert_close(kernels.adaptive_avg_pool_backward(dy, shape, size), reference.adaptive_avg_pool_backward(wide(dy), shape, size), 10, np.abs(dy).max())


@pytest.mark.parametrize("norm_type", (1, 2, 3, 4, 2.5, 0.5, -1.0))
@pytest.mark.parametrize("case", [case for case in CASES if case[3] == 0], ids=str)
def test_lp_pool_matches_reference(case, norm_type, dtype, rng):
    shape, size, stride, _, ceil_mode = case
    x = (rng.random(shape) + 0.1).astype(dtype)
    y, mean = reference.lp_pool(wide(x), norm_type, size, stride, ceil_mode)
    actual = kernels.lp_pool(x, norm_type, size, stride, ceil_mode)
    assert_close(actual[0], y, 300)
    assert_close(actual[1], mean, 300)
    dy = rng.standard_normal(y.shape).astype(dtype)
    expected = reference.lp_pool_backward(wide(dy), wide(x), mean, norm_type, size, stride, ceil_mode)
    assert_close(kernels.lp_pool_backward(dy, x, actual[1], norm_type, size, stride, ceil_mode), expected, 1000, np.abs(expected).max())


def test_lp_pool_of_zeros_has_no_gradient(dtype):
    x = np.zeros((1, 1, 4), dtype)
    y, mean = kernels.lp_pool(x, 2, 2)
    np.testing.assert_array_equal(y, [[[0, 0]]])
    np.testing.assert_array_equal(kernels.lp_pool_backward(np.ones_like(y), x, mean, 2, 2), x)


@pytest.mark.parametrize("exponent", (0, 1, 2, 3, 0.5, 4, -1, -2, -3, 7, 2.5, 1 / 3, -0.75, 11.25))
def test_power_matches_reference(exponent, dtype, rng):
    x = np.concatenate([rng.standard_normal(500), 10 ** rng.uniform(-37, 38, 500)]).astype(dtype)
    exponent = float(dtype(exponent))  # as the kernel rounds it
    with np.errstate(over="ignore", under="ignore"):
        expected = reference.power(x.astype(np.longdouble), exponent)
        normal = np.isnan(expected) | (np.abs(expected) < np.finfo(dtype).max) & (np.abs(expected) > 2 * np.finfo(dtype).tiny)
        actual = kernels.power(x, exponent)
        assert ulp_error(actual[normal], expected[normal]) < 3 + abs(exponent)
        np.testing.assert_array_equal(np.isnan(actual), np.isnan(expected))
        x, dy = rng.random((2, 300)).astype(dtype) + dtype(0.1)
        assert_close(kernels.power_backward(dy, x, exponent, 2), reference.power_backward(wide(dy), wide(x), exponent, 2), 40)
        special = special_values(dtype)
        if exponent != 0.5:  # the root of x
            np.testing.assert_allclose(kernels.power(special, exponent), reference.power(special, exponent), rtol=1e-4, atol=np.finfo(dtype).tiny)


SAME = [case for case in CASES if len(case[0]) == 4]


@pytest.mark.parametrize("case", SAME, ids=str)
def test_is_bitwise_equal_across_instruction_sets_and_threads(case, dtype, rng):
    shape, *options, ceil_mode = case
    x = with_ties(shape, dtype, rng)
    maxima = (*options, 1, ceil_mode)
    dy = rng.standard_normal(reference.max_pool(x, *maxima)[0].shape).astype(dtype)
    assert_same_bits(lambda: kernels.max_pool(x, *maxima, "flat"))
    assert_same_bits(lambda: kernels.max_pool_backward(dy, kernels.max_pool(x, *maxima, "window")[1], shape, *maxima))
    assert_same_bits(lambda: kernels.avg_pool(dy, 2, 2, 1, ceil_mode, False))
    for more in ((), (False,)):
        assert_same_bits(lambda: kernels.avg_pool(x, *options, ceil_mode, *more))
        assert_same_bits(lambda: kernels.avg_pool_backward(dy, shape, *options, ceil_mode, *more))


@pytest.mark.parametrize("case", ADAPTIVE, ids=str)
def test_adaptive_pools_are_bitwise_equal_across_instruction_sets_and_threads(case, dtype, rng):
    shape, size = case
    x = with_ties(shape, dtype, rng)
    dy = rng.standard_normal(kernels.adaptive_max_pool(x, size)[0].shape).astype(dtype)
    assert_same_bits(lambda: kernels.adaptive_max_pool(x, size, "flat"))
    assert_same_bits(lambda: kernels.adaptive_max_pool_backward(dy, kernels.adaptive_max_pool(x, size, "window")[1], shape, size))
    assert_same_bits(lambda: kernels.adaptive_avg_pool(np.nan_to_num(x, posinf=2, neginf=-0.3), size))
    assert_same_bits(lambda: kernels.adaptive_avg_pool_backward(dy, shape, size))


def test_lp_pool_is_bitwise_equal_across_instruction_sets_and_threads(dtype, rng):
    x = rng.random((3, 9, 31)).astype(dtype)
    for norm_type in (2, 3.3):
        assert_same_bits(lambda: kernels.lp_pool(x, norm_type, (2, 3)))  # noqa: B023
        y, mean = kernels.lp_pool(x, norm_type, (2, 3))
        assert_same_bits(lambda: kernels.lp_pool_backward(y, x, mean, norm_type, (2, 3)))  # noqa: B023
    assert_same_bits(lambda: kernels.power(special_values(dtype), -2.5))


@pytest.mark.parametrize("case", SAME, ids=str)
def test_both_kinds_of_indices_give_the_same_bits(case, dtype, rng):
    shape, *options, ceil_mode = case
    options = (*options, 1, ceil_mode)
    x = with_ties(shape, dtype, rng)
    y, flat = kernels.max_pool(x, *options, "flat")
    window = kernels.max_pool(x, *options, "window")[1]
    dy = rng.standard_normal(y.shape).astype(dtype)
    np.testing.assert_array_equal(kernels.max_pool_backward(dy, flat, shape, *options), kernels.max_pool_backward(dy, window, shape, *options))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    relaid = LAYOUTS[layout]
    x, dy = rng.standard_normal((2, 3, 8, 10)).astype(dtype), rng.standard_normal((2, 3, 4, 5)).astype(dtype)
    y, indices = kernels.max_pool(x, 2, indices="flat")
    again = kernels.max_pool(relaid(x), 2, indices="flat")
    np.testing.assert_array_equal(again[0], y)
    np.testing.assert_array_equal(again[1], indices)
    dx = kernels.max_pool_backward(dy, indices, x.shape, 2)
    np.testing.assert_array_equal(kernels.max_pool_backward(relaid(dy), relaid(indices), x.shape, 2), dx)
    np.testing.assert_array_equal(kernels.avg_pool(relaid(x), 3, 2, 1), kernels.avg_pool(x, 3, 2, 1))
    np.testing.assert_array_equal(kernels.avg_pool_backward(relaid(dy), x.shape, 3, 2, 1), kernels.avg_pool_backward(dy, x.shape, 3, 2, 1))
    np.testing.assert_array_equal(kernels.adaptive_avg_pool(relaid(x), 3), kernels.adaptive_avg_pool(x, 3))
    np.testing.assert_array_equal(kernels.lp_pool(relaid(np.abs(x)), 3, 2)[0], kernels.lp_pool(np.abs(x), 3, 2)[0])


def test_out_is_filled_and_returned(dtype, rng):
    x = rng.standard_normal((2, 3, 8, 8)).astype(dtype)
    out, back = np.empty((2, 3, 4, 4), dtype), np.empty_like(x)
    y, indices = kernels.max_pool(x, 2, indices="window", out=out)
    assert y is out
    np.testing.assert_array_equal(out, kernels.max_pool(x, 2)[0])
    assert kernels.max_pool_backward(out, indices, x.shape, 2, out=back) is back
    np.testing.assert_array_equal(back, kernels.max_pool_backward(out, indices, x.shape, 2))
    assert kernels.avg_pool(x, 2, out=out) is out
    overlapping = x.copy()
    np.testing.assert_array_equal(kernels.avg_pool(overlapping, 2, out=overlapping[:, :, ::2, ::2]), out)
    assert kernels.adaptive_avg_pool(x, 4, out=out) is out
    with pytest.raises(ValueError, match=r"out must have shape \(2, 3, 4, 4\), got \(2, 3, 8, 8\)"):
        kernels.avg_pool(x, 2, out=back)


def test_a_plane_alone_equals_the_plane_in_a_batch(dtype, rng):
    x = rng.standard_normal((5, 3, 9, 9)).astype(dtype)
    for function in (lambda x: kernels.max_pool(x, (3, 3), 2, 1)[0], lambda x: kernels.avg_pool(x, (9, 9)), lambda x: kernels.adaptive_avg_pool(x, (2, 4))):
        y = function(x)
        np.testing.assert_array_equal(function(x[3, 1]), y[3, 1])
        np.testing.assert_array_equal(function(x[2:3]), y[2:3])


LAYERS = (
    (nn.MaxPool1d(3, 2, 1), (2, 2, 9)),
    (nn.MaxPool2d(2), (2, 2, 6, 6)),
    (nn.MaxPool2d((3, 2), (2, 1), (1, 0), ceil_mode=True), (2, 7, 6)),
    (nn.MaxPool3d(2, 1, dilation=2), (1, 2, 4, 4, 3)),
    (nn.AvgPool1d(3, 2, 1, True, False), (2, 2, 8)),
    (nn.AvgPool2d(3, 2, 1), (1, 2, 7, 7)),
    (nn.AvgPool2d(2, divisor_override=3), (2, 4, 4)),
    (nn.AvgPool3d(2, 1), (1, 2, 3, 3, 3)),
    (nn.AdaptiveAvgPool1d(3), (2, 2, 7)),
    (nn.AdaptiveAvgPool2d(1), (2, 3, 4, 5)),
    (nn.AdaptiveAvgPool3d((1, None, 2)), (2, 3, 2, 3)),
    (nn.AdaptiveMaxPool1d(3), (2, 2, 7)),
    (nn.AdaptiveMaxPool2d((2, None)), (2, 3, 4, 5)),
    (nn.AdaptiveMaxPool3d(1), (2, 3, 2, 3)),
    (nn.LPPool1d(2, 3), (2, 2, 9)),
    (nn.LPPool2d(3.5, 2, 1, ceil_mode=True), (1, 2, 5, 5)),
    (nn.LPPool3d(2, 2), (2, 2, 4, 4)),
)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=repr)
def test_gradient_matches_central_differences(layer, shape, rng):
    x = rng.permutation(np.prod(shape)).reshape(shape) / np.prod(shape) + 0.1  # no two within a step of each other
    gradcheck(layer, x)


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=repr)
def test_evaluation_gives_the_bits_of_training_and_keeps_nothing(layer, shape, dtype, rng):
    x = np.abs(rng.standard_normal(shape)).astype(dtype)
    y = layer.train()(x)
    np.testing.assert_array_equal(layer.eval()(x), y)
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        layer.backward(y)
    layer.train()(x)
    layer.needs_input_grad = False
    assert layer.backward(y) is None
    layer.needs_input_grad = True
    np.testing.assert_array_equal(layer(x[:0] if len(shape) > len(layer.axes) + 1 else x), y[:0] if len(shape) > len(layer.axes) + 1 else y)


@pytest.mark.parametrize(("layer", "size"), ((nn.MaxPool2d(2, return_indices=True), 2), (nn.AdaptiveMaxPool2d(4, return_indices=True), 2)))
def test_return_indices(layer, size, rng):
    x = rng.standard_normal((2, 3, 8, 8)).astype(np.float32)
    y, indices = layer(x)
    np.testing.assert_array_equal(np.take_along_axis(x.reshape(2, 3, 64), indices.reshape(2, 3, 16), axis=2).reshape(y.shape), y)
    plain = nn.MaxPool2d(size)
    plain(x)
    np.testing.assert_array_equal(layer.backward(y), plain.backward(y))
    np.testing.assert_array_equal(layer.eval()(x)[1], indices)


def test_empty_arrays(dtype):
    for shape, result in (((0, 3, 8, 8), (0, 3, 4, 4)), ((2, 0, 8, 8), (2, 0, 4, 4))):
        x = np.zeros(shape, dtype)
        for kind in ("flat", "window"):
            y, indices = kernels.max_pool(x, 2, indices=kind)
            assert y.shape == result
            assert kernels.max_pool_backward(y, indices, shape, 2).shape == shape
        assert kernels.avg_pool(x, 2).shape == result
        assert kernels.avg_pool_backward(np.zeros(result, dtype), shape, 2).shape == shape
        assert kernels.adaptive_avg_pool(x, 3).shape == (*shape[:2], 3, 3)
        assert kernels.lp_pool(x, 2, 2)[0].shape == result
    x = np.ones((2, 3, 4, 4), dtype)
    y, indices = kernels.adaptive_max_pool(x, (0, 2), "flat")
    assert y.shape == indices.shape == (2, 3, 0, 2)
    np.testing.assert_array_equal(kernels.adaptive_max_pool_backward(y, indices, x.shape, (0, 2)), 0 * x)
    np.testing.assert_array_equal(kernels.adaptive_avg_pool_backward(y, x.shape, (0, 2)), 0 * x)


HUGE = (2**30, 2**31, 2**62, 2**64, 10**30)


@pytest.mark.parametrize("huge", HUGE)
def test_huge_options_are_refused_or_right(huge, dtype):
    x = np.arange(24, dtype=dtype).reshape(1, 2, 12)
    for function in (kernels.max_pool, kernels.avg_pool):
        for options in ((huge,), (huge, 1, 0), (2, 1, huge), ((3,), 1, 1, huge) if function is kernels.max_pool else (huge, huge, huge)):
            with pytest.raises(ValueError, match="kernel_size must|padding must|dilation must"):
                function(x, *options)
    with pytest.raises(ValueError, match="kernel_size must|lp_pool"):
        kernels.lp_pool(x, 2, huge)
    if huge >= 2**31:
        with pytest.raises(ValueError, match=rf"stride must be at least 1 and below 2\*\*31, got {huge}"):
            kernels.max_pool(x, 2, huge)
    else:
        for options, expected in (((2, huge), x[..., 1:2]), ((huge, huge, 0, 1, True), x[..., 11:])):
            y, indices = kernels.max_pool(x, *options, **({} if len(options) > 2 else {"dilation": 1}), indices="flat")
            np.testing.assert_array_equal(y, expected)
            dx = kernels.max_pool_backward(y, indices, x.shape, *options)
            assert dx.sum() == y.sum()
        y = kernels.avg_pool(x, huge, huge, 0, True)
        assert_close(y[..., 0], x.mean(axis=-1))
        assert_close(kernels.avg_pool_backward(y, x.shape, huge, huge, 0, True)[..., 3], y[..., 0] / 12)
        y = kernels.avg_pool(x, 2, huge)
        assert_close(kernels.avg_pool_backward(y, x.shape, 2, huge).sum(axis=-1), y[..., 0])
    with pytest.raises((ValueError, MemoryError)):
        kernels.adaptive_avg_pool(x, huge * 2**20)


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 3, 4, 4), dtype)
    for options, message in (
        ((5,), r"kernel_size must fit into the padded input, got kernel_size 5, padding 0 and dilation 1 for x of shape \(2, 3, 4, 4\)"),
        ((0,), "kernel_size must be at least 1 and below 2\\*\\*31, got 0"),
        ((-2,), "kernel_size must be at least 1"),
        ((2, 0), "stride must be at least 1"),
        ((2, (1, -1)), "stride must be at least 1 .* got -1"),
        ((2, 1, 2), "padding must be at most half of kernel_size, got padding 2 and kernel_size 2"),
        ((2, 1, -1), "padding must be at least 0"),
        (((2, 2), (1, 2, 3)), r"stride must be a number or have one for each of the 2 pooled axes, got \(1, 2, 3\)"),
        (((),), r"kernel_size must be for 1, 2 or 3 axes, got \(\) for x of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels.max_pool(x, *options)
        with pytest.raises(ValueError, match=message):
            kernels.avg_pool(x, *options)
    for bad in (1.5, "2", None, (2, None)):
        with pytest.raises(TypeError, match="kernel_size must be an integer"):
            kernels.max_pool(x, bad)
    with pytest.raises(TypeError, match="x must be float32 or float64"):
        kernels.max_pool(x.astype(np.int32), 2)
    with pytest.raises(ValueError, match=r"at least one element along each pooled axis, got shape \(2, 0, 4\)"):
        kernels.max_pool(x[:, 0, :0], (1, 1))
    with pytest.raises(ValueError, match="at least one element along each pooled axis"):
        kernels.adaptive_avg_pool(x[..., :0], 2)
    with pytest.raises(ValueError, match="divisor_override must not be 0"):
        kernels.avg_pool(x, 2, divisor_override=0)
    with pytest.raises(TypeError, match="divisor_override must be an integer"):
        kernels.avg_pool(x, 2, divisor_override=0.5)
    with pytest.raises(ValueError, match="output_size must be at least 0"):
        kernels.adaptive_max_pool(x, -1)
    for bad in (0, np.inf, np.nan):
        with pytest.raises(ValueError, match="norm_type must be a finite number other than 0"):
            kernels.lp_pool(x, bad, 2)
    with pytest.raises(ValueError, match="indices must be None, 'flat' or 'window'"):
        kernels.max_pool(x, 2, indices="all")


def test_bad_gradients_and_indices_are_refused_in_a_sentence(dtype):
    x = np.ones((2, 3, 4, 4), dtype)
    y, flat = kernels.max_pool(x, 2, indices="flat")
    window = kernels.max_pool(x, 2, indices="window")[1]
    with pytest.raises(ValueError, match=r"dy must have the output's shape \(2, 3, 2, 2\), got \(2, 3, 4, 4\)"):
        kernels.max_pool_backward(x, flat, x.shape, 2)
    with pytest.raises(ValueError, match=r"dy must have the output's shape"):
        kernels.avg_pool_backward(x, x.shape, 2)
    with pytest.raises(ValueError, match=r"indices must have the output's shape \(2, 3, 2, 2\), got \(2, 3, 2, 1\)"):
        kernels.max_pool_backward(y, flat[..., :1], x.shape, 2)
    for bad in (16, -2, 2**62):
        wrong = flat.copy()
        wrong[1, 0, 1, 0] = bad
        with pytest.raises(ValueError, match=rf"indices must be from 0 to 15, or -1, got {bad}"):
            kernels.max_pool_backward(y, wrong, x.shape, 2)
    with pytest.raises(TypeError, match="indices must be integers"):
        kernels.max_pool_backward(y, y, x.shape, 2)
    with pytest.raises(ValueError, match="indices must be as the forward returned them"):
        kernels.max_pool_backward(y, window[:, 1:], x.shape, 2)
    with pytest.raises(TypeError, match="shape must be the shape of the forward's x"):
        kernels.avg_pool_backward(y, None, 2)
    # bytes that no forward returned: any result, but within dx
    kernels.max_pool_backward(np.ones((2, 3, 3, 3), dtype), np.full((6, 9 + 32), 200, np.uint8), (2, 3, 5, 5), 2, 1, 0, 2)
    kernels.max_pool_backward(y, np.full_like(window, 254), x.shape, 2)


def test_layers_refuse_bad_arguments():
    for make in (lambda: nn.MaxPool2d((2, 2, 2)), lambda: nn.AvgPool1d(2, (1, 2)), lambda: nn.AdaptiveMaxPool3d((1, 2))):
        with pytest.raises(ValueError, match="must be a number or have one for each of the [123] pooled axes"):
            make()
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        nn.AvgPool2d(2, 0)
    with pytest.raises(TypeError, match="kernel_size must be an integer, got float"):
        nn.MaxPool1d(2.0)
    with pytest.raises(ValueError, match="norm_type must not be 0"):
        nn.LPPool2d(0, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, H, W\) or \(C, H, W\), got \(4, 4\)"):
        nn.MaxPool2d(2)(np.ones((4, 4), np.float32))
    assert repr(nn.MaxPool2d(3, 2, 1)) == "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)"
    assert repr(nn.AdaptiveAvgPool2d((1, None))) == "AdaptiveAvgPool2d(output_size=(1, None))"
