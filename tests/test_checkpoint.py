"""Saving, loading and resuming."""

import json
import os
import stat
import struct

import numpy as np
import pytest

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader
from fastnn.training import Callback, Checkpoint, History, checkpoint, files, fit, load_metadata


def model_of(seed=0, width=8):
    return nn.Sequential(nn.Linear(6, width, rng=seed), nn.BatchNorm1d(width), nn.Tanh(), nn.Dropout(0.3, rng=seed + 1), nn.Linear(width, 3, rng=seed + 2))


def problem():
    rng = np.random.default_rng(3)
    return rng.normal(size=(90, 6)).astype(np.float32), rng.integers(0, 3, 90)


OPTIMIZERS = {
    "adam": lambda p: optim.Adam(p, lr=1e-2, amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=1e-2),
    "sgd": lambda p: optim.SGD(p, lr=1e-1, momentum=0.9, nesterov=True),
    "rmsprop": lambda p: optim.RMSprop(p, lr=1e-2, momentum=0.5, centered=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=1e-1),
}
SCHEDULES = {
    "none": lambda o: None,
    "step": lambda o: optim.StepLR(o, 2, 0.5),
    "multistep": lambda o: optim.MultiStepLR(o, [1, 3], 0.5),
    "exponential": lambda o: optim.ExponentialLR(o, 0.9),
    "cosine": lambda o: optim.CosineAnnealingLR(o, 6),
    "linear": lambda o: optim.LinearLR(o),
    "onecycle": lambda o: optim.OneCycleLR(o, 2e-2, total_steps=6 * 6),
    "plateau": lambda o: optim.ReduceLROnPlateau(o, patience=0),
    "sequential": lambda o: optim.SequentialLR(o, [optim.LinearLR(o), optim.ExponentialLR(o, 0.9)], [2]),
}


class Run:
    """A whole run: model, optimizer, schedule, loader, history."""

    def __init__(self, optimizer="adam", schedule="none"):
        self.model = model_of()
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.scheduler = SCHEDULES[schedule](self.optimizer)
        self.loader = DataLoader(*problem(), batch_size=16, shuffle=True, seed=5)
        self.history = History()

    def train(self, epochs, *callbacks):
        fit(self.model, nn.CrossEntropyLoss(), self.optimizer, self.loader, epochs, scheduler=self.scheduler, history=self.history,
            metrics=("accuracy",), callbacks=callbacks, verbose=False)  # fmt: skip
        return self

    def load(self, path):
        fastnn.load_checkpoint(path, self.model, self.optimizer, self.scheduler, self.loader, self.history)
        return self

    def bits(self):
        optimizer = self.optimizer.state_dict()
        arrays = list(self.model.state_dict().values()) + [v for s in optimizer["state"].values() for v in s.values()]
        return [np.asarray(a).tobytes() for a in arrays], optimizer["param_groups"], self.model[3].extra_state().tobytes(), self.history


@pytest.mark.parametrize("optimizer, schedule", [(o, "none") for o in OPTIMIZERS] + [("adam", s) for s in SCHEDULES])
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path, optimizer, schedule):
    path = tmp_path / "run.safetensors"
    whole = Run(optimizer, schedule).train(6)
    Run(optimizer, schedule).train(3, Checkpoint(path))
    resumed = Run(optimizer, schedule).load(path)
    assert len(resumed.history) == 3
    assert resumed.train(6).bits() == whole.bits()


def test_a_run_can_be_resumed_within_an_epoch(tmp_path):
    path = tmp_path / "run.safetensors"
    run, whole = Run(), Run().train(3)

    class Stops(Callback):
        def on_batch_end(self, state):
            if state.step == 9:
                fastnn.save_checkpoint(path, state.model, state.optimizer, loader=state.loader, history=state.history)
                raise RuntimeError

    with pytest.raises(RuntimeError):
        run.train(3, Stops())
    assert Run().load(path).train(3).bits()[:3] == whole.bits()[:3]


def test_a_checkpoint_is_written_every_so_often_and_at_the_end(tmp_path):
    path, seen = tmp_path / "run.safetensors", []

    class Looks(Callback):
        def on_epoch_begin(self, state):
            seen.append(path.exists() and len(fastnn.load_checkpoint(path, model_of())))

    Run().train(3, Checkpoint(path, every=2), Looks())
    assert seen == [False, False, 2] and len(fastnn.load_checkpoint(path, model_of())) == 3


def test_models_come_back_bit_for_bit_with_their_metadata(tmp_path):
    path = tmp_path / "model.safetensors"
    model = Run().train(1).model
    fastnn.save(model, path, metadata={"classes": ["a", "ä"], "n": [1, 0.1, None]})
    other = model_of(7)
    fastnn.load(other, path)
    assert [a.tobytes() for a in other.state_dict().values()] == [a.tobytes() for a in model.state_dict().values()]
    assert load_metadata(path) == {"classes": ["a", "ä"], "n": [1, 0.1, None]}
    fastnn.save_checkpoint(path, model)
    fastnn.load(other, path)  # the model in a checkpoint, too
    with pytest.raises(TypeError, match="metadata must be what JSON can hold"):
        fastnn.save(model, path, metadata=object())


@pytest.mark.parametrize("array", [np.float32(3), np.zeros((0, 4), np.float32), np.arange(6).reshape(2, 3).T, np.arange(8.0)[::-2], np.ones(3, ">f8"), np.array([True])],
                         ids=["scalar", "empty", "fortran", "reversed", "byte-swapped", "bool"])  # fmt: skip
def test_arrays_of_any_layout_come_back(tmp_path, array):
    path = tmp_path / "a.safetensors"
    files.write_file(path, {"a": array}, "model")
    back = files.read_file(path)[0]["a"]
    assert back.shape == np.shape(array) and back.dtype == np.asarray(array).dtype.newbyteorder("=") and np.array_equal(back, array)


def test_files_are_read_by_other_programs_and_theirs_by_us(tmp_path):
    from safetensors.numpy import load_file, save_file

    path, model = tmp_path / "model.safetensors", model_of()
    fastnn.save(model, path)
    assert all(np.array_equal(array, model.state_dict()[name]) for name, array in load_file(path).items())
    save_file(model_of(4).state_dict(), path)
    fastnn.load(model, path)
    assert np.array_equal(model[0].weight, model_of(4)[0].weight)


def test_every_cut_and_every_changed_byte_is_noticed(tmp_path):
    path = tmp_path / "model.safetensors"
    fastnn.save(nn.Linear(2, 2, rng=0), path, metadata={"a": 1})
    whole = path.read_bytes()
    target = nn.Linear(2, 2, rng=1)
    before = target.weight.copy()
    damaged = [whole[:n] for n in range(len(whole))] + [whole + b"x"]
    header = struct.unpack("<Q", whole[:8])[0]
    for i in range(len(whole)):
        changed = bytearray(whole)
        changed[i] ^= 1
        damaged.append(bytes(changed))
    quiet = 0
    for data in damaged:
        path.write_bytes(data)
        try:
            fastnn.load(target, path)
        except ValueError as error:
            assert str(path) in str(error)
            assert np.array_equal(target.weight, before)
        else:
            quiet += 1
            target.weight = before
    assert header > 100 and quiet <= 12, quiet  # what is left are the letters of the metadata's key "fastnn" itself


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path, model = tmp_path / "model.safetensors", model_of()
    fastnn.save(model, path)
    before = path.read_bytes()

    def fails(*_):
        raise OSError(28, "No space left on device")

    for function in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, function, fails)
            with pytest.raises(OSError, match="No space left"):
                fastnn.save(model_of(5), path)
        assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.safetensors"]


def test_a_write_goes_through_a_link_and_respects_the_umask(tmp_path):
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real" / "m.safetensors", tmp_path / "link")
    fastnn.save(model_of(), tmp_path / "link")
    assert os.path.islink(tmp_path / "link") and (tmp_path / "real" / "m.safetensors").exists()
    (tmp_path / "plain").touch()
    assert stat.S_IMODE(os.stat(tmp_path / "link").st_mode) == stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="cannot be written"):
        fastnn.save(model_of(), tmp_path / "no" / "m.safetensors")
    with pytest.raises(FileNotFoundError):
        fastnn.load(model_of(), tmp_path / "none")


def test_what_does_not_fit_is_told_and_changes_nothing(tmp_path):
    path = tmp_path / "run.safetensors"
    run = Run("adam", "step").train(1)
    fastnn.save_checkpoint(path, run.model, run.optimizer, run.scheduler, run.loader, run.history)
    wide = model_of(width=9)
    before = wide.state_dict()
    with pytest.raises(ValueError, match="run.safetensors does not fit the model: .*must have shape"):
        fastnn.load(wide, path)
    assert all(np.array_equal(a, b) for a, b in zip(before.values(), wide.state_dict().values()))
    other = Run("sgd")
    with pytest.raises(ValueError, match="saved with a Adam as its optimizer, got a SGD|saved with an Adam"):
        fastnn.load_checkpoint(path, other.model, other.optimizer)
    with pytest.raises(ValueError, match="does not fit the run: .*batch_size"):
        fastnn.load_checkpoint(path, run.model, loader=DataLoader(*problem(), batch_size=9, shuffle=True))
    fastnn.save_checkpoint(path, run.model)
    with pytest.raises(ValueError, match="was saved without an optimizer"):
        fastnn.load_checkpoint(path, run.model, run.optimizer)
    fastnn.save(run.model, path)
    with pytest.raises(ValueError, match="not a checkpoint of a run but a model"):
        fastnn.load_checkpoint(path, run.model)


def test_a_file_of_a_newer_format_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(files, "VERSION", 2)
        fastnn.save(nn.Linear(1, 1), path)
    with pytest.raises(ValueError, match="written by a newer fastnn"):
        fastnn.load(nn.Linear(1, 1), path)


def test_history_with_nan_survives(tmp_path):
    path, history = tmp_path / "r.safetensors", History()
    history.append(loss=float("nan"), val_loss=float("inf"))
    fastnn.save_checkpoint(path, nn.Linear(1, 1), history=history)
    back = fastnn.load_checkpoint(path, nn.Linear(1, 1))
    assert json.dumps(back.to_dict()) == json.dumps(history.to_dict())
    assert checkpoint.load_state(path).keys() == {"weight", "bias"}
