"""`pytest benchmarks --benchmark-only` times the quick cases of fastnn.bench with pytest-benchmark, `--benchmark-disable` verifies them.

A file names its areas in AREAS; its test gets a verified call of each side of each case. Threads: FASTNN_NUM_THREADS and the other
libraries' variables; `fastnn bench` sets them all and gives ratios.
"""

import pytest

from fastnn.bench.cases import all_cases


def pytest_generate_tests(metafunc):
    if "call" not in metafunc.fixturenames:
        return
    cases = [case for case in all_cases(metafunc.module.AREAS) if case.quick]
    metafunc.parametrize(("case", "side"), [
        pytest.param(case, side, id=f"{case} {side}", marks=pytest.mark.benchmark(group=str(case))) for case in cases for side in ("fastnn", "peer")
    ])


@pytest.fixture
def call(case, side):
    """What to time, once its result is known to be right. Tests ask for it before they ask for `benchmark`, which wants to be used."""
    work = case.prepare(())
    work.check()
    if side == "peer" and not work.peers:
        pytest.skip("NumPy has nothing to compare this with")
    return work.ours if side == "fastnn" else next(iter(work.peers.values()))
