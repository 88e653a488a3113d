"""What language models need around fit: streams that carry the state, the loss on held-out text, and writing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from fastnn.captured import CapturedPrediction
from fastnn.data import StreamBatches
from fastnn.nn import CrossEntropyLoss
from fastnn.nn.models import LanguageModel
from fastnn.nn.module import Array, mode
from fastnn.random import Rng, default_rng


class CarriedStreams:
    """The batches (tokens, the tokens that follow) of an epoch for a LanguageModel, which starts its streams anew with each epoch, somewhere else.

    ids: (n,) integers. tokens: (steps, streams); what follows: (steps streams,), as the logits.
    """

    def __init__(self, model: LanguageModel, ids: Array, streams: int, steps: int, seed: int = 0) -> None:
        self.model, self.batches = model, StreamBatches(ids, streams, steps, batch_first=False, random_offset=True, seed=seed)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        self.model.start(self.batches.batch_size)
        return ((np.ascontiguousarray(tokens), following.reshape(-1)) for tokens, following in self.batches)


def held_out_loss(model: LanguageModel, ids: Array, streams: int = 8, steps: int = 128) -> float:
    """The mean cross entropy of a text's tokens in nats, each predicted from all before it in its stream; the text is cut into so many streams."""
    loss, predict = CrossEntropyLoss(reduction="sum"), CapturedPrediction(model)
    total, count, state = 0.0, 0, model.zero_state(streams)
    for tokens, following in StreamBatches(ids, streams, steps, batch_first=False):
        logits, state = predict(np.ascontiguousarray(tokens), state)
        total += float(loss.forward(logits, following.reshape(-1)))
        count += following.size
    return total / count


def write(model: LanguageModel, prompt: Array, length: int, temperature: float = 1.0, rng: Rng = None) -> Iterator[int]:
    """Continue a text token by token: `length` tokens, each drawn from softmax(logits / temperature); 0 takes the likeliest.

    prompt: (n,) tokens, n > 0. The iterator gives a token as soon as it is known.
    """
    if np.ndim(prompt) != 1 or not len(prompt):
        raise ValueError(f"prompt must have at least one token, got shape {np.shape(prompt)}")
    if not 0 <= temperature < np.inf:
        raise ValueError(f"temperature must be at least 0, got {temperature}")
    generator, predict = default_rng(rng), CapturedPrediction(model)
    with mode(False, model):
        logits, state = model.forward(np.asarray(prompt)[:, None], model.zero_state(1))
    for _ in range(length):
        token = _draw(logits[-1], temperature, generator)
        yield token
        logits, state = predict(np.array([[token]]), state)


def _draw(logits: Array, temperature: float, generator: np.random.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    shares: Any = np.exp((logits - logits.max()).astype(np.float64) / temperature).cumsum()
    return int(np.searchsorted(shares, generator.random() * shares[-1], side="right"))
