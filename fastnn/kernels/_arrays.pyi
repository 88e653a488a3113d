from typing import Any

from numpy.typing import DTypeLike, NDArray

def empty(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]: ...
