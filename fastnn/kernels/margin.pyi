from typing import Any

from numpy.typing import ArrayLike, NDArray

# A float for reduction "mean" and "sum", an array for "none"; with keep a tuple of that and what the forward saved.
def multi_margin_loss(
    input: ArrayLike, target: ArrayLike, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def multi_margin_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, p: int = 1, margin: float = 1.0, weight: ArrayLike | None = None, reduction: str = "mean"
) -> NDArray[Any]: ...
def multilabel_margin_loss(
    input: ArrayLike, target: ArrayLike, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def multilabel_margin_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean"
) -> NDArray[Any]: ...
def multilabel_soft_margin_loss(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def multilabel_soft_margin_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> NDArray[Any]: ...
