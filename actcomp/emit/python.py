"""Scalar bodies: the values of a Program as a Python function that a person can read.

    def silu(x):
        shifted = fma(x, f32(1.442695), f32(12582912.0))
        ...
        return y

The text is plain Python beside the helpers of prelude.py, so that Numba compiles it for CUDA and for the CPU, and the
simulator runs it as it stands. Values are NumPy scalars; bits of float16 and bfloat16 are int16. What only the slow
operand of a ``rare`` needs stands in an ``if`` of its own.
"""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..program.primitives import WIDTH_BITS
from ..program.program import Operation, Output, Program
from .prelude import HELPERS, host_prelude
from .python_expressions import ATOM, TEMPLATES, Text, constant, convert, number, wrapped
from .python_names import Names
from .rare import WORTH_A_BRANCH, Region, find_regions, separate_slow_paths

LONGEST = 56  # characters of an expression that stands inside another
# Values that stand where they are read, if they are read once and the text stays short.
INLINE = {
    "neg", "abs", "not", "lt", "le", "eq", "ne", "and", "or", "xor", "bitcast", "iadd", "isub", "imul", "ishl", "iashr",
    "ilshr", "convert", "zext", "mul", "add", "sub", "min", "max",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scalar:
    """The function's text; the helpers, and the tables (their definitions by name), that it needs."""

    text: str
    helpers: tuple[str, ...]
    tables: Mapping[str, str]


def scalar_function(program: Program, name: str, doc: str = "") -> Scalar:
    """``@device def name(inputs in order): ... return outputs``, a tuple if there are several.

    Parameters are named as python_names.argument_names says. Raises ValueError for calls of elementary functions and
    for arithmetic in float16 (Programs compute in float32)."""
    return _Body(separate_slow_paths(program), name, doc).scalar()


def host_source(programs: Mapping[str, Program]) -> str:
    """A module whose functions, one for each Program by name, ``numba.njit`` compiles for the CPU: the same bits."""
    scalars = [scalar_function(program, name) for name, program in programs.items()]
    tables: dict[str, str] = {}
    for scalar in scalars:
        tables |= scalar.tables
    helpers = [helper for scalar in scalars for helper in scalar.helpers]
    parts = [
        host_prelude(helpers),
        *(f"\n{text}" for text in tables.values()),
        *(f"\n\n{scalar.text}" for scalar in scalars),
    ]
    return "\n".join(parts)


def products_before_sums(program: Program) -> set[int]:
    """The products that some sum adds, as they are or after signs and choices: where a compiler could fuse the two.

    A product by 2 is a sum too: NVVM makes ``p + p`` of ``2*p``, and an fma of that. A quotient by a power of two is a
    product: NVVM makes one of it."""
    through = {"neg", "abs", "select", "rare", "min", "max", "convert", "bitcast", "xor", "and"}
    added = {output.value for output in program.outputs if output.reduction == "sum"}
    for index in range(len(program) - 1, -1, -1):
        operation = program.operations[index]
        if operation.name in ("add", "sub") or (operation.name == "mul" and _doubles(program, operation)):
            added.update(operation.operands)
        elif operation.name in through and index in added:
            added.update(operation.operands)
        elif operation.name == "fma" and index in added:
            added.add(operation.operands[2])
    return {i for i in added if program.operations[i].name == "mul" or exact_inverse(program, program.operations[i])}


def exact_inverse(program: Program, operation: Operation) -> int:
    """The bits of 1/d where the operation divides by a constant d, a power of two with a normal inverse; else 0."""
    divisor = program.operations[operation.operands[-1]] if operation.name == "div" else operation
    if divisor.name != "const" or divisor.type not in ("f32", "f64"):
        return 0
    width, fraction = WIDTH_BITS[divisor.type], 23 if divisor.type == "f32" else 52
    sign = divisor.payload & (1 << (width - 1))
    bits = divisor.payload ^ sign
    inverse = 2 * ((1 << (width - 2)) - (1 << fraction)) - bits  # twice the bits of 1.0, less these
    is_exact = not bits & ((1 << fraction) - 1) and bits >> fraction and inverse >> fraction > 0
    return sign | inverse if is_exact else 0


def _doubles(program: Program, operation: Operation) -> bool:
    """Whether the product may be by 2 or -2, as a constant or as what NVVM makes one of."""
    stack = list(operation.operands)
    while stack:
        factor = program.operations[stack.pop()]
        if factor.name == "const":
            two = 1 << (WIDTH_BITS[factor.type] - 2)  # the bits of 2.0
            if factor.payload & (2 * two - 1) == two:
                return True
        elif factor.name in ("select", "rare"):
            stack += factor.operands[1:]
        elif factor.name in ("neg", "abs", "min", "max"):
            stack += factor.operands
    return False


class _Body:
    def __init__(self, program: Program, name: str, doc: str) -> None:
        self.program, self.name, self.doc = program, name, doc
        self.regions = find_regions(program)
        self.uses = program.uses()
        self.outputs: dict[int, Output] = {output.value: output for output in reversed(program.outputs)}
        self.rounded = products_before_sums(program)
        self.names = Names(program, reserved={*HELPERS, *keyword.kwlist, name})
        self.lines: list[str] = []
        self.helpers: set[str] = set()
        self.tables: dict[str, str] = {}
        self._scopes: list[dict[int, Text]] = [{}]
        self._masks: list[int] = []

    def scalar(self) -> Scalar:
        self.demand(output.value for output in self.program.outputs)
        results = ", ".join(self.text(output.value) for output in self.program.outputs)
        head = ["@device", f"def {self.name}({', '.join(self.names.arguments.values())}):"]
        if self.doc:
            head += [f"    {line}".rstrip() for line in f'"""{self.doc}"""'.split("\n")]
        lines = [*head, *("    " + line for line in self.lines), f"    return {results}"]
        return Scalar("\n".join(lines) + "\n", tuple(sorted(self.helpers)), self.tables)

    # values, in an order that their operands allow

    def demand(self, values: Iterable[int]) -> None:
        """Writes what the values need, in order of the Program, as far as not there yet."""
        wanted: set[int] = set()
        stack = list(values)
        while stack:
            value = stack.pop()
            if value not in wanted and not self._is_known(value):
                wanted.add(value)
                stack.extend(self._needs(value))
        for value in sorted(wanted):
            if not self._is_known(value):
                self._write(value)

    def _is_known(self, value: int) -> bool:
        return any(value in scope for scope in self._scopes)

    def text(self, value: int) -> Text:
        for scope in reversed(self._scopes):
            if value in scope:
                return scope[value]
        raise KeyError(value)

    def _branches(self, value: int) -> bool:
        """Whether the slow operand of this rare goes into an ``if`` of its own."""
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

    def _write(self, value: int) -> None:
        operation = self.program.operations[value]
        if operation.name == "input":
            self._scopes[-1][value] = Text(self.names.arguments[operation.payload], ATOM)
        elif operation.name == "const":
            self._scopes[-1][value] = constant(operation.payload, operation.type)
        elif operation.name == "rare" and self._branches(value):
            self._branch(value)
        else:
            text = self._expression(value)
            if value not in self.outputs and self._stands_inside(value, text):
                self._scopes[-1][value] = text
            else:
                self._assign(value, wrapped(text, operation.type))

    def _stands_inside(self, value: int, text: Text) -> bool:
        """Whether the value needs no name: its one reader is near, or only passes it on."""
        if len(self.uses[value]) != 1:
            return False
        reader = self.uses[value][0]
        operation = self.program.operations[reader]
        region = self.regions.behind.get(reader)
        is_assigned = region is not None and len(region.members) >= WORTH_A_BRANCH  # to the result, by an if
        if is_assigned and value != operation.operands[0]:
            return True
        return self.program.operations[value].name in INLINE and len(text) <= LONGEST

    def _assign(self, value: int, text: str) -> None:
        name = self._heir(value) or self.names.of(value, self._spelled(value), self.outputs.get(value))
        self.lines.append(f"{'    ' * len(self._masks)}{name} = {text}")
        self._scopes[-1][value] = Text(name, ATOM)

    def _spelled(self, value: int) -> list[str]:
        return [str(self.text(operand)) for operand in self.program.operations[value].operands]

    def _heir(self, value: int) -> str:
        """The name of the step before in a chain of fma, whose only reader this is: the chain keeps one name."""
        operation = self.program.operations[value]
        if operation.name != "fma" or value in self.outputs:
            return ""
        for operand in (operation.operands[0], operation.operands[2]):
            step = self._scopes[-1].get(operand)
            is_step = self.program.operations[operand].name == "fma" and len(self.uses[operand]) == 1
            if step is not None and is_step and operand not in self.outputs:
                return str(step)
        return ""

    def _expression(self, value: int) -> Text:
        operation = self.program.operations[value]
        operands = [self.text(operand) for operand in operation.operands]
        types = [self.program.type_of(operand) for operand in operation.operands]
        name, type = operation.name, operation.type
        if name == "call":
            raise ValueError(f"{self.program.name}: call {operation.payload} is left; lower the Program first")
        if "f16" in types and name not in ("select", "rare", "bitcast", "convert"):
            raise ValueError(f"{self.program.name}: {name} in float16; compute in float32")
        if name in ("convert", "zext"):
            text, helpers = convert(operands[0], types[0], type, signed=name == "convert")
            self.helpers.update(helpers)
            return text
        if name == "table":
            return self._table(operands[0], operation.payload, type)
        if name == "bitcast" and {types[0], type} == {"i16", "f16"}:
            return operands[0]
        if name == "div" and value in self.rounded:
            name, operands[1] = "mul", constant(exact_inverse(self.program, operation), type)
        if name == "mul" and value in self.rounded:
            name = "mul_rn"
        if name == "rare":
            name, operands = "select", [operands[0], operands[2], operands[1]]
        template = TEMPLATES[name]
        kind = types[-1]
        helper = template.helper_of(kind, type)
        if helper:
            self.helpers.add(helper)
        return template.fill(operands, kind, type)

    def _table(self, index: Text, entries: tuple[int, ...], type: str) -> Text:
        name = self.names.table(entries, type)
        values = ", ".join(number(bits, type) for bits in entries)
        dtype = {"b": "np.bool_", "f16": "i16"}.get(type, type)
        lines = [*_array(name.upper(), values, dtype), "", "", "@device", f"def {name}(index):"]
        lines.append(f"    return {name.upper()}[u64(greater(lesser(index, {len(entries) - 1}), 0))]")
        self.tables[name] = "\n".join(lines) + "\n"  # a function, so that Numba keeps one copy
        self.helpers.update(("lesser", "greater"))
        return Text(f"{name}({index})", ATOM)

    # rare

    def _branch(self, value: int) -> None:
        """The usual value, then an ``if`` that replaces it; rares of one mask share it where none needs another."""
        group = self._group(value)
        operands = [self.program.operations[member].operands for member in group]
        mask = operands[0][0]
        names = []
        for member, (_, usual, _) in zip(group, operands, strict=True):
            name = self.names.of(member, [], self.outputs.get(member))
            self.lines.append(f"{'    ' * len(self._masks)}{name} = {wrapped(self.text(usual), self._type(member))}")
            names.append(name)
        self.lines.append(f"{'    ' * len(self._masks)}if {self.text(mask)}:")
        self._scopes.append({})
        self._masks.append(mask)
        self.demand(slow for _, _, slow in operands)
        for member, name, (_, _, slow) in zip(group, names, operands, strict=True):
            text = wrapped(self.text(slow), self._type(member))
            self.lines.append(f"{'    ' * len(self._masks)}{name} = {text}")
        self._masks.pop()
        self._scopes.pop()
        for member, name in zip(group, names, strict=True):
            self._scopes[-1][member] = Text(name, ATOM)

    def _type(self, value: int) -> str:
        return self.program.type_of(value)

    def _group(self, value: int) -> list[int]:
        """The rares that share this one's branch: of its mask and home, and computed from none of the group."""
        region: Region = self.regions.behind[value]
        group, bits = [value], 1 << value
        for other in sorted(region.parent.members if region.parent else ()):
            if other > value and self.regions.behind.get(other) is region and not self._is_known(other):
                needs_group = self.regions.depends[other] & bits
                is_ready = all(self._is_known(need) for need in self._needs(other))
                if not needs_group and is_ready:
                    group.append(other)
                    bits |= 1 << other
        return group


def _array(name: str, values: str, dtype: str) -> list[str]:
    """A constant array, in lines of at most 120 characters."""
    line, inside = f"{name} = np.array([{values}], {dtype})", f"    [{values}], {dtype}"
    if len(line) <= 120:
        return [line]
    if len(inside) <= 120:
        return [f"{name} = np.array(", inside, ")"]
    rows = ("    " + row for row in textwrap.wrap(values, 112))
    return [f"{name} = np.array([", *rows, f"], {dtype})  # fmt: skip"]
