"""The base of all layers and models: parameters, buffers, children, modes and state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastnn.kernels._core import note_write
from fastnn.kernels._parameter import Parameter as Parameter

Array = NDArray[Any]


def grad_targets(weight: Parameter, bias: Parameter | None) -> tuple[Array, Array | None, bool]:
    """For the backward of a layer with a weight and perhaps a bias: their gradients' arrays, and whether to add to both."""
    dweight, accumulate = weight.grad_target()
    if bias is None:
        return dweight, None, accumulate
    dbias, also = bias.grad_target()
    if also != accumulate:  # one of the two was zeroed by itself
        (dbias if accumulate else dweight)[...] = 0
        accumulate = True
    return dweight, dbias, accumulate


class ParameterField:
    """Declares a parameter of a module class: `weight = ParameterField()`.

    The first assignment of an array makes the parameter (without a copy); later ones copy into it after a shape check. None says
    that the module has no such parameter. Reading gives the plain array, or None.
    """

    store = "_parameters"

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        if module is None:
            return self
        entry = module.__dict__.get(self.store, {}).get(self.name)
        return None if entry is None else self.array(entry)

    def __set__(self, module: Any, value: Any) -> None:
        entries = module.__dict__.setdefault(self.store, {})
        entry = entries.get(self.name)
        if entry is None:
            entries[self.name] = None if value is None else self.entry(np.asarray(value))
        elif value is None:
            raise ValueError(f"{self.name} cannot become None: build the {type(module).__name__} without it")
        else:
            copy_into(self.array(entry), value, self.name)

    def entry(self, array: Array) -> Any:
        return Parameter(array)

    def array(self, entry: Any) -> Array:
        array: Array = entry.data
        return array


class BufferField(ParameterField):
    """Declares a buffer: an array that is part of the state but has no gradient, such as a running mean."""

    store = "_buffers"

    def entry(self, array: Array) -> Any:
        return array

    def array(self, entry: Any) -> Array:
        array: Array = entry
        return array


def copy_into(target: Array, value: Any, name: str) -> None:
    """Copy `value` into `target`, which it must fit in shape; ValueError names it otherwise."""
    array = np.asarray(value)
    if array.shape != target.shape:
        raise ValueError(f"{name} must have shape {target.shape}, got {array.shape}")
    if not np.can_cast(array.dtype, target.dtype, "same_kind"):
        raise TypeError(f"{name} must hold numbers that fit {target.dtype}, got {array.dtype}")
    target[...] = array
    note_write()


class Module:
    """A layer or a model.

    Subclasses write `forward(*inputs)` and `backward(*output_gradients)`, which returns the gradient of each array input and
    accumulates into the parameters' gradients. Parameters and buffers are declared as class fields, children are attributes.
    While `training`, forward keeps in `_saved` what backward needs; in evaluation it writes nothing on the module, so threads
    can share it. `needs_input_grad` False lets backward skip the gradient of the inputs and return None for it.
    """

    training: bool = True
    needs_input_grad: bool = True
    _saved: Any = None
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def backward(self, *output_gradients: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define backward")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        return self.forward(*inputs, **options)

    def link(self, x: Any, lengths: Any) -> Any:
        """forward as a link of a Sequential: what the next link takes. lengths: of the sequences in x, or None; for those who heed them."""
        return self.forward(x)

    def saved(self) -> Any:
        """What the last forward in training mode kept for backward. RuntimeError if there was none."""
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward needs a forward in training mode before it")
        return self._saved

    # --- parameters, buffers and children ---

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The direct children with their names, in the order in which they were assigned."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, depth first, with dotted names; one that appears twice comes once."""
        seen: set[int] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield name, module
            stack += reversed([(f"{name}.{key}" if name else key, child) for key, child in module.named_children()])

    def modules(self) -> Iterator[Module]:
        return (module for _, module in self.named_modules())

    def children(self) -> Iterator[Module]:
        return (child for _, child in self.named_children())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names."""
        return self._named("_parameters")

    def named_buffers(self) -> Iterator[tuple[str, Array]]:
        """All buffers with their dotted names."""
        return self._named("_buffers")

    def _named(self, store: str) -> Iterator[tuple[str, Any]]:
        for prefix, module in self.named_modules():
            for name, entry in vars(module).get(store, {}).items():
                if entry is not None:
                    yield f"{prefix}.{name}" if prefix else name, entry

    def parameters(self) -> list[Parameter]:
        """All parameters, for an optimizer."""
        return [parameter for _, parameter in self.named_parameters()]

    @property
    def params(self) -> dict[str, Array]:
        """This module's own parameter arrays by name."""
        return {name: entry.data for name, entry in vars(self).get("_parameters", {}).items() if entry is not None}

    @property
    def grads(self) -> dict[str, Array]:
        """This module's own gradient arrays by parameter name."""
        return {name: entry.grad for name, entry in vars(self).get("_parameters", {}).items() if entry is not None}

    def zero_grad(self) -> None:
        """Mark all gradients: the next backward overwrites them."""
        for parameter in self.parameters():
            parameter.stale = True

    # --- modes ---

    def train(self, mode: bool = True) -> Module:
        """Switch this module and all below it to training mode, or with False to evaluation; returns itself."""
        for module in self.modules():
            module.training = mode
            module._saved = None
        return self

    def eval(self) -> Module:
        """Switch to evaluation mode; returns itself."""
        return self.train(False)

    def to(self, dtype: DTypeLike) -> Module:
        """Convert all parameters and buffers of floating type to float32 or float64; returns itself."""
        wanted = np.dtype(dtype)
        check_dtype(wanted)
        for module in self.modules():
            for parameter in vars(module).get("_parameters", {}).values():
                if parameter is not None and parameter.dtype != wanted:
                    parameter.data = parameter.data.astype(wanted, order="K")
                    parameter._grad, parameter.stale = None, True
            buffers = vars(module).get("_buffers", {})
            for name, buffer in buffers.items():
                if buffer is not None and buffer.dtype.kind == "f":
                    buffers[name] = buffer.astype(wanted)
            module._saved = None
        return self

    # --- state ---

    def state_dict(self) -> dict[str, Array]:
        """Copies of all parameters and buffers by dotted name, C-ordered."""
        state = {name: parameter.data.copy(order="C") for name, parameter in self.named_parameters()}
        state.update((name, buffer.copy()) for name, buffer in self.named_buffers())
        return state

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy a state_dict into the parameters and buffers; nothing is written unless all of it fits.

        Raises KeyError for missing or unexpected names unless `strict` is False, ValueError for a wrong shape.
        """
        targets = {name: parameter.data for name, parameter in self.named_parameters()} | dict(self.named_buffers())
        missing, unexpected = targets.keys() - state.keys(), state.keys() - targets.keys()
        if strict and (missing or unexpected):
            raise KeyError(f"state must have the model's names; missing: {sorted(missing)}, unexpected: {sorted(unexpected)}")
        arrays = {name: np.asarray(state[name]) for name in targets.keys() & state.keys()}
        for name, array in arrays.items():
            if array.shape != targets[name].shape:
                raise ValueError(f"{name} must have shape {targets[name].shape}, got {array.shape}")
            if not np.can_cast(array.dtype, targets[name].dtype, "same_kind"):
                raise TypeError(f"{name} must hold numbers that fit {targets[name].dtype}, got {array.dtype}")
        for name, array in arrays.items():
            targets[name][...] = array
        note_write()

    # --- description ---

    def extra_repr(self) -> str:
        """The arguments to show in repr."""
        return ""

    def __repr__(self) -> str:
        children = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self.named_children()]
        body = "\n  " + "\n  ".join(children) + "\n" if children else ""
        return f"{type(self).__name__}({self.extra_repr()}{body})"

    def summary(self, input_shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> str:
        """A table of the layers with their output shapes and parameter counts, for an input of `input_shape` (with its batch)."""
        from fastnn.nn.summary import summary

        return summary(self, input_shape, dtype)


def check_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """`dtype` if it is float32 or float64, else TypeError."""
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"dtype must be float32 or float64, got {dtype}")
    return dtype


@contextmanager
def mode(training: bool, *modules: Any) -> Iterator[None]:
    """Training or evaluation mode within the block; afterwards every module has the mode that it had.

    Only flags are written, and only those that differ: a model in evaluation mode may be shared by threads, and what a forward kept for
    its backward stays.
    """
    changed = [m for module in modules if isinstance(module, Module) for m in module.modules() if m.training is not training]
    try:
        for module in changed:
            module.training = training
        yield
    finally:
        for module in changed:
            module.training = not training
