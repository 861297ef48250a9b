"""Builder: writes a Program operation by operation, as arithmetic on Values."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import numpy as np

from .primitives import FLOAT_OF, FLOATS, INTEGER_OF, NUMPY_TYPE, WIDTH_BITS
from .program import Input, Operation, Output, Program, Reduction, Role

Constant = bool | int | float | Fraction


class Value:
    """A value of the Program under construction. Python numbers beside it become constants of its type.

    ``+ - * /`` are the float primitives on floats; on integers ``+ - *`` are iadd, isub, imul. ``& | ^ ~`` work on
    bools and integers, ``<< >>`` on integers (>> fills with zeros). ``< <= > >=`` give bools; equality is
    ``eq``/``ne``, since Values themselves compare by identity.
    """

    __slots__ = ("builder", "index", "type")

    def __init__(self, builder: Builder, index: int, type: str) -> None:
        self.builder, self.index, self.type = builder, index, type

    def _binary(self, name: str, other: Value | Constant, flip: bool = False) -> Value:
        right = self.builder.lift(other, self.type)
        pair = (right, self) if flip else (self, right)
        comparison = name in ("lt", "le", "eq", "ne")
        return self.builder.emit(name, pair, "b" if comparison else self.type)

    def _arithmetic(self, name: str, other: Value | Constant, flip: bool = False) -> Value:
        return self._binary(name if self.type in FLOATS else f"i{name}", other, flip)

    def __add__(self, other: Value | Constant) -> Value:
        return self._arithmetic("add", other)

    def __radd__(self, other: Constant) -> Value:
        return self._arithmetic("add", other, flip=True)

    def __sub__(self, other: Value | Constant) -> Value:
        return self._arithmetic("sub", other)

    def __rsub__(self, other: Constant) -> Value:
        return self._arithmetic("sub", other, flip=True)

    def __mul__(self, other: Value | Constant) -> Value:
        return self._arithmetic("mul", other)

    def __rmul__(self, other: Constant) -> Value:
        return self._arithmetic("mul", other, flip=True)

    def __truediv__(self, other: Value | Constant) -> Value:
        return self._binary("div", other)

    def __rtruediv__(self, other: Constant) -> Value:
        return self._binary("div", other, flip=True)

    def __neg__(self) -> Value:
        return self.builder.emit("neg", (self,), self.type)

    def __abs__(self) -> Value:
        return self.builder.emit("abs", (self,), self.type)

    def __lt__(self, other: Value | Constant) -> Value:
        return self._binary("lt", other)

    def __le__(self, other: Value | Constant) -> Value:
        return self._binary("le", other)

    def __gt__(self, other: Value | Constant) -> Value:
        return self._binary("lt", other, flip=True)

    def __ge__(self, other: Value | Constant) -> Value:
        return self._binary("le", other, flip=True)

    def eq(self, other: Value | Constant) -> Value:
        return self._binary("eq", other)

    def ne(self, other: Value | Constant) -> Value:
        return self._binary("ne", other)

    def __and__(self, other: Value | Constant) -> Value:
        return self._binary("and", other)

    def __or__(self, other: Value | Constant) -> Value:
        return self._binary("or", other)

    def __xor__(self, other: Value | Constant) -> Value:
        return self._binary("xor", other)

    def __invert__(self) -> Value:
        return self.builder.emit("not", (self,), self.type)

    def __lshift__(self, count: Value | int) -> Value:
        return self._binary("ishl", count)

    def __rshift__(self, count: Value | int) -> Value:
        return self._binary("ilshr", count)

    def shift_arithmetic(self, count: Value | int) -> Value:
        return self._binary("iashr", count)

    def multiply_high(self, other: Value | int) -> Value:
        return self._binary("imulhi", other)

    def minimum(self, other: Value | Constant) -> Value:
        """self if self < other else other: a NaN on either side gives other."""
        return self._binary("min", other)

    def maximum(self, other: Value | Constant) -> Value:
        """self if self > other else other: a NaN on either side gives other."""
        return self._binary("max", other)

    def sqrt(self) -> Value:
        return self.builder.emit("sqrt", (self,), self.type)

    def rint(self) -> Value:
        return self.builder.emit("rint", (self,), self.type)

    def floor(self) -> Value:
        return self.builder.emit("floor", (self,), self.type)

    def is_nan(self) -> Value:
        return self.ne(self)

    def bits(self) -> Value:
        """The integer with the same bits."""
        return self.builder.emit("bitcast", (self,), INTEGER_OF[self.type])

    def as_float(self) -> Value:
        """The float with the same bits."""
        return self.builder.emit("bitcast", (self,), FLOAT_OF[self.type])

    def convert(self, type: str) -> Value:
        return self if type == self.type else self.builder.emit("convert", (self,), type)

    def zero_extend(self, type: str) -> Value:
        return self.builder.emit("zext", (self,), type)

    def look_up(self, entries: tuple[int, ...], type: str) -> Value:
        """entries[self], the bit patterns of constants of the type; the index is clamped into the table."""
        return self.builder.emit("table", (self,), type, tuple(entries))


class Builder:
    """Collects operations; equal operations are stored once."""

    def __init__(self, name: str = "program") -> None:
        self.name = name
        self.inputs: list[Input] = []
        self.operations: list[Operation] = []
        self.outputs: list[Output] = []
        self._known: dict[tuple[Any, ...], Value] = {}

    def emit(self, name: str, operands: tuple[Value, ...] = (), type: str = "", payload: Any = None) -> Value:
        indices = tuple(operand.index for operand in operands)
        key = (name, indices, type, payload)
        value = self._known.get(key)
        if value is None:
            value = Value(self, len(self.operations), type)
            self.operations.append(Operation(name, indices, type, payload))
            self._known[key] = value
        return value

    def input(self, name: str, type: str, role: Role = "element") -> Value:
        if all(entry.name != name for entry in self.inputs):
            self.inputs.append(Input(name, type, role))
        return self.emit("input", (), type, name)

    def output(self, name: str, value: Value, reduction: Reduction = "element") -> None:
        self.outputs.append(Output(name, value.index, reduction))

    def const(self, value: Constant, type: str) -> Value:
        """The constant, rounded once to the type."""
        return self.emit("const", (), type, constant_bits(value, type))

    def const_bits(self, bits: int, type: str) -> Value:
        return self.emit("const", (), type, bits)

    def lift(self, value: Value | Constant, type: str) -> Value:
        return value if isinstance(value, Value) else self.const(value, type)

    def call(self, function: str, *operands: Value, scale: int = 0) -> Value:
        """An elementary function's value times 2**scale; lower replaces it by primitives."""
        return self.emit("call", operands, operands[0].type, (function, scale))

    def fma(self, a: Value, b: Value | Constant, c: Value | Constant) -> Value:
        return self.emit("fma", (a, self.lift(b, a.type), self.lift(c, a.type)), a.type)

    def select(self, mask: Value, yes: Value | Constant, no: Value | Constant) -> Value:
        yes, no = self._pair(yes, no)
        return self.emit("select", (mask, yes, no), yes.type)

    def rare(self, mask: Value, usual: Value, slow: Value) -> Value:
        """slow where the mask holds, else usual; what only slow needs is skipped where no lane of a block needs it."""
        return self.emit("rare", (mask, usual, slow), usual.type)

    def _pair(self, a: Value | Constant, b: Value | Constant) -> tuple[Value, Value]:
        if isinstance(a, Value):
            return a, self.lift(b, a.type)
        if isinstance(b, Value):
            return self.lift(a, b.type), b
        raise TypeError("select needs at least one Value to know its type; use const for the other")

    def build(self) -> Program:
        return Program(self.name, tuple(self.inputs), tuple(self.operations), tuple(self.outputs))


def fma(a: Value, b: Value | Constant, c: Value | Constant) -> Value:
    return a.builder.fma(a, b, c)


def select(mask: Value, yes: Value | Constant, no: Value | Constant) -> Value:
    return mask.builder.select(mask, yes, no)


def rare(mask: Value, usual: Value, slow: Value) -> Value:
    return mask.builder.rare(mask, usual, slow)


def horner(x: Value, coefficients: tuple[Constant, ...]) -> Value:
    """c0 + x*(c1 + x*(c2 + ...)), each step one fma; coefficients from the constant term upwards."""
    total = x.builder.const(coefficients[-1], x.type)
    for coefficient in reversed(coefficients[:-1]):
        total = fma(total, x, coefficient)
    return total


def constant_bits(value: Constant, type: str) -> int:
    """The bit pattern of the number rounded once, to nearest even, to the type."""
    if type == "b":
        return int(bool(value))
    if type not in FLOATS:
        return int(value) & ((1 << WIDTH_BITS[type]) - 1)
    if isinstance(value, Fraction):
        return _fraction_bits(value, type)
    dtype = NUMPY_TYPE[type]
    with np.errstate(all="ignore"):  # a float64 rounds once to float32 and to float16
        number = np.float64(value).astype(dtype)
    return int(number.view(f"u{dtype.itemsize}"))


def constant_value(bits: int, type: str) -> Any:
    """The NumPy scalar with the bit pattern."""
    if type == "b":
        return np.bool_(bits)
    dtype = NUMPY_TYPE[type]
    return np.array(bits, dtype=f"u{dtype.itemsize}").view(dtype)[()]


def _fraction_bits(value: Fraction, type: str) -> int:
    if type == "f64":
        return struct.unpack("<Q", struct.pack("<d", _to_double(value)))[0]
    # Rounding to odd in float64 first makes the second rounding exact.
    near = _to_double(value)
    bits = struct.unpack("<Q", struct.pack("<d", near))[0]
    if near not in (float("inf"), float("-inf")) and Fraction(near) != value and not bits & 1:
        bits += 1 if (Fraction(near) < value) == (value > 0) else -1
    return constant_bits(struct.unpack("<d", struct.pack("<Q", bits))[0], type)


def _to_double(value: Fraction) -> float:
    try:
        return value.numerator / value.denominator  # Python rounds integer division correctly
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")
