"""A table of a model's layers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastnn.nn.module import Module


def _shapes(output: Any) -> str:
    outputs = output if isinstance(output, tuple) else (output,)
    return ", ".join(str(np.shape(y)) for y in outputs)


def summary(module: Module, input_shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> str:
    """A table of the layers: name, type, output shape, parameters; then totals.

    Runs a forward in evaluation mode on zeros of `input_shape` (with its batch). Parameters that appear twice count once.
    """
    found: dict[int, str] = {}
    leaves = [(name or "·", layer) for name, layer in module.named_modules() if not any(layer.children())]
    modes = [(layer, layer.training, layer._saved) for layer in module.modules()]

    def watch(layer: Module) -> None:
        forward = layer.forward

        def watched(*inputs: Any) -> Any:
            output = forward(*inputs)
            found[id(layer)] = _shapes(output)
            return output

        layer.forward = watched  # type: ignore[method-assign]

    try:
        for _, layer in leaves:
            watch(layer)
        module.eval()
        output = module(np.zeros(input_shape, dtype))
    finally:
        for _, layer in leaves:
            vars(layer).pop("forward", None)
        for layer, training, saved in modes:
            layer.training, layer._saved = training, saved

    names = {id(layer) for _, layer in leaves}
    rows = [("layer", "type", "output shape", "parameters")]
    counted: set[int] = set()
    for name, layer in module.named_modules():
        own = [p for p in vars(layer).get("_parameters", {}).values() if p is not None and id(p) not in counted]
        counted.update(id(p) for p in own)
        if id(layer) in names or own:
            size = sum(p.size for p in own)
            shape = found.get(id(layer), _shapes(output) if layer is module else "not called")
            rows.append((name or "·", type(layer).__name__, shape, f"{size:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(cell.ljust(w) for cell, w in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])]) for row in rows]
    rule = "-" * len(lines[0])
    arrays = {id(p): p.data for p in module.parameters()}
    total, size = sum(a.size for a in arrays.values()), sum(a.nbytes for a in arrays.values())
    return "\n".join([lines[0], rule, *lines[1:], rule, f"output {_shapes(output)}, {total:,} parameters, {size:,} bytes"])
