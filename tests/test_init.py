"""Initialisers: the right distribution, in place, whatever the memory order; the default generator."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

import fastnn.random
from fastnn.nn import init
from fastnn.random import default_rng, manual_seed

RANDOM = [
    (init.uniform_, {"a": -2.0, "b": 3.0}),
    (init.normal_, {"mean": 1.0, "std": 2.0}),
    (init.trunc_normal_, {"std": 1.5}),
    (init.trunc_normal_, {"a": 4.0, "b": 5.0}),
    (init.xavier_uniform_, {}),
    (init.xavier_normal_, {}),
    (init.kaiming_uniform_, {"a": math.sqrt(5)}),
    (init.kaiming_normal_, {"nonlinearity": "relu", "mode": "fan_out"}),
    (init.orthogonal_, {}),
]


@pytest.fixture(autouse=True)
def default_generator():
    """Every test begins without a default generator and leaves the old one behind."""
    old, fastnn.random._generator = fastnn.random._generator, None
    yield
    fastnn.random._generator = old


def cdf(z):
    return 0.5 * math.erfc(-z / math.sqrt(2))


@pytest.mark.parametrize("function, options", RANDOM)
def test_values_do_not_depend_on_memory_order_or_dtype(function, options):
    plain = function(np.empty((6, 5, 4)), **options, rng=3)
    fortran = np.empty((6, 5, 4), order="F")
    assert function(fortran, **options, rng=3) is fortran
    np.testing.assert_array_equal(fortran, plain)
    strided = np.empty((12, 5, 8))[::-2, :, ::2]
    np.testing.assert_array_equal(function(strided, **options, rng=3), plain)
    single = function(np.empty((6, 5, 4), np.float32), **options, rng=3)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, plain.astype(np.float32))


@pytest.mark.parametrize("function, options", RANDOM)
def test_generators_seeds_and_the_default(function, options):
    first = function(np.empty((3, 4)), **options, rng=9)
    np.testing.assert_array_equal(function(np.empty((3, 4)), **options, rng=np.random.default_rng(9)), first)
    manual_seed(9)
    np.testing.assert_array_equal(function(np.empty((3, 4)), **options), first)
    assert (function(np.empty((3, 4)), **options) != first).any()


@pytest.mark.parametrize("function, options", RANDOM)
def test_the_global_state_of_numpy_is_not_touched(function, options):
    before = np.random.get_state()
    function(np.empty((3, 4)), **options)
    after = np.random.get_state()
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2:] == after[2:]


@pytest.mark.parametrize("function, options", RANDOM)
def test_empty_arrays_stay_empty(function, options):
    for shape in ((0, 3), (3, 0), (2, 0, 4)):
        assert function(np.empty(shape), **options).shape == shape


def test_constants():
    np.testing.assert_array_equal(init.constant_(np.empty((2, 3)), 1.5), np.full((2, 3), 1.5))
    assert not init.zeros_(np.ones(())).any() and init.ones_(np.zeros(4)).all()
    np.testing.assert_array_equal(init.eye_(np.full((2, 3), 7.0)), [[1, 0, 0], [0, 1, 0]])
    with pytest.raises(ValueError, match="2-D"):
        init.eye_(np.empty(3))


def close(values, mean, std):
    """Mean and standard deviation of the values are within 5 standard errors (for tails no heavier than the normal's)."""
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() / std - 1) < 5 / math.sqrt(2 * values.size)


def test_uniform_and_normal_have_their_moments_and_bounds():
    u = init.uniform_(np.empty((100, 200)), -2.0, 3.0, rng=1)
    assert u.min() >= -2 and u.max() <= 3
    close(u, 0.5, 5 / math.sqrt(12))
    close(init.normal_(np.empty((100, 200)), 1.0, 0.5, rng=1), 1.0, 0.5)


@pytest.mark.parametrize(
    "mean, std, a, b",
    [
        (0, 1, -2, 2),
        (0, 0.02, -2, 2),
        (1, 2, 0, 1.5),
        (0, 1, 4, 5),
        (0, 1, -5, -4),
        (0, 1, 8, np.inf),
        (0, 1, 0.3, 0.31),
        (0, 1, 30, 40),
    ],
)
def test_truncated_normal_has_its_distribution(mean, std, a, b):
    """The share of values below each of three quantiles is right within 5 standard errors."""
    z = init.trunc_normal_(np.empty(20_000), mean, std, a, b, rng=2)
    assert z.min() >= a and z.max() <= b
    low, high, sign = (a - mean) / std, (b - mean) / std, 1
    if low > 0:
        low, high, sign = -high, -low, -1
    for point in np.quantile(z, [0.2, 0.5, 0.8]):
        share = (cdf(sign * (point - mean) / std) - cdf(low)) / (cdf(high) - cdf(low))
        actual = (z <= point).mean() if sign == 1 else (z >= point).mean()
        assert abs(share - actual) < 5 * 0.5 / math.sqrt(z.size)


@pytest.mark.parametrize(
    "a, b, std, message", [(2, 2, 1, "a < b"), (2, 1, 1, "a < b"), (0, 1, 0, "std > 0"), (50, 60, 1, "too far")]
)
def test_an_impossible_truncation_is_an_error(a, b, std, message):
    with pytest.raises(ValueError, match=message):
        init.trunc_normal_(np.empty(3), 0.0, std, a, b)


def test_fans_scale_the_distributions():
    shape = (40, 30, 5, 2)  # fan_in 300, fan_out 400
    close(init.xavier_normal_(np.empty(shape), 2.0, rng=1), 0, 2 * math.sqrt(2 / 700))
    close(init.kaiming_normal_(np.empty(shape), rng=1), 0, math.sqrt(2 / 300))
    close(init.kaiming_normal_(np.empty(shape), mode="fan_out", nonlinearity="linear", rng=1), 0, math.sqrt(1 / 400))
    for values, bound in (
        (init.xavier_uniform_(np.empty(shape), rng=1), math.sqrt(6 / 700)),
        (init.kaiming_uniform_(np.empty(shape), math.sqrt(5), rng=1), 1 / math.sqrt(300)),
    ):
        assert 0.99 * bound < np.abs(values).max() <= bound
        close(values, 0, bound / math.sqrt(3))


def test_bad_arguments_are_errors():
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        init.xavier_normal_(np.empty(3))
    with pytest.raises(ValueError, match="at least 2 dimensions"):
        init.orthogonal_(np.empty(3))
    with pytest.raises(ValueError, match="mode"):
        init.kaiming_normal_(np.empty((2, 3)), mode="fan_sideways")
    with pytest.raises(ValueError, match="nonlinearity"):
        init.calculate_gain("cubic")
    with pytest.raises(TypeError, match="floating dtype"):
        init.zeros_(np.empty(3, int))
    with pytest.raises(TypeError, match="ndarray"):
        init.zeros_([1.0])


def test_gains():
    assert init.calculate_gain("linear") == init.calculate_gain("conv2d") == init.calculate_gain("sigmoid") == 1
    assert init.calculate_gain("tanh") == 5 / 3 and init.calculate_gain("selu") == 0.75
    assert init.calculate_gain("relu") == math.sqrt(2)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert init.calculate_gain("leaky_relu", 0.5) == math.sqrt(2 / 1.25)


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3), (4, 3, 2), (8, 2, 2), (1, 1)])
def test_orthogonal_rows_or_columns_are_orthonormal(shape):
    a = init.orthogonal_(np.empty(shape), gain=3.0, rng=4).reshape(shape[0], -1) / 3
    product = a @ a.T if a.shape[0] <= a.shape[1] else a.T @ a
    np.testing.assert_allclose(product, np.eye(min(a.shape)), atol=1e-14)


def test_default_rng_resolves_its_argument():
    generator = np.random.default_rng(1)
    assert default_rng(generator) is generator
    assert default_rng(5).random() == default_rng(np.int64(5)).random() == np.random.default_rng(5).random()
    assert default_rng() is default_rng(None)
    assert manual_seed(3) is default_rng()
    for bad in ("5", 1.5, np.random):
        with pytest.raises(TypeError, match="rng must be"):
            default_rng(bad)
    with pytest.raises(ValueError, match="negative"):
        manual_seed(-1)


def test_threads_share_one_default_generator():
    found = []
    threads = [threading.Thread(target=lambda: found.append(default_rng())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(generator) for generator in found}) == 1
