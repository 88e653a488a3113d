from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def layer_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Array, Array]: ...
def layer_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    rstd: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    dweight: Array | None = None,
    dbias: Array | None = None,
    accumulate: bool = False,
    input_gradient: bool = True,
    weight_gradient: bool = True,
    bias_gradient: bool = True,
) -> tuple[Array | None, Array | None, Array | None]: ...
def rms_norm(
    x: ArrayLike,
    normalized_shape: int | Sequence[int],
    weight: ArrayLike | None = None,
    eps: float | None = None,
    out: Array | None = None,
) -> tuple[Array, Array]: ...
def rms_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    rstd: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    dweight: Array | None = None,
    accumulate: bool = False,
    input_gradient: bool = True,
    weight_gradient: bool = True,
) -> tuple[Array | None, Array | None]: ...
def local_response_norm(
    x: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, out: Array | None = None
) -> tuple[Array, Array]: ...
def local_response_norm_backward(
    dy: ArrayLike, x: ArrayLike, scale: ArrayLike, size: int, alpha: float = 1e-4, beta: float = 0.75
) -> Array: ...
