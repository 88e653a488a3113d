"""The MNIST database of handwritten digits (Y. LeCun, C. Cortes, C. J. C. Burges, 1998): 60,000 training and 10,000 test images of 28×28.

The four IDX files are read as they are distributed, gzipped or not. Downloads are verified by the SHA-256 of the *uncompressed* bytes, since
mirrors have compressed the same bytes differently.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .idx import read_idx

__all__ = ["mnist"]

Part = tuple[NDArray[np.float32], NDArray[np.int64]]

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")

# name → SHA-256 of the uncompressed file
FILES = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

_LARGEST = 64 << 20  # bytes: no file of the four is larger than this, zipped or not


def mnist(directory: str | os.PathLike[str], download: bool = False, flatten: bool = True) -> tuple[Part, Part]:
    """Return ``(x_train, y_train), (x_test, y_test)`` from the IDX files in `directory`.

    x: float32 (n, 784), or (n, 1, 28, 28) if not `flatten`, from 0 (paper) to 1 (ink). y: int64 (n,), the digit.
    download: first fetch the files that are missing (11 MB in all), each verified before it is put in place.
    Raises FileNotFoundError naming a missing file, ValueError for one that is damaged or not MNIST's, ConnectionError if no mirror answers.
    """
    folder = Path(directory)
    if download:
        folder.mkdir(parents=True, exist_ok=True)
        for name, checksum in FILES.items():
            if _find(folder, name) is None:
                _fetch(folder, name, checksum)
    return _part(folder, "train", flatten), _part(folder, "t10k", flatten)


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _part(folder: Path, which: str, flatten: bool) -> Part:
    """Read and check one pair of files: images (n, 28, 28) and labels (n,), both uint8."""
    arrays = []
    for name in (f"{which}-images-idx3-ubyte", f"{which}-labels-idx1-ubyte"):
        path = _find(folder, name)
        if path is None:
            raise FileNotFoundError(f"MNIST needs {name} or {name}.gz in {folder}, but neither is there. Get it with "
                                    f"fastnn.data.mnist({str(folder)!r}, download=True), or from {MIRRORS[0]}{name}.gz.")
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


def _fetch(folder: Path, name: str, checksum: str) -> None:
    """Put `name`.gz into `folder` from the first mirror that gives the right bytes; leave nothing behind otherwise."""
    import urllib.request  # here, because its import takes longer than that of the rest of the package

    failures = []
    for mirror in MIRRORS:
        url = f"{mirror}{name}.gz"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                zipped = _read_at_most(response, _LARGEST)
            with gzip.GzipFile(fileobj=io.BytesIO(zipped)) as file:
                found = hashlib.sha256(_read_at_most(file, _LARGEST)).hexdigest()
        except (OSError, EOFError, ValueError, zlib.error) as error:
            failures.append(f"{url}: {error}")
            continue
        if found != checksum:
            failures.append(f"{url}: its uncompressed SHA-256 is {found}, not {checksum}")
            continue
        _write_atomically(folder / f"{name}.gz", zipped)
        return
    raise ConnectionError(f"MNIST's {name}.gz could not be downloaded from any mirror. " + "; ".join(failures) + ".")


def _read_at_most(file: Any, limit: int) -> bytes:
    data: bytes = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"more than {limit} bytes, which is not a file of MNIST")
    return data


def _write_atomically(path: Path, data: bytes) -> None:
    import tempfile

    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
