"""`fastnn train --data text`: a language model of characters from a text file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import fastnn
from fastnn import data, nn, optim
from fastnn.cli import CommandError
from fastnn.training import Callback, EarlyStopping, FitState
from fastnn.training.architecture import build
from fastnn.training.language import CarriedStreams, held_out_loss, write

# What is used where an option is not given.
USUAL: dict[str, Any] = {"hidden": [256], "layers": 2, "embedding": 64, "steps": 64, "dropout": 0.15, "epochs": 12, "batch_size": 32, "lr": 5e-3}
SHOWN = 160  # characters of the samples while it learns


class Validation(Callback):
    """After each epoch: the loss on the held-out text, and in between a sample of what the model writes."""

    def __init__(self, model: Any, ids: Any, vocabulary: data.CharVocabulary, prompt: Any, temperature: float, show: bool) -> None:
        self.model, self.ids, self.vocabulary, self.prompt, self.temperature, self.show = model, ids, vocabulary, prompt, temperature, show

    def on_epoch_end(self, state: FitState) -> None:
        state.logs["val_loss"] = held_out_loss(self.model, self.ids)

    def on_epoch_recorded(self, state: FitState) -> None:
        if self.show:
            text = self.vocabulary.decode(list(write(self.model, self.prompt, SHOWN, self.temperature, rng=state.epoch)))
            print("\n" + "\n".join("    " + line for line in text.strip().splitlines()) + "\n", flush=True)


def run(options: argparse.Namespace) -> None:
    for name, value in USUAL.items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if len(options.hidden) != 1:
        raise CommandError(f"--hidden must be one size for --model {options.model}, got {len(options.hidden)}")
    if not options.file:
        raise CommandError("--data text is read from a file: give it with --file FILE")
    if options.plot:
        from fastnn.training import pictures

        pictures.new_figure(1, 1)  # or say now that there is no matplotlib
    if options.threads:
        fastnn.set_num_threads(options.threads)
    text = read_text(options.file)
    vocabulary = data.CharVocabulary.from_text(text)
    ids = vocabulary.encode(text)
    cut = len(ids) - len(ids) // 10
    fewest = (options.batch_size + 1) * options.steps
    if cut < fewest or len(ids) - cut < 8 * 128 + 1:
        raise CommandError(f"{options.file} is too short: {len(ids):,} characters; there must be {max(fewest * 10 // 9 + 1, 10250):,} for "
                           f"--batch-size {options.batch_size} and --steps {options.steps}")  # fmt: skip
    architecture = ["LanguageModel", {
        "vocabulary": len(vocabulary), "cell": options.model, "embedding": options.embedding, "hidden": options.hidden[0], "layers": options.layers,
        "dropout": options.dropout,
    }]  # fmt: skip
    model = build(architecture, rng=np.random.default_rng(options.seed))
    assert isinstance(model, nn.models.LanguageModel)
    fastnn.manual_seed(options.seed)
    batches = CarriedStreams(model, ids[:cut], options.batch_size, options.steps, options.seed)
    optimizer = optim.Adam(model.parameters(), lr=options.lr)
    total = options.epochs * len(batches)
    schedule = optim.OneCycleLR(optimizer, options.lr, total_steps=total, cycle_momentum=False) if options.schedule == "onecycle" else None

    say = (lambda *_: None) if options.json else print
    threads, parameters = fastnn.get_num_threads(), sum(p.size for p in model.parameters())
    say(f"{options.file}: {cut:,} characters to learn from, {len(ids) - cut:,} held out; {len(vocabulary)} different ones")
    say(f"fastnn {fastnn.__version__}: {fastnn.instruction_set()}, {threads} thread{'s' if threads > 1 else ''}")
    say(f"{options.layers} × {options.model}, {options.hidden[0]} units, {parameters:,} parameters; {options.batch_size} streams, {options.steps} steps\n")
    validation = Validation(model, ids[cut:], vocabulary, ids[cut - 100 : cut], 0.8, not options.json)
    keeper = EarlyStopping("val_loss", patience=options.epochs)  # at the end the model of the best epoch
    history = fastnn.fit(
        model, nn.CrossEntropyLoss(), optimizer, batches, options.epochs, callbacks=[validation, keeper], scheduler=schedule, clip_grad_norm=1.0,
        verbose=not options.json, progress=False if options.json else None,
    )  # fmt: skip
    best = history["val_loss"][-1 if keeper.best_epoch is None else keeper.best_epoch]
    about = {"architecture": architecture, "symbols": list(vocabulary.symbols), "data": "text", "val_loss": best, "fastnn": fastnn.__version__}
    fastnn.save(model, options.output, metadata=about)
    if options.plot:
        history.plot(options.plot)
    say(f"validation loss  {best:.4f} nats per character")
    say(f"model            {options.output}")
    if options.plot:
        say(f"learning curves  {options.plot}")
    if options.json:
        print(json.dumps({
            "data": "text", "file": options.file, "network": options.model, "hidden": options.hidden[0], "layers": options.layers, "epochs": options.epochs,
            "batch_size": options.batch_size, "steps": options.steps, "seed": options.seed, "val_loss": best, "history": history.to_dict(),
            "model": options.output, "plot": options.plot,
        }, indent=2))  # fmt: skip


def read_text(name: str) -> str:
    try:
        return Path(name).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CommandError(f"{name} must be text in UTF-8: {error.reason} at byte {error.start}") from None
