"""`fastnn train`: a classifier from data to file, and its speed against plain NumPy."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import numpy as np

import fastnn
from fastnn import data, nn, optim
from fastnn.cli import CommandError
from fastnn.cli.compare import compare
from fastnn.training import Callback, FitState, History
from fastnn.training.architecture import build, feed_forward
from fastnn.training.report import duration

# What is used where an option is not given: hidden sizes, epochs, batch size, and the largest learning rate of Adam and its kin.
DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {"hidden": [256], "epochs": 30, "batch_size": 32, "lr": 1e-2, "whole_numbers_up_to": 16},
    "mnist": {"hidden": [128], "epochs": 10, "batch_size": 64, "lr": 4e-3, "whole_numbers_up_to": 255},
}
CLASSES = 10


class Times(Callback):
    """The seconds that each epoch's training took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_end(self, state: FitState) -> None:
        self.seconds.append(state.seconds)


def run(options: argparse.Namespace) -> None:
    defaults = DEFAULTS[options.data]
    for name in ("hidden", "epochs", "batch_size"):
        if getattr(options, name) is None:
            setattr(options, name, defaults[name])
    if options.threads:
        fastnn.set_num_threads(options.threads)
    say = (lambda *_: None) if options.json else print

    train, test = load(options)
    features = train[0].shape[1]
    generator = np.random.default_rng(options.seed)
    try:
        architecture = feed_forward(features, options.hidden, CLASSES, options.activation, options.dropout)
        model = build(architecture, rng=generator)
    except ValueError as error:
        raise CommandError(str(error)) from error
    fastnn.manual_seed(options.seed)
    rate = options.lr or defaults["lr"] * {"sgd": 10, "adagrad": 2, "rmsprop": 0.3}.get(options.optimizer, 1)
    optimizer = make_optimizer(options.optimizer, model, rate)
    loader = data.DataLoader(*train, batch_size=options.batch_size, shuffle=True, seed=options.seed)
    schedule = None
    if options.schedule == "onecycle":
        cycled = options.optimizer in ("adam", "adamw", "sgd")
        schedule = optim.OneCycleLR(optimizer, rate, total_steps=options.epochs * len(loader), cycle_momentum=cycled)
    loss, times = nn.CrossEntropyLoss(), Times()

    threads = fastnn.get_num_threads()
    say(f"{options.data}: {len(train[0]):,} training and {len(test[0]):,} test samples of {features} numbers")
    say(f"fastnn {fastnn.__version__}: {fastnn.instruction_set()}, {threads} thread{'s' if threads > 1 else ''}\n")
    say(model.summary((options.batch_size, features)) + "\n")
    history = fastnn.fit(
        model, loss, optimizer, loader, options.epochs, validation=test, metrics=("accuracy",), callbacks=[times], scheduler=schedule,
        verbose=not options.json, progress=not options.json,
    )  # fmt: skip
    result = fastnn.evaluate(model, loss, test, metrics=("accuracy",))
    about = {
        "architecture": architecture, "features": features, "whole_numbers_up_to": defaults["whole_numbers_up_to"], "data": options.data,
        "test_accuracy": result["accuracy"], "fastnn": fastnn.__version__,
    }  # fmt: skip
    fastnn.save(model, options.output, metadata=about)
    if options.plot:
        history.plot(options.plot)
    speed = len(train[0]) / float(np.median(times.seconds))
    say(f"\ntest accuracy    {100 * result['accuracy']:.2f} %, loss {result['loss']:.4f}")
    say(f"speed            {speed:,.0f} samples per second")
    ratio = compare(model, options, rate, loader)
    if isinstance(ratio, str):
        say(f"NumPy            not compared: {ratio}")
    else:
        say(f"plain NumPy      {duration(ratio['numpy'])} per epoch, fastnn {duration(ratio['fastnn'])}: {ratio['numpy'] / ratio['fastnn']:.1f} times as fast")
    say(f"model            {options.output}")
    if options.plot:
        say(f"learning curves  {options.plot}")
    if options.json:
        print(json.dumps(results(options, history, result, speed, ratio), indent=2))


def load(options: argparse.Namespace) -> Any:
    if options.data == "digits":
        return data.digits()
    if not options.data_dir:
        raise CommandError("MNIST's files are read from a folder: give it with --data-dir DIR (and --download to fetch them)")
    if options.download:
        print(f"looking for MNIST's files in {options.data_dir}, fetching what is missing", file=sys.stderr)
    try:
        return data.mnist(options.data_dir, download=options.download)
    except FileNotFoundError as error:
        raise CommandError(f"{str(error).split(' Get it with ')[0]} Fetch it with --download.") from error


def make_optimizer(name: str, model: nn.Module, rate: float) -> optim.Optimizer:
    parameters = model.parameters()
    if name == "sgd":
        return optim.SGD(parameters, lr=rate, momentum=0.9)
    kinds: dict[str, Any] = {"adam": optim.Adam, "adamw": optim.AdamW, "rmsprop": optim.RMSprop, "adagrad": optim.Adagrad}
    optimizer: optim.Optimizer = kinds[name](parameters, lr=rate)
    return optimizer


def results(options: argparse.Namespace, history: History, result: dict[str, float], speed: float, ratio: Any) -> dict[str, Any]:
    compared = None if isinstance(ratio, str) else {
        "numpy_seconds_per_epoch": ratio["numpy"], "fastnn_seconds_per_epoch": ratio["fastnn"], "ratio": ratio["numpy"] / ratio["fastnn"],
    }
    return {
        "data": options.data, "hidden": options.hidden, "epochs": options.epochs, "batch_size": options.batch_size, "seed": options.seed,
        "test_accuracy": result["accuracy"], "test_loss": result["loss"], "samples_per_second": speed, "numpy": compared,
        "history": history.to_dict(), "model": options.output, "plot": options.plot,
    }  # fmt: skip
