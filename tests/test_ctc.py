"""CTC: against the float64 reference and the sum over all paths, with the same bits everywhere, gradients against central differences."""

import itertools

import numpy as np
import pytest
from helpers import LAYOUTS, assert_close, assert_same_bits

import fastnn
from fastnn import kernels, nn, optim, reference
from fastnn.gradcheck import gradcheck

REDUCTIONS = ("mean", "sum", "none")


def log_softmax(x):
    return reference.log_softmax(x, axis=-1)


def problem(rng, steps, batch, classes, most, dtype=np.float64, blank=0):
    """log_probs, padded targets with repeated labels, input lengths, target lengths; some targets may be impossible."""
    x = log_softmax(2 * rng.standard_normal((steps, batch, classes)))
    labels = rng.integers(1, classes, (batch, most))
    labels[:, 1::3] = labels[:, 0:1]
    targets = (labels + blank) % classes
    lengths = rng.integers(0, most + 1, batch)
    lengths[: batch // 2] = most
    return x.astype(dtype), targets, rng.integers(steps // 2, steps + 1, batch), lengths


def concatenated(targets, lengths):
    return np.concatenate([row[:n] for row, n in zip(targets, lengths)]) if len(targets) else np.zeros(0, int)


def by_all_paths(log_probs, target, blank):
    """The loss of one sequence from every path there is."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        merged = [c for i, c in enumerate(path) if i == 0 or c != path[i - 1]]
        if [c for c in merged if c != blank] == list(target):
            total += np.exp(sum(log_probs[t, c] for t, c in enumerate(path)))
    with np.errstate(divide="ignore"):
        return -np.log(total)


@pytest.mark.parametrize("blank", [0, 1, 2])
@pytest.mark.parametrize("target", [(), (0,), (0, 0), (0, 1), (0, 1, 0), (1, 1, 1), (0, 0, 1, 1)])
@pytest.mark.parametrize("steps", [0, 1, 2, 4, 5])
def test_is_the_sum_over_all_paths(steps, target, blank, rng):
    others = [c for c in range(3) if c != blank]
    target = np.array([others[c] for c in target], int)
    x = log_softmax(rng.standard_normal((steps, 3)))
    expected = by_all_paths(x, target, blank)
    for forward in (kernels.ctc_loss, reference.ctc_loss):
        np.testing.assert_allclose(forward(x, target, steps, len(target), blank, "sum"), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(1, 1, 2, 1), (6, 3, 4, 2), (20, 4, 5, 7), (30, 2, 3, 8), (50, 5, 40, 17), (13, 3, 130, 4), (7, 4, 5, 0)])
def test_matches_reference(shape, reduction, dtype, rng):
    steps, batch, classes, most = shape
    blank = classes // 2
    x, targets, input_lengths, lengths = problem(rng, *shape, dtype, blank)
    for zero_infinity in (False, True):
        options = blank, reduction, zero_infinity
        expected = reference.ctc_loss(x.astype(np.float64), targets, input_lengths, lengths, *options)
        dy = rng.standard_normal(batch).astype(dtype) if reduction == "none" else 1.5
        slope = reference.ctc_loss_backward(dy, x.astype(np.float64), targets, input_lengths, lengths, *options)
        for labels in (targets, concatenated(targets, lengths)):
            loss = kernels.ctc_loss(x, labels, input_lengths, lengths, *options)
            assert isinstance(loss, np.ndarray if reduction == "none" else float)
            assert_close(np.asarray(loss, dtype), expected, 4 * steps)
            dx = kernels.ctc_loss_backward(dy, x, labels, input_lengths, lengths, *options)
            assert dx.dtype == dtype
            # A probability is subtracted from another one, and the states' logarithms are as large as the loss: so is the error of their exp.
            largest = np.abs(expected[np.isfinite(expected)]).max(initial=1) * (steps if reduction == "mean" else 1)
            assert_close(dx, slope, 4 * steps, np.abs(dy).max() * np.broadcast_to(largest, dx.shape))


def test_long_sequences_and_many_labels(dtype, rng):
    x, targets, input_lengths, lengths = problem(rng, 700, 2, 6, 150, dtype)
    loss = kernels.ctc_loss(x, targets, input_lengths, lengths, reduction="none")
    assert_close(loss, reference.ctc_loss(x.astype(np.float64), targets, input_lengths, lengths, reduction="none"), 3000)


@pytest.mark.parametrize("shape", [(7, 3, 5, 2), (9, 5, 37, 4), (40, 7, 4, 15)])
def test_is_bitwise_equal_across_instruction_sets_and_threads(shape, dtype, rng):
    x, targets, input_lengths, lengths = problem(rng, *shape, dtype)
    for labels in (targets, concatenated(targets, lengths)):
        for reduction in REDUCTIONS:
            dy = x[0, :, 0].copy() if reduction == "none" else 0.7
            assert_same_bits(lambda: np.asarray(kernels.ctc_loss(x, labels, input_lengths, lengths, reduction=reduction)))
            assert_same_bits(lambda: kernels.ctc_loss_backward(dy, x, labels, input_lengths, lengths, 0, reduction, True))


def test_a_sequence_does_not_depend_on_its_batch(dtype, rng):
    x, targets, input_lengths, lengths = problem(rng, 25, 6, 5, 8, dtype)
    losses = kernels.ctc_loss(x, targets, input_lengths, lengths, reduction="none")
    dx = kernels.ctc_loss_backward(np.ones(6, dtype), x, targets, input_lengths, lengths, reduction="none")
    for n in range(6):
        one = x[:, n], targets[n, : lengths[n]], input_lengths[n], lengths[n]
        alone = kernels.ctc_loss(*one, reduction="none")
        assert alone.shape == () and alone == losses[n]
        np.testing.assert_array_equal(kernels.ctc_loss_backward(np.ones((), dtype), *one, reduction="none"), dx[:, n])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_matter(layout, dtype, rng):
    x, *rest = problem(rng, 9, 3, 5, 3, dtype)
    relaid, others = LAYOUTS[layout](x), [LAYOUTS[layout](a) for a in rest]
    assert kernels.ctc_loss(relaid, *others) == kernels.ctc_loss(x, *rest)
    np.testing.assert_array_equal(kernels.ctc_loss_backward(1.0, relaid, *others), kernels.ctc_loss_backward(1.0, x, *rest))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradient_through_log_softmax_matches_central_differences(reduction, rng):
    _, targets, _, lengths = problem(rng, 9, 3, 4, 3)
    loss, before = nn.CTCLoss(reduction=reduction), nn.LogSoftmax(-1)
    steps = np.array([9, 7, 8])

    def backward(dy, x):
        return before.backward(loss.backward(dy))

    gradcheck((lambda x: np.asarray(loss(before(x), targets, steps, lengths)), backward), rng.standard_normal((9, 3, 4)))


def test_impossible_targets(dtype):
    x = log_softmax(np.zeros((3, 4, 3), dtype))
    targets = np.array([[1, 1, 0], [1, 2, 1], [1, 1, 1], [1, 2, 2]])  # the last two need 5 and 4 steps
    arguments = x, targets, [3, 3, 3, 3], [2, 3, 3, 3]
    losses = kernels.ctc_loss(*arguments, reduction="none")
    assert np.isfinite(losses[:2]).all() and np.isposinf(losses[2:]).all()
    assert kernels.ctc_loss(*arguments) == np.inf
    np.testing.assert_array_equal(kernels.ctc_loss(*arguments, reduction="none", zero_infinity=True)[2:], 0)
    assert np.isfinite(kernels.ctc_loss(*arguments, zero_infinity=True))
    dx = kernels.ctc_loss_backward(1.0, *arguments)
    assert np.isfinite(dx[:, :2]).all() and np.isnan(dx[:, 2:]).all()
    dx = kernels.ctc_loss_backward(1.0, *arguments, zero_infinity=True)
    assert dx[:, :2].any() and not dx[:, 2:].any()


def test_impossible_classes_do_not_make_nan(dtype):
    with np.errstate(divide="ignore"):
        x = np.log(np.array([[0.5, 0.5, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5]], dtype))
    # Of the paths 0 1 2, 1 0 2 and 1 1 2, two have a 1 in each of the first two steps.
    np.testing.assert_allclose(kernels.ctc_loss(x, [1, 2], 3, 2, reduction="sum"), -np.log(3 / 8), rtol=1e-6)
    dx = kernels.ctc_loss_backward(1.0, x, [1, 2], 3, 2, reduction="sum")
    np.testing.assert_allclose(dx, [[1 / 6, -1 / 6, 0], [1 / 6, -1 / 6, 0], [0.25, 0.25, -0.5]], atol=1e-6)


def test_nan_stays_in_its_sequence(dtype, rng):
    x, targets, input_lengths, lengths = problem(rng, 12, 3, 5, 3, dtype)
    x[2, 1, 0] = np.nan
    losses = kernels.ctc_loss(x, targets, input_lengths, lengths, reduction="none")
    assert np.isnan(losses).tolist() == [False, True, False]
    dx = kernels.ctc_loss_backward(1.0, x, targets, input_lengths, lengths)
    assert np.isnan(dx).any(axis=(0, 2)).tolist() == [False, True, False]


def test_empty(dtype):
    for targets in (np.zeros((0, 3), int), np.zeros((0, 0), int), np.zeros(0, int)):
        arguments = np.zeros((5, 0, 4), dtype), targets, np.zeros(0, int), np.zeros(0, int)
        assert np.isnan(kernels.ctc_loss(*arguments)) and kernels.ctc_loss(*arguments, reduction="sum") == 0
        assert kernels.ctc_loss_backward(1.0, *arguments).shape == (5, 0, 4)
    arguments = np.zeros((0, 2, 4), dtype), [[1], [1]], [0, 0], [0, 1]
    np.testing.assert_array_equal(kernels.ctc_loss(*arguments, reduction="none"), [0, np.inf])
    assert kernels.ctc_loss_backward(1.0, *arguments).shape == (0, 2, 4)


def test_layer_and_saved(dtype, rng):
    arguments = problem(rng, 9, 3, 5, 3, dtype, blank=2)
    loss = nn.CTCLoss(2, "sum", True)
    value, saved = kernels.ctc_loss(*arguments, 2, "sum", True, keep=True)
    assert loss(*arguments) == value == saved[0]
    expected = kernels.ctc_loss_backward(0.5, *arguments, 2, "sum", True)
    np.testing.assert_array_equal(loss.backward(0.5), expected)
    np.testing.assert_array_equal(kernels.ctc_loss_backward(0.5, *arguments, 2, "sum", True, saved=saved), expected)
    assert repr(loss) == "CTCLoss(blank=2, reduction='sum', zero_infinity=True)"


class Frames(nn.Module):
    """Log-probabilities (T, N, C) of frames (T, N, F)."""

    def __init__(self, dtype):
        self.linear, self.softmax = nn.Linear(6, 5, dtype=dtype, rng=1), nn.LogSoftmax(-1)

    def forward(self, x):
        return self.softmax(self.linear(x))

    def backward(self, dy):
        return self.linear.backward(self.softmax.backward(dy))


def test_captured_batches_have_the_eager_bits_and_are_checked(dtype, rng):
    sides = []
    for _ in range(2):
        model, loss = Frames(dtype), nn.CTCLoss()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        sides.append((model, loss, optimizer, fastnn.capture(model, loss, optimizer)))
    (model, loss, optimizer, _), (other, _, _, step) = sides
    x = rng.standard_normal((12, 3, 6)).astype(dtype)
    for _ in range(4):
        _, targets, input_lengths, lengths = problem(rng, 12, 3, 5, 4)
        y = targets, np.maximum(input_lengths, 9), lengths
        value = loss(model(x), *y)
        optimizer.zero_grad()
        model.backward(loss.backward())
        optimizer.step()
        assert step(x, y) == value
        np.testing.assert_array_equal(model.linear.weight, other.linear.weight)
    for bad, words in (
        ((targets * 0, *y[1:]), r"but for the blank, 0, got 0 at index"),
        ((targets, y[1] + 4, y[2]), "input_lengths must be from 0 to 12, the steps of log_probs, got 1"),
        ((targets, y[1], np.array([0, 5, 0])), r"target_lengths must be from 0 to 4 for targets of shape \(3, 4\), got 5 at index 1"),
    ):
        with pytest.raises(ValueError, match=words):
            step(x, bad)
        np.testing.assert_array_equal(model.linear.weight, other.linear.weight)


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = log_softmax(np.zeros((5, 2, 4), dtype))
    good = [[1, 2], [3, 1]], [5, 5], [2, 2]
    cases = [
        ((x, [[1, 4], [3, 1]], *good[1:]), r"targets must hold classes from 0 to 3 but for the blank, 0, got 4 at index \(0, 1\)"),
        ((x, [[1, 2], [-1, 1]], *good[1:]), r"got -1 at index \(1, 0\)"),
        ((x, [1, 2, 3, 0], *good[1:]), r"got 0 at index \(3,\)"),
        ((x, [[1, 2], [2**62, 1]], *good[1:]), "got 4611686018427387904"),
        ((x, good[0], [5, 6], [2, 2]), "input_lengths must be from 0 to 5, the steps of log_probs, got 6 at index 1"),
        ((x, good[0], [-1, 5], [2, 2]), "got -1 at index 0"),
        ((x, good[0], [5, 5], [2, 3]), r"target_lengths must be from 0 to 2 for targets of shape \(2, 2\), got 3 at index 1"),
        ((x, good[0], [5, 5], [2, -1]), "got -1 at index 1"),
        ((x, [1, 2, 3], [5, 5], [2, 2]), r"target_lengths must be at least 0 and add up to the 3 labels of targets, got \[2, 2\]"),
        ((x, [1, 2, 3], [5, 5], [1, 1]), r"add up to the 3 labels of targets, got \[1, 1\]"),
        ((x, [1, 2, 3], [5, 5], [2**62, 2**62]), "add up to the 3 labels"),
        ((x, [1, 2, 3], [5, 5], [4, -1]), "add up to the 3 labels"),
        ((x, good[0], [5], [2, 2]), r"input_lengths must have shape \(2,\), one for each sequence, got \(1,\)"),
        ((x, good[0], [5, 5], 2), r"target_lengths must have shape \(2,\), one for each sequence, got \(\)"),
        ((x, [[1, 2]], [5, 5], [2, 2]), r"targets must have shape \(2, S\), or one axis .*, got \(1, 2\)"),
        ((x, 1, [5, 5], [2, 2]), r"targets must have shape \(2, S\), .*, got \(\)"),
        ((x[0, 0], *good), r"log_probs must have shape \(T, N, C\) or \(T, C\), got \(4,\)"),
        ((x, *good, 4), "blank must be one of the 4 classes of log_probs, got 4"),
        ((x, *good, -1), "blank must be one of the 4 classes of log_probs, got -1"),
        ((x, *good, 0, "average"), "reduction must be"),
    ]
    for arguments, words in cases:
        with pytest.raises(ValueError, match=words):
            kernels.ctc_loss(*arguments)
    with pytest.raises(TypeError, match="targets must be integers, got float64"):
        kernels.ctc_loss(x, [1.0, 2.0], *good[1:])
    with pytest.raises(TypeError, match="input_lengths must be integers"):
        kernels.ctc_loss(x, good[0], [5.0, 5.0], [2, 2])
    with pytest.raises(TypeError, match="log_probs must be float32 or float64, got int64"):
        kernels.ctc_loss(np.zeros((5, 2, 4), np.int64), *good)
    with pytest.raises(ValueError, match="saved must be what ctc_loss"):
        kernels.ctc_loss_backward(1.0, x, *good, saved=np.zeros(3, dtype))
    with pytest.raises(ValueError, match=r'dy must have shape \(2,\) with reduction "none", got \(3,\)'):
        kernels.ctc_loss_backward(np.zeros(3, dtype), x, *good, reduction="none")
    with pytest.raises(RuntimeError, match="CTCLoss.backward needs a forward"):
        nn.CTCLoss().backward()
