"""Batch normalisation: against the float64 reference, with the same bits everywhere, forward and backward."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits
from norms import assert_close, wide

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

# Columns: strips, several of them and a short last one, blocks of rows. Planes: less than a vector, tails, whole bunches, blocks of planes, pieces of one.
COLUMNS = ((3, 1), (2, 5), (5, 31), (40, 32), (300, 33), (7, 70), (21, 1100), (2, 3, 1), (4, 3, 1, 1))
PLANES = ((4, 3, 5), (3, 2, 33), (2, 3, 4, 6), (9, 40, 2, 2), (70, 5, 7, 7), (300, 2, 4, 4), (3, 2, 64), (2, 2, 4100), (5, 2, 3, 3, 3))
EMPTY = ((0, 3), (2, 0), (0, 3, 4, 4), (3, 2, 0), (2, 0, 3, 3), (2, 3, 4, 0))


@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("shape", COLUMNS + PLANES + EMPTY, ids=str)
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


@pytest.mark.parametrize("shape", ((9, 131), (130, 70), (20, 1100), (5, 3, 37), (40, 21, 3, 3), (3, 5, 70, 70)), ids=str)
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    mean, var = np.zeros(shape[1], dtype), np.full(shape[1], 2, dtype)
    assert_same_bits(lambda: kernels.batch_norm(x, None, None, w, b, True))
    assert_same_bits(lambda: kernels.batch_norm(x, mean, var, w, b))
    for training in (True, False):
        assert_same_bits(lambda: kernels.batch_norm_backward(dy, x, *kernels.batch_norm(x, None, None)[1:], w, training))


@pytest.mark.parametrize("shape", ((4, 1), (400, 3), (4, 1, 1, 2), (300, 2, 3, 3), (2, 1, 9000)), ids=str)
def test_a_large_mean_costs_no_digits(shape, dtype, rng):
    offset = 1e4 if dtype == np.float32 else 1e12
    x = (np.round(rng.standard_normal(shape) * 8) / 4 + offset).astype(dtype)
    exact = reference.batch_norm(x.astype(np.float64) - offset, None, None, eps=1e-3)
    y, mean, rstd = kernels.batch_norm(x, None, None, eps=1e-3)
    assert_close(rstd, exact[2], x.size)
    assert_close(mean - dtype(offset), exact[1], scale=offset)
    assert_close(y, exact[0], scale=offset)


@pytest.mark.parametrize("shape", ((600, 2), (600, 2, 2, 2), (8, 2, 6000)), ids=str)
def test_the_order_of_the_images_costs_no_digits(shape, dtype, rng):
    x = rng.standard_normal(shape) * 1e-3
    x[len(x) // 8 :] += 1000  # the first block's mean is far from the mean
    x = x.astype(dtype)
    rstd = kernels.batch_norm(x, None, None)[2]
    assert_close(rstd, reference.batch_norm(*wide(x), None, None)[2], x.size, scale=1e-3)


@pytest.mark.parametrize("shape", ((301, 5), (301, 5, 2, 1), (3, 5, 700)), ids=str)
def test_a_constant_channel_has_no_variance(shape, dtype, rng):
    x = np.broadcast_to(rng.standard_normal(shape[1]).astype(dtype).reshape(1, -1, *[1] * (len(shape) - 2)) * 1000, shape)
    mean, var = np.zeros(shape[1], dtype), np.ones(shape[1], dtype)
    y = kernels.batch_norm(x, mean, var, training=True, momentum=1.0)[0]
    assert (var >= 0).all() and (var <= (4000 * np.finfo(dtype).eps) ** 2).all()
    np.testing.assert_allclose(y, 0, atol=4e3 * np.sqrt(1e5) * np.finfo(dtype).eps)


@pytest.mark.parametrize("value", (np.inf, np.nan))
@pytest.mark.parametrize("shape", ((40, 3), (40, 3, 2, 2)), ids=str)
def test_a_channel_that_is_not_finite_spoils_itself_alone(value, shape, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    x[7, 1] = value
    y, mean, rstd = kernels.batch_norm(x, None, None)
    assert np.isnan(y[:, 1]).all() and not np.isfinite(mean[1])
    assert np.isfinite(y[:, ::2]).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, dy = rng.standard_normal((2, 4, 3, 5)).astype(dtype)
    relaid = LAYOUTS[layout]
    y, *stats = kernels.batch_norm(x, None, None)
    np.testing.assert_array_equal(kernels.batch_norm(relaid(x), None, None)[0], y)
    for a, b in zip(kernels.batch_norm_backward(relaid(dy), relaid(x), *stats), kernels.batch_norm_backward(dy, x, *stats), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", ((30, 40), (4, 3, 5)), ids=str)
def test_out_may_be_the_input(shape, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    y = kernels.batch_norm(x, None, None)[0]
    assert kernels.batch_norm(x, None, None, out=x)[0] is x
    np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("training", (True, False))
@pytest.mark.parametrize("shape", ((30, 40), (4, 3, 5)), ids=str)
def test_backward_computes_what_it_is_asked_for(shape, training, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    stats = kernels.batch_norm(x, None, None)[1:]
    dx, dweight, dbias = kernels.batch_norm_backward(dy, x, *stats, None, training)
    alone = kernels.batch_norm_backward(dy, x, *stats, None, training, parameter_gradients=False)
    np.testing.assert_array_equal(alone[0], dx)
    assert alone[1] is alone[2] is None
    ones = np.ones((2, shape[1]), dtype)
    rest = kernels.batch_norm_backward(dy, x, *stats, None, training, dweight=ones[0], dbias=ones[1], accumulate=True, input_gradient=False)
    assert rest[0] is None
    np.testing.assert_array_equal(ones, np.array([dweight, dbias]) + 1)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.BatchNorm1d(3, dtype=np.float64), (5, 3)),
        (nn.BatchNorm1d(2, momentum=None, dtype=np.float64), (3, 2, 4)),
        (nn.BatchNorm1d(2, affine=False, track_running_stats=False, dtype=np.float64), (3, 2)),
        (nn.BatchNorm2d(2, dtype=np.float64), (3, 2, 2, 3)),
        (nn.BatchNorm3d(2, affine=False, dtype=np.float64), (2, 2, 2, 1, 3)),
    ],
    ids=repr,
)
def test_gradient_matches_central_differences(layer, shape, rng):
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
    gradcheck(layer, rng.standard_normal(shape))


def test_frozen_batch_norm_matches_central_differences(rng):
    mean, var, weight = rng.standard_normal(3), rng.uniform(1, 2, 3), rng.standard_normal(3)

    def backward(dy, x, weight, bias):
        return kernels.batch_norm_backward(dy, x, *kernels.batch_norm(x, mean, var)[1:], weight, False)

    gradcheck((lambda x, weight, bias: kernels.batch_norm(x, mean, var, weight, bias)[0], backward), rng.standard_normal((2, 3, 2, 2)), weight, np.zeros(3))


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
    with pytest.raises(ValueError, match=r"more than one value per channel in training, got shape \(1, 3\)"):
        nn.BatchNorm1d(3, dtype=dtype)(x[:1])
    with pytest.raises(ValueError, match=r"more than one value per channel in training, got shape \(1, 3, 1, 1\)"):
        nn.BatchNorm2d(3, dtype=dtype)(x[:1, :, None, None])
    with pytest.raises(ValueError, match=r"x must have shape \(N, 4\) or \(N, 4, L\), got \(2, 3\)"):
        nn.BatchNorm1d(4)(x)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 3, H, W\), got \(2, 3\)"):
        nn.BatchNorm2d(3)(x)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 3, D, H, W\), got \(2, 4, 1, 1, 1\)"):
        nn.BatchNorm3d(3)(np.ones((2, 4, 1, 1, 1), dtype))
    with pytest.raises(TypeError, match="running_mean must be a writeable"):
        kernels.batch_norm(x, LAYOUTS["read-only"](x[0]), x[0].copy(), training=True)
    with pytest.raises(ValueError, match=r"x must have at least 2 dimensions \(N, C, …\), got shape \(3,\)"):
        kernels.batch_norm(x[0], None, None)


def test_images_of_nothing_take_no_time():
    x = np.zeros((2**40, 4, 0), np.float32)
    y, mean, _ = kernels.batch_norm(x, None, None)
    assert y.shape == x.shape and not mean.any()
    assert not kernels.batch_norm_backward(x, x, mean, mean)[1].any()
