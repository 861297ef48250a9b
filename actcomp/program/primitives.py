"""The instruction set of a Program: one row a primitive, its NumPy meaning defines the bits on every target.

Value types: ``b`` (bool), ``i16 i32 i64`` (two's complement integers; arithmetic wraps) and ``f16 f32 f64``
(IEEE-754). bfloat16 has no type of its own: it travels as ``i16`` and is widened and rounded by integer operations,
so that targets without bfloat16 instructions give the same bits.

A signature such as ``"ff->f"`` reads: two floats of one type give a float of that type. Letters: ``f`` any float, ``i``
any integer, ``b`` bool, ``v`` any type, ``w`` bool or integer. A letter used twice means the same type both times;
``*`` on the right means that the result type is stated by the operation itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .fused import fma

FLOATS = ("f16", "f32", "f64")
INTEGERS = ("i16", "i32", "i64")
TYPES = ("b", *INTEGERS, *FLOATS)
NUMPY_TYPE: dict[str, np.dtype[Any]] = {
    "b": np.dtype(np.bool_),
    "i16": np.dtype(np.int16),
    "i32": np.dtype(np.int32),
    "i64": np.dtype(np.int64),
    "f16": np.dtype(np.float16),
    "f32": np.dtype(np.float32),
    "f64": np.dtype(np.float64),
}
WIDTH_BITS = {"b": 1, "i16": 16, "i32": 32, "i64": 64, "f16": 16, "f32": 32, "f64": 64}
INTEGER_OF = {"f16": "i16", "f32": "i32", "f64": "i64"}
FLOAT_OF = {integer: float_ for float_, integer in INTEGER_OF.items()}


@dataclass(frozen=True)
class Primitive:
    """One instruction: its name, its signature, the NumPy function that defines its bits, and its edge cases."""

    name: str
    signature: str
    meaning: Callable[..., Any] | None
    edge: str = ""

    @property
    def operands(self) -> str:
        return self.signature.split("->")[0]

    @property
    def result(self) -> str:
        return self.signature.split("->")[1]


def _minimum(a: Any, b: Any) -> Any:
    return np.where(a < b, a, b)


def _maximum(a: Any, b: Any) -> Any:
    return np.where(a > b, a, b)


def _unsigned(a: Any) -> Any:
    return a.view(np.dtype(f"u{a.dtype.itemsize}"))


def _multiply_high(a: Any, b: Any) -> Any:
    """Upper half of the unsigned product."""
    bits = 8 * a.dtype.itemsize
    ua, ub = _unsigned(a), _unsigned(b)
    if bits < 64:
        return ((ua.astype(np.uint64) * ub.astype(np.uint64)) >> np.uint64(bits)).astype(ua.dtype).view(a.dtype)
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a0, a1, b0, b1 = ua & low, ua >> half, ub & low, ub >> half
    middle = a1 * b0 + (a0 * b0 >> half)
    other = a0 * b1 + (middle & low)
    return (a1 * b1 + (middle >> half) + (other >> half)).view(a.dtype)


def _amount(a: Any, count: Any) -> Any:
    return count & a.dtype.type(8 * a.dtype.itemsize - 1)


def _shift_left(a: Any, count: Any) -> Any:
    return np.left_shift(a, _amount(a, count))


def _shift_right(a: Any, count: Any) -> Any:
    return np.right_shift(_unsigned(a), _unsigned(_amount(a, count))).view(a.dtype)


def _shift_right_arithmetic(a: Any, count: Any) -> Any:
    return np.right_shift(a, _amount(a, count))


def _select(mask: Any, yes: Any, no: Any) -> Any:
    return np.where(mask, yes, no)


def _rare(mask: Any, usual: Any, slow: Any) -> Any:
    return np.where(mask, slow, usual)


def _convert(a: Any, dtype: np.dtype[Any]) -> Any:
    """Conversions that are defined for every input."""
    source = a.dtype
    if source.kind == "f" and dtype.kind == "i":
        info = np.iinfo(dtype)
        low, high = float(info.min), float(info.max) + 1.0
        wide = a.astype(np.float64) if source.itemsize < 8 else a
        inside = (wide > low - 1) & (wide < high) if dtype.itemsize < 8 else (wide >= low) & (wide < high)
        whole = np.where(inside, np.trunc(np.where(inside, wide, 0)), 0).astype(dtype)
        return np.where(wide >= high, info.max, np.where(wide <= low, info.min, whole)).astype(dtype)
    if source.kind == "b":
        return a.astype(dtype)
    return a.astype(dtype)


def _zero_extend(a: Any, dtype: np.dtype[Any]) -> Any:
    return _unsigned(a).astype(np.dtype(f"u{dtype.itemsize}")).view(dtype)


def _bitcast(a: Any, dtype: np.dtype[Any]) -> Any:
    return np.ascontiguousarray(a).view(dtype).reshape(np.shape(a))


def _table(index: Any, dtype: np.dtype[Any], entries: tuple[int, ...]) -> Any:
    bits = np.array(entries, dtype=f"u{dtype.itemsize}").view(dtype)
    return bits[np.clip(index, 0, len(entries) - 1)]


_ROWS = (
    Primitive("const", "->*", None, edge="the payload is the bit pattern, so that NaN and -0.0 are exact"),
    Primitive("input", "->*", None, edge="the payload is the name of the program's input"),
    Primitive("call", "f+->f", None, edge="an elementary function; none is left after lower"),
    Primitive("add", "ff->f", np.add),
    Primitive("sub", "ff->f", np.subtract),
    Primitive("mul", "ff->f", np.multiply),
    Primitive("div", "ff->f", np.divide),
    Primitive("fma", "fff->f", fma, edge="one rounding, also of subnormal results"),
    Primitive("neg", "f->f", np.negative, edge="flips the sign bit, of NaN too"),
    Primitive("abs", "f->f", np.abs, edge="clears the sign bit, of NaN too"),
    Primitive("min", "ff->f", _minimum, edge="a if a < b else b: NaN or a tie gives b"),
    Primitive("max", "ff->f", _maximum, edge="a if a > b else b: NaN or a tie gives b"),
    Primitive("sqrt", "f->f", np.sqrt),
    Primitive("rint", "f->f", np.rint, edge="ties to even; -0.4 -> -0.0"),
    Primitive("floor", "f->f", np.floor),
    Primitive("lt", "nn->b", np.less, edge="false if either is NaN; integers compare signed"),
    Primitive("le", "nn->b", np.less_equal, edge="false if either is NaN; integers compare signed"),
    Primitive("eq", "nn->b", np.equal, edge="false if either is NaN"),
    Primitive("ne", "nn->b", np.not_equal, edge="true if either is NaN"),
    Primitive("and", "ww->w", np.bitwise_and),
    Primitive("or", "ww->w", np.bitwise_or),
    Primitive("xor", "ww->w", np.bitwise_xor),
    Primitive("not", "w->w", np.invert),
    Primitive("select", "bvv->v", _select, edge="a NaN in the arm not taken is not seen"),
    Primitive("rare", "bvv->v", _rare, edge="third operand where the mask holds; a target may skip it block by block"),
    Primitive("iadd", "ii->i", np.add, edge="wraps"),
    Primitive("isub", "ii->i", np.subtract, edge="wraps"),
    Primitive("imul", "ii->i", np.multiply, edge="wraps"),
    Primitive("imulhi", "ii->i", _multiply_high, edge="upper half of the unsigned product"),
    Primitive("ishl", "ii->i", _shift_left, edge="the amount counts modulo the width"),
    Primitive("ilshr", "ii->i", _shift_right, edge="zeros enter; the amount counts modulo the width"),
    Primitive("iashr", "ii->i", _shift_right_arithmetic, edge="the sign enters; the amount counts modulo the width"),
    Primitive("bitcast", "v->*", _bitcast, edge="between a float and the integer of its width"),
    Primitive(
        "convert",
        "v->*",
        _convert,
        edge="float to float rounds to nearest even; float to integer truncates, saturates, NaN -> 0; integers extend "
        "their sign or truncate; bool gives 0 or 1",
    ),
    Primitive("zext", "i->*", _zero_extend, edge="zeros enter"),
    Primitive("table", "i->*", _table, edge="the payload is the bit patterns; the index is clamped into the table"),
)

PRIMITIVES: dict[str, Primitive] = {row.name: row for row in _ROWS}
