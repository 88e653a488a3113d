"""Normalisation of channels over the batch: BatchNorm1d, BatchNorm2d, BatchNorm3d."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastnn.kernels import batch_norm, batch_norm_backward
from fastnn.nn.arguments import number_between, positive_int
from fastnn.nn.module import Array, BufferField, Module, ParameterField, check_dtype, grad_targets


class ChannelNorm(Module):
    """What batch and instance normalisation share: parameters, running statistics, and the shapes that x may have.

    shapes: the axes of x, with C for num_features.
    """

    weight = ParameterField()
    bias = ParameterField()
    running_mean = BufferField()
    running_var = BufferField()
    num_batches_tracked = BufferField()
    shapes: tuple[str, ...] = ()

    def __init__(
        self, num_features: int, eps: float, momentum: float | None, affine: bool, track_running_stats: bool, dtype: DTypeLike
    ) -> None:
        kind = check_dtype(np.dtype(dtype))
        self.num_features = n = positive_int(num_features, "num_features", minimum=0)
        self.eps = number_between(eps, "eps", 0, np.inf)
        self.momentum = None if momentum is None else number_between(momentum, "momentum", 0, 1)
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = np.ones(n, kind) if affine else None
        self.bias = np.zeros(n, kind) if affine else None
        self.running_mean = np.zeros(n, kind) if track_running_stats else None
        self.running_var = np.ones(n, kind) if track_running_stats else None
        self.num_batches_tracked = np.zeros((), np.int64) if track_running_stats else None

    def layout(self, x: Array) -> str:
        """Which of `shapes` x has; ValueError if none."""
        shape = np.shape(x)
        for axes in self.shapes:
            if len(axes) == len(shape) and shape[axes.index("C")] == self.num_features:
                return axes
        expected = " or ".join("(" + ", ".join(axes).replace("C", str(self.num_features)) + ")" for axes in self.shapes)
        raise ValueError(f"x must have shape {expected}, got {shape}")

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm(ChannelNorm):
    """The three below."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, dtype)

    def forward(self, x: Array) -> Array:
        self.layout(x)
        weight, bias, buffers = self._parameters["weight"], self._parameters["bias"], self._buffers
        y, mean, rstd = batch_norm(
            x, buffers["running_mean"], buffers["running_var"], None if weight is None else weight.data,
            None if bias is None else bias.data, self.training, self.momentum, self.eps,
            num_batches_tracked=buffers["num_batches_tracked"],
        )  # fmt: skip
        if self.training:
            self._saved = x, mean, rstd
        return y

    def backward(self, dy: Array) -> Array | None:
        x, mean, rstd = self.saved()
        weight, bias = self._parameters["weight"], self._parameters["bias"]
        dweight, dbias, accumulate = (None, None, False) if weight is None else grad_targets(weight, bias)
        return batch_norm_backward(
            dy, x, mean, rstd, None if weight is None else weight.data, dweight=dweight, dbias=dbias, accumulate=accumulate,
            input_gradient=self.needs_input_grad, parameter_gradients=weight is not None,
        )[0]  # fmt: skip


class BatchNorm1d(BatchNorm):
    """y = (x - mean) / sqrt(variance + eps) weight + bias, with the statistics of each channel over the batch.

    x, y: (N, C) or (N, C, L); everything else (C,). In training the batch's statistics are used and running_mean and running_var move
    towards them by `momentum` (None: they are the average over all batches); in evaluation the running ones are used,
    or the batch's without track_running_stats. Training raises ValueError where a channel has but one value.
    """

    shapes = ("NC", "NCL")


class BatchNorm2d(BatchNorm):
    """BatchNorm1d for images: x, y (N, C, H, W)."""

    shapes = ("NCHW",)


class BatchNorm3d(BatchNorm):
    """BatchNorm1d for volumes: x, y (N, C, D, H, W)."""

    shapes = ("NCDHW",)
