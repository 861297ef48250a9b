"""Names of values in emitted Python: after what they are, where the Program tells, numbered if there are several."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from hashlib import sha256

from ..program.primitives import FLOATS, INTEGERS
from ..program.program import Output, Program

# Adding 1.5 * 2**(mantissa bits) leaves the nearest integer in the last bits of the sum.
ROUNDING = {"f32": 0x4B400000, "f64": 0x4338000000000000}

BASE = {
    "add": "total", "sub": "difference", "mul": "product", "div": "quotient", "fma": "t", "neg": "negative",
    "abs": "size", "min": "clamped", "max": "clamped", "sqrt": "root", "rint": "k", "floor": "k", "lt": "is_below",
    "le": "is_below", "eq": "is_equal", "ne": "differs", "not": "is_not", "select": "chosen", "rare": "result",
    "imulhi": "high", "table": "entry", "convert": "converted", "zext": "bits",
}  # fmt: skip

RESERVED = {
    "np", "math", "cuda", "config", "device", "f32", "f64", "i16", "i32", "i64", "u64", "abs", "bool", "njit", "types",
    "intrinsic", "Fraction", "True", "False", "None", "min", "max", "int", "float",
}  # fmt: skip


def argument_names(program: Program, reserved: Iterable[str] = ()) -> dict[str, str]:
    """Python names of the inputs, by their names in the Program: ``g.y`` is dy, ``h.x`` is ddx, ``p.beta`` beta.

    Elements of 16 bits are ``x_bits``: x is what they become in float32."""
    taken = {*RESERVED, *keyword.kwlist, *reserved}
    names: dict[str, str] = {}
    for entry in program.inputs:
        prefix, _, rest = entry.name.rpartition(".")
        name = {"": "", "g": "d", "h": "dd", "p": ""}.get(prefix, "") + rest
        names[entry.name] = _free(f"{name}_bits" if entry.type in ("i16", "f16") else name, taken)
    return names


def output_name(output: Output) -> str:
    """``d.x`` is dx, ``d.p.beta`` dbeta, ``d.g.y`` ddy."""
    return re.sub(r"\W", "_", re.sub(r"[gh]\.", "d", output.name.replace("p.", "").replace("d.", "d", 1)))


def _free(name: str, taken: set[str]) -> str:
    name = re.sub(r"\W", "_", name)
    while name in taken:
        name += "_"
    taken.add(name)
    return name


class Names:
    def __init__(self, program: Program, reserved: Iterable[str]) -> None:
        self.program = program
        self._taken = {*reserved, *RESERVED}
        self.arguments = argument_names(program, reserved)
        self._taken |= set(self.arguments.values())
        self._counts: dict[str, int] = {}
        self._masks = {o.operands[0] for o in program.operations if o.name == "rare"}

    def of(self, value: int, operands: list[str], output: Output | None) -> str:
        """A fresh name for the value of the operands, which are spelled as given."""
        if output is not None:
            return _free(output_name(output), self._taken)
        base = self._base(value, operands)
        while True:
            self._counts[base] = count = self._counts.get(base, 0) + 1
            name = base if count == 1 else f"{base}{count}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def _base(self, value: int, operands: list[str]) -> str:
        operation = self.program.operations[value]
        inputs = [self.program.operations[operand] for operand in operation.operands]
        magic = ROUNDING.get(operation.type)
        if value in self._masks:
            return "is_rare"
        widened = self._widened(value)
        if widened:
            return widened
        if operation.name in ("fma", "add") and inputs[-1].name == "const" and inputs[-1].payload == magic:
            return "shifted"
        if operation.name == "sub" and inputs[1].name == "const" and inputs[1].payload == magic:
            return "k"
        if operation.name == "ne" and operation.operands[0] == operation.operands[1]:
            return f"{operands[0]}_is_nan" if operands[0].isidentifier() else "is_nan"
        if operation.name in ("lt", "le") and inputs[0].name == "const":
            return "is_above"
        if operation.name == "fma" and re.fullmatch(r"k\d*", operands[0]):
            return "r"
        if operation.name == "fma" and inputs[2].name == "const":
            return "p"
        if operation.name == "mul" and operation.operands[0] == operation.operands[1]:
            return f"{operands[0]}_squared" if operands[0].isidentifier() else "square"
        if operation.name == "abs" and operands[0].isidentifier():
            return f"abs_{operands[0]}"
        if operation.name == "bitcast":
            return "bits" if operation.type in INTEGERS else "scale"
        if operation.name in ("and", "or", "xor") and operation.type == "b":
            return "mask"
        if operation.type in INTEGERS:
            return "n"
        return BASE.get(operation.name, "value" if operation.type in FLOATS else "mask")

    def _widened(self, value: int) -> str:
        """The name of the input that this is in float32, if it is one of 16 bits."""
        found = self.program.operations[value]
        if found.type != "f32":
            return ""
        while found.name in ("bitcast", "ishl", "zext", "convert") and found.type != "f16":
            found = self.program.operations[found.operands[0]]
        if found.name != "input" or found.type not in ("i16", "f16"):
            return ""
        return self.arguments[found.payload].removesuffix("_bits")

    def table(self, entries: tuple[int, ...], type: str) -> str:
        """Equal tables of a module have one name."""
        return f"table_{sha256(repr((type, entries)).encode()).hexdigest()[:8]}"
