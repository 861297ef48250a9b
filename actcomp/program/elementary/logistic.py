"""sigmoid and softplus, with their derivatives, logarithms and squares: all from one exponential, e = exp(-abs(x)).

e is at most 1, so nothing overflows, and each function first makes that value of its kind which is not near 1, such as
sigmoid(-abs(x)) = e/(1 + e); the difference of such a value from 1 loses nothing. Functions used together, as in the
derivatives of silu and mish, share e and the quotients. What is 4 e or 2 e**2 where e underflows is rounded there.
"""

from __future__ import annotations

from ..builder import Value, fma, rare, select
from .exponential import EXP_USUAL, exp_core
from .logarithm import log1p_core
from .registry import SCALE, Elementary

# Beyond this magnitude exp(-abs(x)) may be below 2**-100 (f32), 2**-960 (f64).
VANISHES = {"f32": 69.0, "f64": 665.0}


def with_scale(usual: Value, scale: int, exponent: Value, power: int = 0) -> Value:
    """usual * 2**scale, without loss where usual is subnormal and therefore 2**power exp(exponent) to the last bit."""
    if not scale:
        return usual
    far = exponent < -EXP_USUAL[exponent.type]
    return select(far, exp_core(exponent, scale=scale + power), usual * 2.0**scale)


def minor_probability(x: Value) -> Value:
    """sigmoid(-abs(x)), at most 1/2."""
    e = exp_core(-abs(x))
    return e / (1.0 + e)


def sigmoid(x: Value, scale: int = 0) -> Value:
    minor = minor_probability(x)
    return with_scale(select(x < 0.0, minor, 1.0 - minor), scale, x)


def dsigmoid(x: Value, scale: int = 0) -> Value:
    minor = minor_probability(x)
    return with_scale(fma(-minor, minor, minor), scale, -abs(x))


def sech2(x: Value, scale: int = 0) -> Value:
    """4 s(2x) s(-2x), s being sigmoid."""
    exponent = -abs(x + x)
    minor = minor_probability(exponent)
    usual = fma(-minor, minor, minor) * 4.0
    if scale:
        return with_scale(usual, scale, exponent, power=2)
    lift = SCALE[x.type]
    subnormal = exp_core(exponent, scale=lift) * 2.0 ** (2 - lift)
    return rare(~(abs(exponent) <= EXP_USUAL[x.type]), usual, subnormal)


def log1p_exp(x: Value) -> Value:
    """log(1 + exp(-abs(x)))."""
    return log1p_core(exp_core(-abs(x)))


def softplus(x: Value, scale: int = 0) -> Value:
    return with_scale(x.maximum(0.0) + log1p_exp(x), scale, x)


def logsigmoid(x: Value, scale: int = 0) -> Value:
    return x.minimum(-0.0) - log1p_exp(x)  # -0.0 - 0.0 is -0.0, the limit on the right


def minor_gate(x: Value) -> Value:
    """T = tanh(softplus(x)) for x < 0, 1 - T elsewhere: at most 0.6.

    With n = exp(x) (exp(x) + 2), T = n/(n + 2) and 1 - T = 2/(n + 2), for positive x both parts times e**2.
    """
    e = exp_core(-abs(x))
    negative = x < 0.0
    square = e * e
    both = fma(e, 2.0, square)
    return select(negative, both, square + square) / (both + select(negative, 2.0, 1.0 + square))


def tanh_softplus(x: Value, scale: int = 0) -> Value:
    minor = minor_gate(x)
    return with_scale(select(x < 0.0, minor, 1.0 - minor), scale, x)


def sech2_softplus(x: Value, scale: int = 0) -> Value:
    """(1 - T)(1 + T) = (1 - T)(2 - (1 - T)): decays like 4 exp(-2x)."""
    minor = minor_gate(x)
    usual = fma(-minor, minor, select(x < 0.0, 1.0, minor + minor))
    return with_scale(usual, scale, -(x + x), power=2)


def vanishes_left(x: Value) -> Value:
    return x < -VANISHES[x.type]


def vanishes_right_by_square(x: Value) -> Value:
    return x > VANISHES[x.type] / 2


def vanishes(x: Value) -> Value:
    return abs(x) > VANISHES[x.type]


def vanishes_by_square(x: Value) -> Value:
    return abs(x) > VANISHES[x.type] / 2


# Changes of n in exp's reduction, the border of its usual range, and where results become subnormal and zero.
BORDERS = (0.34657359, 1.0397208, 87.0, 87.336, 103.97, 708.0, 708.396, 745.13)
HARD = tuple(sign * border for sign in (1.0, -1.0) for border in BORDERS)
HARD_SQUARES = tuple(
    sign * border / 2 for sign in (1.0, -1.0) for border in (*BORDERS, 88.722839, 105.36, 709.78, 746.5)
)

ROWS = (
    Elementary("sigmoid", sigmoid, {"f32": 2.0, "f64": 2.0}, vanishes=vanishes_left, hard_points=HARD),
    Elementary("dsigmoid", dsigmoid, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes, hard_points=HARD),
    Elementary("softplus", softplus, {"f32": 2.0, "f64": 2.0}, vanishes=vanishes_left, hard_points=HARD),
    Elementary("logsigmoid", logsigmoid, {"f32": 2.0, "f64": 2.0}, hard_points=HARD),
    Elementary("sech2", sech2, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_by_square, hard_points=HARD_SQUARES),
    Elementary("tanh_softplus", tanh_softplus, {"f32": 3.0, "f64": 3.0}, vanishes=vanishes_left, hard_points=HARD),
    Elementary(
        "sech2_softplus",
        sech2_softplus,
        {"f32": 4.0, "f64": 4.0},
        vanishes=vanishes_right_by_square,
        hard_points=HARD + HARD_SQUARES,
    ),
)
