"""The command `fastnn`, and the examples. Long, because each sub-command is run with each of its options and with what it must refuse."""

import csv
import gzip
import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from fastnn.data import CIFAR10_CLASSES, digits
from fastnn.training.architecture import build
from fastnn.training.files import read_file

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
with_vectors = pytest.mark.skipif(fastnn.instruction_set() == "scalar", reason="takes too long without vectors")
MNIST = os.environ.get("FASTNN_MNIST_DIR")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    threads = fastnn.get_num_threads()
    monkeypatch.chdir(tmp_path)
    yield
    fastnn.set_num_threads(threads)


# A process of its own finds the fastnn that is tested from any folder.
HERE = dict(os.environ, PYTHONPATH=os.pathsep.join([str(Path(fastnn.__file__).resolve().parent.parent), os.environ.get("PYTHONPATH", "")]))


def command(*arguments):
    """The command in a process of its own."""
    return subprocess.run([sys.executable, "-m", "fastnn", *arguments], capture_output=True, text=True, timeout=120, env=HERE)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "model.safetensors"
    with redirect_stdout(io.StringIO()):
        assert main(["train", "--epochs", "2", "--json", "--output", str(path)]) == 0
    return path


@pytest.fixture
def trained(model_file):
    return shutil.copy(model_file, "model.safetensors")


# --- train ---


@with_vectors
def test_train_reaches_97_percent_and_says_so(tmp_path):
    done = command("train", "--plot")
    assert done.returncode == 0, done.stderr
    out = done.stdout
    for part in ("Linear", "ReLU", "parameters", "(32, 256)", "30/30", "samples per second", "plain NumPy", "times as fast", "model.safetensors"):
        assert part in out, part
    accuracy = float(out.split("test accuracy")[1].split("%")[0])
    assert accuracy >= 97
    assert (tmp_path / "learning-curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "100%" in done.stderr  # the progress bar


def test_train_is_reproducible_from_the_seed(capfd):
    histories = []
    for seed, threads in ((1, 1), (1, 2), (2, 1)):
        name = f"{seed}{threads}.safetensors"
        assert main(["train", "--epochs", "2", "--dropout", "0.2", "--seed", str(seed), "--threads", str(threads), "--json", "--output", name]) == 0
        result = json.loads(capfd.readouterr().out)
        histories.append((result["history"], {k: v.tobytes() for k, v in read_file(name)[0].items()}))
    assert histories[0] == histories[1] != histories[2]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "rmsprop", "adagrad"])
def test_train_knows_the_optimizers_with_good_learning_rates(capfd, optimizer):
    assert main(["train", "--epochs", "10", "--optimizer", optimizer, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["test_accuracy"] > 0.93
    assert (result["numpy"] is None) == (optimizer not in ("adam", "sgd"))


def test_train_takes_its_options(capfd):
    assert main(["train", "--epochs", "1", "--hidden", "16,8", "--activation", "GELU", "--dropout", "0.1", "--batch-size", "100", "--lr", "0.01",
                 "--schedule", "constant", "--output", "small.safetensors"]) == 0  # fmt: skip
    out = capfd.readouterr().out
    assert "GELU" in out and "(100, 16)" in out and "(100, 8)" in out and "not compared" in out
    about = read_file("small.safetensors")[2]
    assert [layer for layer, _ in about["architecture"]] == ["Linear", "GELU", "Dropout", "Linear", "GELU", "Dropout", "Linear"]


def test_train_without_a_hidden_layer(capfd):
    assert main(["train", "--epochs", "5", "--hidden", "", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["test_accuracy"] > 0.9


IMAGE_MODELS = ("small_cnn", "vgg", "resnet20", "mobilenet")


def train_small(model, *arguments):
    return main(["train", "--model", model, "--epochs", "1", "--batch-size", "128", "--threads", "1", "--output", f"{model}.safetensors", *arguments])


@with_vectors
@pytest.mark.parametrize("model", IMAGE_MODELS)
def test_train_saves_every_model_so_that_predict_can_use_it(model, capfd):
    assert train_small(model, "--json") == 0
    result = json.loads(capfd.readouterr().out)
    assert result["network"] == model and result["hidden"] is None and result["numpy"] is None
    x, y = digits()[1]
    np.savez("test.npz", x=x, y=y)
    assert main(["predict", f"{model}.safetensors", "test.npz", "--labels", "test.npz"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 366 and lines[-1] == f"{100 * result['test_accuracy']:.2f} % of 364 are right"


@with_vectors
def test_train_with_augmentation_is_reproducible(capfd):
    files = []
    for name in ("a", "b"):
        assert train_small("small_cnn", "--augment", "--epochs", "2", "--output", name) == 0
        assert "augmented in training" in capfd.readouterr().out
        files.append({key: value.tobytes() for key, value in read_file(name)[0].items()})
    assert train_small("small_cnn", "--epochs", "2", "--output", "plain") == 0
    plain = {key: value.tobytes() for key, value in read_file("plain")[0].items()}
    assert files[0] == files[1] != plain


def small_cifar10(folder, rows=40):
    """Files in which the class is the brightness of the image."""
    from fastnn.data.cifar import NAMES

    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        labels = rng.integers(0, 10, rows)
        pixels = 25 * labels[:, None] + rng.integers(0, 10, (rows, 3072))
        (folder / name).write_bytes(np.column_stack([labels, pixels]).astype(np.uint8).tobytes())


@with_vectors
def test_train_and_predict_know_cifar10(tmp_path, capfd):
    small_cifar10(tmp_path / "data")
    assert main(["train", "--data", "cifar10", "--data-dir", "data", "--epochs", "30", "--hidden", "32", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    about = read_file("model.safetensors")[2]
    assert about["shape"] == [3072] and about["image"] == [3, 32, 32] and about["classes"] == list(CIFAR10_CLASSES)
    assert main(["predict", "model.safetensors", "data/test_batch.bin", "--labels", "data/test_batch.bin"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["row", "class", "probability", "name"] and len(lines) == 42
    assert all(line.split()[3] == CIFAR10_CLASSES[int(line.split()[1])] for line in lines[1:-1])
    assert lines[-1] == f"{100 * result['test_accuracy']:.2f} % of 40 are right"


def test_train_knows_fashion_mnist(tmp_path, capfd):
    rng = np.random.default_rng(0)
    for which, rows in (("train", 200), ("t10k", 50)):
        Path(f"{which}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)))
        Path(f"{which}-labels-idx1-ubyte").write_bytes(idx(rng.integers(0, 10, rows, dtype=np.uint8)))
    assert main(["train", "--data", "fashion-mnist", "--data-dir", ".", "--epochs", "1"]) == 0
    assert "200 training and 50 test samples of 784 numbers" in capfd.readouterr().out
    assert main(["predict", "model.safetensors", "t10k-images-idx3-ubyte", "--labels", "t10k-labels-idx1-ubyte"]) == 0
    assert capfd.readouterr().out.splitlines()[-1].endswith("% of 50 are right")


@with_vectors
@pytest.mark.parametrize("model", ["mlp", "small_cnn"])
def test_train_and_predict_draw_their_pictures(model, capfd):
    pytest.importorskip("matplotlib")
    assert train_small(model, "--plot", "--plot-filters", "--confusion", "errors.png") == 0
    out = capfd.readouterr().out
    x, y = digits()[1]
    np.savez("test.npz", x=x, y=y)
    assert main(["predict", f"{model}.safetensors", "test.npz", "--plot", "unsure.png"]) == 0
    assert main(["predict", f"{model}.safetensors", "test.npz", "--labels", "test.npz", "--confusion", "confusion.png", "--output", "out.csv"]) == 0
    for name in ("learning-curves.png", "filters.png", "errors.png"):
        assert name in out
    for name in ("learning-curves.png", "filters.png", "errors.png", "unsure.png", "confusion.png"):
        assert Path(name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("option", ["--plot", "--plot-filters", "--confusion"])
def test_pictures_without_matplotlib_are_refused_before_training(option, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", option]) == 1
    out, err = capfd.readouterr()
    assert out == "" and 'pip install "fastnn[plot]"' in err and err.count("\n") == 1


@with_vectors
@pytest.mark.skipif(not MNIST, reason="FASTNN_MNIST_DIR is not set")
def test_lenet5_reaches_99_percent_on_mnist(capfd):
    assert main(["train", "--data", "mnist", "--data-dir", MNIST, "--model", "lenet5", "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["epochs"] <= 20 and result["test_accuracy"] >= 0.99


@with_vectors
@pytest.mark.skipif(not MNIST, reason="FASTNN_MNIST_DIR is not set")
def test_train_reaches_97_and_a_half_percent_on_mnist(capfd):
    assert main(["train", "--data", "mnist", "--data-dir", MNIST, "--json"]) == 0
    result = json.loads(capfd.readouterr().out)
    assert result["hidden"] == [128] and result["test_accuracy"] >= 0.975


# --- predict ---


def idx(array):
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def samples():
    """The test digits as whole numbers, and what the trained model says of them."""
    x = digits()[1][0][:20]
    return x, (x * 16).astype(np.uint8)


def expected(name, x):
    state, _, about = read_file(name)
    model = build(about["architecture"])
    model.load_state_dict(state)
    return fastnn.predict(model, x).argmax(axis=1)


@pytest.mark.parametrize("kind", ["floats.npy", "integers.npy", "x.npz", "one.npz", "numbers.csv", "header.csv", "floats.csv", "images.idx", "images.gz", "images.npy"])
def test_predict_reads_every_kind_of_file(trained, samples, capfd, kind):
    x, pixels = samples
    if kind == "floats.npy":
        np.save(kind, x)
    elif kind == "integers.npy":
        np.save(kind, pixels.astype(">i4"))
    elif kind == "images.npy":
        np.save(kind, x.astype(np.float64).reshape(-1, 8, 8))
    elif kind == "x.npz":
        np.savez(kind, x=x, y=np.zeros(20))
    elif kind == "one.npz":
        np.savez(kind, pixels)
    elif kind == "floats.csv":
        np.savetxt(kind, x, delimiter=",", fmt="%.6f")
    elif kind.endswith("csv"):
        np.savetxt(kind, pixels, delimiter=",", fmt="%d", header=",".join(f"pixel {i}" for i in range(64)) if "header" in kind else "", comments="")
    else:
        data = idx(pixels.reshape(-1, 8, 8))
        Path(kind).write_bytes(gzip.compress(data) if kind.endswith("gz") else data)
    assert main(["predict", trained, kind]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split() == ["row", "class", "probability"] and len(lines) == 21
    rows = [line.split() for line in lines[1:]]
    assert [int(row[1]) for row in rows] == expected(trained, x).tolist()
    assert all(0.1 <= float(row[2]) <= 1 for row in rows)


def test_predict_writes_a_csv(trained, samples, capfd):
    np.save("x.npy", samples[0])
    assert main(["predict", trained, "x.npy", "--output", "out.csv"]) == 0
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["class"]) for row in rows] == expected(trained, samples[0]).tolist() and rows[3]["row"] == "3"
    np.save("x.npy", np.zeros((0, 64), np.float32))
    assert main(["predict", trained, "x.npy"]) == 0


def test_predict_reads_models_of_the_first_version(trained, samples, capfd):
    np.save("x.npy", samples[1])
    assert main(["predict", trained, "x.npy"]) == 0
    now = capfd.readouterr().out
    state, _, about = read_file(trained)
    old = {"architecture": about["architecture"], "features": 64, "whole_numbers_up_to": 16}
    model = build(about["architecture"])
    model.load_state_dict(state)
    fastnn.save(model, "old.safetensors", metadata=old)
    assert main(["predict", "old.safetensors", "x.npy"]) == 0
    assert capfd.readouterr().out == now


def test_predict_tells_what_is_wrong_in_one_sentence(trained, capfd):
    np.save("narrow.npy", np.zeros((2, 63)))
    np.save("words.npy", np.array(["a"]))
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    np.save("single.npy", np.float32(1))
    np.savez("two.npz", a=np.zeros(1), b=np.zeros(1))
    Path("cut.npy").write_bytes(b"\x93NUMPY")
    Path("ragged.csv").write_text("1,2\n3\n")
    Path("word.csv").write_text("1,2\n3,x\n")
    Path("cut.idx").write_bytes(b"\0\0\x08\x01\0\0\0\x09")
    Path("cut.safetensors").write_bytes(Path(trained).read_bytes()[:-1])
    fastnn.save(fastnn.nn.Linear(64, 10), "plain.safetensors")
    fastnn.save(fastnn.nn.Linear(64, 10), "strange.safetensors", metadata={"architecture": ["alexnet", {}]})
    fastnn.save(fastnn.nn.Linear(64, 10), "wide.safetensors", metadata={"architecture": ["lenet5", {"depth": 3}]})
    np.save("good.npy", np.zeros((2, 64), np.float32))
    np.save("three.npy", np.zeros(3, int))
    np.save("eleven.npy", np.array([1, 11]))
    np.save("halves.npy", np.array([0.5, 1]))
    Path("cut.bin").write_bytes(b"\0" * 3072)
    for model, file, match, *more in [
        (trained, "good.npy", "needs the right classes: give them with --labels", "--confusion", "x.png"),
        (trained, "good.npy", "three.npy: labels must be 2 integers", "--labels", "three.npy"),
        (trained, "good.npy", "eleven.npy: labels must be from 0 to 9, got 1 to 11", "--labels", "eleven.npy"),
        (trained, "good.npy", "halves.npy: labels must be 2 integers", "--labels", "halves.npy"),
        (trained, "good.npy", "two.npz must hold one array, or one named y", "--labels", "two.npz"),
        (trained, "good.npy", "gone.npy does not exist", "--labels", "gone.npy"),
        (trained, "cut.bin", "cut.bin is cut short"),
        ("strange.safetensors", "good.npy", "a model must be one of lenet5, small_cnn"),
        ("wide.safetensors", "good.npy", "lenet5 cannot be built from {'depth': 3}"),
        (trained, "none.npy", "none.npy does not exist"),
        (trained, "narrow.npy", "must have 64 numbers a sample"),
        (trained, "words.npy", "must hold numbers"),
        (trained, "objects.npy", "not a file of NumPy's"),
        (trained, "single.npy", "a single number"),
        (trained, "cut.npy", "not a file of NumPy's"),
        (trained, "two.npz", "must hold one array, or one named x"),
        (trained, "ragged.csv", "line 2, has 1 numbers"),
        (trained, "word.csv", "line 2, must be numbers"),
        (trained, "cut.idx", "cut.idx is cut short"),
        (trained, "folder", "folder"),
        ("none.safetensors", "narrow.npy", "none.safetensors: No such file"),
        ("cut.safetensors", "narrow.npy", "cut.safetensors is not a complete safetensors file"),
        ("plain.safetensors", "narrow.npy", "does not say which layers it has"),
    ]:
        os.makedirs("folder", exist_ok=True)
        assert main(["predict", model, file, *more]) == 1
        out, err = capfd.readouterr()
        assert out == "" and err.startswith("fastnn: ") and match in err and err.count("\n") == 1, err


# --- the rest ---


def test_info(capfd):
    assert main(["info"]) == 0
    out = capfd.readouterr().out
    for part in (fastnn.__version__, fastnn.instruction_set(), "threads", np.__version__, "compiler"):
        assert part in out
    assert main(["info", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["instruction_set"] == fastnn.instruction_set()
    assert main(["--version"]) == 0 and capfd.readouterr().out == f"fastnn {fastnn.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["train", "--epochs", "0"], ["train", "--epochs", "x"], ["train", "--lr", "nan"], ["train", "--lr", "-1"], ["train", "--dropout", "1"],
     ["train", "--hidden", "3,,4"], ["train", "--hidden", "0"], ["train", "--data", "cats"], ["train", "--seed", "-1"], ["train", "--optimizer", "x"],
     ["train", "--what"], ["train", "--model", "alexnet"], ["dance"], ["predict", "one"], ["predict", "a", "b", "--divide-by", "0"]],
    ids=" ".join,
)  # fmt: skip
def test_wrong_usage_ends_with_2(arguments, capfd):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2 and "usage: fastnn" in capfd.readouterr().err
    assert main([]) == 2 and "usage: fastnn" in capfd.readouterr().out


@pytest.mark.parametrize(
    "arguments, match",
    [(["--activation", "magic"], "activation must be one of relu"), (["--data", "mnist"], "give it with --data-dir"),
     (["--data", "mnist", "--data-dir", "nowhere"], "Fetch it with --download"), (["--data", "cifar10", "--data-dir", "."], "Fetch it with --download"),
     (["--model", "small_cnn", "--hidden", "3"], "--hidden is for --model mlp, lstm, gru and rnn, not for small_cnn"),
     (["--model", "resnet20", "--dropout", "0.5"], "--dropout is for --model mlp, vgg, lstm, gru and rnn, not for resnet20"),
     (["--model", "lenet5"], "lenet5 needs an image_size of at least 12, got 8"), (["--augment"], "choose another --model"), (["--epochs", "1", "--output", "no/folder/m"], "no/folder/m cannot be written")],
)  # fmt: skip
def test_failures_are_one_sentence_and_end_with_1(arguments, match):
    done = command("train", *arguments)
    assert done.returncode == 1 and match in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("fastnn: ")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT ends a process on Windows")
def test_ctrl_c_ends_with_130_and_without_a_traceback():
    import signal

    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": HERE}
    with subprocess.Popen([sys.executable, "-m", "fastnn", "train", "--epochs", "100000"], **pipes) as process:
        while line := process.stdout.readline():
            if line.lstrip().startswith("2/"):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == 130 and "Traceback" not in err and "interrupted" in err
    assert not os.path.exists("model.safetensors")


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes of this kind")
def test_a_closed_pipe_is_no_error(trained):
    np.save("x.npy", np.zeros((100000, 64), np.float32))
    with subprocess.Popen([sys.executable, "-m", "fastnn", "predict", trained, "x.npy"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=HERE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"" and process.wait(30) in (0, 1)


def run_example(name, *arguments):
    return subprocess.run([sys.executable, "-W", "error", str(EXAMPLES / name), *arguments], capture_output=True, text=True, timeout=120, env=HERE)


@with_vectors
@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "forecast_sunspots.py"))
def test_examples_run(example):
    done = run_example(example)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@with_vectors
def test_forecast_is_better_than_persistence_and_drawn():
    done = run_example("forecast_sunspots.py", "drawn.png")
    if find_spec("statsmodels") is None or find_spec("matplotlib") is None:
        assert done.returncode == 1 and re.fullmatch(r'This example needs \w+, which is not installed; get it with: pip install "fastnn\[examples\]"\n', done.stderr)
        pytest.skip("statsmodels or matplotlib is not installed")
    assert done.returncode == 0, done.stderr
    errors = {name: (float(ahead), float(free)) for name, ahead, free in re.findall(r"^(\w.*?) {2,}([\d.]+) +([\d.]+)$", done.stdout, re.MULTILINE)}
    ours, simple, naive = (errors[name] for name in ("fastnn GRU", "AutoReg(9)", "persistence"))
    assert ours[0] < 0.6 * naive[0] and ours[1] < simple[1] < naive[1]
    assert 10_000 < os.path.getsize("drawn.png") < 60_000


def test_help_does_not_import_what_it_does_not_need():
    code = "import sys; from fastnn.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "assert not {'fastnn.training', 'fastnn.data', 'tqdm', 'safetensors', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL, timeout=60, env=HERE)
