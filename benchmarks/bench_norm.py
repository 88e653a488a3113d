"""Normalisation and dropout against the NumPy reference and PyTorch."""

AREAS = ("norm",)


def test_norm(call, benchmark):
    benchmark(call)
