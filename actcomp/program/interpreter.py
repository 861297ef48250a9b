"""The interpreter: runs a Program by the NumPy meaning of its primitives. It defines the bits of every kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .builder import constant_value
from .primitives import NUMPY_TYPE, PRIMITIVES
from .program import Operation, Program

# The fixed tree of a sum: element i of a run of 4096 goes to lane i mod 32, lanes are added in order of i, then
# pairwise (lane j + lane j+16, then 8, 4, 2, 1); the runs' sums are added in order. All of it in float64.
SUM_RUN = 4096
SUM_LANES = 32


def interpret(program: Program, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs by name. Inputs are arrays (or scalars) of the declared types, broadcast together; sums are float64.

    A call to an elementary function has no NumPy meaning: lower the Program first.
    """
    arrays = {entry.name: np.asarray(inputs[entry.name], dtype=NUMPY_TYPE[entry.type]) for entry in program.inputs}
    shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    values: list[Any] = []
    with np.errstate(all="ignore"):
        for operation in program.operations:
            values.append(evaluate(operation, values, arrays))
    results = {}
    for output in program.outputs:
        value = np.broadcast_to(values[output.value], shape)
        results[output.name] = fixed_tree_sum(value) if output.reduction == "sum" else value
    return results


def evaluate(operation: Operation, values: Sequence[Any], arrays: Mapping[str, Any]) -> Any:
    """One operation on the values before it."""
    if operation.name == "const":
        return np.asarray(constant_value(operation.payload, operation.type))
    if operation.name == "input":
        return arrays[operation.payload]
    meaning = PRIMITIVES[operation.name].meaning
    if meaning is None:
        raise ValueError(f"{operation.name} {operation.payload} has no bits of its own: lower the Program first")
    operands = [values[index] for index in operation.operands]
    if operation.name == "table":
        return meaning(operands[0], NUMPY_TYPE[operation.type], operation.payload)
    if operation.name in ("bitcast", "convert", "zext"):
        return meaning(operands[0], NUMPY_TYPE[operation.type])
    return np.asarray(meaning(*operands))


def fixed_tree_sum(values: Any) -> Any:
    """The sum over all elements, in C order, by the fixed tree; float64 whatever the type of the values."""
    flat = np.asarray(values).reshape(-1).astype(np.float64)
    runs = -(-flat.size // SUM_RUN)
    padded = np.zeros((runs, SUM_RUN // SUM_LANES, SUM_LANES))
    padded.reshape(-1)[: flat.size] = flat
    lanes = np.zeros((runs, SUM_LANES))
    total = np.float64(0.0)
    with np.errstate(all="ignore"):
        for row in range(SUM_RUN // SUM_LANES):
            lanes = lanes + padded[:, row, :]
        width = SUM_LANES
        while width > 1:
            width //= 2
            lanes = lanes[:, :width] + lanes[:, width : 2 * width]
        for run in range(runs):
            total = total + lanes[run, 0]
    return total
