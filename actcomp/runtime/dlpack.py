"""Reading a DLPack capsule: address, shape, strides and element type of any library's array, without a copy.

The capsule is looked at but not consumed, so that its own destructor still hands the memory back: whoever reads must
keep it alive as long as the address is used. Structures: dlpack.h, versions 0 and 1.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

from ..errors import DeviceError, DTypeError
from .layout import contiguous_strides

CPU_DEVICES = (1, 3)  # kDLCPU; kDLCUDAHost is pinned host memory
CUDA_DEVICES = (2, 13)  # kDLCUDA; kDLCUDAManaged
DEVICE_NAMES = {2: "CUDA", 4: "OpenCL", 7: "Vulkan", 8: "Metal", 10: "ROCm", 13: "CUDA managed memory", 14: "oneAPI"}
_READ_ONLY = 1
_INTEGER, _UNSIGNED, FLOAT, BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6
_CODES = {_INTEGER: "int", _UNSIGNED: "uint", FLOAT: "float", BFLOAT: "bfloat", _COMPLEX: "complex", _BOOL: "bool"}
_DTYPES = {(FLOAT, 64): "f64", (FLOAT, 32): "f32", (FLOAT, 16): "f16", (BFLOAT, 16): "bf16"}


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", DLTensor),
    ]


@dataclass(frozen=True)
class Description:
    """What a capsule says. ``strides`` are bytes; ``dtype`` is "f64", "f32", "f16" or "bf16"."""

    address: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    writable: bool
    capsule: object
    ordinal: int


def describe(array: Any, stream: int | None = None) -> Description:
    """Reads an array that offers ``__dlpack__``. ``stream``: for memory of CUDA, the one that the array is used on.

    Raises DeviceError off the CPU and CUDA, DTypeError for other element types."""
    name = type(array).__name__
    device, ordinal = (int(word) for word in array.__dlpack_device__())
    on_cuda = device in CUDA_DEVICES
    if device not in CPU_DEVICES and not on_cuda:
        where = DEVICE_NAMES.get(device, f"DLPack device {device}")
        fix = "copy it to the host: numpy.from_dlpack(x, device='cpu')"
        raise DeviceError(f"{name} lives on {where}; there are kernels for the CPU and for CUDA", do=fix)
    use = {"stream": stream} if on_cuda else {}
    try:
        try:
            capsule = array.__dlpack__(max_version=(1, 0), **use)
        except TypeError:  # a library from before DLPack 1.0 knows no max_version
            capsule = array.__dlpack__(**use)
    except BufferError as fault:
        raise DTypeError(f"{name} cannot be exported by DLPack: {fault}", do="pass a NumPy array") from fault
    tensor, writable = _tensor(capsule)
    dtype = _DTYPES.get((tensor.code, tensor.bits)) if tensor.lanes == 1 else None
    if dtype is None:
        what = f"{_CODES.get(tensor.code, 'type ' + str(tensor.code))}{tensor.bits}"
        raise DTypeError(
            f"{name} holds {what}; an activation takes float64, float32, float16 or bfloat16",
            do='x.astype("float32")',
        )
    itemsize = tensor.bits // 8
    shape = tuple(tensor.shape[axis] for axis in range(tensor.ndim))
    if tensor.strides:
        strides = tuple(tensor.strides[axis] * itemsize for axis in range(tensor.ndim))
    else:
        strides = contiguous_strides(shape, itemsize)
    return Description((tensor.data or 0) + tensor.byte_offset, shape, strides, dtype, writable, capsule, ordinal)


def _tensor(capsule: object) -> tuple[DLTensor, bool]:
    name = _capsule_name(capsule)
    pointer = _capsule_pointer(capsule, name)
    if name == b"dltensor_versioned":
        managed = _Versioned.from_address(pointer)
        if managed.major != 1:
            raise DTypeError(f"a DLPack capsule of version {managed.major}; 1 is known", do="pass a NumPy array")
        return managed.tensor, not managed.flags & _READ_ONLY
    return DLTensor.from_address(pointer), True


# Prototypes of our own: the attributes of ctypes.pythonapi are shared with every other user of ctypes.
_capsule_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
