from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Weights = Sequence[Sequence[Any]]

def rnn(
    x: ArrayLike, weights: Weights, h0: ArrayLike | None = None, *, nonlinearity: str = "tanh", table: ArrayLike | None = None, lengths: ArrayLike | None = None, batch_first: bool = False,
    save: bool = False,
) -> tuple[Array, Array, list[Any]]: ...
def rnn_backward(
    dy: ArrayLike | None, x: ArrayLike, weights: Weights, saved: list[Any], *, dh_n: ArrayLike | None = None, nonlinearity: str = "tanh",
    table: ArrayLike | None = None, lengths: ArrayLike | None = None, batch_first: bool = False, gradients: Weights | None = None, accumulate: Weights | None = None,
    input_gradient: bool = True, state_gradients: bool = True,
) -> tuple[Array | None, Array | None, list[tuple[Array | None, ...]]]: ...
def lstm(
    x: ArrayLike, weights: Weights, h0: ArrayLike | None = None, c0: ArrayLike | None = None, *, table: ArrayLike | None = None, lengths: ArrayLike | None = None, batch_first: bool = False,
    save: bool = False,
) -> tuple[Array, Array, Array, list[Any]]: ...
def lstm_backward(
    dy: ArrayLike | None, x: ArrayLike, weights: Weights, saved: list[Any], *, dh_n: ArrayLike | None = None, dc_n: ArrayLike | None = None,
    table: ArrayLike | None = None, lengths: ArrayLike | None = None, batch_first: bool = False, gradients: Weights | None = None, accumulate: Weights | None = None,
    input_gradient: bool = True, state_gradients: bool = True,
) -> tuple[Array | None, Array | None, Array | None, list[tuple[Array | None, ...]]]: ...
def gru(
    x: ArrayLike, weights: Weights, h0: ArrayLike | None = None, *, table: ArrayLike | None = None, lengths: ArrayLike | None = None, batch_first: bool = False, save: bool = False
) -> tuple[Array, Array, list[Any]]: ...
def gru_backward(
    dy: ArrayLike | None, x: ArrayLike, weights: Weights, saved: list[Any], *, dh_n: ArrayLike | None = None, table: ArrayLike | None = None, lengths: ArrayLike | None = None,
    batch_first: bool = False, gradients: Weights | None = None, accumulate: Weights | None = None, input_gradient: bool = True,
    state_gradients: bool = True,
) -> tuple[Array | None, Array | None, list[tuple[Array | None, ...]]]: ...
def last_step(x: ArrayLike, lengths: ArrayLike | None = None, *, batch_first: bool = False) -> Array: ...
def last_step_backward(dy: ArrayLike, shape: tuple[int, ...], lengths: ArrayLike | None = None, *, batch_first: bool = False) -> Array: ...
