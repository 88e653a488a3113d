from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

MODES: tuple[str, ...]

def upsample(
    x: ArrayLike,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    out: Array | None = None,
) -> Array: ...
def upsample_backward(
    dy: ArrayLike,
    x_shape: Sequence[int],
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Array: ...
