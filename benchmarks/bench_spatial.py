"""Padding, resampling, shuffles and dropout of channels against NumPy."""

AREAS = ("spatial",)


def test_spatial(call, benchmark):
    benchmark(call)
