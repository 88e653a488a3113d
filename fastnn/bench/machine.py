"""What the benchmarks run on, and how every library is held to a number of threads.

A library decides how many threads it starts from its environment variable and from the processors it may run on. So a run with n
threads happens in a process of its own, which sees n processors (where the system can say so) and finds n in every variable.
"""

# threadpoolctl has no type hints and may be missing.
# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn.bench.harness import time_loop
from fastnn.kernels.matmul import fma_peak

PEERS = ("torch", "jax", "onnxruntime", "sklearn")
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
VARIABLES = ("FASTNN_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def processor() -> str:
    """The processor's name, as well as the system knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    if sys.platform == "darwin":
        answer = subprocess.run(["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False)
        if answer.stdout.strip():
            return answer.stdout.strip()
    return platform.processor() or platform.machine()


def cache_bytes() -> int:
    """The size of the last level of cache; 1 MiB where the system does not say."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    return max((int(size[:-1]) * units[size[-1]] for size in sizes if size[-1:] in units), default=2**20)


def versions(names: tuple[str, ...]) -> dict[str, str]:
    """The versions of those of these packages that are installed, by their import names."""
    found = {}
    for name in names:
        try:
            found[name] = version(DISTRIBUTIONS.get(name, name))
        except PackageNotFoundError:
            pass
    return found


def blas_architecture() -> str | None:
    """The processor family whose kernels NumPy's OpenBLAS runs, or None where threadpoolctl is not installed to ask it."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return None
    return next((library.get("architecture") for library in threadpool_info() if library.get("internal_api") == "openblas"), None)


def blas_is_behind() -> bool:
    """Whether NumPy runs AVX2 kernels (all but these families are) where fastnn runs AVX-512."""
    return fastnn.instruction_set() == "avx512" and blas_architecture() not in (None, "SkylakeX", "Cooperlake", "Sapphirerapids")


def peak_flops(dtype: str, iterations: int = 200_000) -> float:
    """One thread's multiply-add peak in floating-point operations a second."""
    operations = fma_peak(iterations, dtype)
    return operations / median(time_loop(lambda: fma_peak(iterations, dtype), 1) for _ in range(9))


def about(peers: tuple[str, ...]) -> dict[str, object]:
    """What a report says about the machine and the software."""
    return {
        "processor": processor(),
        "instruction_set": fastnn.instruction_set(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "fastnn": fastnn.__version__,
        "blas": blas_architecture(),
        **versions(("numpy", *peers)),
    }


@contextmanager
def environment(threads: int) -> Iterator[dict[str, str]]:
    """While inside, a child process that is started with this environment has so many threads and processors."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
    child = {**os.environ, **dict.fromkeys(VARIABLES, str(threads)), "XLA_FLAGS": flags.strip()}
    if not hasattr(os, "sched_setaffinity"):
        yield child
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(allowed)[-threads:]))
    try:
        yield child
    finally:
        os.sched_setaffinity(0, allowed)


@contextmanager
def threads_here(threads: int) -> Iterator[None]:
    """While inside, fastnn, and NumPy where threadpoolctl is installed, use so many threads in this process."""
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(threads)
    try:
        try:
            from threadpoolctl import threadpool_limits
        except ImportError:
            yield
        else:
            with threadpool_limits(limits=threads):
                yield
    finally:
        fastnn.set_num_threads(before)


def child(code: str) -> list[str]:
    """The command line of a Python process that runs `code` with this process's import path."""
    return [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}\n{code}"]


def random_array(*shape: int, dtype: str = "float32", seed: int = 0) -> NDArray[Any]:
    """Standard normal numbers."""
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)
