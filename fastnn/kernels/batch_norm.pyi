from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def batch_norm(
    x: ArrayLike,
    running_mean: Array | None,
    running_var: Array | None,
    weight: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    *,
    num_batches_tracked: Array | None = None,
    out: Array | None = None,
) -> tuple[Array, Array, Array]: ...
def batch_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    rstd: ArrayLike,
    weight: ArrayLike | None = None,
    training: bool = True,
    *,
    dweight: Array | None = None,
    dbias: Array | None = None,
    accumulate: bool = False,
    input_gradient: bool = True,
    parameter_gradients: bool = True,
) -> tuple[Array | None, Array | None, Array | None]: ...
