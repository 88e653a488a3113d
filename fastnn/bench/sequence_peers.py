"""A recurrent network in other libraries, layer by layer from fastnn's model, with the same weights: an Embedding or none, an RNN, LSTM or GRU, and a Linear
on all steps or on the last one.

PyTorch eager with its fused Adam; JAX with the whole step in one jit, the inputs of all steps in one product and lax.scan over the rest; ONNX Runtime
on a graph of its own recurrent operators. A side may have step(x, y) → loss; predictor() → a function of x; carrier() → a function of (tokens (1, B), state)
that returns (logits, the state after them), and the state to begin with; put(array) → an input as the library likes it.
"""

# The peers' own interfaces are typed too loosely, or not at all, to be checked here.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,no-any-return,attr-defined"

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn.bench.peers import jax_adam
from fastnn.bench.sequence_loops import Numpy, parts

Array = NDArray[Any]
SIZES = {"Embedding": ("num_embeddings", "embedding_dim"), "Linear": ("in_features", "out_features")}  # of recurrent layers: input_size, hidden_size


class Torch:
    def __init__(self, model: Any, lr: float) -> None:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        self.torch, self.layers = torch, torch.nn.ModuleList()
        for layer in parts(model):
            kind = type(layer).__name__
            if kind == "LastStep":
                made = torch.nn.Identity()
            else:
                made = getattr(torch.nn, kind)(*(getattr(layer, name) for name in SIZES.get(kind, ("input_size", "hidden_size"))))
                made.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in layer.state_dict().items()})
            self.layers.append(made)
        self.optimizer = torch.optim.Adam(self.layers.parameters(), lr=lr, fused=True)

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        for layer in self.layers:
            if isinstance(layer, self.torch.nn.RNNBase):
                x, state = layer(x, state)
            else:
                x = x[-1] if isinstance(layer, self.torch.nn.Identity) else layer(x)
        return x.reshape(-1, x.shape[-1]), state

    def step(self, x: Array, y: Array) -> Any:
        functions = self.torch.nn.functional
        loss = functions.cross_entropy if y.dtype.kind == "i" else functions.mse_loss
        value = loss(self.forward(self.torch.from_numpy(x))[0], self.torch.from_numpy(y))
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.item()

    def predictor(self) -> Any:
        self.layers.eval()
        return self.torch.inference_mode()(lambda x: self.forward(self.torch.from_numpy(x))[0])

    def carrier(self) -> tuple[Any, Any]:
        """With the cell: the layer prepares its weights anew in every call, which for one step of an LSTM takes eight times as long."""
        embedding, layer, head = self.layers
        cell = getattr(self.torch.nn, f"{type(layer).__name__}Cell")(layer.input_size, layer.hidden_size)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})

        def advance(tokens: Array, state: Any) -> tuple[Array, Any]:
            state = cell(embedding(self.torch.from_numpy(tokens)[0]), state)
            return head(state[0] if isinstance(state, tuple) else state).numpy(), state

        return self.torch.inference_mode()(advance), None


class Jax:
    def __init__(self, model: Any, lr: float) -> None:
        import jax
        import jax.numpy as jnp

        self.jax = jax
        kinds = [type(layer).__name__ for layer in parts(model)]

        def array(value: Array, kind: str) -> Any:
            return jnp.array(value if kind == "Embedding" or value.ndim == 1 else value.T)

        self.parameters = [[array(value, kind) for value in layer.state_dict().values()] for kind, layer in zip(kinds, parts(model))]
        zeros = jax.tree.map(jnp.zeros_like, self.parameters)
        self.state = (zeros, jax.tree.map(jnp.zeros_like, zeros), jnp.zeros(()))

        def recurrent(kind: str, x: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> Any:
            def step(state: Any, gates: Any) -> tuple[Any, Any]:
                h, c = state
                hidden = h @ w_hh + b_hh
                if kind == "RNN":
                    h = jnp.tanh(gates + hidden)
                elif kind == "LSTM":
                    i, f, g, o = jnp.split(gates + hidden, 4, axis=-1)
                    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                    h = jax.nn.sigmoid(o) * jnp.tanh(c)
                else:
                    (xr, xz, xn), (hr, hz, hn) = jnp.split(gates, 3, axis=-1), jnp.split(hidden, 3, axis=-1)
                    z = jax.nn.sigmoid(xz + hz)
                    h = (1 - z) * jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn) + z * h
                return (h, c), h

            zero = jnp.zeros((x.shape[1], w_hh.shape[0]), x.dtype)
            return jax.lax.scan(step, (zero, zero), x @ w_ih + b_ih)[1]

        def predict(parameters: Any, x: Any) -> Any:
            for kind, some in zip(kinds, parameters):
                if kind == "Embedding":
                    x = some[0][x]
                elif kind == "LastStep":
                    x = x[-1]
                else:
                    x = x @ some[0] + some[1] if kind == "Linear" else recurrent(kind, x, *some)
            return x.reshape(-1, x.shape[-1])

        def loss(parameters: Any, x: Any, y: Any) -> Any:
            out = predict(parameters, x)
            if jnp.issubdtype(y.dtype, jnp.integer):
                return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(out), y[:, None], axis=1))
            return jnp.mean((out - y) ** 2)

        def step(parameters: Any, state: Any, x: Any, y: Any) -> Any:
            value, gradients = jax.value_and_grad(loss)(parameters, x, y)
            return *jax_adam(parameters, gradients, state, lr), value

        self._step, self._predict = jax.jit(step, donate_argnums=(0, 1)), jax.jit(predict)

    def put(self, array: Array) -> Any:
        return self.jax.device_put(array)

    def step(self, x: Any, y: Any) -> Any:
        self.parameters, self.state, value = self._step(self.parameters, self.state, x, y)
        return value.block_until_ready()

    def predictor(self) -> Any:
        return lambda x: self._predict(self.parameters, x).block_until_ready()


class Onnxruntime:
    """Inference only."""

    GATES = {"RNN": (0,), "LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}  # PyTorch's gates in ONNX's order

    def __init__(self, model: Any, lr: float) -> None:
        self.parts = parts(model)

    def session(self, carried: bool = False) -> Any:
        """carried: h0 (and c0 of an LSTM) are inputs, the state after the last step are outputs."""
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper

        nodes: list[Any] = []
        constants: list[Any] = []
        tokens = type(self.parts[0]).__name__ == "Embedding"
        inputs = [helper.make_tensor_value_info("x", 7 if tokens else 1, ["steps", "batch"] if tokens else ["steps", "batch", self.parts[0].input_size])]
        outputs = [helper.make_tensor_value_info("y", 1, ["rows", self.parts[-1].out_features])]

        def hold(name: str, array: Array) -> str:
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
            return name

        last = "x"
        for layer, after in zip(self.parts, [*(type(layer).__name__ for layer in self.parts[1:]), ""]):
            kind, state = type(layer).__name__, list(layer.state_dict().values())
            if kind == "Embedding":
                nodes.append(helper.make_node("Gather", [hold("table", state[0]), last], ["embedded"]))
                last = "embedded"
            elif kind == "Linear":
                nodes.append(helper.make_node("Reshape", [last, hold("shape", np.array([-1, layer.in_features]))], ["rows"]))
                nodes.append(helper.make_node("Gemm", ["rows", hold("weight", state[0]), hold("bias", state[1])], ["y"], transB=1))
            elif kind != "LastStep":
                order = self.GATES[kind]
                w, r, *biases = (np.concatenate([np.split(np.asarray(value), len(order))[gate] for gate in order])[None] for value in state)
                states = ("h_n", "c_n")[: 1 + (kind == "LSTM")]
                begin = ["h0", "c0"][: len(states)] if carried else []
                shape = [1, "batch", layer.hidden_size]
                inputs += [helper.make_tensor_value_info(name, 1, shape) for name in begin]
                outputs += [helper.make_tensor_value_info(name, 1, shape) for name in states[: len(begin)]]
                held = [hold("W", w), hold("R", r), hold("B", np.concatenate(biases, axis=1))]
                reset = {"linear_before_reset": 1} if kind == "GRU" else {}
                nodes.append(helper.make_node(kind, [last, *held, "", *begin], ["steps", *states], hidden_size=layer.hidden_size, **reset))
                last = "h_n" if after == "LastStep" else "steps"  # Reshape removes the axis of directions
        made = helper.make_model(helper.make_graph(nodes, "network", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        return onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def predictor(self) -> Any:
        session = self.session()
        return lambda x: session.run(None, {"x": x})[0]

    def carrier(self) -> tuple[Any, Any]:
        session = self.session(carried=True)
        names = [entry.name for entry in session.get_inputs()][1:]
        zero = np.zeros((1, 1, self.parts[-1].in_features), np.float32)

        def advance(tokens: Array, state: Any) -> tuple[Array, Any]:
            logits, *state = session.run(None, {"x": tokens, **dict(zip(names, state))})
            return logits, state

        return advance, [zero] * len(names)


PEERS: dict[str, Any] = {"numpy": Numpy, "torch": Torch, "jax": Jax, "onnxruntime": Onnxruntime}
