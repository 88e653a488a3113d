"""Rewriting recorded calls: what can be done in fewer passes over memory, with the same bits."""

from __future__ import annotations

from collections.abc import Iterable

from fastnn.captured.calls import ITEM_SIZES, STRUCTS, Call
from fastnn.captured.memory import Memory, Region

_MAP = STRUCTS["relu_forward"]  # y, x, n, p, q: what a product can do to its own result


def users_of(calls: list[Call], memory: Memory) -> dict[Region, list[int]]:
    """Which calls point into each region."""
    users: dict[Region, list[int]] = {}
    for i, call in enumerate(calls):
        for region in {memory.find(address) for _, address in call.pointers()}:
            if region is not None:
                users.setdefault(region, []).append(i)
    return users


def fuse_activations(calls: list[Call], memory: Memory, results: Iterable[Region]) -> list[Call]:
    """Let a product apply the element-wise function that is the only one to read its result."""
    users, kept, gone = users_of(calls, memory), set(results), set()
    for i, product in enumerate(calls):
        if product.kernel != "gemm" or product["activation"]:
            continue
        region = memory.find(product["c"])
        if region is None or not region.fresh or region in kept or len(users[region]) != 2:
            continue
        j = users[region][1]
        map = calls[j]
        elements = product["batch"] * product["m"] * product["n"]
        if (
            STRUCTS[map.kernel] == _MAP and map.dtype == product.dtype and map["x"] == product["c"] == region.start and map["n"] == elements
            and elements * ITEM_SIZES[map.dtype] == region.size and product["c_col"] == 1 and product["c_row"] == product["n"]
        ):  # fmt: skip
            product["c"], product["activation"], product["p"], product["q"] = map["y"], map.address, map["p"], map["q"]
            product.label = product.label._replace(kind=f"{product.label.kind} + {map.label.kind}")
            gone.add(j)
    return [call for i, call in enumerate(calls) if i not in gone]
