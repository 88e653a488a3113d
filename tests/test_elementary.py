"""Elementary functions: within their ULP limits against mpmath over the whole range, the same bits everywhere.

Every float32 value is run through by `tests/c/run_vmath.sh exhaustive`, which takes minutes; here are samples.
"""

import mpmath
import numpy as np
import pytest
from helpers import LAYOUTS, assert_same_bits, special_values

from fastnn import kernels

# Function: the exact one, the limit in ULP, the range of its values.
CASES = {
    "exp": (mpmath.exp, 1, (0, np.inf)),
    "log": (mpmath.log, 1, (-np.inf, np.inf)),
    "expm1": (mpmath.expm1, 2, (-1, np.inf)),
    "log1p": (mpmath.log1p, 2, (-np.inf, np.inf)),
    "tanh": (mpmath.tanh, 2, (-1, 1)),
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), 2, (0, 1)),
    "softplus": (lambda x: mpmath.log1p(mpmath.exp(x)), 2, (0, np.inf)),
    "logsigmoid": (lambda x: -mpmath.log1p(mpmath.exp(-x)), 2, (-np.inf, 0)),
    "erf": (mpmath.erf, 2, (-1, 1)),
}


def arguments(name, dtype, n=1500):
    """Values of every magnitude, more of them where the function is neither tiny nor constant."""
    rng, info = np.random.default_rng(7), np.finfo(dtype)
    wide = np.exp2(rng.uniform(info.minexp - info.nmant, info.maxexp, n))
    near = np.exp2(rng.uniform(-12, np.log2(-np.log(info.smallest_subnormal)) + 0.1, 2 * n))
    x = np.concatenate([wide, -wide, near, -near, 1 + 0.1 * rng.standard_normal(n)]).astype(dtype)
    if name == "log":
        return np.abs(x)
    return x[x > -1] if name == "log1p" else x


def exact(function, x):
    with mpmath.workdps(60):
        return [function(mpmath.mpf(float(value))) for value in x]


def ulp_errors(y, expected):
    """|y - expected| in units of the spacing of y's dtype at the expected value; infinity where it overflows counts as the next number."""
    info = np.finfo(y.dtype)
    errors = []
    with mpmath.workdps(60):
        for value, true in zip(y, expected):
            if abs(true) > mpmath.mpf(float(info.max)):
                errors.append(0.0 if np.isinf(value) or abs(value) == info.max else np.inf)
                continue
            exponent = max(int(mpmath.floor(mpmath.log(abs(true), 2))) if true else info.minexp, info.minexp)
            errors.append(float(abs(mpmath.mpf(float(value)) - true) / mpmath.mpf(2) ** (exponent - info.nmant)))
    return np.array(errors)


@pytest.mark.parametrize("name", CASES)
def test_is_within_its_limit_and_range(name, dtype):
    function, limit, (low, high) = CASES[name]
    x = arguments(name, dtype)
    y = getattr(kernels, name)(x) if name != "softplus" else kernels.softplus(x, threshold=np.inf)
    assert y.min() >= low and y.max() <= high
    errors = ulp_errors(y, exact(function, x))
    worst = errors.argmax()
    assert errors[worst] <= limit, f"{name}({x[worst]!r}) = {y[worst]!r} is off by {errors[worst]:.3f} ULP"


@pytest.mark.parametrize("name", CASES)
def test_special_values(name, dtype):
    inf, nan = np.inf, np.nan
    ends = {
        "exp": (0, inf, 1), "log": (nan, inf, -inf), "expm1": (-1, inf, 0), "log1p": (nan, inf, 0), "tanh": (-1, 1, 0), "sigmoid": (0, 1, 0.5),
        "softplus": (0, inf, np.log(2)), "logsigmoid": (-inf, 0, -np.log(2)), "erf": (-1, 1, 0),
    }  # fmt: skip
    y = getattr(kernels, name)(np.array([-inf, inf, 0, nan], dtype))
    np.testing.assert_array_max_ulp(y, np.array([*ends[name], nan], dtype), maxulp=1)
    odd = getattr(kernels, name)(np.array([-0.0], dtype))
    assert np.signbit(odd[0]) == (name in ("expm1", "log1p", "tanh", "erf", "log", "logsigmoid"))
    assert np.isnan(kernels.log(np.array([-1.0, -np.finfo(dtype).smallest_subnormal], dtype))).all()
    assert np.isnan(kernels.log1p(np.array([-1.5], dtype))).all() and kernels.log1p(np.array([-1.0], dtype))[0] == -inf


@pytest.mark.parametrize("name", ["exp", "log", "expm1", "log1p", "erf"])
def test_is_bitwise_equal_everywhere(name, dtype):
    function = getattr(kernels, name)
    x = np.concatenate([arguments(name, dtype, 300), special_values(dtype)])
    assert_same_bits(lambda: function(x))
    y = function(x.reshape(1, -1))
    for relaid in LAYOUTS.values():
        np.testing.assert_array_equal(function(relaid(x.reshape(1, -1))), y)
    np.testing.assert_array_equal(function(x.copy(), out=x), y[0])
