"""Containers: modules made of modules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastnn.nn.module import Array, Module


class Sequential(Module):
    """A chain of modules, each taking what the one before it returns.

    Takes the modules in order. `seq[i]` is one of them, `seq[i:j]` a Sequential of some (which shares them).
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise TypeError(f"layers[{i}] must be a Module, got {type(layer).__name__}")
        self.layers = tuple(layers)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), layer) for i, layer in enumerate(self.layers))

    @property
    def needs_input_grad(self) -> bool:  # type: ignore[override]
        return self.layers[0].needs_input_grad if self.layers else True

    @needs_input_grad.setter
    def needs_input_grad(self, needed: bool) -> None:
        if self.layers:
            self.layers[0].needs_input_grad = needed

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array) -> Any:
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int | slice) -> Module:
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)
