"""Residual networks (He et al., "Deep Residual Learning for Image Recognition", 2015). Their layers are named as in torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.kernels import add
from fastnn.nn.models.parts import convolution
from fastnn.nn.module import Array
from fastnn.random import Rng, default_rng


class BasicBlock(nn.Module):
    """y = relu(bn2(conv2(relu(bn1(conv1(x))))) + downsample(x)); x: (N, inputs, H, W), y: (N, outputs, ⌈H / stride⌉, ⌈W / stride⌉).

    `downsample`, a 1×1 convolution and a batch normalisation, is there where x and y differ in shape; else x itself is added.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, dtype: DTypeLike = np.float32, rng: Rng = None) -> None:
        generator = default_rng(rng)
        self.conv1 = convolution(inputs, outputs, 3, stride, dtype=dtype, rng=generator)
        self.bn1 = nn.BatchNorm2d(outputs, dtype=dtype)
        self.relu1 = nn.ReLU()
        self.conv2 = convolution(outputs, outputs, 3, dtype=dtype, rng=generator)
        self.bn2 = nn.BatchNorm2d(outputs, dtype=dtype)
        self.relu = nn.ReLU()
        self._branch = self.conv1, self.bn1, self.relu1, self.conv2, self.bn2
        self._projects = stride != 1 or inputs != outputs
        if self._projects:
            self.downsample = nn.Sequential(convolution(inputs, outputs, 1, stride, dtype=dtype, rng=generator), nn.BatchNorm2d(outputs, dtype=dtype))

    def forward(self, x: Array) -> Array:
        y = x
        for layer in self._branch:
            y = layer.forward(y)
        return self.relu.forward(add(y, self.downsample.forward(x) if self._projects else x))

    def backward(self, dy: Array) -> Array:
        dy = self.relu.backward(dy)
        dx: Any = dy
        for layer in reversed(self._branch):
            dx = layer.backward(dx)
        return add(dx, self.downsample.backward(dy) if self._projects else dy)


def _resnet(
    stem: dict[str, nn.Module], channels: Sequence[int], blocks: Sequence[int], num_classes: int, dtype: DTypeLike, rng: np.random.Generator
) -> nn.Sequential:
    """A stem that gives channels[0], then a stage of blocks for each of `channels`, halving the image from the second on."""
    stages, inputs = {}, channels[0]
    for i, (outputs, count) in enumerate(zip(channels, blocks, strict=True)):
        stage = []
        for j in range(count):
            stage.append(BasicBlock(inputs, outputs, 2 if i and not j else 1, dtype, rng))
            inputs = outputs
        stages[f"layer{i + 1}"] = nn.Sequential(*stage)
    head = {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "fc": nn.Linear(inputs, num_classes, dtype=dtype, rng=rng)}
    return nn.Sequential({**stem, **stages, **head})


def resnet18(num_classes: int = 1000, in_channels: int = 3, dtype: DTypeLike = np.float32, rng: Rng = None) -> nn.Sequential:
    """ResNet-18 for images of about 224×224 pixels: 11,689,512 parameters for 1,000 classes of colour images."""
    generator = default_rng(rng)
    stem = {
        "conv1": convolution(in_channels, 64, 7, 2, dtype=dtype, rng=generator),
        "bn1": nn.BatchNorm2d(64, dtype=dtype),
        "relu": nn.ReLU(),
        "maxpool": nn.MaxPool2d(3, stride=2, padding=1),
    }
    return _resnet(stem, (64, 128, 256, 512), (2, 2, 2, 2), num_classes, dtype, generator)


def resnet20(num_classes: int = 10, in_channels: int = 3, dtype: DTypeLike = np.float32, rng: Rng = None) -> nn.Sequential:
    """The paper's ResNet-20 for images of about 32×32 pixels: 272,474 parameters for 10 classes of colour images.

    Where a block changes the shape its shortcut is a projection (the paper's option B, as in resnet18), not a padding with zeros (A).
    """
    generator = default_rng(rng)
    stem = {
        "conv1": convolution(in_channels, 16, 3, dtype=dtype, rng=generator),
        "bn1": nn.BatchNorm2d(16, dtype=dtype),
        "relu": nn.ReLU(),
    }
    return _resnet(stem, (16, 32, 64), (3, 3, 3), num_classes, dtype, generator)
