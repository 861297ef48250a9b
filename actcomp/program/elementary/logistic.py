"""sigmoid and softplus with their derivatives, logarithm, and the gate of mish.

With c = r coth(r/2), which is even in r, exp(r) is (c + r)/(c - r): that takes half the polynomial of exp, exp(-x)
is the same quotient upside down bit for bit, and what is rational in exp(x) still takes one division. Functions used
together, as in the derivatives of silu and mish, share the quotient.

Where abs(x) is large the parts of the quotient would leave the range. There the functions are exponentials, or
1 less one, to the last bit; a rare path computes them so, lifted by 2**60 (2**510) and brought down by one rounding.
"""

from __future__ import annotations

from ..builder import Value, fma, horner, rare, select
from .exponential import exp_core, reduce_exponential, scale_by_power_of_two
from .logarithm import log1p_core
from .registry import SCALE, Elementary
from .tables import hex_floats

# r coth(r/2), |r| <= ln(2)/2, in even powers: relative error 2**-28.8, 2**-60
COTH_HALF_F32 = hex_floats("0x1p1 0x1.55551ep-3 -0x1.6aa35ap-9")
COTH_HALF_F64 = hex_floats(
    "0x1p1 0x1.555555555553ep-3 -0x1.6c16c16bebb93p-9 0x1.1566aaf1e9485p-14 -0x1.bbd41b08002cfp-20 "
    "0x1.6375ed0610f12p-25"
)
COTH_HALF = {"f32": COTH_HALF_F32, "f64": COTH_HALF_F64}

# Up to this magnitude exp(x) and exp(-x) are normal, and so are the parts of the quotient; of the gate, whose squares;
# of its slope, whose cubes.
USUAL = {"f32": 87.0, "f64": 708.0}
GATE_USUAL = {"f32": 42.0, "f64": 350.0}
CUBE_USUAL = {"f32": 28.0, "f64": 233.0}


def exp_quotient(x: Value) -> tuple[Value, Value]:
    """(p, q), positive, p/q = exp(x), for abs(x) <= USUAL; elsewhere anything. -x gives (q, p) times a power of 2."""
    turns, _, r = reduce_exponential(x)
    c = horner(r * r, COTH_HALF[x.type])
    return scale_by_power_of_two(c + r, turns), c - r


def beyond(x: Value, limit: dict[str, float]) -> Value:
    """True where abs(x) is above the limit, and for NaN."""
    return ~(abs(x) <= limit[x.type])


def tail(exponent: Value, scale: int = 0, power: int = 0) -> Value:
    """2**(power + scale) exp(exponent), the slow way that is right also where it is subnormal."""
    if scale:
        return exp_core(exponent, scale=power + scale)
    lift = SCALE[exponent.type]
    return exp_core(exponent, scale=lift) * 2.0 ** (power - lift)


def scaled(usual: Value, far: Value, slow: Value, scale: int) -> Value:
    """usual * 2**scale, or slow, which has the scale already, where far holds."""
    return select(far, slow, usual * 2.0**scale) if scale else rare(far, usual, slow)


def sigmoid(x: Value, scale: int = 0) -> Value:
    p, q = exp_quotient(x)
    small = tail(-abs(x), scale)
    return scaled(p / (p + q), beyond(x, USUAL), select(x < 0.0, small, 2.0**scale - small), scale)


def dsigmoid_usual(x: Value) -> Value:
    """s(-a) - s(-a)**2, s being sigmoid, a = abs(x) <= USUAL: even bit for bit."""
    p, q = exp_quotient(x)
    minor = p.minimum(q) / (p + q)
    return fma(-minor, minor, minor)


def dsigmoid(x: Value, scale: int = 0) -> Value:
    return scaled(dsigmoid_usual(x), beyond(x, USUAL), tail(-abs(x), scale), scale)


def sech2(x: Value, scale: int = 0) -> Value:
    twice = x + x
    return scaled(dsigmoid_usual(twice) * 4.0, beyond(twice, USUAL), tail(-abs(twice), scale, power=2), scale)


def log1p_exp(x: Value) -> Value:
    """log(1 + exp(-abs(x)))."""
    return log1p_core(exp_core(-abs(x)))


def softplus(x: Value, scale: int = 0) -> Value:
    usual = x.maximum(0.0) + log1p_exp(x)
    return scaled(usual, x < -USUAL[x.type], tail(x, scale), scale) if scale else usual


def logsigmoid(x: Value, scale: int = 0) -> Value:
    return x.minimum(-0.0) - log1p_exp(x)  # -0.0 - 0.0 is -0.0, the limit on the right


def gate_parts(x: Value) -> tuple[Value, Value, Value, Value]:
    """(k, m, h, m + h), where exp(x) = p/q, k = 2pq, m = p (p + 2q), h = 2 q**2: tanh(softplus(x)) = m/(m + h)."""
    p, q = exp_quotient(x)
    q2 = q + q
    k = p * q2
    m = fma(p, p, k)
    return k, m, q2 * q, fma(q2, q, m)


def minor_gate(x: Value) -> Value:
    """T = tanh(softplus(x)) for x < 0, 1 - T elsewhere, at most 0.6; its difference from 1 loses nothing."""
    _, m, h, total = gate_parts(x)
    return select(x < 0.0, m, h) / total


def tanh_softplus(x: Value, scale: int = 0) -> Value:
    minor = minor_gate(x)
    small = tail(-abs(x), scale)
    slow = select(x < 0.0, small, 2.0**scale - small)
    return scaled(select(x < 0.0, minor, 1.0 - minor), beyond(x, GATE_USUAL), slow, scale)


def tanh_softplus_rest(x: Value, scale: int = 0) -> Value:
    """1 - T for x > 0, where its first part is 1, else 0: what T lacks of being right far below its last bit."""
    rest = select(abs(x) > GATE_USUAL[x.type], 0.0, minor_gate(x))
    return select(x <= 0.0, 0.0, rest)  # NaN stays


def dlog_tanh_softplus(x: Value, scale: int = 0) -> Value:
    """T'/T: 1 - w for x < 0, w small; decays like 4 exp(-2x) on the right.

    With P = p + 2q and D = m + h, names as in gate_parts: it is 2 q**2 (2p + 2q) / (D P), and
    w = p (p**2 + 4pq + 2q**2) / (D P).
    """
    part = log_slope_part(x)
    slow = select(x < 0.0, 2.0**scale, tail(-abs(x + x), scale, power=2))
    return scaled(select(x < 0.0, 1.0 - part, part), beyond(x, CUBE_USUAL), slow, scale)


def log_slope_part(x: Value) -> Value:
    """w for x < 0, T'/T elsewhere, where abs(x) <= CUBE_USUAL."""
    p, q = exp_quotient(x)
    k, _, h, total = gate_parts(x)
    return select(x < 0.0, p * (total + k), h * ((p + q) * 2.0)) / (total * fma(q, 2.0, p))


def log_slope_rest(x: Value, scale: int = 0) -> Value:
    """1 - T'/T for x < 0, where its first part is 1, else 0: what T'/T lacks of being right far below its last bit."""
    rest = select(abs(x) > CUBE_USUAL[x.type], 0.0, log_slope_part(x))
    return select(x >= 0.0, 0.0, rest)  # NaN stays


# Changes of n in exp's reduction, the border of its usual range, and where results become subnormal and zero.
BORDERS = (0.34657359, 1.0397208, 87.0, 87.336, 103.97, 708.0, 708.396, 745.13)
HARD = tuple(sign * border for sign in (1.0, -1.0) for border in BORDERS)
HARD_SQUARES = tuple(
    sign * border / 2 for sign in (1.0, -1.0) for border in (84.0, 700.0, *BORDERS, 88.722839, 105.36, 709.78, 746.5)
)

# Above each row the worst errors found in a million draws: plain (f32, f64), and mixed, which counts an ulp of x too.
ROWS = (
    # 2.25, 2.37 ulp; mixed 1.5
    Elementary("sigmoid", sigmoid, {"f32": 2.5, "f64": 2.5}, vanishes=True, hard_points=HARD),
    # 2.70, 3.05 ulp; mixed 1.3
    Elementary("dsigmoid", dsigmoid, {"f32": 3.5, "f64": 3.5}, vanishes=True, hard_points=HARD),
    # 1.61, 1.71 ulp
    Elementary("softplus", softplus, {"f32": 2.0, "f64": 2.0}, vanishes=True, hard_points=HARD),
    # 1.62, 1.67 ulp
    Elementary("logsigmoid", logsigmoid, {"f32": 2.0, "f64": 2.0}, hard_points=HARD),
    # 2.67, 2.94 ulp; mixed 1.2
    Elementary("sech2", sech2, {"f32": 3.5, "f64": 3.5}, vanishes=True, hard_points=HARD_SQUARES),
    # 2.87, 3.45 ulp; mixed 1.9
    Elementary("tanh_softplus", tanh_softplus, {"f32": 4.0, "f64": 4.0}, vanishes=True, hard_points=HARD),
    Elementary(
        "dlog_tanh_softplus",
        dlog_tanh_softplus,
        {"f32": 6.0, "f64": 6.0},
        vanishes=True,
        hard_points=HARD + HARD_SQUARES + (28.0, -28.0, 233.0, -233.0),
    ),
    Elementary("tanh_softplus_rest", tanh_softplus_rest, {"f32": 6.0, "f64": 6.0}, hard_points=HARD),
    Elementary("dlog_tanh_softplus_rest", log_slope_rest, {"f32": 6.0, "f64": 6.0}, hard_points=HARD),
)
