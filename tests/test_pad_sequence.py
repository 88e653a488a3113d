"""Sequences of different lengths in one array, and back. PyTorch's own are in test_torch_agreement_recurrent.py."""

import numpy as np
import pytest
from helpers import LAYOUTS

from fastnn import nn
from fastnn.nn.utils import lengths_of, pad_sequence, unpad_sequence

LENGTHS = (3, 0, 5, 1)


def sequences(dtype=np.float32, trailing=(2,)):
    return [np.arange(1, 1 + length * int(np.prod(trailing))).reshape(length, *trailing).astype(dtype) for length in LENGTHS]


@pytest.mark.parametrize("kind", ["f4", "f8", "i8", "u1", "?", ">f4"])
@pytest.mark.parametrize("trailing", [(), (2,), (2, 3), (0,)])
@pytest.mark.parametrize("batch_first", [False, True])
def test_sequences_come_back(kind, trailing, batch_first):
    given = sequences(kind, trailing)
    padded = pad_sequence(given, batch_first)
    assert padded.shape == ((4, 5) if batch_first else (5, 4)) + trailing and padded.dtype == np.dtype(kind).newbyteorder("=") and padded.flags.carray
    rows = padded if batch_first else padded.swapaxes(0, 1)
    for row, sequence in zip(rows, given):
        assert np.array_equal(row[: len(sequence)], sequence) and not row[len(sequence) :].any()
    lengths = lengths_of(given)
    assert lengths.dtype == np.int64 and lengths.tolist() == list(LENGTHS)
    for sequence, back in zip(given, unpad_sequence(padded, lengths, batch_first), strict=True):
        assert np.array_equal(back, sequence) and (np.shares_memory(back, padded) or not back.size)


def test_padding_is_of_any_value_and_on_either_side():
    left = pad_sequence(sequences(), True, np.nan, padding_side="left")
    for row, sequence in zip(left, sequences()):
        assert np.array_equal(row[5 - len(sequence) :], sequence) and np.isnan(row[: 5 - len(sequence)]).all()
    assert (pad_sequence(sequences("i2"), True, -100)[1] == -100).all()
    assert pad_sequence([np.ones(2, "f4"), np.ones(1, "f8"), np.ones(1, "i8")]).dtype == np.float64
    assert pad_sequence([[1, 2], [3]]).tolist() == [[1, 3], [2, 0]]
    assert pad_sequence([np.ones(0)] * 3).shape == (0, 3) and lengths_of([]).shape == (0,)
    assert pad_sequence([np.ones(2)] * 1000).shape == (2, 1000)  # more arrays than NumPy takes at once


@pytest.mark.parametrize("layout", LAYOUTS)
def test_padding_does_not_depend_on_the_layout(layout):
    assert np.array_equal(pad_sequence([LAYOUTS[layout](array) for array in sequences()]), pad_sequence(sequences()))


def test_layers_take_padded_sequences_with_their_lengths():
    layer = nn.LSTM(2, 4, rng=0).eval()
    output, (h, _) = layer(pad_sequence(sequences()), None, lengths_of(sequences()))
    for i, (sequence, y) in enumerate(zip(sequences(), unpad_sequence(output, LENGTHS))):
        if len(sequence):  # a layer refuses one without steps on its own
            alone, (end, _) = layer(sequence)
            assert np.array_equal(y, alone) and np.array_equal(h[:, i], end)


@pytest.mark.parametrize("call, error, sentence", [
    (lambda: pad_sequence([]), ValueError, "at least one sequence, got none"),
    (lambda: pad_sequence([np.ones((2, 3)), np.ones((2, 4))]), ValueError, r"got \(2, 3\) and, as sequences\[1\], \(2, 4\)"),
    (lambda: pad_sequence([np.ones(2), np.float32(1)]), ValueError, r"sequences\[1\] is a single value"),
    (lambda: pad_sequence([["a"]]), TypeError, "sequences must be numbers, got dtype <U1"),
    (lambda: pad_sequence([[1]], padding_value=0.5), ValueError, "padding_value must be a number that int64 holds, got 0.5"),
    (lambda: pad_sequence([np.ones(1, "u1")], padding_value=-1), ValueError, "padding_value must be a number that uint8 holds, got -1"),
    (lambda: pad_sequence([[1]], padding_value=float("nan")), ValueError, "padding_value must be a number that int64 holds, got nan"),
    (lambda: pad_sequence([[1]], padding_side="top"), ValueError, "padding_side must be one of 'right', 'left', got 'top'"),
    (lambda: unpad_sequence(np.ones(3), [3]), ValueError, r"shape \(T, B, ...\), got \(3,\)"),
    (lambda: unpad_sequence(np.ones((3, 2)), [3]), ValueError, r"lengths must have shape \(2,\), one for each sequence, got \(1,\)"),
    (lambda: unpad_sequence(np.ones((3, 2)), [3, 4]), ValueError, "lengths must be from 0 to 3, got 3 to 4"),
    (lambda: unpad_sequence(np.ones((3, 2)), [-1, 2]), ValueError, "lengths must be from 0 to 3, got -1 to 2"),
    (lambda: unpad_sequence(np.ones((3, 2)), [1.0, 2.0]), TypeError, "lengths must be integers, got dtype float64"),
])  # fmt: skip
def test_wrong_arguments_are_told_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()
