"""tanh, its derivative, x - tanh(x), and the gate of mish, tanh(softplus(x)), with 1 less its square."""

from __future__ import annotations

import math

from ..builder import Value, fma, horner, rare, select
from .exponential import power_of_two, with_sign_of
from .logistic import (
    SLOPE,
    VANISHES,
    decaying,
    exp_quotient,
    is_far,
    minor_probability,
    small_exponential,
)
from .registry import Elementary
from .tables import LAYOUT, hex_floats

# r coth(r), |r| <= ln(2)/4, in even powers: relative error 2**-28.8, 2**-60
COTH_F32 = hex_floats("0x1p0 0x1.55551ep-2 -0x1.6aa35ap-6")
COTH_F64 = hex_floats(
    "0x1p0 0x1.555555555553ep-2 -0x1.6c16c16bebb93p-6 0x1.1566aaf1e9485p-9 -0x1.bbd41b08002cfp-13 0x1.6375ed0610f12p-16"
)
# (x - tanh(x)) / x**3, |x| <= 1, in even powers: relative error 2**-25, 2**-54
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

# Up to this magnitude the powers of two in tanh are in range; it has been 1 for long.
TANH_USUAL = {"f32": 43.0, "f64": 354.0}
# Up to this magnitude the squares in the gate are in range.
GATE_USUAL = {"f32": 42.0, "f64": 350.0}


def tanh(x: Value, scale: int = 0) -> Value:
    """tanh(x) = (c(s - 1) + r(s + 1)) / (c(s + 1) + r(s - 1)), x = n ln(2)/2 + r, s = 2**n, c = r coth(r).

    Nothing cancels: near 0, s is 1 and the quotient r/c. Odd bit for bit, since with -x all of it is multiplied by -1/s.
    """
    turns = fma(x, 2 / math.log(2), LAYOUT[x.type].magic)
    # One part of ln(2)/2 will do: its error counts n times, and tanh is the less sensitive to it the larger n is.
    r = fma(turns - LAYOUT[x.type].magic, -math.log(2) / 2, x)
    c = horner(r * r, COTH[x.type])
    s = power_of_two(turns)
    below, above = 1.0 - s, 1.0 + s
    usual = fma(-c, below, r * above) / fma(c, above, -(r * below))
    limit = select(x < 0.0, -1.0, select(x > 0.0, 1.0, x))
    return rare(~(abs(x) <= TANH_USUAL[x.type]), usual, limit)


def sech2(x: Value, scale: int = 0) -> Value:
    twice = x + x
    minor = minor_probability(twice)
    return decaying(twice, fma(-minor, minor, minor) * 4.0, power=2, scale=scale)


def tanhshrink(x: Value, scale: int = 0) -> Value:
    a = abs(x)
    square = a * a
    near = a * (square * horner(square, TANHSHRINK[x.type]))
    twice = x + x
    minor = minor_probability(twice)
    # 1 - tanh(a) = 2 sigmoid(-2a); a - 1 has no error where the sum needs it.
    apart = a - 1.0
    usual = select(a < 1.0, near, fma(minor, 2.0, apart))
    return with_sign_of(rare(is_far(twice), usual, apart), x)


def gate_quotient(x: Value) -> Value:
    """The smaller in kind of T = tanh(softplus(x)) and 1 - T: T for x < 0, 1 - T elsewhere.

    With exp(x) = u/v, T = m/(m + h) for m = u(u + 2v), h = 2v**2.
    """
    p, c, r = exp_quotient(abs(x))
    q = fma(r, SLOPE, c)
    negative = x < 0.0
    u, v = select(negative, p, q), select(negative, q, p)
    v2 = v + v
    m, h = u * (u + v2), v2 * v
    return select(negative, m, h) / (m + h)


def is_beyond_gate(x: Value) -> Value:
    return ~(abs(x) <= GATE_USUAL[x.type])


def tanh_softplus(x: Value, scale: int = 0) -> Value:
    minor = gate_quotient(x)
    usual = select(x < 0.0, minor, 1.0 - minor)
    if scale:
        tail = select(x < 0.0, small_exponential(x, scale=scale), 2.0**scale)
        return select(is_beyond_gate(x), tail, usual * 2.0**scale)
    tail = small_exponential(x)
    return rare(is_beyond_gate(x), usual, select(x < 0.0, tail, 1.0 - tail))


def sech2_softplus(x: Value, scale: int = 0) -> Value:
    minor = gate_quotient(x)
    usual = fma(-minor, minor, select(x < 0.0, 1.0, minor + minor))
    tail = select(x < 0.0, 2.0**scale, small_exponential(x + x, power=2, scale=scale))
    if scale:
        return select(is_beyond_gate(x), tail, usual * 2.0**scale)
    return rare(is_beyond_gate(x), usual, tail)


def sech2_vanishes(x: Value) -> Value:
    """True wherever exp(-2 abs(x)) may be below 2**-100 (f32), 2**-960 (f64)."""
    return abs(x) > VANISHES[x.type] / 2


def gate_vanishes(x: Value) -> Value:
    return x < -VANISHES[x.type]


def gate_complement_vanishes(x: Value) -> Value:
    return x > VANISHES[x.type] / 2


TANH_HARD = tuple(sign * b for sign in (1.0, -1.0) for b in (0.17328680, 0.51986039, 1.0, 9.01, 19.06, 43.0, 354.0))
DECAY_HARD = tuple(sign * b for sign in (1.0, -1.0) for b in (43.5, 44.36, 52.68, 354.0, 354.89, 373.26))
GATE_HARD = (42.0, 350.0, 44.36, 52.68, 354.89, 373.26, -42.0, -350.0, -87.336, -103.97, -708.396, -745.13)

ROWS = (
    Elementary("tanh", tanh, {"f32": 2.0, "f64": 2.0}, hard_points=TANH_HARD),
    Elementary("sech2", sech2, {"f32": 3.0, "f64": 3.0}, vanishes=sech2_vanishes, hard_points=DECAY_HARD),
    Elementary("tanhshrink", tanhshrink, {"f32": 3.0, "f64": 3.0}, hard_points=TANH_HARD),
    Elementary("tanh_softplus", tanh_softplus, {"f32": 3.0, "f64": 3.0}, vanishes=gate_vanishes, hard_points=GATE_HARD),
    Elementary(
        "sech2_softplus",
        sech2_softplus,
        {"f32": 3.0, "f64": 3.0},
        vanishes=gate_complement_vanishes,
        hard_points=GATE_HARD,
    ),
)
