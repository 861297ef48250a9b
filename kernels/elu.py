"""elu: y = where(x > 0, x, alpha*expm1(x))

Parameters: alpha = 1.
Source: arXiv:1511.07289.
Derivative: infimum 0 (towards -oo), supremum 1 (at 0, oo).
Adversary: y = Piecewise((0, x > 0), (-alpha*expm1shrink(x) + x*(1 - alpha), True)), by the rule reflect, s =
1, c = 0 (exact). expm1shrink(x): -x + exp(x) - 1. f* is not f with changed signs, so alternating changes the
network.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 0.67, 0.50, 0.50; float16 0.50, 0.50, 0.50; bfloat16 0.49, 0.50, 0.50.

    y = elu.forward(x)
    dx, dalpha = elu.backward(x, dy)
    y = elu.pair(x, layer=3)  # layer 3 is odd: the adversary

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
def forward_at(x, alpha):
    """y = Piecewise((x, x > 0), (alpha*expm1(x), True))"""
    clamped = greater(f32(-18.0), x)
    shifted = fma(clamped, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), clamped)
    scale = from_bits(i32((to_bits(shifted) << 23) + 1065353216))
    difference = scale - f32(1.0)
    t = fma(scale, r, difference)
    t2 = fma(scale, r, difference - t)
    p = fma(f32(0.0001976099), r, f32(0.0013932317))
    p = fma(p, r, f32(0.008333547))
    p = fma(p, r, f32(0.041666493))
    p = fma(p, r, f32(0.16666666))
    p = fma(p, r, f32(0.5))
    t3 = fma(r * r, p, k * f32(1.9046542e-09))
    t2 = fma(scale, t3, t2)
    result = t + t2
    if f32(16.5) < x:
        clamped2 = greater(f32(0.0), lesser(f32(89.415985), x))
        shifted2 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped2)
        r3 = fma(k2, f32(1.9046542e-09), r2)
        p2 = fma(f32(0.0001976099), r3, f32(0.0013932317))
        p2 = fma(p2, r3, f32(0.008333547))
        p2 = fma(p2, r3, f32(0.041666493))
        p2 = fma(p2, r3, f32(0.16666666))
        p2 = fma(p2, r3, f32(0.5))
        t4 = fma(r3 * r3, p2, mul_rn(k2, f32(1.9046542e-09)))
        bits = to_bits(shifted2)
        chosen = f32(0.0) if f32(43.0) < x else from_bits(i32((1262485631 - bits) << 23))
        n = i32(bits - 1262485504)
        n2 = i32(n >> 1)
        product = (f32(1.0) + (r2 + t4 - chosen)) * from_bits(i32((n2 + 127) << 23))
        result = product * from_bits(i32((n - n2 + 127) << 23))
    scale2 = from_bits(i32(to_bits(result) | (to_bits(x) & -2147483648)))
    y = x if f32(0.0) < x else alpha * scale2
    return y


@device
def backward_at(x, alpha, dy):
    """dx = dy*(Piecewise((1, x > 0), (alpha*exp(x), True)))
    dalpha = the sum of dy * dy/dalpha"""
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
    result = from_bits(i32(to_bits(p) + (to_bits(shifted) << 23)))
    if not abs(x) <= f32(87.0):
        clamped = greater(f32(-105.35837), lesser(f32(89.415985), x))
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
        n = i32(to_bits(shifted2) - 1262485504)
        n2 = i32(n >> 1)
        result = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
    result2 = result * alpha
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-193.38806), lesser(f32(1.3862944), x))
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
        product = p3 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        product2 = alpha * f32(2.0**-67)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product2))
        mask = product2 != product2 and not x != x and not alpha != alpha
        chosen = f32(0.0) if mask and not dy != dy else clamped3
        chosen2 = chosen if product == f32(0.0) else product2
        result2 = product * chosen2 * f32(2.0**-60)
    is_above = f32(0.0) < x
    chosen3 = f32(1.0) if is_above else result2
    dx = dy * chosen3
    clamped4 = greater(f32(-18.0), x)
    shifted4 = fma(clamped4, f32(1.442695), f32(12582912.0))
    k4 = shifted4 - f32(12582912.0)
    r4 = fma(k4, f32(-0.6931472), clamped4)
    scale = from_bits(i32((to_bits(shifted4) << 23) + 1065353216))
    difference = scale - f32(1.0)
    t = fma(scale, r4, difference)
    t2 = fma(scale, r4, difference - t)
    p4 = fma(f32(0.0001976099), r4, f32(0.0013932317))
    p4 = fma(p4, r4, f32(0.008333547))
    p4 = fma(p4, r4, f32(0.041666493))
    p4 = fma(p4, r4, f32(0.16666666))
    p4 = fma(p4, r4, f32(0.5))
    t3 = fma(r4 * r4, p4, k4 * f32(1.9046542e-09))
    t2 = fma(scale, t3, t2)
    result3 = t + t2
    if f32(16.5) < x:
        clamped5 = greater(f32(0.0), lesser(f32(89.415985), x))
        shifted5 = fma(clamped5, f32(1.442695), f32(12582912.0))
        k5 = shifted5 - f32(12582912.0)
        r5 = fma(k5, f32(-0.6931472), clamped5)
        r6 = fma(k5, f32(1.9046542e-09), r5)
        p5 = fma(f32(0.0001976099), r6, f32(0.0013932317))
        p5 = fma(p5, r6, f32(0.008333547))
        p5 = fma(p5, r6, f32(0.041666493))
        p5 = fma(p5, r6, f32(0.16666666))
        p5 = fma(p5, r6, f32(0.5))
        t4 = fma(r6 * r6, p5, mul_rn(k5, f32(1.9046542e-09)))
        bits = to_bits(shifted5)
        chosen4 = f32(0.0) if f32(43.0) < x else from_bits(i32((1262485631 - bits) << 23))
        n5 = i32(bits - 1262485504)
        n6 = i32(n5 >> 1)
        product3 = (f32(1.0) + (r5 + t4 - chosen4)) * from_bits(i32((n6 + 127) << 23))
        result3 = product3 * from_bits(i32((n5 - n6 + 127) << 23))
    scale2 = from_bits(i32(to_bits(result3) | (to_bits(x) & -2147483648)))
    chosen5 = f32(0.0) if is_above else scale2
    dalpha = mul_rn(dy, chosen5)
    return dx, dalpha


@device
def second_at(x, alpha, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
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
    result = from_bits(i32(to_bits(p) + (to_bits(shifted) << 23)))
    if not abs(x) <= f32(87.0):
        clamped = greater(f32(-105.35837), lesser(f32(89.415985), x))
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
        n = i32(to_bits(shifted2) - 1262485504)
        n2 = i32(n >> 1)
        result = p2 * from_bits(i32((n2 + 127) << 23)) * from_bits(i32((n - n2 + 127) << 23))
    result2 = result * alpha
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-193.38806), lesser(f32(1.3862944), x))
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
        product = p3 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        product2 = alpha * f32(2.0**-67)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product2))
        mask = product2 != product2 and not x != x and not alpha != alpha
        chosen = f32(0.0) if mask and not dy != dy and not ddx != ddx else clamped3
        chosen2 = chosen if product == f32(0.0) else product2
        result2 = product * chosen2 * f32(2.0**-60)
    is_above = f32(0.0) < x
    chosen3 = f32(0.0) if is_above else result2
    dx = dy * (ddx * chosen3)
    chosen4 = f32(1.0) if is_above else result2
    ddy = ddx * chosen4
    chosen5 = f32(0.0) if is_above else result
    dalpha = mul_rn(dy, ddx * chosen5)
    return dx, ddy, dalpha


@device
def adversary_at(x, alpha):
    """y = Piecewise((0, x > 0), (-alpha*expm1shrink(x) + x*(1 - alpha), True))"""
    clamped = greater(f32(-18.0), x)
    shifted = fma(clamped, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), clamped)
    scale = from_bits(i32((to_bits(shifted) << 23) + 1065353216))
    difference = scale - f32(1.0)
    t = fma(scale, r, difference)
    t2 = fma(scale, r, difference - t)
    r_squared = r * r
    p = fma(f32(0.0001976099), r, f32(0.0013932317))
    p = fma(p, r, f32(0.008333547))
    p = fma(p, r, f32(0.041666493))
    p = fma(p, r, f32(0.16666666))
    p = fma(p, r, f32(0.5))
    t3 = fma(r, r, -r_squared)
    t3 = fma(t3, p, k * f32(1.9046542e-09) * (f32(1.0) + r))
    t3 = fma(r_squared, p, t3)
    t2 = fma(scale, t3, t2)
    result = t - x + t2
    if f32(16.5) < x:
        clamped2 = greater(f32(0.0), lesser(f32(89.415985), x))
        shifted2 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped2)
        r3 = fma(k2, f32(1.9046542e-09), r2)
        p2 = fma(f32(0.0001976099), r3, f32(0.0013932317))
        p2 = fma(p2, r3, f32(0.008333547))
        p2 = fma(p2, r3, f32(0.041666493))
        p2 = fma(p2, r3, f32(0.16666666))
        p2 = fma(p2, r3, f32(0.5))
        t4 = fma(r3 * r3, p2, mul_rn(k2, f32(1.9046542e-09)))
        bits = to_bits(shifted2)
        product = mul_rn(from_bits(i32((1262485631 - bits) << 23)), f32(1.0) + x)
        chosen = f32(0.0) if f32(43.0) < x else product
        n = i32(bits - 1262485504)
        n2 = i32(n >> 1)
        product2 = (f32(1.0) + (r2 + t4 - chosen)) * from_bits(i32((n2 + 127) << 23))
        result = product2 * from_bits(i32((n - n2 + 127) << 23))
    t5 = fma(-alpha, result, x * (f32(1.0) - alpha))
    is_above = f32(0.0) < x
    chosen2 = f32(0.0) if is_above else t5
    chosen3 = chosen2 if is_above else f32(-math.inf)
    y = chosen3 if chosen2 != chosen2 and f32(2.0**21) < abs(x) else chosen2
    return y


@device
def adversary_backward_at(x, alpha, dy):
    """dx = dy*(Piecewise((0, x > 0), (-alpha*expm1(x) - alpha + 1, True)))
    dalpha = the sum of dy * dy/dalpha"""
    clamped = greater(f32(-18.0), x)
    shifted = fma(clamped, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), clamped)
    scale = from_bits(i32((to_bits(shifted) << 23) + 1065353216))
    difference = scale - f32(1.0)
    t = fma(scale, r, difference)
    t2 = fma(scale, r, difference - t)
    p = fma(f32(0.0001976099), r, f32(0.0013932317))
    p = fma(p, r, f32(0.008333547))
    p = fma(p, r, f32(0.041666493))
    p = fma(p, r, f32(0.16666666))
    p = fma(p, r, f32(0.5))
    t3 = fma(r * r, p, k * f32(1.9046542e-09))
    t2 = fma(scale, t3, t2)
    result = t + t2
    if f32(16.5) < x:
        clamped2 = greater(f32(0.0), lesser(f32(89.415985), x))
        shifted2 = fma(clamped2, f32(1.442695), f32(12582912.0))
        k2 = shifted2 - f32(12582912.0)
        r2 = fma(k2, f32(-0.6931472), clamped2)
        r3 = fma(k2, f32(1.9046542e-09), r2)
        p2 = fma(f32(0.0001976099), r3, f32(0.0013932317))
        p2 = fma(p2, r3, f32(0.008333547))
        p2 = fma(p2, r3, f32(0.041666493))
        p2 = fma(p2, r3, f32(0.16666666))
        p2 = fma(p2, r3, f32(0.5))
        t4 = fma(r3 * r3, p2, mul_rn(k2, f32(1.9046542e-09)))
        bits = to_bits(shifted2)
        chosen = f32(0.0) if f32(43.0) < x else from_bits(i32((1262485631 - bits) << 23))
        n = i32(bits - 1262485504)
        n2 = i32(n >> 1)
        product = (f32(1.0) + (r2 + t4 - chosen)) * from_bits(i32((n2 + 127) << 23))
        result = product * from_bits(i32((n - n2 + 127) << 23))
    scale2 = from_bits(i32(to_bits(result) | (to_bits(x) & -2147483648)))
    t5 = fma(-alpha, scale2, f32(1.0) - alpha)
    is_above = f32(0.0) < x
    chosen2 = f32(0.0) if is_above else t5
    dx = dy * chosen2
    chosen3 = f32(0.0) if is_above else -scale2
    dalpha = mul_rn(dy, chosen3)
    return dx, dalpha


# Kernels ---------------------------------------------------------------------------------------------


@device
def keep(x):
    """As it is."""
    return x


@device
def first(array):
    """A parameter that lies on the device."""
    return array[0]


def forward_kernel(function, read, write, alpha_of):
    """y = function(x, alpha), at each element."""

    @cuda.jit
    def kernel(x, alpha, y):
        alpha_here = alpha_of(alpha)
        count = u64(y.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            y[i] = write(function(read(x[i]), alpha_here))
            i += step

    return kernel


def backward_kernel(function, read, write, alpha_of):
    """dx, dalpha = function(x, alpha, dy), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, alpha, dx, dalpha_runs):
        alpha_here = alpha_of(alpha)
        count = u64(dx.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            dalpha_total = f64(0.0)
            while i < end:
                dx_here, dalpha_here = function(read(x[i]), alpha_here, read(dy[i]))
                dx[i] = write(dx_here)
                dalpha_total += f64(dalpha_here)
                i += u64(32)
            dalpha_total = sum_of_warp(dalpha_total)
            if lane == 0 and run < runs:
                dalpha_runs[run] = dalpha_total
            block_run += u64(cuda.gridDim.x) * warps

    return kernel


def second_kernel(function, read, write, alpha_of):
    """dx, ddy, dalpha = function(x, alpha, dy, ddx), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, ddx, alpha, dx, ddy, dalpha_runs):
        alpha_here = alpha_of(alpha)
        count = u64(ddy.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            dalpha_total = f64(0.0)
            while i < end:
                dx_here, ddy_here, dalpha_here = function(read(x[i]), alpha_here, read(dy[i]), read(ddx[i]))
                dx[i] = write(dx_here)
                ddy[i] = write(ddy_here)
                dalpha_total += f64(dalpha_here)
                i += u64(32)
            dalpha_total = sum_of_warp(dalpha_total)
            if lane == 0 and run < runs:
                dalpha_runs[run] = dalpha_total
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


def forward(x, alpha=1.0, out=None, stream=None):
    """y = Piecewise((x, x > 0), (alpha*expm1(x), True))"""
    return launch("forward", (x,), (alpha,), out, stream)


def backward(x, dy, alpha=1.0, out=None, stream=None):
    """dx = dy*(Piecewise((1, x > 0), (alpha*exp(x), True)))
    dalpha = the sum of dy * dy/dalpha"""
    return launch("backward", (x, dy), (alpha,), out, stream)


def second(x, dy, ddx, alpha=1.0, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (alpha,), out, stream)


def adversary(x, alpha=1.0, out=None, stream=None):
    """y = Piecewise((0, x > 0), (-alpha*expm1shrink(x) + x*(1 - alpha), True))"""
    return launch("adversary", (x,), (alpha,), out, stream)


def adversary_backward(x, dy, alpha=1.0, out=None, stream=None):
    """dx = dy*(Piecewise((0, x > 0), (-alpha*expm1(x) - alpha + 1, True)))
    dalpha = the sum of dy * dy/dalpha"""
    return launch("adversary_backward", (x, dy), (alpha,), out, stream)


def pair(x, layer, alpha=1.0, out=None, stream=None):
    """``forward`` for layers 0, 2, 4 ..., ``adversary`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary(x, alpha, out, stream)
    return forward(x, alpha, out, stream)


def pair_backward(x, dy, layer, alpha=1.0, out=None, stream=None):
    """``backward`` for layers 0, 2, 4 ..., ``adversary_backward`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary_backward(x, dy, alpha, out, stream)
    return backward(x, dy, alpha, out, stream)
