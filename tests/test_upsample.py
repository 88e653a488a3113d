"""Upsample: the reference's elements (nearest) or values (linear), the same bits everywhere, forward and backward."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_close, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}
SIZES = [(1, 1), (1, 5), (5, 1), (4, 8), (8, 4), (3, 3), (7, 10), (10, 7), (5, 15), (16, 33), (33, 16), (17, 129), (100, 3), (1, 70)]
SHAPES = [
    ((2, 3, 7), {"size": 12}), ((1, 2, 5, 6), {"size": (7, 4)}), ((2, 2, 3, 4), {"scale_factor": 2}), ((1, 1, 6, 5), {"scale_factor": (0.5, 1.7)}),
    ((2, 1, 3, 4, 5), {"size": (5, 4, 2)}), ((1, 2, 2, 3, 3), {"scale_factor": 2.0}), ((3, 2, 5, 1), {"size": (1, 4)}), ((2, 3, 1, 4, 1), {"size": (3, 1, 5)}),
    ((1, 2, 5, 7), {"scale_factor": 1.3}), ((1, 2, 5, 7), {"scale_factor": 1.3, "recompute_scale_factor": True}), ((0, 2, 5, 7), {"size": 3}), ((2, 0, 5), {"size": 3}),
]  # fmt: skip


def modes(ndim):
    return [{"mode": "nearest"}, {"mode": LINEAR[ndim]}, {"mode": LINEAR[ndim], "align_corners": True}]


def check(shape, options, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    y = kernels.upsample(x, **options)
    assert y.dtype == dtype
    expected = reference.upsample(x, **options)
    if options["mode"] == "nearest":
        np.testing.assert_array_equal(y, expected, strict=True)
    else:
        assert_close(y, expected, 2 ** (len(shape) - 2), np.abs(x).max(initial=0))
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx = kernels.upsample_backward(dy, shape, **options)
    assert dx.dtype == dtype
    terms = max(1, 2 ** (len(shape) - 2) * dy.size // max(dx.size, 1))
    assert_close(dx, reference.upsample_backward(dy, shape, **options), terms, reference.upsample_backward(np.abs(dy), shape, **options))


@pytest.mark.parametrize("mode", (0, 1, 2))
@pytest.mark.parametrize(("shape", "options"), SHAPES, ids=str)
def test_matches_reference(shape, options, mode, dtype, rng):
    check(shape, {**options, **modes(len(shape))[mode]}, dtype, rng)


@pytest.mark.parametrize("mode", (0, 1, 2))
@pytest.mark.parametrize(("n", "m"), SIZES)
def test_every_size(n, m, mode, dtype, rng):
    check((2, 2, n), {"size": m, **modes(3)[mode]}, dtype, rng)
    check((1, 2, n, 3), {"size": (m, 2), **modes(4)[mode]}, dtype, rng)


def test_constants_stay_and_corners_are_aligned(dtype, rng):
    for options in modes(4):
        np.testing.assert_allclose(kernels.upsample(np.full((1, 2, 5, 3), 7, dtype), size=(11, 4), **options), 7, rtol=4 * np.finfo(dtype).eps)
    x = rng.standard_normal((1, 1, 4, 5)).astype(dtype)
    y = kernels.upsample(x, size=(9, 13), mode="bilinear", align_corners=True)
    np.testing.assert_allclose(y[..., [0, 0, -1, -1], [0, -1, 0, -1]], x[..., [0, 0, -1, -1], [0, -1, 0, -1]], rtol=1e-5)


def test_an_infinity_stays_where_it_is(dtype):
    x = np.zeros((1, 1, 3, 3), dtype)
    x[..., 2, 2] = np.inf
    y = kernels.upsample(x, scale_factor=2, mode="bilinear")
    assert not np.isnan(y).any() and np.isinf(y[..., 3:, 3:]).all() and not y[..., :3, :].any()
    np.testing.assert_array_equal(kernels.upsample(x, size=3, mode="bilinear"), x)


@pytest.mark.parametrize("mode", (0, 1, 2))
def test_is_bitwise_equal_across_instruction_sets_and_threads(mode, dtype, rng):
    for shape, size in (((3, 5, 37), (90,)), ((2, 3, 9, 17), (20, 33)), ((2, 3, 20, 33), (9, 17)), ((1, 2, 4, 5, 6), (7, 9, 11))):
        x, dy = rng.standard_normal(shape).astype(dtype), rng.standard_normal(shape[:2] + size).astype(dtype)
        options = modes(len(shape))[mode]
        assert_same_bits(lambda x=x, size=size, options=options: kernels.upsample(x, size, **options))
        assert_same_bits(lambda dy=dy, shape=shape, size=size, options=options: kernels.upsample_backward(dy, shape, size, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, relaid = rng.standard_normal((2, 3, 5, 7)).astype(dtype), LAYOUTS[layout]
    for options in modes(4):
        np.testing.assert_array_equal(kernels.upsample(relaid(x), scale_factor=2, **options), kernels.upsample(x, scale_factor=2, **options))
        np.testing.assert_array_equal(kernels.upsample_backward(relaid(x), (2, 3, 9, 4), (5, 7), **options), kernels.upsample_backward(x, (2, 3, 9, 4), (5, 7), **options))


def test_out_is_filled(dtype, rng):
    x = rng.standard_normal((1, 2, 3, 4)).astype(dtype)
    out = np.empty((1, 2, 6, 8), dtype)
    assert kernels.upsample(x, scale_factor=2, out=out) is out
    np.testing.assert_array_equal(out, x.repeat(2, 2).repeat(2, 3))


# --- layers ---


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Upsample(scale_factor=2), (2, 1, 3)),
        (nn.Upsample(5, mode="linear"), (2, 2, 3)),
        (nn.Upsample(scale_factor=(1.5, 2), mode="nearest"), (1, 2, 3, 2)),
        (nn.Upsample((5, 2), mode="bilinear"), (1, 2, 3, 4)),
        (nn.Upsample(scale_factor=1.4, mode="bilinear", recompute_scale_factor=True), (1, 2, 3, 4)),
        (nn.UpsamplingBilinear2d(scale_factor=2), (1, 2, 3, 3)),
        (nn.UpsamplingNearest2d(4), (1, 2, 3, 6)),
        (nn.Upsample((3, 5, 2), mode="trilinear"), (1, 1, 2, 3, 3)),
        (nn.Upsample(scale_factor=2, mode="trilinear", align_corners=True), (1, 1, 2, 2, 3)),
    ],
    ids=repr,
)
def test_gradient_matches_central_differences(layer, shape, rng):
    gradcheck(layer, rng.standard_normal(shape))


def test_layers_name_the_kernels_options(dtype, rng):
    x = rng.standard_normal((2, 3, 4, 5)).astype(dtype)
    for layer, options in (
        (nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), {"scale_factor": 2, "mode": "bilinear"}),
        (nn.UpsamplingNearest2d(size=(3, 9)), {"size": (3, 9)}),
        (nn.UpsamplingBilinear2d(size=7), {"size": 7, "mode": "bilinear", "align_corners": True}),
    ):
        y = layer(x)
        np.testing.assert_array_equal(y, kernels.upsample(x, **options), strict=True)
        np.testing.assert_array_equal(layer.backward(y), kernels.upsample_backward(y, x.shape, **options))
        layer.needs_input_grad = False
        assert layer.backward(y) is None
        np.testing.assert_array_equal(layer.eval()(x), y)


# --- errors ---


@pytest.mark.parametrize("huge", (2**30, 2**62, 2**80, 1e300))
def test_huge_sizes_are_refused_before_anything_is_computed(huge, dtype):
    x = np.ones((2, 2, 2, 2), dtype)
    with pytest.raises(ValueError, match="too large for memory|that memory can hold"):
        kernels.upsample(x, scale_factor=huge * 4)
    if isinstance(huge, int):
        with pytest.raises(ValueError, match="the resampled array would be too large for memory"):
            kernels.upsample(x, size=huge * 2, mode="bilinear")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either size or scale_factor must be given, got neither"),
        ({"size": 3, "scale_factor": 2}, "either size or scale_factor must be given, got both"),
        ({"size": 3, "mode": "bicubic"}, "mode must be one of nearest, linear, bilinear, trilinear, got 'bicubic'"),
        ({"size": 3, "mode": "linear"}, "x must have 3 dimensions for mode 'linear', got shape (1, 1, 4, 4)"),
        ({"size": 3, "mode": "trilinear"}, "x must have 5 dimensions for mode 'trilinear', got shape (1, 1, 4, 4)"),
        ({"size": 3, "align_corners": True}, "align_corners must be None for mode 'nearest'"),
        ({"size": 3, "recompute_scale_factor": True}, "recompute_scale_factor must not be set where size is given"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"size": (1, 2, 3)}, "size must be a number or 2 of them for an input of 4 dimensions, got (1, 2, 3)"),
        ({"scale_factor": -1.0}, "scale_factor must be positive and finite, got -1.0"),
        ({"scale_factor": np.nan}, "scale_factor must be positive and finite, got nan"),
        ({"scale_factor": (1.0,)}, "scale_factor must be a number or 2 of them"),
        ({"scale_factor": 0.1}, "scale_factor must leave at least one element along each axis, got 0.1 for shape (1, 1, 4, 4)"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_in_a_sentence(options, message):
    with pytest.raises(ValueError) as error:
        kernels.upsample(np.ones((1, 1, 4, 4), np.float32), **options)
    assert message in str(error.value)


def test_bad_input_is_refused_in_a_sentence():
    x = np.ones((1, 1, 4, 4), np.float32)
    with pytest.raises(ValueError, match="mode must be one of nearest, linear, bilinear, trilinear, got 'bicubic'"):
        nn.Upsample(scale_factor=2, mode="bicubic")
    with pytest.raises(TypeError, match="size must be an integer, got float"):
        nn.Upsample(2.5)(x)
    with pytest.raises(TypeError, match="scale_factor must be a number, got dict"):
        nn.Upsample(scale_factor={})(x)
    for shape in ((4,), (1, 4), (1,) * 6):
        with pytest.raises(ValueError, match=r"x must have shape \(N, C, L\), \(N, C, H, W\) or \(N, C, D, H, W\), got"):
            nn.Upsample(3)(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"x must have an element along each axis that is resampled, got shape \(1, 1, 0, 4\)"):
        nn.Upsample(3)(x[:, :, :0])
    with pytest.raises(ValueError, match=r"dy must have the shape \(1, 1, 8, 8\) that x of shape \(1, 1, 4, 4\) is resampled to, got \(1, 1, 4, 4\)"):
        kernels.upsample_backward(x, (1, 1, 4, 4), scale_factor=2)
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        nn.Upsample(3).backward(x)
