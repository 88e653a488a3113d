"""Augmentation of images, loaders that transform, and batches made ahead by a thread."""

import gc
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from helpers import LAYOUTS, run_python

import fastnn
from fastnn import nn, optim
from fastnn.data import Compose, DataLoader, Normalize, RandomCrop, RandomHorizontalFlip

DTYPES = ["u1", "f4", "f8", ">f4", "i2"]


def images(shape=(6, 3, 8, 10), dtype="f4"):
    """Every pixel another value, as far as the dtype has so many."""
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape).astype(dtype)


TRANSFORMS = {
    "crop": RandomCrop(8, padding=2),
    "crop rectangle": RandomCrop((5, 7), padding=(1, 0), padding_mode="reflect"),
    "flip": RandomHorizontalFlip(),
    "composed": Compose(RandomCrop(8, padding=4), RandomHorizontalFlip(0.3)),
}


# --- the transforms ---


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_transform_keeps_the_dtype_and_leaves_its_input_alone(name, dtype):
    x = images(dtype=dtype)
    before = x.copy()
    x.flags.writeable = False
    y = TRANSFORMS[name](x, 1)
    assert y.dtype == x.dtype and y.flags.writeable and not np.shares_memory(x, y)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("name", [*TRANSFORMS, "normalize"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_transform_does_not_depend_on_the_layout(name, layout):
    transform = TRANSFORMS.get(name, Normalize((1, 2, 3), (4, 5, 6)))
    assert np.array_equal(transform(LAYOUTS[layout](images()), 3), transform(images(), 3))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transform_is_determined_by_its_rng(name):
    transform, x = TRANSFORMS[name], images((40, 1, 8, 10))
    assert np.array_equal(transform(x, 5), transform(x, np.random.default_rng(5)))
    assert not np.array_equal(transform(x, 5), transform(x, 6))
    fastnn.manual_seed(7)
    first = transform(x)
    fastnn.manual_seed(7)
    assert np.array_equal(transform(x), first)


@pytest.mark.parametrize("padding, mode", [(0, "constant"), (2, "constant"), ((3, 1), "constant"), (2, "edge"), (2, "reflect"), (2, "symmetric")])
@pytest.mark.parametrize("size", [5, (3, 8)])
def test_crops_are_pieces_of_the_padded_image(padding, mode, size):
    x = images((30, 2, 6, 8))
    across, down = padding if isinstance(padding, tuple) else (padding, padding)
    padded = np.pad(x, [(0, 0), (0, 0), (down, down), (across, across)], mode=mode)
    height, width = size if isinstance(size, tuple) else (size, size)
    pieces, places = RandomCrop(size, padding, mode)(x, 0), set()
    assert pieces.shape == (30, 2, height, width)
    for image, piece in zip(padded, pieces):
        found = [
            (i, j) for i in range(padded.shape[2] - height + 1) for j in range(padded.shape[3] - width + 1)
            if np.array_equal(image[:, i : i + height, j : j + width], piece)
        ]  # fmt: skip
        assert found
        places.update(found)
    assert len(places) > 3


def test_every_place_and_both_sides_are_equally_likely():
    x = images((1, 1, 4, 4)).repeat(8000, axis=0)
    corners = RandomCrop(2)(x, 0)[:, 0, 0, 0]
    counts = np.bincount(corners.astype(int), minlength=11)[[0, 1, 2, 4, 5, 6, 8, 9, 10]]
    assert counts.sum() == 8000 and abs(counts / 8000 - 1 / 9).max() < 0.015
    flipped = RandomHorizontalFlip(0.25)(x, 0)[:, 0, 0, 0] == 3
    assert abs(flipped.mean() - 0.25) < 0.015


def test_flip_mirrors_whole_images_left_to_right():
    x = images()
    assert np.array_equal(RandomHorizontalFlip(1)(x), x[..., ::-1])
    assert np.array_equal(RandomHorizontalFlip(0)(x), x)
    for image, result in zip(x, RandomHorizontalFlip()(x, 0)):
        assert np.array_equal(result, image) or np.array_equal(result, image[..., ::-1])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_normalize_subtracts_and_divides_by_channel(dtype):
    x, mean, std = images(dtype=dtype), np.array([1, 20, 300]), np.array([2, 4, 8])
    y = Normalize(mean, std)(x)
    assert y.dtype == x.dtype and np.array_equal(y, (x - mean[:, None, None]) / std[:, None, None])
    assert np.array_equal(Normalize(5, 2)(x[:, 0]), (x[:, 0] - 5) / 2)
    assert np.array_equal(Normalize(mean, 2)(x), (x - mean[:, None, None]) / 2)


@pytest.mark.parametrize("shape", [(0, 3, 8, 10), (2, 0, 8, 10)])
def test_batches_without_pixels_stay_without(shape):
    for transform in TRANSFORMS.values():
        assert transform(images(shape), 0).shape[:2] == shape[:2]
    assert Normalize(0, 1)(images(shape)).shape == shape


@pytest.mark.parametrize("call, error, sentence", [
    (lambda: RandomCrop(0), ValueError, "size must be at least 1"),
    (lambda: RandomCrop(2**62), ValueError, "size must be at least 1 and at most 32768"),
    (lambda: RandomCrop((1, 2, 3)), ValueError, "size must be a number or two"),
    (lambda: RandomCrop(3.0), TypeError, "size must be an integer"),
    (lambda: RandomCrop(3, -1), ValueError, "padding must be at least 0"),
    (lambda: RandomCrop(3, 1, "wrap"), ValueError, "padding_mode must be one of constant, edge, reflect, symmetric, but is 'wrap'"),
    (lambda: RandomCrop(11)(images()), ValueError, "11×11 do not fit into images of 8×10"),
    (lambda: RandomCrop(2, 1, "edge")(images((1, 0, 4))), ValueError, "no pixels"),
    (lambda: RandomCrop(2)(np.zeros((4, 4))), ValueError, r"shape \(n, …, height, width\), but have \(4, 4\)"),
    (lambda: RandomHorizontalFlip(1.5), ValueError, "p must be between 0 and 1"),
    (lambda: RandomHorizontalFlip(float("nan")), ValueError, "p must be between 0 and 1"),
    (lambda: Normalize(0, 0), ValueError, "std greater than 0"),
    (lambda: Normalize((1, 2), (1, 2, 3)), ValueError, r"have shapes \(2,\) and \(3,\)"),
    (lambda: Normalize((1, 2), 1)(images()), ValueError, r"shape \(n, 2, height, width\)"),
    (lambda: Normalize(0, 1)(images(dtype="u1")), TypeError, "floating dtype, but they are uint8"),
    (lambda: Compose(RandomCrop(3), 4), TypeError, r"transforms\[1\] must be called"),
    (lambda: DataLoader(images(), transform="flip"), TypeError, "transform must be called"),
    (lambda: DataLoader(images(), prefetch=-1), ValueError, "prefetch must be at least 0"),
])  # fmt: skip
def test_wrong_arguments_are_told_in_a_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call()


# --- loaders with a transform, and with a thread ---

X, Y = images((50, 1, 6, 6)), np.arange(50)
AUGMENT = Compose(RandomCrop(6, padding=2), RandomHorizontalFlip())


def loader(prefetch=0, **options):
    return DataLoader(X, Y, **{"batch_size": 8, "shuffle": True, "seed": 4, "transform": AUGMENT, "prefetch": prefetch, **options})


def content(batches):
    return [(x.tobytes(), y.tobytes()) for x, y in batches]


def running():
    return [thread for thread in threading.enumerate() if thread.name == "fastnn.data.prefetch"]


def assert_no_thread_stays():
    limit = time.monotonic() + 10
    while running() and time.monotonic() < limit:
        time.sleep(0.01)
    assert not running()


@pytest.mark.parametrize("options", [{}, {"transform": None}, {"shuffle": False}, {"shuffle": False, "transform": None}, {"drop_last": True}, {"batch_size": 64}])
@pytest.mark.parametrize("prefetch", [1, 2, 100])
def test_prefetched_batches_are_those_of_the_plain_loader(options, prefetch):
    plain, ahead = loader(**options), loader(prefetch, **options)
    for _ in range(3):
        assert content(ahead) == content(plain)
        assert ahead.state_dict() == plain.state_dict()
    assert_no_thread_stays()


def test_what_a_transform_draws_depends_on_seed_epoch_and_batch_alone():
    first, second = content(loader()), content(loader())
    assert first == second
    twice = loader()
    epochs = [content(twice), content(twice)]
    assert epochs[0] == first != epochs[1]
    assert content(loader(seed=5)) != first
    # batch 3 of epoch 1, without those before it
    resumed = loader()
    resumed.load_state_dict({**twice.state_dict(), "epoch": 1, "position": 3})
    assert content(resumed) == epochs[1][3:]
    # the same rows in another batch are drawn for anew
    x = np.broadcast_to(X[:1], (16, *X.shape[1:]))
    one, two = DataLoader(x, batch_size=8, transform=AUGMENT, seed=0)
    assert not np.array_equal(one[0], two[0])


def test_transform_draws_its_seed_also_where_nothing_is_shuffled():
    a, b = (DataLoader(X, transform=AUGMENT, rng=rng) for rng in (1, 2))
    assert a.seed == DataLoader(X, transform=AUGMENT, rng=1).seed != b.seed


def test_several_loaders_may_share_a_transform_at_once():
    pairs = list(zip(loader(2), loader(3), loader(), strict=True))
    for a, b, c in pairs:
        assert content([a]) == content([b]) == content([c])


@pytest.mark.parametrize("given", [0, 1, 5, 7, 9])
def test_position_counts_what_was_given_out_not_what_was_made(given):
    def endless(batches):
        while True:
            yield from batches

    ahead, stream = loader(4), []
    source = endless(ahead)
    for _ in range(given):
        next(source)
    other = loader()
    other.load_state_dict(ahead.state_dict())
    again = endless(other)
    for _ in range(10):
        stream.append(content([next(source)]) == content([next(again)]))
    assert all(stream)
    source.close()
    assert_no_thread_stays()


def test_thread_makes_no_more_than_it_may():
    made = []

    def note(x, rng):
        made.append(len(x))
        return x

    batches = iter(loader(3, transform=note))
    next(batches)
    time.sleep(0.2)
    assert len(made) == 4  # one taken, three ahead
    next(batches)
    time.sleep(0.2)
    assert len(made) == 5


@pytest.mark.parametrize("prefetch", [1, 3])
def test_exception_comes_in_its_turn(prefetch):
    def fail(x, rng):
        if len(x) < 8:
            raise LookupError("the last batch is small")
        return x

    given = 0
    with pytest.raises(LookupError, match="the last batch is small") as caught:
        for _ in loader(prefetch, transform=fail):
            given += 1
    assert given == 6 and any(entry.name == "fail" for entry in caught.traceback)
    assert_no_thread_stays()


def test_thread_ends_when_the_loop_is_left():
    for _ in loader(1):
        break
    assert_no_thread_stays()
    with pytest.raises(ZeroDivisionError):
        for _ in loader(1):
            raise ZeroDivisionError
    assert_no_thread_stays()
    batches = iter(loader(1))
    next(batches)
    assert running()
    cycle = [batches]
    cycle.append(cycle)
    del batches, cycle
    gc.collect()
    assert_no_thread_stays()


def test_loader_that_is_never_looped_over_starts_no_thread():
    iter(loader(2))
    assert not running()
    assert list(DataLoader(X[:0], prefetch=2)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="no signals of this kind")
def test_ctrl_c_ends_the_wait_for_a_batch():
    stuck = threading.Event()

    def wait(x, rng):
        if len(x) == 8:
            threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
            stuck.wait(20)
        return x

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell's children ignore it
    begin = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            next(iter(loader(1, transform=wait)))
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - begin < 10
    stuck.set()
    assert_no_thread_stays()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_forked_child_goes_on_with_the_same_batches(taken):
    code = f"""
import os, warnings
import numpy as np
from fastnn.data import DataLoader, RandomHorizontalFlip
warnings.simplefilter("ignore")
load = lambda prefetch: DataLoader(np.arange(1000.0).reshape(50, 1, 4, 5), batch_size=5, shuffle=True, seed=1, transform=RandomHorizontalFlip(), prefetch=prefetch)
expected = [x.tobytes() for x, in load(0)]
batches = iter(load(2))
given = [next(batches)[0].tobytes() for _ in range({taken})]
child = os.fork()
rest = [x.tobytes() for x, in batches]
assert given + rest == expected
assert [x.tobytes() for x, in load(2)] == expected
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    run_python(code)


def test_interpreter_ends_while_batches_are_made():
    run_python("""
import numpy as np
from fastnn.data import DataLoader
def slow(x, rng):
    return sum(np.sin(np.arange(100000.0)).sum() for _ in range(20)) * x
batches = iter(DataLoader(np.zeros((100, 2)), batch_size=1, transform=slow, prefetch=8))
next(batches)
""")


# --- fit ---


def trained(prefetch, epochs=3):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 10, rng=1))
    optimizer = optim.SGD(model.parameters(), lr=1e-6)
    batches = DataLoader(X, Y % 10, batch_size=8, shuffle=True, seed=2, transform=AUGMENT, prefetch=prefetch)
    history = fastnn.fit(model, nn.CrossEntropyLoss(), optimizer, batches, epochs, metrics=("accuracy",), verbose=False)
    return model, history


def test_fit_trains_on_what_the_transform_gives_prefetched_or_not():
    (a, first), (b, second) = trained(0), trained(2)
    assert first == second
    for name, array in a.state_dict().items():
        assert np.array_equal(array, b.state_dict()[name])
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 10, rng=1))
    optimizer, loss = optim.SGD(model.parameters(), lr=1e-6), nn.CrossEntropyLoss()
    batches = DataLoader(X, Y % 10, batch_size=8, shuffle=True, seed=2, transform=AUGMENT)
    for _ in range(3):
        for x, y in batches:
            loss(model(x), y)
            optimizer.zero_grad()
            model.backward(loss.backward())
            optimizer.step()
    assert np.array_equal(model[1].weight, a[1].weight)
    assert_no_thread_stays()


def test_names_are_shown():
    assert repr(AUGMENT) == "Compose(RandomCrop((6, 6), padding=(2, 2), padding_mode='constant'), RandomHorizontalFlip(p=0.5))"
    assert repr(Normalize(0.5, (1, 2))) == "Normalize([0.5], [1.0, 2.0])"
