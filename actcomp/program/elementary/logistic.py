"""sigmoid, softplus, their derivatives and logarithm, from one quotient.

exp(x) = 2**n (c + r)/(c - r) with c = r coth(r/2), even in r: written so, exp needs half the polynomial, exp(-x) is the
same quotient upside down bit for bit, and whatever is rational in exp(x) takes one division. Each function first makes
that value which is not near 1 (sigmoid of the smaller of x and -x), so that differences from 1 lose nothing.

Where abs(x) is large the quotient's parts would overflow; there the functions are exp(-abs(x)) or its distance from 1, to the
last bit, and a rare path computes them so, with results that underflow rounded once or nearly so.
"""

from __future__ import annotations

from ..builder import Value, fma, horner, rare, select
from .exponential import exp_core, reduce_exponential, scale_by_power_of_two
from .registry import SCALE, Elementary
from .tables import hex_floats

# r coth(r/2), |r| <= ln(2)/2, in even powers: relative error 2**-28.7, 2**-60
COTH_F32 = hex_floats("0x1p1 0x1.55551ep-3 -0x1.6aa35ap-9")
COTH_F64 = hex_floats(
    "0x1p1 0x1.555555555553ep-3 -0x1.6c16c16bebb93p-9 0x1.1566aaf1e9485p-14 -0x1.bbd41b08002cfp-20 0x1.6375ed0610f12p-25"
)
# (2 artanh(z/2) - z) / z**3, |z| <= 2/3, in even powers: error 2**-27.7, 2**-59.4 of 2 artanh(z/2)
LOG1P_F32 = hex_floats("0x1.555502p-4 0x1.99d1cep-7 0x1.1ec002p-9 0x1.1ecbc2p-11")
LOG1P_F64 = hex_floats(
    "0x1.5555555555535p-4 0x1.99999999a0753p-7 0x1.249249208c2f4p-9 0x1.c71c741c8fd95p-12 0x1.745cb3fb30572p-14 "
    "0x1.3b1ddbedc837cp-16 0x1.1067bdc4353c7p-18 0x1.efd8cf96981b8p-21 0x1.55ae84de5733cp-23 0x1.5c7b86accd141p-24"
)
COTH = {"f32": COTH_F32, "f64": COTH_F64}
LOG1P = {"f32": LOG1P_F32, "f64": LOG1P_F64}

# Up to this magnitude exp(x) and exp(-x) are normal, and so are the parts of the quotient.
USUAL = {"f32": 87.0, "f64": 708.0}
# Beyond this magnitude exp(-abs(x)) may be below 2**-100 (f32), 2**-960 (f64).
VANISHES = {"f32": 69.0, "f64": 665.0}


def exp_quotient(x: Value) -> tuple[Value, Value]:
    """(p, q), positive, with p/q = exp(x), for abs(x) <= USUAL; elsewhere anything. exp_quotient(-x) is (q, p) times
    one power of two."""
    turns, _, r = reduce_exponential(x)
    c = horner(r * r, COTH[x.type])
    return scale_by_power_of_two(c + r, turns), c - r


def is_far(x: Value) -> Value:
    """True where exp_quotient cannot be used, and for NaN."""
    return ~(abs(x) <= USUAL[x.type])


def small_exponential(x: Value, power: int = 0, scale: int = 0) -> Value:
    """2**(power + scale) exp(-abs(x)), the slow way that is right wherever the result is subnormal."""
    if scale:
        return exp_core(-abs(x), scale=power + scale)
    lift = SCALE[x.type]
    return exp_core(-abs(x), scale=lift) * 2.0 ** (power - lift)


def decaying(x: Value, usual: Value, power: int = 0, scale: int = 0) -> Value:
    """usual * 2**scale; far out 2**(power + scale) exp(-abs(x)) in its place."""
    if scale:
        return select(is_far(x), small_exponential(x, power, scale), usual * 2.0**scale)
    return rare(is_far(x), usual, small_exponential(x, power))


def minor_probability(x: Value) -> Value:
    """sigmoid(-abs(x)) for abs(x) <= USUAL; even bit for bit."""
    p, q = exp_quotient(x)
    return p.minimum(q) / (p + q)


def sigmoid(x: Value, scale: int = 0) -> Value:
    minor = minor_probability(x)
    if scale:
        minor = decaying(x, minor, scale=scale)
        return select(x < 0.0, minor, 2.0**scale - minor)
    usual = select(x < 0.0, minor, 1.0 - minor)
    tail = small_exponential(x)
    return rare(is_far(x), usual, select(x < 0.0, tail, 1.0 - tail))


def dsigmoid(x: Value, scale: int = 0) -> Value:
    minor = minor_probability(x)
    return decaying(x, fma(-minor, minor, minor), scale=scale)


def log1p_exp(x: Value, scale: int = 0) -> Value:
    """log(1 + exp(-abs(x))) * 2**scale, as 2 artanh(e / (2 + e))."""
    p, q = exp_quotient(x)
    less, more = p.minimum(q), p.maximum(q)
    z = less / fma(less, 0.5, more)
    square = z * z
    return decaying(x, fma(z * square, horner(square, LOG1P[x.type]), z), scale=scale)


def softplus(x: Value, scale: int = 0) -> Value:
    positive = x.maximum(0.0)
    return (positive * 2.0**scale if scale else positive) + log1p_exp(x, scale)


def logsigmoid(x: Value, scale: int = 0) -> Value:
    # -0.0 - 0.0 is -0.0, the limit far out on the right.
    return x.minimum(-0.0) - log1p_exp(x)


def vanishes_left(x: Value) -> Value:
    """True wherever exp(x) may be below 2**-100 (f32), 2**-960 (f64)."""
    return x < -VANISHES[x.type]


def vanishes_both_sides(x: Value) -> Value:
    """True wherever exp(-abs(x)) may be below 2**-100 (f32), 2**-960 (f64)."""
    return abs(x) > VANISHES[x.type]


HARD_POINTS = tuple(
    sign * border for border in (0.34657359, 1.0397208, 87.0, 87.336, 103.97, 708.0, 708.396, 745.13) for sign in (1.0, -1.0)
)

ROWS = (
    Elementary("sigmoid", sigmoid, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_left, hard_points=HARD_POINTS),
    Elementary("dsigmoid", dsigmoid, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_both_sides, hard_points=HARD_POINTS),
    Elementary("softplus", softplus, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_left, hard_points=HARD_POINTS),
    Elementary("logsigmoid", logsigmoid, {"f32": 3.0, "f64": 3.0}, hard_points=HARD_POINTS),
)
