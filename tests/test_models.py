"""The model zoo: sizes, names, shapes, gradients, agreement with PyTorch's layers, and what is wrong told in a sentence."""

import numpy as np
import pytest
from helpers import bits

import fastnn
from fastnn import nn, optim
from fastnn.gradcheck import gradcheck
from fastnn.nn import models

# how to build it, an image for it, how many parameters it has
MODELS = {
    "lenet5": (models.lenet5, (1, 28, 28), 61_706),
    "small_cnn": (models.small_cnn, (3, 32, 32), 591_466),
    "vgg": (models.vgg, (3, 32, 32), 814_570),
    "resnet18": (models.resnet18, (3, 64, 64), 11_689_512),
    "resnet20": (models.resnet20, (3, 32, 32), 272_474),
    "mobilenet": (models.mobilenet, (3, 32, 32), 543_050),
}
NAMES = ["lenet5"] if fastnn.instruction_set() == "scalar" else list(MODELS)  # a hundred times slower than the others
CIFAR_SIZED = [name for name in NAMES if name != "resnet18"]


def size(model):
    return sum(parameter.size for parameter in model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_model_has_its_parameters_and_gives_a_number_for_each_class(name):
    make, shape, parameters = MODELS[name]
    model = make(rng=0)
    classes = 1000 if name == "resnet18" else 10
    assert size(model) == parameters
    assert model(np.zeros((2, *shape), np.float32)).shape == (2, classes)
    assert model.eval()(np.zeros((0, *shape), np.float32)).shape == (0, classes)


@pytest.mark.parametrize("name", NAMES)
def test_model_takes_classes_channels_dtype_and_rng(name, dtype):
    make, (_, *sides), _ = MODELS[name]
    model, again, other = (make(num_classes=7, in_channels=2, dtype=dtype, rng=rng) for rng in (3, np.random.default_rng(3), 4))
    x = np.random.default_rng(0).random((2, 2, *sides)).astype(dtype)
    y = model.eval()(x)
    assert y.shape == (2, 7) and y.dtype == dtype and np.isfinite(y).all()
    assert all(parameter.dtype == dtype for parameter in model.parameters())
    assert bits(y) == bits(again.eval()(x)) != bits(other.eval()(x))


# what is more than a chain, or is a part of larger models, small enough for central differences
SMALL = {
    "block": (lambda: models.BasicBlock(3, 3, dtype=np.float64, rng=1), (2, 3, 4, 4)),
    "block with projection": (lambda: models.BasicBlock(2, 3, 2, dtype=np.float64, rng=1), (2, 2, 5, 5)),
    "depthwise separable": (lambda: models.depthwise_separable(3, 4, 2, dtype=np.float64, rng=1), (3, 3, 5, 5)),
}


@pytest.mark.parametrize("name", SMALL)
def test_gradient_matches_central_differences(name, rng):
    make, shape = SMALL[name]
    gradcheck(make(), rng.standard_normal(shape))


@pytest.mark.parametrize("name", CIFAR_SIZED)
def test_captured_training_gives_the_bits_of_eager_training(name, rng):
    make, shape, _ = MODELS[name]
    x, y = rng.random((4, *shape), np.float32), rng.integers(0, 10, 4)
    states = []
    for captured in (False, True):
        fastnn.manual_seed(5)
        model, loss = make(rng=0), nn.CrossEntropyLoss()
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        step = fastnn.capture(model, loss, optimizer) if captured else None
        for _ in range(3):
            if step is not None:
                step(x, y)
                continue
            loss(model(x), y)
            optimizer.zero_grad()
            model.backward(loss.backward())
            optimizer.step()
        states.append({key: bits(array) for key, array in model.state_dict().items()})
    assert states[0] == states[1]


@pytest.mark.parametrize("name", CIFAR_SIZED)
def test_model_can_learn_a_few_images_by_heart(name, rng):
    make, shape, _ = MODELS[name]
    x, y = rng.standard_normal((8, *shape), np.float32), rng.integers(0, 10, 8)
    options = {"dropout": 0.0} if name == "vgg" else {}
    model, loss = make(rng=0, **options), nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        losses.append(loss(model(x), y))
        optimizer.zero_grad()
        model.backward(loss.backward())
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


# --- names ---


def test_residual_networks_have_torchvisions_names():
    state = models.resnet18(rng=0).state_dict()
    block = [f"{layer}.{name}" for layer in ("bn1", "bn2") for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]
    block += ["conv1.weight", "conv2.weight"]
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = {"conv1.weight", "fc.weight", "fc.bias", *(f"bn1.{name}" for name in norm)}
    for stage in range(1, 5):
        expected |= {f"layer{stage}.{i}.{name}" for i in range(2) for name in block}
        if stage > 1:
            expected |= {f"layer{stage}.0.downsample.0.weight", *(f"layer{stage}.0.downsample.1.{name}" for name in norm)}
    assert set(state) == expected
    assert state["conv1.weight"].shape == (64, 3, 7, 7) and state["layer3.0.downsample.0.weight"].shape == (256, 128, 1, 1)
    assert state["fc.weight"].shape == (1000, 512)


def test_chains_have_the_usual_names():
    assert list(models.lenet5().state_dict()) == [f"{layer}.{name}" for layer in ("conv1", "conv2", "fc1", "fc2", "fc3") for name in ("weight", "bias")]
    names = [name for name in models.vgg().state_dict() if name.endswith("weight")]
    assert names == [*(f"features.{i}.weight" for i in (0, 1, 3, 4, 7, 8, 10, 11, 14, 15, 17, 18)), "classifier.0.weight", "classifier.3.weight"]


# --- PyTorch ---


def in_torch(model):
    """The same layers as a torch.nn.Sequential, where the model is a chain."""
    torch = pytest.importorskip("torch")
    layers = []
    for module in model.modules():
        if any(module.children()):
            continue
        make = getattr(torch.nn, type(module).__name__)
        if isinstance(module, nn.Conv2d):
            layer = make(module.weight.shape[1], module.weight.shape[0], module.weight.shape[2], padding=2 if len(layers) == 0 else 0)
        elif isinstance(module, nn.Linear):
            layer = make(module.in_features, module.out_features)
        elif isinstance(module, (nn.MaxPool2d, nn.AvgPool2d)):
            layer = make(2)
        else:
            layer = make()
        layers.append(layer)
    theirs = torch.nn.Sequential(*layers).double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in zip(theirs.state_dict(), model.state_dict().values(), strict=True)})
    return torch, theirs


@pytest.mark.parametrize("options", [{}, {"activation": "Tanh", "pooling": "average"}, {"image_size": 32, "in_channels": 3}])
def test_lenet5_agrees_with_pytorch(options, rng):
    model = models.lenet5(**options, dtype=np.float64, rng=2)
    torch, theirs = in_torch(model)
    x = rng.random((3, options.get("in_channels", 1), options.get("image_size", 28), options.get("image_size", 28)))
    tensor = torch.tensor(x, requires_grad=True)
    y = theirs(tensor)
    dy = rng.standard_normal(y.shape)
    np.testing.assert_allclose(model(x), y.detach().numpy(), rtol=1e-12, atol=1e-12)
    y.backward(torch.tensor(dy))
    np.testing.assert_allclose(model.backward(dy), tensor.grad.numpy(), rtol=1e-12, atol=1e-12)
    for ours, parameter in zip(model.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(ours.grad, parameter.grad.numpy(), rtol=1e-12, atol=1e-12)


# --- options and errors ---


def test_models_are_configured():
    assert models.lenet5(activation=lambda: nn.LeakyReLU(0.2))[1].negative_slope == 0.2
    deep = models.vgg(channels=((8,), (16, 16)), hidden=(), image_size=8)
    assert size(deep) == 8 * 27 + 16 + 16 * 72 + 32 + 16 * 144 + 32 + (16 * 4 + 1) * 10
    half = models.mobilenet(width=0.5)
    assert half[0].weight.shape == (16, 3, 3, 3) and size(half) < MODELS["mobilenet"][2] / 3
    assert models.small_cnn(in_channels=1, image_size=28)(np.zeros((1, 1, 28, 28), np.float32)).shape == (1, 10)


def test_residual_networks_start_with_the_scale_of_their_source():
    """Normal weights with variance 2 / fan_out (He et al., 2015)."""
    weight = models.resnet18(rng=0).state_dict()["layer2.1.conv1.weight"]
    assert abs(weight.std() / np.sqrt(2 / (128 * 9)) - 1) < 0.02 and abs(weight.mean()) < 1e-3


@pytest.mark.parametrize("call, sentence", [
    (lambda: models.lenet5(image_size=11), "needs an image_size of at least 12, got 11"),
    (lambda: models.lenet5(activation="gradients"), "activation must be the name of a layer, or what builds one, got 'gradients'"),
    (lambda: models.lenet5(activation="Parameter"), "activation must be the name of a layer"),
    (lambda: models.lenet5(pooling="mean"), "pooling must be one of max, average, got 'mean'"),
    (lambda: models.vgg(image_size=7), "vgg needs an image_size of at least 8, since it halves images 3 times, got 7"),
    (lambda: models.small_cnn(image_size=3), "small_cnn needs an image_size of at least 4"),
    (lambda: models.mobilenet(width=0), "width must be between"),
])  # fmt: skip
def test_what_is_wrong_is_told_in_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_models_are_found_when_first_asked_for():
    from helpers import run_python

    run_python("""
import sys, fastnn
assert "fastnn.nn.models" not in sys.modules
assert callable(fastnn.nn.models.lenet5)
try:
    fastnn.nn.nothing
except AttributeError as error:
    assert "fastnn.nn" in str(error)
else:
    raise AssertionError
""")
