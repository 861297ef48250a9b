"""pow: exp(y log(x)) with the logarithm in two floats, so that a large product keeps its last place.

x = 2**e m with m in [sqrt(1/2), sqrt(2)), log(m) = 2 atanh(s), s = (m - 1)/(m + 1). s, the first two terms of
atanh(s) = s (1 + z/3 + z**2 R(z)), z = s**2, and e ln(2) are computed in pairs of floats, high + low.
"""

from __future__ import annotations

import math

from ..builder import Value, fma, horner, rare, select
from .exponential import exp_core
from .logarithm import LN2_SHORT, outside_bits, split_binade
from .registry import Elementary
from .tables import LAYOUT, hex_floats

THIRD_F32 = hex_floats("0x1.555556p-2 -0x1.555556p-27")
THIRD_F64 = hex_floats("0x1.5555555555555p-2 0x1.5555555555555p-56")
THIRD = {"f32": THIRD_F32, "f64": THIRD_F64}

# R(z), z in [0, (sqrt(2) - 1)**4], degree 2, error 2**-36.8 of atanh(s); degree 1 gives 2**-29.2, times 88 too coarse
ATANH_F32 = hex_floats("0x1.999ap-3 0x1.24527cp-3 0x1.dfa25cp-4")
# R(z), z in [0, (sqrt(2) - 1)**4], degree 7, error 2**-73.5 of atanh(s); degree 6 gives 2**-66.3, times 745 .07 ulp
ATANH_F64 = hex_floats(
    "0x1.9999999999996p-3 0x1.2492492492f52p-3 0x1.c71c71c5965fp-4 0x1.745d1829737a8p-4 0x1.3b1364c084485p-4 "
    "0x1.1120709cf55edp-4 0x1.de3d32d993e4fp-5 0x1.eac7d778065d7p-5"
)
ATANH = {"f32": ATANH_F32, "f64": ATANH_F64}


def add_smaller(a: Value, b: Value) -> tuple[Value, Value]:
    """a + b without error as (sum, error), if |a| >= |b| or a = 0."""
    total = a + b
    return total, b - (total - a)


def multiply_exactly(a: Value, b: Value) -> tuple[Value, Value]:
    """a * b without error as (product, error), if the error does not underflow."""
    product = a * b
    return product, fma(a, b, -product)


def log_pair(x: Value) -> tuple[Value, Value]:
    """log(x) as high + low, relative error 2**-34 (f32) or 2**-63 (f64), for positive x, subnormal ones too."""
    layout = LAYOUT[x.type]
    constant = x.builder.const
    lift = float(layout.mantissa_bits + 1)
    small = x < layout.smallest_normal
    normal = rare(small, x, x * 2.0**lift)
    lifted = rare(small, constant(0.0, x.type), constant(lift, x.type))
    _, m, e = split_binade(normal, math.sqrt(0.5))
    e = e - lifted

    # s = f / d in a pair, f = m - 1 exact, d = m + 1 in a pair; one division.
    f = m - 1.0
    d, d_low = add_smaller(constant(1.0, x.type), m)
    reciprocal = 1.0 / d
    s = f * reciprocal
    s_low = fma(-s, d_low, fma(-s, d, f)) * reciprocal

    z, z_error = multiply_exactly(s, s)
    twice, twice_low = s + s, s_low + s_low
    z_low = fma(twice, s_low, z_error)
    third, third_low = THIRD[x.type]
    a, a_error = multiply_exactly(z, constant(third, x.type))
    a, a_low = add_smaller(a, z * z * horner(z, ATANH[x.type]))
    a_low = a_low + fma(z_low, third, fma(z, third_low, a_error))

    # log(m) = 2s + 2s (a + a_low)
    product, product_error = multiply_exactly(twice, a)
    product_low = product_error + fma(twice, a_low, twice_low * a)
    b, b_error = add_smaller(twice, product)
    b_low = b_error + (product_low + twice_low)

    head, head_low = LN2_SHORT[x.type]
    high, high_error = add_smaller(e * head, b)
    return add_smaller(high, high_error + fma(e, head_low, b_low))


def power(x: Value, y: Value) -> Value:
    """x**y with the special cases of C99's pow."""
    layout = LAYOUT[x.type]
    size = abs(x)
    high, low = log_pair(size)
    exponent = y * high
    usual = exp_core(exponent, fma(y, low, fma(y, high, -exponent)))
    unusual = outside_bits(x, 1, layout.infinity_bits) | ~(abs(y) < math.inf)
    return rare(unusual, usual, _power_special(x, y, size, usual))


def _power_special(x: Value, y: Value, size: Value, usual: Value) -> Value:
    """x**y where x is negative, +-0, infinite or NaN or y is infinite or NaN; usual is |x|**y where both are finite."""
    layout = LAYOUT[x.type]
    constant = x.builder.const
    infinity = constant(math.inf, x.type)
    nan = x.builder.const_bits(layout.nan_bits, x.type)

    whole = y.floor().eq(y)
    half = y * 0.5
    odd = whole & half.floor().ne(half)

    # 0, or infinity, to any power, and any number to an infinite power.
    grows = (x.builder.select(size > 1.0, y, -y)) > 0.0
    extreme = size.eq(0.0) | size.eq(infinity) | abs(y).eq(infinity)
    result = select(extreme, select(grows, infinity, 0.0), usual)
    result = select(size.eq(1.0) & abs(y).eq(infinity), 1.0, result)

    negative = x.bits() < 0
    result = select(negative & odd, -result, result)
    no_number = (x < 0.0) & (size < infinity) & ~whole
    result = select(no_number | x.is_nan() | y.is_nan(), nan, result)
    return select(y.eq(0.0) | x.eq(1.0), 1.0, result)


ROWS = (
    Elementary(
        "pow",
        lambda x, y, scale=0: power(x, y),
        bound_ulps={"f32": 1.0, "f64": 2.0},  # worst found: 0.86 in 0.8 million; 1.28 in 0.8 million
        arity=2,
        hard_points=(0.0, 1.0, -1.0, 0.5, 2.0, 3.0, math.sqrt(0.5), math.sqrt(2.0), 2.0**-126, 2.0**-1022),
    ),
)
