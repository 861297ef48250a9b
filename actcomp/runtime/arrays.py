"""Arrays of any library as addresses and strides, and fresh ones of the same library for results. No copies.

A library is noticed by the type of the array, never imported; its reader is looked up once a type. What an Array's
``owner`` is keeps the memory alive. Python numbers are "weak": beside an array they take its element type, alone they
and lists of numbers are float64 NumPy arrays.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..errors import DeviceError, DTypeError, ShapeError
from . import arena
from .layout import Shape, contiguous_strides, memory_order

ITEMSIZE = {"f64": 8, "f32": 4, "f16": 2, "bf16": 2}
HOST = -1
LONG_NAME = {"f64": "float64", "f32": "float32", "f16": "float16", "bf16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class Kind:
    """A library: its name, how to make a fresh array like a given one, how to hand a result to the user, and what must
    be told to it after its memory was written."""

    name: str
    empty: Callable[[Array, Shape, Shape], Array]
    result: Callable[[Array], Any]
    written: Callable[[Array], None] | None = None

    def number(self, like: Array, number: float) -> Array:
        """A 0-d array of the library and element type of ``like`` that holds the number, rounded once."""
        fresh = self.empty(like, (), ())
        store(fresh, np.float64(number))
        return fresh


@dataclass(frozen=True, slots=True)
class Array:
    """``address`` of the first element, ``strides`` in bytes, ``dtype`` one of ITEMSIZE's; writable or not."""

    address: int
    shape: Shape
    strides: Shape
    dtype: str
    writable: bool
    kind: Kind
    owner: Any
    device: int = HOST  # or the ordinal of a CUDA device

    @property
    def itemsize(self) -> int:
        return ITEMSIZE[self.dtype]


Reader = Callable[[Any, str], Array]
_readers: dict[type, Reader] = {}


def read(value: Any, name: str = "x") -> Array:
    """The array-like as an Array. ``name`` is what errors call it.

    Raises DTypeError (element type, or no array at all) and DeviceError (memory that the CPU does not reach)."""
    reader = _readers.get(type(value))
    if reader is None:
        reader = _readers[type(value)] = _reader_of(type(value))
    return reader(value, name)


def read_out(value: Any, name: str) -> Array:
    """As read, for memory to write to: no numbers and lists, whose values would be written to a copy."""
    if isinstance(value, (int, float, list, tuple, np.generic)):
        _refuse_other(value, name)
    return read(value, name)


def is_weak(value: Any) -> bool:
    """Whether it is a Python number, which takes the element type of the arrays beside it."""
    return type(value) is float or type(value) is int


def load(array: Array) -> np.ndarray[Any, Any]:
    """The elements as float64, float32 or float16 (a view), or bfloat16 widened to float32 (a copy)."""
    view = raw(array)
    return (view.astype(np.uint32) << 16).view(np.float32) if array.dtype == "bf16" else view


def store(array: Array, values: np.ndarray[Any, Any] | np.float64) -> None:
    """Writes float64 values, each rounded once to the array's element type."""
    target = raw(array)
    if array.dtype == "bf16":
        target[...] = bfloat16_bits(np.asarray(values, np.float64))
    else:
        with np.errstate(all="ignore"):
            target[...] = values


def bfloat16_bits(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Round to nearest even, once: by way of float32 rounded to odd, whose last bit says that something was cut off."""
    with np.errstate(all="ignore"):
        near = values.astype(np.float32)
        bits = near.view(np.uint32).astype(np.int64)
        inexact = np.isfinite(near) & (near.astype(np.float64) != values) & ((bits & 1) == 0)
        away = np.abs(near.astype(np.float64)) < np.abs(values)
    bits = np.where(inexact, np.where(away, bits + 1, bits - 1), bits)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def raw(array: Array) -> np.ndarray[Any, Any]:
    """A NumPy view of the memory, bfloat16 as its bits (uint16); valid while the array's owner lives."""
    interface = {
        "version": 3,
        "data": (array.address or 1, not array.writable),  # NumPy takes no NULL, not even for no elements
        "shape": array.shape,
        "strides": array.strides,
        "typestr": {"f64": "=f8", "f32": "=f4", "f16": "=f2", "bf16": "=u2"}[array.dtype],
    }
    return np.asarray(_Exposed(interface, array.owner))


class _Exposed:
    """Gives NumPy the memory of another library's array."""

    def __init__(self, interface: dict[str, Any], owner: Any) -> None:
        self.__array_interface__, self.owner = interface, owner


def _bfloat16() -> Any:
    try:
        import ml_dtypes
    except ImportError as fault:
        raise DTypeError("bfloat16 in NumPy needs ml_dtypes", do="pip install ml_dtypes") from fault
    return np.dtype(ml_dtypes.bfloat16)


def _reader_of(type_: type) -> Reader:
    masked = sys.modules.get("numpy.ma")  # which takes 30 ms to import; NumPy does so where it is first used
    if masked is not None and issubclass(type_, masked.MaskedArray):
        return _refuse_masked
    if issubclass(type_, np.ndarray):
        return _read_numpy
    if issubclass(type_, bool):
        return _refuse_other
    if issubclass(type_, (np.generic, int, float, list, tuple)):
        return _read_numbers
    if (torch := sys.modules.get("torch")) and issubclass(type_, torch.Tensor):
        # A subclass that dispatches for itself (FakeTensor) may have no memory behind its address.
        dispatches = getattr(type_, "__torch_dispatch__") is not torch.Tensor.__torch_dispatch__  # noqa: B009
        return _refuse_wrapped if dispatches else _read_torch
    if (jax := sys.modules.get("jax")) and issubclass(type_, (jax.Array, jax.core.Tracer)):
        from .jax_arrays import read_jax

        return read_jax
    if hasattr(type_, "__dlpack__"):
        return _read_dlpack
    if hasattr(type_, "__cuda_array_interface__"):
        from ..cuda.arrays import read_interface

        return read_interface
    return _refuse_other


def _refuse_masked(value: Any, name: str) -> Array:
    raise DTypeError(f"{name} is a masked array, whose mask would be lost", do=f"{name}.filled(0.0), or {name}.data")


def _refuse_other(value: Any, name: str) -> Array:
    is_tensor = type(value).__module__.startswith("tensorflow.")  # a variable, or symbolic, sparse, ragged
    fix = "use actcomp.tensorflow" if is_tensor else f"numpy.asarray({name}, dtype=numpy.float64)"
    raise DTypeError(f"{name} is a {type(value).__name__}, which is no array", do=fix)


# NumPy ------------------------------------------------------------------------------------------------------------

NUMPY_DTYPES: dict[Any, str] = {np.dtype(np.float64): "f64", np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}


def _read_numpy(value: Any, name: str) -> Array:
    dtype = NUMPY_DTYPES.get(value.dtype) or numpy_dtype(value.dtype, name)
    return Array(address_of(value), value.shape, value.strides, dtype, value.flags.writeable, NUMPY, value)


def numpy_dtype(dtype: Any, name: str) -> str:
    if dtype.name == "bfloat16" and dtype.itemsize == 2:
        NUMPY_DTYPES[dtype] = "bf16"
        return "bf16"
    if not dtype.isnative and dtype.newbyteorder("=") in NUMPY_DTYPES:
        fix = f"{name}.astype({name}.dtype.newbyteorder('='))"
        raise DTypeError(f"{name} has {dtype} in the byte order of another machine", do=fix)
    return refuse_dtype(dtype, f"{name}.astype(numpy.float64)", name)


def refuse_dtype(dtype: Any, fix: str, name: str) -> str:
    takes = "an activation takes float64, float32, float16 or bfloat16"
    raise DTypeError(f"{name} holds {dtype}; {takes}", do=fix)


def _read_numbers(value: Any, name: str) -> Array:
    """Numbers of Python (integers too, which here are mathematics) as float64; NumPy scalars keep their type."""
    if isinstance(value, np.generic):
        return _read_numpy(np.asarray(value), name)
    try:
        array = np.asarray(value)
    except ValueError as fault:
        raise ShapeError(f"{name} is no array of numbers: {fault}", do="make all rows equally long") from fault
    if isinstance(value, (list, tuple)) and array.dtype.kind in "iu":
        array = array.astype(np.float64)
    elif not isinstance(value, (list, tuple)):
        try:
            array = np.asarray(float(value))
        except OverflowError as fault:
            raise DTypeError(f"{name} is beyond float64", do="give a number below 1.8e308") from fault
    return _read_numpy(array, name)


def _empty_numpy(like: Array, shape: Shape, strides: Shape) -> Array:
    dtype = like.owner.dtype if isinstance(like.owner, np.ndarray) else _numpy_dtype_of(like.dtype)
    owner = empty_as(shape, strides, dtype)
    return Array(address_of(owner), shape, owner.strides, like.dtype, True, NUMPY, owner)


def empty_as(shape: Shape, strides: Shape, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Fresh NumPy memory whose axes lie in the order of the strides."""
    in_memory, axes = _order(shape, strides)
    owner = _memory(in_memory, dtype)
    return owner if axes is None else owner.transpose(axes)


@functools.lru_cache(maxsize=256)
def _order(shape: Shape, strides: Shape) -> tuple[Shape, Shape | None]:
    """The shape with its slowest axis first, and where each axis of the array went (None: all stay)."""
    order = memory_order(shape, [strides])
    places = tuple(order.index(axis) for axis in range(len(shape)))
    return tuple(shape[axis] for axis in order), None if places == tuple(range(len(shape))) else places


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Of the first element; in half the time of array.ctypes.data."""
    address: int = array.__array_interface__["data"][0]
    return address


def _memory(shape: Shape, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    nbytes = prod(shape) * dtype.itemsize
    return np.empty(shape, dtype) if nbytes < arena.FROM_BYTES else arena.take(nbytes).view(dtype).reshape(shape)


def _numpy_dtype_of(dtype: str) -> Any:
    return _bfloat16() if dtype == "bf16" else np.dtype(LONG_NAME[dtype])


def _owner(array: Array) -> Any:
    return array.owner


NUMPY = Kind("NumPy", _empty_numpy, _owner)


def scratch(like: Array, shape: Shape) -> Array:
    """C-contiguous NumPy memory of the element type of ``like``."""
    return _empty_numpy(like, shape, contiguous_strides(shape, like.itemsize))


# torch ------------------------------------------------------------------------------------------------------------


def _read_torch(value: Any, name: str) -> Array:
    torch = sys.modules["torch"]
    if value.is_nested or value.layout is not torch.strided:
        what = "nested" if value.is_nested else f"laid out as {value.layout}"
        raise DTypeError(f"{name} is {what}; a dense tensor is needed", do=f"{name}.to_dense(), or pass its values")
    on_cuda = value.is_cuda and torch.version.hip is None
    if value.device.type != "cpu" and not on_cuda:
        fix = f"{name}.cpu()" if value.device.type != "meta" else "give it data: torch.empty_like(..., device='cpu')"
        raise DeviceError(f"{name} lives on {value.device}; there are kernels for the CPU and for CUDA", do=fix)
    dtype = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}.get(value.dtype)
    if dtype is None:
        dtype = refuse_dtype(value.dtype, f"{name}.double() (first {name}.dequantize() if it is quantised)", name)
    if value.is_neg():
        raise DTypeError(f"{name} is a view with torch's lazy negation", do=f"{name}.resolve_neg()")
    try:
        address = value.data_ptr()
    except RuntimeError:  # vmap, grad and the like wrap tensors without memory
        address = 0
    if address == 0 and value.numel():
        return _refuse_wrapped(value, name)
    itemsize = ITEMSIZE[dtype]
    strides = tuple([stride * itemsize for stride in value.stride()])
    if on_cuda:
        from ..cuda.arrays import TORCH_CUDA

        return Array(address, tuple(value.shape), strides, dtype, True, TORCH_CUDA, value, value.get_device())
    return Array(address, tuple(value.shape), strides, dtype, True, TORCH, value)


def _refuse_wrapped(value: Any, name: str) -> Array:
    raise DeviceError(
        f"{name} has no memory of its own: it is traced, faked or transformed",
        do="use actcomp.torch, whose operators torch knows",
    )


def _empty_torch(like: Array, shape: Shape, strides: Shape) -> Array:
    steps = tuple([stride // like.itemsize for stride in strides])
    owner = empty_tensor(shape, steps, like.owner.dtype)
    return Array(owner.data_ptr(), shape, strides, like.dtype, True, TORCH, owner)


def empty_tensor(shape: Shape, steps: Shape, dtype: Any) -> Any:
    """Fresh torch memory with these strides, in elements."""
    torch = sys.modules["torch"]
    nbytes = prod(shape) * dtype.itemsize
    if nbytes < arena.FROM_BYTES:
        return torch.empty_strided(shape, steps, dtype=dtype, device="cpu")
    return torch.from_numpy(arena.take(nbytes)).view(dtype).as_strided(shape, steps)


def torch_written(tensor: Any) -> None:
    """Autograd must learn that a tensor which it may have saved has changed."""
    if not tensor.is_inference():
        sys.modules["torch"].autograd.graph.increment_version(tensor)


TORCH = Kind("torch", _empty_torch, _owner, lambda array: torch_written(array.owner))


# Any other library with DLPack ------------------------------------------------------------------------------------


def _read_dlpack(value: Any, name: str) -> Array:
    """Results are made by the array's own namespace (``__array_namespace__``); without one they are NumPy arrays."""
    from . import dlpack

    if int(value.__dlpack_device__()[0]) in dlpack.CUDA_DEVICES:
        from ..cuda.arrays import read_dlpack

        return read_dlpack(value, name)
    what = dlpack.describe(value)
    kind = Kind(type(value).__module__.split(".")[0], _empty_dlpack, _dlpack_result)
    writable = what.writable and kind.name != "tensorflow"  # whose tensors are immutable; old capsules cannot say so
    return Array(what.address, what.shape, what.strides, what.dtype, writable, kind, (value, what.capsule))


def _empty_dlpack(like: Array, shape: Shape, strides: Shape) -> Array:
    source = like.owner[0]
    if not hasattr(source, "__array_namespace__"):
        return _empty_numpy(like, shape, strides)
    fresh = source.__array_namespace__().empty(shape, dtype=source.dtype)
    made = _read_dlpack(fresh, "the result")
    if not made.writable:
        raise DeviceError(f"{made.kind.name} gives no memory to write to", do="pass a NumPy array")
    return made


def _dlpack_result(array: Array) -> Any:
    return array.owner[0]
