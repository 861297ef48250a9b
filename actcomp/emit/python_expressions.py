"""One Python expression a primitive, with no more brackets than precedence asks for.

Numba computes integers narrower than 64 bits in 64 and NumPy in their own width. Both agree in the low bits, so that a
Text says whether it still has to be cut to its type (``i32(...)``) before something that sees the others reads it. Sums
and products of signed integers may not overflow in Numba: narrow ones are cut before they could, wide ones computed as
unsigned by helpers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..program.builder import constant_value
from ..program.primitives import FLOATS, WIDTH_BITS

# Python's precedence, from weak to strong.
CONDITION, OR, AND, NOT, COMPARE, BIT_OR, BIT_XOR, BIT_AND, SHIFT, ADD, MULTIPLY, SIGN, ATOM = range(13)

CAST = {"b": "bool", "i16": "i16", "i32": "i32", "i64": "i64", "f16": "i16", "f32": "f32", "f64": "f64"}


class Text(str):
    """An expression: its weakest operator, whether its value has its type already, and if not, by how many bits it may
    be too wide."""

    __slots__ = ("excess", "is_whole", "level")
    level: int
    is_whole: bool
    excess: int

    def __new__(cls, text: str, level: int, is_whole: bool = True, excess: int = 0) -> Text:
        made = super().__new__(cls, text)
        made.level, made.is_whole, made.excess = level, is_whole, excess
        return made

    def above(self, level: int) -> str:
        """For a place beside an operator of the level."""
        return str(self) if self.level >= level else f"({self})"


def wrapped(text: Text, type: str) -> str:
    """The expression cut to the width of its type."""
    return str(text) if text.is_whole else f"{CAST[type]}({text})"


def number(bits: int, type: str) -> str:
    """The constant as a literal without its type: what parses to the same bits, NaN aside (any NaN is the same)."""
    value: Any = constant_value(bits, type)
    if type == "b":
        return "True" if bits else "False"
    if type == "f16":
        return number(bits, "i16")
    if type not in FLOATS:
        return str(int(value))
    wide = float(value)
    if not math.isfinite(wide):
        return "math.nan" if math.isnan(wide) else "math.inf" if wide > 0 else "-math.inf"
    mantissa, exponent = math.frexp(abs(wide))
    if mantissa == 0.5 and not -10 < exponent - 1 < 20:
        return f"{'-' if wide < 0 else ''}2.0**{exponent - 1}"
    short = repr(float(str(value)))  # the shortest that gives the bits back
    return (short if value.dtype.type(float(short)) == value else repr(wide)).replace("e+", "e")


def constant(bits: int, type: str) -> Text:
    text = number(bits, type)
    if type in ("f32", "f64"):
        return Text(f"{type}({text})", ATOM)
    return Text(text, SIGN if text[0] == "-" else ATOM, is_whole=type == "b")


@dataclass(frozen=True, slots=True)
class Binary:
    """``{0} operator {1}``; the right operand stands in brackets at the same level, but for what is associative."""

    operator: str
    level: int
    of_bools: tuple[str, int] | None = None

    def helper_of(self, type: str, result: str) -> str:
        return ""

    def fill(self, operands: list[Text], type: str, result: str) -> Text:
        operator, level = self.of_bools if self.of_bools and type == "b" else (self.operator, self.level)
        if level == COMPARE:  # which sees all bits
            operands = [_seen(operand, type) for operand in operands]
        excess = 0
        if result in ("i16", "i32"):
            excess = _excess(operator, operands, result)
            if WIDTH_BITS[result] + excess > 63:
                operands = [_seen(operand, type) for operand in operands]
                excess = _excess(operator, operands, result)
        loosest = MULTIPLY if BIT_OR <= level <= SHIFT else level  # few know how bits and sums bind
        left = operands[0].above(loosest + (level == COMPARE))
        right = operands[1].above(loosest + (operator not in ("and", "or")))
        return Text(f"{left} {operator} {right}", level, result in ("b", "f32", "f64", "i64"), excess)


def _excess(operator: str, operands: list[Text], type: str) -> int:
    left, right = (operand.excess for operand in operands)
    if operator == "*":
        return WIDTH_BITS[type] + left + right
    return max(left, right) + (operator in "+-")


def _seen(text: Text, type: str) -> Text:
    """Cut to the width, where it is no literal."""
    return text if text.is_whole or _is_literal(text) else Text(wrapped(text, type), ATOM)


def _is_literal(text: str) -> bool:
    return text.lstrip("-").isdigit()


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    level: int
    of_bools: tuple[str, int] | None = None

    def helper_of(self, type: str, result: str) -> str:
        return ""

    def fill(self, operands: list[Text], type: str, result: str) -> Text:
        operator, level = self.of_bools if self.of_bools and type == "b" else (self.operator, self.level)
        whole = result in ("b", "f32", "f64", "i64")
        text = f"{operator}{operands[0].above(COMPARE if level == NOT else level)}"
        return Text(text, level, whole, operands[0].excess)


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the prelude, by the width of the first operand, or of Python's own."""

    narrow: str
    wide: str = ""
    is_own: bool = True

    def helper_of(self, type: str, result: str) -> str:
        return self._name(type) if self.is_own else ""

    def _name(self, type: str) -> str:
        return self.wide or self.narrow if WIDTH_BITS[type] == 64 else self.narrow

    def fill(self, operands: list[Text], type: str, result: str) -> Text:
        return Text(f"{self._name(type)}({', '.join(wrapped(operand, type) for operand in operands)})", ATOM)


@dataclass(frozen=True, slots=True)
class Wrapping:
    """A sum or product of integers that wraps: narrow ones in 64 bits, those of 64 bits by a helper."""

    narrow: Binary
    wide: Call

    def helper_of(self, type: str, result: str) -> str:
        return self.wide.helper_of(type, result) if type == "i64" else ""

    def fill(self, operands: list[Text], type: str, result: str) -> Text:
        return (self.wide if type == "i64" else self.narrow).fill(operands, type, result)


class Bitcast:
    def helper_of(self, type: str, result: str) -> str:
        name = "to_bits" if type in FLOATS else "from_bits"
        return name + "64" * (WIDTH_BITS[type] == 64)

    def fill(self, operands: list[Text], type: str, result: str) -> Text:
        return Text(f"{self.helper_of(type, result)}({wrapped(operands[0], type)})", ATOM)


@dataclass(frozen=True, slots=True)
class Shift:
    """The amount counts modulo the width. Zeros enter from the right; from the left the sign, or by a helper zeros."""

    operator: str

    def helper_of(self, type: str, result: str) -> str:
        return "" if self.operator != "logical" else "shift_right64" if type == "i64" else "shift_right"

    def fill(self, operands: list[Text], type: str, result: str) -> Text:
        value, count = operands
        last = WIDTH_BITS[type] - 1
        count = Text(str(int(count) & last), ATOM) if _is_literal(count) else Text(f"{count} & {last}", BIT_AND)
        if self.operator == "<<":
            moved = last if not _is_literal(count) else int(count)
            if WIDTH_BITS[type] + value.excess + moved > 63:
                value = _seen(value, type)
            return Text(f"{value.above(MULTIPLY)} << {count.above(ATOM)}", SHIFT, type == "i64", value.excess + moved)
        value = _seen(value, type)
        if self.operator == ">>":
            return Text(f"{value.above(MULTIPLY)} >> {count.above(ATOM)}", SHIFT, is_whole=type == "i64")
        if type == "i16":  # zeros enter where the sign of i32 was
            return Text(f"shift_right({value.above(BIT_AND)} & 65535, {count})", ATOM, is_whole=False)
        return Text(f"{self.helper_of(type, result)}({value}, {count})", ATOM)


class Select:
    def helper_of(self, type: str, result: str) -> str:
        return ""

    def fill(self, operands: list[Text], type: str, result: str) -> Text:
        mask, yes, no = operands
        is_whole, excess = yes.is_whole and no.is_whole, max(yes.excess, no.excess)
        return Text(f"{yes.above(OR)} if {mask.above(OR)} else {no.above(OR)}", CONDITION, is_whole, excess)


Template = Binary | Unary | Call | Wrapping | Bitcast | Shift | Select

# mul_rn: a product that a sum adds, kept from being fused with it. Of rare the operands come as those of select.
# None: const and input have no text of their own, convert, zext and table are functions, call is gone.
TEMPLATES: dict[str, Any] = {
    "const": None,
    "input": None,
    "call": None,
    "add": Binary("+", ADD),
    "sub": Binary("-", ADD),
    "mul": Binary("*", MULTIPLY),
    "mul_rn": Call("mul_rn", "mul_rn64"),
    "div": Binary("/", MULTIPLY),
    "fma": Call("fma", "fma64"),
    "neg": Unary("-", SIGN),
    "abs": Call("abs", is_own=False),
    "min": Call("lesser"),
    "max": Call("greater"),
    "sqrt": Call("sqrt", "sqrt64"),
    "rint": Call("rint", "rint64"),
    "floor": Call("floor", "floor64"),
    "lt": Binary("<", COMPARE),
    "le": Binary("<=", COMPARE),
    "eq": Binary("==", COMPARE),
    "ne": Binary("!=", COMPARE),
    "and": Binary("&", BIT_AND, ("and", AND)),
    "or": Binary("|", BIT_OR, ("or", OR)),
    "xor": Binary("^", BIT_XOR, ("!=", COMPARE)),
    "not": Unary("~", SIGN, ("not ", NOT)),
    "select": Select(),
    "rare": Select(),
    "iadd": Wrapping(Binary("+", ADD), Call("add", "add_wrapping")),
    "isub": Wrapping(Binary("-", ADD), Call("sub", "sub_wrapping")),
    "imul": Wrapping(Binary("*", MULTIPLY), Call("mul", "mul_wrapping")),
    "imulhi": Call("mul_high", "mul_high64"),
    "ishl": Shift("<<"),
    "ilshr": Shift("logical"),
    "iashr": Shift(">>"),
    "bitcast": Bitcast(),
    "convert": None,
    "zext": None,
    "table": None,
}

_TRUNCATE = {
    ("f32", "i32"): "truncate",
    ("f32", "i64"): "truncate_to_64",
    ("f64", "i32"): "truncate64_to_32",
    ("f64", "i64"): "truncate64",
}


def convert(value: Text, source: str, result: str, signed: bool = True) -> tuple[Text, tuple[str, ...]]:
    """The value in the result's type, defined for every input, and the helpers needed.

    Raises ValueError from float64 and integers to float16, where two roundings would be needed."""
    if source == "f16" and result in FLOATS:
        wide = Text(f"half_to_float({wrapped(value, source)})", ATOM)
        return (wide if result == "f32" else Text(f"f64({wide})", ATOM)), ("half_to_float",)
    if result == "f16":
        if source != "f32":
            raise ValueError(f"{source} does not become float16 in Python; go through float32")
        return Text(f"float_to_half({value})", ATOM), ("float_to_half",)
    if source in FLOATS and result == "i16":
        name = _TRUNCATE[source, "i32"]
        return Text(f"i16(greater(lesser({name}({value}), 32767), -32768))", ATOM), (name, "lesser", "greater")
    if source in FLOATS and result not in (*FLOATS, "b"):
        name = _TRUNCATE[source, result]
        return Text(f"{name}({value})", ATOM), (name,)
    if result == "b":
        return Text(f"{_seen(value, source).above(BIT_OR)} != 0", COMPARE), ()
    text = Text(f"{CAST[result]}({value if WIDTH_BITS[result] < WIDTH_BITS[source] else wrapped(value, source)})", ATOM)
    if signed or WIDTH_BITS[result] <= WIDTH_BITS[source]:
        return text, ()
    return Text(f"{text} & {(1 << WIDTH_BITS[source]) - 1}", BIT_AND, is_whole=result == "i64"), ()
