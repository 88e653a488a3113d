from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Sizes = int | tuple[int, ...]
Gradients = tuple[Array | None, Array | None, Array | None]

def conv(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    out: Array | None = None,
) -> Array: ...
def conv_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    *,
    dweight: Array | None = None,
    dbias: Array | None = None,
    accumulate: bool = False,
    input_gradient: bool = True,
    weight_gradient: bool = True,
    bias_gradient: bool = True,
) -> Gradients: ...
def conv_transpose(
    x: ArrayLike,
    weight: ArrayLike,
    bias: ArrayLike | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    out: Array | None = None,
) -> Array: ...
def conv_transpose_backward(
    dy: ArrayLike,
    x: ArrayLike,
    weight: ArrayLike,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
    *,
    dweight: Array | None = None,
    dbias: Array | None = None,
    accumulate: bool = False,
    input_gradient: bool = True,
    weight_gradient: bool = True,
    bias_gradient: bool = True,
) -> Gradients: ...
