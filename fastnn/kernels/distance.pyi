from typing import Any

from numpy.typing import ArrayLike, NDArray

# With keep a tuple of the cosines and what backward needs.
def cosine_similarity(
    x1: ArrayLike, x2: ArrayLike, dim: int = 1, eps: float = 1e-8, *, keep: bool = False
) -> Any: ...
def cosine_similarity_backward(
    dy: ArrayLike, x1: ArrayLike, x2: ArrayLike, dim: int = 1, eps: float = 1e-8, *, saved: Any = None
) -> tuple[NDArray[Any], NDArray[Any]]: ...
def pairwise_distance(
    x1: ArrayLike, x2: ArrayLike, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> NDArray[Any]: ...
def pairwise_distance_backward(
    dy: ArrayLike, x1: ArrayLike, x2: ArrayLike, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False, *, saved: Any = None
) -> tuple[NDArray[Any], NDArray[Any]]: ...

# A float for reduction "mean" and "sum", an array for "none"; with keep a tuple of that and what the forward saved.
def cosine_embedding_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def cosine_embedding_loss_backward(
    dy: ArrayLike, input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean", *, saved: Any = None
) -> tuple[NDArray[Any], NDArray[Any]]: ...
def margin_ranking_loss(
    input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def margin_ranking_loss_backward(
    dy: ArrayLike, input1: ArrayLike, input2: ArrayLike, target: ArrayLike, margin: float = 0.0, reduction: str = "mean"
) -> tuple[NDArray[Any], NDArray[Any]]: ...
def triplet_margin_loss(
    anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean", *, keep: bool = False
) -> Any: ...
def triplet_margin_loss_backward(
    dy: ArrayLike, anchor: ArrayLike, positive: ArrayLike, negative: ArrayLike, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False, reduction: str = "mean", *, saved: Any = None
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]: ...
