"""Agreement with PyTorch, where it is installed: recurrent layers with their states and packed sequences, forward and backward."""

import numpy as np
import pytest

from fastnn import nn

torch = pytest.importorskip("torch")

CASES = {
    "RNN": {"nonlinearity": "relu", "num_layers": 2},
    "RNN tanh": {"bidirectional": True, "bias": False},
    "LSTM": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "LSTM projected": {"proj_size": 3, "num_layers": 2},
    "GRU": {"num_layers": 2, "bidirectional": True},
    "GRU one": {"batch_first": True},
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_layers_agree_with_pytorch(case, packed, rng):
    name, options = case.split()[0], CASES[case]
    ours, theirs = getattr(nn, name)(4, 6, dtype=np.float64, **options), getattr(torch.nn, name)(4, 6, dtype=torch.float64, **options)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    batch_first = options.get("batch_first", False)
    x = rng.standard_normal((3, 7, 4) if batch_first else (7, 3, 4))
    count = options.get("num_layers", 1) * (1 + options.get("bidirectional", False))
    state = tuple(rng.standard_normal((count, 3, width)) for width in (options.get("proj_size", 6), 6)[: 1 + (name == "LSTM")])
    lengths = [7, 2, 5] if packed else None

    tx, tstate = torch.tensor(x, requires_grad=True), tuple(torch.tensor(s, requires_grad=True) for s in state)
    given = torch.nn.utils.rnn.pack_padded_sequence(tx, torch.tensor(lengths), batch_first, enforce_sorted=False) if packed else tx
    ty, tend = theirs(given, tstate if name == "LSTM" else tstate[0])
    if packed:
        ty, _ = torch.nn.utils.rnn.pad_packed_sequence(ty, batch_first)
    tends = tend if name == "LSTM" else (tend,)
    y, end = ours(x, state if name == "LSTM" else state[0], lengths)
    ends = end if name == "LSTM" else (end,)
    np.testing.assert_allclose(y, ty.detach(), atol=1e-13)
    for a, b in zip(ends, tends):
        np.testing.assert_allclose(a, b.detach(), atol=1e-13)

    dy, dends = rng.standard_normal(y.shape), tuple(rng.standard_normal(e.shape) for e in ends)
    torch.autograd.backward([ty, *tends], [torch.tensor(dy), *map(torch.tensor, dends)])
    dx, first = ours.backward(dy, dends if name == "LSTM" else dends[0])
    np.testing.assert_allclose(dx, tx.grad, atol=1e-13)
    for a, b in zip(first if name == "LSTM" else (first,), tstate):
        np.testing.assert_allclose(a, b.grad, atol=1e-13)
    for key, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.grads[key], parameter.grad, atol=1e-12, err_msg=key)


@pytest.mark.parametrize("trailing", [(), (3,)])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_agrees_with_pytorch(trailing, batch_first, side, rng):
    sequences = [rng.standard_normal((length, *trailing)) for length in (4, 1, 6)]
    padded = nn.utils.pad_sequence(sequences, batch_first, 0.5, side)
    expected = torch.nn.utils.rnn.pad_sequence([torch.tensor(s) for s in sequences], batch_first, 0.5, side)
    assert np.array_equal(padded, expected)
    lengths = nn.utils.lengths_of(sequences)
    back = torch.nn.utils.rnn.unpad_sequence(expected, torch.tensor(lengths), batch_first)
    assert all(np.array_equal(a, b) for a, b in zip(nn.utils.unpad_sequence(padded, lengths, batch_first), back, strict=True))
