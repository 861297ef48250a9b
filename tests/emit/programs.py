"""Programs that use every primitive, and inputs that reach every edge; for the tests of emitters."""

from __future__ import annotations

from typing import Any

import numpy as np

from actcomp.program.builder import Builder, Value, horner, rare, select
from actcomp.program.primitives import FLOATS, INTEGER_OF, INTEGERS, NUMPY_TYPE, WIDTH_BITS
from actcomp.program.program import Program, check


def float_program(type: str) -> Program:
    """Every primitive on floats of the type, conversions to all types, and a rare with enough work for a branch."""
    builder = Builder(f"floats_{type}")
    x, y, z = (builder.input(name, type) for name in "xyz")
    results: dict[str, Value] = {
        "add": x + y,
        "sub": x - y,
        "mul": x * y,
        "div": x / y,
        "fma": builder.fma(x, y, z),
        "neg": -x,
        "abs": abs(x),
        "min": x.minimum(y),
        "max": x.maximum(y),
        "sqrt": x.sqrt(),
        "rint": x.rint(),
        "floor": x.floor(),
        "lt": x < y,
        "le": x <= y,
        "eq": x.eq(y),
        "ne": x.ne(y),
        "and": (x < y) & (y < z),
        "or": (x < y) | (y < z),
        "xor": (x < y) ^ (y < z),
        "not": ~(x < y),
        "select": select(x < y, y, z),
        "rare": rare(abs(x) > 3.0, x * y, horner(x, (0.5, -1.25, 3.0, 0.75, 2.0))),
        "bitcast": x.bits(),
        "nan": builder.const_bits({"f16": 0x7D55, "f32": 0x7F855555, "f64": 0x7FF0000000000555}[type], type),
        "minus_zero": builder.const(-0.0, type),
    }
    for other in (*FLOATS, *INTEGERS, "b"):
        results[f"to_{other}"] = x.convert(other)
    for name, value in results.items():
        builder.output(name, value)
    return check(builder.build())


def integer_program(type: str) -> Program:
    """Every primitive on integers of the type, a table, and conversions to all types."""
    builder = Builder(f"integers_{type}")
    i, j = builder.input("i", type), builder.input("j", type)
    results: dict[str, Value] = {
        "iadd": i + j,
        "isub": i - j,
        "imul": i * j,
        "imulhi": i.multiply_high(j),
        "ishl": i << j,
        "ilshr": i >> j,
        "iashr": i.shift_arithmetic(j),
        "and": i & j,
        "or": i | j,
        "xor": i ^ j,
        "not": ~i,
        "lt": i < j,
        "le": i <= j,
        "eq": i.eq(j),
        "ne": i.ne(j),
        "select": select(i < j, i, j),
        "table": i.look_up((0x3F800000, 0x80000000, 0x7FC00000, 1, 0x42280000), "f32"),
        "table_b": i.look_up((1, 0, 0, 1), "b"),
        "table_f16": i.look_up((0x3C00, 0x8001, 0x7C00), "f16"),
        "table_i64": i.look_up(tuple(3**k for k in range(40)), "i64"),
        "from_b": (i < j).convert(type),
    }
    for other in (*FLOATS, *INTEGERS, "b"):
        results[f"to_{other}"] = i.convert(other)
        results[f"b_to_{other}"] = (i < j).convert(other)
    for other in INTEGERS:
        results[f"zext_{other}"] = i.zero_extend(other)
    if type in INTEGER_OF.values():
        results["bitcast"] = i.as_float()
    for name, value in results.items():
        builder.output(name, value)
    return check(builder.build())


def rare_program() -> Program:
    """Nested, shared, chained and crossing rares; slow paths that use values of the usual path."""
    builder = Builder("rares")
    x, y = builder.input("x", "f32"), builder.input("y", "f32")
    big, odd = abs(x) > 2.0, y > 1.0

    def slow(v: Value, k: float) -> Value:
        return horner(v, (k, 0.5, -0.25, 1.5, k)) / (v + 7.0)

    common = slow(x, 3.0)  # needed by two rares of one mask only
    first = rare(big, x + 1.0, common * 2.0 + slow(y, 1.0))
    second = rare(big, y * 2.0, common * 3.0 - slow(x * y, 2.0))
    chained = rare(big, first * 0.5, slow(first, 5.0) + common)  # computed from a rare of its own mask
    crossing_a = rare(odd, first, slow(second, 1.0))
    crossing_b = rare(big, crossing_a, slow(crossing_a, 2.0))
    inner = rare(odd, slow(x, 9.0), slow(y, 8.0) * slow(x, 9.0))
    nested = rare(big, x, inner + slow(x, 4.0))
    same = rare(big, x, rare(big, slow(x, 1.5), slow(y, 2.5)) + 1.0)  # the mask again inside its own branch
    cheap = rare(big, x, y)
    outside = rare(odd, y, x.sqrt() * first)  # sqrt(x) is needed outside too
    results = (first, second, chained, crossing_a, crossing_b, nested, same, cheap, outside, x.sqrt())
    for index, value in enumerate(results):
        builder.output(f"y{index}", value)
    return check(builder.build())


def sum_program(type: str = "f32") -> Program:
    """Two element inputs, one uniform, one element output, two sums of different types."""
    builder = Builder("sums")
    x, g, slope = builder.input("x", type), builder.input("g", type), builder.input("p.slope", type, "uniform")
    scaled = x * (slope * slope + 1.0)  # slope*slope + 1 is computed once for the whole call
    builder.output("y", rare(abs(x) > 100.0, scaled, horner(scaled, (1.0, 2.0, 3.0, 4.0))))
    builder.output("total", scaled * g, "sum")
    builder.output("count", (x < g).convert("i32"), "sum")
    return check(builder.build())


def bfloat_program() -> Program:
    """x*x + 1 on bfloat16 bits, widened and rounded by integers."""
    builder = Builder("bfloat")
    wide = (builder.input("x", "i16").zero_extend("i32") << 16).as_float()
    bits = builder.fma(wide, wide, 1.0).bits()
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    builder.output("y", select(wide.is_nan(), 0x7FC0, rounded).convert("i16"))
    return check(builder.build())


def edge_floats(type: str, count: int, seed: int) -> np.ndarray[Any, Any]:
    """Zeros, infinities, NaN, subnormals, ties, borders of the integer types, all bit patterns, and usual numbers."""
    dtype = NUMPY_TYPE[type]
    info = np.finfo(dtype)
    steps = (-1.5, -1, -0.5, 0, 0.5, 1)
    borders = [s * (2.0**p + d) for p in (7, 15, 16, 31, 32, 63, 64) for d in steps for s in (1, -1)]
    halves = [s * (k + 0.5) for k in range(4) for s in (1, -1)]
    f16_ties = [2.0**-24 * k / 4 for k in range(-9, 10)] + [65504.0, 65519.996, 65520.0, 65536.0, -65520.0]
    f16_ties += [1 + 3 * 2.0**-11, *(1 + 2.0**-11 + d for d in (0, 2.0**-23, 2.0**-40, -(2.0**-40)))]
    tiny, huge = float(info.smallest_subnormal), float(info.max)
    special = [0.0, -0.0, np.inf, -np.inf, np.nan, tiny, -tiny, float(info.tiny), huge, -huge, 3 * tiny]
    with np.errstate(all="ignore"):
        fixed = np.array(special + borders + halves + f16_ties).astype(dtype)
    random = np.random.default_rng(seed)
    words = random.integers(0, 1 << WIDTH_BITS[type], count, dtype=np.uint64)
    patterns = words.astype(f"u{dtype.itemsize}").view(dtype)
    usual = (random.standard_normal(count) * 3).astype(dtype)
    pool = np.concatenate([fixed, patterns, usual])
    return random.choice(pool, count) if count < pool.size else random.permutation(pool)[:count]


def edge_integers(type: str, count: int, seed: int) -> np.ndarray[Any, Any]:
    """Extremes, small numbers (table indices, shift amounts) and all bit patterns."""
    dtype = NUMPY_TYPE[type]
    info, random = np.iinfo(dtype), np.random.default_rng(seed)
    fixed = np.array([0, 1, -1, info.min, info.max, info.min + 1], dtype)
    small = random.integers(-3, 70, count).astype(dtype)
    patterns = random.integers(info.min, info.max, count, dtype=dtype, endpoint=True)
    return random.choice(np.concatenate([np.repeat(fixed, max(1, count // 20)), small, patterns]), count)
