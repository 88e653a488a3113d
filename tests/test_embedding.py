"""Rows of a table, alone and in bags: against the float64 reference, gradients, the same bits everywhere, errors."""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_close, assert_same_bits

import fastnn
from fastnn import kernels, nn, optim, reference
from fastnn.gradcheck import gradcheck
from fastnn.kernels._parameter import RowGradient

SHAPES = ((), (1,), (7,), (200,), (6, 35), (2, 3, 4), (0,), (3, 0))
DIMS = (0, 1, 3, 16, 33, 256)


def table(rng, dtype, rows=11, dim=5):
    return rng.standard_normal((rows, dim)).astype(dtype)


def wide(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


# --- single rows ---


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dim", DIMS)
def test_lookup_is_exact(shape, dim, dtype, rng):
    weight, ids = table(rng, dtype, 11, dim), rng.integers(0, 11, shape)
    y = kernels.embedding(weight, ids)
    np.testing.assert_array_equal(y, reference.embedding(weight, ids))
    assert y.dtype == dtype and y.shape == (*shape, dim)
    np.testing.assert_array_equal(nn.Embedding.from_pretrained(weight)(ids), y)


@pytest.mark.parametrize("options", [{}, {"padding_idx": 3}, {"padding_idx": -1, "scale_grad_by_freq": True}], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dim", DIMS)
def test_backward_matches_reference(shape, dim, options, dtype, rng):
    ids, dy = rng.integers(0, 11, shape), rng.standard_normal((*shape, dim)).astype(dtype)
    exact = reference.embedding_backward(*wide(dy), ids, 11, **options)
    magnitude = reference.embedding_backward(np.abs(*wide(dy)), ids, 11)
    assert_close(kernels.embedding_backward(dy, ids, 11, **options), exact, ids.size + 2, magnitude)
    onto = np.ones((11, dim), dtype)
    assert kernels.embedding_backward(dy, ids, 11, dweight=onto, accumulate=True, **options) is onto
    assert_close(onto, 1 + exact, ids.size + 2, 1 + magnitude)
    onto[...] = np.nan
    np.testing.assert_array_equal(kernels.embedding_backward(dy, ids, 11, dweight=onto, **options), kernels.embedding_backward(dy, ids, 11, **options))
    assert_close(onto, exact, ids.size + 2, magnitude)


def test_backward_adds_in_the_order_of_the_positions(rng):
    dy = (rng.standard_normal((300, 3)) * 10.0 ** rng.integers(-6, 6, (300, 1))).astype(np.float32)
    ids = rng.integers(0, 2, 300)
    expected = np.zeros((2, 3), np.float32)
    for i, row in zip(ids, dy):
        expected[i] += row
    np.testing.assert_array_equal(kernels.embedding_backward(dy, ids, 2), expected)


@pytest.mark.parametrize("dim", [1, 40, 131])
def test_is_bitwise_equal_across_instruction_sets_and_threads(dim, dtype, rng):
    weight, ids = table(rng, dtype, 50, dim), rng.integers(0, 50, (20, 9))
    dy, dbag, scale = rng.standard_normal((20, 9, dim)).astype(dtype), rng.standard_normal((20, dim)).astype(dtype), rng.random((20, 9)).astype(dtype)
    assert_same_bits(lambda: kernels.embedding(weight, ids))
    assert_same_bits(lambda: kernels.embedding_backward(dy, ids, 50, padding_idx=2))
    assert_same_bits(lambda: kernels.embedding_backward(dy, ids, 50, scale_grad_by_freq=True))
    assert_same_bits(lambda: kernels.embedding_renorm_(weight.copy(), ids, 0.5 * dim**0.5))
    for mode in ("sum", "mean", "max"):
        given = scale if mode == "sum" else None
        assert_same_bits(lambda: kernels.embedding_bag(weight, ids, None, given, mode, padding_idx=2))
        assert_same_bits(lambda: kernels.embedding_bag_backward(dbag, weight, ids, None, given, mode=mode, padding_idx=2))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    relaid = LAYOUTS[layout]
    weight, ids, dy = table(rng, dtype), rng.integers(0, 11, (4, 6)), rng.standard_normal((4, 6, 5)).astype(dtype)
    np.testing.assert_array_equal(kernels.embedding(relaid(weight), relaid(ids)), weight[ids])
    np.testing.assert_array_equal(kernels.embedding_backward(relaid(dy), relaid(ids), 11), kernels.embedding_backward(dy, ids, 11))
    scale = dy[:, :, 0].copy()
    y = kernels.embedding_bag(weight, ids, per_sample_weights=scale, mode="sum")[0]
    np.testing.assert_array_equal(kernels.embedding_bag(relaid(weight), relaid(ids), per_sample_weights=relaid(scale), mode="sum")[0], y)
    for kind in (np.int8, np.uint16, np.int32, np.uint64):
        np.testing.assert_array_equal(kernels.embedding(weight, ids.astype(kind)), weight[ids])
    np.testing.assert_array_equal(kernels.embedding(weight, ids.tolist()), weight[ids])


def test_out_is_filled_also_where_it_is_the_table(dtype, rng):
    weight, ids = table(rng, dtype), np.arange(10, -1, -1)
    out = np.empty((11, 5), dtype)
    assert kernels.embedding(weight, ids, out=out) is out
    np.testing.assert_array_equal(out, weight[::-1])
    assert kernels.embedding(weight, ids, out=weight) is weight
    np.testing.assert_array_equal(weight, out)
    with pytest.raises(ValueError, match=r"out must have shape \(11, 5\), got \(11, 4\)"):
        kernels.embedding(weight, ids, out=np.empty((11, 4), dtype))


@pytest.mark.parametrize("norm_type", [1, 2, np.inf])
def test_max_norm_scales_the_rows_that_are_asked_for_once(norm_type, dtype, rng):
    weight, ids = table(rng, dtype, 60, 40), rng.integers(0, 30, (5, 50))
    exact = reference.embedding_renorm_(*wide(weight), ids, 3.0, norm_type)
    layer = nn.Embedding.from_pretrained(weight, max_norm=3.0, norm_type=norm_type)
    writes = fastnn.kernels._core.count_writes()
    y = layer(ids)
    assert fastnn.kernels._core.count_writes() > writes
    assert_close(layer.weight, exact, 40)
    np.testing.assert_array_equal(y, layer.weight[ids])
    np.testing.assert_array_equal(layer.weight[30:], weight[30:])
    assert (np.linalg.norm(layer.weight[np.unique(ids)], norm_type, axis=1) <= 3.0001).all() and (layer.weight[:30] != weight[:30]).any()


def test_initial_values(dtype):
    layer = nn.Embedding(300, 40, padding_idx=-2, dtype=dtype, rng=3)
    assert layer.padding_idx == 298 and not layer.weight[298].any() and layer.weight.dtype == dtype
    assert abs(layer.weight.mean()) < 0.03 and abs(layer.weight.std() - 1) < 0.03
    assert repr(nn.Embedding(3, 4, padding_idx=1, sparse=True)) == "Embedding(3, 4, padding_idx=1, sparse=True)"
    assert repr(nn.EmbeddingBag(3, 4, max_norm=2)) == "EmbeddingBag(3, 4, max_norm=2.0, mode='mean')"
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"sparse": True}, {"sparse": True, "padding_idx": 0}], ids=str)
def test_gradient_matches_central_differences(options, rng):
    layer = nn.Embedding(6, 3, dtype=np.float64, rng=0, **options)
    ids = rng.integers(0, 6, (2, 5))
    ids[ids == layer.padding_idx] = 3  # the padding's gradient is 0 by decree
    gradcheck(layer, ids)


def test_from_pretrained_is_a_copy_without_a_gradient_unless_told(dtype, rng):
    weight = table(rng, dtype)
    layer = nn.Embedding.from_pretrained(np.asfortranarray(weight), padding_idx=2)
    assert layer.weight is not weight and layer.padding_idx == 2
    layer.backward(np.ones_like(layer(np.array([1, 2]))))
    before = layer.weight.copy()
    optim.SGD(layer.parameters(), lr=1.0).step()
    np.testing.assert_array_equal(layer.weight, before)
    layer = nn.EmbeddingBag.from_pretrained(weight, freeze=False, mode="sum")
    layer.backward(np.ones_like(layer(np.array([[1, 1]]))))
    np.testing.assert_array_equal(layer.grads["weight"].sum(axis=1), 10 * (np.arange(11) == 1))


# --- bags ---

BAGS = [
    ((6, 4), None, False), ((3, 0), None, False), ((0, 4), None, False), ((24,), [0, 5, 5, 9, 24], False), ((24,), [0, 5, 5, 9, 24], True), ((0,), [0, 0], False),
    ((0,), [], False), ((0,), [0], True), ((300,), [0, 1, 250], False),
]  # fmt: skip


@pytest.mark.parametrize("padding_idx", [None, 3, -1])
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "weighted"])
@pytest.mark.parametrize(("shape", "offsets", "last"), BAGS, ids=str)
def test_bags_match_reference(shape, offsets, last, mode, padding_idx, dtype, rng):
    weight, ids = table(rng, dtype, 7, 19), rng.integers(0, 7, shape)
    offsets = None if offsets is None else np.array(offsets, np.int64)
    scale = rng.standard_normal(shape).astype(dtype) if mode == "weighted" else None
    mode = "sum" if mode == "weighted" else mode
    options = {"mode": mode, "padding_idx": padding_idx, "include_last_offset": last}
    y, winners = kernels.embedding_bag(weight, ids, offsets, scale, **options)
    exact, exact_winners = reference.embedding_bag(*wide(weight), ids, offsets, *wide(scale), **options)
    magnitude = 4 * len(ids.ravel()) if mode == "sum" else 4
    assert_close(y, exact, 300, magnitude)
    assert (winners is None) == (mode != "max")
    np.testing.assert_array_equal(winners, exact_winners)
    dy = rng.standard_normal(y.shape).astype(dtype)
    for by_frequency in (False, True)[: 1 + (mode != "max")]:
        dweight, dscale = kernels.embedding_bag_backward(dy, weight, ids, offsets, scale, winners, scale_grad_by_freq=by_frequency, **options)
        exact = reference.embedding_bag_backward(*wide(dy, weight), ids, offsets, *wide(scale), winners, scale_grad_by_freq=by_frequency, **options)
        assert_close(dweight, exact[0], 300, 4 * np.abs(exact[0]).max(initial=1) + 20)
        assert (dscale is None) == (scale is None)
        if dscale is not None:
            assert_close(dscale, exact[1], 19, 20)
    if mode == "max":
        np.testing.assert_array_equal(kernels.embedding_bag_backward(dy, weight, ids, offsets, **options)[0], dweight)


def test_maximum_of_a_bag_takes_the_first_of_equals_and_nan(dtype):
    weight = np.array([[1, np.nan, -np.inf], [1, 2, -np.inf], [0, np.nan, -np.inf]], dtype)
    y, winners = kernels.embedding_bag(weight, np.array([[1, 0, 2]]), mode="max")
    np.testing.assert_array_equal(y, np.array([[1, np.nan, -np.inf]], dtype))
    np.testing.assert_array_equal(winners, [[1, 0, 1]])


@pytest.mark.parametrize("options", [{"mode": "sum"}, {"mode": "mean"}, {"mode": "max"}, {"mode": "mean", "sparse": True}, {"mode": "sum", "sparse": True}], ids=str)
def test_gradient_of_bags_matches_central_differences(options, rng):
    layer = nn.EmbeddingBag(6, 3, dtype=np.float64, rng=0, **options)
    gradcheck(layer, rng.integers(0, 6, (3, 4)))
    gradcheck(layer, rng.integers(0, 6, 9), np.array([0, 2, 2, 7]))
    if options["mode"] == "sum":
        gradcheck(layer, rng.integers(0, 6, 9), np.array([0, 2, 2, 7]), rng.standard_normal(9))


# --- bad input ---


def test_bad_input_is_refused_in_a_sentence(dtype):
    weight, ids = np.ones((5, 3), dtype), np.array([0, 4])
    for bad in (5, -1, 2**62, -(2**63)):
        with pytest.raises(ValueError, match=rf"ids must be rows from 0 to 4 \(5 rows\), got {bad} at index \(1,\)"):
            kernels.embedding(weight, np.array([0, bad]))
    with pytest.raises(ValueError, match="ids must be below 2"):
        kernels.embedding(weight, np.array([2**64 - 1], np.uint64))
    with pytest.raises(TypeError, match="ids must be integers, got float64"):
        kernels.embedding(weight, ids / 2)
    with pytest.raises(ValueError, match=r"ids must be rows from 0 to -1 \(0 rows\), got 0 at index \(0,\)"):
        kernels.embedding(weight[:0], ids)
    with pytest.raises(TypeError, match="weight must be float32 or float64, got int64"):
        kernels.embedding(ids, ids)
    with pytest.raises(ValueError, match=r"weight must have shape \(rows, dim\), got \(5,\)"):
        kernels.embedding(weight[:, 0], ids)
    with pytest.raises(ValueError, match=r"dy must have the shape of ids, \(2,\), and one dimension more, got \(3, 3\)"):
        kernels.embedding_backward(np.ones((3, 3), dtype), ids, 5)
    with pytest.raises(ValueError, match=r"padding_idx must be from -5 to 4 \(5 rows\), got 5"):
        kernels.embedding_backward(np.ones((2, 3), dtype), ids, 5, padding_idx=5)
    for rows in (2**62, -1):
        with pytest.raises(ValueError, match="rows must be at least 0 and below 2"):
            kernels.embedding_backward(np.ones((2, 3), dtype), ids, rows)
    with pytest.raises((ValueError, MemoryError)):
        kernels.embedding_backward(np.ones((2, 3), dtype), ids, 2**60)
    with pytest.raises((ValueError, MemoryError)):
        kernels.embedding(np.broadcast_to(weight[:, :1], (5, 2**40)), ids)
    assert kernels.embedding_backward(np.ones((2, 0), dtype), ids, 2**58).shape == (2**58, 0)
    assert kernels.embedding_bag(weight[:, :0], np.zeros((2**40, 0), int))[0].shape == (2**40, 0)
    with pytest.raises(TypeError, match="weight must be a writeable"):
        kernels.embedding_renorm_(weight[:, ::2], ids, 1.0)
    with pytest.raises(ValueError, match="norm_type must be 1, 2 or inf, got 3"):
        nn.Embedding(5, 3, max_norm=1, norm_type=3)
    with pytest.raises(ValueError, match="padding_idx must be at least -5, got -6"):
        nn.Embedding(5, 3, padding_idx=-6)
    with pytest.raises(ValueError, match="num_embeddings must be at least 0, got -1"):
        nn.Embedding(-1, 3)
    with pytest.raises(ValueError, match=r"embeddings must have shape \(num_embeddings, embedding_dim\), got \(2,\)"):
        nn.Embedding.from_pretrained([1.0, 2.0])
    with pytest.raises(ValueError, match="scale_grad_by_freq must be False with sparse=True"):
        nn.Embedding(5, 3, sparse=True, scale_grad_by_freq=True)
    with pytest.raises(RuntimeError, match="forward in training mode"):
        nn.Embedding(5, 3).backward(np.ones((2, 3), dtype))


def test_bad_bags_are_refused_in_a_sentence(dtype):
    weight, ids = np.ones((5, 3), dtype), np.arange(5)
    with pytest.raises(ValueError, match="mode must be 'sum', 'mean' or 'max', got 'min'"):
        kernels.embedding_bag(weight, ids, [0], mode="min")
    with pytest.raises(ValueError, match=r"offsets must be given for ids of one dimension, and only for them, got ids of shape \(5,\) without offsets"):
        kernels.embedding_bag(weight, ids)
    with pytest.raises(ValueError, match=r"got ids of shape \(1, 5\) with offsets"):
        kernels.embedding_bag(weight, ids[None], [0])
    with pytest.raises(ValueError, match=r"ids must have one dimension, or two: .*, got shape \(1, 1, 5\)"):
        kernels.embedding_bag(weight, ids[None, None])
    for offsets, last, text in (([1], False, "not exceed the number of ids, 5, got 1 at index 0"), ([0, 6], False, "got 6 at index 1"), ([0, 3, 2], False, "got 2 at index 2"),
                                ([0, 4], True, "end with the number of ids, 5, got 4 at index 1"), ([0], True, "end with .* got 0 at index 0"), ([0, -(2**63)], False, "index 1")):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            kernels.embedding_bag(weight, ids, offsets, include_last_offset=last)
    with pytest.raises(ValueError, match="offsets must say where bags begin, got none for 5 ids"):
        kernels.embedding_bag(weight, ids, np.zeros(0, int))
    with pytest.raises(ValueError, match="per_sample_weights can be given for mode 'sum' only, got mode 'mean'"):
        kernels.embedding_bag(weight, ids, [0], np.ones(5, dtype))
    with pytest.raises(ValueError, match=r"per_sample_weights must have shape \(5,\), got \(4,\)"):
        kernels.embedding_bag(weight, ids, [0], np.ones(4, dtype), "sum")
    with pytest.raises(ValueError, match="winners must be what a forward returned: -1, or rows from 0 to 4"):
        kernels.embedding_bag_backward(weight[:1], weight, ids, [0], winners=np.full((1, 3), 5), mode="max")
    with pytest.raises(ValueError, match=r"dy must have shape \(1, 3\), got \(2, 3\)"):
        kernels.embedding_bag_backward(weight[:2], weight, ids, [0])
    with pytest.raises(ValueError, match="mode 'max' takes neither sparse=True nor scale_grad_by_freq=True"):
        nn.EmbeddingBag(5, 3, mode="max", sparse=True)
    with pytest.raises(ValueError, match="neither of mode 'max' nor"):
        kernels.embedding_bag_backward(weight[:1], weight, ids, [0], mode="max", dweight=RowGradient(weight))
