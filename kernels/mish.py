"""mish: y = x*tanh(softplus(x))

Source: arXiv:1908.08681.
Derivative: infimum -0.112526122 (at -2.2563764), supremum 1.08849816 (at 1.49057118).
Adversary: y = x*(one_minus_tanh_softplus(x) - 0.0240279611377), by the rule reflect, s = 0.975972039, c = 0
(exact). one_minus_tanh_softplus(x): 2/((exp(x) + 1)**2 + 1). f* is not f with changed signs, so alternating
changes the network.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 1.70, 3.51, 1.83; float16 0.50, 0.50, 0.50; bfloat16 0.44, 0.49, 0.48.

    y = mish.forward(x)
    dx = mish.backward(x, dy)
    y = mish.pair(x, layer=3)  # layer 3 is odd: the adversary

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
    """y = x*tanh(softplus(x))"""
    shifted = fma(x, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), x)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
    total = difference + difference
    t = fma(scale, scale, scale * total)
    t2 = fma(total, difference, t)
    is_below = x < f32(0.0)
    chosen = t if is_below else total * difference
    quotient = chosen / t2
    abs_x = abs(x)
    chosen2 = quotient if is_below else f32(1.0) - quotient
    is_rare = not abs_x <= f32(42.0)
    result = chosen2
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
        result = product2 if is_below else f32(1.0) - product2
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
        chosen3 = product3 if is_below else f32(2.0**60) - product3
        chosen4 = chosen3 if is_rare else chosen2 * f32(2.0**60)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        x_is_nan = x != x
        chosen5 = f32(0.0) if x_is_nan and not x_is_nan else clamped3
        chosen6 = chosen5 if chosen4 == f32(0.0) else x
        y = chosen4 * chosen6 * f32(2.0**-60)
    return y


@device
def backward_at(x, dy):
    """dx = dy*((x*dlog_tanh_softplus(x) + 1)*tanh_softplus(x))"""
    shifted = fma(x, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), x)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
    total = difference + difference
    product = mul_rn(scale, total)
    t = fma(scale, scale, product)
    product2 = total * difference
    t2 = fma(total, difference, t)
    is_below = x < f32(0.0)
    chosen = scale * (t2 + product) if is_below else product2 * ((scale + difference) * f32(2.0))
    t3 = fma(difference, f32(2.0), scale)
    quotient = chosen / (t2 * t3)
    chosen2 = f32(1.0) - quotient if is_below else quotient
    abs_x = abs(x)
    is_rare = not abs_x <= f32(28.0)
    result = chosen2
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs(x + x)))
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
        product3 = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        result = f32(1.0) if is_below else product3 * f32(2.0**-58)
    result2 = mul_rn(result, x)
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-148.3335), lesser(f32(46.44086), -abs(x + x)))
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
        n3 = i32(to_bits(shifted3) - 1262485442)
        n4 = i32(n3 >> 1)
        product4 = p3 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        chosen3 = f32(2.0**60) if is_below else product4
        chosen4 = chosen3 if is_rare else chosen2 * f32(2.0**60)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        x_is_nan = x != x
        chosen5 = f32(0.0) if x_is_nan and not x_is_nan and not dy != dy else clamped3
        chosen6 = chosen5 if chosen4 == f32(0.0) else x
        result2 = mul_rn(chosen4 * chosen6, f32(2.0**-60))
    total2 = f32(1.0) + result2
    chosen7 = t if is_below else product2
    quotient2 = chosen7 / t2
    chosen8 = quotient2 if is_below else f32(1.0) - quotient2
    is_rare2 = not abs_x <= f32(42.0)
    result3 = chosen8
    if is_rare2:
        clamped4 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
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
        result3 = product6 if is_below else f32(1.0) - product6
    dx = dy * (result3 * total2)
    if result3 < f32(2.0**-100):
        is_not = not x != x
        is_not2 = not dy != dy
        clamped5 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_x))
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
        n7 = i32(to_bits(shifted5) - 1262485377)
        n8 = i32(n7 >> 1)
        product7 = mul_rn(p5 * from_bits(i32((n8 + 127) << 23)), from_bits(i32((n7 - n8 + 127) << 23)))
        chosen9 = product7 if is_below else f32(2.0**127) - product7
        chosen10 = chosen9 if is_rare2 else chosen8 * f32(2.0**127)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), total2))
        chosen11 = f32(0.0) if total2 != total2 and is_not and is_not2 else clamped6
        chosen12 = chosen11 if chosen10 == f32(0.0) else total2
        product8 = chosen10 * chosen12
        product9 = dy * f32(2.0**-67)
        clamped7 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product9))
        chosen13 = f32(0.0) if product9 != product9 and is_not and is_not2 else clamped7
        chosen14 = chosen13 if product8 == f32(0.0) else product9
        dx = product8 * chosen14 * f32(2.0**-60)
    return dx


@device
def second_at(x, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    negative = -x
    is_above = f32(0.0) < negative
    shifted = fma(negative, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), negative)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    abs_x = abs(x)
    is_rare = not abs_x <= f32(87.0)
    result = scale / (scale + (p - r))
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
        difference = f32(1.0) - product2
        result = product2 if negative < f32(0.0) else difference
    chosen = f32(1.0) if is_above else result
    shifted3 = fma(x, f32(1.442695), f32(12582912.0))
    k3 = shifted3 - f32(12582912.0)
    r3 = fma(k3, f32(-0.6931472), x)
    r3 = fma(k3, f32(1.9046542e-09), r3)
    r3_squared = r3 * r3
    p3 = fma(f32(-0.002766709), r3_squared, f32(0.16666625))
    p3 = fma(p3, r3_squared, f32(2.0))
    n3 = i32(to_bits(shifted3) << 23)
    scale2 = from_bits(i32(to_bits(p3 + r3) + n3))
    difference2 = p3 - r3
    total = scale2 + difference2
    is_below = x < f32(0.0)
    result2 = scale2 / total
    if is_rare:
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted4 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k4 = shifted4 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped2)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p4 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p4 = fma(p4, r4, f32(0.04166826))
        p4 = fma(p4, r4, f32(0.16666521))
        p4 = fma(p4, r4, f32(0.49999994))
        p4 = fma(p4, r4, f32(1.0))
        p4 = fma(p4, r4, f32(1.0))
        n4 = i32(to_bits(shifted4) - 1262485444)
        n5 = i32(n4 >> 1)
        product3 = p4 * from_bits(i32((n5 + 127) << 23)) * from_bits(i32((n4 - n5 + 127) << 23))
        product4 = mul_rn(product3, f32(2.0**-60))
        difference3 = f32(1.0) - product4
        result2 = product4 if is_below else difference3
    chosen2 = result2 if is_above else f32(0.0)
    difference4 = chosen - chosen2
    product5 = mul_rn(x, difference4)
    t = fma(x, difference4, -product5)
    t = fma(x, chosen - difference4 - chosen2, t)
    is_above2 = f32(0.0) < x
    chosen3 = f32(1.0) if is_above2 else result2
    chosen4 = result if is_above2 else f32(0.0)
    difference5 = chosen3 - chosen4
    total2 = difference2 + difference2
    product6 = mul_rn(scale2, total2)
    t2 = fma(scale2, scale2, product6)
    product7 = total2 * difference2
    t3 = fma(total2, difference2, t2)
    chosen5 = t2 if is_below else product7
    quotient = chosen5 / t3
    chosen6 = quotient if is_below else f32(1.0) - quotient
    is_rare2 = not abs_x <= f32(42.0)
    result3 = chosen6
    if is_rare2:
        clamped3 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted5 = fma(clamped3, f32(1.442695), f32(12582912.0))
        k5 = shifted5 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped3)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p5 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p5 = fma(p5, r5, f32(0.04166826))
        p5 = fma(p5, r5, f32(0.16666521))
        p5 = fma(p5, r5, f32(0.49999994))
        p5 = fma(p5, r5, f32(1.0))
        p5 = fma(p5, r5, f32(1.0))
        n6 = i32(to_bits(shifted5) - 1262485444)
        n7 = i32(n6 >> 1)
        product8 = p5 * from_bits(i32((n7 + 127) << 23)) * from_bits(i32((n6 - n7 + 127) << 23))
        product9 = mul_rn(product8, f32(2.0**-60))
        result3 = product9 if is_below else f32(1.0) - product9
    chosen7 = f32(1.0) if is_above2 else result3
    chosen8 = f32(0.0) if f32(42.0) < abs_x else quotient
    chosen9 = f32(0.0) if x <= f32(0.0) else chosen8
    difference6 = chosen7 - chosen9
    product10 = f32(-2.0) * x
    t4 = fma(f32(-2.0), x, -product10)
    product11 = product10 * difference5
    t5 = fma(product10, difference5, -product11)
    t4 = fma(t4, difference5, t5)
    t4 = fma(product10, chosen3 - difference5 - chosen4, t4)
    product12 = mul_rn(product11, difference6)
    t6 = fma(product11, difference6, -product12)
    t4 = fma(t4, difference6, t6)
    t4 = fma(product11, chosen7 - difference6 - chosen9, t4)
    total3 = f32(2.0) + product5
    difference7 = total3 - f32(2.0)
    total4 = f32(2.0) - (total3 - difference7) + (product5 - difference7)
    total5 = total3 + product12
    difference8 = total5 - total3
    total6 = total3 - (total5 - difference8) + (product12 - difference8)
    total7 = total6 + (total4 + t) + t4
    chosen10 = f32(0.0) if total7 != total7 else total7
    total8 = total5 + chosen10
    p6 = fma(f32(0.0013821328), r3, f32(0.008368671))
    p6 = fma(p6, r3, f32(0.04166826))
    p6 = fma(p6, r3, f32(0.16666521))
    p6 = fma(p6, r3, f32(0.49999994))
    p6 = fma(p6, r3, f32(1.0))
    p6 = fma(p6, r3, f32(1.0))
    scale3 = from_bits(i32(to_bits(p6) + n3))
    total9 = scale3 + f32(2.0)
    p7 = fma(scale3, total9, f32(2.0))
    t7 = fma(scale3, total9, f32(2.0) - p7)
    t7 = fma(scale3, scale3 - (total9 - f32(2.0)), t7)
    quotient2 = f32(2.0) / p7
    negative2 = -quotient2
    p8 = fma(negative2, p7, f32(2.0))
    p8 = fma(negative2, t7, p8)
    total10 = scale3 + f32(1.0)
    product13 = scale3 * total10
    t8 = fma(scale3, total10, -product13)
    t8 = fma(scale3, scale3 - (total10 - f32(1.0)), t8)
    product14 = product13 * quotient2
    product15 = mul_rn(product14, quotient2)
    t9 = fma(product13, quotient2, -product14)
    t8 = fma(t8, quotient2, t9)
    t10 = fma(product14, quotient2, -product15)
    t8 = fma(t8, quotient2, mul_rn(product15, p8))
    total11 = product15 + (t10 + t8)
    result4 = total11
    if is_rare2:
        clamped4 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted6 = fma(clamped4, f32(1.442695), f32(12582912.0))
        k6 = shifted6 - f32(12582912.0)
        r6 = fma(k6, f32(-0.6931472), clamped4)
        r6 = fma(k6, f32(1.9046542e-09), r6)
        p9 = fma(f32(0.0013821328), r6, f32(0.008368671))
        p9 = fma(p9, r6, f32(0.04166826))
        p9 = fma(p9, r6, f32(0.16666521))
        p9 = fma(p9, r6, f32(0.49999994))
        p9 = fma(p9, r6, f32(1.0))
        p9 = fma(p9, r6, f32(1.0))
        n8 = i32(to_bits(shifted6) - 1262485444)
        n9 = i32(n8 >> 1)
        product16 = p9 * from_bits(i32((n9 + 127) << 23)) * from_bits(i32((n8 - n9 + 127) << 23))
        product17 = mul_rn(product16, f32(2.0**-60))
        clamped5 = greater(f32(-146.9472), lesser(f32(47.827156), -abs(x + x)))
        shifted7 = fma(clamped5, f32(1.442695), f32(12582912.0))
        k7 = shifted7 - f32(12582912.0)
        r7 = fma(k7, f32(-0.6931472), clamped5)
        r7 = fma(k7, f32(1.9046542e-09), r7)
        p10 = fma(f32(0.0013821328), r7, f32(0.008368671))
        p10 = fma(p10, r7, f32(0.04166826))
        p10 = fma(p10, r7, f32(0.16666521))
        p10 = fma(p10, r7, f32(0.49999994))
        p10 = fma(p10, r7, f32(1.0))
        p10 = fma(p10, r7, f32(1.0))
        n10 = i32(to_bits(shifted7) - 1262485444)
        n11 = i32(n10 >> 1)
        product18 = p10 * from_bits(i32((n11 + 127) << 23)) * from_bits(i32((n10 - n11 + 127) << 23))
        result4 = product17 if is_below else product18 * f32(2.0**-58)
    dx = dy * (ddx * (result4 * total8))
    if result4 < f32(2.0**-100):
        clamped6 = greater(f32(-192.69492), lesser(f32(2.0794415), -abs_x))
        shifted8 = fma(clamped6, f32(1.442695), f32(12582912.0))
        k8 = shifted8 - f32(12582912.0)
        r8 = fma(k8, f32(-0.6931472), clamped6)
        r8 = fma(k8, f32(1.9046542e-09), r8)
        p11 = fma(f32(0.0013821328), r8, f32(0.008368671))
        p11 = fma(p11, r8, f32(0.04166826))
        p11 = fma(p11, r8, f32(0.16666521))
        p11 = fma(p11, r8, f32(0.49999994))
        p11 = fma(p11, r8, f32(1.0))
        p11 = fma(p11, r8, f32(1.0))
        n12 = i32(to_bits(shifted8) - 1262485378)
        n13 = i32(n12 >> 1)
        product19 = p11 * from_bits(i32((n13 + 127) << 23)) * from_bits(i32((n12 - n13 + 127) << 23))
        clamped7 = greater(f32(-194.0812), lesser(f32(0.6931472), -abs(x + x)))
        shifted9 = fma(clamped7, f32(1.442695), f32(12582912.0))
        k9 = shifted9 - f32(12582912.0)
        r9 = fma(k9, f32(-0.6931472), clamped7)
        r9 = fma(k9, f32(1.9046542e-09), r9)
        p12 = fma(f32(0.0013821328), r9, f32(0.008368671))
        p12 = fma(p12, r9, f32(0.04166826))
        p12 = fma(p12, r9, f32(0.16666521))
        p12 = fma(p12, r9, f32(0.49999994))
        p12 = fma(p12, r9, f32(1.0))
        p12 = fma(p12, r9, f32(1.0))
        n14 = i32(to_bits(shifted9) - 1262485376)
        n15 = i32(n14 >> 1)
        product20 = p12 * from_bits(i32((n15 + 127) << 23)) * from_bits(i32((n14 - n15 + 127) << 23))
        chosen11 = product19 if is_below else product20
        chosen12 = chosen11 if is_rare2 else total11 * f32(2.0**126)
        clamped8 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), total8))
        is_not = not x != x
        is_not2 = not dy != dy
        is_not3 = not ddx != ddx
        chosen13 = f32(0.0) if total8 != total8 and is_not and is_not2 and is_not3 else clamped8
        chosen14 = chosen13 if chosen12 == f32(0.0) else total8
        product21 = chosen12 * chosen14
        product22 = ddx * f32(2.0**-33)
        clamped9 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product22))
        mask = product22 != product22 and is_not and is_not2 and is_not3
        chosen15 = f32(0.0) if mask else clamped9
        chosen16 = chosen15 if product21 == f32(0.0) else product22
        product23 = product21 * chosen16
        product24 = dy * f32(2.0**-33)
        clamped10 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product24))
        mask2 = product24 != product24 and is_not and is_not2 and is_not3
        chosen17 = f32(0.0) if mask2 else clamped10
        chosen18 = chosen17 if product23 == f32(0.0) else product24
        dx = product23 * chosen18 * f32(2.0**-60)
    chosen19 = scale2 * (t3 + product6) if is_below else product7 * (total * f32(2.0))
    t11 = fma(difference2, f32(2.0), scale2)
    quotient3 = chosen19 / (t3 * t11)
    chosen20 = f32(1.0) - quotient3 if is_below else quotient3
    is_rare3 = not abs_x <= f32(28.0)
    result5 = chosen20
    if is_rare3:
        clamped11 = greater(f32(-146.9472), lesser(f32(47.827156), -abs(x + x)))
        shifted10 = fma(clamped11, f32(1.442695), f32(12582912.0))
        k10 = shifted10 - f32(12582912.0)
        r10 = fma(k10, f32(-0.6931472), clamped11)
        r10 = fma(k10, f32(1.9046542e-09), r10)
        p13 = fma(f32(0.0013821328), r10, f32(0.008368671))
        p13 = fma(p13, r10, f32(0.04166826))
        p13 = fma(p13, r10, f32(0.16666521))
        p13 = fma(p13, r10, f32(0.49999994))
        p13 = fma(p13, r10, f32(1.0))
        p13 = fma(p13, r10, f32(1.0))
        n16 = i32(to_bits(shifted10) - 1262485444)
        n17 = i32(n16 >> 1)
        product25 = p13 * from_bits(i32((n17 + 127) << 23)) * from_bits(i32((n16 - n17 + 127) << 23))
        result5 = f32(1.0) if is_below else product25 * f32(2.0**-58)
    result6 = mul_rn(result5, x)
    if result5 < f32(2.0**-100):
        x_is_nan = x != x
        clamped12 = greater(f32(-148.3335), lesser(f32(46.44086), -abs(x + x)))
        shifted11 = fma(clamped12, f32(1.442695), f32(12582912.0))
        k11 = shifted11 - f32(12582912.0)
        r11 = fma(k11, f32(-0.6931472), clamped12)
        r11 = fma(k11, f32(1.9046542e-09), r11)
        p14 = fma(f32(0.0013821328), r11, f32(0.008368671))
        p14 = fma(p14, r11, f32(0.04166826))
        p14 = fma(p14, r11, f32(0.16666521))
        p14 = fma(p14, r11, f32(0.49999994))
        p14 = fma(p14, r11, f32(1.0))
        p14 = fma(p14, r11, f32(1.0))
        n18 = i32(to_bits(shifted11) - 1262485442)
        n19 = i32(n18 >> 1)
        product26 = p14 * from_bits(i32((n19 + 127) << 23)) * from_bits(i32((n18 - n19 + 127) << 23))
        chosen21 = f32(2.0**60) if is_below else product26
        chosen22 = chosen21 if is_rare3 else chosen20 * f32(2.0**60)
        clamped13 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        mask3 = x_is_nan and not x_is_nan and not dy != dy and not ddx != ddx
        chosen23 = f32(0.0) if mask3 else clamped13
        chosen24 = chosen23 if chosen22 == f32(0.0) else x
        result6 = mul_rn(chosen22 * chosen24, f32(2.0**-60))
    total12 = f32(1.0) + result6
    ddy = ddx * (result3 * total12)
    if result3 < f32(2.0**-100):
        is_not4 = not x != x
        is_not5 = not dy != dy
        is_not6 = not ddx != ddx
        clamped14 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_x))
        shifted12 = fma(clamped14, f32(1.442695), f32(12582912.0))
        k12 = shifted12 - f32(12582912.0)
        r12 = fma(k12, f32(-0.6931472), clamped14)
        r12 = fma(k12, f32(1.9046542e-09), r12)
        p15 = fma(f32(0.0013821328), r12, f32(0.008368671))
        p15 = fma(p15, r12, f32(0.04166826))
        p15 = fma(p15, r12, f32(0.16666521))
        p15 = fma(p15, r12, f32(0.49999994))
        p15 = fma(p15, r12, f32(1.0))
        p15 = fma(p15, r12, f32(1.0))
        n20 = i32(to_bits(shifted12) - 1262485377)
        n21 = i32(n20 >> 1)
        product27 = mul_rn(p15 * from_bits(i32((n21 + 127) << 23)), from_bits(i32((n20 - n21 + 127) << 23)))
        chosen25 = product27 if is_below else f32(2.0**127) - product27
        chosen26 = chosen25 if is_rare2 else chosen6 * f32(2.0**127)
        clamped15 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), total12))
        chosen27 = f32(0.0) if total12 != total12 and is_not4 and is_not5 and is_not6 else clamped15
        chosen28 = chosen27 if chosen26 == f32(0.0) else total12
        product28 = chosen26 * chosen28
        product29 = ddx * f32(2.0**-67)
        clamped16 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product29))
        mask4 = product29 != product29 and is_not4 and is_not5 and is_not6
        chosen29 = f32(0.0) if mask4 else clamped16
        chosen30 = chosen29 if product28 == f32(0.0) else product29
        ddy = product28 * chosen30 * f32(2.0**-60)
    return dx, ddy


@device
def adversary_at(x):
    """y = x*(one_minus_tanh_softplus(x) - 0.0240279611377)"""
    shifted = fma(x, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), x)
    r = fma(k, f32(1.9046542e-09), r)
    p = fma(f32(0.0013821328), r, f32(0.008368671))
    p = fma(p, r, f32(0.04166826))
    p = fma(p, r, f32(0.16666521))
    p = fma(p, r, f32(0.49999994))
    p = fma(p, r, f32(1.0))
    p = fma(p, r, f32(1.0))
    scale = from_bits(i32(to_bits(p) + (to_bits(shifted) << 23)))
    total = scale + f32(2.0)
    p2 = fma(scale, total, f32(2.0))
    t = fma(scale, total, f32(2.0) - p2)
    t = fma(scale, scale - (total - f32(2.0)), t)
    quotient = f32(2.0) / p2
    negative = -quotient
    p3 = fma(negative, p2, f32(2.0))
    p3 = fma(negative, t, p3)
    result = quotient + mul_rn(quotient, f32(0.5) * p3)
    if not abs(x) <= f32(42.0):
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs(x + x)))
        shifted2 = fma(clamped, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped)
        r2 = fma(k2, f32(1.9046542e-09), r2)
        p4 = fma(f32(0.0013821328), r2, f32(0.008368671))
        p4 = fma(p4, r2, f32(0.04166826))
        p4 = fma(p4, r2, f32(0.16666521))
        p4 = fma(p4, r2, f32(0.49999994))
        p4 = fma(p4, r2, f32(1.0))
        p4 = fma(p4, r2, f32(1.0))
        n = i32(to_bits(shifted2) - 1262485444)
        n2 = i32(n >> 1)
        product = p4 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        result = f32(1.0) if x < f32(0.0) else mul_rn(product, f32(2.0**-59))
    y = x * (f32(-0.02402796) + result)
    return y


@device
def adversary_backward_at(x, dy):
    """dx = dy*(-x*dtanh_softplus(x) + one_minus_tanh_softplus(x) - 0.0240279611377)"""
    abs_x = abs(x)
    shifted = fma(x, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), x)
    r = fma(k, f32(1.9046542e-09), r)
    p = fma(f32(0.0013821328), r, f32(0.008368671))
    p = fma(p, r, f32(0.04166826))
    p = fma(p, r, f32(0.16666521))
    p = fma(p, r, f32(0.49999994))
    p = fma(p, r, f32(1.0))
    p = fma(p, r, f32(1.0))
    scale = from_bits(i32(to_bits(p) + (to_bits(shifted) << 23)))
    total = scale + f32(2.0)
    p2 = fma(scale, total, f32(2.0))
    t = fma(scale, total, f32(2.0) - p2)
    t = fma(scale, scale - (total - f32(2.0)), t)
    quotient = f32(2.0) / p2
    negative = -quotient
    p3 = fma(negative, p2, f32(2.0))
    p3 = fma(negative, t, p3)
    total2 = scale + f32(1.0)
    product = scale * total2
    t2 = fma(scale, total2, -product)
    t2 = fma(scale, scale - (total2 - f32(1.0)), t2)
    product2 = product * quotient
    product3 = mul_rn(product2, quotient)
    t3 = fma(product, quotient, -product2)
    t2 = fma(t2, quotient, t3)
    t4 = fma(product2, quotient, -product3)
    t2 = fma(t2, quotient, mul_rn(product3, p3))
    total3 = t4 + t2
    total4 = product3 + total3
    is_rare = not abs_x <= f32(42.0)
    result = total4
    if is_rare:
        is_below = x < f32(0.0)
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted2 = fma(clamped, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped)
        r2 = fma(k2, f32(1.9046542e-09), r2)
        p4 = fma(f32(0.0013821328), r2, f32(0.008368671))
        p4 = fma(p4, r2, f32(0.04166826))
        p4 = fma(p4, r2, f32(0.16666521))
        p4 = fma(p4, r2, f32(0.49999994))
        p4 = fma(p4, r2, f32(1.0))
        p4 = fma(p4, r2, f32(1.0))
        n = i32(to_bits(shifted2) - 1262485444)
        n2 = i32(n >> 1)
        product4 = p4 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs(x + x)))
        shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k3 = shifted3 - f32(12582912.0)
        r3 = fma(k3, f32(-0.6931472), clamped2)
        r3 = fma(k3, f32(1.9046542e-09), r3)
        p5 = fma(f32(0.0013821328), r3, f32(0.008368671))
        p5 = fma(p5, r3, f32(0.04166826))
        p5 = fma(p5, r3, f32(0.16666521))
        p5 = fma(p5, r3, f32(0.49999994))
        p5 = fma(p5, r3, f32(1.0))
        p5 = fma(p5, r3, f32(1.0))
        n3 = i32(to_bits(shifted3) - 1262485444)
        n4 = i32(n3 >> 1)
        product5 = p5 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        result = product4 * f32(2.0**-60) if is_below else product5 * f32(2.0**-58)
    x_is_nan = x != x
    chosen = x if x_is_nan else f32(0.0)
    chosen2 = chosen if is_rare else total3 - (total4 - product3)
    product6 = f32(-1.0) * x
    t5 = fma(f32(-1.0), x, -product6)
    is_rare2 = result < f32(2.0**-100)
    result2 = mul_rn(product6, result)
    if is_rare2:
        clamped3 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted4 = fma(clamped3, f32(1.442695), f32(12582912.0))
        k4 = shifted4 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped3)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p6 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p6 = fma(p6, r4, f32(0.04166826))
        p6 = fma(p6, r4, f32(0.16666521))
        p6 = fma(p6, r4, f32(0.49999994))
        p6 = fma(p6, r4, f32(1.0))
        p6 = fma(p6, r4, f32(1.0))
        n5 = i32(to_bits(shifted4) - 1262485444)
        n6 = i32(n5 >> 1)
        product7 = p6 * from_bits(i32((n6 + 127) << 23)) * from_bits(i32((n5 - n6 + 127) << 23))
        clamped4 = greater(f32(-148.3335), lesser(f32(46.44086), -abs(x + x)))
        shifted5 = fma(clamped4, f32(1.442695), f32(12582912.0))
        k5 = shifted5 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped4)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p7 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p7 = fma(p7, r5, f32(0.04166826))
        p7 = fma(p7, r5, f32(0.16666521))
        p7 = fma(p7, r5, f32(0.49999994))
        p7 = fma(p7, r5, f32(1.0))
        p7 = fma(p7, r5, f32(1.0))
        n7 = i32(to_bits(shifted5) - 1262485442)
        n8 = i32(n7 >> 1)
        product8 = p7 * from_bits(i32((n8 + 127) << 23)) * from_bits(i32((n7 - n8 + 127) << 23))
        chosen3 = product7 if x < f32(0.0) else product8
        chosen4 = chosen3 if is_rare else total4 * f32(2.0**60)
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product6))
        chosen5 = f32(0.0) if product6 != product6 and not x_is_nan and not dy != dy else clamped5
        chosen6 = chosen5 if chosen4 == f32(0.0) else product6
        product9 = chosen4 * chosen6
        result2 = mul_rn(product9, f32(2.0**-60))
    result3 = -result2
    if is_rare2:
        clamped6 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_x))
        shifted6 = fma(clamped6, f32(1.442695), f32(12582912.0))
        k6 = shifted6 - f32(12582912.0)
        r6 = fma(k6, f32(-0.6931472), clamped6)
        r6 = fma(k6, f32(1.9046542e-09), r6)
        p8 = fma(f32(0.0013821328), r6, f32(0.008368671))
        p8 = fma(p8, r6, f32(0.04166826))
        p8 = fma(p8, r6, f32(0.16666521))
        p8 = fma(p8, r6, f32(0.49999994))
        p8 = fma(p8, r6, f32(1.0))
        p8 = fma(p8, r6, f32(1.0))
        n9 = i32(to_bits(shifted6) - 1262485444)
        n10 = i32(n9 >> 1)
        product10 = p8 * from_bits(i32((n10 + 127) << 23)) * from_bits(i32((n9 - n10 + 127) << 23))
        clamped7 = greater(f32(-148.3335), lesser(f32(46.44086), -abs(x + x)))
        shifted7 = fma(clamped7, f32(1.442695), f32(12582912.0))
        k7 = shifted7 - f32(12582912.0)
        r7 = fma(k7, f32(-0.6931472), clamped7)
        r7 = fma(k7, f32(1.9046542e-09), r7)
        p9 = fma(f32(0.0013821328), r7, f32(0.008368671))
        p9 = fma(p9, r7, f32(0.04166826))
        p9 = fma(p9, r7, f32(0.16666521))
        p9 = fma(p9, r7, f32(0.49999994))
        p9 = fma(p9, r7, f32(1.0))
        p9 = fma(p9, r7, f32(1.0))
        n11 = i32(to_bits(shifted7) - 1262485442)
        n12 = i32(n11 >> 1)
        product11 = p9 * from_bits(i32((n12 + 127) << 23)) * from_bits(i32((n11 - n12 + 127) << 23))
        chosen7 = product10 if x < f32(0.0) else product11
        chosen8 = chosen7 if is_rare else total4 * f32(2.0**60)
        clamped8 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product6))
        chosen9 = f32(0.0) if product6 != product6 and not x_is_nan and not dy != dy else clamped8
        chosen10 = chosen9 if chosen8 == f32(0.0) else product6
        product12 = chosen8 * chosen10
        result3 = mul_rn(-product12, f32(2.0**-60))
    t6 = fma(product6, result, result3)
    t5 = fma(t5, result, t6)
    t5 = fma(product6, chosen2, t5)
    product13 = mul_rn(quotient, f32(0.5) * p3)
    total5 = quotient + product13
    result4 = total5
    if is_rare:
        is_below2 = x < f32(0.0)
        clamped9 = greater(f32(-146.9472), lesser(f32(47.827156), -abs(x + x)))
        shifted8 = fma(clamped9, f32(1.442695), f32(12582912.0))
        k8 = shifted8 - f32(12582912.0)
        r8 = fma(k8, f32(-0.6931472), clamped9)
        r8 = fma(k8, f32(1.9046542e-09), r8)
        p10 = fma(f32(0.0013821328), r8, f32(0.008368671))
        p10 = fma(p10, r8, f32(0.04166826))
        p10 = fma(p10, r8, f32(0.16666521))
        p10 = fma(p10, r8, f32(0.49999994))
        p10 = fma(p10, r8, f32(1.0))
        p10 = fma(p10, r8, f32(1.0))
        n13 = i32(to_bits(shifted8) - 1262485444)
        n14 = i32(n13 >> 1)
        product14 = p10 * from_bits(i32((n14 + 127) << 23)) * from_bits(i32((n13 - n14 + 127) << 23))
        result4 = f32(1.0) if is_below2 else mul_rn(product14, f32(2.0**-59))
    chosen11 = chosen if is_rare else product13 - (total5 - quotient)
    total6 = f32(-0.02402796) + result2
    difference = total6 - f32(-0.02402796)
    total7 = f32(-0.02402796) - (total6 - difference) + (result2 - difference)
    total8 = total6 + result4
    difference2 = total8 - total6
    total9 = total6 - (total8 - difference2) + (result4 - difference2)
    total10 = total9 + (total7 + t5) + chosen11
    chosen12 = f32(0.0) if total10 != total10 else total10
    dx = dy * (total8 + chosen12)
    return dx


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
    """y = x*tanh(softplus(x))"""
    return launch("forward", (x,), (), out, stream)


def backward(x, dy, out=None, stream=None):
    """dx = dy*((x*dlog_tanh_softplus(x) + 1)*tanh_softplus(x))"""
    return launch("backward", (x, dy), (), out, stream)


def second(x, dy, ddx, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (), out, stream)


def adversary(x, out=None, stream=None):
    """y = x*(one_minus_tanh_softplus(x) - 0.0240279611377)"""
    return launch("adversary", (x,), (), out, stream)


def adversary_backward(x, dy, out=None, stream=None):
    """dx = dy*(-x*dtanh_softplus(x) + one_minus_tanh_softplus(x) - 0.0240279611377)"""
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
