from typing import Any

from numpy.typing import ArrayLike, DTypeLike, NDArray

def matmul(a: ArrayLike, b: ArrayLike, out: NDArray[Any] | None = None) -> NDArray[Any]: ...
def linear(
    x: ArrayLike, weight: ArrayLike, bias: ArrayLike | None = None, activation: str | None = None, out: NDArray[Any] | None = None
) -> NDArray[Any]: ...
def linear_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    *,
    dweight: NDArray[Any] | None = None,
    dbias: NDArray[Any] | None = None,
    accumulate: bool = False,
    input_gradient: bool = True,
    bias_gradient: bool = True,
) -> tuple[NDArray[Any] | None, NDArray[Any], NDArray[Any] | None]: ...
def fma_peak(iterations: int, dtype: DTypeLike) -> float: ...
