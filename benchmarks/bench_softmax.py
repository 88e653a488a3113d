"""Softmax over rows against the NumPy expression of a careful user."""

AREAS = ("softmax",)


def test_softmax(benchmark, call):
    benchmark(call)
