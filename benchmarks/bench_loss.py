"""Losses, forward and backward together, against the NumPy expressions of a careful user."""

AREAS = ("loss",)


def test_loss(call, benchmark):
    benchmark(call)
