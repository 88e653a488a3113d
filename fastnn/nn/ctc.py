"""CTCLoss: the loss of sequences whose labels have no known place."""

from __future__ import annotations

from operator import index
from typing import Any

from numpy.typing import ArrayLike

from fastnn.kernels import ctc_loss, ctc_loss_backward
from fastnn.nn.loss import Loss
from fastnn.nn.module import Array


class CTCLoss(Loss):
    """-log of the probability of all paths that spell the target once repeated classes are merged and blanks left out.

    log_probs: (T, N, C) or (T, C), as LogSoftmax gives them. targets: (N, S), padded with anything, or all labels one behind the other. input_lengths,
    target_lengths: (N,). A target that is longer than its input allows has an infinite loss, or 0 with `zero_infinity`. `reduction` "mean" divides each
    loss by its target's length before it takes the mean.

    backward gives the gradient with respect to the logits whose log_softmax log_probs is, as PyTorch does: it passes through LogSoftmax's
    backward as it is. In a captured step the target is the tuple (targets, input_lengths, target_lengths). Source: Graves et al., 2006.
    """

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False) -> None:
        super().__init__(reduction)
        self.blank = index(blank)
        self.zero_infinity = bool(zero_infinity)

    def forward(self, log_probs: Array, targets: ArrayLike, input_lengths: ArrayLike, target_lengths: ArrayLike) -> Any:
        inputs = log_probs, targets, input_lengths, target_lengths
        return self.keep(*inputs, ctc_loss(*inputs, self.blank, self.reduction, self.zero_infinity, keep=True))

    def backward(self, dy: Any = 1.0) -> Array:
        log_probs, targets, input_lengths, target_lengths, saved = self.saved()
        return ctc_loss_backward(
            dy, log_probs, targets, input_lengths, target_lengths, self.blank, self.reduction, self.zero_infinity, saved=saved
        )

    def extra_repr(self) -> str:
        return f"blank={self.blank}, {super().extra_repr()}, zero_infinity={self.zero_infinity}"
