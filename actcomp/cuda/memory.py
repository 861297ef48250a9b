"""Memory on CUDA devices that is our own: scratch, and results for libraries that cannot make arrays for us.

All of it is in the order of a stream: taken, written, freed there, without waiting. What other libraries' arrays need
is held until the launch that reads them has ended (``hold``).
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import ctypes
import threading
from math import prod
from typing import Any

from ..errors import DeviceError
from ..runtime.arrays import ITEMSIZE, LONG_NAME
from ..runtime.dlpack import BFLOAT, FLOAT, DLTensor
from ..runtime.layout import Shape
from . import devices, driver

_DLPACK_CUDA = 2


class Memory:
    """``nbytes`` on a device, taken on the stream, given back on it when nothing refers to this any more."""

    def __init__(self, nbytes: int, device: int, stream: int) -> None:
        """Raises OutOfMemory."""
        self.nbytes, self.device, self.stream = nbytes, device, stream
        self._driver, self._device = driver.get(), devices.device(device)
        with self._driver.current(self._device.context):
            self.address: int = self._driver.allocate(max(1, nbytes), stream, self._device.has_pools)

    def __del__(self) -> None:
        if getattr(self, "address", 0):
            # In a forked process, and at the end of one, there is no device to give back to.
            with contextlib.suppress(DeviceError), self._driver.current(self._device.context):
                self._driver.free(self.address, self.stream, self._device.has_pools)


def fill(address: int, bits: int, itemsize: int, stream: int, device: int) -> None:
    """Writes one element, given by its bits, in the order of the stream; nothing is read from the host later."""
    d = driver.get()
    with d.current(devices.device(device).context):
        d.set_element(address, bits, itemsize, stream)


def follow(stream: int, other: int, device: int) -> None:
    """What comes on the stream waits for what is on the other now."""
    if stream == other:
        return
    d = driver.get()
    with d.current(devices.device(device).context):
        event = d.record_event(other)
        d.wait_event(stream, event)
        d.destroy_event(event)


# Held until launches have ended -----------------------------------------------------------------------------------

_held: collections.deque[tuple[int, Any]] = collections.deque()
_holding = threading.Lock()


def hold(owners: Any, stream: int, device: int) -> None:
    """Keeps the owners of arrays until what is on the stream now has ended; lets go of those of earlier calls."""
    d = driver.get()
    let_go = []
    with _holding, d.current(devices.device(device).context):
        if d.is_capturing(stream):  # a graph's arrays are its owner's to keep, for as long as it is replayed
            return
        _held.append((d.record_event(stream), owners))
        while _held and d.event_is_done(_held[0][0]):
            event, old = _held.popleft()
            d.destroy_event(event)
            let_go.append(old)
    del let_go  # arrays' own code runs here, without the lock


# An array of our own -----------------------------------------------------------------------------------------------


class CudaArray:
    """An array on a CUDA device: what kernels give where the inputs' library cannot be asked for an array.

    ``shape``, ``strides`` in bytes, ``dtype`` by name ("float32"), ``device`` (its ordinal), ``stream`` that it is
    written on. Taken by any library through ``__dlpack__`` or, but for bfloat16, ``__cuda_array_interface__``."""

    def __init__(self, shape: Shape, strides: Shape, dtype: str, device: int, stream: int) -> None:
        self.shape, self.strides, self.device, self.stream = shape, strides, device, stream
        self._dtype = dtype
        self._memory = Memory(prod(shape) * ITEMSIZE[dtype], device, stream)
        self.address = self._memory.address

    @property
    def dtype(self) -> str:
        return LONG_NAME[self._dtype]

    def __repr__(self) -> str:
        return f"CudaArray(shape={self.shape}, dtype={self.dtype}, device={self.device})"

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self._dtype == "bf16":
            raise AttributeError("__cuda_array_interface__ knows no bfloat16; use __dlpack__")
        return {
            "version": 3,
            "shape": self.shape,
            "strides": self.strides,
            "typestr": f"<f{ITEMSIZE[self._dtype]}",
            "data": (self.address, False),
            "stream": self.stream or 1,  # where 0 may not stand for the legacy default stream
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return _DLPACK_CUDA, self.device

    def __dlpack__(
        self, *, stream: int | None = None, max_version: Any = None, dl_device: Any = None, copy: bool | None = None
    ) -> Any:
        """A capsule; the consumer's stream waits for ours, unless it is -1."""
        if copy or (dl_device is not None and tuple(dl_device) != self.__dlpack_device__()):
            raise BufferError("only the memory itself is exported, on its own device")
        consumer = 1 if stream is None else stream
        if consumer != -1:
            follow(consumer, self.stream, self.device)
        return _export(self)


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", DLTensor), ("manager", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


# Exported structures by address, with what they refer to; a consumer's deleter takes them out.
_exported: dict[int, Any] = {}


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _delete(address: int) -> None:
    _exported.pop(address, None)


@atexit.register
def _leave_behind() -> None:
    """What consumers still hold when Python ends outlives it: its deleter could not be called any more."""
    for kept in list(_exported.values()):
        kept[0].deleter = None
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))


@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def _destroy(capsule: int) -> None:
    """A capsule that nobody consumed: a consumer would have renamed it."""
    if _is_valid(capsule, b"dltensor"):
        _exported.pop(_pointer_of(capsule, b"dltensor"), None)


_is_valid = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)(("PyCapsule_IsValid", ctypes.pythonapi))
_pointer_of = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)
_new_capsule = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)(
    ("PyCapsule_New", ctypes.pythonapi)
)
_NAME = ctypes.create_string_buffer(b"dltensor")  # the capsule keeps its address


def _export(array: CudaArray) -> Any:
    itemsize = ITEMSIZE[array._dtype]
    axes = len(array.shape)
    shape = (ctypes.c_int64 * max(1, axes))(*array.shape)
    strides = (ctypes.c_int64 * max(1, axes))(*(stride // itemsize for stride in array.strides))
    code = BFLOAT if array._dtype == "bf16" else FLOAT
    managed = _Managed()
    managed.tensor = DLTensor(
        array.address, _DLPACK_CUDA, array.device, axes, code, 8 * itemsize, 1, shape, strides, 0
    )
    managed.deleter = ctypes.cast(_delete, ctypes.c_void_p).value
    address = ctypes.addressof(managed)
    _exported[address] = (managed, shape, strides, array)
    return _new_capsule(address, _NAME, ctypes.cast(_destroy, ctypes.c_void_p).value)
