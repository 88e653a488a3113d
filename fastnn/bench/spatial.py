"""Layers that move pixels, forward and backward: padding, resampling, shuffles and dropout of channels, against NumPy and PyTorch.

NumPy's side is what a careful user writes: np.pad, repeat, a reshape with the axes in another order. It knows no backward of a padding or
resampling that is a line long, and there it is the reference. PyTorch's is the operator itself, without autograd around it.
"""

# PyTorch's operators are not typed.
# mypy: disable-error-code="import-not-found,no-untyped-call,no-any-return"

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import kernels, nn, reference
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import random_array

Array = NDArray[Any]
Shape = tuple[int, ...]
Side = Callable[[Array], Any]

SHAPES: tuple[Shape, ...] = ((16, 16, 14, 14), (64, 32, 32, 32), (8, 64, 56, 56))
NUMPY_MODES = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def torch_side(name: str, shape: Shape, backward: bool) -> Callable[[Any], Any] | None:
    """PyTorch's operator, on tensors; None where it has none."""
    import torch

    F, aten = torch.nn.functional, torch.ops.aten
    large, edges = [2 * n for n in shape[2:]], (1, 1, 1, 1)
    if backward:
        return {
            "pad constant": lambda dy: F.pad(dy, (-1, -1, -1, -1)),
            "pad reflect": lambda dy: aten.reflection_pad2d_backward(dy, torch.empty(shape, dtype=dy.dtype), edges),
            "pad replicate": lambda dy: aten.replication_pad2d_backward(dy, torch.empty(shape, dtype=dy.dtype), edges),
            "upsample nearest": lambda dy: aten.upsample_nearest2d_backward(dy, large, shape, 2.0, 2.0),
            "upsample bilinear": lambda dy: aten.upsample_bilinear2d_backward(dy, large, shape, False, 2.0, 2.0),
        }.get(name)
    if name.startswith("pad"):
        return lambda x: F.pad(x, edges, name.split()[1])
    if name.startswith("upsample"):
        return lambda x: F.interpolate(x, scale_factor=2, mode=name.split()[1])
    return {
        "pixel_shuffle": lambda x: F.pixel_shuffle(x, 2),
        "pixel_unshuffle": lambda x: F.pixel_unshuffle(x, 2),
        "channel_shuffle": lambda x: aten.channel_shuffle(x, 4),
        "dropout2d": lambda x: F.dropout2d(x, 0.5),
        "softmax2d": lambda x: F.softmax(x, 1),
    }[name]


def numpy_pixel_shuffle(x: Array) -> Array:
    n, c, h, w = x.shape
    return x.reshape(n, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


def numpy_pixel_unshuffle(x: Array) -> Array:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def numpy_channel_shuffle(x: Array) -> Array:
    return x.reshape(x.shape[0], 4, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


def numpy_dropout2d(x: Array, random: np.random.Generator) -> Array:
    kept = random.random(x.shape[:2]) >= 0.5
    return x * (kept / 0.5).astype(x.dtype)[:, :, None, None]


# fastnn's side and NumPy's.
LAYERS: dict[str, tuple[Side, Side]] = {
    "pixel_shuffle": (nn.PixelShuffle(2).eval(), numpy_pixel_shuffle),
    "pixel_unshuffle": (nn.PixelUnshuffle(2).eval(), numpy_pixel_unshuffle),
    "channel_shuffle": (nn.ChannelShuffle(4).eval(), numpy_channel_shuffle),
    "dropout2d": (partial(kernels.dropout, p=0.5, seed=1, stream=2, leading=2), partial(numpy_dropout2d, random=np.random.default_rng(1))),
    "softmax2d": (nn.Softmax2d().eval(), partial(reference.softmax, axis=1)),
}
NAMES = (*(f"pad {mode}" for mode in NUMPY_MODES), "upsample nearest", "upsample bilinear")


def sides(name: str, shape: Shape, backward: bool) -> tuple[Side, Side, Shape]:
    """fastnn's function, NumPy's, and the shape that they take."""
    if name in LAYERS:
        return *LAYERS[name], shape
    kind, mode = name.split()
    n, c, h, w = shape
    if kind == "pad":
        edges = (1, 1, 1, 1)
        if backward:
            return lambda dy: kernels.pad_backward(dy, shape, edges, mode), lambda dy: reference.pad_backward(dy, shape, edges, mode), (n, c, h + 2, w + 2)
        numpy_mode: Any = NUMPY_MODES[mode]
        return lambda x: kernels.pad(x, edges, mode), lambda x: np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), numpy_mode), shape
    options: dict[str, Any] = {"scale_factor": 2, "mode": mode}
    if backward:
        return lambda dy: kernels.upsample_backward(dy, shape, **options), lambda dy: reference.upsample_backward(dy, shape, **options), (n, c, 2 * h, 2 * w)
    repeated: Side = (lambda x: x.repeat(2, 2).repeat(2, 3)) if mode == "nearest" else (lambda x: reference.upsample(x, **options))
    return lambda x: kernels.upsample(x, **options), repeated, shape


def prepare(name: str, shape: Shape, dtype: str, backward: bool, wanted: tuple[str, ...]) -> Work:
    ours, numpy, taken = sides(name, shape, backward)
    x = random_array(*taken, dtype=dtype)
    calls: dict[str, Callable[[], Any]] = {"numpy": lambda: numpy(x)}
    theirs = torch_side(name, shape, backward) if "torch" in wanted else None
    if theirs is not None:
        import torch

        tensor = torch.from_numpy(x)
        calls["torch"] = torch.inference_mode()(partial(theirs, tensor))

    def check() -> None:
        y = ours(x)
        if name == "dropout2d":  # each draws masks of its own
            np.testing.assert_array_equal(y, reference.dropout(x, 0.5, 1, 2, leading=2))
            return
        for peer, call in calls.items():
            np.testing.assert_allclose(y, np.asarray(call()), rtol=0, atol=40 * float(np.finfo(dtype).eps), err_msg=f"{name} against {peer}")

    return Work(lambda: ours(x), calls, check)


def spatial_cases() -> Iterator[Case]:
    for name in (*NAMES, *LAYERS):
        for backward in (False, True) if name in NAMES else (False,):
            for dtype in ("float32", "float64"):
                for shape in SHAPES:
                    label = name + " backward" * backward
                    yield Case(
                        "spatial", f"{label} {dtype}", label, "×".join(map(str, shape)), dtype, partial(prepare, name, shape, dtype, backward),
                        small=shape == SHAPES[0], quick=dtype == "float32" and shape != SHAPES[-1],
                    )  # fmt: skip
