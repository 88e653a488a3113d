"""What the tests of the normalisations share."""

import numpy as np


def wide(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


def assert_close(actual, expected, terms=1, scale=1.0):
    """Up to the rounding of so many operations on values of size `scale` (or the result's): centring cancels, so nothing closer holds."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape
    bound = max(scale, np.abs(expected).max(initial=0)) * (2 * np.sqrt(terms) + 4) * np.finfo(actual.dtype).eps
    error = np.abs(actual - expected).max(initial=0)
    assert error <= bound, (error, bound)
