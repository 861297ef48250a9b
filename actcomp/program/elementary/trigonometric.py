"""sin, cos and atan in primitives.

sin and cos reduce their argument by half turns, not by quarters: sin(x) = (-1)**n sin(x - n pi) and
cos(x) = (-1)**(n+1) sin(|x| - (n + 1/2) pi), so that each takes one odd polynomial and no choice between two. A
kernel that needs both computes as much as with quarter turns, one that needs one of them a third less.

Usual arguments (below LIMIT) are reduced by three-part pi with fma. x - n*PI[0] is exact, for PI[0] has as many bits
as the type and the difference is below 2; the second step rounds, and the third only adds what is far below its last
place, but for tiny results. Larger arguments take the slow path of Payne and Hanek (Radian reduction for trigonometric
functions, 1983): the product of the integer significand with those bits of 1/(2 pi) that matter, by integers.
"""

from __future__ import annotations

import math

from ..builder import Value, fma, horner, rare, select
from ..primitives import WIDTH_BITS
from .registry import Elementary
from .tables import hex_floats

# pi in three parts, the first two cut: all of one sign.
PI_F32 = hex_floats("0x1.921fb4p1 0x1.4442dp-23 0x1.846988p-47")
PI_F64 = hex_floats("0x1.921fb54442d18p1 0x1.1a62633145c06p-53 0x1.c1cd129024e08p-106")
# sin(r)/r in powers of r**2, |r| <= pi/2 and a little more: relative error 2**-26.5 (f32), 2**-60.8 (f64)
SIN_F32 = hex_floats("0x1p0 -0x1.555548p-3 0x1.110e46p-7 -0x1.9f58fp-13 0x1.5c9374p-19")
SIN_F64 = hex_floats(
    "0x1p0 -0x1.5555555555555p-3 0x1.11111111110bep-7 -0x1.a01a01a0142c7p-13 0x1.71de3a524f3c2p-19 "
    "-0x1.ae6454ada6583p-26 0x1.6123c33658bcp-33 -0x1.ae40fd51732b8p-41 0x1.87efd92d971efp-49"
)
# pi/2 in two parts; atan(q)/q in powers of q**2, q <= 1: relative error 2**-25.8 (f32), 2**-57.6 (f64)
HALF_PI_F32 = hex_floats("0x1.921fb6p0 -0x1.777a5cp-25")
HALF_PI_F64 = hex_floats("0x1.921fb54442d18p0 0x1.1a62633145c07p-54")
ATAN_F32 = hex_floats(
    "0x1p0 -0x1.5554dcp-2 0x1.9978eap-3 -0x1.230a76p-3 0x1.b4dd6ap-4 -0x1.354d84p-4 0x1.61e598p-5 -0x1.0c0b6ap-6 "
    "0x1.7e8bc6p-9"
)
ATAN_F64 = hex_floats(
    "0x1p0 -0x1.5555555555526p-2 0x1.99999999955b2p-3 -0x1.249249237f4e4p-3 0x1.c71c717fcd1c5p-4 "
    "-0x1.745d11ae4aea8p-4 0x1.3b136698487c8p-4 -0x1.110e5117e8dc3p-4 0x1.e1bba5bb97a42p-5 -0x1.ae5e6fb74555bp-5 "
    "0x1.82dacd5640185p-5 -0x1.59a3e422a5a67p-5 0x1.2c2e252f2ed0ap-5 -0x1.e9f95a6ba1ea1p-6 0x1.683be89eef128p-6 "
    "-0x1.c78e1ad2381c1p-7 0x1.d7b6ae9b5dd68p-8 -0x1.7a36fa7d62c9bp-9 0x1.b3f6f685089bep-11 "
    "-0x1.3f32ddf995b2ap-13 0x1.bbe7ed79a790bp-17"
)
# The first 1280 bits of 1/(2 pi) after the binary point.
INVERSE_TWO_PI = int(
    "28be60db9391054a7f09d5f47d4d377036d8a5664f10e4107f9458eaf7aef1586dc91b8e909374b801924bba82746487"
    "3f877ac72c4a69cfba208d7d4baed1213a671c09ad17df904e64758e60d4ce7d272117e2ef7e4a0ec7fe25fff7816603"
    "fbcbc462d6829b47db4d9fb3c9f2c26dd3d18fd9a797fa8b5d49eeb1faf97c5ecf41ce7de294a4ba9afed7ec47e35742"
    "1580cc11bf1edaeafc33ef0826bd0d87",
    16,
)
INVERSE_TWO_PI_BITS = 1280

PI = {"f32": PI_F32, "f64": PI_F64}
SIN = {"f32": SIN_F32, "f64": SIN_F64}
INVERSE_PI = 0.3183098861837907
HALF_PI = {"f32": HALF_PI_F32, "f64": HALF_PI_F64}
ATAN = {"f32": ATAN_F32, "f64": ATAN_F64}
SIGNIFICAND_BITS = {"f32": 23, "f64": 52}
SIGN = {"f32": -(1 << 31), "f64": -(1 << 63)}
# Up to here n, counted in the last places of a float, is right to 2**-9 and n*PI[2] far below what a result can see.
LIMIT = {"f32": 65536.0, "f64": 16777216.0}


def sine(x: Value, scale: int = 0) -> Value:
    # On abs(x), with the sign put back: odd bit for bit, and -0.0 stays what it is.
    return negate_where_negative(x, _sin_of_reduced(reduce_half_turns(abs(x), quarter=0)))


def cosine(x: Value, scale: int = 0) -> Value:
    return _sin_of_reduced(reduce_half_turns(abs(x), quarter=1))


def one_plus_sine_of_double(x: Value, scale: int = 0) -> Value:
    """1 + sin(2x): the square of sin(x) + cos(x) where that is small, else 1 + 2 sin(x) cos(x)."""
    s, c = sine(x), cosine(x)
    total, product = s + c, fma(s + s, c, 1.0)
    return select(product < 0.5, total * total, product)


def _sin_of_reduced(r: Value) -> Value:
    square = r * r
    return fma(r * square, horner(square, SIN[r.type][1:]), r)


def negate_where_negative(x: Value, magnitude: Value) -> Value:
    """The magnitude, which is not negative or takes its own sign too, with its sign flipped where x is negative."""
    return (magnitude.bits() ^ (x.bits() & SIGN[x.type])).as_float()


def reduce_half_turns(a: Value, quarter: int) -> Value:
    """r in [-pi/2, pi/2] with sin(r) = sin(a + quarter pi/2), for a >= 0 and quarter 0 or 1; NaN for inf and NaN."""
    type_, width = a.type, SIGNIFICAND_BITS[a.type]
    high, middle, low = PI[type_]
    if quarter:
        # The sum lies in [2**width, 2**(width+1)), where floats are whole numbers, but for small a just below.
        magic = 2.0**width - 0.5
        shifted = fma(a, INVERSE_PI, magic).maximum(2.0**width)
        turns = shifted - magic  # n + 1/2
        r = fma(turns, low, fma(turns, middle, fma(turns, high, -a)))
    else:
        magic = 1.5 * 2.0**width
        shifted = fma(a, INVERSE_PI, magic)
        turns = shifted - magic
        r = fma(turns, -low, fma(turns, -middle, fma(turns, -high, a)))
    usual = (r.bits() ^ (shifted.bits() << (WIDTH_BITS[type_] - 1))).as_float()
    return rare(a > LIMIT[type_], usual, _payne_hanek(a, quarter))


def _payne_hanek(a: Value, quarter: int) -> Value:
    """reduce_half_turns for any a > 1, by integers."""
    turn, rest = _fraction_of_turn_f32(a) if a.type == "f32" else _fraction_of_turn_f64(a)
    if quarter:
        turn = turn + (1 << 62)
    odd = (turn + (1 << 62)) >> 63  # of half turns, rounded to nearest
    high, low = _fixed_to_float(turn, rest, a.type)
    pi_high, pi_low = PI[a.type][0], PI[a.type][1]
    product = high * pi_high
    r = product + (fma(high, pi_high, -product) + fma(high, pi_low, low * pi_high))
    signed = select(odd.ne(0), -r, r)
    return signed + (a - a)  # inf gives NaN


def _fixed_to_float(turn: Value, rest: Value | None, type_: str) -> tuple[Value, Value]:
    """The signed distance from the nearest half turn, in half turns, as a sum of two floats.

    The 64-bit words turn and rest are a fraction of a turn; doubled, and read with a sign, they are that distance. They
    are cut into pieces that a float holds exactly; the lower pieces are not negative.
    """
    doubled = turn << 1
    if rest is None:
        pieces = (doubled.shift_arithmetic(40), (doubled >> 16) & 0xFFFFFF, doubled & 0xFFFF)
        weights = (24, 48, 64)
    else:
        doubled = doubled | (rest >> 63)
        lower = rest << 1
        pieces = (
            doubled.shift_arithmetic(32),
            ((doubled & 0xFFFFFFFF) << 20) | (lower >> 44),
            lower & ((1 << 44) - 1),
        )
        weights = (32, 84, 128)
    first, second, third = (piece.convert(type_) * 2.0**-weight for piece, weight in zip(pieces, weights, strict=True))
    high = first + second
    return high, (second - (high - first)) + third


def _words(width: int, padding: int) -> tuple[int, ...]:
    """1/(2 pi) cut into words, after so many zeros."""
    count = INVERSE_TWO_PI_BITS // width
    bits = [(INVERSE_TWO_PI >> (INVERSE_TWO_PI_BITS - width * (k + 1))) & ((1 << width) - 1) for k in range(count)]
    return (0,) * (padding // width) + tuple(bits)


# The significand m of a = m * 2**e; the bits of 1/(2 pi) up to weight 2**-e only add whole turns to m * 2**e / (2 pi).


def _fraction_of_turn_f32(a: Value) -> tuple[Value, None]:
    """a / (2 pi) modulo 1 as a 64-bit fraction, with an error below 2**-63; the nearest that a float32 comes to a
    quarter turn is 2**-32 of a turn."""
    bits = a.bits()
    significand = ((bits & 0x7FFFFF) | 0x800000).zero_extend("i64")
    offset = (bits >> 23) - 150 + 32
    word, shift = offset >> 5, (offset & 31).zero_extend("i64")
    table = _words(32, 32)[:10]
    w0, w1, w2, w3 = ((word + k).look_up(table, "i64") for k in range(4))
    high, low = (w0 << 32) | w1, (w2 << 32) | w3
    window = (high << shift) | ((low >> 1) >> (63 - shift))
    below = (low << shift) >> 32
    return significand * window + ((significand * below) >> 32), None


def _fraction_of_turn_f64(a: Value) -> tuple[Value, Value]:
    """a / (2 pi) modulo 1 as a 128-bit fraction, with an error below 2**-126; the nearest that a float64 comes to a
    quarter turn is 2**-64 of a turn."""
    bits = a.bits()
    significand = (bits & ((1 << 52) - 1)) | (1 << 52)
    offset = (bits >> 52) - 1075 + 64
    word, shift = offset >> 6, offset & 63
    table = _words(64, 64)
    words = [(word + k).look_up(table, "i64") for k in range(4)]
    g0, g1, g2 = (
        (upper << shift) | ((lower >> 1) >> (63 - shift)) for upper, lower in zip(words, words[1:], strict=False)
    )
    middle = significand * g1
    rest = middle + significand.multiply_high(g2)
    carry = ((rest ^ SIGN["f64"]) < (middle ^ SIGN["f64"])).convert("i64")
    return significand * g0 + significand.multiply_high(g1) + carry, rest


def arctangent(x: Value) -> Value:
    """atan by one division: of the smaller of 1 and abs(x) by the larger; beyond 1 it is pi/2 less the angle."""
    a = abs(x)
    beyond = a > 1.0
    one = x.builder.const(1.0, x.type)
    q = one.minimum(a) / one.maximum(a)  # in this order NaN stays
    square = q * q
    high, low = HALF_PI[x.type]
    # The low part of pi/2 joins what is still small.
    rest = fma(q * square, horner(square, ATAN[x.type][1:]), select(beyond, x.builder.const(-low, x.type), 0.0))
    angle = q + rest
    return negate_where_negative(x, select(beyond, high - angle, angle))


# The worst that sweeps found, in ulp (f32 over every 23rd bit pattern, f64 over 200,000
# random arguments): sin 1.80, 1.62; cos 1.81, 1.69; atan 1.34, 1.14.
QUARTER_TURNS = tuple(k * math.pi / 2 for k in range(-8, 9))
ROWS = (
    Elementary("sin", sine, bound_ulps={"f32": 2.0, "f64": 2.0}, hard_points=QUARTER_TURNS),
    Elementary("cos", cosine, bound_ulps={"f32": 2.0, "f64": 2.0}, hard_points=QUARTER_TURNS),
    Elementary(
        "one_plus_sin2",
        one_plus_sine_of_double,
        # mixed error: near the double zero plain ulp has no bound
        bound_ulps={"f32": 3.0, "f64": 3.0},
        hard_points=(-0.7853981633974483, 2.356194490192345, 0.7853981633974483, 0.1309, -0.2618),
    ),
    Elementary(
        "atan",
        lambda x, scale=0: arctangent(x),
        bound_ulps={"f32": 2.0, "f64": 2.0},
        hard_points=(0.0, 1.0, -1.0, 0.5464, 1.83, 16777216.0),
    ),
)
