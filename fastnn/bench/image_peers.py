"""A convolutional network in other libraries, layer by layer from fastnn's model: a Sequential of Conv2d, BatchNorm2d, ReLU, MaxPool2d(2), Flatten and
Linear, with the same weights.

PyTorch eager with its fused Adam; ONNX Runtime on a graph of its own operators; NumPy with fastnn.reference, whose convolutions are products of
all patches (im2col).
"""

# The peers' own interfaces are typed too loosely, or not at all, to be checked here.
# mypy: disable-error-code="import-not-found,import-untyped,no-untyped-call,no-any-return,attr-defined"

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import nn, reference

Array = NDArray[Any]


def leaves(model: Any) -> list[Any]:
    """The layers of a chain of chains."""
    return [leaf for child in model.layers for leaf in leaves(child)] if isinstance(model, nn.Sequential) else [model]


class Torch:
    def __init__(self, model: Any, lr: float) -> None:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        self.torch = torch
        layers = []
        for layer in leaves(model):
            kind = type(layer).__name__
            made = getattr(torch.nn, kind)(*{
                "Conv2d": lambda a: (a.in_channels, a.out_channels, a.kernel_size, a.stride, a.padding, a.dilation, a.groups, a.bias is not None),
                "BatchNorm2d": lambda a: (a.num_features,),
                "Linear": lambda a: (a.in_features, a.out_features),
                "MaxPool2d": lambda a: (a.kernel_size,),
            }.get(kind, lambda a: ())(layer))  # fmt: skip
            made.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in layer.state_dict().items()})
            layers.append(made)
        self.model = torch.nn.Sequential(*layers)
        self.loss = torch.nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=lr, fused=True)

    def step(self, x: Array, y: Array) -> Any:
        value = self.loss(self.model(self.torch.from_numpy(x)), self.torch.from_numpy(y))
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return value.item()

    def predictor(self) -> Any:
        forward = self.torch.inference_mode()(self.model.eval().forward)
        return lambda x: forward(self.torch.from_numpy(x))


class Onnxruntime:
    """Inference only."""

    def __init__(self, model: Any, lr: float) -> None:
        import onnx
        import onnxruntime
        from onnx import helper, numpy_helper

        nodes: list[Any] = []
        constants: list[Any] = []
        last = "x"
        for i, layer in enumerate(leaves(model)):
            kind, inputs = type(layer).__name__, [last]
            options: dict[str, Any] = {}
            state = layer.state_dict()
            names = [n for n in ("weight", "bias", "running_mean", "running_var") if n in state]
            constants += [numpy_helper.from_array(np.ascontiguousarray(state[n]), f"{n}{i}") for n in names]
            inputs += [f"{n}{i}" for n in names]
            if kind == "Conv2d":
                options = {"pads": [*layer.padding, *layer.padding], "kernel_shape": list(layer.kernel_size), "strides": list(layer.stride)}
            elif kind == "MaxPool2d":
                options = {"kernel_shape": [2, 2], "strides": [2, 2]}
            elif kind == "Linear":
                options = {"transB": 1}
            elif kind == "BatchNorm2d":
                options = {"epsilon": layer.eps}
            operator = {"Conv2d": "Conv", "MaxPool2d": "MaxPool", "Linear": "Gemm", "BatchNorm2d": "BatchNormalization", "ReLU": "Relu"}.get(kind, kind)
            nodes.append(helper.make_node(operator, inputs, [f"h{i}"], **options))
            last = f"h{i}"
        first = leaves(model)[0].in_channels
        ends = [helper.make_tensor_value_info("x", 1, ["batch", first, None, None]), helper.make_tensor_value_info(last, 1, ["batch", None])]
        made = helper.make_model(helper.make_graph(nodes, "network", ends[:1], ends[1:], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made)
        options_ = onnxruntime.SessionOptions()
        options_.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        self.session = onnxruntime.InferenceSession(made.SerializeToString(), options_, providers=["CPUExecutionProvider"])

    def predictor(self) -> Any:
        return lambda x: self.session.run(None, {"x": x})[0]


class Numpy:
    """Forward and backward of each layer by fastnn.reference, Adam on plain arrays."""

    def __init__(self, model: Any, lr: float) -> None:
        self.layers, self.lr, self.steps = leaves(model), lr, 0
        self.state = [{name: np.array(value) for name, value in layer.state_dict().items()} for layer in self.layers]
        self.moments = [{name: (np.zeros_like(p), np.zeros_like(p)) for name, p in state.items() if name in ("weight", "bias")} for state in self.state]

    def forward(self, x: Array, training: bool = False) -> tuple[Array, list[Any]]:
        kept: list[Any] = []
        for layer, s in zip(self.layers, self.state):
            kind = type(layer).__name__
            saved: Any = x
            if kind == "Conv2d":
                x = reference.conv(x, s["weight"], s.get("bias"), layer.stride, layer.padding)
            elif kind == "BatchNorm2d":
                x, mean, rstd = reference.batch_norm(x, s["running_mean"], s["running_var"], s["weight"], s["bias"], training)
                saved = (saved, mean, rstd)
            elif kind == "ReLU":
                x = np.maximum(x, 0)
            elif kind == "MaxPool2d":
                x, indices = reference.max_pool(x, 2, indices="flat")
                saved = (saved.shape, indices)
            elif kind == "Flatten":
                x = x.reshape(len(x), -1)
            else:
                x = reference.linear(x, s["weight"], s["bias"])
            kept.append(saved)
        return x, kept

    def step(self, x: Array, y: Array) -> Any:
        logits, kept = self.forward(x, training=True)
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        total = exponentials.sum(axis=1, keepdims=True)
        rows = np.arange(len(y))
        loss = np.mean(np.log(total[:, 0]) - shifted[rows, y])
        d: Any = exponentials / total
        d[rows, y] -= 1
        d /= len(y)
        gradients: list[Any] = []
        for layer, s, saved in zip(reversed(self.layers), reversed(self.state), reversed(kept)):
            kind = type(layer).__name__
            parameters: Any = ()
            if kind == "Conv2d":
                d, *parameters = reference.conv_backward(d, saved, s["weight"], layer.stride, layer.padding)
            elif kind == "BatchNorm2d":
                x, mean, rstd = saved
                d, *parameters = reference.batch_norm_backward(d, x, mean, rstd, s["weight"], True)
            elif kind == "ReLU":
                d = d * (saved > 0)
            elif kind == "MaxPool2d":
                d = reference.max_pool_backward(d, saved[1], saved[0], 2)
            elif kind == "Flatten":
                d = d.reshape(saved.shape)
            else:
                d, *parameters = reference.linear_backward(d, saved, s["weight"])
            gradients.append(parameters)
        self.update(reversed(gradients))
        return loss

    def update(self, gradients: Any) -> None:
        """Adam."""
        self.steps += 1
        rate, root = self.lr / (1 - 0.9**self.steps), np.sqrt(1 - 0.999**self.steps)
        for s, moments, parameters in zip(self.state, self.moments, gradients):
            for (name, (m, v)), g in zip(moments.items(), parameters):
                m += np.float32(0.1) * (g - m)
                v += np.float32(0.001) * (g * g - v)
                s[name] -= np.float32(rate) * m / (np.sqrt(v) / np.float32(root) + np.float32(1e-8))

    def predictor(self) -> Any:
        return lambda x: self.forward(x)[0]


PEERS: dict[str, Any] = {"numpy": Numpy, "torch": Torch, "onnxruntime": Onnxruntime}
