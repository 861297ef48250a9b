"""Several Programs as one, in which every operation that they have in common is done once, with the bits of each."""

from __future__ import annotations

from collections.abc import Mapping

from .builder import Builder, Value
from .passes import drop_dead
from .program import Program, check


def join(programs: Mapping[str, Program], name: str) -> Program:
    """Output ``y`` of the Program called ``even`` becomes ``y.even``. Inputs of one name are one input.

    Finished Programs are joined, not what they were made from: the passes before may choose otherwise for values that
    have more uses. Raises ValueError where inputs of one name differ in type or role."""
    builder = Builder(name)
    for program in programs.values():
        for entry in program.inputs:
            builder.input(entry.name, entry.type, entry.role)
            if entry not in builder.inputs:
                raise ValueError(f"{name}: the input {entry.name!r} has two types or roles")
    for label, program in programs.items():
        values: list[Value] = []
        for operation in program.operations:
            operands = tuple(values[operand] for operand in operation.operands)
            values.append(builder.emit(operation.name, operands, operation.type, operation.payload))
        for output in program.outputs:
            builder.output(f"{output.name}.{label}", values[output.value], output.reduction)
    return check(drop_dead(builder.build()), "join")
