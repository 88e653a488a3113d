"""Activations against the NumPy expressions of a careful user."""

AREAS = ("activation",)


def test_activation(call, benchmark):
    benchmark(call)
