"""One step of an optimizer on one parameter, in place, and gradient clipping.

param, grad and every state array: one shape and dtype. grad is not written to. step counts from 1. A state array that no option
needs is None; giving it switches the option on where that is said. With maximize, grad is negated first. The formulas are
PyTorch's; all but AdamW add weight_decay param to grad.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .array import Array


def _gradient(param: Array, grad: Array, weight_decay: float, maximize: bool) -> Array:
    grad = -grad if maximize else grad
    return grad + weight_decay * param if weight_decay != 0.0 else grad


def sgd_step(
    param: Array,
    grad: Array,
    momentum_buffer: Array | None = None,
    step: int = 1,
    *,
    lr: float = 1e-3,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> None:
    """buffer = momentum buffer + (1 - dampening) g, but g itself in step 1; param -= lr buffer.

    nesterov: param -= lr (g + momentum buffer). momentum_buffer is needed when momentum is not 0.
    """
    g = _gradient(param, grad, weight_decay, maximize)
    if momentum != 0.0:
        if momentum_buffer is None:
            raise ValueError("sgd_step: momentum needs a momentum_buffer")
        momentum_buffer[...] = g if step == 1 else momentum * momentum_buffer + (1 - dampening) * g
        g = g + momentum * momentum_buffer if nesterov else momentum_buffer
    param -= lr * g


def adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array | None = None,
    step: int = 1,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None:
    """m += (1 - b1) (g - m), v = b2 v + (1 - b2) g^2, param -= lr / (1 - b1^step) m / (sqrt(v) / sqrt(1 - b2^step) + eps).

    amsgrad, when max_exp_avg_sq is given: in the last formula v is the largest v so far, kept there.
    Source: Kingma and Ba, Adam, 2014; Reddi et al., On the Convergence of Adam and Beyond, 2018.
    """
    beta1, beta2 = betas
    g = _gradient(param, grad, weight_decay, maximize)
    exp_avg += (1 - beta1) * (g - exp_avg)
    exp_avg_sq[...] = beta2 * exp_avg_sq + (1 - beta2) * g * g
    v = exp_avg_sq
    if max_exp_avg_sq is not None:
        v = np.maximum(max_exp_avg_sq, exp_avg_sq, out=max_exp_avg_sq)
    denominator = np.sqrt(v) / math.sqrt(1 - beta2**step) + eps
    param -= (lr / (1 - beta1**step)) * (exp_avg / denominator)


def adamw_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    max_exp_avg_sq: Array | None = None,
    step: int = 1,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    maximize: bool = False,
) -> None:
    """param *= 1 - lr weight_decay, then Adam's step without weight decay. Source: Loshchilov and Hutter, 2017."""
    param *= 1 - lr * weight_decay
    adam_step(param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq, step, lr=lr, betas=betas, eps=eps, maximize=maximize)


def sparse_adam_step(
    param: Array,
    grad: Array,
    exp_avg: Array,
    exp_avg_sq: Array,
    step: int = 1,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    maximize: bool = False,
) -> None:
    """Adam's m and v, param -= lr sqrt(1 - b2^step) / (1 - b1^step) m / (sqrt(v) + eps); all arrays hold the used rows alone."""
    beta1, beta2 = betas
    g = _gradient(param, grad, 0.0, maximize)
    exp_avg += (1 - beta1) * (g - exp_avg)
    exp_avg_sq[...] = beta2 * exp_avg_sq + (1 - beta2) * g * g
    param -= lr * math.sqrt(1 - beta2**step) / (1 - beta1**step) * (exp_avg / (np.sqrt(exp_avg_sq) + eps))


def rmsprop_step(
    param: Array,
    grad: Array,
    square_avg: Array,
    grad_avg: Array | None = None,
    momentum_buffer: Array | None = None,
    *,
    lr: float = 1e-2,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    maximize: bool = False,
) -> None:
    """v = alpha v + (1 - alpha) g^2, d = g / (sqrt(v) + eps), param -= lr d.

    centered, when grad_avg is given: m += (1 - alpha) (g - m), and sqrt(v - m^2) in place of sqrt(v).
    momentum: buffer = momentum buffer + d, param -= lr buffer. Source: Tieleman and Hinton, 2012; Graves, 2013.
    """
    g = _gradient(param, grad, weight_decay, maximize)
    square_avg[...] = alpha * square_avg + (1 - alpha) * g * g
    v = square_avg
    if grad_avg is not None:
        grad_avg += (1 - alpha) * (g - grad_avg)
        v = square_avg - grad_avg * grad_avg
    d = g / (np.sqrt(v) + eps)
    if momentum > 0.0:
        if momentum_buffer is None:
            raise ValueError("rmsprop_step: momentum needs a momentum_buffer")
        momentum_buffer[...] = momentum * momentum_buffer + d
        d = momentum_buffer
    param -= lr * d


def adagrad_step(
    param: Array,
    grad: Array,
    state_sum: Array,
    step: int = 1,
    *,
    lr: float = 1e-2,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None:
    """s += g^2, param -= lr / (1 + (step - 1) lr_decay) g / (sqrt(s) + eps).

    state_sum begins as initial_accumulator_value, 0 by default. Source: Duchi et al., 2011.
    """
    g = _gradient(param, grad, weight_decay, maximize)
    state_sum += g * g
    param -= (lr / (1 + (step - 1) * lr_decay)) * (g / (np.sqrt(state_sum) + eps))


def clip_grad_norm(
    grads: Sequence[Array], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> float:
    """Scale the gradients, in place, by min(1, max_norm / (norm + 1e-6)); returns the norm they had.

    norm: of all elements together, (sum |g|^norm_type)^(1 / norm_type), for norm_type inf max |g|, computed in double.
    Raises ValueError if error_if_nonfinite and the norm is NaN or infinite.
    """
    if norm_type == 0:
        raise ValueError("clip_grad_norm: norm_type must not be 0")
    absolutes = [np.abs(grad.astype(np.float64)) for grad in grads]
    if norm_type == math.inf:
        norm = float(np.max([a.max(initial=0.0) for a in absolutes], initial=0.0))
    else:
        norm = float(sum((a**norm_type).sum() for a in absolutes)) ** (1 / norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise ValueError(f"clip_grad_norm: the norm of the gradients is {norm}")
    coefficient = max_norm / (norm + 1e-6)
    if not coefficient > 1.0:
        for grad in grads:
            grad *= coefficient
    return norm


def clip_grad_value(grads: Sequence[Array], clip_value: float) -> None:
    """Limit every element of the gradients, in place, to [-clip_value, clip_value]."""
    for grad in grads:
        np.minimum(np.maximum(grad, -clip_value), clip_value, out=grad)
