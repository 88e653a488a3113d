"""Scaled dot-product attention and a transformer's encoder layer against NumPy."""

AREAS = ("attention",)


def test_attention(benchmark, call):
    benchmark(call)
