"""Captured inference."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from fastnn.captured.assemble import assemble
from fastnn.captured.errors import CaptureError
from fastnn.captured.explain import profile
from fastnn.captured.recording import Recording
from fastnn.captured.step import PLANS, key_of, named, plain
from fastnn.kernels import copy
from fastnn.kernels._core import count_writes
from fastnn.kernels._replay import Captured, Ready, Watched, bunched, bunches, flattened
from fastnn.nn.module import Array, Module, mode


class CapturedPrediction(Captured):
    """A model's forward in evaluation mode as one call: `predict(x)` returns new arrays, as `model(x)` does.

    It may be a snapshot of the parameters: with `fold`, batch normalisations are folded into the linear layers before them, and with `pack`
    weights are kept in the order that products like best. The library's own writers (optimizers, captured steps, load_state_dict, assignment to
    `layer.weight`, fastnn.nn.init) refresh it by themselves; after writing into an array in place call `predict.refresh()`. With fold=False and pack=False
    the parameters are read live.

    Every bit is that of the eager forward, but for `fold`, which may round differently: still the same for any number of threads,
    rows beside, or instruction set. The first call with inputs of new shapes runs eagerly and is recorded; up to 8 shapes are kept. It is for one thread at a
    time; several captured predictions of one model may run at once.
    """

    def __init__(self, model: Module, *, fold: bool = True, pack: bool = True) -> None:
        if not isinstance(model, Module):
            raise TypeError(f"model must be a Module, got {type(model).__name__}")
        self.model, self.fold, self.pack = model, bool(fold), bool(pack)
        self._plans: OrderedDict[Any, Ready] = OrderedDict()

    def prepare(self, inputs: tuple[Any, ...]) -> Any:
        if not inputs:
            raise TypeError("a captured prediction takes the model's inputs, got none")
        sizes = bunches(inputs)
        arrays = tuple(map(plain, flattened(inputs)))
        if not self.is_current():
            self._plans.clear()
            self.writes = -1
        if self.is_outdated():
            self.refresh()
        key = key_of(arrays), sizes
        ready = self._plans.get(key)
        if ready is None or not ready.is_for(arrays):
            return self._record(arrays, sizes)
        self._plans.move_to_end(key)
        self.cycle = [ready]
        return self.replay(ready, arrays)

    def refresh(self) -> None:
        """Derive anew what is derived from parameters and running statistics."""
        writes = count_writes()
        for ready in self._plans.values():
            ready.prepare()
        self.writes = writes if any(ready.once is not None for ready in self._plans.values()) else -1

    def _record(self, arrays: tuple[Array, ...], sizes: tuple[int, ...] | None) -> Any:
        own = tuple(array.copy() for array in arrays)
        modules = named(self.model)
        with mode(False, self.model), Recording(modules, own) as recording:
            result = self.model.forward(*bunched(own, sizes))
            outputs = flattened(result if isinstance(result, tuple) else (result,))
            for array in outputs:
                if not isinstance(array, np.ndarray):
                    raise CaptureError(f"the model ({type(self.model).__name__}) cannot be captured: it returns {type(array).__name__}, not arrays")
            recording.finish()
            recording.check(outputs)
            fresh = dict(recording.record.fresh)
            seen: set[int] = set()
            own_memory = []
            for array in outputs:  # each in memory of its own, which a later call can put elsewhere
                address = array.ctypes.data
                alone = fresh.get(address) == array.nbytes and array.flags.c_contiguous and address not in seen
                seen.add(address)
                own_memory.append(array if alone else copy(array))
            recording.finish()
        results = tuple(array.copy() for array in own_memory)
        ready = assemble(recording, outputs=tuple(own_memory), fold=self.fold, pack=self.pack)
        ready.bunched_inputs, ready.bunched_outputs = sizes, bunches(result) if isinstance(result, tuple) else None
        self._plans[key_of(arrays), sizes] = ready
        while len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        self.cycle = [ready]
        parameters = [p for module in modules.values() for p in vars(module).get("_parameters", {}).values() if p is not None]
        self.watched = Watched([vars(module) for module in modules.values()], parameters, "_saved", "training")
        self.refresh()
        if ready.once is not None:  # what it gives is not to depend on which call it is
            return self.replay(ready, arrays)
        return bunched(results, ready.bunched_outputs) if isinstance(result, tuple) else results[0]

    def refuse(self, inputs: tuple[Any, ...]) -> Any:
        ready = self.cycle[0]
        with mode(False, self.model):
            return self.model.forward(*bunched(inputs, None if ready is None else ready.bunched_inputs))

    def explain(self) -> str:
        """A table of the calls of the last prediction: module, kernel, sizes, bytes and time of each, measured now on made-up inputs."""
        ready = self.cycle[0]
        if ready is None:
            raise RuntimeError("there is nothing to explain before the first prediction")
        return profile(ready, [], f"captured prediction of {type(self.model).__name__}")
