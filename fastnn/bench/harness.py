"""Verify, then time: the two sides of a case by turns within one run.

The scheme: each side is called in a loop that is calibrated to last a few milliseconds (one call, where that takes longer). A round
times the loop of every side once; the next round goes through the sides the other way round, so that a drift of the clock rate or a
noisy neighbour hits all of them. With several threads each loop waits until the last one's threads have come to rest (OpenBLAS's spin for a
tenth of a second after their work, ONNX Runtime's for half of that), and an uncounted call then wakes its own. A side's time is the median over the rounds. A ratio is the median of the rounds' own ratios, peer
over fastnn: above 1, fastnn is faster. The garbage collector is off meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import repeat
from statistics import median
from time import perf_counter, process_time, sleep
from typing import Any

from fastnn.kernels._core import instruction_set

Call = Callable[[], object]


@dataclass
class Work:
    """What a prepared case runs. `check` raises AssertionError unless every side's result is right.

    flops: of one call, 0 where it is no measure. scale: a peer's time is that of its call times this (default 1).
    """

    ours: Call
    peers: dict[str, Call]
    check: Call
    flops: float = 0.0
    scale: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One line of the benchmarks. `prepare(peers)` allocates its arrays and builds the sides, those of `peers` that it knows besides NumPy.

    group: the line of the README and of the picture that it is part of. targets: the least ratio against a peer. small: cheap enough to be
    verified by --check. quick: part of --quick. threads: None for any number of threads, else the only one it makes sense for.
    """

    area: str
    group: str
    name: str
    shape: str
    dtype: str
    prepare: Callable[[tuple[str, ...]], Work]
    targets: Mapping[str, float] = field(default_factory=dict)
    small: bool = True
    quick: bool = True
    threads: int | None = None

    def __str__(self) -> str:
        return " ".join((self.name, self.shape, self.dtype))


@dataclass(frozen=True)
class Row:
    """A measured line: fastnn against one peer. Times in seconds; share: of the processor's multiply-add peak, or None.

    met: whether the target is reached, None without one. unit: "x" where the ratio is a speed-up, "%" where it is a share of a peak, "s"
    where `ratio` and `target` are seconds that fastnn takes more than the peer.
    """

    area: str
    group: str
    name: str
    shape: str
    dtype: str
    threads: int
    isa: str
    time: float
    peer: str
    peer_time: float
    ratio: float
    low: float
    high: float
    target: float | None
    share: float | None = None
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio <= self.target if self.unit == "s" else round(self.ratio, 2) >= self.target

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


@dataclass(frozen=True)
class Effort:
    """How long to measure: seconds of a round for each side, of a whole case, the bounds of the number of rounds, and whether each loop waits
    for the threads of the one before."""

    round: float
    case: float
    rounds: tuple[int, int]
    rests: bool = False


def effort(quick: bool, threads: int) -> Effort:
    """Many short rounds on one thread, fewer and longer ones where each begins with a rest."""
    if threads == 1:
        return Effort(1e-3, 0.05, (5, 15)) if quick else Effort(2e-3, 0.4, (7, 41))
    return Effort(2e-3, 0.05, (3, 5), rests=True) if quick else Effort(8e-3, 0.4, (7, 9), rests=True)


def rest(longest: float = 0.3, nap: float = 5e-3) -> None:
    """Wait until the threads of this process use less than a tenth of a processor; at most so many seconds."""
    stop = perf_counter() + longest
    busy = nap
    while busy > nap / 10 and perf_counter() < stop:
        before = process_time()
        sleep(nap)
        busy = process_time() - before


def time_loop(call: Call, loops: int) -> float:
    """Seconds for a call, over so many calls."""
    times = repeat(None, loops)
    start = perf_counter()
    for _ in times:
        call()
    return (perf_counter() - start) / loops


def calibrate(call: Call, seconds: float) -> tuple[int, float]:
    """The number of calls that last about so long, and how long one lasts; warms up on the way."""
    call()
    loops = 1
    while True:
        each = time_loop(call, loops)
        if each * loops >= seconds / 4:
            return max(1, round(seconds / each)), each
        loops = max(2 * loops, min(64 * loops, int(seconds / 2 / max(each, 1e-9))))


def measure(calls: list[Call], effort: Effort) -> list[list[float]]:
    """Seconds for a call of each side, in each round."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        sides = [(call, *calibrate(call, effort.round)) for call in calls]
        once = sum(loops * each for _, loops, each in sides)
        rounds = min(max(int(effort.case / once), effort.rounds[0]), effort.rounds[1])
        times: list[list[float]] = [[] for _ in sides]
        for turn in range(rounds):
            order = range(len(sides)) if turn % 2 == 0 else reversed(range(len(sides)))
            for side in order:
                call, loops, _ = sides[side]
                if effort.rests:
                    rest()
                    call()
                times[side].append(time_loop(call, loops))
        return times
    finally:
        if collecting:
            gc.enable()


def run_case(case: Case, threads: int, peers: tuple[str, ...], effort: Effort, peak: Callable[[str], float]) -> Iterator[Row]:
    """Verify a case, time it, and give a row for each peer. peak: a dtype's, of all the threads, in flops a second."""
    work = case.prepare(peers)
    work.check()
    ours, *others = measure([work.ours, *work.peers.values()], effort)
    time = median(ours)
    share = work.flops / time / peak(case.dtype) if work.flops else None
    for peer, times in zip(work.peers, others):
        scale = work.scale.get(peer, 1.0)
        ratios = sorted(theirs * scale / own for theirs, own in zip(times, ours))
        yield Row(
            case.area, case.group, case.name, case.shape, case.dtype, threads, instruction_set(), time, peer, median(times) * scale,
            median(ratios), ratios[len(ratios) // 4], ratios[-1 - len(ratios) // 4], case.targets.get(peer),
            share, unit="%" if peer == "FMA peak" else "x",
        )  # fmt: skip
