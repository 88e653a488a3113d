"""Normalisation of each channel of each image: InstanceNorm1d, InstanceNorm2d, InstanceNorm3d."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn.kernels import instance_norm, instance_norm_backward
from fastnn.nn.batch_norm import ChannelNorm
from fastnn.nn.module import Array, grad_targets


class InstanceNorm(ChannelNorm):
    """The three below."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Array) -> Array:
        batched = self.layout(x)[0] == "N"
        images = x if batched else np.asarray(x)[None]
        weight, bias, buffers = self._parameters["weight"], self._parameters["bias"], self._buffers
        y, mean, rstd = instance_norm(
            images, buffers["running_mean"], buffers["running_var"], None if weight is None else weight.data,
            None if bias is None else bias.data, self.training or not self.track_running_stats, self.momentum or 0.0, self.eps,
        )  # fmt: skip
        if self.training:
            self._saved = images, mean, rstd, batched
        return y if batched else y[0]

    def backward(self, dy: Array) -> Array | None:
        x, mean, rstd, batched = self.saved()
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        dweight, dbias, accumulate = (None, None, False) if weight is None else grad_targets(weight, bias)
        dx = instance_norm_backward(
            dy if batched else np.asarray(dy)[None], x, mean, rstd, None if weight is None else weight.data, dweight=dweight, dbias=dbias,
            accumulate=accumulate, input_gradient=self.needs_input_grad, parameter_gradients=weight is not None,
        )[0]  # fmt: skip
        return dx if dx is None or batched else dx[0]


class InstanceNorm1d(InstanceNorm):
    """y = (x - mean) / sqrt(variance + eps) weight + bias, with the statistics of each channel of each image.

    x, y: (N, C, L) or (C, L); everything else (C,). With track_running_stats, training moves running_mean and running_var by `momentum`
    (None: not at all) towards the averages over the images, and evaluation uses them. num_batches_tracked stays 0, as in PyTorch. Raises
    ValueError where a channel of an image has but one value to take statistics of.
    """

    shapes = ("NCL", "CL")


class InstanceNorm2d(InstanceNorm):
    """InstanceNorm1d for images: x, y (N, C, H, W) or (C, H, W)."""

    shapes = ("NCHW", "CHW")


class InstanceNorm3d(InstanceNorm):
    """InstanceNorm1d for volumes: x, y (N, C, D, H, W) or (C, D, H, W)."""

    shapes = ("NCDHW", "CDHW")
