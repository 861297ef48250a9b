"""The small functions that emitted Python needs beside plain operators, each with three meanings of the same bits.

- *device*: what Numba CUDA compiles, mostly names of libdevice;
- *host*: what ``numba.njit`` compiles for the CPU;
- *simulated*: plain Python on NumPy scalars, for Numba's CUDA simulator, which has neither libdevice nor one rounding
  in ``cuda.fma``.

A module gets the helpers that it uses, and what they need. Names without a number are for float32, with 64 for float64.
``device`` is the decorator of scalar functions in all three.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Helper:
    """Text in each meaning, without indentation; ``common`` if there is but one. ``needs``: helpers that it calls."""

    device: str = ""
    host: str = ""
    simulated: str = ""
    common: str = ""
    needs: tuple[str, ...] = ()


def _alias(name: str, device: str, host: str, simulated: str | None = None) -> Helper:
    """``host`` and ``simulated``: parameters and the result, as in ``"x: x + 1"``."""
    return Helper(
        f"{name} = cuda.libdevice.{device}", _function(name, host, "@device\n"), _function(name, simulated or host)
    )


def _function(name: str, text: str, decorator: str = "") -> str:
    parameters, result = text.split(": ", 1)
    return f"{decorator}def {name}({parameters}):\n    return {result}"


_LLVM_FMA = '''\
@intrinsic
def {name}(typing, a, b, c):
    """a*b + c with one rounding."""
    def generate(context, builder, signature, values):
        return builder.fma(*values)
    return types.{type}(*[types.{type}] * 3), generate'''

_FMA = '''\
def fma(a, b, c):
    """a*b + c with one rounding: the product is exact in float64, the sum is rounded to odd there."""
    a, b, c = float(a), float(b), float(c)
    product = a * b
    total = product + c
    part = total - product
    error = (product - (total - part)) + (c - part)
    if math.isfinite(total) and error != 0 and not int(np.float64(total).view(np.int64)) & 1:
        total = math.nextafter(total, math.copysign(math.inf, error))
    return np.float32(total)'''

_FMA64 = '''\
def fma64(a, b, c):
    """a*b + c with one rounding, by exact fractions."""
    a, b, c = float(a), float(b), float(c)
    if not (math.isfinite(a) and math.isfinite(b)):
        return np.float64(a) * np.float64(b) + np.float64(c)
    if not math.isfinite(c):
        return np.float64(c)
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return np.float64(a * b + c)
    try:
        return np.float64(exact.numerator / exact.denominator)
    except OverflowError:
        return np.float64(math.copysign(math.inf, exact))'''

_TRUNCATE = '''\
{decorator}def {name}(x):
    """The integer towards zero; beyond the range its end; 0 for NaN."""
    if x != x:
        return np.{integer}(0)
    if x >= {limit}.0:
        return np.{integer}({limit} - 1)
    if x <= -{limit}.0:
        return np.{integer}(-{limit})
    return np.{integer}(x)'''

_TRUNCATE_DEVICE = '''\
@device
def {name}(x):
    """The integer towards zero; beyond the range its end; 0 for NaN."""
    return np.{integer}(0) if x != x else cuda.libdevice.{function}(x)'''


def _truncate(name: str, integer: str, function: str) -> Helper:
    limit = 1 << (31 if integer == "int32" else 63)
    host, simulated = (
        _TRUNCATE.format(decorator=d, name=name, integer=integer, limit=limit) for d in ("@device\n", "")
    )
    return Helper(_TRUNCATE_DEVICE.format(name=name, integer=integer, function=function), host, simulated)


_HALF_TO_FLOAT = '''\
@device
def half_to_float(bits):
    """The float16 with these bits as float32; the bias grows by a product, which normalises subnormals too."""
    magnitude = np.int32((bits & 0x7FFF) << 13)
    wide = from_bits(magnitude) * np.float32(2.0**112)
    if magnitude >= 0x7C00 << 13:
        wide = from_bits(np.int32(magnitude | 0x7F800000))
    return -wide if bits < 0 else wide'''

_FLOAT_TO_HALF = '''\
@device
def float_to_half(x):
    """The bits of x rounded to nearest even in float16; a NaN becomes a quiet one."""
    bits = to_bits(x)
    sign = np.int32((bits >> 16) & 0x8000)
    magnitude = np.int32(bits & 0x7FFFFFFF)
    if magnitude > 0x7F800000:
        rounded = np.int32(0x7E00)
    elif magnitude >= 0x47800000:
        rounded = np.int32(0x7C00)
    elif magnitude < 0x38800000:
        rounded = np.int32(to_bits(from_bits(magnitude) + np.float32(0.5)) - 0x3F000000)
    else:
        rounded = np.int32((magnitude + 0xFFF - (112 << 23) + ((magnitude >> 13) & 1)) >> 13)
    return np.int16(rounded | sign)'''

_BFLOAT16_TO_FLOAT = '''\
@device
def bfloat16_to_float(bits):
    """The float32 whose upper half these 16 bits are."""
    return from_bits(i32((i32(bits) & 0xFFFF) << 16))'''

_FLOAT_TO_BFLOAT16 = '''\
@device
def float_to_bfloat16(x):
    """The bits of x rounded to nearest even in bfloat16; a NaN becomes a quiet one."""
    bits = to_bits(x)
    upper = shift_right(bits, 16)
    if x != x:
        return i16(upper | 0x40)
    return i16(shift_right(i32(bits + ((upper & 1) + 0x7FFF)), 16))'''

_SHIFT = '''\
@device
def {name}(n, count):
    """Zeros enter from the left."""
    return np.int{bits}(np.uint{bits}(n) >> np.uint{bits}(count))'''

_WRAPPING = '''\
@device
def {name}(a, b):
    """Modulo 2**64; signed integers must not overflow in Numba."""
    return np.int64(np.uint64(a) {operator} np.uint64(b))'''

_MUL_HIGH = '''\
@device
def mul_high(a, b):
    """The upper half of the unsigned product."""
    return np.int32((np.uint64(np.uint32(a)) * np.uint64(np.uint32(b))) >> np.uint64(32))'''

_MUL_HIGH64 = '''\
{decorator}def mul_high64(a, b):
    """The upper half of the unsigned product, from products of 32 bits each."""
    low, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a0, a1 = np.uint64(a) & low, np.uint64(a) >> half
    b0, b1 = np.uint64(b) & low, np.uint64(b) >> half
    middle = a1 * b0 + (a0 * b0 >> half)
    other = a0 * b1 + (middle & low)
    return np.int64(a1 * b1 + (middle >> half) + (other >> half))'''

_SUM_OF_WARP = '''\
@device
def sum_of_warp(total):
    """In lane 0 the sum over the warp by a fixed tree: lane j + lane j+16, then 8, 4, 2, 1."""
    total += shuffle_down(total, 16)
    total += shuffle_down(total, 8)
    total += shuffle_down(total, 4)
    total += shuffle_down(total, 2)
    total += shuffle_down(total, 1)
    return total'''

_SHUFFLE_DEVICE = '''\
@device
def shuffle_down(value, delta):
    """The value of the lane so many further on in the warp."""
    return cuda.shfl_down_sync(0xFFFFFFFF, value, delta)'''

_SHUFFLE_SIMULATED = '''\
def shuffle_down(value, delta):
    """The value of the lane so many further on; through shared memory, since the simulator has no shuffles."""
    values = cuda.shared.array(1024, np.float64)
    cuda.syncthreads()
    values[cuda.threadIdx.x] = value
    cuda.syncthreads()
    return values[min(cuda.threadIdx.x + delta, cuda.blockDim.x - 1)]'''

_LESSER = '''\
@device
def lesser(a, b):
    """The smaller; b for a tie or a NaN."""
    return a if a < b else b'''

_GREATER = '''\
@device
def greater(a, b):
    """The larger; b for a tie or a NaN."""
    return a if a > b else b'''

HELPERS: dict[str, Helper] = {
    "fma": Helper("fma = cuda.libdevice.fmaf", _LLVM_FMA.format(name="fma", type="float32"), _FMA),
    "fma64": Helper("fma64 = cuda.libdevice.fma", _LLVM_FMA.format(name="fma64", type="float64"), _FMA64),
    "mul_rn": _alias("mul_rn", "fmul_rn", "a, b: a * b"),
    "mul_rn64": _alias("mul_rn64", "dmul_rn", "a, b: a * b"),
    "sqrt": _alias("sqrt", "fsqrt_rn", "x: np.sqrt(x)"),
    "sqrt64": _alias("sqrt64", "dsqrt_rn", "x: np.sqrt(x)"),
    "rint": _alias("rint", "rintf", "x: np.rint(x)"),
    "rint64": _alias("rint64", "rint", "x: np.rint(x)"),
    "floor": _alias("floor", "floorf", "x: np.floor(x)"),
    "floor64": _alias("floor64", "floor", "x: np.floor(x)"),
    "to_bits": _alias("to_bits", "float_as_int", "x: np.float32(x).view(np.int32)"),
    "from_bits": _alias("from_bits", "int_as_float", "n: np.int32(n).view(np.float32)"),
    "to_bits64": _alias("to_bits64", "double_as_longlong", "x: np.float64(x).view(np.int64)"),
    "from_bits64": _alias("from_bits64", "longlong_as_double", "n: np.int64(n).view(np.float64)"),
    "truncate": _truncate("truncate", "int32", "float2int_rz"),
    "truncate_to_64": _truncate("truncate_to_64", "int64", "float2ll_rz"),
    "truncate64_to_32": _truncate("truncate64_to_32", "int32", "double2int_rz"),
    "truncate64": _truncate("truncate64", "int64", "double2ll_rz"),
    "half_to_float": Helper(
        "half_to_float = cuda.libdevice.half2float",
        _HALF_TO_FLOAT,
        _function("half_to_float", "bits: np.float32(np.int16(bits).view(np.float16))"),
        needs=("from_bits",),
    ),
    "float_to_half": Helper(
        "float_to_half = cuda.libdevice.float2half_rn",
        _FLOAT_TO_HALF,
        _function("float_to_half", "x: np.float16(x).view(np.int16)"),
        needs=("to_bits", "from_bits"),
    ),
    "lesser": Helper(common=_LESSER),
    "greater": Helper(common=_GREATER),
    "shift_right": Helper(common=_SHIFT.format(name="shift_right", bits=32)),
    "shift_right64": Helper(common=_SHIFT.format(name="shift_right64", bits=64)),
    "bfloat16_to_float": Helper(common=_BFLOAT16_TO_FLOAT, needs=("from_bits",)),
    "float_to_bfloat16": Helper(common=_FLOAT_TO_BFLOAT16, needs=("to_bits", "shift_right")),
    "add_wrapping": Helper(common=_WRAPPING.format(name="add_wrapping", operator="+")),
    "sub_wrapping": Helper(common=_WRAPPING.format(name="sub_wrapping", operator="-")),
    "mul_wrapping": Helper(common=_WRAPPING.format(name="mul_wrapping", operator="*")),
    "mul_high": Helper(common=_MUL_HIGH),
    "mul_high64": Helper(
        "mul_high64 = cuda.libdevice.umul64hi",
        _MUL_HIGH64.format(decorator="@device\n"),
        _MUL_HIGH64.format(decorator=""),
    ),
    "shuffle_down": Helper(_SHUFFLE_DEVICE, "", _SHUFFLE_SIMULATED),
    "sum_of_warp": Helper(common=_SUM_OF_WARP, needs=("shuffle_down",)),
}


def cuda_prelude(names: Iterable[str]) -> str:
    """Imports and helpers of a module of kernels: for the device and for the simulator."""
    used = _closure(names, on_host=False)
    special = [name for name in used if not HELPERS[name].common]
    simulated = [HELPERS[name].simulated for name in special]
    lines = ["import math", *_fraction_import(simulated), "", "import numpy as np", "from numba import config, cuda"]
    lines += ["", *_TYPE_NAMES, "", "if config.ENABLE_CUDASIM:  # Numba's simulator: plain Python on NumPy scalars"]
    lines += ["", *_indented("def device(function):\n    return function")]
    for text in simulated:
        lines += ["", *_indented(text)]
    lines += ["", "else:", *_indented("device = cuda.jit(device=True)")]
    texts = [HELPERS[name].device for name in special]
    lines += [line for text in texts if "\n" not in text for line in _indented(text)]
    lines += [line for text in texts if "\n" in text for line in ("", *_indented(text))]
    for name in used:
        if HELPERS[name].common:
            lines += ["", "", HELPERS[name].common]
    return "\n".join(lines) + "\n"


def host_prelude(names: Iterable[str]) -> str:
    """Imports and helpers of a module whose scalar functions ``numba.njit`` compiles for the CPU."""
    texts = [HELPERS[name].common or HELPERS[name].host for name in _closure(names, on_host=True)]
    lines = ["import math", "", "import numpy as np", "from numba import njit, types"]
    lines += ["from numba.extending import intrinsic", "", *_TYPE_NAMES]
    lines += ['device = njit(error_model="numpy")  # division by zero gives infinity']
    for text in texts:
        lines += ["", "", text]
    return "\n".join(lines) + "\n"


_TYPE_NAMES = ["f32, f64, i16, i32, i64, u64 = np.float32, np.float64, np.int16, np.int32, np.int64, np.uint64"]


def _fraction_import(texts: list[str]) -> list[str]:
    return ["from fractions import Fraction"] if any("Fraction" in text for text in texts) else []


def _indented(text: str) -> list[str]:
    return ["    " + line if line else "" for line in text.split("\n")]


def _closure(names: Iterable[str], on_host: bool) -> list[str]:
    """The helpers and what they need, in the table's order, in which each comes after its needs where it must."""
    wanted, stack = set[str](), list(names)
    while stack:
        name = stack.pop()
        if name not in wanted:
            wanted.add(name)
            # The half conversions need others on the host alone.
            stack += HELPERS[name].needs if on_host or HELPERS[name].common else ()
    return [name for name in HELPERS if name in wanted]
