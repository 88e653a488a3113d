from collections.abc import Sequence
from typing import Any, Literal

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Numbers = int | Sequence[int]
Indices = Literal["flat", "window"] | None

def max_pool(
    x: ArrayLike,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    indices: Indices = None,
    out: Array | None = None,
) -> tuple[Array, Array | None]: ...
def max_pool_backward(
    dy: ArrayLike,
    indices: ArrayLike,
    shape: Sequence[int],
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> Array: ...
def adaptive_max_pool(
    x: ArrayLike, output_size: int | None | Sequence[int | None], indices: Indices = None, out: Array | None = None
) -> tuple[Array, Array | None]: ...
def adaptive_max_pool_backward(
    dy: ArrayLike, indices: ArrayLike, shape: Sequence[int], output_size: int | None | Sequence[int | None], out: Array | None = None
) -> Array: ...
def avg_pool(
    x: ArrayLike,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    out: Array | None = None,
) -> Array: ...
def avg_pool_backward(
    dy: ArrayLike,
    shape: Sequence[int],
    kernel_size: Numbers,
    stride: Numbers | None = None,
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    out: Array | None = None,
) -> Array: ...
def adaptive_avg_pool(x: ArrayLike, output_size: int | None | Sequence[int | None], out: Array | None = None) -> Array: ...
def adaptive_avg_pool_backward(
    dy: ArrayLike, shape: Sequence[int], output_size: int | None | Sequence[int | None], out: Array | None = None
) -> Array: ...
def power(x: ArrayLike, exponent: float, scale: float = 1.0, out: Array | None = None) -> Array: ...
def power_backward(dy: ArrayLike, x: ArrayLike, exponent: float, scale: float = 1.0, out: Array | None = None) -> Array: ...
def lp_pool(
    x: ArrayLike, norm_type: float, kernel_size: Numbers, stride: Numbers | None = None, ceil_mode: bool = False
) -> tuple[Array, Array]: ...
def lp_pool_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    norm_type: float,
    kernel_size: Numbers,
    stride: Numbers | None = None,
    ceil_mode: bool = False,
) -> Array: ...
