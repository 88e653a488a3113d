"""Layer, RMS and batch normalisation: against the float64 reference, with the same bits everywhere, forward and backward."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

COLUMNS = (1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 65, 300, 4500)
BATCHES = ((3, 1), (2, 5), (5, 31), (40, 32), (300, 33), (7, 70), (2, 3, 1), (4, 3, 5), (3, 2, 33), (2, 3, 4, 6), (0, 3), (2, 0), (3, 2, 0))


def wide(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


def assert_close(actual, expected, terms=1, scale=1.0):
    """Up to the rounding of so many operations on values of size `scale` (or the result's): centring cancels, so nothing closer holds."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    bound = max(scale, np.abs(expected).max(initial=0)) * (2 * np.sqrt(terms) + 4) * np.finfo(actual.dtype).eps
    error = np.abs(actual - expected).max(initial=0)
    assert error <= bound, (error, bound)


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


@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("shape", BATCHES)
def test_batch_norm_matches_reference(shape, training, dtype, rng):
    x, dy = (rng.standard_normal((2, *shape)) * 2 + 1).astype(dtype)
    weight, bias, mean, var = np.abs(rng.standard_normal((4, shape[1]))).astype(dtype) + dtype(0.1)
    exact_mean, exact_var = wide(mean, var)
    exact = reference.batch_norm(*wide(x), exact_mean, exact_var, *wide(weight, bias), training, 0.3, 1e-3)
    actual = kernels.batch_norm(x, mean, var, weight, bias, training, 0.3, 1e-3)
    terms = x.size // max(shape[1], 1) + 4
    scale = 10 * exact[2].max(initial=1) ** 2
    for a, e in zip((*actual, mean, var), (*exact, exact_mean, exact_var), strict=True):
        assert_close(a, e, terms, scale)
    stats = tuple(s.astype(dtype) for s in exact[1:])
    gradients = kernels.batch_norm_backward(dy, x, *stats, weight, training)
    for a, e in zip(gradients, reference.batch_norm_backward(*wide(dy, x), *exact[1:], *wide(weight), training), strict=True):
        assert_close(a, e, terms, scale)


@pytest.mark.parametrize("shape", ((9, 131), (130, 70), (5, 3, 37)))
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[-1])).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    assert_same_bits(lambda: kernels.layer_norm(x, shape[-1], weight, bias))
    assert_same_bits(lambda: kernels.layer_norm_backward(dy, x, *kernels.layer_norm(x, shape[-1])[1:], weight))
    assert_same_bits(lambda: kernels.rms_norm(x, shape[-1], weight))
    assert_same_bits(lambda: kernels.rms_norm_backward(dy, x, kernels.rms_norm(x, shape[-1])[1], weight))
    assert_same_bits(lambda: kernels.batch_norm(x, None, None, w, b, True))
    assert_same_bits(lambda: kernels.batch_norm_backward(dy, x, *kernels.batch_norm(x, None, None)[1:], w))


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
    assert_close(kernels.batch_norm(x, None, None, eps=0)[0][:, 0], expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, dy = rng.standard_normal((2, 4, 3, 5)).astype(dtype)
    relaid = LAYOUTS[layout]
    for forward, backward, options in (
        (kernels.layer_norm, kernels.layer_norm_backward, (5,)),
        (kernels.rms_norm, kernels.rms_norm_backward, (5,)),
        (kernels.batch_norm, kernels.batch_norm_backward, (None, None)),
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
        (nn.BatchNorm1d(3, dtype=np.float64), (5, 3)),
        (nn.BatchNorm1d(2, momentum=None, dtype=np.float64), (3, 2, 4)),
        (nn.BatchNorm1d(2, affine=False, track_running_stats=False, dtype=np.float64), (3, 2)),
    ],
    ids=repr,
)
def test_gradient_matches_central_differences(layer, shape, rng):
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
    gradcheck(layer, rng.standard_normal(shape))


@pytest.mark.parametrize("make", (lambda: nn.LayerNorm(4), lambda: nn.RMSNorm(4), lambda: nn.BatchNorm1d(4)))
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


def test_batch_norm_running_statistics_move_in_place_and_serve_evaluation(rng):
    layer = nn.BatchNorm1d(3, momentum=None, dtype=np.float64)
    mean = layer.running_mean
    batches = rng.standard_normal((4, 10, 3))
    for batch in batches:
        layer(batch)
    assert layer.running_mean is mean and layer.num_batches_tracked == 4
    np.testing.assert_allclose(mean, batches.mean(axis=(0, 1)))
    np.testing.assert_allclose(layer.running_var, batches.var(axis=1, ddof=1).mean(axis=0))
    state = layer.state_dict()
    assert list(state) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    layer.eval()
    np.testing.assert_allclose(layer(batches[0]), (batches[0] - mean) / np.sqrt(layer.running_var + 1e-5))
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, state[name])


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 3), dtype)
    with pytest.raises(ValueError, match=r"normalized_shape \(4,\) must be x's last axes, got x of shape \(2, 3\)"):
        kernels.layer_norm(x, 4)
    with pytest.raises(ValueError, match=r"weight must have shape \(3,\), got \(2,\)"):
        kernels.rms_norm(x, 3, np.ones(2, dtype))
    with pytest.raises(ValueError, match=r"more than one value per channel in training, got shape \(1, 3\)"):
        nn.BatchNorm1d(3, dtype=dtype)(x[:1])
    with pytest.raises(ValueError, match=r"x must have shape \(N, 4\) or \(N, 4, L\), got \(2, 3\)"):
        nn.BatchNorm1d(4)(x)
    with pytest.raises(TypeError, match="running_mean must be a writeable"):
        kernels.batch_norm(x, LAYOUTS["read-only"](x[0]), x[0].copy(), training=True)
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        nn.LayerNorm(3).backward(x)
