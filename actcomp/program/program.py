"""Program: a frozen list of exactly defined operations in single-assignment form, the only thing that emitters know."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from .primitives import FLOATS, INTEGERS, PRIMITIVES, TYPES, WIDTH_BITS

# An element input has one value for each array element; a uniform input has one value for the whole call.
Role = Literal["element", "uniform"]
# An element output is stored for each array element; a sum output is added up over all of them by a fixed tree.
Reduction = Literal["element", "sum"]


class MalformedProgram(Exception):
    """A Program breaks the rules of its form: a fault of the pass or lowering that made it, never of the user."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One value: the primitive, the indices of earlier values that it reads, its type, and its payload.

    Payloads: the bit pattern (int) of a const, the name of an input, ``(function, scale)`` of a call (the result is
    the function's value times 2**scale), the tuple of bit patterns of a table; else None.
    """

    name: str
    operands: tuple[int, ...]
    type: str
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Input:
    name: str
    type: str
    role: Role = "element"


@dataclass(frozen=True, slots=True)
class Output:
    name: str
    value: int
    reduction: Reduction = "element"


@dataclass(frozen=True)
class Program:
    """Inputs, operations in order of evaluation, outputs. Printing gives the text form; see text.parse."""

    name: str
    inputs: tuple[Input, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[Output, ...]

    def __str__(self) -> str:
        from .text import format_program

        return format_program(self)

    def __len__(self) -> int:
        return len(self.operations)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the text form: equal digests are equal Programs."""
        import hashlib

        return hashlib.sha256(str(self).encode()).hexdigest()

    def type_of(self, value: int) -> str:
        return self.operations[value].type

    def count(self) -> dict[str, int]:
        """How many operations of each primitive there are, constants and inputs left out."""
        names = (op.name for op in self.operations if op.name not in ("const", "input"))
        return dict(sorted(collections.Counter(names).items()))

    def uses(self) -> list[list[int]]:
        """For each value the operations that read it, in order (an operation that reads it twice stands twice)."""
        readers: list[list[int]] = [[] for _ in self.operations]
        for index, operation in enumerate(self.operations):
            for operand in operation.operands:
                readers[operand].append(index)
        return readers

    def _repr_html_(self) -> str:
        import html

        return f"<pre>{html.escape(str(self))}</pre>"

    def to_dot(self) -> str:
        """The graph in Graphviz' language."""
        lines = [f'digraph "{self.name}" {{', "  rankdir=TB; node [shape=box, fontname=monospace];"]
        for index, operation in enumerate(self.operations):
            payload = "" if operation.payload is None else f" {operation.payload}"
            lines.append(f'  v{index} [label="%{index} {operation.name}{payload} : {operation.type}"];')
            lines += [f"  v{operand} -> v{index};" for operand in operation.operands]
        for output in self.outputs:
            lines.append(f'  "{output.name}" [shape=ellipse]; v{output.value} -> "{output.name}";')
        return "\n".join([*lines, "}"])


def check(program: Program, after: str = "construction") -> Program:
    """Returns the Program if it obeys every rule of its form, else raises MalformedProgram naming the pass at fault."""
    faults = list(_faults(program))
    if faults:
        raise MalformedProgram(f"after {after}: {program.name}: " + "; ".join(faults[:5]))
    return program


def _faults(program: Program) -> Iterator[str]:
    names = [entry.name for entry in program.inputs]
    if len(set(names)) != len(names):
        yield f"inputs {names} are not distinct"
    declared = {entry.name: entry.type for entry in program.inputs}
    for index, operation in enumerate(program.operations):
        row = PRIMITIVES.get(operation.name)
        if row is None:
            yield f"%{index}: unknown primitive {operation.name!r}"
            continue
        if operation.type not in TYPES:
            yield f"%{index}: unknown type {operation.type!r}"
            continue
        if any(not 0 <= operand < index for operand in operation.operands):
            yield f"%{index} {operation.name}: reads {operation.operands}, not all of them earlier"
            continue
        fault = _type_fault(program, operation)
        if fault:
            yield f"%{index} {operation.name}: {fault}"
        if operation.name == "input" and declared.get(operation.payload) != operation.type:
            yield f"%{index}: input {operation.payload!r} : {operation.type} is not declared so"
        if operation.name == "const" and not 0 <= operation.payload < 1 << WIDTH_BITS[operation.type]:
            yield f"%{index}: constant {operation.payload!r} does not fit {operation.type}"
    for output in program.outputs:
        if not 0 <= output.value < len(program.operations):
            yield f"output {output.name} names no value"


def _type_fault(program: Program, operation: Operation) -> str:
    operands = [program.operations[operand].type for operand in operation.operands]
    signature = PRIMITIVES[operation.name]
    letters = {"f": FLOATS, "i": INTEGERS, "b": ("b",), "v": TYPES, "w": ("b", *INTEGERS), "n": FLOATS + INTEGERS}
    pattern = signature.operands
    if pattern == "f+":
        pattern = "f" * max(1, len(operands))
    if len(operands) != len(pattern):
        return f"takes {len(pattern)} operands, got {len(operands)}"
    bound: dict[str, str] = {}
    for letter, actual in zip(pattern, operands, strict=True):
        if actual not in letters[letter]:
            return f"operand of type {actual} where {letter!r} is due"
        if bound.setdefault(letter, actual) != actual:
            return f"operand types {operands} differ"
    result = signature.result
    if result != "*" and operation.type != (result if result == "b" else bound[result]):
        return f"result type {operation.type} does not follow from {operands}"
    if operation.name == "bitcast" and WIDTH_BITS[operands[0]] != WIDTH_BITS[operation.type]:
        return f"{operands[0]} and {operation.type} differ in width"
    return ""
