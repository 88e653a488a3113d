"""The loader, and parting data in two. What loaders do with transforms and threads is in test_augment.py."""

import json

import numpy as np
import pytest

from fastnn.data import DataLoader, split

X, Y = np.arange(46, dtype=np.float32).reshape(23, 2), np.arange(23)


def rows(loader):
    return [list(y) for _, y in loader]


@pytest.mark.parametrize("n", [0, 1, 4, 5, 23])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 100])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_gives_every_row_once(n, batch_size, drop_last, shuffle):
    loader = DataLoader(X[:n], Y[:n], batch_size=batch_size, drop_last=drop_last, shuffle=shuffle, seed=1)
    batches = list(loader)
    assert len(batches) == len(loader) == (n // batch_size if drop_last else -(-n // batch_size))
    assert all(len(x) == len(y) == batch_size for x, y in (batches if drop_last else batches[:-1]))
    seen = [i for _, y in batches for i in y]
    assert sorted(seen) == list(range(n)) if not drop_last else len(set(seen)) == n // batch_size * batch_size
    assert all(np.array_equal(x, X[y]) for x, y in batches)
    assert shuffle or seen == sorted(seen)


def test_unshuffled_batches_are_views():
    assert all(np.shares_memory(x, X) and np.shares_memory(y, Y) for x, y in DataLoader(X, Y))


def test_order_is_a_function_of_seed_and_epoch():
    a, b = (DataLoader(X, Y, shuffle=True, seed=5, batch_size=4) for _ in range(2))
    first, second = rows(a), rows(a)
    assert first != second
    assert [rows(b), rows(b)] == [first, second]
    assert rows(DataLoader(X, Y, shuffle=True, seed=6, batch_size=4)) != first
    assert list(a.order(0)) == sum(first, []) and list(a.order(1)) == sum(second, [])
    coming = list(a.order())
    assert sum(rows(a), []) == coming
    # the documented order, and so the batches of a seed, never change
    assert list(DataLoader(Y[:10], shuffle=True, seed=7).order(3)) == [2, 5, 9, 7, 3, 0, 6, 8, 4, 1]


def test_loop_left_early_is_followed_by_the_next_epoch():
    loader = DataLoader(X, Y, shuffle=True, seed=5, batch_size=4)
    next(iter(loader))
    assert list(loader.order()) == list(loader.order(1))
    assert sum(rows(loader), []) == list(loader.order(1))
    pairs = [(list(a), list(b)) for (_, a), (_, b) in zip(loader, loader)]
    assert sum((a for a, _ in pairs), []) == list(loader.order(2)) and sum((b for _, b in pairs), []) == list(loader.order(3))


@pytest.mark.parametrize("given", [0, 1, 6, 7, 14])
def test_loader_resumed_from_its_state_goes_on_with_the_next_batch(given):
    def endless(loader):
        while True:
            for _, y in loader:
                yield list(y)

    a, b = (DataLoader(X, Y, shuffle=True, seed=seed, batch_size=4) for seed in (3, 9))
    stream = endless(a)
    for _ in range(given):
        next(stream)
    b.load_state_dict(json.loads(json.dumps(a.state_dict())))
    other = endless(b)
    assert [next(stream) for _ in range(20)] == [next(other) for _ in range(20)]


def test_indices_are_the_rows_of_the_batches():
    for shuffle in (False, True):
        a, b = (DataLoader(X, Y, shuffle=shuffle, seed=3, batch_size=4) for _ in range(2))
        assert all(np.array_equal(Y[i], y) for i, (_, y) in zip(a.indices(), b, strict=True))


def test_loader_takes_awkward_arrays(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    read_only = X.copy()
    read_only.flags.writeable = False
    for x in (mapped, read_only, np.asfortranarray(X), X[::-1][::-1], X.astype(">f4"), X.tolist()):
        for shuffle in (False, True):
            assert all(np.array_equal(batch, X[y]) for batch, y in DataLoader(x, Y, shuffle=shuffle, seed=1, batch_size=5))
    assert np.shares_memory(next(iter(DataLoader(mapped)))[0], mapped)


def test_seed_is_drawn_from_rng():
    a, b = (DataLoader(Y, shuffle=True, rng=np.random.default_rng(4)) for _ in range(2))
    assert a.seed == b.seed == DataLoader(Y, shuffle=True, rng=4).seed != DataLoader(Y, shuffle=True, rng=5).seed


@pytest.mark.parametrize("make, error, sentence", [
    (lambda: DataLoader(), ValueError, "At least one array"),
    (lambda: DataLoader(X, Y[:-1]), ValueError, r"array 0 has shape \(23, 2\) and array 1 has shape \(22,\)"),
    (lambda: DataLoader(X, 3), ValueError, "array 1 is a single value"),
    (lambda: DataLoader(X, batch_size=0), ValueError, "batch_size must be at least 1, but is 0"),
    (lambda: DataLoader(X, batch_size=2.0), TypeError, "batch_size must be an integer"),
    (lambda: DataLoader(X, seed=-1), ValueError, "seed must be at least 0"),
    (lambda: DataLoader(X, seed=1, rng=2), ValueError, "give one of them"),
    (lambda: DataLoader(X).order(-1), ValueError, "epoch must be at least 0"),
    (lambda: DataLoader(X).load_state_dict({}), ValueError, "has the entries"),
    (lambda: DataLoader(X).load_state_dict(DataLoader(X, batch_size=9).state_dict()), ValueError, "batch_size=9.*batch_size=32"),
    (lambda: DataLoader(X).load_state_dict({**DataLoader(X).state_dict(), "position": 9}), ValueError, "position must be at least 0 and at most 1"),
    (lambda: split((X, Y), 1.5), ValueError, "fraction must be between 0 and 1"),
    (lambda: split(X, 0.5), TypeError, "write split"),
])
def test_wrong_arguments_are_told_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make()


@pytest.mark.parametrize("fraction, count", [(0, 0), (0.1, 2), (0.5, 12), (1, 23)])
def test_split_parts_the_rows(fraction, count):
    (x, y), (x2, y2) = split((X, Y), fraction, rng=0)
    assert len(x2) == len(y2) == count
    assert sorted([*y, *y2]) == list(range(23))
    assert np.array_equal(x, X[y]) and np.array_equal(x2, X[y2])
    assert np.array_equal(split((X, Y), fraction, rng=0)[0][1], y)
