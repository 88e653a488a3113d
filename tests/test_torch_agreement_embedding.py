"""Embedding, EmbeddingBag and updates of their used rows against PyTorch, where that is installed.

Tolerance: that of test_torch_agreement.py, 1e-12 in float64; elements that are only moved must be the same.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import kernels, nn, optim
from fastnn import reference as ref

torch = pytest.importorskip("torch")
F = torch.nn.functional

ROWS, DIM = 9, 5


def agree(ours, theirs, tolerance=1e-12):
    theirs = theirs.detach().numpy()
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def tensor(x):
    return None if x is None else torch.tensor(x)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 2}, {"padding_idx": -1}, {"scale_grad_by_freq": True}, {"padding_idx": 0, "scale_grad_by_freq": True}], ids=str)
@pytest.mark.parametrize("shape", [(), (30,), (4, 7), (2, 3, 4), (0,)], ids=str)
def test_embedding_agrees(shape, options, rng):
    weight, ids = rng.standard_normal((ROWS, DIM)), rng.integers(0, ROWS, shape)
    t = torch.tensor(weight, requires_grad=True)
    expected = F.embedding(torch.tensor(ids), t, **options)
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))
    for side in (ref, kernels):
        agree(side.embedding(weight, ids), expected, 0)
        agree(side.embedding_backward(dy, ids, ROWS, **options), t.grad)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, np.inf])
def test_max_norm_agrees(norm_type, rng):
    weight, ids = rng.standard_normal((ROWS, DIM)), rng.integers(0, ROWS - 2, (4, 5))
    theirs = torch.nn.Embedding(ROWS, DIM, max_norm=1.5, norm_type=norm_type, _weight=torch.tensor(weight))
    ours = nn.Embedding.from_pretrained(weight, max_norm=1.5, norm_type=norm_type)
    agree(ours(ids), theirs(torch.tensor(ids)))
    agree(ours.weight, theirs.weight)
    agree(ref.embedding_renorm_(weight, ids, 1.5, norm_type), theirs.weight)


BAGS = [((4, 6), None, False), ((24,), [0, 5, 5, 9], False), ((24,), [0, 5, 5, 24], True), ((24,), [0, 5, 24, 24], False), ((0,), [0, 0], False)]


@pytest.mark.parametrize("padding_idx", [None, 2, -1])
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "weighted", "sum by frequency", "mean by frequency"])
@pytest.mark.parametrize(("shape", "offsets", "last"), BAGS, ids=str)
def test_embedding_bag_agrees(shape, offsets, last, mode, padding_idx, rng):
    weight, ids = rng.standard_normal((ROWS, DIM)), rng.integers(0, ROWS, shape)
    scale = rng.standard_normal(shape) if mode == "weighted" else None
    by_frequency, mode = mode.endswith("frequency"), "sum" if mode == "weighted" else mode.split()[0]
    t, s = torch.tensor(weight, requires_grad=True), None if scale is None else torch.tensor(scale, requires_grad=True)
    expected = F.embedding_bag(
        torch.tensor(ids), t, tensor(offsets), mode=mode, per_sample_weights=s, include_last_offset=last, padding_idx=padding_idx
    )
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))
    given = None if offsets is None else np.array(offsets)
    options = {"mode": mode, "padding_idx": padding_idx, "include_last_offset": last}
    for side in (ref, kernels):
        y, winners = side.embedding_bag(weight, ids, given, scale, **options)
        agree(y, expected)
        dweight, dscale = side.embedding_bag_backward(dy, weight, ids, given, scale, winners, scale_grad_by_freq=by_frequency, **options)
        # PyTorch 2.13 divides by the count of another id (pytorch/pytorch#190063)
        counts = np.bincount(ids.ravel(), minlength=ROWS).clip(1)[:, None] if by_frequency else 1
        agree(dweight, t.grad / torch.tensor(counts))
        if scale is not None:
            agree(dscale, s.grad)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bags", [False, True])
@pytest.mark.parametrize(
    ("name", "options"), [("SGD", {}), ("SGD", {"maximize": True}), ("Adagrad", {"lr_decay": 0.1}), ("SparseAdam", {}), ("SparseAdam", {"betas": (0.5, 0.7), "eps": 0.1})], ids=str
)
def test_training_of_used_rows_agrees(name, options, bags, rng):
    weight = rng.standard_normal((30, DIM))
    ours = (nn.EmbeddingBag if bags else nn.Embedding).from_pretrained(weight, freeze=False, sparse=True, padding_idx=3)
    theirs = (torch.nn.EmbeddingBag if bags else torch.nn.Embedding).from_pretrained(torch.tensor(weight), freeze=False, sparse=True, padding_idx=3)
    optimizer, reference = getattr(optim, name)(ours.parameters(), lr=0.1, **options), getattr(torch.optim, name)(theirs.parameters(), lr=0.1, **options)
    for _ in range(6):
        ids = rng.integers(0, 30, (3, 4))
        expected = theirs(torch.tensor(ids))
        agree(ours(ids), expected)
        dy = rng.standard_normal(expected.shape)
        optimizer.zero_grad(), reference.zero_grad()
        ours.backward(dy), expected.backward(torch.tensor(dy))
        agree(ours.grads["weight"], theirs.weight.grad.to_dense())
        optimizer.step(), reference.step()
        agree(ours.weight, theirs.weight)


@pytest.mark.parametrize("kind", ["Embedding", "EmbeddingBag"])
def test_arguments_and_state_are_pytorchs(kind):
    theirs = getattr(torch.nn, kind)(6, 4, padding_idx=-2)
    ours = getattr(nn, kind)(6, 4, padding_idx=-2, rng=0)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    assert ours.padding_idx == theirs.padding_idx
    agree(ours.weight, theirs.weight, 0)
    ids = np.array([[0, 4, 5]])
    agree(ours(ids), theirs(torch.tensor(ids)), 1e-6)
