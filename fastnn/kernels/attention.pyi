from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]

def scaled_dot_product_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    key_padding_mask: ArrayLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
    stream: int = 0,
    state: Array | None = None,
) -> tuple[Array, Array, Array]: ...
def scaled_dot_product_attention_backward(
    dy: ArrayLike,
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    y: ArrayLike,
    top: ArrayLike,
    total: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    key_padding_mask: ArrayLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
    stream: int = 0,
    state: Array | None = None,
    dq: Array | None = None,
    dk: Array | None = None,
    dv: Array | None = None,
) -> tuple[Array, Array, Array]: ...
def scaled_dot_product_attention_weights(
    q: ArrayLike,
    k: ArrayLike,
    top: ArrayLike,
    total: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    key_padding_mask: ArrayLike | None = None,
    causal: bool = False,
    scale: float | None = None,
    dropout_p: float = 0.0,
    seed: int = 0,
    stream: int = 0,
    state: Array | None = None,
) -> Array: ...
