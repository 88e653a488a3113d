"""The reference, and the layers without one, against PyTorch where that is installed: padding, resampling, shuffles, Softmax2d, channel dropout.

Tolerance: that of test_torch_agreement.py, 1e-12 in float64; elements that are only moved must be the same.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastnn import kernels, nn
from fastnn import reference as ref

torch = pytest.importorskip("torch")
F = torch.nn.functional

PADDINGS = [
    ((2, 3, 5), (2, 1)), ((2, 3, 5), (-1, 3)), ((2, 3, 5), (-2, -1)), ((2, 3, 5), (4, 4)), ((3, 5), (1, 0)), ((1, 2, 4, 5), (1, 2, 3, 1)), ((1, 2, 4, 5), (-1, 2, 2, -1)),
    ((0, 2, 4, 5), (1, 2, 3, 1)), ((1, 2, 3, 4, 5), (1, 2, 3, 1, 2, 2)), ((1, 2, 3, 4, 5), (-1, 1, 0, -2, 1, 1)), ((2, 3, 4, 5), (1, 1, 1, 1, 2, 0)),
]  # fmt: skip


def agree(ours, theirs, tolerance=1e-12):
    theirs = theirs.detach().numpy()
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def check(x, ours, ours_backward, theirs, rng, tolerance=1e-12):
    """Values and gradients of functions of x."""
    t = torch.tensor(x, requires_grad=True)
    expected = theirs(t)
    agree(ours(x), expected, tolerance)
    dy = rng.standard_normal(expected.shape).astype(x.dtype)
    expected.backward(torch.tensor(dy))
    agree(ours_backward(dy), t.grad, tolerance)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("shape", "padding"), PADDINGS, ids=str)
def test_pad_agrees(shape, padding, mode, rng):
    if len(padding) == 6 and len(shape) == 4 and mode == "circular":
        shape = (1, *shape)  # PyTorch takes no unbatched input here
    x = rng.standard_normal(shape)
    value = 1.5 if mode == "constant" else None
    for side in (ref, kernels):
        check(
            x, lambda x: side.pad(x, padding, mode, value or 0.0), lambda dy: side.pad_backward(dy, shape, padding, mode),
            lambda t: F.pad(t, padding, mode, value), rng,
        )  # fmt: skip


LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
SCALES = (0.4, 0.5, 0.7, 1.0, 1.1, 1.5, 2.0, 2.3, 3.0, 7 / 3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("align_corners", [False, True, None])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("by", ["size", "scale_factor", "recompute_scale_factor"])
def test_upsample_agrees(axes, by, align_corners, rng):
    for _ in range(12):
        shape = (2, 2, *(int(n) for n in rng.integers(3, 8, axes)))
        size = tuple(int(n) for n in rng.integers(1, 15, axes))
        factor = tuple(float(s) for s in rng.choice(SCALES, axes))
        options = {"size": size} if by == "size" else {"scale_factor": factor, "recompute_scale_factor": by == "recompute_scale_factor"}
        options |= {"mode": LINEAR[axes], "align_corners": align_corners}
        x = rng.standard_normal(shape)
        for side in (ref, kernels):
            check(x, lambda x: side.upsample(x, **options), lambda dy: side.upsample_backward(dy, shape, **options), lambda t: F.interpolate(t, **options), rng)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10, 33, 100])
def test_nearest_takes_pytorchs_elements(n):
    x = np.arange(n, dtype=np.float32).reshape(1, 1, n)
    for m in (*range(1, 70), 99, 128, 300):
        agree(kernels.upsample(x, m), F.interpolate(torch.tensor(x), m), 0)
    for factor in (*SCALES, *np.linspace(1, 3, 41)):
        if n * factor >= 1:
            options = {"scale_factor": float(factor)}
            agree(kernels.upsample(x, **options), F.interpolate(torch.tensor(x), **options), 0)
            agree(kernels.upsample(x, **options, recompute_scale_factor=True), F.interpolate(torch.tensor(x), **options, recompute_scale_factor=True), 0)


@pytest.mark.parametrize(
    ("ours", "theirs", "shape"),
    [
        (nn.PixelShuffle(2), torch.nn.PixelShuffle(2), (2, 8, 3, 5)),
        (nn.PixelShuffle(3), torch.nn.PixelShuffle(3), (9, 3, 5)),
        (nn.PixelUnshuffle(2), torch.nn.PixelUnshuffle(2), (2, 3, 4, 6)),
        (nn.ChannelShuffle(3), torch.nn.ChannelShuffle(3), (2, 6, 3, 5)),
        (nn.Softmax2d(), torch.nn.Softmax2d(), (2, 6, 3, 5)),
        (nn.Softmax2d(), torch.nn.Softmax2d(), (6, 3, 5)),
        (nn.UpsamplingNearest2d(scale_factor=2), torch.nn.UpsamplingNearest2d(scale_factor=2), (1, 2, 3, 4)),
        (nn.UpsamplingBilinear2d(size=(5, 6)), torch.nn.UpsamplingBilinear2d(size=(5, 6)), (1, 2, 3, 4)),
        (nn.ReflectionPad2d((1, 2, 0, 1)), torch.nn.ReflectionPad2d((1, 2, 0, 1)), (2, 3, 4)),
        (nn.CircularPad1d(2), torch.nn.CircularPad1d(2), (3, 4)),
        (nn.ConstantPad3d(1, 2.5), torch.nn.ConstantPad3d(1, 2.5), (2, 3, 2, 2, 3)),
        (nn.ZeroPad1d((2, -1)), torch.nn.ZeroPad1d((2, -1)), (2, 3, 4)),
        (nn.ReplicationPad3d(1), torch.nn.ReplicationPad3d(1), (2, 2, 2, 3)),
    ],
    ids=repr,
)
def test_layer_agrees(ours, theirs, shape, rng):
    check(rng.standard_normal(shape), ours, ours.backward, theirs, rng)


@pytest.mark.filterwarnings("ignore:dropout2d")
@pytest.mark.parametrize(
    ("kind", "shape"), [("Dropout1d", (30, 4)), ("Dropout1d", (5, 6, 4)), ("Dropout2d", (5, 6, 4)), ("Dropout2d", (5, 6, 2, 2)), ("Dropout3d", (30, 2, 1, 2)), ("Dropout3d", (5, 6, 2, 1, 2))]
)
def test_dropout_of_channels_drops_what_pytorch_would(kind, shape):
    """The masks are other ones, but what is dropped together is the same."""
    x = np.ones(shape)
    for y in (getattr(nn, kind)(0.5, rng=2)(x), getattr(torch.nn, kind)(0.5)(torch.tensor(x)).numpy()):
        channels = y.reshape(30, -1)
        assert (channels == channels[:, :1]).all() and 0 < channels[:, 0].sum() < 60


@pytest.mark.parametrize("kind", ("AlphaDropout", "FeatureAlphaDropout"))
def test_alpha_dropout_makes_of_a_number_what_pytorch_does(kind):
    x = np.full((50, 40, 2), 0.7)
    ours, theirs = getattr(nn, kind)(0.3, rng=2)(x), getattr(torch.nn, kind)(0.3)(torch.tensor(x)).numpy()
    np.testing.assert_allclose(np.unique(ours), np.unique(theirs), rtol=1e-12)
