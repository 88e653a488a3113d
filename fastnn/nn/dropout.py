"""Dropout and alpha dropout, of elements and of whole channels."""

from __future__ import annotations

import numpy as np

from fastnn.kernels import alpha_dropout_next, alpha_dropout_next_backward, dropout_next, dropout_next_backward
from fastnn.nn.arguments import number_between
from fastnn.nn.module import Array, Module
from fastnn.random import Rng, default_rng


class Dropout(Module):
    """In training, zero each element with probability p and divide the others by 1 - p; in evaluation, return the input itself.

    Each forward in training draws a new mask, a function of the layer's seed, of how many it has drawn and of the element alone; the
    seed comes from `rng`. `inplace` is accepted and without effect. The seed and the count are no part of state_dict (as in
    PyTorch); a checkpoint that is to resume with the same masks keeps extra_state().
    """

    next = staticmethod(dropout_next)
    next_backward = staticmethod(dropout_next_backward)

    def __init__(self, p: float = 0.5, inplace: bool = False, rng: Rng = None) -> None:
        self.p = number_between(p, "p", 0, 1)
        self._state = np.array([default_rng(rng).integers(2**64, dtype=np.uint64), 0], np.uint64)

    def leading(self, shape: tuple[int, ...]) -> int | None:
        """How many of an input's first axes the mask has; None: all."""
        return None

    def forward(self, x: Array) -> Array:
        leading = self.leading(np.shape(x))
        if not self.training:
            return x
        self._saved = (leading,)
        return self.next(x, self.p, self._state, leading=leading)

    def backward(self, dy: Array) -> Array | None:
        (leading,) = self.saved()
        return self.next_backward(dy, self.p, self._state, leading=leading) if self.needs_input_grad else None

    def extra_state(self) -> Array:
        """A copy of {seed, masks drawn}, two uint64."""
        return self._state.copy()

    def load_extra_state(self, state: Array) -> None:
        """Go on from what extra_state gave."""
        array = np.asarray(state)
        if array.shape != (2,) or array.dtype != np.uint64:
            raise ValueError(f"state must be two uint64, got shape {array.shape} and dtype {array.dtype}")
        self._state[...] = array

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(Dropout):
    """Dropout of whole channels of (N, C, L) or (C, L): those that are dropped are zero throughout. See Dropout."""

    channel_axes = {2: 1, 3: 2}
    shapes = "(N, C, L) or (C, L)"

    def leading(self, shape: tuple[int, ...]) -> int:
        if len(shape) not in self.channel_axes:
            raise ValueError(f"x must have shape {self.shapes}, got {shape}")
        return self.channel_axes[len(shape)]


class Dropout2d(Dropout1d):
    """Dropout of whole channels of (N, C, H, W) or, as in PyTorch, (N, C, L). See Dropout."""

    channel_axes = {3: 2, 4: 2}
    shapes = "(N, C, H, W) or (N, C, L)"


class Dropout3d(Dropout1d):
    """Dropout of whole channels of (N, C, D, H, W) or (C, D, H, W). See Dropout."""

    channel_axes = {4: 1, 5: 2}
    shapes = "(N, C, D, H, W) or (C, D, H, W)"


class AlphaDropout(Dropout):
    """Dropout for networks of SELU: what is dropped becomes SELU's lower limit, and all is scaled and shifted, so that a mean of 0 and a variance of 1
    stay what they are. See Dropout. Source: Klambauer et al., Self-Normalizing Neural Networks, 2017.
    """

    next = staticmethod(alpha_dropout_next)
    next_backward = staticmethod(alpha_dropout_next_backward)


class FeatureAlphaDropout(AlphaDropout):
    """AlphaDropout of whole channels of (N, C, …)."""

    def leading(self, shape: tuple[int, ...]) -> int:
        if len(shape) < 2:
            raise ValueError(f"x must have shape (N, C, …), got {shape}")
        return 2
