"""Rewriting recorded calls: what can be done in fewer passes over memory, or once for many calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from fastnn.captured.calls import ITEM_SIZES, STRUCTS, Call, new_call
from fastnn.captured.memory import Memory, Region, block
from fastnn.kernels._core import gemm_packed, gemm_scratch_bytes
from fastnn.nn.module import Array

_MAP = STRUCTS["relu_forward"]  # y, x, n, p, q: what a product can do to its own result
TILED_ROWS, TILED_COLUMNS = 8, 32  # from which on weights are packed in the order of a product's tiles


def users_of(calls: list[Call], memory: Memory) -> dict[Region, list[int]]:
    """Which calls point into each region."""
    users: dict[Region, list[int]] = {}
    for i, call in enumerate(calls):
        for region in {memory.find(address) for _, address in call.pointers()}:
            if region is not None:
                users.setdefault(region, []).append(i)
    return users


def drop_unused(calls: list[Call], memory: Memory, results: Iterable[Region]) -> list[Call]:
    """Leave out calls whose results nobody reads, such as the gradient of the model's input, and checks of an input that was checked before."""
    needed, kept = set(results), []
    for call in reversed(calls):
        regions = [(argument.writes, memory.find(address)) for argument, address in call.pointers()]
        tables = any(argument.table for argument, _ in call.pointers())
        if tables or call.stop or any(writes and (region is None or not region.fresh or region in needed) for writes, region in regions):
            kept.append(call)
            needed.update(region for _, region in regions if region is not None)
    checked: set[tuple[object, ...]] = set()
    calls = []
    for call in reversed(kept):
        read = [address for argument, address in call.pointers() if not argument.writes]
        key = (call.kernel, call.dtype, *read, *call.numbers().items()) if call.stop else ()
        if not call.stop or key not in checked:
            calls.append(call)
        sources = [memory.find(address) for address in read]
        if call.stop and all(region is not None and region.input is not None for region in sources):
            checked.add(key)
    return calls


@dataclass
class Once:
    """Calls that prepare what all replays read, to be run again when parameters change, and the arrays that they write.

    places: memory that is held only until a plan's own memory is arranged.
    """

    calls: list[Call] = field(default_factory=list)
    arrays: list[Array] = field(default_factory=list)
    places: list[Array] = field(default_factory=list)

    def array(self, memory: Memory, elements: int, dtype: int) -> int:
        """The address of a new array."""
        made = block(elements * ITEM_SIZES[dtype])
        memory.add_array(made)
        self.arrays.append(made)
        return made.ctypes.data


def _read_weights(product: Call, address: int, memory: Memory, once: Once) -> None:
    """Have a product read k x n C-ordered weights from this address."""
    product["b"], product["b_row"], product["b_col"] = address, product["n"], 1
    _new_scratch(product, memory, once)


def _new_scratch(product: Call, memory: Memory, once: Once) -> None:
    """Other arguments may take another amount of scratch memory."""
    size = gemm_scratch_bytes(bytes(product.args), product.dtype, product.parts)
    if size:
        scratch = block(size)  # holds the address until the plan's own memory is arranged
        once.places.append(scratch)
        memory.add(scratch.ctypes.data, size, fresh=True)
        product["scratch"] = scratch.ctypes.data


def is_whole(product: Call, region: Region | None) -> bool:
    """Whether a product fills a region of its own, in C order."""
    elements = product["batch"] * product["m"] * product["n"]
    return (
        region is not None and region.fresh and region.start == product["c"] and region.size == max(elements * ITEM_SIZES[product.dtype], 1)
        and product["c_col"] == 1 and product["c_row"] == product["n"]
    )  # fmt: skip


def fold_batch_norms(calls: list[Call], memory: Memory, once: Once) -> list[Call]:
    """Let a product or a convolution with constant weights do what a batch normalisation with constant statistics would do to its result."""
    users, kept = users_of(calls, memory), []
    producers: dict[Region | None, Call] = {}
    packs: dict[Region | None, Call] = {}
    for call in calls:
        region = memory.find(call["x"]) if call.kernel == "batch_norm_forward" else None
        product = producers.get(region)
        if product is None or region is None or len(users[region]) != 2 or call["from_batch"] or not _is_normalised(product, call):
            kept.append(call)
        else:
            if product.kernel == "gemm":
                _fold_into_product(product, call, memory, once)
            else:
                pack = _packed_by(product, packs, memory)
                assert pack is not None
                _fold_into_conv(product, pack, call, memory, once)
            product.label = product.label._replace(kind=f"{product.label.kind} + {call.label.kind}")
            producers[memory.find(call["y"])] = product
        if call.kernel == "gemm" and is_whole(call, memory.find(call["c"])) and has_constant_weight(call, memory):
            producers[memory.find(call["c"])] = call
        if call.kernel == "conv_pack_weight" and is_constant(call["weight"], memory):
            packs[memory.find(call["packed"])] = call
        if call.kernel == "conv_forward" and _is_whole_conv(call, memory) and is_constant(call["bias"], memory):
            pack = _packed_by(call, packs, memory)
            if pack is not None and min(pack["w_tap"]) > 0:  # not one that is turned round
                producers[memory.find(call["y"])] = call
    return kept


def _packed_by(conv: Call, packs: dict[Region | None, Call], memory: Memory) -> Call | None:
    """What says where a convolution's constant weights are: the call that packs them, or itself, if it reads them as they are."""
    if conv["w_row"]:
        return conv if is_constant(conv["weight"], memory) else None
    return packs.get(memory.find(conv["weight"]))


def _is_normalised(product: Call, norm: Call) -> bool:
    """Whether the channels of a normalisation are the columns of a product or the channels of a convolution."""
    if product.kernel == "gemm":
        return bool(norm["inner"] == 1 and norm["channels"] == product["n"])
    return bool(norm["inner"] == prod(product["out"]) and norm["channels"] == product["groups"] * product["rows"])


def _folded(product: Call, norm: Call, memory: Memory, once: Once, k: int, **weight: int) -> tuple[int, int]:
    """Addresses of new weights, k x channels in C order, and biases, prepared from the old ones and the normalisation."""
    n = norm["channels"]
    w, b = once.array(memory, k * n, norm.dtype), once.array(memory, n, norm.dtype)
    once.calls.append(new_call(
        norm, "fold_batch_norm", w=w, b=b, from_b=product["bias"], scale=norm["weight"], shift=norm["bias"], mean=norm["running_mean"],
        var=norm["running_var"], k=k, n=n, eps=norm["eps"], **weight,
    ))  # fmt: skip
    product["bias"] = b
    return w, b


def _fold_into_product(product: Call, norm: Call, memory: Memory, once: Once) -> None:
    w, _ = _folded(product, norm, memory, once, product["k"], from_w=product["b"], w_row=product["b_row"], w_col=product["b_col"])
    _read_weights(product, w, memory, once)
    product["bias_col"], product["c"] = 1, norm["y"]


def _fold_into_conv(conv: Call, pack: Call, norm: Call, memory: Memory, once: Once) -> None:
    region, n, k = memory.find(pack["weight"]), norm["channels"], pack["w_row"]
    assert region is not None
    first = pack["weight"] - region.start  # bytes to the first tap that reaches the input
    w, _ = _folded(conv, norm, memory, once, k, from_w=region.start, w_row=1, w_col=k)
    if pack is conv:
        conv["weight"] = _copied(norm, w, (1, n), memory, once, (n, k)) + first
    else:
        pack["weight"], pack["w_row"], pack["w_group"] = w + first * n, 1, pack["rows"]
        pack["w_channel"], pack["w_tap"] = pack["w_channel"] * n, tuple(stride * n for stride in pack["w_tap"])
    conv["y"] = norm["y"]


def _copied(like: Call, address: int, strides: tuple[int, int], memory: Memory, once: Once, shape: tuple[int, int]) -> int:
    """The address of a C-ordered copy of a matrix, which is made once."""
    copy, strides_of_4 = once.array(memory, prod(shape), like.dtype), (0, 0, *strides)
    once.calls.append(new_call(
        like, "copy", y=copy, a=address, b=address, shape=(1, 1, *shape), y_stride=(0, 0, shape[1], 1), a_stride=strides_of_4, b_stride=strides_of_4
    ))  # fmt: skip
    return copy


def is_constant(address: int, memory: Memory) -> bool:
    """Whether what is there, if anything, is the same in all replays."""
    region = memory.find(address) if address else None
    return region is None or not (region.fresh or region.input is not None)


def has_constant_weight(product: Call, memory: Memory) -> bool:
    """Whether it is x W + b with W and b, a row, that are the same in all replays."""
    constant = is_constant(product["b"], memory) and is_constant(product["bias"], memory)
    plain = product["batch"] == 1 and product["alpha"] == 1 and product["beta"] == 0 and not product["activation"]
    return constant and plain and (not product["bias"] or (product["bias_col"] == 1 and product["bias_row"] == 0))


def _is_whole_conv(conv: Call, memory: Memory) -> bool:
    """Whether a convolution fills a region of its own."""
    region, elements = memory.find(conv["y"]), conv["batch"] * conv["groups"] * conv["rows"] * prod(conv["y_size"])
    whole = conv["y_step"] in ((1, 1, 1), conv["step"])     # not one of several, each for its places between the steps
    return whole and region is not None and region.fresh and region.start == conv["y"] and region.size == elements * ITEM_SIZES[conv.dtype]


def pack_weights(calls: list[Call], memory: Memory, once: Once) -> list[Call]:
    """Let products read constant weights in an order that takes no rearranging in every call: that of their tiles, or row by row where they have few rows."""
    for product in calls:
        if product.kernel != "gemm" or product["batch"] != 1 or product["n"] < 2 or not is_constant(product["b"], memory):
            continue
        k, n = product["k"], product["n"]
        if product["m"] >= TILED_ROWS and n >= TILED_COLUMNS:
            packed = once.array(memory, gemm_packed(product.dtype, k, n), product.dtype)
            once.calls.append(new_call(product, "gemm_pack", packed=packed, b=product["b"], k=k, n=n, b_row=product["b_row"], b_col=product["b_col"]))
            product["b"], product["b_packed"] = packed, 1
            _new_scratch(product, memory, once)
        if product["b_packed"] or product["b_col"] == 1:
            continue
        _read_weights(product, _copied(product, product["b"], (product["b_row"], product["b_col"]), memory, once, (k, n)), memory, once)
    return calls


def _result(call: Call, memory: Memory) -> str:
    """The name of the result that a call could pass through an element-wise function, or none."""
    if call.kernel == "gemm":
        return "c" if not call["activation"] and is_whole(call, memory.find(call["c"])) else ""
    if call.kernel == "conv_forward":
        return "y" if not call["activation"] and _is_whole_conv(call, memory) else ""
    return "y" if call.kernel == "batch_norm_forward" and not call["activation"] and call["inner"] > 1 else ""


def fuse_activations(calls: list[Call], memory: Memory, results: Iterable[Region]) -> list[Call]:
    """Let a product, a convolution or a batch normalisation apply the element-wise function that is the only one to read its result."""
    users, kept, gone = users_of(calls, memory), set(results), set()
    for i, call in enumerate(calls):
        to = _result(call, memory)
        region = memory.find(call[to]) if to else None
        if region is None or not region.fresh or region in kept or len(users[region]) != 2:
            continue
        j = users[region][1]
        map = calls[j]
        elements = region.size // ITEM_SIZES[call.dtype]
        if STRUCTS[map.kernel] == _MAP and map.dtype == call.dtype and map["x"] == region.start == call[to] and map["n"] == elements:
            call[to], call["activation"], call["p"], call["q"] = map["y"], map.address, map["p"], map["q"]
            call.label = call.label._replace(kind=f"{call.label.kind} + {map.label.kind}")
            gone.add(j)
    return [call for i, call in enumerate(calls) if i not in gone]


def mask_before_max_pools(calls: list[Call], memory: Memory, results: Iterable[Region]) -> list[Call]:
    """Behind a ReLU a max pool passes gradients only to maxima, which are its results: let the ReLU's derivative act on these, which are fewer."""
    users, kept = users_of(calls, memory), set(results)
    forwards = {call["winners"] or call["flat"]: call for call in calls if call.kernel == "max_pool_forward"}
    for i, (pool, relu) in enumerate(zip(calls, calls[1:])):
        if pool.kernel != "max_pool_backward" or relu.kernel != "relu_backward" or relu["dy"] != pool["dx"]:
            continue
        forward, dx, dy = forwards.get(pool["winners"] or pool["flat"]), memory.find(pool["dx"]), memory.find(pool["dy"])
        outputs = pool["planes"] * prod(pool["y_shape"])
        if forward is None or forward["x"] != relu["x"] or relu["n"] != pool["planes"] * prod(pool["x_shape"]):
            continue
        if dx is None or dx in kept or users[dx] != [i, i + 1]:
            continue
        if dy is None or not dy.fresh or dy in kept or users[dy][-1] != i or dy.start != pool["dy"] or dy.size != outputs * ITEM_SIZES[pool.dtype]:
            continue
        y = memory.find(forward["y"])
        if y is None or any(_writes(calls[j], y, memory) and calls[j] is not forward for j in users[y]):
            continue
        pool["dx"] = relu["dx"]
        relu["dx"], relu["dy"], relu["x"], relu["n"] = dy.start, dy.start, forward["y"], outputs
        calls[i], calls[i + 1] = relu, pool
    return calls


def _writes(call: Call, region: Region, memory: Memory) -> bool:
    return any(argument.writes and memory.find(address) is region for argument, address in call.pointers())
