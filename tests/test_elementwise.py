"""Broadcast sums and products, copies, concatenation and the sums that undo a broadcast."""

import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_same_bits

from fastnn import kernels, reference
from fastnn.gradcheck import gradcheck

SHAPES = [
    ((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 4), ()), ((3, 1), (4,)), ((1, 5), (3, 1)), ((2, 3, 4), (1, 3, 1)), ((2, 1, 4), (3, 1)),
    ((0, 3), (3,)), ((2, 0), (2, 1)), ((70, 130), (70, 1)), ((2, 1, 3, 1, 2, 1, 3), (1, 2, 1, 3, 1, 2, 1)), ((), ()),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SHAPES)
def test_add_and_multiply_match_reference(a, b, dtype, rng):
    p, q = rng.standard_normal(a).astype(dtype), rng.standard_normal(b).astype(dtype)
    p, q = np.asarray(p), np.asarray(q)
    for name in ("add", "multiply"):
        y = getattr(kernels, name)(p, q)
        np.testing.assert_array_equal(y, getattr(reference, name)(p, q), strict=True)
        dy = np.asarray(rng.standard_normal(y.shape), dtype)
        exact = getattr(reference, name + "_backward")(*(v.astype(np.float64) for v in (dy, p, q)))
        for actual, expected in zip(getattr(kernels, name + "_backward")(dy, p, q), exact, strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0, atol=20 * np.finfo(dtype).eps * y.size**0.5)


@pytest.mark.parametrize("n", SIZES)
def test_every_size(n, dtype, rng):
    x, y = rng.standard_normal((2, n)).astype(dtype)
    np.testing.assert_array_equal(kernels.add(x, y), x + y)
    np.testing.assert_array_equal(kernels.scale(x, 0.3), x * dtype(0.3))
    np.testing.assert_array_equal(kernels.copy(x[::-1]), x[::-1])
    target = y.copy()
    assert kernels.add_(target, x) is target
    np.testing.assert_array_equal(target, y + x)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, y = rng.standard_normal((2, 3, 5, 7)).astype(dtype)
    relaid = LAYOUTS[layout]
    np.testing.assert_array_equal(kernels.add(relaid(x), y), x + y)
    np.testing.assert_array_equal(kernels.multiply(x, relaid(y[0])), x * y[0])
    np.testing.assert_array_equal(kernels.copy(relaid(x)), x)
    np.testing.assert_array_equal(kernels.concatenate([relaid(x), y], 1), np.concatenate([x, y], 1))


def test_out_may_be_an_input_or_a_view_of_one(dtype, rng):
    x = rng.standard_normal((6, 6)).astype(dtype)
    expected = x + x.T
    assert kernels.add(x, x.T, out=x) is x
    np.testing.assert_array_equal(x, expected)
    y = np.zeros((6, 12), dtype)
    kernels.copy(x, out=y[:, ::2])
    np.testing.assert_array_equal(y[:, ::2], x)
    y = rng.standard_normal((6, 6)).astype(dtype)
    expected = y + y.T
    np.testing.assert_array_equal(kernels.add_(y, y.T), expected)
    expected = y + y[0]
    np.testing.assert_array_equal(kernels.add_(y, y[0]), expected)


@pytest.mark.parametrize("axis", (0, 1, -1))
def test_concatenate_and_its_backward(axis, dtype, rng):
    shapes = [[3, 4, 5] for _ in range(3)]
    for size, shape in zip((2, 0, 7), shapes, strict=True):
        shape[axis] = size
    arrays = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    y = kernels.concatenate(arrays, axis)
    np.testing.assert_array_equal(y, reference.concatenate(arrays, axis))
    for a, b in zip(kernels.concatenate_backward(y, (2, 0, 7), axis), arrays, strict=True):
        np.testing.assert_array_equal(a, b)


def test_is_bitwise_equal_across_instruction_sets_and_threads(dtype, rng):
    x, y = rng.standard_normal((2, 37, 65, 9)).astype(dtype)
    assert_same_bits(lambda: (kernels.add(x, y[0]), kernels.multiply(x, y[:, :1]), kernels.copy(x.T), kernels.scale(x, 3.1)))
    for shape in ((9,), (1, 65, 1), (37, 1, 1), (37, 1, 9), ()):
        assert_same_bits(lambda shape=shape: kernels.sum_to(x, shape))


def test_gradient_matches_central_differences(rng):
    a, b = rng.standard_normal((3, 1, 2)), rng.standard_normal((4, 2))
    gradcheck((kernels.add, kernels.add_backward), a, b)
    gradcheck((kernels.multiply, kernels.multiply_backward), a, b)
    gradcheck((lambda x: kernels.scale(x, 0.7), lambda dy, x: kernels.scale_backward(dy, 0.7)), a)


def test_bad_input_is_refused_in_a_sentence():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"shapes that broadcast, got \(2, 3\) and \(2,\)"):
        kernels.add(x, x[:, 0])
    with pytest.raises(TypeError, match="b must have a's dtype float32, got float64"):
        kernels.multiply(x, x.astype(np.float64))
    with pytest.raises(ValueError, match=r"x must broadcast to y's shape \(3,\), got \(2, 3\)"):
        kernels.add_(x[0], x)
    with pytest.raises(TypeError, match="y must be a writeable"):
        kernels.add_(LAYOUTS["read-only"](x), x)
    with pytest.raises(ValueError, match=r"arrays\[1\] must have arrays\[0\]'s shape"):
        kernels.concatenate([x, x.T])
    with pytest.raises(ValueError, match="sizes must add up to dy's size 3"):
        kernels.concatenate_backward(x, (1, 1))
    with pytest.raises(ValueError, match="axis must be between -2 and 1, got 2"):
        kernels.concatenate([x], 2)
    with pytest.raises(ValueError, match="shape must broadcast to x's shape"):
        kernels.sum_to(x, (2,))
