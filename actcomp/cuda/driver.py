"""The CUDA driver by ctypes: typed prototypes, every status checked, no toolkit and no other package.

The library is looked for when a CUDA array is first seen; the environment variable ACTCOMP_CUDA_DRIVER names another
file. What is used needs a driver of CUDA 12.0 or newer: code is loaded for the process (cuLibrary*), not for a context,
and its kernels run on every device that the code fits.

Reference: NVIDIA, CUDA Driver API.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint, c_void_p
from functools import lru_cache
from typing import Any

from ..errors import ActcompError, DeviceError
from .status import CPU, GONE, INVALID_VALUE, NOT_READY, SUCCESS, UPDATE, error_of

OLDEST = 12000  # CUDA 12.0, as cuDriverGetVersion says it
ENVIRONMENT = "ACTCOMP_CUDA_DRIVER"
_RELAXED = 2  # CU_STREAM_CAPTURE_MODE_RELAXED
_ERROR_LOG, _ERROR_LOG_BYTES, _LOG_BYTES = 5, 6, 1 << 14  # CU_JIT_ERROR_LOG_BUFFER, _SIZE_BYTES
_PTX = 1  # CU_JIT_INPUT_PTX
_NO_TIMING = 2  # CU_EVENT_DISABLE_TIMING
_POINTER_ORDINAL = 9  # CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
_u64 = ctypes.c_uint64

_out = POINTER(c_void_p)
_PROTOTYPES: dict[str, Any] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuGetErrorName": (c_int, POINTER(c_char_p)),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, c_int),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, c_int),
    "cuDevicePrimaryCtxRetain": (_out, c_int),
    "cuCtxGetCurrent": (_out,),
    "cuCtxPushCurrent_v2": (c_void_p,),
    "cuCtxPopCurrent_v2": (_out,),
    "cuPointerGetAttribute": (c_void_p, c_int, _u64),
    "cuLibraryLoadData": (_out, c_char_p, c_void_p, c_void_p, c_uint, c_void_p, c_void_p, c_uint),
    "cuLibraryGetKernel": (_out, c_void_p, c_char_p),
    "cuLinkCreate_v2": (c_uint, c_void_p, c_void_p, _out),
    "cuLinkAddData_v2": (c_void_p, c_int, c_char_p, c_size_t, c_char_p, c_uint, c_void_p, c_void_p),
    "cuLinkComplete": (c_void_p, _out, POINTER(c_size_t)),
    "cuLinkDestroy": (c_void_p,),
    "cuMemAllocAsync": (POINTER(_u64), c_size_t, c_void_p),
    "cuMemFreeAsync": (_u64, c_void_p),
    "cuMemsetD16Async": (_u64, ctypes.c_ushort, c_size_t, c_void_p),
    "cuMemsetD32Async": (_u64, c_uint, c_size_t, c_void_p),
    "cuCtxGetDevice": (POINTER(c_int),),
    "cuKernelGetFunction": (_out, c_void_p),
    "cuStreamGetCtx": (c_void_p, _out),
    "cuStreamIsCapturing": (c_void_p, POINTER(c_int)),
    "cuThreadExchangeStreamCaptureMode": (POINTER(c_int),),
    "cuMemAlloc_v2": (POINTER(_u64), c_size_t),
    "cuMemFree_v2": (_u64,),
    "cuEventCreate": (_out, c_uint),
    "cuEventRecord": (c_void_p, c_void_p),
    "cuEventQuery": (c_void_p,),
    "cuEventDestroy_v2": (c_void_p,),
    "cuStreamWaitEvent": (c_void_p, c_void_p, c_uint),
}
_LAUNCH = (c_void_p, c_void_p, c_void_p, c_void_p)


class Driver:
    """The loaded driver. ``call(name, *arguments)`` checks the status; ``launch`` is cuLaunchKernelEx itself."""

    def __init__(self, path: str) -> None:
        """Raises DeviceError if there is no such library, no device for it, or if it is too old."""
        try:
            self._library = ctypes.CDLL(path)
            # Launches let go of Python's lock: where the device's queue is full they wait, and what they wait for may
            # be a function of another Python thread, which a stream calls.
            self.launch = self._library.cuLaunchKernelEx
            self.get_current = ctypes.PyDLL(path).cuCtxGetCurrent
            for name, types in _PROTOTYPES.items():
                function = getattr(self._library, name)
                function.argtypes, function.restype = types, c_int
        except OSError as fault:
            raise DeviceError(
                f"NVIDIA's driver library cannot be loaded: {fault}",
                do=f"install NVIDIA's driver, or name its library in {ENVIRONMENT}, {CPU}",
            ) from None
        except AttributeError as fault:
            raise DeviceError(
                f"{path} is no driver of CUDA {OLDEST // 1000}.0 or newer: {fault}", do=f"{UPDATE}, {CPU}"
            ) from None
        prototype: Any = _LAUNCH
        self.launch.argtypes, self.launch.restype = prototype, c_int
        version = c_int()
        self.call("cuDriverGetVersion", ctypes.byref(version))
        if version.value < OLDEST:
            found = f"{version.value // 1000}.{version.value % 1000 // 10}"
            raise DeviceError(f"the driver is of CUDA {found}; 12.0 is the oldest that serves", do=f"{UPDATE}, {CPU}")
        self.version: int = version.value
        self.call("cuInit", 0)

    def call(self, name: str, *arguments: Any) -> None:
        """Raises the error of status.py that belongs to the status."""
        status = getattr(self._library, name)(*arguments)
        if status != SUCCESS:
            raise self.error(status, name)

    def error(self, status: int, name: str) -> Exception:
        """What a status of the function means."""
        parts = []
        for function in (self._library.cuGetErrorName, self._library.cuGetErrorString):
            text = c_char_p()
            if function(status, ctypes.byref(text)) == SUCCESS and text.value:
                parts.append(text.value.decode(errors="replace"))
        return error_of(status, ", ".join(parts) or f"status {status}", name)

    def address(self, name: str) -> int:
        """Of a function, for machine code that calls it."""
        try:
            found = ctypes.cast(getattr(self._library, name), c_void_p).value
        except AttributeError:
            found = None
        if not found:
            raise DeviceError(f"the driver has no {name}", do=UPDATE)
        return found

    # devices

    def count(self) -> int:
        number = c_int()
        self.call("cuDeviceGetCount", ctypes.byref(number))
        return number.value

    def device(self, ordinal: int) -> int:
        number = c_int()
        self.call("cuDeviceGet", ctypes.byref(number), ordinal)
        return number.value

    def device_name(self, device: int) -> str:
        text = ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", text, len(text), device)
        return text.value.decode(errors="replace")

    def attribute(self, device: int, attribute: int) -> int:
        number = c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(number), attribute, device)
        return number.value

    def primary_context(self, device: int) -> int:
        """Retained for the rest of the process, as other libraries do."""
        return self._handle("cuDevicePrimaryCtxRetain", device)

    def device_of(self, address: int) -> int | None:
        """The ordinal of the device that the address belongs to; None if it is none's."""
        number = c_int(-1)
        status = self._library.cuPointerGetAttribute(ctypes.addressof(number), _POINTER_ORDINAL, address)
        if status == INVALID_VALUE:
            return None
        if status != SUCCESS:
            raise self.error(status, "cuPointerGetAttribute")
        return number.value

    def context_of_stream(self, stream: int) -> int:
        """The context that the stream was made in; 0 where the driver does not say."""
        context = c_void_p()
        status = self._library.cuStreamGetCtx(stream, ctypes.byref(context))
        return int(context.value or 0) if status == SUCCESS else 0

    def device_of_context(self, context: int) -> int:
        number = c_int(-1)
        with self.current(context):
            self.call("cuCtxGetDevice", ctypes.byref(number))
        return number.value

    @contextmanager
    def current(self, context: int) -> Iterator[None]:
        """With the context current on this thread, and what was current before afterwards."""
        now = c_void_p()
        self.call("cuCtxGetCurrent", ctypes.byref(now))
        if now.value == context:
            yield
            return
        self.call("cuCtxPushCurrent_v2", context)
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent_v2", ctypes.byref(now))

    @contextmanager
    def loading(self) -> Iterator[None]:
        """While a stream is captured into a graph, loading code is allowed all the same: it is no part of the graph."""
        mode = c_int(_RELAXED)
        self.call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))
        try:
            yield
        finally:
            self.call("cuThreadExchangeStreamCaptureMode", ctypes.byref(mode))

    # code

    def assemble(self, ptx: str) -> bytes:
        """A cubin for the current context's device, by the driver's own assembler. Raises AssemblyError, ToolchainError
        with what the assembler says."""
        text = ptx.encode() + b"\0"
        log = ctypes.create_string_buffer(_LOG_BYTES)
        options = (c_int * 2)(_ERROR_LOG, _ERROR_LOG_BYTES)
        values = (c_void_p * 2)(ctypes.addressof(log), _LOG_BYTES)
        linker = self._handle("cuLinkCreate_v2", last=(2, options, values))
        try:
            self.call("cuLinkAddData_v2", linker, _PTX, text, len(text), b"kernels", 0, None, None)
            image, size = c_void_p(), c_size_t()
            self.call("cuLinkComplete", linker, ctypes.byref(image), ctypes.byref(size))
            return ctypes.string_at(image.value or 0, size.value)
        except ActcompError as fault:
            said = log.value.decode(errors="replace").strip()
            raise type(fault)(f"{fault.what}\n  {said}" if said else fault.what, do=fault.do) from None
        finally:
            self.call("cuLinkDestroy", linker)

    def prepare(self, kernel: int) -> None:
        """Loads the kernel's code on the current context's device now: its first launch may be captured."""
        function = self._handle("cuKernelGetFunction", kernel)
        load = getattr(self._library, "cuFuncLoad", None)  # CUDA 12.4
        if load is not None:
            status = load(c_void_p(function))
            if status != SUCCESS:
                raise self.error(status, "cuFuncLoad")

    def load(self, image: bytes) -> int:
        """A library of a cubin or of PTX text, for all devices that it fits."""
        loaded = c_void_p()
        self.call("cuLibraryLoadData", ctypes.byref(loaded), image, None, None, 0, None, None, 0)
        return int(loaded.value or 0)

    def kernel(self, library: int, name: str) -> int:
        return self._handle("cuLibraryGetKernel", library, name.encode())

    # memory and order; the context of the device must be current

    def allocate(self, nbytes: int, stream: int, pools: bool = True) -> int:
        """The address of memory that may be used in the order of the stream. ``pools``: whether the device has them."""
        address = _u64()
        if pools:
            self.call("cuMemAllocAsync", ctypes.byref(address), nbytes, stream)
        else:
            self.call("cuMemAlloc_v2", ctypes.byref(address), nbytes)
        return address.value

    def free(self, address: int, stream: int, pools: bool = True) -> None:
        """At the end of a process, or after a fault, there may be nothing left to give back to."""
        status = self._library.cuMemFreeAsync(address, stream) if pools else self._library.cuMemFree_v2(address)
        if status not in (SUCCESS, *GONE):
            raise self.error(status, "giving memory back")

    def is_capturing(self, stream: int) -> bool:
        """Whether what is put on the stream goes into a graph instead of running."""
        status = c_int()
        self.call("cuStreamIsCapturing", stream, ctypes.byref(status))
        return bool(status.value)

    def set_element(self, address: int, bits: int, itemsize: int, stream: int) -> None:
        """Writes one element of 2, 4 or 8 bytes in the order of the stream."""
        if itemsize == 2:
            self.call("cuMemsetD16Async", address, bits, 1, stream)
            return
        for offset in range(0, itemsize, 4):
            self.call("cuMemsetD32Async", address + offset, bits >> 8 * offset & 0xFFFFFFFF, 1, stream)

    def record_event(self, stream: int) -> int:
        """A new event that happens when all that is on the stream now has ended."""
        event = self._handle("cuEventCreate", _NO_TIMING)
        self.call("cuEventRecord", event, stream)
        return event

    def event_is_done(self, event: int) -> bool:
        status = self._library.cuEventQuery(event)
        if status not in (SUCCESS, NOT_READY):
            raise self.error(status, "cuEventQuery")
        return bool(status == SUCCESS)

    def destroy_event(self, event: int) -> None:
        status = self._library.cuEventDestroy_v2(event)
        if status not in (SUCCESS, *GONE):
            raise self.error(status, "cuEventDestroy")

    def wait_event(self, stream: int, event: int) -> None:
        """What comes on the stream from now on waits for the event."""
        self.call("cuStreamWaitEvent", stream, event, 0)

    def _handle(self, name: str, *arguments: Any, last: tuple[Any, ...] | None = None) -> int:
        """What a function writes to its first argument (``last``: to the one behind these)."""
        made = c_void_p()
        place = ctypes.byref(made)
        self.call(name, *((place, *arguments) if last is None else (*last, place)))
        return int(made.value or 0)


@lru_cache(maxsize=1)
def get() -> Driver:
    """The driver, loaded once. Raises DeviceError. Tests that exchange it clear this cache and those of devices.py,
    code.py, reduce.py and call.py."""
    named = os.environ.get(ENVIRONMENT)
    return Driver(named or ("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"))


