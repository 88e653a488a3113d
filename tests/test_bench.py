"""The benchmarks themselves: their timing, their cases, their reports. That the cases verify is `fastnn bench --check`."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastnn.bench import harness, machine, main, report
from fastnn.bench.cases import AREAS, all_cases
from fastnn.bench.harness import Case, Effort, Row, Work, measure, run_case

BRISK = Effort(round=1e-3, case=0.05, rounds=(5, 9))
ROW = Row("matmul", "matmul float32", "matmul NN", "8³", "float32", 1, "avx2", 2e-6, "numpy", 6e-6, 3.0, 2.9, 3.1, 1.0, 0.5)


class Clock:
    """What the harness reads in the tests of its timing; only `spin` moves it on, so that a busy machine makes no difference."""

    now = 0.0

    def __call__(self):
        return self.now


CLOCK = Clock()


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(harness, "perf_counter", CLOCK)


def spin(seconds):
    CLOCK.now += seconds


def work(ours=2e-4, theirs=6e-4, check=lambda: None, **options):
    return Work(lambda: spin(ours), {"numpy": lambda: spin(theirs)}, check, **options)


def case(prepared, **options):
    return Case("matmul", "group", "name", "shape", "float32", lambda peers: prepared, **options)


@pytest.mark.usefixtures("clock")
def test_sides_take_turns_in_both_orders():
    calls = []
    measure([lambda: (calls.append(0), spin(2e-3)), lambda: (calls.append(1), spin(2e-3))], Effort(1e-3, 0.0, (4, 4)))
    assert calls[-8:] == [0, 1, 1, 0, 0, 1, 1, 0]


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(("spinning", "waits"), [(0.0, 0.005), (0.1, 0.105), (9.0, 0.3)])
def test_a_rest_lasts_until_no_thread_spins(spinning, waits, monkeypatch):
    start = CLOCK.now
    monkeypatch.setattr(harness, "sleep", spin)
    monkeypatch.setattr(harness, "process_time", lambda: min(CLOCK.now - start, spinning))
    harness.rest()
    assert CLOCK.now - start == pytest.approx(waits, abs=5.1e-3)


@pytest.mark.usefixtures("clock")
def test_ratio_of_two_durations_is_theirs():
    (row,) = run_case(case(work(), targets={"numpy": 2.5}), 1, (), BRISK, lambda dtype: 1.0)
    assert row.ratio == pytest.approx(3, rel=1e-6) and row.met and row.low <= row.ratio <= row.high


@pytest.mark.usefixtures("clock")
def test_share_and_scale_are_applied():
    (row,) = run_case(case(work(flops=1e6, scale={"numpy": 2.0})), 1, (), BRISK, lambda dtype: 1e10)
    assert row.ratio == pytest.approx(6, rel=1e-6) and row.share == pytest.approx(0.5, rel=1e-6) and row.met is None


def test_a_wrong_result_is_never_timed():
    def wrong():
        raise AssertionError("wrong")

    with pytest.raises(AssertionError):
        list(run_case(case(work(check=wrong)), 1, (), BRISK, lambda dtype: 1.0))


def test_a_wrong_product_is_found():
    from fastnn.bench.products import check_product

    a, b = machine.random_array(9, 40), machine.random_array(40, 7)
    check_product(a @ b, a, b)
    with pytest.raises(AssertionError):
        check_product((a @ b) * np.float32(1 + 1e-5), a, b)


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
def test_numpy_loops_agree_with_the_reference(kind):
    from fastnn import nn, reference
    from fastnn.bench import sequence_loops

    weights = list(getattr(nn, kind)(5, 7, dtype=np.float64, rng=1).state_dict().values())
    x, dy = (machine.random_array(*shape, dtype="float64") for shape in ((6, 3, 5), (6, 3, 7)))
    y, _, kept = sequence_loops.recurrent(kind, x, weights)
    expected, *_, saved = getattr(reference, kind.lower())(x, [weights])
    np.testing.assert_allclose(y, expected, atol=1e-14)
    dx, gradients = sequence_loops.recurrent_backward(kind, dy, weights, kept)
    expected, *_, (others,) = getattr(reference, f"{kind.lower()}_backward")(dy, x, [weights], saved)
    for actual, right in zip([dx, *gradients], [expected, *others], strict=True):
        np.testing.assert_allclose(actual, right, atol=1e-13)


@pytest.mark.parametrize("match", ["capture RNN", "infer RNN"])
def test_a_wrong_recurrent_network_is_found(match, monkeypatch):
    from fastnn.bench import sequence_loops

    (found,) = (c for c in all_cases(("sequences",)) if match in str(c))
    found.prepare(()).check()
    right, backward = sequence_loops.STEPS["RNN"]
    monkeypatch.setitem(sequence_loops.STEPS, "RNN", (lambda gates, hidden, h, c: right(gates, hidden * np.float32(1.01), h, c), backward))
    with pytest.raises(AssertionError):
        found.prepare(()).check()


def test_garbage_collector_is_put_back():
    import gc

    assert gc.isenabled()
    measure([lambda: None], BRISK)
    assert gc.isenabled()


def test_the_matrix_products_are_at_least_sixty_shapes_in_every_layout():
    cases = list(all_cases(("matmul",)))
    shapes = {c.shape for c in cases if c.dtype == "float32"}
    assert len(shapes) >= 60
    for layout in ("NN", "NT", "TN", "TT"):
        assert {c.shape for c in cases if c.dtype == "float32" and c.name.endswith(layout)} == shapes


def test_cases_are_unique_and_every_area_has_small_and_quick_ones():
    seen = [(c.area, str(c)) for c in all_cases()]
    assert len(seen) == len(set(seen))
    for area in AREAS:
        cases = list(all_cases((area,)))
        assert any(c.small for c in cases) and any(c.quick for c in cases), area


def test_table_line_marks_a_missed_target():
    assert report.line(ROW).split()[-3:] == ["1.00×", "50", "%"]
    assert "1.00× !" in report.line(replace(ROW, ratio=0.7))
    assert "≤ 20.0 ms" in report.line(replace(ROW, unit="s", target=0.02, ratio=0.01))


@pytest.mark.parametrize(("seconds", "text"), [(2.5, "2.50 s"), (0.99999, "1000 ms"), (0.123, "123 ms"), (0.0123, "12.3 ms"), (4.567e-6, "4.57 µs"), (3e-8, "30 ns")])
def test_durations_have_three_digits(seconds, text):
    assert report.duration(seconds) == text


def test_markdown_has_a_line_for_each_group_and_a_column_for_each_number_of_threads():
    about = machine.about(())
    text = report.markdown(about, [ROW, replace(ROW, ratio=5.0), replace(ROW, threads=2)], "fastnn bench")
    assert "| matmul float32 | numpy 4.00× (3.00× to 5.00×) | numpy 3.00× | numpy ≥ 1.00× |" in text and about["processor"] in text


def test_json_gives_the_rows_back(tmp_path):
    report.write_json(tmp_path / "r.json", {"processor": "x"}, [ROW])
    assert report.read_json(tmp_path / "r.json") == ({"processor": "x"}, [ROW])


def test_command_measures_and_writes_everything(tmp_path, capfd):
    pytest.importorskip("matplotlib")
    files = [str(tmp_path / name) for name in ("r.json", "r.png")]
    status = main(["--quick", "--only", "matmul", "--match", "8³", "--peers", "", "--threads", "1,2", "--json", files[0], "--png", files[1], "--markdown"])
    out = capfd.readouterr().out
    rows = json.loads(Path(files[0]).read_text())["rows"]
    assert status == 0 and {row["threads"] for row in rows} == {1, 2} and out.count("matmul NN") >= 2 and "| work |" in out
    assert Path(files[1]).read_bytes().startswith(b"\x89PNG")


def test_command_checks(capsys):
    assert main(["--check", "--only", "matmul", "--match", "64", "--peers", "", "--threads", "1"]) == 0
    assert "0 wrong" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--peers", "abacus"], ["--threads", "0"], ["--threads", "two"]])
def test_command_refuses_what_it_does_not_know(arguments):
    with pytest.raises(SystemExit, match=arguments[0]):
        main(arguments)


def test_importing_fastnn_imports_neither_benchmarks_nor_matplotlib():
    code = "import fastnn\nassert not [m for m in sys.modules if m.startswith(('fastnn.bench', 'matplotlib', 'torch'))]"
    subprocess.run(machine.child(code), check=True)
