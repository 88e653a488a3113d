"""Matrix products against the multiply-add peak and numpy.matmul."""

AREAS = ("peak", "matmul")


def test_matmul(call, benchmark):
    benchmark(call)
