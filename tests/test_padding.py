"""Padding: the reference's elements exactly, its gradients up to rounding, the same bits everywhere, forward and backward."""

import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_close, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

MODES = ("constant", "reflect", "replicate", "circular")
SHAPES = [
    ((5,), (2, 1)), ((3, 6), (-1, 2)), ((2, 3, 7), (3, -2)), ((2, 7), (0, 0)), ((2, 3, 5, 6), (1, 2, 3, 0)), ((4, 5), (2, 2, -1, 3)),
    ((2, 3, 4, 5, 6), (1, 2, 3, 1, 0, 2)), ((3, 4, 5), (-1, 1, 2, -2, 1, 1)), ((2, 4, 3, 3), (-2, -1, 1, 1)), ((1, 1, 2, 40), (35, 39, 1, 1)),
    ((0, 3, 4, 4), (1, 1, 1, 1)), ((2, 0, 4), (1, 1)), ((2, 3, 4), (-2, -2)), ((2, 3, 1), (0, 0)),
]  # fmt: skip
# for 1, 2 and 3 axes; the mode; what the constructors take besides the padding
LAYERS = [
    (nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, "constant", ()), (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d, "constant", (1.5,)),
    (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d, "reflect", ()), (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d, "replicate", ()),
    (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d, "circular", ()),
]  # fmt: skip


def check(shape, padding, mode, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    y = kernels.pad(x, padding, mode, 1.5)
    np.testing.assert_array_equal(y, reference.pad(x, padding, mode, 1.5), strict=True)
    dy = rng.standard_normal(y.shape).astype(dtype)
    wide = dy.astype(np.float64)
    dx = kernels.pad_backward(dy, shape, padding, mode)
    magnitude = reference.pad_backward(np.abs(wide), shape, padding, mode)
    assert dx.dtype == dtype
    assert_close(dx, reference.pad_backward(wide, shape, padding, mode), 8, magnitude)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("shape", "padding"), SHAPES, ids=str)
def test_matches_reference(shape, padding, mode, dtype, rng):
    check(shape, padding, mode, dtype, rng)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("n", SIZES[1:])
def test_every_row_length(n, mode, dtype, rng):
    most = {"constant": 40, "reflect": n - 1, "replicate": 40, "circular": n}[mode]
    for padding in ((most, 0), (0, most), (most // 2, most), (-(n // 2), most // 2)):
        check((2, 3, n), padding, mode, dtype, rng)


def test_an_axis_without_elements_can_be_filled_but_not_continued(dtype):
    y = kernels.pad(np.ones((2, 0, 3), dtype), (1, 1, 2, 1), value=7)
    np.testing.assert_array_equal(y, np.full((2, 3, 5), 7, dtype))
    assert kernels.pad_backward(y, (2, 0, 3), (1, 1, 2, 1)).shape == (2, 0, 3)
    for mode in ("reflect", "replicate", "circular"):
        assert kernels.pad(np.ones((2, 0), dtype), (0, 0), mode).shape == (2, 0)
        with pytest.raises(ValueError, match=r"along axis 1 .*got"):
            kernels.pad(np.ones((2, 0), dtype), (1, 0), mode)


@pytest.mark.parametrize("mode", MODES)
def test_is_bitwise_equal_across_instruction_sets_and_threads(mode, dtype, rng):
    for shape, padding in (((5, 3, 9, 37), (3, 5, 2, 1)), ((2, 5, 6, 11), (2, 1, -1, 3, 2, 2)), ((1, 1, 700), (99, 150))):
        x = rng.standard_normal(shape).astype(dtype)
        dy = rng.standard_normal(kernels.pad(x, padding, mode).shape).astype(dtype)
        assert_same_bits(lambda x=x, dy=dy, shape=shape, padding=padding: (kernels.pad(x, padding, mode, 0.3), kernels.pad_backward(dy, shape, padding, mode)))


def test_special_values_are_copied_as_they_are(dtype):
    x = np.array([[np.nan, np.inf, -np.inf, -0.0, 1e-40]], dtype)
    for mode in MODES:
        y = kernels.pad(x, (2, 3), mode, -0.0)
        np.testing.assert_array_equal(y, reference.pad(x, (2, 3), mode, -0.0))
        assert np.array_equal(np.signbit(y[~np.isnan(y)]), np.signbit(reference.pad(x, (2, 3), mode, -0.0)[~np.isnan(y)]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, relaid = rng.standard_normal((2, 3, 5, 7)).astype(dtype), LAYOUTS[layout]
    for mode in MODES:
        np.testing.assert_array_equal(kernels.pad(relaid(x), (1, 2, 3, 1), mode), kernels.pad(x, (1, 2, 3, 1), mode))
        np.testing.assert_array_equal(kernels.pad_backward(relaid(x), (2, 3, 3, 4), (2, 1, 1, 1), mode), kernels.pad_backward(x, (2, 3, 3, 4), (2, 1, 1, 1), mode))


def test_out_is_filled_and_may_overlap_with_the_input(dtype, rng):
    x = rng.standard_normal((4, 6)).astype(dtype)
    expected = kernels.pad(x, (1, 1), "circular")
    out = np.empty((4, 8), dtype)
    assert kernels.pad(x, (1, 1), "circular", out=out) is out
    np.testing.assert_array_equal(out, expected)
    block = np.zeros((4, 8), dtype)
    block[:, 1:7] = x
    assert kernels.pad(block[:, 1:7], (1, 1), "circular", out=block) is block
    np.testing.assert_array_equal(block, expected)


# --- layers ---


@pytest.mark.parametrize("axes", (1, 2, 3))
@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind[0].__name__)
def test_layers_are_the_kernel_and_take_unbatched_input(kind, axes, dtype, rng):
    mode, options = kind[3:]
    layer = kind[axes - 1](2, *options)
    x = rng.standard_normal((2, 3) + (4, 5, 3)[:axes]).astype(dtype)
    y = layer(x)
    np.testing.assert_array_equal(y, reference.pad(x, (2,) * (2 * axes), mode, *options), strict=True)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = layer.backward(dy)
    np.testing.assert_array_equal(dx, kernels.pad_backward(dy, x.shape, (2,) * (2 * axes), mode))
    np.testing.assert_array_equal(layer(x[0]), y[0])
    np.testing.assert_array_equal(layer.backward(dy[0]), dx[0])
    layer.needs_input_grad = False
    assert layer.backward(dy[0]) is None and layer.state_dict() == {}
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, .*got"):
        layer(np.ones((2,) * (axes + 3), dtype))


@pytest.mark.parametrize("kind", LAYERS, ids=lambda kind: kind[0].__name__)
def test_gradient_matches_central_differences(kind, rng):
    one, two, three, _, options = kind
    gradcheck(one((3, 2), *options), rng.standard_normal((2, 2, 5)))
    gradcheck(two((2, 1, -1, 2), *options), rng.standard_normal((2, 1, 4, 3)))
    gradcheck(three((1, 2, 2, 1, -1, 1), *options), rng.standard_normal((1, 3, 4, 3)))


# --- errors ---


@pytest.mark.parametrize("huge", (2**30, 2**62, 2**80))
def test_huge_padding_is_refused_before_anything_is_computed(huge, dtype):
    x = np.ones((2, 3, 4, 5), dtype)
    for mode in ("constant", "replicate"):
        with pytest.raises(ValueError, match="the padded array would be too large for memory"):
            kernels.pad(x, (huge,) * 4, mode)
    with pytest.raises(ValueError, match=rf"padding must be smaller than x's size 5 along axis 3 to reflect it, got \({huge}, 0\)"):
        kernels.pad(x, (huge, 0), "reflect")
    with pytest.raises(ValueError, match=rf"padding must be at most x's size 5 along axis 3 to go round it, got \({huge}, 0\)"):
        kernels.pad(x, (huge, 0), "circular")
    for mode in MODES:
        with pytest.raises(ValueError, match=rf"padding must not crop more than x's size 5 along axis 3, got \(-{huge}, (0|{huge})\)"):
            kernels.pad(x, (-huge, huge), mode)


def test_bad_input_is_refused_in_a_sentence():
    x = np.ones((2, 3, 5), np.float32)
    with pytest.raises(ValueError, match="padding must not crop more than x's size 5 along axis 2"):
        nn.ZeroPad1d((-3, -3))(x)
    with pytest.raises(ValueError, match="padding must be smaller than x's size 5 along axis 2 to reflect it"):
        nn.ReflectionPad1d(5)(x)
    with pytest.raises(ValueError, match="padding must be at most x's size 4 along axis 2 to go round it"):
        nn.CircularPad1d((-1, 5))(x)
    with pytest.raises(ValueError, match="mode must be one of constant, reflect, replicate, circular, got 'edge'"):
        kernels.pad(x, (1, 1), "edge")
    with pytest.raises(ValueError, match="padding must have 2, 4 or 6 integers, two for each of x's last axes, got 3"):
        kernels.pad(x, (1, 1, 1))
    with pytest.raises(ValueError, match=r"x must have at least 2 dimensions for padding \(1, 1, 1, 1\), got shape \(5,\)"):
        kernels.pad(x[0, 0], (1, 1, 1, 1))
    with pytest.raises(TypeError, match="padding must be a sequence of integers, got 2"):
        kernels.pad(x, 2)
    with pytest.raises(TypeError, match="padding must be an integer or 2 of them, got 1.5"):
        nn.ConstantPad1d(1.5, 0)
    with pytest.raises(ValueError, match="padding must be an integer or 4 of them for ReplicationPad2d"):
        nn.ReplicationPad2d((1, 1))
    with pytest.raises(ValueError, match=r"dy must have the shape \(2, 3, 7\) that x of shape \(2, 3, 5\) is padded to, got \(2, 3, 5\)"):
        kernels.pad_backward(x, (2, 3, 5), (1, 1))
    with pytest.raises(TypeError, match="x must be float32 or float64, got int64"):
        kernels.pad(np.ones((2, 3), np.int64), (1, 1))
    with pytest.raises(ValueError, match=r"out must have shape \(2, 3, 7\)"):
        kernels.pad(x, (1, 1), out=np.empty((2, 3, 5), np.float32))
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        nn.ZeroPad2d(1).backward(x)
