"""swish: y = x*sigmoid(beta*x)

Parameters: beta = 1.
Source: arXiv:1710.05941.
Derivative: infimum -0.0998393201 (at -2.39935728), supremum 1.09983932 (at 2.39935728).
Adversary: y = x*sigmoid(-beta*x), by the rule reflect, s = 1 (exact). f*(x) = -f(-x): between linear maps
this only renames weights, so alternating trains the same network, unless a residual sum, max-pooling or
shared weights stand there.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 1.56, 2.29, 2.62; float16 0.50, 0.50, 0.50; bfloat16 0.48, 0.50, 0.50.

    y = swish.forward(x)
    dx, dbeta = swish.backward(x, dy)
    y = swish.pair(x, layer=3)  # layer 3 is odd: the adversary

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

    def shuffle_down(value, delta):
        """The value of the lane so many further on; through shared memory, since the simulator has no shuffles."""
        values = cuda.shared.array(1024, np.float64)
        cuda.syncthreads()
        values[cuda.threadIdx.x] = value
        cuda.syncthreads()
        return values[min(cuda.threadIdx.x + delta, cuda.blockDim.x - 1)]

else:
    device = cuda.jit(device=True)
    fma = cuda.libdevice.fmaf
    mul_rn = cuda.libdevice.fmul_rn
    to_bits = cuda.libdevice.float_as_int
    from_bits = cuda.libdevice.int_as_float
    half_to_float = cuda.libdevice.half2float
    float_to_half = cuda.libdevice.float2half_rn

    @device
    def shuffle_down(value, delta):
        """The value of the lane so many further on in the warp."""
        return cuda.shfl_down_sync(0xFFFFFFFF, value, delta)


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


@device
def sum_of_warp(total):
    """In lane 0 the sum over the warp by a fixed tree: lane j + lane j+16, then 8, 4, 2, 1."""
    total += shuffle_down(total, 16)
    total += shuffle_down(total, 8)
    total += shuffle_down(total, 4)
    total += shuffle_down(total, 2)
    total += shuffle_down(total, 1)
    return total


# The mathematics at one element ----------------------------------------------------------------------


@device
def forward_at(x, beta):
    """y = x*sigmoid(beta*x)"""
    product = mul_rn(beta, x)
    shifted = fma(product, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), product)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    abs_product = abs(product)
    quotient = scale / (scale + (p - r))
    is_rare = not abs_product <= f32(87.0)
    result = quotient
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
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
        result = product3 if product < f32(0.0) else f32(1.0) - product3
    y = result * x
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
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
        product4 = mul_rn(p3 * from_bits(i32((n4 + 127) << 23)), from_bits(i32((n3 - n4 + 127) << 23)))
        chosen = product4 if product < f32(0.0) else f32(2.0**60) - product4
        chosen2 = chosen if is_rare else quotient * f32(2.0**60)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        x_is_nan = x != x
        chosen3 = f32(0.0) if x_is_nan and not x_is_nan and not beta != beta else clamped3
        chosen4 = chosen3 if chosen2 == f32(0.0) else x
        y = chosen2 * chosen4 * f32(2.0**-60)
    return y


@device
def backward_at(x, beta, dy):
    """dx = dy*(beta*x*dsigmoid(beta*x) + sigmoid(beta*x))
    dbeta = the sum of dy * dy/dbeta"""
    product = mul_rn(beta, x)
    shifted = fma(product, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), product)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
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
        result = product3
    product4 = mul_rn(result * beta, x)
    quotient2 = scale / total
    result2 = quotient2
    if is_rare:
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
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
        product5 = p3 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        product6 = mul_rn(product5, f32(2.0**-60))
        result2 = product6 if product < f32(0.0) else f32(1.0) - product6
    product7 = dy * (product4 + result2)
    is_rare2 = result < f32(2.0**-100)
    mask = (is_rare2 or abs(product4) < f32(2.0**-100)) and result2 < f32(2.0**-100)
    dx = product7
    if mask or product7 != product7:
        clamped3 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_product))
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
        product8 = mul_rn(p4 * from_bits(i32((n6 + 127) << 23)), from_bits(i32((n5 - n6 + 127) << 23)))
        chosen = product8 if is_rare else t * f32(2.0**127)
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), beta))
        beta_is_nan = beta != beta
        x_is_nan = x != x
        is_not = not x_is_nan
        is_not2 = not beta_is_nan
        dy_is_nan = dy != dy
        is_not3 = not dy_is_nan
        chosen2 = f32(0.0) if beta_is_nan and is_not and is_not2 and is_not3 else clamped4
        chosen3 = chosen2 if chosen == f32(0.0) else beta
        product9 = chosen * chosen3
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        chosen4 = f32(0.0) if x_is_nan and is_not and is_not2 and is_not3 else clamped5
        chosen5 = chosen4 if product9 == f32(0.0) else x
        chosen6 = mul_rn(product9, chosen5) if is_rare2 else mul_rn(product4, f32(2.0**127))
        chosen7 = product8 if product < f32(0.0) else f32(2.0**127) - product8
        chosen8 = chosen7 if is_rare else mul_rn(quotient2, f32(2.0**127))
        total2 = chosen6 + chosen8
        product10 = dy * f32(2.0**-67)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product10))
        mask2 = product10 != product10 and is_not and is_not2 and is_not3
        chosen9 = f32(0.0) if mask2 else clamped6
        chosen10 = chosen9 if total2 == f32(0.0) else product10
        chosen11 = chosen2 if result == f32(0.0) else beta
        product11 = result * chosen11
        chosen12 = chosen4 if product11 == f32(0.0) else x
        t2 = fma(product11, chosen12, result2)
        clamped7 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), dy))
        chosen13 = f32(0.0) if dy_is_nan and is_not and is_not2 and is_not3 else clamped7
        chosen14 = chosen13 if t2 == f32(0.0) else dy
        dx = total2 * chosen10 * f32(2.0**-60) if mask else t2 * chosen14
    x_squared = x * x
    dbeta = mul_rn(dy, result * x_squared)
    if is_rare2:
        clamped8 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_product))
        shifted5 = fma(clamped8, f32(1.442695), f32(12582912.0))
        k5 = shifted5 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped8)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p5 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p5 = fma(p5, r5, f32(0.04166826))
        p5 = fma(p5, r5, f32(0.16666521))
        p5 = fma(p5, r5, f32(0.49999994))
        p5 = fma(p5, r5, f32(1.0))
        p5 = fma(p5, r5, f32(1.0))
        n7 = i32(to_bits(shifted5) - 1262485377)
        n8 = i32(n7 >> 1)
        product12 = p5 * from_bits(i32((n8 + 127) << 23)) * from_bits(i32((n7 - n8 + 127) << 23))
        chosen15 = product12 if is_rare else t * f32(2.0**127)
        is_not4 = not x != x
        is_not5 = not beta != beta
        is_not6 = not dy != dy
        product13 = dy * f32(2.0**-67)
        clamped9 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product13))
        mask3 = product13 != product13 and is_not4 and is_not5 and is_not6
        chosen16 = f32(0.0) if mask3 else clamped9
        clamped10 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x_squared))
        mask4 = x_squared != x_squared and is_not4 and is_not5 and is_not6
        chosen17 = f32(0.0) if mask4 else clamped10
        chosen18 = chosen17 if chosen15 == f32(0.0) else x_squared
        product14 = chosen15 * chosen18
        chosen19 = chosen16 if product14 == f32(0.0) else product13
        dbeta = mul_rn(product14 * chosen19, f32(2.0**-60))
    return dx, dbeta


@device
def second_at(x, beta, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    product = mul_rn(beta, x)
    product2 = mul_rn(product, f32(0.5))
    clamped = lesser(f32(30.0), abs(product2))
    shifted = fma(clamped, f32(1.442695), f32(12582912.0))
    t = fma(shifted - f32(12582912.0), f32(-0.6931472), clamped)
    t_squared = t * t
    p = fma(f32(0.002065175), t_squared, f32(-0.02221844))
    p = fma(p, t_squared, f32(0.33333325))
    product3 = mul_rn(t_squared, p)
    scale = from_bits(i32((to_bits(shifted) << 24) + 1065353216))
    p2 = fma(scale, f32(0.859375), f32(-0.859375))
    p3 = fma(scale, f32(0.859375), f32(0.859375))
    t2 = fma(t, p3, mul_rn(product3, p2))
    total = p2 + t2
    p4 = fma(product3, f32(1.71875), f32(1.71875))
    p5 = fma(t - product3, f32(-1.71875), f32(1.71875))
    chosen = p4 if shifted == f32(12582912.0) else total + p5
    quotient = total / chosen
    scale2 = from_bits(i32(to_bits(quotient) | (to_bits(product2) & -2147483648)))
    p6 = fma(-product, scale2, f32(2.0))
    shifted2 = fma(product, f32(1.442695), f32(12582912.0))
    k = shifted2 - f32(12582912.0)
    r = fma(k, f32(-0.6931472), product)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p7 = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p7 = fma(p7, r_squared, f32(2.0))
    scale3 = from_bits(i32(to_bits(p7 + r) + (to_bits(shifted2) << 23)))
    difference = p7 - r
    total2 = scale3 + difference
    quotient2 = lesser(scale3, difference) / total2
    t3 = fma(-quotient2, quotient2, quotient2)
    abs_product = abs(product)
    is_rare = not abs_product <= f32(87.0)
    result = t3
    if is_rare:
        clamped2 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
        shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k2 = shifted3 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped2)
        r2 = fma(k2, f32(1.9046542e-09), r2)
        p8 = fma(f32(0.0013821328), r2, f32(0.008368671))
        p8 = fma(p8, r2, f32(0.04166826))
        p8 = fma(p8, r2, f32(0.16666521))
        p8 = fma(p8, r2, f32(0.49999994))
        p8 = fma(p8, r2, f32(1.0))
        p8 = fma(p8, r2, f32(1.0))
        n = i32(to_bits(shifted3) - 1262485444)
        n2 = i32(n >> 1)
        product4 = p8 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
        product5 = mul_rn(product4, f32(2.0**-60))
        result = product5
    product6 = result * beta
    is_rare2 = result < f32(2.0**-100)
    dx = dy * (ddx * (product6 * p6))
    if is_rare2:
        clamped3 = greater(f32(-192.69492), lesser(f32(2.0794415), -abs_product))
        shifted4 = fma(clamped3, f32(1.442695), f32(12582912.0))
        k3 = shifted4 - f32(12582912.0)
        r3 = fma(k3, f32(-0.6931472), clamped3)
        r3 = fma(k3, f32(1.9046542e-09), r3)
        p9 = fma(f32(0.0013821328), r3, f32(0.008368671))
        p9 = fma(p9, r3, f32(0.04166826))
        p9 = fma(p9, r3, f32(0.16666521))
        p9 = fma(p9, r3, f32(0.49999994))
        p9 = fma(p9, r3, f32(1.0))
        p9 = fma(p9, r3, f32(1.0))
        n3 = i32(to_bits(shifted4) - 1262485378)
        n4 = i32(n3 >> 1)
        product7 = p9 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        chosen2 = product7 if is_rare else t3 * f32(2.0**126)
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), beta))
        beta_is_nan = beta != beta
        x_is_nan = x != x
        is_not = not x_is_nan
        is_not2 = not beta_is_nan
        is_not3 = not dy != dy
        is_not4 = not ddx != ddx
        mask = beta_is_nan and is_not and is_not2 and is_not3 and is_not4
        chosen3 = f32(0.0) if mask else clamped4
        is_equal = chosen2 == f32(0.0)
        chosen4 = chosen3 if is_equal else beta
        product8 = chosen2 * chosen4
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), p6))
        chosen5 = f32(0.0) if p6 != p6 and is_not and is_not2 and is_not3 and is_not4 else clamped5
        chosen6 = chosen5 if product8 == f32(0.0) else p6
        product9 = product8 * chosen6
        product10 = ddx * f32(2.0**-33)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product10))
        mask2 = product10 != product10 and is_not and is_not2 and is_not3
        chosen7 = f32(0.0) if mask2 and is_not4 else clamped6
        chosen8 = chosen7 if product9 == f32(0.0) else product10
        product11 = product9 * chosen8
        product12 = dy * f32(2.0**-33)
        clamped7 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product12))
        mask3 = product12 != product12 and is_not and is_not2 and is_not3
        chosen9 = f32(0.0) if mask3 and is_not4 else clamped7
        chosen10 = chosen9 if product11 == f32(0.0) else product12
        dx = product11 * chosen10 * f32(2.0**-60)
    product13 = mul_rn(product6, x)
    quotient3 = scale3 / total2
    result2 = quotient3
    if is_rare:
        clamped8 = greater(f32(-146.9472), lesser(f32(47.827156), -abs_product))
        shifted5 = fma(clamped8, f32(1.442695), f32(12582912.0))
        k4 = shifted5 - f32(12582912.0)
        r4 = fma(k4, f32(-0.6931472), clamped8)
        r4 = fma(k4, f32(1.9046542e-09), r4)
        p10 = fma(f32(0.0013821328), r4, f32(0.008368671))
        p10 = fma(p10, r4, f32(0.04166826))
        p10 = fma(p10, r4, f32(0.16666521))
        p10 = fma(p10, r4, f32(0.49999994))
        p10 = fma(p10, r4, f32(1.0))
        p10 = fma(p10, r4, f32(1.0))
        n5 = i32(to_bits(shifted5) - 1262485444)
        n6 = i32(n5 >> 1)
        product14 = p10 * from_bits(i32((n6 + 127) << 23)) * from_bits(i32((n5 - n6 + 127) << 23))
        product15 = mul_rn(product14, f32(2.0**-60))
        result2 = product15 if product < f32(0.0) else f32(1.0) - product15
    product16 = ddx * (product13 + result2)
    mask4 = (is_rare2 or abs(product13) < f32(2.0**-100)) and result2 < f32(2.0**-100)
    ddy = product16
    if mask4 or product16 != product16:
        clamped9 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), beta))
        beta_is_nan2 = beta != beta
        x_is_nan2 = x != x
        is_not5 = not x_is_nan2
        is_not6 = not beta_is_nan2
        is_not7 = not dy != dy
        ddx_is_nan = ddx != ddx
        is_not8 = not ddx_is_nan
        mask5 = beta_is_nan2 and is_not5 and is_not6 and is_not7 and is_not8
        chosen11 = f32(0.0) if mask5 else clamped9
        clamped10 = greater(f32(-193.38806), lesser(f32(1.3862944), -abs_product))
        shifted6 = fma(clamped10, f32(1.442695), f32(12582912.0))
        k5 = shifted6 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped10)
        r5 = fma(k5, f32(1.9046542e-09), r5)
        p11 = fma(f32(0.0013821328), r5, f32(0.008368671))
        p11 = fma(p11, r5, f32(0.04166826))
        p11 = fma(p11, r5, f32(0.16666521))
        p11 = fma(p11, r5, f32(0.49999994))
        p11 = fma(p11, r5, f32(1.0))
        p11 = fma(p11, r5, f32(1.0))
        n7 = i32(to_bits(shifted6) - 1262485377)
        n8 = i32(n7 >> 1)
        product17 = mul_rn(p11 * from_bits(i32((n8 + 127) << 23)), from_bits(i32((n7 - n8 + 127) << 23)))
        chosen12 = product17 if is_rare else t3 * f32(2.0**127)
        chosen13 = chosen11 if chosen12 == f32(0.0) else beta
        product18 = chosen12 * chosen13
        clamped11 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        mask6 = x_is_nan2 and is_not5 and is_not6 and is_not7 and is_not8
        chosen14 = f32(0.0) if mask6 else clamped11
        chosen15 = chosen14 if product18 == f32(0.0) else x
        chosen16 = mul_rn(product18, chosen15) if is_rare2 else mul_rn(product13, f32(2.0**127))
        chosen17 = product17 if product < f32(0.0) else f32(2.0**127) - product17
        chosen18 = chosen17 if is_rare else mul_rn(quotient3, f32(2.0**127))
        total3 = chosen16 + chosen18
        product19 = ddx * f32(2.0**-67)
        clamped12 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product19))
        mask7 = product19 != product19 and is_not5 and is_not6 and is_not7
        chosen19 = f32(0.0) if mask7 and is_not8 else clamped12
        chosen20 = chosen19 if total3 == f32(0.0) else product19
        chosen21 = chosen11 if result == f32(0.0) else beta
        product20 = result * chosen21
        chosen22 = chosen14 if product20 == f32(0.0) else x
        t4 = fma(product20, chosen22, result2)
        clamped13 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), ddx))
        mask8 = ddx_is_nan and is_not5 and is_not6 and is_not7 and is_not8
        chosen23 = f32(0.0) if mask8 else clamped13
        chosen24 = chosen23 if t4 == f32(0.0) else ddx
        ddy = total3 * chosen20 * f32(2.0**-60) if mask4 else t4 * chosen24
    dbeta = mul_rn(dy, ddx * (result * x * p6))
    if is_rare2:
        clamped14 = greater(f32(-192.69492), lesser(f32(2.0794415), -abs_product))
        shifted7 = fma(clamped14, f32(1.442695), f32(12582912.0))
        k6 = shifted7 - f32(12582912.0)
        r6 = fma(k6, f32(-0.6931472), clamped14)
        r6 = fma(k6, f32(1.9046542e-09), r6)
        p12 = fma(f32(0.0013821328), r6, f32(0.008368671))
        p12 = fma(p12, r6, f32(0.04166826))
        p12 = fma(p12, r6, f32(0.16666521))
        p12 = fma(p12, r6, f32(0.49999994))
        p12 = fma(p12, r6, f32(1.0))
        p12 = fma(p12, r6, f32(1.0))
        n9 = i32(to_bits(shifted7) - 1262485378)
        n10 = i32(n9 >> 1)
        product21 = p12 * from_bits(i32((n10 + 127) << 23)) * from_bits(i32((n9 - n10 + 127) << 23))
        chosen25 = product21 if is_rare else t3 * f32(2.0**126)
        beta_is_nan3 = beta != beta
        x_is_nan3 = x != x
        is_not9 = not x_is_nan3
        is_not10 = not beta_is_nan3
        is_not11 = not dy != dy
        is_not12 = not ddx != ddx
        is_equal2 = chosen25 == f32(0.0)
        clamped15 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), p6))
        mask9 = p6 != p6 and is_not9 and is_not10 and is_not11 and is_not12
        chosen26 = f32(0.0) if mask9 else clamped15
        product22 = ddx * f32(2.0**-33)
        clamped16 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product22))
        mask10 = product22 != product22 and is_not9 and is_not10 and is_not11
        chosen27 = f32(0.0) if mask10 and is_not12 else clamped16
        product23 = dy * f32(2.0**-33)
        clamped17 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product23))
        mask11 = product23 != product23 and is_not9 and is_not10 and is_not11
        chosen28 = f32(0.0) if mask11 and is_not12 else clamped17
        clamped18 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), x))
        mask12 = x_is_nan3 and is_not9 and is_not10 and is_not11 and is_not12
        chosen29 = f32(0.0) if mask12 else clamped18
        chosen30 = chosen29 if is_equal2 else x
        product24 = chosen25 * chosen30
        chosen31 = chosen26 if product24 == f32(0.0) else p6
        product25 = product24 * chosen31
        chosen32 = chosen27 if product25 == f32(0.0) else product22
        product26 = product25 * chosen32
        chosen33 = chosen28 if product26 == f32(0.0) else product23
        dbeta = mul_rn(product26 * chosen33, f32(2.0**-60))
    return dx, ddy, dbeta


@device
def adversary_at(x, beta):
    """y = x*sigmoid(-beta*x)"""
    return -forward_at(-x, beta)


@device
def adversary_backward_at(x, beta, dy):
    """dx = dy*(-beta*x*dsigmoid(-beta*x) + sigmoid(-beta*x))
    dbeta = the sum of dy * dy/dbeta"""
    dx, dbeta = backward_at(-x, beta, dy)
    return dx, -dbeta


# Kernels ---------------------------------------------------------------------------------------------


@device
def keep(x):
    """As it is."""
    return x


@device
def first(array):
    """A parameter that lies on the device."""
    return array[0]


def forward_kernel(function, read, write, beta_of):
    """y = function(x, beta), at each element."""

    @cuda.jit
    def kernel(x, beta, y):
        beta_here = beta_of(beta)
        count = u64(y.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            y[i] = write(function(read(x[i]), beta_here))
            i += step

    return kernel


def backward_kernel(function, read, write, beta_of):
    """dx, dbeta = function(x, beta, dy), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, beta, dx, dbeta_runs):
        beta_here = beta_of(beta)
        count = u64(dx.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            dbeta_total = f64(0.0)
            while i < end:
                dx_here, dbeta_here = function(read(x[i]), beta_here, read(dy[i]))
                dx[i] = write(dx_here)
                dbeta_total += f64(dbeta_here)
                i += u64(32)
            dbeta_total = sum_of_warp(dbeta_total)
            if lane == 0 and run < runs:
                dbeta_runs[run] = dbeta_total
            block_run += u64(cuda.gridDim.x) * warps

    return kernel


def second_kernel(function, read, write, beta_of):
    """dx, ddy, dbeta = function(x, beta, dy, ddx), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, ddx, beta, dx, ddy, dbeta_runs):
        beta_here = beta_of(beta)
        count = u64(ddy.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            dbeta_total = f64(0.0)
            while i < end:
                dx_here, ddy_here, dbeta_here = function(read(x[i]), beta_here, read(dy[i]), read(ddx[i]))
                dx[i] = write(dx_here)
                ddy[i] = write(ddy_here)
                dbeta_total += f64(dbeta_here)
                i += u64(32)
            dbeta_total = sum_of_warp(dbeta_total)
            if lane == 0 and run < runs:
                dbeta_runs[run] = dbeta_total
            block_run += u64(cuda.gridDim.x) * warps

    return kernel


@cuda.jit
def add_runs(partials, runs, total):
    """total[0] = the sum of partials, in order. One thread."""
    found = f64(0.0)
    run = u64(0)
    while run < u64(runs):
        found += partials[run]
        run += u64(1)
    total[0] = found


# what makes the kernel, the function at one element, number of results, number of sums
OPERATIONS = {
    "forward": (forward_kernel, forward_at, 1, 0),
    "backward": (backward_kernel, backward_at, 1, 1),
    "second": (second_kernel, second_at, 2, 1),
    "adversary": (forward_kernel, adversary_at, 1, 0),
    "adversary_backward": (backward_kernel, adversary_backward_at, 1, 1),
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
    make, function, count, sums = OPERATIONS[name]
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
    runs = -(-size // 4096)
    partials = [empty(arrays[0], (max(runs, 1),), "float64") for _ in range(sums)]
    operands += map(view, partials)
    if size:
        kernel_of(make, function, dtype, *ways)[BLOCKS, THREADS, stream](*operands)
    for partial in partials:
        results.append(empty(arrays[0], (), "float64"))
        add_runs[1, 1, stream](view(partial), u64(runs), view(results[-1]))
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


def forward(x, beta=1.0, out=None, stream=None):
    """y = x*sigmoid(beta*x)"""
    return launch("forward", (x,), (beta,), out, stream)


def backward(x, dy, beta=1.0, out=None, stream=None):
    """dx = dy*(beta*x*dsigmoid(beta*x) + sigmoid(beta*x))
    dbeta = the sum of dy * dy/dbeta"""
    return launch("backward", (x, dy), (beta,), out, stream)


def second(x, dy, ddx, beta=1.0, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (beta,), out, stream)


def adversary(x, beta=1.0, out=None, stream=None):
    """y = x*sigmoid(-beta*x)"""
    return launch("adversary", (x,), (beta,), out, stream)


def adversary_backward(x, dy, beta=1.0, out=None, stream=None):
    """dx = dy*(-beta*x*dsigmoid(-beta*x) + sigmoid(-beta*x))
    dbeta = the sum of dy * dy/dbeta"""
    return launch("adversary_backward", (x, dy), (beta,), out, stream)


def pair(x, layer, beta=1.0, out=None, stream=None):
    """``forward`` for layers 0, 2, 4 ..., ``adversary`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary(x, beta, out, stream)
    return forward(x, beta, out, stream)


def pair_backward(x, dy, layer, beta=1.0, out=None, stream=None):
    """``backward`` for layers 0, 2, 4 ..., ``adversary_backward`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary_backward(x, dy, beta, out, stream)
    return backward(x, dy, beta, out, stream)
