"""Local response normalisation across neighbouring channels."""

from __future__ import annotations

import numpy as np

from fastnn.kernels import local_response_norm, local_response_norm_backward
from fastnn.nn.arguments import number_between, positive_int
from fastnn.nn.module import Array, Module


class LocalResponseNorm(Module):
    """y = x / (k + alpha / size (sum of x² over `size` channels around each))^beta; beyond the channels are zeros. x, y: (N, C, L, …)."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = positive_int(size, "size")
        self.alpha, self.beta = number_between(alpha, "alpha", -np.inf, np.inf), number_between(beta, "beta", -np.inf, np.inf)
        self.k = number_between(k, "k", -np.inf, np.inf)

    def forward(self, x: Array) -> Array:
        y, scale = local_response_norm(x, self.size, self.alpha, self.beta, self.k)
        if self.training:
            self._saved = x, scale
        return y

    def backward(self, dy: Array) -> Array | None:
        x, scale = self.saved()
        return local_response_norm_backward(dy, x, scale, self.size, self.alpha, self.beta) if self.needs_input_grad else None

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
