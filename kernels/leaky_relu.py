"""leaky_relu: y = where(x > 0, x, slope*x)

Parameters: slope = 0.01.
Source: Maas, Hannun and Ng, ICML 2013.
Derivative: infimum 1/100 (at -oo, 0), supremum 1 (at 0, oo).
Adversary: y = Piecewise((x/100, x > 0), (x*(101/100 - slope), True)), by the rule reflect, s = 101/100
(exact). f*(x) = -f(-x): between linear maps this only renames weights, so alternating trains the same
network, unless a residual sum, max-pooling or shared weights stand there.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 0.49, 0.00, 0.00; float16 0.50, 0.28, 0.00; bfloat16 0.49, 0.16, 0.00.

    y = leaky_relu.forward(x)
    dx, dslope = leaky_relu.backward(x, dy)
    y = leaky_relu.pair(x, layer=3)  # layer 3 is odd: the adversary

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
def forward_at(x, slope):
    """y = Piecewise((x, x > 0), (slope*x, True))"""
    y = x if f32(0.0) < x else slope * x
    return y


@device
def backward_at(x, slope, dy):
    """dx = dy*(Piecewise((1, x > 0), (slope, True)))
    dslope = the sum of dy * dy/dslope"""
    chosen = x if x != x else slope
    is_above = f32(0.0) < x
    chosen2 = f32(1.0) if is_above else chosen
    dx = dy * chosen2
    chosen3 = f32(0.0) if is_above else x
    dslope = mul_rn(dy, chosen3)
    return dx, dslope


@device
def second_at(x, slope, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    dx = dy * (ddx * f32(0.0))
    x_is_nan = x != x
    chosen = x if x_is_nan else slope
    is_above = f32(0.0) < x
    chosen2 = f32(1.0) if is_above else chosen
    ddy = ddx * chosen2
    chosen3 = x if x_is_nan else f32(1.0)
    chosen4 = f32(0.0) if is_above else chosen3
    dslope = mul_rn(dy, ddx * chosen4)
    return dx, ddy, dslope


@device
def adversary_at(x, slope):
    """y = Piecewise((x/100, x > 0), (x*(101/100 - slope), True))"""
    y = x * f32(0.01) if f32(0.0) < x else x * (f32(1.01) - slope)
    return y


@device
def adversary_backward_at(x, slope, dy):
    """dx = dy*(Piecewise((1/100, x > 0), (101/100 - slope, True)))
    dslope = the sum of dy * dy/dslope"""
    chosen = x if x != x else f32(1.01) - slope
    is_above = f32(0.0) < x
    chosen2 = f32(0.01) if is_above else chosen
    dx = dy * chosen2
    chosen3 = f32(0.0) if is_above else -x
    dslope = mul_rn(dy, chosen3)
    return dx, dslope


# Kernels ---------------------------------------------------------------------------------------------


@device
def keep(x):
    """As it is."""
    return x


@device
def first(array):
    """A parameter that lies on the device."""
    return array[0]


def forward_kernel(function, read, write, slope_of):
    """y = function(x, slope), at each element."""

    @cuda.jit
    def kernel(x, slope, y):
        slope_here = slope_of(slope)
        count = u64(y.size)
        i = u64(cuda.grid(1))
        step = u64(cuda.gridsize(1))
        while i < count:
            y[i] = write(function(read(x[i]), slope_here))
            i += step

    return kernel


def backward_kernel(function, read, write, slope_of):
    """dx, dslope = function(x, slope, dy), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, slope, dx, dslope_runs):
        slope_here = slope_of(slope)
        count = u64(dx.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            dslope_total = f64(0.0)
            while i < end:
                dx_here, dslope_here = function(read(x[i]), slope_here, read(dy[i]))
                dx[i] = write(dx_here)
                dslope_total += f64(dslope_here)
                i += u64(32)
            dslope_total = sum_of_warp(dslope_total)
            if lane == 0 and run < runs:
                dslope_runs[run] = dslope_total
            block_run += u64(cuda.gridDim.x) * warps

    return kernel


def second_kernel(function, read, write, slope_of):
    """dx, ddy, dslope = function(x, slope, dy, ddx), the sums by runs of elements."""

    @cuda.jit
    def kernel(x, dy, ddx, slope, dx, ddy, dslope_runs):
        slope_here = slope_of(slope)
        count = u64(ddy.size)
        runs = (count + u64(4095)) >> u64(12)  # of 4096 elements, one for each warp
        lane = u64(cuda.threadIdx.x) & u64(31)
        warps = u64(cuda.blockDim.x) >> u64(5)
        block_run = u64(cuda.blockIdx.x) * warps
        while block_run < runs:
            run = block_run + (u64(cuda.threadIdx.x) >> u64(5))
            end = min((run + u64(1)) << u64(12), count)
            i = (run << u64(12)) + lane
            dslope_total = f64(0.0)
            while i < end:
                dx_here, ddy_here, dslope_here = function(read(x[i]), slope_here, read(dy[i]), read(ddx[i]))
                dx[i] = write(dx_here)
                ddy[i] = write(ddy_here)
                dslope_total += f64(dslope_here)
                i += u64(32)
            dslope_total = sum_of_warp(dslope_total)
            if lane == 0 and run < runs:
                dslope_runs[run] = dslope_total
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


def forward(x, slope=0.01, out=None, stream=None):
    """y = Piecewise((x, x > 0), (slope*x, True))"""
    return launch("forward", (x,), (slope,), out, stream)


def backward(x, dy, slope=0.01, out=None, stream=None):
    """dx = dy*(Piecewise((1, x > 0), (slope, True)))
    dslope = the sum of dy * dy/dslope"""
    return launch("backward", (x, dy), (slope,), out, stream)


def second(x, dy, ddx, slope=0.01, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (slope,), out, stream)


def adversary(x, slope=0.01, out=None, stream=None):
    """y = Piecewise((x/100, x > 0), (x*(101/100 - slope), True))"""
    return launch("adversary", (x,), (slope,), out, stream)


def adversary_backward(x, dy, slope=0.01, out=None, stream=None):
    """dx = dy*(Piecewise((1/100, x > 0), (101/100 - slope, True)))
    dslope = the sum of dy * dy/dslope"""
    return launch("adversary_backward", (x, dy), (slope,), out, stream)


def pair(x, layer, slope=0.01, out=None, stream=None):
    """``forward`` for layers 0, 2, 4 ..., ``adversary`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary(x, slope, out, stream)
    return forward(x, slope, out, stream)


def pair_backward(x, dy, layer, slope=0.01, out=None, stream=None):
    """``backward`` for layers 0, 2, 4 ..., ``adversary_backward`` for 1, 3, 5 ..."""
    if layer % 2:
        return adversary_backward(x, dy, slope, out, stream)
    return backward(x, dy, slope, out, stream)
