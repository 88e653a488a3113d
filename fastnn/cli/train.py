"""`fastnn train`: a classifier from data to file, and its speed against plain NumPy."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

import numpy as np

import fastnn
from fastnn import data, nn, optim
from fastnn.cli import CommandError
from fastnn.cli.compare import compare
from fastnn.cli.train_text import run as train_text
from fastnn.cli.datasets import CLASSES, DATA_SETS, augmentation, load
from fastnn.training import Callback, FitState, History, pictures
from fastnn.training.architecture import Architecture, activation_name, build, feed_forward
from fastnn.training.report import duration

# What is used where an option is not given: hidden sizes, epochs, batch size, and the largest learning rate of Adam and its kin.
MLP: dict[str, dict[str, Any]] = {
    "digits": {"hidden": [256], "epochs": 30, "batch_size": 32, "lr": 1e-2},
    "mnist": {"hidden": [128], "epochs": 10, "batch_size": 64, "lr": 4e-3},
    "fashion-mnist": {"hidden": [128], "epochs": 10, "batch_size": 64, "lr": 4e-3},
    "cifar10": {"hidden": [128], "epochs": 10, "batch_size": 64, "lr": 1e-3},
}  # fmt: skip
OTHERS: dict[str, dict[str, Any]] = {
    "lenet5": {"epochs": 15, "lr": 4e-3},
    "small_cnn": {"epochs": 15, "lr": 4e-3},
    "vgg": {"epochs": 20, "lr": 2e-3},
    "resnet20": {"epochs": 20, "lr": 1e-2},
    "mobilenet": {"epochs": 20, "lr": 4e-3},
}
# The models that each of these options is for.
RECURRENT = ("lstm", "gru", "rnn")
OWN = {
    "hidden": ("mlp", *RECURRENT), "activation": ("mlp", "lenet5"), "dropout": ("mlp", "vgg", *RECURRENT), "layers": RECURRENT, "embedding": RECURRENT,
    "steps": RECURRENT, "file": RECURRENT,
}  # fmt: skip


class Times(Callback):
    """The seconds that each epoch's training took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_epoch_end(self, state: FitState) -> None:
        self.seconds.append(state.seconds)


def run(options: argparse.Namespace) -> None:
    if options.model is None:
        options.model = "lstm" if options.data == "text" else "mlp"
    if (options.data == "text") != (options.model in RECURRENT):
        raise CommandError(f"--model {options.model} is not for --data {options.data}: recurrent networks, {', '.join(RECURRENT)}, are for text")
    for option, models in OWN.items():
        if getattr(options, option) is not None and options.model not in models:
            names = f"{', '.join(models[:-1])} and {models[-1]}" if len(models) > 1 else models[0]
            raise CommandError(f"--{option} is for --model {names}, not for {options.model}")
    if options.data == "text":
        train_text(options)
        return
    if options.plot or options.plot_filters or options.confusion:
        pictures.new_figure(1, 1)  # or say now that there is no matplotlib
    defaults = MLP[options.data] if options.model == "mlp" else {"batch_size": 32 if options.data == "digits" else 64, **OTHERS[options.model]}
    for name in ("hidden", "epochs", "batch_size"):
        if getattr(options, name) is None:
            setattr(options, name, defaults.get(name))
    if options.threads:
        fastnn.set_num_threads(options.threads)
    say = (lambda *_: None) if options.json else print

    chosen = DATA_SETS[options.data]
    shape = (math.prod(chosen.image),) if options.model == "mlp" else chosen.image
    transform = augmentation(options)
    generator = np.random.default_rng(options.seed)
    try:
        architecture = describe(options, chosen.image)
        model = build(architecture, rng=generator)
    except ValueError as error:
        raise CommandError(str(error)) from error
    train, test = load(options, shape)
    fastnn.manual_seed(options.seed)
    rate = options.lr or defaults["lr"] * {"sgd": 10, "adagrad": 2, "rmsprop": 0.3}.get(options.optimizer, 1)
    optimizer = make_optimizer(options.optimizer, model, rate)
    loader = data.DataLoader(
        *train, batch_size=options.batch_size, shuffle=True, seed=options.seed, transform=transform, prefetch=0 if transform is None else 2
    )
    schedule = None
    if options.schedule == "onecycle":
        cycled = options.optimizer in ("adam", "adamw", "sgd")
        schedule = optim.OneCycleLR(optimizer, rate, total_steps=options.epochs * len(loader), cycle_momentum=cycled)
    loss, times = nn.CrossEntropyLoss(), Times()

    threads = fastnn.get_num_threads()
    say(f"{options.data}: {len(train[0]):,} training and {len(test[0]):,} test samples of {'×'.join(map(str, shape))} numbers"
        + ("" if transform is None else ", augmented in training"))  # fmt: skip
    say(f"fastnn {fastnn.__version__}: {fastnn.instruction_set()}, {threads} thread{'s' if threads > 1 else ''}\n")
    say(model.summary((options.batch_size, *shape)) + "\n")
    history = fastnn.fit(
        model, loss, optimizer, loader, options.epochs, validation=test, metrics=("accuracy",), callbacks=[times], scheduler=schedule,
        verbose=not options.json, progress=not options.json,
    )  # fmt: skip
    result = fastnn.evaluate(model, loss, test, metrics=("accuracy",))
    about = {
        "architecture": architecture, "shape": shape, "image": chosen.image, "classes": chosen.classes, "data": options.data,
        "whole_numbers_up_to": chosen.whole_numbers_up_to, "test_accuracy": result["accuracy"], "fastnn": fastnn.__version__,
    }  # fmt: skip
    fastnn.save(model, options.output, metadata=about)
    drawn = draw(options, model, history, test)
    speed = len(train[0]) / float(np.median(times.seconds))
    say(f"\ntest accuracy    {100 * result['accuracy']:.2f} %, loss {result['loss']:.4f}")
    say(f"speed            {speed:,.0f} samples per second")
    ratio = compare(model, options, rate, loader)
    if isinstance(ratio, str):
        say(f"NumPy            not compared: {ratio}")
    else:
        say(f"plain NumPy      {duration(ratio['numpy'])} per epoch, fastnn {duration(ratio['fastnn'])}: {ratio['numpy'] / ratio['fastnn']:.1f} times as fast")
    say(f"model            {options.output}")
    for what, path in drawn:
        say(f"{what:<15}  {path}")
    if options.json:
        print(json.dumps(results(options, history, result, speed, ratio), indent=2))


def describe(options: argparse.Namespace, image: tuple[int, int, int]) -> Architecture:
    """The architecture that the options ask for, of a classifier of such images."""
    if options.model == "mlp":
        options.activation, options.dropout = options.activation or "relu", options.dropout or 0.0
        return feed_forward(math.prod(image), options.hidden, CLASSES, options.activation, options.dropout)
    arguments: dict[str, Any] = {"num_classes": CLASSES, "in_channels": image[0]}
    if options.model in ("lenet5", "small_cnn", "vgg"):
        arguments["image_size"] = image[1]
    if options.activation is not None:
        arguments["activation"] = activation_name(options.activation)
    if options.dropout is not None:
        arguments["dropout"] = options.dropout
    return [options.model, arguments]


def draw(options: argparse.Namespace, model: nn.Module, history: History, test: Any) -> list[tuple[str, str]]:
    """Draw the pictures that the options ask for; returns what they show and where they are."""
    chosen, drawn = DATA_SETS[options.data], []
    if options.plot:
        history.plot(options.plot)
        drawn.append(("learning curves", options.plot))
    if options.plot_filters:
        weight = next(p.data for p in model.parameters() if p.data.ndim > 1)
        pictures.filters(weight if weight.ndim == 4 else weight.reshape(-1, *chosen.image), options.plot_filters)
        drawn.append(("filters", options.plot_filters))
    if options.confusion:
        predicted = fastnn.predict(model, test[0]).argmax(axis=1)
        pictures.confusion_matrix(test[1], predicted, chosen.classes or [str(i) for i in range(CLASSES)], options.confusion)
        drawn.append(("confusion", options.confusion))
    return drawn


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
        "data": options.data, "network": options.model, "hidden": options.hidden, "epochs": options.epochs, "batch_size": options.batch_size, "seed": options.seed,
        "test_accuracy": result["accuracy"], "test_loss": result["loss"], "samples_per_second": speed, "numpy": compared,
        "history": history.to_dict(), "model": options.output, "plot": options.plot, "filters": options.plot_filters, "confusion": options.confusion,
    }  # fmt: skip
