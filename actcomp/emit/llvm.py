"""Values of a Program as LLVM IR, a vector of lanes at a time (or plain scalars): one template a primitive.

Nothing here decides numerics: no fast-math flag, no contraction, no approximation. f16 is held as i16 and computed in
f32 with one rounding, which gives NumPy's bits for + - * / and sqrt; its fma goes through f64 rounded to odd.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import sha256

from ..program.primitives import FLOATS, WIDTH_BITS
from ..program.program import Operation, Program
from . import convert
from .interface import BYTES
from .rare import WORTH_A_BRANCH, Region, Regions, find_regions
from .target import Target

SCALAR = {"b": "i1", "i16": "i16", "i32": "i32", "i64": "i64", "f16": "i16", "f32": "float", "f64": "double"}
STORED = {**SCALAR, "b": "i8"}

_COMPARE = "{r} = %s {t} {0}, {1}"
# {r} the result, {0} {1} {2} the operands, {t} the type of the last operand and {s} its suffix in intrinsics' names,
# {T} the result's type, {b} the type of masks, {w} integers of twice the width, {c} to {f} fresh names, {m} width - 1,
# {wide} the width. A pair: for floats, for integers. None: methods of Emission, or no code at all (const, input, call).
TEMPLATES: dict[str, str | tuple[str, str] | None] = {
    "const": None,
    "input": None,
    "call": None,
    "add": "{r} = fadd {t} {0}, {1}",
    "sub": "{r} = fsub {t} {0}, {1}",
    "mul": "{r} = fmul {t} {0}, {1}",
    "div": "{r} = fdiv {t} {0}, {1}",
    "fma": "{r} = call {t} @llvm.fma.{s}({t} {0}, {t} {1}, {t} {2})",
    "neg": "{r} = fneg {t} {0}",
    "abs": "{r} = call {t} @llvm.fabs.{s}({t} {0})",
    "min": "{c} = fcmp olt {t} {0}, {1}\n{r} = select {b} {c}, {t} {0}, {t} {1}",
    "max": "{c} = fcmp ogt {t} {0}, {1}\n{r} = select {b} {c}, {t} {0}, {t} {1}",
    "sqrt": "{r} = call {t} @llvm.sqrt.{s}({t} {0})",
    "rint": "{r} = call {t} @llvm.rint.{s}({t} {0})",
    "floor": "{r} = call {t} @llvm.floor.{s}({t} {0})",
    "lt": (_COMPARE % "fcmp olt", _COMPARE % "icmp slt"),
    "le": (_COMPARE % "fcmp ole", _COMPARE % "icmp sle"),
    "eq": (_COMPARE % "fcmp oeq", _COMPARE % "icmp eq"),
    "ne": (_COMPARE % "fcmp une", _COMPARE % "icmp ne"),
    "and": "{r} = and {t} {0}, {1}",
    "or": "{r} = or {t} {0}, {1}",
    "xor": "{r} = xor {t} {0}, {1}",
    "not": "{r} = xor {t} {0}, {ones}",
    "select": "{r} = select {b} {0}, {t} {1}, {t} {2}",
    "rare": None,
    "iadd": "{r} = add {t} {0}, {1}",
    "isub": "{r} = sub {t} {0}, {1}",
    "imul": "{r} = mul {t} {0}, {1}",
    "imulhi": "{c} = zext {t} {0} to {w}\n{d} = zext {t} {1} to {w}\n{e} = mul {w} {c}, {d}\n"
    "{f} = lshr {w} {e}, {wide}\n{r} = trunc {w} {f} to {t}",
    "ishl": "{c} = and {t} {1}, {m}\n{r} = shl {t} {0}, {c}",
    "ilshr": "{c} = and {t} {1}, {m}\n{r} = lshr {t} {0}, {c}",
    "iashr": "{c} = and {t} {1}, {m}\n{r} = ashr {t} {0}, {c}",
    "bitcast": "{r} = bitcast {t} {0} to {T}",
    "convert": None,
    "zext": None,
    "table": None,
}


def constant(bits: int, type: str, lanes: int) -> str:
    """The constant as an operand, without its type; the bits are exact, NaN and -0.0 too."""
    width = WIDTH_BITS[type]
    if type == "f64":
        text = f"0x{bits:016X}"
    elif type == "f32" and (bits & 0x7FFFFFFF) <= 0x7F800000:  # LLVM writes a float by the bits of the equal double
        text = "0x" + struct.pack(">d", struct.unpack(">f", bits.to_bytes(4, "big"))[0]).hex().upper()
    elif type == "f32":
        whole, number = vector("i32", lanes), constant(bits, "i32", lanes)
        return f"bitcast ({whole} {number} to {vector('float', lanes)})"
    elif type == "b":
        text = "true" if bits else "false"
    else:
        text = str(bits - (1 << width) if bits >> (width - 1) else bits)
    return text if lanes == 1 else f"splat ({SCALAR[type]} {text})"


def vector(scalar: str, lanes: int) -> str:
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


class Emission:
    """Lines of IR for the values of a Program, made when demanded. The frame around it names the inputs.

    ``lines`` and ``label`` (of the block that lines go to) are shared with the frame. ``globals`` are constants that
    the module must define: text by name; equal ones of a module's functions have one name."""

    def __init__(self, program: Program, target: Target, lanes: int, lines: list[str], prefix: str = "v") -> None:
        self.program, self.target, self.lanes, self.lines, self.prefix = program, target, lanes, lines, prefix
        self.label = ""
        self.inputs: dict[str, str] = {}
        self.globals: dict[str, str] = {}
        self.regions: Regions = find_regions(program)
        self._scopes: list[dict[int, str]] = [{}]
        self._masks: list[int] = []
        self._in_progress = 0
        self._count = 0

    # names and types

    def fresh(self) -> str:
        self._count += 1
        return f"%{self.prefix}{self._count}"

    def type_text(self, type: str) -> str:
        return vector(SCALAR[type], self.lanes)

    def half_text(self) -> str:
        return vector("half", self.lanes)

    def suffix(self, type: str) -> str:
        scalar = "i16" if type == "f16" else type
        return scalar if self.lanes == 1 else f"v{self.lanes}{scalar}"

    def splat(self, bits: int, type: str) -> str:
        return constant(bits, type, self.lanes)

    def line(self, text: str) -> None:
        self.lines.append("  " + text)

    def start_block(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.label = label

    def name(self, value: int) -> str:
        operation = self.program.operations[value]
        if operation.name == "const":
            return self.splat(operation.payload, operation.type)
        for scope in reversed(self._scopes):
            if value in scope:
                return scope[value]
        raise KeyError(value)

    def bind(self, value: int, name: str) -> None:
        """The value is already there, under the name."""
        self._scopes[-1][value] = name

    # values, in an order that their operands allow

    def demand(self, values: Iterable[int]) -> None:
        """Emits the values and all that they need, in order of the Program, as far as not there yet."""
        wanted: set[int] = set()
        stack = list(values)
        while stack:
            value = stack.pop()
            if value not in wanted and not self._is_known(value):
                wanted.add(value)
                stack.extend(self._needs(value))
        for value in sorted(wanted):
            if not self._is_known(value):
                self._emit(value)

    def _is_known(self, value: int) -> bool:
        return self.program.operations[value].name == "const" or any(value in scope for scope in self._scopes)

    def _branches(self, value: int) -> bool:
        """Whether the slow operand of this rare goes into a branch of its own."""
        region = self.regions.behind.get(value)
        mask = self.program.operations[value].operands[0]
        return region is not None and len(region.members) >= WORTH_A_BRANCH and mask not in self._masks

    def _needs(self, value: int) -> list[int]:
        """What must be there before the operation: of a rare that branches, all but what goes into the branch."""
        operation = self.program.operations[value]
        if operation.name != "rare" or not self._branches(value):
            return list(operation.operands)
        region = self.regions.behind[value]
        needs, stack, seen = [*operation.operands[:2]], [operation.operands[2]], set[int]()
        while stack:
            slow = stack.pop()
            if slow in seen:
                continue
            seen.add(slow)
            if region.encloses(self.regions.home[slow]):
                stack.extend(self.program.operations[slow].operands)
            else:
                needs.append(slow)
        return needs

    def _emit(self, value: int) -> None:
        operation = self.program.operations[value]
        if operation.name == "input":
            self.bind(value, self.inputs[operation.payload])
        elif operation.name == "rare":
            self._rare(value)
        else:
            operands = [self.name(operand) for operand in operation.operands]
            types = [self.program.type_of(operand) for operand in operation.operands]
            self.bind(value, self._apply(operation, operands, types))

    def _apply(self, operation: Operation, operands: list[str], types: list[str]) -> str:
        if operation.name in ("convert", "zext"):
            return convert.convert(self, operands[0], types[0], operation.type, signed=operation.name == "convert")
        if operation.name == "table":
            return self._table(operands[0], types[0], operation)
        if operation.name == "call":
            raise ValueError(f"{self.program.name}: call {operation.payload} is left; lower the Program first")
        if operation.name == "bitcast" and self.type_text(types[0]) == self.type_text(operation.type):
            return operands[0]
        if "f16" in types and operation.name not in ("select", "bitcast"):
            return self._half(operation, operands)
        return self.fill(operation.name, operands, types[-1], operation.type)

    def fill(self, name: str, operands: list[str], type: str, result: str) -> str:
        """Emits the template for operands of the type (select: of its arms) and returns the result's name."""
        template = TEMPLATES[name]
        if isinstance(template, tuple):
            template = template[type not in FLOATS]
        assert template is not None
        r, width = self.fresh(), WIDTH_BITS[type]
        integer = type if type not in FLOATS else "i32"
        fields = {
            "r": r,
            "t": self.type_text(type),
            "T": self.type_text(result),
            "s": self.suffix(type),
            "b": self.type_text("b"),
            "m": self.splat(width - 1, integer),
            "ones": self.splat((1 << WIDTH_BITS[integer]) - 1, integer),
            "w": vector(f"i{2 * width}", self.lanes),
            "wide": str(width) if self.lanes == 1 else f"splat (i{2 * width} {width})",
            **{letter: f"{r}{letter}" for letter in "cdef"},
        }
        for line in template.format(*operands, **fields).split("\n"):
            self.line(line)
        return r

    def _half(self, operation: Operation, operands: list[str]) -> str:
        name = operation.name
        if name in ("neg", "abs"):
            mask = self.splat(0x8000 if name == "neg" else 0x7FFF, "i16")
            return self.fill("xor" if name == "neg" else "and", [operands[0], mask], "i16", "i16")
        wide = [convert.convert(self, operand, "f16", "f32") for operand in operands]
        if name == "fma":
            return convert.half_fma(self, wide)
        result = self.fill(name, wide, "f32", "f32")
        return result if operation.type == "b" else convert.convert(self, result, "f32", "f16")

    def _table(self, index: str, type: str, operation: Operation) -> str:
        """A gather from a constant array; the index is clamped into it."""
        entries, kind, stored = operation.payload, operation.type, STORED[operation.type]
        values = ", ".join(f"{stored} {constant(bits, kind if kind != 'b' else 'i16', 1)}" for bits in entries)
        name = f"@table.{stored}.{sha256(values.encode()).hexdigest()[:32]}"
        self.globals[name] = f"{name} = private unnamed_addr constant [{len(entries)} x {stored}] [{values}], align 64"
        last, zero, t = self.splat(len(entries) - 1, type), self.splat(0, type), self.type_text(type)
        low, place, address, r = self.fresh(), self.fresh(), self.fresh(), self.fresh()
        s = self.suffix(type)
        self.line(f"{low} = call {t} @llvm.smax.{s}({t} {index}, {t} {zero})")
        self.line(f"{place} = call {t} @llvm.smin.{s}({t} {low}, {t} {last})")
        self.line(f"{address} = getelementptr {stored}, ptr {name}, {t} {place}")
        whole = vector(stored, self.lanes)
        if self.lanes == 1:
            self.line(f"{r} = load {stored}, ptr {address}")
        else:
            suffix = f"v{self.lanes}{'i8' if kind == 'b' else 'i16' if kind == 'f16' else kind}.v{self.lanes}p0"
            pointers, mask = f"<{self.lanes} x ptr> {address}", f"{self.type_text('b')} splat (i1 true)"
            operands = f"{pointers}, i32 {BYTES[kind]}, {mask}, {whole} poison"
            self.line(f"{r} = call {whole} @llvm.masked.gather.{suffix}({operands})")
        if kind != "b":
            return r
        truth = self.fresh()
        self.line(f"{truth} = trunc {whole} {r} to {self.type_text('b')}")
        return truth

    # rare

    def _rare(self, value: int) -> None:
        if not self._branches(value):
            mask, usual, slow = (self.name(operand) for operand in self.program.operations[value].operands)
            type = self.program.type_of(value)
            self.bind(value, self.fill("select", [mask, slow, usual], type, type))
            return
        group = self._group(value)
        saved = self._in_progress
        self._in_progress |= sum(1 << member for member in group)
        self.demand(need for member in group for need in self._needs(member))
        self._in_progress = saved
        self._branch(group)

    def _group(self, value: int) -> list[int]:
        """The rares that share this one's branch: of its mask and home, and computed from none of the group."""
        region: Region = self.regions.behind[value]
        group, bits = [value], self._in_progress | 1 << value
        for other in sorted(region.parent.members if region.parent else ()):
            if other > value and self.regions.behind.get(other) is region and not self._is_known(other):
                if not self.regions.depends[other] & bits and not bits >> other & 1:
                    group.append(other)
                    bits |= 1 << other
        return group

    @property
    def goes_along(self) -> bool:
        """Whether a slow path may be taken for the sake of others: then each lane keeps its own result by the mask."""
        return self.lanes > 1

    def any_lane(self, mask: str) -> str:
        """Whether the slow path behind the mask is to be taken."""
        if self.lanes == 1:
            return mask
        r = self.fresh()
        self.line(f"{r} = call i1 @llvm.vector.reduce.or.v{self.lanes}i1({self.type_text('b')} {mask})")
        return r

    def _branch(self, group: list[int]) -> None:
        mask = self.program.operations[group[0]].operands[0]
        before, unique = self.label, self.fresh()[1:]
        mask_name = self.name(mask)
        self.line(f"br i1 {self.any_lane(mask_name)}, label %rare.{unique}, label %after.{unique}, !prof !1")
        self.start_block(f"rare.{unique}")
        self._scopes.append({})
        self._masks.append(mask)
        operands = [self.program.operations[member].operands for member in group]
        self.demand(slow for _, _, slow in operands)
        taken = [self.name(slow) for _, _, slow in operands]
        if self.goes_along:
            for position, member in enumerate(group):
                arms = [mask_name, taken[position], self.name(operands[position][1])]
                kind = self.program.type_of(member)
                taken[position] = self.fill("select", arms, kind, kind)
        self._scopes.pop()
        self._masks.pop()
        end = self.label
        self.line(f"br label %after.{unique}")
        self.start_block(f"after.{unique}")
        for member, (_, usual, _), result in zip(group, operands, taken, strict=True):
            r = self.fresh()
            type = self.type_text(self.program.type_of(member))
            self.line(f"{r} = phi {type} [{self.name(usual)}, %{before}], [{result}, %{end}]")
            self.bind(member, r)
