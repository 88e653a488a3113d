"""MNIST and Fashion-MNIST: each 60,000 training and 10,000 test images of 28×28 pixels in ten classes.

MNIST is "The MNIST database of handwritten digits" (Y. LeCun, C. Cortes, C. J. C. Burges, 1998); Fashion-MNIST, articles of clothing in the same
format, is by H. Xiao, K. Rasul and R. Vollgraf (2017), https://arxiv.org/abs/1708.07747. The four IDX files of either are read as they are distributed,
gzipped or not. MNIST's downloads are verified by the SHA-256 of the *uncompressed* bytes, since mirrors have compressed the same bytes differently.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .download import fetch
from .idx import read_idx

__all__ = ["FASHION_MNIST_CLASSES", "fashion_mnist", "mnist"]

Part = tuple[NDArray[np.float32], NDArray[np.int64]]

FASHION_MNIST_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
FASHION_MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)

# name → SHA-256 of the uncompressed file
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# name → MD5 of the gzipped file, as its authors publish it
FASHION_FILES = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}

_LARGEST = 64 << 20  # bytes: no file of either is larger than this, zipped or not


class _Source(NamedTuple):
    name: str      # of the data set, for errors
    function: str  # that reads it
    mirrors: tuple[str, ...]
    checksums: dict[str, str]
    unzipped: bool  # whether the checksums are of uncompressed files


def mnist(directory: str | os.PathLike[str], download: bool = False, flatten: bool = True) -> tuple[Part, Part]:
    """Return ``(x_train, y_train), (x_test, y_test)`` from the IDX files in `directory`.

    x: float32 (n, 784), or (n, 1, 28, 28) if not `flatten`, from 0 (paper) to 1 (ink). y: int64 (n,), the digit.
    download: first fetch the files that are missing (11 MB in all), each verified before it is put in place.
    Raises FileNotFoundError naming a missing file, ValueError for one that is damaged or not MNIST's, ConnectionError if no mirror answers.
    """
    return _read(_Source("MNIST", "mnist", MIRRORS, FILES, unzipped=True), Path(directory), download, flatten)


def fashion_mnist(directory: str | os.PathLike[str], download: bool = False, flatten: bool = True) -> tuple[Part, Part]:
    """Return ``(x_train, y_train), (x_test, y_test)`` from Fashion-MNIST's IDX files in `directory`, which are named as MNIST's are.

    x: float32 (n, 784), or (n, 1, 28, 28) if not `flatten`, from 0 (background) to 1. y: int64 (n,), an index into FASHION_MNIST_CLASSES.
    download: first fetch the files that are missing (31 MB in all), each verified before it is put in place. Raises as `mnist` does.
    """
    return _read(_Source("Fashion-MNIST", "fashion_mnist", FASHION_MIRRORS, FASHION_FILES, unzipped=False), Path(directory), download, flatten)


def _read(source: _Source, folder: Path, download: bool, flatten: bool) -> tuple[Part, Part]:
    if download:
        folder.mkdir(parents=True, exist_ok=True)
        for name, checksum in source.checksums.items():
            if _find(folder, name) is None:
                fetch(folder / f"{name}.gz", source.mirrors, checksum, source.name, _LARGEST, source.unzipped)
    return _part(source, folder, "train", flatten), _part(source, folder, "t10k", flatten)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _part(source: _Source, folder: Path, which: str, flatten: bool) -> Part:
    """Read and check one pair of files: images (n, 28, 28) and labels (n,), both uint8."""
    arrays = []
    for name in (f"{which}-images-idx3-ubyte", f"{which}-labels-idx1-ubyte"):
        path = _find(folder, name)
        if path is None:
            raise FileNotFoundError(f"{source.name} needs {name} or {name}.gz in {folder}, but neither is there. Get it with "
                                    f"fastnn.data.{source.function}({str(folder)!r}, download=True), or from {source.mirrors[0]}{name}.gz.")
        arrays.append((path, read_idx(path)))
    (images_path, images), (labels_path, labels) = arrays
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path} should hold uint8 images of shape (n, 28, 28), but holds {images.dtype} {images.shape}.")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise ValueError(f"{labels_path} should hold {len(images)} uint8 labels, one for each image, but holds {labels.dtype} {labels.shape}.")
    if labels.size and labels.max() > 9:
        raise ValueError(f"{labels_path} should hold labels from 0 to 9, but holds {labels.max()}.")
    x = images.reshape(len(images), 784) if flatten else images[:, None]
    scaled = x.astype(np.float32)
    scaled /= np.float32(255)
    return scaled, labels.astype(np.int64)
