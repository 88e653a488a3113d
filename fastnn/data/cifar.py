"""CIFAR-10: 50,000 training and 10,000 test photographs of 32×32 pixels in ten classes (A. Krizhevsky, "Learning Multiple Layers of Features from
Tiny Images", 2009).

The binary version is read, from its archive or unpacked. Each of its files is a run of records of 3,073 bytes: the label, then the red, the green
and the blue plane of the image, each row by row.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .download import fetch

__all__ = ["CIFAR10_CLASSES", "cifar10", "read_cifar10"]

Part = tuple[NDArray[np.float32], NDArray[np.int64]]

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

ARCHIVE, FOLDER = "cifar-10-binary.tar.gz", "cifar-10-batches-bin"
MIRRORS = ("https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/")
CHECKSUM = "c32a1d4ab5d03f1284b67883e8d87530"  # the archive's MD5, as its author publishes it
PARTS = (tuple(f"data_batch_{i}.bin" for i in range(1, 6)), ("test_batch.bin",))
NAMES = PARTS[0] + PARTS[1]

_SHAPE, _RECORD = (3, 32, 32), 3073
_LARGEST = 256 << 20  # bytes: neither the archive nor one of its files is larger than this


def cifar10(directory: str | os.PathLike[str], download: bool = False) -> tuple[Part, Part]:
    """Return ``(x_train, y_train), (x_test, y_test)`` from the six files of CIFAR-10's binary version.

    They are looked for in `directory`'s folder cifar-10-batches-bin, in itself, and in the archive cifar-10-binary.tar.gz there.
    x: float32 (n, 3, 32, 32), red, green and blue from 0 to 1. y: int64 (n,), an index into CIFAR10_CLASSES.
    download: first fetch the archive if nothing is there (170 MB), verified before it is put in place. All images are 740 MB of memory.
    Raises FileNotFoundError if the files are missing, ValueError for one that is damaged or not CIFAR-10's, ConnectionError if no mirror answers.
    """
    folder = Path(directory)
    if download and _unpacked(folder) is None and not (folder / ARCHIVE).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        fetch(folder / ARCHIVE, MIRRORS, CHECKSUM, "CIFAR-10", _LARGEST)
    files = dict(_files(folder))
    train, test = ([_records(*files[name]) for name in names] for names in PARTS)
    return _part(train), _part(test)


def read_cifar10(path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the images, uint8 (n, 3, 32, 32), and labels, uint8 (n,), of one file of records. Raises ValueError if it is not one."""
    with open(path, "rb") as file:
        records = _records(os.fspath(path), file.read())
    return records[:, 1:].reshape(-1, *_SHAPE), records[:, 0]


def _unpacked(folder: Path) -> Path | None:
    return next((place for place in (folder / FOLDER, folder) if all((place / name).is_file() for name in NAMES)), None)


def _files(folder: Path) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """Each file's name with its name for errors and its bytes."""
    place, archive = _unpacked(folder), folder / ARCHIVE
    if place is not None:
        for name in NAMES:
            yield name, (str(place / name), (place / name).read_bytes())
        return
    if not archive.is_file():
        raise FileNotFoundError(f"CIFAR-10 needs {ARCHIVE}, or the six files that it unpacks to, in {folder}, but neither is there. Get it "
                                f"with fastnn.data.cifar10({str(folder)!r}, download=True), or from {MIRRORS[0]}{ARCHIVE}.")
    try:
        with tarfile.open(archive, "r:gz") as files:
            found = {Path(member.name).name: member for member in files if member.isfile()}
            for name in NAMES:
                if name not in found:
                    raise ValueError(f"{archive} should hold {FOLDER}/{name}, but does not.")
                if found[name].size > _LARGEST:
                    raise ValueError(f"{archive} holds a {name} of {found[name].size} bytes, which is no file of CIFAR-10.")
                file = files.extractfile(found[name])
                assert file is not None
                with file:
                    yield name, (f"{archive}: {name}", file.read())
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{archive} is a damaged or incomplete archive: {error}.") from error


def _records(name: str, content: bytes) -> NDArray[np.uint8]:
    """The records of a file, uint8 (n, 3073), after checking its size and labels."""
    if len(content) % _RECORD:
        raise ValueError(f"{name} is cut short or not a file of CIFAR-10: it should hold records of {_RECORD} bytes, but its {len(content)} bytes "
                         f"leave {len(content) % _RECORD} over.")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    if len(records) and records[:, 0].max() > 9:
        row = int(records[:, 0].argmax())
        raise ValueError(f"{name} should hold labels from 0 to 9, but record {row} has {records[row, 0]}.")
    return records


def _part(files: list[NDArray[np.uint8]]) -> Part:
    rows = sum(map(len, files))
    x, y = np.empty((rows, *_SHAPE), np.float32), np.empty(rows, np.int64)
    start = 0
    for records in files:
        stop = start + len(records)
        np.divide(records[:, 1:].reshape(-1, *_SHAPE), np.float32(255), out=x[start:stop])
        y[start:stop] = records[:, 0]
        start = stop
    return x, y
