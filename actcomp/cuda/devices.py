"""CUDA devices: what launches must know of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..emit.cuda_target import OLDEST
from ..errors import DeviceError
from . import driver

# CU_DEVICE_ATTRIBUTE_: MULTIPROCESSOR_COUNT, COMPUTE_CAPABILITY_MAJOR, _MINOR, MEMORY_POOLS_SUPPORTED
_SM_COUNT, _MAJOR, _MINOR, _POOLS = 16, 75, 76, 115


@dataclass(frozen=True)
class Device:
    """``ordinal`` as libraries count; ``context``: its primary one, in which they all work."""

    ordinal: int
    name: str
    capability: tuple[int, int]
    sm_count: int
    context: int
    has_pools: bool = True  # of memory that is taken and given back in the order of a stream


def count() -> int:
    """How many devices this process may use."""
    return driver.get().count()


@lru_cache(maxsize=64)
def device(ordinal: int) -> Device:
    """Raises DeviceError if there is no such device, or if it is too old."""
    d = driver.get()
    if not 0 <= ordinal < d.count():
        raise DeviceError(f"there is no CUDA device {ordinal}", do=f"pass arrays of devices 0 to {d.count() - 1}")
    handle = d.device(ordinal)
    name = d.device_name(handle)
    capability = d.attribute(handle, _MAJOR), d.attribute(handle, _MINOR)
    if capability < OLDEST:
        raise DeviceError(
            f"CUDA device {ordinal} ({name}) has compute capability {capability[0]}.{capability[1]}; "
            f"{OLDEST[0]}.{OLDEST[1]} is the oldest that serves",
            do="use a newer device, or arrays of the CPU",
        )
    pools = bool(d.attribute(handle, _POOLS))
    return Device(ordinal, name, capability, d.attribute(handle, _SM_COUNT), d.primary_context(handle), pools)


def of_address(address: int) -> int:
    """The ordinal of the device that the memory belongs to. Raises DeviceError if it is none's."""
    found = driver.get().device_of(address)
    if found is None:
        raise DeviceError(
            f"the address {address:#x} is no memory of a CUDA device", do="pass an array that still lives, on a device"
        )
    return found
