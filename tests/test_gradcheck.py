"""gradcheck accepts right gradients, rejects wrong ones by name and place, and leaves everything as it was."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn.gradcheck import GradientError, gradcheck
from fastnn.reference import linear, linear_backward, mse_loss, mse_loss_backward, tanh, tanh_backward


class Parameter:
    def __init__(self, data):
        self.data = data
        self.grad = np.zeros_like(data)


class Affine:
    """y = tanh(x weight^T + bias), as a module."""

    def __init__(self, rng, dtype=np.float64):
        self.weight = Parameter(rng.normal(size=(3, 4)).astype(dtype, order="F"))
        self.bias = Parameter(rng.normal(size=3).astype(dtype))
        self.calls = np.zeros(1)

    def named_parameters(self):
        yield "weight", self.weight
        yield "inner.bias", self.bias

    def named_buffers(self):
        yield "calls", self.calls

    def zero_grad(self):
        for _, parameter in self.named_parameters():
            parameter.grad[...] = 0

    def forward(self, x):
        self.calls += 1
        self.x, self.y = x, tanh(linear(x, self.weight.data, self.bias.data))
        return self.y

    def __call__(self, x):
        return self.forward(x)

    def backward(self, *dys):
        dx, dweight, dbias = linear_backward(tanh_backward(dys[0], self.y), self.x, self.weight.data)
        self.weight.grad += dweight
        self.bias.grad += dbias
        return dx


class WrongBias(Affine):
    def backward(self, *dys):
        dx = super().backward(*dys)
        self.bias.grad[1] *= 1.001
        return dx


class Embedding:
    """Rows of a table by integer labels: no gradient for its input."""

    def __init__(self, rng):
        self.table = Parameter(rng.normal(size=(4, 3)))

    def named_parameters(self):
        yield "table", self.table

    def zero_grad(self):
        self.table.grad[...] = 0

    def forward(self, labels):
        self.labels = labels
        return self.table.data[labels]

    def backward(self, dy):
        np.add.at(self.table.grad, self.labels, dy)
        return None


class Loss:
    factor = 1.0

    def __call__(self, input, target):
        self.saved = input, target
        return mse_loss(input, target)

    def backward(self):
        return self.factor * mse_loss_backward(1.0, *self.saved)


def square(x):
    return x * x


def test_a_right_kernel_pair_passes(rng):
    gradcheck((square, lambda dy, x: 2 * x * dy), rng.normal(size=(3, 4)), rng=rng)


def test_a_wrong_kernel_is_named_with_place_and_values():
    def backward(dy, x):
        dx = 2 * x * dy
        dx[1, 2] += 0.5
        return dx

    with pytest.raises(GradientError, match=r"input 0 \(x\) is wrong in 1 of 6 elements, most at index \(1, 2\)"):
        gradcheck((square, backward), np.ones((2, 3)), rng=3)


def test_a_small_relative_error_is_found(rng):
    with pytest.raises(GradientError, match="input 0"):
        gradcheck((square, lambda dy, x: 2.0001 * x * dy), rng.normal(size=5), rng=rng)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinite_gradients_are_found(bad, rng):
    with pytest.raises(GradientError, match=f"backward gives {bad}"):
        gradcheck((square, lambda dy, x: np.full_like(x, bad)), rng.normal(size=2), rng=rng)


def test_the_second_of_two_inputs_is_named(rng):
    pair = (lambda a, b: a * b, lambda dy, a, b: (dy * b, dy * b))
    with pytest.raises(GradientError, match=r"input 1 \(b\)"):
        gradcheck(pair, rng.normal(size=3), rng.normal(size=3), rng=rng)


def test_numbers_labels_and_none_are_passed_on(rng):
    def take(x, labels, factor, nothing):
        return factor * x[labels]

    def take_backward(dy, x, labels, factor, nothing):
        dx = np.zeros_like(x)
        np.add.at(dx, labels, factor * dy)
        return dx

    gradcheck((take, take_backward), rng.normal(size=(4, 2)), np.array([0, 2, 2]), 3.0, None, rng=rng)
    gradcheck((take, lambda *a: (take_backward(*a), None)), rng.normal(size=(4, 2)), np.array([0, 2]), 3.0, None, rng=rng)


def test_several_outputs_each_have_a_gradient(rng):
    pair = (lambda x: (x * x, 3 * x), lambda dy, dz, x: 2 * x * dy + 3 * dz)
    gradcheck(pair, rng.normal(size=4), rng=rng)
    with pytest.raises(GradientError):
        gradcheck((pair[0], lambda dy, dz, x: 2 * x * dy), rng.normal(size=4), rng=rng)


def test_a_wrong_number_or_shape_of_gradients_is_found(rng):
    with pytest.raises(GradientError, match="2 gradients for 1"):
        gradcheck((square, lambda dy, x: (dy, dy)), rng.normal(size=3), rng=rng)
    with pytest.raises(GradientError, match=r"shape \(1, 3\)"):
        gradcheck((square, lambda dy, x: (2 * x * dy)[np.newaxis]), rng.normal(size=3), rng=rng)


def test_a_right_module_passes_and_is_left_as_it_was(rng):
    module, x = Affine(rng), rng.normal(size=(2, 4))
    before = [x.copy(), module.weight.data.copy(), module.bias.data.copy()]
    x.flags.writeable = False
    gradcheck(module, x, rng=rng)
    for old, new in zip(before, [x, module.weight.data, module.bias.data], strict=True):
        np.testing.assert_array_equal(old, new)
    assert not module.weight.grad.any() and not module.bias.grad.any() and module.calls == 0


def test_a_wrong_parameter_gradient_is_named(rng):
    with pytest.raises(GradientError, match=r"parameter inner.bias is wrong in 1 of 3 elements, most at index \(1,\)"):
        gradcheck(WrongBias(rng), rng.normal(size=(2, 4)), rng=rng)


def test_parameters_are_restored_when_forward_raises(rng):
    module = Affine(rng)
    before = module.weight.data.copy()
    module.forward = lambda x, forward=module.forward: 1 / 0 if (module.weight.data != before).any() else forward(x)
    with pytest.raises(ZeroDivisionError):
        gradcheck(module, rng.normal(size=(2, 4)), rng=rng)
    np.testing.assert_array_equal(module.weight.data, before)


def test_a_module_of_labels_is_checked_by_its_parameters(rng):
    gradcheck(Embedding(rng), np.array([0, 3, 3]), rng=rng)


class Product(Loss):
    """The sum of a b, with the gradients of both."""

    differentiable = (0, 1)

    def __call__(self, a, b, c):
        self.saved = a, b
        return np.asarray((a * b).sum() + c.sum())

    def backward(self):
        a, b = self.saved
        return b, self.factor * a


def test_losses_of_several_inputs_are_checked_by_those_they_name(rng):
    loss = Product()
    arrays = rng.normal(size=(3, 2, 3))
    gradcheck(loss, *arrays)
    loss.factor = 1.01
    with pytest.raises(GradientError, match="input 1"):
        gradcheck(loss, *arrays)


def test_losses_are_checked_by_their_first_input(rng):
    loss = Loss()
    gradcheck(loss, rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))
    loss.factor = 1.01
    with pytest.raises(GradientError, match="input 0"):
        gradcheck(loss, rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))


def test_float32_is_refused_by_name(rng):
    x = rng.normal(size=(2, 4))
    with pytest.raises(TypeError, match=r"input 0 \(x\) must be float64.*float32"):
        gradcheck((square, lambda dy, x: 2 * x * dy), x.astype(np.float32))
    with pytest.raises(TypeError, match="parameter weight must be float64"):
        gradcheck(Affine(rng, np.float32), x)


def test_a_random_target_is_refused(rng):
    with pytest.raises(ValueError, match="different outputs"):
        gradcheck((lambda x: x * rng.random(), lambda dy, x: dy), np.ones(3))


def test_empty_and_scalar_inputs_pass(rng):
    pair = (square, lambda dy, x: 2 * x * dy)
    gradcheck(pair, np.zeros((0, 3)))
    gradcheck(pair, np.array(1.5))


def test_a_seed_repeats_the_check():
    gradients = []
    for _ in range(2):
        gradcheck((square, lambda dy, x: gradients.append(dy) or 2 * x * dy), np.ones(3), rng=7)
    np.testing.assert_array_equal(*gradients)
