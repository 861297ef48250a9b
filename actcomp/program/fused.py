"""Fused multiply-add with one rounding, in NumPy, which has none.

float64 follows Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums" (IEEE Trans. Computers 57, 2008):
the product and the sums are split without error, and the low part is rounded to odd so that the last rounding sees
the truth. Operands are scaled first so that no step over- or underflows. float32 and float16 use the same rounding to
odd one precision higher, where the product is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def fma(a: Any, b: Any, c: Any) -> Any:
    """a*b + c, rounded once; arrays or scalars of one of float16, float32, float64 (broadcast)."""
    a, b, c = np.broadcast_arrays(np.asarray(a), np.asarray(b), np.asarray(c))
    with np.errstate(all="ignore"):
        if a.dtype == np.float64:
            return _fma64(a, b, c)
        wide = a.astype(np.float64) * b.astype(np.float64)
        return _sum_to_odd(wide, c.astype(np.float64)).astype(a.dtype)


def _two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _two_product(a: Any, b: Any) -> tuple[Any, Any]:
    splitter = 134217729.0  # 2**27 + 1
    product = a * b
    ta, tb = splitter * a, splitter * b
    ah, bh = ta - (ta - a), tb - (tb - b)
    al, bl = a - ah, b - bh
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def _sum_to_odd(a: Any, b: Any) -> Any:
    """a + b in float64, rounded to odd: an inexact result has its last bit set, away from or towards zero."""
    total, error = _two_sum(a, b)
    bits = np.asarray(total).view(np.int64)
    # An inexact result whose last bit is even moves one step towards the error, which makes the bit odd.
    inexact = (error != 0) & np.isfinite(total) & ((bits & 1) == 0)
    step = np.where((error > 0) == (total > 0), 1, -1)
    return np.where(inexact, bits + step, bits).view(np.float64)


def _fma64(a: Any, b: Any, c: Any) -> Any:
    nonzero_product = (a != 0) & (b != 0)
    plain = np.where((c == 0) & nonzero_product, a * b, a * b + c)
    plain = np.where(np.isinf(c) & np.isfinite(a) & np.isfinite(b), c, plain)  # a*b may overflow the other way
    usual = np.isfinite(a) & np.isfinite(b) & np.isfinite(c) & nonzero_product & (c != 0)
    ma, ea = np.frexp(np.where(usual, a, 1.0))
    mb, eb = np.frexp(np.where(usual, b, 1.0))
    mc, ec = np.frexp(np.where(usual, c, 1.0))
    product_exponent = ea.astype(np.int64) + eb
    # A term 200 binades below the other acts only through its sign, so that farther than that it need not be brought.
    gap = np.clip(ec - product_exponent, -200, 200)
    base = np.where(gap >= 0, ec, product_exponent)
    uh, ul = (np.ldexp(part, np.minimum(-gap, 0)) for part in _two_product(ma, mb))
    th, tl = _two_sum(np.ldexp(mc, np.minimum(gap, 0)), ul)
    vh, vl = _two_sum(uh, th)
    low = _sum_to_odd(tl, vl)
    nearest, low = _two_sum(vh, low)
    # A subnormal result has fewer bits: its quantum is 2**-1074, and the sum is rounded to that, once.
    subnormal = usual & (np.frexp(nearest)[1] + base < -1021)
    anchor = np.copysign(np.ldexp(1.0, np.where(subnormal, 52 - 1074 - base, 0)), nearest)
    high, rest = _two_sum(nearest, anchor)
    short = (high + _sum_to_odd(rest, low)) - anchor
    result = np.ldexp(np.where(subnormal, short, nearest), base)
    # A subnormal result that vanishes keeps the sign of the exact sum.
    return np.where(usual, np.where(subnormal, np.copysign(result, nearest), result), plain)
