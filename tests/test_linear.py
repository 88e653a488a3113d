"""Products and Linear: against the float64 reference, in every layout, with the same bits everywhere."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

SHAPES = [((), 3, 4), ((1,), 1, 1), ((5,), 7, 3), ((33,), 65, 17), ((2, 3), 9, 5), ((0,), 3, 2), ((4,), 0, 3), ((4,), 3, 0), ((130,), 64, 48)]


def assert_close(actual, expected, terms):
    """Up to the rounding of a sum of so many products of size 1 or the result's size."""
    actual = np.asarray(actual)
    assert actual.shape == expected.shape
    bound = 4 * (np.sqrt(terms) + 1) * np.finfo(actual.dtype).eps * max(1, np.abs(expected).max(initial=0))
    assert np.abs(actual - expected).max(initial=0) <= bound


def operands(lead, n, m, dtype, rng):
    x, dy = rng.standard_normal((*lead, n)), rng.standard_normal((*lead, m))
    return tuple(np.asarray(v, dtype) for v in (x, rng.standard_normal((m, n)), rng.standard_normal(m), dy))


@pytest.mark.parametrize(("lead", "n", "m"), SHAPES)
def test_linear_matches_reference(lead, n, m, dtype, rng):
    x, w, b, dy = operands(lead, n, m, dtype, rng)
    exact = [v.astype(np.float64) for v in (x, w, b, dy)]
    assert_close(kernels.linear(x, w, b), reference.linear(*exact[:3]), n + 1)
    assert_close(kernels.linear(x, w), reference.linear(*exact[:2]), n + 1)
    assert_close(kernels.linear(x, w, b, activation="relu"), np.maximum(reference.linear(*exact[:3]), 0), n + 1)
    rows = int(np.prod(lead)) + 1
    expected = reference.linear_backward(exact[3], exact[0], exact[1])
    for actual, value in zip(kernels.linear_backward(dy, x, w), expected, strict=True):
        assert_close(actual, value, max(rows, m, n) + 1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, w, b, dy = operands((6,), 17, 9, dtype, rng)
    relaid = LAYOUTS[layout]
    np.testing.assert_array_equal(kernels.linear(relaid(x), relaid(w), relaid(b)), kernels.linear(x, w, b))
    np.testing.assert_array_equal(kernels.matmul(relaid(x), relaid(w).T), kernels.matmul(x, w.T))
    for a, e in zip(kernels.linear_backward(relaid(dy), relaid(x), relaid(w)), kernels.linear_backward(dy, x, w), strict=True):
        np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize(("lead", "n", "m"), [((33,), 65, 17), ((3,), 300, 40), ((200,), 20, 10)])
def test_is_bitwise_equal_across_instruction_sets_and_threads(lead, n, m, dtype, rng):
    x, w, b, dy = operands(lead, n, m, dtype, rng)
    assert_same_bits(lambda: kernels.linear(x, w, b))
    assert_same_bits(lambda: kernels.linear_backward(dy, x, w))


@pytest.mark.parametrize(("n", "m"), [(5, 3), (784, 128), (600, 33)])
def test_a_row_alone_equals_the_row_in_a_batch(n, m, dtype, rng):
    x, w, b, dy = operands((37,), n, m, dtype, rng)
    for weight in (w, np.asfortranarray(w)):
        y, dx = kernels.linear(x, weight, b), kernels.linear_backward(dy, x, weight)[0]
        for i in range(37):
            np.testing.assert_array_equal(kernels.linear(x[i], weight, b), y[i])
            np.testing.assert_array_equal(kernels.linear(x[i : i + 1], weight, b), y[i : i + 1])
            np.testing.assert_array_equal(kernels.linear_backward(dy[i], x[i], weight)[0], dx[i])


@pytest.mark.parametrize("rows", range(1, 6))
@pytest.mark.parametrize(("k", "n"), [(9, 200), (213, 2101), (1, 500), (29, 2100)])
def test_few_rows_equal_the_rows_of_many(rows, k, n, dtype, rng):
    a, b = rng.standard_normal((40, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    many = kernels.matmul(a, b)
    for weight in (b, np.asfortranarray(b)):
        np.testing.assert_array_equal(kernels.matmul(a[:rows], weight), many[:rows])
        np.testing.assert_array_equal(kernels.matmul(a[:, None][:rows], weight)[:, 0], many[:rows])


@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 3)), ((2, 4), (4,)), ((2, 1, 3, 4), (5, 4, 2)), ((0, 3, 4), (4, 2)), ((3, 0), (0, 2))],
)
def test_matmul_matches_numpy(a, b, dtype, rng):
    x, y = (np.asarray(rng.standard_normal(s), dtype) for s in (a, b))
    assert_close(kernels.matmul(x, y), x.astype(np.float64) @ y.astype(np.float64), a[-1] + 1)


def test_gradients_are_added_where_asked(dtype, rng):
    x, w, _, dy = operands((8,), 5, 3, dtype, rng)
    _, dw, db = kernels.linear_backward(dy, x, w)
    given = np.ones_like(dw), np.ones_like(db)
    dx, *added = kernels.linear_backward(dy, x, w, dweight=given[0], dbias=given[1], accumulate=True, input_gradient=False)
    assert dx is None and added[0] is given[0] and added[1] is given[1]
    assert_close(given[0], 1 + dw.astype(np.float64), 10)
    assert_close(given[1], 1 + db.astype(np.float64), 10)


@pytest.mark.parametrize("bias", (True, False))
@pytest.mark.parametrize("shape", ((3,), (4, 3), (2, 2, 3)))
def test_layer_gradient_matches_central_differences(bias, shape, rng):
    gradcheck(nn.Linear(3, 2, bias=bias, dtype=np.float64, rng=0), rng.standard_normal(shape))


def test_layer_starts_as_pytorch_says():
    layer = nn.Linear(400, 300, rng=0)
    assert layer.weight.shape == (300, 400) and layer.weight.T.flags.c_contiguous
    for array in (layer.weight, layer.bias):
        assert np.abs(array).max() <= 1 / 20 and np.abs(array).max() > 0.9 / 20
    np.testing.assert_array_equal(nn.Linear(400, 300, rng=0).weight, layer.weight)


def test_bad_input_is_refused_in_a_sentence():
    layer = nn.Linear(3, 2)
    x = np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match=r"x must have shape \(…, 3\) for a weight of shape \(2, 3\), got \(4, 2\)"):
        layer(x[:, :2])
    with pytest.raises(TypeError, match="weight must have x's dtype float64, got float32"):
        layer(x.astype(np.float64))
    layer(x)
    with pytest.raises(ValueError, match=r"dy must have shape \(4, 2\), got \(4, 3\)"):
        layer.backward(x)
    with pytest.raises(ValueError, match=r"bias must have shape \(2,\), got \(3,\)"):
        kernels.linear(x, layer.weight, np.ones(3, np.float32))
    with pytest.raises(ValueError, match="a's last dimension must equal b's last but one"):
        kernels.matmul(x, x)
    with pytest.raises(ValueError, match="in_features must be at least 0, got -1"):
        nn.Linear(-1, 2)
