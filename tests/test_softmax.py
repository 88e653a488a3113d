"""Softmax, softmin and log-softmax: against the float64 reference along every axis, with the same bits everywhere."""

import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_close, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

NAMES = ("softmax", "softmin", "log_softmax")
LAYERS = {"softmax": nn.Softmax, "softmin": nn.Softmin, "log_softmax": nn.LogSoftmax}


def functions(name):
    return (getattr(module, n) for module in (kernels, reference) for n in (name, name + "_backward"))


def check(name, x, dy, axis):
    forward, backward, exact_forward, exact_backward = functions(name)
    y = forward(x, axis)
    assert y.dtype == x.dtype
    terms = x.shape[axis]
    assert_close(y, exact_forward(x.astype(np.float64), axis), terms)
    dx = backward(dy, y, axis)
    assert dx.dtype == x.dtype
    y, dy = y.astype(np.float64), dy.astype(np.float64)
    if name == "log_softmax":
        magnitude = np.abs(dy) + np.exp(y) * np.abs(dy).sum(axis=axis, keepdims=True)
    else:
        magnitude = y * (np.abs(dy) + np.abs(dy * y).sum(axis=axis, keepdims=True))
    assert_close(dx, exact_backward(dy, y, axis), terms, magnitude)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", (*SIZES, 5000))
def test_rows_match_reference(name, n, dtype, rng):
    x, dy = (3 * rng.standard_normal((2, 3, n))).astype(dtype)
    check(name, x, dy, -1)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 1, 7), (3, 10, 5), (2, 300, 17), (1, 4, 130), (0, 3, 2), (2, 0, 3), (2, 3, 0)])
def test_columns_match_reference(name, shape, dtype, rng):
    x, dy = (3 * rng.standard_normal((2, *shape))).astype(dtype)
    check(name, x, dy, 1)
    check(name, x[..., 0] if shape[2] else x[0], dy[..., 0] if shape[2] else dy[0], 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1])
def test_extreme_logits_are_stable(name, axis, dtype, rng):
    forward, _, exact, _ = functions(name)
    inf, nan = np.inf, np.nan
    x = np.array(
        [[1e4, -1e4, 0, 9999], [-1e4, -1e4, -1e4, -1e4], [-inf, 0, 1, -inf], [inf, 0, 1, 2], [inf, inf, 0, -inf],
         [-inf] * 4, [nan, 0, 1, 2], [nan, -inf, inf, 0], [nan] * 4, [0, -0.0, 0, -0.0], [-inf, -inf, -inf, 5]], dtype
    )  # fmt: skip
    for row in x:
        row = np.concatenate([row, rng.standard_normal(30)]).astype(dtype)
        wide = np.ascontiguousarray(np.stack([row] * 3, axis=1 - axis))
        assert_close(forward(wide, axis), exact(wide.astype(np.float64), axis), 34)
    both = x if axis else np.ascontiguousarray(x.T)
    assert_close(forward(both, axis), exact(both.astype(np.float64), axis), 4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(40, 10), (7, 33), (3, 5000), (5, 20, 67), (4, 129, 2)])
def test_is_bitwise_equal_across_instruction_sets_and_threads(name, shape, dtype, rng):
    forward, backward, *_ = functions(name)
    x, dy = (4 * rng.standard_normal((2, *shape))).astype(dtype)
    x.ravel()[:5] = -np.inf, np.nan, 1e4, -1e4, np.inf
    assert_same_bits(lambda: forward(x, 1))
    assert_same_bits(lambda: backward(dy, forward(x, 1), 1))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [1, 3, 10, 16, 17, 100])
def test_a_row_does_not_depend_on_its_batch(name, n, dtype, rng):
    forward, backward, *_ = functions(name)
    x, dy = rng.standard_normal((2, 9, n, 3)).astype(dtype)
    for a, b in ((x, dy), (np.ascontiguousarray(x[..., 0]), np.ascontiguousarray(dy[..., 0]))):
        y = forward(a, 1)
        dx = backward(b, y, 1)
        for i in range(9):
            np.testing.assert_array_equal(forward(a[i : i + 1], 1)[0], y[i])
            np.testing.assert_array_equal(backward(b[i : i + 1], y[i : i + 1], 1)[0], dx[i])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_layout_does_not_matter(name, layout, dtype, rng):
    forward, backward, *_ = functions(name)
    x, dy = rng.standard_normal((2, 3, 5, 7)).astype(dtype)
    relaid = LAYOUTS[layout]
    for axis in range(-3, 3):
        y = forward(x, axis)
        np.testing.assert_array_equal(forward(relaid(x), axis), y)
        np.testing.assert_array_equal(backward(relaid(dy), relaid(y), axis), backward(dy, y, axis))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("axis", [0, 1])
def test_out_is_filled_and_returned(name, axis, dtype, rng):
    forward, backward, *_ = functions(name)
    x, dy = rng.standard_normal((2, 40, 41)).astype(dtype)
    y = forward(x, axis)
    dx = backward(dy, y, axis)
    for out in (np.empty_like(x), np.empty((40, 82), dtype)[:, ::2]):
        assert forward(x, axis, out=out) is out
        np.testing.assert_array_equal(out, y)
        assert backward(dy, y, axis, out=out) is out
        np.testing.assert_array_equal(out, dx)
    in_place = x.copy()
    np.testing.assert_array_equal(forward(in_place, axis, out=in_place), y)
    in_place = dy.copy()
    np.testing.assert_array_equal(backward(in_place, y, axis, out=in_place), dx)
    in_place = y.copy()
    np.testing.assert_array_equal(backward(dy, in_place, axis, out=in_place), dx)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_matches_central_differences(name, rng):
    for shape, dim in (((3, 5), -1), ((3, 5), 0), ((2, 4, 3), 1), ((6,), None), ((2, 3, 4, 2), None)):
        gradcheck(LAYERS[name](dim), rng.standard_normal(shape))


def test_default_dim_is_pytorchs():
    for ndim, axis in ((0, 0), (1, 0), (2, 1), (3, 0), (4, 1)):
        assert nn.Softmax().axis(np.zeros((2,) * ndim)) == axis
    assert repr(nn.LogSoftmax(dim=-1)) == "LogSoftmax(dim=-1)"


def test_a_scalar_has_one_axis(dtype):
    assert kernels.softmax(np.array(3, dtype)) == 1
    assert kernels.log_softmax(np.array(3, dtype), 0) == 0


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 3), dtype)
    with pytest.raises(ValueError, match=r"axis must be between -2 and 1 for shape \(2, 3\), got 2"):
        kernels.softmax(x, 2)
    with pytest.raises(TypeError):
        kernels.softmax(x, 0.5)
    with pytest.raises(TypeError, match="x must be float32 or float64"):
        kernels.log_softmax([1, 2])
    with pytest.raises(ValueError, match=r"dy must have y's shape \(2, 3\), got \(3, 2\)"):
        kernels.softmin_backward(x.T, x)
    with pytest.raises(RuntimeError, match="Softmax.backward needs a forward"):
        nn.Softmax(1).backward(x)
