"""Lookups in a table, forward and backward, and training steps with a dense gradient or one of the used rows alone."""

AREAS = ("embedding",)


def test_embedding(call, benchmark):
    benchmark(call)
