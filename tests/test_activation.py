"""Element-wise activations: against the float64 reference, in every layout, with the same bits everywhere."""

from functools import partial

import mpmath
import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_close, assert_same_bits, special_values

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck
from fastnn.reference.activation import SELU_ALPHA, SELU_SCALE

# Case: the function, its arguments, its layer, and whether backward takes forward's output instead of its input.
CASES = {
    "relu": ("relu", {}, nn.ReLU, True),
    "leaky_relu": ("leaky_relu", {}, nn.LeakyReLU, False),
    "leaky_relu 0.3": ("leaky_relu", {"negative_slope": 0.3}, nn.LeakyReLU, False),
    "relu6": ("relu6", {}, nn.ReLU6, False),
    "hardtanh": ("hardtanh", {}, nn.Hardtanh, False),
    "hardtanh -3 0.5": ("hardtanh", {"min_val": -3.0, "max_val": 0.5}, nn.Hardtanh, False),
    "hardsigmoid": ("hardsigmoid", {}, nn.Hardsigmoid, False),
    "hardswish": ("hardswish", {}, nn.Hardswish, False),
    "hardshrink": ("hardshrink", {}, nn.Hardshrink, False),
    "hardshrink 1": ("hardshrink", {"lambd": 1.0}, nn.Hardshrink, False),
    "softshrink": ("softshrink", {}, nn.Softshrink, False),
    "softshrink 1": ("softshrink", {"lambd": 1.0}, nn.Softshrink, False),
    "threshold": ("threshold", {"threshold": 0.5, "value": -7.0}, nn.Threshold, False),
    "sigmoid": ("sigmoid", {}, nn.Sigmoid, True),
    "tanh": ("tanh", {}, nn.Tanh, True),
    "logsigmoid": ("logsigmoid", {}, nn.LogSigmoid, False),
    "tanhshrink": ("tanhshrink", {}, nn.Tanhshrink, False),
    "softplus": ("softplus", {}, nn.Softplus, False),
    "softplus 2 4": ("softplus", {"beta": 2.0, "threshold": 4.0}, nn.Softplus, False),
    "softsign": ("softsign", {}, nn.Softsign, False),
    "silu": ("silu", {}, nn.SiLU, False),
    "mish": ("mish", {}, nn.Mish, False),
    "elu": ("elu", {}, nn.ELU, False),
    "elu 0.7": ("elu", {"alpha": 0.7}, nn.ELU, False),
    "celu": ("celu", {}, nn.CELU, False),
    "celu 0.5": ("celu", {"alpha": 0.5}, nn.CELU, False),
    "selu": ("selu", {}, nn.SELU, False),
    "gelu": ("gelu", {}, nn.GELU, False),
    "gelu tanh": ("gelu", {"approximate": "tanh"}, nn.GELU, False),
}
# Roundings in a derivative. In float64 the reference rounds as well: what its 1 - y² and s (1 - s) lose near 1 is allowed here.
TERMS = {np.float32: 4, np.float64: 400}
# Where the derivative jumps.
KINKS = [-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 6.0, 20.0]


def saved_by(case, x, y):
    return y if CASES[case][3] else x


def functions(case):
    """kernel, its backward, the reference and its backward, with the case's arguments filled in."""
    name, options = CASES[case][:2]
    return [partial(getattr(module, n), **options) for module in (kernels, reference) for n in (name, name + "_backward")]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", SIZES)
def test_matches_reference(case, n, dtype, rng):
    forward, backward, exact_forward, exact_backward = functions(case)
    x, dy = (3 * rng.standard_normal((2, n))).astype(dtype)
    y = forward(x)
    assert y.dtype == dtype
    assert_close(y, exact_forward(x.astype(np.float64)))
    saved = saved_by(case, x, y)
    assert_close(backward(dy, saved), exact_backward(dy.astype(np.float64), saved.astype(np.float64)), terms=TERMS[dtype])


@pytest.mark.parametrize("case", CASES)
def test_special_values_match_reference(case, dtype):
    forward, backward, exact_forward, exact_backward = functions(case)
    x = np.concatenate([special_values(dtype), np.array(KINKS, dtype)])
    with np.errstate(all="ignore"):
        y = forward(x)
        assert_close(y, exact_forward(x.astype(np.float64)).astype(dtype))
        saved = saved_by(case, x, y)
        expected = exact_backward(np.ones(x.size), saved.astype(np.float64)).astype(dtype)
        assert_close(backward(np.ones_like(x), saved), expected, terms=TERMS[dtype])


@pytest.mark.parametrize("case", CASES)
def test_is_bitwise_equal_across_instruction_sets_and_threads(case, dtype, rng):
    forward, backward, *_ = functions(case)
    x = np.concatenate([5 * rng.standard_normal(1001), special_values(np.float32)]).astype(dtype)
    dy = rng.standard_normal(x.size).astype(dtype)
    assert_same_bits(lambda: forward(x))
    assert_same_bits(lambda: backward(dy, saved_by(case, x, forward(x))))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_layout_does_not_matter(case, layout, dtype, rng):
    forward, backward, *_ = functions(case)
    x, dy = rng.standard_normal((2, 3, 5, 7)).astype(dtype)
    y = forward(x)
    saved = saved_by(case, x, y)
    relaid = LAYOUTS[layout]
    np.testing.assert_array_equal(forward(relaid(x)), y)
    np.testing.assert_array_equal(backward(relaid(dy), relaid(saved)), backward(dy, saved))


@pytest.mark.parametrize("case", CASES)
def test_out_is_filled_and_returned(case, dtype, rng):
    forward, backward, *_ = functions(case)
    x, dy = rng.standard_normal((2, 4, 6)).astype(dtype)
    y = forward(x)
    saved = saved_by(case, x, y)
    dx = backward(dy, saved)
    for out in (np.empty_like(x), np.empty((4, 12), dtype)[:, ::2], np.empty((6, 4), dtype).T):
        assert forward(x, out=out) is out
        np.testing.assert_array_equal(out, y)
        assert backward(dy, saved, out=out) is out
        np.testing.assert_array_equal(out, dx)
    in_place = x.copy()
    np.testing.assert_array_equal(forward(in_place, out=in_place), y)
    shifted = np.concatenate([x.ravel(), np.zeros(1, dtype)])
    np.testing.assert_array_equal(forward(shifted[:-1], out=shifted[1:]), y.ravel())


@pytest.mark.parametrize("case", CASES)
def test_gradient_matches_central_differences(case, rng):
    layer = CASES[case][2](**CASES[case][1])
    gradcheck(layer, 2 * rng.standard_normal((3, 15)))


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


# --- accuracy ---

# Exact function, and the largest error in ULP where the result is a normal number.
ACCURATE = {
    "sigmoid": (lambda x: 1 / (1 + mpmath.exp(-x)), 2),
    "tanh": (mpmath.tanh, 2),
    "logsigmoid": (lambda x: -mpmath.log1p(mpmath.exp(-x)), 2),
    "tanhshrink": (lambda x: x - mpmath.tanh(x), 4),
    "softsign": (lambda x: x / (1 + abs(x)), 2),
    "silu": (lambda x: x / (1 + mpmath.exp(-x)), 3),
    "mish": (lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), 4),
    "elu": (lambda x: x if x > 0 else mpmath.expm1(x), 2),
    "selu": (lambda x: mpmath.mpf(SELU_SCALE) * (x if x > 0 else mpmath.mpf(SELU_ALPHA) * mpmath.expm1(x)), 3),
    "gelu": (lambda x: x * mpmath.erfc(-x / mpmath.sqrt(2)) / 2, 6),
}


@pytest.mark.parametrize("name", ACCURATE)
def test_is_accurate_in_units_in_the_last_place(name, dtype, rng):
    exact, limit = ACCURATE[name]
    widest = {"gelu": 12.5, "tanhshrink": 100}.get(name, 80) if dtype == np.float32 else {"gelu": 36}.get(name, 680)
    size = np.concatenate([10.0 ** rng.uniform(-6, 0, 150), rng.uniform(0, 6, 150), rng.uniform(0, widest, 150)])
    x = np.concatenate([size, -size]).astype(dtype)
    with mpmath.workdps(60):
        expected = np.array([exact(mpmath.mpf(float(v))) for v in x])
        y = getattr(kernels, name)(x)
        error = [abs(mpmath.mpf(float(a)) - e) / float(np.spacing(dtype(abs(float(e))))) for a, e in zip(y, expected, strict=True)]
    worst = int(np.argmax(error))
    assert error[worst] <= limit, f"{name}({x[worst]!r}) = {y[worst]!r} is {float(error[worst]):.1f} ULP from {expected[worst]}"


@pytest.mark.parametrize("case", CASES)
def test_limits_at_infinity_are_not_nan(case, dtype):
    forward, backward, *_ = functions(case)
    x = np.array([-np.inf, np.inf], dtype)
    y = forward(x)
    assert not np.isnan(y).any()
    dx = backward(np.ones_like(x), saved_by(case, x, y))
    assert np.isfinite(dx).all()
    far = np.array([-1e4, 1e4], dtype)
    np.testing.assert_allclose(dx, backward(np.ones_like(far), saved_by(case, far, forward(far))), atol=1e-7)


# --- layers ---


@pytest.mark.parametrize("case", CASES)
def test_layer_is_its_kernel(case, dtype, rng):
    forward, backward, *_ = functions(case)
    layer = CASES[case][2](**CASES[case][1])
    x, dy = rng.standard_normal((2, 4, 6)).astype(dtype)
    y = layer(x)
    np.testing.assert_array_equal(y, forward(x))
    np.testing.assert_array_equal(layer.backward(dy), backward(dy, saved_by(case, x, y)))
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        layer.eval().backward(dy)


def test_layers_take_and_show_their_arguments():
    assert repr(nn.LeakyReLU(0.2, inplace=True)) == "LeakyReLU(negative_slope=0.2)"
    assert repr(nn.Hardtanh(-2.0, 3.0)) == "Hardtanh(min_val=-2.0, max_val=3.0)"
    assert repr(nn.Softplus(beta=2.0)) == "Softplus(beta=2.0, threshold=20.0)"
    assert repr(nn.Threshold(0.1, 20, True)) == "Threshold(threshold=0.1, value=20)"
    assert repr(nn.GELU("tanh")) == "GELU(approximate='tanh')"
    assert repr(nn.GLU(1)) == "GLU(dim=1)"
    assert repr(nn.PReLU(3)) == "PReLU(num_parameters=3)"
    for layer in (nn.ReLU, nn.ReLU6, nn.ELU, nn.CELU, nn.SELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh):
        layer(inplace=True)
    with pytest.raises(ValueError, match="min_val must be below max_val"):
        nn.Hardtanh(1.0, 1.0)
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh', got 'erf'"):
        nn.GELU("erf")


def test_bad_arguments_are_refused_in_a_sentence(dtype):
    x = np.ones((2, 3), dtype)
    with pytest.raises(ValueError, match="lambd must be 0 or more, got -1"):
        kernels.softshrink(x, -1)
    with pytest.raises(ValueError, match="alpha must not be 0"):
        kernels.celu(x, 0)
    with pytest.raises(ValueError, match="min_val must not be above max_val"):
        kernels.hardtanh(x, 2, 1)
    with pytest.raises(ValueError, match="approximate must be 'none' or 'tanh'"):
        kernels.gelu(x, "erf")
    with pytest.raises(ValueError, match="activation must be None or one of relu, .*gelu_tanh, got 'rely'"):
        kernels.linear(x, np.ones((2, 3), dtype), activation="rely")


@pytest.mark.parametrize("name", [case for case in CASES if " " not in case and case != "threshold"] + ["gelu_tanh"])
def test_linear_applies_any_activation(name, dtype, rng):
    x, weight, bias = (rng.standard_normal(shape).astype(dtype) for shape in ((5, 7), (19, 7), (19,)))
    function = partial(kernels.gelu, approximate="tanh") if name == "gelu_tanh" else getattr(kernels, name)
    np.testing.assert_array_equal(kernels.linear(x, weight, bias, name), function(kernels.linear(x, weight, bias)))


# --- PReLU ---

# x's shape and the number of slopes.
PRELU_SHAPES = [((), 1), ((5,), 1), ((5,), 5), ((0, 3), 3), ((4, 0), 1), ((1, 1), 1), ((4, 3), 3), ((300, 67), 67), ((300, 3), 1),
                ((2, 3, 1), 3), ((2, 3, 33), 3), ((2, 3, 4, 5), 1), ((3, 2, 50, 61), 2), ((2, 1, 5000), 1)]  # fmt: skip


@pytest.mark.parametrize("shape, slopes", PRELU_SHAPES)
def test_prelu_matches_reference(shape, slopes, dtype, rng):
    x, dy = (np.asarray(rng.standard_normal(shape)).astype(dtype) for _ in range(2))
    weight = rng.standard_normal(slopes).astype(dtype)
    exact = [a.astype(np.float64) for a in (dy, x, weight)]
    assert_close(kernels.prelu(x, weight), reference.prelu(*exact[1:]))
    dx, dweight = kernels.prelu_backward(dy, x, weight)
    expected_dx, expected_dweight = reference.prelu_backward(*exact)
    assert dx.dtype == dweight.dtype == dtype
    assert_close(dx, expected_dx)
    np.testing.assert_allclose(dweight, expected_dweight, rtol=0, atol=10 * np.finfo(dtype).eps * (1 + x.size**0.5))
    total = np.ones_like(weight)
    assert kernels.prelu_backward(dy, x, weight, dweight=total, accumulate=True)[1] is total
    np.testing.assert_array_equal(total, 1 + dweight)
    kernels.prelu_backward(dy, x, weight, dweight=total)
    np.testing.assert_array_equal(total, dweight)


@pytest.mark.parametrize("shape, slopes", [((300, 67), 67), ((2, 3, 4500), 3), ((7001,), 1), ((40, 5, 3), 5)])
def test_prelu_is_bitwise_equal_across_instruction_sets_and_threads(shape, slopes, dtype, rng):
    x, dy = (rng.standard_normal(shape).astype(dtype) for _ in range(2))
    weight = rng.standard_normal(slopes).astype(dtype)
    assert_same_bits(lambda: kernels.prelu(x, weight))
    assert_same_bits(lambda: kernels.prelu_backward(dy, x, weight))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prelu_layout_and_out_do_not_matter(layout, dtype, rng):
    relaid = LAYOUTS[layout]
    x, dy = rng.standard_normal((2, 3, 5, 7)).astype(dtype)
    weight = rng.standard_normal(5).astype(dtype)
    y = kernels.prelu(x, weight)
    np.testing.assert_array_equal(kernels.prelu(relaid(x), relaid(weight), out=np.empty((7, 5, 3), dtype).T), y)
    for got, expected in zip(
        kernels.prelu_backward(relaid(dy), relaid(x), relaid(weight)), kernels.prelu_backward(dy, x, weight), strict=True
    ):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("channels", [1, 4])
def test_prelu_layer_accumulates_its_gradient(channels, rng):
    layer = nn.PReLU(channels, init=0.1, dtype=np.float64)
    np.testing.assert_array_equal(layer.weight, np.full(channels, 0.1))
    x, dy = rng.standard_normal((2, 3, 4, 2))
    gradcheck(layer, x)
    layer(x)
    layer.backward(dy)
    once = layer.grads["weight"].copy()
    layer.backward(dy)
    np.testing.assert_allclose(layer.grads["weight"], 2 * once)
    layer.zero_grad()
    layer.backward(dy)
    np.testing.assert_array_equal(layer.grads["weight"], once)
    assert nn.PReLU().weight.tolist() == [0.25]


def test_prelu_refuses_what_does_not_fit(dtype):
    x = np.ones((2, 3), dtype)
    with pytest.raises(ValueError, match=r"weight must have shape \(1,\), or one element for each of x's channels on axis 1, got \(2,\)"):
        kernels.prelu(x, np.ones(2, dtype))
    with pytest.raises(ValueError, match=r"weight must have shape \(1,\) or \(channels,\), got \(\)"):
        kernels.prelu(x, np.ones((), dtype))
    with pytest.raises(TypeError, match="weight must have x's dtype"):
        kernels.prelu(x, np.ones(3, np.float32 if dtype == np.float64 else np.float64))
    with pytest.raises(ValueError, match="dy must have x's shape"):
        kernels.prelu_backward(x.T, x, np.ones(3, dtype))
    with pytest.raises(ValueError, match=r"dweight must have weight's shape \(3,\), got \(2,\)"):
        kernels.prelu_backward(x, x, np.ones(3, dtype), dweight=np.ones(2, dtype))
    with pytest.raises(ValueError, match="num_parameters must be at least 1"):
        nn.PReLU(0)


# --- GLU ---


@pytest.mark.parametrize("shape, axis", [((2,), 0), ((0,), -1), ((4, 6), -1), ((4, 6), 0), ((3, 34, 5), 1), ((0, 2), 1), ((130, 2), -1)])
def test_glu_matches_reference(shape, axis, dtype, rng):
    x = rng.standard_normal(shape).astype(dtype)
    y = kernels.glu(x, axis)
    dy = rng.standard_normal(y.shape).astype(dtype)
    assert_close(y, reference.glu(x.astype(np.float64), axis), terms=4)
    dx = kernels.glu_backward(dy, x, axis)
    assert_close(dx, reference.glu_backward(dy.astype(np.float64), x.astype(np.float64), axis), terms=4)
    assert_same_bits(lambda: (kernels.glu(x, axis), kernels.glu_backward(dy, x, axis)))
    for layout in LAYOUTS.values():
        np.testing.assert_array_equal(kernels.glu(layout(x), axis), y)
        np.testing.assert_array_equal(kernels.glu_backward(layout(dy), layout(x), axis), dx)
    in_place = x.copy()
    np.testing.assert_array_equal(kernels.glu_backward(dy, in_place, axis, out=in_place), dx)


def test_glu_layer_and_its_errors(dtype, rng):
    gradcheck(nn.GLU(1), rng.standard_normal((3, 4, 2)))
    with pytest.raises(ValueError, match=r"x must have an even size on axis 1, got shape \(2, 3\)"):
        kernels.glu(np.ones((2, 3), dtype))
    with pytest.raises(ValueError, match="axis must be one of x's 1, got 1"):
        kernels.glu(np.ones(2, dtype), 1)
    with pytest.raises(ValueError, match=r"dy must have x's shape \(2, 4\) with axis 1 halved, got \(2, 4\)"):
        kernels.glu_backward(np.ones((2, 4), dtype), np.ones((2, 4), dtype))
