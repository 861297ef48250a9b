"""What stands between emitted code and its callers: the operands' order and sizes, the driver's settings.

Kernels get pointers to element inputs, uniform inputs, element outputs and sums, in this order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..program.program import Input, Output, Program
    from ..program.stored import StoredProgram

# Bytes of one element in memory.
BYTES = {"b": 1, "i16": 2, "i32": 4, "i64": 8, "f16": 2, "f32": 4, "f64": 8}

# Index of each setting in the driver's global array.
SETTINGS = {
    "gomp_parallel": 0,  # address or 0
    "max_threads": 1,  # address of omp_get_max_threads or 0
    "limit": 2,  # most threads to use
    "serial_below": 3,  # elements
    "stream_above": 4,  # bytes of results
    "new_like_array": 5,  # NumPy's PyArray_NewLikeArray
}


def element_inputs(program: Program | StoredProgram) -> tuple[Input, ...]:
    return tuple(entry for entry in program.inputs if entry.role == "element")


def uniform_inputs(program: Program | StoredProgram) -> tuple[Input, ...]:
    return tuple(entry for entry in program.inputs if entry.role == "uniform")


def element_outputs(program: Program | StoredProgram) -> tuple[Output, ...]:
    return tuple(output for output in program.outputs if output.reduction == "element")


def sum_outputs(program: Program | StoredProgram) -> tuple[Output, ...]:
    return tuple(output for output in program.outputs if output.reduction == "sum")
