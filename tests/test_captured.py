"""Captured steps give the bits of the eager code, for every layer, loss and optimizer, whatever changes between two calls.

Long, because all of it holds eager and captured training of the same few models against each other.
"""

import os
import threading
import time

import numpy as np
import pytest
from helpers import ISAS, bits, machine

import fastnn
from fastnn import CaptureError, kernels, nn, optim
from fastnn.nn.module import Module
from fastnn.nn.utils import clip_grad_norm_, clip_grad_value_

SLOW = fastnn.instruction_set() == "scalar"  # a hundred times slower than the others



def pooled(pool, *shape):
    """A pooling layer from `shape` to 8 elements."""
    return lambda d: [nn.Linear(8, int(np.prod(shape)), dtype=d, rng=5), nn.Unflatten(1, shape), pool(), nn.Flatten()]
def _image(sizes, layer, d):
    """A layer of images of these sizes, between layers that make such an image of 8 features, and 8 features of what comes out."""
    between = nn.Sequential(nn.Unflatten(1, sizes), layer, nn.Flatten())
    features = between.eval()(np.ones((1, 8), d)).shape[1]
    return [between.train(), nn.Linear(features, 8, dtype=d, rng=7)]


class _Looked(Module):
    """x plus what a table has for fixed ids, one (or a bag) for each row of x."""

    def __init__(self, table, ids):
        self.table, self.ids = table, ids

    def forward(self, x):
        return kernels.add(x, self.table(self.ids[: len(x)]))

    def backward(self, dy):
        self.table.backward(dy)
        return dy


# Each layer in the place where it stands in a model of (6, 8) inputs and (6, 4) outputs; `d` is the dtype.
LAYERS = {
    "Identity": lambda d: [nn.Identity()],
    "Flatten": lambda d: [nn.Unflatten(1, (2, 4)), nn.Flatten()],
    "Unflatten": lambda d: [nn.Unflatten(1, (2, -1)), nn.Linear(4, 4, dtype=d, rng=5), nn.Flatten(1, 2)],
    "Linear": lambda d: [nn.Linear(8, 8, bias=False, dtype=d, rng=5)],
    "Dropout": lambda d: [nn.Dropout(0.4, rng=6)],
    "LayerNorm": lambda d: [nn.LayerNorm(8, dtype=d)],
    "RMSNorm": lambda d: [nn.RMSNorm(8, dtype=d)],
    "BatchNorm1d": lambda d: [nn.BatchNorm1d(8, dtype=d)],
    "BatchNorm1d cumulative": lambda d: [nn.BatchNorm1d(8, momentum=None, dtype=d)],
    "BatchNorm2d": lambda d: [nn.Unflatten(1, (2, 2, 2)), nn.BatchNorm2d(2, dtype=d), nn.Flatten()],
    "BatchNorm3d": lambda d: [nn.Unflatten(1, (2, 2, 2, 1)), nn.BatchNorm3d(2, momentum=None, dtype=d), nn.Flatten()],
    "GroupNorm": lambda d: [nn.GroupNorm(2, 8, dtype=d)],
    "GroupNorm planes": lambda d: [nn.Unflatten(1, (4, 2)), nn.GroupNorm(2, 4, dtype=d), nn.Flatten()],
    "InstanceNorm1d": lambda d: [nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2, affine=True, track_running_stats=True, dtype=d), nn.Flatten()],
    "InstanceNorm2d": lambda d: [nn.Unflatten(1, (2, 2, 2)), nn.InstanceNorm2d(2, dtype=d), nn.Flatten()],
    "InstanceNorm3d": lambda d: [nn.Unflatten(1, (2, 2, 2, 1)), nn.InstanceNorm3d(2, affine=True, dtype=d), nn.Flatten()],
    "LocalResponseNorm": lambda d: [nn.Unflatten(1, (4, 2)), nn.LocalResponseNorm(3, 0.5), nn.Flatten()],
    "PReLU": lambda d: [nn.PReLU(8, dtype=d)],
    "MaxPool1d": pooled(lambda: nn.MaxPool1d(2), 2, 8),
    "MaxPool2d": pooled(lambda: nn.MaxPool2d(3, 2, 1), 2, 4, 4),
    "MaxPool2d of many": pooled(lambda: nn.MaxPool2d(17, 1), 2, 18, 18),
    "MaxPool3d": pooled(lambda: nn.MaxPool3d(2, dilation=2, stride=1), 1, 4, 4, 4),
    "AvgPool1d": pooled(lambda: nn.AvgPool1d(2), 2, 8),
    "AvgPool2d": pooled(lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), 2, 4, 4),
    "AvgPool3d": pooled(lambda: nn.AvgPool3d(2), 1, 4, 4, 4),
    "LPPool1d": pooled(lambda: nn.LPPool1d(2, 2), 2, 8),
    "LPPool2d": pooled(lambda: nn.LPPool2d(2, 2), 2, 4, 4),
    "LPPool3d": pooled(lambda: nn.LPPool3d(4.0, 2), 1, 4, 4, 4),
    "AdaptiveAvgPool1d": pooled(lambda: nn.AdaptiveAvgPool1d(4), 2, 7),
    "AdaptiveAvgPool2d": pooled(lambda: nn.AdaptiveAvgPool2d(1), 8, 3, 5),
    "AdaptiveAvgPool3d": pooled(lambda: nn.AdaptiveAvgPool3d((2, 1, None)), 1, 4, 3, 4),
    "AdaptiveMaxPool1d": pooled(lambda: nn.AdaptiveMaxPool1d(4), 2, 7),
    "AdaptiveMaxPool2d": pooled(lambda: nn.AdaptiveMaxPool2d(2), 2, 4, 6),
    "AdaptiveMaxPool3d": pooled(lambda: nn.AdaptiveMaxPool3d((2, 1, None)), 1, 4, 3, 4),
    "GLU": lambda d: [nn.Linear(8, 16, dtype=d, rng=5), nn.GLU()],
    "Softmax": lambda d: [nn.Softmax(1)],
    "Softmin": lambda d: [nn.Softmin(1)],
    "LogSoftmax": lambda d: [nn.LogSoftmax(1)],
    "Threshold": lambda d: [nn.Threshold(0.1, -0.2)],
    "Embedding": lambda d: [_Looked(nn.Embedding(5, 8, padding_idx=1, dtype=d, rng=5), np.arange(100) ** 2 % 5)],
    "Embedding by frequency": lambda d: [_Looked(nn.Embedding(5, 8, scale_grad_by_freq=True, max_norm=2.0, dtype=d, rng=5), np.arange(100) ** 2 % 5)],
    "EmbeddingBag": lambda d: [_Looked(nn.EmbeddingBag(5, 8, padding_idx=1, dtype=d, rng=5), np.arange(300).reshape(100, 3) % 5)],
    "EmbeddingBag max": lambda d: [_Looked(nn.EmbeddingBag(5, 8, mode="max", dtype=d, rng=5), np.arange(300).reshape(100, 3) % 5)],
    "Conv1d": lambda d: [nn.Unflatten(1, (2, 4)), nn.Conv1d(2, 2, 3, padding=1, dtype=d, rng=5), nn.Flatten()],
    "Conv2d": lambda d: [nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 2, 3, padding=1, dtype=d, rng=5), nn.ReLU(), nn.Flatten()],
    "Conv2d groups": lambda d: [nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 8, 2, groups=2, bias=False, dtype=d, rng=5), nn.Flatten()],
    "Conv3d": lambda d: [nn.Unflatten(1, (1, 2, 2, 2)), nn.Conv3d(1, 8, 2, stride=2, dtype=d, rng=5), nn.Flatten()],
    "ConvTranspose1d": lambda d: [nn.Unflatten(1, (4, 2)), nn.ConvTranspose1d(4, 2, 2, stride=2, dtype=d, rng=5), nn.Flatten()],
    "ConvTranspose2d": lambda d: [nn.Unflatten(1, (8, 1, 1)), nn.ConvTranspose2d(8, 2, 2, dtype=d, rng=5), nn.Flatten()],
    "ConvTranspose3d": lambda d: [nn.Unflatten(1, (8, 1, 1, 1)), nn.ConvTranspose3d(8, 1, 2, dtype=d, rng=5), nn.Flatten()],
    "TransformerEncoderLayer": lambda d: [nn.Unflatten(1, (2, 4)), nn.TransformerEncoderLayer(4, 2, 6, 0.3, batch_first=True, dtype=d, rng=5), nn.Flatten()],
    "TransformerEncoder": lambda d: [
        nn.Unflatten(1, (2, 4)), nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6, 0.3, "gelu", norm_first=True, dtype=d, rng=5), 2, rng=6), nn.Flatten()
    ],
    "PositionalEncoding": lambda d: [nn.Unflatten(1, (2, 4)), nn.PositionalEncoding(4, 0.3, 20, dtype=d, rng=5), nn.Flatten()],
    "Sequential": lambda d: [nn.Sequential(nn.Linear(8, 8, dtype=d, rng=5), nn.ReLU())],
    "Residual": lambda d: [nn.Residual(nn.Linear(8, 8, dtype=d, rng=5), nn.Tanh())],
    "Parallel": lambda d: [nn.Parallel(nn.Linear(8, 5, dtype=d, rng=5), nn.Linear(8, 3, dtype=d, rng=6))],
    "Parallel sum": lambda d: [nn.Parallel(nn.Linear(8, 8, dtype=d, rng=5), nn.Identity(), mode="sum")],
}
for kind, options in (("ZeroPad", ()), ("ConstantPad", (0.5,)), ("ReflectionPad", ()), ("ReplicationPad", ()), ("CircularPad", ())):
    for axes, sizes, padding in ((1, (2, 4), (2, 1)), (2, (2, 2, 2), (1, 1, 0, 1)), (3, (1, 2, 2, 2), (1, 0, 1, 1, 1, -1))):
        LAYERS[f"{kind}{axes}d"] = lambda d, name=f"{kind}{axes}d", sizes=sizes, padding=padding, options=options: _image(sizes, getattr(nn, name)(padding, *options), d)
LAYERS |= {
    "Upsample": lambda d: _image((2, 4), nn.Upsample(7, mode="linear"), d),
    "Upsample nearest": lambda d: _image((1, 2, 2, 2), nn.Upsample(scale_factor=(1, 2, 1.5)), d),
    "Upsample trilinear": lambda d: _image((1, 2, 2, 2), nn.Upsample(scale_factor=2, mode="trilinear"), d),
    "UpsamplingNearest2d": lambda d: _image((2, 2, 2), nn.UpsamplingNearest2d(3), d),
    "UpsamplingBilinear2d": lambda d: _image((2, 2, 2), nn.UpsamplingBilinear2d(scale_factor=2), d),
    "PixelShuffle": lambda d: _image((4, 1, 2), nn.PixelShuffle(2), d),
    "PixelUnshuffle": lambda d: _image((2, 2, 2), nn.PixelUnshuffle(2), d),
    "ChannelShuffle": lambda d: _image((4, 2), nn.ChannelShuffle(2), d),
    "Dropout1d": lambda d: _image((4, 2), nn.Dropout1d(0.4, rng=6), d),
    "Dropout2d": lambda d: _image((4, 1, 2), nn.Dropout2d(0.4, rng=6), d),
    "Dropout3d": lambda d: _image((4, 1, 2, 1), nn.Dropout3d(0.4, rng=6), d),
    "AlphaDropout": lambda d: _image((4, 2), nn.AlphaDropout(0.4, rng=6), d),
    "FeatureAlphaDropout": lambda d: _image((4, 2), nn.FeatureAlphaDropout(0.4, rng=6), d),
    "Softmax2d": lambda d: _image((2, 2, 2), nn.Softmax2d(), d),
}
for name, options in (("RNN", {}), ("LSTM", {"num_layers": 2, "dropout": 0.3}), ("GRU", {"bidirectional": True}), ("LSTM", {"proj_size": 2})):
    LAYERS[f"{name} {', '.join(options)}"] = lambda d, name=name, options=options: _image((2, 4), getattr(nn, name)(4, 4, batch_first=True, dtype=d, rng=5, **options), d)
LAYERS["LastStep"] = lambda d: _image((2, 4), nn.LastStep(batch_first=True), d)
# What takes or returns several arrays: see test_recurrent.py, test_transformer.py and test_layers_of_two_inputs.
NOT_LAYERS = {"Module", "Parameter", "RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "MultiheadAttention", "CosineSimilarity", "PairwiseDistance"}
ACTIVATIONS = [
    name for name in dir(nn)
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), Module) and name not in LAYERS and name not in NOT_LAYERS and not name.endswith("Loss")
]  # fmt: skip
LAYERS |= {name: lambda d, name=name: [getattr(nn, name)()] for name in ACTIVATIONS}


def classes(rng, dtype):
    return rng.integers(0, 4, 6)


def values(rng, dtype):
    return rng.standard_normal((6, 4)).astype(dtype)


def signs(rng, dtype):
    return rng.choice([-1, 1], (6, 4)).astype(dtype)


def shares(rng, dtype):
    y = rng.random((6, 4)).astype(dtype)
    return y / y.sum(axis=1, keepdims=True)


# loss, target, layers before it
LOSSES = {
    "MSELoss": (lambda d: nn.MSELoss(), values, []),
    "MSELoss sum": (lambda d: nn.MSELoss(reduction="sum"), values, []),
    "L1Loss": (lambda d: nn.L1Loss(), values, []),
    "SmoothL1Loss": (lambda d: nn.SmoothL1Loss(beta=0.5), values, []),
    "HuberLoss": (lambda d: nn.HuberLoss(delta=0.5), values, []),
    "CrossEntropyLoss": (lambda d: nn.CrossEntropyLoss(), classes, []),
    "CrossEntropyLoss smooth": (lambda d: nn.CrossEntropyLoss(np.array([1, 2, 3, 4], d), label_smoothing=0.1, ignore_index=2), classes, []),
    "CrossEntropyLoss shares": (lambda d: nn.CrossEntropyLoss(), shares, []),
    "NLLLoss": (lambda d: nn.NLLLoss(), classes, [nn.LogSoftmax(1)]),
    "BCELoss": (lambda d: nn.BCELoss(np.array([1, 2, 3, 4], d)), shares, [nn.Sigmoid()]),
    "BCEWithLogitsLoss": (lambda d: nn.BCEWithLogitsLoss(pos_weight=np.array([1, 2, 3, 4], d)), shares, []),
    "KLDivLoss": (lambda d: nn.KLDivLoss("batchmean"), shares, [nn.LogSoftmax(1)]),
    "KLDivLoss log": (lambda d: nn.KLDivLoss(log_target=True), lambda rng, d: np.log(shares(rng, d)), [nn.LogSoftmax(1)]),
    "HingeEmbeddingLoss": (lambda d: nn.HingeEmbeddingLoss(), signs, []),
    "SoftMarginLoss": (lambda d: nn.SoftMarginLoss(), signs, []),
    "PoissonNLLLoss": (lambda d: nn.PoissonNLLLoss(full=True), shares, []),
    "PoissonNLLLoss of rates": (lambda d: nn.PoissonNLLLoss(log_input=False), shares, [nn.Sigmoid()]),
    "MultiMarginLoss": (lambda d: nn.MultiMarginLoss(2, 0.5, np.array([1, 2, 3, 4], d)), classes, []),
    "MultiLabelMarginLoss": (lambda d: nn.MultiLabelMarginLoss(), lambda rng, d: rng.integers(-1, 4, (6, 4)), []),
    "MultiLabelSoftMarginLoss": (lambda d: nn.MultiLabelSoftMarginLoss(), shares, []),
    "GaussianNLLLoss": (lambda d: nn.GaussianNLLLoss(full=True), lambda rng, d: (values(rng, d), shares(rng, d)), []),
    "GaussianNLLLoss rows": (lambda d: nn.GaussianNLLLoss(), lambda rng, d: (values(rng, d), rng.random(6).astype(d)), []),
    "MarginRankingLoss": (lambda d: nn.MarginRankingLoss(0.1), lambda rng, d: (values(rng, d)[0], signs(rng, d)), []),
    "CosineEmbeddingLoss": (lambda d: nn.CosineEmbeddingLoss(), lambda rng, d: (values(rng, d), signs(rng, d)[:, 0].copy()), []),
    "TripletMarginLoss": (lambda d: nn.TripletMarginLoss(swap=True), lambda rng, d: (values(rng, d), values(rng, d)), []),
    "TripletMarginLoss no swap": (lambda d: nn.TripletMarginLoss(p=1.5), lambda rng, d: (values(rng, d), values(rng, d)[:1]), []),
    "CTCLoss": (lambda d: nn.CTCLoss(), lambda rng, d: (rng.integers(1, 4, 2), np.array(rng.integers(5, 7)), np.array(2)), [nn.LogSoftmax(1)]),
}

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "SGD nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-2),
    "Adam": lambda p: optim.Adam(p, lr=0.01),
    "Adam amsgrad": lambda p: optim.Adam(p, lr=0.01, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.01),
    "SparseAdam": lambda p: optim.SparseAdam(p, lr=0.01),
    "groups": lambda p: optim.SGD([{"params": p[:2], "lr": 0.2}, {"params": p[2:]}], lr=0.1, momentum=0.5),
}


class Trained:
    """A model with loss and optimizer; `eager` and `captured` make one step each."""

    def __init__(self, layers, loss, optimizer, dtype=np.float32, **options):
        self.model = nn.Sequential(nn.Linear(8, 8, dtype=dtype, rng=1), *layers, nn.Linear(8, 4, dtype=dtype, rng=2))
        self.finish(loss, optimizer, options)

    def finish(self, loss, optimizer, options):
        self.loss, self.optimizer, self.options, self.calls = loss, optimizer(self.model.parameters()), options, 0
        self.captured = fastnn.capture(self.model, loss, self.optimizer, **options)

    def eager(self, x, y):
        k = self.options.get("accumulate", 1)
        value = self.loss(self.model(x), *(y if isinstance(y, tuple) else (y,)))
        if self.calls % k == 0:
            self.model.zero_grad()
        gradient = self.loss.backward(*(() if k == 1 else (1 / k,)))
        self.model.backward(gradient[0] if isinstance(gradient, tuple) else gradient)
        self.calls += 1
        if self.calls % k == 0:
            if "clip_grad_value" in self.options:
                clip_grad_value_(self.model.parameters(), self.options["clip_grad_value"])
            if "clip_grad_norm" in self.options:
                clip_grad_norm_(self.model.parameters(), self.options["clip_grad_norm"])
            self.optimizer.step()
        return value

    def state(self):
        """The bits of all that a step changes."""
        found = {name: bits(array) for name, array in self.model.state_dict().items()}
        found |= {f"gradient of {name}": bits(p.grad) for name, p in self.model.named_parameters()}
        found |= {f"extra {name}": bits(m.extra_state()) for name, m in self.model.named_modules() if hasattr(m, "extra_state")}
        for t, entry in self.optimizer.state_dict()["state"].items():
            found |= {f"{name} of {t}": bits(value) for name, value in entry.items()}
        return found


def assert_same_training(make, batches, between=lambda side, i: None):
    """Eager and captured steps on the same batches leave the same bits; `between(side, i)` happens to both before step i."""
    eager, captured = make(), make()
    for i, (x, y) in enumerate(batches):
        between(eager, i), between(captured, i)
        assert eager.eager(x, y) == captured.captured(x, y), f"loss of step {i}"
        assert eager.state() == captured.state(), f"after step {i}"
    return captured


def batches(rng, dtype, target, count=4):
    return [(rng.standard_normal((6, 8)).astype(dtype), target(rng, dtype)) for _ in range(count)]


# --- the same bits ---


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer(layer, dtype, rng):
    captured = assert_same_training(lambda: Trained(LAYERS[layer](dtype), nn.MSELoss(), OPTIMIZERS["Adam"], dtype), batches(rng, dtype, values))
    assert captured.captured.cycle[0] is not None


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name, dtype, rng):
    loss, target, last = LOSSES[name]

    def make():
        side = Trained([], loss(dtype), OPTIMIZERS["SGD"], dtype)
        side.model.extend(last)
        return side

    assert_same_training(make, batches(rng, dtype, target))


@pytest.mark.parametrize("layer", [nn.CosineSimilarity(), nn.CosineSimilarity(0), nn.PairwiseDistance(), nn.PairwiseDistance(np.inf, keepdim=True)], ids=str)
def test_layers_of_two_inputs(layer, dtype, rng):
    predict = fastnn.capture(layer)
    for _ in range(3):
        x1, x2 = values(rng, dtype), values(rng, dtype)
        np.testing.assert_array_equal(predict(x1, x2), layer(x1, x2))


def test_every_loss_is_listed():
    assert {name.split()[0] for name in LOSSES} == {name for name in dir(nn) if name.endswith("Loss")} - {"Loss"}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer(name, dtype, rng):
    assert_same_training(lambda: Trained([nn.Tanh()], nn.CrossEntropyLoss(), OPTIMIZERS[name], dtype), batches(rng, dtype, classes))


def test_every_optimizer_is_listed():
    found = {name for name in dir(optim) if isinstance(getattr(optim, name), type) and issubclass(getattr(optim, name), optim.Optimizer)}
    assert found - {"Optimizer"} == {name.split()[0] for name in OPTIMIZERS} - {"groups"}


@pytest.mark.parametrize(
    "options",
    [{"clip_grad_norm": 0.1}, {"clip_grad_value": 0.01}, {"clip_grad_value": 0.05, "clip_grad_norm": 0.1}, {"accumulate": 2}, {"accumulate": 4, "clip_grad_norm": 0.1}],
    ids=str,
)
def test_clipping_and_accumulation(options, dtype, rng):
    def make():
        return Trained([nn.BatchNorm1d(8, dtype=dtype), nn.ReLU(), nn.Dropout(0.3, rng=3)], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"], dtype, **options)

    assert_same_training(make, batches(rng, dtype, classes, 11))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_instruction_sets(isa, threads, dtype, rng):
    def make():
        return Trained([nn.Dropout(0.3, rng=3), nn.Tanh()], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"], dtype, clip_grad_norm=0.1)

    data = batches(rng, dtype, classes)
    plain = make()
    losses = [plain.eager(x, y) for x, y in data]
    side = make()
    with machine(isa, threads):
        assert [side.captured(x, y) for x, y in data] == losses
    assert side.state() == plain.state()


# --- what may change between two calls ---


def change(what, side, i, dtype):
    """Happens before step 2 and step 3."""
    if i < 2:
        return
    layers = side.model.layers
    if what == "learning rate":
        side.optimizer.param_groups[0]["lr"] = 0.5 / i
    elif what == "schedule":
        if not hasattr(side, "schedule"):
            side.schedule = optim.ExponentialLR(side.optimizer, 0.5)
        side.schedule.step()
    elif what == "loaded parameters":
        side.model.load_state_dict({name: array // 2 if array.dtype.kind == "i" else array * 0.5 for name, array in side.model.state_dict().items()})
    elif what == "assigned weight":
        layers[0].weight = np.full((8, 8), 0.1 * i)
    elif what == "written weight":
        layers[0].weight[...] *= 0.5
    elif what == "other layer":
        side.model.insert(1, nn.Tanh())
    elif what == "option of a layer":
        layers[2].p = 0.5
    elif what == "optimizer's state":
        state = side.optimizer.state_dict()
        side.optimizer.load_state_dict(state)
    elif what == "evaluation in between":
        side.model.eval()
        side.model(np.ones((3, 8), dtype))
        side.model.train()
    elif what == "eager step in between":
        x = np.linspace(-1, 1, 48).reshape(6, 8).astype(dtype)
        side.eager(x, np.arange(6) % 4)
        if i == 3:
            side.optimizer.param_groups[0]["lr"] = 0.3
            side.eager(x, np.arange(6) % 4)
            side.optimizer.param_groups[0]["lr"] = 0.01
    elif what == "zeroed gradients":
        side.optimizer.zero_grad()
    elif what == "dtype":
        side.model.to(np.float64)
    elif what == "threads":
        fastnn.set_num_threads(i)
    elif what == "no input gradient":
        side.model.needs_input_grad = not side.model.needs_input_grad


CHANGES = [
    "learning rate", "schedule", "loaded parameters", "assigned weight", "written weight", "other layer", "option of a layer", "optimizer's state",
    "evaluation in between", "eager step in between", "zeroed gradients", "threads", "no input gradient",
]  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_changes_take_effect(what, dtype, rng):
    def make():
        return Trained([nn.BatchNorm1d(8, dtype=dtype), nn.Dropout(0.3, rng=3)], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"], dtype)

    before = fastnn.get_num_threads()
    try:
        assert_same_training(make, batches(rng, dtype, classes, 6), lambda side, i: change(what, side, i, dtype))
    finally:
        fastnn.set_num_threads(before)


def test_a_change_of_dtype_takes_effect(rng):
    data = batches(rng, np.float32, classes, 2) + batches(rng, np.float64, classes, 3)
    make = lambda: Trained([nn.Tanh()], nn.CrossEntropyLoss(), OPTIMIZERS["SGD nesterov"])  # noqa: E731
    assert_same_training(make, data, lambda side, i: side.model.to(np.float64) if i == 2 else None)


def test_evaluation_mode_fails_as_eagerly(rng):
    side = Trained([nn.Tanh()], nn.CrossEntropyLoss(), OPTIMIZERS["SGD"])
    (x, y), *_ = batches(rng, np.float32, classes)
    side.captured(x, y)
    side.model.eval()
    with pytest.raises(RuntimeError, match="training mode"):
        side.captured(x, y)
    side.model.train()
    side.captured(x, y)


def test_several_shapes_and_layouts(dtype, rng):
    sizes = [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 1, 3, 89, 2]
    data = [(rng.standard_normal((n, 8)).astype(dtype), rng.integers(0, 4, n)) for n in sizes]
    data += [(np.asfortranarray(x), y.astype(np.int32)) for x, y in data] + [(x[::-1], y.astype(np.uint8)[::-1]) for x, y in data]
    data += [(x.astype(x.dtype.newbyteorder()), list(y)) for x, y in data[:3]] + [(x.tolist() if dtype == np.float64 else x, y) for x, y in data[:3]]
    captured = assert_same_training(lambda: Trained([nn.ReLU()], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"], dtype), data)
    assert len(captured.captured._plans) == 8


def test_inputs_are_not_written_to_nor_kept(rng):
    side = Trained([nn.ReLU()], nn.MSELoss(), OPTIMIZERS["SGD"])
    x, y = batches(rng, np.float32, values)[0]
    x.flags.writeable = y.flags.writeable = False
    kept = x.copy(), y.copy()
    for _ in range(3):
        side.captured(x, y)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(y, kept[1])


def test_gradients_are_those_of_the_step(rng):
    eager, side = (Trained([nn.ReLU()], nn.MSELoss(), OPTIMIZERS["SGD"]) for _ in range(2))
    for x, y in batches(rng, np.float32, values):
        eager.eager(x, y), side.captured(x, y)
        assert not any(p.stale for p in side.model.parameters())
    with pytest.raises(RuntimeError, match="forward in training mode"):
        side.model.backward(np.ones((6, 4), np.float32))
    np.testing.assert_array_equal(side.captured.output.shape, (6, 4))


def test_several_inputs(rng):
    class Sum(Module):
        def __init__(self):
            self.left, self.right = nn.Linear(8, 4, rng=1), nn.Linear(3, 4, rng=2)

        def forward(self, a, b):
            return kernels.add(self.left(a), self.right(b))

        def backward(self, dy):
            return self.left.backward(dy), self.right.backward(dy)

    sides = []
    for _ in range(2):
        side = Trained.__new__(Trained)
        side.model = Sum()
        side.finish(nn.MSELoss(), OPTIMIZERS["Adam"], {})
        sides.append(side)
    eager, captured = sides
    for _ in range(4):
        a, b, y = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 8), (6, 3), (6, 4)))
        value = eager.loss(eager.model(a, b), y)
        eager.model.zero_grad()
        eager.model.backward(eager.loss.backward())
        eager.optimizer.step()
        assert captured.captured(a, b, y) == value
        assert captured.state() == eager.state()


# --- many steps ---


@pytest.mark.parametrize("options", [{}, {"accumulate": 3}], ids=str)
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
def test_many_is_one_step_after_another(ordered, drop_last, options, dtype, rng):
    def make():
        return Trained([nn.BatchNorm1d(8, dtype=dtype), nn.Dropout(0.3, rng=3)], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"], dtype, **options)

    x, y = rng.standard_normal((50, 8)).astype(dtype), rng.integers(0, 4, 50)
    order = rng.permutation(50)[:47] if ordered else None
    rows = np.arange(50) if order is None else order
    eager, side = make(), make()
    for _ in range(2):
        cut = [rows[i : i + 6] for i in range(0, len(rows), 6)]
        cut = cut[:-1] if drop_last else cut
        losses = [eager.eager(x[c], y[c]) for c in cut]
        outputs = np.full((sum(map(len, cut)), 4), np.nan, dtype)
        assert side.captured.many(x, y, batch_size=6, order=order, drop_last=drop_last, outputs=outputs).tolist() == losses
        assert side.captured.done == len(cut)
        assert side.state() == eager.state()
        assert np.isfinite(outputs).all()
    last = 6 * (len(cut) - 1)
    np.testing.assert_array_equal(outputs[last:], side.captured.output)


def test_many_refuses_bad_arguments(rng):
    side = Trained([], nn.CrossEntropyLoss(), OPTIMIZERS["SGD"])
    x, y = rng.standard_normal((20, 8)).astype(np.float32), rng.integers(0, 4, 20)
    for order in ([0, 20], [-1, 3]):
        with pytest.raises(ValueError, match="order must hold rows from 0 to 19"):
            side.captured.many(x, y, batch_size=2, order=order)
    with pytest.raises(TypeError, match="order must be a one-dimensional array of integers"):
        side.captured.many(x, y, batch_size=2, order=[0.5])
    with pytest.raises(ValueError, match="equally many rows"):
        side.captured.many(x, y[:7], batch_size=2)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        side.captured.many(x, y, batch_size=0)
    with pytest.raises(ValueError, match="outputs must be"):
        side.captured.many(x, y, batch_size=2, outputs=np.empty((3, 4), np.float32))
    assert side.captured.many(x[:0], y[:0], batch_size=2).size == 0


# --- bad data ---


def test_bad_labels_leave_no_trace(rng):
    side = Trained([nn.BatchNorm1d(8), nn.Dropout(0.3, rng=3)], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"])
    x, y = rng.standard_normal((6, 8)).astype(np.float32), rng.integers(0, 4, 6)
    bad = y.copy()
    bad[4] = 9
    with pytest.raises(ValueError, match="classes from 0 to 3 .* got 9 at index"):
        side.captured(x, bad)
    side.captured(x, y), side.captured(x, y)
    before = {name: value for name, value in side.state().items() if not name.startswith("gradient")}
    with pytest.raises(ValueError, match="classes from 0 to 3 .* got 9 at index"):
        side.captured(x, bad)
    assert before == {name: value for name, value in side.state().items() if not name.startswith("gradient")}
    many_x, many_y = np.tile(x, (5, 1)), np.concatenate([y, y, y, bad, y])
    with pytest.raises(ValueError, match="classes from 0 to 3 .* got 9 at index"):
        side.captured.many(many_x, many_y, batch_size=6)
    assert side.captured.done == 3
    with pytest.raises(ValueError, match="classes from 0 to 3"):
        side.captured.many(many_x, many_y, batch_size=6, order=np.arange(30)[::-1])
    assert side.captured.done == 1


def test_targets_outside_the_unit_interval_are_refused(rng):
    side = Trained([], nn.BCELoss(), OPTIMIZERS["SGD"])
    side.model.append(nn.Sigmoid())
    x, y = rng.standard_normal((6, 8)).astype(np.float32), rng.random((6, 4)).astype(np.float32)
    side.captured(x, y), side.captured(x, y)
    y[2, 1] = 1.5
    with pytest.raises(ValueError, match="between 0 and 1, got 1.5"):
        side.captured(x, y)


def test_wrong_shapes_and_dtypes_fail_as_eagerly(rng):
    side = Trained([], nn.MSELoss(), OPTIMIZERS["SGD"])
    x, y = batches(rng, np.float32, values)[0]
    side.captured(x, y)
    for wrong, error in (((x[:, :5], y), ValueError), ((x, y[:, :2]), ValueError), ((x.astype(np.float64), y), TypeError), ((x,), TypeError)):
        with pytest.raises(error):
            side.captured(*wrong)
    side.captured(x, y)


def test_nan_and_infinity_go_through(rng):
    x, y = batches(rng, np.float32, classes)[0]
    odd = x.copy()
    odd[0, 0], odd[1, 1] = np.nan, np.inf
    eager, side = (Trained([nn.Tanh()], nn.CrossEntropyLoss(), OPTIMIZERS["SGD"]) for _ in range(2))
    for batch in (x, odd, x):
        np.testing.assert_equal(side.captured(batch, y), eager.eager(batch, y))
        assert side.state() == eager.state()


# --- what cannot be captured ---


class Doubling(Module):
    """Computes with NumPy."""

    def forward(self, x):
        return x * 2

    def backward(self, dy):
        return kernels.scale(dy, 2)


class DoublingBack(Module):
    def forward(self, x):
        return kernels.scale(x, 2)

    def backward(self, dy):
        return dy * 2


class Between(Module):
    """NumPy between two kernels."""

    def forward(self, x):
        return kernels.relu(np.abs(x))

    def backward(self, dy):
        return dy


class Masking(Module):
    """Keeps what it computed with NumPy from one forward to its backward."""

    def forward(self, x):
        self.mask = (x > 0).astype(x.dtype)
        return kernels.relu(x)

    def backward(self, dy):
        return kernels.multiply(dy, self.mask)


class Remembering(Module):
    """Carries a kernel's result from one step to the next."""

    def __init__(self):
        self.last = np.zeros((6, 8), np.float32)

    def forward(self, x):
        y = kernels.add(x, self.last)
        self.last = kernels.tanh(y)
        return y

    def backward(self, dy):
        return dy


@pytest.mark.parametrize("layer", [Doubling, DoublingBack, Between, Masking, Remembering])
def test_numpy_in_a_module_is_refused_by_name(layer, rng):
    side = Trained([nn.ReLU(), layer()], nn.MSELoss(), OPTIMIZERS["SGD"])
    before = side.state()
    for _ in range(2):
        with pytest.raises(CaptureError, match=rf"module '2' \({layer.__name__}\) cannot be captured"):
            side.captured(*batches(rng, np.float32, values)[0])
    for name, value in side.model.state_dict().items():
        assert bits(value) == before[name]
    if layer in (Doubling, Between, Remembering):
        with pytest.raises(CaptureError, match=rf"module '2' \({layer.__name__}\) cannot be captured"):
            fastnn.capture(side.model)(batches(rng, np.float32, values)[0][0])


def test_own_modules_of_kernels_are_captured(rng):
    class Double(Module):
        def forward(self, x):
            return kernels.scale(x, 2)

        def backward(self, dy):
            return kernels.scale(dy, 2)

    assert_same_training(lambda: Trained([Double()], nn.MSELoss(), OPTIMIZERS["SGD"]), batches(rng, np.float32, values))


def test_losses_and_optimizers_that_cannot_be_captured(rng):
    class Twice(nn.MSELoss):
        def forward(self, input, target):
            return 2 * super().forward(input, target)

    class Own(optim.SGD):
        def step(self):
            pass

    model = nn.Linear(8, 4)
    x, y = batches(rng, np.float32, values)[0]
    with pytest.raises(CaptureError, match=r"the loss \(Twice\) cannot be captured"):
        fastnn.capture(model, Twice(), optim.SGD(model.parameters()))(x, y)
    with pytest.raises(CaptureError, match="optimizer must be one of fastnn.optim to be captured, got Own"):
        fastnn.capture(model, nn.MSELoss(), Own(model.parameters()))
    with pytest.raises(CaptureError, match="loss must be a Module"):
        fastnn.capture(model, lambda a, b: 0, optim.SGD(model.parameters()))
    with pytest.raises(TypeError, match="must give one number|loss must give one number"):
        fastnn.capture(model, nn.MSELoss(reduction="none"), optim.SGD(model.parameters()))(x, y)
    for options, message in (({"clip_grad_norm": 0}, "clip_grad_norm must be greater than 0"), ({"accumulate": 0}, "accumulate must be from 1")):
        with pytest.raises(ValueError, match=message):
            fastnn.capture(model, nn.MSELoss(), optim.SGD(model.parameters()), **options)
    with pytest.raises(TypeError, match="a model, a loss and an optimizer"):
        fastnn.capture(model, nn.MSELoss())


# --- threads and interrupts ---


def test_a_captured_step_is_not_reentrant():
    model = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1024))
    step = fastnn.capture(model, nn.MSELoss(), optim.SGD(model.parameters()))
    x = np.zeros((16 if SLOW else 2048, 1024), np.float32)
    step(x, x)
    refused, begin = [], time.monotonic()

    def run():
        try:
            step(x, x)
        except RuntimeError as error:
            refused.append(str(error))

    while not refused and time.monotonic() - begin < 60:
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert "one thread at a time" in refused[0]
    step(x, x)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_during_a_step_leaves_the_child_a_step_that_runs():
    from helpers import run_python

    assert run_python(FORKED.replace("ROWS", "8" if SLOW else "512")).split() == ["0"] * 10


FORKED = """
import os, threading
import numpy as np
import fastnn
from fastnn import nn, optim

model = nn.Sequential(nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512))
step = fastnn.capture(model, nn.MSELoss(), optim.SGD(model.parameters()))
x = np.zeros((ROWS, 512), np.float32)
step(x, x)
going = True
def run():
    while going:
        step(x, x)
thread = threading.Thread(target=run)
thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        step(x, x), step(x[:3], x[:3])
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
going = False
thread.join()
"""


def test_several_captured_steps_run_at_once(rng):
    data = batches(rng, np.float32, classes, 200)
    expected = Trained([nn.Tanh()], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"])
    losses = [expected.eager(x, y) for x, y in data]
    sides, found = [Trained([nn.Tanh()], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"]) for _ in range(6)], {}

    def run(i):
        found[i] = [sides[i].captured(x, y) for x, y in data]

    with machine(threads=2):
        threads = [threading.Thread(target=run, args=(i,)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(found[i] == losses for i in range(6))


INTERRUPTED = """
import os, signal, threading, time
import numpy as np
import fastnn
from fastnn import nn, optim

signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever this process was started with
model = nn.Sequential(nn.Linear(512, 512, rng=1), nn.BatchNorm1d(512), nn.Dropout(0.2, rng=2), nn.ReLU(), nn.Linear(512, 10, rng=3))
loss, opt = nn.CrossEntropyLoss(), optim.Adam(model.parameters())
step = fastnn.capture(model, loss, opt)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((ROWS, 512)).astype(np.float32), rng.integers(0, 10, ROWS)
order = rng.permutation(ROWS)
step.many(x[: 2 * BATCH], y[: 2 * BATCH], batch_size=BATCH)
state = {name: array.copy() for name, array in model.state_dict().items()}
extra, adam = model[2].extra_state(), opt.state_dict()
pressed = []
def press():
    time.sleep(0.3)
    pressed.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=press).start()
try:
    while True:
        restoring, step.done = False, 0
        step.many(x, y, batch_size=BATCH, order=order)
        restoring = True
        model.load_state_dict(state); model[2].load_extra_state(extra); opt.load_state_dict(adam)
except KeyboardInterrupt:
    late = time.monotonic() - pressed[0]
    assert late < LIMIT, late
done = step.done
if restoring:  # the interrupt has cut this program's own copying short
    print("whole, it seems")
    raise SystemExit
after, after_extra = model.state_dict(), model[2].extra_state()
model.load_state_dict(state); model[2].load_extra_state(extra); opt.load_state_dict(adam)
for i in range(done):
    rows = order[i * BATCH : (i + 1) * BATCH]
    step(x[rows], y[rows])
for name, array in model.state_dict().items():
    np.testing.assert_array_equal(array, after[name])
np.testing.assert_array_equal(model[2].extra_state(), after_extra)
print("whole", done)
"""


@pytest.mark.parametrize(("rows", "batch"), [(20000, 32), (450, 150) if SLOW else (24000, 8000)])
def test_ctrl_c_leaves_whole_steps(rows, batch):
    from helpers import run_python

    code = INTERRUPTED.replace("ROWS", str(rows)).replace("BATCH", str(batch)).replace("LIMIT", "2")  # 0.2 s on a machine that is not busy
    assert "whole" in run_python(code)


# --- memory and the profile ---


def test_buffers_share_memory(rng):
    deep = Trained([layer for _ in range(20) for layer in (nn.Linear(8, 8), nn.LayerNorm(8))], nn.MSELoss(), OPTIMIZERS["SGD"])
    deep.captured(*batches(rng, np.float32, values)[0])
    calls = deep.captured.cycle[0].calls
    assert 0 < calls.peak < 0.7 * calls.total


def test_what_nobody_reads_is_not_computed(rng):
    side = Trained([nn.ReLU()], nn.CrossEntropyLoss(), OPTIMIZERS["SGD"])
    side.captured(*batches(rng, np.float32, classes)[0])
    kernels_used = [call.kernel for call in side.captured.cycle[0].calls]
    assert kernels_used.count("gemm") == 5, "two forward, two weight gradients, and one input gradient of two"
    assert kernels_used.count("check_labels") == 1
    assert "relu_forward" not in kernels_used


def test_a_batch_norm_of_images_applies_the_activation_behind_it(rng):
    layers = [nn.Unflatten(1, (2, 2, 2)), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten()]
    side = Trained(layers, nn.CrossEntropyLoss(), OPTIMIZERS["SGD"])
    side.captured(*batches(rng, np.float32, classes)[0])
    assert [bool(call["activation"]) for call in side.captured.cycle[0].calls if call.kernel == "batch_norm_forward"] == [True]


@pytest.mark.parametrize("shared", (False, True))
def test_the_derivative_of_a_relu_acts_before_the_max_pool_behind_it(shared, dtype, rng):
    def layers():
        pool = nn.MaxPool2d(3, 1, padding=1)
        after = nn.Residual(pool) if shared else nn.Sequential(pool, nn.MaxPool2d(2, ceil_mode=True))
        return [
            nn.Unflatten(1, (2, 2, 2)), nn.Conv2d(2, 3, 3, padding=2, dtype=dtype, rng=1), nn.ReLU(), after, nn.Flatten(),
            nn.Linear(48 if shared else 12, 8, dtype=dtype, rng=2),
        ]  # fmt: skip

    side = assert_same_training(lambda: Trained(layers(), nn.MSELoss(), OPTIMIZERS["SGD"], dtype), batches(rng, dtype, values))
    used = [(call.kernel, call["n"]) if call.kernel == "relu_backward" else call.kernel for call in side.captured.cycle[0].calls]
    small = used.index("max_pool_backward") + 1
    assert ("relu_backward", 6 * 48) in used[small:] if shared else used[small : small + 2] == [("relu_backward", 6 * 48), "max_pool_backward"]


def test_explain_shows_every_call_and_changes_nothing(rng):
    side = Trained([nn.BatchNorm1d(8), nn.Dropout(0.3, rng=3), nn.ReLU()], nn.CrossEntropyLoss(), OPTIMIZERS["Adam"])
    with pytest.raises(RuntimeError, match="nothing to explain"):
        side.captured.explain()
    x, y = batches(rng, np.float32, classes)[0]
    side.captured(x, y)
    before = side.state()
    text = side.captured.explain()
    assert side.state() == before
    calls = side.captured.cycle[0].calls
    assert len(text.splitlines()) == 4 + len(calls)
    for words in ("Linear", "BatchNorm1d", "CrossEntropyLoss", "Adam", "forward", "backward", "update", "m=6 n=8 k=8", "µs", "memory of its own"):
        assert words in text, words
    predict = fastnn.capture(side.model)
    with pytest.raises(RuntimeError, match="nothing to explain"):
        predict.explain()
    predict(x)
    assert "captured prediction of Sequential" in predict.explain()
