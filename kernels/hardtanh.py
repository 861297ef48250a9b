"""hardtanh: y = clip(x, -1, 1)

Source: Collobert, 2004.
Derivative: infimum 0 (at -oo, -1, 1, oo), supremum 1 (at -1, 1).
Adversary: y = maximum(minimum(0, x + 1), x - 1), by the rule reflect, s = 1, c = 0 (exact). f* is not f with
changed signs, so alternating changes the network.
Saved for backward: the input.
Errors: of f, f', f'', the largest of |result - exact| / (ulp(exact) + |slope| ulp(x)) over 11200 inputs:
float32 0.00, 0.00, 0.00; float16 0.00, 0.00, 0.00; bfloat16 0.00, 0.00, 0.00.

    y = hardtanh.forward(x)
    dx = hardtanh.backward(x, dy)
    y = hardtanh.pair(x, layer=3)  # layer 3 is odd: the adversary

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
    """y = minimum(maximum(x, -1), 1)"""
    y = lesser(f32(1.0), greater(f32(-1.0), x))
    return y


@device
def backward_at(x, dy):
    """dx = dy*(Piecewise((Piecewise((1, x > -1), (0, True)), maximum(x, -1) < 1), (0, True)))"""
    clamped = greater(f32(-1.0), x)
    chosen = clamped if clamped != clamped else f32(0.0)
    chosen2 = x if x != x else f32(0.0)
    chosen3 = f32(1.0) if f32(-1.0) < x else chosen2
    chosen4 = chosen3 if clamped < f32(1.0) else chosen
    dx = dy * chosen4
    return dx


@device
def second_at(x, dy, ddx):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    dx = dy * (ddx * f32(0.0))
    clamped = greater(f32(-1.0), x)
    chosen = clamped if clamped != clamped else f32(0.0)
    chosen2 = x if x != x else f32(0.0)
    chosen3 = f32(1.0) if f32(-1.0) < x else chosen2
    chosen4 = chosen3 if clamped < f32(1.0) else chosen
    ddy = ddx * chosen4
    return dx, ddy


@device
def adversary_at(x):
    """y = maximum(minimum(0, x + 1), x - 1)"""
    clamped = lesser(f32(0.0), f32(1.0) + x)
    y = clamped if clamped != clamped else greater(clamped, f32(-1.0) + x)
    return y


@device
def adversary_backward_at(x, dy):
    """dx = dy*(Piecewise((Piecewise((0, x > -1), (1, True)), x < minimum(0, x + 1) + 1), (1, True)))"""
    chosen = x if x != x else f32(1.0)
    total = f32(1.0) + lesser(f32(0.0), f32(1.0) + x)
    chosen2 = total if total != total else chosen
    chosen3 = f32(0.0) if f32(-1.0) < x else chosen
    chosen4 = chosen3 if x < total else chosen2
    dx = dy * chosen4
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
    """y = minimum(maximum(x, -1), 1)"""
    return launch("forward", (x,), (), out, stream)


def backward(x, dy, out=None, stream=None):
    """dx = dy*(Piecewise((Piecewise((1, x > -1), (0, True)), maximum(x, -1) < 1), (0, True)))"""
    return launch("backward", (x, dy), (), out, stream)


def second(x, dy, ddx, out=None, stream=None):
    """The backward of backward: gradients for x, dy, from those for backward's results: ddx."""
    return launch("second", (x, dy, ddx), (), out, stream)


def adversary(x, out=None, stream=None):
    """y = maximum(minimum(0, x + 1), x - 1)"""
    return launch("adversary", (x,), (), out, stream)


def adversary_backward(x, dy, out=None, stream=None):
    """dx = dy*(Piecewise((Piecewise((0, x > -1), (1, True)), x < minimum(0, x + 1) + 1), (1, True)))"""
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
