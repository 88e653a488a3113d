"""Augmentation: transforms of batches of images, (n, …, height, width).

A transform is called with a batch and the source of its random numbers, and returns a new batch of the same dtype: ``transform(x, rng)``, rng being
None for fastnn's default, an int or a Generator. It keeps nothing between calls, so one object serves any number of loaders and threads. A
DataLoader with ``transform=`` calls it with a Generator that each batch has for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from ..random import Rng, default_rng
from .epochs import _integer

__all__ = ["Compose", "Normalize", "RandomCrop", "RandomHorizontalFlip"]

Array = NDArray[Any]
Transform = Callable[[Any, Any], Array]

_MODES = ("constant", "edge", "reflect", "symmetric")


class Compose:
    """One transform after the other."""

    def __init__(self, *transforms: Transform) -> None:
        for i, transform in enumerate(transforms):
            if not callable(transform):
                raise TypeError(f"transforms[{i}] must be called with (x, rng), but is a {type(transform).__name__}.")
        self.transforms = transforms

    def __call__(self, x: ArrayLike, rng: Rng = None) -> Array:
        batch, generator = np.asarray(x), default_rng(rng)
        for transform in self.transforms:
            batch = transform(batch, generator)
        return batch

    def __repr__(self) -> str:
        return f"Compose({', '.join(map(repr, self.transforms))})"


class RandomCrop:
    """Cut a piece out of each image, at a place of its own that is drawn uniformly.

    size: of the pieces, a number or (height, width). padding: first add so many pixels on all sides, or on (left and right, top and bottom).
    padding_mode: what they are, 0 ("constant") or, as numpy.pad says, "edge", "reflect" or "symmetric" pixels of the image.
    Raises ValueError for images that are smaller than the piece.
    """

    def __init__(self, size: int | Sequence[int], padding: int | Sequence[int] = 0, padding_mode: str = "constant") -> None:
        self.size = _pair("size", size, 1)
        self.padding = _pair("padding", padding, 0)
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {', '.join(_MODES)}, but is {padding_mode!r}.")
        self.padding_mode = padding_mode

    def __call__(self, x: ArrayLike, rng: Rng = None) -> Array:
        batch, generator = _images(x), default_rng(rng)
        (height, width), (across, down), sides = self.size, self.padding, batch.shape[-2:]
        spare = sides[0] + 2 * down - height, sides[1] + 2 * across - width
        if min(spare) < 0:
            raise ValueError(f"Pieces of {height}×{width} do not fit into images of {sides[0]}×{sides[1]} with a padding of {down} above and below "
                             f"and {across} beside.")
        if self.padding_mode != "constant" and min(sides) == 0 and (across or down):
            raise ValueError(f"Images of {sides[0]}×{sides[1]} have no pixels for a padding_mode of {self.padding_mode!r}.")
        top = generator.integers(spare[0] + 1, size=len(batch))
        left = generator.integers(spare[1] + 1, size=len(batch))
        if across or down:
            batch = np.pad(batch, [(0, 0)] * (batch.ndim - 2) + [(down, down), (across, across)], mode=self.padding_mode)  # type: ignore[call-overload]
        windows = sliding_window_view(batch, self.size, axis=(-2, -1))  # (n, …, rows, columns, height, width)
        places: Any = (np.arange(len(batch)), *(slice(None),) * (batch.ndim - 3), top, left)
        pieces: Array = windows[places]
        return pieces

    def __repr__(self) -> str:
        return f"RandomCrop({self.size}, padding={self.padding}, padding_mode={self.padding_mode!r})"


class RandomHorizontalFlip:
    """Mirror each image with probability `p`, left to right."""

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p <= 1:
            raise ValueError(f"p must be between 0 and 1, but is {p}.")
        self.p = float(p)

    def __call__(self, x: ArrayLike, rng: Rng = None) -> Array:
        batch = _images(x)
        flipped = default_rng(rng).random(len(batch)) < self.p
        result = batch.copy(order="C")
        result[flipped] = batch[flipped][..., ::-1]
        return result

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class Normalize:
    """(x - mean) / std, with a number or one for each channel; x: floating, (n, channels, height, width)."""

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = np.atleast_1d(np.asarray(mean, np.float64)), np.atleast_1d(np.asarray(std, np.float64))
        if self.mean.ndim > 1 or self.std.ndim > 1 or 1 not in (self.mean.size, self.std.size) and self.mean.size != self.std.size:
            raise ValueError(f"mean and std must be numbers or one for each channel, but have shapes {self.mean.shape} and {self.std.shape}.")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise ValueError(f"mean must be finite and std greater than 0, but they are {self.mean.tolist()} and {self.std.tolist()}.")

    def __call__(self, x: ArrayLike, rng: Rng = None) -> Array:
        batch = _images(x)
        if batch.dtype.kind != "f":
            raise TypeError(f"Normalize needs images of a floating dtype, but they are {batch.dtype}; divide them by 255 first.")
        channels = max(self.mean.size, self.std.size)
        if channels > 1 and (batch.ndim != 4 or batch.shape[1] != channels):
            raise ValueError(f"Images must have shape (n, {channels}, height, width) to have a mean and std for each channel, but have {batch.shape}.")
        mean, std = (number.astype(batch.dtype)[:, None, None] for number in (self.mean, self.std))
        result: Array = batch - mean
        result /= std
        return result

    def __repr__(self) -> str:
        return f"Normalize({self.mean.tolist()}, {self.std.tolist()})"


def _pair(name: str, value: int | Sequence[int], least: int) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{name} must be a number or two, but is {value!r}.")
    return _integer(name, values[0], least, 2**15), _integer(name, values[1], least, 2**15)


def _images(x: ArrayLike) -> Array:
    batch = np.asarray(x)
    if batch.ndim < 3:
        raise ValueError(f"Images must have shape (n, …, height, width), but have {batch.shape}.")
    return batch
