"""The NumPy reference's losses: every backward against central differences, ignored labels, empty batches, bad arguments."""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import reference as ref
from fastnn.gradcheck import gradcheck

REDUCTIONS = ["mean", "sum", "none"]
LOSSES = "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy cross_entropy kl_div nll_loss"


def check_loss(name, input, target, *options, rng, **keywords):
    """The loss's gradient for its input alone, the target being fixed."""
    forward, backward = getattr(ref, name), getattr(ref, name + "_backward")
    pair = (
        lambda input: forward(input, target, *options, **keywords),
        lambda dy, input: backward(dy, input, target, *options, **keywords),
    )
    gradcheck(pair, input, rng=rng)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(4, 5), (), (0,)])
@pytest.mark.parametrize(
    "name, options", [("mse_loss", ()), ("l1_loss", ()), ("smooth_l1_loss", (0.6,)), ("huber_loss", (0.6,))]
)
def test_regression_loss_backward_matches_central_differences(name, options, shape, reduction, rng):
    input, target = np.asarray(rng.normal(size=shape)), np.asarray(rng.normal(size=shape))
    check_loss(name, input, target, *options, reduction=reduction, rng=rng)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_loss_backward_matches_central_differences(weighted, reduction, rng):
    target = rng.uniform(size=(4, 5))
    weight, pos_weight = (rng.uniform(size=(4, 1)), rng.uniform(size=5)) if weighted else (None, None)
    check_loss("binary_cross_entropy", rng.uniform(0.05, 0.95, (4, 5)), target, weight, reduction=reduction, rng=rng)
    name = "binary_cross_entropy_with_logits"
    check_loss(name, rng.normal(size=(4, 5)), target, weight, pos_weight, reduction=reduction, rng=rng)


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_backward_matches_central_differences(log_target, reduction, rng):
    target = rng.uniform(0.1, 0.9, (4, 5))
    check_loss("kl_div", rng.normal(size=(4, 5)), target, log_target, reduction=reduction, rng=rng)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 5, 3), (2, 5, 3, 2), (0, 5)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_class_loss_backward_matches_central_differences(shape, weighted, smoothing, reduction, rng):
    classes = shape[min(1, len(shape) - 1)]
    weight = rng.uniform(size=classes) if weighted else None
    labels = np.asarray(rng.integers(0, classes, size=shape[:1] * (len(shape) > 1) + shape[2:]))
    if labels.size > 1:
        labels.flat[0] = -100
    input, probabilities = rng.normal(size=shape), rng.uniform(size=shape)
    check_loss("nll_loss", input, labels, weight, reduction=reduction, rng=rng)
    check_loss("cross_entropy", input, labels, weight, label_smoothing=smoothing, reduction=reduction, rng=rng)
    check_loss("cross_entropy", input, probabilities, weight, label_smoothing=smoothing, reduction=reduction, rng=rng)


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
def test_a_mean_over_ignored_labels_alone_is_nan_with_zero_gradient(name, rng):
    input, target = rng.normal(size=(3, 4)), np.full(3, 7)
    assert np.isnan(getattr(ref, name)(input, target, ignore_index=7))
    assert getattr(ref, name)(input, target, ignore_index=7, reduction="sum") == 0
    assert not getattr(ref, name + "_backward")(1.0, input, target, ignore_index=7).any()


@pytest.mark.parametrize("name", ["nll_loss", "cross_entropy"])
@pytest.mark.parametrize("label", [-1, 4])
def test_a_label_out_of_range_is_an_error(name, label):
    with pytest.raises(ValueError, match="labels must be in"):
        getattr(ref, name)(np.zeros((2, 4)), np.array([0, label]))


def test_a_masked_logit_leaves_the_loss_of_other_labels_finite():
    input = np.array([[-np.inf, 0.0, 0.0]])
    np.testing.assert_allclose(ref.cross_entropy(input, np.array([1])), np.log(2))
    assert ref.cross_entropy(input, np.array([0])) == np.inf


def test_losses_keep_float32():
    x, t = np.full((2, 3), 0.25, np.float32), np.full((2, 3), 0.5, np.float32)
    for name in ("mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits "
                 "cross_entropy kl_div").split():  # fmt: skip
        assert getattr(ref, name)(x, t).dtype == np.float32
        assert getattr(ref, name + "_backward")(1.0, x, t).dtype == np.float32


@pytest.mark.parametrize("name", LOSSES.split())
def test_bad_loss_arguments_are_errors(name):
    labels = np.zeros(3, int) if name == "nll_loss" else np.zeros((3, 2))
    with pytest.raises(ValueError, match="reduction"):
        getattr(ref, name)(np.full((3, 2), 0.5), labels, reduction="average")
    with pytest.raises(ValueError, match="shape"):
        getattr(ref, name)(np.full((3, 2), 0.5), np.zeros((2, 2), int if name == "nll_loss" else float))
