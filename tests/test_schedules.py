"""Learning-rate schedules against their closed forms; their states, their errors, several groups."""

import json
import math

import pytest

from fastnn.optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

STEPS = 300
RATES = [0.1, 0.003]


class Groups:
    def __init__(self, rates=RATES, **extra):
        self.param_groups = [{"lr": lr, **extra} for lr in rates]

    @property
    def rates(self):
        return [group["lr"] for group in self.param_groups]


def cosine(part, start, end):
    return end + (start - end) * (1 + math.cos(math.pi * part)) / 2


CLOSED_FORMS = {
    "step": (lambda o: StepLR(o, 7, 0.8), lambda b, t: b * 0.8 ** (t // 7)),
    "multi-step": (lambda o: MultiStepLR(o, [50, 3, 10, 10], 0.3), lambda b, t: b * 0.3 ** ((t >= 3) + 2 * (t >= 10) + (t >= 50))),
    "exponential": (lambda o: ExponentialLR(o, 0.97), lambda b, t: b * 0.97**t),
    "constant": (lambda o: ConstantLR(o, 0.25, 9), lambda b, t: b * (0.25 if t < 9 else 1)),
    "linear": (lambda o: LinearLR(o, 0.2, 0.9, 40), lambda b, t: b * (0.2 + 0.7 * min(t, 40) / 40)),
    "cosine": (lambda o: CosineAnnealingLR(o, 60, 1e-4), lambda b, t: cosine(t / 60, b, 1e-4)),
    "lambda": (lambda o: LambdaLR(o, lambda t: 1 / (1 + t)), lambda b, t: b / (1 + t)),
    "restarts": (lambda o: CosineAnnealingWarmRestarts(o, 12, eta_min=1e-3), lambda b, t: cosine(t % 12 / 12, b, 1e-3)),
    "restarts-growing": (lambda o: CosineAnnealingWarmRestarts(o, 4, 2), lambda b, t: cosine(*(lambda n: ((t - 4 * (2**n - 1)) / (4 * 2**n), b, 0))(
        int(math.log2(t / 4 + 1) + 1e-12)))),
    "one-cycle": (lambda o: OneCycleLR(o, 2.0, total_steps=STEPS, pct_start=0.2, cycle_momentum=False), lambda b, t:
                  cosine(t / 59, 2 / 25, 2) if t <= 59 else cosine((t - 59) / (STEPS - 1 - 59), 2, 2 / 25e4)),
    "warm-up": (lambda o: SequentialLR(o, [LinearLR(o, 0.1, total_iters=10), CosineAnnealingLR(o, 200)], [10]),
                lambda b, t: b * (0.1 + 0.09 * t) if t < 10 else cosine((t - 10) / 200, b, 0)),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_schedule_follows_its_closed_form(name):
    make, form = CLOSED_FORMS[name]
    optimizer = Groups()
    schedule = make(optimizer)
    for t in range(STEPS):
        expected = [form(b, t) for b in RATES]
        # the factors of a chained cosine lose a few digits near its minimum, hence the absolute part
        assert optimizer.rates == pytest.approx(expected, rel=1e-11, abs=1e-13), t
        assert schedule.get_last_lr() == optimizer.rates
        if t < STEPS - 1:
            schedule.step()


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("stop", [0, 1, 11, 60])
def test_schedule_resumed_from_its_state_continues_exactly(name, stop):
    make, _ = CLOSED_FORMS[name]
    whole, first, second = Groups(), Groups(), Groups()
    schedule, before = make(whole), make(first)
    for _ in range(stop):
        schedule.step()
        before.step()
    state = json.loads(json.dumps(before.state_dict()))
    after = make(second)
    second.param_groups[:] = [dict(group) for group in first.param_groups]
    after.load_state_dict(state)
    assert after.get_last_lr() == schedule.get_last_lr()
    for _ in range(min(STEPS - 1 - stop, 100)):
        schedule.step()
        after.step()
        assert second.rates == whole.rates


def test_state_is_a_copy():
    optimizer = Groups()
    schedule = MultiStepLR(optimizer, [3, 5])
    state = schedule.state_dict()
    state["milestones"].append(9)
    assert schedule.milestones == [3, 5]


@pytest.mark.parametrize("key, pick", [("momentum", lambda g: g["momentum"]), ("betas", lambda g: g["betas"][0])])
def test_one_cycle_momentum_mirrors_the_learning_rate(key, pick):
    optimizer = Groups(**{key: 0.9 if key == "momentum" else (0.9, 0.999)})
    schedule = OneCycleLR(optimizer, [1.0, 0.1], total_steps=100, pct_start=0.5, base_momentum=0.8, max_momentum=0.95,
                          anneal_strategy="linear")
    momenta, rates = [], []
    for t in range(100):
        momenta.append(pick(optimizer.param_groups[0]))
        rates.append(optimizer.rates)
        if t < 99:
            schedule.step()
    assert momenta[0] == pytest.approx(0.95) and momenta[-1] == pytest.approx(0.95)
    assert min(momenta) == pytest.approx(0.8)
    assert momenta.index(min(momenta)) == [r[0] for r in rates].index(max(r[0] for r in rates))
    assert all(a == pytest.approx(10 * b) for a, b in rates)
    if key == "betas":
        assert all(group["betas"][1] == 0.999 for group in optimizer.param_groups)


def test_one_cycle_in_three_phases_is_symmetrical():
    optimizer = Groups()
    schedule = OneCycleLR(optimizer, 1.0, total_steps=100, pct_start=0.3, three_phase=True, cycle_momentum=False)
    rates = []
    for t in range(100):
        rates.append(optimizer.rates[0])
        if t < 99:
            schedule.step()
    assert rates[29] == pytest.approx(1.0)
    assert rates[:59] == pytest.approx(rates[58::-1])
    assert rates[-1] == pytest.approx(1 / 25 / 1e4)


@pytest.mark.parametrize("total, pct", [(1, 0.3), (10, 0.1), (10, 0.0), (10, 1.0), (2, 0.5), (3, 0.3)])
@pytest.mark.parametrize("three", [False, True])
def test_short_one_cycle_stays_within_its_bounds(total, pct, three):
    optimizer = Groups()
    schedule = OneCycleLR(optimizer, 1.0, total_steps=total, pct_start=pct, three_phase=three, cycle_momentum=False)
    for t in range(total):
        assert all(0 < rate <= 1 + 1e-12 for rate in optimizer.rates)
        if t < total - 1:
            schedule.step()


def test_one_cycle_refuses_steps_after_its_end():
    schedule = OneCycleLR(Groups(), 1.0, total_steps=5, cycle_momentum=False)
    for _ in range(5):
        schedule.step()
    with pytest.raises(ValueError, match="5 steps"):
        schedule.step()


def test_plateau_reduces_after_patience_then_waits_for_the_cooldown():
    optimizer = Groups([1.0])
    schedule = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, cooldown=3)
    seen = []
    for _ in range(14):
        schedule.step(1.0)
        seen.append(optimizer.rates[0])
    # step 0 sets the best; 3 bad steps reduce; 3 of cooldown and 3 bad ones reduce again
    assert seen == [1.0] * 3 + [0.5] * 6 + [0.25] * 5


def test_plateau_counts_nan_as_no_improvement_and_holds_the_floor():
    optimizer = Groups([1.0, 0.1])
    schedule = ReduceLROnPlateau(optimizer, factor=0.1, patience=0, min_lr=[0.5, 0.001])
    for _ in range(20):
        schedule.step(math.nan)
    assert optimizer.rates == pytest.approx([0.5, 0.001])


def test_chained_schedules_multiply():
    optimizer = Groups([1.0])
    both = ExponentialLR(optimizer, 0.9), LinearLR(optimizer, 0.5, total_iters=10)
    for t in range(1, 30):
        for schedule in both:
            schedule.step()
        assert optimizer.rates[0] == pytest.approx(0.9**t * (0.5 + 0.05 * min(t, 10)), rel=1e-12)


def test_users_own_change_of_the_rate_is_kept_by_chained_schedules():
    optimizer = Groups([1.0])
    schedule = StepLR(optimizer, 2, 0.5)
    optimizer.param_groups[0]["lr"] = 8.0
    schedule.step()
    schedule.step()
    assert optimizer.rates == [4.0]


def test_sequence_within_a_sequence():
    def expected(t):
        return 0.5 if t < 3 else 0.9 ** (t - 3) if t < 6 else 0.25 if t < 8 else 1.0

    def leaves(o):
        return ConstantLR(o, 0.5, 100), ExponentialLR(o, 0.9), ConstantLR(o, 0.25, 2)

    optimizer = Groups([1.0])
    a, b, c = leaves(optimizer)
    schedule = SequentialLR(optimizer, [a, SequentialLR(optimizer, [b, c], [3])], [3])
    for t in range(20):
        assert optimizer.rates == pytest.approx([expected(t)]), t
        schedule.step()
    optimizer = Groups([1.0])
    a, b, c = leaves(optimizer)
    schedule = SequentialLR(optimizer, [SequentialLR(optimizer, [a, b], [3]), c], [6])
    for t in range(20):
        assert optimizer.rates == pytest.approx([expected(t)]), t
        schedule.step()


def test_lambda_objects_keep_their_attributes_in_the_state():
    class Decay:
        def __init__(self, rate):
            self.rate = rate

        def __call__(self, t):
            return self.rate**t

    state = LambdaLR(Groups(), Decay(0.5)).state_dict()
    other = LambdaLR(Groups(), Decay(0.1))
    other.load_state_dict(state)
    other.step()
    assert other.get_last_lr() == pytest.approx([0.05, 0.0015])


@pytest.mark.parametrize("make, error, sentence", [
    (lambda o: StepLR(o, 0), ValueError, "step_size must be at least 1, but is 0"),
    (lambda o: StepLR(o, 2.5), TypeError, "step_size must be an integer"),
    (lambda o: StepLR(o, 2, "a"), TypeError, "gamma must be a number"),
    (lambda o: StepLR(object(), 2), TypeError, "param_groups"),
    (lambda o: StepLR(o, 2, last_epoch=3), KeyError, "initial_lr"),
    (lambda o: MultiStepLR(o, [1, -1]), ValueError, "each of milestones"),
    (lambda o: ExponentialLR(o, math.nan), ValueError, "gamma must be a number, but is nan"),
    (lambda o: ConstantLR(o, 0.0), ValueError, "factor must be greater than 0 and at most 1"),
    (lambda o: ConstantLR(o, 0.5, 0), ValueError, "total_iters must be at least 1"),
    (lambda o: LinearLR(o, 1.5), ValueError, "start_factor"),
    (lambda o: LinearLR(o, 0.5, -1), ValueError, "end_factor must be at least 0 and at most 1"),
    (lambda o: CosineAnnealingLR(o, 0), ValueError, "T_max"),
    (lambda o: CosineAnnealingWarmRestarts(o, 5, 0), ValueError, "T_mult"),
    (lambda o: CosineAnnealingWarmRestarts(o, 5).step(-1), ValueError, "epoch must be at least 0"),
    (lambda o: LambdaLR(o, [abs]), ValueError, "lr_lambda has 1 values, but the optimizer has 2"),
    (lambda o: LambdaLR(o, 0.5), TypeError, "lr_lambda must be a function"),
    (lambda o: OneCycleLR(o, 0.1), ValueError, "needs total_steps"),
    (lambda o: OneCycleLR(o, 0.1, total_steps=10), ValueError, "cycle_momentum=False"),
    (lambda o: OneCycleLR(o, [0.1], total_steps=10), ValueError, "max_lr has 1 values"),
    (lambda o: OneCycleLR(o, 0.1, total_steps=10, pct_start=1.5), ValueError, "pct_start"),
    (lambda o: OneCycleLR(o, 0.1, total_steps=10, anneal_strategy="cube"), ValueError, "anneal_strategy"),
    (lambda o: SequentialLR(o, [], []), ValueError, "at least one schedule"),
    (lambda o: SequentialLR(o, [StepLR(o, 1)], [3]), ValueError, "one milestone fewer"),
    (lambda o: SequentialLR(o, [StepLR(o, 1), StepLR(Groups(), 1)], [3]), ValueError, r"schedulers\[1\] belongs to another"),
    (lambda o: SequentialLR(o, [ReduceLROnPlateau(o)], []), TypeError, "without a metric"),
    (lambda o: SequentialLR(o, [StepLR(o, 1)] * 3, [5, 2]), ValueError, "ascending"),
    (lambda o: ReduceLROnPlateau(o, "best"), ValueError, "mode must be"),
    (lambda o: ReduceLROnPlateau(o, factor=1.0), ValueError, "factor must be less than 1"),
    (lambda o: ReduceLROnPlateau(o, min_lr=[1]), ValueError, "min_lr has 1 values"),
    (lambda o: ReduceLROnPlateau(o).step(None), TypeError, "metrics must be a number"),
    (lambda o: StepLR(o, 3).load_state_dict(ExponentialLR(o, 0.9).state_dict()), ValueError, "missing.*step_size"),
    (lambda o: LambdaLR(o, abs).load_state_dict({}), ValueError, "lr_lambdas"),
    (lambda o: SequentialLR(o, [StepLR(o, 1)], []).load_state_dict({}), ValueError, "_schedulers"),
    (lambda o: LRScheduler(o), NotImplementedError, "must define get_lr"),
])
def test_wrong_arguments_are_told_in_a_sentence(make, error, sentence):
    with pytest.raises(error, match=sentence):
        make(Groups())


def test_failed_construction_leaves_the_optimizer_alone():
    optimizer = Groups()
    before = [dict(group) for group in optimizer.param_groups]
    for make in (lambda: StepLR(optimizer, 0), lambda: OneCycleLR(optimizer, 0.1, total_steps=10), lambda: SequentialLR(optimizer, [], [])):
        with pytest.raises(ValueError):
            make()
    assert optimizer.param_groups == before


def test_group_added_later_is_told_in_a_sentence():
    optimizer = Groups()
    schedule = LambdaLR(optimizer, lambda t: 1.0)
    optimizer.param_groups.append({"lr": 1.0})
    with pytest.raises(ValueError, match="made for 2 parameter groups"):
        schedule.step()
