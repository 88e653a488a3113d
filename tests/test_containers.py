"""Containers and layers that change shapes: values, gradients, names and errors; the summary."""

from collections import OrderedDict

import numpy as np
import pytest

from fastnn import nn
from fastnn.gradcheck import gradcheck


def linear(n, m):
    return nn.Linear(n, m, dtype=np.float64, rng=3)


CASES = {
    "residual": (lambda: nn.Residual(linear(4, 4), nn.Tanh()), (3, 4)),
    "residual with shortcut": (lambda: nn.Residual(linear(4, 2), shortcut=linear(4, 2)), (3, 4)),
    "concatenate": (lambda: nn.Parallel(linear(4, 2), nn.Identity(), linear(4, 3)), (2, 3, 4)),
    "concatenate along rows": (lambda: nn.Parallel(linear(4, 2), linear(4, 2), axis=0), (3, 4)),
    "sum": (lambda: nn.Parallel(linear(4, 2), linear(4, 2), linear(4, 2), mode="sum"), (3, 4)),
    "nested": (lambda: nn.Sequential(nn.Residual(nn.Parallel(linear(4, 1), linear(4, 3))), nn.LayerNorm(4, dtype=np.float64)), (3, 4)),
    "shapes": (lambda: nn.Sequential(nn.Flatten(), linear(6, 4), nn.Unflatten(1, (2, -1)), nn.Tanh()), (3, 2, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_gradient_matches_central_differences(case, rng):
    make, shape = CASES[case]
    gradcheck(make(), rng.standard_normal(shape))


@pytest.mark.parametrize("case", list(CASES)[:5])
def test_input_gradient_can_be_left_out_without_changing_the_others(case, rng):
    make, shape = CASES[case]
    model, x = make(), rng.standard_normal(shape)
    dy = rng.standard_normal(model(x).shape)
    dx = model.backward(dy)
    expected = [p.grad.copy() for p in model.parameters()]
    model.zero_grad()
    model.needs_input_grad = False
    assert model.backward(dy) is None
    for p, gradient in zip(model.parameters(), expected, strict=True):
        np.testing.assert_array_equal(p.grad, gradient)
    model.needs_input_grad = True
    np.testing.assert_array_equal(model.backward(dy), dx)


def test_residual_and_parallel_compute_what_they_say(rng):
    x = rng.standard_normal((3, 4))
    a, b = linear(4, 4), linear(4, 4)
    np.testing.assert_array_equal(nn.Residual(a)(x), a(x) + x)
    np.testing.assert_array_equal(nn.Parallel(a, b)(x), np.concatenate([a(x), b(x)], axis=1))
    np.testing.assert_array_equal(nn.Parallel(a, b, mode="sum")(x), a(x) + b(x))


def test_sequential_grows_and_takes_names(rng):
    model = nn.Sequential(linear(2, 3)).append(nn.Tanh()).extend([linear(3, 3), nn.ReLU()]).insert(0, nn.Identity())
    assert [type(layer).__name__ for layer in model] == ["Identity", "Linear", "Tanh", "Linear", "ReLU"]
    assert len(model) == 5 and isinstance(model[1:3], nn.Sequential) and model[1:3][0] is model[1]
    assert list(model.state_dict()) == ["1.weight", "1.bias", "3.weight", "3.bias"]
    named = nn.Sequential(OrderedDict(first=linear(2, 3), act=nn.ReLU()))
    assert list(named.state_dict()) == ["first.weight", "first.bias"]
    assert named(rng.standard_normal((1, 2))).shape == (1, 3)
    with pytest.raises(TypeError, match=r"layers\[1\] must be a Module, got int"):
        nn.Sequential(nn.ReLU(), 3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (0, 3, 4, 5)])
def test_flatten_and_unflatten_are_reshapes(shape):
    x = np.zeros(shape)
    assert nn.Flatten()(x).shape == (shape[0], 60)
    assert nn.Flatten(0, 1)(x).shape == (shape[0] * 3, 4, 5)
    assert nn.Flatten(-2)(x).shape == (shape[0], 3, 20)
    assert nn.Unflatten(-1, (5, 1))(x).shape == (*shape[:3], 5, 1)
    assert np.shares_memory(nn.Flatten()(x), x) or x.size == 0
    assert nn.Identity(3, unused=1)(x) is x


def test_bad_shapes_are_refused_in_a_sentence():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ValueError, match=r"must give one shape, got \(2, 4\) and \(2, 3\)"):
        nn.Residual(nn.Linear(3, 4))(x)
    with pytest.raises(ValueError, match=r"one shape to be summed, got \(2, 4\) and \(2, 5\)"):
        nn.Parallel(nn.Linear(3, 4), nn.Linear(3, 5), mode="sum")(x)
    with pytest.raises(ValueError, match="mode must be"):
        nn.Parallel(nn.ReLU(), mode="product")
    with pytest.raises(ValueError, match="unflattened_size"):
        nn.Unflatten(1, (2, 2))(x)
    with pytest.raises(ValueError, match="start_dim must be between -2 and 1"):
        nn.Flatten(3)(x)
    for container in (nn.Residual, nn.Parallel):
        with pytest.raises(ValueError, match="needs at least one"):
            container()


def test_summary_lists_every_leaf_and_restores_the_model():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 1000), nn.Residual(nn.Linear(1000, 1000), nn.BatchNorm1d(1000)), nn.Dropout())
    model[3].eval()
    text = model.summary((5, 8, 8))
    lines = [line.split("  ") for line in text.splitlines()]
    names = [line[0].strip() for line in lines]
    assert names[2:-2] == ["0", "1", "2.module.0", "2.module.1", "3"]
    assert "Linear" in text and "(5, 1000)" in text and "1,001,000" in text
    assert text.endswith("output (5, 1000), 1,068,000 parameters, 4,272,000 bytes")
    assert len({len(line) for line in text.splitlines()[:-1]}) == 1
    assert model.training and model[1].training and not model[3].training
    assert all("forward" not in vars(module) for module in model.modules())
    assert model[2].module[1].num_batches_tracked == 0
