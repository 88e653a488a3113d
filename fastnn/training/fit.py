"""The training loop, and evaluation and prediction in batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastnn.data import DataLoader
from fastnn.nn.module import Array, Module, mode
from fastnn.optim import Optimizer
from fastnn.random import Rng
from fastnn.training.batches import Data, as_batches, parts, positive
from fastnn.training.callbacks import Callback, FitState, LearningRateSchedule
from fastnn.training.history import History, Unfinished
from fastnn.captured.interrupts import Shield
from fastnn.training.mean import Mean
from fastnn.training.metrics import Metrics
from fastnn.training.report import Report
from fastnn.training.state import Snapshot
from fastnn.training.steps import Step, Steps


def fit(
    model: Module, loss: Any, optimizer: Optimizer, data: Data, epochs: int = 10, *, validation: Data | None = None, metrics: Metrics = (),
    callbacks: Iterable[Callback] = (), batch_size: int = 32, shuffle: bool = True, rng: Rng = None, scheduler: Any = None,
    clip_grad_norm: float | None = None, history: History | None = None, verbose: bool = True, progress: bool | None = None,
) -> History:  # fmt: skip
    """Train `model` for `epochs` epochs; returns the History of loss and metrics, with "val_" before those on the validation data.

    loss: `loss(output, target)` gives a number and `loss.backward()` the gradient of output. data: a DataLoader, a tuple of arrays (x, y), or an
    iterable of batches (inputs …, target); batch_size, shuffle and rng are for the tuple. validation: the same, evaluated after each epoch.
    metrics: names ("accuracy", see fastnn.training.metrics) or functions (output, target) → mean over the batch.
    scheduler: a learning-rate schedule, stepped after each epoch (OneCycleLR after each batch), or a LearningRateSchedule.
    clip_grad_norm: the largest norm of all gradients together. history: one to go on with; its epochs count in `epochs`.
    verbose: print a line per epoch. progress: a bar on stderr; None shows it on a terminal when verbose.

    Steps are captured (see fastnn.capture) where that is possible, with the same bits; where it is not, a line says why.

    Modes are put back at the end. An exception, Ctrl-C included, leaves model and optimizer as they were after the last whole step, and `history` with the
    whole epochs. Raises ValueError for empty data.
    """
    epochs = positive(epochs, "epochs", 0)
    if not isinstance(model, Module):
        raise TypeError(f"model must be a Module, got {type(model).__name__}")
    if clip_grad_norm is not None and not clip_grad_norm > 0:
        raise ValueError(f"clip_grad_norm must be greater than 0, got {clip_grad_norm}")
    batches = as_batches(data, "data", batch_size, shuffle, rng)
    held_out = None if validation is None else as_batches(validation, "validation", max(batch_size, 256))
    mean = Mean(loss, metrics)
    schedule = scheduler if scheduler is None or isinstance(scheduler, LearningRateSchedule) else LearningRateSchedule(scheduler)
    history = History() if history is None else history
    state = FitState(model, loss, optimizer, batches, history, epochs, scheduler=None if schedule is None else schedule.scheduler)
    observers = ([] if schedule is None else [schedule], list(callbacks))
    rows = min(len(batches) * batches.batch_size, batches.rows) if isinstance(batches, DataLoader) else None
    report = Report(verbose, progress, epochs, None if rows is None else rows * max(epochs - history.epochs, 0))
    needed = model.needs_input_grad
    try:
        model.needs_input_grad = False
        with Shield() as shield, mode(True, model, loss):
            _call(observers, "on_fit_begin", state)
            steps = Steps(state, shield, observers[0], observers[1], mean, clip_grad_norm, report.note)
            while history.epochs < epochs and not state.stop:
                _epoch(state, mean, observers, steps, report)
                if held_out is not None:
                    state.logs.update(_evaluate(model, loss, held_out, mean, "val_"))
                if schedule is not None:
                    state.logs["lr"] = optimizer.param_groups[0]["lr"]
                _call(observers, "on_epoch_end", state)
                shown = {name: value for name, value in state.logs.items() if name != "lr"}
                history.append(**state.logs)
                history.unfinished = None
                report.epoch(history.epochs, shown, state.seconds)
                _call(observers, "on_epoch_recorded", state)
            _call(observers, "on_fit_end", state)
    finally:
        model.needs_input_grad = needed
        report.close()
    return history


def _call(observers: tuple[list[Any], list[Callback]], point: str, state: FitState) -> None:
    for group in observers:
        for callback in group:
            getattr(callback, point)(state)


def _epoch(state: FitState, mean: Mean, observers: Any, steps: Steps, report: Report) -> None:
    """Run one epoch, or what a resumed loader has left of it; its metrics are then in state.logs."""
    state.epoch, state.logs = state.history.epochs, {}
    _call(observers, "on_epoch_begin", state)
    begin = time.perf_counter()
    loader, history = state.loader, state.history
    mean.reset()
    complete = False
    kept, history.unfinished = history.unfinished, None
    if kept is not None and isinstance(loader, DataLoader) and kept.place == loader.state_dict():
        mean.load_state(kept.mean)
        complete = kept.complete
    for _ in range(2):  # a second time if a resumed loader had nothing left
        if not complete:
            snapshot = Snapshot(state.model, loader)
            try:
                _batches(state, observers[1], steps.of_epoch(snapshot), report)
            except BaseException:
                snapshot.rewind_loader()
                _keep(state, mean, complete=False)
                raise
            complete = bool(mean.rows)
    if not complete:
        raise ValueError("data is empty: it gave no rows")
    _keep(state, mean, complete=True)
    state.seconds = time.perf_counter() - begin
    state.logs = mean.values()


def _keep(state: FitState, mean: Mean, complete: bool) -> None:
    """Have a run that goes on with this history know what the steps of the epoch that it has not recorded yet gave."""
    if isinstance(state.loader, DataLoader):
        state.history.unfinished = Unfinished(state.loader.state_dict(), mean.state(), complete)


def _batches(state: FitState, callbacks: list[Callback], steps: Iterable[Step], report: Report) -> None:
    """See to what comes after each step of an epoch."""
    for value, rows in steps:
        report.advance(rows)
        if not math.isfinite(value):
            report.warn(f"the loss became {value} in epoch {state.epoch + 1}, batch {state.batch + 1}; a smaller learning rate or "
                        "clip_grad_norm may help, and the callback TerminateOnNaN ends such a run")
        for callback in callbacks:
            callback.on_batch_end(state)


def evaluate(model: Module, loss: Any, data: Data, metrics: Metrics = (), batch_size: int = 256) -> dict[str, float]:
    """The loss and the metrics of `model` on `data`, in evaluation mode: {"loss": …, "accuracy": …}.

    data, metrics: as for fit. Each is the mean over rows of the batches' values.
    """
    return _evaluate(model, loss, as_batches(data, "data", batch_size), Mean(loss, metrics), "")


def _evaluate(model: Module, loss: Any, batches: Iterable[Any], mean: Mean, prefix: str) -> dict[str, float]:
    mean.reset()
    with mode(False, model, loss):
        for batch in batches:
            inputs, target = parts(batch, "data")
            output = model.forward(*inputs)
            mean.add(mean.number(loss(output, target)), output, np.asarray(target))
    if not mean.rows:
        raise ValueError("data is empty: it gave no batch")
    return mean.values(prefix)


def predict(model: Module, x: Any, batch_size: int = 1024) -> Array:
    """The outputs of `model` for the rows of `x`, (rows, …), in evaluation mode; the bits do not depend on `batch_size`.

    x: an array, or a tuple of arrays for a model with several inputs. Several threads may predict with one model that is in evaluation mode.
    """
    step = positive(batch_size, "batch_size")
    columns = tuple(np.asarray(column) for column in (x if isinstance(x, tuple) else (x,)))
    if not columns or any(column.ndim == 0 for column in columns):
        raise ValueError("x must have a first dimension of rows")
    rows = len(columns[0])
    if any(len(column) != rows for column in columns):
        raise ValueError(f"all arrays of x must have equally many rows, got {[len(column) for column in columns]}")
    with mode(False, model):
        first = model.forward(*(column[:step] for column in columns))
        if rows <= step:
            return first  # type: ignore[no-any-return]
        output = np.empty((rows, *first.shape[1:]), first.dtype)
        output[:step] = first
        for start in range(step, rows, step):
            output[start : start + step] = model.forward(*(column[start : start + step] for column in columns))
    return output
