"""The results as a picture: a bar for each group and peer, from 1× to the median ratio, in a column for each number of threads.

A thin line spans the lowest and the highest ratio of the group, a dark tick marks the target. Above them is the share of the
processor's multiply-add peak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from fastnn.bench.harness import Row
from fastnn.bench.report import describe, groups, headline, ratio

COLOURS = {
    "FMA peak": "#3B6FB6", "numpy": "#3B6FB6", "torch": "#E07B39", "torch.compile": "#B4531A", "jax": "#2A9D8F", "onnxruntime": "#8E6BBF", "sklearn": "#A9883C",
}  # fmt: skip
TITLES = {
    "peak": "Matrix product: share of the processor's multiply-add peak", "matmul": "Matrix product", "activation": "Activations", "softmax": "Softmax",
    "training": "Training step, eager layers", "captured": "Training step, captured", "inference": "Inference, captured",
}  # fmt: skip
INK, GREY, RULE = "#222222", "#666666", "#E4E4E4"


def draw(path: Path, about: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write the picture to `path`; ImportError says what to install where matplotlib is missing."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch
    except ImportError:
        raise ImportError('Pictures need matplotlib, which is not installed; get it with: pip install "fastnn[plot]"') from None

    shown = [row for row in rows if headline(row) and row.unit != "s"]
    areas = [area for area in TITLES if any(row.area == area for row in shown)]
    threads = sorted({row.threads for row in shown})
    if not areas:
        raise ValueError("There is nothing to draw: no ratios were measured.")
    by_area = {area: groups(row for row in shown if row.area == area) for area in areas}
    heights = [len(by_area[area]) + 1.4 for area in areas]
    figure = Figure(figsize=(4.2 + 3.4 * len(threads), 0.19 * sum(heights) + 1.5), dpi=160, layout="constrained")
    grid = figure.subplots(len(areas), len(threads), squeeze=False, gridspec_kw={"height_ratios": heights})
    ratios = [value for row in shown if row.unit == "x" for value in (row.ratio, row.target or 1.0)]
    limits = (min([0.7, *ratios]) / 1.1, max([2.0, *ratios]) * 1.9)
    for line, area in enumerate(areas):
        for column, n in enumerate(threads):
            panel(grid[line][column], area, n, by_area[area], limits, labels=column == 0, last=line == len(areas) - 1)
            if line == 0:
                grid[line][column].annotate(
                    f"{n} thread{'s' if n > 1 else ''}", (1, 1), xycoords="axes fraction", xytext=(0, 20), textcoords="offset points", ha="right", fontsize=10,
                    color=GREY, fontweight="bold",
                )  # fmt: skip
    peers = [peer for peer in COLOURS if any(row.peer == peer and row.unit == "x" for row in shown)]
    handles: list[Any] = [Patch(color=COLOURS[peer], label=f"against {peer}") for peer in peers]
    handles += [Line2D([], [], color=INK, linewidth=2, marker="|", linestyle="", markersize=9, label="target")]
    handles += [Line2D([], [], color=GREY, linewidth=1, label="lowest to highest")]
    figure.suptitle("How many times as fast as its peers is fastnn?", x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=8, frameon=False, title=describe(about), title_fontsize=6.5, alignment="left")
    figure.savefig(path)


def panel(axes: Any, area: str, threads: int, found: dict[tuple[str, str], dict[int, list[Row]]], limits: tuple[float, float], labels: bool, last: bool) -> None:
    """The bars of an area for a number of threads."""
    share = area == "peak"
    if not any(threads in by_threads for by_threads in found.values()):
        axes.set_axis_off()
        return
    start = 0.0 if share else 1.0
    for y, ((_, peer), by_threads) in enumerate(found.items()):
        members = by_threads.get(threads)
        if not members:
            continue
        values = [row.ratio for row in members]
        middle = median(values)
        axes.barh(y, middle - start, left=start, height=0.72, color=COLOURS[peer], alpha=1.0 if middle >= 1 or share else 0.55, zorder=2)
        if len(values) > 1:
            axes.plot([min(values), max(values)], [y, y], color=GREY, linewidth=0.9, zorder=3, solid_capstyle="butt")
        targets = [row.target for row in members if row.target is not None]
        if targets:
            axes.plot([max(targets)] * 2, [y - 0.46, y + 0.46], color=INK, linewidth=1.8, zorder=4, solid_capstyle="butt")
        axes.annotate(
            ratio(middle, members[0].unit), (max([middle, start, *values, *targets]), y), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7.5,
            color=INK, annotation_clip=False,
        )  # fmt: skip
    if share:
        axes.set_xlim(0, 1.15)
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
    else:
        axes.set_xscale("log")
        axes.set_xlim(*limits)
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if limits[0] <= tick <= limits[1]]
        axes.set_xticks(ticks, [f"{tick:g}×" for tick in ticks] if last else [""] * len(ticks))
        axes.minorticks_off()
        axes.axvline(1, color=INK, linewidth=0.8, zorder=1)
    axes.set_ylim(len(found) - 0.4, -0.6)
    names = [group.removeprefix("captured ").removeprefix("training step ").removeprefix("inference ") for group, _ in found]
    names = [name if i == 0 or name != names[i - 1] else "" for i, name in enumerate(names)]
    axes.set_yticks(range(len(found)), names if labels else [""] * len(found))
    axes.grid(axis="x", color=RULE, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=7.5, colors=INK)
    if labels:
        axes.set_title(TITLES[area], loc="left", fontsize=9, fontweight="bold", color=INK)
