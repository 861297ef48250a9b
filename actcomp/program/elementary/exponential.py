"""exp and expm1, and the pieces of them that other functions share.

x = n ln(2) + r with an integer n and |r| <= ln(2)/2, exp(x) = 2**n exp(r). n comes from adding a magic number: the last
bits of the sum are n, and stay in the float until the final shift. ln(2) is cut into two floats; n times the first,
subtracted by fma, leaves no error: both are multiples of the last place of x or of the cut, and it is short.
"""

from __future__ import annotations

import math

from ..builder import Value, fma, horner, rare, select
from .registry import Elementary
from .tables import LAYOUT, hex_floats

LN2_F32 = hex_floats("0x1.62e43p-1 -0x1.05c61p-29")
LN2_F64 = hex_floats("0x1.62e42fefa39efp-1 0x1.abc9e3b39803fp-56")
LN2 = {"f32": LN2_F32, "f64": LN2_F64}

# exp(r), |r| <= ln(2)/2, degree 6, relative error 2**-28.3; degree 5 gives 2**-23.6, half an ulp of float32
EXP_F32 = hex_floats("0x1p0 0x1p0 0x1.fffffcp-2 0x1.555492p-3 0x1.5558acp-5 0x1.12398p-7 0x1.6a515cp-10")
# exp(r), |r| <= ln(2)/2, degree 11, relative error 2**-57.9
EXP_F64 = hex_floats(
    "0x1p0 0x1p0 0x1.000000000000ap-1 0x1.555555555550cp-3 0x1.55555555507a2p-5 0x1.111111112481bp-7 "
    "0x1.6c16c18439169p-10 0x1.a01a01379af8cp-13 0x1.a0199a0a293cdp-16 0x1.71df0de76b501p-19 0x1.28ad63e61945bp-22 "
    "0x1.ad9dae25e358p-26"
)
EXP = {"f32": EXP_F32, "f64": EXP_F64}

# (exp(r) - 1 - r) / r**2, |r| <= ln(2)/2, degree 5, error 2**-31.1 of exp(r) - 1; degree 4 gives 2**-26.1
EXPM1_F32 = hex_floats("0x1p-1 0x1.555554p-3 0x1.5554f8p-5 0x1.1112dcp-7 0x1.6d3a32p-10 0x1.9e6b02p-13")
# (exp(r) - 1 - r) / r**2, |r| <= ln(2)/2, degree 10, error 2**-61.6 of exp(r) - 1; degree 9 gives 2**-55.6
EXPM1_F64 = hex_floats(
    "0x1p-1 0x1.5555555555559p-3 0x1.5555555555558p-5 0x1.111111110f6f7p-7 0x1.6c16c16c16d5p-10 0x1.a01a01afa69bbp-13 "
    "0x1.a01a019d14c58p-16 0x1.71ddf91c3cebep-19 0x1.27e4fac88403cp-22 0x1.af5d39f7d9c63p-26 0x1.1f365f77721a4p-29"
)
EXPM1 = {"f32": EXPM1_F32, "f64": EXPM1_F64}

# Up to this magnitude exp is normal and finite.
EXP_USUAL = {"f32": 87.0, "f64": 708.0}
# Below the first expm1 rounds to -1; up to the second 2**n - 1 has no rounding error.
EXPM1_USUAL = {"f32": (-18.0, 16.5), "f64": (-38.0, 36.5)}


def reduce_exponential(x: Value, low: Value | None = None) -> tuple[Value, Value, Value]:
    """(turns, high, r): 2**n exp(r) = exp(x + low), n in the last bits of the float ``turns``.

    r = high - n * LN2[1] + low rounded, high = x - n * LN2[0] without error. Needs |x| < 2**20 and |low| <= ulp(x).
    """
    magic = LAYOUT[x.type].magic
    turns = fma(x, 1 / math.log(2), magic)
    n = turns - magic
    head, tail = LN2[x.type]
    high = fma(n, -head, x)
    r = fma(n, -tail, high) if low is None else high + fma(n, -tail, low)
    return turns, high, r


def power_of_two(turns: Value) -> Value:
    """2**n as a float, for the n in the last bits of ``turns``; right for normal results."""
    layout = LAYOUT[turns.type]
    return ((turns.bits() << layout.mantissa_bits) + layout.one_bits).as_float()


def scale_by_power_of_two(p: Value, turns: Value) -> Value:
    """p * 2**n for the n in the last bits of ``turns``, by adding to the exponent; p and the result normal, finite."""
    return (p.bits() + (turns.bits() << LAYOUT[p.type].mantissa_bits)).as_float()


def scale_in_two_steps(p: Value, turns: Value, scale: int = 0) -> Value:
    """p * 2**(n + scale), rounded once where it is subnormal, infinite where it overflows; p in [1/4, 4] or NaN."""
    layout = LAYOUT[p.type]
    total = turns.bits() - (layout.magic_bits - scale)
    half = total.shift_arithmetic(1)
    for count in (half, total - half):
        p = p * ((count + layout.bias) << layout.mantissa_bits).as_float()
    return p


def clamp(x: Value, low: float, high: float) -> Value:
    """x limited to [low, high]; NaN stays."""
    constant = x.builder.const
    return constant(low, x.type).maximum(constant(high, x.type).minimum(x))


def exp_reduced(r: Value) -> Value:
    """exp(r) for |r| <= ln(2)/2."""
    return horner(r, EXP[r.type])


def exp_core(x: Value, low: Value | None = None, scale: int = 0) -> Value:
    """exp(x + low) * 2**scale for every x; |low| <= ulp(x), not looked at where the result is 0 or infinite.

    low is added to the reduced argument, where it still counts: exp(-x*x/2) needs the low part of the square. With a
    scale the result is right also where exp alone would over- or underflow; that form is always the slow one.
    """
    if scale:
        return _exp_slow(x, low, scale)
    turns, _, r = reduce_exponential(x, low)
    usual = scale_by_power_of_two(exp_reduced(r), turns)
    return rare(~(abs(x) <= EXP_USUAL[x.type]), usual, _exp_slow(x, low, 0))


def _exp_slow(x: Value, low: Value | None, scale: int) -> Value:
    layout = LAYOUT[x.type]
    ln2 = math.log(2)
    lowest = -(layout.bias + layout.mantissa_bits + 2 + scale) * ln2
    inside = clamp(x, lowest, (layout.bias + 2 - scale) * ln2)
    if low is not None:
        low = select(inside.eq(x), low, 0.0)
    turns, _, r = reduce_exponential(inside, low)
    return scale_in_two_steps(exp_reduced(r), turns, scale)


def expm1_tail(turns: Value, r: Value) -> Value:
    """exp(r) - 1 - high for the parts that reduce_exponential gives: the rest of first order, and the higher orders."""
    n = turns - LAYOUT[r.type].magic
    return fma(r * r, horner(r, EXPM1[r.type]), n * -LN2[r.type][1])


def expm1_core(x: Value) -> Value:
    """exp(x) - 1 for x from -80 to the upper limit of EXPM1_USUAL; NaN stays, -0 becomes +0."""
    turns, high, r = reduce_exponential(x)
    power = power_of_two(turns)
    # 2**n - 1 + 2**n * high is rounded, but its error is known; without it x in [0.34, 0.4] would be 1.4 ulp off.
    offset = power - 1.0
    first = fma(power, high, offset)
    rest = fma(power, high, offset - first)
    # In float32 the cut of ln(2) happens to leave so little that high serves better than r with its rounding error.
    tail = expm1_tail(turns, high if x.type == "f32" else r)
    return first + fma(power, tail, rest)


def expm1shrink(x: Value, scale: int = 0) -> Value:
    """exp(x) - 1 - x for every x, never below 0.

    As in expm1, 2**n - 1 + 2**n * high is a float and its known error; x is taken from the float, without error where
    that cancels, and is the float itself where n = 0. What remains is high**2 (1/2 + ...), with the square's error.
    """
    low, high_end = EXPM1_USUAL[x.type]
    turns, high, _ = reduce_exponential(x.builder.const(low, x.type).maximum(x))
    power = power_of_two(turns)
    offset = power - 1.0
    first = fma(power, high, offset)
    rest = fma(power, high, offset - first)
    square = high * high
    p = horner(high, EXPM1[x.type])
    lost = (turns - LAYOUT[x.type].magic) * -LN2[x.type][1]  # r is high + lost
    tail = fma(square, p, fma(fma(high, high, -square), p, lost * (1.0 + high)))
    usual = (first - x) + fma(power, tail, rest)
    return rare(x > high_end, usual, _expm1_large(x, shrink=True))


def with_sign_of(y: Value, x: Value) -> Value:
    """y with the sign of x, for y not negative where x is not: gives functions with f(0) = 0 their -0."""
    return (y.bits() | (x.bits() & LAYOUT[x.type].sign_bit)).as_float()


def expm1(x: Value) -> Value:
    """exp(x) - 1 for every x."""
    low, high = EXPM1_USUAL[x.type]
    usual = expm1_core(x.builder.const(low, x.type).maximum(x))
    return with_sign_of(rare(x > high, usual, _expm1_large(x)), x)


def _expm1_large(x: Value, shrink: bool = False) -> Value:
    """exp(x) - 1 for x > 10: 2**n (exp(r) - 2**-n); or exp(x) - 1 - x, by 2**-n (1 + x)."""
    layout = LAYOUT[x.type]
    turns, high, r = reduce_exponential(clamp(x, 0.0, (layout.bias + 2) * math.log(2)))
    p = high + expm1_tail(turns, r)
    inverse = (((layout.magic_bits + layout.bias) - turns.bits()) << layout.mantissa_bits).as_float()
    if shrink:
        inverse = inverse * (1.0 + x)
    inverse = select(x > layout.mantissa_bits + 20.0, 0.0, inverse)  # beyond, it is far below the last place
    return scale_in_two_steps(1.0 + (p - inverse), turns)


def exp(x: Value, scale: int = 0) -> Value:
    """exp(x) * 2**scale for every x."""
    return exp_core(x, scale=scale)


EXPM1_HARD = (
    0.0, -0.34657359, 0.34657359, -1.03972077, -17.33, -18.0, 16.5, 36.5, -37.43, -38.0, 88.73, 709.79,
)  # fmt: skip

ROWS = (
    Elementary(
        "exp",
        exp,
        bound_ulps={"f32": 1.0, "f64": 1.0},  # worst found: 0.878 in 35 million; 0.854 in 0.8 million
        vanishes=True,
        hard_points=(-745.14, -708.4, 709.79, -103.98, -87.34, 88.73, *EXP_USUAL.values(), -87.0, -708.0, 0.34657359),
    ),
    Elementary(
        "expm1",
        lambda x, scale=0: expm1(x),
        bound_ulps={"f32": 1.0, "f64": 1.25},  # worst found: 0.888 in 50 million; 1.068 (at 0.3598) in 1.6 million
        hard_points=EXPM1_HARD,
    ),
    Elementary(
        "expm1shrink",
        expm1shrink,
        bound_ulps={"f32": 1.75, "f64": 1.75},  # worst found: 1.421, 1.437
        hard_points=EXPM1_HARD + (1.03972077, -1.732868, 1.732868, 43.0, 72.0),
    ),
)
