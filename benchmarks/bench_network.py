"""Training steps and inference of whole networks against NumPy."""

AREAS = ("training", "captured", "inference", "images")


def test_network(benchmark, call):
    benchmark(call)
