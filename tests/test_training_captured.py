"""fit captures its steps: the same bits as a plain loop, one line where it cannot, and whole steps when it is interrupted."""

import sys
import textwrap

import numpy as np
import pytest
from helpers import run_python

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader
from fastnn.training import Callback, fit


def network(extra=()):
    return nn.Sequential(nn.Linear(6, 16, rng=1), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3, rng=2), *extra, nn.Linear(16, 3, rng=3))


def problem(rows=500):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(rows, 6)).astype(np.float32)
    return x, (x @ rng.normal(size=(6, 3))).argmax(axis=1)


class Counting(nn.Module):
    """Cannot be captured."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        return x

    def backward(self, dy):
        return dy


class Watching(Callback):
    """Wants to be called after every batch, so that steps cannot run many at a time."""

    def __init__(self):
        self.losses = []

    def on_batch_end(self, state):
        self.losses.append((state.epoch, state.batch, state.step, state.batch_loss))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("data", ["loader", "batches"])
def test_captured_and_eager_fits_are_bitwise_equal(shuffle, data):
    x, y = problem()

    def run(extra=(), callbacks=()):
        model = network(extra)
        loader = DataLoader(x, y, batch_size=32, shuffle=shuffle, seed=5)
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        history = fit(
            model, nn.CrossEntropyLoss(), optimizer, loader if data == "loader" else list(loader), 3, metrics=("accuracy",), clip_grad_norm=1.0,
            callbacks=callbacks, scheduler=optim.ExponentialLR(optimizer, 0.8), verbose=False,
        )  # fmt: skip
        return model, history

    eager, eager_history = run([counting := Counting()])
    assert counting.calls == 48
    watching = Watching()
    for callbacks in ([], [watching]):
        model, history = run(callbacks=callbacks)
        assert list(history) == list(eager_history)
        for captured, plain in zip(model.state_dict().values(), eager.state_dict().values(), strict=True):
            np.testing.assert_array_equal(captured, plain)
        np.testing.assert_array_equal(model[3].extra_state(), eager[3].extra_state())
    assert [entry[:3] for entry in watching.losses] == [(i // 16, i % 16, i + 1) for i in range(48)]


def test_a_line_says_why_steps_are_not_captured(capsys):
    for extra, lines in (((), 0), ([Counting()], 1)):
        model = network(extra)
        fit(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters()), problem(), 2, verbose=True, progress=False)
        said = [line for line in capsys.readouterr().out.splitlines() if "captured" in line]
        assert len(said) == lines
    assert "steps are not captured, but run eagerly: module '4' (Counting) cannot be captured" in said[0]
    fit(nn.Sequential(nn.Linear(6, 3)), lambda output, target: None, optim.SGD(model.parameters()), problem(), 0, verbose=True)
    assert "loss must be a Module" in capsys.readouterr().out


def test_a_refused_step_is_made_once():
    x, y = problem(32)
    model, twin = network([counting := Counting()]), network()
    loss, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1)
    step = fastnn.captured.CapturedStep(model, loss, optimizer, strict=False)
    plain = fastnn.capture(twin, nn.CrossEntropyLoss(), optim.SGD(twin.parameters(), lr=0.1))
    for i in range(1, 4):
        assert step(x, y) == plain(x, y)
        assert counting.calls == i and "self.calls" in str(step.refused)
        np.testing.assert_array_equal(step.output, plain.output)


INTERRUPTED = """
    import os, signal, threading, time
    import numpy as np
    from fastnn import nn, optim
    from fastnn.data import DataLoader
    from fastnn.training import History, fit

    signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever this process was started with
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(ROWS, 256)).astype(np.float32), rng.integers(0, 3, ROWS)

    def make():
        model = nn.Sequential(nn.Linear(256, 256, rng=0), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3, rng=2), nn.Linear(256, 3, rng=1))
        return model, nn.CrossEntropyLoss(), optim.Adam(model.parameters()), DataLoader(x, y, batch_size=BATCH, shuffle=True, seed=1)

    model, loss, optimizer, loader = make()
    history, interrupts = History(), 0
    pressed, late = [0.0], []
    def press():
        pressed[0] = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)
    while len(history) < 3:
        timer = threading.Timer(0.2 + 0.037 * interrupts, press)
        timer.start()
        try:
            fit(model, loss, optimizer, loader, 3, history=history, verbose=False, metrics=("accuracy",))
            timer.cancel()
            timer.join()
            time.sleep(0)
        except KeyboardInterrupt:
            late.append(time.monotonic() - pressed[0])
            interrupts += 1
        assert interrupts < 200
    other, loss, optimizer, loader = make()
    expected = fit(other, loss, optimizer, loader, 3, verbose=False, metrics=("accuracy",))
    assert list(history) == list(expected), (list(history), list(expected))
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, other.state_dict()[name], err_msg=name)
    np.testing.assert_array_equal(model[3].extra_state(), other[3].extra_state())
    print(interrupts, sorted(late)[len(late) // 2] if late else 0)  # the middle one: a busy machine holds up one or the other
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill with SIGINT ends a process on Windows")
@pytest.mark.parametrize(("rows", "batch"), [(1600, 16), (900, 300)] if fastnn.instruction_set() == "scalar" else [(30000, 16), (48000, 16000)])
def test_an_interrupted_fit_goes_on_as_if_nothing_had_been(rows, batch):
    code = textwrap.dedent(INTERRUPTED).replace("ROWS", str(rows)).replace("BATCH", str(batch))
    interrupts, late = run_python(code).split()
    assert int(interrupts) >= 1 and float(late) < 1.0  # 0.2 s on a machine that is not busy
