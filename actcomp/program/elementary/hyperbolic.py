"""tanh and x - tanh(x)."""

from __future__ import annotations

import math

from ..builder import Value, fma, horner, select
from .exponential import LN2, exp_core, with_sign_of
from .registry import Elementary
from .tables import LAYOUT, hex_floats

# (r coth(r) - 1) / r**2, 0 < r <= ln(2)/2, in even powers: error 2**-30.9, 2**-64.8 of r coth(r)
COTH_F32 = hex_floats("0x1.55555p-2 -0x1.6c06e4p-6 0x1.0eafc6p-9")
COTH_F64 = hex_floats(
    "0x1.5555555555555p-2 -0x1.6c16c16c1677bp-6 0x1.1566abbf68019p-9 -0x1.bbd777c54156ap-13 "
    "0x1.66a81fd00299dp-16 -0x1.223d9a288dff7p-19 0x1.c0e2433f120cp-23"
)
# (x - tanh(x)) / x**3, 0 < x <= 1, in even powers: relative error 2**-25, 2**-54
TANHSHRINK_F32 = hex_floats(
    "0x1.555556p-2 -0x1.11117cp-3 0x1.ba3142p-5 -0x1.670fep-6 0x1.24b3eap-7 -0x1.cfe3eap-9 0x1.2faba2p-10 "
    "-0x1.b4e3d8p-13"
)
TANHSHRINK_F64 = hex_floats(
    "0x1.5555555555555p-2 -0x1.1111111110fd9p-3 0x1.ba1ba1ba03e0dp-5 -0x1.664f487d04d3ap-6 0x1.226e34a3aecdep-7 "
    "-0x1.d6d3b40f65d03p-9 0x1.7da1ed225af63p-10 -0x1.354ae4a5d5434p-11 0x1.f4d1492a129edp-13 -0x1.9347a062c0376p-14 "
    "0x1.3e0b85aafb786p-15 -0x1.d8ce9eb6676c3p-17 0x1.34a2d2049d96cp-18 -0x1.3e2d8ac955168p-20 0x1.ba0b5908c1124p-23 "
    "-0x1.2c82af0307729p-26"
)
COTH = {"f32": COTH_F32, "f64": COTH_F64}
TANHSHRINK = {"f32": TANHSHRINK_F32, "f64": TANHSHRINK_F64}

# What numerator and denominator of tanh are multiplied by: a sum just below a power of two has the smallest rounding
# error, and this brings those that matter closer to one. Without it the worst error is 2.4 ulp.
STRETCH = 1.71875
# Here tanh has been 1 for long, and the powers of two are still in range.
TANH_ONE = {"f32": 30.0, "f64": 60.0}


def tanh(x: Value, scale: int = 0) -> Value:
    """tanh(a) = h / (h + 1 + d - r), where a = abs(x) = n ln(2) + r, s = 4**n, 1 + d = r coth(r), and
    h = ((1 + d)(s - 1) + r (s + 1))/2.

    That is (exp(2a) - 1)/(exp(2a) + 1) with exp(2r) = (1 + d + r)/(1 + d - r). Nothing cancels: near 0,
    s is 1 and h is r. Sums begin with the small terms. Far out, h's rounding error does not matter, since h
    stands above and below.
    """
    a = x.builder.const(TANH_ONE[x.type], x.type).minimum(abs(x))  # NaN stays
    layout = LAYOUT[x.type]
    turns = fma(a, 1 / math.log(2), layout.magic)
    n = turns - layout.magic
    r = fma(n, -math.log(2), a)
    square = r * r
    d = square * horner(square, COTH[x.type])
    s = ((turns.bits() << (layout.mantissa_bits + 1)) + layout.one_bits).as_float()
    below, above = fma(s, STRETCH / 2, -STRETCH / 2), fma(s, STRETCH / 2, STRETCH / 2)
    rest = d * below
    if x.type == "f64":  # the rest of ln(2); in float32 it is too small to matter
        rest = fma(n * -LN2["f64"][1], above, rest)
    h = below + fma(r, above, rest)
    # For n = 0 the sum is STRETCH (1 + d), which one rounding gives.
    whole = select(turns.eq(layout.magic), fma(d, STRETCH, STRETCH), h + fma(r - d, -STRETCH, STRETCH))
    return with_sign_of(h / whole, x)


def tanhshrink(x: Value, scale: int = 0) -> Value:
    """x - tanh(x): a polynomial up to 1; beyond, (a - 1) + 2 sigmoid(-2a), with a - 1 exact where that matters."""
    a = abs(x)
    square = a * a
    p = horner(square, TANHSHRINK[x.type])
    near = a * fma(square, p, fma(a, a, -square) * p)  # with the rounding error of the square
    e = exp_core(-(a + a))
    far = fma(e / (1.0 + e), 2.0, a - 1.0)
    return with_sign_of(select(a < 1.0, near, far), x)


HARD = tuple(
    sign * b for sign in (1.0, -1.0) for b in (0.34657359, 1.0397208, 1.0, 9.01, 19.06, 30.0, 43.5, 60.0, 354.0)
)

ROWS = (
    # Worst errors found in a million draws of each type: 1.68, 1.71 ulp.
    Elementary("tanh", tanh, {"f32": 2.0, "f64": 2.0}, hard_points=HARD),
    # 2.63, 2.48 ulp below 1, where the slope x**2 makes them 1.1 of mixed error
    Elementary("tanhshrink", tanhshrink, {"f32": 3.0, "f64": 3.0}, hard_points=HARD),
)
