"""TransformerEncoderLayer, TransformerEncoder and PositionalEncoding: gradients, captured steps, dropout, what they promise of copies and masks."""

import numpy as np
import pytest
from helpers import ISAS, bits, machine

import fastnn
from fastnn import nn, optim
from fastnn.gradcheck import gradcheck
from fastnn.nn.module import Module

OPTIONS = {"default": {}, "gelu, norm first": {"activation": "gelu", "norm_first": True}, "batch first": {"batch_first": True, "bias": False}}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_gradient_matches_central_differences(options, rng):
    layer = nn.TransformerEncoderLayer(4, 2, 6, 0.0, dtype=np.float64, rng=1, **options)
    x = rng.standard_normal((3, 2, 4))
    length = 2 if options.get("batch_first") else 3
    gradcheck(layer, x)
    gradcheck((lambda x: layer(x, nn.generate_square_subsequent_mask(length, np.float64)), lambda dy, x: layer.backward(dy)), x)
    gradcheck(layer, x[0])
    gradcheck(nn.TransformerEncoder(layer, 2, nn.LayerNorm(4, dtype=np.float64)), x)


def test_layers_are_copies(rng):
    layer = nn.TransformerEncoderLayer(8, 2, 16, rng=1)
    encoder = nn.TransformerEncoder(layer, 3, nn.LayerNorm(8), rng=2)
    arrays = [p.data for p in encoder.parameters()] + [p.data for p in layer.parameters()]
    assert not any(np.may_share_memory(a, b) for i, a in enumerate(arrays) for b in arrays[:i])
    for copy in encoder.layers:
        for ours, theirs in zip(copy.parameters(), layer.parameters()):
            np.testing.assert_array_equal(ours.data, theirs.data)
            assert ours.data.strides == theirs.data.strides
    seeds = [int(module._state[0]) for module in encoder.modules() if isinstance(module, nn.Dropout)]
    assert len(set(seeds)) == len(seeds) == 12
    assert "layers.2.self_attn.in_proj_weight" in encoder.state_dict() and "norm.bias" in encoder.state_dict()
    x = rng.standard_normal((5, 2, 8)).astype(np.float32)
    assert bits(nn.TransformerEncoder(layer, 0)(x)) == bits(x)


def test_causal_positions_do_not_see_the_future(dtype, rng):
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dtype=dtype, rng=1), 2).eval()
    x = rng.standard_normal((80, 2, 8)).astype(dtype)
    y = encoder(x, is_causal=True)
    assert bits(encoder(x, mask=nn.generate_square_subsequent_mask(80, dtype), is_causal=True)) == bits(y)
    changed = x.copy()
    changed[70:] += 1
    np.testing.assert_array_equal(encoder(changed, is_causal=True)[:70], y[:70])


def test_padding_does_not_matter(dtype, rng):
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dtype=dtype, rng=1).eval()
    x = rng.standard_normal((2, 9, 8)).astype(dtype)
    padding = np.arange(9) >= np.array([[6], [9]])
    y, changed = layer(x, src_key_padding_mask=padding), x.copy()
    changed[0, 6:] += 1
    np.testing.assert_array_equal(layer(changed, src_key_padding_mask=padding)[0, :6], y[0, :6])
    np.testing.assert_allclose(layer(x[:1, :6]), y[:1, :6], rtol=1e-5, atol=1e-6)


class Model(Module):
    """Positions, an encoder and a linear layer, on a sequence and, where it is given, its padding."""

    def __init__(self, dtype, dropout=0.2):
        self.positions = nn.PositionalEncoding(8, dropout, 100, dtype=dtype, rng=1)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout, "gelu", dtype=dtype, rng=2), 2, rng=3)
        self.last = nn.Linear(8, 3, dtype=dtype, rng=4)

    def forward(self, x, padding=None):
        return self.last.forward(self.encoder.forward(self.positions.forward(x), None, padding, is_causal=True))

    def backward(self, dy):
        return self.positions.backward(self.encoder.backward(self.last.backward(dy)))


@pytest.mark.parametrize("masked", [False, True])
def test_captured_steps_give_the_bits_of_eager_ones(masked, dtype, rng):
    sides = []
    for _ in range(2):
        model = Model(dtype)
        sides.append((model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.01)))
    (model, loss, optimizer), captured = sides[0], sides[1]
    step = fastnn.capture(*captured)
    for _ in range(4):
        x, y = rng.standard_normal((7, 2, 8)).astype(dtype), rng.standard_normal((7, 2, 3)).astype(dtype)
        inputs = (x, np.arange(7) >= rng.integers(3, 8, (2, 1))) if masked else (x,)
        value = loss(model(*inputs), y)
        optimizer.zero_grad()
        model.backward(loss.backward())
        optimizer.step()
        assert step(*inputs, y) == value
        for name, array in model.state_dict().items():
            assert bits(array) == bits(captured[0].state_dict()[name]), name
    predict = fastnn.capture(model.eval())
    for _ in range(2):
        x = rng.standard_normal((7, 2, 8)).astype(dtype)
        assert bits(predict(x)) == bits(model(x))


@pytest.mark.parametrize("isa", ISAS)
def test_is_bitwise_equal_across_instruction_sets_and_threads(isa, dtype, rng):
    x, dy = rng.standard_normal((70, 3, 8)).astype(dtype), rng.standard_normal((70, 3, 3)).astype(dtype)

    def run(*where):
        model = Model(dtype)
        with machine(*where):
            results = [model(x), model.backward(dy)]
        return [bits(array) for array in results] + [bits(p.grad) for p in model.parameters()]

    assert run(isa, 3) == run(ISAS[0], 1)


@pytest.mark.parametrize(("d_model", "batch_first"), [(6, False), (7, True), (1, False)])
def test_positions_are_sines_and_cosines(d_model, batch_first, dtype, rng):
    layer = nn.PositionalEncoding(d_model, 0.0, max_len=30, batch_first=batch_first, dtype=dtype)
    expected = np.empty((30, d_model))
    for t in range(30):
        for i in range(d_model):
            angle = t / 10000 ** (i // 2 * 2 / d_model)
            expected[t, i] = np.cos(angle) if i % 2 else np.sin(angle)
    np.testing.assert_allclose(layer.pe[:, 0], expected, atol=4 * np.finfo(dtype).eps)
    assert [*layer.state_dict()] == ["pe"] and layer.pe.shape == (30, 1, d_model)
    x = rng.standard_normal((4, 9, d_model)).astype(dtype)
    y = layer(x)
    np.testing.assert_array_equal(y, x + (layer.pe[:9, 0] if batch_first else layer.pe[:4]))
    np.testing.assert_array_equal(layer.backward(y), y)
    np.testing.assert_array_equal(layer(x[0]), x[0] + layer.pe[:9, 0])


def test_empty_batches_and_sequences(dtype):
    layer = nn.TransformerEncoderLayer(8, 2, 16, dtype=dtype)
    for shape in ((0, 2, 8), (5, 0, 8), (0, 8)):
        assert layer(np.ones(shape, dtype)).shape == shape
        assert layer.backward(np.ones(shape, dtype)).shape == shape
    assert nn.generate_square_subsequent_mask(0).shape == (0, 0)


def test_bad_input_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="activation must be one of 'relu', 'gelu', got 'tanh'"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    with pytest.raises(TypeError, match="encoder_layer must be a Module, got int"):
        nn.TransformerEncoder(3, 2)
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    with pytest.raises(ValueError, match=r"query must have shape"):
        layer(np.ones((3, 2, 7), np.float32))
    with pytest.raises(ValueError, match=r"attn_mask must have shape \(3, 3\)"):
        layer(np.ones((3, 2, 8), np.float32), np.zeros((4, 4), bool))
    positions = nn.PositionalEncoding(8, max_len=5)
    with pytest.raises(ValueError, match=r"x must have at most max_len = 5 positions, got 6"):
        positions(np.ones((6, 2, 8), np.float32))
    with pytest.raises(ValueError, match=r"x must have shape \(L, N, 8\) or \(L, 8\), got \(6, 2, 7\)"):
        positions(np.ones((6, 2, 7), np.float32))
    with pytest.raises(ValueError, match="sz must be at least 0"):
        nn.generate_square_subsequent_mask(-1)
