"""LeNet-5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.nn.arguments import positive_int
from fastnn.random import Rng, default_rng

POOLINGS = ("max", "average")


def lenet5(
    num_classes: int = 10, in_channels: int = 1, image_size: int = 28, activation: str | Callable[[], nn.Module] = "ReLU", pooling: str = "max",
    dtype: DTypeLike = np.float32, rng: Rng = None,
) -> nn.Sequential:  # fmt: skip
    """LeNet-5 with the layer sizes of LeCun et al., "Gradient-Based Learning Applied to Document Recognition", 1998: 61,706 parameters.

    x: (N, in_channels, image_size, image_size), of at least 12 pixels; a padding of 2 stands for the border of the paper's 32×32 images.
    activation: the name of a layer of fastnn.nn, or what builds one; pooling: "max" or "average". The paper's choices were a scaled tanh,
    averages, and a third convolution that sees a third of the channels each; ReLU, maxima and full connections are what is common now.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    side = (positive_int(image_size, "image_size") // 2 - 4) // 2
    if side < 1:
        raise ValueError(f"lenet5 needs an image_size of at least 12, got {image_size}")
    act = getattr(nn, activation, None) if isinstance(activation, str) else activation
    if not callable(act) or isinstance(act, type) and not issubclass(act, nn.Module):
        raise ValueError(f"activation must be the name of a layer, or what builds one, got {activation!r}")
    generator = default_rng(rng)
    pool = nn.MaxPool2d if pooling == "max" else nn.AvgPool2d
    return nn.Sequential({
        "conv1": nn.Conv2d(in_channels, 6, 5, padding=2, dtype=dtype, rng=generator),
        "act1": act(),
        "pool1": pool(2),
        "conv2": nn.Conv2d(6, 16, 5, dtype=dtype, rng=generator),
        "act2": act(),
        "pool2": pool(2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(16 * side * side, 120, dtype=dtype, rng=generator),
        "act3": act(),
        "fc2": nn.Linear(120, 84, dtype=dtype, rng=generator),
        "act4": act(),
        "fc3": nn.Linear(84, num_classes, dtype=dtype, rng=generator),
    })  # fmt: skip
