"""IDX, the file format of MNIST: one n-dimensional array in a file, gzipped or not.

    byte 0, 1    zero
    byte 2       element type: 0x08 uint8, 0x09 int8, 0x0B int16, 0x0C int32, 0x0D float32, 0x0E float64
    byte 3       number of dimensions
    then         each dimension as a big-endian 32-bit unsigned integer
    then         the elements in C order, big-endian
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_idx"]

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Return the array of an IDX file, gzipped or not (told by its first bytes, not its name), in native byte order.

    Raises FileNotFoundError if there is no such file, and ValueError if it is not a complete IDX file and nothing more.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        zipped = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not zipped:
            return _read(file, path)
        try:
            with gzip.GzipFile(fileobj=file) as unzipped:
                return _read(unzipped, path)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{path} is a damaged or incomplete gzip file: {error}.") from error


def _read(file: IO[bytes] | gzip.GzipFile, path: str) -> NDArray[Any]:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES:
        raise ValueError(f"{path} is not an IDX file: it should begin with 00 00, an element type and a number of dimensions, "
                         f"but begins with {head.hex(' ') or 'nothing'}.")
    dtype, dimensions = np.dtype(_TYPES[head[2]]), head[3]
    lengths = file.read(4 * dimensions)
    if len(lengths) < 4 * dimensions:
        raise ValueError(f"{path} ends within its header, which should hold {dimensions} dimensions.")
    shape = tuple(int.from_bytes(lengths[i:i + 4], "big") for i in range(0, len(lengths), 4))
    if dimensions > 32:
        raise ValueError(f"{path} has {dimensions} dimensions, more than the 32 that can be read.")

    # in pieces, so that a header that lies about its size takes no more memory than the file has bytes
    size, data = math.prod(shape) * dtype.itemsize, bytearray()
    while len(data) < size and (piece := file.read(min(size - len(data), 1 << 24))):
        data += piece
    if len(data) < size:
        raise ValueError(f"{path} is cut short: shape {shape} of {dtype.newbyteorder('=')} needs {size} bytes of data, "
                         f"but {len(data)} are there.")
    if file.read(1):
        raise ValueError(f"{path} has more data than the {size} bytes that its shape {shape} of {dtype.newbyteorder('=')} needs.")
    array = np.frombuffer(data, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)
