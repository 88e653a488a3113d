"""Every kernel and layer has all its places: kernel function, reference, layer, tests, benchmark, type hints."""

import inspect
from pathlib import Path

import pytest

import fastnn
from fastnn import kernels, nn, optim, reference
from fastnn.kernels import _core

TESTS = "\n".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py") if path != Path(__file__))

# Kernels that are not a public function's own forward or backward, and the public function that runs each.
PARTS = {
    "gelu_tanh_forward": "gelu",
    "gelu_tanh_backward": "gelu_backward",
    "gemm": "matmul",
    "gemm_pack": None,
    "sum_rows": "linear_backward",
    "loss_total": "mse_loss",
    "kl_div_log_target_forward": "kl_div",
    "kl_div_log_target_backward": "kl_div_backward",
    "fma_peak": None,
    "sum_axis": "sum_to",
    "advance": "dropout_next",
    "layer_norm_backward_parameters": "layer_norm_backward",
    "rms_norm_backward_parameters": "rms_norm_backward",
    "avg_pool_quotients": "avg_pool_backward",
    "lp_root_backward": "lp_pool_backward",
    "instance_norm_running": "instance_norm",
    "optimizer_tick": None,
    "sgd_step": None,
    "adam_step": None,
    "rmsprop_step": None,
    "adagrad_step": None,
    "gradient_norm_partials": None,
    "gradient_norm_total": None,
    "gradient_norm_scale": None,
    "gradient_clip_value": None,
    "gather_rows": "embedding",
    "row_sizes": None,
    "embedding_bag_dots": "embedding_bag_backward",
    "embedding_frequencies": "embedding_backward",
    "embedding_renorm": "embedding_renorm_",
    "embedding_slots": "embedding_backward",
    "check_offsets": "embedding_bag",
    "fold_batch_norm": None,
    "conv_pack_weight": "conv",
    "conv_weight_gradient": "conv_backward",
    "channel_sums": "conv_backward",
    "dropout_channels": "dropout",
    "upsample_table": "upsample",
    "upsample_nearest_forward": "upsample",
    "upsample_nearest_backward": "upsample_backward",
    "upsample_linear_forward": "upsample",
    "upsample_linear_backward": "upsample_backward",
    "recurrent_pack": "rnn",
    "rnn_tanh_forward": "rnn",
    "rnn_tanh_backward": "rnn_backward",
    "rnn_relu_forward": "rnn",
    "rnn_relu_backward": "rnn_backward",
    "check_labels": "cross_entropy",
    "check_unit_interval": "binary_cross_entropy",
    "check_not_negative": "gaussian_nll_loss",
    "check_ctc": "ctc_loss",
    "poisson_nll_loss_of_rate_forward": "poisson_nll_loss",
    "poisson_nll_loss_of_rate_backward": "poisson_nll_loss_backward",
    "gaussian_nll_loss_backward_variance": "gaussian_nll_loss_backward",
    "triplet_margin_loss_backward_negative": "triplet_margin_loss_backward",
}

PUBLIC = [name for name in dir(kernels) if not name.startswith("_") and callable(getattr(kernels, name))]


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in ("out", "axis", "accumulate") and not name.startswith("d")]


@pytest.mark.parametrize("name", PUBLIC)
def test_kernel_function_has_a_reference_of_the_same_arguments(name):
    assert hasattr(reference, name), f"fastnn.reference.{name} is missing"
    taken = parameters(getattr(kernels, name))
    missing = [p for p in parameters(getattr(reference, name)) if p not in taken and p not in ("alpha", "beta", "c")]
    assert not missing, f"fastnn.kernels.{name} does not take {missing}"


@pytest.mark.parametrize("name", PUBLIC)
def test_kernel_function_is_documented_hinted_and_tested(name):
    assert getattr(kernels, name).__doc__, f"fastnn.kernels.{name} has no docstring"
    module = getattr(kernels, name).__module__.rsplit(".", 1)[-1]
    stub = (Path(kernels.__file__).parent / f"{module}.pyi").read_text()
    assert f"def {name}(" in stub, f"{module}.pyi does not declare {name}"
    assert name in TESTS or name.removesuffix("_backward") in TESTS, f"no test mentions {name}"


@pytest.mark.parametrize("name", _core.kernel_names())
def test_kernel_is_reached_by_a_public_function(name):
    if name in PARTS:
        function = PARTS[name]
        assert function is None or hasattr(kernels, function)
        return
    base = name.removesuffix("_forward")
    assert hasattr(kernels, base), f"kernel {name}: fastnn.kernels.{base} is missing"


@pytest.mark.parametrize("module", [nn, optim], ids=["nn", "optim"])
def test_class_is_documented_and_tested(module):
    for name, member in vars(module).items():
        if inspect.isclass(member):
            assert member.__doc__, f"{member} has no docstring"
            assert name in TESTS, f"no test mentions {name}"


def test_version_is_that_of_the_distribution():
    from importlib.metadata import PackageNotFoundError, version

    try:
        assert fastnn.__version__ == version("fastnn")
    except PackageNotFoundError:
        pytest.skip("fastnn is not installed")
