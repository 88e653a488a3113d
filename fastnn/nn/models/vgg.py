"""VGG networks for small images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.nn.models.parts import convolution, halved
from fastnn.random import Rng, default_rng


def vgg(
    num_classes: int = 10, in_channels: int = 3, image_size: int = 32, channels: Sequence[Sequence[int]] = ((32, 32), (64, 64), (128, 128)),
    hidden: Sequence[int] = (256,), dropout: float = 0.5, dtype: DTypeLike = np.float32, rng: Rng = None,
) -> nn.Sequential:  # fmt: skip
    """The scheme of Simonyan and Zisserman, "Very Deep Convolutional Networks", 2014: blocks of 3×3 convolutions, a pooling after each.

    x: (N, in_channels, image_size, image_size). channels: for each block those of its convolutions, each of them followed by batch
    normalisation and ReLU. hidden: sizes of the layers between the last block and the classes, each with ReLU and dropout. The children are
    `features` and `classifier`, with the numbers that torchvision's vgg…_bn gives its layers.
    """
    generator = default_rng(rng)
    features: list[nn.Module] = []
    inputs = in_channels
    for block in channels:
        for outputs in block:
            features += [convolution(inputs, outputs, 3, dtype=dtype, rng=generator), nn.BatchNorm2d(outputs, dtype=dtype), nn.ReLU()]
            inputs = outputs
        features.append(nn.MaxPool2d(2))
    inputs *= halved(image_size, len(channels), "vgg") ** 2
    classifier: list[nn.Module] = []
    for outputs in hidden:
        classifier += [nn.Linear(inputs, outputs, dtype=dtype, rng=generator), nn.ReLU(), nn.Dropout(dropout, rng=generator)]
        inputs = outputs
    classifier.append(nn.Linear(inputs, num_classes, dtype=dtype, rng=generator))
    return nn.Sequential({"features": nn.Sequential(*features), "flatten": nn.Flatten(), "classifier": nn.Sequential(*classifier)})
