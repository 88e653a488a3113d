"""CTC, margin, ranking and likelihood losses and distances, reference and kernels, against PyTorch where that is installed.

Tolerance: float64, 1e-12 relative and absolute, as in test_torch_agreement.py; for CTC, whose states' logarithms are as large as the loss, 1e-10.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import kernels, nn, reference

torch = pytest.importorskip("torch")
F = torch.nn.functional

REDUCTIONS = ["mean", "sum", "none"]
both = pytest.mark.parametrize("ours", [reference, kernels], ids=["reference", "kernels"])


def agree(ours, theirs, tolerance=1e-12):
    theirs = theirs.detach().numpy()
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def check(ours, name, arguments, gradients, tolerance=1e-12, theirs=None, **options):
    """Value, and the gradients of the first so many of the floating arguments, which both sides take."""
    tensors = [torch.tensor(a) for a in arguments]
    leaves = [t.requires_grad_() for t in [t for t in tensors if t.is_floating_point()][:gradients]]
    wanted = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    y = (theirs or getattr(F, name))(*tensors, **wanted)
    result = getattr(ours, name)(*arguments, **options)
    agree(result, y, tolerance)
    dy = np.random.default_rng(3).standard_normal(y.shape)
    y.backward(torch.tensor(dy))
    slopes = getattr(ours, name + "_backward")(dy if y.ndim else float(dy), *arguments, **options)
    for slope, leaf in zip(slopes if isinstance(slopes, tuple) else (slopes,), leaves, strict=True):
        agree(slope, torch.zeros_like(leaf) if leaf.grad is None else leaf.grad, tolerance)


@both
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_elementwise_losses_agree(ours, reduction, rng):
    x = rng.normal(size=(6, 5))
    sign = rng.choice([-1.0, 1.0], x.shape)
    sign[0, :2], x[0, 0], x[1, 1] = 0, 1.0, 0.7  # neither of the two, and kinks
    for margin in (1.0, 0.7):
        check(ours, "hinge_embedding_loss", (x, sign), 1, margin=margin, reduction=reduction)
    check(ours, "soft_margin_loss", (3 * x, sign), 1, reduction=reduction)
    counts = rng.integers(0, 6, x.shape).astype(float)
    for full in (False, True):
        check(ours, "poisson_nll_loss", (x, counts), 1, full=full, reduction=reduction)
        check(ours, "poisson_nll_loss", (np.abs(x), counts), 1, log_input=False, full=full, eps=1e-3, reduction=reduction)


@both
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 5), (6, 1), (6,)])
def test_gaussian_nll_agrees(ours, shape, reduction, rng):
    x, t, var = rng.normal(size=(6, 5)), rng.normal(size=(6, 5)), rng.uniform(0, 2, shape)
    x, var = np.array(x), np.array(var)
    for full in (False, True):
        tensors = [torch.tensor(a, requires_grad=True) for a in (x, var)]
        y = F.gaussian_nll_loss(tensors[0], torch.tensor(t), tensors[1], full=full, eps=0.3, reduction=reduction)
        agree(ours.gaussian_nll_loss(x, t, var, full, 0.3, reduction), y)
        dy = rng.normal(size=y.shape)
        y.backward(torch.tensor(dy))
        for slope, tensor in zip(ours.gaussian_nll_loss_backward(dy if y.ndim else float(dy), x, t, var, full, 0.3, reduction), tensors, strict=True):
            agree(slope, tensor.grad)


@both
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 5), (5,), (3, 1)])
def test_losses_of_rows_agree(ours, shape, reduction, rng):
    x, t = rng.normal(size=shape), np.asarray(rng.integers(0, shape[-1], shape[:-1]))
    for p in (1, 2):
        for weight in (None, rng.uniform(size=shape[-1])):
            check(ours, "multi_margin_loss", (x, t), 1, p=p, margin=0.8, weight=weight, reduction=reduction)
    labels = rng.integers(-1, shape[-1], shape)  # some twice, some behind a -1
    check(ours, "multilabel_margin_loss", (x, labels), 1, reduction=reduction)
    for weight in (None, rng.uniform(size=shape[-1])):
        check(ours, "multilabel_soft_margin_loss", (x, rng.uniform(size=shape)), 1, weight=weight, reduction=reduction)


@both
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 5), (5,)])
def test_ranking_losses_agree(ours, shape, reduction, rng):
    a, b, c = rng.normal(size=(3, *shape))
    sign = rng.choice([-1.0, 1.0], shape)
    b.ravel()[0] = a.ravel()[0]
    check(ours, "margin_ranking_loss", (a, b, sign), 2, reduction=reduction)
    check(ours, "margin_ranking_loss", (a, b, sign), 2, margin=0.5, reduction=reduction)
    rows = np.array(sign[..., 0])
    check(ours, "cosine_embedding_loss", (a, b, rows), 2, reduction=reduction)
    check(ours, "cosine_embedding_loss", (a, 0 * b, rows), 2, 1e-8, margin=-0.4, reduction=reduction)  # PyTorch's 1e-12 is one in single precision
    for p in (1.0, 2.0, 3.5):
        for swap in (False, True):
            check(ours, "triplet_margin_loss", (a, b, c), 3, p=p, swap=swap, margin=1.5, reduction=reduction)


@both
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0, 1.5, 2.0, 4.0, float("inf")])
@pytest.mark.parametrize("shapes", [((6, 5), (6, 5)), ((5,), (5,)), ((2, 3, 5), (5,)), ((6, 5), (1, 5))])
def test_pairwise_distance_agrees(ours, shapes, p, rng):
    x1, x2 = (rng.normal(size=shape) for shape in shapes)
    for keepdim in (False, True):
        check(ours, "pairwise_distance", (x1, x2), 2, p=p, keepdim=keepdim)


@both
@pytest.mark.parametrize("shapes, dim", [(((6, 5), (6, 5)), 1), (((5,), (5,)), 0), (((2, 3, 4), (3, 1)), 1), (((2, 3, 4), (2, 3, 4)), -3)])
def test_cosine_similarity_agrees(ours, shapes, dim, rng):
    check(ours, "cosine_similarity", tuple(rng.normal(size=shape) for shape in shapes), 2, dim=dim)
    zero = np.zeros(shapes[0])
    assert not getattr(ours, "cosine_similarity")(zero, rng.normal(size=shapes[1]), dim=dim).any()


@both
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("steps, batch, classes, most, blank", [(12, 4, 5, 4, 0), (7, 3, 3, 3, 2), (9, 2, 40, 0, 1), (40, 5, 6, 15, 3)])
@pytest.mark.parametrize("padded", [True, False])
def test_ctc_agrees(ours, steps, batch, classes, most, blank, padded, reduction, rng):
    """The gradient with respect to log_probs itself, as torch.autograd gives it, impossible targets included."""
    x = torch.log_softmax(torch.tensor(rng.normal(size=(steps, batch, classes))), -1).numpy()
    targets = (rng.integers(1, classes, (batch, most)) + blank) % classes
    lengths, input_lengths = rng.integers(0, most + 1, batch), rng.integers(steps // 2, steps + 1, batch)
    if not padded:
        targets = np.concatenate([row[:n] for row, n in zip(targets, lengths)])
    for zero_infinity in (False, True):
        options = {"blank": blank, "reduction": reduction, "zero_infinity": zero_infinity}
        leaf = torch.tensor(x, requires_grad=True)
        y = F.ctc_loss(leaf, *map(torch.tensor, (targets, input_lengths, lengths)), **options)
        agree(ours.ctc_loss(x, targets, input_lengths, lengths, **options), y, 1e-10)
        dy = rng.normal(size=y.shape)
        y.backward(torch.tensor(dy))
        agree(ours.ctc_loss_backward(dy if y.ndim else float(dy), x, targets, input_lengths, lengths, **options), leaf.grad, 1e-10)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ctc_of_one_sequence_agrees(reduction, rng):
    x = torch.log_softmax(torch.tensor(rng.normal(size=(9, 4))), -1)
    y = F.ctc_loss(x, torch.tensor([1, 2, 2]), torch.tensor(9), torch.tensor(3), reduction=reduction)
    agree(kernels.ctc_loss(x.numpy(), [1, 2, 2], 9, 3, reduction=reduction), y, 1e-10)


LAYERS = [
    "CTCLoss", "CosineEmbeddingLoss", "HingeEmbeddingLoss", "MarginRankingLoss", "SoftMarginLoss", "MultiMarginLoss", "MultiLabelMarginLoss",
    "MultiLabelSoftMarginLoss", "PoissonNLLLoss", "GaussianNLLLoss", "TripletMarginLoss", "CosineSimilarity", "PairwiseDistance",
]  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_layers_take_the_same_arguments_with_the_same_defaults(name):
    import inspect

    def arguments(layer):
        taken = inspect.signature(layer.__init__).parameters.values()
        return [(p.name, p.default) for p in taken if p.name not in ("self", "size_average", "reduce")]

    assert arguments(getattr(nn, name)) == arguments(getattr(torch.nn, name))
