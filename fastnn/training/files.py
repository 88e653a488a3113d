"""Files of named arrays: the safetensors format, written atomically, checked when read, never unpickled.

The file's metadata holds three strings: "fastnn" (JSON with the format's version and the kind of file), "metadata" (the writer's JSON) and "sha256", the
checksum of names, dtypes, shapes, bytes and metadata. Files of other writers, which have none of these, can be read as well.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.nn.module import Array

VERSION = 1


def write_file(path: str | os.PathLike[str], arrays: Mapping[str, Any], kind: str, metadata: Any = None) -> None:
    """Write arrays and metadata (anything that JSON can hold) to `path`: whole, or not at all."""
    from safetensors.numpy import save

    plain = {name: np.array(array, np.asarray(array).dtype.newbyteorder("="), order="C") for name, array in arrays.items()}
    try:
        text = json.dumps(metadata, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise TypeError(f"metadata must be what JSON can hold: {error}") from None
    head = json.dumps({"version": VERSION, "kind": kind})
    replace_file(path, save(plain, {"fastnn": head, "metadata": text, "sha256": _checksum(plain, head, text)}))


def read_file(path: str | os.PathLike[str]) -> tuple[dict[str, Array], str | None, Any]:
    """The arrays of a file, its kind (None for another program's), and its metadata.

    Raises FileNotFoundError, or ValueError if the file is cut short, damaged or not in the safetensors format.
    """
    import safetensors
    from safetensors.numpy import load

    name = os.fspath(path)
    with open(name, "rb") as file:
        data = file.read()
    try:
        arrays: dict[str, Array] = load(data)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{name} is not a complete safetensors file: {error}") from error
    strings = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__") or {}
    if "fastnn" not in strings:
        return arrays, None, strings
    head, text = strings["fastnn"], strings.get("metadata", "null")
    if strings.get("sha256") != _checksum(arrays, head, text):
        raise ValueError(f"{name} is damaged: its content does not have the checksum that was written with it")
    about = json.loads(head)
    if about["version"] > VERSION:
        raise ValueError(f"{name} was written by a newer fastnn (its format is version {about['version']}, this one knows {VERSION})")
    return arrays, about["kind"], json.loads(text)


def _checksum(arrays: Mapping[str, Array], *texts: str) -> str:
    digest = hashlib.sha256(json.dumps(texts).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(json.dumps([name, array.dtype.str, arrays[name].shape]).encode())
        digest.update(array.data if array.size else b"")
    return digest.hexdigest()


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Put a file with this content in the place of `path`. Until it is completely on the disk the old one stays, and it stays if anything fails."""
    target = os.path.realpath(os.fspath(path))  # through a link, to what it points at
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.part")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise type(error)(error.errno, f"{os.fspath(path)} cannot be written: {error.strerror}", folder) from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    if hasattr(os, "O_DIRECTORY"):  # the folder's entry, too, must get to the disk
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
