"""The CUDA driver's status codes, as errors that say what to do.

Codes and their meanings: CUresult in NVIDIA's CUDA driver API reference.
"""

from __future__ import annotations

from ..errors import ActcompError, AssemblyError, DeviceError, LaunchError, OutOfMemory, ToolchainError

SUCCESS = 0
INVALID_VALUE = 1
OUT_OF_MEMORY = 2
NOT_INITIALIZED = 3
DEINITIALIZED = 4
STUB_LIBRARY = 34
NO_DEVICE = 100
INVALID_CONTEXT = 201
UNSUPPORTED_PTX_VERSION = 222
INVALID_HANDLE = 400
NOT_READY = 600
CONTEXT_IS_DESTROYED = 709
SYSTEM_NOT_READY = 802
SYSTEM_DRIVER_MISMATCH = 803

# After these no call of the process reaches the device any more; NVIDIA: "the process must be terminated and
# relaunched".
# 214 memory fault, 220 NVLink fault, 700 illegal address, 702 timeout, 710 assertion, 714 stack fault, 715 illegal
# instruction, 716 misaligned address, 717 address space, 718 program counter, 719 any other failure of a launch
CONTEXT_IS_LOST = frozenset({214, 220, 700, 702, 710, 714, 715, 716, 717, 718, 719})
# What the process' end or such a loss answers to giving memory back, when there is nothing left to give back to.
GONE = CONTEXT_IS_LOST | {DEINITIALIZED, INVALID_CONTEXT, CONTEXT_IS_DESTROYED}

# 200 invalid image, 209 no code for this device, 218 invalid PTX, 300 invalid source
_REFUSED_CODE = frozenset({200, 209, 218, 300})
# 221 no assembler in the driver, 222 PTX newer than the driver, 223 assembling is switched off
_NO_ASSEMBLER = frozenset({221, UNSUPPORTED_PTX_VERSION, 223})
_CAPTURE = range(900, 909)
# 46 unavailable, 101 no such device, 102 not licensed, 804 and on: the installation
_NO_USE = frozenset({NO_DEVICE, 46, 101, 102, SYSTEM_NOT_READY, SYSTEM_DRIVER_MISMATCH, 804})

CPU = "or pass arrays of the CPU"
UPDATE = "update NVIDIA's driver (nvidia-smi shows its version)"


def error_of(status: int, said: str, what: str) -> ActcompError:
    """The error of a status. ``said``: the driver's name and text of it; ``what`` it answered to."""
    text = f"{what}: {said}"
    if status == OUT_OF_MEMORY:
        return OutOfMemory(text, do="free memory of the device (nvidia-smi shows who has it), or use smaller arrays")
    if status in CONTEXT_IS_LOST:
        return LaunchError(
            f"{text}\n  a kernel of this process, of any library and perhaps launched much earlier, has failed on the "
            "device; the process' CUDA context is lost",
            do="restart the process; to find the kernel run it under compute-sanitizer",
        )
    if status == NOT_INITIALIZED:
        return DeviceError(
            f"{text}\n  a process that was forked from one that used CUDA cannot use it",
            do='start processes anew: multiprocessing.set_start_method("spawn")',
        )
    if status == DEINITIALIZED:
        return DeviceError(f"{text}\n  the process is ending", do="launch nothing at exit")
    if status == STUB_LIBRARY:
        return DeviceError(
            f"{text}\n  what was loaded is the toolkit's stub to link against, and no driver",
            do="take the folder 'stubs' out of LD_LIBRARY_PATH",
        )
    if status in _NO_USE:
        return DeviceError(text, do=f"see whether nvidia-smi shows the device and CUDA_VISIBLE_DEVICES does, {CPU}")
    if status in _REFUSED_CODE:
        return AssemblyError(text)
    if status in _NO_ASSEMBLER:
        return ToolchainError(text, do=f'{UPDATE}, or pip install "actcomp[cuda]" for an assembler beside it')
    if status in _CAPTURE:
        return LaunchError(
            f"{text}\n  the stream is being captured into a graph", do="call the kernel once before the capture begins"
        )
    if status in (INVALID_HANDLE, INVALID_CONTEXT, CONTEXT_IS_DESTROYED):
        return DeviceError(
            f"{text}\n  the stream or its device's context is gone, or the stream is another device's",
            do="use a stream of the arrays' device, and keep it until the call has returned",
        )
    return LaunchError(text, do=f"if it lasts, {UPDATE}, or report the formula and the machine")
