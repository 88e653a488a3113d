"""Recurrent layers against the NumPy reference, step by step."""

AREAS = ("recurrent",)


def test_recurrent(benchmark, call):
    benchmark(call)
