"""The NumPy reference: every backward against central differences, dtypes, published random numbers, awkward shapes."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from fastnn import reference as ref
from fastnn.gradcheck import gradcheck
from fastnn.reference.dropout import philox4x32, random_words

SCALARS = {
    "leaky_relu": (0.3,),
    "elu": (0.7,),
    "celu": (0.7,),
    "hardtanh": (-0.4, 1.1),
    "hardshrink": (0.3,),
    "softshrink": (0.3,),
    "softplus": (1.5, 20.0),
    "threshold": (0.2, 5.0),
}
FROM_OUTPUT = ["tanh", "sigmoid"]
FROM_INPUT = (
    "relu leaky_relu relu6 elu celu selu gelu silu mish hardswish hardsigmoid hardtanh hardshrink softshrink tanhshrink "
    "logsigmoid softplus softsign threshold"
).split()


def spread(rng, shape):
    """Values on both sides of every kink and none within the difference step of one."""
    return rng.permutation(np.linspace(-7.013, 7.027, int(np.prod(shape)))).reshape(shape)


def from_output(forward, backward, *options):
    """A (forward, backward) pair for a backward that takes the forward's output."""
    return forward, lambda dy, x: backward(dy, forward(x, *options), *options)


# ---- activations and softmax ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FROM_INPUT)
def test_activation_backward_matches_central_differences(name, rng):
    pair = getattr(ref, name), getattr(ref, name + "_backward")
    gradcheck(pair, spread(rng, (5, 12)), *SCALARS.get(name, ()), rng=rng)


@pytest.mark.parametrize("name", FROM_OUTPUT)
def test_activation_backward_from_the_output_matches_central_differences(name, rng):
    gradcheck(from_output(getattr(ref, name), getattr(ref, name + "_backward")), spread(rng, (5, 12)), rng=rng)


def test_gelu_tanh_backward_matches_central_differences(rng):
    gradcheck((ref.gelu, ref.gelu_backward), spread(rng, (5, 12)), "tanh", rng=rng)


@pytest.mark.parametrize("shape, channels", [((6,), 1), ((6,), 6), ((4, 3), 3), ((2, 3, 4), 3), ((2, 3, 4), 1), ((), 1)])
def test_prelu_backward_matches_central_differences(shape, channels, rng):
    x = np.asarray(spread(rng, shape))
    gradcheck((ref.prelu, ref.prelu_backward), x, rng.normal(size=channels), rng=rng)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_axis_backwards_match_central_differences(axis, rng):
    x = rng.normal(size=(4, 6, 2))
    gradcheck((ref.glu, ref.glu_backward), x, axis, rng=rng)
    for name in ("softmax", "softmin", "log_softmax"):
        forward, backward = getattr(ref, name), getattr(ref, name + "_backward")
        pair = (lambda x, f=forward: f(x, axis), lambda dy, x, f=forward, b=backward: b(dy, f(x, axis), axis))
        gradcheck(pair, x, rng=rng)


@pytest.mark.parametrize("name", [*FROM_INPUT, *FROM_OUTPUT])
def test_activations_keep_nan_dtype_and_shape(name):
    forward, backward = getattr(ref, name), getattr(ref, name + "_backward")
    options = SCALARS.get(name, ())
    for dtype in (np.float32, np.float64):
        x = np.array([np.nan, -1.0, 2.0], dtype)
        y = forward(x, *options)
        assert y.dtype == dtype and np.isnan(y[0]) and np.isfinite(y[1:]).all()
        dx = backward(x, y if name in FROM_OUTPUT else x, *options)
        assert dx.dtype == dtype
        for shape in ((0,), (3, 0), (2, 0, 4)):
            assert forward(np.zeros(shape, dtype), *options).shape == shape


@pytest.mark.parametrize("name", [*FROM_INPUT, *FROM_OUTPUT])
def test_activations_of_large_values_are_finite_and_silent(name):
    forward, backward = getattr(ref, name), getattr(ref, name + "_backward")
    x = np.array([-1e30, -1e4, -200.0, 200.0, 1e4], np.float32)
    y = forward(x, *SCALARS.get(name, ()))
    assert np.isfinite(y).all()
    if name in FROM_OUTPUT:
        assert np.isfinite(backward(np.ones_like(x), y)).all()
    elif name != "softsign":  # whose (1 + |x|)^2 passes float32's range
        assert np.isfinite(backward(np.ones_like(x), x, *SCALARS.get(name, ()))).all()


def test_gelu_keeps_its_digits_in_the_lower_tail():
    """Reference values: x Phi(x) in 50 digits."""
    y = ref.gelu(np.array([-5.0, -10.0, -20.0]))
    np.testing.assert_allclose(y, [-1.43325785939e-06, -7.619853024160526e-23, -5.507248237212467e-88], rtol=1e-11)


def test_softmax_rows_sum_to_one_and_do_not_overflow(rng):
    x = rng.normal(size=(7, 9)) * 1e4
    np.testing.assert_allclose(ref.softmax(x).sum(axis=-1), 1, rtol=1e-14)
    assert np.isfinite(ref.log_softmax(x)).all()


@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax"])
def test_softmax_of_empty_arrays(name):
    for shape, axis in (((0,), 0), ((3, 0), 1), ((3, 0), 0), ((0, 3), 1)):
        y = getattr(ref, name)(np.zeros(shape, np.float32), axis)
        assert y.shape == shape and y.dtype == np.float32
        assert getattr(ref, name + "_backward")(y, y, axis).shape == shape


def test_glu_of_an_odd_axis_is_an_error():
    with pytest.raises(ValueError, match="even"):
        ref.glu(np.zeros((2, 3)))


# ---- products, broadcasting, reductions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "a, b",
    [((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
     ((5, 1, 2, 3), (4, 3, 2)), ((3,), (5, 3, 4)), ((5, 2, 3), (3,)), ((2, 0), (0, 3)), ((0, 3), (3, 2))],
)  # fmt: skip
def test_matmul_backward_matches_central_differences(a, b, rng):
    gradcheck((ref.matmul, ref.matmul_backward), rng.normal(size=a), rng.normal(size=b), rng=rng)


def test_matmul_scales_and_accumulates(rng):
    a, b, c = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    gradcheck((ref.matmul, ref.matmul_backward), a, b, 1.7, rng=rng)
    np.testing.assert_allclose(ref.matmul(a, b, 2.0, 0.5, c), 2 * (a @ b) + 0.5 * c, rtol=1e-14)
    np.testing.assert_allclose(ref.matmul(a, b, beta=0.0, c=np.full((2, 4), np.nan)), a @ b)


@pytest.mark.parametrize("leading", [(), (4,), (2, 3), (0,)])
def test_linear_backward_matches_central_differences(leading, rng):
    x, weight, bias = rng.normal(size=(*leading, 5)), rng.normal(size=(3, 5)), rng.normal(size=3)
    gradcheck((ref.linear, lambda dy, x, weight, bias: ref.linear_backward(dy, x, weight)), x, weight, bias, rng=rng)
    np.testing.assert_array_equal(ref.linear(x, weight, bias, "relu"), ref.relu(ref.linear(x, weight, bias)))


@pytest.mark.parametrize(
    "a, b", [((2, 3), (2, 3)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((4, 1, 2), (3, 1)), ((0, 3), (3,))]
)
def test_broadcast_backwards_match_central_differences(a, b, rng):
    a, b = np.asarray(rng.normal(size=a)), np.asarray(rng.normal(size=b))
    gradcheck((ref.add, ref.add_backward), a, b, rng=rng)
    gradcheck((ref.multiply, ref.multiply_backward), a, b, rng=rng)


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_reduction_backwards_match_central_differences(axis, keepdims, rng):
    x = rng.normal(size=(2, 3, 4))
    gradcheck((ref.sum, ref.sum_backward), x, axis, keepdims, rng=rng)
    gradcheck((ref.mean, ref.mean_backward), x, axis, keepdims, rng=rng)


def test_scale_backward_matches_central_differences(rng):
    gradcheck((ref.scale, lambda dy, x, s: ref.scale_backward(dy, s)), rng.normal(size=(2, 3)), 1.7, rng=rng)


# ---- normalisation --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape, normalized", [((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((5,), 5), ((0, 3), 3)])
def test_layer_and_rms_norm_backward_match_central_differences(shape, normalized, rng):
    x = rng.normal(size=shape) * 2 + 1
    weight, bias = rng.normal(size=normalized), rng.normal(size=normalized)

    def layer_norm_backward(dy, x, weight, bias):
        _, mean, rstd = ref.layer_norm(x, normalized)
        return ref.layer_norm_backward(dy, x, mean, rstd, weight)

    pair = (lambda x, weight, bias: ref.layer_norm(x, normalized, weight, bias)[0], layer_norm_backward)
    gradcheck(pair, x, weight, bias, rng=rng)

    def rms_norm_backward(dy, x, weight):
        return ref.rms_norm_backward(dy, x, ref.rms_norm(x, normalized)[1], weight)

    gradcheck((lambda x, weight: ref.rms_norm(x, normalized, weight)[0], rms_norm_backward), x, weight, rng=rng)


@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 4), (2, 3, 2, 2)])
@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_backward_matches_central_differences(shape, training, rng):
    x, weight, bias = rng.normal(size=shape) * 2 + 1, rng.normal(size=3), rng.normal(size=3)
    running = rng.normal(size=3), rng.uniform(1, 2, size=3)

    def forward(x, weight, bias):
        return ref.batch_norm(x, *(r.copy() for r in running), weight, bias, training)

    def backward(dy, x, weight, bias):
        return ref.batch_norm_backward(dy, x, *forward(x, weight, bias)[1:], weight, training)

    gradcheck((lambda *inputs: forward(*inputs)[0], backward), x, weight, bias, rng=rng)


def test_norms_and_products_keep_float32(rng):
    x, weight, bias = (rng.normal(size=shape).astype(np.float32) for shape in ((5, 3), 3, 3))
    running = np.zeros(3, np.float32), np.ones(3, np.float32)
    results = [ref.linear(x, np.eye(3, dtype=np.float32), bias), ref.mean(x), ref.scale(x, 0.1)]
    results += ref.matmul_backward(x @ x.T, x, x.T)
    results += ref.layer_norm(x, 3, weight, bias) + ref.rms_norm(x, 3, weight)
    results += ref.batch_norm(x, *running, weight, bias, True)
    results += ref.layer_norm_backward(x, x, *ref.layer_norm(x, 3)[1:], weight)
    results += ref.rms_norm_backward(x, x, ref.rms_norm(x, 3)[1], weight)
    results += ref.batch_norm_backward(x, x, *ref.batch_norm(x, *running)[1:], weight)
    assert {result.dtype for result in results} == {np.dtype(np.float32)}


def test_norms_survive_a_large_mean(rng):
    x = rng.normal(size=(4, 1000))
    expected = ref.layer_norm(x, 1000)[0]
    np.testing.assert_allclose(ref.layer_norm(x + 1e6, 1000)[0], expected, atol=1e-8)


def test_batch_norm_needs_two_values_and_ignores_an_empty_batch():
    mean, var = np.full(3, 2.0), np.full(3, 5.0)
    with pytest.raises(ValueError, match="more than one value"):
        ref.batch_norm(np.zeros((1, 3)), mean, var, training=True)
    y, *saved = ref.batch_norm(np.zeros((0, 3)), mean, var, training=True)
    assert y.shape == (0, 3) and (mean == 2).all() and (var == 5).all()
    assert ref.batch_norm_backward(y, y, *saved)[0].shape == (0, 3)


# ---- dropout --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "counter, key, expected",
    [
        ([0] * 4, (0, 0), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
        ([0xFFFFFFFF] * 4, (0xFFFFFFFF, 0xFFFFFFFF), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
        (
            [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
            (0xA4093822, 0x299F31D0),
            [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
        ),
    ],
)
def test_philox_gives_the_published_numbers(counter, key, expected):
    """The known answers for philox4x32 with 10 rounds in Random123's kat_vectors."""
    words = philox4x32(np.array([counter, counter], np.uint64), key)
    assert words.tolist() == [expected, expected]


def test_random_words_use_counter_and_key_as_specified():
    seed, stream = 0x0123456789ABCDEF, 0xFEDCBA9876543210
    words = random_words(11, seed, stream)
    block2 = philox4x32(np.array([2, 0, 0x76543210, 0xFEDCBA98], np.uint64), (0x89ABCDEF, 0x01234567))
    assert words.dtype == np.uint32 and words[8:].tolist() == block2[:3].tolist()


def test_dropout_masks_depend_on_the_element_alone(rng):
    x = np.ones((40, 25))
    y = ref.dropout(x, 0.4, 7, 1)
    np.testing.assert_array_equal(ref.dropout(np.asfortranarray(x), 0.4, 7, 1), y)
    np.testing.assert_array_equal(ref.dropout(x[:8], 0.4, 7, 1), y[:8])
    np.testing.assert_array_equal(ref.dropout_backward(x, 0.4, 7, 1), y)
    assert (ref.dropout(x, 0.4, 7, 2) != y).any() and (ref.dropout(x, 0.4, 8, 1) != y).any()
    # Without a word in common, 1000 fair draws are within 5 standard deviations.
    assert abs((y != 0).mean() - 0.6) < 5 * np.sqrt(0.24 / 1000)
    np.testing.assert_array_equal(np.unique(y), [0, 1 / (1 - 0.4)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dropout_extremes_are_exact(dtype):
    x = np.array([1.0, -0.0, np.inf, np.nan, 3.0], dtype)
    kept, dropped = ref.dropout(x, 0.0, 1, 1), ref.dropout(x, 1.0, 1, 1)
    np.testing.assert_array_equal(kept, x)
    np.testing.assert_array_equal(dropped, np.zeros(5))
    assert kept.dtype == dropped.dtype == dtype
    assert ref.dropout(np.zeros((0, 3), dtype), 0.5, 1, 1).shape == (0, 3)


@pytest.mark.parametrize("p, seed, stream", [(-0.1, 0, 0), (1.1, 0, 0), (np.nan, 0, 0), (0.5, -1, 0), (0.5, 0, 2**64)])
def test_bad_dropout_arguments_are_errors(p, seed, stream):
    with pytest.raises(ValueError, match="dropout: .* must be in"):
        ref.dropout(np.ones(3), p, seed, stream)


# ---- optimizers -----------------------------------------------------------------------------------------------------------------


def test_clip_grad_norm_scales_only_what_is_too_long():
    grads = [np.array([3.0], np.float32), np.array([[4.0]], np.float32)]
    assert ref.clip_grad_norm(grads, 10.0) == 5.0
    assert grads[0] == 3 and grads[1] == 4
    assert ref.clip_grad_norm(grads, 1.0) == 5.0
    np.testing.assert_allclose([grads[0][0], grads[1][0, 0]], [0.6, 0.8], rtol=1e-6)
    assert ref.clip_grad_norm([], 1.0) == 0.0 and ref.clip_grad_norm([], 1.0, np.inf) == 0.0
    assert ref.clip_grad_norm([np.array([-3.0, 2.0])], 9.0, np.inf) == 3.0
    with pytest.raises(ValueError, match="nan"):
        ref.clip_grad_norm([np.array([np.nan])], 1.0, error_if_nonfinite=True)


def test_clip_grad_value_limits_every_element():
    grad = np.array([-3.0, -0.5, 0.5, 3.0, np.nan])
    ref.clip_grad_value([grad], 1.0)
    np.testing.assert_array_equal(grad, [-1.0, -0.5, 0.5, 1.0, np.nan])


def test_momentum_without_its_buffer_is_an_error():
    for step, state in ((ref.sgd_step, []), (ref.rmsprop_step, [np.zeros(2)])):
        with pytest.raises(ValueError, match="momentum_buffer"):
            step(np.zeros(2), np.ones(2), *state, momentum=0.9)


STATES = {"sgd_step": 1, "adam_step": 3, "adamw_step": 3, "sparse_adam_step": 2, "rmsprop_step": 3, "adagrad_step": 1}


@pytest.mark.parametrize("name", STATES)
def test_optimizer_steps_work_in_place_in_float32_as_in_float64(name, rng):
    options = {"momentum": 0.9} if name in ("sgd_step", "rmsprop_step") else {}
    param, grad, finals = rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), []
    for dtype in (np.float32, np.float64):
        p, g = param.astype(dtype), grad.astype(dtype)
        state = [np.zeros_like(p) for _ in range(STATES[name])]
        for _ in range(2):
            getattr(ref, name)(p, g, *state, **options)
        np.testing.assert_array_equal(g, grad.astype(dtype))
        assert p.dtype == dtype and all(s.any() for s in state)
        finals.append(p)
    np.testing.assert_allclose(*finals, rtol=1e-5, atol=1e-6)
    assert (finals[1] != param).all()


# ---- the whole ------------------------------------------------------------------------------------------------------------------


ELEMENTARY = ("erf", "exp", "expm1", "log", "log1p")  # have no backward


def test_every_forward_has_its_backward_below_it():
    names = [name for name, value in vars(ref).items() if inspect.isfunction(value)]
    forwards = [n for n in names if not n.endswith(("_backward", "_step")) and not n.startswith("clip_") and n not in ("add_", "copy", "embedding_renorm_", "scaled_dot_product_attention_weights", "sum_to", *ELEMENTARY)]
    assert len(forwards) > 40 and [n for n in forwards if n + "_backward" not in names] == []
    for name in forwards:
        forward, backward = getattr(ref, name), getattr(ref, name + "_backward")
        assert forward.__module__ == backward.__module__
        assert inspect.getsourcelines(inspect.unwrap(backward))[1] > inspect.getsourcelines(inspect.unwrap(forward))[1]
