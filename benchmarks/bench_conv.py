"""Convolutions against PyTorch and the NumPy reference."""

AREAS = ("conv",)


def test_conv(call, benchmark):
    benchmark(call)
