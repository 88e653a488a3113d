"""Captured predictions: the bits of the eager forward, folding, and staying up to date with the parameters."""

import threading

import numpy as np
import pytest
from helpers import ISAS, assert_close, bits, machine
from test_captured import LAYERS

import fastnn
from fastnn import kernels, nn, optim
from fastnn.nn.module import Module, ParameterField


def model_of(layers, dtype):
    return nn.Sequential(nn.Linear(8, 8, dtype=dtype, rng=1), *layers, nn.Linear(8, 4, dtype=dtype, rng=2))


def trained(model, dtype, rng):
    """The model after a few steps, so that running statistics are not what they start from; in evaluation mode."""
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(rng.standard_normal((6, 8)).astype(dtype))
        model.zero_grad()
        model.backward(rng.standard_normal((6, 4)).astype(dtype))
        optimizer.step()
    return model.eval()


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer(layer, dtype, rng):
    model = trained(model_of(LAYERS[layer](dtype), dtype), dtype, rng)
    predict = fastnn.capture(model, fold=False)
    for rows in (6, 1, 6, 0, 6, 17):
        x = rng.standard_normal((rows, 8)).astype(dtype)
        expected = bits(model(x))
        assert bits(predict(x)) == expected and bits(predict(x)) == expected


def folding(dtype, rng, bias=True):
    return trained(
        nn.Sequential(
            nn.Linear(8, 16, bias=bias, dtype=dtype, rng=1), nn.BatchNorm1d(16, dtype=dtype), nn.ReLU(), nn.Dropout(0.5),
            nn.Residual(nn.Linear(16, 16, dtype=dtype, rng=2), nn.BatchNorm1d(16, affine=False, dtype=dtype)),
            nn.BatchNorm1d(16, dtype=dtype), nn.Linear(16, 4, dtype=dtype, rng=3),
        ),
        dtype, rng,
    )  # fmt: skip


def images(dtype, rng):
    """Convolutions with and without groups, each with its normalisation."""
    model = nn.Sequential(
        nn.Unflatten(1, (2, 5, 6)), nn.Conv2d(2, 6, 3, padding=1, bias=False, dtype=dtype, rng=1), nn.BatchNorm2d(6, dtype=dtype), nn.ReLU(),
        nn.Conv2d(6, 6, 3, groups=6, padding=1, stride=2, dtype=dtype, rng=2), nn.BatchNorm2d(6, dtype=dtype), nn.Tanh(),
        nn.Residual(nn.Conv2d(6, 6, 1, groups=2, dtype=dtype, rng=3), nn.BatchNorm2d(6, affine=False, dtype=dtype)), nn.Flatten(),
        nn.Linear(54, 4, dtype=dtype, rng=4),
    )  # fmt: skip
    for _ in range(3):
        model(rng.standard_normal((4, 60)).astype(dtype))
    return model.eval()


def test_convolutions_fold_fuse_and_pack(dtype, rng):
    model = images(dtype, rng)
    predict, plain = fastnn.capture(model), fastnn.capture(model, fold=False)
    for rows in (7, 1):
        x = rng.standard_normal((rows, 60)).astype(dtype)
        for _ in range(2):
            expected = model(x).astype(np.float64)
            assert_close(predict(x), expected, terms=100, magnitude=np.abs(expected).max())
            assert bits(plain(x)) == bits(model(x))
    assert [call.kernel for call in predict.cycle[0].calls] == ["conv_forward"] * 3 + ["add", "gemm"]
    model[1].weight = model[1].weight * 2
    assert_close(predict(x), model(x).astype(np.float64), terms=100, magnitude=np.abs(expected).max())


@pytest.mark.parametrize(("channels", "rows", "stride", "form"), [(16, 20, 1, 1), (260, 130, 1, 5), (24, 20, 2, 1), (260, 130, 2, 5)])  # 5 reads its weights as they are
def test_winograds_convolution_folds(channels, rows, stride, form, dtype, rng):
    model = nn.Sequential(nn.Conv2d(channels, rows, 3, stride=stride, padding=1, dtype=dtype, rng=1), nn.BatchNorm2d(rows, dtype=dtype), nn.SiLU(), nn.Flatten())
    size = (channels, 9, 8) if stride == 1 else (channels, 32, 31)
    for _ in range(3):
        model(rng.standard_normal((4, *size)).astype(dtype))
    predict, plain = fastnn.capture(model.eval()), fastnn.capture(model, fold=False)
    x = rng.standard_normal((3, *size)).astype(dtype)
    expected = model(x).astype(np.float64)
    assert_close(predict(x), expected, terms=200, magnitude=np.abs(expected).max())
    assert [(call.kernel, call["form"]) for call in predict.cycle[0].calls] == [("conv_forward", form)]
    assert bits(plain(x)) == bits(model(x)) and bits(predict(x[1:2])) == bits(predict(x)[1:2])
    model[0].weight = model[0].weight * 2
    assert_close(predict(x), model(x).astype(np.float64), terms=200, magnitude=2 * np.abs(expected).max())


@pytest.mark.parametrize(("channels", "rows"), [(24, 20), (260, 130)])
def test_winograds_transposed_convolution_fuses(channels, rows, dtype, rng):
    model = nn.Sequential(nn.ConvTranspose2d(channels, rows, 3, stride=2, padding=1, output_padding=(1, 0), dtype=dtype, rng=1), nn.SiLU()).eval()
    predict = fastnn.capture(model)
    x = rng.standard_normal((3, channels, 32, 31)).astype(dtype)
    assert bits(predict(x)) == bits(model(x)) and bits(predict(x[1:2])) == bits(predict(x)[1:2])
    assert [call.kernel for call in predict.cycle[0].calls] == ["conv_forward"]


def test_a_convolution_that_two_normalisations_share_folds_into_both(rng):
    class Shared(Module):
        def __init__(self):
            self.conv = nn.Conv2d(260, 130, 3, padding=1, rng=1)
            self.first, self.second = nn.BatchNorm2d(130), nn.BatchNorm2d(130)

        def forward(self, a, b):
            a, b = self.conv(a), self.conv(b)
            return kernels.add(self.first(a), self.second(b))

    model = Shared()
    model.first.running_mean[...], model.second.running_var[...] = 2, 3
    predict = fastnn.capture(model.eval())
    a, b = rng.standard_normal((2, 1, 260, 5, 6)).astype(np.float32)
    expected = model(a, b).astype(np.float64)
    assert_close(predict(a, b), expected, terms=200, magnitude=np.abs(expected).max())
    assert [call.kernel for call in predict.cycle[0].calls] == ["conv_forward"] * 2 + ["add"]


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_is_folded(bias, dtype, rng):
    model = folding(dtype, rng, bias)
    predict, plain = fastnn.capture(model), fastnn.capture(model, fold=False)
    x = rng.standard_normal((7, 8)).astype(dtype)
    for _ in range(2):
        expected = model(x).astype(np.float64)
        assert_close(predict(x), expected, terms=100, magnitude=np.abs(expected).max())
        assert bits(plain(x)) == bits(model(x))
    kernels_used = [call.kernel for call in predict.cycle[0].calls]
    assert kernels_used.count("batch_norm_forward") == 1, "the one after the sum has no product before it"
    assert "relu_forward" not in kernels_used
    assert bits(predict(x[3:4])) == bits(predict(x)[3:4])


def test_folded_bits_do_not_depend_on_threads_or_instruction_set(dtype, rng):
    model, x = folding(dtype, rng), rng.standard_normal((7, 8)).astype(dtype)
    predict = fastnn.capture(model)
    expected = bits(predict(x))
    for isa in ISAS:
        for threads in (1, 2, 3):
            with machine(isa, threads):
                assert bits(predict(x)) == expected


def test_a_snapshot_follows_the_librarys_writers(dtype, rng):
    model, x = folding(dtype, rng), rng.standard_normal((5, 8)).astype(dtype)
    predict = fastnn.capture(model)
    loss, optimizer = nn.MSELoss(), optim.Adam(model.parameters(), lr=0.01)
    step = fastnn.capture(model, loss, optimizer)
    y = rng.standard_normal((5, 4)).astype(dtype)

    def eager_step():
        loss(model(x), y), model.zero_grad(), model.backward(loss.backward()), optimizer.step()

    def assign():
        model[0].weight = rng.standard_normal(model[0].weight.shape)

    def load():
        model.load_state_dict({name: array * 2 if array.dtype.kind == "f" else array for name, array in model.state_dict().items()})

    writers = [
        eager_step, lambda: step(x, y), lambda: step(x, y), lambda: step.many(x, y, batch_size=5), assign, load, lambda: nn.init.normal_(model[0].weight, rng=1),
        lambda: model(x), lambda: setattr(model[1], "running_mean", np.ones(16)),
    ]  # fmt: skip
    for write in writers:
        before = predict(x)
        model.train()
        write()
        model.eval()
        after = predict(x)
        expected = model(x).astype(np.float64)
        assert_close(after, expected, terms=100, magnitude=np.abs(expected).max())  # terms cancel in every layer
        assert not np.array_equal(before, after)


def test_a_write_in_place_needs_refresh(rng):
    model, x = folding(np.float32, rng), rng.standard_normal((5, 8)).astype(np.float32)
    predict, live = fastnn.capture(model), fastnn.capture(model, fold=False, pack=False)
    before = predict(x), live(x)
    model[0].weight[...] *= 2
    assert np.array_equal(predict(x), before[0])
    assert np.array_equal(live(x), model(x)) and not np.array_equal(live(x), before[1])
    predict.refresh()
    expected = model(x).astype(np.float64)
    assert_close(predict(x), expected, terms=100, magnitude=np.abs(expected).max())


class ByRows(Module):
    """Its weights lie in memory as PyTorch's do."""

    weight = ParameterField()

    def __init__(self, dtype):
        self.weight = np.linspace(-1, 1, 32, dtype=dtype).reshape(4, 8)

    def forward(self, x):
        return kernels.linear(x, self.weight)


def test_weights_are_packed_once(dtype, rng):
    model, x = nn.Sequential(ByRows(dtype), nn.Tanh()), rng.standard_normal((5, 8)).astype(dtype)
    packed, live = fastnn.capture(model), fastnn.capture(model, pack=False)
    for _ in range(2):
        assert bits(packed(x)) == bits(live(x)) == bits(model(x))
    assert packed.cycle[0].once is not None and live.cycle[0].once is None
    before = packed(x)
    model[0].weight[...] *= 2
    assert np.array_equal(packed(x), before) and bits(live(x)) == bits(model(x))
    packed.refresh()
    assert bits(packed(x)) == bits(model(x))
    model[0].weight = np.ones((4, 8))
    assert bits(packed(x)) == bits(model(x))


def test_modes_do_not_matter_and_are_kept(rng):
    model = model_of([nn.Dropout(0.5), nn.BatchNorm1d(8)], np.float32)
    predict, x = fastnn.capture(model, fold=False), rng.standard_normal((5, 8)).astype(np.float32)
    expected = bits(model.eval()(x))
    for training in (True, False, True):
        model.train(training)
        assert bits(predict(x)) == expected
        assert all(module.training is training for module in model.modules())
    plan = predict.cycle[0]
    model.eval()
    predict(x)
    assert predict.cycle[0] is plan, "a change of mode does not need a new plan"


def test_results_are_new_arrays(rng):
    for layers in ([nn.Linear(8, 4)], [nn.Identity()], [nn.Flatten()], [nn.Linear(8, 4), nn.Unflatten(1, (2, 2))]):
        predict, x = fastnn.capture(nn.Sequential(*layers)), rng.standard_normal((5, 8)).astype(np.float32)
        results = [predict(x) for _ in range(3)]
        assert all(not np.may_share_memory(a, b) for a in results for b in [x, *results] if a is not b)
        assert all(bits(result) == bits(layers[0](x) if len(layers) == 1 else layers[1](layers[0](x))) for result in results)
        results[0][...] = 7
        assert not np.array_equal(predict(x), results[0])


def test_several_inputs_and_outputs(dtype, rng):
    class Pair(Module):
        def forward(self, a, b):
            y = kernels.add(a, b)
            return y, kernels.tanh(y), y, a

    predict = fastnn.capture(Pair())
    for _ in range(3):
        a, b = rng.standard_normal((3, 4)).astype(dtype), rng.standard_normal((3, 4)).astype(dtype)
        total = a + b
        results = predict(a, b)
        assert isinstance(results, tuple)
        for result, expected in zip(results, (total, kernels.tanh(total), total, a), strict=True):
            assert bits(result) == bits(expected)


def test_structure_and_dtype_may_change(rng):
    model = model_of([], np.float32)
    predict, x = fastnn.capture(model), rng.standard_normal((5, 8)).astype(np.float32)
    predict(x), predict(x)
    model.insert(1, nn.Tanh())
    assert bits(predict(x)) == bits(model.eval()(x))
    model.to(np.float64)
    assert bits(predict(x.astype(np.float64))) == bits(model(x.astype(np.float64)))
    with pytest.raises(TypeError):
        predict(x)
    with pytest.raises(ValueError):
        predict(x[:, :3].astype(np.float64))
    with pytest.raises(TypeError, match="takes the model's inputs"):
        predict()


def test_several_predictions_of_one_model_at_once(rng):
    model, x = folding(np.float32, rng), [rng.standard_normal((9, 8)).astype(np.float32) for _ in range(200)]
    expected = [bits(fastnn.capture(model)(rows)) for rows in x]
    found = {}

    def run(i):
        predict = fastnn.capture(model)
        found[i] = [bits(predict(rows)) for rows in x]

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[i] == expected for i in range(8))
    assert not any("forward" in vars(module) or "backward" in vars(module) for module in model.modules())
