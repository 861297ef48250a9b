"""The passes, in their one order. SHAPE passes may change bits: what they make is what is certified. PRESERVE passes
may not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .builder import Builder, Value, constant_bits, constant_value
from .elementary import ELEMENTARY
from .guards import guard_vanishing
from .interpreter import evaluate
from .primitives import FLOATS, NUMPY_TYPE, WIDTH_BITS
from .program import Operation, Output, Program, check

Pass = Callable[[Program], Program]
Observer = Callable[[str, Program, float], None]


def rebuild(program: Program, rule: Callable[[Builder, Operation, tuple[Value, ...]], Value | None]) -> Program:
    """The Program written anew, each operation by the rule, or as it was where the rule gives None."""
    builder = Builder(program.name)
    for entry in program.inputs:
        builder.input(entry.name, entry.type, entry.role)
    values: list[Value] = []
    for operation in program.operations:
        operands = tuple(values[operand] for operand in operation.operands)
        value = rule(builder, operation, operands)
        if value is None:
            value = builder.emit(operation.name, operands, operation.type, operation.payload)
        values.append(value)
    for output in program.outputs:
        builder.output(output.name, values[output.value], output.reduction)
    return builder.build()


def fuse_multiply_add(program: Program) -> Program:
    """a*b + c becomes fma(a, b, c) where a*b has no other use.

    Needs: calls not yet lowered, since an elementary function is written with the roundings that it means. Leaves:
    nothing for a target to contract. Changes bits: yes.
    """
    single = [len(readers) == 1 for readers in program.uses()]
    for output in program.outputs:
        single[output.value] = False
    operations = list(program.operations)

    def product(index: int) -> tuple[int, int] | None:
        operation = program.operations[index]
        return operation.operands if operation.name == "mul" and single[index] else None  # type: ignore[return-value]

    negated: dict[int, int] = {}
    for index, operation in enumerate(program.operations):
        if operation.name not in ("add", "sub") or operation.operands[0] == operation.operands[1]:
            continue
        left, right = operation.operands
        pair = product(right)
        if pair and operation.name == "add":
            operations[index] = Operation("fma", (*pair, left), operation.type)
        elif pair:
            negated[index] = right
        elif (pair := product(left)) and operation.name == "add":
            operations[index] = Operation("fma", (*pair, right), operation.type)
        elif pair:
            negated[index] = left
    fused = Program(program.name, program.inputs, tuple(operations), program.outputs)
    return _write_differences(fused, negated)


def _write_differences(program: Program, negated: dict[int, int]) -> Program:
    """c - a*b becomes fma(-a, b, c), and a*b - c becomes fma(a, b, -c); the dictionary names difference and product."""
    if not negated:
        return program
    builder = Builder(program.name)
    for entry in program.inputs:
        builder.input(entry.name, entry.type, entry.role)
    values: list[Value] = []
    for index, operation in enumerate(program.operations):
        operands = tuple(values[operand] for operand in operation.operands)
        if index not in negated:
            values.append(builder.emit(operation.name, operands, operation.type, operation.payload))
            continue
        a, b = (values[operand] for operand in program.operations[negated[index]].operands)
        if negated[index] == operation.operands[1]:
            values.append(builder.fma(-a, b, operands[0]))
        else:
            values.append(builder.fma(a, b, -operands[1]))
    for output in program.outputs:
        builder.output(output.name, values[output.value], output.reduction)
    return builder.build()


def lower(program: Program) -> Program:
    """Calls of elementary functions become primitives. Needs: nothing. Leaves: no call. Changes bits: it makes them."""

    def rule(builder: Builder, operation: Operation, operands: tuple[Value, ...]) -> Value | None:
        if operation.name != "call":
            return None
        function, scale = operation.payload
        row = ELEMENTARY[function]
        return row.lower(*operands, scale=scale) if scale else row.lower(*operands)

    return rebuild(program, rule)


def fold_constants(program: Program) -> Program:
    """Operations on constants become constants, by the interpreter itself, so that no bit can differ."""

    def rule(builder: Builder, operation: Operation, operands: tuple[Value, ...]) -> Value | None:
        known = [builder.operations[value.index] for value in operands]
        if not operands or operation.name == "call" or any(op.name != "const" for op in known):
            return _identity(builder, operation, operands)
        values = [np.asarray(constant_value(op.payload, op.type)) for op in known]
        local = Operation(operation.name, tuple(range(len(values))), operation.type, operation.payload)
        with np.errstate(all="ignore"):
            value = np.asarray(evaluate(local, values, {}))
        if operation.type in FLOATS and np.isnan(value):
            return None  # a NaN's sign and payload are no part of the meaning, so the operation stays
        return builder.const_bits(_bits(value, operation.type), operation.type)

    return rebuild(program, rule)


def _bits(value: Any, type_: str) -> int:
    if type_ == "b":
        return int(value)
    return int(np.asarray(value).astype(NUMPY_TYPE[type_])[()].view(f"u{WIDTH_BITS[type_] // 8}"))


def _identity(builder: Builder, operation: Operation, operands: tuple[Value, ...]) -> Value | None:
    """x*1, x/1, neg neg x, select with equal arms or a constant mask: the value that is there already. abs neg x:
    abs x, which x and -x then share."""

    def constant(value: Value) -> Any:
        known = builder.operations[value.index]
        return known.payload if known.name == "const" else None

    if operation.name in ("mul", "div"):
        one = constant_bits(1.0, operation.type)
        if constant(operands[1]) == one:
            return operands[0]
        if operation.name == "mul" and constant(operands[0]) == one:
            return operands[1]
    if operation.name in ("select", "rare"):
        mask, first, second = operands
        if first is second:
            return first
        if constant(mask) is not None:
            return first if bool(constant(mask)) == (operation.name == "select") else second
    if operation.name in ("neg", "abs") and builder.operations[operands[0].index].name == "neg":
        inner = Value(builder, builder.operations[operands[0].index].operands[0], operation.type)
        return inner if operation.name == "neg" else abs(inner)
    return None


def share_common(program: Program) -> Program:
    """Equal operations are computed once."""
    return rebuild(program, lambda builder, operation, operands: None)


def drop_dead(program: Program) -> Program:
    """Operations that no output needs are left out, and inputs stay as declared."""
    needed = [False] * len(program.operations)
    for output in program.outputs:
        needed[output.value] = True
    for index in range(len(program.operations) - 1, -1, -1):
        if needed[index]:
            for operand in program.operations[index].operands:
                needed[operand] = True
    renumbered: dict[int, int] = {}
    operations: list[Operation] = []
    for index, operation in enumerate(program.operations):
        if needed[index]:
            renumbered[index] = len(operations)
            operands = tuple(renumbered[operand] for operand in operation.operands)
            operations.append(Operation(operation.name, operands, operation.type, operation.payload))
    outputs = tuple(Output(o.name, renumbered[o.value], o.reduction) for o in program.outputs)
    return Program(program.name, program.inputs, tuple(operations), outputs)


SHAPE: tuple[Pass, ...] = (drop_dead, guard_vanishing, fuse_multiply_add, lower)
PRESERVE: tuple[Pass, ...] = (fold_constants, share_common, drop_dead)


def run_passes(program: Program, observe: Observer | None = None) -> Program:
    """SHAPE, then PRESERVE, each result checked; ``observe(name, program, milliseconds)`` sees each."""
    import time

    for step in SHAPE + PRESERVE:
        start = time.perf_counter()
        program = check(step(program), after=step.__name__)
        if observe is not None:
            observe(step.__name__, program, 1e3 * (time.perf_counter() - start))
    return program
