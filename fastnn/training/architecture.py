"""Models described by plain data: a list of [layer, arguments], as it is kept in a model's file.

    [["Linear", {"in_features": 64, "out_features": 256}], ["ReLU", {}], ["Linear", {"in_features": 256, "out_features": 10}]]

or one [model, arguments], the model being one of fastnn.nn.models:

    ["lenet5", {"num_classes": 10}]

Only layers and models of the lists below can be named, and arguments are numbers, strings, booleans, None or lists of these: reading a model never
runs code from its file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.random import Rng, default_rng

Architecture = list[Any]  # [[layer, {argument: value}], …] or [model, {argument: value}]

ACTIVATIONS = (
    "ReLU", "LeakyReLU", "ReLU6", "ELU", "CELU", "SELU", "GELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Hardtanh", "Hardshrink",
    "Softshrink", "Tanhshrink", "Sigmoid", "LogSigmoid", "Tanh", "Softplus", "Softsign",
)  # fmt: skip
LAYERS = ACTIVATIONS + (
    "Linear", "Identity", "Flatten", "Unflatten", "Dropout", "LayerNorm", "RMSNorm", "BatchNorm1d", "PReLU", "Threshold", "Softmax",
    "Softmin", "LogSoftmax", "GLU", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "MaxPool1d", "MaxPool2d",
    "MaxPool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d", "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "BatchNorm2d", "BatchNorm3d",
    "GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LocalResponseNorm", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout",
    "FeatureAlphaDropout", "Upsample",
    "PixelShuffle", "ChannelShuffle", "ZeroPad1d", "ZeroPad2d", "ZeroPad3d", "Embedding", "RNN", "LSTM", "GRU", "LastStep",
)  # fmt: skip
MODELS = ("lenet5", "small_cnn", "vgg", "resnet18", "resnet20", "mobilenet", "LanguageModel")
_WITH_PARAMETERS = tuple(name for name in LAYERS if name.startswith(("Linear", "Conv", "BatchNorm", "InstanceNorm", "GroupNorm", "LayerNorm", "RMSNorm", "PReLU", "Embedding", "RNN", "LSTM", "GRU")))
_WITH_RNG = tuple(name for name in LAYERS if name.startswith(("Linear", "Conv", "Dropout", "Alpha", "FeatureAlpha", "Embedding", "RNN", "LSTM", "GRU")))


def activation_name(name: str) -> str:
    """The class's name of an activation given in any case ("relu" → "ReLU"); ValueError for one that does not exist."""
    for known in ACTIVATIONS:
        if known.lower() == name.lower() and hasattr(nn, known):
            return known
    raise ValueError(f"activation must be one of {', '.join(a.lower() for a in ACTIVATIONS if hasattr(nn, a))}, got {name!r}")


def feed_forward(inputs: int, hidden: Sequence[int], outputs: int, activation: str = "relu", dropout: float = 0.0) -> Architecture:
    """A chain of Linear layers with an activation, and dropout where it is not 0, after each but the last."""
    layers: Architecture = []
    for size in hidden:
        layers += [["Linear", {"in_features": inputs, "out_features": size}], [activation_name(activation), {}]]
        if dropout:
            layers.append(["Dropout", {"p": dropout}])
        inputs = size
    return [*layers, ["Linear", {"in_features": inputs, "out_features": outputs}]]


def build(architecture: Any, dtype: DTypeLike = np.float32, rng: Rng = None) -> nn.Module:
    """A Sequential of the layers that `architecture` lists, or the model that it names. ValueError, naming layer or model, if it does neither."""
    if not isinstance(architecture, list):
        raise ValueError(f"an architecture must be a list of [layer, arguments], got {type(architecture).__name__}")
    if architecture and isinstance(architecture[0], str):
        return _model(architecture, dtype, rng)
    generator, layers = default_rng(rng), []
    for i, entry in enumerate(architecture):
        if not (isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], dict)):
            raise ValueError(f"layer {i} of an architecture must be [name, arguments], got {entry!r}")
        name, arguments = entry
        if name not in LAYERS or not hasattr(nn, name):
            raise ValueError(f"layer {i} must be one of {', '.join(layer for layer in LAYERS if hasattr(nn, layer))}, got {name!r}")
        if not all(_is_plain(value) for value in arguments.values()):
            raise ValueError(f"layer {i}, {name}, must have plain arguments, got {arguments!r}")
        extra: dict[str, Any] = {"dtype": dtype} if name in _WITH_PARAMETERS else {}
        if name in _WITH_RNG:
            extra["rng"] = generator
        try:
            layers.append(getattr(nn, name)(**arguments, **extra))
        except (TypeError, ValueError) as error:
            raise ValueError(f"layer {i}, {name}, cannot be built from {arguments}: {error}") from error
    return nn.Sequential(*layers)


def _model(architecture: Architecture, dtype: DTypeLike, rng: Rng) -> nn.Module:
    name, *rest = architecture
    if name not in MODELS:
        raise ValueError(f"a model must be one of {', '.join(MODELS)}, got {name!r}")
    if not (len(rest) == 1 and isinstance(rest[0], dict) and all(_is_plain(value) for value in rest[0].values())):
        raise ValueError(f"a model must be [name, arguments] with plain arguments, got {architecture!r}")
    try:
        model: nn.Module = getattr(nn.models, name)(**rest[0], dtype=dtype, rng=rng)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be built from {rest[0]}: {error}") from error
    return model


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str)) or isinstance(value, list) and all(map(_is_plain, value))
