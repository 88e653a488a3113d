"""Scaled dot-product attention, forward and backward, and a transformer's encoder layer, against the NumPy reference and against PyTorch."""

# PyTorch's own interface is typed too loosely to be checked here.
# mypy: disable-error-code="import-not-found,no-untyped-call,no-any-return"

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastnn
from fastnn import kernels, nn, optim, reference
from fastnn.bench.harness import Case, Work
from fastnn.bench.machine import random_array

Array = NDArray[Any]

BATCH, HEADS = 8, 8
LENGTHS, DIMS = (128, 512), (32, 64)
MODEL, FEED, SAMPLES, LENGTH = 256, 1024, 32, 64  # the encoder layer: d_model, dim_feedforward, batch, positions
TIMING_LR = 1e-6  # see networks.py


def torch_module() -> Any:
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    return torch


# --- the kernel ---


def attention(length: int, dim: int, causal: bool, backward: bool, peers: tuple[str, ...]) -> Work:
    q, k, v, dy = (random_array(BATCH, HEADS, length, dim, seed=seed) for seed in range(4))

    def side(module: Any) -> Callable[[], Any]:
        saved = module.scaled_dot_product_attention(q, k, v, causal=causal)
        if backward:
            return lambda: module.scaled_dot_product_attention_backward(dy, q, k, v, *saved, causal=causal)
        return lambda: module.scaled_dot_product_attention(q, k, v, causal=causal)

    sides = {"numpy": side(reference)}
    if "torch" in peers:
        torch = torch_module()
        tensors = [torch.from_numpy(x).requires_grad_(backward) for x in (q, k, v)]
        forward = partial(torch.nn.functional.scaled_dot_product_attention, *tensors, is_causal=causal)
        y = forward()
        sides["torch"] = partial(torch.autograd.grad, y, tensors, torch.from_numpy(dy), retain_graph=True) if backward else forward
    ours = side(kernels)

    def check() -> None:
        for peer, call in sides.items():
            theirs = call()
            theirs = theirs if isinstance(theirs, tuple) else (theirs,)
            for actual, expected in zip(ours(), theirs):
                expected = np.asarray(expected)
                np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())), err_msg=peer)

    flops = (5 if backward else 2) * 2.0 * BATCH * HEADS * length * length * dim
    return Work(ours, sides, check, flops / 2 if causal else flops)


# --- the encoder layer ---


class NumpyLayer:
    """The layer in NumPy, trained with Adam on the mean squared error."""

    def __init__(self, state: dict[str, Array], lr: float) -> None:
        self.p, self.lr, self.t = {name: array.copy() for name, array in state.items()}, lr, 0
        self.m, self.v = ({name: np.zeros_like(array) for name, array in state.items()} for _ in range(2))

    def heads(self, x: Array) -> Array:
        return x.reshape(*x.shape[:2], HEADS, -1).transpose(0, 2, 1, 3)

    def forward(self, x: Array) -> Array:
        p = self.p
        qkv = reference.linear(x, p["self_attn.in_proj_weight"], p["self_attn.in_proj_bias"])
        q, k, v = map(self.heads, np.split(qkv, 3, -1))
        y, top, total = reference.scaled_dot_product_attention(q, k, v)
        mixed = y.transpose(0, 2, 1, 3).reshape(x.shape)
        sums = x + reference.linear(mixed, p["self_attn.out_proj.weight"], p["self_attn.out_proj.bias"])
        a, mean1, rstd1 = reference.layer_norm(sums, MODEL, p["norm1.weight"], p["norm1.bias"])
        hidden = np.maximum(reference.linear(a, p["linear1.weight"], p["linear1.bias"]), 0)
        sums2 = a + reference.linear(hidden, p["linear2.weight"], p["linear2.bias"])
        out, mean2, rstd2 = reference.layer_norm(sums2, MODEL, p["norm2.weight"], p["norm2.bias"])
        self.saved = x, (q, k, v, y, top, total), mixed, (sums, mean1, rstd1), a, hidden, (sums2, mean2, rstd2)
        return out

    def step(self, x: Array, target: Array) -> float:
        p, g = self.p, {}
        out = self.forward(x)
        x, attended, mixed, norm1, a, hidden, norm2 = self.saved

        def linear(name: str, dy: Array, x: Array, weight: str = ".weight", bias: str = ".bias") -> Array:
            dx, g[name + weight], g[name + bias] = reference.linear_backward(dy, x, p[name + weight])
            return dx

        d, g["norm2.weight"], g["norm2.bias"] = reference.layer_norm_backward(2 / out.size * (out - target), *norm2, p["norm2.weight"])
        d = d + linear("linear1", linear("linear2", d, hidden) * (hidden > 0), a)
        d, g["norm1.weight"], g["norm1.bias"] = reference.layer_norm_backward(d, *norm1, p["norm1.weight"])
        parts = reference.scaled_dot_product_attention_backward(self.heads(linear("self_attn.out_proj", d, mixed)), *attended)
        packed = np.concatenate([part.transpose(0, 2, 1, 3).reshape(x.shape) for part in parts], -1)
        linear("self_attn", packed, x, ".in_proj_weight", ".in_proj_bias")
        self.t += 1
        for name, gradient in g.items():
            self.m[name] = 0.9 * self.m[name] + 0.1 * gradient
            self.v[name] = 0.999 * self.v[name] + 0.001 * gradient**2
            root = np.sqrt(self.v[name]) / np.sqrt(1 - 0.999**self.t)
            p[name] -= self.lr / (1 - 0.9**self.t) * self.m[name] / (root + 1e-8)
        return float(np.mean((out - target) ** 2))


def our_layer() -> nn.TransformerEncoderLayer:
    layer = nn.TransformerEncoderLayer(MODEL, HEADS, FEED, 0.0, batch_first=True, rng=1)
    layer.needs_input_grad = False  # as in PyTorch: nobody asked for the gradient of x
    return layer


def torch_layer(torch: Any) -> Any:
    layer = torch.nn.TransformerEncoderLayer(MODEL, HEADS, FEED, 0.0, batch_first=True)
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in our_layer().state_dict().items()})
    return layer


def our_step(lr: float, x: Array, target: Array) -> Callable[[], Any]:
    layer = our_layer()
    return partial(fastnn.capture(layer, nn.MSELoss(), optim.Adam(layer.parameters(), lr=lr)), x, target)


def numpy_step(lr: float, x: Array, target: Array) -> Callable[[], Any]:
    return partial(NumpyLayer(our_layer().state_dict(), lr).step, x, target)


def torch_step(lr: float, x: Array, target: Array) -> Callable[[], Any]:
    torch = torch_module()
    layer, loss, inputs = torch_layer(torch), torch.nn.MSELoss(), (torch.from_numpy(x), torch.from_numpy(target))
    optimizer = torch.optim.Adam(layer.parameters(), lr=lr, fused=True)

    def step() -> Any:
        value = loss(layer(inputs[0]), inputs[1])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        return value.item()

    return step


def training(peers: tuple[str, ...]) -> Work:
    """The sides' losses over some steps must agree before one of them is timed."""
    x, target = random_array(SAMPLES, LENGTH, MODEL, seed=1), random_array(SAMPLES, LENGTH, MODEL, seed=2)
    makers = {"numpy": numpy_step, **({"torch": torch_step} if "torch" in peers else {})}

    def losses(make: Any) -> list[float]:
        step = make(1e-3, x, target)
        return [float(step()) for _ in range(4)]

    def check() -> None:
        expected = losses(our_step)
        assert expected[-1] < expected[0], f"the loss does not fall: {expected}"
        for peer, make in makers.items():
            np.testing.assert_allclose(losses(make), expected, rtol=1e-4, err_msg=f"losses of {peer}'s first steps")

    return Work(our_step(TIMING_LR, x, target), {peer: make(TIMING_LR, x, target) for peer, make in makers.items()}, check)


def inference(batch: int, peers: tuple[str, ...]) -> Work:
    x = random_array(batch, LENGTH, MODEL, seed=1)
    layer = our_layer()
    ours: Callable[[], Any] = partial(fastnn.capture(layer), x)
    sides: dict[str, Callable[[], Any]] = {"numpy": partial(NumpyLayer(layer.state_dict(), 0.0).forward, x)}
    if "torch" in peers:
        torch = torch_module()
        sides["torch"] = partial(torch.inference_mode()(torch_layer(torch).train(False).forward), torch.from_numpy(x))

    def check() -> None:
        for peer, call in sides.items():
            np.testing.assert_allclose(ours(), np.asarray(call()), rtol=0, atol=1e-4, err_msg=peer)

    return Work(ours, sides, check)


def attention_cases() -> Iterator[Case]:
    for backward in (False, True):
        name = "scaled_dot_product_attention" + ("_backward" if backward else "")
        for causal in (False, True):
            for length in LENGTHS:
                for dim in DIMS:
                    label = f"{name} causal" if causal else name
                    yield Case(
                        "attention", f"{label} float32", label, f"{BATCH}×{HEADS}×{length}×{dim}", "float32", partial(attention, length, dim, causal, backward),
                        small=length < 512, quick=length < 512,
                    )  # fmt: skip
    shape = f"{LENGTH}×{MODEL}"
    yield Case("attention", "captured training step, encoder layer", "train TransformerEncoderLayer", f"{SAMPLES}×{shape}", "float32", training)
    for batch in (1, SAMPLES):
        yield Case("attention", "captured inference, encoder layer", "infer TransformerEncoderLayer", f"{batch}×{shape}", "float32", partial(inference, batch))
