"""Module: parameters' identity, state, modes, accumulation, copies; models that users write."""

import copy
import pickle

import numpy as np
import pytest

from fastnn import kernels, nn
from fastnn.gradcheck import gradcheck


class Scaled(nn.Module):
    """A user's module: y = factor * linear(x), elementwise, with a buffer that counts."""

    factor = nn.ParameterField()
    calls = nn.BufferField()

    def __init__(self, n, dtype=np.float64):
        self.factor = np.full(n, 2.0, dtype)
        self.calls = np.zeros((), np.int64)
        self.inner = nn.Linear(3, n, dtype=dtype, rng=0)

    def forward(self, x):
        h = self.inner(x)
        if self.training:
            self._saved = h
        return kernels.multiply(h, self.factor)

    def backward(self, dy):
        dh, dfactor = kernels.multiply_backward(dy, self.saved(), self.factor)
        self._parameters["factor"].add_grad(dfactor)
        return self.inner.backward(dh)


def model(dtype=np.float32):
    return nn.Sequential(nn.Linear(3, 4, dtype=dtype, rng=1), nn.BatchNorm1d(4, dtype=dtype), nn.Tanh(), nn.Linear(4, 2, dtype=dtype, rng=2))


def test_a_users_module_works_as_a_layer(rng):
    module = nn.Sequential(Scaled(4), nn.Tanh())
    gradcheck(module, rng.standard_normal((5, 3)))
    assert list(module.state_dict()) == ["0.factor", "0.inner.weight", "0.inner.bias", "0.calls"]
    assert [name for name, _ in module.named_modules()] == ["", "0", "0.inner", "1"]
    assert "(inner): Linear(in_features=3, out_features=4, bias=True)" in repr(module)


def test_assignment_copies_into_the_parameter():
    layer = nn.Linear(3, 2)
    weight = layer.weight
    layer.weight = np.arange(6.0).reshape(2, 3)
    assert layer.weight is weight and layer.params["weight"] is weight
    np.testing.assert_array_equal(weight, [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match=r"weight must have shape \(2, 3\), got \(3, 2\)"):
        layer.weight = np.zeros((3, 2))
    with pytest.raises(TypeError, match="bias must hold numbers that fit float32, got complex128"):
        layer.bias = np.zeros(2, complex)
    with pytest.raises(ValueError, match="bias cannot become None"):
        layer.bias = None
    assert nn.Linear(3, 2, bias=False).bias is None


def test_state_dict_round_trip(rng):
    a, b = model(), model()
    a(rng.standard_normal((5, 3)).astype(np.float32))
    arrays = dict(b.named_parameters())
    b.load_state_dict(a.state_dict())
    assert all(arrays[name] is parameter for name, parameter in b.named_parameters())
    for name, array in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name], array)
        assert array.flags.c_contiguous
    a.state_dict()["0.weight"][...] = 7
    assert not (a[0].weight == 7).any()


def test_nothing_is_loaded_unless_all_of_it_fits():
    target = model()
    before = target.state_dict()
    good = {name: array + 1 for name, array in before.items()}
    for change, error, message in (
        ({"0.weight": np.zeros((9, 9))}, ValueError, r"0.weight must have shape \(4, 3\), got \(9, 9\)"),
        ({"3.bias": np.zeros(2, complex)}, TypeError, "3.bias must hold numbers"),
        ({"extra": np.zeros(1)}, KeyError, "unexpected: .'extra'."),
    ):
        with pytest.raises(error, match=message):
            target.load_state_dict(good | change)
    del good["1.running_var"]
    with pytest.raises(KeyError, match="missing: .'1.running_var'."):
        target.load_state_dict(good)
    for name, array in target.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    target.load_state_dict(good, strict=False)
    np.testing.assert_array_equal(target[0].bias, before["0.bias"] + 1)


def test_gradients_accumulate_until_zero_grad(rng):
    layer = nn.Linear(3, 2)
    x, dy = rng.standard_normal((4, 3)).astype(np.float32), rng.standard_normal((4, 2)).astype(np.float32)
    assert not layer.grads["weight"].any()
    layer(x)
    layer.backward(dy)
    once = layer.grads["weight"].copy()
    layer.backward(dy)
    np.testing.assert_allclose(layer.grads["weight"], 2 * once, rtol=1e-6)
    grad = layer.grads["weight"]
    layer.zero_grad()
    layer.backward(dy)
    assert layer.grads["weight"] is grad
    np.testing.assert_array_equal(grad, once)
    layer.zero_grad()
    assert not layer.grads["weight"].any()


def test_modes_reach_every_module_and_evaluation_keeps_nothing(rng):
    net = model()
    x = rng.standard_normal((4, 3)).astype(np.float32)
    assert net.eval() is net and not any(m.training for m in net.modules())
    before = {id(m): dict(vars(m)) for m in net.modules()}
    net(x)
    assert all(dict(vars(m)) == before[id(m)] or m._saved is None for m in net.modules())
    with pytest.raises(RuntimeError, match="needs a forward in training mode"):
        net.backward(np.ones((4, 2), np.float32))
    assert net.train()[0].training


def test_to_converts_parameters_and_floating_buffers(rng):
    net = model()
    assert net.to(np.float64) is net
    assert {p.dtype for p in net.parameters()} == {np.dtype(np.float64)}
    assert net[1].running_mean.dtype == np.float64 and net[1].num_batches_tracked.dtype == np.int64
    assert net(rng.standard_normal((4, 3))).dtype == np.float64
    with pytest.raises(TypeError, match="dtype must be float32 or float64, got int64"):
        net.to(np.int64)


@pytest.mark.parametrize("duplicate", (copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))), ids=("deepcopy", "pickle"))
def test_copies_are_equal_and_independent(duplicate, rng):
    net = model()
    x = rng.standard_normal((6, 3)).astype(np.float32)
    y = net(x)
    net.backward(np.ones_like(y))
    other = duplicate(net)
    np.testing.assert_array_equal(other(x), y)
    other[0].weight[...] = 0
    assert net[0].weight.any()
    other.backward(np.ones_like(y))
    assert other[0].grads["weight"] is not net[0].grads["weight"]


def test_shared_modules_count_once():
    layer = nn.Linear(3, 3)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(net.parameters()) == 2 and list(net.state_dict()) == ["0.weight", "0.bias"]
