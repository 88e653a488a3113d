"""Run modules eagerly while their kernel calls are recorded, and find out whether the calls are all that happened."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastnn.captured.calls import Call, Label
from fastnn.captured.errors import CaptureError
from fastnn.captured.memory import Memory, Region
from fastnn.kernels._core import Record, kernel_addresses
from fastnn.kernels._parameter import RowGradient
from fastnn.nn.module import Array, Module, Parameter


_one_at_a_time = threading.RLock()  # modules are watched through their attributes, and threads may share a model


def _forked() -> None:
    global _one_at_a_time
    _one_at_a_time = threading.RLock()  # whoever held it is not in this process


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def arrays_in(value: Any) -> Iterator[Array]:
    """The arrays that a value is or holds."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Parameter):
        yield value.data
        yield from arrays_in(value._grad)
    elif isinstance(value, RowGradient):
        yield from value.arrays
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from arrays_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from arrays_in(item)


class Recording:
    """`with Recording(modules, inputs) as recording:` records what runs inside, on this thread.

    modules: {dotted name: module}; their calls are labelled with their names. inputs: arrays that the calls read and nobody else
    writes. Afterwards `calls` are the recorded ones, `memory` what they point to.
    """

    def __init__(self, modules: dict[str, Module], inputs: tuple[Array, ...]) -> None:
        self.modules, self.inputs = modules, inputs
        self.record = Record()
        self.memory = Memory()
        self.calls: list[Call] = []
        self._stack: list[Label] = []
        self._returned: list[tuple[Label, int]] = []  # the addresses of the arrays that modules returned, in order
        self._addresses = kernel_addresses()
        self._before: dict[str, dict[str, Any]] = {}

    @staticmethod
    def _attributes(module: Module) -> dict[str, Any]:
        return {key: value for key, value in vars(module).items() if key != "_saved"}

    def __enter__(self) -> Recording:
        _one_at_a_time.acquire()
        self._before = {name: self._attributes(module) for name, module in self.modules.items()}
        try:
            for name, module in self.modules.items():
                for phase in ("forward", "backward"):
                    setattr(module, phase, self._watch(getattr(module, phase), Label(name, type(module).__name__, phase)))
            self.record.__enter__()
        except BaseException:
            self._unwatch()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self.record.__exit__()
        self._unwatch()

    def _unwatch(self) -> None:
        for name, module in self.modules.items():
            for phase in ("forward", "backward"):
                if phase not in self._before[name]:
                    vars(module).pop(phase, None)
                else:
                    vars(module)[phase] = self._before[name][phase]
        _one_at_a_time.release()

    def _watch(self, function: Any, label: Label) -> Any:
        thread = threading.get_ident()

        def watched(*arguments: Any, **keywords: Any) -> Any:
            if threading.get_ident() != thread:
                return function(*arguments, **keywords)
            with self.labelled(label):
                result = function(*arguments, **keywords)
                self._returned += [(label, array.ctypes.data) for array in arrays_in(result)]
                return result

        return watched

    @contextmanager
    def labelled(self, label: Label) -> Iterator[None]:
        """The calls of the block get this label, unless a module's own call inside has another one."""
        before, self.record.label = self.record.label, label
        try:
            yield
        finally:
            self.record.label = before

    def finish(self) -> None:
        """Take over the calls recorded since the last time, and the memory that they point to."""
        for address, args, parts, stop, label in self.record.calls[len(self.calls) :]:
            kernel, dtype = self._addresses[address]
            self.calls.append(Call(kernel, dtype, address, parts, stop, label, bytearray(args)))
        for start, size in self.record.fresh:
            self.memory.add(start, size, fresh=True)
        for i, array in enumerate(self.inputs):
            self.memory.add_array(array, input=i)
        for owner in self.record.owners:
            for array in arrays_in(owner):
                self.memory.add_array(array)

    # --- is that all? ---

    def check(self, results: tuple[Array, ...] = ()) -> None:
        """CaptureError, naming the module, unless kernels computed all that the calls so far read, and all results."""
        known = self._lasting()
        known |= {region for region in self.memory if region.input is not None}
        known |= {self.memory.find(start) for start, size in self.record.fresh if size == 0}
        for call in self.calls:
            for argument, address in call.pointers():
                region = self.memory.find(address)
                if argument.writes and region is not None:
                    known.add(region)
                elif argument.data and not argument.writes and not argument.table and region not in known:
                    raise self._unknown(address, call.label)
        self._check_attributes(known)
        for array in results:
            if self.memory.find(array.ctypes.data) not in known:
                raise self._unknown(array.ctypes.data, None)

    def _check_attributes(self, known: set[Region | None]) -> None:
        """CaptureError if a module noted down what a replay would not: anything but shapes, and arrays that the kernels computed."""
        for name, module in self.modules.items():
            for key, value in self._attributes(module).items():
                if value is self._before[name].get(key, self) or key in ("forward", "backward"):
                    continue
                arrays = list(arrays_in(value))
                shape = isinstance(value, tuple) and all(isinstance(n, int) for n in value)
                if not (value is None or shape or (arrays and all(self.memory.find(array.ctypes.data) in known for array in arrays))):
                    raise CaptureError(
                        f"{_module(Label(name, type(module).__name__, ''))} cannot be captured: its forward or backward changes self.{key}, which a replay "
                        "would not do"
                    )

    def _lasting(self) -> set[Region | None]:
        """What modules held before and still hold: parameters, gradients, buffers, states."""
        found: set[Region | None] = set()
        for name, module in self.modules.items():
            now = vars(module)
            for key, value in self._before[name].items():
                if now.get(key) is value:
                    found.update(self.memory.add_array(array) for array in arrays_in(value))
        return found

    def _unknown(self, address: int, reader: Label | None) -> CaptureError:
        region = self.memory.find(address)
        for label, returned in self._returned:
            if returned == address or (region is not None and self.memory.find(returned) is region):
                return CaptureError(
                    f"{_module(label)} cannot be captured: its {label.phase} returns an array that no fastnn kernel computed. Compute it with "
                    "fastnn.kernels or layers (NumPy's results, and copies of strided arrays, would be those of the first call for ever)"
                )
        where = f"the {reader.phase} of {_module(reader)}" if reader else "the model"
        return CaptureError(
            f"{where} cannot be captured: a kernel in it reads an array that no fastnn kernel computed, and that is neither an input nor kept by a "
            "module from before the step"
        )


def _module(label: Label) -> str:
    return f"module {label.name!r} ({label.kind})" if label.name else f"the model ({label.kind})"
