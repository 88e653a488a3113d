"""gradcheck: is backward the derivative of forward? Central differences in float64 say.

With a fixed random gradient dy of the output and L = sum(dy y), backward must give dL/dx for every element of every input and
parameter:
    dL/dx[i] ~ sum(dy (y(x + eps e_i) - y(x - eps e_i))) / (2 eps).
Outputs are subtracted before they are summed, so that elements that x[i] does not reach add no rounding error. The truncation
error is eps^2 f''' / 6 and the rounding error about 2^-53 |y| / eps: with eps = 1e-6 some ten digits are left where y is near 1.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from .random import default_rng

Array = npt.NDArray[Any]
Outputs = tuple[Array, ...]


class GradientError(AssertionError):
    """backward disagrees with central differences."""


def gradcheck(
    target: Any,
    *inputs: Any,
    eps: float = 1e-6,
    rtol: float = 1e-5,
    atol: float = 1e-7,
    rng: SupportsIndex | np.random.Generator | None = None,
) -> None:
    """Raise GradientError unless target's backward agrees with central differences, |backward - numeric| <= atol + rtol |numeric|.

    target:
      (forward, backward)   y = forward(*inputs) and backward(dy, *inputs), which returns the gradient of each array input, a tuple
                            when there are several. Where backward takes something else, wrap it:
                            gradcheck((tanh, lambda dy, x: tanh_backward(dy, tanh(x))), x)
      a module              module(*inputs), module.backward(*dy), zero_grad(), and named_parameters(), which yields names and
                            parameters with arrays .data and .grad. Inputs and parameters are checked.
      a loss                loss(input, target), then loss.backward(), which takes no argument; its first input is checked, or those that
                            loss.differentiable has the numbers of.
    inputs: float64 arrays are checked (and not written to). Integer and boolean arrays, and whatever is no array, are passed on.
    rng: for dy; a seed, a Generator or None.

    The arrays that named_buffers() yields (running statistics) are put back before each forward; they and the parameters have
    their old values afterwards, and the gradients are zeroed. A module must be in the mode in which it has a backward (training). Its output
    must repeat: set dropout's p to 0. Choose inputs away from kinks (ReLU at 0), where there is no derivative.

    Raises TypeError for floating inputs or parameters that are not float64, ValueError for a target whose output changes from call
    to call, GradientError naming the worst element.
    """
    values = [np.array(value) if isinstance(value, np.ndarray) else value for value in inputs]
    run, backward = _calls(target, values)
    checked = [i for i, value in enumerate(values) if isinstance(value, np.ndarray) and value.dtype.kind not in "iub"]
    if _is_loss(target):
        which = getattr(target, "differentiable", checked[:1])
        checked = [i for i in checked if i in which]
    names = _input_names(target, len(values))
    for i in checked:
        _require_float64(names[i], values[i])
    parameters = list(target.named_parameters()) if hasattr(target, "named_parameters") else []
    for name, parameter in parameters:
        _require_float64(f"parameter {name}", parameter.data)

    buffers = [array for _, array in target.named_buffers()] if hasattr(target, "named_buffers") else []
    kept = [(array, array.copy()) for array in buffers]

    def forward() -> Outputs:
        for array, old in kept:
            array[...] = old
        return run()

    try:
        outputs = forward()
        if any(not np.array_equal(a, b, equal_nan=True) for a, b in zip(outputs, forward(), strict=True)):
            raise ValueError("gradcheck: two calls with the same inputs gave different outputs; does it drop out?")
        generator = default_rng(rng)
        dys = tuple(np.ones(y.shape) if _is_loss(target) else generator.standard_normal(y.shape) for y in outputs)

        if parameters:
            target.zero_grad()
        gradients = _match(backward(dys), values, checked)
        checks = [(names[i], values[i], gradient) for i, gradient in zip(checked, gradients, strict=True)]
        checks += [(f"parameter {name}", p.data, np.array(p.grad)) for name, p in parameters]
        for name, array, gradient in checks:
            _compare(name, gradient, _numeric(forward, dys, array, eps), rtol, atol)
    finally:
        for array, old in kept:
            array[...] = old
        if parameters:
            target.zero_grad()


def _calls(target: Any, values: list[Any]) -> tuple[Callable[[], Outputs], Callable[[Outputs], Any]]:
    """(forward, backward) on values as they are when called: forward() to a tuple of outputs, backward(dys) after a forward."""
    if isinstance(target, tuple):
        call, undo = target
        return lambda: _outputs(call(*values)), lambda dys: undo(*dys, *values)
    call = target if callable(target) else target.forward
    if _is_loss(target):
        return lambda: _outputs(call(*values)), lambda dys: target.backward()
    return lambda: _outputs(call(*values)), lambda dys: target.backward(*dys)


def _outputs(result: Any) -> Outputs:
    return tuple(np.array(y) for y in (result if isinstance(result, tuple) else (result,)))


def _is_loss(target: Any) -> bool:
    """Whether target.backward can do without an output gradient."""
    if isinstance(target, tuple):
        return False
    return all(p.default is not p.empty for p in inspect.signature(target.backward).parameters.values())


def _input_names(target: Any, n: int) -> list[str]:
    """The names of forward's first n arguments, where they can be found."""
    function = target[0] if isinstance(target, tuple) else getattr(target, "forward", target)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [f"input {i} ({named[i]})" if i < len(named) else f"input {i}" for i in range(n)]


def _require_float64(name: str, array: Array) -> None:
    if array.dtype != np.float64:
        raise TypeError(f"gradcheck: {name} must be float64, central differences need its digits; got {array.dtype}")


def _match(result: Any, values: list[Any], checked: list[int]) -> list[Array]:
    """backward's result as one gradient for each checked input."""
    gradients = list(result) if isinstance(result, tuple) else [result]
    arrays = [i for i, value in enumerate(values) if isinstance(value, np.ndarray)]
    if len(gradients) == len(arrays) != len(checked):
        gradients = [gradient for i, gradient in zip(arrays, gradients, strict=True) if i in checked]
    if not checked and gradients == [None]:
        gradients = []
    if len(gradients) != len(checked):
        raise GradientError(f"gradcheck: backward gave {len(gradients)} gradients for {len(checked)} float64 inputs")
    return [np.array(gradient) for gradient in gradients]


def _numeric(forward: Callable[[], Outputs], dys: Outputs, array: Array, eps: float) -> Array:
    """dL/darray by central differences; array is changed one element at a time and put back."""
    gradient = np.zeros(array.shape)
    for index in np.ndindex(array.shape):
        old = array[index]
        try:
            array[index] = above = old + eps
            high = forward()
            array[index] = below = old - eps
            low = forward()
        finally:
            array[index] = old
        gradient[index] = sum(float((dy * (a - b)).sum()) for dy, a, b in zip(dys, high, low, strict=True)) / (above - below)
    return gradient


def _compare(name: str, gradient: Array, numeric: Array, rtol: float, atol: float) -> None:
    if gradient.shape != numeric.shape:
        raise GradientError(f"gradcheck: the gradient of {name} has shape {gradient.shape}, but {name} has {numeric.shape}")
    with np.errstate(invalid="ignore"):
        excess = np.abs(gradient - numeric) / (atol + rtol * np.abs(numeric))
    excess = np.where(np.isnan(excess), np.inf, excess)
    wrong = int((excess > 1).sum())
    if wrong:
        index = tuple(int(i) for i in np.unravel_index(int(excess.argmax()), excess.shape))
        raise GradientError(
            f"gradcheck: the gradient of {name} is wrong in {wrong} of {numeric.size} elements, most at index {index}: "
            f"backward gives {gradient[index]:.9g}, central differences give {numeric[index]:.9g} (rtol {rtol:g}, atol {atol:g})"
        )
