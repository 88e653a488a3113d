"""Scaled dot-product attention and a transformer's encoder layer against NumPy."""

AREAS = ("attention",)


def test_attention(call, benchmark):
    benchmark(call)
