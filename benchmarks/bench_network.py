"""Training steps and inference of whole networks against NumPy."""

AREAS = ("training", "captured", "inference", "images", "sequences")


def test_network(call, benchmark):
    benchmark(call)
