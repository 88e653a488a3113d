"""The history of a training run: what it records, how it is saved, its picture."""

import math
import sys

import pytest

from fastnn.training.history import History


def example():
    history = History()
    for epoch in range(6):
        history.append(loss=1 / (1 + epoch), val_loss=abs(epoch - 3) + 0.5, accuracy=epoch / 6)
    return history


def test_history_gives_metrics_by_name_and_epochs_by_number():
    history = example()
    assert history["loss"] == [1 / (1 + e) for e in range(6)]
    assert history[-1] == {"loss": 1 / 6, "val_loss": 2.5, "accuracy": 5 / 6} == list(history)[5]
    assert history.epochs == len(history) == 6 and history.metrics == ("loss", "val_loss", "accuracy")
    assert "loss" in history and "val_accuracy" not in history
    assert history.best_epoch() == 3


def test_metric_that_begins_late_or_is_left_out_is_none_there():
    history = History()
    history.append(loss=1)
    history.append(loss=0.5, f1=0.3)
    history.append(f1=0.4)
    assert history.to_dict() == {"loss": [1, 0.5, None], "f1": [None, 0.3, 0.4]}


def test_history_returns_copies():
    history = example()
    history["loss"].append(3)
    history.to_dict()["loss"].append(3)
    assert len(history["loss"]) == 6


def test_history_survives_json():
    history = example()
    history.append(val_loss=math.inf)
    assert History.from_json(history.to_json()) == history != example()
    assert History.from_json(History().to_json()) == History()


def test_best_epoch_ignores_what_is_not_finite():
    history = History()
    assert history.best_epoch() is None
    for loss in (math.nan, 2, 1, -math.inf):
        history.append(loss=loss)
    assert history.best_epoch() == 2


@pytest.mark.parametrize("use, error, sentence", [
    (lambda h: h["f1"], KeyError, "No metric 'f1' was recorded; there are: loss, val_loss, accuracy"),
    (lambda h: h[6], IndexError, "Epoch 6 was not recorded; there are 6"),
    (lambda h: h.append(loss="much"), TypeError, "Metric loss must be a number"),
    (lambda h: History.from_dict({"a": [1], "b": []}), ValueError, "equally many epochs"),
    (lambda h: History.from_json("[1]"), ValueError, "is an object"),
    (lambda h: History().plot(), ValueError, "nothing to plot"),
])
def test_wrong_uses_are_told_in_a_sentence(use, error, sentence):
    with pytest.raises(error, match=sentence):
        use(example())


@pytest.mark.parametrize("epochs", [1, 2, 6])
def test_plot_draws_a_panel_for_each_recorded_kind(tmp_path, epochs):
    pytest.importorskip("matplotlib")
    history = History.from_dict({name: column[:epochs] for name, column in example().to_dict().items()})
    figure = history.plot(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Accuracy"]
    alone = History.from_dict({"val_accuracy": [0.1] * epochs})
    assert [axes.get_title(loc="left") for axes in alone.plot().axes] == ["Accuracy"]


def test_plot_of_a_diverged_run_does_not_fail(tmp_path):
    pytest.importorskip("matplotlib")
    for values in ([1.0, math.inf, math.nan], [math.nan, math.nan], [None, 1.0]):
        History.from_dict({"loss": values, "val_loss": values}).plot(tmp_path / "curves.png")


def test_plot_without_matplotlib_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[plot\]"'):
        example().plot()
