"""PixelShuffle, PixelUnshuffle and ChannelShuffle: NumPy's permutations exactly, forward and backward; and copies of many axes."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits

from fastnn import kernels, nn
from fastnn.gradcheck import gradcheck


def to_pixels(x, r):
    y = np.empty((*x.shape[:-3], x.shape[-3] // r**2, x.shape[-2] * r, x.shape[-1] * r), x.dtype)
    for c, i, j in np.ndindex(y.shape[-3], r, r):
        y[..., c, i::r, j::r] = x[..., c * r * r + i * r + j, :, :]
    return y


def to_channels(x, r):
    pixels = [x[..., c, i::r, j::r] for c, i, j in np.ndindex(x.shape[-3], r, r)]
    return np.stack(pixels, -3) if pixels else np.empty((*x.shape[:-3], 0, x.shape[-2] // r, x.shape[-1] // r), x.dtype)


def channels_of(x, groups):
    n = x.shape[1] // groups
    return x[:, [g * n + i for i in range(n) for g in range(groups)]]


CASES = [
    (nn.PixelShuffle(2), to_pixels, 2, (3, 8, 5, 7)), (nn.PixelShuffle(3), to_pixels, 3, (2, 2, 18, 4, 33)), (nn.PixelShuffle(1), to_pixels, 1, (3, 2, 4)),
    (nn.PixelShuffle(2), to_pixels, 2, (4, 3, 70)), (nn.PixelUnshuffle(2), to_channels, 2, (2, 3, 6, 34)), (nn.PixelUnshuffle(3), to_channels, 3, (2, 9, 3)),
    (nn.PixelUnshuffle(4), to_channels, 4, (2, 1, 2, 8, 12)), (nn.ChannelShuffle(2), channels_of, 2, (2, 6, 3, 5)), (nn.ChannelShuffle(3), channels_of, 3, (4, 12, 9)),
    (nn.ChannelShuffle(1), channels_of, 1, (2, 3, 4)), (nn.ChannelShuffle(4), channels_of, 4, (1, 8, 2, 3, 2)),
    (nn.PixelShuffle(2), to_pixels, 2, (0, 8, 5, 7)), (nn.PixelShuffle(2), to_pixels, 2, (2, 0, 5, 7)), (nn.PixelUnshuffle(2), to_channels, 2, (2, 3, 0, 4)),
    (nn.ChannelShuffle(2), channels_of, 2, (2, 0, 3)), (nn.ChannelShuffle(2), channels_of, 2, (2, 4, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "expected", "factor", "shape"), CASES, ids=lambda v: str(v) if not callable(v) or isinstance(v, nn.Module) else "")
def test_moves_every_element_to_its_place_and_back(layer, expected, factor, shape, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    y = layer(x)
    np.testing.assert_array_equal(y, expected(x, factor), strict=True)
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(layer.backward(y), x, strict=True)
    with pytest.raises(ValueError, match="dy must have the output's shape"):
        layer.backward(np.ones((7, 7), dtype))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x = rng.standard_normal((2, 4, 6, 8)).astype(dtype)
    for layer in (nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(2)):
        y = layer(x)
        np.testing.assert_array_equal(layer(LAYOUTS[layout](x)), y)
        np.testing.assert_array_equal(layer.backward(LAYOUTS[layout](y)), x)


def test_is_bitwise_equal_across_instruction_sets_and_threads(dtype, rng):
    x = rng.standard_normal((3, 8, 6, 34)).astype(dtype)
    for layer in (nn.PixelShuffle(2), nn.PixelUnshuffle(2), nn.ChannelShuffle(4)):
        assert_same_bits(lambda layer=layer: (layer(x), layer.backward(layer(x))))


@pytest.mark.parametrize("axes", [(0, 3, 1, 4, 2), (4, 3, 2, 1, 0), (5, 0, 4, 1, 3, 2), (6, 2, 4, 0, 1, 5, 3), (1, 0, 3, 2)], ids=str)
def test_copies_of_any_order_of_axes(axes, dtype, rng):
    x = rng.standard_normal((2, 3, 20, 2, 5, 3, 2)[: len(axes)]).astype(dtype).transpose(axes)
    np.testing.assert_array_equal(kernels.copy(x), x, strict=True)
    np.testing.assert_array_equal(kernels.copy(x[..., ::-1]), x[..., ::-1])
    out = np.zeros(x.shape, dtype).transpose(np.argsort(axes)).copy().transpose(axes)
    kernels.copy(x, out=out)
    np.testing.assert_array_equal(out, x)


@pytest.mark.parametrize(("layer", "shape"), [(nn.PixelShuffle(2), (1, 4, 2, 3)), (nn.PixelUnshuffle(2), (1, 2, 4, 2)), (nn.ChannelShuffle(3), (1, 6, 2))], ids=repr)
def test_gradient_matches_central_differences(layer, shape, rng):
    gradcheck(layer, rng.standard_normal(shape))


def test_bad_input_is_refused_in_a_sentence():
    x = np.ones((2, 6, 4, 5), np.float32)
    with pytest.raises(ValueError, match=r"x must have shape \(…, C 2², H, W\), got \(2, 6, 4, 5\)"):
        nn.PixelShuffle(2)(x)
    with pytest.raises(ValueError, match=r"x must have shape \(…, C, 2 H, 2 W\), got \(2, 6, 4, 5\)"):
        nn.PixelUnshuffle(2)(x)
    with pytest.raises(ValueError, match=r"C divisible by 4, got \(2, 6, 4, 5\)"):
        nn.ChannelShuffle(4)(x)
    for layer in (nn.PixelShuffle(1), nn.PixelUnshuffle(1), nn.ChannelShuffle(1)):
        with pytest.raises(ValueError, match=r"got \(4, 5\)"):
            layer(x[0, 0])
    for huge in (2**30, 2**62):
        for layer in (nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle):
            with pytest.raises(ValueError, match="x must have shape"):
                layer(huge)(x)
    with pytest.raises(ValueError, match="too big"):
        nn.PixelShuffle(2**40)(x[:, :0])
    with pytest.raises(ValueError, match="upscale_factor must be at least 1, got 0"):
        nn.PixelShuffle(0)
    with pytest.raises(TypeError, match="downscale_factor must be an integer, got float"):
        nn.PixelUnshuffle(2.0)
    with pytest.raises(ValueError, match="groups must be at least 1, got -1"):
        nn.ChannelShuffle(-1)
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        nn.PixelShuffle(2).backward(x)
