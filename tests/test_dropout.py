"""Dropout: the reference's masks bit for bit, on every instruction set and any number of threads."""

import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_same_bits, special_values

from fastnn import kernels, nn, reference

SEEDS = ((0, 0), (1, 2), (2**64 - 1, 2**64 - 1), (0x123456789ABCDEF, 2**32 + 5))


@pytest.mark.parametrize(("seed", "stream"), SEEDS)
@pytest.mark.parametrize("n", (*SIZES, 128, 256, 257))
def test_equals_reference(n, seed, stream, dtype, rng):
    x = rng.standard_normal(n).astype(dtype)
    for p in (0.0, 0.1, 0.5, 0.999, 1.0):
        expected = reference.dropout(x, p, seed, stream)
        np.testing.assert_array_equal(kernels.dropout(x, p, seed, stream), expected)
        np.testing.assert_array_equal(kernels.dropout_backward(x, p, seed, stream), expected)


def test_dropped_special_values_are_zero(dtype):
    x = special_values(dtype)
    assert not kernels.dropout(x, 1.0, 3, 4).any()
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(kernels.dropout(x, 0.5, 3, 4), reference.dropout(x, 0.5, 3, 4))


def test_is_bitwise_equal_across_instruction_sets_and_threads(dtype, rng):
    x = rng.standard_normal(3001).astype(dtype)
    assert_same_bits(lambda: kernels.dropout(x, 0.3, 5, 6))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x = rng.standard_normal((3, 5, 7)).astype(dtype)
    np.testing.assert_array_equal(kernels.dropout(LAYOUTS[layout](x), 0.5, 1, 1), kernels.dropout(x, 0.5, 1, 1))
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


def test_dropout_next_advances_the_stream_in_its_state(dtype, rng):
    x = rng.standard_normal(300).astype(dtype)
    state, expected = np.array([7, 2**64 - 2], np.uint64), np.array([7, 2**64 - 2], np.uint64)
    for _ in range(2):
        np.testing.assert_array_equal(kernels.dropout_next(x, 0.4, state), reference.dropout_next(x, 0.4, expected))
        np.testing.assert_array_equal(kernels.dropout_next_backward(x, 0.4, state), reference.dropout_next_backward(x, 0.4, expected))
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
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        nn.Dropout().backward(x)
