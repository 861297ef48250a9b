"""Custom calls for CUDA: names for programs, and where JAX has CUDA devices, handlers that XLA finds under them.

A program may be made for CUDA anywhere, to be exported; only its calls' names are needed for that. Kernels are made
when JAX itself has devices to run them on: for each of its devices the code of that one's compute capability, so that
devices of several kinds can work in one process.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import jax
import jax.extend.backend

from ..emit.entry import Form
from ..emit.interface import element_inputs, element_outputs, sum_outputs, uniform_inputs
from ..runtime.making import LOCK
from .cuda_handler import DriverFunctions, Handler, launch_of, total_launch
from .target import VERSION, Label, interface_version, require_known_interface

if TYPE_CHECKING:
    from ..program.program import Program

_DENSE = Form("dense")

# XLA keeps the addresses for as long as the process lives, and so do handlers and kernels. None: a name alone.
_named: dict[str, Handler | None] = {}


def register(program: Program, label: Label) -> str:
    """The name of the Program's target. Where JAX has CUDA devices, its kernels are made.

    Raises DeviceError where jaxlib's interface or the driver is another one than is known, and what making code for
    the devices raises."""
    name = label.name(program.digest)
    with LOCK:
        if _named.get(name) is None:
            ordinals = _ordinals()
            _named[name] = _registered(name, _handler(program, label, ordinals)) if ordinals else None
    return name


def targets() -> list[str]:
    """The names of all targets that this process has made programs with."""
    return list(_named)


def _ordinals() -> list[int]:
    """Of this process' CUDA devices, as the driver numbers them."""
    backend = jax.extend.backend.backends().get("cuda")
    return [] if backend is None else sorted(device.local_hardware_id for device in backend.local_devices())


def _registered(name: str, handler: Handler) -> Handler:
    address: Any = ctypes.c_void_p(handler.address)
    stages = {stage: jax.ffi.pycapsule(address) for stage in ("initialize", "execute")}
    jax.ffi.register_ffi_target(name, stages, platform="CUDA")
    jax.ffi.register_ffi_target_as_batch_partitionable(name)
    return handler


def _handler(program: Program, label: Label, ordinals: list[int]) -> Handler:
    """A handler with the Program's kernel, and one that adds up the partials of each sum."""
    from ..cuda import code, devices, driver, launcher, reduce

    require_known_interface()
    d = driver.get()
    inputs, outputs, sums = element_inputs(program), element_outputs(program), sum_outputs(program)
    total = f"total_{'f64' if label.dtype == 'f64' else 'f32'}"  # the parameters' type, see Operation
    everywhere = max(ordinals) + 1
    kernels, totals, most_blocks = [0] * everywhere, [0] * everywhere, [0] * everywhere
    for ordinal in ordinals:
        where = devices.device(ordinal)
        with d.current(where.context):
            entry, kernels[ordinal] = code.kernels({"kernel": program}, _DENSE, where.capability)["kernel"]
            if sums:
                totals[ordinal] = reduce.handle(total, ordinal)
        most_blocks[ordinal] = where.sm_count * launcher.BLOCKS_EACH
    launches = [launch_of(entry, kernels, len(inputs))]
    launches += [total_launch(totals, index, len(outputs) + index) for index in range(len(sums))]
    return Handler(
        launches,
        most_blocks,
        DriverFunctions(d.address("cuLaunchKernel"), d.address("cuCtxGetDevice"), d.address("cuKernelGetFunction")),
        len(inputs) + len(uniform_inputs(program)),
        len(outputs) + len(sums) + bool(sums),  # the last is the memory of the partials
        (interface_version() or VERSION)[1],
    )
