"""The CUDA devices of this process, by the ordinals that torch, CuPy and JAX count them with."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from ..emit.cuda_target import OLDEST
from ..errors import DeviceError
from . import driver
from . import status as codes

# CUdevice_attribute
_MULTIPROCESSORS = 16
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_POINTER_ORDINAL = 9  # CUpointer_attribute


@dataclass(frozen=True, slots=True)
class Device:
    """A device that kernels can be made for. ``capability``: such as (9, 0). ``sm_count``: of multiprocessors."""

    ordinal: int
    name: str
    capability: tuple[int, int]
    sm_count: int

    @property
    def context(self) -> int:
        """Its primary context, made when it is first asked for and kept."""
        return driver.get().primary_context(self.ordinal)

    def __str__(self) -> str:
        return f"cuda:{self.ordinal} ({self.name}, sm_{self.capability[0]}{self.capability[1]})"


def count() -> int:
    """Number of devices that CUDA_VISIBLE_DEVICES leaves visible. Raises DeviceError where there is no driver."""
    return driver.get().count()


def device(ordinal: int) -> Device:
    """The device. Raises DeviceError if there is none of the ordinal, or if it is older than any that code is made for."""
    d = driver.get()
    found: Device | None = d.kept.get(("device", ordinal))
    if found is None:
        found = d.kept["device", ordinal] = _ask(d, ordinal)
    return found


def _ask(d: driver.Driver, ordinal: int) -> Device:
    number = d.count()
    if not 0 <= ordinal < number:
        raise DeviceError(
            f"there is no device cuda:{ordinal}: the driver knows {number}",
            do="see nvidia-smi -L; CUDA_VISIBLE_DEVICES leaves devices out",
        )
    name = ctypes.create_string_buffer(256)
    d.call("cuDeviceGetName", name, len(name), d.handle(ordinal))
    capability = d.attribute(_CAPABILITY_MAJOR, ordinal), d.attribute(_CAPABILITY_MINOR, ordinal)
    found = Device(ordinal, name.value.decode(errors="replace"), capability, d.attribute(_MULTIPROCESSORS, ordinal))
    if capability < OLDEST:
        raise DeviceError(
            f"{found} has the compute capability {capability[0]}.{capability[1]}; kernels are made for "
            f"{OLDEST[0]}.{OLDEST[1]} (Turing) and newer",
            do=f"use a newer device, {codes.CPU}",
        )
    return found


def of_address(address: int) -> int:
    """The ordinal of the device that memory at the address belongs to.

    Raises DeviceError if it is memory that CUDA does not know, such as plain memory of the host."""
    d = driver.get()
    ordinal = ctypes.c_int()
    ask = d.function("cuPointerGetAttribute")
    status = ask(ordinal, _POINTER_ORDINAL, address)
    if status == codes.INVALID_CONTEXT:  # this thread has used no device yet
        with d.on(0):
            status = ask(ordinal, _POINTER_ORDINAL, address)
    if status == codes.INVALID_VALUE:
        raise DeviceError(
            f"the address {address:#x} is in the memory of no CUDA device", do="move the array to the device first"
        )
    if status:
        raise d.error(status, "cuPointerGetAttribute")
    return ordinal.value
