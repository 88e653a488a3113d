"""The data set that comes with the package: 1,797 handwritten digits of 8×8 pixels.

They are the test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine Learning Repository,
https://doi.org/10.24432/C50P49, used under the Creative Commons Attribution 4.0 International licence (CC BY 4.0). Forms filled in by 13
people were scanned to 32×32 bits, and the bits that are set were counted in blocks of 4×4, which gives 8×8 integers from 0 to 16.
`digits.npz` holds these integers and the labels unchanged, as bytes.
"""

from __future__ import annotations

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["digits"]

Part = tuple[NDArray[np.float32], NDArray[np.int64]]

_TEST_EVERY = 5


def _digits_raw() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the stored pixels (1797, 64), 0 to 16, and labels (1797,), 0 to 9."""
    with files(__package__).joinpath("digits.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["pixels"], arrays["labels"]


def _split(labels: NDArray[np.uint8]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of the training and of the test part, each in a fixed mixed order.

    A fixed linear congruential sequence of 64-bit numbers orders the rows; in that order every fifth row of each class is a test row, so that
    both parts have the classes in the same proportions. It does not depend on NumPy's generators, whose streams may change.
    """
    state, keys = 1, []
    for _ in range(len(labels)):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        keys.append(state >> 16)
    order = np.argsort(np.array(keys, np.uint64), kind="stable")
    test = np.zeros(len(labels), bool)
    for label in range(10):
        test[order[labels[order] == label][::_TEST_EVERY]] = True
    return order[~test[order]], order[test[order]]


def digits() -> tuple[Part, Part]:
    """Return ``(x_train, y_train), (x_test, y_test)``: 1,433 and 364 handwritten digits.

    x: float32 (n, 64), an 8×8 image row by row, from 0 (paper) to 1 (ink). y: int64 (n,), the digit. The split is always the same, and
    its two parts have the ten digits in the same proportions. The arrays are the caller's own.
    """
    pixels, labels = _digits_raw()
    x, y = pixels.astype(np.float32) / np.float32(16), labels.astype(np.int64)
    train, test = _split(labels)
    return (x[train], y[train]), (x[test], y[test])
