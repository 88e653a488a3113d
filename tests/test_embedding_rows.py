"""Gradients of the used rows of a table alone: the bits of dense ones, updates, and captured steps with tables of either kind."""

import numpy as np
import pytest
from helpers import assert_close, assert_same_bits, bits

import fastnn
from fastnn import kernels, nn, optim, reference
from fastnn.kernels._parameter import RowGradient
from fastnn.nn.utils import clip_grad_norm_, clip_grad_value_


def assert_holds(gradient, dense):
    """A RowGradient has the rows that are not 0, each once, and their bits."""
    rows = gradient.rows[: len(gradient)]
    assert len(set(rows.tolist())) == len(rows) and not np.delete(dense, rows, axis=0).any()
    np.testing.assert_array_equal(gradient.dense(), dense)


def test_used_rows_have_the_bits_of_the_dense_gradient(dtype, rng):
    gradient = RowGradient(np.empty((40, 21), dtype))
    for n in (50, 3, 0, 17):
        ids, dy = rng.integers(0, 40, n), rng.standard_normal((n, 21)).astype(dtype)
        assert kernels.embedding_backward(dy, ids, 40, padding_idx=7, dweight=gradient) is gradient
        dense = kernels.embedding_backward(dy, ids, 40, padding_idx=7)
        assert_holds(gradient, dense)
        for _ in range(2):
            ids, dy = rng.integers(0, 40, 30), rng.standard_normal((30, 21)).astype(dtype)
            for onto in (gradient, dense):
                kernels.embedding_backward(dy, ids, 40, padding_idx=7, dweight=onto, accumulate=True)
            assert_holds(gradient, dense)
    assert_same_bits(lambda: kernels.embedding_backward(dy, ids, 40, dweight=RowGradient(np.empty((40, 21), dtype))).dense())


@pytest.mark.parametrize("clip", [None, "norm", "value"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
def test_used_rows_are_updated_as_a_dense_gradient_updates_them(name, accumulate, clip, dtype, rng):
    layers = [nn.Embedding(50, 18, padding_idx=4, sparse=sparse, dtype=dtype, rng=1) for sparse in (True, False)]
    optimizers = [getattr(optim, name)(layer.parameters(), lr=0.3) for layer in layers]
    for _ in range(5):
        batches = [(rng.integers(0, 50, (3, 8)), rng.standard_normal((3, 8, 18)).astype(dtype)) for _ in range(accumulate)]
        for layer, optimizer in zip(layers, optimizers):
            optimizer.zero_grad()
            for ids, dy in batches:
                layer(ids)
                assert layer.backward(dy) is None
            if clip == "norm":
                clip_grad_norm_(layer.parameters(), 0.5)
            elif clip == "value":
                clip_grad_value_(layer.parameters(), 0.5)
            optimizer.step()
        if clip == "norm":  # the norm adds up the rows in another order
            np.testing.assert_allclose(layers[0].weight, layers[1].weight, rtol=0, atol=40 * np.finfo(dtype).eps)
        else:
            np.testing.assert_array_equal(layers[0].weight, layers[1].weight)
            np.testing.assert_array_equal(layers[0].grads["weight"], layers[1].grads["weight"])


def test_sparse_adam_moves_only_the_used_rows(dtype, rng):
    layer = nn.Embedding(30, 7, sparse=True, dtype=dtype, rng=1)
    optimizer = optim.SparseAdam(layer.parameters(), lr=0.1, betas=(0.5, 0.8))
    weight, m, v = layer.weight.astype(np.float64), np.zeros((30, 7)), np.zeros((30, 7))
    for step in range(1, 6):
        ids, dy = rng.integers(0, 30, 9), rng.standard_normal((9, 7)).astype(dtype)
        optimizer.zero_grad()
        layer(ids), layer.backward(dy), optimizer.step()
        rows = np.unique(ids)
        part, moments = weight[rows], (m[rows], v[rows])
        reference.sparse_adam_step(part, reference.embedding_backward(dy.astype(np.float64), ids, 30)[rows], *moments, step, lr=0.1, betas=(0.5, 0.8))
        weight[rows], m[rows], v[rows] = part, *moments
        assert_close(layer.weight, weight, 200)
    state = optimizer.state_dict()["state"][0]
    assert_close(state["exp_avg"], m, 200), assert_close(state["exp_avg_sq"], v, 200)


def test_sparse_updates_are_bitwise_equal_across_instruction_sets_and_threads(dtype):
    def trained(make):
        rng = np.random.default_rng(1)
        layer, other = nn.Embedding(60, 37, sparse=True, dtype=dtype, rng=1), nn.Linear(3, 2, dtype=dtype, rng=2)
        optimizer = make([*other.parameters(), *layer.parameters()])
        for _ in range(3):
            optimizer.zero_grad()
            layer.backward(layer(rng.integers(0, 60, 40))), other.backward(other(np.ones((2, 3), dtype)))
            clip_grad_norm_([*layer.parameters(), *other.parameters()], 1.0)
            optimizer.step()
        return layer.weight, other.weight

    for make in (optim.SGD, optim.Adagrad, optim.SparseAdam):
        assert_same_bits(lambda: trained(make))


@pytest.mark.parametrize("make", [optim.Adam, optim.AdamW, optim.RMSprop, lambda p: optim.SGD(p, momentum=0.9), lambda p: optim.Adagrad(p, weight_decay=0.1)])
def test_optimizers_that_change_all_rows_refuse(make):
    layer = nn.Embedding(5, 3, sparse=True, rng=0)
    before = layer.weight.copy()
    optimizer = make(layer.parameters())
    layer.backward(layer(np.array([1, 2])))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"params\[0\], of shape \(5, 3\), has a gradient of its used rows only \(sparse=True\)"):
            optimizer.step()
    np.testing.assert_array_equal(layer.weight, before)
    optimizer.zero_grad()
    layer.sparse = False
    layer.backward(layer(np.array([1, 2])))
    optimizer.step()
    assert (layer.weight != before).any()


def test_captured_steps_refuse_options_that_change_all_rows():
    (model, _, optimizer, step), _ = sides(np.float32, {"sparse": True}, optim.SGD)
    ids, y = np.arange(6).reshape(2, 3), np.array([0, 1])
    step(ids, y)
    before = model[0].weight.copy()
    optimizer.param_groups[0]["weight_decay"] = 0.1
    for _ in range(2):
        with pytest.raises(ValueError, match="has a gradient of its used rows only"):
            step(ids, y)
        np.testing.assert_array_equal(model[0].weight, before)
    optimizer.param_groups[0]["weight_decay"] = 0
    step(ids, y)
    assert (model[0].weight != before).any()


def test_a_gradient_may_change_its_kind_only_when_it_is_zeroed():
    layer = nn.Embedding(5, 3, sparse=True, rng=0)
    layer.backward(layer(np.array([1, 2])))
    layer.sparse = False
    with pytest.raises(RuntimeError, match="gradients of used rows .* zero_grad in between"):
        layer.backward(np.ones((2, 3), np.float32))
    layer.zero_grad()
    assert not layer.grads["weight"].any()
    layer.backward(np.ones((2, 3), np.float32))
    layer.sparse = True
    with pytest.raises(RuntimeError, match="gradients of used rows .* zero_grad in between"):
        layer.backward(np.ones((2, 3), np.float32))
    layer.zero_grad(), layer.backward(np.ones((2, 3), np.float32))
    np.testing.assert_array_equal(layer.grads["weight"][:, 0], [0, 1, 1, 0, 0])


# --- captured steps ---


def sides(dtype, options, make, **captured):
    for _ in range(2):
        model = nn.Sequential(nn.Embedding(40, 6, dtype=dtype, rng=1, **options), nn.Flatten(), nn.Linear(18, 4, dtype=dtype, rng=2))
        loss, optimizer = nn.CrossEntropyLoss(), make(model.parameters())
        yield model, loss, optimizer, fastnn.capture(model, loss, optimizer, **captured)


@pytest.mark.parametrize("options", [{}, {"clip_grad_norm": 0.1}, {"accumulate": 3}], ids=str)
@pytest.mark.parametrize("make", [optim.SGD, optim.SparseAdam], ids=["SGD", "SparseAdam"])
@pytest.mark.parametrize("layer", [{"sparse": True}, {"padding_idx": 2}, {"max_norm": 0.5, "sparse": True}, {"scale_grad_by_freq": True}], ids=str)
def test_captured_steps_have_the_bits_of_eager_ones(layer, make, options, dtype, rng):
    (model, loss, optimizer, _), (other, _, other_optimizer, step) = sides(dtype, layer, make, **options)
    accumulate = options.get("accumulate", 1)
    for i in range(11):
        size = 8 if i % 5 else 3
        ids, y = rng.integers(0, 40, (size, 3)), rng.integers(0, 4, size)
        if i == 7:
            optimizer.param_groups[0]["lr"] = other_optimizer.param_groups[0]["lr"] = 0.2
        value = loss(model(ids), y)
        if i % accumulate == 0:
            optimizer.zero_grad()
        model.backward(loss.backward(1 / accumulate))
        if i % accumulate == accumulate - 1:
            if "clip_grad_norm" in options:
                clip_grad_norm_(model.parameters(), options["clip_grad_norm"])
            optimizer.step()
        assert step(ids, y) == value
        for (name, a), b in zip(model.named_parameters(), other.parameters()):
            assert bits(a.data) == bits(b.data) and bits(a.grad) == bits(b.grad), f"{name} after step {i}"
    assert "embedding" in step.explain() and bits(model[0].weight) == bits(other[0].weight)


def test_captured_steps_ask_for_bad_ids_each_time_and_stay_whole(dtype, rng):
    (model, _, _, step), _ = sides(dtype, {"sparse": True}, optim.SGD)
    ids, y = rng.integers(0, 40, (8, 3)), rng.integers(0, 4, 8)
    for _ in range(3):
        step(ids, y)
    before = [bits(p.data) for p in model.parameters()]
    for bad in (-1, 40, -(2**63), 2**62):
        wrong = ids.copy()
        wrong[5, 1] = bad
        with pytest.raises(ValueError, match=rf"ids must be rows from 0 to 39 \(40 rows\), got {bad} at index \(5, 1\)"):
            step(wrong, y)
        assert [bits(p.data) for p in model.parameters()] == before
    step(ids, y)
    assert [bits(p.data) for p in model.parameters()] != before


def test_captured_predictions(dtype, rng):
    model = nn.Sequential(nn.Embedding(40, 6, dtype=dtype, rng=1), nn.Linear(6, 4, dtype=dtype, rng=2)).eval()
    predict = fastnn.capture(model)
    for shape in ((5,), (5,), (2, 3), (5,)):
        ids = rng.integers(0, 40, shape)
        np.testing.assert_array_equal(predict(ids), model(ids))
    with pytest.raises(ValueError, match="ids must be rows from 0 to 39"):
        predict(np.array([0, 1, 2, 3, 40]))


def test_captured_bags_take_offsets_as_an_input(dtype, rng):
    class Model(nn.Module):
        def __init__(self):
            self.bag, self.linear = nn.EmbeddingBag(20, 5, sparse=True, dtype=dtype, rng=1), nn.Linear(5, 4, dtype=dtype, rng=2)

        def forward(self, ids, offsets):
            return self.linear(self.bag(ids, offsets))

        def backward(self, dy):
            return self.bag.backward(self.linear.backward(dy))

    models, loss = [Model(), Model()], nn.CrossEntropyLoss()
    optimizers = [optim.Adagrad(model.parameters(), lr=0.1) for model in models]
    step = fastnn.capture(models[1], nn.CrossEntropyLoss(), optimizers[1])
    for offsets in ([0, 2, 9], [0, 0, 4], [0, 12, 12]):
        ids, offsets, y = rng.integers(0, 20, 12), np.array(offsets), rng.integers(0, 4, 3)
        value = loss(models[0](ids, offsets), y)
        optimizers[0].zero_grad()
        models[0].backward(loss.backward())
        optimizers[0].step()
        assert step(ids, offsets, y) == value
        assert [bits(p.data) for p in models[0].parameters()] == [bits(p.data) for p in models[1].parameters()]
    with pytest.raises(ValueError, match="offsets must begin with 0, never fall and not exceed the number of ids, 12, got 3 at index 2"):
        step(ids, np.array([0, 4, 3]), y)
