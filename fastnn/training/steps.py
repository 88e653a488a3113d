"""The training steps of an epoch: captured where that is possible, else eager. Both leave whole steps behind, whatever ends them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastnn.captured import CapturedStep, CaptureError
from fastnn.data import DataLoader
from fastnn.nn.utils import clip_grad_norm_
from fastnn.training.batches import parts
from fastnn.training.callbacks import Callback, FitState
from fastnn.captured.interrupts import Shield
from fastnn.training.mean import Mean
from fastnn.training.state import Snapshot

SECONDS_PER_CHUNK = 0.05  # of steps that run without coming back to Python

Step = tuple[float, int]  # what a step gives: its loss, and how many rows it had


class Steps:
    """Makes the steps of a run, and adds what they give to a mean. note: told, in one line, why steps are not captured.

    An interrupt finds a step either unmade, or made, counted and added.
    """

    def __init__(
        self, state: FitState, shield: Shield, schedule: list[Any], callbacks: list[Callback], mean: Mean, clip_grad_norm: float | None,
        note: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.state, self.shield, self.schedule, self.mean = state, shield, schedule, mean
        self.clip_grad_norm, self.note = clip_grad_norm, note
        self._wants_output = bool(mean.functions)
        watched = [*callbacks, *(callback for callback in schedule if callback.every == "batch")]
        self._by_one = any(type(callback).on_batch_end is not Callback.on_batch_end for callback in watched)
        self._seconds = SECONDS_PER_CHUNK  # of one step, as far as is known
        self._captured: CapturedStep | None = None
        try:
            self._captured = CapturedStep(state.model, state.loss, state.optimizer, clip_grad_norm=clip_grad_norm, strict=False)
        except CaptureError as error:
            self._give_up(error)

    def _give_up(self, error: CaptureError) -> None:
        self._captured = None
        self.note(f"steps are not captured, but run eagerly: {error}")

    def of_epoch(self, snapshot: Snapshot) -> Iterator[Step]:
        """Make the steps of the loader's epoch, giving each when it is whole."""
        loader = self.state.loader
        if isinstance(loader, DataLoader) and loader.transform is None and not self._by_one:
            yield from self._in_chunks(loader, snapshot)
            return
        for self.state.batch, batch in enumerate(loader):
            yield self._one(batch, snapshot)

    # --- one step ---

    def _one(self, batch: Any, snapshot: Snapshot) -> Step:
        inputs, target = parts(batch, "data")
        step = self._captured
        if step is None:
            return self._eager(inputs, target, snapshot)
        self.shield.begin()
        try:
            value = step(*inputs, target)
            rows = self._made(value, step.output if self._wants_output else None, target, snapshot)
            if step.refused is not None:
                self._give_up(step.refused)
        finally:
            self.shield.end()
        return value, rows

    def _eager(self, inputs: tuple[Any, ...], target: Any, snapshot: Snapshot) -> Step:
        model, loss, optimizer = self.state.model, self.state.loss, self.state.optimizer
        snapshot.before_step()
        try:
            output = model.forward(*inputs)
            value = self.mean.number(loss(output, target))
            optimizer.zero_grad()
            model.backward(loss.backward())
            if self.clip_grad_norm is not None:
                clip_grad_norm_(model.parameters(), self.clip_grad_norm)
            self.shield.begin()
        except BaseException:
            snapshot.undo_step()
            optimizer.zero_grad()
            raise
        try:
            optimizer.step()
            rows = self._made(value, output, target, snapshot)
        finally:
            self.shield.end()
        return value, rows

    def _made(self, value: float, output: Any, target: Any, snapshot: Snapshot) -> int:
        """Count a step; returns its rows."""
        self.state.batch_loss = value
        for callback in self.schedule:
            callback.on_batch_end(self.state)
        self.state.step += 1
        snapshot.after_step()
        return self.mean.add(value, output, np.asarray(target))

    # --- many at a time ---

    def _in_chunks(self, loader: DataLoader, snapshot: Snapshot) -> Iterator[Step]:
        """Steps between which nobody needs Python: as many at a time as take SECONDS_PER_CHUNK."""
        batch, chunk = 0, []
        for rows in loader.indices():
            if self._captured is None:
                self.state.batch = batch
                yield self._one(loader.take(rows), snapshot)
                batch += 1
                continue
            chunk.append(rows)
            if len(chunk) >= SECONDS_PER_CHUNK / self._seconds or loader.position == len(loader):
                for step in self._chunk(loader, chunk, snapshot):
                    self.state.batch = batch
                    yield step
                    batch += 1
                chunk = []

    def _chunk(self, loader: DataLoader, chunk: list[Any], snapshot: Snapshot) -> list[Step]:
        step, begin = self._captured, time.perf_counter()
        assert step is not None
        if len(chunk) == 1:
            made = [self._one(loader.take(chunk[0]), snapshot)]
        else:
            made = self._many(step, loader, chunk, snapshot)
        self._seconds = (time.perf_counter() - begin) / len(chunk)
        return made

    def _many(self, step: CapturedStep, loader: DataLoader, chunk: list[Any], snapshot: Snapshot) -> list[Step]:
        if isinstance(chunk[0], slice):
            columns, order = loader.take(slice(chunk[0].start, chunk[-1].stop)), None
        else:
            columns, order = loader.arrays, np.concatenate(chunk)
        sizes = [rows.stop - rows.start if isinstance(rows, slice) else len(rows) for rows in chunk]
        outputs = np.empty((sum(sizes), *step.output.shape[1:]), step.output.dtype) if self._wants_output else None
        first = loader.position - len(chunk)
        made: list[Step] = []
        self.shield.begin()
        try:
            step.many(*columns, batch_size=loader.batch_size, order=order, outputs=outputs)
        finally:
            self.state.step += step.done
            snapshot.after_step(None if step.done == len(chunk) else first + step.done)
            at = 0
            for size, value in zip(sizes, map(float, step.losses)):
                rows = slice(at, at + size)
                target = columns[-1][rows] if order is None else columns[-1][order[rows]]
                made.append((value, self.mean.add(value, None if outputs is None else outputs[rows], target)))
                self.state.batch_loss = value
                at += size
            self.shield.end()
        return made
