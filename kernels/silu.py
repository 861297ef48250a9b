"""silu: y = x*sigmoid(x)

Source: arXiv:1702.03118.
Derivative: infimum -0.0998393201 (at -2.39935728), supremum 1.09983932 (at 2.39935728).
Adversary: y = x*sigmoid(-x), by the rule reflect, s = 1 (exact). f*(x) = -f(-x): between linear maps this
only renames weights, so alternating trains the same network, unless a residual sum, max-pooling or shared
weights stand there.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 1.56, 2.29, 1.22; float16 0.50, 0.50, 0.50; bfloat16 0.48, 0.50, 0.50.

    y = silu.forward(x)
    dx = silu.backward(x, dy)
    y = silu.pair(x, layer=3)  # layer 3 is odd: the adversary

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
def forward_at(x):
    """y = x*sigmoid(x)"""
    shifted = fma(x, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), x)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    abs_x = abs(x)
    quotient = scale / (scale + (p - r))
    is_rare = not abs_x <= f32(87.0)
    result = quotient
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
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
        result = product2 if x < f32(0.0) else f32(1.0) - product2
    y = result * x
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
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
        product3 = mul_rn(p3 * from_bits(i32((n4 + 127) << 23)), from_bits(i32((n3 - n4 + 127) << 23)))
        chosen = product3 if x < f32(0.0) else f32(2.0**60) - product3
        chosen2 = chosen if is_rare else quotient * f32(2.0**60)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        x_is_nan = x != x
        chosen3 = f32(0.0) if x_is_nan and not x_is_nan else clamped3
        chosen4 = chosen3 if chosen2 == f32(0.0) else x
        y = chosen2 * chosen4 * f32(2.0**-60)
    return y


@device
def backward_at(x, dy):
    """dx = dy*(x*dsigmoid(x) + sigmoid(x))"""
    shifted = fma(x, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), x)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
    total = scale + difference
    quotient = lesser(scale, difference) / total
    t = fma(-quotient, quotient, quotient)
    abs_x = abs(x)
    is_rare = not abs_x <= f32(87.0)
    result = t
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
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
    product3 = mul_rn(result, x)
    quotient2 = scale / total
    result2 = quotient2
    if is_rare:
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
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
        result2 = product5 if x < f32(0.0) else f32(1.0) - product5
    product6 = dy * (product3 + result2)
    is_below = result < f32(2.0**-100)
    mask = (is_below or abs(product3) < f32(2.0**-100)) and result2 < f32(2.0**-100)
    dx = product6
    if mask or product6 != product6:
        clamped3 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_x))
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
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        x_is_nan = x != x
        is_not = not x_is_nan
        dy_is_nan = dy != dy
        is_not2 = not dy_is_nan
        chosen2 = f32(0.0) if x_is_nan and is_not and is_not2 else clamped4
        chosen3 = chosen2 if chosen == f32(0.0) else x
        chosen4 = mul_rn(chosen, chosen3) if is_below else mul_rn(product3, f32(2.0**127))
        chosen5 = product7 if x < f32(0.0) else f32(2.0**127) - product7
        chosen6 = chosen5 if is_rare else mul_rn(quotient2, f32(2.0**127))
        total2 = chosen4 + chosen6
        product8 = dy * f32(2.0**-67)
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product8))
        chosen7 = f32(0.0) if product8 != product8 and is_not and is_not2 else clamped5
        chosen8 = chosen7 if total2 == f32(0.0) else product8
        chosen9 = chosen2 if result == f32(0.0) else x
        t2 = fma(result, chosen9, result2)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dy))
        chosen10 = f32(0.0) if dy_is_nan and is_not and is_not2 else clamped6
        chosen11 = chosen10 if t2 == f32(0.0) else dy
        dx = total2 * chosen8 * f32(2.0**-60) if mask else t2 * chosen11
    return dx


@device
def second_at(x, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    product = mul_rn(x, f32(0.5))
    abs_product = abs(product)
    is_above = f32(1.0) < abs_product
    size = abs(product + product)
    negative = -size
    shifted = fma(negative, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), negative)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    abs_size = abs(size)
    result = scale / (scale + (p - r))
    if not abs_size <= f32(87.0):
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_size))
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
        product2 = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product3 = mul_rn(product2, f32(2.0**-60))
        result = product3 if negative < f32(0.0) else f32(1.0) - product3
    product4 = mul_rn(f32(2.0), result)
    is_above2 = f32(0.0) < product
    chosen = f32(1.0) if is_above2 else f32(-1.0)
    clamped2 = lesser(f32(30.0), abs_product)
    shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
    t = fma(shifted3 - f32(12582912.0), f32(-0.6931472), clamped2)
    t_squared = t * t
    p3 = fma(f32(0.002065175), t_squared, f32(-0.02221844))
    p3 = fma(p3, t_squared, f32(0.33333325))
    product5 = mul_rn(t_squared, p3)
    scale2 = from_bits(i32((to_bits(shifted3) << 24) + 1065353216))
    p4 = fma(scale2, f32(0.859375), f32(-0.859375))
    p5 = fma(scale2, f32(0.859375), f32(0.859375))
    t2 = fma(t, p5, mul_rn(product5, p4))
    total = p4 + t2
    p6 = fma(product5, f32(1.71875), f32(1.71875))
    p7 = fma(t - product5, f32(-1.71875), f32(1.71875))
    chosen2 = p6 if shifted3 == f32(12582912.0) else total + p7
    quotient = total / chosen2
    scale3 = from_bits(i32(to_bits(quotient) | (to_bits(product) & -2147483648)))
    chosen3 = chosen if is_above else scale3
    chosen4 = product4 if is_above2 else -product4
    chosen5 = chosen4 if is_above else f32(0.0)
    difference = chosen3 - chosen5
    product6 = f32(-1.0) * x
    t3 = fma(f32(-1.0), x, -product6)
    product7 = mul_rn(product6, difference)
    t4 = fma(product6, difference, -product7)
    t3 = fma(t3, difference, t4)
    t3 = fma(product6, chosen3 - difference - chosen5, t3)
    total2 = f32(2.0) + product7
    difference2 = total2 - f32(2.0)
    total3 = f32(2.0) - (total2 - difference2) + (product7 - difference2)
    total4 = total3 + t3
    chosen6 = f32(0.0) if total4 != total4 else total4
    total5 = total2 + chosen6
    shifted4 = fma(x, f32(1.442695), f32(12582912.0))
    k3 = shifted4 - f32(12582912.0)
    r3 = fma(k3, f32(-0.6931472), x)
    r3 = fma(k3, f32(1.9046542e-09), r3)
    r3_squared = r3 * r3
    p8 = fma(f32(-0.002766709), r3_squared, f32(0.16666625))
    p8 = fma(p8, r3_squared, f32(2.0))
    scale4 = from_bits(i32(to_bits(p8 + r3) + (to_bits(shifted4) << 23)))
    difference3 = p8 - r3
    total6 = scale4 + difference3
    quotient2 = lesser(scale4, difference3) / total6
    t5 = fma(-quotient2, quotient2, quotient2)
    abs_x = abs(x)
    is_rare = not abs_x <= f32(87.0)
    result2 = t5
    if is_rare:
        clamped3 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted5 = fma(clamped3, f32(1.442695), f32(12582912.0))
        k4 = shifted5 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped3)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p9 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p9 = fma(p9, r4, f32(0.04166826))
        p9 = fma(p9, r4, f32(0.16666521))
        p9 = fma(p9, r4, f32(0.49999994))
        p9 = fma(p9, r4, f32(1.0))
        p9 = fma(p9, r4, f32(1.0))
        n3 = i32(to_bits(shifted5) - 1262485444)
        n4 = i32(n3 >> 1)
        product8 = p9 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        product9 = mul_rn(product8, f32(2.0**-60))
        result2 = product9
    is_rare2 = result2 < f32(2.0**-100)
    dx = dy * (ddx * (result2 * total5))
    if is_rare2:
        clamped4 = greater(f32(-192.69492), lesser(f32(2.0794415), -abs_x))
        shifted6 = fma(clamped4, f32(1.442695), f32(12582912.0))
        k5 = shifted6 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped4)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p10 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p10 = fma(p10, r5, f32(0.04166826))
        p10 = fma(p10, r5, f32(0.16666521))
        p10 = fma(p10, r5, f32(0.49999994))
        p10 = fma(p10, r5, f32(1.0))
        p10 = fma(p10, r5, f32(1.0))
        n5 = i32(to_bits(shifted6) - 1262485378)
        n6 = i32(n5 >> 1)
        product10 = p10 * from_bits(i32((n6 + 127) << 23)) * from_bits(i32((n5 - n6 + 127) << 23))
        chosen7 = product10 if is_rare else t5 * f32(2.0**126)
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), total5))
        is_not = not x != x
        is_not2 = not dy != dy
        is_not3 = not ddx != ddx
        chosen8 = f32(0.0) if total5 != total5 and is_not and is_not2 and is_not3 else clamped5
        chosen9 = chosen8 if chosen7 == f32(0.0) else total5
        product11 = chosen7 * chosen9
        product12 = ddx * f32(2.0**-33)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product12))
        mask = product12 != product12 and is_not and is_not2 and is_not3
        chosen10 = f32(0.0) if mask else clamped6
        chosen11 = chosen10 if product11 == f32(0.0) else product12
        product13 = product11 * chosen11
        product14 = dy * f32(2.0**-33)
        clamped7 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product14))
        mask2 = product14 != product14 and is_not and is_not2 and is_not3
        chosen12 = f32(0.0) if mask2 else clamped7
        chosen13 = chosen12 if product13 == f32(0.0) else product14
        dx = product13 * chosen13 * f32(2.0**-60)
    product15 = mul_rn(result2, x)
    quotient3 = scale4 / total6
    result3 = quotient3
    if is_rare:
        clamped8 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted7 = fma(clamped8, f32(1.442695), f32(12582912.0))
        k6 = shifted7 - f32(12582912.0)
        r6 = fma(k6, f32(-0.6931472), clamped8)
        r6 = fma(k6, f32(1.9046542e-09), r6)
        p11 = fma(f32(0.0013821328), r6, f32(0.008368671))
        p11 = fma(p11, r6, f32(0.04166826))
        p11 = fma(p11, r6, f32(0.16666521))
        p11 = fma(p11, r6, f32(0.49999994))
        p11 = fma(p11, r6, f32(1.0))
        p11 = fma(p11, r6, f32(1.0))
        n7 = i32(to_bits(shifted7) - 1262485444)
        n8 = i32(n7 >> 1)
        product16 = p11 * from_bits(i32((n8 + 127) << 23)) * from_bits(i32((n7 - n8 + 127) << 23))
        product17 = mul_rn(product16, f32(2.0**-60))
        result3 = product17 if x < f32(0.0) else f32(1.0) - product17
    product18 = ddx * (product15 + result3)
    mask3 = (is_rare2 or abs(product15) < f32(2.0**-100)) and result3 < f32(2.0**-100)
    ddy = product18
    if mask3 or product18 != product18:
        x_is_nan = x != x
        is_not4 = not x_is_nan
        is_not5 = not dy != dy
        ddx_is_nan = ddx != ddx
        is_not6 = not ddx_is_nan
        clamped9 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_x))
        shifted8 = fma(clamped9, f32(1.442695), f32(12582912.0))
        k7 = shifted8 - f32(12582912.0)
        r7 = fma(k7, f32(-0.6931472), clamped9)
        r7 = fma(k7, f32(1.9046542e-09), r7)
        p12 = fma(f32(0.0013821328), r7, f32(0.008368671))
        p12 = fma(p12, r7, f32(0.04166826))
        p12 = fma(p12, r7, f32(0.16666521))
        p12 = fma(p12, r7, f32(0.49999994))
        p12 = fma(p12, r7, f32(1.0))
        p12 = fma(p12, r7, f32(1.0))
        n9 = i32(to_bits(shifted8) - 1262485377)
        n10 = i32(n9 >> 1)
        product19 = mul_rn(p12 * from_bits(i32((n10 + 127) << 23)), from_bits(i32((n9 - n10 + 127) << 23)))
        chosen14 = product19 if is_rare else t5 * f32(2.0**127)
        clamped10 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        chosen15 = f32(0.0) if x_is_nan and is_not4 and is_not5 and is_not6 else clamped10
        chosen16 = chosen15 if chosen14 == f32(0.0) else x
        chosen17 = mul_rn(chosen14, chosen16) if is_rare2 else mul_rn(product15, f32(2.0**127))
        chosen18 = product19 if x < f32(0.0) else f32(2.0**127) - product19
        chosen19 = chosen18 if is_rare else mul_rn(quotient3, f32(2.0**127))
        total7 = chosen17 + chosen19
        product20 = ddx * f32(2.0**-67)
        clamped11 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product20))
        mask4 = product20 != product20 and is_not4 and is_not5 and is_not6
        chosen20 = f32(0.0) if mask4 else clamped11
        chosen21 = chosen20 if total7 == f32(0.0) else product20
        chosen22 = chosen15 if result2 == f32(0.0) else x
        t6 = fma(result2, chosen22, result3)
        clamped12 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddx))
        chosen23 = f32(0.0) if ddx_is_nan and is_not4 and is_not5 and is_not6 else clamped12
        chosen24 = chosen23 if t6 == f32(0.0) else ddx
        ddy = total7 * chosen21 * f32(2.0**-60) if mask3 else t6 * chosen24
    return dx, ddy


@device
def adversary_at(x):
    """y = x*sigmoid(-x)"""
    return -forward_at(-x)


@device
def adversary_backward_at(x, dy):
    """dx = dy*(-x*dsigmoid(-x) + sigmoid(-x))"""
    return backward_at(-x, dy)


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
    """y = function(x), at each element."""

    @cuda.jit
    def kernel(x, y):
        count = u64(y.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            y[i] = write(function(read(x[i])))
            i += step

    return kernel


def backward_kernel(function, read, write):
    """dx = function(x, dy), at each element."""

    @cuda.jit
    def kernel(x, dy, dx):
        count = u64(dx.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            dx[i] = write(function(read(x[i]), read(dy[i])))
            i += step

    return kernel


def second_kernel(function, read, write):
    """dx, ddy = function(x, dy, ddx), at each element."""

    @cuda.jit
    def kernel(x, dy, ddx, dx, ddy):
        count = u64(ddy.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            dx_here, ddy_here = function(read(x[i]), read(dy[i]), read(ddx[i]))
            dx[i] = write(dx_here)
            ddy[i] = write(ddy_here)
            i += step

    return kernel


# what makes the kernel, the function at one element, number of results
OPERATIONS = {
    "forward": (forward_kernel, forward_at, 1),
    "backward": (backward_kernel, backward_at, 1),
    "second": (second_kernel, second_at, 2),
    "adversary": (forward_kernel, adversary_at, 1),
    "adversary_backward": (backward_kernel, adversary_backward_at, 1),
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


def forward(x, out=None, stream=None):
    """y = x*sigmoid(x)"""
    return launch("forward", (x,), (), out, stream)


def backward(x, dy, out=None, stream=None):
    """dx = dy*(x*dsigmoid(x) + sigmoid(x))"""
    return launch("backward", (x, dy), (), out, stream)


def second(x, dy, ddx, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (), out, stream)


def adversary(x, out=None, stream=None):
    """y = x*sigmoid(-x)"""
    return launch("adversary", (x,), (), out, stream)


def adversary_backward(x, dy, out=None, stream=None):
    """dx = dy*(-x*dsigmoid(-x) + sigmoid(-x))"""
    return launch("adversary_backward", (x, dy), (), out, stream)


def pair(x, layer, out=None, stream=None):
    """``forward`` for layers 0, 2, 4 ..., ``adversary`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary(x, out, stream)
    return forward(x, out, stream)


def pair_backward(x, dy, layer, out=None, stream=None):
    """``backward`` for layers 0, 2, 4 ..., ``adversary_backward`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary_backward(x, dy, out, stream)
    return backward(x, dy, out, stream)
