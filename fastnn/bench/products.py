"""Matrix products: against the processor's multiply-add peak, and against numpy.matmul in many shapes and layouts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import instruction_set
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import blas_is_behind, random_array
from fastnn.kernels.matmul import fma_peak, matmul

Array = NDArray[Any]

PEAK_CUBES = (256, 384, 512, 768, 1024, 1536, 2048)
CUBES = (4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 100, 128, 160, 192, 224, 256, 320, 384, 448, 500, 512, 640, 768, 1000, 1024, 1536, 2048)
# (m, k, n): layers at work on one sample and on a batch, their gradients, and what is long in one direction only.
LAYERS = (
    (1, 784, 128), (1, 128, 10), (1, 4, 32), (1, 3072, 512), (1, 1024, 1024), (32, 4, 32), (32, 32, 1), (64, 784, 128), (64, 128, 10),
    (784, 64, 128), (128, 64, 10), (64, 10, 128), (128, 3072, 512), (32, 512, 512), (256, 10, 128), (256, 128, 10), (256, 784, 1024),
    (256, 1024, 1024), (1024, 256, 1024), (1024, 256, 784), (256, 1024, 10), (512, 64, 256), (33, 77, 55),
)  # fmt: skip
SKINNY = (
    (1, 64, 64), (1, 256, 256), (1, 2048, 2048), (64, 64, 1), (256, 256, 1), (1024, 1024, 1), (2048, 2048, 1), (64, 1, 64), (512, 1, 512), (2048, 1, 2048),
    (1, 4096, 1), (4, 1024, 4), (1024, 4, 1024), (2048, 16, 16), (16, 16, 2048), (16, 2048, 16),
)  # fmt: skip
LAYOUTS = ("NN", "NT", "TN", "TT")
AVX512_SHARE, AVX2_SHARE, F64_SHARE = 0.90, 0.92, 0.85
QUICK = {(n, n, n) for n in (8, 32, 128, 256)} | {(1, 784, 128), (64, 784, 128), (784, 64, 128), (256, 128, 10), (1, 256, 256), (256, 256, 1), (64, 1, 64)}


def operands(m: int, k: int, n: int, dtype: str, layout: str = "NN") -> tuple[Array, Array]:
    """Random a (m, k) and b (k, n); T in the layout makes that one a transposed view."""
    a = random_array(m, k, dtype=dtype) if layout[0] == "N" else random_array(k, m, dtype=dtype).T
    b = random_array(k, n, dtype=dtype, seed=1) if layout[1] == "N" else random_array(n, k, dtype=dtype, seed=1).T
    return a, b


def check_product(c: Array, a: Array, b: Array) -> None:
    """Hold some rows and columns of c = a b, the outer ones among them, to float64.

    The error of a sum of k rounded terms grows like √k times its unit of rounding times the sum of the terms' sizes.
    """
    rows, columns = (np.unique(np.linspace(0, size - 1, 24).astype(int)) for size in c.shape)
    left, right = a[rows].astype(np.float64), b[:, columns].astype(np.float64)
    allowed = (2 * np.sqrt(a.shape[1]) + 4) * np.finfo(c.dtype).eps * (abs(left) @ abs(right))
    wrong = abs(c[np.ix_(rows, columns)] - left @ right) > allowed
    assert not wrong.any(), f"{wrong.sum()} of {wrong.size} elements of the product are wrong"


def against_peak(size: int, dtype: str, _: tuple[str, ...]) -> Work:
    a, b = operands(size, size, size, dtype)
    c = np.empty((size, size), dtype)
    flops = 2.0 * size**3
    iterations = 20_000
    scale = flops / fma_peak(iterations, dtype)

    def check() -> None:
        check_product(matmul(a, b, out=c), a, b)

    return Work(
        lambda: matmul(a, b, out=c), {"FMA peak": lambda: fma_peak(iterations, dtype)}, check, flops=flops, scale={"FMA peak": scale}
    )  # fmt: skip


def against_numpy(m: int, k: int, n: int, dtype: str, layout: str, _: tuple[str, ...]) -> Work:
    a, b = operands(m, k, n, dtype, layout)
    ours, theirs = np.empty((m, n), dtype), np.empty((m, n), dtype)

    def check() -> None:
        check_product(matmul(a, b, out=ours), a, b)
        check_product(np.matmul(a, b, out=theirs), a, b)

    return Work(lambda: matmul(a, b, out=ours), {"numpy": lambda: np.matmul(a, b, out=theirs)}, check, flops=2.0 * m * k * n)


def peak_cases() -> Iterator[Case]:
    for dtype in ("float32", "float64"):
        share = F64_SHARE if dtype == "float64" else AVX2_SHARE if instruction_set() == "avx2" else AVX512_SHARE
        for size in PEAK_CUBES:
            yield Case(
                "peak", f"matmul {dtype}, 256 to 2048 cubed", "matmul", f"{size}³", dtype, partial(against_peak, size, dtype),
                {"FMA peak": share}, small=size <= 512, quick=size in (256, 512), threads=1,
            )  # fmt: skip


def group_of(m: int, k: int, n: int, dtype: str) -> str:
    if m == k == n:
        return f"matmul {dtype}, 4 to 100 cubed" if m < 128 else f"matmul {dtype}, 128 to 2048 cubed"
    return f"matmul {dtype}, layers' shapes" if (m, k, n) in LAYERS else f"matmul {dtype}, vectors and skinny"


def numpy_cases() -> Iterator[Case]:
    ahead = blas_is_behind()
    shapes = [*((n, n, n) for n in CUBES), *LAYERS, *SKINNY]
    for dtype in ("float32", "float64"):
        for m, k, n in shapes:
            cube = m == k == n
            target = 1.8 if ahead and cube and m >= 128 else 1.0
            for layout in LAYOUTS if dtype == "float32" else LAYOUTS[:1]:
                yield Case(
                    "matmul", group_of(m, k, n, dtype), f"matmul {layout}", f"{m}³" if cube else f"{m}×{k}×{n}", dtype,
                    partial(against_numpy, m, k, n, dtype, layout),
                    {"numpy": target}, small=m * k * n <= 10**8, quick=(m, k, n) in QUICK and dtype == "float32" and layout in ("NN", "NT"),
                )  # fmt: skip


def cases() -> Iterator[Case]:
    yield from peak_cases()
    yield from numpy_cases()
