"""log and log1p, and the pieces of them that other functions share.

x = 2**e (1 + f) with an integer e and f in [-1/4, 1/2), log(x) = e ln(2) + log(1 + f). The borders are 3/4 and 3/2,
not the usual sqrt(1/2) and sqrt(2), so that log1p's f, too, has no rounding error: the binade of x then never ends
within its range. The first part of ln(2) is so short that e times it is exact; its sum with f is kept in two floats,
since for e = -1 it cancels.
"""

from __future__ import annotations

import math

from ..builder import Value, fma, horner, rare, select
from .exponential import with_sign_of
from .registry import Elementary
from .tables import LAYOUT, hex_floats

LN2_SHORT_F32 = hex_floats("0x1.62e4p-1 0x1.7f7d1cp-20")
LN2_SHORT_F64 = hex_floats("0x1.62e42fefa38p-1 0x1.ef35793c7673p-45")
LN2_SHORT = {"f32": LN2_SHORT_F32, "f64": LN2_SHORT_F64}

# (log(1 + f) - f) / f**2, f in [-1/4, 1/2], degree 8, error 2**-27.6 of log(1 + f); degree 7 gives 2**-25.1
LOG_F32 = hex_floats(
    "-0x1p-1 0x1.5555a4p-2 -0x1.00004ap-2 0x1.99699ep-3 -0x1.54ed94p-3 0x1.288076p-3 -0x1.0d990ep-3 0x1.acf57cp-4 "
    "-0x1.71e49ap-5"
)
# (log(1 + f) - f) / f**2, f in [-1/4, 1/2], degree 19, error 2**-56.7 of log(1 + f); degree 18 gives 2**-54.1
LOG_F64 = hex_floats(
    "-0x1.ffffffffffffbp-2 0x1.55555555555c3p-2 -0x1.0000000000dc6p-2 0x1.99999999897f6p-3 -0x1.55555553fe092p-3 "
    "0x1.24924929f1a27p-3 -0x1.00000077e86e9p-3 0x1.c71c70eeffde1p-4 -0x1.99996e1565f7fp-4 0x1.745ce3674020ap-4 "
    "-0x1.55598257f7669p-4 0x1.3b1ff5da917cep-4 -0x1.2463caaefb3eap-4 0x1.1011ac150a24fp-4 -0x1.ffeef4fd5c1ap-5 "
    "0x1.f2a99b54761a6p-5 -0x1.e9a6561eac9b2p-5 0x1.9fb11148db838p-5 -0x1.e0f001d602d9ap-6 0x1.08028cd56fb11p-7"
)
LOG = {"f32": LOG_F32, "f64": LOG_F64}

# (log(1 + f) - f) / f**2, f in [0, 1], degree 8, error 2**-27.5 of log(1 + f)
LOG1P_UNIT_F32 = hex_floats(
    "-0x1.ffffd2p-2 0x1.554ddp-2 -0x1.ff23e6p-3 0x1.934b52p-3 -0x1.3a434ep-3 0x1.b4ada6p-4 -0x1.d6af6ap-5 "
    "0x1.49162cp-6 -0x1.af461ep-9"
)
# (log(1 + f) - f) / f**2, f in [0, 1], degree 19, error 2**-56.6 of log(1 + f)
LOG1P_UNIT_F64 = hex_floats(
    "-0x1.fffffffffff9fp-2 0x1.5555555551052p-2 -0x1.fffffffdd4a3fp-3 0x1.99999951fae1p-3 -0x1.55554fbe62d54p-3 "
    "0x1.2491fed9c13a6p-3 -0x1.fffa8bd00056bp-4 0x1.c6f6a84213c94p-4 -0x1.98d296f5ce748p-4 0x1.712df74d69783p-4 "
    "-0x1.4b0224c83f214p-4 0x1.202dfcaa21f0bp-4 -0x1.d7117d655c17fp-5 0x1.5a896579277adp-5 -0x1.b632f8ee64a9ep-6 "
    "0x1.c57fb41a1ee9dp-7 -0x1.6b4f2ed7ae299p-8 0x1.a25d273b70e41p-10 -0x1.31f9e947758b1p-12 0x1.a90858271341dp-16"
)
LOG1P_UNIT = {"f32": LOG1P_UNIT_F32, "f64": LOG1P_UNIT_F64}


def split_binade(x: Value, lowest: float = 0.75) -> tuple[Value, Value, Value]:
    """(top, m, e): x = 2**e m with m in [lowest, 2 lowest), top the bits of a float 2**e; x positive and normal."""
    layout = LAYOUT[x.type]
    mantissa = (1 << layout.mantissa_bits) - 1
    lowest_bits = layout.one_bits - round((1 - lowest) * 2 * (mantissa + 1))
    shifted = x.bits() + (layout.one_bits - lowest_bits)
    m = ((shifted & mantissa) + lowest_bits).as_float()
    # The biased exponent becomes a float by the bits of a magic number: there is no vector conversion from i64 on AVX2.
    counted = ((shifted >> layout.mantissa_bits) + layout.magic_bits).as_float()
    return shifted & (layout.infinity_bits), m, counted - (layout.magic + layout.bias)


def outside_bits(x: Value, low: int, high: int) -> Value:
    """True unless low <= bits of x < high, the bits taken as unsigned."""
    sign = LAYOUT[x.type].sign_bit
    return x.bits() + (sign - low) >= ((high - low) ^ sign)


def log_assembled(f: Value, e: Value) -> Value:
    """e ln(2) + log(1 + f) for f in [-1/4, 1/2] and an integer e."""
    head, tail = LN2_SHORT[f.type]
    high = fma(e, head, f)
    low = fma(e, head, -high) + f
    rest = fma(f * f, horner(f, LOG[f.type]), fma(e, tail, low))
    return high + rest


def log(x: Value) -> Value:
    """log(x) for every x: -inf at +-0, NaN below."""
    layout = LAYOUT[x.type]
    _, m, e = split_binade(x)
    usual = log_assembled(m - 1.0, e)
    unusual = outside_bits(x, 1 << layout.mantissa_bits, layout.infinity_bits)
    return rare(unusual, usual, _log_slow(x))


def _log_slow(x: Value) -> Value:
    layout = LAYOUT[x.type]
    lift = layout.mantissa_bits + 1
    small = x < layout.smallest_normal
    _, m, e = split_binade(select(small, x * 2.0**lift, x))
    y = log_assembled(m - 1.0, e - select(small, x.builder.const(float(lift), x.type), 0.0))
    y = select(x < math.inf, y, x)
    y = select(x < 0.0, x.builder.const_bits(layout.nan_bits, x.type), y)
    return select(x.eq(0.0), -math.inf, y)


def log1p(x: Value) -> Value:
    """log(1 + x) for every x: -inf at -1, NaN below."""
    layout = LAYOUT[x.type]
    u = 1.0 + x
    top, _, e = split_binade(u)
    inverse = (2 * layout.one_bits - top).as_float()
    # x 2**-e + (2**-e - 1) takes f from x itself: what 1 + x lost does not matter.
    usual = log_assembled(fma(x, inverse, inverse - 1.0), e)
    unusual = outside_bits(u, 1, (2 * layout.bias - 2) << layout.mantissa_bits)
    return with_sign_of(rare(unusual, usual, _log_slow(u)), x)


def log1p_core(x: Value) -> Value:
    """log(1 + x) for x in [0, 1], without a branch, at most 1.2 ulp off; NaN stays."""
    return fma(x * x, horner(x, LOG1P_UNIT[x.type]), x)


ROWS = (
    Elementary(
        "log",
        lambda x, scale=0: log(x),
        bound_ulps={"f32": 1.0, "f64": 1.0},  # worst found: 0.915 (at 0.7396) in 30 million; 0.891 in 0.8 million
        hard_points=(1.0, 0.75, 1.5, 0.375, 3.0, 2.0**-126, 2.0**-1022, 0.0),
    ),
    Elementary(
        "log1p",
        lambda x, scale=0: log1p(x),
        bound_ulps={"f32": 1.0, "f64": 1.0},  # worst found: 0.917 (at 0.4848) in 40 million; 0.904 in 1.2 million
        hard_points=(0.0, -0.25, 0.5, -0.625, 2.0, -1.0, 2.0**24, 2.0**53, 2.0**126, 2.0**1021),
    ),
)
