"""fit, evaluate, predict, metrics and callbacks. Long, because what an interrupt leaves behind is checked on the same small problem."""

import math
import os
import signal
import sys
import textwrap
import warnings

import numpy as np
import pytest
from helpers import run_python

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader
from fastnn.training import (
    BestCheckpoint, Callback, EarlyStopping, History, LearningRateSchedule, TerminateOnNaN, evaluate, fit, metrics, predict,
)  # fmt: skip
from fastnn.training.architecture import build, feed_forward
from fastnn.training.numpy_baseline import NumpyNetwork


def problem(rows=96, features=6, classes=3, seed=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    return x, (x @ rng.normal(size=(features, classes))).argmax(axis=1)


def network(seed=0, features=6, classes=3):
    rng = np.random.default_rng(seed)
    return nn.Sequential(nn.Linear(features, 8, rng=rng), nn.Tanh(), nn.Linear(8, classes, rng=rng))


def run(model=None, epochs=3, data=None, **options):
    model = network() if model is None else model
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    options = {"rng": 0, "verbose": False, **options}
    return model, fit(model, nn.CrossEntropyLoss(), optimizer, problem() if data is None else data, epochs, **options)


def states_equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Gives(nn.Module):
    """A loss that gives prepared values."""

    reduction = "mean"

    def __init__(self, *values):
        self.values = list(values)

    def forward(self, input, target):
        self.shape = input
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]

    def backward(self):
        return np.zeros_like(self.shape)


# --- fit ---


def test_fit_learns_and_records():
    model, history = run(epochs=30, validation=problem(seed=4), metrics=("accuracy",))
    assert isinstance(history, History) and len(history) == 30
    assert history.metrics == ("loss", "accuracy", "val_loss", "val_accuracy")
    assert history["loss"][-1] < 0.5 * history["loss"][0] and history["accuracy"][-1] > 0.9


def test_fit_is_a_plain_loop_bit_for_bit():
    x, y = problem()
    by_hand, loss = network(), nn.CrossEntropyLoss()
    optimizer = optim.Adam(by_hand.parameters(), lr=1e-2)
    losses = []
    for _ in range(3):
        loader = DataLoader(x, y, batch_size=20)
        for bx, by in loader:
            losses.append((loss(by_hand(bx), by), len(by)))
            optimizer.zero_grad()
            by_hand.backward(loss.backward())
            optimizer.step()
    model, history = run(batch_size=20, shuffle=False)
    assert states_equal(model, by_hand)
    last = losses[-5:]
    assert history["loss"][-1] == sum(v * n for v, n in last) / sum(n for _, n in last)  # weighted by rows: the last batch is smaller


def test_fit_is_reproducible_and_does_not_depend_on_what_data_is():
    x, y = problem()
    loader = DataLoader(x, y, batch_size=32, shuffle=True, rng=0)
    a, b, c = run()[0], run()[0], run(data=loader)[0]
    assert states_equal(a, b) and states_equal(a, c)
    batches = [(x[i : i + 32], y[i : i + 32]) for i in range(0, 96, 32)]
    assert states_equal(run(shuffle=False)[0], run(data=batches)[0])


def test_a_loss_that_sums_is_summed():
    x, y = problem()
    model, loss = network(), nn.CrossEntropyLoss(reduction="sum")
    assert evaluate(model, loss, (x, y), batch_size=7)["loss"] == pytest.approx(96 * evaluate(model, nn.CrossEntropyLoss(), (x, y))["loss"], rel=1e-5)


def test_modes_and_input_gradients_are_put_back_also_after_an_exception():
    class Fails(Callback):
        def on_batch_end(self, state):
            assert all(module.training for module in state.model.modules())
            assert not state.model.needs_input_grad
            raise OSError("disk")

    model = network().eval()
    model[1].training = True
    for act in (lambda: run(model, callbacks=[Fails()]), lambda: run(model)):
        try:
            act()
        except OSError:
            pass
        assert [m.training for m in model.modules()] == [False, False, True, False]
        assert model.needs_input_grad


def test_a_step_that_fails_leaves_no_trace():
    x, y = problem()
    y[40] = 7  # in the second batch of 32
    model = nn.Sequential(nn.Linear(6, 8, rng=0), nn.BatchNorm1d(8), nn.Dropout(0.5, rng=1), nn.Linear(8, 3, rng=1))
    twin = nn.Sequential(nn.Linear(6, 8, rng=0), nn.BatchNorm1d(8), nn.Dropout(0.5, rng=1), nn.Linear(8, 3, rng=1))
    loader = DataLoader(x, y, batch_size=32)
    history = History()
    with pytest.raises(ValueError):
        run(model, data=loader, history=history)
    run(twin, data=(x[:32], y[:32]), epochs=1, shuffle=False)
    assert states_equal(model, twin) and np.array_equal(model[2].extra_state(), twin[2].extra_state())
    assert len(history) == 0 and (loader.epoch, loader.position) == (0, 1)


def test_schedules_are_stepped_after_epochs_or_batches():
    for make, expected in (
        (lambda o: optim.StepLR(o, 1, 0.5), 1e-2 / 8),
        (lambda o: LearningRateSchedule(optim.ExponentialLR(o, 0.5), every="batch"), 1e-2 / 2**9),
        (lambda o: optim.OneCycleLR(o, 1e-2, total_steps=9), None),
        (lambda o: optim.ReduceLROnPlateau(o, factor=0.5, patience=0, threshold=10.0, threshold_mode="abs"), 1e-2 / 4),
    ):
        model = network()
        optimizer = optim.Adam(model.parameters(), lr=1e-2)
        schedule = make(optimizer)
        history = fit(model, nn.CrossEntropyLoss(), optimizer, problem(), 3, scheduler=schedule, rng=0, verbose=False)
        assert len(history["lr"]) == 3
        if expected is not None:
            assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_gradients_are_clipped():
    x, y = problem()
    model = network()
    before = np.concatenate([p.data.ravel() for p in model.parameters()])
    fit(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=1.0), (x, y), 1, batch_size=96, clip_grad_norm=1e-3, verbose=False)
    after = np.concatenate([p.data.ravel() for p in model.parameters()])
    assert np.linalg.norm(after - before) == pytest.approx(1e-3, rel=1e-2)


def test_nan_is_warned_of_once_and_can_end_the_run():
    with pytest.warns(RuntimeWarning, match="the loss became nan in epoch 1, batch 1") as caught:
        fit(model := network(), Gives(math.nan), optim.SGD(model.parameters()), problem(), 2, verbose=False)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(FloatingPointError, match="the loss became inf in epoch 1, batch 2"):
            fit(model, Gives(1.0, math.inf), optim.SGD(model.parameters()), problem(), 2, callbacks=[TerminateOnNaN()], verbose=False)


def test_a_history_goes_on():
    model, history = run(epochs=2)
    optimizer = optim.Adam(model.parameters())
    assert fit(model, nn.CrossEntropyLoss(), optimizer, problem(), 5, history=history, verbose=False) is history and len(history) == 5
    assert len(fit(model, nn.CrossEntropyLoss(), optimizer, problem(), 5, history=history, verbose=False)) == 5


@pytest.mark.parametrize(
    "options, error, match",
    [
        ({"data": (np.zeros((0, 6), np.float32), np.zeros(0, int))}, ValueError, "data is empty"),
        ({"data": []}, ValueError, "data is empty"),
        ({"data": np.zeros((4, 6))}, TypeError, "data must be a tuple of arrays"),
        ({"data": (np.zeros((4, 6), np.float32),)}, ValueError, "inputs and targets"),
        ({"data": DataLoader(np.zeros((4, 6), np.float32))}, ValueError, "inputs and targets"),
        ({"data": iter([1])}, TypeError, "gone through once only"),
        ({"data": [np.zeros(3)]}, TypeError, "a batch of data must be a tuple"),
        ({"data": 5}, TypeError, "data must be"),
        ({"validation": (np.zeros((0, 6), np.float32), np.zeros(0, int))}, ValueError, "validation is empty"),
        ({"epochs": 1.5}, TypeError, "epochs must be an integer"),
        ({"epochs": -1}, ValueError, "epochs must be at least 0"),
        ({"clip_grad_norm": 0}, ValueError, "clip_grad_norm"),
        ({"metrics": "accuracy"}, TypeError, "write \\('accuracy',\\)"),
        ({"metrics": ("speed",)}, ValueError, "one of accuracy"),
        ({"metrics": (3,)}, TypeError, "a function or a name"),
        ({"scheduler": 3}, TypeError, "learning-rate schedule"),
        ({"callbacks": [EarlyStopping()]}, ValueError, "watches 'val_loss'.*give fit validation data"),
    ],
)
def test_wrong_arguments_are_told_in_sentences(options, error, match):
    with pytest.raises(error, match=match):
        run(**options)


def test_a_loss_must_be_a_number():
    with pytest.raises(TypeError, match="loss must give one number"):
        evaluate(network(), nn.CrossEntropyLoss(reduction="none"), problem())


def test_quiet_runs_print_nothing_and_others_a_line_per_epoch(capfd):
    run()
    assert capfd.readouterr() == ("", "")
    run(verbose=True, validation=problem(), metrics=("accuracy",))
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert len(lines) == 4 and err == ""
    assert lines[0].split() == ["epoch", "loss", "accuracy", "val", "loss", "val", "accuracy", "time"]
    assert lines[3].split()[0] == "3/3" and len({len(line) for line in lines}) == 1
    run(verbose=True, progress=True)
    assert "288/288" in capfd.readouterr().err


INTERRUPTED = """
    import os, signal, sys
    import numpy as np
    from fastnn import nn, optim
    from fastnn.data import DataLoader
    from fastnn.training import Callback, History, fit

    class Interrupts(optim.Adam):
        steps = 0
        def step(self):
            half = len(self._groups) // 2
            for i, (group, tensors) in enumerate(zip(self.param_groups, self._groups)):
                if i == half and self.steps == 4:
                    os.kill(os.getpid(), signal.SIGINT)  # in the middle of an update
                tensors.step(self.settings(group))
            self.steps += 1

    class Counts(Callback):
        steps = 0
        def on_batch_end(self, state):
            Counts.steps += 1

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(96, 6)).astype(np.float32), rng.integers(0, 3, 96)
    def make():
        model = nn.Sequential(nn.Linear(6, 8, rng=0), nn.ReLU(), nn.Linear(8, 3, rng=1))
        return model, [{"params": [p]} for p in model.parameters()], DataLoader(x, y, batch_size=16, shuffle=True, seed=1), nn.CrossEntropyLoss()

    model, groups, loader, loss = make()
    history, handler = History(), signal.getsignal(signal.SIGINT)
    optimizer = Interrupts(groups)
    try:
        fit(model, loss, optimizer, loader, 3, history=history, verbose=False)
    except KeyboardInterrupt:
        pass
    else:
        sys.exit("not interrupted")
    assert signal.getsignal(signal.SIGINT) is handler
    assert optimizer.steps == 5 and (loader.epoch, loader.position) == (0, 5), (optimizer.steps, loader.epoch, loader.position)
    optimizer.steps = 100
    fit(model, loss, optimizer, loader, 3, history=history, verbose=False, callbacks=[Counts()])
    assert Counts.steps == 13 and len(history) == 3, (Counts.steps, history)

    other, groups, loader, loss = make()
    fit(other, loss, optim.Adam(groups), loader, 3, verbose=False)
    for a, b in zip(model.state_dict().values(), other.state_dict().values()):
        assert a.tobytes() == b.tobytes()
    print("as if never interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill with SIGINT ends a process on Windows")
def test_ctrl_c_waits_for_the_whole_step_and_the_run_can_go_on():
    assert run_python(textwrap.dedent(INTERRUPTED)).strip() == "as if never interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill with SIGINT ends a process on Windows")
def test_ctrl_c_during_the_forward_undoes_the_step():
    class Interrupts(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            if self.calls == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return x

        def backward(self, dy):
            return dy

    def make(extra):
        return nn.Sequential(nn.Linear(6, 8, rng=0), nn.BatchNorm1d(8), extra, nn.Linear(8, 3, rng=1))

    x, y = problem()
    model, twin = make(Interrupts()), make(nn.Identity())
    with pytest.raises(KeyboardInterrupt):
        run(model, data=(x, y), shuffle=False)
    run(twin, data=(x[:64], y[:64]), epochs=1, shuffle=False)
    assert states_equal(model, twin)


# --- evaluate and predict ---


def test_evaluate_is_in_evaluation_mode_and_weights_by_rows():
    x, y = problem()
    model = nn.Sequential(nn.Linear(6, 8, rng=0), nn.Dropout(0.5), nn.Linear(8, 3, rng=1))
    whole = evaluate(model, nn.CrossEntropyLoss(), (x, y), metrics=("accuracy", metrics.top_k_accuracy), batch_size=96)
    parts = evaluate(model, nn.CrossEntropyLoss(), (x, y), metrics={"accuracy": metrics.accuracy, "top_k_accuracy": metrics.top_k_accuracy}, batch_size=7)
    assert model.training and parts == pytest.approx(whole, rel=1e-6) and list(whole) == ["loss", "accuracy", "top_k_accuracy"]
    assert whole["top_k_accuracy"] == 1


@pytest.mark.parametrize("batch_size", [1, 7, 64, 96, 1000])
def test_predictions_are_bitwise_equal_for_any_batch_size(batch_size):
    x, _ = problem()
    model = nn.Sequential(nn.Linear(6, 8, rng=0), nn.Dropout(0.5), nn.Linear(8, 3, rng=1))
    result = predict(model, x, batch_size)
    assert model.training and result.dtype == np.float32
    model.eval()
    assert result.tobytes() == model(x).tobytes()


def test_predict_takes_what_is_empty_and_refuses_what_is_wrong():
    model = network()
    assert predict(model, np.zeros((0, 6), np.float32)).shape == (0, 3)
    with pytest.raises(ValueError, match="first dimension"):
        predict(model, np.float32(1))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        predict(model, np.zeros((2, 6), np.float32), 0)
    with pytest.raises(ValueError, match="equally many rows"):
        predict(model, (np.zeros((2, 6)), np.zeros((3, 6))))


# --- metrics ---


def test_metrics():
    scores = np.array([[3, 2, 1], [1, 2, 3], [2, 3, 1]], np.float32)
    labels = np.array([0, 0, 1])
    assert metrics.accuracy(scores, labels) == pytest.approx(2 / 3)
    assert metrics.accuracy(scores, np.eye(3)[labels]) == pytest.approx(2 / 3)
    assert metrics.accuracy(scores.T[None], np.array([[0, 0, 1]])) == pytest.approx(2 / 3)  # classes along axis 1
    assert metrics.top_k_accuracy(scores, labels, k=2) == pytest.approx(2 / 3) and metrics.top_k_accuracy(scores, labels, k=3) == 1
    assert metrics.binary_accuracy(np.array([1.0, -1.0]), np.array([1, 1])) == 0.5
    assert metrics.mean_squared_error(np.array([1.0, 3.0]), np.array([0.0, 1.0])) == 2.5
    assert metrics.mean_absolute_error(np.array([1.0, 3.0]), np.array([0.0, 1.0])) == 1.5
    for wrong in (lambda: metrics.accuracy(scores[0], labels), lambda: metrics.accuracy(scores, labels[:2]),
                  lambda: metrics.mean_squared_error(scores, labels)):  # fmt: skip
        with pytest.raises(ValueError, match="shape"):
            wrong()


# --- callbacks ---


def test_callbacks_are_called_in_order():
    calls = []

    class Records(Callback):
        def __getattribute__(self, name):
            if not name.startswith("on_"):
                return super().__getattribute__(name)
            return lambda state: calls.append((name, state.epoch, state.batch, state.history.epochs))

    run(epochs=1, batch_size=48, callbacks=[Records()])
    assert calls == [("on_fit_begin", 0, 0, 0), ("on_epoch_begin", 0, 0, 0), ("on_batch_end", 0, 0, 0), ("on_batch_end", 0, 1, 0),
                     ("on_epoch_end", 0, 1, 0), ("on_epoch_recorded", 0, 1, 1), ("on_fit_end", 0, 1, 1)]  # fmt: skip


class Prepared(Callback):
    """Gives each epoch a prepared metric."""

    def __init__(self, *values):
        self.values = values
        self.states = []

    def on_epoch_end(self, state):
        state.logs["score"] = self.values[state.epoch]
        self.states.append(state.model.state_dict())


def test_early_stopping_stops_and_restores_the_best():
    prepared, stopping = Prepared(3, 2, 2.5, math.nan, 1.9, 0), EarlyStopping("score", patience=2)
    model, history = run(epochs=6, callbacks=[prepared, stopping])
    assert len(history) == 4 and stopping.stopped_epoch == 3 and stopping.best_epoch == 1 and stopping.best == 2
    assert all(np.array_equal(a, b) for a, b in zip(model.state_dict().values(), prepared.states[1].values()))


def test_early_stopping_knows_direction_difference_and_a_continued_history():
    stopping = EarlyStopping("score", patience=1, mode="max", min_delta=0.1, restore_best=False)
    _, history = run(epochs=6, callbacks=[Prepared(0.1, 0.3, 0.35, 1, 1, 1), stopping])
    assert len(history) == 3
    continued = EarlyStopping("score", patience=3, mode="max", min_delta=0.1)
    run(epochs=6, history=history, callbacks=[Prepared(0, 0, 0, 0.1, 0.1, 0.1), continued])
    assert len(history) == 5 and continued.best_epoch == 1
    assert EarlyStopping("val_accuracy").mode == "max" and EarlyStopping().mode == "min"
    with pytest.raises(ValueError, match="mode must be"):
        EarlyStopping(mode="best")


def test_best_checkpoint_keeps_the_best(tmp_path):
    prepared = Prepared(3, 1, 2)
    model, _ = run(callbacks=[prepared, BestCheckpoint(tmp_path / "best.safetensors", "score", metadata={"n": 1})])
    state = fastnn.load_state(tmp_path / "best.safetensors")
    assert all(np.array_equal(state[name], array) for name, array in prepared.states[1].items())
    assert not states_equal(model, build_like(state))


def build_like(state):
    model = network(seed=9)
    model.load_state_dict(state)
    return model


# --- architectures, and the network in NumPy ---


def test_architectures_are_built_from_plain_data():
    model = build(feed_forward(6, [8, 4], 3, "tanh", 0.5), rng=0)
    assert [type(layer).__name__ for layer in model] == ["Linear", "Tanh", "Dropout", "Linear", "Tanh", "Dropout", "Linear"]
    assert states_equal(model, build(feed_forward(6, [8, 4], 3, "tanh", 0.5), rng=0))
    assert build(feed_forward(6, [], 3), np.float64)[0].weight.dtype == np.float64
    for wrong in ([["os.system", {}]], [["Module", {}]], [["Linear", {}]], [["ReLU", {"inplace": {}}]], [["ReLU"]], {}, [3], [["Linear", {"rng": 3, "in_features": 1, "out_features": 2}]]):
        with pytest.raises(ValueError, match="architecture|layer 0"):
            build(wrong)
    with pytest.raises(ValueError, match="activation must be one of relu"):
        feed_forward(1, [1], 1, "magic")


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_network_in_numpy_learns_the_same(activation, optimizer):
    x, y = problem()
    model = build(feed_forward(6, [8, 8], 3, activation), rng=0)
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    theirs = NumpyNetwork([layer.weight for layer in layers], [layer.bias for layer in layers], activation, optimizer, lr=1e-2)
    ours = optim.Adam(model.parameters(), lr=1e-2) if optimizer == "adam" else optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    loss = nn.CrossEntropyLoss()
    for i in range(20):
        rows = slice(16 * (i % 6), 16 * (i % 6) + (16 if i % 2 else 11))
        value = loss(model(x[rows]), y[rows])
        ours.zero_grad()
        model.backward(loss.backward())
        ours.step()
        assert theirs.step(x[rows], y[rows]) == pytest.approx(value, rel=1e-3)
    for layer, weight, bias in zip(layers, theirs.weights, theirs.biases):
        np.testing.assert_allclose(layer.weight, weight.T, rtol=0, atol=2e-4)
        np.testing.assert_allclose(layer.bias, bias, rtol=0, atol=2e-4)
