"""The record of a training run: one row of metrics for each epoch, and the picture of its learning curves."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["History"]

# blue and vermilion of Okabe and Ito's palette, which colour-blind readers tell apart; their lightness differs too
_TRAINING, _VALIDATION, _GREY = "#0072B2", "#D55E00", "#666666"


class Unfinished(NamedTuple):
    """What the steps of an epoch gave that is not recorded yet: the loader's place after them, the state of their means, whether they were all."""

    place: dict[str, Any]
    mean: tuple[int, float, list[float]]
    complete: bool


class History:
    """Metrics by epoch: ``history["loss"]`` is the list of the training losses, ``history["val_loss"]`` of those on the validation data.

    ``append(loss=…, val_loss=…)`` adds an epoch, ``epochs`` (and ``len``) counts them, ``history[i]`` is epoch i as a dict, and iterating gives
    the epochs in turn. A metric that an epoch did not record is None there.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[float | None]] = {}
        self.epochs = 0
        self.unfinished: Unfinished | None = None

    def append(self, **metrics: float) -> None:
        """Add an epoch with its metrics, each a number."""
        numbers = {}
        for name, value in metrics.items():
            try:
                numbers[name] = float(value)
            except (TypeError, ValueError):
                raise TypeError(f"Metric {name} must be a number, but is {value!r}.") from None
        for name in numbers:
            self._columns.setdefault(name, [None] * self.epochs)
        for name, column in self._columns.items():
            column.append(numbers.get(name))
        self.epochs += 1

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the recorded metrics, in the order in which they came."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return self.epochs

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, key: str | int) -> Any:
        """Return a metric's values by its name, or an epoch's metrics by its number (negative ones count from the end)."""
        if isinstance(key, str):
            if key not in self._columns:
                raise KeyError(f"No metric {key!r} was recorded; there are: {', '.join(self._columns) or 'none'}.")
            return list(self._columns[key])
        if not -self.epochs <= key < self.epochs:
            raise IndexError(f"Epoch {key} was not recorded; there are {self.epochs}.")
        return {name: column[key] for name, column in self._columns.items()}

    def __iter__(self) -> Iterator[dict[str, float | None]]:
        return (self[i] for i in range(self.epochs))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and (self.epochs, self._columns) == (other.epochs, other._columns)

    def __repr__(self) -> str:
        last = "" if not self.epochs else "; last: " + ", ".join(f"{k}={v:.4g}" for k, v in self[-1].items() if v is not None)
        return f"History({self.epochs} epochs{last})"

    def best_epoch(self) -> int | None:
        """Return the epoch, counted from 0, of the lowest validation loss (training loss where there is none), or None if there is no loss."""
        losses = self._columns.get("val_loss") or self._columns.get("loss") or []
        finite = [i for i, loss in enumerate(losses) if loss is not None and math.isfinite(loss)]
        return min(finite, key=lambda i: losses[i]) if finite else None  # type: ignore[arg-type, return-value]

    def to_dict(self) -> dict[str, list[float | None]]:
        """Return {metric: its value in each epoch}."""
        return {name: list(column) for name, column in self._columns.items()}

    @classmethod
    def from_dict(cls, columns: Mapping[str, Sequence[float | None]]) -> History:
        """Return the history that `to_dict()` described; raise ValueError if the metrics have different numbers of epochs."""
        lengths = {name: len(column) for name, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"All metrics must have equally many epochs, but they have {lengths}.")
        history = cls()
        history.epochs = max(lengths.values(), default=0)
        history._columns = {name: [None if v is None else float(v) for v in column] for name, column in columns.items()}
        return history

    def replace(self, other: History) -> None:
        """Become a copy of another history."""
        self._columns, self.epochs = other.to_dict(), other.epochs

    def to_json(self) -> str:
        """Return the history as JSON; NaN and infinity are written as Python's json module does."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> History:
        """Return the history that `to_json()` wrote."""
        columns = json.loads(text)
        if not isinstance(columns, dict) or not all(isinstance(column, list) for column in columns.values()):
            raise ValueError("A history in JSON is an object with a list of numbers for each metric.")
        return cls.from_dict(columns)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw loss and accuracy by epoch, as far as they were recorded; return matplotlib's Figure.

        path: also write the picture there (PNG, or what the ending says). Raises ImportError without matplotlib, ValueError if
        neither loss nor accuracy was recorded.
        """
        from fastnn.training.pictures import new_figure

        panels = [name for name in ("loss", "accuracy") if name in self or f"val_{name}" in self]
        if not panels or not self.epochs:
            raise ValueError("There is nothing to plot: neither loss nor accuracy was recorded.")

        figure = new_figure(5.2 * len(panels), 3.6, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1)
        for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
            self._draw(axes, name)
        if path is not None:
            figure.savefig(Path(path))
        return figure

    def _draw(self, axes: Any, name: str) -> None:
        """Draw one panel: the curves, each labelled at its end in its own colour, and the best epoch."""
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        epochs = range(1, self.epochs + 1)
        curves = [(label, colour, [math.nan if v is None else v for v in self._columns[key]])
                  for key, label, colour in ((name, "training", _TRAINING), (f"val_{name}", "validation", _VALIDATION)) if key in self]
        marker = "o" if self.epochs <= 30 else ""
        for _, colour, values in curves:
            axes.plot(epochs, values, color=colour, linewidth=1.8, marker=marker, markersize=3, clip_on=False, zorder=3)
        axes.set_title(name.capitalize(), loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("epoch", fontsize=9, color=_GREY)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
        axes.set_xlim(1, max(self.epochs, 2))
        axes.grid(axis="y", color="#E4E4E4", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color("#BBBBBB")
        axes.tick_params(length=0, labelsize=9, colors=_GREY)

        best = self.best_epoch()
        if best is not None and self.epochs > 1:
            axes.axvline(best + 1, color="#999999", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
            values = curves[-1][2]
            if math.isfinite(values[best]):
                axes.plot([best + 1], [values[best]], marker="o", markersize=6.5, markerfacecolor="white", markeredgewidth=1.6,
                          color=curves[-1][1], clip_on=False, zorder=4)
            right = best + 1 > (self.epochs + 1) / 2
            top = name == "loss"  # the corner that the curve leaves free
            axes.annotate(f"best epoch {best + 1}", (best + 1, 1 if top else 0.03), xycoords=("data", "axes fraction"),
                          xytext=(-5 if right else 5, 0), textcoords="offset points", ha="right" if right else "left",
                          va="top" if top else "bottom", fontsize=8, color=_GREY)

        # labels at the ends of the curves, moved apart where the curves end close together
        ends = [(next((v for v in reversed(values) if math.isfinite(v)), math.nan), label, colour) for label, colour, values in curves]
        ends = sorted((end for end in ends if math.isfinite(end[0])), key=lambda end: end[0])
        low, high = axes.get_ylim()
        heights = [(end[0] - low) / (high - low) for end in ends]
        if len(heights) == 2 and heights[1] - heights[0] < 0.13:
            middle = min(max(sum(heights) / 2, 0.04), 0.96)
            heights = [middle - 0.065, middle + 0.065]
        for height, (value, label, colour) in zip(heights, ends):
            text = f"{label}\n{value:.1%}" if name == "accuracy" else f"{label}\n{value:.3g}"
            axes.annotate(text, (1, height), xycoords="axes fraction", xytext=(8, 0), textcoords="offset points", va="center",
                          fontsize=8.5, linespacing=1.1, color=colour, annotation_clip=False)
