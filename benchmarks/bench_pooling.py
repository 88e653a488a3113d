"""Pooling against the NumPy reference."""

AREAS = ("pooling",)


def test_pooling(benchmark, call):
    benchmark(call)
