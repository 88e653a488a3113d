"""What a user is promised beyond right numbers: a good guest in the process, no crash, no hang, nothing half done."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import run_python

import fastnn
from fastnn import kernels, nn

SIDE = 100 if fastnn.instruction_set() == "scalar" else 300  # of a matrix that the pool multiplies
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


# --- a good guest ---


@linux
def test_import_starts_no_thread_and_changes_nothing_in_the_process():
    run_python("""
import os, signal, numpy as np
state = lambda: (len(os.listdir("/proc/self/task")), dict(os.environ), [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
                 np.random.get_state()[1].tolist(), np.geterr(), float(np.float32(1e-40)) > 0)
before = state()
import fastnn
assert state() == before
fastnn.kernels.relu(np.ones(4, np.float32))
assert state() == before, "small work must not start a thread"
""")


def test_import_pulls_in_no_heavy_module():
    loaded = run_python("import sys, fastnn; print(*sys.modules)").split()
    assert not {"matplotlib", "tqdm", "safetensors", "urllib.request", "argparse", "scipy", "threadpoolctl", "multiprocessing"} & set(loaded)


def test_the_source_folder_without_compiled_modules_is_refused_in_a_sentence(tmp_path):
    import shutil
    from pathlib import Path

    package = tmp_path / "fastnn"
    (package / "kernels").mkdir(parents=True)
    shutil.copy(Path(fastnn.__file__), package)
    shutil.copy(Path(kernels.__file__), package / "kernels")
    (package / "kernels" / "_core.pyx").touch()
    result = subprocess.run([sys.executable, "-c", "import fastnn"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode and re.search("source folder .* not compiled", result.stderr)


@pytest.mark.parametrize("variable, value", [("FASTNN_FORCE_ISA", "sse9"), ("FASTNN_NUM_THREADS", "many"), ("FASTNN_NUM_THREADS", "0"), ("FASTNN_WINOGRAD", "no")])
def test_a_bad_environment_variable_is_an_error_that_names_it(variable, value):
    with pytest.raises(AssertionError, match=f"ValueError: {variable} must be"):
        run_python("import fastnn", **{variable: value})


def test_thread_counts_are_taken_from_the_environment_and_checked():
    code = "import fastnn; print(fastnn.get_num_threads())"
    assert run_python(code, FASTNN_NUM_THREADS="3", OMP_NUM_THREADS="5") == "3\n"
    assert run_python(code, FASTNN_NUM_THREADS="", OMP_NUM_THREADS="5,2") == "5\n"
    for wrong in (0, -1, 2**40):
        with pytest.raises(ValueError, match="threads must be between 1 and 4096"):
            fastnn.set_num_threads(wrong)
    with pytest.raises(TypeError, match="threads must be an integer"):
        fastnn.set_num_threads(1.5)


def test_threadpoolctl_sees_and_limits_the_pool():
    run_python("""
import threadpoolctl, fastnn
fastnn.threads.register_threadpoolctl()
fastnn.threads.register_threadpoolctl()
fastnn.set_num_threads(3)
assert [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "fastnn"] == [3]
with threadpoolctl.threadpool_limits(2, user_api="fastnn"):
    assert fastnn.get_num_threads() == 2
assert fastnn.get_num_threads() == 3
""")


# --- forks, threads, interrupts ---


@forks
def test_fork_works_at_any_time_with_a_warm_pool():
    run_python(f"""
import os, warnings, numpy as np, fastnn
warnings.simplefilter("ignore", DeprecationWarning)
fastnn.set_num_threads(4)
a = np.random.default_rng(0).standard_normal(({SIDE}, {SIDE})).astype(np.float32)
expected = fastnn.kernels.matmul(a, a).tobytes()
for i in range(120):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if fastnn.kernels.matmul(a, a).tobytes() == expected else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert fastnn.kernels.matmul(a, a).tobytes() == expected
""")


@forks
def test_fork_works_while_another_thread_is_computing():
    run_python(f"""
import os, threading, warnings, numpy as np, fastnn
warnings.simplefilter("ignore", DeprecationWarning)
fastnn.set_num_threads(3)
a = np.ones(({SIDE}, {SIDE}), np.float32)
stop = False
def work():
    while not stop: fastnn.kernels.matmul(a, a)
thread = threading.Thread(target=work); thread.start()
for i in range(50):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if fastnn.kernels.matmul(a, a)[0, 0] == {SIDE} else 1)
    assert os.waitpid(pid, 0)[1] == 0
stop = True; thread.join()
""")


@linux
def test_a_worker_is_woken_off_the_callers_processor_and_comes_back():
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two processors")
    run_python(f"""
import os, threading, time, numpy as np, fastnn
fastnn.set_num_threads(2)
a = np.ones(({SIDE}, {SIDE}), np.float32)
big = np.ones(({5 * SIDE}, {5 * SIDE}), np.float32)
fastnn.kernels.matmul(a, a)
def within_seconds(found, limit=20):
    end = time.monotonic() + limit
    while not (result := found()) and time.monotonic() < end: time.sleep(0.01)
    assert result, os.listdir("/proc/self/task")
    return result
def named():
    return [int(t) for t in os.listdir("/proc/self/task") if open(f"/proc/self/task/{{t}}/comm").read() == "fastnn\\n"]
worker, = within_seconds(named)  # it names itself when it first runs
everywhere = os.sched_getaffinity(0)
def falls_asleep(where):
    within_seconds(lambda: os.sched_getaffinity(worker) == where)
def kept_off():
    falls_asleep(everywhere)
    seen = set()
    thread = threading.Thread(target=fastnn.kernels.matmul, args=(big, big)); thread.start()
    while thread.is_alive(): seen.add(len(everywhere - os.sched_getaffinity(worker)))
    assert seen <= {{0, 1}}, seen
    return 1 in seen
within_seconds(kept_off)
falls_asleep(everywhere)
only = {{min(everywhere)}}
os.sched_setaffinity(worker, only)  # what somebody else says holds
for i in range(5):
    time.sleep(0.01)
    fastnn.kernels.matmul(a, a)
    falls_asleep(only)
""")


@linux
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_is_answered_within_a_fifth_of_a_second(threads):
    code = f"""
import signal, time, numpy as np, fastnn
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell's children ignore it
fastnn.set_num_threads({threads})
a = np.ones((4096, 4096))
print("ready", flush=True)
try:
    while True: fastnn.kernels.matmul(a, a)
except KeyboardInterrupt:
    print(time.monotonic(), flush=True)
assert fastnn.kernels.matmul(a[:8], a[:, :8])[0, 0] == 4096
"""
    delays = []
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=fastnn.__path__[0] + "/../") as process:
            try:
                assert process.stdout.readline() == "ready\n"
                time.sleep(0.3)
                sent = time.monotonic()
                process.send_signal(signal.SIGINT)
                out, _ = process.communicate(timeout=20)
            finally:
                process.kill()
        assert process.returncode == 0
        delays.append(float(out) - sent)
    assert min(delays) < 0.2, delays


def test_eight_python_threads_share_one_model():
    model = nn.Sequential(nn.Linear(40, 60, rng=0), nn.Tanh(), nn.Linear(60, 10, rng=1)).eval()
    batches = [np.random.default_rng(i).standard_normal((5 + i, 40)).astype(np.float32) for i in range(8)]
    expected = [model(x).tobytes() for x in batches]
    failures = []

    def work(i):
        for _ in range(300):
            if model(batches[i]).tobytes() != expected[i]:
                failures.append(i)

    workers = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    [w.start() for w in workers], [w.join() for w in workers]
    assert not failures


def test_large_work_from_several_python_threads_at_once_is_right():
    a = np.random.default_rng(0).standard_normal((300, 300)).astype(np.float32)
    expected = kernels.matmul(a, a).tobytes()
    before = fastnn.get_num_threads()
    fastnn.set_num_threads(3)
    results = []
    workers = [threading.Thread(target=lambda: results.extend(kernels.matmul(a, a).tobytes() for _ in range(20))) for _ in range(4)]
    [w.start() for w in workers], [w.join() for w in workers]
    fastnn.set_num_threads(before)
    assert len(results) == 80 and set(results) == {expected}


# --- memory ---


@linux
def test_a_failed_allocation_is_a_memory_error_and_leaves_objects_usable():
    run_python("""
import resource, numpy as np, fastnn
from fastnn import nn
model = nn.Linear(64, 64, rng=0)
x = np.ones((2, 64), np.float32)
expected = model(x).tobytes()
wide = np.broadcast_to(np.float32(1), (1 << 20, 64))
big = np.ones((1 << 12, 1 << 12), np.float32)
used = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + (48 << 20), resource.getrlimit(resource.RLIMIT_AS)[1]))
for attempt in (lambda: model(wide), lambda: fastnn.kernels.matmul(big, big), lambda: fastnn.kernels.relu(big), lambda: nn.Linear(1 << 15, 1 << 15)):
    try:
        attempt()
    except MemoryError:
        pass
    else:
        raise AssertionError("no MemoryError")
    assert model(x).tobytes() == expected
""")


def test_sizes_that_overflow_are_refused():
    huge = np.broadcast_to(np.float32(1), (2**31, 2**29))
    with pytest.raises((ValueError, MemoryError)):
        kernels.matmul(huge, huge.T)
    with pytest.raises((ValueError, MemoryError)):
        kernels.relu(huge)


# --- recorded launches ---


def test_launches_are_recorded(dtype, rng):
    from fastnn.kernels._core import Record

    x, w, b = rng.standard_normal((6, 5)).astype(dtype), rng.standard_normal((4, 5)).astype(dtype), rng.standard_normal(4).astype(dtype)
    with Record() as record:
        y = kernels.tanh(kernels.linear(x, w, b))
        kernels.linear_backward(y, x, w)
    kernels.tanh(y)
    assert len(record.calls) == 5
    with pytest.raises(RuntimeError, match="already"), Record():
        with Record():
            pass

