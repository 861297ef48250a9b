"""sigmoid, softplus, the derivative of the one and the mirror of the other; also what tanh's relatives need of them.

With c = r coth(r/2), which is even in r, exp(-r) is (c - r)/(c + r): half the polynomial of exp, and whatever is rational in
exp(-abs(x)) still takes one division. Each function first makes that value which is not near 1, sigmoid(-abs(x)), so that
its difference from 1 loses nothing.

Where abs(x) is large the parts of the quotient would leave the range. There the functions are exp(-abs(x)), or 1 less that,
to the last bit, and a rare path computes them so, lifted by 2**64 (2**128) and brought down by one rounding.
"""

from __future__ import annotations

from ..builder import Value, fma, horner, rare, select
from .exponential import exp_core, reduce_exponential
from .logarithm import log1p_core
from .registry import SCALE, Elementary
from .tables import LAYOUT, hex_floats

# c and r are both multiplied by this: then c - r, c and c + r all lie in [1, 2), where a rounding error is smallest
# against the number just before it grows. Without it sigmoid's worst error is 2.1 ulp, with it 1.6.
SLOPE = 0.84375
# SLOPE r coth(r/2), |r| <= ln(2)/2, in even powers: relative error 2**-28.8, 2**-60
COTH_HALF_F32 = hex_floats("0x1.bp0 0x1.1fffd2p-3 -0x1.31fbe2p-9")
COTH_HALF_F64 = hex_floats(
    "0x1.bp0 0x1.1ffffffffffecp-3 -0x1.333333330e6e6p-9 0x1.d41d4074ed406p-15 -0x1.767af23999fa4p-20 "
    "0x1.2be954fdd0aeep-25"
)
COTH_HALF = {"f32": COTH_HALF_F32, "f64": COTH_HALF_F64}

# Up to this magnitude exp(x) and exp(-x) are normal, and so are the parts of the quotient.
USUAL = {"f32": 87.0, "f64": 708.0}
# Beyond this magnitude exp(-abs(x)) may be below 2**-100 (f32), 2**-960 (f64).
VANISHES = {"f32": 69.0, "f64": 665.0}


def exp_quotient(a: Value) -> tuple[Value, Value, Value]:
    """(p, c, r), p and c positive, with exp(-a) = p / (c + SLOPE*r), for a in [0, USUAL]; elsewhere anything."""
    turns, _, r = reduce_exponential(a)
    c = horner(r * r, COTH_HALF[a.type])
    top = fma(r, -SLOPE, c)
    p = (top.bits() - (turns.bits() << LAYOUT[a.type].mantissa_bits)).as_float()
    return p, c, r


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
    """sigmoid(-abs(x)) for abs(x) <= USUAL."""
    p, c, r = exp_quotient(abs(x))
    return p / (c + fma(r, SLOPE, p))  # c last: far out that is one rounding less


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
    """log(1 + exp(-abs(x))) * 2**scale."""
    result = log1p_core(exp_core(-abs(x)))
    return select(is_far(x), small_exponential(x, scale=scale), result * 2.0**scale) if scale else result


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
    sign * border
    for sign in (1.0, -1.0)
    for border in (0.34657359, 1.0397208, 87.0, 87.336, 103.97, 708.0, 708.396, 745.13)
)

ROWS = (
    Elementary("sigmoid", sigmoid, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_left, hard_points=HARD_POINTS),
    Elementary("dsigmoid", dsigmoid, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_both_sides, hard_points=HARD_POINTS),
    Elementary("softplus", softplus, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_left, hard_points=HARD_POINTS),
    Elementary("logsigmoid", logsigmoid, {"f32": 3.0, "f64": 3.0}, hard_points=HARD_POINTS),
)
