"""The time of `import fastnn` beyond that of `import numpy`, in fresh processes by turns."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from statistics import median

import fastnn
from fastnn.bench.harness import Row
from fastnn.bench.machine import child

LIMIT = 0.020


def import_seconds(name: str) -> float:
    """Seconds that `import name` takes in a fresh process."""
    code = f"import time\nstart = time.perf_counter()\nimport {name}\nprint(time.perf_counter() - start)"
    return float(subprocess.run(child(code), check=True, capture_output=True, text=True).stdout)


def import_rows(rounds: int = 15) -> Iterator[Row]:
    names = ("numpy", "fastnn")
    for name in names:  # warm the file cache
        import_seconds(name)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 else reversed(names):
            times[name].append(import_seconds(name))
    more = sorted(own - theirs for own, theirs in zip(times["fastnn"], times["numpy"]))
    yield Row(
        "import", "import fastnn, beyond import numpy", "import fastnn", "", "", fastnn.get_num_threads(), fastnn.instruction_set(), median(times["fastnn"]),
        "numpy", median(times["numpy"]), median(more), more[rounds // 4], more[-1 - rounds // 4], LIMIT, unit="s",
    )  # fmt: skip
