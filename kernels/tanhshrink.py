"""tanhshrink: y = x - tanh(x)

Source: torch.nn.Tanhshrink.
Derivative: infimum 0 (at 0), supremum 1 (towards -oo, oo).
Adversary: y = tanh(x), by the rule reflect, s = 1, c = 0 (exact). f* is not f with changed signs, so
alternating changes the network.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 0.55, 2.71, 2.20; float16 0.50, 0.50, 0.49; bfloat16 0.49, 0.50, 0.41.

    y = tanhshrink.forward(x)
    dx = tanhshrink.backward(x, dy)
    y = tanhshrink.pair(x, layer=3)  # layer 3 is odd: the adversary

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
    """y = x - tanh(x)"""
    abs_x = abs(x)
    abs_x_squared = abs_x * abs_x
    p = fma(f32(-0.0002083254), abs_x_squared, f32(0.0011584108))
    p = fma(p, abs_x_squared, f32(-0.003539202))
    p = fma(p, abs_x_squared, f32(0.00893258))
    p = fma(p, abs_x_squared, f32(-0.021915406))
    p = fma(p, abs_x_squared, f32(0.053978566))
    p = fma(p, abs_x_squared, f32(-0.13333413))
    p = fma(p, abs_x_squared, f32(0.33333334))
    t = fma(abs_x, abs_x, -abs_x_squared)
    t2 = fma(abs_x_squared, p, t * p)
    total = abs_x + abs_x
    negative = -total
    shifted = fma(negative, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), negative)
    r = fma(k, f32(1.9046542e-09), r)
    p2 = fma(f32(0.0013821328), r, f32(0.008368671))
    p2 = fma(p2, r, f32(0.04166826))
    p2 = fma(p2, r, f32(0.16666521))
    p2 = fma(p2, r, f32(0.49999994))
    p2 = fma(p2, r, f32(1.0))
    p2 = fma(p2, r, f32(1.0))
    result = from_bits(i32(to_bits(p2) + (to_bits(shifted) << 23)))
    if not abs(total) <= f32(87.0):
        clamped = greater(f32(-105.35837), lesser(f32(89.415985), negative))
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
        n = i32(to_bits(shifted2) - 1262485504)
        n2 = i32(n >> 1)
        result = mul_rn(p3 * from_bits(i32((n2 + 127) << 23)), from_bits(i32((n - n2 + 127) << 23)))
    quotient = result / (f32(1.0) + result)
    t3 = fma(quotient, f32(2.0), abs_x - f32(1.0))
    chosen = abs_x * t2 if abs_x < f32(1.0) else t3
    y = from_bits(i32(to_bits(chosen) | (to_bits(x) & -2147483648)))
    return y


@device
def backward_at(x, dy):
    """dx = dy*(tanh(x)**2)"""
    clamped = lesser(f32(30.0), abs(x))
    shifted = fma(clamped, f32(1.442695), f32(12582912.0))
    t = fma(shifted - f32(12582912.0), f32(-0.6931472), clamped)
    t_squared = t * t
    p = fma(f32(0.002065175), t_squared, f32(-0.02221844))
    p = fma(p, t_squared, f32(0.33333325))
    product = mul_rn(t_squared, p)
    scale = from_bits(i32((to_bits(shifted) << 24) + 1065353216))
    p2 = fma(scale, f32(0.859375), f32(-0.859375))
    p3 = fma(scale, f32(0.859375), f32(0.859375))
    t2 = fma(t, p3, mul_rn(product, p2))
    total = p2 + t2
    p4 = fma(product, f32(1.71875), f32(1.71875))
    p5 = fma(t - product, f32(-1.71875), f32(1.71875))
    chosen = p4 if shifted == f32(12582912.0) else total + p5
    quotient = total / chosen
    scale2 = from_bits(i32(to_bits(quotient) | (to_bits(x) & -2147483648)))
    dx = dy * (scale2 * scale2)
    return dx


@device
def second_at(x, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    total = x + x
    shifted = fma(total, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), total)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
    quotient = lesser(scale, difference) / (scale + difference)
    t = fma(-quotient, quotient, quotient)
    product = t * f32(4.0)
    abs_total = abs(total)
    is_rare = not abs_total <= f32(87.0)
    result = product
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_total))
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
        result = product2 * f32(2.0**-58)
    clamped2 = lesser(f32(30.0), abs(x))
    shifted3 = fma(clamped2, f32(1.442695), f32(12582912.0))
    t2 = fma(shifted3 - f32(12582912.0), f32(-0.6931472), clamped2)
    t2_squared = t2 * t2
    p3 = fma(f32(0.002065175), t2_squared, f32(-0.02221844))
    p3 = fma(p3, t2_squared, f32(0.33333325))
    product3 = mul_rn(t2_squared, p3)
    scale2 = from_bits(i32((to_bits(shifted3) << 24) + 1065353216))
    p4 = fma(scale2, f32(0.859375), f32(-0.859375))
    p5 = fma(scale2, f32(0.859375), f32(0.859375))
    t3 = fma(t2, p5, mul_rn(product3, p4))
    total2 = p4 + t3
    p6 = fma(product3, f32(1.71875), f32(1.71875))
    p7 = fma(t2 - product3, f32(-1.71875), f32(1.71875))
    chosen = p6 if shifted3 == f32(12582912.0) else total2 + p7
    quotient2 = total2 / chosen
    scale3 = from_bits(i32(to_bits(quotient2) | (to_bits(x) & -2147483648)))
    dx = dy * (ddx * (mul_rn(result, scale3) * f32(2.0)))
    if result < f32(2.0**-100):
        clamped3 = greater(f32(-194.0812), lesser(f32(0.6931472), -abs_total))
        shifted4 = fma(clamped3, f32(1.442695), f32(12582912.0))
        k3 = shifted4 - f32(12582912.0)
        r3 = fma(k3, f32(-0.6931472), clamped3)
        r3 = fma(k3, f32(1.9046542e-09), r3)
        p8 = fma(f32(0.0013821328), r3, f32(0.008368671))
        p8 = fma(p8, r3, f32(0.04166826))
        p8 = fma(p8, r3, f32(0.16666521))
        p8 = fma(p8, r3, f32(0.49999994))
        p8 = fma(p8, r3, f32(1.0))
        p8 = fma(p8, r3, f32(1.0))
        n3 = i32(to_bits(shifted4) - 1262485376)
        n4 = i32(n3 >> 1)
        product4 = p8 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        chosen2 = product4 if is_rare else product * f32(2.0**126)
        clamped4 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), scale3))
        is_not = not x != x
        is_not2 = not dy != dy
        is_not3 = not ddx != ddx
        chosen3 = f32(0.0) if scale3 != scale3 and is_not and is_not2 and is_not3 else clamped4
        chosen4 = chosen3 if chosen2 == f32(0.0) else scale3
        product5 = mul_rn(chosen2, chosen4)
        chosen5 = f32(0.0) if False and is_not and is_not2 and is_not3 else f32(2.0)
        chosen6 = chosen5 if product5 == f32(0.0) else f32(2.0)
        product6 = product5 * chosen6
        product7 = ddx * f32(2.0**-33)
        clamped5 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product7))
        chosen7 = f32(0.0) if product7 != product7 and is_not and is_not2 and is_not3 else clamped5
        chosen8 = chosen7 if product6 == f32(0.0) else product7
        product8 = product6 * chosen8
        product9 = dy * f32(2.0**-33)
        clamped6 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product9))
        chosen9 = f32(0.0) if product9 != product9 and is_not and is_not2 and is_not3 else clamped6
        chosen10 = chosen9 if product8 == f32(0.0) else product9
        dx = product8 * chosen10 * f32(2.0**-60)
    ddy = ddx * (scale3 * scale3)
    return dx, ddy


@device
def adversary_at(x):
    """y = tanh(x)"""
    clamped = lesser(f32(30.0), abs(x))
    shifted = fma(clamped, f32(1.442695), f32(12582912.0))
    t = fma(shifted - f32(12582912.0), f32(-0.6931472), clamped)
    t_squared = t * t
    p = fma(f32(0.002065175), t_squared, f32(-0.02221844))
    p = fma(p, t_squared, f32(0.33333325))
    product = mul_rn(t_squared, p)
    scale = from_bits(i32((to_bits(shifted) << 24) + 1065353216))
    p2 = fma(scale, f32(0.859375), f32(-0.859375))
    p3 = fma(scale, f32(0.859375), f32(0.859375))
    t2 = fma(t, p3, mul_rn(product, p2))
    total = p2 + t2
    p4 = fma(product, f32(1.71875), f32(1.71875))
    p5 = fma(t - product, f32(-1.71875), f32(1.71875))
    chosen = p4 if shifted == f32(12582912.0) else total + p5
    quotient = total / chosen
    y = from_bits(i32(to_bits(quotient) | (to_bits(x) & -2147483648)))
    return y


@device
def adversary_backward_at(x, dy):
    """dx = dy*(sech2(x))"""
    total = x + x
    shifted = fma(total, f32(1.442695), f32(12582912.0))
    k = shifted - f32(12582912.0)
    r = fma(k, f32(-0.6931472), total)
    r = fma(k, f32(1.9046542e-09), r)
    r_squared = r * r
    p = fma(f32(-0.002766709), r_squared, f32(0.16666625))
    p = fma(p, r_squared, f32(2.0))
    scale = from_bits(i32(to_bits(p + r) + (to_bits(shifted) << 23)))
    difference = p - r
    quotient = lesser(scale, difference) / (scale + difference)
    t = fma(-quotient, quotient, quotient)
    product = t * f32(4.0)
    abs_total = abs(total)
    is_rare = not abs_total <= f32(87.0)
    result = product
    if is_rare:
        clamped = greater(f32(-146.9472), lesser(f32(47.827156), -abs_total))
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
        result = product2 * f32(2.0**-58)
    dx = dy * result
    if result < f32(2.0**-100):
        clamped2 = greater(f32(-194.77435), lesser(f32(0.0), -abs_total))
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
        n3 = i32(to_bits(shifted3) - 1262485375)
        n4 = i32(n3 >> 1)
        product3 = p3 * from_bits(i32((n4 + 127) << 23)) * from_bits(i32((n3 - n4 + 127) << 23))
        chosen = product3 if is_rare else product * f32(2.0**127)
        product4 = dy * f32(2.0**-67)
        clamped3 = lesser(f32(3.4028235e38), greater(f32(-3.4028235e38), product4))
        chosen2 = f32(0.0) if product4 != product4 and not x != x and not dy != dy else clamped3
        chosen3 = chosen2 if chosen == f32(0.0) else product4
        dx = chosen * chosen3 * f32(2.0**-60)
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
    """y = x - tanh(x)"""
    return launch("forward", (x,), (), out, stream)


def backward(x, dy, out=None, stream=None):
    """dx = dy*(tanh(x)**2)"""
    return launch("backward", (x, dy), (), out, stream)


def second(x, dy, ddx, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (), out, stream)


def adversary(x, out=None, stream=None):
    """y = tanh(x)"""
    return launch("adversary", (x,), (), out, stream)


def adversary_backward(x, dy, out=None, stream=None):
    """dx = dy*(sech2(x))"""
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
