"""Control of fastnn's threads through threadpoolctl, beside that of BLAS and OpenMP libraries."""

from __future__ import annotations

from fastnn.kernels._core import get_num_threads, set_num_threads


def register_threadpoolctl() -> None:
    """Make threadpoolctl see fastnn's thread pool: `threadpool_limits(2)` and `threadpool_info()` then include it.

    Raises ImportError where threadpoolctl is not installed. More than one call does no harm.
    """
    try:
        import threadpoolctl
    except ImportError as error:
        raise ImportError("register_threadpoolctl needs the package threadpoolctl: pip install threadpoolctl") from error

    class FastnnController(threadpoolctl.LibController):  # type: ignore[misc]
        """The pool in fastnn's compiled core, which is known by the functions that it exports."""

        user_api = internal_api = "fastnn"
        filename_prefixes = ("_core",)
        check_symbols = ("fnn_threads", "fnn_set_threads")

        def get_num_threads(self) -> int:
            return get_num_threads()

        def set_num_threads(self, num_threads: int) -> None:
            set_num_threads(num_threads)

        def get_version(self) -> str:
            from fastnn import __version__

            return __version__

    threadpoolctl.register(FastnnController)
