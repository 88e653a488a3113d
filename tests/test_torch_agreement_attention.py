"""MultiheadAttention, the transformer's encoder and the attention kernel against PyTorch, where that is installed: PyTorch's state, values and gradients.

Tolerance: that of test_torch_agreement.py, 1e-12 in float64, of the largest element: gradients are sums that cancel.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import kernels, nn

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own nested tensors and masks of two kinds


def agree(ours, theirs):
    theirs = theirs.detach().numpy()
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12 * max(1, np.abs(theirs).max(initial=0)))


def tensor(x):
    return torch.tensor(x) if isinstance(x, np.ndarray) else x


def same_state(ours, theirs):
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(parameter.numel())) * 0.3)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})


def same_gradients(ours, theirs):
    expected = dict(theirs.named_parameters())
    for name, parameter in ours.named_parameters():
        agree(parameter.grad, expected[name].grad)


MASKS = {
    "none": lambda n, heads, length, keys, rng: {},
    "boolean": lambda n, heads, length, keys, rng: {"attn_mask": rng.random((length, keys)) < 0.3},
    "numbers by heads": lambda n, heads, length, keys, rng: {"attn_mask": rng.standard_normal((n * heads, length, keys))},
    "padding": lambda n, heads, length, keys, rng: {"key_padding_mask": np.arange(keys) >= rng.integers(2, keys, (n, 1))},
    "both": lambda n, heads, length, keys, rng: {
        "key_padding_mask": np.arange(keys) >= rng.integers(3, keys, (n, 1)), "attn_mask": np.triu(np.ones((length, keys), bool), 2)
    },
}  # fmt: skip
LAYERS = {
    "default": {}, "batch first": {"batch_first": True}, "no bias": {"bias": False}, "own sizes": {"kdim": 5, "vdim": 7}, "own sizes batch first": {"kdim": 12, "vdim": 7, "batch_first": True},
    "bias_kv": {"add_bias_kv": True}, "zero_attn": {"add_zero_attn": True, "batch_first": True}, "bias_kv zero_attn": {"add_bias_kv": True, "add_zero_attn": True, "bias": False},
}  # fmt: skip


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("sources", ["self", "cross", "all", "query is key", "query is value"])
@pytest.mark.parametrize("layer", LAYERS)
def test_multihead_attention_agrees(layer, sources, masks, rng):
    options, e, heads, n, length = LAYERS[layer], 12, 3, 2, 70
    if "kdim" in options and sources != "all":
        pytest.skip("one array cannot have two sizes")
    ours, theirs = nn.MultiheadAttention(e, heads, dtype=np.float64, **options), torch.nn.MultiheadAttention(e, heads, dtype=torch.float64, **options)
    same_state(ours, theirs)
    keys = length if sources != "all" and sources != "cross" else 66

    def made(size, count):
        return rng.standard_normal((n, count, size) if options.get("batch_first") else (count, n, size))

    query, key, value = made(e, length), made(options.get("kdim", e), keys), made(options.get("vdim", e), keys)
    inputs = {"self": (query,) * 3, "cross": (query, key, key), "all": (query, key, value), "query is key": (query, query, value), "query is value": (query, key, query)}[sources]
    tensors = {id(x): torch.tensor(x, requires_grad=True) for x in inputs}
    called = MASKS[masks](n, heads, length, keys, rng)
    for average in (True, False):
        y, weights = ours(*inputs, **called, average_attn_weights=average)
        expected, expected_weights = theirs(*(tensors[id(x)] for x in inputs), **{k: tensor(v) for k, v in called.items()}, average_attn_weights=average)
        agree(y, expected)
        agree(weights, expected_weights)
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy))
    gradients = ours.backward(dy)
    for i, (x, gradient) in enumerate(zip(inputs, gradients)):
        if any(x is other for other in inputs[:i]):
            assert gradient is None
        else:
            agree(gradient, tensors[id(x)].grad)
    same_gradients(ours, theirs)


@pytest.mark.parametrize("options", [{}, {"batch_first": True, "add_bias_kv": True}], ids=str)
def test_unbatched_attention_agrees(options, rng):
    ours, theirs = nn.MultiheadAttention(8, 2, dtype=np.float64, **options), torch.nn.MultiheadAttention(8, 2, dtype=torch.float64, **options)
    same_state(ours, theirs)
    query, key = rng.standard_normal((5, 8)), rng.standard_normal((6, 8))
    mask, padding = rng.standard_normal((2, 5, 6)), np.arange(6) > 3
    q, k = torch.tensor(query, requires_grad=True), torch.tensor(key, requires_grad=True)
    y, weights = ours(query, key, key, padding, attn_mask=mask)
    expected, expected_weights = theirs(q, k, k, torch.tensor(padding), attn_mask=torch.tensor(mask))
    agree(y, expected)
    agree(weights, expected_weights)
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy))
    dquery, dkey, dvalue = ours.backward(dy)
    agree(dquery, q.grad)
    agree(dkey, k.grad)
    assert dvalue is None
    same_gradients(ours, theirs)


@pytest.mark.parametrize("causal", [False, True])
def test_scaled_dot_product_attention_agrees(causal, rng):
    q, k, v = (torch.tensor(rng.standard_normal(s), requires_grad=True) for s in ((2, 3, 130, 9), (2, 3, 70, 9), (2, 3, 70, 5)))
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=0.4)
    arrays = [x.detach().numpy() for x in (q, k, v)]
    saved = kernels.scaled_dot_product_attention(*arrays, causal=causal, scale=0.4)
    agree(saved[0], expected)
    dy = rng.standard_normal(expected.shape)
    expected.backward(torch.tensor(dy))
    for ours, theirs in zip(kernels.scaled_dot_product_attention_backward(dy, *arrays, *saved, causal=causal, scale=0.4), (q, k, v)):
        agree(ours, theirs.grad)


ENCODERS = {
    "default": {}, "gelu, norm first": {"activation": "gelu", "norm_first": True}, "batch first, no bias": {"batch_first": True, "bias": False, "layer_norm_eps": 1e-3},
}  # fmt: skip
CALLS = {
    "plain": lambda length, rng: {},
    "causal": lambda length, rng: {"mask": nn.generate_square_subsequent_mask(length, np.float64), "is_causal": True},
    "masks": lambda length, rng: {"mask": np.triu(np.ones((length, length), bool), 3), "src_key_padding_mask": np.arange(length) >= np.array([[4], [length]])},
}  # fmt: skip


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_transformer_encoder_agrees(encoder, call, training, rng):
    options, length = {"dim_feedforward": 20, "dropout": 0.0 if training else 0.3, **ENCODERS[encoder]}, 9
    theirs = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, dtype=torch.float64, **options), 2, torch.nn.LayerNorm(8, dtype=torch.float64))
    ours = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, dtype=np.float64, **options), 2, nn.LayerNorm(8, dtype=np.float64))
    same_state(ours, theirs)
    x = rng.standard_normal((2, length, 8) if options.get("batch_first") else (length, 2, 8))
    called = CALLS[call](length, rng)
    if not training:
        with torch.no_grad():
            agree(ours.eval()(x, **called), theirs.train(False)(torch.tensor(x), **{k: tensor(v) for k, v in called.items()}))
        return
    t = torch.tensor(x, requires_grad=True)
    y, expected = ours(x, **called), theirs(t, **{k: tensor(v) for k, v in called.items()})
    agree(y, expected)
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy))
    agree(ours.backward(dy), t.grad)
    same_gradients(ours, theirs)


def test_encoder_layer_and_mask_agree(rng):
    ours, theirs = nn.TransformerEncoderLayer(8, 4, 16, 0.0, dtype=np.float64), torch.nn.TransformerEncoderLayer(8, 4, 16, 0.0, dtype=torch.float64)
    same_state(ours, theirs)
    x = rng.standard_normal((5, 3, 8))
    mask = nn.generate_square_subsequent_mask(5, np.float64)
    agree(mask, torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64))
    expected = theirs(torch.tensor(x), src_mask=torch.tensor(mask))
    agree(ours(x, src_mask=mask), expected)
    agree(ours(x, is_causal=True), expected)
