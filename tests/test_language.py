"""Language models: training on streams with carried state, held-out loss, writing, and the commands around them."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.cli import main
from fastnn.cli.predict import load
from fastnn.nn.models import LanguageModel
from fastnn.training.language import CarriedStreams, held_out_loss, write

TEXT = "".join(f"{word} " for i in range(1500) for word in ("the", "quick", "brown", "fox", "jumps", str(i % 10)))


@pytest.fixture
def ids():
    return np.array([ord(c) % 50 for c in TEXT[:4000]])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_captured_training_with_carried_state_has_the_bits_of_the_eager_one(cell, ids):
    losses = []
    for captured in (False, True):
        model = LanguageModel(50, cell, 8, 12, layers=2, dropout=0.2, rng=1)
        loss, optimizer = nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2)
        step = fastnn.capture(model, loss, optimizer)
        values = []
        for tokens, following in (batch for _ in range(2) for batch in CarriedStreams(model, ids, 5, 20)):
            if captured:
                values.append(step(tokens, following))
                continue
            optimizer.zero_grad()
            values.append(loss(model(tokens), following))
            model.backward(loss.backward())
            optimizer.step()
        losses.append(values)
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]


def test_state_is_carried_from_batch_to_batch(rng):
    model = LanguageModel(9, "gru", 4, 6, rng=1)
    tokens = rng.integers(0, 9, (20, 3))
    model.start(3)
    pieces = np.concatenate([model(tokens[:12]), model(tokens[12:])])
    np.testing.assert_array_equal(pieces, model.eval()(tokens))
    model.train().start(3)
    np.testing.assert_array_equal(model(tokens[:12]), pieces[:36])
    with pytest.raises(ValueError, match=r"tokens must have 3 streams, as start was told, got shape \(20, 2\)"):
        model(tokens[:, :2])
    model.start(None)
    np.testing.assert_array_equal(model(tokens), model(tokens))


def test_table_and_embedding_give_the_same_bits_forward_and_the_same_gradients(rng):
    model = LanguageModel(30, "lstm", 4, 6, layers=1, dtype=np.float64, rng=1)
    tokens = rng.integers(0, 30, (12, 4))
    few = model(tokens)  # 48 steps: by way of the table
    one_by_one = np.concatenate([model(tokens[:, [b]])[:, None] for b in range(4)], 1)  # 12 steps: embedded
    np.testing.assert_array_equal(few, one_by_one.reshape(few.shape))
    dy = rng.standard_normal(few.shape)
    model(tokens)
    model.zero_grad()
    model.backward(dy)
    table = {name: p.grad.copy() for name, p in model.named_parameters()}
    model.zero_grad()
    for b in range(4):
        model(tokens[:, [b]])
        model.backward(dy.reshape(12, 4, 30)[:, b])
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(parameter.grad, table[name], atol=1e-13, err_msg=name)


def test_backward_matches_finite_differences(rng):
    model = LanguageModel(5, "lstm", 3, 4, dtype=np.float64, rng=1)
    fastnn.gradcheck(model, rng.integers(0, 5, (4, 2)))


def test_captured_prediction_looks_products_up(rng):
    model = LanguageModel(12, "gru", 4, 6, layers=1, rng=1)
    predict = fastnn.capture(model)
    tokens = rng.integers(0, 12, (3, 2))
    for _ in range(3):
        np.testing.assert_array_equal(predict(tokens), model.eval()(tokens))
        model.embedding.weight = model.embedding.weight * 1.5
    kernels = [line.split()[3] for line in predict.explain().splitlines() if "forward" in line]
    assert kernels == ["check_labels", "gather_rows", "gru", "gemm"]


def test_held_out_loss_is_the_mean_over_the_streams(ids):
    model = LanguageModel(50, "lstm", 8, 12, rng=1)
    part = ids[:401]
    logits = [model.eval()(part[:400].reshape(4, 100).T[:, [b]]) for b in range(4)]
    expected = np.mean([nn.CrossEntropyLoss()(l, part[1:].reshape(4, 100)[b]) for b, l in enumerate(logits)])
    assert held_out_loss(model, part, streams=4, steps=25) == pytest.approx(expected, rel=1e-6)


def test_writing_continues_the_prompt_and_repeats_with_its_seed():
    model = LanguageModel(7, "lstm", 4, 6, rng=1)
    assert list(write(model, np.array([1, 2, 3]), 20, 1.0, rng=5)) == list(write(model, np.array([1, 2, 3]), 20, 1.0, rng=5))
    greedy = list(write(model, np.array([1]), 5, 0))
    tokens = [1]
    for _ in range(5):
        tokens.append(int(model.eval()(np.array(tokens)[:, None])[-1].argmax()))
    assert greedy == tokens[1:]
    with pytest.raises(ValueError, match=r"prompt must have at least one token, got shape \(0,\)"):
        next(write(model, np.array([], int), 1))


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    """A folder with a model that was trained in it, and what the command said of it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "text.txt").write_text(TEXT)
    options = ["--hidden", "16", "--layers", "1", "--epochs", "1", "--batch-size", "8", "--steps", "16"]
    with redirect_stdout(io.StringIO()) as out:
        assert main(["train", "--data", "text", "--file", str(folder / "text.txt"), "--output", str(folder / "model.safetensors"), *options, "--json"]) == 0
    return folder, json.loads(out.getvalue())


@pytest.fixture
def trained(trained_once, monkeypatch):
    folder, report = trained_once
    monkeypatch.chdir(folder)
    return report


def test_train_writes_a_model_that_generate_continues_from(trained, capsys):
    assert trained["network"] == "lstm" and trained["val_loss"] < 2.5
    assert trained["history"]["val_loss"] == [trained["val_loss"]]
    assert main(["generate", "model.safetensors", "--prompt", "the quick", "--length", "40", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("the quick") and len(out) == len("the quick") + 41
    assert main(["generate", "model.safetensors", "--prompt", "the quick", "--length", "40", "--seed", "3"]) == 0
    assert capsys.readouterr().out == out
    assert main(["generate", "model.safetensors", "--temperature", "0", "--length", "5", "--speed"]) == 0
    assert "per character" in capsys.readouterr().err


def test_train_keeps_the_model_of_the_best_epoch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    losses, states = iter((2.0, 1.0, 3.0)), []

    def validate(model, ids):
        states.append(model.state_dict())
        return next(losses)

    monkeypatch.setattr("fastnn.cli.train_text.held_out_loss", validate)
    with redirect_stdout(io.StringIO()) as out:
        assert main(["train", "--data", "text", "--file", "text.txt", "--hidden", "8", "--layers", "1", "--epochs", "3", "--batch-size", "8", "--steps", "16", "--json"]) == 0
    assert json.loads(out.getvalue())["val_loss"] == 1.0
    saved = load("model.safetensors")[0].state_dict()
    for name, value in states[1].items():
        np.testing.assert_array_equal(saved[name], value)
    assert any((saved[name] != value).any() for name, value in states[2].items())


def test_train_shows_what_the_model_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    assert main(["train", "--data", "text", "--file", "text.txt", "--model", "gru", "--hidden", "8", "--layers", "1", "--epochs", "1", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    for part in ("characters to learn from", "1 × gru, 8 units", "val loss", "nats per character", "\n    "):
        assert part in out, part


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "text"], "--data text is read from a file: give it with --file FILE"),
        (["train", "--data", "text", "--file", "none.txt"], "none.txt: No such file or directory"),
        (["train", "--data", "text", "--file", "short.txt"], "short.txt is too short: 5 characters"),
        (["train", "--data", "text", "--file", "bytes.txt"], "bytes.txt must be text in UTF-8"),
        (["train", "--data", "text", "--file", "short.txt", "--hidden", "4,5"], "--hidden must be one size for --model lstm, got 2"),
        (["train", "--data", "text", "--model", "lenet5"], "--model lenet5 is not for --data text"),
        (["train", "--model", "gru"], "--model gru is not for --data digits"),
        (["train", "--steps", "4"], "--steps is for --model lstm, gru and rnn, not for mlp"),
        (["generate", "model.safetensors", "--prompt", "ß"], "ß"),
        (["predict", "model.safetensors", "short.txt"], "is a language model"),
        (["generate", "short.txt"], "short.txt is not a complete safetensors file"),
    ],
)
def test_commands_tell_what_is_wrong_in_one_sentence(trained, arguments, message, capsys):
    Path("short.txt").write_text("short")
    Path("bytes.txt").write_bytes(b"\xff\xfe\x00")
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
