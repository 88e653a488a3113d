"""Convolution, pooling and normalisation of images against PyTorch, where that is installed; tolerance as in test_torch_agreement."""

from __future__ import annotations

import numpy as np
import pytest
from test_torch_agreement import agree, tensor

from fastnn import nn
from fastnn import reference as ref

torch = pytest.importorskip("torch")
F = torch.nn.functional

CONVOLUTIONS = [  # x, weight, stride, padding, dilation, groups
    ((2, 4, 9), (6, 2, 3), 2, 1, 1, 2),
    ((2, 3, 6, 7), (4, 3, 3, 2), (2, 1), (1, 0), (1, 2), 1),
    ((3, 6, 6), (6, 1, 3, 3), 1, 1, 1, 6),
    ((2, 3, 5, 6), (4, 3, 4, 3), 1, "same", 1, 1),
    ((1, 2, 5, 4, 6), (4, 1, 2, 3, 2), 1, (1, 0, 1), 2, 2),
]


def convolution(weight):
    return {3: F.conv1d, 4: F.conv2d, 5: F.conv3d}[len(weight)], {3: F.conv_transpose1d, 4: F.conv_transpose2d, 5: F.conv_transpose3d}[len(weight)]


@pytest.mark.parametrize("shape, taps, stride, padding, dilation, groups", CONVOLUTIONS, ids=str)
def test_conv_agrees(shape, taps, stride, padding, dilation, groups, rng):
    x, w, b = (rng.normal(size=size) for size in (shape, taps, taps[:1]))
    tx, tw, tb = (tensor(value, True) for value in (x, w, b))
    expected = convolution(taps)[0](tx, tw, tb, stride, padding, dilation, groups)
    y = ref.conv(x, w, b, stride, padding, dilation, groups)
    agree(y, expected)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    for actual, parameter in zip(ref.conv_backward(dy, x, w, stride, padding, dilation, groups), (tx, tw, tb), strict=True):
        agree(actual, parameter.grad)


@pytest.mark.parametrize("shape, taps, stride, padding, dilation, groups", [c for c in CONVOLUTIONS if c[3] != "same"], ids=str)
def test_conv_transpose_agrees(shape, taps, stride, padding, dilation, groups, rng):
    axes = len(taps) - 2
    extra = tuple(s - 1 for s in ((stride,) * axes if isinstance(stride, int) else stride))
    x = rng.normal(size=(*shape[: -axes - 1], taps[0], *shape[-axes:]))
    w, b = rng.normal(size=taps), rng.normal(size=taps[1] * groups)
    tx, tw, tb = (tensor(value, True) for value in (x, w, b))
    expected = convolution(taps)[1](tx, tw, tb, stride, padding, extra, groups, dilation)
    y = ref.conv_transpose(x, w, b, stride, padding, extra, groups, dilation)
    agree(y, expected)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    for actual, parameter in zip(ref.conv_transpose_backward(dy, x, w, stride, padding, extra, groups, dilation), (tx, tw, tb), strict=True):
        agree(actual, parameter.grad)


@pytest.mark.parametrize(
    "name, arguments, options",
    [
        ("Conv1d", (4, 6, 3), {"groups": 2, "padding": 2, "padding_mode": "circular"}),
        ("Conv2d", (3, 4, 3), {"stride": 2, "padding": (1, 2), "padding_mode": "reflect"}),
        ("Conv2d", (3, 4, (3, 4)), {"padding": "same", "dilation": 2, "bias": False}),
        ("Conv3d", (2, 4, 3), {"padding": 1, "padding_mode": "replicate"}),
        ("ConvTranspose1d", (4, 6, 3, 2, 1, 1), {"groups": 2}),
        ("ConvTranspose2d", (3, 4, (3, 2), 2), {"padding": 1, "dilation": 2}),
        ("ConvTranspose3d", (2, 3, 2), {"bias": False}),
    ],
)
def test_layer_loads_and_agrees(name, arguments, options, rng):
    theirs = getattr(torch.nn, name)(*arguments, **options, dtype=torch.float64)
    ours = getattr(nn, name)(*arguments, **options, dtype=np.float64)
    ours.load_state_dict({key: value.numpy() for key, value in theirs.state_dict().items()})
    x = rng.normal(size=(2, arguments[0], *(6, 7, 5)[: int(name[-2])]))
    tx = tensor(x, True)
    expected = theirs(tx)
    agree(ours(x), expected)
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dy))
    agree(ours.backward(dy), tx.grad)
    for key, gradient in ours.grads.items():
        agree(gradient, getattr(theirs, key).grad)


# ---- pooling ------------------------------------------------------------------------------------------

POOLED = [  # shape, kernel_size, stride, padding, ceil_mode
    ((2, 3, 9), 3, 2, 1, False),
    ((2, 9), 4, 3, 0, True),
    ((2, 3, 6, 7), 2, None, 0, True),
    ((3, 9, 8), (3, 2), (2, 1), (1, 0), False),
    ((2, 2, 7, 7), 3, 2, 1, True),
    ((1, 2, 5, 6, 7), 2, 2, 1, True),
    ((2, 4, 5, 6), (2, 1, 3), 1, 0, False),
]


def pooled(shape, rng):
    """Values with ties, infinities and NaN, and how many axes are pooled with or without a batch."""
    x = rng.integers(-2, 3, size=shape).astype(np.float64)
    x.ravel()[rng.integers(0, x.size, x.size // 10)] = np.nan
    x.ravel()[rng.integers(0, x.size, x.size // 3)] = -np.inf
    return x


def dimensions(shape, kernel_size):
    return len(kernel_size) if isinstance(kernel_size, tuple) else max(len(shape) - 2, 1)


def per_axis(value, dims):
    return value if isinstance(value, tuple) or value is None else (value,) * dims


@pytest.mark.parametrize("shape, kernel, stride, padding, ceil", POOLED)
@pytest.mark.parametrize("dilation", [1, 2])
def test_max_pool_agrees(shape, kernel, stride, padding, ceil, dilation, rng):
    dims = dimensions(shape, kernel)
    if dilation == 2:
        shape = (*shape[:-dims], *(2 * n for n in shape[-dims:]))
    options = (per_axis(kernel, dims), per_axis(stride, dims), padding, dilation, ceil)
    x = pooled(shape, rng)
    tx = tensor(x, True)
    expected, places = getattr(F, f"max_pool{dims}d")(tx, *options, return_indices=True)
    y, indices = ref.max_pool(x, *options, "flat")
    agree(y, expected)
    agree(indices, places)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    agree(ref.max_pool_backward(dy, indices, shape, *options), tx.grad)


@pytest.mark.parametrize("shape, kernel, stride, padding, ceil", POOLED)
@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize("divisor", [None, 5])
def test_avg_pool_agrees(shape, kernel, stride, padding, ceil, include, divisor, rng):
    dims = dimensions(shape, kernel)
    options = (per_axis(kernel, dims), per_axis(stride, dims), padding, ceil, include)
    if divisor and dims > 1:
        options += (divisor,)
    x = rng.normal(size=shape)
    tx = tensor(x, True)
    expected = getattr(F, f"avg_pool{dims}d")(tx, *options)
    y = ref.avg_pool(x, *options)
    agree(y, expected)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    agree(ref.avg_pool_backward(dy, shape, *options), tx.grad)


@pytest.mark.parametrize("shape, size", [((2, 3, 9), (4,)), ((3, 7), (1,)), ((2, 3, 6, 7), (3, 4)), ((2, 5, 5), (None, 7)), ((1, 2, 5, 6, 7), (2, None, 3))])
def test_adaptive_pools_agree(shape, size, rng):
    dims = len(size)
    x = pooled(shape, rng)
    theirs = size if dims > 1 else size[0]
    tx = tensor(x, True)
    expected, places = getattr(F, f"adaptive_max_pool{dims}d")(tx, theirs, return_indices=True)
    y, indices = ref.adaptive_max_pool(x, size, "flat")
    agree(y, expected)
    agree(indices, places)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    agree(ref.adaptive_max_pool_backward(dy, indices, shape, size), tx.grad)
    tx = tensor(rng.normal(size=shape), True)
    expected = getattr(F, f"adaptive_avg_pool{dims}d")(tx, theirs)
    agree(ref.adaptive_avg_pool(tx.detach().numpy(), size), expected)
    expected.backward(torch.tensor(dy))
    agree(ref.adaptive_avg_pool_backward(dy, shape, size), tx.grad)


@pytest.mark.parametrize("shape, kernel, stride, padding, ceil", [case for case in POOLED if not case[3]])
@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, 2.5, -1.0])
def test_lp_pool_agrees(shape, kernel, stride, padding, ceil, norm_type, rng):
    dims = dimensions(shape, kernel)
    x = rng.normal(size=shape) if norm_type in (1, 2) else rng.uniform(0.1, 2, size=shape)
    x.ravel()[:2] = 0 if norm_type in (1, 2) else x.ravel()[:2]
    tx = tensor(x, True)
    expected = getattr(F, f"lp_pool{dims}d")(tx, norm_type, kernel if dims > 1 else per_axis(kernel, 1)[0], stride, ceil)
    y, mean = ref.lp_pool(x, norm_type, per_axis(kernel, dims), stride, ceil)
    agree(y, expected)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    agree(ref.lp_pool_backward(dy, x, mean, norm_type, per_axis(kernel, dims), stride, ceil), tx.grad)

@pytest.mark.parametrize(("shape", "groups"), [((4, 6), 3), ((2, 6, 5), 2), ((3, 4, 2, 3), 4), ((2, 4, 2, 2, 2), 1), ((0, 4, 3), 2)])
@pytest.mark.parametrize("affine", [False, True])
def test_group_norm_agrees(shape, groups, affine, rng):
    x, dy = rng.normal(size=shape) * 3 + 2, rng.normal(size=shape)
    weight, bias = (rng.normal(size=shape[1]), rng.normal(size=shape[1])) if affine else (None, None)
    tx, tw, tb = tensor(x, True), tensor(weight, affine), tensor(bias, affine)
    expected = F.group_norm(tx, groups, tw, tb, 1e-3)
    expected.backward(torch.tensor(dy))
    y, *saved = ref.group_norm(x, groups, weight, bias, 1e-3)
    agree(y, expected)
    dx, dweight, dbias = ref.group_norm_backward(dy, x, *saved, weight)
    agree(dx, tx.grad)
    if affine:
        agree(dweight, tw.grad)
        agree(dbias, tb.grad)


@pytest.mark.parametrize("shape", [(4, 3, 5), (2, 3, 2, 4), (1, 3, 2, 2, 2)])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("use_input_stats", [False, True])
@pytest.mark.parametrize("tracking", [False, True])
def test_instance_norm_agrees(shape, affine, use_input_stats, tracking, rng):
    if not (use_input_stats or tracking):
        return
    x, dy = rng.normal(size=shape) * 3 + 2, rng.normal(size=shape)
    weight, bias = (rng.normal(size=3), rng.normal(size=3)) if affine else (None, None)
    mean, var = (rng.normal(size=3), rng.uniform(1, 2, size=3)) if tracking else (None, None)
    tx, tw, tb = tensor(x, True), tensor(weight, affine), tensor(bias, affine)
    tmean, tvar = tensor(mean), tensor(var)
    expected = F.instance_norm(tx, tmean, tvar, tw, tb, use_input_stats, 0.3, 1e-3)
    expected.backward(torch.tensor(dy))
    y, *saved = ref.instance_norm(x, mean, var, weight, bias, use_input_stats, 0.3, 1e-3)
    agree(y, expected)
    if tracking:
        agree(mean, tmean)
        agree(var, tvar)
    if use_input_stats:
        dx, dweight, dbias = ref.instance_norm_backward(dy, x, *saved, weight)
        agree(dx, tx.grad)
        if affine:
            agree(dweight, tw.grad)
            agree(dbias, tb.grad)


@pytest.mark.parametrize("shape", [(2, 5, 3), (3, 7, 2, 2), (1, 4, 2, 1, 3)])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 20])
def test_local_response_norm_agrees(shape, size, rng):
    x, dy = rng.normal(size=shape) * 3, rng.normal(size=shape)
    tx = tensor(x, True)
    expected = F.local_response_norm(tx, size, 0.4, 0.6, 1.3)
    expected.backward(torch.tensor(dy))
    y, scale = ref.local_response_norm(x, size, 0.4, 0.6, 1.3)
    agree(y, expected)
    agree(ref.local_response_norm_backward(dy, x, scale, size, 0.4, 0.6), tx.grad)
