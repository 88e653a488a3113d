"""Margin, ranking and likelihood losses and the distances below them: reference, bits, layouts, gradients, special values, errors.

Losses of one input and a target of its shape stand in the tables of test_loss.py as well; here are rows, labels and several inputs.
"""

import numpy as np
import pytest
from helpers import LAYOUTS, assert_close, assert_same_bits

from fastnn import kernels, nn, reference
from fastnn.gradcheck import gradcheck

REDUCTIONS = ("mean", "sum", "none")
SHAPES = [(1, 1), (3, 2), (7, 5), (4, 33), (2, 130), (3, 4500), (6,), (1,)]


def signs(rng, shape):
    return rng.choice([-1.0, 1.0], shape)


def labels_of(rng, shape):
    return np.asarray(rng.integers(0, shape[-1], shape[:-1]))


def label_sets(rng, shape):
    """Rows of different labels, of which those before the first -1 count."""
    rows = [rng.permutation(shape[-1]) for _ in range(int(np.prod(shape[:-1])))]
    for row in rows:
        row[rng.integers(0, min(6, shape[-1]) + 1) :] = -1
    return np.reshape(rows, shape)


def two(rng, shape):
    return rng.standard_normal((2, *shape))


def three(rng, shape):
    return rng.standard_normal((3, *shape))


# name: function, options, arguments for a shape, layer, how many of the arguments have gradients
CASES = {
    "multi margin": ("multi_margin_loss", {}, lambda r, s: (r.standard_normal(s), labels_of(r, s)), nn.MultiMarginLoss, 1),
    "multi margin, squared": ("multi_margin_loss", {"p": 2, "margin": 0.7}, lambda r, s: (r.standard_normal(s), labels_of(r, s)), nn.MultiMarginLoss, 1),
    "multilabel margin": ("multilabel_margin_loss", {}, lambda r, s: (r.standard_normal(s), label_sets(r, s)), nn.MultiLabelMarginLoss, 1),
    "multilabel soft": ("multilabel_soft_margin_loss", {}, lambda r, s: (3 * r.standard_normal(s), r.uniform(0, 1, s)), nn.MultiLabelSoftMarginLoss, 1),
    "cosine": ("cosine_embedding_loss", {"margin": 0.2}, lambda r, s: (*two(r, s), np.asarray(signs(r, s[:-1]))), nn.CosineEmbeddingLoss, 2),
    "ranking": ("margin_ranking_loss", {"margin": 0.3}, lambda r, s: (*two(r, s), signs(r, s)), nn.MarginRankingLoss, 2),
    "triplet": ("triplet_margin_loss", {}, three, nn.TripletMarginLoss, 3),
    "triplet, swap": ("triplet_margin_loss", {"swap": True, "p": 3.0, "margin": 2.0}, three, nn.TripletMarginLoss, 3),
    "gaussian": ("gaussian_nll_loss", {}, lambda r, s: (*two(r, s), r.uniform(0.1, 2, s)), nn.GaussianNLLLoss, 2),
    "gaussian, full": ("gaussian_nll_loss", {"full": True, "eps": 0.5}, lambda r, s: (*two(r, s), r.uniform(0.1, 2, s)), nn.GaussianNLLLoss, 2),
}


def drawn(case, shape, dtype, rng):
    arrays = map(np.asarray, CASES[case][2](rng, shape))
    return [a if a.dtype.kind in "iu" else a.astype(dtype) for a in arrays]


def exact(x):
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x


def tupled(result):
    return result if isinstance(result, tuple) else (result,)


def largest(arrays):
    """A bound for the distances between rows."""
    return 2 * max(np.linalg.norm(a, axis=-1).max() for a in arrays)


def check(name, arguments, options, reduction, dtype, rng, terms):
    wide, exact_options = [exact(a) for a in arguments], {k: exact(v) for k, v in options.items()}
    with np.errstate(all="ignore"):
        loss = getattr(kernels, name)(*arguments, reduction=reduction, **options)
        expected = getattr(reference, name)(*wide, reduction=reduction, **exact_options)
        assert isinstance(loss, np.ndarray if reduction == "none" else float)
        # Distances are subtracted from each other, and cosines from 1.
        assert_close(np.asarray(loss, dtype), expected, terms, largest(wide) if name.startswith("triplet") else 1.0 if name.startswith("cosine") else None)
        dy = np.asarray(rng.standard_normal(np.shape(loss)), dtype) if reduction == "none" else 1.5
        slopes = tupled(getattr(reference, name + "_backward")(exact(dy), *wide, reduction=reduction, **exact_options))
        for actual, slope in zip(tupled(getattr(kernels, name + "_backward")(dy, *arguments, reduction=reduction, **options)), slopes, strict=True):
            assert actual.dtype == dtype
            # Two terms are subtracted from each other: for the cosine both of about dy / |row|.
            scale = np.abs(slope).max(initial=0)
            if name.startswith("cosine"):
                scale = np.abs(dy).max() / min(np.linalg.norm(a, axis=-1).min() for a in wide[:2])
            assert_close(actual, slope, terms, scale)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_matches_reference(case, shape, dtype, rng):
    name, options, *_ = CASES[case]
    if case == "multilabel margin":
        shape = (*shape[:-1], min(shape[-1], 450))  # the reference holds every pair
    for reduction in REDUCTIONS:
        check(name, drawn(case, shape, dtype, rng), options, reduction, dtype, rng, 32 + shape[-1])


@pytest.mark.parametrize("name", ["multi_margin_loss", "multilabel_soft_margin_loss"])
def test_class_weights(name, dtype, rng):
    case = "multi margin" if name.startswith("multi_") else "multilabel soft"
    for shape in ((9, 5), (5,)):
        for reduction in REDUCTIONS:
            check(name, drawn(case, shape, dtype, rng), {"weight": rng.uniform(0.1, 2, 5).astype(dtype)}, reduction, dtype, rng, 32)


@pytest.mark.parametrize("case", CASES)
def test_is_bitwise_equal_across_instruction_sets_and_threads(case, dtype, rng):
    name, options, *_ = CASES[case]
    arguments = drawn(case, (9, 131), dtype, rng)
    for reduction in REDUCTIONS:
        loss = getattr(kernels, name)(*arguments, reduction=reduction, **options)
        dy = np.asarray(loss) if reduction == "none" else 0.7
        assert_same_bits(lambda: np.asarray(getattr(kernels, name)(*arguments, reduction=reduction, **options)))
        assert_same_bits(lambda: getattr(kernels, name + "_backward")(dy, *arguments, reduction=reduction, **options))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_layout_does_not_matter(case, layout, dtype, rng):
    name, options, *_ = CASES[case]
    arguments = drawn(case, (6, 7), dtype, rng)
    relaid = [LAYOUTS[layout](a) for a in arguments]
    assert getattr(kernels, name)(*relaid, **options) == getattr(kernels, name)(*arguments, **options)
    backward = getattr(kernels, name + "_backward")
    for a, b in zip(tupled(backward(1.0, *relaid, **options)), tupled(backward(1.0, *arguments, **options)), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_match_central_differences(case, reduction, rng):
    _, options, _, layer, gradients = CASES[case]
    loss = layer(reduction=reduction, **options)
    assert len(loss.differentiable) == gradients
    arguments = drawn(case, (4, 5), np.float64, rng)
    if case == "gaussian, full":
        arguments[2] += 0.5  # below eps the gradient is not that of the loss, see test_variance_below_eps_has_the_gradient_of_eps
    gradcheck(loss, *arguments)


@pytest.mark.parametrize("case", CASES)
def test_layer_passes_its_arguments_on(case, dtype, rng):
    name, options, _, layer, _ = CASES[case]
    arguments, loss = drawn(case, (4, 5), dtype, rng), layer(reduction="sum", **options)
    value, saved = getattr(kernels, name)(*arguments, reduction="sum", keep=True, **options)
    assert loss(*arguments) == value == (saved[0][0] if isinstance(saved, tuple) else saved[0])
    expected = tupled(getattr(kernels, name + "_backward")(2.0, *arguments, reduction="sum", **options))
    for a, b in zip(tupled(loss.backward(2.0)), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    for key, option in options.items():
        assert f"{key}={option}" in repr(loss)
    with pytest.raises(RuntimeError, match="backward needs a forward"):
        layer().backward()


@pytest.mark.parametrize("case", CASES)
def test_empty_batch(case, dtype, rng):
    name, options, *_ = CASES[case]
    arguments = [a[:0] for a in drawn(case, (3, 4), dtype, rng)]
    assert np.isnan(getattr(kernels, name)(*arguments, **options))
    assert getattr(kernels, name)(*arguments, reduction="sum", **options) == 0
    for gradient in tupled(getattr(kernels, name + "_backward")(1.0, *arguments, **options)):
        assert gradient.shape == (0, 4)


@pytest.mark.parametrize("case", CASES)
def test_nan_stays_in_its_row(case, dtype, rng):
    name, options, *_ = CASES[case]
    arguments = drawn(case, (9, 4), dtype, rng)
    arguments[0][5, 1] = np.nan
    if case.startswith("multilabel margin"):
        arguments[1][5, :2] = 0, -1
    losses = getattr(kernels, name)(*arguments, reduction="none", **options)
    assert np.unique(np.nonzero(np.isnan(losses))[0]).tolist() == [5]
    gradients = tupled(getattr(kernels, name + "_backward")(1.0, *arguments, **options))
    assert np.unique(np.nonzero(np.isnan(gradients[0]))[0]).tolist() == [5]


def test_inputs_broadcast(dtype, rng):
    one, many = rng.standard_normal((1, 6)).astype(dtype), rng.standard_normal((5, 6)).astype(dtype)
    wide = np.broadcast_to(one, (5, 6)).copy()
    sign = signs(rng, 5).astype(dtype)
    pairs = [
        (kernels.cosine_embedding_loss_backward, (one, many, sign), (wide, many, sign)),
        (kernels.margin_ranking_loss_backward, (one, many, sign[:, np.newaxis]), (wide, many, np.repeat(sign[:, np.newaxis], 6, 1))),
        (kernels.triplet_margin_loss_backward, (one, many, many[::-1]), (wide, many, many[::-1])),
    ]
    for backward, narrow, full in pairs:
        for actual, expected, given in zip(backward(1.0, *narrow), backward(1.0, *full), narrow, strict=False):
            assert actual.shape == given.shape
            assert_close(actual, expected.sum(axis=0, keepdims=True, dtype=np.float64) if given is one else expected.astype(np.float64), 8)


def test_hinges_have_the_derivative_1_at_the_kink(dtype):
    x, one = np.ones(1, dtype), np.ones((1, 1), dtype)
    assert kernels.hinge_embedding_loss_backward(1.0, x, -x)[0] == -1
    assert kernels.margin_ranking_loss_backward(1.0, x, x, x)[0][0] == -1
    assert not kernels.multi_margin_loss_backward(1.0, np.array([0, 1], dtype), 1).any()  # but here, as in PyTorch
    near = kernels.triplet_margin_loss_backward(1.0, 0 * one, 0 * one, one, eps=0.0)
    assert near[2][0, 0] == -1


def test_margins_of_several_labels_by_hand(dtype):
    x = np.array([[0.1, 0.2, 0.4, 0.8]], dtype)
    target = np.array([[3, 0, -1, 1]])
    expected = 0.25 * ((1 - (0.1 - 0.2)) + (1 - (0.1 - 0.4)) + (1 - (0.8 - 0.2)) + (1 - (0.8 - 0.4)))
    np.testing.assert_allclose(kernels.multilabel_margin_loss(x, target), expected, rtol=1e-6)
    np.testing.assert_allclose(kernels.multilabel_margin_loss_backward(1.0, x, target), [[-0.5, 0.5, 0.5, -0.5]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 5), (4, 1), (4,)])
def test_variances_of_rows(shape, dtype, rng):
    x, t = two(rng, (4, 5)).astype(dtype)
    var = rng.uniform(0.2, 2, shape).astype(dtype)
    for reduction in REDUCTIONS:
        check("gaussian_nll_loss", [x, t, var], {"full": True}, reduction, dtype, rng, 16)
    assert kernels.gaussian_nll_loss_backward(1.0, x, t, var)[1].shape == shape


def test_variance_below_eps_has_the_gradient_of_eps(dtype):
    x, t, var = (np.array([v], dtype) for v in (1, 0, 0))
    loss = nn.GaussianNLLLoss(eps=0.5)
    np.testing.assert_allclose(loss(x, t, var), (np.log(0.5) + 2) / 2, rtol=1e-6)
    dx, dvar = loss.backward()
    np.testing.assert_allclose([dx[0], dvar[0]], [2, -1], rtol=1e-6)


# --- distances ---


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.7, np.inf])
@pytest.mark.parametrize("shape", [*SHAPES, (2, 3, 5), (0, 3), (3, 0)])
def test_pairwise_distance_matches_reference(shape, p, dtype, rng):
    x1, x2 = two(rng, shape).astype(dtype)
    x1[..., 1:2] = x2[..., 1:2]
    for keepdim in (False, True):
        for eps in (1e-6, 0.0):
            options = p, eps, keepdim
            y = kernels.pairwise_distance(x1, x2, *options)
            assert_close(y, reference.pairwise_distance(exact(x1), exact(x2), *options), 32 + shape[-1])
            dy = np.asarray(rng.standard_normal(y.shape), dtype)
            for actual, slope in zip(kernels.pairwise_distance_backward(dy, x1, x2, *options), reference.pairwise_distance_backward(exact(dy), exact(x1), exact(x2), *options), strict=True):
                if p < 1:
                    actual[..., 1:2] = slope[..., 1:2] = 0  # d = eps, whose power is large, has another rounding in float32
                assert_close(actual, slope, 32 + shape[-1])


@pytest.mark.parametrize("shape, dim", [((4, 5), 1), ((5,), 0), ((3, 40), -1), ((2, 7, 3, 4), 1), ((6, 5), 0), ((2, 4500), 1)])
def test_cosine_similarity_matches_reference(shape, dim, dtype, rng):
    x1, x2 = two(rng, shape).astype(dtype)
    x1.ravel()[0] = 0
    for eps in (1e-8, 3.0):
        y = kernels.cosine_similarity(x1, x2, dim, eps)
        assert_close(y, reference.cosine_similarity(exact(x1), exact(x2), dim, eps), 32 + max(shape), 1.0)
        dy = np.asarray(rng.standard_normal(y.shape), dtype)
        expected = reference.cosine_similarity_backward(exact(dy), exact(x1), exact(x2), dim, eps)
        for actual, slope in zip(kernels.cosine_similarity_backward(dy, x1, x2, dim, eps), expected, strict=True):
            assert_close(actual, slope, 32 + max(shape), np.abs(slope).max())


def test_cosine_of_nothing_is_0_with_a_gradient_of_the_other(dtype):
    zero, one = np.zeros((1, 3), dtype), np.ones((1, 3), dtype)
    assert kernels.cosine_similarity(zero, one)[0] == 0
    d1, d2 = kernels.cosine_similarity_backward(np.ones(1, dtype), zero, one, eps=0.5)
    np.testing.assert_allclose(d1, 2 / np.sqrt(3) * one, rtol=1e-6)
    assert not d2.any()


@pytest.mark.parametrize("layer, shapes", [
    (nn.CosineSimilarity(), ((4, 5), (4, 5))), (nn.CosineSimilarity(0, 0.1), ((4, 5), (4, 1))), (nn.CosineSimilarity(-2), ((3, 4, 5), (4, 5))),
    (nn.CosineSimilarity(1, 2.5), ((4, 5), (4, 5))), (nn.PairwiseDistance(), ((4, 5), (4, 5))), (nn.PairwiseDistance(1.5), ((4, 5), (5,))),
    (nn.PairwiseDistance(np.inf, keepdim=True), ((4, 5), (1, 5))), (nn.PairwiseDistance(1.0), ((5,), (5,))),
], ids=str)  # fmt: skip
def test_distance_gradients_match_central_differences(layer, shapes, rng):
    gradcheck(layer, *(rng.standard_normal(shape) for shape in shapes))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_of_distances_does_not_matter(layout, dtype, rng):
    x1, x2 = two(rng, (6, 5, 7)).astype(dtype)
    dy = {1: x1[:, 0].copy(), -1: x1[:, :, 0].copy()}
    relaid = LAYOUTS[layout]
    for dim in (1, -1):
        np.testing.assert_array_equal(kernels.cosine_similarity(relaid(x1), relaid(x2), dim), kernels.cosine_similarity(x1, x2, dim))
        for a, b in zip(kernels.cosine_similarity_backward(relaid(dy[dim]), relaid(x1), relaid(x2), dim), kernels.cosine_similarity_backward(dy[dim], x1, x2, dim)):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(kernels.pairwise_distance(relaid(x1), relaid(x2)), kernels.pairwise_distance(x1, x2))


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 2.0, 2.5, np.inf])
def test_distances_are_bitwise_equal_across_instruction_sets_and_threads(p, dtype, rng):
    x1, x2 = two(rng, (9, 131)).astype(dtype)
    dy = x1[:, 0].copy()
    assert_same_bits(lambda: kernels.pairwise_distance(x1, x2, p))
    assert_same_bits(lambda: kernels.pairwise_distance_backward(dy, x1, x2, p))
    assert_same_bits(lambda: kernels.cosine_similarity(x1, x2))
    assert_same_bits(lambda: kernels.cosine_similarity_backward(dy, x1, x2))


def test_distances_of_special_values(dtype):
    inf, nan = np.inf, np.nan
    x = np.array([[inf, 0], [nan, 0], [0, 0]], dtype)
    for p in (1.0, 2.0, 3.5, inf):
        np.testing.assert_array_equal(kernels.pairwise_distance(x, 0 * np.ones_like(x), p, 0.0), [inf, nan, 0])
    assert not kernels.pairwise_distance_backward(np.ones(3, dtype), x, np.zeros_like(x), eps=0.0)[0][2].any()


# --- bad input ---


def test_bad_input_is_refused_in_a_sentence(dtype):
    x = np.ones((3, 4), dtype)
    other = np.float32 if dtype == np.float64 else np.float64
    cases = [
        (kernels.multi_margin_loss, (x, [0, 4, 1]), r"target must hold classes from 0 to 3 \(4 classes\), got 4 at index \(1,\)"),
        (kernels.multi_margin_loss, (x, [0, -1, 1]), "got -1 at index"),
        (kernels.multi_margin_loss, (x, [0, 2**62, 1]), "got 4611686018427387904"),
        (kernels.multi_margin_loss, (x, [0, 1]), r"target must have shape \(3,\) for an input of shape \(3, 4\), got \(2,\)"),
        (kernels.multi_margin_loss, (x, [0, 1, 2], 3), "p must be 1 or 2, got 3"),
        (kernels.multi_margin_loss, (x, [0, 1, 2], 1, 1.0, x), r"weight must have shape \(4,\), one for each class, got \(3, 4\)"),
        (kernels.multi_margin_loss, (x[:, :0], [0, 0, 0]), r"input must have at least one class, got shape \(3, 0\)"),
        (kernels.multi_margin_loss, (x[0, 0], 0), r"input must have shape \(C,\) or \(N, C\), got \(\)"),
        (kernels.multilabel_margin_loss, (x, np.full((3, 4), -2)), r"and -1 behind the last one, got -2 at index \(0, 0\)"),
        (kernels.multilabel_margin_loss, (x, [0, 1, 2]), r"target must have shape \(3, 4\)"),
        (kernels.multilabel_soft_margin_loss, (x, x[:2]), r"target must have input's shape \(3, 4\), got \(2, 4\)"),
        (kernels.hinge_embedding_loss, (x, x.T), r"target must have input's shape \(3, 4\), got \(4, 3\)"),
        (kernels.poisson_nll_loss, (x, x, True, False, -1.0), "eps must be at least 0, got -1.0"),
        (kernels.gaussian_nll_loss, (x, x, -x), r"var must be at least 0, got -1.0 at index \(0, 0\)"),
        (kernels.gaussian_nll_loss, (x, x, x[:2]), r"var must have input's shape \(3, 4\), or that with 1 as its last axis or without it, got \(2, 4\)"),
        (kernels.margin_ranking_loss, (x, x.T, x), r"input1, input2 and target must have shapes that broadcast, got \(3, 4\), \(4, 3\), \(3, 4\)"),
        (kernels.cosine_embedding_loss, (x, x, x), r"target must have shape \(3,\), one for each row of input1, got \(3, 4\)"),
        (kernels.cosine_embedding_loss, (x[0, 0], x[0, 0], x[0, 0]), "input1 and input2 must have at least one axis"),
        (kernels.triplet_margin_loss, (x, x, x, 0.0), "margin must be above 0, got 0"),
        (kernels.triplet_margin_loss, (x, x, x, 1.0, -2.0), "p must be at least 0, got -2"),
        (kernels.triplet_margin_loss, (x, x, x[:, :3]), "anchor, positive and negative must have shapes that broadcast"),
        (kernels.pairwise_distance, (x, x, np.nan), "p must be at least 0, got nan"),
        (kernels.pairwise_distance, (x, x[:2]), r"x1 and x2 must have shapes that broadcast, got \(3, 4\), \(2, 4\)"),
        (kernels.pairwise_distance_backward, (x, x, x), r"dy must have shape \(3,\), got \(3, 4\)"),
        (kernels.cosine_similarity, (x, x, 2), "dim must be from -2 to 1 for arrays of 2 dimensions, got 2"),
        (kernels.cosine_similarity, (x, x, 1, -1.0), "eps must be at least 0, got -1"),
        (kernels.soft_margin_loss, (x, x, "average"), "reduction must be"),
        (nn.MultiMarginLoss, (3,), "p must be 1 or 2, got 3"),
        (nn.TripletMarginLoss, (0,), "margin must be between"),
        (nn.PoissonNLLLoss, (True, False, -1), "eps must be between 0 and inf, got -1"),
        (nn.PairwiseDistance, (-1,), "p must be between 0 and inf, got -1"),
    ]
    for function, arguments, words in cases:
        with pytest.raises(ValueError, match=words):
            function(*arguments)
    for backward, arguments, forward in [
        (kernels.cosine_embedding_loss_backward, (x, x, x[:, 0]), kernels.cosine_embedding_loss(x[:2], x[:2], x[:2, 0], keep=True)),
        (kernels.triplet_margin_loss_backward, (x, x, x), kernels.triplet_margin_loss(x[:2], x[:2], x[:2], keep=True)),
        (kernels.cosine_similarity_backward, (x[:, 0], x, x), kernels.cosine_similarity(x[:2], x[:2], keep=True)),
        (kernels.pairwise_distance_backward, (x[:, 0], x, x), (None, x[:2, 0])),
    ]:
        gradient = () if backward in (kernels.cosine_similarity_backward, kernels.pairwise_distance_backward) else (1.0,)
        with pytest.raises(ValueError, match="saved must be what"):
            backward(*gradient, *arguments, saved=forward[1])
    for function, arguments, words in [
        (kernels.multi_margin_loss, (x, x[:, 0]), "target must be integers"),
        (kernels.margin_ranking_loss, (x, x.astype(other), x), "input2 must have input1's dtype"),
        (kernels.soft_margin_loss, (x, x.astype(other)), "target must have input's dtype"),
        (kernels.cosine_similarity, (x, x.astype(np.int64)), "x2 must be float32 or float64, got int64"),
        (kernels.gaussian_nll_loss, (x, x, x.astype(other)), "weight must have input's dtype|var must have input's dtype"),
        (nn.CosineSimilarity, ("1",), "str"),
    ]:
        with pytest.raises(TypeError, match=words):
            function(*arguments)
