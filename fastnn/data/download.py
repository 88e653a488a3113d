"""Fetching a file of a data set: from the first mirror that gives the right bytes, put in place whole or not at all."""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_PIECE = 1 << 20


def fetch(path: Path, mirrors: Iterable[str], checksum: str, what: str, largest: int, unzipped: bool = False) -> None:
    """Put ``mirror + path.name`` of the first mirror that has it into `path`; leave nothing behind otherwise.

    checksum: hexadecimal, MD5 or SHA-256 by its length, of the file, or of what it unzips to if `unzipped`. what: the data set's name, for
    errors. largest: bytes that neither the file nor what it unzips to exceeds. Raises ConnectionError, with what each mirror gave, if none has it.
    """
    import urllib.request  # here, because its import takes longer than that of the rest of the package

    kind = {32: "MD5", 64: "SHA-256"}[len(checksum)]
    failures = []
    for mirror in mirrors:
        url = f"{mirror}{path.name}"
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            try:
                with urllib.request.urlopen(url, timeout=30) as response, os.fdopen(handle, "wb") as file:
                    handle = -1
                    for piece in _pieces(response, largest, what):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())
                found = _checksum(temporary, kind, unzipped, largest, what)
            except (OSError, EOFError, ValueError, zlib.error) as error:
                failures.append(f"{url}: {error}")
                continue
            if found != checksum:
                failures.append(f"{url}: its {'uncompressed ' * unzipped}{kind} is {found}, not {checksum}")
                continue
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
            return
        finally:
            if handle >= 0:
                os.close(handle)
            if os.path.exists(temporary):
                os.unlink(temporary)
    raise ConnectionError(f"{what}'s {path.name} could not be downloaded from any mirror. " + "; ".join(failures) + ".")


def _pieces(file: Any, largest: int, what: str) -> Iterable[bytes]:
    size = 0
    while piece := file.read(_PIECE):
        size += len(piece)
        if size > largest:
            raise ValueError(f"more than {largest} bytes, which is not a file of {what}")
        yield piece


def _checksum(name: str, kind: str, unzipped: bool, largest: int, what: str) -> str:
    digest = hashlib.sha256() if kind == "SHA-256" else hashlib.md5(usedforsecurity=False)
    with gzip.open(name) if unzipped else open(name, "rb") as file:
        for piece in _pieces(file, largest, what):
            digest.update(piece)
    return digest.hexdigest()
