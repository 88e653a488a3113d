"""What a prediction computes from constants alone is computed once, and again when parameters change."""

from __future__ import annotations

from collections.abc import Iterable

from fastnn.captured.calls import ITEM_SIZES, Call, new_call
from fastnn.captured.memory import Memory, Region
from fastnn.captured.passes import Once, has_constant_weight, is_constant, is_whole
from fastnn.kernels._core import gemm_scratch_bytes

LARGEST_TABLE = 1 << 22  # elements of a product that is looked up: it is made anew with every change of parameters


def look_up_products(calls: list[Call], memory: Memory, once: Once) -> list[Call]:
    """Rows of a constant table times constant weights: look up the rows of the product of the whole table, which hoist_constants then computes once."""
    gathers: dict[Region, Call] = {}
    kept: list[Call] = []
    for call in calls:
        region = memory.find(call["a"]) if call.kernel == "gemm" else None
        gather = None if region is None else gathers.get(region)
        if call.kernel == "gather_rows" and is_constant(call["x"], memory):
            target = memory.find(call["y"])
            if target is not None and target.fresh and target.start == call["y"] and target.size == call["n"] * call["bytes"]:
                gathers[target] = call
        if gather is None or region is None or not _takes_rows_of(call, gather, region, memory):
            kept.append(call)
            continue
        table, size = memory.find(gather["x"]), ITEM_SIZES[call.dtype]
        assert table is not None
        rows = (table.start + table.size - gather["x"]) // gather["bytes"]
        product = once.array(memory, rows * call["n"], call.dtype)
        whole = new_call(call, "gemm")
        whole.args[:] = call.args
        whole["c"], whole["a"], whole["m"], whole["scratch"], whole.parts = product, gather["x"], rows, 0, 1
        scratch = gemm_scratch_bytes(bytes(whole.args), whole.dtype, 1)
        if scratch:
            whole["scratch"] = once.array(memory, scratch // size, call.dtype)
        once.calls.append(whole)
        kept.append(new_call(call, "gather_rows", y=call["c"], x=product, rows=gather["rows"], n=call["m"], bytes=call["n"] * size))
    return kept


def _takes_rows_of(product: Call, gather: Call, gathered: Region, memory: Memory) -> bool:
    """Whether it is the gathered rows times constant weights, and fills a region of its own."""
    k, size = product["k"], ITEM_SIZES[product.dtype]
    table = memory.find(gather["x"])
    fits = table is not None and table.size // gather["bytes"] * product["n"] <= LARGEST_TABLE
    rows = product["a"] == gathered.start and product["a_col"] == 1 and product["a_row"] == k and k * size == gather["bytes"] and product["m"] == gather["n"]
    return fits and rows and has_constant_weight(product, memory) and is_whole(product, memory.find(product["c"]))


def hoist_constants(calls: list[Call], memory: Memory, once: Once, results: Iterable[Region]) -> list[Call]:
    """Move calls that read nothing but constants to `once`, such as what packs the weights of convolutions and recurrent layers."""
    writers: dict[Region, int] = {}
    for call in calls:
        for argument, address in call.pointers():
            region = memory.find(address)
            if argument.writes and region is not None:
                writers[region] = writers.get(region, 0) + 1
    kept, moved, wanted = [], dict[Region, int](), set(results)
    for call in calls:
        written: list[tuple[str, Region | None]] = []
        constant = not call.stop
        for argument, address in call.pointers():
            region = memory.find(address)
            if region in moved and not argument.writes:
                call[argument.name] = moved[region] + address - region.start
            elif argument.writes:
                written.append((argument.name, region))
            else:
                constant = constant and not argument.table and is_constant(address, memory)
        outputs = [region for name, region in written if name != "scratch"]
        if not constant or not outputs or not all(r is not None and r.fresh and writers[r] == 1 and r not in wanted for r in outputs):
            kept.append(call)
            continue
        for name, region in written:
            assert region is not None
            at = once.array(memory, -(-region.size // ITEM_SIZES[call.dtype]), call.dtype)
            if name != "scratch":
                moved[region] = at
            call[name] = at + call[name] - region.start
        once.calls.append(call)
    return kept
