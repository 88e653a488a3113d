"""Group and instance normalisation: against the float64 reference, with the same bits everywhere, forward and backward."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits
from norms import assert_close, wide

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

# (shape, groups): channels of one value, bunches of small groups, tails, blocks and pieces of a large group
GROUPS = (
    ((3, 6), 2), ((2, 70), 1), ((2, 4200), 1), ((2, 3, 1), 3), ((2, 6, 5), 3), ((3, 4, 2, 2), 4), ((2, 40, 3, 3), 20), ((2, 4, 7, 7), 1), ((1, 2, 5000), 2),
    ((2, 4, 33, 33), 2), ((2, 2, 2, 3, 4), 2),
)  # fmt: skip
EMPTY = (((0, 4, 3), 2), ((2, 4, 0), 2), ((2, 0, 3), 2), ((0, 4), 4))


@pytest.mark.parametrize("affine", (False, True))
@pytest.mark.parametrize(("shape", "groups"), GROUPS + EMPTY, ids=str)
def test_group_norm_matches_reference(shape, groups, affine, dtype, rng):
    x, dy = (rng.standard_normal((2, *shape)) * 2 + 1).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype) if affine else (None, None)
    exact = reference.group_norm(*wide(x), groups, *wide(weight, bias), 1e-2)
    scale = 10 * exact[2].max(initial=1) ** 2
    for actual, expected in zip(kernels.group_norm(x, groups, weight, bias, 1e-2), exact, strict=True):
        assert actual.dtype == dtype
        assert_close(actual, expected, x.size + 4, scale)
    gradients = kernels.group_norm_backward(dy, x, *(s.astype(dtype) for s in exact[1:]), weight)
    for actual, expected in zip(gradients, reference.group_norm_backward(*wide(dy, x), *exact[1:], *wide(weight)), strict=True):
        assert_close(actual, expected, x.size + 4, scale)


@pytest.mark.parametrize("shape", ((2, 3, 5), (3, 40, 2, 2), (2, 3, 33, 33), (1, 2, 3, 4, 5), (0, 3, 4), (2, 0, 4), (2, 3, 0)), ids=str)
def test_instance_norm_matches_reference(shape, dtype, rng):
    x, dy = (rng.standard_normal((2, *shape)) * 2 + 1).astype(dtype)
    weight, bias, mean, var = np.abs(rng.standard_normal((4, shape[1]))).astype(dtype) + dtype(0.1)
    exact_mean, exact_var = wide(mean, var)
    exact = reference.instance_norm(*wide(x), exact_mean, exact_var, *wide(weight, bias), True, 0.3, 1e-2)
    scale = 10 * exact[2].max(initial=1) ** 2
    actual = kernels.instance_norm(x, mean, var, weight, bias, True, 0.3, 1e-2)
    for a, e in zip((*actual, mean, var), (*exact, exact_mean, exact_var), strict=True):
        assert_close(a, e, x.size + 4, scale)
    gradients = kernels.instance_norm_backward(dy, x, *actual[1:], weight)
    for a, e in zip(gradients, reference.instance_norm_backward(*wide(dy, x), *exact[1:], *wide(weight)), strict=True):
        assert_close(a, e, x.size + 4, scale**2)
    y, *stats = kernels.instance_norm(x, mean, var, weight, bias, False)
    np.testing.assert_array_equal(y, kernels.batch_norm(x, mean, var, weight, bias)[0])
    assert all(s.shape == (shape[1],) for s in stats)


@pytest.mark.parametrize(("shape", "groups"), (((5, 131), 1), ((4, 66), 6), ((3, 6, 37), 3), ((3, 40, 3, 3), 40), ((2, 3, 70, 70), 1)), ids=str)
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, groups, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    w, b = rng.standard_normal((2, shape[1])).astype(dtype)
    assert_same_bits(lambda: kernels.group_norm(x, groups, w, b))
    for weight in (w, None):
        assert_same_bits(lambda: kernels.group_norm_backward(dy, x, *kernels.group_norm(x, groups)[1:], weight))
    assert_same_bits(lambda: kernels.group_norm_backward(dy, x, *kernels.group_norm(x, groups)[1:], parameter_gradients=False))
    if len(shape) > 2:
        assert_same_bits(lambda: (lambda mean, var: (*kernels.instance_norm(x, mean, var, w, b), mean, var))(w.copy(), b.copy()))


def test_an_image_alone_equals_the_image_in_a_batch(dtype, rng):
    x = rng.standard_normal((5, 6, 3, 7)).astype(dtype)
    for groups in (1, 3, 6):
        y = kernels.group_norm(x, groups)[0]
        for i in range(5):
            np.testing.assert_array_equal(kernels.group_norm(x[i : i + 1], groups)[0][0], y[i])


@pytest.mark.parametrize("shape", ((1, 4, 1), (2, 1, 4), (1, 1, 9000)), ids=str)
def test_a_large_mean_costs_no_digits(shape, dtype, rng):
    offset = 1e4 if dtype == np.float32 else 1e12
    x = (np.round(rng.standard_normal(shape) * 8) / 4 + offset).astype(dtype)
    exact = reference.group_norm(x.astype(np.float64) - offset, 1, eps=1e-3)
    y, _, rstd = kernels.group_norm(x, 1, eps=1e-3)
    assert_close(rstd, exact[2], x.size)
    assert_close(y, exact[0], scale=offset)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, dy = rng.standard_normal((2, 4, 6, 5)).astype(dtype)
    relaid = LAYOUTS[layout]
    y, *stats = kernels.group_norm(x, 3)
    np.testing.assert_array_equal(kernels.group_norm(relaid(x), 3)[0], y)
    for a, b in zip(kernels.group_norm_backward(relaid(dy), relaid(x), *stats), kernels.group_norm_backward(dy, x, *stats), strict=True):
        np.testing.assert_array_equal(a, b)


def test_out_may_be_the_input(dtype, rng):
    x = rng.standard_normal((2, 4, 5)).astype(dtype)
    y, z = kernels.group_norm(x, 2)[0], kernels.instance_norm(x)[0]
    a, b = x.copy(), x.copy()
    assert kernels.group_norm(a, 2, out=a)[0] is a and kernels.instance_norm(b, out=b)[0] is b
    np.testing.assert_array_equal(a, y)
    np.testing.assert_array_equal(b, z)


@pytest.mark.parametrize("shape", ((3, 6), (3, 6, 5)), ids=str)
def test_backward_computes_what_it_is_asked_for(shape, dtype, rng):
    x, dy = rng.standard_normal((2, *shape)).astype(dtype)
    w = rng.standard_normal(6).astype(dtype)
    stats = kernels.group_norm(x, 2)[1:]
    dx, dweight, dbias = kernels.group_norm_backward(dy, x, *stats, w)
    alone = kernels.group_norm_backward(dy, x, *stats, w, parameter_gradients=False)
    np.testing.assert_array_equal(alone[0], dx)
    assert alone[1] is alone[2] is None
    ones = np.ones((2, 6), dtype)
    rest = kernels.group_norm_backward(dy, x, *stats, w, dweight=ones[0], dbias=ones[1], accumulate=True, input_gradient=False)
    assert rest[0] is None
    np.testing.assert_array_equal(ones, np.array([dweight, dbias]) + 1)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.GroupNorm(2, 4, dtype=np.float64), (3, 4)),
        (nn.GroupNorm(2, 4, dtype=np.float64), (2, 4, 3)),
        (nn.GroupNorm(1, 2, affine=False), (2, 2, 2, 2)),
        (nn.InstanceNorm1d(3, affine=True, dtype=np.float64), (2, 3, 4)),
        (nn.InstanceNorm1d(3), (3, 4)),
        (nn.InstanceNorm2d(2, affine=True, track_running_stats=True, dtype=np.float64), (3, 2, 2, 3)),
        (nn.InstanceNorm2d(2, affine=True, dtype=np.float64), (2, 2, 3)),
        (nn.InstanceNorm3d(2), (1, 2, 2, 2, 2)),
    ],
    ids=repr,
)
def test_gradient_matches_central_differences(layer, shape, rng):
    for parameter in layer.parameters():
        parameter.data[...] = rng.standard_normal(parameter.shape)
    gradcheck(layer, rng.standard_normal(shape))


def test_instance_norm_running_statistics_move_in_place_and_serve_evaluation(rng):
    layer = nn.InstanceNorm2d(3, momentum=0.5, track_running_stats=True, dtype=np.float64)
    mean, x = layer.running_mean, rng.standard_normal((4, 3, 5, 5))
    layer(x)
    assert layer.running_mean is mean and layer.num_batches_tracked == 0
    np.testing.assert_allclose(mean, 0.5 * x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(layer.running_var, 0.5 + 0.5 * x.var(axis=(2, 3), ddof=1).mean(axis=0))
    assert list(layer.state_dict()) == ["running_mean", "running_var", "num_batches_tracked"]
    layer.eval()
    expected = (x - mean[:, None, None]) / np.sqrt(layer.running_var[:, None, None] + 1e-5)
    np.testing.assert_allclose(layer(x), expected)
    np.testing.assert_allclose(layer(x[0]), expected[0])


def test_an_untracked_instance_norm_does_in_evaluation_what_it_does_in_training(rng):
    layer, x = nn.InstanceNorm1d(3), rng.standard_normal((2, 3, 5)).astype(np.float32)
    y = layer(x)
    np.testing.assert_array_equal(layer.eval()(x), y)
    assert not layer.state_dict()


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 6, 1), dtype)
    with pytest.raises(ValueError, match=r"num_groups must divide the 6 channels of x, got 4 for x of shape \(2, 6, 1\)"):
        kernels.group_norm(x, 4)
    with pytest.raises(ValueError, match="num_groups must divide"):
        kernels.group_norm(x, 0)
    with pytest.raises(ValueError, match="num_groups must divide"):
        kernels.group_norm(x, 2**70)
    with pytest.raises(TypeError, match="num_groups must be an integer, got float"):
        kernels.group_norm(x, 2.0)
    with pytest.raises(ValueError, match="num_channels must be a multiple of num_groups 4, got 6"):
        nn.GroupNorm(4, 6)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 3, …\), got \(2, 6, 1\)"):
        nn.GroupNorm(3, 3)(x)
    with pytest.raises(ValueError, match=r"weight must have shape \(6,\), got \(3,\)"):
        kernels.group_norm(x, 3, np.ones(3, dtype))
    with pytest.raises(ValueError, match=r"more than one value per channel and image, got shape \(2, 6, 1\)"):
        nn.InstanceNorm1d(6)(x)
    with pytest.raises(ValueError, match=r"x must have shape \(N, 6, H, W\) or \(6, H, W\), got \(2, 6, 1\)"):
        nn.InstanceNorm2d(6)(x)
    with pytest.raises(ValueError, match=r"mean must have shape \(2, 6\), got \(2, 3\)"):
        kernels.instance_norm_backward(x, x, *kernels.group_norm(x, 3)[1:])
    with pytest.raises(ValueError, match="must be arrays where use_input_stats is False"):
        kernels.instance_norm(x, use_input_stats=False)
