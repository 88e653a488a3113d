"""Pictures: what they show, and what is wrong told in a sentence."""

import sys

import numpy as np
import pytest

from fastnn.data import CIFAR10_CLASSES
from fastnn.training import pictures

DIGITS = [str(i) for i in range(10)]


def texts(figure):
    return [text.get_text() for text in figure.texts] + [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.fixture
def drawing():
    pytest.importorskip("matplotlib")


@pytest.fixture
def guesses(rng):
    """Probabilities, (60, 10), and right classes."""
    p = rng.random((60, 10)) ** 4
    return p / p.sum(axis=1, keepdims=True), rng.integers(0, 10, 60)


@pytest.mark.parametrize("channels", [1, 3])
def test_least_sure_shows_the_least_probable_first(drawing, guesses, rng, tmp_path, channels):
    p, labels = guesses
    figure = pictures.least_sure(rng.random((60, channels, 8, 8)), p, labels, CIFAR10_CLASSES, count=25, path=tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    title, *shown = texts(figure)
    assert title == "The 25 of 60 images the model was least sure of"
    for i, row in enumerate(np.argsort(p.max(axis=1), kind="stable")[:25]):
        taken = p[row].argmax()
        wrong = "" if taken == labels[row] else f", is {CIFAR10_CLASSES[labels[row]]}"
        assert shown[2 * i] == CIFAR10_CLASSES[taken] and shown[2 * i + 1] == f"{100 * p[row].max():.0f} %{wrong}"


def test_least_sure_of_few_images_shows_them_all(drawing, guesses, rng):
    figure = pictures.least_sure(rng.random((3, 1, 8, 8)), guesses[0][:3])
    assert texts(figure)[0].startswith("3 images") and len(figure.axes) == 3
    assert not any("is" in text for text in texts(figure)[1:])


@pytest.mark.parametrize("shape, axes, title", [
    ((6, 1, 5, 5), 6, "6 filters of 5×5"),
    ((1, 1, 1, 1), 1, "1 filter of 1×1"),
    ((32, 3, 3, 3), 32, "32 filters of 3×3 over 3 channels"),
    ((4, 2, 3, 3), 8, "4 filters of 3×3 over 2 channels"),
    ((300, 1, 8, 8), 128, "300 filters of 8×8, the first 128"),
])  # fmt: skip
def test_filters_are_all_drawn(drawing, rng, tmp_path, shape, axes, title):
    figure = pictures.filters(rng.standard_normal(shape), tmp_path / "filters.png")
    assert sum(bool(a.images) for a in figure.axes) == axes and texts(figure)[0] == title
    pictures.filters(np.zeros(shape))


def test_confusion_matrix_counts(drawing, guesses, tmp_path):
    p, labels = guesses
    taken = p.argmax(axis=1)
    figure = pictures.confusion_matrix(labels, taken, DIGITS, tmp_path / "confusion.png")
    shown = {(round(t.get_position()[1]), round(t.get_position()[0])): int(t.get_text()) for t in figure.axes[0].texts}
    pairs = list(zip(labels.tolist(), taken.tolist()))
    assert shown == {pair: pairs.count(pair) for pair in pairs}
    assert figure.axes[0].get_title(loc="left") == f"{100 * np.mean(labels == taken):.2f} % of 60 are right"
    pictures.confusion_matrix(np.zeros(0, int), np.zeros(0, int), DIGITS)


@pytest.mark.parametrize("call, sentence", [
    (lambda x, p, y: pictures.least_sure(x[:, 0], p), r"got \(60, 8, 8\) and \(60, 10\)"),
    (lambda x, p, y: pictures.least_sure(x[:0], p[:0]), "n > 0"),
    (lambda x, p, y: pictures.least_sure(x, p, y[:3]), r"labels must be 60 integers, one for each row, got int64 of shape \(3,\)"),
    (lambda x, p, y: pictures.least_sure(x, p, y + 5), "labels must be from 0 to 9, got 5 to 14"),
    (lambda x, p, y: pictures.filters(p), r"weight must have shape \(filters, channels, height, width\) and not be empty, got \(60, 10\)"),
    (lambda x, p, y: pictures.confusion_matrix(y, y - 1, DIGITS), "labels must be from 0 to 9, got -1 to 8"),
    (lambda x, p, y: pictures.confusion_matrix(y, y[1:], DIGITS), "labels must be 59 integers"),
    (lambda x, p, y: pictures.confusion_matrix(y.astype(float), y, DIGITS), "got float64"),
])  # fmt: skip
def test_what_is_wrong_is_told_in_a_sentence(guesses, rng, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(rng.random((60, 1, 8, 8)), *guesses)


def test_without_matplotlib_a_sentence_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[plot\]"'):
        pictures.filters(np.ones((1, 1, 3, 3)))
