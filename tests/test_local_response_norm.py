"""Local response normalisation: against the float64 reference, with the same bits everywhere, forward and backward."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits
from norms import assert_close, wide

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

SHAPES = ((2, 3, 1), (3, 1, 5), (2, 7, 4), (1, 5, 3, 3), (2, 20, 6, 7), (1, 3, 70, 61), (2, 4, 2, 3, 2), (3, 40, 1), (0, 3, 4), (2, 0, 4), (2, 3, 0))


@pytest.mark.parametrize("size", (1, 2, 3, 5, 8, 50))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("beta", (0.75, 0.6))
def test_matches_reference(shape, size, beta, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    exact = reference.local_response_norm(*wide(x), size, 0.5, beta, 0.7)
    y, scale = kernels.local_response_norm(x, size, 0.5, beta, 0.7)
    terms = min(size, shape[1]) + 8
    assert_close(y, exact[0], terms)
    assert_close(scale, exact[1], terms)
    dx = kernels.local_response_norm_backward(dy, x, scale, size, 0.5, beta)
    assert_close(dx, reference.local_response_norm_backward(*wide(dy, x), exact[1], size, 0.5, beta), terms, 4)


@pytest.mark.parametrize("size", (2**30, 2**62, 10**400))
def test_a_window_larger_than_the_channels_sees_zeros(size, dtype, rng):
    x = rng.standard_normal((2, 3, 4)).astype(dtype)
    y, scale = kernels.local_response_norm(x, size, alpha=2.0 if size > 2**63 else 2.0 * size)
    exact = 1 + (0 if size > 2**63 else 2) * (wide(x)[0] ** 2).sum(axis=1, keepdims=True)
    assert_close(scale, np.broadcast_to(exact, x.shape), 8)
    assert_close(y, wide(x)[0] / exact**0.75, 8)


@pytest.mark.parametrize("shape", ((5, 9, 1), (3, 6, 5, 7), (1, 30, 19)), ids=str)
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    for beta in (0.75, 0.4):
        assert_same_bits(lambda: kernels.local_response_norm(x, 5, 0.3, beta))
        assert_same_bits(lambda: kernels.local_response_norm_backward(dy, x, kernels.local_response_norm(x, 5, 0.3)[1], 5, 0.3, beta))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, dy = rng.standard_normal((2, 4, 6, 5)).astype(dtype)
    relaid = LAYOUTS[layout]
    y, scale = kernels.local_response_norm(x, 3)
    np.testing.assert_array_equal(kernels.local_response_norm(relaid(x), 3)[0], y)
    dx = kernels.local_response_norm_backward(dy, x, scale, 3)
    np.testing.assert_array_equal(kernels.local_response_norm_backward(relaid(dy), relaid(x), relaid(scale), 3), dx)


def test_out_may_be_the_input(dtype, rng):
    x = rng.standard_normal((2, 4, 5)).astype(dtype)
    y = kernels.local_response_norm(x, 3)[0]
    assert kernels.local_response_norm(x, 3, out=x)[0] is x
    np.testing.assert_array_equal(x, y)


def test_the_ends_of_the_window_are_those_of_the_formula(dtype):
    x = np.array([1, 2, 4, 8], dtype).reshape(1, 4, 1)
    scale = kernels.local_response_norm(x, 4, alpha=4.0, k=0.0)[1]  # channels c - 2 to c + 1
    np.testing.assert_array_equal(scale.ravel(), [1 + 4, 1 + 4 + 16, 1 + 4 + 16 + 64, 4 + 16 + 64])


@pytest.mark.parametrize("size", (1, 2, 3, 9))
@pytest.mark.parametrize("shape", ((2, 4, 3), (1, 3, 2, 2)), ids=str)
def test_gradient_matches_central_differences(shape, size, rng):
    gradcheck(nn.LocalResponseNorm(size, 0.8, 0.75, 0.9), rng.standard_normal(shape))
    gradcheck(nn.LocalResponseNorm(size, 0.8, 1.3, 0.9), rng.standard_normal(shape))


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 3), dtype)
    with pytest.raises(ValueError, match=r"x must have at least 3 dimensions \(N, C, L, …\), got shape \(2, 3\)"):
        nn.LocalResponseNorm(3)(x)
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        kernels.local_response_norm(x[None], 0)
    with pytest.raises(ValueError, match="size must be at least 1, got -2"):
        nn.LocalResponseNorm(-2)
    with pytest.raises(TypeError, match="size must be an integer, got float"):
        kernels.local_response_norm(x[None], 2.5)
    with pytest.raises(ValueError, match=r"scale must have shape \(1, 2, 3\), got \(2, 3\)"):
        kernels.local_response_norm_backward(x[None], x[None], x, 3)
    with pytest.raises(ValueError, match=r"dy must have x's shape \(1, 2, 3\), got \(2, 3\)"):
        kernels.local_response_norm_backward(x, x[None], x[None], 3)
