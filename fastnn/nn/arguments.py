"""Checks that layers share; each raises a sentence naming the argument."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any


def positive_int(value: Any, name: str, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def number_between(value: Any, name: str, low: float, high: float) -> float:
    """`value` as a float in [low, high]."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be between {low} and {high}, got {number}")
    return number


def per_axis(value: Any, name: str, axes: int, minimum: int = 1) -> tuple[int, ...]:
    """`value`, an int for all axes or one for each, as a tuple of ints of at least `minimum`."""
    values = tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,) * axes
    if len(values) != axes:
        raise ValueError(f"{name} must be an integer or have {axes} of them, one for each axis, got {value}")
    return tuple(positive_int(v, name, minimum) for v in values)


def one_of(value: Any, name: str, choices: Sequence[str]) -> str:
    """`value` if it is one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return str(value)
