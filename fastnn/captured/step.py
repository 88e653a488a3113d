"""Captured training steps."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastnn.captured.assemble import assemble
from fastnn.captured.calls import Label
from fastnn.captured.errors import CaptureError
from fastnn.captured.explain import profile
from fastnn.captured.interrupts import Shield
from fastnn.captured.memory import Region
from fastnn.captured.recording import Recording, arrays_in
from fastnn.kernels._replay import Captured, Ready, Watched
from fastnn.nn.module import Array, Module
from fastnn.nn.utils import clip_grad_norm_, clip_grad_value_
from fastnn.optim import Optimizer

PLANS = 8  # kept, for as many shapes of inputs


def plain(array: Any) -> Array:
    """An input as plans read it: C-ordered, aligned, in native byte order; integers as int64."""
    array = np.asarray(array)
    kind = np.dtype(np.int64) if array.dtype.kind in "iu" and array.dtype != np.uint64 else array.dtype.newbyteorder("=")
    return np.require(array, kind, ("C", "A"))


def key_of(inputs: tuple[Array, ...]) -> tuple[Any, ...]:
    return tuple((array.shape, array.dtype.num) for array in inputs)


def named(model: Module, loss: Module | None = None) -> dict[str, Module]:
    """All modules by their dotted names, those of the loss below "loss"."""
    modules = dict(model.named_modules())
    if loss is not None:
        modules |= {f"loss.{name}" if name else "loss": module for name, module in loss.named_modules()}
    return modules


class CapturedStep(Captured):
    """A training step as one call: `step(x, y)` runs forward, loss, backward and the optimizer's update and returns the loss.

    The result, every bit of it, is that of the eager code

        value = loss(model(x), y)
        optimizer.zero_grad()
        model.backward(loss.backward())
        clip_grad_norm_(model.parameters(), clip_grad_norm)     # where given; clip_grad_value likewise
        optimizer.step()

    y is a tuple with arrays where the loss takes more than a target: its value is loss(model(x), *y) then, and the model gets the first of its gradients. With
    `accumulate` k the update comes with every k-th call only, from the sum of the k gradients of loss / k. The first call with inputs of new
    shapes runs eagerly and is recorded; after that a call is one replay, which allocates nothing, and up to 8 shapes are kept. Changes of options,
    parameters, modes, threads or of the model itself take effect with the next call. The gradients of all parameters of the model
    are those of the last step. It is for one thread at a time.

    strict: what cannot be captured raises CaptureError; False lets `refused` have the error, and this and all later steps run eagerly.

    A Ctrl-C, or data that the loss refuses, leaves model and optimizer as they were after the last whole step.
    """

    def __init__(
        self, model: Module, loss: Module, optimizer: Optimizer, *, clip_grad_norm: float | None = None, clip_grad_value: float | None = None,
        accumulate: int = 1, strict: bool = True,
    ) -> None:  # fmt: skip
        if not isinstance(model, Module):
            raise TypeError(f"model must be a Module, got {type(model).__name__}")
        if not isinstance(loss, Module):
            raise CaptureError(f"loss must be a Module with forward and backward to be captured, got {type(loss).__name__}")
        if not isinstance(optimizer, Optimizer) or type(optimizer).step is not Optimizer.step:
            raise CaptureError(f"optimizer must be one of fastnn.optim to be captured, got {type(optimizer).__name__}")
        for name, value in (("clip_grad_norm", clip_grad_norm), ("clip_grad_value", clip_grad_value)):
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be greater than 0, got {value}")
        if not 1 <= accumulate <= 64:
            raise ValueError(f"accumulate must be from 1 to 64, got {accumulate}")
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.clip_grad_norm, self.clip_grad_value, self.accumulate = clip_grad_norm, clip_grad_value, accumulate
        self.strict = strict
        self.refused: CaptureError | None = None
        self.losses: Array = np.empty(0)
        self._eager_output: Any = None
        self.cycle = [None] * accumulate
        self._targets = 1  # how many of the inputs of `cycle` are the loss' own
        self._plans: OrderedDict[Any, list[Ready | None]] = OrderedDict()

    # --- a call for which no plan is at hand ---

    def prepare(self, inputs: tuple[Any, ...]) -> Any:
        if len(inputs) < 2:
            raise TypeError(f"a captured step takes the model's inputs and the target, got {len(inputs)} argument{'s'[len(inputs) == 1:]}")
        *own, target = inputs
        targets = target if isinstance(target, tuple) and any(isinstance(item, np.ndarray) for item in target) else (target,)
        arrays = tuple(map(plain, (*own, *targets)))
        if not self.is_current():
            self._plans.clear()
        key = len(targets), key_of(arrays)
        self.cycle, self._targets = self._plans.setdefault(key, [None] * self.accumulate), len(targets)
        self._plans.move_to_end(key)
        while len(self._plans) > PLANS:
            self._plans.popitem(last=False)
        ready = self.cycle[self.turn]
        if ready is not None and ready.is_for(arrays):
            return self.replay(ready, arrays)
        return self._record(arrays)

    def _record(self, arrays: tuple[Array, ...]) -> float:
        """Run the step eagerly, recorded."""
        own = tuple(array.copy() for array in arrays)
        modules = named(self.model, self.loss)
        parameters = [p for module in modules.values() for p in vars(module).get("_parameters", {}).values() if p is not None]
        if self.turn == 0:
            self.optimizer.zero_grad()
            for parameter in parameters:
                parameter.stale = True
        last = self.turn == self.accumulate - 1
        before, recording = _State(modules), Recording(modules, own)
        with Shield() as shield:
            try:
                with recording:
                    output = self.model.forward(*own[: -self._targets])
                    value = self.loss.forward(output, *own[-self._targets :])
                    if np.ndim(value):
                        raise TypeError(f'loss must give one number, got an array of shape {np.shape(value)}; use reduction="mean" or "sum"')
                    gradient = self.loss.backward(*(() if self.accumulate == 1 else (1 / self.accumulate,)))
                    self.model.backward(gradient[0] if isinstance(gradient, tuple) else gradient)
                    recording.finish()
                    computed = len(recording.calls)
                    cell = self._checked(recording, value, output)
                    if last:
                        with recording.labelled(Label("", "clip_grad", "update")):
                            self._clip(parameters)
                    clipped = len(recording.record.calls)
                    shield.begin()
                    if last:
                        with recording.labelled(Label("", type(self.optimizer).__name__, "update")):
                            self.optimizer.step()
                    recording.finish()
            except BaseException:
                before.restore()
                shield.end()
                raise
            finally:
                for module in modules.values():
                    module._saved = None
            if cell is None:
                self._eager_output = output
            else:
                commit = recording.calls[clipped] if clipped < len(recording.calls) else None
                ready = assemble(recording, commit, value=cell, output=output, preserve=self._changed(recording, computed, parameters))
                ready.value[...], ready.output[...] = cell, output
                self._keep(ready, modules, parameters)
            self.turn = (self.turn + 1) % self.accumulate
            shield.end()
        return float(value)

    def _checked(self, recording: Recording, value: Any, output: Any) -> Array | None:
        """The cell that the loss was read from, or None where the step cannot be captured and need not be."""
        if self.refused is not None:
            return None
        try:
            cell = next((array for number, array in recording.record.numbers if number is value), None)
            if cell is None:
                raise CaptureError(f"the loss ({type(self.loss).__name__}) cannot be captured: its value is not the result of a loss kernel")
            if not isinstance(output, np.ndarray):
                raise CaptureError(f"the model ({type(self.model).__name__}) cannot be captured in a step: it returns no single array")
            recording.check((output,))
        except CaptureError as error:
            if self.strict:
                raise
            self.refused = error
            return None
        return np.asarray(cell)

    def _changed(self, recording: Recording, computed: int, parameters: list[Any]) -> tuple[Region, ...]:
        """What the first so many calls change for good: statistics, counters, and the gradients that they add to."""
        memory = recording.memory
        overwritten = {memory.add_array(array) for p in parameters for array in arrays_in(p._grad)} if self.turn == 0 else set()
        found: dict[Region, None] = {}
        for call in recording.calls[:computed]:
            for argument, address in call.pointers():
                region = memory.find(address)
                if argument.writes and address != call.stop and region is not None and not region.fresh and region not in overwritten:
                    found[region] = None
        return tuple(found)

    def _keep(self, ready: Ready, modules: dict[str, Module], parameters: list[Any]) -> None:
        """File a plan, and what it holds for: that which is so after its recording."""
        self.cycle[self.turn] = ready
        if 0 < self.turn < self.accumulate - 1:  # the ones in the middle are all alike
            self.cycle[1 : self.accumulate - 1] = [ready] * (self.accumulate - 2)
        groups = self.optimizer.param_groups
        self.watched = Watched([vars(module) for module in modules.values()], parameters, "_saved")
        self.active = [p for p in parameters if not p.stale]
        self.groups = [[group, tensors, tensors.settings, Watched([group], [], "")] for group, tensors in zip(groups, self.optimizer._groups)]

    def _clip(self, parameters: list[Any]) -> None:
        if self.clip_grad_value is not None:
            clip_grad_value_(parameters, self.clip_grad_value)
        if self.clip_grad_norm is not None:
            clip_grad_norm_(parameters, self.clip_grad_norm)

    def refuse(self, inputs: tuple[Any, ...]) -> Any:
        """Raise what the eager forward raises for these inputs."""
        modules = named(self.model, self.loss)
        before = _State(modules)
        try:
            self.loss.forward(self.model.forward(*inputs[: -self._targets]), *inputs[-self._targets :])
        finally:
            before.restore()
            for module in modules.values():
                module._saved = None
        raise RuntimeError("a check of the data failed in a captured step, but not in the eager one")

    # --- many steps ---

    def many(
        self, *inputs: ArrayLike, batch_size: int, order: ArrayLike | None = None, drop_last: bool = False, outputs: Array | None = None,
    ) -> Array:  # fmt: skip
        """One step for each batch of the rows of `inputs` (x …, y); returns the losses, one for each step.

        order: which rows, and in which order; all of them as they are where None. Batch i takes `batch_size` of these from i batch_size on; the last one
        may be smaller, or is left out with `drop_last`. outputs: takes the model's outputs for the rows in that order; or None. Ctrl-C ends
        it after a whole step: `done` says how many there were, `losses` has theirs. Raises ValueError for rows that do not exist.
        """
        self.done = 0
        columns = tuple(map(plain, inputs))
        if len(columns) < 2 or any(column.ndim == 0 for column in columns):
            raise TypeError("many takes arrays of rows: the model's inputs and the target")
        rows = len(columns[0])
        if any(len(column) != rows for column in columns):
            raise ValueError(f"all inputs must have equally many rows, got {[len(column) for column in columns]}")
        if not batch_size >= 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        chosen = None if order is None else _row_numbers(order, rows)
        count = rows if chosen is None else len(chosen)
        sizes = [batch_size] * (count // batch_size) + ([count % batch_size] if count % batch_size and not drop_last else [])
        if outputs is not None and (len(outputs) != sum(sizes) or not outputs.flags.carray):
            raise ValueError(f"outputs must be a C-ordered array of {sum(sizes)} rows, got shape {outputs.shape}")
        losses: list[Array] = []
        made = 0
        self.losses = np.empty(0)
        try:
            while made < len(sizes):
                first = made * batch_size
                part = slice(first, first + sizes[made])
                taken = part if chosen is None else chosen[part]
                if sizes[made] == batch_size and self._is_ready_for(columns, batch_size):
                    steps = count // batch_size - made
                    values = np.empty(steps, self._last().value.dtype)
                    rest = slice(first, first + steps * batch_size)
                    try:
                        refused = self.run_steps(
                            columns if chosen is not None else tuple(column[rest] for column in columns), None if chosen is None else chosen[rest],
                            batch_size, values, None if outputs is None else outputs[rest],
                        )  # fmt: skip
                    finally:
                        losses.append(values[: self.done])
                        made += self.done
                    if refused is not None:
                        bad = slice(first + refused.start, first + refused.stop)
                        self.refuse(tuple(column[bad if chosen is None else chosen[bad]] for column in columns))
                else:
                    losses.append(np.array([self(*(column[taken] for column in columns))], self._last().value.dtype))
                    if outputs is not None:
                        outputs[part] = self._last().output
                    made += 1
        finally:
            self.done = made
            if losses:
                self.losses = np.concatenate(losses)
        return self.losses

    def _is_ready_for(self, columns: tuple[Array, ...], batch_size: int) -> bool:
        """Whether all plans of the cycle for such a batch are at hand, and then `cycle` is that one."""
        batch = tuple(column[:batch_size] for column in columns)
        plans = self._plans.get((1, key_of(batch)), [None])
        if None in plans or not self.is_current() or not all(ready.is_for(batch) for ready in plans if ready is not None):
            return False
        self.cycle, self._targets = plans, 1
        return True

    def _last(self) -> Ready:
        """The plan that was replayed, or recorded, last."""
        ready = self.cycle[self.turn - 1]
        assert ready is not None
        return ready

    def explain(self) -> str:
        """A table of the calls of the last step: module, kernel, sizes, bytes and time of each, measured now on made-up inputs.

        Nothing changes by it. RuntimeError before the first step.
        """
        if self.cycle[self.turn - 1] is None:
            raise RuntimeError("there is nothing to explain before the first step")
        modules = named(self.model, self.loss)
        arrays = [array for module in modules.values() for array in arrays_in(list(vars(module).values()))]
        arrays += [array for tensors in self.optimizer._groups for array in arrays_in([tensors.states, tensors.steps])]
        return profile(self._last(), arrays, f"captured step of {type(self.model).__name__}, {type(self.loss).__name__} and {type(self.optimizer).__name__}")

    @property
    def output(self) -> Array:
        """A copy of the model's output in the last step."""
        if self.cycle[self.turn - 1] is None and self._eager_output is None:
            raise RuntimeError("there is no output before the first step")
        return np.array(self._last().output if self._eager_output is None else self._eager_output)


def _row_numbers(order: ArrayLike, rows: int) -> Array:
    """`order` as int64 numbers of existing rows."""
    chosen = np.asarray(order)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise TypeError(f"order must be a one-dimensional array of integers, got shape {chosen.shape} and dtype {chosen.dtype}")
    if chosen.size and not (0 <= chosen.min() and chosen.max() < rows):
        raise ValueError(f"order must hold rows from 0 to {rows - 1}, got {chosen.min()} to {chosen.max()}")
    return np.require(chosen, np.int64, ("C", "A"))


class _State:
    """What a forward changes of modules for good, to be put back after one that failed."""

    def __init__(self, modules: dict[str, Module]) -> None:
        self._buffers = [(b, b.copy()) for m in modules.values() for b in vars(m).get("_buffers", {}).values() if b is not None]
        self._extra: list[tuple[Any, Array]] = [(m, m.extra_state()) for m in modules.values() if hasattr(m, "extra_state")]

    def restore(self) -> None:
        for buffer, before in self._buffers:
            buffer[...] = before
        for module, state in self._extra:
            module.load_extra_state(state)
