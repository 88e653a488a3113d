"""Layer and RMS normalisation: against the float64 reference, with the same bits everywhere, forward and backward."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits
from norms import assert_close, wide

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

COLUMNS = (1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 65, 300, 4500)


@pytest.mark.parametrize("affine", (False, True))
@pytest.mark.parametrize("cols", COLUMNS)
def test_layer_and_rms_norm_match_reference(cols, affine, dtype, rng):
    x, dy = (rng.standard_normal((2, 6, cols)) * 2 + 1).astype(dtype)
    weight, bias = rng.standard_normal((2, cols)).astype(dtype) if affine else (None, None)
    terms = cols + 4
    y, mean, rstd = kernels.layer_norm(x, cols, weight, bias, 1e-3)
    exact = reference.layer_norm(*wide(x), cols, *wide(weight, bias), 1e-3)
    for actual, expected in zip((y, mean, rstd), exact, strict=True):
        assert actual.dtype == dtype
        assert_close(actual, expected, terms, 5 * exact[2].max())
    scale = 10 * exact[2].max() ** 2
    gradients = kernels.layer_norm_backward(dy, x, *(s.astype(dtype) for s in exact[1:]), weight)
    for actual, expected in zip(gradients, reference.layer_norm_backward(*wide(dy, x), *exact[1:], *wide(weight)), strict=True):
        assert_close(actual, expected, terms, scale)
    y, rstd = kernels.rms_norm(x, (cols,), weight)
    eps = float(np.finfo(dtype).eps)
    exact = reference.rms_norm(*wide(x), (cols,), *wide(weight), eps)
    assert_close(y, exact[0], terms)
    assert_close(rstd, exact[1], terms)
    gradients = kernels.rms_norm_backward(dy, x, rstd, weight)
    for actual, expected in zip(gradients, reference.rms_norm_backward(*wide(dy, x), exact[1], *wide(weight)), strict=True):
        assert_close(actual, expected, terms, scale)


@pytest.mark.parametrize("shape", ((9, 131), (130, 70), (5, 3, 37)))
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[-1])).astype(dtype)
    assert_same_bits(lambda: kernels.layer_norm(x, shape[-1], weight, bias))
    assert_same_bits(lambda: kernels.layer_norm_backward(dy, x, *kernels.layer_norm(x, shape[-1])[1:], weight))
    assert_same_bits(lambda: kernels.rms_norm(x, shape[-1], weight))
    assert_same_bits(lambda: kernels.rms_norm_backward(dy, x, kernels.rms_norm(x, shape[-1])[1], weight))


def test_a_row_alone_equals_the_row_in_a_batch(dtype, rng):
    x = rng.standard_normal((11, 77)).astype(dtype)
    for forward in (kernels.layer_norm, kernels.rms_norm):
        y = forward(x, 77)[0]
        for i in range(11):
            np.testing.assert_array_equal(forward(x[i], 77)[0], y[i])


def test_a_large_mean_costs_no_digits(dtype):
    x = (np.array([[1.0], [2.0], [3.0], [6.0]]) + (1e4 if dtype == np.float32 else 1e12)).astype(dtype)
    expected = np.array([-2.0, -1.0, 0.0, 3.0]) / np.sqrt(3.5)
    assert_close(kernels.layer_norm(x.T, 4, eps=0)[0][0], expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, dy = rng.standard_normal((2, 4, 3, 5)).astype(dtype)
    relaid = LAYOUTS[layout]
    for forward, backward, options in (
        (kernels.layer_norm, kernels.layer_norm_backward, (5,)),
        (kernels.rms_norm, kernels.rms_norm_backward, (5,)),
    ):
        y, *stats = forward(x, *options)
        np.testing.assert_array_equal(forward(relaid(x), *options)[0], y)
        for a, b in zip(backward(relaid(dy), relaid(x), *stats), backward(dy, x, *stats), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.LayerNorm(5, dtype=np.float64), (3, 5)),
        (nn.LayerNorm((2, 3), bias=False, dtype=np.float64), (4, 2, 3)),
        (nn.LayerNorm(4, elementwise_affine=False), (2, 4)),
        (nn.RMSNorm(6, dtype=np.float64), (3, 6)),
    ],
    ids=repr,
)
def test_gradient_matches_central_differences(layer, shape, rng):
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
    gradcheck(layer, rng.standard_normal(shape))


@pytest.mark.parametrize("make", (lambda: nn.LayerNorm(4), lambda: nn.RMSNorm(4), lambda: nn.BatchNorm1d(4), lambda: nn.GroupNorm(2, 4)))
def test_gradients_accumulate_until_zero_grad(make, rng):
    layer = make()
    x, dy = rng.standard_normal((2, 6, 4)).astype(np.float32)
    layer(x)
    layer.backward(dy)
    once = {name: g.copy() for name, g in layer.grads.items()}
    layer.backward(dy)
    for name, gradient in layer.grads.items():
        np.testing.assert_array_equal(gradient, 2 * once[name])
    layer.zero_grad()
    layer.needs_input_grad = False
    assert layer.backward(dy) is None
    for name, gradient in layer.grads.items():
        np.testing.assert_array_equal(gradient, once[name])


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 3), dtype)
    with pytest.raises(ValueError, match=r"normalized_shape \(4,\) must be x's last axes, got x of shape \(2, 3\)"):
        kernels.layer_norm(x, 4)
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\), got \(2,\)"):
        kernels.rms_norm(x, 3, np.ones(2, dtype))
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        nn.LayerNorm(3).backward(x)
