"""What a Program takes and gives, in the order in which kernels get pointers to it: inputs, uniforms, outputs, sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..program.program import Input, Output, Program

# Bytes of one element in memory.
BYTES = {"b": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "f32": 4, "f64": 8}


def element_inputs(program: Program) -> tuple[Input, ...]:
    return tuple(entry for entry in program.inputs if entry.role == "element")


def uniform_inputs(program: Program) -> tuple[Input, ...]:
    return tuple(entry for entry in program.inputs if entry.role == "uniform")


def element_outputs(program: Program) -> tuple[Output, ...]:
    return tuple(output for output in program.outputs if output.reduction == "element")


def sum_outputs(program: Program) -> tuple[Output, ...]:
    return tuple(output for output in program.outputs if output.reduction == "sum")
