"""Data sets and IDX files."""

import gzip
import hashlib
import io
import os
import struct
import sys
import tarfile
import urllib.request

import numpy as np
import pytest

from fastnn import data
from fastnn.data import CIFAR10_CLASSES, FASHION_MNIST_CLASSES, cifar10, digits, fashion_mnist, mnist, read_cifar10, read_idx

module = sys.modules["fastnn.data.mnist"]  # fastnn.data.mnist itself is the function
cifar = sys.modules["fastnn.data.cifar"]


# the digits

def test_digits_have_the_documented_shapes_types_and_range():
    (x, y), (x_test, y_test) = digits()
    assert x.shape == (1433, 64) and x_test.shape == (364, 64)
    assert y.shape == (1433,) and y_test.shape == (364,)
    assert x.dtype == x_test.dtype == np.float32 and y.dtype == y_test.dtype == np.int64
    assert min(x.min(), x_test.min()) == 0 and max(x.max(), x_test.max()) == 1
    assert set(np.unique(x * 16)) == set(range(17))


def test_digits_are_always_split_the_same_way():
    parts = digits()
    text = b"".join((x * 16).astype(np.uint8).tobytes() + y.astype(np.uint8).tobytes() for x, y in parts)
    assert hashlib.sha256(text).hexdigest() == "a6ee7449d8f128b2eaff10f95c3a446a40e63c164abca6a45dcd7a1fcf0740a4"


def test_digits_classes_are_in_proportion():
    (_, y), (_, y_test) = digits()
    share = np.bincount(y_test, minlength=10) / (np.bincount(y, minlength=10) + np.bincount(y_test, minlength=10))
    assert np.all(abs(share - 0.2) < 0.006)


def test_digits_are_those_of_scikit_learn():
    datasets = pytest.importorskip("sklearn.datasets")
    original = datasets.load_digits()
    (x, y), (x_test, y_test) = digits()
    ours = np.column_stack([np.concatenate([x, x_test]) * 16, np.concatenate([y, y_test])])
    theirs = np.column_stack([original.data, original.target])
    assert np.array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_digits_belong_to_the_caller():
    digits()[0][0][:] = 7
    assert digits()[0][0].max() == 1


# IDX files

def idx_bytes(array, code):
    return struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("code, dtype", [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")])
@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 4, 5), (0, 3), ()])
@pytest.mark.parametrize("zipped", [False, True])
def test_idx_file_round_trips(tmp_path, code, dtype, shape, zipped):
    array = (np.arange(np.prod(shape, dtype=int)) - 3).reshape(shape).astype(dtype)
    content = idx_bytes(array, code)
    path = tmp_path / "array"
    path.write_bytes(gzip.compress(content) if zipped else content)
    read = read_idx(path)
    assert read.dtype == np.dtype(dtype) and read.dtype.isnative and read.shape == shape
    assert np.array_equal(read, array)
    assert read.flags.writeable


GOOD = idx_bytes(np.arange(12, dtype="u1").reshape(3, 4), 8)


@pytest.mark.parametrize("content, sentence", [
    (b"", "begins with nothing"),
    (GOOD[:3], "not an IDX file"),
    (b"PK" + GOOD[2:], "not an IDX file.*begins with 50 4b"),
    (b"\0\0\x07" + GOOD[3:], "not an IDX file"),
    (GOOD[:9], "ends within its header"),
    (GOOD[:-1], r"cut short.*needs 12 bytes of data, but 11"),
    (GOOD + b"\0", "more data than the 12 bytes"),
    (b"\0\0\x08\x04" + b"\xff" * 16 + b"abc", "cut short"),
    (b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"a", "255 dimensions"),
    (gzip.compress(GOOD)[:-10], "damaged or incomplete gzip"),
    (gzip.compress(GOOD)[:15] + b"\xff\xff" + gzip.compress(GOOD)[17:], "damaged or incomplete gzip"),
    (gzip.compress(GOOD[:-2]), "cut short"),
])
def test_damaged_idx_file_is_told_in_a_sentence(tmp_path, content, sentence):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read_idx(tmp_path / "file")


def test_missing_idx_file_is_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "nothing")


# MNIST

def small_mnist(folder, images=None, labels=None, zipped=True):
    images = np.arange(3 * 784, dtype="u1").reshape(3, 28, 28) if images is None else images
    labels = np.array([3, 1, 9], "u1") if labels is None else labels
    for which in ("train", "t10k"):
        for name, array in ((f"{which}-images-idx3-ubyte", images), (f"{which}-labels-idx1-ubyte", labels)):
            content = idx_bytes(array, 8)
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_reads_files_gzipped_or_not(tmp_path, zipped):
    small_mnist(tmp_path, zipped=zipped)
    (x, y), (x_test, y_test) = mnist(tmp_path)
    assert x.shape == x_test.shape == (3, 784) and x.dtype == np.float32
    assert y.dtype == np.int64 and list(y) == list(y_test) == [3, 1, 9]
    assert x[0, 255] == 1 and x[0, 51] == np.float32(51) / np.float32(255)
    (images, _), _ = mnist(tmp_path, flatten=False)
    assert images.shape == (3, 1, 28, 28) and np.array_equal(images.reshape(3, 784), x)


def test_mnist_names_the_missing_file_and_how_to_get_it(tmp_path):
    small_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte.*download=True"):
        mnist(tmp_path)


@pytest.mark.parametrize("images, labels, sentence", [
    (np.zeros((3, 784), "u1"), None, r"images of shape \(n, 28, 28\)"),
    (np.zeros((3, 28, 27), "u1"), None, r"images of shape \(n, 28, 28\)"),
    (None, np.zeros(4, "u1"), "3 uint8 labels"),
    (None, np.array([1, 2, 10], "u1"), "labels from 0 to 9, but holds 10"),
])
def test_files_that_are_not_mnist_are_told_in_a_sentence(tmp_path, images, labels, sentence):
    small_mnist(tmp_path, images, labels)
    with pytest.raises(ValueError, match=sentence):
        mnist(tmp_path)


def serve(monkeypatch, answers):
    """Let urlopen answer from a dict of URL → bytes; anything else is an error of the network. Return the list of what was asked."""
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        if url not in answers:
            raise OSError("no route")
        return io.BytesIO(answers[url])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_mnist_download_goes_to_the_next_mirror_and_fetches_once(tmp_path, monkeypatch):
    small_mnist(tmp_path)
    contents = {path.name[:-3]: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(module, "FILES", {name: hashlib.sha256(gzip.decompress(c)).hexdigest() for name, c in contents.items()})
    answers = {f"{module.MIRRORS[1]}{name}.gz": content for name, content in contents.items()}
    answers[f"{module.MIRRORS[0]}train-images-idx3-ubyte.gz"] = gzip.compress(b"something else")
    answers[f"{module.MIRRORS[0]}train-labels-idx1-ubyte.gz"] = b"<html>not here</html>"
    asked = serve(monkeypatch, answers)
    folder = tmp_path / "new" / "folder"
    (x, y), _ = mnist(folder, download=True)
    assert x.shape == (3, 784) and len(asked) == 8
    assert sorted(os.listdir(folder)) == sorted(name + ".gz" for name in contents)
    mnist(folder, download=True)
    assert len(asked) == 8


def test_fashion_mnist_is_read_and_fetched_as_mnist_is(tmp_path, monkeypatch):
    small_mnist(tmp_path)
    (x, y), _ = fashion_mnist(tmp_path, flatten=False)
    assert x.shape == (3, 1, 28, 28) and [FASHION_MNIST_CLASSES[i] for i in y] == ["dress", "trouser", "ankle boot"]
    contents = {path.name[:-3]: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(module, "FASHION_FILES", {name: hashlib.md5(c).hexdigest() for name, c in contents.items()})
    answers = {f"{module.FASHION_MIRRORS[1]}{name}.gz": content for name, content in contents.items()}
    again = gzip.compress(gzip.decompress(contents["train-images-idx3-ubyte"]), 1)  # the same images, but not the file that was published
    answers[f"{module.FASHION_MIRRORS[0]}train-images-idx3-ubyte.gz"] = again
    asked = serve(monkeypatch, answers)
    assert np.array_equal(fashion_mnist(tmp_path / "new", download=True, flatten=False)[0][0], x) and len(asked) == 8
    with pytest.raises(FileNotFoundError, match=r"Fashion-MNIST needs train-images.*fastnn\.data\.fashion_mnist"):
        fashion_mnist(tmp_path / "none")


def test_failed_mnist_download_leaves_nothing_behind(tmp_path, monkeypatch):
    serve(monkeypatch, {f"{module.MIRRORS[0]}train-images-idx3-ubyte.gz": gzip.compress(b"something else")})
    with pytest.raises(ConnectionError, match=r"SHA-256.*no route"):
        mnist(tmp_path, download=True)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif("FASTNN_MNIST_DIR" not in os.environ, reason="FASTNN_MNIST_DIR does not name a folder with MNIST's four files")
def test_real_mnist_is_complete():
    (x, y), (x_test, y_test) = mnist(os.environ["FASTNN_MNIST_DIR"])
    assert x.shape == (60000, 784) and x_test.shape == (10000, 784)
    assert list(y[:5]) == [5, 0, 4, 1, 9] and list(y_test[:5]) == [7, 2, 1, 0, 4]
    assert x.mean() == pytest.approx(0.1307, abs=1e-4)
    for name, checksum in module.FILES.items():
        raw = read_idx(os.path.join(os.environ["FASTNN_MNIST_DIR"], name + ".gz"))
        assert hashlib.sha256(idx_bytes(raw, 8)).hexdigest() == checksum


# CIFAR-10

def cifar_files(rng, rows=2):
    """Six small files: name → bytes."""
    def records():
        images = rng.integers(0, 256, (rows, 3072), dtype=np.uint8)
        return np.column_stack([rng.integers(0, 10, rows, dtype=np.uint8), images]).tobytes()

    return {name: records() for name in cifar.NAMES}


def pack(files, folder="cifar-10-batches-bin/"):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, content in {**files, "readme.html": b"hello"}.items():
            about = tarfile.TarInfo(folder + name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return target.getvalue()


@pytest.mark.parametrize("place", ["archive", "unpacked", "folder itself"])
def test_cifar10_is_read_from_its_archive_or_unpacked(tmp_path, rng, place):
    files = cifar_files(rng)
    if place == "archive":
        (tmp_path / cifar.ARCHIVE).write_bytes(pack(files))
    else:
        folder = tmp_path / cifar.FOLDER if place == "unpacked" else tmp_path
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    (x, y), (x_test, y_test) = cifar10(tmp_path)
    assert x.shape == (10, 3, 32, 32) and x_test.shape == (2, 3, 32, 32) and x.dtype == x_test.dtype == np.float32
    assert y.shape == (10,) and y_test.shape == (2,) and y.dtype == y_test.dtype == np.int64
    content = b"".join(files[name] for name in cifar.PARTS[0])
    for row in range(10):
        record = content[3073 * row : 3073 * (row + 1)]
        assert y[row] == record[0]
        for at in ((0, 0, 0), (0, 0, 31), (1, 5, 7), (2, 31, 31)):  # red, green and blue plane, each row by row
            assert x[row][at] == np.float32(record[1 + at[0] * 1024 + at[1] * 32 + at[2]]) / np.float32(255)
    assert len(CIFAR10_CLASSES) == 10 and CIFAR10_CLASSES[3] == "cat"
    (tmp_path / "one.bin").write_bytes(files["test_batch.bin"])
    images, labels = read_cifar10(tmp_path / "one.bin")
    assert images.shape == (2, 3, 32, 32) and images.dtype == np.uint8 and np.array_equal(labels, y_test)
    assert np.array_equal(images.astype(np.float32) / np.float32(255), x_test)


@pytest.mark.parametrize("name, damage, sentence", [
    ("test_batch.bin", lambda c: c[:-1], r"test_batch.bin is cut short.*records of 3073 bytes, but its 6145 bytes leave 3072 over"),
    ("data_batch_4.bin", lambda c: c + b"x", "data_batch_4.bin is cut short or not a file of CIFAR-10"),
    ("data_batch_2.bin", lambda c: c[:3073] + b"\x0a" + c[3074:], "data_batch_2.bin should hold labels from 0 to 9, but record 1 has 10"),
])
@pytest.mark.parametrize("archive", [False, True])
def test_damaged_cifar10_file_is_told_in_a_sentence(tmp_path, rng, name, damage, sentence, archive):
    files = cifar_files(rng)
    files[name] = damage(files[name])
    if archive:
        (tmp_path / cifar.ARCHIVE).write_bytes(pack(files))
    else:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        cifar10(tmp_path)


@pytest.mark.parametrize("damage, sentence", [
    (lambda files: pack(files)[:-200], "damaged or incomplete archive"),
    (lambda files: b"not an archive", "damaged or incomplete archive"),
    (lambda files: gzip.compress(b"x" * 1000), "damaged or incomplete archive"),
    (lambda files: pack({**files, "test_batch.bin": b""} | {"data_batch_3.bin": b""}, "other/")[:300], "damaged or incomplete archive"),
    (lambda files: pack({name: c for name, c in files.items() if name != "data_batch_3.bin"}), "should hold cifar-10-batches-bin/data_batch_3.bin, but does not"),
])
def test_damaged_cifar10_archive_is_told_in_a_sentence(tmp_path, rng, damage, sentence):
    (tmp_path / cifar.ARCHIVE).write_bytes(damage(cifar_files(rng, 20)))
    with pytest.raises(ValueError, match=sentence):
        cifar10(tmp_path)


def test_missing_cifar10_names_what_is_missing_and_how_to_get_it(tmp_path, rng):
    (tmp_path / "test_batch.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"cifar-10-binary.tar.gz, or the six files that it unpacks to.*download=True"):
        cifar10(tmp_path)


def test_cifar10_download_is_verified_and_done_once(tmp_path, rng, monkeypatch):
    content = pack(cifar_files(rng))
    url = f"{cifar.MIRRORS[1]}{cifar.ARCHIVE}"
    asked = serve(monkeypatch, {url: content})
    with pytest.raises(ConnectionError, match=r"CIFAR-10's .*no route.*its MD5 is [0-9a-f]{32}, not c32a1d4a"):
        cifar10(tmp_path, download=True)
    assert os.listdir(tmp_path) == []
    monkeypatch.setattr(cifar, "CHECKSUM", hashlib.md5(content).hexdigest())
    (x, _), _ = cifar10(tmp_path / "new", download=True)
    assert x.shape == (10, 3, 32, 32) and os.listdir(tmp_path / "new") == [cifar.ARCHIVE] and len(asked) == 4
    cifar10(tmp_path / "new", download=True)
    assert len(asked) == 4
    monkeypatch.setattr(cifar, "_LARGEST", 100)
    with pytest.raises(ConnectionError, match="more than 100 bytes"):
        cifar10(tmp_path / "large", download=True)
    assert os.listdir(tmp_path / "large") == []


def test_data_exports_its_names():
    assert {"DataLoader", "cifar10", "digits", "fashion_mnist", "mnist", "read_idx", "split"} <= set(dir(data))
