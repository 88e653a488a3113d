"""Saving and loading: a model's arrays, or all that a training run needs to go on bit for bit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastnn.nn.module import Array, Module
from fastnn.optim import Optimizer
from fastnn.training.files import read_file, write_file
from fastnn.training.history import History
from fastnn.training.state import extra_states, load_extra_states

Path = str | os.PathLike[str]


def save(model: Module, path: Path, metadata: Any = None) -> None:
    """Write the model's parameters and buffers to `path`, atomically, as a safetensors file.

    metadata: anything JSON can hold, kept with it (see load_metadata).
    """
    write_file(path, model.state_dict(), "model", metadata)


def load_state(path: Path) -> dict[str, Array]:
    """The state_dict in a file of `save`, the model's part of one of `save_checkpoint`, or the arrays of another program's safetensors file.

    Raises FileNotFoundError, and ValueError naming the file if it is cut short or damaged.
    """
    arrays, kind, _ = read_file(path)
    return _under("model.", arrays) if kind == "checkpoint" else arrays


def load(model: Module, path: Path, strict: bool = True) -> None:
    """Read the model's parameters and buffers from `path`; the model stays as it is unless all of them fit.

    strict: whether names must be the same on both sides. Raises as load_state does, and ValueError naming the file if names or shapes do not fit.
    """
    _load_model(model, load_state(path), path, strict)


def load_metadata(path: Path) -> Any:
    """What was given to `save` as metadata."""
    return read_file(path)[2]


def _load_model(model: Module, state: Mapping[str, Array], path: Path, strict: bool = True) -> None:
    try:
        model.load_state_dict(state, strict)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{os.fspath(path)} does not fit the model: {error.args[0]}") from error


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name[len(prefix) :]: array for name, array in arrays.items() if name.startswith(prefix)}


# --- whole runs ---


def save_checkpoint(
    path: Path, model: Module, optimizer: Optimizer | None = None, scheduler: Any = None, loader: Any = None, history: History | None = None,
    metadata: Any = None,
) -> None:  # fmt: skip
    """Write a run to `path`, atomically: the model with its dropout counters and, of what is given, the optimizer, the schedule, the loader and the history.

    A run that has loaded it goes on with the bits that an uninterrupted run has.
    """
    arrays: dict[str, Any] = {f"model.{name}": array for name, array in model.state_dict().items()}
    arrays.update((f"extra.{name}", array) for name, array in extra_states(model).items())
    about: dict[str, Any] = {"metadata": metadata}
    if optimizer is not None:
        state = optimizer.state_dict()
        numbers: dict[str, dict[str, Any]] = {}
        for index, values in state["state"].items():
            numbers[str(index)] = {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}
            arrays.update((f"optimizer.{index}.{name}", value) for name, value in values.items() if isinstance(value, np.ndarray))
        about["optimizer"] = {"type": type(optimizer).__name__, "state": numbers, "param_groups": state["param_groups"]}
    if scheduler is not None:
        about["scheduler"] = {"type": type(scheduler).__name__, "state": scheduler.state_dict()}
    if loader is not None:
        about["loader"] = loader.state_dict()
    if history is not None:
        about["history"] = history.to_dict()
    write_file(path, arrays, "checkpoint", about)


def load_checkpoint(
    path: Path, model: Module, optimizer: Optimizer | None = None, scheduler: Any = None, loader: Any = None, history: History | None = None
) -> History:
    """Take over a run from a file of save_checkpoint; returns its history, also in `history` if one is given.

    Each of the arguments takes over its part; one that the file does not hold is a ValueError. After
    `history = load_checkpoint(…)`, `fit(…, history=history)` goes on as the saved run would have.
    """
    name = os.fspath(path)
    arrays, kind, about = read_file(path)
    if kind != "checkpoint":
        raise ValueError(f"{name} is not a checkpoint of a run" + (" but a model: read it with fastnn.load" if kind == "model" else ""))
    for what, taker in (("optimizer", optimizer), ("scheduler", scheduler), ("loader", loader)):
        if taker is None:
            continue
        if what not in about:
            raise ValueError(f"{name} was saved without {'an' if what[0] in 'aeiou' else 'a'} {what}")
        kept = about[what].get("type", type(taker).__name__)
        if kept != type(taker).__name__:
            raise ValueError(f"{name} was saved with a {kept} as its {what}, got a {type(taker).__name__}")
    _load_model(model, _under("model.", arrays), path)
    try:
        load_extra_states(model, _under("extra.", arrays))
        if optimizer is not None:
            saved = about["optimizer"]
            state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in saved["state"].items()}
            for key, array in _under("optimizer.", arrays).items():
                index, _, field = key.partition(".")
                state[int(index)][field] = array
            optimizer.load_state_dict({"state": state, "param_groups": [_tuples(group) for group in saved["param_groups"]]})
        if scheduler is not None:
            scheduler.load_state_dict(about["scheduler"]["state"])
        if loader is not None:
            loader.load_state_dict(about["loader"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{name} does not fit the run: {error}") from error
    loaded = History.from_dict(about.get("history", {}))
    if history is None:
        return loaded
    history.replace(loaded)
    return history


def _tuples(group: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter group as it was before JSON made its tuples lists."""
    return {key: tuple(value) if isinstance(value, list) and key != "params" else value for key, value in group.items()}
