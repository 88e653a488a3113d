"""A small MobileNet, of depthwise separable convolutions (Howard et al., "MobileNets", 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.nn.arguments import number_between
from fastnn.nn.models.parts import convolution
from fastnn.random import Rng, default_rng

# (channels, stride) of the blocks: the paper's up to 512 channels, with one stride less at the beginning, since 32×32 pixels are few
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1))


def depthwise_separable(inputs: int, outputs: int, stride: int = 1, dtype: DTypeLike = np.float32, rng: Rng = None) -> nn.Sequential:
    """A 3×3 convolution of each channel by itself, then a 1×1 convolution across them, each with batch normalisation and ReLU.

    It does the work of a full 3×3 convolution with 1 / outputs + 1 / 9 of its multiplications.
    """
    generator = default_rng(rng)
    return nn.Sequential(
        convolution(inputs, inputs, 3, stride, groups=inputs, dtype=dtype, rng=generator), nn.BatchNorm2d(inputs, dtype=dtype), nn.ReLU(),
        convolution(inputs, outputs, 1, dtype=dtype, rng=generator), nn.BatchNorm2d(outputs, dtype=dtype), nn.ReLU(),
    )  # fmt: skip


def mobilenet(num_classes: int = 10, in_channels: int = 3, width: float = 1.0, dtype: DTypeLike = np.float32, rng: Rng = None) -> nn.Sequential:
    """A 3×3 convolution of 32 channels, seven depthwise separable blocks of up to 512, the mean over the image, and a layer for the classes.

    For images of about 32×32 pixels. width: multiplies all channels but the image's.
    """
    generator, factor = default_rng(rng), number_between(width, "width", 1 / 32, 32)
    channels = round(32 * factor)
    layers = [convolution(in_channels, channels, 3, dtype=dtype, rng=generator), nn.BatchNorm2d(channels, dtype=dtype), nn.ReLU()]
    for outputs, stride in BLOCKS:
        layers.append(depthwise_separable(channels, round(outputs * factor), stride, dtype, generator))
        channels = round(outputs * factor)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes, dtype=dtype, rng=generator))
