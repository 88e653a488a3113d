"""Losses: against the float64 reference, with the same bits everywhere, gradients against central differences, labels checked.

Long, because every loss goes through the same checks, and their tables of cases stand beside them.
"""

import numpy as np
import pytest
from helpers import LAYOUTS, SIZES, assert_close, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck


def any_pair(rng, shape):
    return 2 * rng.standard_normal(shape), rng.standard_normal(shape)


def unit_pair(rng, shape):
    return rng.uniform(0.02, 0.98, shape), rng.uniform(0, 1, shape)


def logit_pair(rng, shape):
    return 3 * rng.standard_normal(shape), rng.uniform(0, 1, shape)


def log_pair(rng, shape):
    x, t = rng.uniform(0.05, 1, (2, *shape))
    return np.log(x), t


def log_log_pair(rng, shape):
    return tuple(np.log(rng.uniform(0.05, 1, (2, *shape))))


def sign_pair(rng, shape):
    return 2 * rng.standard_normal(shape), rng.choice([-1, 1], shape)


def count_pair(rng, shape):
    return rng.uniform(0.2, 2, shape), rng.integers(0, 9, shape)


# Element-wise losses: kernel, its options, how to draw (input, target), and the layer.
CASES = {
    "mse": ("mse_loss", {}, any_pair, nn.MSELoss),
    "l1": ("l1_loss", {}, any_pair, nn.L1Loss),
    "smooth l1": ("smooth_l1_loss", {}, any_pair, nn.SmoothL1Loss),
    "smooth l1, beta 0.5": ("smooth_l1_loss", {"beta": 0.5}, any_pair, nn.SmoothL1Loss),
    "huber": ("huber_loss", {}, any_pair, nn.HuberLoss),
    "huber, delta 2": ("huber_loss", {"delta": 2.0}, any_pair, nn.HuberLoss),
    "bce": ("binary_cross_entropy", {}, unit_pair, nn.BCELoss),
    "bce with logits": ("binary_cross_entropy_with_logits", {}, logit_pair, nn.BCEWithLogitsLoss),
    "kl": ("kl_div", {}, log_pair, nn.KLDivLoss),
    "kl, log target": ("kl_div", {"log_target": True}, log_log_pair, nn.KLDivLoss),
    "hinge embedding": ("hinge_embedding_loss", {"margin": 0.8}, sign_pair, nn.HingeEmbeddingLoss),
    "soft margin": ("soft_margin_loss", {}, sign_pair, nn.SoftMarginLoss),
    "poisson": ("poisson_nll_loss", {}, count_pair, nn.PoissonNLLLoss),
    "poisson, full": ("poisson_nll_loss", {"full": True}, count_pair, nn.PoissonNLLLoss),
    "poisson of rates": ("poisson_nll_loss", {"log_input": False, "full": True, "eps": 0.1}, count_pair, nn.PoissonNLLLoss),
    "poisson of rates, without eps": ("poisson_nll_loss", {"log_input": False, "eps": 0}, count_pair, nn.PoissonNLLLoss),
}
REDUCTIONS = ("mean", "sum", "none")


def reductions(case):
    return (*REDUCTIONS, "batchmean") if case.startswith("kl") else REDUCTIONS


def functions(name):
    return (getattr(module, n) for module in (kernels, reference) for n in (name, name + "_backward"))


def drawn(case, shape, dtype, rng):
    return (np.asarray(a, dtype) for a in CASES[case][2](rng, shape))


def exact(x):
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def check(name, x, t, dtype, rng, reduction, options, terms):
    forward, backward, exact_forward, exact_backward = functions(name)
    wide = {k: exact(v) for k, v in options.items()}
    with np.errstate(all="ignore"):
        loss = forward(x, t, reduction=reduction, **options)
        expected = exact_forward(exact(x), exact(t), reduction=reduction, **wide)
    assert isinstance(loss, np.ndarray if reduction == "none" else float)
    cancels = 16 if name == "poisson_nll_loss" else None  # exp(x) - t x, both up to 16
    assert_close(np.asarray(loss, dtype), expected, terms, cancels and cancels * (np.size(t) if reduction == "sum" else 1))
    dy = rng.standard_normal(np.shape(loss)).astype(dtype) if reduction == "none" else 1.5
    dx = backward(dy, x, t, reduction=reduction, **options)
    assert dx.dtype == dtype
    expected = exact_backward(exact(np.asarray(dy)), exact(x), exact(t), reduction=reduction, **wide)
    # Where a probability is subtracted from another, the error is that of the two: about dy, over the number of samples for the mean.
    scale = np.abs(dy).max(initial=0) / (max(np.size(t), 1) if reduction == "mean" else 1)
    subtracts = name in ("cross_entropy", "binary_cross_entropy_with_logits")
    assert_close(dx, expected, terms, scale * cancels if cancels else scale if subtracts else None)


# --- element-wise losses ---


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("n", (*SIZES, 1024, 1025, 5000))
def test_matches_reference(case, n, dtype, rng):
    x, t = drawn(case, (n,), dtype, rng)
    for reduction in reductions(case):
        check(CASES[case][0], x, t, dtype, rng, reduction, CASES[case][1], 16 + n // 32)


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_cross_entropy_with_logits"])
@pytest.mark.parametrize("shape", [(7, 5), (5,), (7, 1), (), (1, 1)])
def test_weights_broadcast(name, shape, dtype, rng):
    x, t = (a.astype(dtype) for a in unit_pair(rng, (7, 5)))
    weights = {"weight": rng.uniform(0.1, 2, shape).astype(dtype)}
    if name.endswith("logits"):
        weights["pos_weight"] = rng.uniform(0.1, 2, shape).astype(dtype)
    for reduction in REDUCTIONS:
        check(name, x, t, dtype, rng, reduction, weights, 16)


def test_binary_cross_entropy_is_finite_at_zero_and_one(dtype):
    x = np.array([0, 0, 1, 1, 0.5], dtype)
    t = np.array([0, 1, 0, 1, 1], dtype)
    check("binary_cross_entropy", x, t, dtype, np.random.default_rng(0), "none", {}, 4)
    np.testing.assert_array_equal(kernels.binary_cross_entropy(x, t, reduction="none")[:4], [0, 100, 100, 0])


def test_binary_cross_entropy_with_logits_is_stable(dtype):
    x = np.array([1e4, -1e4, 1e4, -1e4, 0, 100, -100], dtype)
    t = np.array([1, 0, 0, 1, 0.5, 1, 0], dtype)
    check("binary_cross_entropy_with_logits", x, t, dtype, np.random.default_rng(0), "none", {}, 4)


def test_kl_div_of_a_zero_target_is_zero(dtype):
    x, t = np.array([-1, -1e4, -2], dtype), np.array([0, 0, 1], dtype)
    np.testing.assert_array_equal(kernels.kl_div(x, t, reduction="none"), [0, 0, 2])


@pytest.mark.parametrize("case", CASES)
def test_nan_propagates(case, dtype, rng):
    name, options = CASES[case][:2]
    for which in range(2):
        pair = list(drawn(case, (40,), dtype, rng))
        pair[which][17] = np.nan
        assert np.isnan(getattr(kernels, name)(*pair, **options))
        assert np.flatnonzero(np.isnan(getattr(kernels, name)(*pair, reduction="none", **options))).tolist() == [17]
        if not (case.startswith(("kl", "hinge")) and which == 0):  # their gradients do not depend on input, hinge's where target is 1
            dx = getattr(kernels, name + "_backward")(1.0, *pair, **options)
            assert np.flatnonzero(np.isnan(dx)).tolist() == [17]


@pytest.mark.parametrize("case", CASES)
def test_is_bitwise_equal_across_instruction_sets_and_threads(case, dtype, rng):
    name, options = CASES[case][:2]
    x, t = drawn(case, (9, 1001), dtype, rng)
    for reduction in REDUCTIONS:
        dy = x if reduction == "none" else 0.7
        assert_same_bits(lambda: np.asarray(getattr(kernels, name)(x, t, reduction=reduction, **options)))
        assert_same_bits(lambda: getattr(kernels, name + "_backward")(dy, x, t, reduction=reduction, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_layout_does_not_matter(case, layout, dtype, rng):
    name, options = CASES[case][:2]
    x, t = drawn(case, (3, 5, 7), dtype, rng)
    relaid = LAYOUTS[layout]
    assert getattr(kernels, name)(relaid(x), relaid(t), **options) == getattr(kernels, name)(x, t, **options)
    backward = getattr(kernels, name + "_backward")
    np.testing.assert_array_equal(
        backward(relaid(x), relaid(x), relaid(t), reduction="none", **options), backward(x, x, t, reduction="none", **options)
    )


@pytest.mark.parametrize("case", CASES)
def test_gradient_matches_central_differences(case, rng):
    name, options, _, layer = CASES[case]
    x, t = drawn(case, (4, 6), np.float64, rng)
    for reduction in reductions(case):
        loss = layer(reduction=reduction, **options)
        if reduction == "none":
            gradcheck((lambda a: loss(a, t), lambda dy, a: loss.backward(dy)), x)
        else:
            gradcheck(loss, x, t)


def test_mean_over_nothing_is_nan_and_sum_is_zero(dtype):
    x = np.zeros((0, 3), dtype)
    for case, (name, options, _, layer) in CASES.items():
        assert np.isnan(getattr(kernels, name)(x, x, **options)), case
        assert getattr(kernels, name)(x, x, reduction="sum", **options) == 0
        assert getattr(kernels, name + "_backward")(1.0, x, x, **options).shape == (0, 3)
        assert getattr(kernels, name)(x, x, reduction="none", **options).shape == (0, 3)


# --- classes ---

SHAPES = [(1, 1), (5, 2), (64, 10), (65, 10), (7, 16), (7, 33), (3, 5000), (2, 3, 1), (2, 10, 5), (3, 7, 65), (2, 130, 4, 5), (10,), (1,)]


def label_case(shape, dtype, rng):
    x = (3 * rng.standard_normal(shape)).astype(dtype)
    n = shape[1] if len(shape) > 1 else shape[0]
    labels = rng.integers(0, n, shape[:1] + shape[2:] if len(shape) > 1 else ())
    probabilities = rng.uniform(0, 1, shape).astype(dtype)
    probabilities /= probabilities.sum(axis=1 if len(shape) > 1 else 0, keepdims=True)
    return x, np.asarray(labels), probabilities, rng.uniform(0.1, 2, n).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_cross_entropy_matches_reference(shape, reduction, dtype, rng):
    x, labels, probabilities, weight = label_case(shape, dtype, rng)
    terms = max(shape) + 16
    for target in (labels, probabilities):
        for options in ({}, {"weight": weight}, {"label_smoothing": 0.1}, {"weight": weight, "label_smoothing": 0.3}, {"label_smoothing": 1.0}):
            check("cross_entropy", x, target, dtype, rng, reduction, options, terms)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_nll_loss_matches_reference(shape, reduction, dtype, rng):
    x, labels, _, weight = label_case(shape, dtype, rng)
    for options in ({}, {"weight": weight}):
        check("nll_loss", x, labels, dtype, rng, reduction, options, max(shape) + 16)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
@pytest.mark.parametrize("shape", [(64, 10), (130, 3), (4, 10, 70)])
@pytest.mark.parametrize("ignore_index", [-100, -1, 2, 10**12])
def test_ignored_labels_do_not_count(name, shape, ignore_index, dtype, rng):
    x, labels, _, weight = label_case(shape, dtype, rng)
    labels[rng.uniform(size=labels.shape) < 0.4] = ignore_index
    for reduction in REDUCTIONS:
        for options in ({}, {"weight": weight}):
            check(name, x, labels, dtype, rng, reduction, {"ignore_index": ignore_index, **options}, 80)
    ignored = labels == ignore_index
    gradient = getattr(kernels, name + "_backward")(1.0, x, labels, ignore_index=ignore_index)
    assert not np.moveaxis(gradient, 1, -1)[ignored].any()


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_all_ignored_is_nan_with_zero_gradient(name, dtype):
    x, labels = np.ones((3, 4), dtype), np.full(3, -100)
    assert np.isnan(getattr(kernels, name)(x, labels))
    assert getattr(kernels, name)(x, labels, reduction="sum") == 0
    assert not getattr(kernels, name + "_backward")(1.0, x, labels).any()


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_empty_batch(name, dtype):
    x, labels = np.ones((0, 4), dtype), np.zeros(0, np.int64)
    assert np.isnan(getattr(kernels, name)(x, labels))
    assert getattr(kernels, name)(x, labels, reduction="sum") == 0
    assert getattr(kernels, name + "_backward")(1.0, x, labels).shape == (0, 4)
    assert np.isnan(kernels.cross_entropy(x, x))


@pytest.mark.parametrize("columns", [False, True])
def test_extreme_logits_are_stable(columns, dtype, rng):
    inf = np.inf
    x = np.array([[1e4, -1e4, 0, 5], [-1e4, 1e4, 3, 1], [1, -inf, 2, 0], [-inf, 0, -inf, -inf], [-1e4, -1e4, -1e4, -1e4]], dtype)
    labels = np.array([1, 1, 0, 1, 2])
    if columns:
        x = np.ascontiguousarray(np.stack([x] * 3, axis=-1))
        labels = np.stack([labels] * 3, axis=-1)
    check("cross_entropy", x, labels, dtype, rng, "none", {}, 8)
    check("cross_entropy", x, labels, dtype, rng, "mean", {}, 8)
    with np.errstate(all="ignore"):
        assert np.isinf(kernels.cross_entropy(x, np.where(labels == 0, 1, labels)))
        for bad in (np.nan, inf):
            y = x.copy()
            y[0, 3] = bad
            loss = kernels.cross_entropy(y, labels, reduction="none")
            assert np.isnan(loss[0]).all() and not np.isnan(loss[1:]).any()
            gradient = kernels.cross_entropy_backward(1.0, y, labels)
            assert np.isnan(gradient[0]).all() and not np.isnan(gradient[1:]).any()


@pytest.mark.parametrize("shape", [(200, 10), (70, 33), (3, 10, 130), (5, 3, 7)])
def test_classes_are_bitwise_equal_across_instruction_sets_and_threads(shape, dtype, rng):
    x, labels, probabilities, weight = label_case(shape, dtype, rng)
    labels.ravel()[::7] = -100
    x.ravel()[3] = np.nan
    for reduction in REDUCTIONS:
        dy = rng.standard_normal(labels.shape).astype(dtype) if reduction == "none" else 1.0
        for target in (labels, probabilities):
            for options in ({}, {"weight": weight, "label_smoothing": 0.1}):
                options["reduction"] = reduction
                assert_same_bits(lambda: np.asarray(kernels.cross_entropy(x, target, **options)))
                assert_same_bits(lambda: kernels.cross_entropy_backward(dy, x, target, **options))
        assert_same_bits(lambda: np.asarray(kernels.nll_loss(x, labels, weight, reduction=reduction)))
        assert_same_bits(lambda: kernels.nll_loss_backward(dy, x, labels, weight, reduction=reduction))


@pytest.mark.parametrize("shape", [(9, 10), (9, 40), (9, 5, 3)])
def test_a_sample_does_not_depend_on_its_batch(shape, dtype, rng):
    x, labels, *_ = label_case(shape, dtype, rng)
    losses = kernels.cross_entropy(x, labels, reduction="none")
    dx = kernels.cross_entropy_backward(np.ones_like(losses), x, labels, reduction="none")
    for i in range(9):
        alone = kernels.cross_entropy(x[i : i + 1], labels[i : i + 1], reduction="none")
        np.testing.assert_array_equal(alone[0], losses[i])
        gradient = kernels.cross_entropy_backward(np.ones_like(alone), x[i : i + 1], labels[i : i + 1], reduction="none")
        np.testing.assert_array_equal(gradient[0], dx[i])


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64, ">i4"])
def test_labels_of_any_integer_type(kind, dtype, rng):
    x, labels, *_ = label_case((12, 10), dtype, rng)
    expected = kernels.cross_entropy(x, labels)
    assert kernels.cross_entropy(x, labels.astype(kind)) == expected
    assert kernels.cross_entropy(x, labels.tolist()) == expected
    np.testing.assert_array_equal(kernels.cross_entropy_backward(1.0, x, labels.astype(kind)), kernels.cross_entropy_backward(1.0, x, labels))
    assert kernels.cross_entropy(x[0], int(labels[0])) == kernels.cross_entropy(x[:1], labels[:1])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_class_layout_does_not_matter(layout, dtype, rng):
    x, labels, probabilities, _ = label_case((4, 6, 5), dtype, rng)
    relaid = LAYOUTS[layout]
    for target in (labels, probabilities):
        assert kernels.cross_entropy(relaid(x), relaid(target)) == kernels.cross_entropy(x, target)
        np.testing.assert_array_equal(
            kernels.cross_entropy_backward(1.0, relaid(x), relaid(target)), kernels.cross_entropy_backward(1.0, x, target)
        )


@pytest.mark.parametrize("shape", [(6, 5), (5,), (2, 5, 3)])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_class_gradients_match_central_differences(shape, reduction, rng):
    x, labels, probabilities, weight = label_case(shape, np.float64, rng)
    losses = [(nn.CrossEntropyLoss(reduction=reduction), t) for t in (labels, probabilities)]
    losses += [(nn.CrossEntropyLoss(weight, reduction=reduction, label_smoothing=0.2), t) for t in (labels, probabilities)]
    losses += [(nn.NLLLoss(weight, reduction=reduction), labels)]
    for loss, target in losses:
        if reduction == "none":
            gradcheck((lambda a: loss(a, target), lambda dy, a: loss.backward(dy)), x)
        else:
            gradcheck(loss, x, target)


def test_layers_pass_their_arguments_on(dtype, rng):
    x, labels, _, weight = label_case((8, 5), dtype, rng)
    labels[2] = 3
    loss = nn.CrossEntropyLoss(weight, ignore_index=3, reduction="sum", label_smoothing=0.1)
    assert loss(x, labels) == kernels.cross_entropy(x, labels, weight, 3, 0.1, "sum")
    np.testing.assert_array_equal(loss.backward(2.0), kernels.cross_entropy_backward(2.0, x, labels, weight, 3, 0.1, "sum"))
    assert repr(loss) == "CrossEntropyLoss(ignore_index=3, reduction='sum', label_smoothing=0.1)"
    logits, t = (a.astype(dtype) for a in logit_pair(rng, (8, 5)))
    loss = nn.BCEWithLogitsLoss(pos_weight=weight, reduction="sum")
    assert loss(logits, t) == kernels.binary_cross_entropy_with_logits(logits, t, None, weight, "sum")
    assert list(loss.state_dict()) == ["pos_weight"]


def test_saved_holds_the_loss(dtype, rng):
    x, labels, *_ = label_case((8, 5), dtype, rng)
    loss, saved = kernels.cross_entropy(x, labels, keep=True)
    assert saved[0] == loss
    loss, saved = kernels.mse_loss(x, x[::-1], keep=True)
    assert saved[0] == loss


# --- bad input ---


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_bad_labels_are_refused_in_a_sentence(name, dtype):
    f = getattr(kernels, name)
    x = np.ones((3, 4), dtype)
    for label in (4, -1, -101, 2**62, -(2**63)):
        with pytest.raises(ValueError, match=rf"target must hold classes from 0 to 3 \(4 classes\), got {label} at index \(1,\)"):
            f(x, np.array([0, label, 2]))
    with pytest.raises(ValueError, match=r"target must have shape \(3,\) for an input of shape \(3, 4\), got \(4,\)"):
        f(x, np.zeros(4, np.int64))
    with pytest.raises(ValueError, match=r"target must have shape \(3, 5\) for an input of shape \(3, 4, 5\), got \(3, 6\)"):
        f(np.ones((3, 4, 5), dtype), np.zeros((3, 6), np.int64))
    with pytest.raises(ValueError, match="input must have shape"):
        f(np.array(1, dtype), 0)
    with pytest.raises(ValueError, match=r"weight must have shape \(4,\)"):
        f(x, [0, 1, 2], np.ones(3, dtype))
    with pytest.raises(TypeError, match="weight must have input's dtype"):
        f(x, [0, 1, 2], np.ones(4, np.float32 if dtype == np.float64 else np.float64))
    with pytest.raises(ValueError, match="reduction must be"):
        f(x, [0, 1, 2], reduction="average")


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((2, 3), dtype)
    other = np.float32 if dtype == np.float64 else np.float64
    with pytest.raises(TypeError, match="target must be float32 or float64, got bool"):
        kernels.cross_entropy(x, x > 0)
    with pytest.raises(TypeError, match="target must have input's dtype"):
        kernels.cross_entropy(x, x.astype(other))
    with pytest.raises(ValueError, match=r"target must have input's shape \(2, 3\), got \(2,\)"):
        kernels.cross_entropy(x, x[:, 0])
    with pytest.raises(ValueError, match="label_smoothing must be between 0 and 1, got 2"):
        kernels.cross_entropy(x, [0, 1], label_smoothing=2)
    with pytest.raises(TypeError, match="target must be integers, got float"):
        kernels.nll_loss(x, x[:, 0])
    with pytest.raises(ValueError, match=r"target must have input's shape \(2, 3\), got \(3, 2\)"):
        kernels.mse_loss(x, x.T)
    with pytest.raises(TypeError, match="target must have input's dtype"):
        kernels.mse_loss(x, x.astype(other))
    with pytest.raises(ValueError, match=r"input must be between 0 and 1, got 2.* at index \(1, 0\)"):
        kernels.binary_cross_entropy(np.array([[0, 1], [2, -1]], dtype), np.ones((2, 2), dtype))
    with pytest.raises(ValueError, match=r"target must be between 0 and 1, got -1.* at index \(0,\)"):
        kernels.binary_cross_entropy(np.array([0.5], dtype), np.array([-1], dtype))
    with pytest.raises(ValueError, match=r"pos_weight must broadcast to input's shape \(2, 3\), got \(4,\)"):
        kernels.binary_cross_entropy_with_logits(x, x, pos_weight=np.ones(4, dtype))
    with pytest.raises(ValueError, match="beta must be at least 0, got -1"):
        kernels.smooth_l1_loss(x, x, beta=-1)
    with pytest.raises(ValueError, match="delta must be above 0, got 0"):
        kernels.huber_loss(x, x, delta=0)
    with pytest.raises(ValueError, match=r'dy must have shape \(2, 3\) with reduction "none", got \(\)'):
        kernels.mse_loss_backward(1.0, x, x, "none")
    with pytest.raises(TypeError, match='dy must be a number unless reduction is "none"'):
        kernels.mse_loss_backward(x, x, x)
    with pytest.raises(ValueError, match="saved must be what"):
        kernels.cross_entropy_backward(1.0, x, [0, 1], saved=np.zeros(3, dtype))
    with pytest.raises(ValueError, match="reduction must be one of"):
        nn.MSELoss("average")
    with pytest.raises(RuntimeError, match="MSELoss.backward needs a forward"):
        nn.MSELoss().backward()
    with pytest.raises(ValueError, match=r"weight must have shape \(C,\)"):
        nn.NLLLoss(np.ones((2, 2), dtype))
