"""Metrics: functions of a batch's outputs and targets that give one number, the mean over the batch's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Metric = Callable[[Array, Array], float]
Metrics = Iterable["str | Metric"] | Mapping[str, Metric]  # what a metrics= argument takes


def _labels(output: Array, target: Array) -> Array:
    """The class indices of targets that are indices (N, …) or probabilities (N, C, …), for outputs (N, C, …)."""
    if output.ndim < 2:
        raise ValueError(f"accuracy needs outputs of shape (rows, classes, …), got {output.shape}")
    if target.shape == output.shape:
        target = target.argmax(axis=1)
    elif target.shape != output.shape[:1] + output.shape[2:]:
        raise ValueError(f"accuracy needs targets of shape {output.shape[:1] + output.shape[2:]} or {output.shape}, got {target.shape}")
    return target


def accuracy(output: Array, target: Array) -> float:
    """The share of rows whose largest output is that of the right class.

    output: scores (N, C, …), the classes along axis 1 as for CrossEntropyLoss. target: class indices (N, …) or probabilities (N, C, …).
    """
    labels = _labels(output, target)
    return float(np.count_nonzero(output.argmax(axis=1) == labels)) / max(labels.size, 1)


def top_k_accuracy(output: Array, target: Array, k: int = 5) -> float:
    """The share of rows whose right class is among the k largest outputs; shapes as for `accuracy`. Equal outputs count in favour."""
    labels = np.expand_dims(_labels(output, target), 1)
    right = np.take_along_axis(output, labels.astype(np.intp), 1)
    return float(np.count_nonzero((output > right).sum(axis=1) < k)) / max(labels.size, 1)


def binary_accuracy(output: Array, target: Array, threshold: float = 0.0) -> float:
    """The share of elements on the right side: output > threshold where target is 1, not so where it is 0; shapes equal.

    threshold: 0 for logits, 0.5 for probabilities.
    """
    return float(np.mean((output > threshold) == (_like(output, target) > 0.5)))


def mean_squared_error(output: Array, target: Array) -> float:
    """The mean of (output - target)², in float64; shapes equal."""
    return float(np.mean(np.square(output - _like(output, target), dtype=np.float64)))


def mean_absolute_error(output: Array, target: Array) -> float:
    """The mean of |output - target|, in float64; shapes equal."""
    return float(np.mean(np.abs(output - _like(output, target)), dtype=np.float64))


def _like(output: Array, target: Array) -> Array:
    if target.shape != output.shape:
        raise ValueError(f"the metric needs targets of the outputs' shape {output.shape}, got {target.shape}")
    return target


METRICS: dict[str, Metric] = {
    function.__name__: function
    for function in (accuracy, top_k_accuracy, binary_accuracy, mean_squared_error, mean_absolute_error)
}


def resolve(metrics: Metrics) -> dict[str, Metric]:
    """{name: function} of a metrics= argument: names of METRICS, functions (under their own names), or a mapping."""
    if isinstance(metrics, str):
        raise TypeError(f"metrics must be a tuple or list, got the string {metrics!r}; write ({metrics!r},)")
    if isinstance(metrics, Mapping):
        return dict(metrics)
    resolved = {}
    for metric in metrics:
        if isinstance(metric, str):
            if metric not in METRICS:
                raise ValueError(f"a metric must be a function or one of {', '.join(METRICS)}, got {metric!r}")
            resolved[metric] = METRICS[metric]
        elif callable(metric):
            resolved[getattr(metric, "__name__", type(metric).__name__)] = metric
        else:
            raise TypeError(f"a metric must be a function or a name, got {type(metric).__name__}")
    return resolved
