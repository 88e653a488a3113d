"""Normalisation and dropout against the NumPy reference."""

AREAS = ("norm",)


def test_norm(benchmark, call):
    benchmark(call)
