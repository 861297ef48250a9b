"""snake: y = x + sin(a*x)**2/a

Parameters: a = 1.
Source: arXiv:2006.08195.
Derivative: infimum 0 (at -pi/4), supremum 2 (at pi/4).
Adversary: y = x - sin(a*x)**2/a, by the rule reflect, s = 2 (exact). f*(x) = -f(-x): between linear maps this
only renames weights, so alternating trains the same network, unless a residual sum, max-pooling or shared
weights stand there.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 2.31, 1.66, 3.16; float16 0.49, 0.50, 0.50; bfloat16 0.49, 0.50, 0.50.

    y = snake.forward(x)
    dx, da = snake.backward(x, dy)
    y = snake.pair(x, layer=3)  # layer 3 is odd: the adversary

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
def shift_right64(n, count):
    """Zeros enter from the left."""
    return np.int64(np.uint64(n) >> np.uint64(count))


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
def add_wrapping(a, b):
    """Modulo 2**64; signed integers must not overflow in Numba."""
    return np.int64(np.uint64(a) + np.uint64(b))


@device
def sub_wrapping(a, b):
    """Modulo 2**64; signed integers must not overflow in Numba."""
    return np.int64(np.uint64(a) - np.uint64(b))


@device
def mul_wrapping(a, b):
    """Modulo 2**64; signed integers must not overflow in Numba."""
    return np.int64(np.uint64(a) * np.uint64(b))


@device
def sum_of_warp(total):
    """In lane 0 the sum over the warp by a fixed tree: lane j + lane j+16, then 8, 4, 2, 1."""
    total += shuffle_down(total, 16)
    total += shuffle_down(total, 8)
    total += shuffle_down(total, 4)
    total += shuffle_down(total, 2)
    total += shuffle_down(total, 1)
    return total


TABLE_F28B6BAC = np.array(
    [0, 683565275, 2475754826, 2131351028, 2102212464, 920167782, 1326507024, 2140428522, 4155437400, 1841896334], i64
)


@device
def table_f28b6bac(index):
    return TABLE_F28B6BAC[u64(greater(lesser(index, 9), 0))]


# The mathematics at one element ----------------------------------------------------------------------


@device
def forward_at(x, a):
    """y = x + sin(a*x)**2/a"""
    product = mul_rn(a, x)
    abs_product = abs(product)
    shifted = fma(abs_product, f32(0.31830987), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-3.1415925), abs_product)
    r = fma(k, f32(-1.5099579e-07), r)
    r = fma(k, f32(-1.0780605e-14), r)
    result = from_bits(i32(to_bits(r) ^ (to_bits(shifted) << 31)))
    if f32(65536.0) < abs_product:
        bits = to_bits(abs_product)
        n = i64(i32((bits & 8388607) | 8388608)) & 4294967295
        n2 = i32(shift_right(bits, 23) - 150 + 32)
        n3 = shift_right(n2, 5)
        n4 = i64(i32(n2 & 31)) & 4294967295
        n5 = table_f28b6bac(n3 + 0)
        n6 = table_f28b6bac(n3 + 1)
        n7 = table_f28b6bac(n3 + 2)
        n8 = table_f28b6bac(n3 + 3)
        n9 = (n7 << 32) | n8
        n10 = shift_right64(shift_right64(n9, 1), sub_wrapping(i64(63), n4) & 63)
        n11 = shift_right64(mul_wrapping(n, shift_right64(n9 << (n4 & 63), 32)), 32)
        n12 = add_wrapping(mul_wrapping(n, (((n5 << 32) | n6) << (n4 & 63)) | n10), n11)
        n13 = shift_right64(add_wrapping(n12, i64(4611686018427387904)), 63)
        n14 = n12 << 1
        product2 = mul_rn(f32(n14 >> 40), f32(2.0**-24))
        product3 = mul_rn(f32(shift_right64(n14, 16) & 16777215), f32(2.0**-48))
        total = product2 + product3
        total2 = product3 - (total - product2) + mul_rn(f32(n14 & 65535), f32(2.0**-64))
        product4 = mul_rn(total, f32(3.1415925))
        t = fma(total, f32(3.1415925), -product4)
        t2 = fma(total, f32(1.5099579e-07), mul_rn(total2, f32(3.1415925)))
        total3 = product4 + (t + t2)
        chosen = -total3 if n13 != 0 else total3
        result = chosen + (abs_product - abs_product)
    result_squared = result * result
    p = fma(f32(2.5970935e-06), result_squared, f32(-0.00019805308))
    p = fma(p, result_squared, f32(0.008333))
    p = fma(p, result_squared, f32(-0.16666657))
    t3 = fma(result * result_squared, p, result)
    scale = from_bits(i32(to_bits(t3) ^ (to_bits(product) & -2147483648)))
    quotient = scale * scale / a
    total4 = x + quotient
    y = total4
    if total4 != total4 and f32(2.0**21) < abs(x):
        y = f32(math.inf) if f32(0.0) < x else f32(-math.inf)
    return y


@device
def backward_at(x, a, dy):
    """dx = dy*(one_plus_sin2(a*x))
    da = the sum of dy * dy/da"""
    product = mul_rn(a, x)
    abs_product = abs(product)
    shifted = fma(abs_product, f32(0.31830987), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-3.1415925), abs_product)
    r = fma(k, f32(-1.5099579e-07), r)
    r = fma(k, f32(-1.0780605e-14), r)
    is_rare = f32(65536.0) < abs_product
    result = from_bits(i32(to_bits(r) ^ (to_bits(shifted) << 31)))
    if is_rare:
        bits = to_bits(abs_product)
        n = i64(i32((bits & 8388607) | 8388608)) & 4294967295
        n2 = i32(shift_right(bits, 23) - 150 + 32)
        n3 = shift_right(n2, 5)
        n4 = i64(i32(n2 & 31)) & 4294967295
        n5 = table_f28b6bac(n3 + 0)
        n6 = table_f28b6bac(n3 + 1)
        n7 = table_f28b6bac(n3 + 2)
        n8 = table_f28b6bac(n3 + 3)
        n9 = (n7 << 32) | n8
        n10 = shift_right64(shift_right64(n9, 1), sub_wrapping(i64(63), n4) & 63)
        n11 = shift_right64(mul_wrapping(n, shift_right64(n9 << (n4 & 63), 32)), 32)
        n12 = add_wrapping(mul_wrapping(n, (((n5 << 32) | n6) << (n4 & 63)) | n10), n11)
        n13 = add_wrapping(n12, i64(4611686018427387904))
        n14 = n12 << 1
        product2 = mul_rn(f32(n14 >> 40), f32(2.0**-24))
        product3 = mul_rn(f32(shift_right64(n14, 16) & 16777215), f32(2.0**-48))
        total = product2 + product3
        total2 = product3 - (total - product2) + mul_rn(f32(n14 & 65535), f32(2.0**-64))
        product4 = mul_rn(total, f32(3.1415925))
        t = fma(total, f32(3.1415925), -product4)
        t2 = fma(total, f32(1.5099579e-07), mul_rn(total2, f32(3.1415925)))
        total3 = product4 + (t + t2)
        chosen = -total3 if shift_right64(n13, 63) != 0 else total3
        difference = abs_product - abs_product
        result = chosen + difference
    result_squared = result * result
    p = fma(f32(2.5970935e-06), result_squared, f32(-0.00019805308))
    p = fma(p, result_squared, f32(0.008333))
    p = fma(p, result_squared, f32(-0.16666657))
    t3 = fma(result * result_squared, p, result)
    scale = from_bits(i32(to_bits(t3) ^ (to_bits(product) & -2147483648)))
    p2 = fma(abs_product, f32(0.31830987), f32(8388607.5))
    clamped = greater(p2, f32(2.0**23))
    difference2 = clamped - f32(8388607.5)
    t4 = fma(difference2, f32(3.1415925), -abs_product)
    t4 = fma(difference2, f32(1.5099579e-07), t4)
    t4 = fma(difference2, f32(1.0780605e-14), t4)
    result2 = from_bits(i32(to_bits(t4) ^ (to_bits(clamped) << 31)))
    if is_rare:
        bits2 = to_bits(abs_product)
        n15 = i64(i32((bits2 & 8388607) | 8388608)) & 4294967295
        n16 = i32(shift_right(bits2, 23) - 150 + 32)
        n17 = shift_right(n16, 5)
        n18 = i64(i32(n16 & 31)) & 4294967295
        n19 = table_f28b6bac(n17 + 0)
        n20 = table_f28b6bac(n17 + 1)
        n21 = table_f28b6bac(n17 + 2)
        n22 = table_f28b6bac(n17 + 3)
        n23 = (n21 << 32) | n22
        n24 = shift_right64(shift_right64(n23, 1), sub_wrapping(i64(63), n18) & 63)
        n25 = mul_wrapping(n15, (((n19 << 32) | n20) << (n18 & 63)) | n24)
        n26 = shift_right64(mul_wrapping(n15, shift_right64(n23 << (n18 & 63), 32)), 32)
        n27 = add_wrapping(n25, n26)
        n28 = add_wrapping(n27, i64(4611686018427387904))
        difference3 = abs_product - abs_product
        n29 = shift_right64(add_wrapping(n28, i64(4611686018427387904)), 63)
        n30 = n28 << 1
        product5 = mul_rn(f32(n30 >> 40), f32(2.0**-24))
        product6 = mul_rn(f32(shift_right64(n30, 16) & 16777215), f32(2.0**-48))
        total4 = product5 + product6
        total5 = product6 - (total4 - product5) + mul_rn(f32(n30 & 65535), f32(2.0**-64))
        product7 = mul_rn(total4, f32(3.1415925))
        t5 = fma(total4, f32(3.1415925), -product7)
        t6 = fma(total4, f32(1.5099579e-07), mul_rn(total5, f32(3.1415925)))
        total6 = product7 + (t5 + t6)
        chosen2 = -total6 if n29 != 0 else total6
        result2 = chosen2 + difference3
    result2_squared = result2 * result2
    p3 = fma(f32(2.5970935e-06), result2_squared, f32(-0.00019805308))
    p3 = fma(p3, result2_squared, f32(0.008333))
    p3 = fma(p3, result2_squared, f32(-0.16666657))
    t7 = fma(result2 * result2_squared, p3, result2)
    total7 = scale + t7
    p4 = fma(scale + scale, t7, f32(1.0))
    chosen3 = total7 * total7 if p4 < f32(0.5) else p4
    dx = dy * chosen3
    quotient = f32(1.0) / a
    quotient2 = mul_rn(x * t7, scale) * f32(2.0) / a
    da = mul_rn(dy, -mul_rn(quotient * quotient, scale * scale) + quotient2)
    return dx, da


@device
def second_at(x, a, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    product = mul_rn(a, x)
    abs_product = abs(product)
    shifted = fma(abs_product, f32(0.31830987), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-3.1415925), abs_product)
    r = fma(k, f32(-1.5099579e-07), r)
    r = fma(k, f32(-1.0780605e-14), r)
    is_rare = f32(65536.0) < abs_product
    result = from_bits(i32(to_bits(r) ^ (to_bits(shifted) << 31)))
    if is_rare:
        bits = to_bits(abs_product)
        n = i64(i32((bits & 8388607) | 8388608)) & 4294967295
        n2 = i32(shift_right(bits, 23) - 150 + 32)
        n3 = shift_right(n2, 5)
        n4 = i64(i32(n2 & 31)) & 4294967295
        n5 = table_f28b6bac(n3 + 0)
        n6 = table_f28b6bac(n3 + 1)
        n7 = table_f28b6bac(n3 + 2)
        n8 = table_f28b6bac(n3 + 3)
        n9 = (n7 << 32) | n8
        n10 = shift_right64(shift_right64(n9, 1), sub_wrapping(i64(63), n4) & 63)
        n11 = shift_right64(mul_wrapping(n, shift_right64(n9 << (n4 & 63), 32)), 32)
        n12 = add_wrapping(mul_wrapping(n, (((n5 << 32) | n6) << (n4 & 63)) | n10), n11)
        n13 = add_wrapping(n12, i64(4611686018427387904))
        n14 = n12 << 1
        product2 = mul_rn(f32(n14 >> 40), f32(2.0**-24))
        product3 = mul_rn(f32(shift_right64(n14, 16) & 16777215), f32(2.0**-48))
        total = product2 + product3
        total2 = product3 - (total - product2) + mul_rn(f32(n14 & 65535), f32(2.0**-64))
        product4 = mul_rn(total, f32(3.1415925))
        t = fma(total, f32(3.1415925), -product4)
        t2 = fma(total, f32(1.5099579e-07), mul_rn(total2, f32(3.1415925)))
        total3 = product4 + (t + t2)
        chosen = -total3 if shift_right64(n13, 63) != 0 else total3
        difference = abs_product - abs_product
        result = chosen + difference
    result_squared = result * result
    p = fma(f32(2.5970935e-06), result_squared, f32(-0.00019805308))
    p = fma(p, result_squared, f32(0.008333))
    p = fma(p, result_squared, f32(-0.16666657))
    t3 = fma(result * result_squared, p, result)
    scale = from_bits(i32(to_bits(t3) ^ (to_bits(product) & -2147483648)))
    p2 = fma(abs_product, f32(0.31830987), f32(8388607.5))
    clamped = greater(p2, f32(2.0**23))
    difference2 = clamped - f32(8388607.5)
    t4 = fma(difference2, f32(3.1415925), -abs_product)
    t4 = fma(difference2, f32(1.5099579e-07), t4)
    t4 = fma(difference2, f32(1.0780605e-14), t4)
    result2 = from_bits(i32(to_bits(t4) ^ (to_bits(clamped) << 31)))
    if is_rare:
        bits2 = to_bits(abs_product)
        n15 = i64(i32((bits2 & 8388607) | 8388608)) & 4294967295
        n16 = i32(shift_right(bits2, 23) - 150 + 32)
        n17 = shift_right(n16, 5)
        n18 = i64(i32(n16 & 31)) & 4294967295
        n19 = table_f28b6bac(n17 + 0)
        n20 = table_f28b6bac(n17 + 1)
        n21 = table_f28b6bac(n17 + 2)
        n22 = table_f28b6bac(n17 + 3)
        n23 = (n21 << 32) | n22
        n24 = shift_right64(shift_right64(n23, 1), sub_wrapping(i64(63), n18) & 63)
        n25 = mul_wrapping(n15, (((n19 << 32) | n20) << (n18 & 63)) | n24)
        n26 = shift_right64(mul_wrapping(n15, shift_right64(n23 << (n18 & 63), 32)), 32)
        n27 = add_wrapping(n25, n26)
        n28 = add_wrapping(n27, i64(4611686018427387904))
        difference3 = abs_product - abs_product
        n29 = shift_right64(add_wrapping(n28, i64(4611686018427387904)), 63)
        n30 = n28 << 1
        product5 = mul_rn(f32(n30 >> 40), f32(2.0**-24))
        product6 = mul_rn(f32(shift_right64(n30, 16) & 16777215), f32(2.0**-48))
        total4 = product5 + product6
        total5 = product6 - (total4 - product5) + mul_rn(f32(n30 & 65535), f32(2.0**-64))
        product7 = mul_rn(total4, f32(3.1415925))
        t5 = fma(total4, f32(3.1415925), -product7)
        t6 = fma(total4, f32(1.5099579e-07), mul_rn(total5, f32(3.1415925)))
        total6 = product7 + (t5 + t6)
        chosen2 = -total6 if n29 != 0 else total6
        result2 = chosen2 + difference3
    result2_squared = result2 * result2
    p3 = fma(f32(2.5970935e-06), result2_squared, f32(-0.00019805308))
    p3 = fma(p3, result2_squared, f32(0.008333))
    p3 = fma(p3, result2_squared, f32(-0.16666657))
    t7 = fma(result2 * result2_squared, p3, result2)
    t8 = fma(t7, f32(2.0), scale * f32(-2.0))
    total7 = t7 + scale
    dx = dy * (ddx * (a * t8 * total7))
    total8 = scale + t7
    p4 = fma(scale + scale, t7, f32(1.0))
    chosen3 = total8 * total8 if p4 < f32(0.5) else p4
    ddy = ddx * chosen3
    da = mul_rn(dy, ddx * (x * t8 * total7))
    return dx, ddy, da


@device
def adversary_at(x, a):
    """y = x - sin(a*x)**2/a"""
    return -forward_at(-x, a)


@device
def adversary_backward_at(x, a, dy):
    """dx = dy*(one_plus_sin2(-a*x))
    da = the sum of dy * dy/da"""
    dx, da = backward_at(-x, a, dy)
    return dx, -da


# Kernels ---------------------------------------------------------------------------------------------


@device
def keep(x):
    """As it is."""
    return x


@device
def first(array):
    """A parameter that lies on the device."""
    return array[0]


def forward_kernel(function, read, write, a_of):
    """y = function(x, a), at each element."""

    @cuda.jit
    def kernel(x, a, y):
        a_here = a_of(a)
        count = u64(y.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            y[i] = write(function(read(x[i]), a_here))
            i += step

    return kernel


def backward_kernel(function, read, write, a_of):
    """dx, da = function(x, a, dy), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, a, dx, da_runs):
        a_here = a_of(a)
        count = u64(dx.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            da_total = f64(0.0)
            while i < end:
                dx_here, da_here = function(read(x[i]), a_here, read(dy[i]))
                dx[i] = write(dx_here)
                da_total += f64(da_here)
                i += u64(32)
            da_total = sum_of_warp(da_total)
            if lane == 0 and run < runs:
                da_runs[run] = da_total
            block_run += u64(cuda.gridDim.x) * warps

    return kernel


def second_kernel(function, read, write, a_of):
    """dx, ddy, da = function(x, a, dy, ddx), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, ddx, a, dx, ddy, da_runs):
        a_here = a_of(a)
        count = u64(ddy.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            da_total = f64(0.0)
            while i < end:
                dx_here, ddy_here, da_here = function(read(x[i]), a_here, read(dy[i]), read(ddx[i]))
                dx[i] = write(dx_here)
                ddy[i] = write(ddy_here)
                da_total += f64(da_here)
                i += u64(32)
            da_total = sum_of_warp(da_total)
            if lane == 0 and run < runs:
                da_runs[run] = da_total
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


def forward(x, a=1.0, out=None, stream=None):
    """y = x + sin(a*x)**2/a"""
    return launch("forward", (x,), (a,), out, stream)


def backward(x, dy, a=1.0, out=None, stream=None):
    """dx = dy*(one_plus_sin2(a*x))
    da = the sum of dy * dy/da"""
    return launch("backward", (x, dy), (a,), out, stream)


def second(x, dy, ddx, a=1.0, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (a,), out, stream)


def adversary(x, a=1.0, out=None, stream=None):
    """y = x - sin(a*x)**2/a"""
    return launch("adversary", (x,), (a,), out, stream)


def adversary_backward(x, dy, a=1.0, out=None, stream=None):
    """dx = dy*(one_plus_sin2(-a*x))
    da = the sum of dy * dy/da"""
    return launch("adversary_backward", (x, dy), (a,), out, stream)


def pair(x, layer, a=1.0, out=None, stream=None):
    """``forward`` for layers 0, 2, 4 ..., ``adversary`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary(x, a, out, stream)
    return forward(x, a, out, stream)


def pair_backward(x, dy, layer, a=1.0, out=None, stream=None):
    """``backward`` for layers 0, 2, 4 ..., ``adversary_backward`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary_backward(x, dy, a, out, stream)
    return backward(x, dy, a, out, stream)
