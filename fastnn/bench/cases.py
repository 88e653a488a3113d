"""All cases, area by area."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fastnn.bench import (
    attention, convolutions, elementwise, embeddings, images, losses, networks, norms, pooling, products, recurrent, rowwise,
    sequences, spatial,
)
from fastnn.bench.harness import Case

AREAS: dict[str, Callable[[], Iterator[Case]]] = {
    "peak": products.peak_cases,
    "matmul": products.numpy_cases,
    "activation": elementwise.activation_cases,
    "softmax": rowwise.softmax_cases,
    "loss": losses.loss_cases,
    "norm": norms.norm_cases,
    "pooling": pooling.pooling_cases,
    "spatial": spatial.spatial_cases,
    "embedding": embeddings.embedding_cases,
    "conv": convolutions.conv_cases,
    "attention": attention.attention_cases,
    "recurrent": recurrent.recurrent_cases,
    "training": networks.training_cases,
    "captured": networks.captured_cases,
    "inference": networks.inference_cases,
    "images": images.image_cases,
    "sequences": sequences.sequence_cases,
}


def all_cases(areas: tuple[str, ...] = tuple(AREAS)) -> Iterator[Case]:
    """The cases of these areas."""
    for area in areas:
        yield from AREAS[area]()
