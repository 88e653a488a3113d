"""Recurrent layers: RNN, LSTM, GRU, their cells and LastStep, against NumPy and central differences."""

import numpy as np
import pytest
from helpers import ISAS, assert_same_bits, machine

import fastnn
from fastnn import gradcheck, kernels, nn, reference

KINDS = ("tanh", "relu", "lstm", "gru")
GATES = {"tanh": 1, "relu": 1, "lstm": 4, "gru": 3}
# Some twenty roundings for each step and number in a product; sums over the steps for the weights.
ATOL = {np.float32: 3e-5, np.float64: 5e-14}
STATES = {"tanh": ("h0",), "relu": ("h0",), "lstm": ("h0", "c0"), "gru": ("h0",)}


def function(kind, module, backward=False):
    name = {"tanh": "rnn", "relu": "rnn"}.get(kind, kind) + ("_backward" if backward else "")
    options = {"nonlinearity": kind} if kind in ("tanh", "relu") else {}
    return lambda *arguments, **others: getattr(module, name)(*arguments, **options, **others)


def problem(rng, kind, steps, rows, inputs, units, directions, dtype, projected=0, bias=True, batch_first=False, initial=True):
    """x, weights and the initial states."""
    size, gates, bound = projected or units, GATES[kind], min(0.6, units**-0.5)  # no state or gradient grows from step to step

    def draw(*shape):
        return rng.uniform(-bound, bound, shape).astype(dtype)

    weights = [
        (draw(gates * units, inputs), draw(gates * units, size), *((draw(gates * units), draw(gates * units)) if bias else (None, None)),
         *((draw(size, units),) if projected else ()))
        for _ in range(directions)
    ]  # fmt: skip
    x = rng.standard_normal((rows, steps, inputs) if batch_first else (steps, rows, inputs)).astype(dtype)
    states = [draw(directions, rows, size if name == "h0" else units) if initial else None for name in STATES[kind]]
    return x, weights, states


SHAPES = [  # steps, rows, inputs, units, directions, projected, lengths, batch_first, bias, initial
    (1, 1, 3, 5, 1, 0, False, False, True, True),
    (1, 3, 2, 17, 2, 2, False, True, True, False),
    (1, 2, 2, 4, 1, 0, True, False, False, True),
    (5, 1, 3, 5, 1, 0, True, False, False, True),
    (7, 4, 3, 33, 2, 0, True, True, True, True),
    (6, 19, 8, 20, 1, 7, True, False, True, True),
    (4, 2, 5, 100, 1, 0, False, False, True, False),
    (18, 3, 1, 1, 2, 0, True, False, True, True),
    (3, 40, 5, 64, 1, 16, False, True, False, True),
    (3, 0, 2, 4, 1, 0, False, False, True, True),
    (40, 21, 5, 90, 2, 0, True, False, True, True),  # inputs multiplied step by step
    (30, 50, 3, 47, 1, 20, True, True, True, False),
    (21, 40, 4, 100, 1, 0, False, False, False, False),
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_forward_and_backward_match_the_reference(kind, shape, dtype, rng):
    steps, rows, inputs, units, directions, projected, with_lengths, batch_first, bias, initial = shape
    projected = projected if kind == "lstm" else 0
    x, weights, states = problem(rng, kind, steps, rows, inputs, units, directions, dtype, projected, bias, batch_first, initial)
    options = {"batch_first": batch_first, "lengths": rng.integers(0, steps + 1, rows) if with_lengths else None}
    result = function(kind, kernels)(x, weights, *states, save=True, **options)
    wide = function(kind, reference)(x.astype(float), [tuple(None if a is None else a.astype(float) for a in w) for w in weights],
                                     *(None if s is None else s.astype(float) for s in states), **options)  # fmt: skip
    for got, wanted in zip(result[:-1], wide[:-1]):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=ATOL[dtype])
    dy = rng.standard_normal(result[0].shape).astype(dtype)
    ends = {f"d{name[0]}_n": rng.standard_normal(last.shape).astype(dtype) for name, last in zip(STATES[kind], result[1:-1])}
    gradients = function(kind, kernels, True)(dy, x, weights, result[-1], **ends, **options)
    expected = function(kind, reference, True)(
        dy.astype(float), x.astype(float), [tuple(None if a is None else a.astype(float) for a in w) for w in weights], wide[-1],
        **{name: end.astype(float) for name, end in ends.items()}, **options,
    )  # fmt: skip
    for got, wanted in zip([*gradients[:-1], *sum(gradients[-1], ())], [*expected[: len(gradients) - 1], *sum(expected[-1], ())]):
        assert (got is None) == (wanted is None)
        if got is not None:
            np.testing.assert_allclose(got, wanted, rtol=0, atol=ATOL[dtype] * (5 + steps * rows))


SIZES = [(9, 13, 21), (30, 40, 70)]  # steps, rows, units; the second has inputs multiplied step by step


@pytest.mark.parametrize("steps, rows, units", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_results_are_bitwise_equal_across_threads_and_instruction_sets(kind, steps, rows, units, rng):
    x, weights, states = problem(rng, kind, steps, rows, 6, units, 2, np.float32, 5 if kind == "lstm" else 0)
    lengths = rng.integers(0, steps + 1, rows)

    def run():
        result = function(kind, kernels)(x, weights, *states, lengths=lengths, save=True)
        gradients = function(kind, kernels, True)(result[0], x, weights, result[-1], lengths=lengths, dh_n=result[1])
        return (*result[:-1], *gradients[:-1], *sum(gradients[-1], ()))

    assert_same_bits(run)


@pytest.mark.parametrize("rows", (1, 3))
@pytest.mark.parametrize("kind", KINDS)
def test_threads_that_share_the_units_of_each_step_give_the_same_bits(kind, rows, dtype, rng):
    x, weights, states = problem(rng, kind, 12, rows, 6, 170, 2, dtype)
    assert_same_bits(lambda: function(kind, kernels)(x, weights, *states)[:-1])

    def run():
        result = function(kind, kernels)(x, weights, save=True)
        return (*result[:-1], *(a for saved in result[-1] for a in saved if a is not None))

    assert_same_bits(run)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("steps, rows, units", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_alone_equals_itself_padded_in_a_batch(kind, steps, rows, units, isa, rng):
    x, weights, states = problem(rng, kind, steps, rows, 4, units, 2, np.float32, 3 if kind == "lstm" else 0)
    lengths = rng.integers(1, steps + 1, rows)
    with machine(isa):
        result = function(kind, kernels)(x, weights, *states, lengths=lengths)
        for b, n in enumerate(lengths):
            one = slice(b, b + 1)
            alone = function(kind, kernels)(x[:n, one], weights, *(s[:, one] for s in states))
            np.testing.assert_array_equal(alone[0], result[0][:n, one])
            assert not result[0][n:, b].any()
            for end, last in zip(alone[1:-1], result[1:-1]):
                np.testing.assert_array_equal(end, last[:, one])


@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_layout_or_memory_order(kind, rng):
    x, weights, states = problem(rng, kind, 4, 3, 5, 6, 1, np.float64)
    expected = function(kind, kernels)(x, weights, *states)
    turned = [tuple(np.asfortranarray(a) if a.ndim == 2 else np.repeat(a, 2)[::2] for a in w) for w in weights]
    wide = np.zeros((8, 6, 10))
    wide[::2, ::2, ::2] = x
    got = function(kind, kernels)(wide[::2, ::2, ::2], turned, *(np.asfortranarray(s) for s in states))
    for a, b in zip(expected[:-1], got[:-1]):
        np.testing.assert_array_equal(a, b)
    batch_first = function(kind, kernels)(x.swapaxes(0, 1), weights, *states, batch_first=True)
    np.testing.assert_array_equal(batch_first[0].swapaxes(0, 1), expected[0])


@pytest.mark.parametrize("kind", KINDS)
def test_steps_one_by_one_give_the_bits_of_the_whole_sequence(kind, rng):
    x, weights, states = problem(rng, kind, 6, 3, 4, 33, 1, np.float32)
    y, *ends, _ = function(kind, kernels)(x, weights, *states)
    for t in range(len(x)):
        step, *states, _ = function(kind, kernels)(x[t : t + 1], weights, *states)
        np.testing.assert_array_equal(step[0], y[t])
    for a, b in zip(states, ends):
        np.testing.assert_array_equal(a, b)


def test_nan_stays_in_its_sequence(rng):
    x, weights, states = problem(rng, "gru", 4, 3, 2, 5, 1, np.float32)
    x[1, 1] = np.nan
    y, h_n, _ = kernels.gru(x, weights, *states)
    assert np.isnan(y[1:, 1]).all() and np.isnan(h_n[0, 1]).all()
    assert np.isfinite(y[:, [0, 2]]).all() and np.isfinite(y[0]).all()


@pytest.mark.parametrize("steps, rows, units", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_beyond_a_sequence_has_no_effect(kind, steps, rows, units, rng):
    x, weights, states = problem(rng, kind, steps, rows, 3, units, 2, np.float32, 5 if kind == "lstm" else 0)
    lengths = rng.integers(0, steps, rows)

    def run():
        *results, saved = function(kind, kernels)(x, weights, *states, lengths=lengths, save=True)
        gradients = function(kind, kernels, True)(np.ones_like(results[0]), x, weights, saved, lengths=lengths)
        return [*results, *gradients[:-1], *sum(gradients[-1], ())]

    expected = run()
    for b, length in enumerate(lengths):
        x[length:, b] = np.nan
    for got, wanted in zip(run(), expected):
        np.testing.assert_array_equal(got, wanted)


def test_gradients_are_added_where_asked_for(rng):
    x, weights, states = problem(rng, "lstm", 3, 2, 4, 5, 1, np.float64)
    result = kernels.lstm(x, weights, *states, save=True)
    once = kernels.lstm_backward(result[0], x, weights, result[-1])[-1][0]
    targets = tuple(np.ones_like(a) for a in weights[0])
    kernels.lstm_backward(result[0], x, weights, result[-1], gradients=[targets], accumulate=[(True,) * 4])
    for target, gradient in zip(targets, once):
        np.testing.assert_allclose(target, gradient + 1, rtol=1e-14)


# --- layers ---

LAYERS = {"RNN": nn.RNN, "RNN relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k), "LSTM": nn.LSTM, "GRU": nn.GRU}


class WithState(nn.Module):
    """A layer whose state comes and goes as arrays of their own, for gradcheck."""

    def __init__(self, layer, lengths):
        self.layer, self.lengths = layer, lengths

    def forward(self, x, *state):
        y, end = self.layer(x, state[0] if len(state) == 1 else state, self.lengths)
        return (y, *end) if isinstance(end, tuple) else (y, end)

    def backward(self, dy, *dend):
        dx, first = self.layer.backward(dy, dend[0] if len(dend) == 1 else dend)
        return (dx, *first) if isinstance(first, tuple) else (dx, first)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "bidirectional": True}, {"batch_first": True, "bias": False}], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_layer_backward_matches_finite_differences(name, options, rng):
    layer = LAYERS[name](3, 4, dtype=np.float64, rng=1, **options)
    count = layer.num_layers * (1 + layer.bidirectional)
    states = [rng.standard_normal((count, 2, 4)) for _ in range(layer.states)]
    x = rng.standard_normal((2, 5, 3) if layer.batch_first else (5, 2, 3))
    gradcheck(WithState(layer, None), x, *states)
    gradcheck(WithState(layer, np.array([4, 2])), x, *states)


def test_projected_lstm_backward_matches_finite_differences(rng):
    layer = nn.LSTM(3, 6, num_layers=2, proj_size=2, bidirectional=True, dtype=np.float64, rng=1)
    gradcheck(WithState(layer, np.array([1, 4])), rng.standard_normal((4, 2, 3)), rng.standard_normal((4, 2, 2)), rng.standard_normal((4, 2, 6)))
    assert layer.weight_hr_l1_reverse.shape == (2, 6)


@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell"])
def test_cell_backward_matches_finite_differences(name, rng):
    cell = getattr(nn, name)(3, 4, dtype=np.float64, rng=1)

    class Cell(nn.Module):
        def __init__(self):
            self.cell = cell

        def forward(self, x, *state):
            return self.cell(x, state if len(state) > 1 else state[0])

        def backward(self, *dstate):
            dx, first = self.cell.backward(*dstate)
            return (dx, *first) if isinstance(first, tuple) else (dx, first)

    gradcheck(Cell(), rng.standard_normal((2, 3)), *(rng.standard_normal((2, 4)) for _ in range(cell.states)))
    gradcheck(Cell(), rng.standard_normal(3), *(rng.standard_normal(4) for _ in range(cell.states)))


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_cell_is_a_layer_of_one_step(name, rng):
    layer, cell = getattr(nn, name)(3, 4, rng=1), getattr(nn, name + "Cell")(3, 4, rng=1)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    x = rng.standard_normal((5, 2, 3)).astype(np.float32)
    y, end = layer(x)
    state = None
    for t in range(5):
        state = cell(x[t], state)
        np.testing.assert_array_equal(state[0] if name == "LSTM" else state, y[t])


@pytest.mark.parametrize("name", LAYERS)
def test_layer_without_a_batch_is_a_batch_of_one(name, rng):
    for batch_first in (False, True):
        layer = LAYERS[name](3, 4, num_layers=2, bidirectional=True, batch_first=batch_first, rng=1)
        x = rng.standard_normal((6, 3)).astype(np.float32)
        y, end = layer(x)
        dx = layer.backward(np.ones_like(y))
        batched, last = layer(x[None] if batch_first else x[:, None])
        np.testing.assert_array_equal(y, batched.reshape(y.shape))
        for a, b in zip(np.atleast_1d(np.asarray(end)), np.atleast_1d(np.asarray(last))):
            np.testing.assert_array_equal(a, b.reshape(a.shape))
        np.testing.assert_array_equal(layer.backward(np.ones_like(batched)).reshape(x.shape), dx)


def test_state_of_one_piece_goes_on_in_the_next(rng):
    layer = nn.LSTM(3, 4, num_layers=2, rng=1)
    x = rng.standard_normal((8, 2, 3)).astype(np.float32)
    whole, end = layer(x)
    first, state = layer(x[:5])
    second, state = layer(x[5:], state)
    np.testing.assert_array_equal(np.concatenate([first, second]), whole)
    np.testing.assert_array_equal(state[1], end[1])


def test_dropout_acts_between_layers_in_training_alone(rng):
    layer = nn.GRU(3, 8, num_layers=2, dropout=0.5, rng=1)
    x = rng.standard_normal((4, 2, 3)).astype(np.float32)
    assert not np.array_equal(layer(x)[0], layer(x)[0])
    layer.eval()
    np.testing.assert_array_equal(layer(x)[0], layer(x)[0])
    np.testing.assert_array_equal(nn.GRU(3, 8, num_layers=2, rng=1).eval()(x)[0].shape, (4, 2, 8))


def test_sequential_passes_outputs_and_lengths_on(rng):
    lstm, last, linear = nn.LSTM(3, 4, batch_first=True, rng=1), nn.LastStep(batch_first=True), nn.Linear(4, 2, rng=2)
    model = nn.Sequential(lstm, nn.Sequential(nn.Tanh(), last), linear)
    x, lengths = rng.standard_normal((5, 6, 3)).astype(np.float32), np.array([6, 1, 3, 2, 6])
    y = model(x, lengths)
    for b, n in enumerate(lengths):
        np.testing.assert_array_equal(model(x[b : b + 1, :n])[0], y[b])
    model(x, lengths)
    model.zero_grad()
    assert model.backward(np.ones_like(y)).shape == x.shape
    assert not model.backward(np.ones_like(y))[1, 1:].any()


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (5, 4, 2, 3), (3, 0, 2)])
def test_last_step_matches_the_reference(shape, batch_first, rng):
    x = rng.standard_normal(shape)
    lengths = rng.integers(0, shape[batch_first] + 1, shape[not batch_first])
    for counts in (None, lengths):
        y = kernels.last_step(x, counts, batch_first=batch_first)
        np.testing.assert_array_equal(y, reference.last_step(x, counts, batch_first=batch_first))
        dx = kernels.last_step_backward(y, shape, counts, batch_first=batch_first)
        np.testing.assert_array_equal(dx, reference.last_step_backward(y, shape, counts, batch_first=batch_first))


def test_parameters_have_the_names_shapes_and_bounds_of_pytorch():
    layer = nn.LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2, rng=0)
    shapes = {name: array.shape for name, array in layer.state_dict().items()}
    assert shapes["weight_ih_l0"] == (20, 3) and shapes["weight_hh_l0_reverse"] == (20, 2) and shapes["weight_ih_l1"] == (20, 4)
    assert shapes["bias_hh_l1_reverse"] == (20,) and shapes["weight_hr_l1"] == (2, 5) and len(shapes) == 20
    assert max(abs(array).max() for array in layer.state_dict().values()) <= 1 / np.sqrt(5)
    layer.weight_ih_l0 = np.ones((20, 3))
    assert (layer.weight_ih_l0 == 1).all() and layer.weight_ih_l0 is layer.params["weight_ih_l0"]
    with pytest.raises(ValueError, match=r"weight_ih_l0 must have shape \(20, 3\)"):
        layer.weight_ih_l0 = np.ones((3, 20))
    with pytest.raises(AttributeError, match="no attribute 'weight_ih_l2'"):
        layer.weight_ih_l2
    assert repr(layer) == "LSTM(3, 5, num_layers=2, bidirectional=True, proj_size=2)"


def test_captured_prediction_takes_and_returns_states(rng):
    layer = nn.LSTM(3, 5, num_layers=2, rng=0)
    predict = fastnn.capture(layer)
    state = tuple(np.zeros((2, 1, 5), np.float32) for _ in range(2))
    for _ in range(4):
        x = rng.standard_normal((1, 1, 3)).astype(np.float32)
        layer.eval()
        y, wanted = layer(x, state)
        got, state = predict(x, state)
        np.testing.assert_array_equal(got, y)
        np.testing.assert_array_equal(state[1], wanted[1])
    layer.weight_hh_l0 = layer.weight_hh_l0 * 2
    np.testing.assert_array_equal(predict(x, state)[0], layer(x, state)[0])


def test_captured_step_heeds_lengths_and_checks_them_again(rng):
    model = nn.Sequential(nn.GRU(3, 5, rng=0), nn.LastStep(), nn.Linear(5, 2, rng=1))
    other = nn.Sequential(nn.GRU(3, 5, rng=0), nn.LastStep(), nn.Linear(5, 2, rng=1))
    loss, step = nn.MSELoss(), fastnn.capture(model, nn.MSELoss(), fastnn.optim.SGD(model.parameters(), lr=0.1))
    update = fastnn.optim.SGD(other.parameters(), lr=0.1)
    for _ in range(4):
        x, y = rng.standard_normal((6, 4, 3)).astype(np.float32), rng.standard_normal((4, 2)).astype(np.float32)
        lengths = rng.integers(0, 7, 4)
        update.zero_grad()
        expected = loss(other(x, lengths), y)
        other.backward(loss.backward())
        update.step()
        assert step(x, lengths, y) == expected
    with pytest.raises(ValueError, match="lengths must be from 0 to 6, the number of steps, got 7 at index 3"):
        step(x, np.array([1, 2, 3, 7]), y)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.LSTM(3, 4)(np.zeros((5, 2, 4), "f")), ValueError, r"x must have shape \(T, B, 3\) or \(T, 3\), got \(5, 2, 4\)"),
        (lambda: nn.LSTM(3, 4)(np.zeros((0, 2, 3), "f")), ValueError, r"x must have at least one step, got shape \(0, 2, 3\)"),
        (lambda: nn.LSTM(3, 4)(np.zeros((5, 2, 3))), TypeError, "weight_ih must have x's dtype float64, got float32"),
        (lambda: nn.GRU(3, 4)(np.zeros((5, 2, 3), "f"), np.zeros((1, 3, 4), "f")), ValueError, r"state must have arrays of shape \(1, 2, 4\), got \(1, 3, 4\)"),
        (lambda: nn.LSTM(3, 4)(np.zeros((5, 2, 3), "f"), np.zeros((1, 2, 4), "f")), TypeError, r"state must be a pair of arrays \(h, c\), got ndarray"),
        (lambda: nn.GRU(3, 4)(np.zeros((5, 2, 3), "f"), None, [5, 6]), ValueError, "lengths must be from 0 to 5, the number of steps, got 6 at index 1"),
        (lambda: nn.GRU(3, 4)(np.zeros((5, 2, 3), "f"), None, [-1, 5]), ValueError, "lengths must be from 0 to 5, the number of steps, got -1 at index 0"),
        (lambda: nn.GRU(3, 4)(np.zeros((5, 2, 3), "f"), None, [5]), ValueError, r"lengths must have shape \(2,\), one for each sequence, got \(1,\)"),
        (lambda: nn.GRU(3, 4)(np.zeros((5, 2, 3), "f"), None, [1.5, 2]), TypeError, "lengths must be integers, got float64"),
        (lambda: nn.GRU(3, 4)(np.zeros((5, 3), "f"), None, [5]), ValueError, "lengths must be None for an x without a batch"),
        (lambda: nn.RNN(3, 4, nonlinearity="sin"), ValueError, "nonlinearity must be one of 'tanh', 'relu', got 'sin'"),
        (lambda: nn.LSTM(3, 4, proj_size=4), ValueError, "proj_size must be smaller than hidden_size, got 4 and 4"),
        (lambda: nn.LSTM(3, 4, num_layers=0), ValueError, "num_layers must be at least 1, got 0"),
        (lambda: nn.LSTM(3, 4, dropout=1.5), ValueError, "dropout must be between 0 and 1, got 1.5"),
        (lambda: nn.LSTM(3, 4).backward(np.zeros((1, 1, 4))), RuntimeError, "LSTM.backward needs a forward in training mode before it"),
        (lambda: nn.LSTMCell(3, 4)(np.zeros((2, 4), "f")), ValueError, r"x must have shape \(B, 3\) or \(3,\), got \(2, 4\)"),
        (lambda: nn.LastStep()(np.zeros(3, "f")), ValueError, r"x must have at least two dimensions, time and batch, got shape \(3,\)"),
        (lambda: kernels.gru(np.zeros((2, 1, 3)), [(np.zeros((4, 3)), np.zeros((4, 2)), None, None)]), ValueError, r"weight_ih must have shape \(3 hidden, in\), got \(4, 3\)"),
        (lambda: kernels.gru(np.zeros((2, 1, 3)), [(np.zeros((6, 3)), np.zeros((6, 3)), None, None)]), ValueError, r"weight_hh must have shape \(6, 2\)"),
        (lambda: kernels.gru(np.zeros((2, 1, 3)), []), ValueError, "weights must have one tuple for each of one or two directions, got 0"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(call, error, message):
    with pytest.raises(error, match=message):
        call()
