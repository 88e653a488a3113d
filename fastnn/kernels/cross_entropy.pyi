from typing import Any

from numpy.typing import ArrayLike, NDArray

# A float for reduction "mean" and "sum", an array for "none"; with keep a tuple of that and what the forward saved.
def cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def cross_entropy_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, label_smoothing: float = 0.0, reduction: str = "mean", *, saved: NDArray[Any] | None = None
) -> NDArray[Any]: ...
def nll_loss(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def nll_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, ignore_index: int = -100, reduction: str = "mean", *, saved: NDArray[Any] | None = None
) -> NDArray[Any]: ...
