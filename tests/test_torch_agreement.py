"""The reference against PyTorch, where that is installed: values, derivatives at kinks, NaN, reductions, statistics.

Tolerance: float64, 1e-12 relative and absolute, which leaves room for another order of summation and nothing more. PyTorch keeps
some constants in single precision whatever the dtype (1 / 6 in hardsigmoid, 1e-12 in binary cross-entropy): there it is 1e-7.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fastnn import reference as ref

torch = pytest.importorskip("torch")
F = torch.nn.functional

ACTIVATIONS = [
    ("relu", {}, F.relu),
    ("leaky_relu", {"negative_slope": 0.2}, F.leaky_relu),
    ("relu6", {}, F.relu6),
    ("elu", {"alpha": 0.7}, F.elu),
    ("celu", {"alpha": 0.5}, F.celu),
    ("selu", {}, F.selu),
    ("gelu", {}, F.gelu),
    ("gelu", {"approximate": "tanh"}, F.gelu),
    ("silu", {}, F.silu),
    ("mish", {}, F.mish),
    ("hardswish", {}, F.hardswish),
    ("hardsigmoid", {}, F.hardsigmoid),
    ("hardtanh", {}, F.hardtanh),
    ("hardtanh", {"min_val": -3.0, "max_val": 0.5}, F.hardtanh),
    ("hardshrink", {}, F.hardshrink),
    ("hardshrink", {"lambd": 1.0}, F.hardshrink),
    ("softshrink", {}, F.softshrink),
    ("tanhshrink", {}, F.tanhshrink),
    ("sigmoid", {}, torch.sigmoid),
    ("logsigmoid", {}, F.logsigmoid),
    ("tanh", {}, torch.tanh),
    ("softplus", {}, F.softplus),
    ("softplus", {"beta": 2.0, "threshold": 4.0}, F.softplus),
    ("softsign", {}, F.softsign),
    ("threshold", {"threshold": 0.5, "value": -7.0}, F.threshold),
]
KINKS = [-6.0, -3.0, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 2.0, 3.0, 6.0, 20.0]


def agree(ours, theirs, tolerance=1e-12):
    if isinstance(theirs, torch.Tensor):
        theirs = theirs.detach().numpy()
    assert np.shape(ours) == np.shape(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def tensor(x, gradient=False):
    return None if x is None else torch.tensor(x, requires_grad=gradient)


@pytest.mark.parametrize("name, options, theirs", ACTIVATIONS, ids=lambda v: v if isinstance(v, str) else None)
@pytest.mark.parametrize("values", ["kinks", "random", "nan", "large"])
def test_activation_agrees(name, options, theirs, values, rng):
    x = {
        "kinks": np.array(KINKS),
        "random": rng.normal(size=300) * 4,
        "nan": np.array([np.nan, 1.0]),
        "large": np.array([-700.0, -90.0, -40.0, 40.0, 90.0, 700.0]),
    }[values]
    t = tensor(x, True)
    tolerance = 1e-7 if name == "hardsigmoid" else 1e-12
    expected = theirs(t, **options)
    y = getattr(ref, name)(x, **options)
    agree(y, expected, tolerance)
    dy = rng.normal(size=x.shape)
    expected.backward(torch.tensor(dy))
    if name in ("tanh", "sigmoid"):
        agree(getattr(ref, name + "_backward")(dy, y), t.grad)
    else:
        agree(getattr(ref, name + "_backward")(dy, x, **options), t.grad, tolerance)


@pytest.mark.parametrize("shape, channels", [((5,), 1), ((4, 3), 3), ((4, 3), 1), ((2, 3, 4), 3), ((2, 3, 4, 5), 3)])
def test_prelu_agrees(shape, channels, rng):
    x, weight, dy = rng.normal(size=shape), rng.normal(size=channels), rng.normal(size=shape)
    tx, tw = tensor(x, True), tensor(weight, True)
    y = F.prelu(tx, tw)
    y.backward(torch.tensor(dy))
    agree(ref.prelu(x, weight), y)
    dx, dweight = ref.prelu_backward(dy, x, weight)
    agree(dx, tx.grad)
    agree(dweight, tw.grad)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("name", ["softmax", "softmin", "log_softmax", "glu"])
def test_axis_functions_agree(name, axis, rng):
    x = rng.normal(size=(4, 6, 8)) * 10
    t = tensor(x, True)
    expected = getattr(F, name)(t, dim=axis)
    y = getattr(ref, name)(x, axis)
    agree(y, expected)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    agree(getattr(ref, name + "_backward")(dy, x if name == "glu" else y, axis), t.grad)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_infinite_rows_agrees(name):
    inf, nan = np.inf, np.nan
    x = np.array([[-inf, 0.0, 1.0], [-inf, -inf, -inf], [inf, 0.0, 1.0], [nan, 0.0, 1.0]])
    agree(getattr(ref, name)(x), getattr(F, name)(torch.tensor(x), dim=-1))


def check_loss(name, theirs, input, target, options, tolerance=1e-12):
    t = tensor(input, True)
    expected = theirs(t, torch.tensor(target), **{key: to_torch(value) for key, value in options.items()})
    loss = getattr(ref, name)(input, target, **options)
    agree(loss, expected)
    dy = np.random.default_rng(3).normal(size=loss.shape)
    expected.backward(torch.tensor(dy))
    agree(getattr(ref, name + "_backward")(dy, input, target, **options), t.grad, tolerance)


def to_torch(value):
    return torch.tensor(value) if isinstance(value, np.ndarray) else value


REDUCTIONS = ["mean", "sum", "none"]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(
    "name, options",
    [
        ("mse_loss", {}),
        ("l1_loss", {}),
        ("smooth_l1_loss", {}),
        ("smooth_l1_loss", {"beta": 0.3}),
        ("smooth_l1_loss", {"beta": 0.0}),
        ("huber_loss", {}),
        ("huber_loss", {"delta": 0.5}),
    ],
)
def test_regression_losses_agree(name, options, reduction, rng):
    input = np.concatenate([rng.normal(size=20), [0.0, 1.0, -1.0, 0.5, 0.3]]).reshape(5, 5)
    target = np.concatenate([rng.normal(size=20), np.zeros(5)]).reshape(5, 5)
    check_loss(name, getattr(F, name), input, target, {**options, "reduction": reduction})
    check_loss(name, getattr(F, name), np.float64(2.0).reshape(()), np.zeros(()), {**options, "reduction": reduction})


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight_shape", [None, (5,), (4, 1), (4, 5)])
def test_binary_cross_entropy_agrees(reduction, weight_shape, rng):
    weight = None if weight_shape is None else rng.uniform(size=weight_shape)
    options = {"weight": weight, "reduction": reduction}
    target = rng.uniform(size=(4, 5))
    target[0] = [0, 1, 0, 1, 0.5]
    input = rng.uniform(size=(4, 5))
    input[0] = [0, 1, 1, 0, 1e-60]
    check_loss("binary_cross_entropy", F.binary_cross_entropy, input, target, options, tolerance=1e-7)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight_shape, pos_shape", list(itertools.product([None, (5,), (4, 5)], repeat=2)))
def test_binary_cross_entropy_with_logits_agrees(reduction, weight_shape, pos_shape, rng):
    weight = None if weight_shape is None else rng.uniform(size=weight_shape)
    pos_weight = None if pos_shape is None else rng.uniform(size=pos_shape) * 3
    options = {"weight": weight, "pos_weight": pos_weight, "reduction": reduction}
    input = np.concatenate([rng.normal(size=16), [800.0, -800.0, 0.0, 30.0]]).reshape(4, 5)
    name = "binary_cross_entropy_with_logits"
    check_loss(name, getattr(F, name), input, rng.uniform(size=(4, 5)), options)


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_agrees(reduction, log_target, rng):
    input = ref.log_softmax(rng.normal(size=(4, 6)))
    target = ref.softmax(rng.normal(size=(4, 6)))
    target[0, 0] = 0.0
    with np.errstate(divide="ignore"):
        target = np.log(np.where(target == 0, 0.1, target)) if log_target else target
    check_loss("kl_div", F.kl_div, input, target, {"log_target": log_target, "reduction": reduction})


CLASS_SHAPES = [(5,), (4, 5), (4, 5, 3), (2, 5, 3, 2), (1, 1), (0, 5), (3, 5, 0)]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", CLASS_SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", ["none", "some", "all"])
def test_losses_of_labels_agree(reduction, shape, weighted, ignored, rng):
    classes = shape[0] if len(shape) == 1 else shape[1]
    labels_shape = () if len(shape) == 1 else shape[:1] + shape[2:]
    input = rng.normal(size=shape)
    target = np.asarray(rng.integers(0, classes, size=labels_shape))
    if ignored == "some" and target.ndim:
        target[: len(target) // 2] = -100
    if ignored == "all":
        target[...] = -100
    options = {"weight": rng.uniform(size=classes) if weighted else None, "reduction": reduction}
    check_loss("nll_loss", F.nll_loss, input, target, options)
    for smoothing in (0.0, 0.1):
        check_loss("cross_entropy", F.cross_entropy, input, target, {**options, "label_smoothing": smoothing})


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", CLASS_SHAPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_probabilities_agrees(reduction, shape, weighted, smoothing, rng):
    axis = 0 if len(shape) == 1 else 1
    weight = rng.uniform(size=shape[axis]) if weighted else None
    options = {"weight": weight, "reduction": reduction, "label_smoothing": smoothing}
    target = ref.softmax(rng.normal(size=shape), axis)
    check_loss("cross_entropy", F.cross_entropy, rng.normal(size=shape), target, options)


def test_cross_entropy_of_another_ignore_index_agrees(rng):
    target = np.array([0, 2, 1, 2])
    check_loss("cross_entropy", F.cross_entropy, rng.normal(size=(4, 5)), target, {"ignore_index": 2})


@pytest.mark.parametrize("shape, normalized", [((4, 6), (6,)), ((2, 3, 4), (3, 4)), ((3, 2, 4), (4,)), ((5,), (5,))])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_trailing_norms_agree(name, shape, normalized, affine, rng):
    x, dy = rng.normal(size=shape) * 3 + 2, rng.normal(size=shape)
    names = ["weight", "bias"][: (2 if name == "layer_norm" else 1) * affine]
    parameters = {key: rng.normal(size=normalized) for key in names}
    tx, tensors = tensor(x, True), {key: tensor(value, True) for key, value in parameters.items()}
    expected = getattr(F, name)(tx, normalized, **tensors)
    expected.backward(torch.tensor(dy))
    y, *saved = getattr(ref, name)(x, normalized, **parameters)
    agree(y, expected)
    dx, *dparameters = getattr(ref, name + "_backward")(dy, x, *saved, parameters.get("weight"))
    agree(dx, tx.grad)
    for key, dparameter in zip(names, dparameters, strict=False):
        agree(dparameter, tensors[key].grad)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 2, 4), (0, 3), (0, 3, 2)])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("tracking", [False, True])
def test_batch_norm_agrees(shape, affine, training, tracking, rng):
    if not (training or tracking):
        return
    x, dy = rng.normal(size=shape) * 3 + 2, rng.normal(size=shape)
    weight, bias = (rng.normal(size=3), rng.normal(size=3)) if affine else (None, None)
    mean, var = (rng.normal(size=3), rng.uniform(1, 2, size=3)) if tracking else (None, None)
    tx, tw, tb = tensor(x, True), tensor(weight, affine), tensor(bias, affine)
    tmean, tvar = tensor(mean), tensor(var)
    expected = F.batch_norm(tx, tmean, tvar, tw, tb, training, 0.3, 1e-3)
    expected.backward(torch.tensor(dy))
    y, *saved = ref.batch_norm(x, mean, var, weight, bias, training, 0.3, 1e-3)
    agree(y, expected)
    dx, dweight, dbias = ref.batch_norm_backward(dy, x, *saved, weight, training)
    agree(dx, tx.grad)
    if affine:
        agree(dweight, tw.grad)
        agree(dbias, tb.grad)
    if tracking:
        agree(mean, tmean)
        agree(var, tvar)


# ---- optimizers: five steps on one parameter --------------------------------------------------------

STEPS = [
    ("sgd_step", torch.optim.SGD, {}, []),
    ("sgd_step", torch.optim.SGD, {"weight_decay": 0.1, "maximize": True}, []),
    ("sgd_step", torch.optim.SGD, {"momentum": 0.9}, ["momentum"]),
    ("sgd_step", torch.optim.SGD, {"momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}, ["momentum"]),
    ("sgd_step", torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "maximize": True}, ["momentum"]),
    ("adam_step", torch.optim.Adam, {}, ["m", "v"]),
    ("adam_step", torch.optim.Adam, {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "maximize": True}, ["m", "v"]),
    ("adam_step", torch.optim.Adam, {"amsgrad": True, "betas": (0.8, 0.5)}, ["m", "v", "largest"]),
    ("adamw_step", torch.optim.AdamW, {}, ["m", "v"]),
    ("adamw_step", torch.optim.AdamW, {"weight_decay": 0.3, "amsgrad": True, "betas": (0.8, 0.5)}, ["m", "v", "largest"]),
    ("rmsprop_step", torch.optim.RMSprop, {}, ["v"]),
    ("rmsprop_step", torch.optim.RMSprop, {"centered": True, "alpha": 0.8}, ["v", "m"]),
    ("rmsprop_step", torch.optim.RMSprop, {"momentum": 0.9, "weight_decay": 0.1, "maximize": True}, ["v", None, "momentum"]),
    ("rmsprop_step", torch.optim.RMSprop, {"momentum": 0.9, "centered": True}, ["v", "m", "momentum"]),
    ("adagrad_step", torch.optim.Adagrad, {}, ["sum"]),
    ("adagrad_step", torch.optim.Adagrad, {"lr_decay": 0.2, "weight_decay": 0.1, "maximize": True}, ["sum"]),
    ("adagrad_step", torch.optim.Adagrad, {"initial_accumulator_value": 0.4, "eps": 1e-3}, ["sum"]),
]


@pytest.mark.parametrize("name, theirs, options, state_names", STEPS)
def test_optimizer_steps_agree(name, theirs, options, state_names, rng):
    param = rng.normal(size=(3, 4))
    tensor_param = torch.tensor(param, requires_grad=True)
    optimizer = theirs([tensor_param], lr=0.05, foreach=False, **options)
    state = [None if n is None else np.full(param.shape, options.get("initial_accumulator_value", 0.0)) for n in state_names]
    ours = {k: v for k, v in options.items() if k not in ("amsgrad", "centered", "initial_accumulator_value")}
    for step in range(1, 6):
        grad = rng.normal(size=param.shape) * 3 / step
        tensor_param.grad = torch.tensor(grad)
        optimizer.step()
        if name != "rmsprop_step":
            ours["step"] = step
        getattr(ref, name)(param, grad, *state, lr=0.05, **ours)
        agree(param, tensor_param)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.5, np.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_gradient_clipping_agrees(norm_type, max_norm, rng):
    grads = [rng.normal(size=(3, 4)), rng.normal(size=5)]
    tensors = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
    for t, g in zip(tensors, grads, strict=True):
        t.grad = torch.tensor(g)
    norm = torch.nn.utils.clip_grad_norm_(tensors, max_norm, norm_type)
    agree(ref.clip_grad_norm(grads, max_norm, norm_type), norm)
    ref.clip_grad_value(grads, 0.1)
    torch.nn.utils.clip_grad_value_(tensors, 0.1)
    for t, g in zip(tensors, grads, strict=True):
        agree(g, t.grad)
