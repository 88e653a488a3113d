"""Pictures of what a classifier of images has learnt, and of where it errs. Each function returns matplotlib's Figure, and writes it to `path` if given."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
PathLike = str | os.PathLike[str]

INK, GREY, WRONG = "#222222", "#666666", "#D55E00"


def new_figure(width: float, height: float, **options: Any) -> Any:
    """An empty Figure of this size in inches. ImportError, saying what to install, without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError('Plotting needs matplotlib, which is not installed; get it with: pip install "fastnn[plot]"') from None
    return Figure(figsize=(width, height), dpi=160, **options)


def least_sure(
    images: ArrayLike, probabilities: ArrayLike, labels: ArrayLike | None = None, classes: Sequence[str] | None = None, count: int = 40,
    path: PathLike | None = None,
) -> Any:  # fmt: skip
    """Draw the `count` images whose most probable class is least probable, the least first, with that class and its probability below.

    images: (n, 1 or 3, height, width), from 0 to 1. probabilities: (n, classes). labels: (n,), the right classes; where they differ from the most
    probable one both are shown. classes: their names, else numbers.
    """
    x, p = np.asarray(images), np.asarray(probabilities)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or p.ndim != 2 or len(p) != len(x) or not len(x):
        raise ValueError(f"images must have shape (n, 1 or 3, height, width) and probabilities (n, classes), n > 0, got {x.shape} and {p.shape}")
    right = None if labels is None else check_labels(labels, p.shape)
    taken = p.argmax(axis=1)
    sure = p[np.arange(len(p)), taken]
    chosen = np.argsort(sure, kind="stable")[:count]
    names = [str(i) for i in range(p.shape[1])] if classes is None else list(classes)

    pitch = max(0.78, 0.06 * (max(map(len, names)) + 8))
    columns = min(len(chosen), 10 if pitch < 1 else 8)
    all_of = f"{len(x)} images, beginning with those the model was least sure of"
    title = all_of if len(chosen) == len(x) else f"The {len(chosen)} of {len(x):,} images the model was least sure of"
    figure, tiles = _tiles(-(-len(chosen) // columns), columns, title, pitch, 1.02)
    for axes, i in zip(tiles, chosen):
        _show(axes, x[i])
        is_wrong = right is not None and right[i] != taken[i]
        place: dict[str, Any] = {"ha": "center", "va": "top", "transform": axes.transAxes, "fontsize": 7.5}
        axes.text(0.5, -0.05, names[taken[i]], color=WRONG if is_wrong else INK, **place)
        axes.text(0.5, -0.2, f"{100 * sure[i]:.0f} %" + (f", is {names[right[i]]}" if right is not None and is_wrong else ""), color=GREY, **place)
    return _finish(figure, path)


def filters(weight: ArrayLike, path: PathLike | None = None) -> Any:
    """Draw each filter of a first layer. weight: (filters, channels, height, width), of a convolution, or of a Linear with its rows as images.

    Filters of three channels are shown in colour, each scaled to its own range; else every channel is a picture of its own, blue where it is negative, red
    where it is positive, white at 0, all on one scale. At most 128 pictures are drawn.
    """
    w = np.asarray(weight)
    if w.ndim != 4 or not w.size:
        raise ValueError(f"weight must have shape (filters, channels, height, width) and not be empty, got {w.shape}")
    coloured = w.shape[1] == 3
    pictures = w if coloured else w.reshape(-1, 1, *w.shape[2:])
    drawn = pictures[:128]
    columns = min(len(drawn), max(6, int(np.ceil(np.sqrt(2 * len(drawn))))))
    some = "" if len(drawn) == len(pictures) else f", the first {len(drawn)}"
    title = f"{len(w)} filter{'s' * (len(w) > 1)} of {w.shape[2]}×{w.shape[3]}" + (f" over {w.shape[1]} channels" if w.shape[1] > 1 else "") + some
    figure, tiles = _tiles(-(-len(drawn) // columns), columns, title, 0.78, 0.78)
    limit = float(np.abs(drawn).max()) or 1.0
    for axes, picture in zip(tiles, drawn):
        if coloured:
            low, high = picture.min(), picture.max()
            _show(axes, (picture - low) / (high - low if high > low else 1))
        else:
            axes.imshow(picture[0], cmap="RdBu_r", vmin=-limit, vmax=limit)
    return _finish(figure, path)


def confusion_matrix(labels: ArrayLike, predicted: ArrayLike, classes: Sequence[str], path: PathLike | None = None) -> Any:
    """Draw how often each class (a row) was taken for each other one (a column), the darker the larger its share of the row.

    labels, predicted: (n,), indices into `classes`, the names.
    """
    n = len(classes)
    right, taken = check_labels(labels, (np.size(predicted), n)), check_labels(predicted, (np.size(labels), n))
    counts = np.bincount(right * n + taken, minlength=n * n).reshape(n, n)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)

    side = 0.42 * n + 1.6
    figure = new_figure(side, side, layout="constrained")
    axes = figure.subplots()
    axes.imshow(np.sqrt(shares), cmap="Blues", vmin=0, vmax=1)  # the root, so that rare confusions are seen
    for i, j in zip(*np.nonzero(counts)):
        axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=7 if counts.max() < 10000 else 6,
                  color="white" if shares[i, j] > 0.35 else INK)  # fmt: skip
    upright = max(map(len, classes)) <= 3
    axes.set_xticks(range(n), classes, rotation=0 if upright else 45, ha="center" if upright else "right", rotation_mode="anchor")
    axes.set_yticks(range(n), classes)
    axes.set_xlabel("predicted", fontsize=9, color=GREY)
    axes.set_ylabel("true", fontsize=9, color=GREY)
    axes.set_title(f"{100 * np.trace(counts) / max(len(right), 1):.2f} % of {len(right):,} are right", loc="left", fontsize=11, fontweight="bold")
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.2)
    axes.tick_params(which="both", length=0, labelsize=8, colors=GREY)
    axes.spines[:].set_visible(False)
    return _finish(figure, path)


def check_labels(labels: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """`labels` as indices, (rows,), below `classes`, shape being (rows, classes). ValueError for others."""
    array = np.asarray(labels)
    if array.shape != shape[:1] or array.dtype.kind not in "iu":
        raise ValueError(f"labels must be {shape[0]} integers, one for each row, got {array.dtype} of shape {array.shape}")
    if array.size and not 0 <= array.min() <= array.max() < shape[1]:
        raise ValueError(f"labels must be from 0 to {shape[1] - 1}, got {array.min()} to {array.max()}")
    return array.astype(np.intp)


def _tiles(rows: int, columns: int, title: str, across: float, down: float) -> tuple[Any, list[Any]]:
    """A figure with a title above rows × columns square axes without ticks, whose left and upper edges are so many inches apart."""
    side, margin, head = 0.72, 0.2, 0.5
    width = max(columns * across, 4.6) + 2 * margin
    height = rows * down + head + margin
    figure = new_figure(width, height)
    figure.text(margin / width, 1 - 0.16 / height, title, ha="left", va="top", fontsize=11, fontweight="bold", color=INK)
    tiles = []
    for row in range(rows):
        for column in range(columns):
            left, bottom = margin + column * across + (across - side) / 2, height - head - side - row * down
            tiles.append(figure.add_axes((left / width, bottom / height, side / width, side / height)))
            tiles[-1].axis("off")
    return figure, tiles


def _show(axes: Any, image: Array) -> None:
    if len(image) == 1:
        axes.imshow(image[0], cmap="gray_r", vmin=0, vmax=1)
    else:
        axes.imshow(image.transpose(1, 2, 0).clip(0, 1))


def _finish(figure: Any, path: PathLike | None) -> Any:
    if path is not None:
        figure.savefig(Path(path))
    return figure
