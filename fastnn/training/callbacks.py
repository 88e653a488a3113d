"""Callbacks: objects that fit calls at the beginnings and ends of runs, epochs and batches."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastnn.training.history import History

if TYPE_CHECKING:
    from fastnn.nn.module import Array, Module
    from fastnn.optim import LRScheduler, Optimizer


@dataclass
class FitState:
    """What a callback sees of a run. Setting `stop` ends it after the epoch.

    epoch: the current epoch, counted from 0 over the whole history. batch: the current one of the epoch, from 0. step: steps taken in this run.
    batch_loss: the loss of the last batch. logs: the metrics of the epoch, at its end (a callback may add to them: they get into the history).
    """

    model: Module
    loss: Any
    optimizer: Optimizer
    loader: Any
    history: History
    epochs: int
    scheduler: LRScheduler | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    batch_loss: float = math.nan
    seconds: float = 0.0
    logs: dict[str, float] = field(default_factory=dict)
    stop: bool = False


class Callback:
    """Does nothing at each of fit's points; subclasses override those they need.

    on_epoch_end comes after the epoch's validation and before its entry in the history, on_epoch_recorded after it.
    on_fit_end comes when a run ends by itself or by `stop`, not when an exception ends it.
    """

    def on_fit_begin(self, state: FitState) -> None: ...

    def on_epoch_begin(self, state: FitState) -> None: ...

    def on_batch_end(self, state: FitState) -> None: ...

    def on_epoch_end(self, state: FitState) -> None: ...

    def on_epoch_recorded(self, state: FitState) -> None: ...

    def on_fit_end(self, state: FitState) -> None: ...


class _Watching(Callback):
    """Knows whether a metric is better than the best before it. A NaN is never better."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {mode!r}")
        if not min_delta >= 0:
            raise ValueError(f"min_delta must be at least 0, got {min_delta}")
        self.monitor, self.min_delta = monitor, float(min_delta)
        self.mode = mode if mode != "auto" else "max" if monitor.endswith("accuracy") else "min"
        self.best: float | None = None

    def value(self, state: FitState) -> float:
        if self.monitor not in state.logs:
            raise ValueError(f"{type(self).__name__} watches {self.monitor!r}, but an epoch has {', '.join(state.logs)}"
                             + ("; give fit validation data" if self.monitor.startswith("val_") else ""))
        return state.logs[self.monitor]

    def improves(self, value: float | None) -> bool:
        """Whether `value` is better than the best by more than min_delta; it is the best from then on."""
        if value is None or math.isnan(value):
            return False
        gain = math.inf if self.best is None else value - self.best if self.mode == "max" else self.best - value
        if not gain > self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(_Watching):
    """Ends a run when `monitor` has not become better, by more than min_delta, for `patience` epochs in a row.

    mode: "min" or "max", the direction that is better; "auto" takes "max" for accuracies. restore_best: at the end give the model the
    parameters and buffers of the best epoch of this run. A continued history counts: its epochs are looked at first.
    """

    def __init__(self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, mode: str = "auto", restore_best: bool = True) -> None:
        super().__init__(monitor, mode, min_delta)
        if patience < 0:
            raise ValueError(f"patience must be at least 0, got {patience}")
        self.patience, self.restore_best = patience, restore_best
        self.waited = 0
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None
        self._best_state: dict[str, Array] | None = None

    def on_fit_begin(self, state: FitState) -> None:
        self.best, self.best_epoch, self.stopped_epoch, self._best_state, self.waited = None, None, None, None, 0
        for epoch, values in enumerate(state.history):
            self._note(epoch, values.get(self.monitor))

    def _note(self, epoch: int, value: float | None) -> bool:
        better = self.improves(value)
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best_epoch = epoch
        return better

    def on_epoch_end(self, state: FitState) -> None:
        if self._note(state.epoch, self.value(state)) and self.restore_best:
            self._best_state = state.model.state_dict()
        if self.waited >= max(self.patience, 1):
            self.stopped_epoch, state.stop = state.epoch, True

    def on_fit_end(self, state: FitState) -> None:
        if self._best_state is not None:
            state.model.load_state_dict(self._best_state)
            self._best_state = None


class BestCheckpoint(_Watching):
    """Saves the model to `path` (see fastnn.save) whenever `monitor` has become better; `mode` as for EarlyStopping."""

    def __init__(self, path: str | os.PathLike[str], monitor: str = "val_loss", mode: str = "auto", metadata: Any = None) -> None:
        super().__init__(monitor, mode)
        self.path, self.metadata = path, metadata

    def on_fit_begin(self, state: FitState) -> None:
        self.best = None
        for values in state.history:
            self.improves(values.get(self.monitor))

    def on_epoch_end(self, state: FitState) -> None:
        from fastnn.training.checkpoint import save

        if self.improves(self.value(state)):
            save(state.model, self.path, metadata=self.metadata)


class Checkpoint(Callback):
    """Saves all that a run needs to go on (see fastnn.save_checkpoint) to `path` after every `every` epochs and at the end."""

    def __init__(self, path: str | os.PathLike[str], every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.path, self.every = path, every
        self._saved_epochs = -1

    def on_epoch_recorded(self, state: FitState) -> None:
        if state.history.epochs % self.every == 0:
            self._save(state)

    def on_fit_end(self, state: FitState) -> None:
        if self._saved_epochs != state.history.epochs:
            self._save(state)

    def _save(self, state: FitState) -> None:
        from fastnn.training.checkpoint import save_checkpoint

        loader = state.loader if hasattr(state.loader, "state_dict") else None
        save_checkpoint(self.path, state.model, state.optimizer, scheduler=state.scheduler, loader=loader, history=state.history)
        self._saved_epochs = state.history.epochs


class TerminateOnNaN(Callback):
    """Ends a run with a FloatingPointError as soon as a batch's loss is NaN or infinite."""

    def on_batch_end(self, state: FitState) -> None:
        if not math.isfinite(state.batch_loss):
            raise FloatingPointError(f"the loss became {state.batch_loss} in epoch {state.epoch + 1}, batch {state.batch + 1}; "
                                     "a smaller learning rate or clip_grad_norm may help")


class LearningRateSchedule(Callback):
    """Steps a schedule after every epoch, or with every="batch" after every batch.

    every: None takes "batch" for OneCycleLR, which is made for it, and "epoch" for all others. A ReduceLROnPlateau is given `monitor`: None
    takes "val_loss", or "loss" without validation.
    """

    def __init__(self, scheduler: Any, every: str | None = None, monitor: str | None = None) -> None:
        from fastnn.optim import OneCycleLR, ReduceLROnPlateau

        if every not in (None, "epoch", "batch"):
            raise ValueError(f"every must be 'epoch' or 'batch', got {every!r}")
        if not hasattr(scheduler, "step"):
            raise TypeError(f"scheduler must be a learning-rate schedule, got {type(scheduler).__name__}")
        self.scheduler, self.monitor = scheduler, monitor
        self.every = every or ("batch" if isinstance(scheduler, OneCycleLR) else "epoch")
        self._plateau = isinstance(scheduler, ReduceLROnPlateau)
        if self._plateau and self.every == "batch":
            raise ValueError("ReduceLROnPlateau watches an epoch's metric, so it cannot be stepped after every batch")

    def on_batch_end(self, state: FitState) -> None:
        if self.every == "batch":
            self.scheduler.step()

    def on_epoch_end(self, state: FitState) -> None:
        if self._plateau:
            name = self.monitor or ("val_loss" if "val_loss" in state.logs else "loss")
            if name not in state.logs:
                raise ValueError(f"LearningRateSchedule watches {name!r}, but an epoch has {', '.join(state.logs)}")
            self.scheduler.step(state.logs[name])
        elif self.every == "epoch":
            self.scheduler.step()
