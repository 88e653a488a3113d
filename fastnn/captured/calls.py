"""Recorded kernel calls as objects: their arguments by name, and the pointers among these."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fastnn.kernels._core import kernel_addresses, kernel_layouts

ITEM_SIZES = (4, 8)  # of the dtype indices
_DECLARATION = re.compile(r"(.*?) ?(\w+)(?:\[(\d+)\])?")
_FORMATS = {"size_t": "N", "ptrdiff_t": "n", "uint64_t": "Q", "double": "d", "int": "i", "fnn_kernel": "N"}


class Argument(NamedTuple):
    """One field of an argument struct. `writes`: a kernel may write through this pointer. `table`: it points to pointers."""

    name: str
    offset: int
    format: str
    pointer: bool = False
    writes: bool = False
    table: bool = False
    data: bool = False  # an array of the user's or of a kernel's, rather than something that the wrapper made


def _layout(size: int, fields: str) -> dict[str, Argument]:
    """The arguments in a struct of so many bytes, whose fields have C's places."""
    layout: dict[str, Argument] = {}
    end = 0
    for declaration in fields.split("; "):
        kind, name, count = _DECLARATION.fullmatch(declaration).groups()  # type: ignore[union-attr]
        pointer, table = kind.endswith("*"), kind.count("*") > 1
        form = "N" if pointer else _FORMATS[kind]
        item = struct.calcsize(form)  # and what its place is a multiple of
        offset = -(-end // item) * item
        layout[name] = Argument(name, offset, (count or "") + form, pointer, pointer and not kind.startswith("const") and not table, table, pointer and "void" in kind)
        end = offset + int(count or 1) * item
    if -(-end // 8) * 8 != size:
        raise ImportError(f"the fields {fields!r} do not make a struct of {size} bytes")
    return layout


_KERNELS = kernel_layouts()
LAYOUTS = {kernel: _layout(*fields) for kernel, fields in _KERNELS.items()}
SIZES = {kernel: size for kernel, (size, _) in _KERNELS.items()}
STRUCTS = {kernel: frozenset(layout) for kernel, layout in LAYOUTS.items()}


class Label(NamedTuple):
    """Whose call it is: a module's dotted name and type, and "forward", "backward" or "update"."""

    name: str
    kind: str
    phase: str

    def __str__(self) -> str:
        return f"{self.name} {self.kind}".strip()


def new_call(like: Call, kernel: str, **arguments: Any) -> Call:
    """A call of a kernel with like's dtype and label."""
    address = next(address for address, key in kernel_addresses().items() if key == (kernel, like.dtype))
    call = Call(kernel, like.dtype, address, 1, 0, like.label, bytearray(SIZES[kernel]))
    for name, value in arguments.items():
        call[name] = value
    return call


@dataclass(eq=False)
class Call:
    """A kernel call. `call["n"]` reads an argument, `call["n"] = 3` writes it; pointers are addresses."""

    kernel: str
    dtype: int
    address: int
    parts: int
    stop: int
    label: Label
    args: bytearray = field(repr=False)

    def __getitem__(self, name: str) -> Any:
        argument = LAYOUTS[self.kernel][name]
        values = struct.unpack_from(argument.format, self.args, argument.offset)
        return values if len(values) > 1 else values[0]

    def __setitem__(self, name: str, value: Any) -> None:
        argument = LAYOUTS[self.kernel][name]
        struct.pack_into(argument.format, self.args, argument.offset, *(value if isinstance(value, tuple) else (value,)))

    def pointers(self) -> Iterator[tuple[Argument, int]]:
        """The pointers that are not NULL, with their addresses."""
        for argument in LAYOUTS[self.kernel].values():
            if argument.pointer:
                (address,) = struct.unpack_from("N", self.args, argument.offset)
                if address:
                    yield argument, address

    def numbers(self) -> dict[str, Any]:
        """The sizes and scalars, without what is 0."""
        values = {name: self[name] for name, argument in LAYOUTS[self.kernel].items() if not argument.pointer and name != "activation"}
        return {name: value for name, value in values.items() if value}
