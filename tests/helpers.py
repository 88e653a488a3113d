"""What the kernel tests share: sizes, awkward layouts, switching instruction sets and threads, comparing bits."""

from contextlib import contextmanager

import numpy as np

from fastnn.kernels import _core

ISAS = _core.usable_instruction_sets()
THREADS = (1, 2, 3, 4, 7)

# 0, 1, and around the lane counts of every instruction set and dtype.
SIZES = (0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 129, 1000)


@contextmanager
def machine(isa=None, threads=1, cycles_per_share=100.0):
    """Run with an instruction set and so many threads, and with shares so small that small arrays use them all."""
    before = _core.instruction_set(), _core.get_num_threads(), _core._use_cycles_per_share(cycles_per_share)
    try:
        if isa is not None:
            _core._use_instruction_set(isa)
        _core.set_num_threads(threads)
        yield
    finally:
        _core._use_instruction_set(before[0])
        _core.set_num_threads(before[1])
        _core._use_cycles_per_share(before[2])


def bits(array):
    """The bytes of an array, with every NaN made the same one (its sign and payload are not part of the promise)."""
    array = np.array(array)
    if array.dtype.kind == "f":
        array[np.isnan(array)] = np.nan
    return array.dtype.str, array.shape, array.tobytes()


def outputs(result):
    """A kernel's results as a flat list of arrays."""
    return [r for r in (result if isinstance(result, tuple) else (result,)) if r is not None]


def assert_same_bits(function):
    """function() gives the same bits on every instruction set and any number of threads."""
    with machine(ISAS[0]):
        expected = [bits(r) for r in outputs(function())]
    for isa in ISAS:
        for threads in THREADS:
            with machine(isa, threads):
                assert [bits(r) for r in outputs(function())] == expected, f"{isa}, {threads} threads"


def _unaligned(x):
    buffer = np.empty(x.nbytes + 1, np.uint8)
    view = buffer[1:].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def _every_other(x):
    wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in x.shape)]
    view[...] = x
    return view


def _offset(x, elements):
    buffer = np.empty(x.size + elements, x.dtype)
    view = buffer[elements:].reshape(x.shape)
    view[...] = x
    return view


# Each gives an array equal to its argument in another layout.
LAYOUTS = {
    "fortran": np.asfortranarray,
    "reversed": lambda x: np.ascontiguousarray(x[(slice(None, None, -1),) * x.ndim])[(slice(None, None, -1),) * x.ndim],
    "strided": _every_other,
    "unaligned": _unaligned,
    "read-only": _read_only,
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "off by one element": lambda x: _offset(x, 1),
    "off by three elements": lambda x: _offset(x, 3),
}


def special_values(dtype):
    """Zeros, ones, subnormals, the extremes, infinities and NaN, of both signs."""
    info = np.finfo(dtype)
    positive = [0, 1, 0.5, 2, 20, 88, 710, info.tiny, info.smallest_subnormal, info.eps, info.max, np.inf]
    return np.array([*positive, *(-np.array(positive)), np.nan], dtype)


def ulp_error(actual, exact):
    """The largest error of `actual` in units in the last place of its dtype; `exact` is float64 or wider."""
    spacing = np.spacing(np.abs(exact).astype(actual.dtype)).astype(np.float64)
    finite = np.isfinite(exact) & np.isfinite(spacing)
    return float(np.max(np.abs(actual - exact)[finite] / spacing[finite], initial=0.0))


def assert_close(actual, expected, terms=1, magnitude=None):
    """`actual` equals the float64 reference `expected` up to the rounding of a chain of `terms` operations in its dtype.

    The allowed error is 4 √terms + 4 units of rounding, relative to each element or to a hundredth of the largest one, whichever is more;
    where terms cancel, relative to `magnitude`, the sum of their absolute values.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    assert np.array_equal(np.isnan(actual), np.isnan(expected))
    finite = np.isfinite(expected)
    assert np.array_equal(actual[~finite & ~np.isnan(expected)], expected[~finite & ~np.isnan(expected)])
    if finite.any():
        scale = np.maximum(np.abs(expected), np.abs(expected[finite]).max() / 100)
        if magnitude is not None:
            scale = np.maximum(scale, magnitude)
        error = np.abs(actual[finite] - expected[finite]) / scale[finite].clip(np.finfo(actual.dtype).tiny)
        assert error.max() <= (4 * np.sqrt(terms) + 4) * np.finfo(actual.dtype).eps, f"relative error {error.max():.3g}"


def run_python(code, timeout=120, **environment):
    """Run code in a fresh interpreter, outside the source folder; returns what it printed. AssertionError with its stderr if it fails."""
    import os
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    import fastnn

    package = str(Path(fastnn.__file__).resolve().parent.parent)
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, cwd=folder,
            env={**os.environ, "PYTHONPATH": package, **environment},
        )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout
