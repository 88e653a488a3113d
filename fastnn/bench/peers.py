"""One feed-forward network in every library: built from the same weights, trained with Adam, asked for predictions.

Each is written as that library's users write it at its best: PyTorch eager, with its fused Adam; JAX with the whole step in one jit
that donates its state; ONNX Runtime on a graph of Gemm nodes; scikit-learn's estimator. A library is imported when its class is built.
"""

# The peers' own interfaces are typed too loosely, or not at all, to be checked here.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,no-any-return,attr-defined"

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn import nn, optim
from fastnn.training.numpy_baseline import NumpyNetwork

Array = NDArray[Any]


@dataclass(frozen=True)
class Network:
    """A network to build: layer sizes, "relu" or "tanh" between them, "cross_entropy" or "mse", and float32 weights (in, out) and biases."""

    sizes: tuple[int, ...]
    activation: str
    loss: str
    lr: float
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]


class Fastnn:
    def __init__(self, net: Network) -> None:
        layers: list[nn.Module] = []
        for w, b in zip(net.weights, net.biases):
            linear = nn.Linear(w.shape[0], w.shape[1], dtype=w.dtype)
            linear.weight, linear.bias = w.T, b
            layers += [linear, nn.ReLU() if net.activation == "relu" else nn.Tanh()]
        self.model = nn.Sequential(*layers[:-1])
        self.model.needs_input_grad = False  # as in the other libraries: nobody asked for the gradient of x
        self.loss = nn.CrossEntropyLoss() if net.loss == "cross_entropy" else nn.MSELoss()
        self.optimizer = optim.Adam(self.model.parameters(), lr=net.lr)

    def inputs(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x, y

    def step(self, x: Any, y: Any) -> Any:
        value = self.loss(self.model(x), y)
        self.optimizer.zero_grad()
        self.model.backward(self.loss.backward())
        self.optimizer.step()
        return value

    def predictor(self) -> Any:
        return self.model.eval().forward


class Captured(Fastnn):
    """The same, captured."""

    def __init__(self, net: Network) -> None:
        super().__init__(net)
        self.step = fastnn.capture(self.model, self.loss, self.optimizer)  # type: ignore[assignment,method-assign]

    def predictor(self) -> Any:
        return fastnn.capture(self.model)


class Numpy:
    def __init__(self, net: Network) -> None:
        self.model = NumpyNetwork([w.T for w in net.weights], list(net.biases), net.activation, "adam", net.lr, loss=net.loss)

    def inputs(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x, y

    def step(self, x: Any, y: Any) -> Any:
        return self.model.step(x, y)

    def predictor(self) -> Any:
        return self.model.forward


class Torch:
    def __init__(self, net: Network) -> None:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        layers: list[Any] = []
        for w, b in zip(net.weights, net.biases):
            linear = torch.nn.Linear(*w.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(w.T.copy()))
                linear.bias.copy_(torch.from_numpy(b.copy()))
            layers += [linear, torch.nn.ReLU() if net.activation == "relu" else torch.nn.Tanh()]
        self.torch, self.model = torch, torch.nn.Sequential(*layers[:-1])
        self.loss = torch.nn.CrossEntropyLoss() if net.loss == "cross_entropy" else torch.nn.MSELoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=net.lr, fused=True)

    def inputs(self, x: Array, y: Array) -> tuple[Any, Any]:
        return self.torch.from_numpy(x), self.torch.from_numpy(y)

    def step(self, x: Any, y: Any) -> Any:
        value = self.loss(self.model(x), y)
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.item()

    def predictor(self) -> Any:
        return self.torch.inference_mode()(self.model.eval().forward)


class TorchCompiled(Torch):
    """Forward and loss in one compiled function, backward through it, the fused optimizer after it."""

    def __init__(self, net: Network) -> None:
        super().__init__(net)
        self.compute = self.torch.compile(lambda x, y: self.loss(self.model(x), y))

    def step(self, x: Any, y: Any) -> Any:
        value = self.compute(x, y)
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.item()


def jax_adam(parameters: Any, gradients: Any, state: Any, lr: float) -> tuple[Any, Any]:
    """Adam for a tree of parameters; state: trees of both moments, and the number of steps."""
    import jax
    import jax.numpy as jnp

    m, v, t = state
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    rate, root = lr / (1 - 0.9**t), jnp.sqrt(1 - 0.999**t)
    return jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / root + 1e-8), parameters, m, v), (m, v, t)


class Jax:
    def __init__(self, net: Network) -> None:
        import jax
        import jax.numpy as jnp

        self.jax = jax
        self.parameters = [(jnp.array(w), jnp.array(b)) for w, b in zip(net.weights, net.biases)]
        zeros = jax.tree.map(jnp.zeros_like, self.parameters)
        self.state = (zeros, jax.tree.map(jnp.zeros_like, zeros), jnp.zeros(()))
        activation = jax.nn.relu if net.activation == "relu" else jnp.tanh

        def predict(parameters: Any, x: Any) -> Any:
            for w, b in parameters[:-1]:
                x = activation(x @ w + b)
            w, b = parameters[-1]
            return x @ w + b

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            out = predict(parameters, x)
            if net.loss == "mse":
                return jnp.mean((out - y) ** 2)
            return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1))

        def step(parameters: Any, state: Any, x: Any, y: Any) -> Any:
            value, gradients = jax.value_and_grad(loss)(parameters, x, y)
            return *jax_adam(parameters, gradients, state, net.lr), value

        self._step, self._predict = jax.jit(step, donate_argnums=(0, 1)), jax.jit(predict)

    def inputs(self, x: Array, y: Array) -> tuple[Any, Any]:
        return self.jax.device_put(x), self.jax.device_put(y)

    def step(self, x: Any, y: Any) -> Any:
        self.parameters, self.state, value = self._step(self.parameters, self.state, x, y)
        return value.block_until_ready()

    def predictor(self) -> Any:
        return lambda x: self._predict(self.parameters, x).block_until_ready()


class Onnxruntime:
    """Inference only."""

    def __init__(self, net: Network) -> None:
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper

        nodes, constants, last = [], [], "x"
        for i, (w, b) in enumerate(zip(net.weights, net.biases)):
            constants += [numpy_helper.from_array(w, f"w{i}"), numpy_helper.from_array(b, f"b{i}")]
            nodes += [
                helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], [f"a{i}"]),
                helper.make_node("Relu" if net.activation == "relu" else "Tanh", [f"a{i}"], [f"h{i}"]),
            ]
            last = f"h{i}"
        nodes.pop()
        ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", size]) for name, size in (("x", net.sizes[0]), (nodes[-1].output[0], net.sizes[-1]))]
        model = helper.make_model(helper.make_graph(nodes, "network", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def inputs(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x, y

    def predictor(self) -> Any:
        return lambda x: self.session.run(None, {"x": x})[0]


class Sklearn:
    """Inference only: its training step cannot be asked for by itself, see sklearn_epoch."""

    def __init__(self, net: Network) -> None:
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        settings = dict(hidden_layer_sizes=net.sizes[1:-1], activation=net.activation, alpha=0.0, learning_rate_init=net.lr, max_iter=1, shuffle=False)
        self.classes = np.arange(net.sizes[-1])
        self.model = MLPClassifier(**settings, batch_size=net.sizes[-1]) if net.loss == "cross_entropy" else MLPRegressor(**settings)
        x = np.zeros((net.sizes[-1], net.sizes[0]), np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that one epoch is too few
            self.model.fit(x, self.classes if net.loss == "cross_entropy" else np.zeros(len(x)))
        self.model.coefs_, self.model.intercepts_ = [w.copy() for w in net.weights], [b.copy() for b in net.biases]
        self.regression = net.loss == "mse"

    def inputs(self, x: Array, y: Array) -> tuple[Any, Any]:
        return x, y.ravel() if self.regression else y

    def predictor(self) -> Any:
        return self.model.predict if self.regression else self.model.predict_proba


def sklearn_epoch(net: Network, x: Array, y: Array, batch: int) -> tuple[Any, float]:
    """scikit-learn's training of MLPClassifier on these rows, some epochs long, and the share that one step has of it."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    epochs = 5
    model = MLPClassifier(
        hidden_layer_sizes=net.sizes[1:-1], activation=net.activation, alpha=0.0, learning_rate_init=net.lr, batch_size=batch, max_iter=epochs, shuffle=False,
        n_iter_no_change=epochs + 1,
    )  # fmt: skip

    def fit() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, y)

    return fit, 1 / (epochs * (len(x) // batch))


PREDICTORS: dict[str, Any] = {"numpy": Numpy, "torch": Torch, "jax": Jax, "onnxruntime": Onnxruntime, "sklearn": Sklearn}
PEERS: dict[str, Any] = {**PREDICTORS, "torch.compile": TorchCompiled}
TRAINERS = ("numpy", "torch", "jax")
