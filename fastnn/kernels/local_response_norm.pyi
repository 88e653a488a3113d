from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def local_response_norm(
    x: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, out: Array | None = None
) -> tuple[Array, Array]: ...
def local_response_norm_backward(
    dy: ArrayLike, x: ArrayLike, scale: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75
) -> Array: ...
