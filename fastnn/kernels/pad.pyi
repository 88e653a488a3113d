from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

MODES: tuple[str, ...]

def pad(x: ArrayLike, padding: Sequence[int], mode: str = "constant", value: float = 0.0, out: Array | None = None) -> Array: ...
def pad_backward(dy: ArrayLike, x_shape: Sequence[int], padding: Sequence[int], mode: str = "constant") -> Array: ...
