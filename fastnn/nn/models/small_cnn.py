"""A small convolutional network for 32×32 images, the one of the benchmarks."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.nn.models.parts import halved
from fastnn.random import Rng, default_rng


def small_cnn(num_classes: int = 10, in_channels: int = 3, image_size: int = 32, dtype: DTypeLike = np.float32, rng: Rng = None) -> nn.Sequential:
    """Convolutions of 32, 32, 64 and 64 channels (3×3, batch normalisation, ReLU), a pooling after each pair, then 128 and num_classes.

    x: (N, in_channels, image_size, image_size), of at least 4 pixels.
    """
    generator = default_rng(rng)

    def convolution(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, dtype=dtype, rng=generator),
            nn.BatchNorm2d(outputs, dtype=dtype),
            nn.ReLU(),
        ]

    side = halved(image_size, 2, "small_cnn")
    return nn.Sequential(
        *convolution(in_channels, 32), *convolution(32, 32), nn.MaxPool2d(2),
        *convolution(32, 64), *convolution(64, 64), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * side * side, 128, dtype=dtype, rng=generator), nn.ReLU(),
        nn.Linear(128, num_classes, dtype=dtype, rng=generator),
    )  # fmt: skip
