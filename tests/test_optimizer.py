"""Optimizers: against the float64 reference, PyTorch's options, the same bits everywhere, state and errors."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits

from fastnn import nn, optim, reference
from fastnn.kernels import optimizer as kernels
from fastnn.nn.utils import clip_grad_norm_, clip_grad_value_

SHAPES = ((3, 5), (5,), (70, 9), (1,), (0,), (33,))
STEPS = 5

# Name: class, options, and the reference step with its state arrays in the reference's order, None where unused.
CASES = {
    "sgd": (optim.SGD, {"lr": 0.1}, reference.sgd_step, ()),
    "sgd momentum": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.2, "weight_decay": 0.1}, reference.sgd_step, (0,)),
    "sgd nesterov": (optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}, reference.sgd_step, (0,)),
    "adam": (optim.Adam, {"lr": 0.01, "weight_decay": 0.1}, reference.adam_step, (0, 1)),
    "adam amsgrad": (optim.Adam, {"lr": 0.01, "amsgrad": True, "betas": (0.5, 0.7), "maximize": True}, reference.adam_step, (0, 1, 2)),
    "adamw": (optim.AdamW, {"lr": 0.01, "weight_decay": 0.2}, reference.adamw_step, (0, 1)),
    "sparse adam": (optim.SparseAdam, {"lr": 0.01, "betas": (0.5, 0.7), "eps": 0.1, "maximize": True}, reference.sparse_adam_step, (0, 1)),
    "rmsprop": (optim.RMSprop, {"lr": 0.01, "weight_decay": 0.1}, reference.rmsprop_step, (0, None, None)),
    "rmsprop centered": (optim.RMSprop, {"lr": 0.01, "centered": True, "momentum": 0.9}, reference.rmsprop_step, (0, 2, 1)),
    "adagrad": (optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "initial_accumulator_value": 0.3}, reference.adagrad_step, (0,)),
}
COUNTS_STEPS = {reference.sgd_step, reference.adam_step, reference.adamw_step, reference.sparse_adam_step, reference.adagrad_step}


def make_parameters(rng, dtype, order="C"):
    return [nn.Parameter(np.asarray(rng.standard_normal(shape).astype(dtype), order=order)) for shape in SHAPES]


def run(optimizer, parameters, rng, steps=STEPS):
    for _ in range(steps):
        optimizer.zero_grad()
        for parameter in parameters:
            parameter.add_grad(rng.standard_normal(parameter.shape).astype(parameter.dtype))
        optimizer.step()


def run_reference(case, parameters, rng):
    _, options, step, order = CASES[case]
    options = dict(options)
    initial = options.pop("initial_accumulator_value", 0)
    for name in ("amsgrad", "centered"):
        options.pop(name, None)
    arrays = [p.data.astype(np.float64) for p in parameters]
    states = [[np.full_like(a, initial if k == 0 else 0) if k is not None else None for k in order] for a in arrays]
    for t in range(1, STEPS + 1):
        for array, state in zip(arrays, states):
            gradient = rng.standard_normal(array.shape).astype(parameters[0].dtype).astype(np.float64)
            count = {"step": t} if step in COUNTS_STEPS else {}
            step(array, gradient, *state, **count, **options)
    return arrays


@pytest.mark.parametrize("case", CASES)
def test_matches_reference(case, dtype):
    parameters = make_parameters(np.random.default_rng(1), dtype)
    expected = run_reference(case, make_parameters(np.random.default_rng(1), dtype), np.random.default_rng(2))
    optimizer, options = CASES[case][:2]
    run(optimizer(parameters, **options), parameters, np.random.default_rng(2))
    for parameter, array in zip(parameters, expected):
        assert_close(parameter.data, array, terms=64 * STEPS)


@pytest.mark.parametrize("case", CASES)
def test_is_bitwise_equal_across_instruction_sets_threads_and_memory_order(case, dtype):
    optimizer, options = CASES[case][:2]

    def updated(order="C"):
        parameters = make_parameters(np.random.default_rng(1), dtype, order)
        run(optimizer(parameters, **options), parameters, np.random.default_rng(2), steps=2)
        return tuple(parameter.data for parameter in parameters)

    assert_same_bits(updated)
    for one, other in zip(updated(), updated("F")):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("case", CASES)
def test_resuming_from_a_state_dict_gives_the_same_bits(case, dtype, rng):
    optimizer, options = CASES[case][:2]
    one = make_parameters(np.random.default_rng(1), dtype)
    first = optimizer(one, **options)
    run(first, one, np.random.default_rng(2))
    other = [nn.Parameter(parameter.data.copy()) for parameter in one]
    second = optimizer(other, **{**options, "lr": 123.0})
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == options["lr"]
    run(first, one, np.random.default_rng(3)), run(second, other, np.random.default_rng(3))
    for a, b in zip(one, other):
        np.testing.assert_array_equal(a.data, b.data)


def test_parameters_without_a_gradient_stay_and_do_not_count_the_step(dtype, rng):
    parameters = make_parameters(rng, dtype)
    optimizer = optim.Adam(parameters)
    before = parameters[0].data.copy()
    parameters[1].add_grad(np.ones_like(parameters[1].data))
    optimizer.step()
    np.testing.assert_array_equal(parameters[0].data, before)
    assert sorted(optimizer.state_dict()["state"]) == [1]


def test_groups_have_options_of_their_own_and_changes_take_effect(dtype, rng):
    a, b = nn.Parameter(np.ones(3, dtype)), nn.Parameter(np.ones(3, dtype))
    optimizer = optim.SGD([{"params": [a], "lr": 0.5}, {"params": b}], lr=0.25)
    for _ in range(2):
        a.stale = b.stale = True
        a.add_grad(np.ones(3, dtype)), b.add_grad(np.ones(3, dtype))
        optimizer.step()
        optimizer.param_groups[1]["lr"] = 1.0
    np.testing.assert_array_equal(a.data, np.zeros(3))
    np.testing.assert_array_equal(b.data, np.full(3, -0.25))


def test_converting_a_model_converts_the_states(rng):
    layer = nn.Linear(3, 2, rng=0)
    optimizer = optim.Adam(layer.parameters())
    for kind in (np.float32, np.float64):
        layer.to(kind)
        layer.backward(np.ones_like(layer(np.ones((4, 3), kind))))
        optimizer.step()
        optimizer.zero_grad()
    assert optimizer.state_dict()["state"][0]["exp_avg"].dtype == np.float64


@pytest.mark.parametrize("norm_type", [1, 2, np.inf])
def test_clip_grad_norm_scales_all_gradients_together(norm_type, dtype, rng):
    gradients = [rng.standard_normal(shape).astype(dtype) for shape in (*SHAPES, (40_000,))]
    flat = np.concatenate([g.ravel() for g in gradients]).astype(np.float64)
    exact = np.linalg.norm(flat, norm_type)
    assert_close(np.asarray(kernels.clip_grad_norm([g.copy() for g in gradients], 1.0, norm_type), dtype), np.asarray(exact), terms=1000)
    clipped = [g.copy() for g in gradients]
    kernels.clip_grad_norm(clipped, exact / 2, norm_type)
    for g, c in zip(gradients, clipped):
        np.testing.assert_allclose(c, g / 2, rtol=1e-5)
    kernels.clip_grad_norm(clipped, 1e9, norm_type)
    assert_same_bits(lambda: (lambda copies: (np.asarray(kernels.clip_grad_norm(copies, 1.0, norm_type)), *copies))([g.copy() for g in gradients]))


def test_clip_grad_value_limits_each_element_and_keeps_nan(dtype, rng):
    layer = nn.Linear(3, 2, dtype=dtype, rng=0)
    layer.backward(np.ones_like(layer(np.ones((4, 3), dtype))))
    layer.grads["weight"][0, 0] = np.nan
    clip_grad_value_(layer.parameters(), 0.5)
    expected = np.full((2, 3), 0.5)
    expected[0, 0] = np.nan
    np.testing.assert_array_equal(layer.grads["weight"], expected)
    assert np.isnan(clip_grad_norm_(layer.parameters(), 1.0))
    with pytest.raises(RuntimeError, match="norm must be finite"):
        clip_grad_norm_(layer.parameters(), 1.0, error_if_nonfinite=True)


def test_bad_arguments_are_refused_in_a_sentence():
    parameter = nn.Parameter(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="params must not be empty"):
        optim.Adam([])
    with pytest.raises(TypeError, match=r"params\[0\] must be a Parameter"):
        optim.Adam([np.ones(3)])
    with pytest.raises(ValueError, match="lr must be at least 0, got -1"):
        optim.SGD([parameter], lr=-1)
    with pytest.raises(ValueError, match="betas must be in"):
        optim.Adam([parameter], betas=(0.9, 1.0))
    with pytest.raises(ValueError, match="nesterov needs a momentum"):
        optim.SGD([parameter], nesterov=True)
    with pytest.raises(ValueError, match="one group only"):
        optim.Adam([parameter, parameter])
    with pytest.raises(ValueError, match="options must be among"):
        optim.Adam([{"params": [parameter], "momentum": 0.5}])
    optimizer = optim.Adam([parameter, nn.Parameter(np.ones(2, np.float32))])
    with pytest.raises(ValueError, match=r"groups of \[2\] parameters, got \[1\]"):
        optimizer.load_state_dict(optim.Adam([parameter]).state_dict())
    with pytest.raises(ValueError, match="norm_type must be 1, 2 or inf"):
        kernels.clip_grad_norm([parameter.data], 1.0, 3)
    mixed = [nn.Parameter(np.ones(2, kind)) for kind in (np.float32, np.float64)]
    for p in mixed:
        p.add_grad(p.data)
    with pytest.raises(TypeError, match="must have one dtype"):
        optim.SGD(mixed).step()
