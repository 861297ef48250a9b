"""Conversions between types as LLVM IR, defined for every input; f16 by instructions or, without them, by integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program.primitives import FLOATS, WIDTH_BITS

if TYPE_CHECKING:
    from .llvm import Emission


def convert(e: Emission, value: str, source: str, result: str, signed: bool = True) -> str:
    """The value in the result's type: NumPy's astype, but float to integer saturates and NaN gives 0."""
    if source == result:
        return value
    if source == "f16":
        wide = _half_to_single(e, value)
        return wide if result == "f32" else convert(e, wide, "f32", result)
    if result == "f16":
        return _to_half(e, value, source)
    if result == "b":
        compare, zero = ("fcmp une" if source in FLOATS else "icmp ne"), e.splat(0, source)
        return _line(e, f"{compare} {e.type_text(source)} {value}, {zero}")
    if source in FLOATS and result not in FLOATS:
        s, t = e.type_text(source), e.type_text(result)
        return _line(e, f"call {t} @llvm.fptosi.sat.{e.suffix(result)}.{e.suffix(source)}({s} {value})")
    if source in FLOATS:
        word = "fpext" if WIDTH_BITS[result] > WIDTH_BITS[source] else "fptrunc"
    elif result in FLOATS:
        word = "uitofp" if source == "b" else "sitofp"
    elif WIDTH_BITS[result] < WIDTH_BITS[source]:
        word = "trunc"
    else:
        word = "sext" if signed and source != "b" else "zext"
    return _line(e, f"{word} {e.type_text(source)} {value} to {e.type_text(result)}")


def half_fma(e: Emission, operands: list[str]) -> str:
    """a*b + c of f16 values held in f32, rounded once: the product is exact in f64, the sum is rounded to odd."""
    a, b, c = (convert(e, operand, "f32", "f64") for operand in operands)
    product = e.fill("mul", [a, b], "f64", "f64")
    total = e.fill("add", [product, c], "f64", "f64")
    # The error of the sum, by Knuth's two-sum; it is exact, and NaN where the sum is not finite.
    shadow = e.fill("sub", [total, product], "f64", "f64")
    rest = e.fill("sub", [total, shadow], "f64", "f64")
    left, right = e.fill("sub", [product, rest], "f64", "f64"), e.fill("sub", [c, shadow], "f64", "f64")
    error = e.fill("add", [left, right], "f64", "f64")
    return _single_to_half(e, narrow_to_odd(e, _to_odd(e, total, error, "f64")))


def _line(e: Emission, text: str) -> str:
    r = e.fresh()
    e.line(f"{r} = {text}")
    return r


def _integer(e: Emission, name: str, value: str, bits: int, type: str = "i32") -> str:
    return e.fill(name, [value, e.splat(bits, type)], type, type)


def _to_half(e: Emission, value: str, source: str) -> str:
    if source == "b":
        return e.fill("select", [value, e.splat(0x3C00, "f16"), e.splat(0, "f16")], "f16", "f16")
    if source == "f32":
        return _single_to_half(e, value)
    if source == "i16":  # exact in f32
        return _single_to_half(e, convert(e, value, "i16", "f32"))
    # i32 is exact in f64; i64 is rounded only beyond 2**53, where f16 is infinite anyhow.
    return _single_to_half(e, narrow_to_odd(e, value if source == "f64" else convert(e, value, source, "f64")))


def narrow_to_odd(e: Emission, value: str) -> str:
    """f64 to f32 rounded to odd (an inexact result gets an odd last bit), after which rounding to f16 is right."""
    near = convert(e, value, "f64", "f32")
    error = e.fill("sub", [value, convert(e, near, "f32", "f64")], "f64", "f64")
    return _to_odd(e, near, error, "f32")


def _to_odd(e: Emission, near: str, error: str, type: str) -> str:
    """The neighbour of ``near`` on the side of the error (f64) if near is even and the error is not 0 or NaN.

    An infinite near with a finite exact value has an infinite error: its even bits step back to the largest number."""
    integer = "i32" if type == "f32" else "i64"
    bits = _line(e, f"bitcast {e.type_text(type)} {near} to {e.type_text(integer)}")
    is_up = e.fill("lt", [e.splat(0, "f64"), error], "f64", "b")
    is_down = e.fill("lt", [error, e.splat(0, "f64")], "f64", "b")
    is_inexact = e.fill("or", [is_up, is_down], "b", "b")
    is_even = e.fill("eq", [_integer(e, "and", bits, 1, integer), e.splat(0, integer)], integer, "b")
    is_negative = e.fill("lt", [bits, e.splat(0, integer)], integer, "b")
    # A step towards the error makes the magnitude larger if the signs agree: down and negative, or up and positive.
    grows = e.fill("xor", [is_up, is_negative], "b", "b")
    one, minus_one = e.splat(1, integer), e.splat((1 << WIDTH_BITS[integer]) - 1, integer)
    step = e.fill("select", [grows, one, minus_one], integer, integer)
    moved = e.fill("iadd", [bits, step], integer, integer)
    chosen = e.fill("select", [e.fill("and", [is_inexact, is_even], "b", "b"), moved, bits], integer, integer)
    return _line(e, f"bitcast {e.type_text(integer)} {chosen} to {e.type_text(type)}")


def _half_to_single(e: Emission, value: str) -> str:
    if e.target.widens_half:
        half = _line(e, f"bitcast {e.type_text('i16')} {value} to {e.half_text()}")
        return _line(e, f"fpext {e.half_text()} {half} to {e.type_text('f32')}")
    wide = convert(e, value, "i16", "i32", signed=False)
    magnitude = _integer(e, "ishl", _integer(e, "and", wide, 0x7FFF), 13)
    # Exponent and mantissa are in place; the bias grows by 112, as a product, which normalises subnormals too.
    scaled = e.fill("mul", [_as_float(e, magnitude), e.splat(0x77800000, "f32")], "f32", "f32")
    special = _integer(e, "or", magnitude, 0x7F800000)
    is_special = e.fill("le", [e.splat(0x7C00 << 13, "i32"), magnitude], "i32", "b")
    bits = e.fill("select", [is_special, special, _as_integer(e, scaled)], "i32", "i32")
    sign = _integer(e, "ishl", _integer(e, "and", wide, 0x8000), 16)
    return _as_float(e, e.fill("or", [bits, sign], "i32", "i32"))


def _single_to_half(e: Emission, value: str) -> str:
    if e.target.widens_half:
        half = _line(e, f"fptrunc {e.type_text('f32')} {value} to {e.half_text()}")
        return _line(e, f"bitcast {e.half_text()} {half} to {e.type_text('i16')}")
    bits = _as_integer(e, value)
    magnitude = _integer(e, "and", bits, 0x7FFFFFFF)
    # Normal results: add just under half a unit, and the last kept bit for ties; the carry may reach the exponent.
    odd = _integer(e, "and", _integer(e, "ilshr", magnitude, 13), 1)
    rounded = e.fill("iadd", [_integer(e, "iadd", magnitude, (0xFFF - (112 << 23)) & 0xFFFFFFFF), odd], "i32", "i32")
    normal = _integer(e, "ilshr", rounded, 13)
    # Subnormal results: adding 0.5 leaves the unit 2**-24 in the last bit, rounded by the addition.
    shifted = e.fill("add", [_as_float(e, magnitude), e.splat(0x3F000000, "f32")], "f32", "f32")
    small = _integer(e, "isub", _as_integer(e, shifted), 0x3F000000)
    is_small = e.fill("lt", [magnitude, e.splat(0x38800000, "i32")], "i32", "b")
    is_huge = e.fill("le", [e.splat(0x47800000, "i32"), magnitude], "i32", "b")
    is_nan = e.fill("lt", [e.splat(0x7F800000, "i32"), magnitude], "i32", "b")
    result = e.fill("select", [is_small, small, normal], "i32", "i32")
    result = e.fill("select", [is_huge, e.splat(0x7C00, "i32"), result], "i32", "i32")
    result = e.fill("select", [is_nan, e.splat(0x7E00, "i32"), result], "i32", "i32")
    sign = _integer(e, "and", _integer(e, "ilshr", bits, 16), 0x8000)
    return convert(e, e.fill("or", [result, sign], "i32", "i32"), "i32", "i16")


def _as_integer(e: Emission, value: str) -> str:
    return _line(e, f"bitcast {e.type_text('f32')} {value} to {e.type_text('i32')}")


def _as_float(e: Emission, value: str) -> str:
    return _line(e, f"bitcast {e.type_text('i32')} {value} to {e.type_text('f32')}")
