"""gelu_tanh: y = 0.5*x*(1 + tanh(sqrt(2/pi)*(x + 0.044715*x**3)))

Source: arXiv:1606.08415.
Derivative: infimum -0.128993069 (at -1.41850401), supremum 1.12899307 (at 1.41850401).
Adversary: y = x*(tanh(sqrt(2)*(-8943*x**3/200000 - x)/sqrt(pi)) + 1)/2, by the rule reflect, s = 1 (exact).
f*(x) = -f(-x): between linear maps this only renames weights, so alternating trains the same network, unless
a residual sum, max-pooling or shared weights stand there.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 1.84, 2.52, 3.16; float16 0.49, 0.50, 0.50; bfloat16 0.44, 0.50, 0.48.

    y = gelu_tanh.forward(x)
    dx = gelu_tanh.backward(x, dy)
    y = gelu_tanh.pair(x, layer=3)  # layer 3 is odd: the adversary

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
    """y = x*(tanh(sqrt(2)*(8943*x**3/200000 + x)/sqrt(pi)) + 1)/2"""
    p = fma(f32(0.035677407), x * x, f32(0.7978846))
    product = mul_rn(mul_rn(x, p), f32(2.0))
    shifted = fma(product, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), product)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p2 = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p2 = fma(p2, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p2 + r) + (to_bits(shifted) << 23)))
    abs_product = abs(product)
    quotient = scale / (scale + (p2 - r))
    is_rare = not abs_product <= f32(87.0)
    result = quotient
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
        shifted2 = fma(clamped, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped)
        r2 = fma(k2, f32(1.9046542e-09), r2)
        p3 = fma(f32(0.0013821328), r2, f32(0.008368671))
        p3 = fma(p3, r2, f32(0.04166826))
        p3 = fma(p3, r2, f32(0.16666521))
        p3 = fma(p3, r2, f32(0.49999994))
        p3 = fma(p3, r2, f32(1.0))
        p3 = fma(p3, r2, f32(1.0))
        n = i32(to_bits(shifted2) - 1262485444)
        n2 = i32(n >> 1)
        product2 = p3 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product3 = mul_rn(product2, f32(2.0**-60))
        result = product3 if product < f32(0.0) else f32(1.0) - product3
    y = result * x
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
        shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k3 = shifted3 - f32(12582912.0)
        r3 = fma(k3, f32(-0.6931472), clamped2)
        r3 = fma(k3, f32(1.9046542e-09), r3)
        p4 = fma(f32(0.0013821328), r3, f32(0.008368671))
        p4 = fma(p4, r3, f32(0.04166826))
        p4 = fma(p4, r3, f32(0.16666521))
        p4 = fma(p4, r3, f32(0.49999994))
        p4 = fma(p4, r3, f32(1.0))
        p4 = fma(p4, r3, f32(1.0))
        n3 = i32(to_bits(shifted3) - 1262485444)
        n4 = i32(n3 >> 1)
        product4 = mul_rn(p4 * from_bits(i32((n4 + 127) << 23)), from_bits(i32((n3 - n4 + 127) << 23)))
        chosen = product4 if product < f32(0.0) else f32(2.0**60) - product4
        chosen2 = chosen if is_rare else quotient * f32(2.0**60)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        x_is_nan = x != x
        chosen3 = f32(0.0) if x_is_nan and not x_is_nan else clamped3
        chosen4 = chosen3 if chosen2 == f32(0.0) else x
        y = chosen2 * chosen4 * f32(2.0**-60)
    return y


@device
def backward_at(x, dy):
    """dx = dy*(x*(0.214064448818*x**2 + 2*sqrt(2)/sqrt(pi))*dsigmoid(2*x*(0.0356774081363*x**2 + sqrt(2)/sqrt(pi)))
    + sigmoid(2*x*(0.0356774081363*x**2 + sqrt(2)/sqrt(pi))))"""
    x_squared = x * x
    p = fma(f32(0.21406445), x_squared, f32(1.5957692))
    p2 = fma(f32(0.035677407), x_squared, f32(0.7978846))
    product = mul_rn(mul_rn(x, p2), f32(2.0))
    shifted = fma(product, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), product)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p3 = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p3 = fma(p3, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p3 + r) + (to_bits(shifted) << 23)))
    difference = p3 - r
    total = scale + difference
    quotient = lesser(scale, difference) / total
    t = fma(-quotient, quotient, quotient)
    abs_product = abs(product)
    is_rare = not abs_product <= f32(87.0)
    result = t
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
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
        product2 = p4 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product3 = mul_rn(product2, f32(2.0**-60))
        result = product3
    product4 = mul_rn(result * x, p)
    quotient2 = scale / total
    result2 = quotient2
    if is_rare:
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
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
        product6 = mul_rn(product5, f32(2.0**-60))
        result2 = product6 if product < f32(0.0) else f32(1.0) - product6
    product7 = dy * (product4 + result2)
    is_below = result < f32(2.0**-100)
    mask = (is_below or abs(product4) < f32(2.0**-100)) and result2 < f32(2.0**-100)
    dx = product7
    if mask or product7 != product7:
        clamped3 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_product))
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
        n5 = i32(to_bits(shifted4) - 1262485377)
        n6 = i32(n5 >> 1)
        product8 = mul_rn(p6 * from_bits(i32((n6 + 127) << 23)), from_bits(i32((n5 - n6 + 127) << 23)))
        chosen = product8 if is_rare else t * f32(2.0**127)
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        x_is_nan = x != x
        is_not = not x_is_nan
        dy_is_nan = dy != dy
        is_not2 = not dy_is_nan
        chosen2 = f32(0.0) if x_is_nan and is_not and is_not2 else clamped4
        chosen3 = chosen2 if chosen == f32(0.0) else x
        product9 = chosen * chosen3
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), p))
        chosen4 = f32(0.0) if p != p and is_not and is_not2 else clamped5
        chosen5 = chosen4 if product9 == f32(0.0) else p
        chosen6 = mul_rn(product9, chosen5) if is_below else mul_rn(product4, f32(2.0**127))
        chosen7 = product8 if product < f32(0.0) else f32(2.0**127) - product8
        chosen8 = chosen7 if is_rare else mul_rn(quotient2, f32(2.0**127))
        total2 = chosen6 + chosen8
        product10 = dy * f32(2.0**-67)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product10))
        chosen9 = f32(0.0) if product10 != product10 and is_not and is_not2 else clamped6
        chosen10 = chosen9 if total2 == f32(0.0) else product10
        chosen11 = chosen2 if result == f32(0.0) else x
        product11 = result * chosen11
        chosen12 = chosen4 if product11 == f32(0.0) else p
        t2 = fma(product11, chosen12, result2)
        clamped7 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dy))
        chosen13 = f32(0.0) if dy_is_nan and is_not and is_not2 else clamped7
        chosen14 = chosen13 if t2 == f32(0.0) else dy
        dx = total2 * chosen10 * f32(2.0**-60) if mask else t2 * chosen14
    return dx


@device
def second_at(x, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    product = f32(0.21406445) * x
    t = fma(f32(0.21406445), x, -product)
    t = fma(f32(-2.5408342e-10), x, t)
    product2 = mul_rn(product, x)
    t2 = fma(product, x, -product2)
    t = fma(t, x, t2)
    total = product2 + f32(1.5957692)
    difference = total - product2
    total2 = product2 - (total - difference) + (f32(1.5957692) - difference)
    chosen = total2 + (t + f32(-4.534068e-08)) if abs(total) < f32(100000.0) else f32(0.0)
    total_squared = total * total
    t3 = fma(total, total, -total_squared)
    t3 = fma(chosen, total, t3)
    t3 = fma(total, chosen, t3)
    product3 = f32(0.035677407) * x
    t4 = fma(f32(0.035677407), x, -product3)
    t4 = fma(f32(1.1994162e-09), x, t4)
    product4 = mul_rn(product3, x)
    t5 = fma(product3, x, -product4)
    t4 = fma(t4, x, t5)
    total3 = product4 + f32(0.7978846)
    difference2 = total3 - product4
    total4 = product4 - (total3 - difference2) + (f32(0.7978846) - difference2)
    chosen2 = total4 + (t4 + f32(-2.267034e-08)) if abs(total3) < f32(100000.0) else f32(0.0)
    chosen3 = f32(0.0) if chosen2 != chosen2 else chosen2
    product5 = mul_rn(x, total3 + chosen3)
    abs_product5 = abs(product5)
    is_above = f32(1.0) < abs_product5
    size = abs(product5 + product5)
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
        product6 = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product7 = mul_rn(product6, f32(2.0**-60))
        result = product7 if negative < f32(0.0) else f32(1.0) - product7
    product8 = mul_rn(f32(2.0), result)
    is_above2 = f32(0.0) < product5
    chosen4 = f32(1.0) if is_above2 else f32(-1.0)
    clamped2 = lesser(f32(30.0), abs_product5)
    shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
    t6 = fma(shifted3 - f32(12582912.0), f32(-0.6931472), clamped2)
    t6_squared = t6 * t6
    p3 = fma(f32(0.002065175), t6_squared, f32(-0.02221844))
    p3 = fma(p3, t6_squared, f32(0.33333325))
    product9 = mul_rn(t6_squared, p3)
    scale2 = from_bits(i32((to_bits(shifted3) << 24) + 1065353216))
    p4 = fma(scale2, f32(0.859375), f32(-0.859375))
    p5 = fma(scale2, f32(0.859375), f32(0.859375))
    t7 = fma(t6, p5, mul_rn(product9, p4))
    total5 = p4 + t7
    p6 = fma(product9, f32(1.71875), f32(1.71875))
    p7 = fma(t6 - product9, f32(-1.71875), f32(1.71875))
    chosen5 = p6 if shifted3 == f32(12582912.0) else total5 + p7
    quotient = total5 / chosen5
    scale3 = from_bits(i32(to_bits(quotient) | (to_bits(product5) & -2147483648)))
    chosen6 = chosen4 if is_above else scale3
    chosen7 = product8 if is_above2 else -product8
    chosen8 = chosen7 if is_above else f32(0.0)
    difference3 = chosen6 - chosen8
    product10 = f32(-1.0) * x
    t8 = fma(f32(-1.0), x, -product10)
    product11 = product10 * total_squared
    t9 = fma(product10, total_squared, -product11)
    t8 = fma(t8, total_squared, t9)
    t8 = fma(product10, t3, t8)
    product12 = mul_rn(product11, difference3)
    t10 = fma(product11, difference3, -product12)
    t8 = fma(t8, difference3, t10)
    t8 = fma(product11, chosen6 - difference3 - chosen8, t8)
    x_squared = x * x
    t11 = fma(x, x, -x_squared)
    product13 = mul_rn(f32(0.85625786), x_squared)
    t12 = fma(f32(0.85625786), x_squared, -product13)
    t12 = fma(f32(1.0948557e-08), x_squared, t12)
    t12 = fma(f32(0.85625786), t11, t12)
    total6 = f32(3.1915383) + product12
    difference4 = total6 - f32(3.1915383)
    total7 = f32(3.1915383) - (total6 - difference4) + (product12 - difference4)
    total8 = total6 + product13
    difference5 = total8 - total6
    total9 = total6 - (total8 - difference5) + (product13 - difference5)
    total10 = total9 + (total7 + f32(2.0543695e-08) + t8) + t12
    chosen9 = f32(0.0) if total10 != total10 else total10
    total11 = total8 + chosen9
    product14 = f32(0.071354814) * x
    t13 = fma(f32(0.071354814), x, -product14)
    t13 = fma(f32(2.3988325e-09), x, t13)
    product15 = mul_rn(product14, x)
    t14 = fma(product14, x, -product15)
    t13 = fma(t13, x, t14)
    total12 = product15 + f32(1.5957692)
    difference6 = total12 - product15
    total13 = product15 - (total12 - difference6) + (f32(1.5957692) - difference6)
    product16 = mul_rn(total12, x)
    t15 = fma(total12, x, -product16)
    t15 = fma(total13 + (t13 + f32(-4.534068e-08)), x, t15)
    abs_product16 = abs(product16)
    chosen10 = t15 if abs_product16 < f32(100000.0) else f32(0.0)
    shifted4 = fma(product16, f32(1.442695), f32(12582912.0))
    k3 = shifted4 - f32(12582912.0)
    r3 = fma(k3, f32(-0.6931472), product16)
    r3 = fma(k3, f32(1.9046542e-09), r3)
    r3_squared = r3 * r3
    p8 = fma(f32(-0.002766709), r3_squared, f32(0.16666625))
    p8 = fma(p8, r3_squared, f32(2.0))
    scale4 = from_bits(i32(to_bits(p8 + r3) + (to_bits(shifted4) << 23)))
    difference7 = p8 - r3
    quotient2 = lesser(scale4, difference7) / (scale4 + difference7)
    t16 = fma(-quotient2, quotient2, quotient2)
    is_rare = not abs_product16 <= f32(87.0)
    result2 = t16
    if is_rare:
        clamped3 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product16))
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
        product17 = p9 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        result2 = product17 * f32(2.0**-60)
    p10 = fma(chosen10, -scale3, f32(1.0))
    dx = dy * (ddx * (total11 * (result2 * p10)))
    if result2 < f32(2.0**-100):
        clamped4 = greater(f32(-192.69492), lesser(f32(2.0794415), -abs_product16))
        shifted6 = fma(clamped4, f32(1.442695), f32(12582912.0))
        k5 = shifted6 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped4)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p11 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p11 = fma(p11, r5, f32(0.04166826))
        p11 = fma(p11, r5, f32(0.16666521))
        p11 = fma(p11, r5, f32(0.49999994))
        p11 = fma(p11, r5, f32(1.0))
        p11 = fma(p11, r5, f32(1.0))
        n5 = i32(to_bits(shifted6) - 1262485378)
        n6 = i32(n5 >> 1)
        product18 = p11 * from_bits(i32((n6 + 127) << 23)) * from_bits(i32((n5 - n6 + 127) << 23))
        chosen11 = product18 if is_rare else t16 * f32(2.0**126)
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), p10))
        is_not = not x != x
        is_not2 = not dy != dy
        is_not3 = not ddx != ddx
        chosen12 = f32(0.0) if p10 != p10 and is_not and is_not2 and is_not3 else clamped5
        chosen13 = chosen12 if chosen11 == f32(0.0) else p10
        product19 = chosen11 * chosen13
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), total11))
        chosen14 = f32(0.0) if total11 != total11 and is_not and is_not2 and is_not3 else clamped6
        chosen15 = chosen14 if product19 == f32(0.0) else total11
        product20 = product19 * chosen15
        product21 = ddx * f32(2.0**-33)
        clamped7 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product21))
        mask = product21 != product21 and is_not and is_not2 and is_not3
        chosen16 = f32(0.0) if mask else clamped7
        chosen17 = chosen16 if product20 == f32(0.0) else product21
        product22 = product20 * chosen17
        product23 = dy * f32(2.0**-33)
        clamped8 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product23))
        mask2 = product23 != product23 and is_not and is_not2 and is_not3
        chosen18 = f32(0.0) if mask2 else clamped8
        chosen19 = chosen18 if product22 == f32(0.0) else product23
        dx = product22 * chosen19 * f32(2.0**-60)
    p12 = fma(f32(0.21406445), x_squared, f32(1.5957692))
    p13 = fma(f32(0.035677407), x_squared, f32(0.7978846))
    product24 = mul_rn(mul_rn(x, p13), f32(2.0))
    shifted7 = fma(product24, f32(1.442695), f32(12582912.0))
    k6 = shifted7 - f32(12582912.0)
    r6 = fma(k6, f32(-0.6931472), product24)
    r6 = fma(k6, f32(1.9046542e-09), r6)
    r6_squared = r6 * r6
    p14 = fma(f32(-0.002766709), r6_squared, f32(0.16666625))
    p14 = fma(p14, r6_squared, f32(2.0))
    scale5 = from_bits(i32(to_bits(p14 + r6) + (to_bits(shifted7) << 23)))
    difference8 = p14 - r6
    total14 = scale5 + difference8
    quotient3 = lesser(scale5, difference8) / total14
    t17 = fma(-quotient3, quotient3, quotient3)
    abs_product24 = abs(product24)
    is_rare2 = not abs_product24 <= f32(87.0)
    result3 = t17
    if is_rare2:
        clamped9 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product24))
        shifted8 = fma(clamped9, f32(1.442695), f32(12582912.0))
        k7 = shifted8 - f32(12582912.0)
        r7 = fma(k7, f32(-0.6931472), clamped9)
        r7 = fma(k7, f32(1.9046542e-09), r7)
        p15 = fma(f32(0.0013821328), r7, f32(0.008368671))
        p15 = fma(p15, r7, f32(0.04166826))
        p15 = fma(p15, r7, f32(0.16666521))
        p15 = fma(p15, r7, f32(0.49999994))
        p15 = fma(p15, r7, f32(1.0))
        p15 = fma(p15, r7, f32(1.0))
        n7 = i32(to_bits(shifted8) - 1262485444)
        n8 = i32(n7 >> 1)
        product25 = p15 * from_bits(i32((n8 + 127) << 23)) * from_bits(i32((n7 - n8 + 127) << 23))
        product26 = mul_rn(product25, f32(2.0**-60))
        result3 = product26
    product27 = mul_rn(result3 * x, p12)
    quotient4 = scale5 / total14
    result4 = quotient4
    if is_rare2:
        clamped10 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product24))
        shifted9 = fma(clamped10, f32(1.442695), f32(12582912.0))
        k8 = shifted9 - f32(12582912.0)
        r8 = fma(k8, f32(-0.6931472), clamped10)
        r8 = fma(k8, f32(1.9046542e-09), r8)
        p16 = fma(f32(0.0013821328), r8, f32(0.008368671))
        p16 = fma(p16, r8, f32(0.04166826))
        p16 = fma(p16, r8, f32(0.16666521))
        p16 = fma(p16, r8, f32(0.49999994))
        p16 = fma(p16, r8, f32(1.0))
        p16 = fma(p16, r8, f32(1.0))
        n9 = i32(to_bits(shifted9) - 1262485444)
        n10 = i32(n9 >> 1)
        product28 = p16 * from_bits(i32((n10 + 127) << 23)) * from_bits(i32((n9 - n10 + 127) << 23))
        product29 = mul_rn(product28, f32(2.0**-60))
        result4 = product29 if product24 < f32(0.0) else f32(1.0) - product29
    product30 = ddx * (product27 + result4)
    is_below = result3 < f32(2.0**-100)
    mask3 = (is_below or abs(product27) < f32(2.0**-100)) and result4 < f32(2.0**-100)
    ddy = product30
    if mask3 or product30 != product30:
        x_is_nan = x != x
        is_not4 = not x_is_nan
        is_not5 = not dy != dy
        ddx_is_nan = ddx != ddx
        is_not6 = not ddx_is_nan
        clamped11 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_product24))
        shifted10 = fma(clamped11, f32(1.442695), f32(12582912.0))
        k9 = shifted10 - f32(12582912.0)
        r9 = fma(k9, f32(-0.6931472), clamped11)
        r9 = fma(k9, f32(1.9046542e-09), r9)
        p17 = fma(f32(0.0013821328), r9, f32(0.008368671))
        p17 = fma(p17, r9, f32(0.04166826))
        p17 = fma(p17, r9, f32(0.16666521))
        p17 = fma(p17, r9, f32(0.49999994))
        p17 = fma(p17, r9, f32(1.0))
        p17 = fma(p17, r9, f32(1.0))
        n11 = i32(to_bits(shifted10) - 1262485377)
        n12 = i32(n11 >> 1)
        product31 = mul_rn(p17 * from_bits(i32((n12 + 127) << 23)), from_bits(i32((n11 - n12 + 127) << 23)))
        chosen20 = product31 if is_rare2 else t17 * f32(2.0**127)
        clamped12 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        chosen21 = f32(0.0) if x_is_nan and is_not4 and is_not5 and is_not6 else clamped12
        chosen22 = chosen21 if chosen20 == f32(0.0) else x
        product32 = chosen20 * chosen22
        clamped13 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), p12))
        chosen23 = f32(0.0) if p12 != p12 and is_not4 and is_not5 and is_not6 else clamped13
        chosen24 = chosen23 if product32 == f32(0.0) else p12
        chosen25 = mul_rn(product32, chosen24) if is_below else mul_rn(product27, f32(2.0**127))
        chosen26 = product31 if product24 < f32(0.0) else f32(2.0**127) - product31
        chosen27 = chosen26 if is_rare2 else mul_rn(quotient4, f32(2.0**127))
        total15 = chosen25 + chosen27
        product33 = ddx * f32(2.0**-67)
        clamped14 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product33))
        mask4 = product33 != product33 and is_not4 and is_not5 and is_not6
        chosen28 = f32(0.0) if mask4 else clamped14
        chosen29 = chosen28 if total15 == f32(0.0) else product33
        chosen30 = chosen21 if result3 == f32(0.0) else x
        product34 = result3 * chosen30
        chosen31 = chosen23 if product34 == f32(0.0) else p12
        t18 = fma(product34, chosen31, result4)
        clamped15 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddx))
        chosen32 = f32(0.0) if ddx_is_nan and is_not4 and is_not5 and is_not6 else clamped15
        chosen33 = chosen32 if t18 == f32(0.0) else ddx
        ddy = total15 * chosen29 * f32(2.0**-60) if mask3 else t18 * chosen33
    return dx, ddy


@device
def adversary_at(x):
    """y = x*(tanh(sqrt(2)*(-8943*x**3/200000 - x)/sqrt(pi)) + 1)/2"""
    return -forward_at(-x)


@device
def adversary_backward_at(x, dy):
    """dx = dy*(x*(-0.214064448818*x**2 - 1.59576912161)*dsigmoid(2*x*(-0.0356774081363*x**2 - sqrt(2)/sqrt(pi))) +
    sigmoid(2*x*(-0.0356774081363*x**2 - sqrt(2)/sqrt(pi))))"""
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
    """y = x*(tanh(sqrt(2)*(8943*x**3/200000 + x)/sqrt(pi)) + 1)/2"""
    return launch("forward", (x,), (), out, stream)


def backward(x, dy, out=None, stream=None):
    """dx = dy*(x*(0.214064448818*x**2 + 2*sqrt(2)/sqrt(pi))*dsigmoid(2*x*(0.0356774081363*x**2 + sqrt(2)/sqrt(pi)))
    + sigmoid(2*x*(0.0356774081363*x**2 + sqrt(2)/sqrt(pi))))"""
    return launch("backward", (x, dy), (), out, stream)


def second(x, dy, ddx, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (), out, stream)


def adversary(x, out=None, stream=None):
    """y = x*(tanh(sqrt(2)*(-8943*x**3/200000 - x)/sqrt(pi)) + 1)/2"""
    return launch("adversary", (x,), (), out, stream)


def adversary_backward(x, dy, out=None, stream=None):
    """dx = dy*(x*(-0.214064448818*x**2 - 1.59576912161)*dsigmoid(2*x*(-0.0356774081363*x**2 - sqrt(2)/sqrt(pi))) +
    sigmoid(2*x*(-0.0356774081363*x**2 - sqrt(2)/sqrt(pi))))"""
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
