"""Element-wise activations: against the float64 reference, in every layout, with the same bits everywhere."""

import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_close, assert_same_bits, special_values

import fastnn
from fastnn import kernels, reference
from fastnn.gradcheck import gradcheck

# Activation: its scalar arguments, and whether backward takes forward's output instead of its input.
CASES = {
    "relu": ({}, False),
    "tanh": ({}, True),
}


def saved_by(name, x, y):
    return y if CASES[name][1] else x


def functions(name):
    return (getattr(module, n) for module in (kernels, reference) for n in (name, name + "_backward"))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("n", SIZES)
def test_matches_reference(name, n, dtype, rng):
    forward, backward, exact_forward, exact_backward = functions(name)
    options = CASES[name][0]
    x, dy = (3 * rng.standard_normal((2, n))).astype(dtype)
    y = forward(x, **options)
    assert y.dtype == dtype
    assert_close(y, exact_forward(x.astype(np.float64), **options))
    saved = saved_by(name, x, y)
    assert_close(backward(dy, saved, **options), exact_backward(dy.astype(np.float64), saved.astype(np.float64), **options), terms=4)


@pytest.mark.parametrize("name", CASES)
def test_special_values_match_reference(name, dtype):
    forward, backward, exact_forward, exact_backward = functions(name)
    options = CASES[name][0]
    x = special_values(dtype)
    with np.errstate(all="ignore"):
        y = forward(x, **options)
        assert_close(y, exact_forward(x.astype(np.float64), **options).astype(dtype))
        saved = saved_by(name, x, y)
        expected = exact_backward(np.ones(x.size), saved.astype(np.float64), **options).astype(dtype)
        assert_close(backward(np.ones_like(x), saved, **options), expected, terms=4)


@pytest.mark.parametrize("name", CASES)
def test_is_bitwise_equal_across_instruction_sets_and_threads(name, dtype, rng):
    forward, backward, *_ = functions(name)
    options = CASES[name][0]
    x = np.concatenate([5 * rng.standard_normal(1001), special_values(np.float32)]).astype(dtype)
    dy = rng.standard_normal(x.size).astype(dtype)
    assert_same_bits(lambda: forward(x, **options))
    assert_same_bits(lambda: backward(dy, saved_by(name, x, forward(x, **options)), **options))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_layout_does_not_matter(name, layout, dtype, rng):
    forward, backward, *_ = functions(name)
    options = CASES[name][0]
    x, dy = rng.standard_normal((2, 3, 5, 7)).astype(dtype)
    y = forward(x, **options)
    saved = saved_by(name, x, y)
    relaid = LAYOUTS[layout]
    np.testing.assert_array_equal(forward(relaid(x), **options), y)
    np.testing.assert_array_equal(backward(relaid(dy), relaid(saved), **options), backward(dy, saved, **options))


@pytest.mark.parametrize("name", CASES)
def test_out_is_filled_and_returned(name, dtype, rng):
    forward, backward, *_ = functions(name)
    options = CASES[name][0]
    x, dy = rng.standard_normal((2, 4, 6)).astype(dtype)
    y = forward(x, **options)
    saved = saved_by(name, x, y)
    dx = backward(dy, saved, **options)
    for out in (np.empty_like(x), np.empty((4, 12), dtype)[:, ::2], np.empty((6, 4), dtype).T):
        assert forward(x, out=out, **options) is out
        np.testing.assert_array_equal(out, y)
        assert backward(dy, saved, out=out, **options) is out
        np.testing.assert_array_equal(out, dx)
    in_place = x.copy()
    np.testing.assert_array_equal(forward(in_place, out=in_place, **options), y)
    shifted = np.concatenate([x.ravel(), np.zeros(1, dtype)])
    np.testing.assert_array_equal(forward(shifted[:-1], out=shifted[1:], **options), y.ravel())


@pytest.mark.parametrize("name", CASES)
def test_gradient_matches_central_differences(name, rng):
    layer = {"relu": fastnn.nn.ReLU, "tanh": fastnn.nn.Tanh}[name]()
    gradcheck(layer, rng.standard_normal((3, 5)))


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 3), dtype)
    with pytest.raises(TypeError, match="x must be float32 or float64, got int64"):
        kernels.relu(np.arange(3))
    with pytest.raises(TypeError, match="dy must have x's dtype"):
        kernels.relu_backward(x.astype(np.float32 if dtype == np.float64 else np.float64), x)
    with pytest.raises(ValueError, match=r"dy must have x's shape \(2, 3\), got \(3, 2\)"):
        kernels.relu_backward(x.T, x)
    with pytest.raises(ValueError, match=r"out must have shape \(2, 3\), got \(2, 2\)"):
        kernels.relu(x, out=np.empty((2, 2), dtype))
    with pytest.raises(ValueError, match="out must be writeable"):
        kernels.relu(x, out=LAYOUTS["read-only"](x))
