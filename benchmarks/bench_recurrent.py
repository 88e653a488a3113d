"""Recurrent layers against the NumPy reference, step by step."""

AREAS = ("recurrent",)


def test_recurrent(call, benchmark):
    benchmark(call)
