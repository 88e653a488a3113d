"""Results as a table, as JSON and as the README's Markdown."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from fastnn.bench.harness import Row

COLUMNS = (("work", 34), ("shape", 14), ("dtype", 8), ("threads", 7), ("isa", 7), ("fastnn", 9), ("against", 12), ("its time", 9), ("ratio", 8), ("target", 8), ("of peak", 7))
CAPTURED = ("captured", "inference", "images", "sequences")  # areas of captured steps and predictions
HEADER = "".join(f"{name:{'<' if i < 5 or name == 'against' else '>'}{width}} " for i, (name, width) in enumerate(COLUMNS))


def duration(seconds: float) -> str:
    """Three digits with a unit that fits."""
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * factor >= 1:
            return f"{seconds * factor:#.3g}".removesuffix(".").replace("1.00e+03", "1000") + f" {unit}"
    return f"{seconds * 1e9:.0f} ns"


def ratio(value: float, unit: str) -> str:
    """A speed-up, a share of a peak, or a difference in time."""
    if unit == "%":
        return f"{100 * value:.0f} %"
    if unit == "s":
        return f"{value * 1e3:+.1f} ms"
    return f"{value:.2f}×" if value < 10 else f"{value:.1f}×"


def line(row: Row) -> str:
    """A row of the table. A missed target is marked."""
    target = "" if row.target is None else ("≤ " if row.unit == "s" else "") + ratio(row.target, row.unit).lstrip("+") + ("" if row.met else " !")
    cells = (
        row.name, row.shape, row.dtype, str(row.threads), row.isa, duration(row.time), row.peer, duration(row.peer_time), ratio(row.ratio, row.unit), target,
        "" if row.share is None else f"{100 * row.share:.0f} %",
    )  # fmt: skip
    return "".join(f"{cell:{'<' if i < 5 or COLUMNS[i][0] == 'against' else '>'}{COLUMNS[i][1]}} " for i, cell in enumerate(cells)).rstrip()


def summary(rows: Sequence[Row]) -> str:
    """How many targets are reached, and the rows that miss theirs by most."""
    judged = [row for row in rows if row.target is not None]
    missed = [row for row in judged if not row.met]
    text = [f"{len(judged) - len(missed)} of {len(judged)} targets reached"]
    worst = sorted(missed, key=lambda row: row.target / row.ratio if row.unit == "s" else row.ratio / row.target)  # type: ignore[operator]
    return "\n".join(text + (["furthest from theirs:", HEADER.rstrip(), *map(line, worst[:10])] if worst else []))


def groups(rows: Iterable[Row]) -> dict[tuple[str, str], dict[int, list[Row]]]:
    """Rows by group and peer, then by threads."""
    found: dict[tuple[str, str], dict[int, list[Row]]] = {}
    for row in rows:
        found.setdefault((row.group, row.peer), {}).setdefault(row.threads, []).append(row)
    return found


def headline(row: Row) -> bool:
    """Whether the README and the picture show it: what has a target, and of the rest inference and training."""
    return row.area in ("training", *CAPTURED) or row.target is not None and (row.dtype != "float64" or row.area == "peak")


def write_json(path: Path, about: Mapping[str, Any], rows: Sequence[Row]) -> None:
    path.write_text(json.dumps({"about": dict(about), "rows": [row.to_dict() for row in rows]}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> tuple[dict[str, Any], list[Row]]:
    data = json.loads(path.read_text(encoding="utf-8"))
    return data["about"], [Row(**{name: value for name, value in row.items() if name != "met"}) for row in data["rows"]]


def describe(about: Mapping[str, Any]) -> str:
    """One line about the machine and the software."""
    known = [f"{name} {about[name]}" for name in ("fastnn", "numpy", "torch", "jax", "onnxruntime", "sklearn") if about.get(name)]
    blas = f" (OpenBLAS: {about['blas']} kernels)" if about.get("blas") else ""
    return f"{about['processor']}, {about['instruction_set']}, {about['system']}; Python {about['python']}; {', '.join(known)}{blas}"


def cell(peer: str, rows: Sequence[Row]) -> str:
    ratios, unit = sorted(row.ratio for row in rows), rows[0].unit
    spread = f" ({ratio(ratios[0], unit)} to {ratio(ratios[-1], unit)})" if len(ratios) > 1 else ""
    return f"{peer} {ratio(median(ratios), unit)}{spread}"


def target_of(by_threads: Mapping[int, Sequence[Row]]) -> str:
    """The strictest target of some rows, or nothing."""
    rows = [row for members in by_threads.values() for row in members]
    targets = [row.target for row in rows if row.target is not None]
    return ("≤ " if rows[0].unit == "s" else "≥ ") + ratio(max(targets), rows[0].unit).lstrip("+") if targets else ""


def best(rows: Sequence[Row]) -> list[Row]:
    """Captured steps and predictions against the best of the others: the fastest number of threads on each side."""
    found = []
    for group in dict.fromkeys(row.group for row in rows if row.area in CAPTURED):
        members = [row for row in rows if row.group == group]
        ours, theirs = min(members, key=lambda row: row.time), min(members, key=lambda row: row.peer_time)
        value = theirs.peer_time / ours.time
        share = ours.share * ours.threads if ours.share is not None else None  # of one thread's peak: two may be hyperthreads of one core
        found.append(replace(ours, peer=theirs.peer, peer_time=theirs.peer_time, ratio=value, low=value, high=value, target=theirs.target, share=share))
    return found


def best_table(rows: Sequence[Row]) -> str:
    """That as Markdown."""
    lines = ["| captured | fastnn | best of the others | ratio | target | products, of one thread's FMA peak |", "|---|---|---|---|---|---|"]
    for row in best(rows):
        target = "" if row.target is None else f"≥ {ratio(row.target, row.unit)}"
        share = "" if row.share is None else f"{100 * row.share:.0f} %"
        lines.append(f"| {row.group.removeprefix('captured ')} | {duration(row.time)} | {row.peer} {duration(row.peer_time)} | {ratio(row.ratio, row.unit)} | {target} | {share} |")
    return "\n".join(lines)


def markdown(about: Mapping[str, Any], rows: Sequence[Row], command: str) -> str:
    """The README's table: a line for each group; for each peer the median of its ratios, with the lowest and highest in brackets."""
    counts = sorted({row.threads for row in rows})
    lines = [
        "| work | " + " | ".join(f"{n} thread{'s' if n > 1 else ''}" for n in counts) + " | target |",
        "|---|" + "---|" * (len(counts) + 1),
    ]
    shown = groups(row for row in rows if headline(row))
    for group in dict.fromkeys(group for group, _ in shown):
        cells = [", ".join(cell(peer, by_threads[n]) for (name, peer), by_threads in shown.items() if name == group and n in by_threads) for n in counts]
        targets = [f"{peer} {wanted}" for (name, peer), by_threads in shown.items() if name == group and (wanted := target_of(by_threads))]
        lines.append(f"| {group} | {' | '.join(cells)} | {', '.join(targets)} |")
    if best(rows):
        lines += ["", best_table(rows)]
    return "\n".join([*lines, "", f"`{command}` on {describe(about)}."])
