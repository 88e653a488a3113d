"""fastnn's own source of random numbers. NumPy's global state is neither read nor changed."""

from __future__ import annotations

import operator
import threading
from typing import TYPE_CHECKING, SupportsIndex, TypeAlias

if TYPE_CHECKING:
    import numpy as np

Rng: TypeAlias = "SupportsIndex | np.random.Generator | None"  # what an rng= argument takes

_lock = threading.Lock()
_generator: np.random.Generator | None = None


def manual_seed(seed: SupportsIndex) -> np.random.Generator:
    """Make the default generator a new one that starts from seed, a non-negative integer; returns it."""
    global _generator
    generator = _seeded(seed)
    with _lock:
        _generator = generator
    return generator


def default_rng(rng: SupportsIndex | np.random.Generator | None = None) -> np.random.Generator:
    """The generator that an rng= argument means.

    rng: a Generator is itself, an integer seeds a new one, None is the default generator: the one of the last manual_seed, or one
    seeded by the operating system. Several threads may draw from one Generator; what each gets then depends on their order.
    Raises TypeError for anything else, ValueError for a negative integer.
    """
    import numpy as np

    global _generator
    if rng is None:
        with _lock:
            if _generator is None:
                _generator = np.random.default_rng()
            return _generator
    if isinstance(rng, np.random.Generator):
        return rng
    return _seeded(rng)


def _seeded(seed: SupportsIndex) -> np.random.Generator:
    import numpy as np

    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(
            f"rng must be None, an integer or a numpy.random.Generator, got {type(seed).__name__}"
        ) from None
    if number < 0:
        raise ValueError(f"a seed must not be negative, got {number}")
    return np.random.default_rng(number)
