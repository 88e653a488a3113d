"""`fastnn bench`: verify, measure, report.

Every number of threads is measured in a process of its own (see machine.py); that process is this command again, with --in-process.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from fastnn.bench import machine, report
from fastnn.bench.cases import AREAS, all_cases
from fastnn.bench.harness import Row, effort, run_case
from fastnn.bench.importing import import_rows


def names(text: str, known: Sequence[str], option: str) -> tuple[str, ...]:
    """The comma-separated names in `text`; an error names the option."""
    chosen = tuple(name for name in text.split(",") if name)
    for name in chosen:
        if name not in known:
            raise SystemExit(f"fastnn bench: {option} takes some of {', '.join(known)}, got {name!r}")
    return chosen


def counts(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() and 1 <= int(part) <= 4096 for part in text.split(",")):
        raise SystemExit(f"fastnn bench: --threads takes whole numbers from 1 to 4096, such as 1,2, got {text!r}")
    return tuple(int(part) for part in text.split(","))


def default_threads() -> str:
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return "1,2" if available > 1 else "1"


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(prog="fastnn bench", description="Verify fastnn's speed claims: every result is checked before it is timed, both sides by turns.")
    p.add_argument("--check", action="store_true", help="only verify the results, on the smaller sizes (for continuous integration)")
    p.add_argument("--quick", action="store_true", help="fewer cases, fewer rounds: a minute or two")
    p.add_argument("--only", metavar="AREA,…", default="", help=f"some of {', '.join((*AREAS, 'import'))}")
    p.add_argument("--match", metavar="TEXT", default="", help="only cases whose name, shape and dtype contain this")
    p.add_argument("--threads", metavar="N,…", default=default_threads(), help="numbers of threads (%(default)s)")
    p.add_argument("--peers", metavar="NAME,…", help=f"compare with some of {', '.join(machine.PEERS)} besides NumPy; default: those that are installed; for --check none")
    p.add_argument("--json", metavar="FILE", type=Path, help="write the results as JSON")
    p.add_argument("--png", metavar="FILE", type=Path, help="draw the results (needs matplotlib)")
    p.add_argument("--markdown", action="store_true", help="print the README's table at the end")
    p.add_argument("--from-json", metavar="FILE", type=Path, help="measure nothing: report on the results in FILE")
    p.add_argument("--in-process", action="store_true", help="measure in this process, with its environment and its processors")
    return p


def check(areas: tuple[str, ...], peers: tuple[str, ...], threads: tuple[int, ...], match: str) -> int:
    """Verify the smaller cases; returns how many are wrong."""
    start, done, wrong = perf_counter(), 0, 0
    for n in threads:
        with machine.threads_here(n):
            for case in all_cases(areas):
                if case.small and case.threads in (None, n) and match in str(case):
                    done += 1
                    try:
                        case.prepare(peers).check()
                    except AssertionError as error:
                        wrong += 1
                        print(f"WRONG: {case}, {n} threads: {' '.join(str(error).split())[:300]}")
    print(f"{done} cases verified in {perf_counter() - start:.0f} s on {', '.join(map(str, threads))} threads, {wrong} wrong")
    return wrong


def measure_here(areas: tuple[str, ...], peers: tuple[str, ...], threads: int, quick: bool, match: str, imports: bool) -> list[Row]:
    """Measure in this process, printing each row when it is there."""
    rows: list[Row] = []

    def show(row: Row) -> None:
        rows.append(row)
        print(report.line(row), flush=True)

    with machine.threads_here(threads):
        for case in all_cases(areas):
            if (case.quick or not quick) and case.threads in (None, threads) and match in str(case):
                for row in run_case(case, threads, peers, effort(quick, threads), lambda dtype: threads * machine.peak_flops(dtype)):
                    show(row)
        if imports and match in "import fastnn":
            for row in import_rows(5 if quick else 15):
                show(row)
    return rows


def measure_apart(arguments: list[str], threads: int) -> list[Row]:
    """Measure in a fresh process that has so many threads and processors."""
    with TemporaryDirectory() as folder, machine.environment(threads) as env:
        file = Path(folder) / "rows.json"
        again = [*arguments, "--in-process", "--threads", str(threads), "--json", str(file)]
        subprocess.run(machine.child(f"from fastnn.bench import main\nraise SystemExit(main({again!r}))"), env=env, check=True)
        return report.read_json(file)[1]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 1 where a result is wrong."""
    given = list(sys.argv[1:] if argv is None else argv)
    args = parser().parse_args(given)
    chosen = names(args.only, (*AREAS, "import"), "--only") or (*AREAS, "import")
    areas = tuple(area for area in AREAS if area in chosen)
    threads = counts(args.threads)
    if args.check:
        return 1 if check(areas, names(args.peers or "", machine.PEERS, "--peers"), threads, args.match) else 0
    peers = tuple(machine.versions(machine.PEERS)) if args.peers is None else names(args.peers, machine.PEERS, "--peers")

    if args.from_json:
        about, rows = report.read_json(args.from_json)
    else:
        about = machine.about(peers)
        if args.in_process:
            rows = measure_here(areas, peers, threads[0], args.quick, args.match, "import" in chosen)
        else:
            print(report.describe(about), report.HEADER.rstrip(), sep="\n\n", flush=True)
            rows = []
            for i, n in enumerate(threads):
                some = chosen if i == 0 else areas  # importing does not depend on the threads
                if some:
                    options = ["--only", ",".join(some), "--peers", ",".join(peers), "--match", args.match, *(["--quick"] if args.quick else [])]
                    rows += measure_apart(options, n)
    if args.json:
        report.write_json(args.json, about, rows)
    if args.in_process:
        return 0
    print("\n" + report.summary(rows))
    if args.markdown:
        print("\n" + report.markdown(about, rows, "fastnn bench" + (" --quick" if args.quick else "")))
    if args.png:
        from fastnn.bench.picture import draw

        draw(args.png, about, rows)
    return 0
