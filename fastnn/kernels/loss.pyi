from typing import Any

from numpy.typing import ArrayLike, NDArray

# A float for reduction "mean" and "sum", an array for "none"; with keep a tuple of that and what the forward saved.
def mse_loss(
    input: ArrayLike, target: ArrayLike, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def mse_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean"
) -> NDArray[Any]: ...
def l1_loss(
    input: ArrayLike, target: ArrayLike, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def l1_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, reduction: str = "mean"
) -> NDArray[Any]: ...
def smooth_l1_loss(
    input: ArrayLike, target: ArrayLike, beta: float = 1.0, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def smooth_l1_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, beta: float = 1.0, reduction: str = "mean"
) -> NDArray[Any]: ...
def huber_loss(
    input: ArrayLike, target: ArrayLike, delta: float = 1.0, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def huber_loss_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, delta: float = 1.0, reduction: str = "mean"
) -> NDArray[Any]: ...
def binary_cross_entropy(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def binary_cross_entropy_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, reduction: str = "mean"
) -> NDArray[Any]: ...
def binary_cross_entropy_with_logits(
    input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, pos_weight: ArrayLike | None = None, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def binary_cross_entropy_with_logits_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None, pos_weight: ArrayLike | None = None, reduction: str = "mean"
) -> NDArray[Any]: ...
def kl_div(
    input: ArrayLike, target: ArrayLike, log_target: bool = False, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def kl_div_backward(
    dy: ArrayLike, input: ArrayLike, target: ArrayLike, log_target: bool = False, reduction: str = "mean"
) -> NDArray[Any]: ...
