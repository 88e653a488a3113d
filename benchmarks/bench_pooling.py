"""Pooling against the NumPy reference."""

AREAS = ("pooling",)


def test_pooling(call, benchmark):
    benchmark(call)
