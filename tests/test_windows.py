"""Sliding windows over series, and the parting of series in time."""

import numpy as np
import pytest
from helpers import LAYOUTS

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, SlidingWindows, train_test_split_in_time

PLAIN, WIDE = np.arange(30, dtype=np.float32), np.arange(90, dtype=np.float64).reshape(30, 3)


@pytest.mark.parametrize("series", [PLAIN, WIDE, WIDE[:, :0]], ids=["one", "three features", "none"])
@pytest.mark.parametrize("length, horizon", [(1, 1), (5, 1), (5, 4), (29, 1), (1, 29), (10, 20)])
@pytest.mark.parametrize("stride", [1, 2, 7, 100])
def test_windows_are_pieces_of_the_series_and_what_follows(series, length, horizon, stride):
    windows = SlidingWindows(series, length, horizon, stride)
    starts = range(0, len(series) - length - horizon + 1, stride)
    assert len(windows) == len(starts) == len(list(windows))
    for start, (x, y) in zip(starts, windows, strict=True):
        assert np.array_equal(x, series[start : start + length]) and np.array_equal(y, series[start + length : start + length + horizon])
    x, y = windows.arrays()
    assert x.dtype == y.dtype == series.dtype and x.shape == (len(starts), length, *series.shape[1:]) and y.shape[:2] == (len(starts), horizon)
    assert np.array_equal(x, windows.x) and np.array_equal(y, windows.y)
    assert x.flags.carray and y.flags.carray and not np.shares_memory(x, series)
    assert np.array_equal(windows[-1][0], x[-1]) and np.array_equal(windows[1:3][1], y[1:3])
    with pytest.raises(IndexError):
        windows[len(windows)]


def test_targets_are_one_feature_or_some():
    for target, columns in ((1, WIDE[:, 1]), (-1, WIDE[:, 2]), (slice(1, None), WIDE[:, 1:])):
        windows = SlidingWindows(WIDE, 4, 2, target=target)
        assert np.array_equal(windows.y, SlidingWindows(columns, 4, 2).y) and np.array_equal(windows.x, SlidingWindows(WIDE, 4, 2).x)


def test_windows_are_read_only_views(tmp_path):
    np.save(tmp_path / "series.npy", WIDE)
    mapped = np.load(tmp_path / "series.npy", mmap_mode="r")
    for series in (WIDE, mapped):
        windows = SlidingWindows(series, 8, 2, target=0)
        x, y = windows[3]
        assert all(np.shares_memory(array, series) and not array.flags.writeable for array in (windows.x, windows.y, x, y))
    huge = np.lib.stride_tricks.as_strided(np.zeros(1), (10**12,), (0,))
    assert len(SlidingWindows(huge, 10**6, 10**6)) == 10**12 - 2 * 10**6 + 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_windows_do_not_depend_on_the_layout(layout):
    for series in (PLAIN, WIDE):
        for array, expected in zip(SlidingWindows(LAYOUTS[layout](series), 5, 2).arrays(), SlidingWindows(series, 5, 2).arrays()):
            assert np.array_equal(array, expected)


@pytest.mark.parametrize("shuffle", [False, True])
def test_loader_gives_batches_of_windows(shuffle):
    windows = SlidingWindows(WIDE, 5, 2, target=0)
    seen = 0
    for x, y in DataLoader(windows.x, windows.y, batch_size=4, shuffle=shuffle, seed=1):
        assert np.array_equal(x[:, -1, 0] + 3, y[:, 0]) and x.shape[1:] == (5, 3) and y.shape[1:] == (2,)
        seen += len(x)
    assert seen == len(windows)


def test_fit_trains_the_same_on_views_and_on_arrays():
    series = np.sin(np.arange(200) / 5).astype(np.float32)[:, None]
    windows = SlidingWindows(series, 12, target=0)
    weights = []
    for data in ((windows.x, windows.y), windows.arrays()):
        model = nn.Sequential(nn.GRU(1, 8, batch_first=True, rng=0), nn.LastStep(batch_first=True), nn.Linear(8, 1, rng=1))
        history = fastnn.fit(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=1e-2), data, 5, rng=0, verbose=False)
        weights.append(model.state_dict())
    assert history["loss"][-1] < history["loss"][0] / 2
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("fraction, last", [(0, 0), (0.1, 3), (0.25, 8), (1, 30)])
def test_split_parts_a_series_in_time(fraction, last):
    for series in (PLAIN, WIDE, WIDE.reshape(30, 1, 3)):
        past, future = train_test_split_in_time(series, fraction)
        assert len(future) == last and np.array_equal(np.concatenate([past, future]), series)
        assert np.shares_memory(past, series) or not len(past)
    past, future = train_test_split_in_time(PLAIN, 0.2, context=5)
    assert len(past) == 24 and len(future) == 11 and SlidingWindows(future, 5)[0][1] == PLAIN[24]
    assert [len(part) for part in train_test_split_in_time(PLAIN[:0], 0.5)] == [0, 0]


@pytest.mark.parametrize("call, error, sentence", [
    (lambda: SlidingWindows(PLAIN, 30), ValueError, r"at least 31 steps for windows of 30 and 1 after them, but has shape \(30,\)"),
    (lambda: SlidingWindows(PLAIN, 2**62, 2**62), ValueError, "series must have at least 9223372036854775808 steps"),
    (lambda: SlidingWindows([], 1), ValueError, "series must have at least 2 steps"),
    (lambda: SlidingWindows(3.0, 1), ValueError, r"shape \(T,\) or \(T, features\), but has \(\)"),
    (lambda: SlidingWindows(WIDE[None], 1), ValueError, r"but has \(1, 30, 3\)"),
    (lambda: SlidingWindows(["a", "b", "c"], 1), TypeError, "series must be numbers, but has dtype <U1"),
    (lambda: SlidingWindows(PLAIN, 0), ValueError, "length must be at least 1, but is 0"),
    (lambda: SlidingWindows(PLAIN, 3, 0), ValueError, "horizon must be at least 1, but is 0"),
    (lambda: SlidingWindows(PLAIN, 3, stride=-1), ValueError, "stride must be at least 1, but is -1"),
    (lambda: SlidingWindows(PLAIN, 3.0), TypeError, "length must be an integer"),
    (lambda: SlidingWindows(PLAIN, 3, target=0), ValueError, r"target must be None for a series of shape \(30,\)"),
    (lambda: SlidingWindows(WIDE, 3, target=3), ValueError, "target must be at least -3 and at most 2, but is 3"),
    (lambda: SlidingWindows(WIDE, 3, target="a"), TypeError, "target must be an integer"),
    (lambda: train_test_split_in_time(PLAIN, 1.5), ValueError, "fraction must be between 0 and 1, but is 1.5"),
    (lambda: train_test_split_in_time(PLAIN, float("nan")), ValueError, "fraction must be between 0 and 1"),
    (lambda: train_test_split_in_time(PLAIN, 0.5, context=16), ValueError, "context must be at least 0 and at most 15, but is 16"),
    (lambda: train_test_split_in_time(1.0, 0.5), ValueError, "a single value"),
])  # fmt: skip
def test_wrong_arguments_are_told_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()
