"""`fastnn predict`: classes and probabilities for the samples of a file."""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.cli import CommandError


def run(options: argparse.Namespace) -> None:
    import fastnn
    from fastnn.kernels import softmax
    from fastnn.training import pictures

    if options.confusion and not options.labels:
        raise CommandError("--confusion needs the right classes: give them with --labels FILE")
    if options.plot or options.confusion:
        pictures.new_figure(1, 1)  # or say now that there is no matplotlib
    model, about = load(options.model)
    if about.get("data") == "text":
        raise CommandError(f"{options.model} is a language model: `fastnn generate` writes with it")
    samples = read_samples(options.file)
    shape = tuple(about["shape"]) if "shape" in about else (int(about["features"]),)
    features = math.prod(shape)
    x = np.ascontiguousarray(samples, np.float32).reshape(len(samples), -1) if len(samples) else np.empty((0, features), np.float32)
    if x.shape[1] != features:
        raise CommandError(f"{options.file} must have {features} numbers a sample, as {options.model} was trained with, but has {x.shape[1]}")
    divisor = options.divide_by or (about["whole_numbers_up_to"] if is_whole(samples) else 1)
    if divisor != 1:
        x /= np.float32(divisor)

    probabilities = softmax(fastnn.predict(model, x.reshape(-1, *shape)), 1)
    classes = probabilities.argmax(axis=1)
    best = probabilities[np.arange(len(x)), classes]
    labels = read_labels(options.labels, probabilities.shape) if options.labels else None
    if options.plot:
        pictures.least_sure(x.reshape(-1, *image_shape(about, shape)), probabilities, labels, about.get("classes"), path=options.plot)
    if labels is not None and options.confusion:
        pictures.confusion_matrix(labels, classes, about.get("classes") or [str(i) for i in range(probabilities.shape[1])], options.confusion)

    if options.output:
        from fastnn.training.files import replace_file

        lines = ["row,class,probability", *(f"{i},{c},{p:.6f}" for i, (c, p) in enumerate(zip(classes, best)))]
        replace_file(options.output, ("\n".join(lines) + "\n").encode())
        print(f"{len(x)} predictions written to {options.output}")
    else:
        width, names = max(3, len(str(len(x) - 1))), about.get("classes")
        print(f"{'row':>{width}}  class  probability" + ("  name" if names else ""))
        sys.stdout.writelines(
            f"{i:>{width}}  {c:>5}  {p:>11.4f}" + (f"  {names[c]}" if names else "") + "\n" for i, (c, p) in enumerate(zip(classes, best))
        )
    if labels is not None:
        print(f"{100 * np.mean(classes == labels):.2f} % of {len(x):,} are right" if len(x) else "no samples")
    for what, path in (("least sure of", options.plot), ("confusion", options.confusion)):
        if path:
            print(f"{what:<13}  {path}")


def load(name: str) -> tuple[Any, dict[str, Any]]:
    """The model in a file of `fastnn train`, and what the file says of it."""
    from fastnn.training.architecture import build
    from fastnn.training.files import read_file

    state, kind, about = read_file(name)
    if kind != "model" or not isinstance(about, dict) or "architecture" not in about:
        raise CommandError(f"{name} is not a model of `fastnn train`: its file does not say which layers it has")
    try:
        model = build(about["architecture"], rng=0)
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{name} cannot be used: {error.args[0]}") from error
    return model, about


def image_shape(about: dict[str, Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The (channels, height, width) of the samples; files of the first version do not say it, but had square grey images only."""
    side = math.isqrt(math.prod(shape))
    return tuple(about.get("image") or (1, side, side))


def read_labels(name: str, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """The right classes in a file, (rows,), for probabilities of this shape, (rows, classes)."""
    from fastnn.training.pictures import check_labels

    if Path(name).suffix.lower() == ".bin":
        from fastnn.data import read_cifar10

        labels = read_cifar10(name)[1]
    else:
        labels = read_samples(name, key="y").reshape(-1)
    if labels.dtype.kind == "f" and (labels == np.floor(labels)).all():
        labels = labels.astype(np.int64)
    try:
        return check_labels(labels, shape)
    except ValueError as error:
        raise CommandError(f"{name}: {error}") from error


def is_whole(samples: NDArray[Any]) -> bool:
    """Whether the samples are whole numbers, as pixels are before they are divided: integers, or text that is whole numbers above 1."""
    if samples.dtype.kind in "ub" or samples.dtype.kind == "i":
        return True
    return samples.dtype == np.float64 and bool(samples.size) and bool((samples == np.floor(samples)).all()) and float(samples.max()) > 1


def read_samples(name: str, key: str = "x") -> NDArray[Any]:
    """The numbers in a .npy, .npz (its only array, or the one named `key`), .csv, .bin or IDX file, one sample for each entry of the first dimension."""
    suffix = Path(name).suffix.lower()
    if not os.path.exists(name):
        raise CommandError(f"{name} does not exist")
    if suffix == ".npy":
        samples = _numpy(name)
    elif suffix == ".npz":
        with _numpy(name) as arrays:
            found = key if key in arrays.files else arrays.files[0] if len(arrays.files) == 1 else None
            if found is None:
                raise CommandError(f"{name} must hold one array, or one named {key}, but holds {', '.join(arrays.files) or 'none'}")
            samples = arrays[found]
    elif suffix in (".csv", ".txt"):
        samples = _csv(name)
    elif suffix == ".bin":
        from fastnn.data import read_cifar10

        samples = read_cifar10(name)[0]
    else:
        from fastnn.data import read_idx

        samples = read_idx(name)
    if samples.dtype.kind not in "buif":
        raise CommandError(f"{name} must hold numbers, but holds {samples.dtype}")
    if samples.ndim == 0:
        raise CommandError(f"{name} must hold an array of samples, but holds a single number")
    rows: NDArray[Any] = samples[None] if samples.ndim == 1 else samples
    return rows


def _numpy(name: str) -> Any:
    try:
        return np.load(name, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CommandError(f"{name} is not a file of NumPy's: {error}") from error


def _csv(name: str) -> NDArray[Any]:
    """Rows of numbers; a first row of words is a header."""
    rows = []
    with open(name, newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.reader(file), 1):
            if not row:
                continue
            try:
                rows.append([float(cell) for cell in row])
            except ValueError:
                if number == 1:
                    continue
                raise CommandError(f"{name}, line {number}, must be numbers separated by commas, but is {','.join(row)[:60]!r}") from None
            if len(rows[-1]) != len(rows[0]):
                raise CommandError(f"{name}, line {number}, has {len(rows[-1])} numbers, but the lines before it have {len(rows[0])}")
    return np.array(rows, np.float64).reshape(len(rows), -1 if rows else 0)
