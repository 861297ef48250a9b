"""Arrays on CUDA devices of any library: addresses, strides, the stream that they are used on, fresh ones for results.

The stream of a library is the one that its user works on: torch's and CuPy's current one, else the one that an array
names by ``__cuda_array_interface__``, else the legacy default stream, which ``__dlpack__`` is asked to make the data
ready on. Nothing here waits for a device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..errors import ArgumentError, DeviceError, DTypeError
from ..runtime import dlpack
from ..runtime.arrays import ITEMSIZE, LONG_NAME, Array, Kind, bfloat16_bits, refuse_dtype, torch_written
from ..runtime.jax_arrays import as_it_is
from ..runtime.layout import Shape, contiguous_strides
from . import devices, driver, memory
from .memory import CudaArray

# The driver's name of the stream that waits for all others and that all others wait for.
LEGACY_STREAM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaKind(Kind):
    """A library on CUDA. ``make``: a fresh array like a given one in an element type. ``scratch``: so many bytes beside
    an array, as address and owner. ``stream``: see above. ``remembers``: whether the library itself keeps memory that
    is in use on that stream from being used again before; else its arrays are held until a launch has ended."""

    make: Callable[[Array, Shape, Shape, str], Array]
    scratch: Callable[[Array, int], tuple[int, Any]]
    stream: Callable[[Array], int]
    remembers: bool = False

    def number(self, like: Array, number: float) -> Array:
        """A 0-d array that holds the number, rounded once; written in the order of the stream."""
        fresh = self.make(like, (), (), like.dtype)
        memory.fill(fresh.address, number_bits(number, like.dtype), fresh.itemsize, self.stream(like), like.device)
        return fresh


def _kind(name: str, make: Callable[[Array, Shape, Shape, str], Array], **rest: Any) -> CudaKind:
    """A library whose fresh arrays are all made by ``make``."""
    return CudaKind(name, lambda like, shape, strides: make(like, shape, strides, like.dtype), make=make, **rest)


def number_bits(number: float, dtype: str) -> int:
    """The number in the element type, rounded once, as bits."""
    if dtype == "bf16":
        return int(bfloat16_bits(np.asarray(number, np.float64))[()])
    with np.errstate(all="ignore"):
        rounded = np.dtype(LONG_NAME[dtype]).type(number)
    return int(rounded.view(f"u{ITEMSIZE[dtype]}"))


def _owner(array: Array) -> Any:
    return array.owner


# torch ------------------------------------------------------------------------------------------------------------


def torch_stream(ordinal: int) -> int:
    """torch's current stream of the device."""
    torch = sys.modules["torch"]
    raw = getattr(torch._C, "_cuda_getCurrentRawStream", None)  # a tenth of the time of the public way
    return int(raw(ordinal) if raw is not None else torch.cuda.current_stream(ordinal).cuda_stream)


def _torch_make(like: Array, shape: Shape, strides: Shape, dtype: str) -> Array:
    torch = sys.modules["torch"]
    steps = tuple([stride // ITEMSIZE[dtype] for stride in strides])
    element = getattr(torch, LONG_NAME[dtype])
    owner = torch.empty_strided(shape, steps, dtype=element, device=like.owner.device)
    return Array(owner.data_ptr(), shape, strides, dtype, True, TORCH_CUDA, owner, like.device)


def _torch_scratch(like: Array, nbytes: int) -> tuple[int, Any]:
    torch = sys.modules["torch"]
    owner = torch.empty(nbytes, dtype=torch.uint8, device=like.owner.device)
    return owner.data_ptr(), owner


TORCH_CUDA = _kind(
    "torch",
    _torch_make,
    result=_owner,
    written=lambda array: torch_written(array.owner),
    scratch=_torch_scratch,
    stream=lambda like: torch_stream(like.device),
    remembers=True,
)


# Arrays with __cuda_array_interface__: CuPy, Numba, others ---------------------------------------------------------

_TYPES = {"<f8": "f64", "<f4": "f32", "<f2": "f16"}


@dataclass(frozen=True, slots=True)
class _Held:
    """What keeps an array of another library alive: the array, what it exported, and the stream of that."""

    value: Any
    exported: Any
    stream: int = LEGACY_STREAM


def _value(array: Array) -> Any:
    return array.owner.value


def read_interface(value: Any, name: str) -> Array:
    """An array that offers ``__cuda_array_interface__`` (version 2 or 3).

    Raises DTypeError (element type; a mask), DeviceError (memory that no CUDA device owns)."""
    driver.get()  # where there is none nothing else is to be said
    interface = value.__cuda_array_interface__
    if not {"typestr", "shape", "data"} <= set(interface):
        raise DTypeError(f"{name} has an incomplete __cuda_array_interface__", do="pass an array that has memory")
    if interface.get("mask") is not None:
        raise DTypeError(f"{name} has a mask, which would be lost", do="fill the masked elements first")
    dtype = _TYPES.get(interface["typestr"]) or _bfloat16_of(value, interface["typestr"], name)
    shape = tuple(interface["shape"])
    given = interface.get("strides")
    strides = contiguous_strides(shape, ITEMSIZE[dtype]) if given is None else tuple(given)
    address, read_only = interface["data"]
    address = int(address or 0)
    kind = _kind_of(type(value))
    ordinal = _device_of(value, address, prod(shape), name)
    held = _Held(value, interface, interface.get("stream") or LEGACY_STREAM)
    return _aligned(Array(address, shape, strides, dtype, not read_only, kind, held, ordinal), name)


def _aligned(array: Array, name: str) -> Array:
    """The array itself. Devices load whole elements, and are lost to the process where one lies across their places."""
    steps = [stride for stride, length in zip(array.strides, array.shape, strict=True) if length > 1]
    if 0 not in array.shape and any(number % array.itemsize for number in (array.address, *steps)):
        raise ArgumentError(
            f"elements of {name} lie at addresses that are no multiples of their {array.itemsize} bytes",
            do=f"pass a copy of {name}",
        )
    return array


def _bfloat16_of(value: Any, typestr: str, name: str) -> str:
    if getattr(getattr(value, "dtype", None), "name", "") == "bfloat16":
        return "bf16"
    return refuse_dtype(typestr, f'{name}.astype("float32")', name)


def _device_of(value: Any, address: int, count: int, name: str) -> int:
    device = getattr(value, "device", None)  # CuPy's and torch's say it; asking the driver takes a microsecond
    ordinal = getattr(device, "id", None)
    if isinstance(ordinal, int):
        return ordinal
    if not count or not address:
        return 0
    return devices.of_address(address)


def _kind_of(type_: type) -> CudaKind:
    library = type_.__module__.split(".")[0]
    return {"cupy": CUPY, "numba": NUMBA, "numba_cuda": NUMBA}.get(library, ANY)


def _cupy_make(like: Array, shape: Shape, strides: Shape, dtype: str) -> Array:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(like.device):
        memory_ = cupy.cuda.alloc(max(1, prod(shape) * ITEMSIZE[dtype]))
        element = like.owner.value.dtype if dtype == like.dtype else np.dtype(LONG_NAME[dtype])
        fresh = cupy.ndarray(shape, element, memory_, strides)
    return Array(fresh.data.ptr, shape, strides, dtype, True, CUPY, _Held(fresh, None), like.device)


def _cupy_scratch(like: Array, nbytes: int) -> tuple[int, Any]:
    cupy = sys.modules["cupy"]
    with cupy.cuda.Device(like.device):
        owner = cupy.cuda.alloc(nbytes)
    return owner.ptr, owner


def _cupy_stream(like: Array) -> int:
    return int(sys.modules["cupy"].cuda.get_current_stream(like.device).ptr)


CUPY = _kind(
    "CuPy",
    _cupy_make,
    result=_value,
    scratch=_cupy_scratch,
    stream=_cupy_stream,
    remembers=True,  # its pool gives memory back to the stream that it was taken on
)


def _numba_make(like: Array, shape: Shape, strides: Shape, dtype: str) -> Array:
    if dtype == "bf16":
        return _own_make(like, shape, strides, dtype)
    cuda = sys.modules["numba.cuda"]
    with cuda.gpus[like.device]:
        # Numba's own work on the result goes by the stream that the array names.
        stream = getattr(like.owner.value, "stream", 0)
        fresh = cuda.device_array(shape, np.dtype(LONG_NAME[dtype]), strides, stream=stream)
    address = int(fresh.__cuda_array_interface__["data"][0] or 0)
    return Array(address, shape, strides, dtype, True, NUMBA, _Held(fresh, None, _named(like)), like.device)


def _own_make(like: Array, shape: Shape, strides: Shape, dtype: str) -> Array:
    owner = CudaArray(shape, strides, dtype, like.device, like.kind.stream(like))  # type: ignore[attr-defined]
    return Array(owner.address, shape, strides, dtype, True, like.kind, _Held(owner, None, owner.stream), like.device)


def _own_scratch(like: Array, nbytes: int) -> tuple[int, Any]:
    owner = memory.Memory(nbytes, like.device, like.kind.stream(like))  # type: ignore[attr-defined]
    return owner.address, owner


def _named(like: Array) -> int:
    stream: int = like.owner.stream
    return stream


NUMBA = _kind(
    "Numba",
    _numba_make,
    result=_value,
    scratch=_own_scratch,
    stream=_named,
)

ANY = _kind(
    "CUDA",
    _own_make,
    result=_value,
    scratch=_own_scratch,
    stream=_named,
)


# Arrays with __dlpack__ alone, JAX among them ----------------------------------------------------------------------


def read_dlpack(value: Any, name: str) -> Array:
    """An array of a CUDA device that offers ``__dlpack__``; a capsule that is asked for is made ready on the stream.

    Raises DTypeError (element type), DeviceError (deleted, or of no device that there is)."""
    if isinstance(value, CudaArray):  # stays on its stream
        held = _Held(value, None, value.stream)
        return Array(value.address, value.shape, value.strides, value._dtype, True, ANY, held, value.device)
    if hasattr(type(value), "__cuda_array_interface__") and _kind_of(type(value)) is CUPY:
        return read_interface(value, name)
    devices.device(int(value.__dlpack_device__()[1]))  # no driver, no such device: known before memory is asked for
    what = dlpack.describe(value, stream=LEGACY_STREAM)
    is_jax = (jax := sys.modules.get("jax")) is not None and isinstance(value, jax.Array)
    if what.address == 0 and 0 not in what.shape:
        raise DeviceError(f"{name} has no memory: it was freed or given away", do="make it again")
    kind, writable = (JAX_CUDA, False) if is_jax else (ANY, what.writable)
    held = _Held(value, what.capsule)
    return _aligned(Array(what.address, what.shape, what.strides, what.dtype, writable, kind, held, what.ordinal), name)


def _jax_result(array: Array) -> Any:
    """JAX takes the memory over, and lets its own stream wait for ours."""
    owner, jax = array.owner.value, sys.modules["jax"]
    if not isinstance(owner, CudaArray):
        return owner
    with as_it_is(array.dtype):
        return jax.dlpack.from_dlpack(owner)


def _jax_make(like: Array, shape: Shape, strides: Shape, dtype: str) -> Array:
    return _own_make(like, shape, contiguous_strides(shape, ITEMSIZE[dtype]), dtype)  # JAX knows no other


JAX_CUDA = _kind(
    "JAX",
    _jax_make,
    result=_jax_result,
    scratch=_own_scratch,
    stream=_named,
)
