"""Scaled dot-product attention and MultiheadAttention: against the float64 reference, with the same bits everywhere.

Long, because the kernel and the layer go through the same masks, layouts and errors.
"""

import numpy as np
import pytest
from helpers import ISAS, LAYOUTS, assert_close, assert_same_bits, bits, machine

import fastnn
from fastnn import kernels, nn, optim, reference
from fastnn.gradcheck import gradcheck
from fastnn.kernels import scaled_dot_product_attention, scaled_dot_product_attention_backward, scaled_dot_product_attention_weights

# batch, heads, length, keys, dim, v_dim: below, at and above blocks of 64 and the vectors of every instruction set.
SHAPES = [
    (1, 1, 1, 1, 1, 1), (2, 3, 5, 7, 4, 3), (1, 2, 64, 64, 8, 8), (2, 1, 65, 63, 17, 9), (1, 2, 130, 70, 33, 16), (1, 1, 33, 200, 5, 70), (2, 2, 17, 15, 64, 64),
    (1, 1, 1, 129, 130, 2), (1, 1, 3, 5, 700, 600),
]  # fmt: skip
EMPTY = [(0, 2, 3, 4, 5, 6), (2, 0, 3, 4, 5, 6), (2, 2, 0, 4, 5, 6), (2, 2, 3, 0, 5, 6), (2, 2, 3, 4, 0, 6), (2, 2, 3, 4, 5, 0), (1, 1, 0, 0, 0, 0)]


def operands(shape, dtype, rng):
    b, h, length, keys, e, d = shape
    return [rng.standard_normal(s).astype(dtype) for s in ((b, h, length, e), (b, h, keys, e), (b, h, keys, d), (b, h, length, d))]


def options_of(kind, shape, dtype, rng):
    b, h, length, keys, *_ = shape
    allowed = np.arange(keys) == 0
    return {
        "plain": {},
        "causal": {"causal": True},
        "scale": {"scale": 0.7},
        "boolean mask": {"mask": (rng.random((length, keys)) < 0.4) & ~allowed},
        "mask of numbers": {"mask": rng.standard_normal((b, 1, length, keys)).astype(dtype)},
        "mask by heads": {"mask": rng.random((h, 1, keys)) < 0.3},
        "padding": {"key_padding_mask": (rng.random((b, keys)) < 0.4) & ~allowed},
        "padding of numbers": {"key_padding_mask": rng.standard_normal((b, keys)).astype(dtype), "causal": True},
        "dropout": {"dropout_p": 0.3, "seed": 5, "stream": 2**40},
        "all": {"mask": rng.random((b, h, length, keys)) < 0.2, "key_padding_mask": rng.random((b, keys)) < 0.2, "causal": True, "dropout_p": 0.5, "scale": 1.5},
    }[kind]  # fmt: skip


KINDS = ("plain", "causal", "scale", "boolean mask", "mask of numbers", "mask by heads", "padding", "padding of numbers", "dropout", "all")


def everything(q, k, v, dy, **options):
    """All results of the three functions."""
    y, top, total = scaled_dot_product_attention(q, k, v, **options)
    gradients = scaled_dot_product_attention_backward(dy, q, k, v, y, top, total, **options)
    return y, top, total, *gradients, scaled_dot_product_attention_weights(q, k, top, total, **options)


def check(q, k, v, dy, **options):
    wide = {name: np.float64(value) if isinstance(value, np.ndarray) and value.dtype != bool else value for name, value in options.items()}
    q64, k64, v64, dy64 = (x.astype(np.float64) for x in (q, k, v, dy))
    y, top, total, dq, dk, dv, weights = everything(q, k, v, dy, **options)
    assert {x.dtype for x in (y, top, total, dq, dk, dv, weights)} == {q.dtype}
    exact_y, exact_top, exact_total = reference.scaled_dot_product_attention(q64, k64, v64, **wide)
    p = reference.scaled_dot_product_attention_weights(q64, k64, exact_top, exact_total, **wide)
    exact = reference.scaled_dot_product_attention_backward(dy64, q64, k64, v64, exact_y, exact_top, exact_total, **wide)
    # A score's rounding is a relative error of its weight: every term counts for 1 + |q| |k| scale + |mask|.
    factor = 1 / np.sqrt(max(q.shape[-1], 1)) if options.get("scale") is None else options["scale"]
    spread = 1 + factor * (np.abs(q64) @ np.abs(k64).swapaxes(-1, -2)).max(initial=0)
    terms = (q.shape[2] + k.shape[2]) * spread
    g = np.abs(dy64) @ np.abs(v64).swapaxes(-1, -2)
    if options.get("dropout_p"):
        g = g / (1 - options["dropout_p"])
    ds = p * g + reference.scaled_dot_product_attention_weights(q64, k64, exact_top, exact_total, **{**wide, "dropout_p": 0.0}) * (
        g + (np.abs(dy64) * (p @ np.abs(v64))).sum(-1, keepdims=True)
    )
    assert_close(y, exact_y, terms, p @ np.abs(v64))
    assert_close(top, exact_top, terms, factor * (np.abs(q64) @ np.abs(k64).swapaxes(-1, -2)).max(-1, initial=0))
    assert_close(total, exact_total, terms)
    assert_close(weights, p, terms)
    assert_close(dq, exact[0], terms, factor * (ds @ np.abs(k64)))
    assert_close(dk, exact[1], terms, factor * (ds.swapaxes(-1, -2) @ np.abs(q64)))
    assert_close(dv, exact[2], terms, p.swapaxes(-1, -2) @ np.abs(dy64))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_matches_reference(shape, kind, dtype, rng):
    check(*operands(shape, dtype, rng), **options_of(kind, shape, dtype, rng))


@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_empty_arrays(shape, dtype, rng):
    check(*operands(shape, dtype, rng))
    check(*operands(shape, dtype, rng), causal=True)


def test_large_scores_are_stable(dtype, rng):
    q, k, v, dy = operands((1, 2, 40, 150, 8, 8), dtype, rng)
    for size in (30, 1e4, 1e15):
        y, top, total, *gradients, weights = everything(q * dtype(size), k, v, dy)
        assert all(np.isfinite(x).all() for x in (y, top, total, *gradients, weights))
        np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    k[:, :, :100] *= dtype(1e-30)  # the largest score comes late
    check(q, k, v, dy)


def test_a_row_that_may_look_at_nothing_is_zero(dtype, rng):
    shape = (2, 2, 70, 90, 8, 5)
    q, k, v, dy = operands(shape, dtype, rng)
    mask = np.zeros((70, 90), bool)
    mask[[0, 3, 69]] = True
    padding = np.zeros((2, 90), bool)
    padding[1] = True
    for forbid in (lambda m: m, lambda m: np.where(m, -np.inf, 0).astype(dtype)):
        options = {"mask": forbid(mask), "key_padding_mask": forbid(padding)}
        check(q, k, v, dy, **options)
        y, top, total, dq, dk, dv, weights = everything(q, k, v, dy, **options)
        for x in (y, dq, weights):
            assert not x[1].any() and not x[0][:, [0, 3, 69]].any()
        assert not dk[1].any() and not dv[1].any() and not total[1].any() and np.all(top[1] == -np.inf)


def test_nan_and_infinity_stay_in_their_rows(dtype, rng):
    q, k, v, dy = operands((1, 2, 70, 80, 8, 8), dtype, rng)
    good = everything(q, k, v, dy)
    for value in (np.nan, np.inf):
        bad = q.copy()
        bad[0, 1, 66, 3] = value
        y, top, total, dq, *_, weights = everything(bad, k, v, dy)
        for ours, expected in ((y, good[0]), (dq, good[3]), (weights, good[-1])):
            assert np.isnan(ours[0, 1, 66]).all()
            ours[0, 1, 66] = expected[0, 1, 66]
            assert bits(ours) == bits(expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES[1:6], ids=str)
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, kind, dtype, rng):
    arrays, options = operands(shape, dtype, rng), options_of(kind, shape, dtype, rng)
    assert_same_bits(lambda: everything(*arrays, **options))


def test_a_sample_does_not_depend_on_its_batch(dtype, rng):
    arrays = operands((3, 2, 70, 66, 9, 9), dtype, rng)
    whole = everything(*arrays, causal=True)
    for i in range(3):
        for one, all_ in zip(everything(*(x[i : i + 1] for x in arrays), causal=True), whole):
            np.testing.assert_array_equal(one[0], all_[i])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    shape = (2, 3, 20, 70, 9, 5)
    arrays, relaid = operands(shape, dtype, rng), LAYOUTS[layout]
    for kind in ("boolean mask", "mask of numbers", "padding of numbers", "mask by heads"):
        options = options_of(kind, shape, dtype, rng)
        expected = everything(*arrays, **options)
        moved = {name: relaid(value) if isinstance(value, np.ndarray) and not (value.dtype == bool and layout == "byte-swapped") else value for name, value in options.items()}
        for ours, theirs in zip(everything(*map(relaid, arrays), **moved), expected):
            np.testing.assert_array_equal(ours, theirs)


def test_slices_of_one_array_are_read_and_written_in_place(dtype, rng):
    packed = rng.standard_normal((70, 2, 3, 4, 8)).astype(dtype)  # length, batch, qkv, heads, dim
    q, k, v = (packed[:, :, i].transpose(1, 2, 0, 3) for i in range(3))
    dy = rng.standard_normal((70, 2, 4, 8)).astype(dtype).transpose(1, 2, 0, 3)
    y, top, total = scaled_dot_product_attention(q, k, v)
    assert y.transpose(2, 0, 1, 3).flags.c_contiguous
    expected = everything(*map(np.ascontiguousarray, (q, k, v, dy)))
    gradients = np.empty_like(packed)
    places = dict(zip(("dq", "dk", "dv"), (gradients[:, :, i].transpose(1, 2, 0, 3) for i in range(3))))
    given = scaled_dot_product_attention_backward(dy, q, k, v, y, top, total, **places)
    np.testing.assert_array_equal(y, expected[0])
    for ours, place, theirs in zip(given, places.values(), expected[3:6]):
        assert ours is place
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_matches_central_differences(kind, rng):
    shape = (2, 2, 5, 6, 3, 4)
    q, k, v, _ = operands(shape, np.float64, rng)
    options = options_of(kind, shape, np.float64, rng)

    def backward(dy, q, k, v):
        return scaled_dot_product_attention_backward(dy, q, k, v, *scaled_dot_product_attention(q, k, v, **options), **options)

    gradcheck((lambda q, k, v: scaled_dot_product_attention(q, k, v, **options)[0], backward), q, k, v)


def test_dropout_draws_a_new_mask_each_time(dtype, rng):
    q, k, v, dy = operands((2, 2, 30, 70, 4, 4), dtype, rng)
    state = np.array([7, 41], np.uint64)
    saved = scaled_dot_product_attention(q, k, v, dropout_p=0.4, state=state)
    assert state.tolist() == [7, 42]
    for ours, theirs in zip(saved, scaled_dot_product_attention(q, k, v, dropout_p=0.4, seed=7, stream=42)):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(
        scaled_dot_product_attention_backward(dy, q, k, v, *saved, dropout_p=0.4, state=state),
        scaled_dot_product_attention_backward(dy, q, k, v, *saved, dropout_p=0.4, seed=7, stream=42),
    ):
        np.testing.assert_array_equal(ours, theirs)
    weights = scaled_dot_product_attention_weights(q, k, *saved[1:], dropout_p=0.4, state=state)
    assert abs((weights == 0).mean() - 0.4) < 0.02
    assert not scaled_dot_product_attention(q, k, v, dropout_p=1.0)[0].any()


def test_bad_input_is_refused_in_a_sentence(dtype):
    q, k, v = np.ones((2, 3, 4, 5), dtype), np.ones((2, 3, 6, 5), dtype), np.ones((2, 3, 6, 7), dtype)
    with pytest.raises(ValueError, match=r"q must have shape \(batch, heads, length, dim\), got \(3, 4, 5\)"):
        scaled_dot_product_attention(q[0], k, v)
    with pytest.raises(ValueError, match=r"k must have shape \(2, 3, any, 5\) for q of shape \(2, 3, 4, 5\), got \(2, 3, 6, 7\)"):
        scaled_dot_product_attention(q, v, v)
    with pytest.raises(ValueError, match=r"v must have shape \(2, 3, 6, any\) for q of shape"):
        scaled_dot_product_attention(q, k, v[:, :, 1:])
    with pytest.raises(TypeError, match="k must have q's dtype"):
        scaled_dot_product_attention(q, k.astype(np.float32 if dtype == np.float64 else np.float64), v)
    with pytest.raises(ValueError, match=r"mask must broadcast to \(2, 3, 4, 6\), got shape \(5, 6\)"):
        scaled_dot_product_attention(q, k, v, mask=np.ones((5, 6), bool))
    with pytest.raises(TypeError, match="mask must be bool or float.*got int64"):
        scaled_dot_product_attention(q, k, v, mask=np.ones((4, 6), np.int64))
    with pytest.raises(ValueError, match=r"key_padding_mask must have shape \(2, 6\), got \(2, 4\)"):
        scaled_dot_product_attention(q, k, v, key_padding_mask=np.ones((2, 4), bool))
    for p in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match="dropout_p must be between 0 and 1"):
            scaled_dot_product_attention(q, k, v, dropout_p=p)
    with pytest.raises(ValueError, match="seed must be between 0"):
        scaled_dot_product_attention(q, k, v, seed=-1)
    with pytest.raises(TypeError, match="state must be a writeable array of two uint64"):
        scaled_dot_product_attention(q, k, v, state=np.zeros(2))
    y, top, total = scaled_dot_product_attention(q, k, v)
    with pytest.raises(ValueError, match=r"dy must have shape \(2, 3, 4, 7\)"):
        scaled_dot_product_attention_backward(q, q, k, v, y, top, total)
    with pytest.raises(ValueError, match=r"top must have shape \(2, 3, 4\), got \(4,\)"):
        scaled_dot_product_attention_backward(y, q, k, v, y, top[0, 0], total)
    with pytest.raises(TypeError, match="dq must be a writeable"):
        scaled_dot_product_attention_backward(y, q, k, v, y, top, total, dq=np.empty((2, 3, 5, 4), dtype).swapaxes(2, 3))
    with pytest.raises(ValueError, match=r"the result would be too large for memory"):
        scaled_dot_product_attention(*[np.broadcast_to(np.ones(n, dtype), (2**20, 2**20, length, n)) for length, n in ((2**18, 1), (1, 1), (1, 40))])


# --- nn.MultiheadAttention ---

LAYERS = {
    "default": {}, "batch first": {"batch_first": True}, "no bias": {"bias": False}, "own sizes": {"kdim": 3, "vdim": 5}, "bias_kv": {"add_bias_kv": True},
    "bias_kv zero_attn": {"add_bias_kv": True, "add_zero_attn": True, "batch_first": True},
}  # fmt: skip


def expected_attention(layer, query, key, value, mask=None, padding=None):
    """The layer's forward in NumPy, for (L, N, features): (y, weights of all heads)."""
    p, e, heads = {name: x.astype(np.float64) for name, x in layer.state_dict().items()}, layer.embed_dim, layer.num_heads
    weights = np.split(p["in_proj_weight"], 3) if layer.packed else [p[f"{letter}_proj_weight"] for letter in "qkv"]
    biases = np.split(p["in_proj_bias"], 3) if "in_proj_bias" in p else [0.0] * 3
    q, k, v = (np.asarray(x, np.float64) @ w.T + b for x, w, b in zip((query, key, value), weights, biases))
    n = q.shape[1]
    if "bias_k" in p:
        k, v = np.concatenate([k, np.repeat(p["bias_k"], n, 1)]), np.concatenate([v, np.repeat(p["bias_v"], n, 1)])
    if layer.add_zero_attn:
        k, v = (np.concatenate([x, np.zeros((1, n, e))]) for x in (k, v))
    q, k, v = (x.reshape(len(x), n, heads, -1).transpose(1, 2, 0, 3) for x in (q, k, v))
    y, top, total = reference.scaled_dot_product_attention(q, k, v, mask=mask, key_padding_mask=padding)
    y = y.transpose(2, 0, 1, 3).reshape(*query.shape[:2], e) @ p["out_proj.weight"].T + p.get("out_proj.bias", 0)
    return y, reference.scaled_dot_product_attention_weights(q, k, top, total, mask=mask, key_padding_mask=padding)


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_layer_matches_numpy(options, dtype, rng):
    layer = nn.MultiheadAttention(6, 2, dtype=dtype, rng=1, **options)
    query, key, value = (rng.standard_normal((n, 4, size)).astype(dtype) for n, size in ((5, 6), (7, options.get("kdim", 6)), (7, options.get("vdim", 6))))
    expected, weights = expected_attention(layer, query, key, value)
    swap = (lambda x: np.swapaxes(x, 0, 1)) if options.get("batch_first") else np.asarray
    y, averaged = layer(swap(query), swap(key), swap(value))
    assert y.dtype == averaged.dtype == dtype
    size = np.abs(expected).max()  # the last projection's terms cancel
    assert_close(swap(y), expected, 30, size)
    assert_close(averaged, weights.mean(1), 30)
    same, none = layer(swap(query), swap(key), swap(value), need_weights=False)
    assert none is None and bits(same) == bits(y)
    assert_close(layer(swap(query), swap(key), swap(value), average_attn_weights=False)[1], weights, 30)
    assert_close(layer(query[:, 1], key[:, 1], value[:, 1])[0], expected[:, 1], 30, size)


@pytest.mark.parametrize("sources", ["self", "cross", "all", "query is value"])
@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_layer_gradient_matches_central_differences(options, sources, rng):
    if sources != "all" and "kdim" in options:
        pytest.skip("one array cannot have two sizes")
    layer = nn.MultiheadAttention(6, 2, dtype=np.float64, rng=1, **options)
    shapes = [(3, 2, 6), (3, 2, options.get("kdim", 6)), (3, 2, options.get("vdim", 6))]
    places = {"self": (0, 0, 0), "cross": (0, 1, 1), "all": (0, 1, 2), "query is value": (0, 1, 0)}[sources]
    mask = rng.standard_normal((2, 2) if options.get("batch_first") else (3, 3))

    class Attend(nn.Module):
        def __init__(self):
            self.attention = layer

        def forward(self, *inputs):
            return self.attention(*(inputs[i] for i in places), attn_mask=mask, need_weights=False)[0]

        def backward(self, dy):
            gradients = [g for g in self.attention.backward(dy) if g is not None]
            return tuple(gradients) if len(gradients) > 1 else gradients[0]

    gradcheck(Attend(), *(rng.standard_normal(shapes[i]) for i in sorted(set(places))))


def test_layer_accumulates_and_can_leave_out_input_gradients(rng):
    layer = nn.MultiheadAttention(4, 2, dtype=np.float64, rng=1)
    x, dy = rng.standard_normal((2, 3, 2, 4))
    layer(x, x, x)
    layer.backward(dy)
    once = {name: p.grad.copy() for name, p in layer.named_parameters()}
    layer.needs_input_grad = False
    layer(x, x, x)
    assert layer.backward(dy) == (None, None, None)
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad, 2 * once[name], rtol=1e-12)


def test_causal_flag_is_the_causal_mask(dtype, rng):
    layer = nn.MultiheadAttention(8, 2, dtype=dtype, rng=1)
    x = rng.standard_normal((70, 2, 8)).astype(dtype)
    mask = nn.generate_square_subsequent_mask(70, dtype)
    y, weights = layer(x, x, x, is_causal=True)
    for given in (mask, mask < 0):
        for ours, theirs in zip(layer(x, x, x, attn_mask=given, is_causal=True), (y, weights)):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.triu(weights, 1).any()


def test_layer_drops_weights_in_training_only(rng):
    layer = nn.MultiheadAttention(8, 2, dropout=0.5, rng=1)
    x = rng.standard_normal((20, 2, 8)).astype(np.float32)
    _, first = layer(x, x, x, average_attn_weights=False)
    _, second = layer(x, x, x, average_attn_weights=False)
    assert 0.4 < (first == 0).mean() < 0.6 and not np.array_equal(first, second)
    layer.eval()
    assert bits(layer(x, x, x)[0]) == bits(layer(x, x, x)[0])
    assert layer(x, x, x)[1].all()


@pytest.mark.parametrize("options", LAYERS.values(), ids=LAYERS)
def test_layer_has_the_same_bits_captured(options, dtype, rng):
    layer = nn.MultiheadAttention(6, 2, dtype=dtype, rng=1, **options).eval()
    shapes = [(2, 5, 6), (2, 5, options.get("kdim", 6)), (2, 5, options.get("vdim", 6))]
    inputs = [rng.standard_normal(shape).astype(dtype) for shape in shapes]
    predict = fastnn.capture(layer)
    for _ in range(3):
        inputs = [x + dtype(1) for x in inputs]
        for ours, theirs in zip(predict(*inputs), layer(*inputs)):
            assert bits(ours) == bits(theirs)


@pytest.mark.parametrize("options", [o for o in LAYERS.values() if "kdim" not in o], ids=[name for name in LAYERS if name != "own sizes"])
def test_layer_trains_captured_as_eagerly(options, dtype, rng):
    class Attend(nn.Module):
        def __init__(self):
            self.attention = nn.MultiheadAttention(6, 2, 0.3, dtype=dtype, rng=1, **options)

        def forward(self, x, memory):
            return self.attention(x, memory, memory, is_causal=not self.attention._own_keys)[0]

        def backward(self, dy):
            return self.attention.backward(dy)[:2]

    eager, captured = Attend(), Attend()
    loss, optimizer = nn.MSELoss(), optim.SGD(eager.parameters(), lr=0.1)
    step = fastnn.capture(captured, nn.MSELoss(), optim.SGD(captured.parameters(), lr=0.1))
    for _ in range(3):
        x, memory, y = rng.standard_normal((3, 4, 4, 6)).astype(dtype)
        value = loss(eager(x, memory), y)
        optimizer.zero_grad()
        eager.backward(loss.backward())
        optimizer.step()
        assert step(x, memory, y) == value
        for name, array in eager.state_dict().items():
            assert bits(array) == bits(captured.state_dict()[name]), name


def test_captured_masks_are_read_anew(dtype, rng):
    layer = nn.MultiheadAttention(6, 2, dtype=dtype, rng=1, batch_first=True).eval()
    x = rng.standard_normal((2, 5, 6)).astype(dtype)
    predict = fastnn.capture(layer)
    for _ in range(3):
        padding = np.arange(5) >= rng.integers(1, 5, (2, 1))
        for ours, theirs in zip(predict(x, x, x, padding), layer(x, x, x, padding)):
            assert bits(ours) == bits(theirs)


@pytest.mark.parametrize("isa", ISAS)
def test_layer_has_the_same_bits_everywhere(isa, dtype, rng):
    layer = nn.MultiheadAttention(12, 3, 0.2, dtype=dtype, rng=1)
    x, dy = rng.standard_normal((2, 70, 2, 12)).astype(dtype)

    def run(*where):
        layer._dropout._state[1] = 0
        layer.zero_grad()
        with machine(*where):
            results = [*layer(x, x, x), layer.backward(dy)[0]]
        return [bits(array) for array in results] + [bits(p.grad) for p in layer.parameters()]

    assert run(isa, 3) == run(ISAS[0], 1)


def test_layer_refuses_bad_input_in_a_sentence():
    with pytest.raises(ValueError, match="embed_dim must be divisible by num_heads, got 5 and 2"):
        nn.MultiheadAttention(5, 2)
    with pytest.raises(ValueError, match="dropout must be between 0 and 1"):
        nn.MultiheadAttention(4, 2, dropout=1.5)
    layer = nn.MultiheadAttention(4, 2)
    x = np.ones((3, 2, 4), np.float32)
    with pytest.raises(ValueError, match=r"query must have shape \(L, N, 4\) or without N.*got \(3, 2, 5\)"):
        layer(np.ones((3, 2, 5), np.float32), x, x)
    with pytest.raises(ValueError, match=r"key must have shape \(S, N, 4\).*got \(2, 4\)"):
        layer(x, x[0], x)
    with pytest.raises(ValueError, match="key and value must have the same length and batch"):
        layer(x, x, x[1:])
    with pytest.raises(ValueError, match="query and key must have the same batch"):
        layer(x, x[:, 1:], x[:, 1:])
    with pytest.raises(ValueError, match=r"attn_mask must have shape \(3, 3\) or \(4, 3, 3\), got \(3, 4\)"):
        layer(x, x, x, attn_mask=np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match=r"key_padding_mask must have shape \(2, 3\), got \(3, 2\)"):
        layer(x, x, x, np.zeros((3, 2), bool))
    with pytest.raises(TypeError, match="float64"):
        layer(x.astype(np.float64), x, x)
    with pytest.raises(TypeError, match="mask must be bool or float32, got int64"):
        layer(x, x, x, attn_mask=np.zeros((3, 3), np.int64))
    with pytest.raises(RuntimeError, match="MultiheadAttention.backward needs a forward in training mode"):
        layer.eval().backward(x)
