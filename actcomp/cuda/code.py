"""From Programs to kernels of a device: PTX, a cubin by ptxas or by the driver, the disk cache, one loaded library.

A library is loaded once a process and stays: kernels that other threads launch, and graphs, refer to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache as remembered
from typing import TYPE_CHECKING

from .. import debug
from ..emit.cuda_target import cuda_target
from ..emit.entry import Entry, Form
from ..emit.nvptx import emit_cuda, entry_of
from ..errors import AssemblyError, ToolchainError
from ..program.stored import whole
from ..runtime import cache, cpu
from ..runtime.making import LOCK
from . import driver, toolchain

if TYPE_CHECKING:
    from ..program.program import Program
    from ..program.stored import StoredProgram
    from .devices import Device

INSTALL = 'pip install "actcomp[cuda]"'


@dataclass(frozen=True)
class Library:
    """Code that is loaded, and the driver that has it."""

    handle: int
    driver: driver.Driver

    def kernel(self, name: str) -> int:
        """The handle of a kernel by name, good in the context of each device that the code fits."""
        return self.driver.kernel(self.handle, name)


_libraries: dict[tuple[str, tuple[int, int]], Library] = {}


def library(key: str, make: Callable[[], str], capability: tuple[int, int]) -> Library:
    """The library of the PTX that ``make`` gives, which the key determines, for devices of the compute capability.

    Raises ToolchainError, AssemblyError."""
    with LOCK:
        found = _libraries.get((key, capability))
        if found is None:
            found = _libraries[key, capability] = _load(key, make, capability)
        return found


def forget() -> None:
    """Drops all that was loaded, for tests that exchange the driver."""
    _libraries.clear()


def _load(key: str, make: Callable[[], str], capability: tuple[int, int]) -> Library:
    d = driver.get()
    arch = cuda_target(capability).cpu
    full = f"cuda {arch} {capability} {_assembler(capability)} {cpu.llvm_version()} {key}"
    stored = cache.read(full)
    if stored is not None:
        debug.say(debug.CACHE, f"CUDA code for {arch}: from the cache")
        try:
            return Library(d.load(stored.payload), d)
        except AssemblyError:
            debug.say(debug.CACHE, "the cached CUDA code is refused: made again")
    image = assemble(make(), capability)
    loaded = Library(d.load(image), d)
    cache.write(full, {"kind": "cubin", "program": key[:80], "arch": arch}, image)
    return loaded


def assemble(ptx: str, capability: tuple[int, int]) -> bytes:
    """A cubin for the devices of the compute capability: by ptxas where it is installed, else by the driver, whose
    context must be current. A device of a later family than ptxas' target is given PTX by itself."""
    target = cuda_target(capability)
    if debug.level() >= debug.ASSEMBLY:
        debug.say(debug.ASSEMBLY, ptx)
    how = _assembler(capability)
    if how == "none":
        return ptx.encode() + b"\0"
    return driver.get().assemble(ptx) if how == "driver" else toolchain.ptxas(ptx, target.cpu)


def _assembler(capability: tuple[int, int]) -> str:
    """What assembles for devices of the capability. ptxas of a later CUDA than the driver's makes what that refuses."""
    target = cuda_target(capability)
    if int(target.cpu.removeprefix("sm_")) // 10 != capability[0]:
        return "none"
    if toolchain.find_tool("ptxas") is None:
        return "driver"
    version = toolchain.ptxas_version()
    return f"ptxas {version}" if int(version.split(".")[0]) <= driver.get().version // 1000 else "driver"


@contextmanager
def at_work(device: Device) -> Iterator[None]:
    """While code for the device is made and loaded: its context is current, and a graph may be being captured."""
    d = driver.get()
    with d.current(device.context), d.loading():
        yield


def ptx_of(
    programs: Mapping[str, Program | StoredProgram], form: Form, capability: tuple[int, int], backend: str
) -> str:
    """The PTX of the Programs' kernels. Raises ToolchainError where the backend "numba" is not installed."""
    known = {name: whole(program) for name, program in programs.items()}
    target = cuda_target(capability)
    if backend == "nvptx":
        return cpu.assembly(emit_cuda(known, target, form), target)
    from ..emit.numba_kernels import emit_numba

    try:
        from .numba_cuda import compile_numba

        major, minor = divmod(int(target.cpu.removeprefix("sm_")), 10)
        return compile_numba(emit_numba(known, form), known, form, (major, minor))
    except ImportError as fault:
        raise ToolchainError(f"the backend 'numba' needs numba-cuda: {fault}", do=INSTALL) from fault


@remembered
def _version_of(backend: str) -> str:
    """Of what makes the PTX, besides LLVM: numba-cuda's compiler."""
    if backend != "numba":
        return ""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f" {version('numba-cuda')}"
    except PackageNotFoundError:  # ptx_of says what is missing
        return ""


def kernels(
    programs: Mapping[str, Program | StoredProgram], form: Form, capability: tuple[int, int], backend: str = "nvptx"
) -> dict[str, tuple[Entry, int]]:
    """The kernels of the Programs by name, from one library: what a launch must know, and the handle.

    Raises ToolchainError, AssemblyError, DeviceError."""
    names = " ".join(f"{name}:{program.digest}" for name, program in programs.items())
    loaded = library(
        f"{backend}{_version_of(backend)} {form} {names}",
        lambda: ptx_of(programs, form, capability, backend),
        capability,
    )
    found = {}
    for name, program in programs.items():
        if backend == "nvptx":
            entry = entry_of(program, name, form)  # type: ignore[arg-type]  # its interface is enough
        else:
            from ..emit.numba_kernels import entry_of_numba

            entry = entry_of_numba(whole(program), name, form)
        found[name] = entry, loaded.kernel(name)
    return found
