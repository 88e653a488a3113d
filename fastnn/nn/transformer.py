"""The encoder of a transformer, and its causal mask. Source: Vaswani et al., Attention Is All You Need, 2017, section 3."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastnn.kernels import add
from fastnn.nn.activation import GELU, ReLU
from fastnn.nn.arguments import one_of, positive_int
from fastnn.nn.attention import MultiheadAttention
from fastnn.nn.dropout import Dropout
from fastnn.nn.linear import Linear
from fastnn.nn.module import Array, Module, check_dtype
from fastnn.nn.norm import LayerNorm
from fastnn.random import Rng, default_rng


def generate_square_subsequent_mask(sz: int, dtype: DTypeLike = np.float32) -> Array:
    """The causal mask, (sz, sz): -inf above the diagonal, else 0."""
    n = positive_int(sz, "sz", minimum=0)
    return np.triu(np.full((n, n), -np.inf, check_dtype(np.dtype(dtype))), 1)


class TransformerEncoderLayer(Module):
    """x = norm1(x + self_attn(x)), then y = norm2(x + linear2(activation(linear1(x)))); with norm_first x + self_attn(norm1(x)) and so on.

    Dropout comes after the activation and before each sum, and on the weights of the attention. x, y: (L, N, d_model), or (N, L, d_model) with
    batch_first, or unbatched (L, d_model). activation: "relu" or "gelu". Names and defaults are PyTorch's.
    """

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1, activation: str = "relu", layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        generator = default_rng(rng)
        self.self_attn = MultiheadAttention(d_model, nhead, dropout, bias, batch_first=batch_first, dtype=dtype, rng=generator)
        self.linear1 = Linear(d_model, dim_feedforward, bias, dtype, generator)
        self.activation = GELU() if one_of(activation, "activation", ("relu", "gelu")) == "gelu" else ReLU()
        self.dropout = Dropout(dropout, rng=generator)
        self.linear2 = Linear(dim_feedforward, d_model, bias, dtype, generator)
        self.norm1, self.norm2 = (LayerNorm(d_model, layer_norm_eps, bias=bias, dtype=dtype) for _ in range(2))
        self.dropout1, self.dropout2 = (Dropout(dropout, rng=generator) for _ in range(2))
        self.norm_first = bool(norm_first)

    def forward(self, src: Array, src_mask: ArrayLike | None = None, src_key_padding_mask: ArrayLike | None = None, is_causal: bool = False) -> Array:
        """src_mask: (L, L) or (N nhead, L, L); src_key_padding_mask: (N, L); as MultiheadAttention's. is_causal alone stands for the causal mask."""
        x = self.norm1.forward(src) if self.norm_first else src
        y, _ = self.self_attn.forward(x, x, x, src_key_padding_mask, False, src_mask, is_causal=is_causal)
        x = add(src, self.dropout1.forward(y))
        if self.norm_first:
            return add(x, self._feed(x))
        x = self.norm1.forward(x)
        return self.norm2.forward(add(x, self._feed(x)))

    def _feed(self, x: Array) -> Array:
        for module in self._feed_modules():
            x = module.forward(x)
        return x

    def backward(self, dy: Any) -> Array | None:
        """The gradient of src; masks have none."""
        if self.norm_first:
            dx: Any = add(dy, self._feed_backward(dy))
            other: Any = self.norm1.backward(self._attend_backward(dx))
        else:
            dx = self.norm2.backward(dy)
            dx = self.norm1.backward(add(dx, self._feed_backward(dx)))
            other = self._attend_backward(dx)
        return add(dx, other) if self.needs_input_grad else None

    def _attend_backward(self, dy: Any) -> Any:
        return self.self_attn.backward(self.dropout1.backward(dy))[0]  # type: ignore[arg-type]

    def _feed_backward(self, dy: Any) -> Any:
        for module in reversed(self._feed_modules()):
            dy = module.backward(dy)
        return dy

    def _feed_modules(self) -> list[Module]:
        return [*([self.norm2] if self.norm_first else []), self.linear1, self.activation, self.dropout, self.linear2, self.dropout2]

    def extra_repr(self) -> str:
        return f"norm_first={self.norm_first}"


class TransformerEncoder(Module):
    """num_layers copies of a layer, one after the other, then `norm` where it is given.

    Each copy has arrays of its own, equal at first, and draws dropout masks of its own. enable_nested_tensor and mask_check are accepted, as PyTorch has
    them, and without effect. rng: for the dropout masks.
    """

    def __init__(
        self, encoder_layer: TransformerEncoderLayer, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True, mask_check: bool = True,
        rng: Rng = None,
    ) -> None:  # fmt: skip
        if not isinstance(encoder_layer, Module):
            raise TypeError(f"encoder_layer must be a Module, got {type(encoder_layer).__name__}")
        generator = default_rng(rng)
        self.layers = tuple(deepcopy(encoder_layer) for _ in range(positive_int(num_layers, "num_layers", minimum=0)))
        self.num_layers, self.norm = len(self.layers), norm
        for module in self.modules():
            if isinstance(module, Dropout):
                module._state[...] = generator.integers(2**64, dtype=np.uint64), 0

    def named_children(self) -> Iterator[tuple[str, Module]]:
        yield from ((f"layers.{i}", layer) for i, layer in enumerate(self.layers))
        if self.norm is not None:
            yield "norm", self.norm

    def forward(self, src: Array, mask: ArrayLike | None = None, src_key_padding_mask: ArrayLike | None = None, is_causal: bool = False) -> Array:
        """mask: (L, L) or (N nhead, L, L); src_key_padding_mask: (N, L); is_causal alone stands for the causal mask."""
        for layer in self.layers:
            src = layer.forward(src, mask, src_key_padding_mask, is_causal)
        return src if self.norm is None else self.norm.forward(src)

    def backward(self, dy: Array) -> Array | None:
        """The gradient of src; masks have none."""
        dx: Any = dy if self.norm is None else self.norm.backward(dy)
        for layer in reversed(self.layers):
            dx = layer.backward(dx)
        return dx if self.needs_input_grad else None
