"""Dropout and alpha dropout: the reference's masks bit for bit, on every instruction set and any number of threads."""

import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_same_bits, special_values

from fastnn import kernels, nn, reference

SEEDS = ((0, 0), (1, 2), (2**64 - 1, 2**64 - 1), (0x123456789ABCDEF, 2**32 + 5))


KINDS = ("dropout", "dropout_backward", "alpha_dropout", "alpha_dropout_backward")


@pytest.mark.parametrize(("seed", "stream"), SEEDS)
@pytest.mark.parametrize("n", (*SIZES, 128, 256, 257))
@pytest.mark.parametrize("kind", KINDS)
def test_equals_reference(kind, n, seed, stream, dtype, rng):
    x = rng.standard_normal(n).astype(dtype)
    for p in (0.0, 0.1, 0.5, 0.999, 1.0):
        np.testing.assert_array_equal(getattr(kernels, kind)(x, p, seed, stream), getattr(reference, kind)(x, p, seed, stream))


@pytest.mark.parametrize(("shape", "leading"), [((3, 4, 5), 2), ((300, 7), 1), ((2, 131, 3, 3), 2), ((5, 6), 0), ((4, 5), 2), ((0, 3, 4), 2), ((3, 0, 4), 1), ((3, 4, 0), 2)])
@pytest.mark.parametrize("kind", KINDS)
def test_of_channels_equals_reference(kind, shape, leading, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    for (seed, stream), p in zip(SEEDS, (0.0, 0.5, 0.3, 1.0), strict=True):
        expected = getattr(reference, kind)(x, p, seed, stream, leading=leading)
        np.testing.assert_array_equal(getattr(kernels, kind)(x, p, seed, stream, leading=leading), expected, strict=True)


def test_dropped_special_values_are_zero(dtype):
    x = special_values(dtype)
    for kind in KINDS:
        assert not getattr(kernels, kind)(x, 1.0, 3, 4).any()
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(getattr(kernels, kind)(x, 0.5, 3, 4), getattr(reference, kind)(x, 0.5, 3, 4))


def test_dropout_of_nothing_keeps_the_sign_of_zero(dtype):
    x = np.array([0.0, -0.0], dtype)
    for leading in (None, 0):
        np.testing.assert_array_equal(np.signbit(kernels.dropout(x, 0.0, 3, 4, leading=leading)), [False, True])


def test_alpha_dropout_keeps_mean_and_variance_and_knows_its_derivative(dtype, rng):
    x = rng.standard_normal((2000, 50)).astype(dtype)
    for layer in (nn.AlphaDropout(0.3, rng=1), nn.FeatureAlphaDropout(0.3, rng=1)):
        y = layer(x)
        assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
        slope = layer.backward(np.ones_like(x))
        np.testing.assert_allclose(y - slope * x, (y - slope * x)[slope != 0][0] * (slope != 0) + y[slope == 0][0] * (slope == 0), atol=1e-5)
        assert len(np.unique(slope)) == 2 and layer.eval()(x) is x
    x = np.ones((30, 4, 2, 3), dtype)
    channels = nn.FeatureAlphaDropout(0.5, rng=1)(x).reshape(120, 6)
    assert (channels == channels[:, :1]).all() and len(np.unique(channels)) == 2


def test_is_bitwise_equal_across_instruction_sets_and_threads(dtype, rng):
    x = rng.standard_normal(3001).astype(dtype)
    for kind in KINDS:
        assert_same_bits(lambda kind=kind: getattr(kernels, kind)(x, 0.3, 5, 6))
    x = rng.standard_normal((401, 9)).astype(dtype)
    for kind in KINDS:
        assert_same_bits(lambda kind=kind: getattr(kernels, kind)(x, 0.3, 5, 6, leading=1))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x = rng.standard_normal((3, 5, 7)).astype(dtype)
    np.testing.assert_array_equal(kernels.dropout(LAYOUTS[layout](x), 0.5, 1, 1), kernels.dropout(x, 0.5, 1, 1))
    np.testing.assert_array_equal(kernels.dropout(LAYOUTS[layout](x), 0.5, 1, 1, leading=2), kernels.dropout(x, 0.5, 1, 1, leading=2))
    np.testing.assert_array_equal(kernels.dropout(x, 0.5, 1, 1, out=x), x)


def test_layer_draws_a_new_mask_each_time_and_backward_makes_it_again():
    layer = nn.Dropout(0.5, rng=1)
    x = np.ones((100, 100), np.float32)
    masks = [layer(x) for _ in range(3)]
    np.testing.assert_array_equal(layer.backward(x), masks[2])
    assert not np.array_equal(masks[0], masks[1])
    assert abs(masks[0].mean() - 1) < 0.05 and set(np.unique(masks[0])) == {0, 2}
    again = nn.Dropout(0.5, rng=1)
    np.testing.assert_array_equal(again(x), masks[0])
    state = again.extra_state()
    second = again(x)
    again.load_extra_state(state)
    np.testing.assert_array_equal(again(x), second)
    np.testing.assert_array_equal(second, masks[1])
    assert layer.eval()(x) is x and layer.state_dict() == {}


@pytest.mark.parametrize(
    ("kind", "shape", "leading"),
    [(nn.Dropout1d, (6, 9, 4), 2), (nn.Dropout1d, (40, 4), 1), (nn.Dropout2d, (6, 9, 3, 4), 2), (nn.Dropout2d, (6, 9, 4), 2), (nn.Dropout3d, (6, 9, 2, 2, 3), 2), (nn.Dropout3d, (40, 2, 2, 3), 1)],
)
def test_channel_layers_drop_whole_channels(kind, shape, leading, dtype):
    layer, x = kind(0.5, rng=1), np.ones(shape, dtype)
    channels = layer(x).reshape(*shape[:leading], -1)
    np.testing.assert_array_equal(channels, np.broadcast_to(channels[..., :1], channels.shape))
    assert set(np.unique(channels)) == {0, 2}
    np.testing.assert_array_equal(layer.backward(x).reshape(channels.shape), channels)
    seed, stream = (int(word) for word in layer.extra_state())
    np.testing.assert_array_equal(channels, reference.dropout(x, 0.5, seed, stream, leading=leading).reshape(channels.shape))
    assert not np.array_equal(layer(x).reshape(channels.shape), channels)
    layer.needs_input_grad = False
    assert layer.backward(x) is None and layer.eval()(x) is x


@pytest.mark.parametrize("kind", ("dropout_next", "alpha_dropout_next"))
def test_dropout_next_advances_the_stream_in_its_state(kind, dtype, rng):
    x = rng.standard_normal(300).astype(dtype)
    state, expected = np.array([7, 2**64 - 2], np.uint64), np.array([7, 2**64 - 2], np.uint64)
    for _ in range(2):
        for function in (kind, f"{kind}_backward"):
            np.testing.assert_array_equal(getattr(kernels, function)(x, 0.4, state), getattr(reference, function)(x, 0.4, expected))
        np.testing.assert_array_equal(state, expected)
        expected[1], state[1] = 5, 5


def test_bad_arguments_are_refused_in_a_sentence():
    x = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"p must be between 0(\.0)? and 1(\.0)?, got 1.5"):
        nn.Dropout(1.5)
    for p in (-0.1, 2, np.nan):
        with pytest.raises(ValueError, match="p must be between 0 and 1"):
            kernels.dropout(x, p, 0, 0)
    with pytest.raises(ValueError, match="seed must be between 0"):
        kernels.dropout(x, 0.5, -1, 0)
    with pytest.raises(ValueError, match=r"leading must be between 0 and 1 for x of shape \(3,\), got 2"):
        kernels.dropout(x, 0.5, 0, 0, leading=2)
    for layer, shape in ((nn.Dropout1d(), (3,)), (nn.Dropout2d(), (2, 3)), (nn.Dropout3d(), (1, 2, 3))):
        with pytest.raises(ValueError, match=r"x must have shape \(N, C, .*, got"):
            layer(np.ones(shape, np.float32))
    with pytest.raises(ValueError, match=r"x must have shape \(N, C, …\), got \(3,\)"):
        nn.FeatureAlphaDropout()(x)
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        nn.Dropout().backward(x)
