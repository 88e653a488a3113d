"""What counts epochs and batches, and goes on from a saved count."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

__all__ = ["Epochs"]

T = TypeVar("T")


class Epochs:
    """The part of a source of batches that knows which of them comes next. Batches are a function of `seed`, `epoch` and their number."""

    _fixed: tuple[str, ...] = ()  # the attributes, numbers, in which two sources must agree for one to go on where the other was

    def _begin(self, seed: int) -> None:
        self.seed = _integer("seed", seed, 0, 2**64 - 1)
        self.epoch = 0      # the epoch that runs, or else the next one
        self.position = 0   # how many of its batches have been given out
        self._resuming = False

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def _coming_epoch(self) -> int:
        return self.epoch + (self.position > 0 and not self._resuming)

    def _epoch(self, things: Callable[[int, range], Iterator[T]]) -> Iterator[T]:
        """Run one epoch, giving what `things` makes of its number and the numbers of its batches."""
        self.epoch, start = self._coming_epoch(), self.position if self._resuming else 0
        self._resuming, self.position = False, start
        epoch = self.epoch
        for i, thing in enumerate(things(epoch, range(start, len(self))), start):
            if self.epoch == epoch:
                self.position = i + 1
            yield thing
        if self.epoch == epoch:
            self.epoch, self.position = epoch + 1, 0

    def state_dict(self) -> dict[str, int | bool]:
        """Return the state: plain numbers, from which the next batch and all later ones follow."""
        return {name: getattr(self, name) for name in ("seed", "epoch", "position", *self._fixed)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state; the next loop gives out what is left of its epoch. ValueError if it is not one of a source like this."""
        kind, names = type(self).__name__, ("seed", "epoch", "position", *self._fixed)
        if set(state) != set(names):
            raise ValueError(f"The state of a {kind} has the entries {sorted(names)}, but this one has {sorted(state)}.")
        for name in self._fixed:
            if state[name] != getattr(self, name):
                raise ValueError(f"The state belongs to a {kind} with {name}={state[name]}, but this one has {name}={getattr(self, name)}.")
        seed, epoch = _integer("seed", state["seed"], 0, 2**64 - 1), _integer("epoch", state["epoch"], 0)
        position = _integer("position", state["position"], 0, len(self))
        self.seed, self.epoch, self.position, self._resuming = seed, epoch, position, True


def _integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, but is {value!r} of type {type(value).__name__}.") from None
    if number < least or (most is not None and number > most):
        raise ValueError(f"{name} must be at least {least}" + ("" if most is None else f" and at most {most}") + f", but is {number}.")
    return number
