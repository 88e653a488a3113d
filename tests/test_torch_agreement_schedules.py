"""The schedules' sequences of learning rates and momenta are PyTorch's, where PyTorch is installed."""

import warnings

import pytest

from fastnn.optim import schedules as ours

torch = pytest.importorskip("torch")
theirs = torch.optim.lr_scheduler

STEPS = 400
TOLERANCE = 1e-12
RATES = [0.1, 0.003, 1.7]


class Groups:
    def __init__(self, **extra):
        self.param_groups = [{"lr": lr, **extra} for lr in RATES]


def torch_optimizer(kind="sgd"):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in RATES]
    return torch.optim.Adam(groups) if kind == "adam" else torch.optim.SGD(groups, lr=0.1, momentum=0.9)


CASES = {
    "step": lambda m, o: m.StepLR(o, 7, 0.8),
    "step-default": lambda m, o: m.StepLR(o, step_size=30),
    "multi-step": lambda m, o: m.MultiStepLR(o, [300, 3, 10, 10, 57], gamma=0.3),
    "multi-step-zero": lambda m, o: m.MultiStepLR(o, [0, 5], gamma=0.3),
    "exponential": lambda m, o: m.ExponentialLR(o, 0.97),
    "constant": lambda m, o: m.ConstantLR(o),
    "constant-long": lambda m, o: m.ConstantLR(o, factor=0.2, total_iters=100),
    "linear": lambda m, o: m.LinearLR(o),
    "linear-down": lambda m, o: m.LinearLR(o, start_factor=1.0, end_factor=0.01, total_iters=333),
    "linear-to-zero": lambda m, o: m.LinearLR(o, start_factor=0.5, end_factor=0.0, total_iters=12),
    "cosine": lambda m, o: m.CosineAnnealingLR(o, 50),
    "cosine-floor": lambda m, o: m.CosineAnnealingLR(o, T_max=37, eta_min=1e-4),
    "cosine-short": lambda m, o: m.CosineAnnealingLR(o, 1),
    "cosine-long": lambda m, o: m.CosineAnnealingLR(o, 1000, eta_min=0.002),
    "lambda": lambda m, o: m.LambdaLR(o, lambda t: 0.95**t),
    "lambda-list": lambda m, o: m.LambdaLR(o, [lambda t: 0.9**t, lambda t: 1 / (1 + t), lambda t: t // 30]),
    "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 13),
    "restarts-growing": lambda m, o: m.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=3, eta_min=1e-5),
    "one-cycle": lambda m, o: m.OneCycleLR(o, max_lr=0.3, total_steps=STEPS),
    "one-cycle-linear": lambda m, o: m.OneCycleLR(o, [0.3, 1.0, 0.02], epochs=20, steps_per_epoch=20, anneal_strategy="linear"),
    "one-cycle-three": lambda m, o: m.OneCycleLR(o, 0.5, total_steps=STEPS, pct_start=0.27, three_phase=True, div_factor=10, final_div_factor=77,
                                                 base_momentum=[0.7, 0.8, 0.85], max_momentum=0.9),
    "one-cycle-plain": lambda m, o: m.OneCycleLR(o, 0.5, total_steps=STEPS, cycle_momentum=False, pct_start=0.0),
    "warm-up-cosine": lambda m, o: m.SequentialLR(o, [m.LinearLR(o, 0.1, total_iters=20), m.CosineAnnealingLR(o, 150), m.ConstantLR(o, 0.5, 3)], [20, 170]),
    "sequence": lambda m, o: m.SequentialLR(o, [m.ExponentialLR(o, 0.9), m.StepLR(o, 4, 0.5), m.MultiStepLR(o, [0, 2], 0.7), m.LambdaLR(o, lambda t: 1 / (t + 1)),
                                                m.CosineAnnealingWarmRestarts(o, 7, 2)], [5, 25, 60, 61]),
    "sequence-from-second": lambda m, o: m.SequentialLR(o, [m.ExponentialLR(o, 0.9), m.LinearLR(o, 0.2)], [0]),
    "sequence-one-cycle": lambda m, o: m.SequentialLR(o, [m.ConstantLR(o, 0.25, 10), m.OneCycleLR(o, 0.3, total_steps=STEPS)], [10]),
}


def relatively_equal(a, b):
    return all(abs(x - y) <= TOLERANCE * abs(y) for x, y in zip(a, b, strict=True))


def read(optimizer, key):
    return [group[key] for group in optimizer.param_groups]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_schedule_sequence_equals_torch(name, kind):
    mine = Groups(betas=(0.9, 0.999)) if kind == "adam" else Groups(momentum=0.9)
    other = torch_optimizer(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = CASES[name](ours, mine), CASES[name](theirs, other)
        for t in range(STEPS):
            assert relatively_equal(a.get_last_lr(), b.get_last_lr()), t
            assert a.get_last_lr() == read(mine, "lr")
            if kind == "adam":
                assert relatively_equal([x[0] for x in read(mine, "betas")], [x[0] for x in read(other, "betas")]), t
            else:
                assert relatively_equal(read(mine, "momentum"), read(other, "momentum")), t
            if t < STEPS - 1:
                a.step()
                b.step()


@pytest.mark.parametrize("name", ["step", "multi-step", "exponential", "linear", "cosine", "restarts"])
@pytest.mark.parametrize("done", [0, 6, 12])
def test_schedule_resumed_at_last_epoch_equals_torch(name, done):
    make = {
        "step": lambda m, o: m.StepLR(o, 7, 0.8, last_epoch=done),
        "multi-step": lambda m, o: m.MultiStepLR(o, [3, 7, 10, 13], 0.3, last_epoch=done),
        "exponential": lambda m, o: m.ExponentialLR(o, 0.97, last_epoch=done),
        "linear": lambda m, o: m.LinearLR(o, 0.2, 1.0, 20, last_epoch=done),
        "cosine": lambda m, o: m.CosineAnnealingLR(o, 30, last_epoch=done),
        "restarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 5, last_epoch=done),
    }[name]
    mine, other = Groups(), torch_optimizer()
    for group in mine.param_groups + other.param_groups:
        group["initial_lr"] = 2 * group["lr"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        a, b = make(ours, mine), make(theirs, other)
        for t in range(60):
            assert relatively_equal(a.get_last_lr(), b.get_last_lr()), t
            a.step()
            b.step()


@pytest.mark.parametrize("arguments", [
    {},
    {"mode": "max", "patience": 3, "factor": 0.5},
    {"patience": 0, "cooldown": 4, "min_lr": [1e-3, 1e-4, 1e-5], "factor": 0.7},
    {"threshold": 0.05, "threshold_mode": "abs", "patience": 2, "eps": 1e-3},
    {"mode": "max", "threshold": 0.02, "threshold_mode": "abs", "patience": 1, "min_lr": 1e-6, "factor": 0.9},
])
def test_plateau_sequence_equals_torch(arguments):
    mine, other = Groups(), torch_optimizer()
    a, b = ours.ReduceLROnPlateau(mine, **arguments), theirs.ReduceLROnPlateau(other, **arguments)
    for t in range(STEPS):
        metric = 1.0 / (1 + t // 9) + 0.03 * ((t * 37) % 11 - 5)
        a.step(metric)
        b.step(metric)
        assert relatively_equal(a.get_last_lr(), b.get_last_lr()), t
        assert (a.num_bad_epochs, a.cooldown_counter, a.best) == (b.num_bad_epochs, b.cooldown_counter, b.best)


def test_chained_schedules_equal_torch():
    mine, other = Groups(), torch_optimizer()
    pairs = [(m.ExponentialLR(o, 0.98), m.LinearLR(o, 0.1, total_iters=30), m.StepLR(o, 50), m.CosineAnnealingLR(o, 70))
             for m, o in ((ours, mine), (theirs, other))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(200):
            for a, b in zip(*pairs):
                a.step()
                b.step()
            assert relatively_equal(read(mine, "lr"), read(other, "lr"))


def test_warm_restarts_at_fractions_of_an_epoch_equal_torch():
    for growth in (1, 2):
        mine, other = Groups(), torch_optimizer()
        a = ours.CosineAnnealingWarmRestarts(mine, 4, growth)
        b = theirs.CosineAnnealingWarmRestarts(other, 4, growth)
        for i in range(300):
            a.step(i / 10)
            b.step(i / 10)
            assert relatively_equal(a.get_last_lr(), b.get_last_lr())
