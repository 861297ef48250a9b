"""Sixteen-bit arrays: a float32 Program is wrapped so that inputs widen on the way in and outputs round once on the way
out."""

from __future__ import annotations

from .builder import Builder, Value
from .program import Program

# the dtype of arrays -> the type that the Program computes in, and the type in which it reads and writes elements
COMPUTE_TYPE = {"f64": "f64", "f32": "f32", "f16": "f32", "bf16": "f32"}
STORAGE_TYPE = {"f64": "f64", "f32": "f32", "f16": "f16", "bf16": "i16"}


def store_as(program: Program, dtype: str) -> Program:
    """The Program with element inputs and outputs in the dtype; uniform inputs and sums keep the computing type."""
    storage = STORAGE_TYPE[dtype]
    if storage == COMPUTE_TYPE[dtype]:
        return program
    widen, narrow = (bfloat16_to_float32, float32_to_bfloat16) if dtype == "bf16" else (_from_half, _to_half)
    builder = Builder(program.name)
    values: list[Value] = []
    roles = {entry.name: entry.role for entry in program.inputs}
    for entry in program.inputs:
        builder.input(entry.name, entry.type if entry.role == "uniform" else storage, entry.role)
    for operation in program.operations:
        if operation.name == "input" and roles[operation.payload] == "element":
            values.append(widen(builder.input(operation.payload, storage)))
            continue
        operands = tuple(values[operand] for operand in operation.operands)
        values.append(builder.emit(operation.name, operands, operation.type, operation.payload))
    for output in program.outputs:
        value = values[output.value]
        builder.output(output.name, value if output.reduction == "sum" else narrow(value), output.reduction)
    return builder.build()


def _from_half(x: Value) -> Value:
    return x.convert("f32")


def _to_half(x: Value) -> Value:
    return x.convert("f16")


def bfloat16_to_float32(bits: Value) -> Value:
    """The float32 whose upper half these bits are."""
    return (bits.zero_extend("i32") << 16).as_float()


def float32_to_bfloat16(x: Value) -> Value:
    """The bits of x rounded to nearest even in bfloat16; NaN becomes a quiet NaN of the same sign."""
    bits = x.bits()
    rounded = (bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16
    quiet = (bits >> 16) | 0x0040
    return x.builder.select(x.is_nan(), quiet, rounded).convert("i16")
