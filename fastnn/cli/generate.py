"""`fastnn generate`: text from a language model, as it is written."""

from __future__ import annotations

import argparse
import sys
import time

from fastnn import nn
from fastnn.cli import CommandError
from fastnn.cli.predict import load
from fastnn.data import CharVocabulary
from fastnn.training.language import write
from fastnn.training.report import duration


def run(options: argparse.Namespace) -> None:
    model, about = load(options.model)
    if not isinstance(model, nn.models.LanguageModel) or "symbols" not in about:
        raise CommandError(f"{options.model} is no language model: `fastnn train --data text` makes one")
    vocabulary = CharVocabulary(about["symbols"])
    prompt = vocabulary.encode(options.prompt or ("\n" if "\n" in vocabulary.symbols else vocabulary.symbols[0]))
    sys.stdout.write(options.prompt)
    begin = time.perf_counter()
    for token in write(model, prompt, options.length, options.temperature, rng=options.seed):
        sys.stdout.write(vocabulary.symbols[token])
        sys.stdout.flush()
    sys.stdout.write("\n")
    if options.length and options.speed:
        print(f"{duration((time.perf_counter() - begin) / options.length)} per character", file=sys.stderr)
