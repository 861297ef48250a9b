"""glu: y = a*sigmoid(b)

Source: arXiv:1612.08083.
Derivative: no image is known; glu has 2 inputs (a, b), and no one derivative.
Adversary: none by the rule reflect; glu has 2 inputs (a, b), and no one derivative.
Saved for backward: the input.
Errors: not measured for this module; python -m actcomp verify measures and proves it.

    y = glu.forward(a, b)
    da, db = glu.backward(a, b, dy)

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
    """y = a*sigmoid(b)"""
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
    y = result * a
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
        product4 = a * f32(2.0**-67)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product4))
        chosen3 = f32(0.0) if product4 != product4 and not a != a and not b != b else clamped3
        chosen4 = chosen3 if chosen2 == f32(0.0) else product4
        y = chosen2 * chosen4 * f32(2.0**-60)
    return y


@device
def backward_at(a, b, dy):
    """da = dy*(sigmoid(b))
    db = dy*(a*dsigmoid(b))"""
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
    da = dy * result
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
        product4 = dy * f32(2.0**-67)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product4))
        mask = product4 != product4 and not a != a and not b != b and not dy != dy
        chosen3 = f32(0.0) if mask else clamped3
        chosen4 = chosen3 if chosen2 == f32(0.0) else product4
        da = chosen2 * chosen4 * f32(2.0**-60)
    quotient2 = lesser(scale, difference) / total
    t = fma(-quotient2, quotient2, quotient2)
    result2 = t
    if is_rare:
        clamped4 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_b))
        shifted4 = fma(clamped4, f32(1.442695), f32(12582912.0))
        k4 = shifted4 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped4)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p4 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p4 = fma(p4, r4, f32(0.04166826))
        p4 = fma(p4, r4, f32(0.16666521))
        p4 = fma(p4, r4, f32(0.49999994))
        p4 = fma(p4, r4, f32(1.0))
        p4 = fma(p4, r4, f32(1.0))
        n5 = i32(to_bits(shifted4) - 1262485444)
        n6 = i32(n5 >> 1)
        product5 = p4 * from_bits(i32((n6 + 127) << 23)) * from_bits(i32((n5 - n6 + 127) << 23))
        product6 = mul_rn(product5, f32(2.0**-60))
        result2 = product6
    db = dy * (result2 * a)
    if result2 < f32(2.0**-100):
        is_not = not a != a
        is_not2 = not b != b
        is_not3 = not dy != dy
        clamped5 = greater(f32(-192.69492), lesser(f32(2.0794415), -abs_b))
        shifted5 = fma(clamped5, f32(1.442695), f32(12582912.0))
        k5 = shifted5 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped5)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p5 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p5 = fma(p5, r5, f32(0.04166826))
        p5 = fma(p5, r5, f32(0.16666521))
        p5 = fma(p5, r5, f32(0.49999994))
        p5 = fma(p5, r5, f32(1.0))
        p5 = fma(p5, r5, f32(1.0))
        n7 = i32(to_bits(shifted5) - 1262485378)
        n8 = i32(n7 >> 1)
        product7 = p5 * from_bits(i32((n8 + 127) << 23)) * from_bits(i32((n7 - n8 + 127) << 23))
        chosen5 = product7 if is_rare else t * f32(2.0**126)
        product8 = a * f32(2.0**-33)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product8))
        chosen6 = f32(0.0) if product8 != product8 and is_not and is_not2 and is_not3 else clamped6
        chosen7 = chosen6 if chosen5 == f32(0.0) else product8
        product9 = chosen5 * chosen7
        product10 = dy * f32(2.0**-33)
        clamped7 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product10))
        mask2 = product10 != product10 and is_not and is_not2 and is_not3
        chosen8 = f32(0.0) if mask2 else clamped7
        chosen9 = chosen8 if product9 == f32(0.0) else product10
        db = product9 * chosen9 * f32(2.0**-60)
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
    is_rare2 = result < f32(2.0**-100)
    result2 = ddb * result
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
        product3 = p3 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        chosen = product3 if is_rare else t * f32(2.0**127)
        product4 = ddb * f32(2.0**-67)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product4))
        mask = product4 != product4 and not a != a and not b != b and not dy != dy
        chosen2 = f32(0.0) if mask and not dda != dda and not ddb != ddb else clamped3
        chosen3 = chosen2 if chosen == f32(0.0) else product4
        result2 = chosen * chosen3 * f32(2.0**-60)
    t2 = fma(dda, f32(0.0), result2)
    da = dy * t2
    product5 = mul_rn(dda, result)
    product6 = mul_rn(b, f32(0.5))
    clamped4 = lesser(f32(30.0), abs(product6))
    shifted4 = fma(clamped4, f32(1.442695), f32(12582912.0))
    t3 = fma(shifted4 - f32(12582912.0), f32(-0.6931472), clamped4)
    t3_squared = t3 * t3
    p4 = fma(f32(0.002065175), t3_squared, f32(-0.02221844))
    p4 = fma(p4, t3_squared, f32(0.33333325))
    product7 = mul_rn(t3_squared, p4)
    scale2 = from_bits(i32((to_bits(shifted4) << 24) + 1065353216))
    p5 = fma(scale2, f32(0.859375), f32(-0.859375))
    p6 = fma(scale2, f32(0.859375), f32(0.859375))
    t4 = fma(t3, p6, mul_rn(product7, p5))
    total2 = p5 + t4
    p7 = fma(product7, f32(1.71875), f32(1.71875))
    p8 = fma(t3 - product7, f32(-1.71875), f32(1.71875))
    chosen4 = p7 if shifted4 == f32(12582912.0) else total2 + p8
    quotient2 = total2 / chosen4
    scale3 = from_bits(i32(to_bits(quotient2) | (to_bits(product6) & -2147483648)))
    product8 = a * scale3
    product9 = mul_rn(ddb, -(result * product8))
    product10 = dy * (product5 + product9)
    mask2 = (is_rare2 or abs(product5) < f32(2.0**-100)) and (is_rare2 or abs(product9) < f32(2.0**-100))
    db = product10
    if mask2 or product10 != product10:
        negative = -abs_b
        is_not = not a != a
        is_not2 = not b != b
        dy_is_nan = dy != dy
        is_not3 = not dy_is_nan
        dda_is_nan = dda != dda
        is_not4 = not dda_is_nan
        ddb_is_nan = ddb != ddb
        is_not5 = not ddb_is_nan
        clamped5 = greater(f32(-177.44568), lesser(f32(17.32868), negative))
        shifted5 = fma(clamped5, f32(1.442695), f32(12582912.0))
        k4 = shifted5 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped5)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p9 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p9 = fma(p9, r4, f32(0.04166826))
        p9 = fma(p9, r4, f32(0.16666521))
        p9 = fma(p9, r4, f32(0.49999994))
        p9 = fma(p9, r4, f32(1.0))
        p9 = fma(p9, r4, f32(1.0))
        n5 = i32(to_bits(shifted5) - 1262485400)
        n6 = i32(n5 >> 1)
        product11 = p9 * from_bits(i32((n6 + 127) << 23)) * from_bits(i32((n5 - n6 + 127) << 23))
        chosen5 = product11 if is_rare else t * f32(2.0**104)
        product12 = dda * f32(2.0**-22)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product12))
        mask3 = product12 != product12 and is_not and is_not2 and is_not3
        chosen6 = f32(0.0) if mask3 and is_not4 and is_not5 else clamped6
        chosen7 = chosen6 if chosen5 == f32(0.0) else product12
        chosen8 = mul_rn(chosen5, chosen7) if is_rare2 else mul_rn(product5, f32(2.0**82))
        clamped7 = greater(f32(-192.69492), lesser(f32(2.0794415), negative))
        shifted6 = fma(clamped7, f32(1.442695), f32(12582912.0))
        k5 = shifted6 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped7)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p10 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p10 = fma(p10, r5, f32(0.04166826))
        p10 = fma(p10, r5, f32(0.16666521))
        p10 = fma(p10, r5, f32(0.49999994))
        p10 = fma(p10, r5, f32(1.0))
        p10 = fma(p10, r5, f32(1.0))
        n7 = i32(to_bits(shifted6) - 1262485378)
        n8 = i32(n7 >> 1)
        product13 = p10 * from_bits(i32((n8 + 127) << 23)) * from_bits(i32((n7 - n8 + 127) << 23))
        chosen9 = product13 if is_rare else t * f32(2.0**126)
        product14 = product8 * f32(2.0**-22)
        clamped8 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product14))
        mask4 = product14 != product14 and is_not and is_not2 and is_not3
        chosen10 = f32(0.0) if mask4 and is_not4 and is_not5 else clamped8
        chosen11 = chosen10 if chosen9 == f32(0.0) else product14
        negative2 = -(chosen9 * chosen11)
        product15 = ddb * f32(2.0**-22)
        clamped9 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product15))
        mask5 = product15 != product15 and is_not and is_not2 and is_not3
        chosen12 = f32(0.0) if mask5 and is_not4 and is_not5 else clamped9
        chosen13 = chosen12 if negative2 == f32(0.0) else product15
        chosen14 = mul_rn(negative2, chosen13) if is_rare2 else mul_rn(product9, f32(2.0**82))
        total3 = chosen8 + chosen14
        product16 = dy * f32(2.0**-22)
        clamped10 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product16))
        mask6 = product16 != product16 and is_not and is_not2 and is_not3
        chosen15 = f32(0.0) if mask6 and is_not4 and is_not5 else clamped10
        chosen16 = chosen15 if total3 == f32(0.0) else product16
        clamped11 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dda))
        mask7 = dda_is_nan and is_not and is_not2 and is_not3 and is_not4
        chosen17 = f32(0.0) if mask7 and is_not5 else clamped11
        is_equal = result == f32(0.0)
        chosen18 = chosen17 if is_equal else dda
        clamped12 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product8))
        mask8 = product8 != product8 and is_not and is_not2 and is_not3 and is_not4
        chosen19 = f32(0.0) if mask8 and is_not5 else clamped12
        chosen20 = chosen19 if is_equal else product8
        negative3 = -(result * chosen20)
        clamped13 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddb))
        mask9 = ddb_is_nan and is_not and is_not2 and is_not3 and is_not4
        chosen21 = f32(0.0) if mask9 and is_not5 else clamped13
        chosen22 = chosen21 if negative3 == f32(0.0) else ddb
        t5 = fma(negative3, chosen22, result * chosen18)
        clamped14 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dy))
        mask10 = dy_is_nan and is_not and is_not2 and is_not3 and is_not4 and is_not5
        chosen23 = f32(0.0) if mask10 else clamped14
        chosen24 = chosen23 if t5 == f32(0.0) else dy
        db = total3 * chosen16 * f32(2.0**-60) if mask2 else t5 * chosen24
    quotient3 = scale / total
    result3 = quotient3
    if is_rare:
        clamped15 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_b))
        shifted7 = fma(clamped15, f32(1.442695), f32(12582912.0))
        k6 = shifted7 - f32(12582912.0)
        r6 = fma(k6, f32(-0.6931472), clamped15)
        r6 = fma(k6, f32(1.9046542e-09), r6)
        p11 = fma(f32(0.0013821328), r6, f32(0.008368671))
        p11 = fma(p11, r6, f32(0.04166826))
        p11 = fma(p11, r6, f32(0.16666521))
        p11 = fma(p11, r6, f32(0.49999994))
        p11 = fma(p11, r6, f32(1.0))
        p11 = fma(p11, r6, f32(1.0))
        n9 = i32(to_bits(shifted7) - 1262485444)
        n10 = i32(n9 >> 1)
        product17 = p11 * from_bits(i32((n10 + 127) << 23)) * from_bits(i32((n9 - n10 + 127) << 23))
        product18 = mul_rn(product17, f32(2.0**-60))
        result3 = product18 if b < f32(0.0) else f32(1.0) - product18
    product19 = mul_rn(dda, result3)
    product20 = mul_rn(ddb, result * a)
    total4 = product19 + product20
    is_below = result3 < f32(2.0**-100)
    mask11 = (is_below or abs(product19) < f32(2.0**-100)) and (is_rare2 or abs(product20) < f32(2.0**-100))
    ddy = total4
    if mask11 or total4 != total4:
        negative4 = -abs_b
        a_is_nan = a != a
        is_not6 = not a_is_nan
        is_not7 = not b != b
        is_not8 = not dy != dy
        dda_is_nan2 = dda != dda
        is_not9 = not dda_is_nan2
        ddb_is_nan2 = ddb != ddb
        is_not10 = not ddb_is_nan2
        clamped16 = greater(f32(-192.69492), lesser(f32(2.0794415), negative4))
        shifted8 = fma(clamped16, f32(1.442695), f32(12582912.0))
        k7 = shifted8 - f32(12582912.0)
        r7 = fma(k7, f32(-0.6931472), clamped16)
        r7 = fma(k7, f32(1.9046542e-09), r7)
        p12 = fma(f32(0.0013821328), r7, f32(0.008368671))
        p12 = fma(p12, r7, f32(0.04166826))
        p12 = fma(p12, r7, f32(0.16666521))
        p12 = fma(p12, r7, f32(0.49999994))
        p12 = fma(p12, r7, f32(1.0))
        p12 = fma(p12, r7, f32(1.0))
        n11 = i32(to_bits(shifted8) - 1262485378)
        n12 = i32(n11 >> 1)
        product21 = p12 * from_bits(i32((n12 + 127) << 23)) * from_bits(i32((n11 - n12 + 127) << 23))
        chosen25 = product21 if is_rare else t * f32(2.0**126)
        clamped17 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dda))
        mask12 = dda_is_nan2 and is_not6 and is_not7 and is_not8 and is_not9
        chosen26 = f32(0.0) if mask12 and is_not10 else clamped17
        clamped18 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddb))
        mask13 = ddb_is_nan2 and is_not6 and is_not7 and is_not8 and is_not9
        chosen27 = f32(0.0) if mask13 and is_not10 else clamped18
        clamped19 = greater(f32(-169.82106), lesser(f32(24.953299), negative4))
        shifted9 = fma(clamped19, f32(1.442695), f32(12582912.0))
        k8 = shifted9 - f32(12582912.0)
        r8 = fma(k8, f32(-0.6931472), clamped19)
        r8 = fma(k8, f32(1.9046542e-09), r8)
        p13 = fma(f32(0.0013821328), r8, f32(0.008368671))
        p13 = fma(p13, r8, f32(0.04166826))
        p13 = fma(p13, r8, f32(0.16666521))
        p13 = fma(p13, r8, f32(0.49999994))
        p13 = fma(p13, r8, f32(1.0))
        p13 = fma(p13, r8, f32(1.0))
        n13 = i32(to_bits(shifted9) - 1262485411)
        n14 = i32(n13 >> 1)
        product22 = mul_rn(p13 * from_bits(i32((n14 + 127) << 23)), from_bits(i32((n13 - n14 + 127) << 23)))
        chosen28 = product22 if b < f32(0.0) else f32(2.0**93) - product22
        chosen29 = chosen28 if is_rare else quotient3 * f32(2.0**93)
        product23 = dda * f32(2.0**-33)
        clamped20 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product23))
        mask14 = product23 != product23 and is_not6 and is_not7 and is_not8
        chosen30 = f32(0.0) if mask14 and is_not9 and is_not10 else clamped20
        chosen31 = chosen30 if chosen29 == f32(0.0) else product23
        chosen32 = mul_rn(chosen29, chosen31) if is_below else mul_rn(product19, f32(2.0**60))
        product24 = a * f32(2.0**-33)
        clamped21 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product24))
        mask15 = product24 != product24 and is_not6 and is_not7 and is_not8
        chosen33 = f32(0.0) if mask15 and is_not9 and is_not10 else clamped21
        chosen34 = chosen33 if chosen25 == f32(0.0) else product24
        product25 = chosen25 * chosen34
        product26 = ddb * f32(2.0**-33)
        clamped22 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product26))
        mask16 = product26 != product26 and is_not6 and is_not7 and is_not8
        chosen35 = f32(0.0) if mask16 and is_not9 and is_not10 else clamped22
        chosen36 = chosen35 if product25 == f32(0.0) else product26
        chosen37 = mul_rn(product25, chosen36) if is_rare2 else mul_rn(product20, f32(2.0**60))
        chosen38 = chosen26 if result3 == f32(0.0) else dda
        clamped23 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), a))
        mask17 = a_is_nan and is_not6 and is_not7 and is_not8 and is_not9 and is_not10
        chosen39 = f32(0.0) if mask17 else clamped23
        chosen40 = chosen39 if result == f32(0.0) else a
        product27 = result * chosen40
        chosen41 = chosen27 if product27 == f32(0.0) else ddb
        t6 = fma(product27, chosen41, result3 * chosen38)
        ddy = (chosen32 + chosen37) * f32(2.0**-60) if mask11 else t6
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
    """y = a*sigmoid(b)"""
    return launch("forward", (a, b), (), out, stream)


def backward(a, b, dy, out=None, stream=None):
    """da = dy*(sigmoid(b))
    db = dy*(a*dsigmoid(b))"""
    return launch("backward", (a, b, dy), (), out, stream)


def second(a, b, dy, dda, ddb, out=None, stream=None):
    """The backward of backward: gradients for a, b, dy, from those for backward's results: dda, ddb."""
    return launch("second", (a, b, dy, dda, ddb), (), out, stream)
