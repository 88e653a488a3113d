from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn.kernels._parameter import RowGradient

Array = NDArray[Any]

def embedding(weight: ArrayLike, ids: ArrayLike, out: Array | None = None) -> Array: ...
def embedding_backward(
    dy: ArrayLike, ids: ArrayLike, rows: int, *, padding_idx: int | None = None, scale_grad_by_freq: bool = False,
    dweight: Array | RowGradient | None = None, accumulate: bool = False,
) -> Any: ...
def embedding_renorm_(weight: Array, ids: ArrayLike, max_norm: float, norm_type: float = 2.0) -> Array: ...
def embedding_bag(
    weight: ArrayLike, ids: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None, mode: str = "mean", *,
    padding_idx: int | None = None, include_last_offset: bool = False,
) -> tuple[Array, NDArray[np.int64] | None]: ...
def embedding_bag_backward(
    dy: ArrayLike, weight: ArrayLike, ids: ArrayLike, offsets: ArrayLike | None = None, per_sample_weights: ArrayLike | None = None,
    winners: ArrayLike | None = None, mode: str = "mean", *, padding_idx: int | None = None, include_last_offset: bool = False,
    scale_grad_by_freq: bool = False, dweight: Array | RowGradient | None = None, accumulate: bool = False,
) -> tuple[Any, Array | None]: ...
