"""What the models share."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn import nn
from fastnn.nn import init
from fastnn.nn.arguments import positive_int
from fastnn.random import Rng, default_rng


def convolution(
    inputs: int, outputs: int, kernel_size: int, stride: int = 1, groups: int = 1, dtype: DTypeLike = np.float32, rng: Rng = None
) -> nn.Conv2d:
    """A Conv2d that keeps the image's size, or divides it by the stride, without bias, for a batch normalisation behind it.

    Its weights are normal with variance 2 / fan_out, so that gradients stay as large as they are through many layers (He et al., "Delving Deep into
    Rectifiers", 2015).
    """
    generator = default_rng(rng)
    layer = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False, dtype=dtype, rng=generator)
    init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu", rng=generator)
    return layer


def halved(image_size: int, times: int, name: str) -> int:
    """The side of an image after `times` poolings. ValueError, naming the model, if nothing is left of it."""
    side = positive_int(image_size, "image_size")
    if side >> times == 0:
        raise ValueError(f"{name} needs an image_size of at least {1 << times}, since it halves images {times} times, got {side}")
    return side >> times
