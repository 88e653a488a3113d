"""The data sets that the command knows."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from fastnn import data
from fastnn.cli import CommandError


class DataSet(NamedTuple):
    read: Callable[..., Any]
    files: str | None             # what --data-dir has to hold; None: nothing, the data comes with the package
    image: tuple[int, int, int]   # channels, height, width
    whole_numbers_up_to: int      # what a file's whole numbers are divided by
    classes: Sequence[str] | None  # their names, where they are more than their numbers
    mirrored: bool                # whether an image and its mirror image are equally likely
    augmented: bool               # whether images are augmented by default


CLASSES = 10  # of each of them
DATA_SETS = {
    "digits": DataSet(lambda: data.digits(), None, (1, 8, 8), 16, None, mirrored=False, augmented=False),
    "mnist": DataSet(data.mnist, "MNIST's files", (1, 28, 28), 255, None, mirrored=False, augmented=False),
    "fashion-mnist": DataSet(
        data.fashion_mnist, "Fashion-MNIST's files", (1, 28, 28), 255, data.FASHION_MNIST_CLASSES, mirrored=True, augmented=False
    ),
    "cifar10": DataSet(data.cifar10, "CIFAR-10's files", (3, 32, 32), 255, data.CIFAR10_CLASSES, mirrored=True, augmented=True),
}  # fmt: skip


def load(options: argparse.Namespace, shape: tuple[int, ...]) -> Any:
    """``(x_train, y_train), (x_test, y_test)`` of --data, x with a last shape that its images fit."""
    chosen = DATA_SETS[options.data]
    if chosen.files is None:
        parts = chosen.read()
    else:
        if not options.data_dir:
            raise CommandError(f"{chosen.files} are read from a folder: give it with --data-dir DIR (and --download to fetch them)")
        if options.download:
            print(f"looking for {chosen.files} in {options.data_dir}, fetching what is missing", file=sys.stderr)
        try:
            parts = chosen.read(options.data_dir, download=options.download)
        except FileNotFoundError as error:
            raise CommandError(f"{str(error).split(' Get it ')[0]} Fetch it with --download.") from error
    return tuple((x.reshape(len(x), *shape), y) for x, y in parts)


def augmentation(options: argparse.Namespace) -> data.Compose | None:
    """Small shifts of the images, and mirroring where that leaves their class alone; None without --augment."""
    chosen = DATA_SETS[options.data]
    wanted = chosen.augmented and options.model != "mlp" if options.augment is None else options.augment
    if not wanted:
        return None
    if options.model == "mlp":
        raise CommandError("--augment is for images, and the mlp takes them as rows of numbers; choose another --model")
    side = chosen.image[1]
    steps: list[Any] = [data.RandomCrop(side, padding=math.ceil(side / 10))]
    return data.Compose(*steps, *[data.RandomHorizontalFlip()] * chosen.mirrored)
