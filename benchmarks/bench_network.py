"""Training steps and inference of whole networks against NumPy."""

AREAS = ("training", "inference")


def test_network(benchmark, call):
    benchmark(call)
