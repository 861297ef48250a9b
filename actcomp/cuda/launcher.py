"""A kernel of a device, ready to be launched: its parameters lie in memory, a call writes them and launches.

One lock a launch keeps the parameters together: the driver has copied them when the call returns.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Sequence

from ..emit.entry import Argument, Entry
from ..errors import DeviceError
from . import driver
from .devices import Device
from .status import SUCCESS

# Blocks for each multiprocessor: 8 of 256 threads fill it.
BLOCKS_EACH = 8
# Streams 0, 1 and 2 are the default ones of whatever context is current.
LARGEST_DEFAULT = 2
# CUlaunchConfig: blocks, threads, bytes of shared memory, stream, attributes and their number
_CONFIGURATION = struct.Struct("<7I4xQQI4x")
_CONFIGURE = _CONFIGURATION.pack_into
_FORMATS = {"ptr": "Q", "i64": "q", "i32": "i4x", "f32": "f4x", "f64": "d"}


class Launch:
    """``entry`` on ``device``, from the ``handle`` of its kernel."""

    def __init__(self, entry: Entry, handle: int, device: Device) -> None:
        self.entry, self.handle, self.device = entry, handle, device
        arguments = entry.arguments
        self._slots = ctypes.create_string_buffer(8 * len(arguments))
        self._configuration = ctypes.create_string_buffer(_CONFIGURATION.size)
        base = ctypes.addressof(self._slots)
        self._pointers = (ctypes.c_void_p * len(arguments))(*(base + 8 * k for k in range(len(arguments))))
        self._parameters = ctypes.addressof(self._pointers)
        self._pack = struct.Struct("<" + "".join(_FORMATS[argument.type] for argument in arguments)).pack_into
        self._lock = threading.Lock()
        self._driver = driver.get()
        self._most = device.sm_count * BLOCKS_EACH
        self._current = ctypes.c_void_p()
        self._current_place = ctypes.byref(self._current)
        self._blocks = (-1, -1, 0)  # the count and columns of the last launch, and the blocks of it
        # Most kernels have operands in order, and a count behind them: no more is to be thought of.
        roles = [argument.role for argument in arguments]
        in_order = [argument.index for argument in arguments[:-1]] == list(range(len(arguments) - 1))
        self._is_plain = roles == ["operand"] * (len(roles) - 1) + ["count"] and in_order

    def run(
        self,
        stream: int,
        addresses: Sequence[int],
        uniforms: Sequence[float | int] = (),
        partials: Sequence[int] = (),
        *,
        count: int,
        shape: Sequence[int] = (),
        strides: Sequence[Sequence[int]] = (),
        rows: int = 0,
        columns: int = 0,
        blocks: int = 0,
    ) -> None:
        """Launches on the stream, and does not wait. Arguments as entry.py's roles want them; a uniform input's value
        is a float, its address in device memory an int. ``blocks``: 0 for as many as the count wants.

        Raises LaunchError, DeviceError."""
        values: Sequence[float | int]
        if self._is_plain:
            values = (*addresses, count)
        else:
            values = [
                self._value(argument, addresses, uniforms, partials, count, shape, strides, rows, columns)
                for argument in self.entry.arguments
            ]
        last = self._blocks
        if not blocks:
            if last[0] != count or last[1] != columns:
                last = self._blocks = count, columns, min(self.entry.blocks_for(count, columns), self._most)
            blocks = last[2]
        d, context = self._driver, self.device.context
        if stream > LARGEST_DEFAULT:
            context = self._context_of(stream)
        with self._lock:
            if d.get_current(self._current_place) != SUCCESS or self._current.value != context:
                d.call("cuCtxPushCurrent_v2", context)
                try:
                    status = self._launch(stream, blocks, values)
                finally:
                    d.call("cuCtxPopCurrent_v2", self._current_place)
            else:
                status = self._launch(stream, blocks, values)
        if status != SUCCESS:
            raise d.error(status, f"launch of {self.entry.name} on CUDA device {self.device.ordinal}")

    def _launch(self, stream: int, blocks: int, values: Sequence[float | int]) -> int:
        try:
            self._pack(self._slots, 0, *values)
        except OverflowError:  # beyond float32, which on the CPU gives infinity
            pairs = zip(values, self.entry.arguments, strict=True)
            self._pack(self._slots, 0, *(ctypes.c_float(v).value if a.type == "f32" else v for v, a in pairs))
        _CONFIGURE(self._configuration, 0, blocks, 1, 1, self.entry.threads, 1, 1, 0, stream, 0, 0)
        status: int = self._driver.launch(self._configuration, self.handle, self._parameters, None)
        return status

    def _context_of(self, stream: int) -> int:
        """The stream's context: the device's primary one, or another of the device. Raises DeviceError for another
        device's: the driver would launch there."""
        found = self._driver.context_of_stream(stream)
        if found in (0, self.device.context):
            return self.device.context
        other = self._driver.device_of_context(found)
        if other != self.device.ordinal:
            raise DeviceError(
                f"the stream {stream:#x} belongs to CUDA device {other}, the arrays live on {self.device.ordinal}",
                do="use a stream of the arrays' device",
            )
        return found

    @staticmethod
    def _value(
        argument: Argument,
        addresses: Sequence[int],
        uniforms: Sequence[float | int],
        partials: Sequence[int],
        count: int,
        shape: Sequence[int],
        strides: Sequence[Sequence[int]],
        rows: int,
        columns: int,
    ) -> float | int:
        role, index = argument.role, argument.index
        if role == "operand":
            return addresses[index]
        if role == "uniform":
            return uniforms[index] if type(uniforms[index]) is float else 0.0
        if role == "address":
            return uniforms[index] if type(uniforms[index]) is int else 0
        if role == "partials":
            return partials[index]
        if role == "length":
            return shape[argument.axis]
        if role == "stride":
            return strides[index][argument.axis]
        return {"count": count, "rows": rows, "columns": columns, "constant": argument.value}[role]
