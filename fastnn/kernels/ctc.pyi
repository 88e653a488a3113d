from typing import Any

from numpy.typing import ArrayLike, NDArray

# A float for reduction "mean" and "sum", an array for "none"; with keep a tuple of that and what the forward saved.
def ctc_loss(
    log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike, target_lengths: ArrayLike, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False, *, keep: bool = False
) -> Any: ...
def ctc_loss_backward(
    dy: ArrayLike, log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike, target_lengths: ArrayLike, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False, *, saved: Any = None
) -> NDArray[Any]: ...
