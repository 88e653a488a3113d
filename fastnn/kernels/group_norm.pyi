from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def group_norm(
    x: ArrayLike,
    num_groups: int,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    eps: float = 1e-5,
    out: Array | None = None,
) -> tuple[Array, Array, Array]: ...
def group_norm_backward(
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
    parameter_gradients: bool = True,
) -> tuple[Array | None, Array | None, Array | None]: ...
def instance_norm(
    x: ArrayLike,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    out: Array | None = None,
) -> tuple[Array, Array, Array]: ...
def instance_norm_backward(
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
    parameter_gradients: bool = True,
) -> tuple[Array | None, Array | None, Array | None]: ...
