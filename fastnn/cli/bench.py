"""`fastnn bench`: hands its arguments to fastnn.bench."""

from __future__ import annotations

from collections.abc import Sequence


def run(arguments: Sequence[str]) -> int:
    from fastnn.bench import main

    return int(main(list(arguments)) or 0)
