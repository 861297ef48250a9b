"""swiglu: y = a*b*sigmoid(b)

Source: arXiv:2002.05202.
Derivative: no image is known; swiglu has 2 inputs (a, b), and no one derivative.
Adversary: none by the rule reflect; swiglu has 2 inputs (a, b), and no one derivative.
Saved for backward: the input.
Errors: not measured for this module; python -m actcomp verify measures and proves it.

    y = swiglu.forward(a, b)
    da, db = swiglu.backward(a, b, dy)

Arrays lie on a CUDA device, in C order: float32, float16 and bfloat16, computed in float32; of any library
that has DLPack or __cuda_array_interface__. Nothing waits: kernels are launched on the stream that torch or
CuPy uses now, or on the one given.
Made by python -m actcomp gallery.
"""

import math
import sys
from functools import cache

import numpy as np
from numba import config, cuda

f32, f64, i16, i32, i64, u64 = np.float32, np.float64, np.int16, np.int32, np.int64, np.uint64

if config.ENABLE_CUDASIM:  # Numba's simulator: plain Python on NumPy scalars

    def device(function):
        return function

    def fma(a, b, c):
        """a*b + c with one rounding: the product is exact in float64, the sum is rounded to odd there."""
        a, b, c = float(a), float(b), float(c)
        product = a * b
        total = product + c
        part = total - product
        error = (product - (total - part)) + (c - part)
        if math.isfinite(total) and error != 0 and not int(np.float64(total).view(np.int64)) & 1:
            total = math.nextafter(total, math.copysign(math.inf, error))
        return np.float32(total)

    def mul_rn(a, b):
        return a * b

    def to_bits(x):
        return np.float32(x).view(np.int32)

    def from_bits(n):
        return np.int32(n).view(np.float32)

    def half_to_float(bits):
        return np.float32(np.int16(bits).view(np.float16))

    def float_to_half(x):
        return np.float16(x).view(np.int16)

else:
    device = cuda.jit(device=True)
    fma = cuda.libdevice.fmaf
    mul_rn = cuda.libdevice.fmul_rn
    to_bits = cuda.libdevice.float_as_int
    from_bits = cuda.libdevice.int_as_float
    half_to_float = cuda.libdevice.half2float
    float_to_half = cuda.libdevice.float2half_rn


@device
def lesser(a, b):
    """The smaller; b for a tie or a NaN."""
    return a if a < b else b


@device
def greater(a, b):
    """The larger; b for a tie or a NaN."""
    return a if a > b else b


@device
def shift_right(n, count):
    """Zeros enter from the left."""
    return np.int32(np.uint32(n) >> np.uint32(count))


@device
def bfloat16_to_float(bits):
    """The float32 whose upper half these 16 bits are."""
    return from_bits(i32((i32(bits) & 0xFFFF) << 16))


@device
def float_to_bfloat16(x):
    """The bits of x rounded to nearest even in bfloat16; a NaN becomes a quiet one."""
    bits = to_bits(x)
    upper = shift_right(bits, 16)
    if x != x:
        return i16(upper | 0x40)
    return i16(shift_right(i32(bits + ((upper & 1) + 0x7FFF)), 16))


# The mathematics at one element ----------------------------------------------------------------------


@device
def forward_at(a, b):
    """y = a*b*sigmoid(b)"""
    shifted = fma(b, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), b)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    abs_b = abs(b)
    quotient = scale / (scale + (p - r))
    is_rare = not abs_b <= f32(87.0)
    result = quotient
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_b))
        shifted2 = fma(clamped, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped)
        r2 = fma(k2, f32(1.9046542e-09), r2)
        p2 = fma(f32(0.0013821328), r2, f32(0.008368671))
        p2 = fma(p2, r2, f32(0.04166826))
        p2 = fma(p2, r2, f32(0.16666521))
        p2 = fma(p2, r2, f32(0.49999994))
        p2 = fma(p2, r2, f32(1.0))
        p2 = fma(p2, r2, f32(1.0))
        n = i32(to_bits(shifted2) - 1262485444)
        n2 = i32(n >> 1)
        product = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product2 = mul_rn(product, f32(2.0**-60))
        result = product2 if b < f32(0.0) else f32(1.0) - product2
    y = result * b * a
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_b))
        shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k3 = shifted3 - f32(12582912.0)
        r3 = fma(k3, f32(-0.6931472), clamped2)
        r3 = fma(k3, f32(1.9046542e-09), r3)
        p3 = fma(f32(0.0013821328), r3, f32(0.008368671))
        p3 = fma(p3, r3, f32(0.04166826))
        p3 = fma(p3, r3, f32(0.16666521))
        p3 = fma(p3, r3, f32(0.49999994))
        p3 = fma(p3, r3, f32(1.0))
        p3 = fma(p3, r3, f32(1.0))
        n3 = i32(to_bits(shifted3) - 1262485377)
        n4 = i32(n3 >> 1)
        product3 = mul_rn(p3 * from_bits(i32((n4 + 127) << 23)), from_bits(i32((n3 - n4 + 127) << 23)))
        chosen = product3 if b < f32(0.0) else f32(2.0**127) - product3
        chosen2 = chosen if is_rare else quotient * f32(2.0**127)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), b))
        b_is_nan = b != b
        is_not = not a != a
        is_not2 = not b_is_nan
        chosen3 = f32(0.0) if b_is_nan and is_not and is_not2 else clamped3
        chosen4 = chosen3 if chosen2 == f32(0.0) else b
        product4 = chosen2 * chosen4
        product5 = a * f32(2.0**-67)
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product5))
        chosen5 = f32(0.0) if product5 != product5 and is_not and is_not2 else clamped4
        chosen6 = chosen5 if product4 == f32(0.0) else product5
        y = product4 * chosen6 * f32(2.0**-60)
    return y


@device
def backward_at(a, b, dy):
    """da = dy*(b*sigmoid(b))
    db = dy*(a*(b*dsigmoid(b) + sigmoid(b)))"""
    shifted = fma(b, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), b)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
    abs_b = abs(b)
    total = scale + difference
    quotient = scale / total
    is_rare = not abs_b <= f32(87.0)
    result = quotient
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_b))
        shifted2 = fma(clamped, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped)
        r2 = fma(k2, f32(1.9046542e-09), r2)
        p2 = fma(f32(0.0013821328), r2, f32(0.008368671))
        p2 = fma(p2, r2, f32(0.04166826))
        p2 = fma(p2, r2, f32(0.16666521))
        p2 = fma(p2, r2, f32(0.49999994))
        p2 = fma(p2, r2, f32(1.0))
        p2 = fma(p2, r2, f32(1.0))
        n = i32(to_bits(shifted2) - 1262485444)
        n2 = i32(n >> 1)
        product = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product2 = mul_rn(product, f32(2.0**-60))
        result = product2 if b < f32(0.0) else f32(1.0) - product2
    is_rare2 = result < f32(2.0**-100)
    da = dy * (result * b)
    if is_rare2:
        clamped2 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_b))
        shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k3 = shifted3 - f32(12582912.0)
        r3 = fma(k3, f32(-0.6931472), clamped2)
        r3 = fma(k3, f32(1.9046542e-09), r3)
        p3 = fma(f32(0.0013821328), r3, f32(0.008368671))
        p3 = fma(p3, r3, f32(0.04166826))
        p3 = fma(p3, r3, f32(0.16666521))
        p3 = fma(p3, r3, f32(0.49999994))
        p3 = fma(p3, r3, f32(1.0))
        p3 = fma(p3, r3, f32(1.0))
        n3 = i32(to_bits(shifted3) - 1262485377)
        n4 = i32(n3 >> 1)
        product3 = mul_rn(p3 * from_bits(i32((n4 + 127) << 23)), from_bits(i32((n3 - n4 + 127) << 23)))
        chosen = product3 if b < f32(0.0) else f32(2.0**127) - product3
        chosen2 = chosen if is_rare else quotient * f32(2.0**127)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), b))
        b_is_nan = b != b
        is_not = not a != a
        is_not2 = not b_is_nan
        is_not3 = not dy != dy
        chosen3 = f32(0.0) if b_is_nan and is_not and is_not2 and is_not3 else clamped3
        chosen4 = chosen3 if chosen2 == f32(0.0) else b
        product4 = chosen2 * chosen4
        product5 = dy * f32(2.0**-67)
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product5))
        chosen5 = f32(0.0) if product5 != product5 and is_not and is_not2 and is_not3 else clamped4
        chosen6 = chosen5 if product4 == f32(0.0) else product5
        da = product4 * chosen6 * f32(2.0**-60)
    quotient2 = lesser(scale, difference) / total
    t = fma(-quotient2, quotient2, quotient2)
    result2 = t
    if is_rare:
        clamped5 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_b))
        shifted4 = fma(clamped5, f32(1.442695), f32(12582912.0))
        k4 = shifted4 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped5)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p4 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p4 = fma(p4, r4, f32(0.04166826))
        p4 = fma(p4, r4, f32(0.16666521))
        p4 = fma(p4, r4, f32(0.49999994))
        p4 = fma(p4, r4, f32(1.0))
        p4 = fma(p4, r4, f32(1.0))
        n5 = i32(to_bits(shifted4) - 1262485444)
        n6 = i32(n5 >> 1)
        product6 = p4 * from_bits(i32((n6 + 127) << 23)) * from_bits(i32((n5 - n6 + 127) << 23))
        product7 = mul_rn(product6, f32(2.0**-60))
        result2 = product7
    product8 = mul_rn(result2, b)
    product9 = dy * (a * (product8 + result))
    is_below = result2 < f32(2.0**-100)
    mask = (is_below or abs(product8) < f32(2.0**-100)) and is_rare2
    db = product9
    if mask or product9 != product9:
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), b))
        b_is_nan2 = b != b
        a_is_nan = a != a
        is_not4 = not a_is_nan
        is_not5 = not b_is_nan2
        dy_is_nan = dy != dy
        is_not6 = not dy_is_nan
        chosen7 = f32(0.0) if b_is_nan2 and is_not4 and is_not5 and is_not6 else clamped6
        clamped7 = greater(f32(-192.69492), lesser(f32(2.0794415), -abs_b))
        shifted5 = fma(clamped7, f32(1.442695), f32(12582912.0))
        k5 = shifted5 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped7)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p5 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p5 = fma(p5, r5, f32(0.04166826))
        p5 = fma(p5, r5, f32(0.16666521))
        p5 = fma(p5, r5, f32(0.49999994))
        p5 = fma(p5, r5, f32(1.0))
        p5 = fma(p5, r5, f32(1.0))
        n7 = i32(to_bits(shifted5) - 1262485378)
        n8 = i32(n7 >> 1)
        product10 = mul_rn(p5 * from_bits(i32((n8 + 127) << 23)), from_bits(i32((n7 - n8 + 127) << 23)))
        chosen8 = product10 if is_rare else t * f32(2.0**126)
        chosen9 = chosen7 if chosen8 == f32(0.0) else b
        chosen10 = mul_rn(chosen8, chosen9) if is_below else mul_rn(product8, f32(2.0**126))
        chosen11 = product10 if b < f32(0.0) else f32(2.0**126) - product10
        chosen12 = chosen11 if is_rare else mul_rn(quotient, f32(2.0**126))
        total2 = chosen10 + chosen12
        product11 = a * f32(2.0**-33)
        clamped8 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product11))
        mask2 = product11 != product11 and is_not4 and is_not5 and is_not6
        chosen13 = f32(0.0) if mask2 else clamped8
        chosen14 = chosen13 if total2 == f32(0.0) else product11
        product12 = total2 * chosen14
        product13 = dy * f32(2.0**-33)
        clamped9 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product13))
        mask3 = product13 != product13 and is_not4 and is_not5 and is_not6
        chosen15 = f32(0.0) if mask3 else clamped9
        chosen16 = chosen15 if product12 == f32(0.0) else product13
        chosen17 = chosen7 if result2 == f32(0.0) else b
        t2 = fma(result2, chosen17, result)
        clamped10 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), a))
        chosen18 = f32(0.0) if a_is_nan and is_not4 and is_not5 and is_not6 else clamped10
        chosen19 = chosen18 if t2 == f32(0.0) else a
        product14 = t2 * chosen19
        clamped11 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dy))
        chosen20 = f32(0.0) if dy_is_nan and is_not4 and is_not5 and is_not6 else clamped11
        chosen21 = chosen20 if product14 == f32(0.0) else dy
        db = product12 * chosen16 * f32(2.0**-60) if mask else product14 * chosen21
    return da, db


@device
def second_at(a, b, dy, dda, ddb):
    """The backward of backward: gradients for a, b, dy, from those for backward's results: dda, ddb."""
    shifted = fma(b, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), b)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
    total = scale + difference
    quotient = lesser(scale, difference) / total
    t = fma(-quotient, quotient, quotient)
    abs_b = abs(b)
    is_rare = not abs_b <= f32(87.0)
    result = t
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_b))
        shifted2 = fma(clamped, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped)
        r2 = fma(k2, f32(1.9046542e-09), r2)
        p2 = fma(f32(0.0013821328), r2, f32(0.008368671))
        p2 = fma(p2, r2, f32(0.04166826))
        p2 = fma(p2, r2, f32(0.16666521))
        p2 = fma(p2, r2, f32(0.49999994))
        p2 = fma(p2, r2, f32(1.0))
        p2 = fma(p2, r2, f32(1.0))
        n = i32(to_bits(shifted2) - 1262485444)
        n2 = i32(n >> 1)
        product = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product2 = mul_rn(product, f32(2.0**-60))
        result = product2
    product3 = mul_rn(result, b)
    quotient2 = scale / total
    result2 = quotient2
    if is_rare:
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_b))
        shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k3 = shifted3 - f32(12582912.0)
        r3 = fma(k3, f32(-0.6931472), clamped2)
        r3 = fma(k3, f32(1.9046542e-09), r3)
        p3 = fma(f32(0.0013821328), r3, f32(0.008368671))
        p3 = fma(p3, r3, f32(0.04166826))
        p3 = fma(p3, r3, f32(0.16666521))
        p3 = fma(p3, r3, f32(0.49999994))
        p3 = fma(p3, r3, f32(1.0))
        p3 = fma(p3, r3, f32(1.0))
        n3 = i32(to_bits(shifted3) - 1262485444)
        n4 = i32(n3 >> 1)
        product4 = p3 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        product5 = mul_rn(product4, f32(2.0**-60))
        result2 = product5 if b < f32(0.0) else f32(1.0) - product5
    total2 = product3 + result2
    product6 = ddb * total2
    is_below = result < f32(2.0**-100)
    is_below2 = result2 < f32(2.0**-100)
    mask = (is_below or abs(product3) < f32(2.0**-100)) and is_below2
    result3 = product6
    if mask or product6 != product6:
        clamped3 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_b))
        shifted4 = fma(clamped3, f32(1.442695), f32(12582912.0))
        k4 = shifted4 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped3)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p4 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p4 = fma(p4, r4, f32(0.04166826))
        p4 = fma(p4, r4, f32(0.16666521))
        p4 = fma(p4, r4, f32(0.49999994))
        p4 = fma(p4, r4, f32(1.0))
        p4 = fma(p4, r4, f32(1.0))
        n5 = i32(to_bits(shifted4) - 1262485377)
        n6 = i32(n5 >> 1)
        product7 = mul_rn(p4 * from_bits(i32((n6 + 127) << 23)), from_bits(i32((n5 - n6 + 127) << 23)))
        chosen = product7 if is_rare else t * f32(2.0**127)
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), b))
        b_is_nan = b != b
        is_not = not a != a
        is_not2 = not b_is_nan
        is_not3 = not dy != dy
        is_not4 = not dda != dda
        ddb_is_nan = ddb != ddb
        is_not5 = not ddb_is_nan
        mask2 = b_is_nan and is_not and is_not2 and is_not3 and is_not4 and is_not5
        chosen2 = f32(0.0) if mask2 else clamped4
        chosen3 = chosen2 if chosen == f32(0.0) else b
        chosen4 = mul_rn(chosen, chosen3) if is_below else mul_rn(product3, f32(2.0**127))
        chosen5 = product7 if b < f32(0.0) else f32(2.0**127) - product7
        chosen6 = chosen5 if is_rare else mul_rn(quotient2, f32(2.0**127))
        total3 = chosen4 + chosen6
        product8 = ddb * f32(2.0**-67)
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product8))
        mask3 = product8 != product8 and is_not and is_not2 and is_not3 and is_not4
        chosen7 = f32(0.0) if mask3 and is_not5 else clamped5
        chosen8 = chosen7 if total3 == f32(0.0) else product8
        chosen9 = chosen2 if result == f32(0.0) else b
        t2 = fma(result, chosen9, result2)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddb))
        mask4 = ddb_is_nan and is_not and is_not2 and is_not3 and is_not4
        chosen10 = f32(0.0) if mask4 and is_not5 else clamped6
        chosen11 = chosen10 if t2 == f32(0.0) else ddb
        result3 = total3 * chosen8 * f32(2.0**-60) if mask else t2 * chosen11
    t3 = fma(dda, f32(0.0), result3)
    da = dy * t3
    product9 = mul_rn(dda, total2)
    product10 = mul_rn(b, f32(0.5))
    abs_product10 = abs(product10)
    is_above = f32(1.0) < abs_product10
    size = abs(product10 + product10)
    negative = -size
    shifted5 = fma(negative, f32(1.442695), f32(12582912.0))
    k5 = shifted5 - f32(12582912.0)
    r5 = fma(k5, f32(-0.6931472), negative)
    r5 = fma(k5, f32(1.9046542e-09), r5)
    r5_squared = r5 * r5
    p5 = fma(f32(-0.002766709), r5_squared, f32(0.16666625))
    p5 = fma(p5, r5_squared, f32(2.0))
    scale2 = from_bits(i32(to_bits(p5 + r5) + (to_bits(shifted5) << 23)))
    abs_size = abs(size)
    result4 = scale2 / (scale2 + (p5 - r5))
    if not abs_size <= f32(87.0):
        clamped7 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_size))
        shifted6 = fma(clamped7, f32(1.442695), f32(12582912.0))
        k6 = shifted6 - f32(12582912.0)
        r6 = fma(k6, f32(-0.6931472), clamped7)
        r6 = fma(k6, f32(1.9046542e-09), r6)
        p6 = fma(f32(0.0013821328), r6, f32(0.008368671))
        p6 = fma(p6, r6, f32(0.04166826))
        p6 = fma(p6, r6, f32(0.16666521))
        p6 = fma(p6, r6, f32(0.49999994))
        p6 = fma(p6, r6, f32(1.0))
        p6 = fma(p6, r6, f32(1.0))
        n7 = i32(to_bits(shifted6) - 1262485444)
        n8 = i32(n7 >> 1)
        product11 = p6 * from_bits(i32((n8 + 127) << 23)) * from_bits(i32((n7 - n8 + 127) << 23))
        product12 = mul_rn(product11, f32(2.0**-60))
        result4 = product12 if negative < f32(0.0) else f32(1.0) - product12
    product13 = mul_rn(f32(2.0), result4)
    is_above2 = f32(0.0) < product10
    chosen12 = f32(1.0) if is_above2 else f32(-1.0)
    clamped8 = lesser(f32(30.0), abs_product10)
    shifted7 = fma(clamped8, f32(1.442695), f32(12582912.0))
    t4 = fma(shifted7 - f32(12582912.0), f32(-0.6931472), clamped8)
    t4_squared = t4 * t4
    p7 = fma(f32(0.002065175), t4_squared, f32(-0.02221844))
    p7 = fma(p7, t4_squared, f32(0.33333325))
    product14 = mul_rn(t4_squared, p7)
    scale3 = from_bits(i32((to_bits(shifted7) << 24) + 1065353216))
    p8 = fma(scale3, f32(0.859375), f32(-0.859375))
    p9 = fma(scale3, f32(0.859375), f32(0.859375))
    t5 = fma(t4, p9, mul_rn(product14, p8))
    total4 = p8 + t5
    p10 = fma(product14, f32(1.71875), f32(1.71875))
    p11 = fma(t4 - product14, f32(-1.71875), f32(1.71875))
    chosen13 = p10 if shifted7 == f32(12582912.0) else total4 + p11
    quotient3 = total4 / chosen13
    scale4 = from_bits(i32(to_bits(quotient3) | (to_bits(product10) & -2147483648)))
    chosen14 = chosen12 if is_above else scale4
    chosen15 = product13 if is_above2 else -product13
    chosen16 = chosen15 if is_above else f32(0.0)
    difference2 = chosen14 - chosen16
    product15 = f32(-1.0) * b
    t6 = fma(f32(-1.0), b, -product15)
    product16 = mul_rn(product15, difference2)
    t7 = fma(product15, difference2, -product16)
    t6 = fma(t6, difference2, t7)
    t6 = fma(product15, chosen14 - difference2 - chosen16, t6)
    total5 = f32(2.0) + product16
    difference3 = total5 - f32(2.0)
    total6 = f32(2.0) - (total5 - difference3) + (product16 - difference3)
    total7 = total6 + t6
    chosen17 = f32(0.0) if total7 != total7 else total7
    total8 = total5 + chosen17
    product17 = mul_rn(ddb, result * total8 * a)
    product18 = dy * (product9 + product17)
    mask5 = (mask or abs(product9) < f32(2.0**-100)) and (is_below or abs(product17) < f32(2.0**-100))
    db = product18
    if mask5 or product18 != product18:
        negative2 = -abs_b
        clamped9 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), b))
        b_is_nan2 = b != b
        a_is_nan = a != a
        is_not6 = not a_is_nan
        is_not7 = not b_is_nan2
        dy_is_nan = dy != dy
        is_not8 = not dy_is_nan
        dda_is_nan = dda != dda
        is_not9 = not dda_is_nan
        mask6 = b_is_nan2 and is_not6 and is_not7 and is_not8 and is_not9
        ddb_is_nan2 = ddb != ddb
        is_not10 = not ddb_is_nan2
        chosen18 = f32(0.0) if mask6 and is_not10 else clamped9
        is_equal = result == f32(0.0)
        chosen19 = chosen18 if is_equal else b
        t8 = fma(result, chosen19, result2)
        clamped10 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddb))
        mask7 = ddb_is_nan2 and is_not6 and is_not7 and is_not8 and is_not9
        chosen20 = f32(0.0) if mask7 and is_not10 else clamped10
        clamped11 = greater(f32(-177.44568), lesser(f32(17.32868), negative2))
        shifted8 = fma(clamped11, f32(1.442695), f32(12582912.0))
        k7 = shifted8 - f32(12582912.0)
        r7 = fma(k7, f32(-0.6931472), clamped11)
        r7 = fma(k7, f32(1.9046542e-09), r7)
        p12 = fma(f32(0.0013821328), r7, f32(0.008368671))
        p12 = fma(p12, r7, f32(0.04166826))
        p12 = fma(p12, r7, f32(0.16666521))
        p12 = fma(p12, r7, f32(0.49999994))
        p12 = fma(p12, r7, f32(1.0))
        p12 = fma(p12, r7, f32(1.0))
        n9 = i32(to_bits(shifted8) - 1262485400)
        n10 = i32(n9 >> 1)
        product19 = mul_rn(p12 * from_bits(i32((n10 + 127) << 23)), from_bits(i32((n9 - n10 + 127) << 23)))
        chosen21 = product19 if is_rare else t * f32(2.0**104)
        chosen22 = chosen18 if chosen21 == f32(0.0) else b
        chosen23 = mul_rn(chosen21, chosen22) if is_below else mul_rn(product3, f32(2.0**104))
        chosen24 = product19 if b < f32(0.0) else f32(2.0**104) - product19
        chosen25 = chosen24 if is_rare else mul_rn(quotient2, f32(2.0**104))
        total9 = chosen23 + chosen25
        product20 = dda * f32(2.0**-22)
        clamped12 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product20))
        mask8 = product20 != product20 and is_not6 and is_not7 and is_not8
        chosen26 = f32(0.0) if mask8 and is_not9 and is_not10 else clamped12
        chosen27 = chosen26 if total9 == f32(0.0) else product20
        chosen28 = mul_rn(total9, chosen27) if mask else mul_rn(product9, f32(2.0**82))
        clamped13 = greater(f32(-192.69492), lesser(f32(2.0794415), negative2))
        shifted9 = fma(clamped13, f32(1.442695), f32(12582912.0))
        k8 = shifted9 - f32(12582912.0)
        r8 = fma(k8, f32(-0.6931472), clamped13)
        r8 = fma(k8, f32(1.9046542e-09), r8)
        p13 = fma(f32(0.0013821328), r8, f32(0.008368671))
        p13 = fma(p13, r8, f32(0.04166826))
        p13 = fma(p13, r8, f32(0.16666521))
        p13 = fma(p13, r8, f32(0.49999994))
        p13 = fma(p13, r8, f32(1.0))
        p13 = fma(p13, r8, f32(1.0))
        n11 = i32(to_bits(shifted9) - 1262485378)
        n12 = i32(n11 >> 1)
        product21 = p13 * from_bits(i32((n12 + 127) << 23)) * from_bits(i32((n11 - n12 + 127) << 23))
        chosen29 = product21 if is_rare else t * f32(2.0**126)
        clamped14 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), total8))
        mask9 = total8 != total8 and is_not6 and is_not7 and is_not8 and is_not9
        chosen30 = f32(0.0) if mask9 and is_not10 else clamped14
        chosen31 = chosen30 if chosen29 == f32(0.0) else total8
        product22 = chosen29 * chosen31
        product23 = a * f32(2.0**-22)
        clamped15 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product23))
        mask10 = product23 != product23 and is_not6 and is_not7 and is_not8
        chosen32 = f32(0.0) if mask10 and is_not9 and is_not10 else clamped15
        chosen33 = chosen32 if product22 == f32(0.0) else product23
        product24 = product22 * chosen33
        product25 = ddb * f32(2.0**-22)
        clamped16 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product25))
        mask11 = product25 != product25 and is_not6 and is_not7 and is_not8
        chosen34 = f32(0.0) if mask11 and is_not9 and is_not10 else clamped16
        chosen35 = chosen34 if product24 == f32(0.0) else product25
        chosen36 = mul_rn(product24, chosen35) if is_below else mul_rn(product17, f32(2.0**82))
        total10 = chosen28 + chosen36
        product26 = dy * f32(2.0**-22)
        clamped17 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product26))
        mask12 = product26 != product26 and is_not6 and is_not7 and is_not8
        chosen37 = f32(0.0) if mask12 and is_not9 and is_not10 else clamped17
        chosen38 = chosen37 if total10 == f32(0.0) else product26
        clamped18 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dda))
        mask13 = dda_is_nan and is_not6 and is_not7 and is_not8 and is_not9
        chosen39 = f32(0.0) if mask13 and is_not10 else clamped18
        chosen40 = chosen39 if t8 == f32(0.0) else dda
        chosen41 = chosen30 if is_equal else total8
        product27 = result * chosen41
        clamped19 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), a))
        mask14 = a_is_nan and is_not6 and is_not7 and is_not8 and is_not9 and is_not10
        chosen42 = f32(0.0) if mask14 else clamped19
        chosen43 = chosen42 if product27 == f32(0.0) else a
        product28 = product27 * chosen43
        chosen44 = chosen20 if product28 == f32(0.0) else ddb
        t9 = fma(product28, chosen44, t8 * chosen40)
        clamped20 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dy))
        mask15 = dy_is_nan and is_not6 and is_not7 and is_not8 and is_not9
        chosen45 = f32(0.0) if mask15 and is_not10 else clamped20
        chosen46 = chosen45 if t9 == f32(0.0) else dy
        db = total10 * chosen38 * f32(2.0**-60) if mask5 else t9 * chosen46
    product29 = mul_rn(dda, result2 * b)
    product30 = mul_rn(ddb, a * total2)
    total11 = product29 + product30
    mask16 = (is_below2 or abs(product29) < f32(2.0**-100)) and (mask or abs(product30) < f32(2.0**-100))
    ddy = total11
    if mask16 or total11 != total11:
        negative3 = -abs_b
        is_below3 = b < f32(0.0)
        clamped21 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), b))
        b_is_nan3 = b != b
        a_is_nan2 = a != a
        is_not11 = not a_is_nan2
        is_not12 = not b_is_nan3
        is_not13 = not dy != dy
        dda_is_nan2 = dda != dda
        is_not14 = not dda_is_nan2
        mask17 = b_is_nan3 and is_not11 and is_not12 and is_not13 and is_not14
        ddb_is_nan3 = ddb != ddb
        is_not15 = not ddb_is_nan3
        chosen47 = f32(0.0) if mask17 and is_not15 else clamped21
        chosen48 = chosen47 if result == f32(0.0) else b
        t10 = fma(result, chosen48, result2)
        clamped22 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddb))
        mask18 = ddb_is_nan3 and is_not11 and is_not12 and is_not13 and is_not14
        chosen49 = f32(0.0) if mask18 and is_not15 else clamped22
        clamped23 = greater(f32(-192.69492), lesser(f32(2.0794415), negative3))
        shifted10 = fma(clamped23, f32(1.442695), f32(12582912.0))
        k9 = shifted10 - f32(12582912.0)
        r9 = fma(k9, f32(-0.6931472), clamped23)
        r9 = fma(k9, f32(1.9046542e-09), r9)
        p14 = fma(f32(0.0013821328), r9, f32(0.008368671))
        p14 = fma(p14, r9, f32(0.04166826))
        p14 = fma(p14, r9, f32(0.16666521))
        p14 = fma(p14, r9, f32(0.49999994))
        p14 = fma(p14, r9, f32(1.0))
        p14 = fma(p14, r9, f32(1.0))
        n13 = i32(to_bits(shifted10) - 1262485378)
        n14 = i32(n13 >> 1)
        product31 = mul_rn(p14 * from_bits(i32((n14 + 127) << 23)), from_bits(i32((n13 - n14 + 127) << 23)))
        chosen50 = product31 if is_rare else t * f32(2.0**126)
        clamped24 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dda))
        mask19 = dda_is_nan2 and is_not11 and is_not12 and is_not13 and is_not14
        chosen51 = f32(0.0) if mask19 and is_not15 else clamped24
        clamped25 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), a))
        mask20 = a_is_nan2 and is_not11 and is_not12 and is_not13 and is_not14
        chosen52 = f32(0.0) if mask20 and is_not15 else clamped25
        clamped26 = greater(f32(-169.82106), lesser(f32(24.953299), negative3))
        shifted11 = fma(clamped26, f32(1.442695), f32(12582912.0))
        k10 = shifted11 - f32(12582912.0)
        r10 = fma(k10, f32(-0.6931472), clamped26)
        r10 = fma(k10, f32(1.9046542e-09), r10)
        p15 = fma(f32(0.0013821328), r10, f32(0.008368671))
        p15 = fma(p15, r10, f32(0.04166826))
        p15 = fma(p15, r10, f32(0.16666521))
        p15 = fma(p15, r10, f32(0.49999994))
        p15 = fma(p15, r10, f32(1.0))
        p15 = fma(p15, r10, f32(1.0))
        n15 = i32(to_bits(shifted11) - 1262485411)
        n16 = i32(n15 >> 1)
        product32 = mul_rn(p15 * from_bits(i32((n16 + 127) << 23)), from_bits(i32((n15 - n16 + 127) << 23)))
        chosen53 = product32 if is_below3 else f32(2.0**93) - product32
        chosen54 = chosen53 if is_rare else quotient2 * f32(2.0**93)
        chosen55 = chosen47 if chosen54 == f32(0.0) else b
        product33 = chosen54 * chosen55
        product34 = dda * f32(2.0**-33)
        clamped27 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product34))
        mask21 = product34 != product34 and is_not11 and is_not12 and is_not13
        chosen56 = f32(0.0) if mask21 and is_not14 and is_not15 else clamped27
        chosen57 = chosen56 if product33 == f32(0.0) else product34
        chosen58 = mul_rn(product33, chosen57) if is_below2 else mul_rn(product29, f32(2.0**60))
        chosen59 = chosen47 if chosen50 == f32(0.0) else b
        chosen60 = mul_rn(chosen50, chosen59) if is_below else mul_rn(product3, f32(2.0**126))
        chosen61 = product31 if is_below3 else f32(2.0**126) - product31
        chosen62 = chosen61 if is_rare else mul_rn(quotient2, f32(2.0**126))
        total12 = chosen60 + chosen62
        product35 = a * f32(2.0**-33)
        clamped28 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product35))
        mask22 = product35 != product35 and is_not11 and is_not12 and is_not13
        chosen63 = f32(0.0) if mask22 and is_not14 and is_not15 else clamped28
        chosen64 = chosen63 if total12 == f32(0.0) else product35
        product36 = total12 * chosen64
        product37 = ddb * f32(2.0**-33)
        clamped29 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product37))
        mask23 = product37 != product37 and is_not11 and is_not12 and is_not13
        chosen65 = f32(0.0) if mask23 and is_not14 and is_not15 else clamped29
        chosen66 = chosen65 if product36 == f32(0.0) else product37
        chosen67 = mul_rn(product36, chosen66) if mask else mul_rn(product30, f32(2.0**60))
        chosen68 = chosen47 if result2 == f32(0.0) else b
        product38 = result2 * chosen68
        chosen69 = chosen51 if product38 == f32(0.0) else dda
        chosen70 = chosen52 if t10 == f32(0.0) else a
        product39 = t10 * chosen70
        chosen71 = chosen49 if product39 == f32(0.0) else ddb
        t11 = fma(product39, chosen71, product38 * chosen69)
        ddy = (chosen58 + chosen67) * f32(2.0**-60) if mask16 else t11
    return da, db, ddy


# Kernels ---------------------------------------------------------------------------------------------


@device
def keep(x):
    """As it is."""
    return x


@device
def first(array):
    """A parameter that lies on the device."""
    return array[0]


def forward_kernel(function, read, write):
    """y = function(a, b), at each element."""

    @cuda.jit
    def kernel(a, b, y):
        count = u64(y.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            y[i] = write(function(read(a[i]), read(b[i])))
            i += step

    return kernel


def backward_kernel(function, read, write):
    """da, db = function(a, b, dy), at each element."""

    @cuda.jit
    def kernel(a, b, dy, da, db):
        count = u64(db.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            da_here, db_here = function(read(a[i]), read(b[i]), read(dy[i]))
            da[i] = write(da_here)
            db[i] = write(db_here)
            i += step

    return kernel


def second_kernel(function, read, write):
    """da, db, ddy = function(a, b, dy, dda, ddb), at each element."""

    @cuda.jit
    def kernel(a, b, dy, dda, ddb, da, db, ddy):
        count = u64(ddy.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            da_here, db_here, ddy_here = function(read(a[i]), read(b[i]), read(dy[i]), read(dda[i]), read(ddb[i]))
            da[i] = write(da_here)
            db[i] = write(db_here)
            ddy[i] = write(ddy_here)
            i += step

    return kernel


# what makes the kernel, the function at one element, number of results
OPERATIONS = {
    "forward": (forward_kernel, forward_at, 1),
    "backward": (backward_kernel, backward_at, 2),
    "second": (second_kernel, second_at, 3),
}
# element type: what makes of an element the number to compute with, what makes an element; of 16 bits, both int16
FORMATS = {
    "float32": (keep, keep),
    "float16": (half_to_float, float_to_half),
    "bfloat16": (bfloat16_to_float, float_to_bfloat16),
}


# Launching -------------------------------------------------------------------------------------------


BLOCKS, THREADS = (2, 32) if config.ENABLE_CUDASIM else (1056, 256)  # the kernels' loops do what these leave


def launch(name, arrays, parameters, out, stream):
    """Runs an operation on the stream, without waiting for it; returns its results.

    arrays: CUDA arrays of one shape and element type, in C order. out: an array alike for each result; where it is
    None, the library of the first array makes them, if that is torch or CuPy, else Numba.
    parameters: each a number, or a CUDA array of float32 with one item. stream: see stream_of.
    """
    make, function, count = OPERATIONS[name]
    dtype, shape = dtype_of(arrays[0]), tuple(arrays[0].shape)
    if out is None:
        results = [empty(arrays[0], shape) for _ in range(count)]
    else:
        results = list(out) if count > 1 else [out]
    for array in (*arrays[1:], *results):
        if dtype_of(array) != dtype or tuple(array.shape) != shape:
            raise ValueError(f"{name}: {dtype} {shape} beside {dtype_of(array)} {tuple(array.shape)}")
    stream = stream_of(arrays[0], stream)
    ways = [keep if isinstance(value, (int, float, np.number)) else first for value in parameters]
    values = [np.float32(value) if way is keep else view(value) for value, way in zip(parameters, ways, strict=True)]
    operands = [*map(view, arrays), *values, *map(view, results)]
    size = math.prod(shape)
    if size:
        kernel_of(make, function, dtype, *ways)[BLOCKS, THREADS, stream](*operands)
    return results[0] if len(results) == 1 else tuple(results)


@cache
def kernel_of(make, function, dtype, *ways):
    """Numba compiles it at its first launch."""
    return make(function, *FORMATS[dtype], *ways)


def dtype_of(array):
    """The name of the element type. uint16 stands for the bits of bfloat16, for libraries that do not have it."""
    name = str(array.dtype).rpartition(".")[2]
    name = "bfloat16" if name == "uint16" else name
    if name not in FORMATS:
        raise TypeError(f"elements are {name}; here is code for {', '.join(FORMATS)}")
    return name


def view(array):
    """A flat Numba array over the memory of a CUDA array in C order; elements of 16 bits are int16."""
    interface = interface_of(array)
    shape, strides = interface["shape"], interface["strides"]
    itemsize = int(interface["typestr"][2:])
    dense = [itemsize * math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    size = math.prod(shape)
    strided = zip(strides or dense, dense, shape, strict=True)
    if size and any(stride != wanted for stride, wanted, length in strided if length > 1):
        raise ValueError(f"strides are {tuple(strides)} bytes, C order has {tuple(dense)}: copy the array first")
    if config.ENABLE_CUDASIM:
        flat = array.reshape(-1)
        return flat.view(np.int16) if itemsize == 2 else flat
    flat = {"shape": (size,), "strides": None, "data": interface["data"], "version": 3}
    flat["typestr"] = "<i2" if itemsize == 2 else interface["typestr"]
    return cuda.from_cuda_array_interface(flat, owner=array, sync=False)


def interface_of(array):
    """Where the array lies, as __cuda_array_interface__ says it; by DLPack for an array that has none."""
    if config.ENABLE_CUDASIM:
        return array.__array_interface__
    if hasattr(array, "detach"):  # torch exports no tensor that requires a gradient
        array = array.detach()
    found = getattr(array, "__cuda_array_interface__", None)
    if found is not None:
        return {"strides": None, **found}
    if not hasattr(array, "__dlpack__"):
        raise TypeError(f"{type(array).__name__} has neither __cuda_array_interface__ nor __dlpack__")
    from cuda.core.utils import StridedMemoryView  # numba-cuda needs it too

    found = StridedMemoryView.from_dlpack(array, stream_ptr=-1)
    if not found.is_device_accessible:
        raise ValueError(f"{type(array).__name__} lies in memory that no CUDA device reaches")
    strides = found.strides and tuple(stride * found.dtype.itemsize for stride in found.strides)
    return {
        "shape": found.shape, "strides": strides, "typestr": found.dtype.str, "data": (found.ptr, found.readonly),
    }  # fmt: skip


def empty(like, shape, dtype=None):
    """An array of the library that ``like`` is of, if that is torch or CuPy, else of Numba; of its dtype by default."""
    library = type(like).__module__.partition(".")[0]
    if library == "torch":
        return like.new_empty(shape, dtype=dtype and getattr(sys.modules["torch"], dtype))
    if library == "cupy":
        return sys.modules["cupy"].empty(shape, dtype or like.dtype)
    return cuda.device_array(shape, dtype or {"bfloat16": "uint16"}.get(dtype_of(like), dtype_of(like)))


def stream_of(array, stream):
    """The stream to launch on: the one given, of Numba or its address; else what the array's library uses now, if that
    is torch or CuPy, or what the array's interface names; else the default stream."""
    if config.ENABLE_CUDASIM:
        return 0
    if stream is None:
        library = type(array).__module__.partition(".")[0]
        if library == "torch":
            stream = sys.modules["torch"].cuda.current_stream(array.device).cuda_stream
        elif library == "cupy":
            stream = sys.modules["cupy"].cuda.get_current_stream().ptr
        else:
            stream = getattr(array, "__cuda_array_interface__", {}).get("stream") or 0
    return cuda.external_stream(stream) if isinstance(stream, int) and stream else stream


def forward(a, b, out=None, stream=None):
    """y = a*b*sigmoid(b)"""
    return launch("forward", (a, b), (), out, stream)


def backward(a, b, dy, out=None, stream=None):
    """da = dy*(b*sigmoid(b))
    db = dy*(a*(b*dsigmoid(b) + sigmoid(b)))"""
    return launch("backward", (a, b, dy), (), out, stream)


def second(a, b, dy, dda, ddb, out=None, stream=None):
    """The backward of backward: gradients for a, b, dy, from those for backward's results: dda, ddb."""
    return launch("second", (a, b, dy, dda, ddb), (), out, stream)
