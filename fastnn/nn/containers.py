"""Containers: modules made of modules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fastnn.kernels import add, concatenate, concatenate_backward
from fastnn.nn.module import Array, Module


def _modules(layers: Iterable[Any], name: str) -> tuple[Module, ...]:
    """`layers` as a tuple; TypeError unless all are modules."""
    for i, layer in enumerate(layers):
        if not isinstance(layer, Module):
            raise TypeError(f"{name}[{i}] must be a Module, got {type(layer).__name__}")
    return tuple(layers)


class Sequential(Module):
    """A chain of modules, each taking what the one before it returns.

    Takes the modules in order, or one mapping of names to modules. `seq[i]` is one of them, `seq[i:j]` a Sequential of some (which
    shares them). A recurrent layer passes on its output, without the state; it and LastStep get the `lengths` of the sequences, where given.
    """

    def __init__(self, *layers: Any) -> None:
        self.names: tuple[str, ...] | None = None
        if len(layers) == 1 and isinstance(layers[0], Mapping):
            self.names, layers = tuple(layers[0]), tuple(layers[0].values())
        self.layers = _modules(layers, "layers")

    def append(self, layer: Module) -> Sequential:
        """Add a module at the end; returns itself."""
        return self.insert(len(self.layers), layer)

    def insert(self, index: int, layer: Module) -> Sequential:
        """Put a module before position `index`; returns itself. Not for named modules."""
        if self.names is not None:
            raise ValueError("a Sequential of named modules is fixed: build it from a larger mapping")
        layers = list(self.layers)
        layers.insert(index, *_modules((layer,), "layer"))
        self.layers = tuple(layers)
        return self

    def extend(self, layers: Iterable[Module]) -> Sequential:
        """Add modules at the end; returns itself."""
        for layer in layers:
            self.append(layer)
        return self

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return zip(self.names or map(str, range(len(self.layers))), self.layers, strict=True)

    @property
    def needs_input_grad(self) -> bool:
        return self.layers[0].needs_input_grad if self.layers else True

    @needs_input_grad.setter
    def needs_input_grad(self, needed: bool) -> None:
        if self.layers:
            self.layers[0].needs_input_grad = needed

    def forward(self, x: Any, lengths: Any = None) -> Any:
        for layer in self.layers:
            x = layer.link(x, lengths)
        return x

    def link(self, x: Any, lengths: Any) -> Any:
        return self.forward(x, lengths)

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


class _Fork(Module):
    """A module whose children all take its input."""

    _needs_input_grad = True

    @property
    def needs_input_grad(self) -> bool:
        return self._needs_input_grad

    @needs_input_grad.setter
    def needs_input_grad(self, needed: bool) -> None:
        self._needs_input_grad = needed
        for child in self.children():
            child.needs_input_grad = needed


class Residual(_Fork):
    """y = module(x) + shortcut(x), the shortcut being x itself where none is given.

    Takes one module or several, which form a Sequential. Both sums have one shape; ValueError otherwise.
    """

    def __init__(self, *layers: Module, shortcut: Module | None = None) -> None:
        if not layers:
            raise ValueError("Residual needs at least one module, got none")
        self.module = _modules(layers, "layers")[0] if len(layers) == 1 else Sequential(*layers)
        if shortcut is not None:
            self.shortcut = _modules((shortcut,), "shortcut")[0]
        self._shortcut = "shortcut" in vars(self)

    def forward(self, x: Array) -> Array:
        y = self.module.forward(x)
        other = self.shortcut.forward(x) if self._shortcut else x
        if y.shape != other.shape:
            raise ValueError(f"Residual's module and shortcut must give one shape, got {y.shape} and {other.shape}")
        return add(y, other)

    def backward(self, dy: Array) -> Array | None:
        dx = self.module.backward(dy)
        other = self.shortcut.backward(dy) if self._shortcut else dy
        return add(dx, other) if self._needs_input_grad else None


class Parallel(_Fork):
    """All branches on one input, their results joined: mode "concatenate", along `axis`, or "sum"."""

    def __init__(self, *branches: Module, mode: str = "concatenate", axis: int = -1) -> None:
        if not branches:
            raise ValueError("Parallel needs at least one branch, got none")
        if mode not in ("concatenate", "sum"):
            raise ValueError(f"mode must be 'concatenate' or 'sum', got {mode!r}")
        self.branches, self.mode, self.axis = _modules(branches, "branches"), mode, axis

    def named_children(self) -> Iterator[tuple[str, Module]]:
        return ((str(i), branch) for i, branch in enumerate(self.branches))

    def forward(self, x: Array) -> Array:
        outputs = [branch.forward(x) for branch in self.branches]
        if self.mode == "concatenate":
            y = concatenate(outputs, self.axis)
            if self.training:
                self._saved = [output.shape[self.axis] for output in outputs]
            return y
        y = outputs[0]
        for output in outputs[1:]:
            if output.shape != y.shape:
                raise ValueError(f"Parallel's branches must give one shape to be summed, got {y.shape} and {output.shape}")
            y = add(y, output)
        return y

    def backward(self, dy: Array) -> Array | None:
        pieces = concatenate_backward(dy, self.saved(), self.axis) if self.mode == "concatenate" else [dy] * len(self.branches)
        dx = None
        for branch, piece in zip(self.branches, pieces, strict=True):
            gradient = branch.backward(piece)
            if self._needs_input_grad:
                dx = gradient if dx is None else add(dx, gradient)
        return dx

    def extra_repr(self) -> str:
        return "mode='sum'" if self.mode == "sum" else f"mode='concatenate', axis={self.axis}"
