"""Softmax over rows against the NumPy expression of a careful user."""

AREAS = ("softmax",)


def test_softmax(call, benchmark):
    benchmark(call)
